//! The meaning of caps hashes: verified, shared by all who show them, and bounded.
//!
//! When there is no room, the least recently shown are evicted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::bounds;
use crate::model::{CapsKey, CapsRecord};

struct Known {
    record: Arc<CapsRecord>,
    bytes: usize,
    /// Higher means later.
    used: u64,
}

#[derive(Default)]
pub(crate) struct Features {
    known: BTreeMap<CapsKey, Known>,
    bytes: usize,
    uses: u64,
    /// Features shared among records: most programs support the same ones.
    texts: HashSet<Arc<str>>,
}

impl Features {
    /// Loads what the cache has, as far as there is room.
    pub(crate) fn cached(records: Vec<(CapsKey, CapsRecord)>) -> Self {
        let mut features = Self::default();
        for (key, record) in records {
            let bytes = key.bytes() + record.bytes();
            if record.bytes() <= bounds::CAPS_RECORD_BYTES && features.has_room(bytes) {
                features.insert(key, record, bytes);
            }
        }
        features
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.known.len() < bounds::CAPS_KNOWN && self.bytes + bytes <= bounds::CAPS_BYTES
    }

    fn insert(&mut self, key: CapsKey, record: CapsRecord, bytes: usize) -> Arc<CapsRecord> {
        let features: BTreeSet<Arc<str>> =
            record.features.into_iter().map(|feature| self.shared(feature)).collect();
        let record = Arc::new(CapsRecord { features, ..record });
        self.uses += 1;
        self.bytes += bytes;
        self.known.insert(key, Known { record: Arc::clone(&record), bytes, used: self.uses });
        record
    }

    fn shared(&mut self, feature: Arc<str>) -> Arc<str> {
        match self.texts.get(&feature) {
            Some(known) => Arc::clone(known),
            None => {
                self.texts.insert(Arc::clone(&feature));
                feature
            }
        }
    }

    /// The meaning of a hash that a device shows.
    pub(crate) fn get(&mut self, key: &CapsKey) -> Option<Arc<CapsRecord>> {
        let known = self.known.get_mut(key)?;
        self.uses += 1;
        known.used = self.uses;
        Some(Arc::clone(&known.record))
    }

    /// Stores the meaning of a hash. Returns the stored record and the hashes evicted for it, or gives the record
    /// back if everything there is room for is in use.
    pub(crate) fn learn(
        &mut self,
        key: CapsKey,
        record: CapsRecord,
    ) -> (Result<Arc<CapsRecord>, CapsRecord>, Vec<CapsKey>) {
        let mut gone = Vec::new();
        if let Some(known) = self.get(&key) {
            return (Ok(known), gone);
        }
        let bytes = key.bytes() + record.bytes();
        while !self.has_room(bytes) {
            // If a hash in use were evicted, it would have to be queried again at once.
            let unshown = self.known.iter().filter(|(_, known)| Arc::strong_count(&known.record) == 1);
            let Some(oldest) = unshown.min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone()) else {
                return (Err(record), gone);
            };
            self.forget(&oldest);
            gone.push(oldest);
        }
        (Ok(self.insert(key, record, bytes)), gone)
    }

    fn forget(&mut self, key: &CapsKey) {
        let Some(Known { record, bytes, .. }) = self.known.remove(key) else { return };
        self.bytes -= bytes;
        let features: Vec<Arc<str>> = record.features.iter().cloned().collect();
        drop(record);
        for feature in features {
            // Only here and in the table.
            if Arc::strong_count(&feature) == 2 {
                self.texts.remove(&feature);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> CapsKey {
        CapsKey { hash: "sha-1".to_owned(), ver: format!("{n:028}") }
    }

    /// As large as a record may be, with features that no other record has.
    fn largest(n: usize) -> CapsRecord {
        let mut record = CapsRecord::default();
        for feature in 0.. {
            let feature: Arc<str> = format!("{n}-{feature}-{}", "x".repeat(900)).into();
            let one = CapsRecord { features: BTreeSet::from([feature.clone()]), ..CapsRecord::default() };
            if record.bytes() + one.bytes() > bounds::CAPS_RECORD_BYTES {
                break;
            }
            record.features.insert(feature);
        }
        record
    }

    fn small(n: usize) -> CapsRecord {
        let features = ["urn:xmpp:ping", "urn:xmpp:receipts"].map(Arc::from);
        let identity = Some(("client".to_owned(), "pc".to_owned(), Some(format!("{n}"))));
        CapsRecord { identity, features: features.into() }
    }

    #[test]
    fn bytes_are_bounded_whatever_is_learned() {
        let mut features = Features::default();
        let mut gone = 0;
        for n in 0..1_000 {
            let (kept, forgotten) = features.learn(key(n), largest(n));
            assert!(kept.is_ok());
            gone += forgotten.len();
        }
        assert!(features.bytes <= bounds::CAPS_BYTES, "{} bytes", features.bytes);
        assert_eq!(features.known.len() + gone, 1_000, "whatever goes is told, for the disk's sake");
        let texts: usize = features.texts.iter().map(|text| text.len()).sum();
        assert!(texts <= bounds::CAPS_BYTES, "{texts} bytes of texts");
        // Close to the bound; otherwise another bound applies first.
        assert!(features.bytes > bounds::CAPS_BYTES - 2 * bounds::CAPS_RECORD_BYTES);
    }

    #[test]
    fn entries_are_bounded_too() {
        let mut features = Features::default();
        for n in 0..bounds::CAPS_KNOWN + 100 {
            assert!(features.learn(key(n), small(n)).0.is_ok());
        }
        assert_eq!(features.known.len(), bounds::CAPS_KNOWN);
        assert_eq!(features.texts.len(), 2, "features are shared");
    }

    #[test]
    fn what_was_not_shown_for_longest_goes_first() {
        let mut features = Features::default();
        for n in 0..bounds::CAPS_KNOWN {
            let _ = features.learn(key(n), small(n));
        }
        assert!(features.get(&key(0)).is_some());
        let shown = features.get(&key(1));
        for n in 2..4 {
            assert_eq!(features.learn(key(9_000 + n), small(n)).1, [key(n)]);
        }
        drop(shown);
    }

    #[test]
    fn what_somebody_shows_stays() {
        let mut features = Features::default();
        let shown: Vec<_> =
            (0..bounds::CAPS_KNOWN).filter_map(|n| features.learn(key(n), small(n)).0.ok()).collect();
        let (kept, gone) = features.learn(key(9_999), small(0));
        assert!(kept.is_err() && gone.is_empty());
        drop(shown);
        assert!(features.learn(key(9_999), small(0)).0.is_ok());
    }

    #[test]
    fn a_cache_that_holds_too_much_is_not_taken_whole() {
        let records = (0..1_000).map(|n| (key(n), largest(n))).collect();
        let features = Features::cached(records);
        assert!(features.bytes <= bounds::CAPS_BYTES && !features.known.is_empty());
    }
}
