use std::collections::BTreeMap;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use prosed_session::{
    Availability, AvatarRecord, CapsKey, CapsRecord, Change, Declared, ImageInfo, OwnPresence, PersonRecord,
    PersonUpdate, Profile, ProfileRecord, ProfileUpdate, RosterItem, RosterRecord, Subscription,
    SubscriptionRequest, Timestamp, bounds,
};
use sha1::{Digest as _, Sha1};

use super::*;

#[path = "thumbnail_tests.rs"]
mod thumbnails;

fn jid(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn me() -> BareJid {
    jid("me@example.org")
}

fn item(text: &str) -> RosterItem {
    RosterItem {
        jid: jid(text),
        resource: None,
        name: Some(format!("Name of {text}")),
        subscription: Subscription::Both,
        ask: false,
        approved: true,
        groups: BTreeSet::from(["Friends".to_owned()]).into(),
    }
}

fn roster(version: &str, items: &[&str]) -> Write {
    let items = items.iter().map(|text| item(text)).collect();
    Write::Roster { version: Some(version.to_owned()), replace: true, items, removed: vec![] }
}

fn push(version: &str, items: &[&str], removed: &[&str]) -> Write {
    let items = items.iter().map(|text| item(text)).collect();
    let removed = removed.iter().map(|text| jid(text)).collect();
    Write::Roster { version: Some(version.to_owned()), replace: false, items, removed }
}

fn person(picture: Option<&[u8]>) -> PersonRecord {
    let image = ImageInfo { kind: ImageType::Png, bytes: 7, width: 1, height: 1 };
    let avatar =
        |data| Some(AvatarRecord { id: id(data), image: Some(image), legacy: false, spelling: None });
    let profile = Profile { full_name: Some("Some Body".to_owned()), ..Profile::default() };
    PersonRecord {
        avatar: Declared::of(picture.and_then(avatar)),
        profile: ProfileRecord { vcard4: Some(profile.into()), ..ProfileRecord::default() },
        asked_at: Some(prosed_session::Timestamp(17)),
    }
}

fn about(text: &str, picture: Option<&[u8]>) -> Write {
    let PersonRecord { avatar, profile, asked_at } = person(picture);
    let vcard4 = profile.vcard4.map_or(Change::Remove, Change::Set);
    let profile = ProfileUpdate { vcard4, ..ProfileUpdate::default() };
    Write::Person { jid: jid(text), person: Some(PersonUpdate { avatar, profile, asked_at }) }
}

fn caps(ver: &str) -> (CapsKey, CapsRecord) {
    let identity = Some(("client".to_owned(), "pc".to_owned(), None));
    let key = CapsKey { hash: "sha-1".to_owned(), ver: ver.to_owned() };
    (key, CapsRecord { identity, features: BTreeSet::from(["urn:xmpp:ping".into()]) })
}

fn features(ver: &str) -> Write {
    let (key, record) = caps(ver);
    Write::Caps { key, record: Some(record) }
}

fn id(data: &[u8]) -> ImageId {
    ImageId(Sha1::digest(data).into())
}

fn image(data: &[u8]) -> Write {
    Write::Image { id: id(data), kind: ImageType::Png, data: data.to_vec() }
}

/// A cache in its own folder, next to the data folder.
struct Bench {
    home: tempfile::TempDir,
    registry: Registry,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(&home.path().join("data")).unwrap();
        registry.update(&me(), |entry| entry.remember = true).unwrap();
        let store = Store::open(&home.path().join("cache"), registry.clone()).unwrap();
        Self { home, registry, store }
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// What becomes of each write, before it is flushed.
    async fn write_behind(&self, account: &BareJid, writes: Vec<Write>) -> Vec<bool> {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let batch = writes.into_iter().zip(1..).map(|(write, n)| (write, Ticket(n))).collect();
        self.store.write(account, batch, &answers, &Share::default()).await;
        drop(answers);
        let mut stored = BTreeMap::new();
        while let Some(answer) = answered.recv().await {
            let StoreAnswer::Saved(all) = answer else { panic!("{answer:?}") };
            for (ticket, result) in all {
                assert_eq!(stored.insert(ticket, result.is_ok()), None, "an answer comes once");
            }
        }
        stored.into_values().collect()
    }

    /// Writes all of this to disk; returns whether each is there.
    async fn write(&self, account: &BareJid, writes: Vec<Write>) -> Vec<bool> {
        let stored = self.write_behind(account, writes).await;
        let flushed = self.store.flush().await;
        stored.into_iter().map(|stored| stored && flushed).collect()
    }

    async fn read(&self, account: &BareJid, of: &str) -> Result<Option<ProfileRecord>, StoreFailed> {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let query = Query::Profile(jid(of));
        self.store.read(account, query, Ticket(7), &answers, &Share::default()).await;
        match answered.recv().await {
            Some(StoreAnswer::Found(Ticket(7), result)) => {
                result.map(|record| record.map(|Record::Profile(profile)| *profile))
            }
            other => panic!("{other:?}"),
        }
    }

    async fn write_all(&self, account: &BareJid, writes: Vec<Write>) {
        assert!(self.write(account, writes).await.into_iter().all(|stored| stored));
    }

    async fn reopen(self) -> Self {
        self.store.shutdown().await;
        let store = Store::open(&self.cache(), self.registry.clone()).unwrap();
        Self { store, ..self }
    }

    /// What another daemon would find on disk if ours were killed now, without a flush.
    fn after_kill(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        copy(&self.cache(), &home.path().join("cache"));
        let registry = Registry::open(&home.path().join("data")).unwrap();
        let store = Store::open(&home.path().join("cache"), registry.clone()).unwrap();
        Self { home, registry, store }
    }

    async fn on_thread<T: Send + 'static>(&self, work: impl FnOnce(&mut Keeper) -> T + Send + 'static) -> T {
        let (done, result) = oneshot::channel();
        let work = move |keeper: &mut Keeper| drop(done.send(work(keeper)));
        assert!(self.store.jobs.send(Job::Test(Box::new(work))).await.is_ok());
        result.await.unwrap()
    }

    /// Blocks the thread as a hanging disk would, until the returned value is dropped.
    async fn stop_thread(&self) -> std::sync::mpsc::Sender<()> {
        let (go_on, until) = std::sync::mpsc::channel::<()>();
        let stop = Job::Test(Box::new(move |_| {
            let _ = until.recv();
        }));
        assert!(self.store.jobs.send(stop).await.is_ok());
        go_on
    }

    /// Ends the thread as a full disk or a bug in sled would.
    async fn break_rows(&self) {
        self.on_thread(|keeper| {
            let failed: Result<(), _> = keeper.on_rows(|_| Err(rows::RowsError::Damaged("test".into())));
            failed.unwrap_err();
        })
        .await;
    }

    /// As if it had failed a while ago.
    async fn pass_time(&self) {
        self.on_thread(|keeper| keeper.failed_at = None).await;
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.roster.iter().flat_map(|roster| &roster.items).map(|item| item.jid.as_str()).collect()
}

fn version(snapshot: &Snapshot) -> Option<&str> {
    snapshot.roster.as_ref()?.version.as_deref()
}

#[tokio::test]
async fn when_contacts_were_last_seen_goes_with_them() {
    let bench = Bench::new();
    let seen = |all: &[(&str, i64)]| {
        Write::LastSeen(all.iter().map(|(text, at)| (jid(text), Timestamp(*at))).collect())
    };
    bench.write_all(&me(), vec![roster("v1", &["a@b.example", "c@d.example", "e@f.example"])]).await;
    bench
        .write_all(&me(), vec![seen(&[("a@b.example", 1), ("c@d.example", 2), ("no@contact.example", 3)])])
        .await;
    bench.write_all(&me(), vec![seen(&[("a@b.example", 4), ("e@f.example", 5)])]).await;
    let gone = Write::Person { jid: jid("e@f.example"), person: None };
    bench.write_all(&me(), vec![gone]).await;
    let bench = bench.reopen().await;
    let expected = vec![(jid("a@b.example"), Timestamp(4)), (jid("c@d.example"), Timestamp(2))];
    assert_eq!(bench.store.load(&me()).await.last_seen, expected);
    assert_eq!(bench.store.load(&jid("you@example.org")).await.last_seen, []);
    bench.store.forget(&me()).await.unwrap();
    assert_eq!(bench.store.load(&me()).await.last_seen, []);
}

#[tokio::test]
async fn what_a_ticket_confirmed_outlives_a_kill() {
    let bench = Bench::new();
    assert_eq!(bench.store.load(&me()).await, Snapshot::default());
    let presence = OwnPresence { availability: Availability::Dnd, status: None, priority: Some(1) };
    bench
        .write_all(
            &me(),
            vec![
                roster("1", &["a@example.org", "b@example.org"]),
                image(b"picture"),
                about("a@example.org", Some(b"picture")),
                about("me@example.org", None),
                features("v"),
                Write::OwnPresence(presence.clone()),
            ],
        )
        .await;
    let expected = Snapshot {
        last_seen: vec![],
        roster: Some(RosterRecord {
            version: Some("1".into()),
            items: vec![item("a@example.org"), item("b@example.org")],
        }),
        people: vec![(jid("a@example.org"), person(Some(b"picture"))), (me(), person(None))],
        caps: vec![caps("v")],
        requests: vec![],
        images: HashSet::from([id(b"picture")]),
        presence,
    };
    assert_eq!(bench.store.load(&me()).await, expected);
    let killed = bench.after_kill();
    // The registry is a separate file, in a folder that was not copied.
    let presence = OwnPresence::default();
    assert_eq!(killed.store.load(&me()).await, Snapshot { presence, ..expected.clone() });
    assert_eq!(killed.store.image(id(b"picture")).await, Some((ImageType::Png, b"picture".to_vec())));
    let bench = bench.reopen().await;
    assert_eq!(bench.store.load(&me()).await, expected);
}

#[tokio::test]
async fn profiles_are_read_and_changed_one_by_one() {
    let bench = Bench::new();
    let named = |name: &str| Arc::new(Profile { full_name: Some(name.to_owned()), ..Profile::default() });
    let change = |vcard4, temp| {
        let profile = ProfileUpdate { vcard4, temp, prose: Change::Keep };
        Write::Person {
            jid: jid("a@example.org"),
            person: Some(PersonUpdate { profile, ..PersonUpdate::default() }),
        }
    };
    assert_eq!(bench.read(&me(), "a@example.org").await, Ok(None));
    let written = vec![change(Change::Set(named("one")), Change::Set(named("two")))];
    assert_eq!(bench.write_behind(&me(), written).await, [true]);
    let vcard4 = Some(named("one"));
    let both = ProfileRecord { vcard4, temp: Some(named("two")), prose: None };
    assert_eq!(bench.read(&me(), "a@example.org").await, Ok(Some(both.clone())), "without a flush");
    assert_eq!(bench.read(&jid("you@example.org"), "a@example.org").await, Ok(None), "another account");
    bench.write_all(&me(), vec![change(Change::Keep, Change::Keep)]).await;
    let bench = bench.reopen().await;
    assert_eq!(bench.read(&me(), "a@example.org").await, Ok(Some(both)));
    bench.write_all(&me(), vec![change(Change::Remove, Change::Keep)]).await;
    let one = ProfileRecord { temp: Some(named("two")), ..ProfileRecord::default() };
    assert_eq!(bench.read(&me(), "a@example.org").await, Ok(Some(one)));
    // Damage counts as absence, and failure does not.
    let damage = |rows: &rows::Rows| {
        rows.damage(&me(), "people", "a@example.org", Some(b"nonsense".to_vec()));
        Ok(())
    };
    bench.on_thread(move |keeper| keeper.on_rows(damage).unwrap()).await;
    assert_eq!(bench.read(&me(), "a@example.org").await, Ok(None));
    bench.break_rows().await;
    assert_eq!(bench.read(&me(), "a@example.org").await, Err(StoreFailed));
    bench.store.shutdown().await;
    assert_eq!(bench.read(&me(), "a@example.org").await, Err(StoreFailed));
}

#[tokio::test]
async fn our_own_presence_is_on_disk_once_confirmed_and_rows_are_written_behind() {
    let bench = Bench::new();
    let presence = OwnPresence { availability: Availability::Dnd, status: None, priority: Some(1) };
    let writes = vec![roster("1", &["a@example.org"]), Write::OwnPresence(presence)];
    assert_eq!(bench.write_behind(&me(), writes).await, [true, true]);
    let accounts = fs::read_to_string(bench.home.path().join("data/accounts.json")).unwrap();
    assert!(accounts.to_lowercase().contains("dnd"), "{accounts}");
    assert_eq!(bench.after_kill().store.load(&me()).await.roster, None, "there was no need to hurry");
    while bench.on_thread(|keeper| keeper.dirty).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(version(&bench.after_kill().store.load(&me()).await), Some("1"));
}

#[tokio::test]
async fn a_push_changes_what_it_names_and_a_whole_roster_everything() {
    let bench = Bench::new();
    bench.write_all(&me(), vec![roster("1", &["a@example.org", "b@example.org"])]).await;
    bench
        .write_all(
            &me(),
            vec![push(
                "2",
                &["c@example.org", "c@example.org", "b@example.org"],
                &["a@example.org", "x@example.org", "a@example.org"],
            )],
        )
        .await;
    let bench = bench.reopen().await;
    let snapshot = bench.store.load(&me()).await;
    assert_eq!((version(&snapshot), names(&snapshot)), (Some("2"), vec!["b@example.org", "c@example.org"]));
    bench.write_all(&me(), vec![roster("3", &["c@example.org", "d@example.org"])]).await;
    let snapshot = bench.reopen().await.store.load(&me()).await;
    assert_eq!((version(&snapshot), names(&snapshot)), (Some("3"), vec!["c@example.org", "d@example.org"]));
}

#[tokio::test]
async fn what_is_there_already_costs_nothing() {
    let bench = Bench::new();
    let all = || {
        vec![
            roster("1", &["a@example.org"]),
            push("1", &["a@example.org"], &[]),
            about("a@example.org", None),
            features("v"),
            image(b"picture"),
        ]
    };
    bench.write_all(&me(), all()).await;
    let shelf = bench.cache().join("images").join(&id(b"picture").to_string()[..2]);
    let file = || fs::read_dir(&shelf).unwrap().next().unwrap().unwrap().metadata().unwrap().ino();
    let before = file();
    let watches = bench.on_thread(|keeper| keeper.rows.as_ref().unwrap().watch()).await;
    bench.write_all(&me(), all()).await;
    assert_eq!(file(), before);
    for mut watch in watches {
        assert!(watch.next_timeout(Duration::from_millis(50)).is_err(), "something was written");
    }
}

#[tokio::test]
async fn a_damaged_value_is_a_miss() {
    let bench = Bench::new();
    let all = [
        roster("1", &["a@example.org", "b@example.org"]),
        about("a@example.org", None),
        features("v"),
        features("w"),
        features("x"),
        features("y"),
    ];
    bench.write_all(&me(), all.to_vec()).await;
    let damage = |tree: &'static str, of: &'static str, how: fn(&mut Vec<u8>)| {
        bench.on_thread(move |keeper| {
            let rows = keeper.rows.as_ref().unwrap();
            let mut value = rows.value(&me(), tree, of);
            how(&mut value);
            rows.damage(&me(), tree, of, Some(value));
        })
    };
    // As by a bad disk, by another version, and by a write that was truncated or is too long.
    damage("people", "a@example.org", |value| value[1..].fill(0xff)).await;
    damage("caps", "sha-1\0v", |value| value[0] += 1).await;
    damage("caps", "sha-1\0x", |value| value.truncate(value.len() - 1)).await;
    damage("caps", "sha-1\0y", |value| value.push(0)).await;
    let snapshot = bench.store.load(&me()).await;
    assert_eq!((snapshot.people, snapshot.caps), (vec![], vec![caps("w")]));
    assert_eq!(version(&Snapshot { roster: snapshot.roster, ..Snapshot::default() }), Some("1"));

    damage("roster", "a@example.org", Vec::clear).await;
    assert_eq!(bench.store.load(&me()).await.roster, None, "or a part would be shown as the whole");

    // Silently lost, or outdated but well-formed.
    let old =
        bench.on_thread(|keeper| keeper.rows.as_ref().unwrap().value(&me(), "roster", "b@example.org")).await;
    let other = RosterItem { name: Some("New".to_owned()), ..item("b@example.org") };
    let rename =
        Write::Roster { version: Some("2".into()), replace: false, items: vec![other], removed: vec![] };
    for lost in [None, Some(old)] {
        bench.write_all(&me(), vec![roster("1", &["a@example.org", "b@example.org"]), rename.clone()]).await;
        assert_eq!(version(&bench.store.load(&me()).await), Some("2"));
        bench
            .on_thread(|keeper| keeper.rows.as_ref().unwrap().damage(&me(), "roster", "b@example.org", lost))
            .await;
        assert_eq!(bench.store.load(&me()).await.roster, None);
        // A push does not repair it.
        let late = push("3", &["c@example.org"], &[]);
        bench.write_all(&me(), vec![late]).await;
        assert_eq!(bench.store.load(&me()).await.roster, None);
    }

    bench.write_all(&me(), vec![roster("1", &["a@example.org"])]).await;
    damage("roster", "", Vec::clear).await;
    assert_eq!(bench.store.load(&me()).await.roster, None);
    bench.write_all(&me(), vec![roster("1", &["a@example.org"])]).await;
    assert_eq!(names(&bench.store.load(&me()).await), ["a@example.org"]);
}

#[tokio::test]
async fn a_damaged_folder_is_set_aside_in_time() {
    for damage in [&b"garbage"[..], b""] {
        let bench = Bench::new();
        let many = (0..2_000).map(|n| format!("c{n}@example.org")).collect::<Vec<_>>();
        bench.write_all(&me(), vec![roster("1", &many.iter().map(String::as_str).collect::<Vec<_>>())]).await;
        bench.store.shutdown().await;
        let rows = bench.cache().join("rows");
        for name in ["conf", "db"] {
            let path = rows.join(name);
            let mut content = fs::read(&path).unwrap();
            let middle = content.len() / 2;
            content.truncate(middle);
            content.extend(damage.repeat(1_000));
            fs::write(&path, content).unwrap();
        }
        let begun = Instant::now();
        let store = Store::open(&bench.cache(), bench.registry.clone()).unwrap();
        assert!(begun.elapsed() < opening::DEADLINE * 2);
        assert_eq!(store.load(&me()).await.roster, None);
        let aside = fs::read_dir(bench.cache()).unwrap().flatten();
        let aside = aside.filter(|entry| entry.file_name().to_string_lossy().starts_with("rows-damaged-"));
        assert_eq!(aside.count(), 1);
    }
}

#[tokio::test]
async fn a_cache_that_fails_while_it_runs_comes_back() {
    let bench = Bench::new();
    bench.store.load(&me()).await;
    bench.write_all(&me(), vec![roster("1", &["a@example.org"])]).await;
    bench.break_rows().await;
    bench.pass_time().await;
    bench.write_all(&me(), vec![about("a@example.org", None)]).await;
    let snapshot = bench.store.load(&me()).await;
    assert_eq!((version(&snapshot), snapshot.people.len()), (Some("1"), 1));
    // A panic is a failure like any other, and the thread survives.
    let panicked = bench.on_thread(|keeper| keeper.on_rows(|_| -> Result<(), _> { panic!("test") }).is_err());
    assert!(panicked.await);
    assert_eq!(bench.write(&me(), vec![about("a@example.org", None)]).await, [false], "too early");
    bench.pass_time().await;
    bench.write_all(&me(), vec![about("a@example.org", None)]).await;
}

#[tokio::test]
async fn after_a_lost_write_a_roster_has_no_version() {
    let bench = Bench::new();
    bench.store.load(&me()).await;
    bench.write_all(&me(), vec![roster("1", &["a@example.org"])]).await;
    bench.break_rows().await;
    assert_eq!(bench.write(&me(), vec![push("2", &["b@example.org"], &[])]).await, [false]);
    bench.pass_time().await;
    // The push with «b» was lost. The next one arrives, and must not pass for the whole roster.
    bench.write_all(&me(), vec![push("3", &["c@example.org"], &[])]).await;
    let snapshot = bench.store.load(&me()).await;
    assert_eq!((version(&snapshot), names(&snapshot)), (None, vec!["a@example.org", "c@example.org"]));
    bench.write_all(&me(), vec![roster("3", &["a@example.org", "b@example.org", "c@example.org"])]).await;
    bench.write_all(&me(), vec![push("4", &[], &["a@example.org"])]).await;
    // No loss is known, but what is not flushed may be lost.
    bench.break_rows().await;
    bench.pass_time().await;
    bench.write_all(&me(), vec![push("6", &["f@example.org"], &[])]).await;
    assert_eq!(version(&bench.store.load(&me()).await), None);
    // A new session knows what is stored, and continues from there.
    bench.write_all(&me(), vec![roster("7", &["a@example.org"])]).await;
    let bench = bench.reopen().await;
    assert_eq!(version(&bench.store.load(&me()).await), Some("7"));
    bench.write_all(&me(), vec![push("8", &["b@example.org"], &[])]).await;
    assert_eq!(version(&bench.store.load(&me()).await), Some("8"));
}

#[tokio::test]
async fn a_push_onto_no_roster_makes_none() {
    let bench = Bench::new();
    assert_eq!(bench.write(&me(), vec![push("2", &["a@example.org"], &[])]).await, [false]);
    assert_eq!(bench.store.load(&me()).await.roster, None);
    bench.write_all(&me(), vec![roster("2", &[])]).await;
    assert_eq!(version(&bench.store.load(&me()).await), Some("2"));
}

/// The names of the existing image files.
fn image_files(bench: &Bench) -> usize {
    let shelves = fs::read_dir(bench.cache().join("images")).unwrap().flatten();
    shelves.map(|shelf| fs::read_dir(shelf.path()).unwrap().count()).sum()
}

#[tokio::test]
async fn pictures_that_are_replaced_all_the_time_do_not_pile_up() {
    let bench = Bench::new();
    let other = jid("you@example.org");
    let all = keeper::UNUSED * 3;
    for number in 0..all {
        let data = number.to_be_bytes();
        let mut writes = vec![image(&data), about("a@example.org", Some(&data))];
        if let Some(before) = number.checked_sub(1) {
            writes.push(Write::ImageUnused { id: id(&before.to_be_bytes()) });
        }
        bench.write_all(&me(), writes).await;
        if number == 7 {
            // Another account uses it, too.
            bench.write_all(&other, vec![about("b@example.org", Some(&data))]).await;
        }
        if number == 20 {
            // Used again, and so is their last one.
            let first = 0_usize.to_be_bytes();
            bench.write_all(&me(), vec![image(&first), about("c@example.org", Some(&first))]).await;
        }
        assert!(image_files(&bench) <= keeper::UNUSED + 3, "{number}");
    }
    for wanted in [0, 7, all - 1] {
        assert!(bench.store.image(id(&wanted.to_be_bytes())).await.is_some(), "{wanted}");
    }
    // What was not checked yet is removed at the next start.
    assert_eq!(image_files(&bench.reopen().await), 3);
}

/// The total size of the existing image files.
fn image_bytes(bench: &Bench) -> u64 {
    let shelves = fs::read_dir(bench.cache().join("images")).unwrap().flatten();
    let files = shelves.flat_map(|shelf| fs::read_dir(shelf.path()).unwrap().flatten());
    files.map(|file| file.metadata().unwrap().len()).sum()
}

/// Of the maximum size.
fn large(number: u8) -> Vec<u8> {
    vec![number; 1024 * 1024]
}

#[tokio::test]
async fn large_pictures_that_are_replaced_take_a_few_megabytes() {
    let bench = Bench::new();
    for number in 0..40 {
        let mut writes = vec![image(&large(number)), about("a@example.org", Some(&large(number)))];
        if let Some(before) = number.checked_sub(1) {
            writes.push(Write::ImageUnused { id: id(&large(before)) });
        }
        bench.write_all(&me(), writes).await;
        let most = keeper::UNUSED_BYTES + 2 * 1024 * 1024;
        assert!(image_bytes(&bench) <= most, "{number}: {} bytes", image_bytes(&bench));
    }
    assert!(bench.store.image(id(&large(39))).await.is_some());
}

#[tokio::test]
async fn all_pictures_together_are_bounded() {
    let bench = Bench::new();
    let most = 3 * 1024 * 1024;
    bench.on_thread(move |keeper| keeper.images.most_bytes = most).await;
    for number in 0..3 {
        let contact = format!("{number}@example.org");
        bench.write_all(&me(), vec![image(&large(number)), about(&contact, Some(&large(number)))]).await;
    }
    assert_eq!(bench.write(&me(), vec![image(&large(3))]).await, [false]);
    assert_eq!(image_bytes(&bench), most);
    // An existing one costs nothing, and unused ones give way.
    assert_eq!(bench.write(&me(), vec![image(&large(2))]).await, [true]);
    let writes = vec![about("0@example.org", None), Write::ImageUnused { id: id(&large(0)) }];
    bench.write_all(&me(), writes).await;
    assert_eq!(bench.write(&me(), vec![image(&large(3))]).await, [true]);
    assert_eq!(image_bytes(&bench), most);
}

#[tokio::test]
async fn what_opening_has_read_is_not_shown_where_it_has_changed_since() {
    let bench = Bench::new();
    bench.write_all(&me(), vec![about("me@example.org", Some(b"old"))]).await;
    let bench = bench.reopen().await;
    bench.write_behind(&me(), vec![about("me@example.org", Some(b"new"))]).await;
    let people = bench.store.load(&me()).await.people;
    assert_eq!(people[0].1.avatar.present().unwrap().id, id(b"new"));
    let bench = bench.reopen().await;
    bench.store.forget(&me()).await.unwrap();
    assert_eq!(bench.store.load(&me()).await.people, []);
}

#[tokio::test]
async fn people_who_left_the_roster_are_pruned_and_we_are_not() {
    let bench = Bench::new();
    let all = ["a@example.org", "b@example.org", "me@example.org"];
    bench.write_all(&me(), all.iter().map(|text| about(text, None)).collect()).await;
    assert_eq!(bench.store.load(&me()).await.people.len(), 3, "no roster to go by");
    bench.write_all(&me(), vec![roster("1", &["b@example.org"])]).await;
    let jids = |snapshot: Snapshot| snapshot.people.into_iter().map(|(jid, _)| jid).collect::<Vec<_>>();
    assert_eq!(jids(bench.store.load(&me()).await), [jid("b@example.org"), me()]);
    bench.write_all(&me(), vec![roster("2", &["a@example.org", "b@example.org"])]).await;
    assert_eq!(jids(bench.store.load(&me()).await), [jid("b@example.org"), me()], "gone for good");
}

#[tokio::test]
async fn features_are_bounded() {
    let bench = Bench::new();
    bench.write_all(&me(), (0..bounds::CAPS_KNOWN + 10).map(|n| features(&format!("v{n}"))).collect()).await;
    assert_eq!(bench.store.load(&me()).await.caps.len(), bounds::CAPS_KNOWN);
    let (key, _) = caps("v1");
    bench.write_all(&me(), vec![Write::Caps { key: key.clone(), record: None }]).await;
    assert!(bench.store.load(&me()).await.caps.iter().all(|(there, _)| *there != key));
}

/// Remains of another version, or of an attacker, in the cache.
#[tokio::test]
async fn features_are_bounded_by_bytes_and_the_rest_goes_from_the_disk() {
    let bench = Bench::new();
    let large = |n: usize, bytes: usize| {
        let (key, record) = caps(&format!("v{n:04}"));
        let features = (0..bytes / 1_100).map(|at| format!("{n}-{at:0>1000}").into()).collect();
        Write::Caps { key, record: Some(CapsRecord { features, ..record }) }
    };
    let too_large = large(0, 2 * bounds::CAPS_RECORD_BYTES);
    let count = 2 * bounds::CAPS_BYTES / bounds::CAPS_RECORD_BYTES;
    let many = (1..=count).map(|n| large(n, bounds::CAPS_RECORD_BYTES - 2_000));
    bench.write_all(&me(), [too_large].into_iter().chain(many).collect()).await;
    let kept = bench.store.load(&me()).await.caps;
    let bytes: usize = kept.iter().map(|(_, record)| record.bytes()).sum();
    assert!((bounds::CAPS_BYTES / 2..=bounds::CAPS_BYTES).contains(&bytes), "{bytes}");
    assert!(kept.iter().all(|(key, _)| key.ver != "v0000"), "one record too large");
    let forget = kept.into_iter().map(|(key, _)| Write::Caps { key, record: None });
    bench.write_all(&me(), forget.collect()).await;
    assert!(bench.store.load(&me()).await.caps.is_empty(), "rows that were not loaded are still there");
}

#[tokio::test]
async fn people_and_requests_are_bounded_and_the_rest_goes_from_the_disk() {
    let bench = Bench::new();
    let requests = bounds::SUBSCRIPTION_REQUESTS + bounds::ROSTER_CONTACTS;
    let asks = |jid: BareJid| SubscriptionRequest {
        jid,
        nick: None,
        message: None,
        received_at: prosed_session::Timestamp(0),
        look_alike: false,
    };
    let each = |n: usize| jid(&format!("p{n:05}@example.org"));
    let people = (0..bounds::ROSTER_CONTACTS + 10).map(|n| about(each(n).as_str(), None));
    let more =
        (0..requests + 10).map(|n| Write::SubscriptionRequest { jid: each(n), request: Some(asks(each(n))) });
    bench.write_all(&me(), people.chain(more).collect()).await;
    let kept = bench.store.load(&me()).await;
    assert_eq!((kept.people.len(), kept.requests.len()), (bounds::ROSTER_CONTACTS + 1, requests));
    let people = kept.people.into_iter().map(|(jid, _)| Write::Person { jid, person: None });
    let more = kept.requests.into_iter().map(|it| Write::SubscriptionRequest { jid: it.jid, request: None });
    bench.write_all(&me(), people.chain(more).collect()).await;
    let left = bench.store.load(&me()).await;
    assert!(left.people.is_empty() && left.requests.is_empty(), "rows that were not loaded are still there");
}

#[tokio::test]
async fn forgetting_erases_an_account_and_no_other() {
    let bench = Bench::new();
    // A prefix of the other's name, to reveal a sloppy key.
    let (ours, theirs) = (jid("me@example.org"), jid("me@example.organic"));
    for account in [&ours, &theirs] {
        let mut all = vec![roster("1", &["a@example.org"]), features("v")];
        all.extend([image(b"shared"), about("a@example.org", Some(b"shared"))]);
        bench.write_all(account, all).await;
    }
    bench.write_all(&ours, vec![image(b"ours"), about(ours.as_str(), Some(b"ours"))]).await;
    let before = bench.store.load(&theirs).await;
    bench.store.forget(&ours).await.unwrap();
    let bench = bench.after_kill();
    let after = bench.store.load(&ours).await;
    assert_eq!((after.roster, after.people, after.caps), (None, vec![], vec![]));
    assert_eq!(bench.store.image(id(b"ours")).await, None);
    assert!(bench.store.image(id(b"shared")).await.is_some());
    let after = bench.store.load(&theirs).await;
    assert_eq!((after.roster, after.people, after.caps), (before.roster, before.people, before.caps));
    bench.store.forget(&theirs).await.unwrap();
    assert_eq!(bench.store.image(id(b"shared")).await, None);
}

/// Whether any file below a folder, or its name, contains this text.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        entry.file_name().to_string_lossy().contains(text)
            || if path.is_dir() {
                holds(&path, text)
            } else {
                fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
            }
    })
}

