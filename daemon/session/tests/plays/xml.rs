//! XML as it stands in scripts: read, compared, written.

use minidom::{Element, Node};

use crate::script::Names;

const STANZAS: &str = "jabber:client";

/// The elements of a block; their default namespace is that of stanzas.
pub(crate) fn read(text: &str) -> Result<Vec<Element>, String> {
    let wrapped = format!("<block xmlns='{STANZAS}'>{text}</block>");
    let block: Element = wrapped.parse().map_err(|error| format!("the script's XML: {error}"))?;
    Ok(block.children().cloned().collect())
}

/// Whether `actual` is what the script says. An unknown `$name` as the value of an attribute takes
/// the value that is there, and must be the same from then on.
pub(crate) fn matches(expected: &Element, actual: &Element, names: &mut Names) -> bool {
    let (ours, theirs) = (attributes(expected), attributes(actual));
    let tags = expected.name() == actual.name() && expected.ns() == actual.ns();
    let (inside, there) = (contents(expected), contents(actual));
    tags && ours.len() == theirs.len()
        && ours
            .iter()
            .zip(&theirs)
            .all(|((name, value), (other, actual))| name == other && value_matches(value, actual, names))
        && inside.len() == there.len()
        && inside.iter().zip(&there).all(|pair| match pair {
            (Content::Element(expected), Content::Element(actual)) => matches(expected, actual, names),
            (Content::Text(expected), Content::Text(actual)) => expected == actual,
            _ => false,
        })
}

fn value_matches(expected: &str, actual: &str, names: &mut Names) -> bool {
    match expected.strip_prefix('$') {
        Some(name) => match names.get(name) {
            Some(value) => value == actual,
            None => {
                names.bind(name, actual.to_owned());
                true
            }
        },
        None => expected == actual,
    }
}

enum Content<'a> {
    Element(&'a Element),
    Text(String),
}

fn contents(element: &Element) -> Vec<Content<'_>> {
    let nodes = element.nodes().filter_map(|node| match node {
        Node::Element(child) => Some(Content::Element(child)),
        Node::Text(text) if text.trim().is_empty() => None,
        Node::Text(text) => Some(Content::Text(text.trim().to_owned())),
    });
    nodes.collect()
}

/// By name; `xml:lang` is the one prefixed attribute that stanzas know.
fn attributes(element: &Element) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = element
        .attrs()
        .iter()
        .map(|((ns, name), value)| {
            let prefix = if ns.as_str().is_empty() { "" } else { "xml:" };
            (format!("{prefix}{name}"), value.clone())
        })
        .collect();
    attributes.sort();
    attributes
}

/// As a script would have it: short elements on one line.
pub(crate) fn show(element: &Element) -> Vec<String> {
    let mut lines = Vec::new();
    write(element, STANZAS, 0, &mut lines);
    lines
}

fn write(element: &Element, outer: &str, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let short = one_line(element, outer);
    if indent.len() + short.len() <= 100 || element.children().next().is_none() {
        lines.push(format!("{indent}{short}"));
        return;
    }
    let (ns, name) = (element.ns(), element.name());
    lines.push(format!("{indent}{}>", opening(element, outer)));
    for content in contents(element) {
        match content {
            Content::Element(child) => write(child, &ns, depth + 1, lines),
            Content::Text(text) => lines.push(format!("{indent}  {}", escaped(&text))),
        }
    }
    lines.push(format!("{indent}</{name}>"));
}

fn one_line(element: &Element, outer: &str) -> String {
    let ns = element.ns();
    let inside: String = contents(element)
        .iter()
        .map(|content| match content {
            Content::Element(child) => one_line(child, &ns),
            Content::Text(text) => escaped(text),
        })
        .collect();
    let opening = opening(element, outer);
    if inside.is_empty() {
        format!("{opening}/>")
    } else {
        format!("{opening}>{inside}</{}>", element.name())
    }
}

fn opening(element: &Element, outer: &str) -> String {
    let ns = element.ns();
    let ns = if ns == outer { String::new() } else { format!(" xmlns='{ns}'") };
    let attributes: String =
        attributes(element).iter().map(|(name, value)| format!(" {name}='{}'", escaped(value))).collect();
    format!("<{}{ns}{attributes}", element.name())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
