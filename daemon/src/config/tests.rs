use std::collections::BTreeSet;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn flags(arguments: &[&str]) -> Flags {
    Flags::try_parse_from([&["prosed"], arguments].concat()).unwrap()
}

/// A home with this configuration file in its default place.
fn home(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/prosed");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), config).unwrap();
    home
}

fn resolve(arguments: &[&str], pairs: &[(&str, &str)], config: &str) -> Result<Config, ConfigError> {
    Config::resolve(flags(arguments), &environment(pairs), Some(home(config).path()))
}

/// The error in the file, and its line.
fn fault(config: &str) -> (usize, String) {
    match resolve(&[], &[], config).unwrap_err() {
        ConfigError::Invalid { line, reason, file } => {
            assert!(file.ends_with(".config/prosed/config.toml"));
            (line, reason)
        }
        error => panic!("{error}"),
    }
}

#[test]
fn with_nothing_said_everything_is_where_xdg_has_it() {
    let found = Config::resolve(flags(&[]), &environment(&[]), Some(Path::new("/home/me"))).unwrap();
    assert_eq!(
        found,
        Config {
            file: None,
            absent_file: Some("/home/me/.config/prosed/config.toml".into()),
            listen: Some(Port { address: "127.0.0.1:5299".parse().unwrap(), asked_for: false }),
            socket: Socket { path: "/home/me/.local/share/prosed/run/prosed.sock".into(), asked_for: false },
            data_dir: "/home/me/.local/share/prosed".into(),
            cache_dir: "/home/me/.cache/prosed".into(),
            runtime_dir: "/home/me/.local/share/prosed/run".into(),
            log: "info".into(),
            allowed_origins: vec![],
            extra_ca: None,
            secret_store: SecretStoreKind::Auto,
            accounts: BTreeMap::new(),
        }
    );
    let xdg = environment(&[
        ("XDG_RUNTIME_DIR", "/run/user/1"),
        ("XDG_DATA_HOME", "/data"),
        ("XDG_CACHE_HOME", "relative, so ignored"),
        ("RUST_LOG", "debug"),
    ]);
    let found = Config::resolve(flags(&[]), &xdg, Some(Path::new("/home/me"))).unwrap();
    assert_eq!(found.runtime_dir, Path::new("/run/user/1/prosed"));
    assert_eq!(found.socket.path, Path::new("/run/user/1/prosed/prosed.sock"));
    assert_eq!(found.data_dir, Path::new("/data/prosed"));
    assert_eq!(found.cache_dir, Path::new("/home/me/.cache/prosed"));
    assert_eq!(found.log, "debug");
}

#[test]
fn without_a_home_the_folders_must_be_named() {
    let all = ["--data-dir=/d", "--cache-dir=/c"];
    let runtime = [("PROSED_RUNTIME_DIR", "/r")];
    let found = Config::resolve(flags(&all), &environment(&runtime), None).unwrap();
    assert_eq!(found.runtime_dir, Path::new("/r"));
    for (arguments, pairs) in [(&all[..1], &runtime[..]), (&all, &[])] {
        let found = Config::resolve(flags(arguments), &environment(pairs), None);
        assert_eq!(found, Err(ConfigError::NoHome));
    }
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "listen = '127.0.0.1:3'\nsocket = '/s3'\ndata_dir = '/d3'\ncache_dir = '/c3'\nlog = 'l=3'";
    let variables = [
        ("PROSED_LISTEN", "127.0.0.1:2"),
        ("PROSED_SOCKET", "/s2"),
        ("PROSED_DATA_DIR", "/d2"),
        ("PROSED_CACHE_DIR", "/c2"),
        ("PROSED_RUNTIME_DIR", "/r2"),
        ("PROSED_LOG", "l=2"),
        ("RUST_LOG", "l4"),
    ];
    let arguments = [
        "--listen=127.0.0.1:1",
        "--socket=/s1",
        "--data-dir=/d1",
        "--cache-dir=/c1",
        "--runtime-dir=/r1",
        "--log=l=1",
    ];
    for (digit, arguments, variables) in
        [(1, &arguments[..], &variables[..]), (2, &[], &variables), (3, &[], &[("RUST_LOG", "l4")])]
    {
        let found = resolve(arguments, variables, file).unwrap();
        let address = format!("127.0.0.1:{digit}").parse().unwrap();
        assert_eq!(found.listen, Some(Port { address, asked_for: true }));
        assert!(found.socket.asked_for);
        let paths = [found.socket.path, found.data_dir, found.cache_dir];
        assert_eq!(paths, ["s", "d", "c"].map(|name| PathBuf::from(format!("/{name}{digit}"))));
        let runtime_dir = ["/r1", "/r2", ".local/share/prosed/run"][digit - 1];
        assert!(found.runtime_dir.ends_with(runtime_dir), "{}", found.runtime_dir.display());
        assert_eq!(found.log, format!("l={digit}"));
    }
    let empty = resolve(&[], &[("PROSED_LISTEN", ""), ("PROSED_LOG", "")], file).unwrap();
    let address = "127.0.0.1:3".parse().unwrap();
    assert_eq!(empty.listen, Some(Port { address, asked_for: true }), "an empty variable is an absent one");
    assert_eq!(empty.log, "l=3");
}

