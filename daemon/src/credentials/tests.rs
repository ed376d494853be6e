//! The order of the stores, and what happens if one is locked, hangs or is missing.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use super::*;
use crate::stream::{ScramKeys, ScramMechanism};

pub(super) fn me() -> BareJid {
    BareJid::new("me@example.org").unwrap()
}

pub(super) fn keys() -> ScramKeys {
    ScramKeys {
        mechanism: ScramMechanism::Sha256,
        salt: b"salt".to_vec(),
        iterations: 4096,
        client_key: vec![1; 32],
        server_key: vec![0xff; 32],
    }
}

fn password(text: &str) -> Secret {
    Secret::Password(text.to_owned().into())
}

fn words(secret: Secret) -> String {
    match secret {
        Secret::Password(password) => password.expose().to_owned(),
        Secret::Scram(_) => "keys".to_owned(),
    }
}

/// How a test's own keyring answers.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Locked,
    Absent,
    Hanging,
}

#[derive(Clone)]
struct Fake(Arc<Mutex<Inside>>);

struct Inside {
    mood: Mood,
    kept: BTreeMap<BareJid, String>,
    asked: usize,
}

impl Fake {
    fn ask<'a, T: Send + 'a>(&self, act: impl FnOnce(&mut Inside) -> T + Send + 'a) -> Asked<'a, T> {
        let inside = Arc::clone(&self.0);
        async move {
            let mood = {
                let mut inside = inside.lock().unwrap();
                inside.asked += 1;
                inside.mood
            };
            match mood {
                Mood::Well => Ok(act(&mut inside.lock().unwrap())),
                Mood::Locked => Err(StoreError::Locked),
                Mood::Absent => Err(StoreError::Absent),
                Mood::Hanging => pending().await,
            }
        }
        .boxed()
    }

    fn mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    fn kept(&self) -> Option<String> {
        self.0.lock().unwrap().kept.get(&me()).cloned()
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }
}

impl Store for Fake {
    fn name(&self) -> StoreName {
        StoreName::SecretService
    }

    fn load<'a>(&'a self, account: &'a BareJid) -> Asked<'a, Option<Secret>> {
        self.ask(|inside| inside.kept.get(account).map(|text| password(text)))
    }

    fn save<'a>(&'a self, account: &'a BareJid, secret: &'a Secret) -> Asked<'a, ()> {
        self.ask(|inside| _ = inside.kept.insert(account.clone(), words(secret.clone())))
    }

    fn erase<'a>(&'a self, account: &'a BareJid) -> Asked<'a, bool> {
        self.ask(|inside| inside.kept.remove(account).is_some())
    }
}

/// The real stores, except for the keyring, which does what the test wants.
struct Home {
    keyring: Fake,
    credentials: Credentials,
    folder: tempfile::TempDir,
}

impl Home {
    fn new(kind: SecretStoreKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().join("given");
        std::fs::create_dir(&given).unwrap();
        let inside = Inside { mood: Mood::Well, kept: BTreeMap::new(), asked: 0 };
        let keyring = Fake(Arc::new(Mutex::new(inside)));
        let mut home =
            Self { keyring, credentials: Credentials::open(kind, folder.path(), None).unwrap(), folder };
        home.reopen(kind);
        home
    }

    fn reopen(&mut self, kind: SecretStoreKind) {
        let given = self.folder.path().join("given");
        self.credentials = Credentials::open(kind, self.folder.path(), Some(&given)).unwrap();
        for store in &mut self.credentials.stores {
            if store.name() == StoreName::SecretService {
                *store = Box::new(Patient::new(self.keyring.clone()));
            }
        }
    }

    fn give(&mut self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join("given").join(name), content).unwrap();
        self.reopen(SecretStoreKind::Auto);
    }

    fn file(&self) -> bool {
        self.folder.path().join("credentials/me@example.org.json").exists()
    }

    async fn load(&self, kept: Option<StoreName>) -> Option<(StoreName, String)> {
        let found = self.credentials.load(&me(), kept).await?;
        Some((found.store, words(found.secret)))
    }

    async fn save(&self, text: &str) -> Result<StoreName, CredentialsError> {
        self.credentials.save(&me(), &password(text)).await
    }
}

fn found(store: StoreName, text: &str) -> Option<(StoreName, String)> {
    Some((store, text.to_owned()))
}

#[tokio::test]
async fn keyring_then_systemd_then_file() {
    let mut home = Home::new(SecretStoreKind::Auto);
    assert_eq!(home.load(None).await, None);
    home.keyring.mood(Mood::Absent);
    assert_eq!(home.save("file").await.unwrap(), StoreName::File);
    assert_eq!(home.load(None).await, found(StoreName::File, "file"));
    home.give("me@example.org", "given\n");
    assert_eq!(home.load(None).await, found(StoreName::SystemdCredential, "given"));
    home.keyring.mood(Mood::Well);
    home.keyring.0.lock().unwrap().kept.insert(me(), "keyring".to_owned());
    assert_eq!(home.load(None).await, found(StoreName::SecretService, "keyring"));
    // The last one stored is the newest, wherever it is.
    assert_eq!(home.load(Some(StoreName::File)).await, found(StoreName::File, "file"));
    home.keyring.mood(Mood::Locked);
    assert_eq!(
        home.load(Some(StoreName::SecretService)).await,
        found(StoreName::SystemdCredential, "given"),
        "a locked keyring is passed over"
    );
}

