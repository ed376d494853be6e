use super::*;
use prosed_session::Availability;

fn me() -> BareJid {
    BareJid::new("me@example.org").unwrap()
}

#[test]
fn accounts_come_back_as_they_were_left() {
    let home = tempfile::tempdir().unwrap();
    let left = Entry {
        remember: true,
        logged_out: true,
        secret_store: Some(StoreName::SystemdCredential),
        pins: serde_json::from_str(r#"{"scram":"Sha1","binding":"tls-exporter","sasl2":true}"#).unwrap(),
        connection: Connection {
            resource: Some("desk".into()),
            host: Some("localhost".into()),
            port: Some(5222),
            tls: TlsMode::StartTls,
        },
        presence: OwnPresence {
            availability: Availability::Dnd,
            status: Some("busy".into()),
            priority: Some(-1),
        },
        forgotten: false,
        newer: serde_json::Value::Null,
    };
    {
        let registry = Registry::open(home.path()).unwrap();
        let entry = left.clone();
        registry.update(&me(), |it| *it = Entry { presence: OwnPresence::default(), ..entry }).unwrap();
        registry.set_presence(&me(), &left.presence).unwrap();
    }
    let registry = Registry::open(home.path()).unwrap();
    assert_eq!(registry.accounts(), [(me(), left.clone())]);
    assert_eq!(registry.entry(&me()), Some(left));
    registry.remove(&me()).unwrap();
    drop(registry);
    assert_eq!(Registry::open(home.path()).unwrap().accounts(), []);
}

#[test]
fn a_forgotten_account_is_not_brought_back_by_a_late_presence() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    let error = registry.set_presence(&me(), &OwnPresence::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(registry.accounts(), []);
}

#[test]
fn what_is_being_forgotten_is_not_there_and_not_gone_either() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    registry.begin_forgetting(&me()).unwrap();
    assert_eq!(registry.forgotten(), [], "of a stranger there is nothing to be forgotten");
    let secret_store = Some(StoreName::File);
    registry
        .update(&me(), |entry| *entry = Entry { remember: true, secret_store, ..Entry::default() })
        .unwrap();
    registry.begin_forgetting(&me()).unwrap();
    drop(registry);
    let registry = Registry::open(home.path()).unwrap();
    assert_eq!((registry.accounts(), registry.entry(&me())), (vec![], None));
    assert_eq!(registry.forgotten()[0].1.secret_store, secret_store, "so that it is found");
    let error = registry.set_presence(&me(), &OwnPresence::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);

    registry.give_up_forgetting(&me()).unwrap();
    let back = registry.entry(&me()).unwrap();
    assert_eq!((back.remember, back.logged_out, back.secret_store), (true, true, secret_store));

    // A login in the meantime creates a new account.
    registry.begin_forgetting(&me()).unwrap();
    registry.update(&me(), |entry| entry.remember = true).unwrap();
    assert_eq!(registry.entry(&me()), Some(Entry { remember: true, ..Entry::default() }));
    assert_eq!(registry.forgotten(), []);
}

#[test]
fn who_looks_something_up_does_not_wait_for_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    registry.update(&me(), |entry| entry.remember = true).unwrap();
    let (done, looked_up) = std::sync::mpsc::channel();
    let changed = std::thread::scope(|scope| {
        let changing = registry.clone();
        let changer = scope.spawn(move || {
            let mut in_time = false;
            let change = |entry: &mut Entry| {
                entry.logged_out = true;
                // A change that takes as long as a concurrent read.
                in_time = looked_up.recv_timeout(std::time::Duration::from_secs(10)).is_ok();
            };
            changing.update(&me(), change).unwrap();
            in_time
        });
        while registry.0.changing.try_lock().is_ok() {
            std::thread::yield_now();
        }
        assert!(!registry.entry(&me()).unwrap().logged_out, "as it is on disk");
        let _ = done.send(());
        changer.join().unwrap()
    });
    assert!(changed, "the look had to wait");
    assert!(registry.entry(&me()).unwrap().logged_out);
}

#[test]
fn what_could_not_be_written_has_not_happened() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    fs::create_dir(home.path().join("accounts.json")).unwrap();
    registry.update(&me(), |entry| entry.remember = true).unwrap_err();
    assert_eq!(registry.entry(&me()), None);
}

#[test]
fn a_damaged_list_is_set_aside() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("accounts.json"), "{\"me@exam").unwrap();
    assert_eq!(Registry::open(home.path()).unwrap().accounts(), []);
    let kept = fs::read_dir(home.path()).unwrap().flatten().any(|entry| {
        entry.file_name().to_string_lossy().starts_with("accounts.json-damaged-")
            && fs::read_to_string(entry.path()).unwrap() == "{\"me@exam"
    });
    assert!(kept);
}

