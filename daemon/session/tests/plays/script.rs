//! Reads the text of a script: scenes made of steps. What the words mean is the stage's business.

use std::collections::BTreeMap;

/// One file: what stands before the first `==` opens every scene.
pub(crate) struct Script {
    pub(crate) scenes: Vec<Scene>,
}

pub(crate) struct Scene {
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
}

/// A line and the indented lines below it.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) head: String,
    pub(crate) block: String,
    /// The last of its lines.
    pub(crate) last: usize,
}

impl Step {
    pub(crate) fn is_expectation(&self) -> bool {
        is_expectation(&self.head)
    }
}

pub(crate) fn is_expectation(head: &str) -> bool {
    ["prosed ", "ui is answered ", "ui hears "].iter().any(|start| head.starts_with(start))
}

impl Script {
    pub(crate) fn read(text: &str) -> Self {
        let mut opening: Vec<Step> = Vec::new();
        let mut scenes: Vec<Scene> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let number = at + 1;
            if let Some(title) = line.strip_prefix("== ") {
                scenes.push(Scene { title: title.to_owned(), steps: opening.clone() });
                continue;
            }
            let steps = scenes.last_mut().map_or(&mut opening, |scene| &mut scene.steps);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                let step = steps.last_mut().unwrap_or_else(|| panic!("line {number}: belongs to nothing"));
                step.block.push_str(line.trim());
                step.block.push('\n');
                step.last = number;
            } else {
                let head = line.trim_end().to_owned();
                steps.push(Step { line: number, head, block: String::new(), last: number });
            }
        }
        if scenes.is_empty() {
            scenes.push(Scene { title: "whole".to_owned(), steps: opening });
        }
        Self { scenes }
    }
}

/// A line's words; `"…"` is one word.
pub(crate) fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for letter in text.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// What `$name` stands for.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    pub(crate) fn bind(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Puts what is known in place of the names; unknown names stay.
    pub(crate) fn put_in(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
            match self.get(&part[..end]) {
                Some(value) => whole.push_str(value),
                None => {
                    whole.push('$');
                    whole.push_str(&part[..end]);
                }
            }
            whole.push_str(&part[end..]);
        }
        whole
    }

    /// Puts names in place of what they stand for, so that a script can be written from it.
    pub(crate) fn fold(&self, text: &str) -> String {
        let mut names: Vec<(&String, &String)> =
            self.0.iter().filter(|(_, value)| value.len() > 20).collect();
        names.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        names
            .into_iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(value.as_str(), &format!("${name}")))
    }
}

/// Repeats `text` this many times, with `$n` as the number of each.
pub(crate) fn times(count: usize, text: &str) -> String {
    (1..=count).map(|n| text.replace("$n", &n.to_string())).collect()
}