#[tokio::test]
async fn no_file_holds_anything_of_a_forgotten_account() {
    let bench = Bench::new();
    let (ours, theirs) = (me(), jid("me@example.organic"));
    let many: Vec<_> = (0..2_000).map(|n| format!("secretfriend{n}@example.org")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    bench.write_all(&theirs, vec![roster("1", &["a@example.org"]), about("a@example.org", None)]).await;
    let before = bench.store.load(&theirs).await;
    for version in ["1", "2"] {
        let mut all = vec![roster(version, &many), image(b"replaced"), image(b"picture")];
        all.extend(many.iter().map(|name| about(name, Some(b"picture"))));
        bench.write_all(&ours, all).await;
    }
    bench.write_all(&ours, vec![Write::ImageUnused { id: id(b"replaced") }]).await;
    // A copy of damaged data is kept.
    bench.store.shutdown().await;
    copy(&bench.cache().join("rows"), &bench.cache().join("rows-damaged-17"));
    let bench = bench.reopen().await;
    assert!(holds(&bench.cache().join("rows"), "secretfriend"));
    let begun = Instant::now();
    assert!(bench.store.forget(&ours).await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(5));
    for bench in [bench.after_kill(), bench.reopen().await] {
        assert!(!holds(&bench.cache(), "secretfriend"));
        assert_eq!(image_files(&bench), 0);
        let after = bench.store.load(&theirs).await;
        assert_eq!((after.roster, after.people), (before.roster.clone(), before.people.clone()));
        assert!(!bench.store.forget(&ours).await.unwrap(), "there is nothing any more");
        bench.write_all(&theirs, vec![push("2", &["b@example.org"], &[])]).await;
    }
}

/// However many rows there are, other accounts wait for no more than one piece of the copy, and lose nothing.
#[tokio::test]
async fn others_go_on_while_an_account_is_forgotten() {
    let bench = Bench::new();
    let (ours, theirs) = (me(), jid("me@example.organic"));
    let name = |n: usize| format!("p{n:04}@example.org");
    bench.write_all(&ours, vec![image(b"new"), about("a@example.org", Some(b"new"))]).await;
    let names: Vec<_> = (0..1_000).map(name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).chain(["a@example.org"]).collect();
    let mut all = vec![roster("1", &names)];
    all.extend(names[..1_000].iter().map(|name| about(name, Some(b"old"))));
    bench.write_all(&theirs, all).await;
    let account = theirs.clone();
    let pieces = bench.on_thread(move |keeper| {
        let (reply, mut done) = oneshot::channel();
        keeper.to_forget.push_back((ours, reply));
        // The start, the roster in four pieces and its end, and the first people.
        (0..7).for_each(|_| keeper.go_on_forgetting());
        for write in [
            push("2", &["b@example.org"], &["a@example.org"]),
            Write::Person { jid: jid(&name(0)), person: None },
            about(&name(1), Some(b"new")),
            Write::Person { jid: jid(&name(998)), person: None },
            about(&name(999), Some(b"late")),
        ] {
            assert_eq!(keeper.apply(&account, write), Ok(()));
        }
        let mut pieces = 0;
        while keeper.is_forgetting() {
            keeper.go_on_forgetting();
            pieces += 1;
        }
        assert!(done.try_recv().unwrap().unwrap());
        pieces
    });
    assert!(pieces.await > 3);
    let mut bench = bench;
    for _ in 0..2 {
        let kept = bench.store.load(&theirs).await;
        assert_eq!(version(&kept), Some("2"));
        assert_eq!(kept.people.len(), 998);
        let changed = [&kept.people[0], &kept.people[997]]
            .map(|(jid, person)| (jid.to_string(), person.avatar.present().map(|it| it.id)));
        assert_eq!(changed, [(1, "new"), (999, "late")].map(|(n, it)| (name(n), Some(id(it.as_bytes())))));
        assert!(bench.store.image(id(b"new")).await.is_some(), "somebody else shows it by now");
        bench = bench.reopen().await;
    }
}

#[tokio::test]
async fn a_copy_that_a_crash_cut_short_goes_at_the_start() {
    let bench = Bench::new();
    bench.write_all(&me(), vec![roster("1", &["a@example.org"])]).await;
    bench.store.shutdown().await;
    copy(&bench.cache().join("rows"), &bench.cache().join("rows.new"));
    fs::write(bench.cache().join(".rows.opening.new"), "1").unwrap();
    let bench = bench.reopen().await;
    assert_eq!(version(&bench.store.load(&me()).await), Some("1"));
    assert!(!bench.cache().join("rows.new").exists() && !bench.cache().join(".rows.opening.new").exists());
}

#[tokio::test]
async fn a_damaged_image_is_an_absent_one_until_it_comes_again() {
    let bench = Bench::new();
    bench.write_all(&me(), vec![image(b"picture"), about("me@example.org", Some(b"picture"))]).await;
    let name = id(b"picture").to_string();
    let path = bench.cache().join("images").join(&name[..2]).join(format!("{name}.png"));
    fs::write(&path, b"pic").unwrap();
    assert_eq!(bench.store.image(id(b"picture")).await, None);
    assert_eq!(bench.store.load(&me()).await.images, HashSet::new());
    assert!(!path.exists());
    bench.write_all(&me(), vec![image(b"picture")]).await;
    assert!(bench.store.image(id(b"picture")).await.is_some());
    // As if a user deleted the cache while the daemon runs.
    fs::remove_dir_all(bench.cache().join("images")).unwrap();
    assert_eq!(bench.store.image(id(b"picture")).await, None);
    bench.write_all(&me(), vec![image(b"picture")]).await;
    assert!(bench.store.image(id(b"picture")).await.is_some());
}

#[tokio::test]
async fn images_that_nobody_refers_to_go_at_the_next_start() {
    let bench = Bench::new();
    bench.write_all(&me(), vec![image(b"old"), image(b"new"), about("me@example.org", Some(b"old"))]).await;
    bench.write_all(&me(), vec![about("me@example.org", Some(b"new"))]).await;
    fs::write(bench.cache().join("images").join(&id(b"new").to_string()[..2]).join(".x.png.new"), "half")
        .unwrap();
    let bench = bench.reopen().await;
    assert_eq!(bench.store.load(&me()).await.images, HashSet::from([id(b"new")]));
    let shelf = bench.cache().join("images").join(&id(b"new").to_string()[..2]);
    assert_eq!(fs::read_dir(shelf).unwrap().count(), 1);
    assert_eq!(bench.store.image(id(b"old")).await, None);
}

#[tokio::test]
async fn a_burst_of_images_is_confirmed() {
    let bench = Bench::new();
    let pictures: Vec<_> = (0..50).map(|n: u32| n.to_be_bytes()).collect();
    bench.write_all(&me(), pictures.iter().map(|data| image(data)).collect()).await;
    for data in &pictures {
        assert_eq!(bench.store.image(id(data)).await, Some((ImageType::Png, data.to_vec())));
    }
}

#[tokio::test]
async fn what_the_disk_refuses_is_not_confirmed() {
    let bench = Bench::new();
    // In place of the shelf.
    fs::write(bench.cache().join("images").join(&id(b"picture").to_string()[..2]), "").unwrap();
    fs::remove_file(bench.home.path().join("data/accounts.json")).unwrap();
    fs::create_dir(bench.home.path().join("data/accounts.json")).unwrap();
    let presence = OwnPresence { availability: Availability::Away, ..OwnPresence::default() };
    let stored =
        bench.write(&me(), vec![image(b"picture"), Write::OwnPresence(presence), features("v")]).await;
    assert_eq!(stored, [false, false, true]);
    assert_eq!(bench.store.load(&me()).await.presence, OwnPresence::default());
    assert_eq!(bench.store.load(&me()).await.images, HashSet::new());
}

#[tokio::test]
async fn after_the_end_nothing_is_confirmed() {
    let bench = Bench::new();
    bench.store.shutdown().await;
    assert_eq!(bench.write(&me(), vec![features("v")]).await, [false]);
    assert!(!bench.store.flush().await);
    assert!(bench.store.forget(&me()).await.is_err());
}

#[tokio::test]
async fn a_flush_writes_everything_out() {
    let bench = Bench::new();
    bench.write_behind(&me(), vec![features("v")]).await;
    assert!(bench.store.flush().await);
    assert_eq!(bench.after_kill().store.load(&me()).await.caps, [caps("v")]);
}

#[tokio::test]
async fn one_daemon_a_cache_and_nobody_else_in_it() {
    let bench = Bench::new();
    bench.write_all(&me(), vec![image(b"picture"), about("me@example.org", None)]).await;
    assert!(matches!(Store::open(&bench.cache(), bench.registry.clone()), Err(StoreError::InUse(_))));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&bench.cache()), mode(&bench.cache().join("rows"))), (0o700, 0o700));
    let images = bench.cache().join("images");
    let shelf = images.join(&id(b"picture").to_string()[..2]);
    assert_eq!((mode(&images), mode(&shelf)), (0o700, 0o700));
    let file = fs::read_dir(shelf).unwrap().next().unwrap().unwrap();
    assert_eq!(mode(&file.path()), 0o600);
}