#[test]
fn a_second_daemon_is_told_who_is_there() {
    let home = tempfile::tempdir().unwrap();
    let first = Registry::open(home.path()).unwrap();
    match Registry::open(home.path()).unwrap_err() {
        RegistryError::AlreadyRunning { folder, pid } => {
            assert_eq!((folder.as_path(), pid), (home.path(), Some(std::process::id())));
        }
        error => panic!("{error}"),
    }
    drop(first);
    Registry::open(home.path()).unwrap();
}

#[test]
fn seq_never_goes_back() {
    let home = tempfile::tempdir().unwrap();
    let mut highest = 0;
    for start in 0..3 {
        let registry = Registry::open(home.path()).unwrap();
        let first = registry.seq_mark() + 1;
        assert!(first > highest, "start {start}: {first} after {highest}");
        let limit = registry.reserve(first).unwrap();
        assert_eq!(limit, first + SEQ_BLOCK - 1);
        assert_eq!(registry.reserve(first + 1).unwrap(), limit, "still within the block");
        assert_eq!(registry.reserve(limit + 1).unwrap(), limit + SEQ_BLOCK);
        highest = limit + SEQ_BLOCK;
    }
}

#[test]
fn a_lost_mark_is_jumped_over() {
    for damage in [None, Some("12x"), Some(""), Some("18446744073709551615")] {
        let home = tempfile::tempdir().unwrap();
        let registry = Registry::open(home.path()).unwrap();
        registry.update(&me(), |entry| entry.remember = true).unwrap();
        let limit = registry.reserve(1).unwrap();
        drop(registry);
        match damage {
            Some(text) => fs::write(home.path().join("seq"), text).unwrap(),
            None => fs::remove_file(home.path().join("seq")).unwrap(),
        }
        let mark = Registry::open(home.path()).unwrap().seq_mark();
        assert!(mark > limit && mark < 1 << 53, "{mark}");
    }
}

#[test]
fn nothing_reserved_when_the_disk_refuses() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    fs::create_dir(home.path().join("seq")).unwrap();
    registry.reserve(1).unwrap_err();
    assert_eq!(registry.seq_mark(), 0);
}

fn you() -> BareJid {
    BareJid::new("you@example.org").unwrap()
}

fn file(home: &tempfile::TempDir) -> String {
    fs::read_to_string(home.path().join("accounts.json")).unwrap()
}

/// The copies set aside of the list.
fn copies(home: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(home.path()).unwrap().flatten();
    let aside =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("accounts.json-damaged-"));
    aside.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
}

