//! Contacts who look like somebody else: another's name or JID in different characters, or a name that is another's
//! JID (UTS #39 §4: two texts are confusable if their skeletons are equal).
//!
//! Two numbers are kept per text, and how often each occurs. A JID that is not in the roster is compared with the
//! roster, but not the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use jid::BareJid;
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// The skeletons of ASCII characters: most texts have no others, and a start compares thousands.
static ASCII: LazyLock<[Vec<char>; 128]> = LazyLock::new(|| {
    std::array::from_fn(|code| {
        let c = char::from(u8::try_from(code).unwrap_or_default());
        skeleton(c.encode_utf8(&mut [0; 4])).collect()
    })
});

/// A text's skeleton, and the text itself. Hashed, with a seed that peers don't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    skeleton: u64,
    text: u64,
}

/// The looks of one person's JID and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks {
    jid: Look,
    /// Absent if it is the JID, or there is none.
    name: Option<Look>,
}

impl Looks {
    fn each(self) -> impl Iterator<Item = Look> {
        std::iter::once(self.jid).chain(self.name)
    }

    /// Whether either has this skeleton.
    pub(crate) fn has_any(self, skeletons: &BTreeSet<u64>) -> bool {
        self.each().any(|look| skeletons.contains(&look.skeleton))
    }
}

/// The looks of everybody we know.
pub(crate) struct LookAlikes {
    seed: u64,
    /// How many texts have each skeleton.
    counts: BTreeMap<Look, u32>,
}

