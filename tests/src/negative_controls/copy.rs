//! The copy of prosed's sources, and the places of the guards in it.
//!
//! It is a workspace like prosed's own, with the same members, so that cargo chooses the same
//! features for their dependencies and compiles none of them again. Its members are one folder deeper: cargo
//! distinguishes packages in one target folder by their place in the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{BINARY, Edit, VARIABLE, edits};

/// The members that the binary is built from; of the others only the manifests matter.
const SOURCES: [&str; 2] = ["daemon", "protocol"];

/// The files of the web console, which is embedded in the binary.
const SERVED: [&str; 2] = ["clients/web", "clients/javascript/src"];

/// The folder in the copy that the members are in.
const DEEPER: &str = "unguarded";

/// Brings the copy in a folder up to date. Unchanged files are left alone, so that cargo rebuilds only what has
/// changed.
///
/// # Errors
/// If a guard is not where its table says, or a file cannot be written.
pub fn write(project: &Path, copy: &Path) -> io::Result<()> {
    let files = files(project)?;
    for path in present(copy)?.difference(&files.keys().cloned().collect()) {
        fs::remove_file(copy.join(path))?;
    }
    for (path, text) in files {
        let path = copy.join(path);
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            fs::create_dir_all(path.parent().unwrap_or(copy))?;
            fs::write(path, text)?;
        }
    }
    Ok(())
}

/// A file of the copy that is out of date, so that the copy must be written and built again.
///
/// # Errors
/// As [`write`].
pub fn differs(project: &Path, copy: &Path) -> io::Result<Option<PathBuf>> {
    let files = files(project)?;
    let mut paths: BTreeSet<_> = files.keys().cloned().collect();
    paths.append(&mut present(copy)?);
    Ok(paths.into_iter().find(|path| fs::read_to_string(copy.join(path)).ok().as_ref() != files.get(path)))
}

/// All files of the copy.
fn files(project: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut paths = vec![PathBuf::from("Cargo.toml"), PathBuf::from("Cargo.lock")];
    let source = |path: &Path| path.extension().is_some_and(|it| it == "rs" || it == "toml");
    for folder in SOURCES {
        paths.extend(walk(&project.join(folder), &source)?);
    }
    let served = |path: &Path| path.extension().is_some_and(|it| it != "md");
    for folder in SERVED {
        paths.extend(walk(&project.join(folder), &served)?);
    }
    let mut files = BTreeMap::new();
    let members = members(project)?;
    for member in members.iter().map(Path::new) {
        if !SOURCES.iter().any(|folder| member.starts_with(folder)) {
            paths.push(member.join("Cargo.toml"));
            files.insert(member.join("src/lib.rs"), "//! Empty.\n".to_owned());
        }
    }
    for path in paths {
        let path = path.strip_prefix(project).unwrap_or(&path);
        files.insert(path.to_owned(), fs::read_to_string(project.join(path))?);
    }
    for edit in edits() {
        let text = files.get_mut(Path::new(edit.file));
        let text = text.ok_or_else(|| misplaced(edit, "the file is not there"))?;
        *text = apply(edit, text)?;
    }
    let absent = || io::Error::other("Cargo.toml and daemon/Cargo.toml are to be there");
    let bin = format!("\n[[bin]]\nname = \"{BINARY}\"\npath = \"src/main.rs\"\n");
    let manifest = files.get_mut(Path::new("daemon/Cargo.toml")).ok_or_else(absent)?;
    *manifest = manifest.replacen("[package]\n", "[package]\nautobins = false\n", 1) + &bin;
    let manifest = files.get_mut(Path::new("Cargo.toml")).ok_or_else(absent)?;
    for member in &members {
        *manifest = manifest.replace(&format!("\"{member}\""), &format!("\"{DEEPER}/{member}\""));
    }
    let deeper = |(path, text): (PathBuf, _)| match path.parent() {
        Some(top) if top == Path::new("") => (path, text),
        _ => (Path::new(DEEPER).join(path), text),
    };
    Ok(files.into_iter().map(deeper).collect())
}

/// The text in which one guard checks whether it is taken out.
fn apply(edit: &Edit, text: &str) -> io::Result<String> {
    let out = format!(
        "std::env::var(\"{VARIABLE}\").is_ok_and(|out| out.split(',').any(|guard| guard == \"{}\"))",
        edit.guard
    );
    match text.matches(edit.here).count() {
        1 => {
            let instead = edit.instead.replace("$here", edit.here).replace("$out", &out);
            Ok(text.replacen(edit.here, &instead, 1))
        }
        count => Err(misplaced(edit, &format!("found {count} times, where once is right"))),
    }
}

fn misplaced(edit: &Edit, why: &str) -> io::Error {
    io::Error::other(format!(
        "the guard \"{}\" is not where tests/src/negative_controls looks for it: {}: {why}:\n{}",
        edit.guard, edit.file, edit.here
    ))
}

/// The folders of the workspace's members.
fn members(project: &Path) -> io::Result<Vec<String>> {
    let manifest: toml::Table =
        toml::from_str(&fs::read_to_string(project.join("Cargo.toml"))?).map_err(io::Error::other)?;
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members"));
    let members = members.and_then(toml::Value::as_array).into_iter().flatten();
    Ok(members.filter_map(toml::Value::as_str).map(str::to_owned).collect())
}

/// The files that the copy has.
fn present(copy: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let paths = if copy.is_dir() { walk(copy, &|_| true)? } else { Vec::new() };
    Ok(paths.iter().filter_map(|path| path.strip_prefix(copy).ok()).map(Path::to_owned).collect())
}

fn walk(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.append(&mut walk(&path, wanted)?);
        } else if wanted(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDIT: Edit = Edit { guard: "gate", file: "a.rs", here: "shut()", instead: "($out || $here)" };

    #[test]
    fn a_guard_is_edited_where_it_stands_once() {
        let edited = apply(&EDIT, "if shut() { 1 }").expect("it is there once");
        assert!(edited.starts_with("if (std::env::var(\"PROSED_GUARDS_OUT\")"), "{edited}");
        assert!(edited.contains("\"gate\"") && edited.ends_with(" || shut()) { 1 }"), "{edited}");
    }

    #[test]
    fn a_guard_that_is_gone_or_doubled_is_named() {
        for text in ["", "shut() && shut()"] {
            let error = apply(&EDIT, text).expect_err("not there once").to_string();
            assert!(error.contains("\"gate\"") && error.contains("a.rs"), "{error}");
        }
    }

    #[test]
    fn a_copy_is_written_once_and_a_change_in_it_is_found() {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let main = folder.path().join("unguarded/daemon/src/main.rs");
        assert!(differs(project, folder.path()).expect("a project").is_some());
        write(project, folder.path()).expect("a copy");
        assert_eq!(differs(project, folder.path()).expect("a copy"), None);
        let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).expect("a file");
        let before = changed(&main);
        write(project, folder.path()).expect("a copy");
        assert_eq!(changed(&main), before);

        fs::write(&main, "").expect("a file");
        fs::write(folder.path().join("unguarded/daemon/src/more.rs"), "").expect("a file");
        assert_eq!(
            differs(project, folder.path()).expect("a copy").as_deref(),
            Some(Path::new("unguarded/daemon/src/main.rs"))
        );
        write(project, folder.path()).expect("a copy");
        assert_eq!(differs(project, folder.path()).expect("a copy"), None);
    }
}
