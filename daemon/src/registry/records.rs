//! The file of accounts: one JSON object, with each account's record under its JID.
//!
//! No server can return it, so nothing in it is discarded without its owner's word. An unreadable record (damaged, or
//! from a newer version) affects only itself, and is written back unchanged. If the file as a whole is not JSON, a
//! copy is set aside, and the readable records are recovered from it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jid::BareJid;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Entry;
use crate::files::{self, Durability};

/// The content of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) accounts: BTreeMap<BareJid, Entry>,
    /// The others, verbatim.
    pub(super) unreadable: Raw,
    /// The file as a whole is not JSON.
    damaged: bool,
}

type Raw = BTreeMap<String, Box<RawValue>>;

impl Records {
    /// Reads the file; a missing one counts as empty. A damaged one is repaired, and a copy set aside.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        let Some(json) = files::read(path)? else { return Ok(Self::default()) };
        let mut records = Self::read(&json);
        if records.damaged {
            // In this order: a crash in between leaves the damaged file where it was.
            let aside = files::copy_aside(path, &json)?;
            files::write_atomic(path, &records.encode()?, Durability::Synced)?;
            records.damaged = false;
            let saved = records.accounts.len();
            tracing::error!(copy = %aside.display(), saved, "the list of accounts is damaged");
        }
        for name in records.unreadable.keys() {
            // Quoted, since it may contain anything.
            tracing::error!(?name, "a record in the list of accounts can't be read: it is kept as it is");
        }
        Ok(records)
    }

    pub(super) fn read(json: &[u8]) -> Self {
        let (raw, damaged) = match serde_json::from_slice::<Raw>(json) {
            Ok(raw) => (raw, false),
            Err(_) => (salvage(json), true),
        };
        let mut records = Self { damaged, ..Self::default() };
        for (name, record) in &raw {
            let account = BareJid::new(name).ok().filter(|account| {
                // If one JID has several spellings, its normal form counts.
                account.as_str() == name || !raw.contains_key(account.as_str())
            });
            match (account, read_entry(record)) {
                (Some(account), Ok(entry)) if !records.accounts.contains_key(&account) => {
                    records.accounts.insert(account, entry);
                }
                _ => drop(records.unreadable.insert(name.clone(), record.clone())),
            }
        }
        records
    }

    pub(super) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Record<'a> {
            Known(Value),
            Unreadable(&'a RawValue),
        }
        let unreadable = self.unreadable.iter().map(|(name, record)| (&**name, Record::Unreadable(record)));
        let mut records: BTreeMap<_, _> = unreadable.collect();
        for (account, entry) in &self.accounts {
            let mut record = serde_json::to_value(entry)?;
            add(&mut record, &entry.newer);
            records.insert(account.as_str(), Record::Known(record));
        }
        serde_json::to_vec_pretty(&records)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.unreadable.is_empty()
    }

    pub(super) fn is_unreadable(&self, account: &BareJid) -> bool {
        self.unreadable.keys().any(|name| is_name_of(name, account))
    }

    /// Removes an account's unreadable record; returns whether there was one.
    pub(super) fn remove_unreadable(&mut self, account: &BareJid) -> bool {
        let before = self.unreadable.len();
        self.unreadable.retain(|name, _| !is_name_of(name, account));
        self.unreadable.len() < before
    }

    /// Whether anything changed. No change adds an unreadable record.
    pub(super) fn differ_from(&self, before: &Self) -> bool {
        self.accounts != before.accounts || self.unreadable.len() != before.unreadable.len()
    }
}

/// A record, including its unknown fields.
fn read_entry(record: &RawValue) -> serde_json::Result<Entry> {
    let mut entry: Entry = serde_json::from_str(record.get())?;
    entry.newer = beside(&serde_json::from_str(record.get())?, &serde_json::to_value(&entry)?);
    Ok(entry)
}

/// The fields of an object, and of objects in it, that another does not have; null if there are none.
fn beside(whole: &Value, known: &Value) -> Value {
    let (Value::Object(whole), Value::Object(known)) = (whole, known) else { return Value::Null };
    let fields = whole.iter().filter_map(|(name, value)| {
        let newer = known.get(name).map_or_else(|| value.clone(), |known| beside(value, known));
        (!newer.is_null()).then(|| (name.clone(), newer))
    });
    let fields: Map<_, _> = fields.collect();
    if fields.is_empty() { Value::Null } else { Value::Object(fields) }
}

/// Puts those fields back.
fn add(known: &mut Value, newer: &Value) {
    let (Value::Object(known), Value::Object(newer)) = (known, newer) else { return };
    for (name, value) in newer {
        match known.get_mut(name) {
            Some(known) => add(known, value),
            None => drop(known.insert(name.clone(), value.clone())),
        }
    }
}

fn is_name_of(name: &str, account: &BareJid) -> bool {
    BareJid::new(name).is_ok_and(|named| named == *account)
}

/// Recovers the records of a file that is not JSON as a whole: each that is valid by itself.
fn salvage(json: &[u8]) -> Raw {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in json.split_inclusive(|byte| *byte == b'\n') {
        // We indent the start of a record by two spaces, and its content by more.
        if line.starts_with(b"  ") && !matches!(line.get(2), Some(b' ' | b'}')) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([json.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| record(&json[*start..end])).flatten().collect()
}

/// A record with what follows it: a comma, or the end of the enclosing object.
fn record(text: &[u8]) -> Option<Raw> {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b",").unwrap_or(text);
    let alone = |end: &[u8]| serde_json::from_slice(&[b"{", text, end].concat()).ok();
    alone(b"}").or_else(|| alone(b""))
}
