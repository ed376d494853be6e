//! The plays: scripts of what the server, the UIs, the disk and the clock do, and of what the
//! session does then, and nothing else. `tests/scripts/README.md` explains how to read them.

mod nonsense;
mod rewrite;
mod script;
mod show;
mod stage;
mod watched;
mod words;
mod xml;

use std::path::{Path, PathBuf};

/// All plays, or the one that `PROSED_PLAY` names.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = std::fs::read_dir(folder).expect("the scripts' folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a script").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "play"));
    if let Some(only) = std::env::var_os("PROSED_PLAY") {
        files.retain(|file| file.file_stem() == Some(&only));
    }
    files.sort();
    files
}

#[test]
fn every_play_ends_well() {
    let rewrite = std::env::var_os("PROSED_PLAYS").is_some_and(|wish| wish == "rewrite");
    let (mut failures, mut scenes) = (Vec::new(), 0);
    for file in scripts() {
        let name = file.file_name().expect("its name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a readable script");
        let script = script::Script::read(&text);
        if rewrite {
            rewrite::rewrite(&file, &text, &script);
            continue;
        }
        for scene in &script.scenes {
            scenes += 1;
            if let Err(trouble) = stage::perform(scene) {
                failures.push(format!("{name}:{} ({}): {}", trouble.line, scene.title, trouble.text));
            }
        }
    }
    assert!(!rewrite, "rewritten: read the difference, then run without PROSED_PLAYS");
    println!("{scenes} scenes");
    assert!(scenes > 0, "no scripts found");
    assert!(failures.is_empty(), "{} of {scenes} scenes fail\n\n{}\n", failures.len(), failures.join("\n\n"));
}
