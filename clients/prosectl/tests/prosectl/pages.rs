//! Completions and manual pages, as shells and `groff` take them.

use std::collections::BTreeSet;
use std::process::Command;

use tempfile::TempDir;

fn prosectl(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_prosectl")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the help lists.
fn commands() -> BTreeSet<String> {
    let help = prosectl(&["--help"]);
    let listed = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    listed.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// What bash offers behind this, once it has read the script that prosectl prints for it.
fn completed(typed: &[&str]) -> BTreeSet<String> {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("prosectl");
    std::fs::write(&script, prosectl(&["completions", "bash"])).unwrap();
    let ask = r#"
        source "$0" || exit 1
        complete=$(complete -p prosectl) || exit 2
        [[ $complete =~ -F\ ([^ ]+) ]] || exit 3
        COMP_WORDS=(prosectl "$@")
        COMP_CWORD=$#
        "${BASH_REMATCH[1]}" prosectl "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-uc", ask]).arg(&script).args(typed).current_dir(folder.path());
    let output = bash.output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_words() {
    let offered = completed(&[""]);
    assert!(offered.is_superset(&commands()), "{offered:?}");
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(completed(&["ev"]), set(&["events"]));
    assert_eq!(completed(&["events", "--fo"]), set(&["--follow"]));
    assert_eq!(completed(&["presence", "a"]), set(&["available", "away"]));
    assert_eq!(completed(&["login", "--tls", ""]), set(&["auto", "direct", "starttls"]));
}

#[test]
fn zsh_and_fish_are_given_the_commands() {
    let zsh = prosectl(&["completions", "zsh"]);
    assert!(zsh.starts_with("#compdef prosectl\n"));
    let fish = prosectl(&["completions", "fish"]);
    for command in commands() {
        assert!(zsh.contains(&format!("'{command}:")), "{command}");
        assert!(fish.contains(&format!("-a \"{command}\"")), "{command}");
    }
}

#[test]
fn every_command_has_a_page_that_groff_takes() {
    let folder = TempDir::new().unwrap();
    let man1 = folder.path().join("share/man1");
    prosectl(&["man", "--all", man1.to_str().unwrap()]);
    let pages = std::fs::read_dir(&man1).unwrap().map(|page| page.unwrap().path());
    let pages: BTreeSet<_> =
        pages.map(|page| page.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let expected = commands().into_iter().filter(|command| command != "help");
    let mut expected: BTreeSet<_> = expected.map(|command| format!("prosectl-{command}.1")).collect();
    expected.insert("prosectl.1".to_owned());
    assert_eq!(pages, expected);

    let groff = Command::new("groff")
        .args(["-k", "-man", "-Tutf8", "-ww", "-P-cbou"])
        .args(pages.iter().map(|page| man1.join(page)))
        .output()
        .expect("groff is there: run tests/install first");
    assert_eq!(String::from_utf8_lossy(&groff.stderr), "");
    let text = String::from_utf8_lossy(&groff.stdout);
    assert!(text.contains("EXIT STATUS") && text.contains("credentials refused"), "{text}");

    assert_eq!(prosectl(&["man", "login"]), std::fs::read_to_string(man1.join("prosectl-login.1")).unwrap());
    let none = Command::new(env!("CARGO_BIN_EXE_prosectl")).args(["man", "nonsense"]).output().unwrap();
    assert_eq!(none.status.code(), Some(64));
}

#[test]
fn each_exit_code_is_on_the_page_and_in_the_help() {
    let (page, help) = (prosectl(&["man"]), prosectl(&["--help"]));
    for (code, meaning) in [("69", "prosed is not running"), ("11", "credentials refused"), ("0", "done")] {
        assert!(page.contains(&format!("\\fB{code}\\fR\n{meaning}\n")), "{page}");
        assert!(help.contains(&format!("{code}  {meaning}")), "{help}");
    }
}