#[test]
fn a_record_that_cannot_be_read_costs_itself_only_and_stays_as_it_is() {
    for (name, record) in [
        ("them@example.org", r#"{"remember": true, "secret_store": "tpm"}"#),
        ("not a jid@", r#"{"remember":true}"#),
        ("ME@example.org", r#"{"remember": false}"#),
        ("them@example.org", r#"{"remember": "yes"}"#),
        ("them@example.org", "[1, 2.50, 123456789012345678901234567890]"),
        // A newer version's layout.
        ("format", "2"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let list = format!(r#"{{"{name}": {record}, "me@example.org": {{"remember": true}}}}"#);
        fs::write(home.path().join("accounts.json"), list).unwrap();
        let registry = Registry::open(home.path()).unwrap();
        let known: Vec<_> = registry.accounts().into_iter().map(|(jid, _)| jid).collect();
        assert_eq!(known, [me()], "{name}");
        registry.update(&you(), |entry| entry.remember = true).unwrap();
        drop(registry);
        assert!(file(&home).contains(&format!(r#""{name}": {record}"#)), "{}", file(&home));
        let registry = Registry::open(home.path()).unwrap();
        assert!(registry.entry(&you()).is_some() && registry.has_record(&me()), "{name}");
        assert_eq!(unreadable(home.path()).unwrap().len(), 1);
        assert_eq!(copies(&home), [""; 0], "nothing is damaged");
    }
}

#[test]
fn a_damaged_record_costs_itself_only() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    let names = ["a@example.org", "b@example.org", "c@example.org"].map(|name| BareJid::new(name).unwrap());
    for (name, port) in names.iter().zip(1..) {
        registry.update(name, |entry| entry.connection.port = Some(port)).unwrap();
    }
    drop(registry);
    let whole = file(&home);
    for (number, lost) in names.iter().enumerate() {
        let at = whole.find(lost.as_str()).unwrap();
        let within = at + whole[at..].find("remember").unwrap();
        // A block of zeros, a torn key, a truncated file.
        for damaged in [
            [&whole.as_bytes()[..within], &[0; 9], &whole.as_bytes()[within + 9..]].concat(),
            [&whole.as_bytes()[..at - 1], &whole.as_bytes()[at..]].concat(),
            whole.as_bytes()[..within].to_vec(),
        ] {
            fs::write(home.path().join("accounts.json"), &damaged).unwrap();
            let cut = damaged.len() == within;
            let registry = Registry::open(home.path()).unwrap();
            let there: Vec<_> =
                registry.accounts().into_iter().map(|it| (it.0, it.1.connection.port)).collect();
            let wanted = names.iter().cloned().zip((1..).map(Some)).enumerate();
            let wanted = wanted.filter(|(n, _)| if cut { *n < number } else { *n != number });
            assert_eq!(there, wanted.map(|(_, it)| it).collect::<Vec<_>>(), "{lost}");
            drop(registry);
            // It is repaired, and the original is kept.
            assert_eq!(Registry::open(home.path()).unwrap().accounts().len(), there.len());
            assert!(copies(&home).iter().any(|copy| copy.as_bytes() == damaged));
        }
    }
    assert_eq!(copies(&home).len(), 9, "no copy takes the place of another");
}

#[test]
fn what_a_newer_version_has_added_is_still_there_for_it() {
    let home = tempfile::tempdir().unwrap();
    let list = r#"{"me@example.org": {"remember": true, "mood": {"word": "fine"},
        "connection": {"host": "old", "tls": "auto", "proxy": {"port": 9}}, "pins": {"sasl2": true, "dane": [1]},
        "presence": {"availability": "Away", "status": null, "priority": 1, "until": "noon"}}}"#;
    fs::write(home.path().join("accounts.json"), list).unwrap();
    let registry = Registry::open(home.path()).unwrap();
    let change = |entry: &mut Entry| {
        (entry.logged_out, entry.connection, entry.presence) =
            (true, Connection::default(), OwnPresence::default());
    };
    registry.update(&me(), change).unwrap();
    drop(registry);
    let registry = Registry::open(home.path()).unwrap();
    registry.update(&me(), |entry| entry.remember = false).unwrap();
    let json: serde_json::Value = serde_json::from_str(&file(&home)).unwrap();
    let json = &json[me().as_str()];
    assert_eq!(json["mood"]["word"], "fine");
    assert_eq!(json["connection"]["proxy"]["port"], 9);
    assert_eq!(json["pins"]["dane"][0], 1);
    assert_eq!(json["presence"]["until"], "noon");
    // And what has changed here has changed.
    assert_eq!((&json["logged_out"], &json["remember"]), (&true.into(), &false.into()));
    assert!(json["connection"].get("host").is_none() && json["presence"]["priority"].is_null(), "{json}");
}

#[test]
fn only_its_owner_does_away_with_a_record_that_cannot_be_read() {
    let list = r#"{"Me@example.org": {"secret_store": "tpm"}}"#;
    let opened = || {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("accounts.json"), list).unwrap();
        let registry = Registry::open(home.path()).unwrap();
        (home, registry)
    };
    // By a login, which provides everything that a record has.
    let (home, registry) = opened();
    registry.expect(&me()).unwrap();
    assert_eq!(file(&home), list, "not before it has succeeded");
    registry.update(&me(), |entry| entry.remember = true).unwrap();
    assert_eq!(registry.accounts(), [(me(), Entry { remember: true, ..Entry::default() })]);
    assert!(!file(&home).contains("tpm"));
    assert_eq!(copies(&home), [list]);
    // By forgetting it.
    let (home, registry) = opened();
    registry.begin_forgetting(&me()).unwrap();
    assert_eq!(registry.forgotten().len(), 1, "a crash from here on is made good");
    registry.remove(&me()).unwrap();
    assert!(!registry.has_record(&me()) && file(&home) == "{}");
}

#[test]
fn an_account_whose_first_login_is_interrupted_is_to_be_erased() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::open(home.path()).unwrap();
    registry.expect(&me()).unwrap();
    drop(registry);
    let registry = Registry::open(home.path()).unwrap();
    assert_eq!((registry.entry(&me()), registry.forgotten().len()), (None, 1));
    registry.update(&me(), |entry| entry.remember = true).unwrap();
    registry.expect(&me()).unwrap();
    assert_eq!(registry.entry(&me()), Some(Entry { remember: true, ..Entry::default() }), "one of ours");
}

#[test]
fn what_a_crash_left_half_written_goes_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".accounts.json.new"), "{").unwrap();
    let _registry = Registry::open(home.path()).unwrap();
    assert!(!home.path().join(".accounts.json.new").exists());
}