#[test]
fn the_tcp_door_can_be_shut_and_opened_again_from_above() {
    let listen = |arguments: &[&str], pairs: &[(&str, &str)], config| {
        resolve(arguments, pairs, config).unwrap().listen.map(|port| port.address.port())
    };
    assert_eq!(listen(&["--no-listen"], &[("PROSED_LISTEN", "127.0.0.1:2")], "listen = '[::1]:3'"), None);
    assert_eq!(listen(&[], &[("PROSED_NO_LISTEN", "1")], "listen = '[::1]:3'"), None);
    assert_eq!(listen(&[], &[], "no_listen = true"), None);
    assert_eq!(listen(&[], &[("PROSED_LISTEN", "[::1]:0")], "no_listen = true"), Some(0));
    assert_eq!(listen(&["--listen=127.0.0.1:1"], &[("PROSED_NO_LISTEN", "true")], ""), Some(1));

    assert_eq!(fault("no_listen = true\nlisten = '[::1]:3'").0, 1);
    resolve(&[], &[("PROSED_NO_LISTEN", "yes")], "").unwrap_err();
    resolve(&[], &[("PROSED_NO_LISTEN", "1"), ("PROSED_LISTEN", "[::1]:3")], "").unwrap_err();
    Flags::try_parse_from(["prosed", "--no-listen", "--listen=[::1]:3"]).unwrap_err();
}

#[test]
fn an_address_that_others_can_reach_is_refused_wherever_it_stands() {
    for address in ["0.0.0.0:5299", "[::]:5299", "192.168.0.1:1", "[::ffff:127.0.0.1]:1"] {
        let (line, reason) = fault(&format!("# a comment\nlisten = '{address}'"));
        assert!(line == 2 && reason.contains("this computer only"), "{reason}");
        let error = resolve(&[], &[("PROSED_LISTEN", address)], "").unwrap_err().to_string();
        assert!(error.starts_with("PROSED_LISTEN: ") && error.contains("this computer only"), "{error}");
        let error = Flags::try_parse_from(["prosed", "--listen", address]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("this computer only"));
    }
    assert!(fault("listen = 'localhost'").1.contains("127.0.0.1:5299"));
}