/// Prints how long ten thousand contacts take.
#[tokio::test]
async fn ten_thousand_contacts_are_there_at_once() {
    const CONTACTS: usize = 10_000;
    let bench = Bench::new();
    let many: Vec<_> = (0..CONTACTS).map(|n| format!("contact{n:05}@example.org")).collect();
    let names: Vec<_> = many.iter().map(String::as_str).collect();
    let pictures: Vec<_> = (0..CONTACTS).map(|n| n.to_be_bytes()).collect();
    let begun = Instant::now();
    bench.write_all(&me(), vec![roster("1", &names)]).await;
    let roster_written = begun.elapsed();
    let begun = Instant::now();
    bench
        .write_all(&me(), names.iter().zip(&pictures).map(|(text, data)| about(text, Some(data))).collect())
        .await;
    let people_written = begun.elapsed();
    let begun = Instant::now();
    bench.write_behind(&me(), pictures.iter().map(|data| image(data)).collect()).await;
    assert!(bench.store.flush().await);
    let images_written = begun.elapsed();
    bench.store.shutdown().await;
    let begun = Instant::now();
    let store = Store::open(&bench.cache(), bench.registry.clone()).unwrap();
    let opened = begun.elapsed();
    let snapshot = store.load(&me()).await;
    let loaded = begun.elapsed() - opened;
    println!(
        "{CONTACTS} contacts: roster {roster_written:?}, people {people_written:?}, images {images_written:?} \
         to write; {opened:?} to open, {loaded:?} to load"
    );
    assert_eq!(snapshot.roster.unwrap().items.len(), CONTACTS);
    assert_eq!((snapshot.people.len(), snapshot.images.len()), (CONTACTS, CONTACTS));
}

