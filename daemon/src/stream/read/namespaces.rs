//! What prefixes mean (Namespaces in XML 1.0), and what may not be declared.

use std::collections::BTreeMap;

use minidom::rxml::{Namespace, XMLNS_XML, XMLNS_XMLNS};

use super::limits::Broken;
use super::text::is_name;

/// The declarations that are in force. Whatever opens an element gives the level on which it stands.
#[derive(Default)]
pub(crate) struct Namespaces {
    /// The default namespaces, the innermost last: their levels, and where in `names` each begins.
    defaults: Vec<(usize, usize)>,
    names: String,
    /// What each prefix means, the innermost last.
    prefixes: BTreeMap<String, Vec<(usize, Namespace<'static>)>>,
    /// The prefixes that were declared, and on which level.
    declared: Vec<(usize, String)>,
}

impl Namespaces {
    /// A declaration in a start tag on this level.
    ///
    /// # Errors
    /// It is forbidden (§3, §5), or the second one of the same in a tag.
    pub(crate) fn declare(&mut self, level: usize, prefix: Option<&str>, name: &str) -> Result<(), Broken> {
        if name == XMLNS_XMLNS || (name == XMLNS_XML) != (prefix == Some("xml")) {
            return Err(Broken::Namespace);
        }
        let Some(prefix) = prefix else {
            if self.defaults.last().is_some_and(|(declared, _)| *declared == level) {
                return Err(Broken::Namespace);
            }
            self.defaults.push((level, self.names.len()));
            self.names.push_str(name);
            return Ok(());
        };
        if name.is_empty() || prefix == "xmlns" || !is_name(prefix) {
            return Err(Broken::Namespace);
        }
        let meanings = self.prefixes.entry(prefix.to_owned()).or_default();
        if meanings.last().is_some_and(|(declared, _)| *declared == level) {
            return Err(Broken::Namespace);
        }
        meanings.push((level, Namespace::from(name.to_owned())));
        self.declared.push((level, prefix.to_owned()));
        Ok(())
    }

    /// The namespace of an element whose name has this prefix, or none; absent: the prefix is not declared.
    pub(crate) fn of_element(&self, prefix: Option<&str>) -> Option<&str> {
        match prefix {
            None => Some(self.defaults.last().map_or("", |(_, from)| &self.names[*from..])),
            Some("xml") => Some(XMLNS_XML),
            Some(prefix) => Some(&self.prefixes.get(prefix)?.last()?.1),
        }
    }

    /// The namespace of an attribute; absent: its prefix is not declared. Without a prefix it has none (§6.2).
    pub(crate) fn of_attribute(&self, prefix: Option<&str>) -> Option<Namespace<'static>> {
        match prefix {
            None => Some(Namespace::NONE),
            Some("xml") => Some(Namespace::XML),
            Some(prefix) => Some(self.prefixes.get(prefix)?.last()?.1.clone()),
        }
    }

    /// The element on this level has ended.
    pub(crate) fn end(&mut self, level: usize) {
        if let Some((_, from)) = self.defaults.pop_if(|(declared, _)| *declared == level) {
            self.names.truncate(from);
        }
        while let Some((_, prefix)) = self.declared.pop_if(|(declared, _)| *declared == level) {
            if let Some(meanings) = self.prefixes.get_mut(&prefix) {
                meanings.pop();
                if meanings.is_empty() {
                    self.prefixes.remove(&prefix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_declaration_counts_until_its_element_ends() {
        let mut namespaces = Namespaces::default();
        assert_eq!(namespaces.of_element(None), Some(""));
        for (level, prefix, name) in [
            (0, None, "urn:a"),
            (0, Some("p"), "urn:p"),
            (2, None, ""),
            (2, Some("p"), "urn:q"),
            (3, None, "urn:b"),
        ] {
            namespaces.declare(level, prefix, name).unwrap();
        }
        let now = |namespaces: &Namespaces| {
            let [plain, prefixed] =
                [None, Some("p")].map(|prefix| namespaces.of_element(prefix).map(str::to_owned));
            assert_eq!(namespaces.of_attribute(Some("p")).as_deref(), prefixed.as_deref());
            (plain.unwrap(), prefixed)
        };
        assert_eq!(now(&namespaces), ("urn:b".to_owned(), Some("urn:q".to_owned())));
        namespaces.end(3);
        assert_eq!(now(&namespaces), (String::new(), Some("urn:q".to_owned())));
        namespaces.end(2);
        namespaces.end(1);
        assert_eq!(now(&namespaces), ("urn:a".to_owned(), Some("urn:p".to_owned())));
        namespaces.end(0);
        assert_eq!(now(&namespaces), (String::new(), None));
        assert_eq!(namespaces.of_attribute(None), Some(Namespace::NONE));
        assert!(namespaces.names.is_empty() && namespaces.prefixes.is_empty());
    }

    #[test]
    fn what_may_be_declared_and_what_may_not() {
        const XML: &str = "http://www.w3.org/XML/1998/namespace";
        const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
        let passes = |declarations: &[(Option<&str>, &str)]| {
            let mut namespaces = Namespaces::default();
            declarations.iter().all(|(prefix, name)| namespaces.declare(1, *prefix, name).is_ok())
        };
        assert!(passes(&[(None, "urn:x"), (Some("x"), "urn:x"), (Some("y"), "urn:x")]));
        assert!(passes(&[(None, "")]));
        assert!(passes(&[(Some("xml"), XML)]));
        assert!(!passes(&[(None, "urn:x"), (None, "urn:x")]));
        assert!(!passes(&[(Some("x"), "urn:x"), (Some("x"), "urn:y")]));
        for (prefix, name) in [
            (Some("x"), ""),
            (Some(""), "urn:x"),
            (Some("1"), "urn:x"),
            (Some("a:b"), "urn:x"),
            (None, XMLNS),
            (Some("x"), XMLNS),
            (Some("xmlns"), XMLNS),
            (Some("xmlns"), "urn:x"),
            (None, XML),
            (Some("x"), XML),
            (Some("xml"), "urn:x"),
        ] {
            assert!(!passes(&[(prefix, name)]), "{prefix:?} {name}");
        }
    }
}
