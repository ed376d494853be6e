//! The rows of the cache, in sled: the only file that names it.
//!
//! Five trees, keyed `account\0rest`, so that an account's rows lie together (a JID has no NUL):
//!
//! | tree | rest | value |
//! |---|---|---|
//! | `roster` | nothing | [`Head`]: there is a roster, and its version |
//! | `roster` | JID | `RosterItem` |
//! | `people` | JID | `PersonRecord` |
//! | `seen` | JID | `Timestamp`: when they were last there |
//! | `caps` | hash `\0` ver | `CapsRecord` |
//! | `requests` | JID | `SubscriptionRequest` |
//!
//! A roster's head and items share a tree because a batch is atomic within one. Rewriting a value
//! costs disk space that sled never gives back; that a value is there already it sees for itself.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Bound;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jid::BareJid;
use prosed_session::{
    AvatarRecord, CapsKey, CapsRecord, Declared, ImageId, PersonRecord, PersonUpdate, ProfileRecord,
    RosterItem, RosterRecord, Snapshot, SubscriptionRequest, Timestamp, Write, bounds,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::{Batch, Db, IVec, Tree};

use super::opening::Progress;
use super::patience::Patience;
use crate::files;

/// The layout of the values; must go up with any change to the session's records.
const FORMAT: u8 = 2;
/// sled's own default is a gigabyte.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// People loaded for a session, whether or not there is a roster that says who still matters: as many as a roster may
/// have items, and the account itself.
const PEOPLE_MAX: usize = bounds::ROSTER_CONTACTS + 1;

/// Subscription requests loaded for a session: as many as it accepts, from strangers and from contacts.
const REQUESTS_MAX: usize = bounds::SUBSCRIPTION_REQUESTS + bounds::ROSTER_CONTACTS;

/// Why the rows can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    /// The disk is full, read-only or not ours: nothing is damaged.
    #[error(transparent)]
    Disk(io::Error),
    /// sled cannot make sense of what is on disk.
    #[error("{0}")]
    Damaged(String),
    /// An incremental change to a roster that does not exist.
    #[error("a change of a roster that is not in the cache")]
    NoRoster,
}