#[tokio::test]
async fn a_store_that_is_stuck_does_not_answer() {
    let bench = Bench::new();
    bench.store.answer().await;
    let stuck = bench.stop_thread().await;
    let answer = bench.store.answer();
    tokio::pin!(answer);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut answer).await.is_err());
    drop(stuck);
    answer.await;
}

/// How many of its batches of this size an account can queue while the disk hangs.
async fn under_way(bench: &Bench, bytes: usize) -> usize {
    let _stopped = bench.stop_thread().await;
    let (me, answers) = (me(), mpsc::unbounded_channel().0);
    let (share, others_share) = (Share::default(), Share::default());
    let mut under_way = 0;
    loop {
        let batch = vec![(image(&vec![0; bytes]), Ticket(1))];
        let write = bench.store.write(&me, batch, &answers, &share);
        if tokio::time::timeout(Duration::from_millis(50), write).await.is_err() {
            break;
        }
        under_way += 1;
    }
    // Another account has its own.
    let batch = vec![(features("v"), Ticket(1))];
    let others = bench.store.write(&me, batch, &answers, &others_share);
    tokio::time::timeout(Duration::from_secs(10), others).await.expect("there is room");
    under_way
}

#[tokio::test]
async fn an_account_has_no_more_than_its_share_of_the_queue() {
    assert_eq!(under_way(&Bench::new(), 1).await, 8);
    assert_eq!(under_way(&Bench::new(), 1024 * 1024).await, 2);
    // The largest fits on its own.
    assert_eq!(under_way(&Bench::new(), 4 * 1024 * 1024).await, 1);
}

/// A cache that was written before there was a name for each case.
#[test]
fn what_is_declared_is_encoded_as_an_option_in_an_option() {
    for (declared, options) in [
        (Declared::Unknown, None),
        (Declared::Absent, Some(None)),
        (Declared::Present(7_u8), Some(Some(7_u8))),
    ] {
        let encoded = postcard::to_stdvec(&options).unwrap();
        assert_eq!(postcard::to_stdvec(&declared).unwrap(), encoded);
        assert_eq!(postcard::from_bytes::<Declared<u8>>(&encoded).unwrap(), declared);
    }
}
