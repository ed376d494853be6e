use super::*;

#[test]
fn the_arguments_are_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn no_password_can_come_by_argv() {
    let login = Arguments::command();
    let login = login.find_subcommand("login").unwrap();
    let values: Vec<_> = login
        .get_arguments()
        .filter(|argument| argument.get_action().takes_values())
        .map(|argument| argument.get_id().as_str())
        .collect();
    assert_eq!(values, ["jid", "password_command", "resource", "host", "port", "tls"]);
}

#[test]
fn a_single_word_is_no_jid() {
    let mut checked = 0;
    let mut prosectl = Arguments::command();
    prosectl.build();
    for command in prosectl.get_subcommands() {
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            if !matches!(id, "jid" | "jids" | "account") {
                continue;
            }
            checked += 1;
            let (name, option) = (command.get_name(), argument.get_long().map(|long| format!("--{long}")));
            let mut words = vec!["prosectl".to_owned(), name.to_owned()];
            words.extend(option);
            let parse = |jid: &str| {
                let words = words.iter().map(String::as_str).chain([jid]);
                Arguments::try_parse_from(words).map(drop).map_err(|error| error.to_string())
            };
            for jid in ["me", "me@", "me/phone", "me/phone@home.example", " "] {
                let error = parse(jid).unwrap_err();
                assert!(error.contains("@example.org, with the server"), "{name} {id}: {error}");
            }
            let error = parse("me@example.org/phone").unwrap_err();
            assert!(error.contains("leave out /phone: write me@example.org"), "{name} {id}: {error}");
            for jid in
                ["me@localhost", " me@example.org ", "irc.example.org", "localhost", "[::1]", "例え。テスト"]
            {
                let error = parse(jid).err().unwrap_or_default();
                assert!(!error.contains("invalid value"), "{name} {id}: {error}");
            }
        }
    }
    assert!(checked > 50, "{checked}: each command has --account, and many have a JID");
}

#[test]
fn every_command_and_option_is_explained() {
    let mut prosectl = Arguments::command();
    prosectl.build();
    for command in prosectl.get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn white_space_around_a_jid_is_removed() {
    assert_eq!(jid(" me@example.org\n").unwrap(), "me@example.org");
}

#[test]
fn two_accounts_are_refused_in_any_order() {
    let check = |line: &str| Arguments::parse_from(line.split(' ')).check().is_ok();
    for command in ["logout", "login"] {
        assert!(check(&format!("prosectl {command} b@example.org")));
        assert!(check(&format!("prosectl --account b@example.org {command} b@example.org")));
        assert!(!check(&format!("prosectl --account a@example.org {command} b@example.org")));
        assert!(!check(&format!("prosectl {command} b@example.org --account a@example.org")));
    }
    assert!(check("prosectl --account a@example.org contact b@example.org"));
}

#[test]
fn what_is_missing_is_named_with_its_alternatives() {
    for (command, options) in [
        ("events", &["--since", "--follow"][..]),
        ("set-avatar", &["FILE", "--remove"]),
        ("set-profile", &["JSON", "--nickname"]),
    ] {
        let parsed = Arguments::try_parse_from(["prosectl", command]);
        let said = parsed.and_then(|arguments| arguments.check()).unwrap_err().to_string();
        assert!(options.iter().all(|option| said.contains(option)), "{said}");
    }
}

#[test]
fn a_profile_comes_whole_or_in_parts() {
    let parse = |arguments: &[&str]| {
        let parsed = Arguments::try_parse_from([&["prosectl", "set-profile"], arguments].concat());
        parsed.is_ok_and(|arguments| arguments.check().is_ok())
    };
    assert!(parse(&["{}"]) && parse(&["--email", "a@b", "--email", "c@d", "--note", ""]));
    assert!(parse(&["--birthday", "--1231"]));
    assert!(!parse(&[]) && !parse(&["{}", "--note", "x"]));
}