impl From<sled::Error> for RowsError {
    fn from(error: sled::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error {
            sled::Error::Io(error)
                if matches!(
                    error.kind(),
                    FileTooLarge | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
                ) =>
            {
                Self::Disk(error)
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// There is a roster.
#[derive(Serialize, Deserialize)]
struct Head {
    version: Option<String>,
    /// The sum of its items' [`checksum`]s: a damaged disk may silently lose a row, or bring an old one back. Such a
    /// roster counts as absent.
    sum: u64,
}

/// The start of a [`PersonRecord`]: enough to know their image.
#[derive(Deserialize)]
struct PersonHead {
    avatar: Declared<AvatarRecord>,
}

/// Key and value.
type Row = (IVec, IVec);

/// The rows of trees as read on opening, by account.
#[derive(Default)]
struct Found {
    roster: HashMap<Vec<u8>, Vec<Row>>,
    people: HashMap<Vec<u8>, Vec<Row>>,
}

/// The open cache.
pub(super) struct Rows {
    db: Db,
    roster: Tree,
    people: Tree,
    seen: Tree,
    caps: Tree,
    requests: Tree,
    /// For the first caller that loads them: each row is read once per start, however many there are.
    found: Mutex<Found>,
}

impl Rows {
    /// Opens the rows and reads each once: unreadable ones show now, and not in the middle of a session. Also returns
    /// the avatars that are referred to, which it meets on the way. May hang or panic on a damaged folder.
    pub(super) fn open(folder: &Path, progress: &Progress) -> Result<(Self, HashSet<ImageId>), RowsError> {
        let (db, [roster, people, seen, caps, requests]) = open_trees(folder)?;
        let rows = Self { db, roster, people, seen, caps, requests, found: Mutex::default() };
        // In parallel: with thousands of contacts, each is slow.
        let (roster, people) = std::thread::scope(|scope| {
            let people = scope.spawn(|| by_account(&rows.people, progress));
            let roster = by_account(&rows.roster, progress);
            (roster, people.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (roster, people) = (roster?, people?);
        [&rows.seen, &rows.caps, &rows.requests]
            .into_iter()
            .try_for_each(|tree| each(tree, progress).try_for_each(|row| row.map(drop)))?;
        let avatars = people.values().flatten().filter_map(|(_, value)| avatar(value)).collect();
        *rows.found.lock().unwrap_or_else(PoisonError::into_inner) = Found { roster, people };
        Ok((rows, avatars))
    }

    /// What is known about an account, except images and presence, which the caller fills in. Rows that are no longer
    /// needed are removed.
    pub(super) fn load(&self, account: &BareJid) -> Result<Snapshot, RowsError> {
        // In parallel: with thousands of contacts, each is slow.
        let (found_roster, found_people) = self.take_found(account);
        let (roster, people) = std::thread::scope(|scope| {
            let people = scope.spawn(|| self.load_people(account, found_people));
            let roster = self.load_roster(account, found_roster);
            (roster, people.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (roster, mut people) = (roster?, people?);
        let mut last_seen = Vec::new();
        sift(&self.seen, account, None, |rest, value| {
            match (BareJid::new(rest), decode::<Timestamp>(value)) {
                (Ok(jid), Some(at)) if last_seen.len() < PEOPLE_MAX => {
                    last_seen.push((jid, at));
                    true
                }
                _ => false,
            }
        })?;
        if let Some(roster) = &roster {
            for jid in take_strangers(&mut people, account, roster) {
                self.people.remove(key(account, jid.as_str()))?;
            }
            for jid in take_strangers(&mut last_seen, account, roster) {
                self.seen.remove(key(account, jid.as_str()))?;
            }
        }
        // As much as the session would keep: the rest is removed from disk, too.
        let (mut caps, mut caps_bytes) = (Vec::new(), 0);
        sift(&self.caps, account, None, |rest, value| {
            let (Some((hash, ver)), Some(record)) = (rest.split_once('\0'), decode::<CapsRecord>(value))
            else {
                return false;
            };
            let bytes = hash.len() + ver.len() + record.bytes();
            let keep = caps.len() < bounds::CAPS_KNOWN
                && record.bytes() <= bounds::CAPS_RECORD_BYTES
                && caps_bytes + bytes <= bounds::CAPS_BYTES;
            if keep {
                caps_bytes += bytes;
                caps.push((CapsKey { hash: hash.to_owned(), ver: ver.to_owned() }, record));
            }
            keep
        })?;
        let mut requests = Vec::new();
        sift(&self.requests, account, None, |_, value| match decode::<SubscriptionRequest>(value) {
            Some(request) if requests.len() < REQUESTS_MAX => {
                requests.push(request);
                true
            }
            _ => false,
        })?;
        Ok(Snapshot { roster, people, last_seen, caps, requests, ..Snapshot::default() })
    }

    /// What is stored of a person's profiles.
    pub(super) fn profile(
        &self,
        account: &BareJid,
        jid: &BareJid,
    ) -> Result<Option<ProfileRecord>, RowsError> {
        let person = self.people.get(key(account, jid.as_str()))?;
        Ok(person.and_then(|value| decode::<PersonRecord>(&value)).map(|person| person.profile))
    }

    /// What opening has read of an account, unless it was taken before or has changed since.
    fn take_found(&self, account: &BareJid) -> (Option<Vec<Row>>, Option<Vec<Row>>) {
        let found = &mut *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let account = account.as_str().as_bytes();
        (found.roster.remove(account), found.people.remove(account))
    }

    fn load_people(
        &self,
        account: &BareJid,
        found: Option<Vec<Row>>,
    ) -> Result<Vec<(BareJid, PersonRecord)>, RowsError> {
        let mut people = Vec::new();
        sift(&self.people, account, found, |rest, value| {
            let (Ok(jid), Some(person)) = (BareJid::new(rest), decode::<PersonRecord>(value)) else {
                return false;
            };
            let keep = people.len() < PEOPLE_MAX;
            if keep {
                people.push((jid, person));
            }
            keep
        })?;
        Ok(people)
    }

    fn load_roster(
        &self,
        account: &BareJid,
        found: Option<Vec<Row>>,
    ) -> Result<Option<RosterRecord>, RowsError> {
        let mut head = None;
        let mut sum = 0_u64;
        let mut items = Vec::new();
        for row in rows_of(&self.roster, account, found) {
            let (key, value) = row?;
            if rest(account, &key).is_some_and(str::is_empty) {
                head = decode::<Head>(&value);
            } else if let Some(item) = decode::<RosterItem>(&value) {
                sum = sum.wrapping_add(checksum(&key, &value));
                items.push(item);
            }
        }
        // A roster without one of its items would be shown as if it were complete, and its version would match the
        // server's: the item would never come back.
        let whole = head.filter(|head| head.sum == sum);
        if whole.is_none() && !items.is_empty() {
            tracing::warn!(%account, "a cached roster is damaged: taken for absent");
        }
        Ok(whole.map(|head| RosterRecord { version: head.version, items }))
    }

    /// Applies the writes that concern rows, not those of images and presence. Returns what it has changed.
    ///
    /// `sound`: the stored roster has everything from the session. If not, it keeps no version, so that the server
    /// sends it in full next time.
    pub(super) fn apply(&self, account: &BareJid, write: &Write, sound: bool) -> Result<Change, RowsError> {
        drop(self.take_found(account));
        let key = |rest: &str| key(account, rest);
        let mut batches = Vec::new();
        let batch = match write {
            Write::Roster { version, replace, items, removed } => {
                let version = version.clone().filter(|_| sound || *replace);
                (ROSTER, self.roster_batch(account, version, *replace, items, removed)?)
            }
            Write::Person { jid, person } => {
                let key = key(jid.as_str());
                // A former contact has no last-seen time.
                if person.is_none() {
                    batches.push((SEEN, one(key.clone(), None::<&Timestamp>)?));
                }
                let person = match person {
                    Some(update) => {
                        let stored = self.people.get(&key)?;
                        let stored = stored.and_then(|value| decode::<PersonRecord>(&value));
                        let mut person = stored.unwrap_or_default();
                        person.update(update);
                        Some(person)
                    }
                    None => None,
                };
                (PEOPLE, one(key, person.as_ref())?)
            }
            Write::LastSeen(times) => {
                let mut batch = Batch::default();
                for (jid, at) in times {
                    batch.insert(key(jid.as_str()), encode(at)?);
                }
                (SEEN, batch)
            }
            Write::Caps { key: caps, record } => {
                (CAPS, one(key(&format!("{}\0{}", caps.hash, caps.ver)), record.as_ref())?)
            }
            Write::SubscriptionRequest { jid, request } => {
                (REQUESTS, one(key(jid.as_str()), request.as_ref())?)
            }
            Write::Image { .. } | Write::ImageUnused { .. } | Write::OwnPresence(_) => {
                return Ok(Change::default());
            }
        };
        batches.push(batch);
        let change = Change(batches);
        change.make(self.trees())?;
        Ok(change)
    }

    fn roster_batch(
        &self,
        account: &BareJid,
        version: Option<String>,
        replace: bool,
        items: &[RosterItem],
        removed: &[BareJid],
    ) -> Result<Batch, RowsError> {
        let head_key = key(account, "");
        let mut found: HashMap<IVec, IVec> = HashMap::new();
        let mut sum = 0;
        if replace {
            for row in self.roster.scan_prefix(&head_key) {
                let (key, value) = row?;
                found.insert(key, value);
            }
        } else {
            let value = self.roster.get(&head_key)?.ok_or(RowsError::NoRoster)?;
            let head = decode::<Head>(&value).ok_or(RowsError::NoRoster)?;
            for jid in items.iter().map(|item| &item.jid).chain(removed) {
                let key = key(account, jid.as_str());
                if let Some(value) = self.roster.get(&key)? {
                    found.insert(key.into(), value);
                }
            }
            sum = found.iter().fold(head.sum, |sum, (key, value)| sum.wrapping_sub(checksum(key, value)));
            found.insert(head_key.as_slice().into(), value);
        }
        let mut news = HashMap::with_capacity(items.len() + 1);
        for item in items {
            news.insert(key(account, item.jid.as_str()), encode(item)?);
        }
        sum = news.iter().fold(sum, |sum, (key, value)| sum.wrapping_add(checksum(key, value)));
        news.insert(head_key, encode(&Head { version, sum })?);

        let mut batch = Batch::default();
        for key in found.keys().filter(|key| !news.contains_key(key.as_ref())) {
            batch.remove(key);
        }
        for (key, value) in news {
            batch.insert(key, value);
        }
        Ok(batch)
    }

    /// The avatars that are referred to.
    pub(super) fn avatars(&self) -> Result<HashSet<ImageId>, RowsError> {
        let mut ids = HashSet::new();
        for row in &self.people {
            ids.extend(avatar(&row?.1));
        }
        Ok(ids)
    }

    /// Whether an account has any row.
    pub(super) fn has(&self, account: &BareJid) -> Result<bool, RowsError> {
        let mut firsts =
            self.trees().into_iter().filter_map(|tree| tree.scan_prefix(key(account, "")).next());
        Ok(firsts.next().transpose()?.is_some())
    }

    fn trees(&self) -> [&Tree; 5] {
        [&self.roster, &self.people, &self.seen, &self.caps, &self.requests]
    }

    /// On disk when this returns.
    pub(super) fn flush(&self) -> Result<(), RowsError> {
        self.drop_found();
        self.db.flush()?;
        Ok(())
    }

    /// A session that has not loaded its rows by now reads them itself.
    pub(super) fn drop_found(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Found::default();
    }

    /// Sees each write from now on.
    #[cfg(test)]
    pub(super) fn watch(&self) -> [sled::Subscriber; 3] {
        [&self.roster, &self.people, &self.caps].map(|tree| tree.watch_prefix([]))
    }

    /// A value, as it is stored.
    #[cfg(test)]
    pub(super) fn value(&self, account: &BareJid, tree: &str, of: &str) -> Vec<u8> {
        self.db.open_tree(tree).unwrap().get(key(account, of)).unwrap().unwrap().to_vec()
    }

    /// Rewrites or removes a value without anybody's knowledge.
    #[cfg(test)]
    pub(super) fn damage(&self, account: &BareJid, tree: &str, of: &str, value: Option<Vec<u8>>) {
        let tree = self.db.open_tree(tree).unwrap();
        match value {
            Some(value) => drop(tree.insert(key(account, of), value).unwrap()),
            None => drop(tree.remove(key(account, of)).unwrap()),
        }
    }
}

/// The indices of the trees in the table above.
const ROSTER: usize = 0;
const PEOPLE: usize = 1;
const SEEN: usize = 2;
const CAPS: usize = 3;
const REQUESTS: usize = 4;

/// What a write has changed, by tree. A row added to one tree may remove one from another.
#[derive(Default)]
pub(super) struct Change(Vec<(usize, Batch)>);

impl Change {
    fn make(&self, trees: [&Tree; 5]) -> Result<(), RowsError> {
        self.0.iter().try_for_each(|(tree, batch)| Ok(trees[*tree].apply_batch(batch.clone())?))
    }
}

/// A copy of all rows except an account's. Nothing else removes their content from sled's files: a removed row stays
/// there until its space is reused.
///
/// It is made in pieces while the rows change. So each [`Change`] is also made in the copy; what has not been copied
/// yet will be copied in its later state.
pub(super) struct Copy {
    db: Db,
    trees: [Tree; 5],
    /// The key prefix of the rows left out.
    without: Vec<u8>,
    /// The tree being copied, and its last key copied.
    at: (usize, Option<IVec>),
    /// The avatars referred to by the rows left out, and by the others.
    pub(super) avatars: [HashSet<ImageId>; 2],
}

impl Copy {
    /// An empty copy, in a new folder.
    pub(super) fn begin(account: &BareJid, folder: &Path) -> Result<Self, RowsError> {
        let _patience = Patience::begin();
        let (db, trees) = open_trees(folder)?;
        Ok(Self { db, trees, without: key(account, ""), at: (0, None), avatars: Default::default() })
    }

    /// Copies up to this many more rows. False: there are no more.
    pub(super) fn go_on(&mut self, rows: &Rows, count: usize) -> Result<bool, RowsError> {
        let (tree, last) = &mut self.at;
        let Some(&from) = rows.trees().get(*tree) else { return Ok(false) };
        let is_people = *tree == PEOPLE;
        let begin = last.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut copied = Batch::default();
        for row in from.range::<IVec, _>((begin, Bound::Unbounded)).take(count) {
            let (key, value) = row?;
            let is_theirs = key.starts_with(&self.without);
            if is_people {
                self.avatars[usize::from(!is_theirs)].extend(avatar(&value));
            }
            if !is_theirs {
                copied.insert(&key, value);
            }
            *last = Some(key);
        }
        self.trees[*tree].apply_batch(copied)?;
        if last.is_none() {
            *tree += 1;
        }
        Ok(true)
    }

    /// Rows have changed.
    pub(super) fn follow(&mut self, change: &Change, write: &Write) -> Result<(), RowsError> {
        let _patience = Patience::begin();
        if let Write::Person {
            person: Some(PersonUpdate { avatar: Declared::Present(avatar), .. }), ..
        } = write
        {
            self.avatars[1].insert(avatar.id);
        }
        change.make(self.trees.each_ref())
    }

    /// On disk and closed when this returns.
    pub(super) fn finish(self, folder: &Path) -> Result<(), RowsError> {
        let _patience = Patience::begin();
        self.db.flush()?;
        drop(self);
        files::sync_folder(folder).map_err(RowsError::Disk)
    }
}

/// Opens the trees, in the order of the table above.
fn open_trees(folder: &Path) -> Result<(Db, [Tree; 5]), RowsError> {
    files::private_subfolder(folder).map_err(RowsError::Disk)?;
    let db = sled::Config::default()
        .path(folder)
        .cache_capacity(CACHE_BYTES)
        // It would cost two wake-ups a second, permanently; the store thread knows when to flush.
        .flush_every_ms(None)
        .open()?;
    let tree = |name: &str| db.open_tree(name);
    let trees = [tree("roster")?, tree("people")?, tree("seen")?, tree("caps")?, tree("requests")?];
    Ok((db, trees))
}

fn key(account: &BareJid, rest: &str) -> Vec<u8> {
    [account.as_str().as_bytes(), b"\0", rest.as_bytes()].concat()
}

/// The part of a key after the account, if it is that account's.
fn rest<'a>(account: &BareJid, key: &'a [u8]) -> Option<&'a str> {
    let rest = key.strip_prefix(account.as_str().as_bytes())?.strip_prefix(b"\0")?;
    std::str::from_utf8(rest).ok()
}

/// FNV-1a, 64 bits: against accidents, and identical in every build.
fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    key.iter().chain(value).fold(0xcbf2_9ce4_8422_2325, step)
}

/// All rows of a tree, each counted as progress. A damaged tree may contain a loop: keys then repeat.
fn each<'a>(tree: &Tree, progress: &'a Progress) -> impl Iterator<Item = Result<Row, RowsError>> + use<'a> {
    let mut last: Option<IVec> = None;
    tree.iter().map(move |row| {
        let (key, value) = row?;
        if last.replace(key.clone()).is_some_and(|last| last >= key) {
            return Err(RowsError::Damaged("its rows are in no order".to_owned()));
        }
        progress.made();
        Ok((key, value))
    })
}

/// All rows of a tree, each account's in key order.
fn by_account(tree: &Tree, progress: &Progress) -> Result<HashMap<Vec<u8>, Vec<Row>>, RowsError> {
    let mut found: HashMap<Vec<u8>, Vec<Row>> = HashMap::new();
    for row in each(tree, progress) {
        let (key, value) = row?;
        let account = key.split(|byte| *byte == 0).next().unwrap_or_default();
        match found.get_mut(account) {
            Some(rows) => rows.push((key, value)),
            None => drop(found.insert(account.to_vec(), vec![(key, value)])),
        }
    }
    Ok(found)
}

/// An account's rows of a tree: those read on opening, or the current ones.
fn rows_of(
    tree: &Tree,
    account: &BareJid,
    found: Option<Vec<Row>>,
) -> Box<dyn Iterator<Item = sled::Result<Row>>> {
    match found {
        Some(rows) => Box::new(rows.into_iter().map(Ok)),
        None => Box::new(tree.scan_prefix(key(account, ""))),
    }
}

/// The avatar that a [`PersonRecord`] names.
fn avatar(person: &[u8]) -> Option<ImageId> {
    let (_, record) = person.split_first().filter(|(format, _)| **format == FORMAT)?;
    let (PersonHead { avatar }, _) = postcard::take_from_bytes(record).ok()?;
    avatar.present().map(|avatar| avatar.id)
}

/// Removes everybody who is neither in the roster nor ourselves. Both are sorted by key.
fn take_strangers<T>(rows: &mut Vec<(BareJid, T)>, account: &BareJid, roster: &RosterRecord) -> Vec<BareJid> {
    let mut items = roster.items.iter().map(|item| item.jid.as_str()).peekable();
    let mut is_stranger = |jid: &BareJid| {
        while items.next_if(|item| *item < jid.as_str()).is_some() {}
        items.peek() != Some(&jid.as_str()) && jid != account
    };
    rows.extract_if(.., |(jid, _)| is_stranger(jid)).map(|(jid, _)| jid).collect()
}

/// Passes each of an account's rows to `keep`, and removes those that it rejects.
fn sift(
    tree: &Tree,
    account: &BareJid,
    found: Option<Vec<Row>>,
    mut keep: impl FnMut(&str, &IVec) -> bool,
) -> Result<(), RowsError> {
    let mut unwanted = Batch::default();
    let mut any = false;
    for row in rows_of(tree, account, found) {
        let (key, value) = row?;
        if !rest(account, &key).is_some_and(|rest| keep(rest, &value)) {
            unwanted.remove(key);
            any = true;
        }
    }
    if any {
        tree.apply_batch(unwanted)?;
    }
    Ok(())
}

fn one(key: Vec<u8>, record: Option<&impl Serialize>) -> Result<Batch, RowsError> {
    let mut batch = Batch::default();
    match record {
        Some(record) => batch.insert(key, encode(record)?),
        None => batch.remove(key),
    }
    Ok(batch)
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, RowsError> {
    // Only a record that serde cannot describe without names fails here; none of ours does.
    postcard::to_extend(record, vec![FORMAT]).map_err(|error| RowsError::Damaged(error.to_string()))
}

/// A value in another format, or a damaged one, counts as absent.
fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    let decoded = match value.split_first() {
        Some((&FORMAT, record)) => match postcard::take_from_bytes(record) {
            Ok((record, [])) => Some(record),
            _ => None,
        },
        _ => None,
    };
    if decoded.is_none() {
        tracing::debug!(
            record = std::any::type_name::<T>(),
            "a cached record can't be read: taken for absent"
        );
    }
    decoded
}