#[test]
fn what_is_unknown_is_told_what_exists_and_where_it_stands() {
    let (line, reason) = fault("listen = '127.0.0.1:1'\n\nlisen = 1\n");
    assert_eq!(line, 3);
    for key in ["`lisen`", "`listen`", "`allowed_origins`", "`accounts`"] {
        assert!(reason.contains(key), "{reason}");
    }
    let (line, reason) = fault("[accounts.'me@example.org']\nhots = 'h'");
    assert!(line == 2 && reason.contains("`host`, `port`, `tls`, `resource`"), "{line}: {reason}");
    let (line, reason) = fault("[secrets]\nstore = 'clipboard'");
    assert!(line == 2 && reason.contains("`auto`, `secret-service`, `file`"), "{line}: {reason}");
    for (text, kind) in [("secret-service", SecretStoreKind::SecretService), ("file", SecretStoreKind::File)]
    {
        let found = resolve(&[], &[], &format!("[secrets]\nstore = '{text}'")).unwrap();
        assert_eq!(found.secret_store, kind);
    }
    let (line, reason) = fault("[accounts.'me@example.org']\n\ntls = 'none'");
    assert!(line == 3 && reason.contains("`auto`, `direct`, `starttls`"), "{line}: {reason}");
    assert_eq!(fault("[tls]\nca = 1").0, 2);
    assert_eq!(fault("x = = 1").0, 1);
    assert_eq!(fault("listen = 5299").0, 1);
}

#[test]
fn an_account_can_be_sent_another_way() {
    let found = resolve(
        &[],
        &[],
        "[accounts.'Me@Example.org']\nhost = '::1'\nport = 5223\ntls = 'direct'\nresource = 'desk'\n\
         [accounts.'you@example.org']\n",
    )
    .unwrap();
    let me = AccountOverride {
        host: Some("::1".into()),
        port: Some(5223),
        tls: Some(TlsMode::Direct),
        resource: Some("desk".into()),
    };
    let jid = |text| BareJid::new(text).unwrap();
    let all = [(jid("me@example.org"), me), (jid("you@example.org"), AccountOverride::default())];
    assert_eq!(found.accounts, BTreeMap::from(all));

    for wrong in ["port = 0", "port = 65536", "host = 'a:1'", "host = ''", "resource = ''"] {
        assert_eq!(fault(&format!("[accounts.'me@example.org']\n{wrong}")).0, 2, "{wrong}");
    }
    assert_eq!(fault("\n[accounts.'@']\n").0, 2);
    assert_eq!(fault("[accounts.'me@example.org/desk']\n").0, 1);
}

#[test]
fn origins_are_whole_and_never_wild() {
    let found =
        resolve(&[], &[], "allowed_origins = ['https://App.example.org:8443', 'app://prose']").unwrap();
    assert_eq!(found.allowed_origins, ["https://app.example.org:8443", "app://prose"]);
    for wrong in [
        "null",
        "*",
        "https://*.org",
        "file://",
        "file://x",
        "https://a/",
        "https://",
        "a b://c",
        "example.org",
    ] {
        assert!(fault(&format!("allowed_origins = ['{wrong}']")).1.contains("not a web origin"), "{wrong}");
    }
}

#[test]
fn an_origin_is_told_what_is_wrong_with_it() {
    for (origin, advice) in [
        ("http://localhost:8000/", "remove the / at the end"),
        ("https://a/b/", "leave out everything after"),
        ("https://a?b", "leave out everything after"),
        ("https://*.org", "list each origin"),
        ("example.org", "it needs a scheme"),
    ] {
        let (_, reason) = fault(&format!("allowed_origins = ['{origin}']"));
        assert!(reason.contains(advice), "{reason}");
    }
}

