//! What clients say about themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A caps hash (XEP-0115 §4): the algorithm is part of its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CapsKey {
    /// `sha-1` or `sha-256`.
    pub hash: String,
    /// The verification string, base64.
    pub ver: String,
}

/// What a client says about itself (XEP-0030 §3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsRecord {
    /// The first identity: category, type, name.
    pub identity: Option<(String, String, Option<String>)>,
    /// Its features; records may share the texts.
    pub features: BTreeSet<Arc<str>>,
}

impl CapsKey {
    /// The size of its texts.
    pub(crate) fn bytes(&self) -> usize {
        self.hash.len() + self.ver.len()
    }
}

impl CapsRecord {
    /// Its size in memory, at most: counted as if it shared nothing. Cached rows beyond [`crate::bounds::CAPS_BYTES`]
    /// are not needed.
    pub fn bytes(&self) -> usize {
        /// A text's overhead: its place in the set, its counts, the allocator's rounding.
        const EACH: usize = 48;
        let identity = self.identity.iter().map(|(category, type_, name)| {
            3 * EACH + category.len() + type_.len() + name.as_ref().map_or(0, String::len)
        });
        let features = self.features.iter().map(|feature| EACH + feature.len());
        size_of::<Self>() + EACH + identity.chain(features).sum::<usize>()
    }
}