#[tokio::test]
async fn what_goes_to_the_keyring_leaves_its_file() {
    let home = Home::new(SecretStoreKind::Auto);
    home.keyring.mood(Mood::Locked);
    assert_eq!(home.save("one").await.unwrap(), StoreName::File);
    assert!(home.file());
    home.keyring.mood(Mood::Well);
    assert_eq!(home.save("two").await.unwrap(), StoreName::SecretService);
    assert!(!home.file());
    assert_eq!(home.keyring.kept().as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn a_keyring_that_hangs_costs_seconds_and_that_once() {
    let home = Home::new(SecretStoreKind::Auto);
    home.keyring.mood(Mood::Hanging);
    let begun = Instant::now();
    assert_eq!(home.save("one").await.unwrap(), StoreName::File);
    let patience = begun.elapsed();
    assert!(patience > Duration::ZERO && patience <= Duration::from_secs(5), "{patience:?}");
    for _ in 0..1000 {
        assert_eq!(home.load(None).await, found(StoreName::File, "one"));
    }
    // The test controls time: it has advanced only if something waited.
    assert!(begun.elapsed() < patience + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(home.keyring.asked(), 1);
    home.keyring.mood(Mood::Well);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(home.save("two").await.unwrap(), StoreName::SecretService, "it gets another chance");
}

#[tokio::test(start_paused = true)]
async fn erasing_erases_everywhere_or_says_that_it_did_not() {
    let home = Home::new(SecretStoreKind::Auto);
    home.keyring.mood(Mood::Absent);
    home.save("file").await.unwrap();
    home.credentials.erase(&me(), Some(StoreName::File)).await.unwrap();
    assert!(!home.file(), "with no keyring, there is nothing in it");

    home.save("file").await.unwrap();
    home.keyring.mood(Mood::Well);
    home.keyring.0.lock().unwrap().kept.insert(me(), "older".to_owned());
    home.credentials.erase(&me(), Some(StoreName::File)).await.unwrap();
    assert!(!home.file() && home.keyring.kept().is_none());

    home.save("keyring").await.unwrap();
    for mood in [Mood::Absent, Mood::Locked, Mood::Hanging] {
        home.keyring.mood(mood);
        let error = home.credentials.erase(&me(), Some(StoreName::SecretService)).await.unwrap_err();
        assert_eq!(error.store, StoreName::SecretService);
    }
    assert_eq!(home.keyring.kept().as_deref(), Some("keyring"));
}

#[tokio::test]
async fn secrets_are_written_where_the_configuration_says() {
    let mut home = Home::new(SecretStoreKind::SecretService);
    home.keyring.mood(Mood::Locked);
    assert_eq!(home.save("one").await.unwrap_err().store, StoreName::SecretService);
    assert!(!home.file(), "not even for want of a keyring");

    home.keyring.mood(Mood::Well);
    home.reopen(SecretStoreKind::File);
    let asked = home.keyring.asked();
    assert_eq!(home.save("two").await.unwrap(), StoreName::File);
    assert_eq!(home.load(None).await, found(StoreName::File, "two"));
    home.credentials.erase(&me(), Some(StoreName::File)).await.unwrap();
    assert_eq!(home.keyring.asked(), asked, "the bus is not asked");

    home.save("two").await.unwrap();
    home.reopen(SecretStoreKind::SecretService);
    assert_eq!(home.load(None).await, found(StoreName::File, "two"), "an older file is still read");
    assert_eq!(home.save("three").await.unwrap(), StoreName::SecretService);
    assert!(!home.file(), "and moves");
}

#[tokio::test]
async fn what_systemd_gives_is_read_and_no_more() {
    let mut home = Home::new(SecretStoreKind::Auto);
    for content in ["  given wörd ", "  given wörd \n", "  given wörd \r\n"] {
        home.give("Me@Example.ORG", content);
        let found = home.credentials.load_given(&me()).await.unwrap();
        assert_eq!(words(found.secret), "  given wörd ");
    }
    assert!(home.credentials.is_given(&me()));
    home.give("tls.key", "not an account");
    assert!(!home.credentials.is_given(&BareJid::new("tls.key").unwrap()));

    home.save("ours").await.unwrap();
    home.credentials.erase(&me(), Some(StoreName::SecretService)).await.unwrap();
    assert_eq!(home.load(None).await, found(StoreName::SystemdCredential, "  given wörd "));

    std::fs::write(home.folder.path().join("given/Me@Example.ORG"), [0xff, 0xfe]).unwrap();
    assert!(home.credentials.load_given(&me()).await.is_none());
}

#[test]
fn no_error_and_no_name_shows_a_secret() {
    // `Secret`, `Password` and `Found` have no `Debug`: the types that do are checked here.
    let error = CredentialsError { store: StoreName::SecretService, source: StoreError::Locked };
    assert_eq!(error.to_string(), "the secret store «Secret Service» failed: it is locked");
    let names = [StoreName::SecretService, StoreName::SystemdCredential, StoreName::File];
    assert_eq!(
        serde_json::to_string(&names).unwrap(),
        r#"["secretService","systemdCredential","file"]"#,
        "as the registry keeps them"
    );
}