#[test]
fn files_that_are_named_must_be_there() {
    let home = home("[tls]\nextra_ca = 'ca.pem'");
    let look = |arguments: &[&str]| Config::resolve(flags(arguments), &environment(&[]), Some(home.path()));
    assert!(look(&[]).unwrap_err().to_string().starts_with("extra_ca: "));
    let ca = home.path().join(".config/prosed/ca.pem");
    fs::write(&ca, "").unwrap();
    assert_eq!(look(&[]).unwrap().extra_ca, Some(ca), "relative to the file that names it");
    assert!(matches!(look(&["--config", "/nowhere/prosed.toml"]), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn a_filter_that_says_nothing_is_refused() {
    assert!(matches!(
        resolve(&["--log", "prosed=loud"], &[], ""),
        Err(ConfigError::Value { what: "log", .. })
    ));
    for wrong in ["loud", "info,prosde", "prosed=debug, wran"] {
        let error = resolve(&["--log", wrong], &[], "").unwrap_err().to_string();
        assert!(error.contains("is no level") && error.contains("prosed=debug"), "{wrong}: {error}");
        assert_eq!(resolve(&[], &[("PROSED_LOG", wrong)], "").unwrap_err().to_string(), error);
        assert!(resolve(&[], &[("RUST_LOG", wrong)], "").is_ok(), "other programs read it, too");
    }
    for right in ["off", "info,prosed=debug"] {
        assert_eq!(resolve(&["--log", right], &[], "").unwrap().log, right);
    }
}

#[test]
fn a_key_below_a_table_is_told_where_to_go() {
    for table in ["[tls]", "[secrets] # kept", "[accounts.'me@example.org']"] {
        for key in ["allowed_origins = ['app://prose']", "listen = 'x'", "no_listen = true", "log = 'info'"] {
            let (line, reason) = fault(&format!("{table}\n{key}"));
            assert!(line == 2 && reason.contains("move it above the first line"), "{key}: {reason}");
            assert!(!reason.contains("# kept"), "{reason}");
        }
        assert!(fault(&format!("{table}\nlisen = 1")).1.contains("expected"));
    }
    assert!(fault("lisen = 1").1.contains("expected"));
}

/// Every key, as serde lists them, is in the table; and the example contains each key that a file can set.
#[test]
fn the_page_about_it_has_every_key() {
    let page = include_str!("../../CONFIGURATION.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example = example.replace("my-server.pem", "/dev/null");
    let found = resolve(&[], &[], &example).unwrap();
    assert_eq!(found.listen.unwrap().address.port(), 5300);
    assert_eq!(found.accounts.len(), 1);
    let mut keys = Vec::new();
    for (within, shown) in [
        ("", ""),
        ("[tls]\n", "tls."),
        ("[secrets]\n", "secrets."),
        ("[accounts.'me@example.org']\n", "accounts.\"me@example.org\"."),
    ] {
        let (_, reason) = fault(&format!("{within}unheard_of = 1"));
        let known = reason.split_once("expected ").unwrap().1;
        keys.extend(known.split('`').skip(1).step_by(2).map(|key| format!("{shown}{key}")));
    }
    assert!(keys.len() > 12, "{keys:?}");
    let table: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split("` |").next()).collect();
    // These are tables, and all their keys are there.
    keys.retain(|key| !["tls", "secrets", "accounts"].contains(&key.as_str()));
    // Refused, with a reason.
    let (keys, table): (BTreeSet<_>, BTreeSet<_>) =
        (keys.iter().map(String::as_str).collect(), table.into_iter().collect());
    assert_eq!(keys, table);
}

#[test]
fn a_relative_folder_leads_there_from_anywhere() {
    let found = resolve(&["--runtime-dir=here", "--data-dir=there"], &[], "").unwrap();
    for path in [&found.runtime_dir, &found.data_dir, &found.socket.path] {
        assert!(path.is_absolute(), "{}", path.display());
    }
    assert!(found.socket.path.ends_with("here/prosed.sock"));
}

/// Clients know neither our options nor our file.
#[test]
fn the_runtime_folder_is_where_clients_look() {
    let variables = |name: &str| (name == "XDG_DATA_HOME").then(|| "/data".into());
    let theirs = endpoint::runtime_dir(variables, None).unwrap();
    let found = resolve(&["--data-dir=/elsewhere"], &[("XDG_DATA_HOME", "/data")], "").unwrap();
    assert_eq!((found.data_dir.as_path(), &found.runtime_dir), (Path::new("/elsewhere"), &theirs));
    let (line, reason) = fault("log = 'info'\nruntime_dir = '/r'");
    assert!(line == 2 && reason.contains("PROSED_RUNTIME_DIR"), "{line}: {reason}");
}