impl LookAlikes {
    /// `seed` must be unpredictable to peers, who could otherwise construct texts with equal hashes.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, counts: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn looks(&self, jid: &BareJid, name: Option<&str>) -> Looks {
        let name = name.filter(|name| *name != jid.as_str());
        Looks { jid: self.look(b'j', jid.as_str()), name: name.map(|name| self.look(b'n', name)) }
    }

    /// A name is a different text from a JID, even with the same characters.
    fn look(&self, kind: u8, text: &str) -> Look {
        let (mut shape, mut exact) = (DefaultHasher::new(), DefaultHasher::new());
        (self.seed, kind).hash(&mut exact);
        self.seed.hash(&mut shape);
        if text.is_ascii() {
            for word in text.split_ascii_whitespace() {
                exact.write(word.as_bytes());
                exact.write_u8(b' ');
                word.bytes().flat_map(|byte| &ASCII[usize::from(byte)]).for_each(|c| c.hash(&mut shape));
                ' '.hash(&mut shape);
            }
        } else {
            for word in text.split_whitespace() {
                word.nfc().collect::<String>().bytes().for_each(|byte| exact.write_u8(byte));
                exact.write_u8(b' ');
            }
            // This one is blank, though not classified as such.
            for word in text.split(|c: char| c.is_whitespace() || c == '\u{2800}') {
                let mut shown = skeleton(word).peekable();
                if shown.peek().is_some() {
                    shown.for_each(|c| c.hash(&mut shape));
                    ' '.hash(&mut shape);
                }
            }
        }
        Look { skeleton: shape.finish(), text: exact.finish() }
    }

    /// A person's looks have changed. Notes everybody whose mark may change: all those with such a skeleton.
    pub(crate) fn replace(
        &mut self,
        before: Option<Looks>,
        after: Option<Looks>,
        shifted: &mut BTreeSet<u64>,
    ) {
        let looks = || before.into_iter().chain(after).flat_map(Looks::each);
        let was_shared: Vec<bool> = looks().map(|look| self.is_shared(look.skeleton)).collect();
        for look in after.into_iter().flat_map(Looks::each) {
            *self.counts.entry(look).or_default() += 1;
        }
        for look in before.into_iter().flat_map(Looks::each) {
            if let Some(count) = self.counts.get_mut(&look) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&look);
                }
            }
        }
        let changed = looks().zip(was_shared).filter(|(look, was)| self.is_shared(look.skeleton) != *was);
        shifted.extend(changed.map(|(look, _)| look.skeleton));
    }

    /// Whether somebody else looks the same and is a different text.
    pub(crate) fn is_doubtful(&self, looks: Looks) -> bool {
        looks.each().any(|look| self.is_shared(look.skeleton))
    }

    /// Whether a text that is not counted under these looks resembles one that is, and differs from it. `own`: the
    /// looks it is counted under, if any.
    pub(crate) fn is_like_another(&self, looks: Looks, own: Option<Looks>) -> bool {
        let is_own = |look: &Look| own.into_iter().flat_map(Looks::each).any(|own| own == *look);
        looks.each().any(|look| {
            let mut others = self.with(look.skeleton).filter(|(other, _)| other.text != look.text);
            others.any(|(other, count)| *count > u32::from(is_own(other)))
        })
    }

    /// Whether more than one text has this skeleton.
    fn is_shared(&self, skeleton: u64) -> bool {
        self.with(skeleton).nth(1).is_some()
    }

    /// The texts with this skeleton.
    fn with(&self, skeleton: u64) -> impl Iterator<Item = (&Look, &u32)> {
        self.counts.range(Look { skeleton, text: 0 }..=Look { skeleton, text: u64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(a: &str, b: &str) -> bool {
        let all = LookAlikes::new(7);
        let [a, b] = [a, b].map(|text| all.look(b'n', text));
        a.skeleton == b.skeleton && a.text != b.text
    }

    #[test]
    fn other_letters_of_the_same_look() {
        for (a, b) in [
            ("Coco", "\u{421}\u{43e}\u{441}\u{43e}"),
            ("paypal", "p\u{430}ypal"),
            ("Anna", "Anna\u{200b}"),
            ("Anna", "Anna\u{2800}"),
            ("Anna", "\u{ad}Anna"),
            ("Ida", "lda"),
            ("corn", "com"),
            ("Anna Berg", "\u{391}nna\u{a0}Berg"),
        ] {
            assert!(alike(a, b), "{a:?} {b:?}");
            assert!(alike(b, a), "{b:?} {a:?}");
        }
    }

    #[test]
    fn equal_names_and_other_ones() {
        for (a, b) in [
            ("Anna", "Anna"),
            ("Иван", "Иван"),
            ("Zoe\u{308}", "Zo\u{eb}"),
            ("Anna  Berg ", "Anna Berg"),
            ("Anna", "anna"),
            ("Anna", "Hanna"),
            ("Иван", "Ivan"),
            ("田中", "田口"),
        ] {
            assert!(!alike(a, b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn ascii_has_the_skeletons_that_all_text_has() {
        let text: String = (0..128u8).map(char::from).collect();
        let quick: String = text.bytes().flat_map(|byte| &ASCII[usize::from(byte)]).collect();
        assert_eq!(quick, skeleton(&text).collect::<String>());
    }

    #[test]
    fn what_is_counted_in_is_counted_out() {
        let mut all = LookAlikes::new(7);
        let mut shifted = BTreeSet::new();
        let jid = |text: &str| text.parse::<BareJid>().unwrap();
        let genuine = all.looks(&jid("a@b.org"), Some("Coco"));
        let fake = all.looks(&jid("c@d.org"), Some("\u{421}oco"));
        all.replace(None, Some(genuine), &mut shifted);
        assert!(shifted.is_empty() && !all.is_doubtful(genuine));
        all.replace(None, Some(fake), &mut shifted);
        assert!(genuine.has_any(&shifted) && all.is_doubtful(genuine) && all.is_doubtful(fake));
        shifted.clear();
        all.replace(Some(fake), None, &mut shifted);
        assert!(genuine.has_any(&shifted) && !all.is_doubtful(genuine));
        all.replace(Some(genuine), None, &mut shifted);
        assert!(all.counts.is_empty());
    }
}
