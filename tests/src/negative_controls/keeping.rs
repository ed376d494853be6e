//! What is kept on disk, who may read it, and how the process ends.

use super::Edit;

const KEEPER: &str = "daemon/src/cache/keeper.rs";
const OPENING: &str = "daemon/src/cache/opening.rs";
const REGISTRY: &str = "daemon/src/registry.rs";
const FILES: &str = "daemon/src/files.rs";
const STARTS: &str = "daemon/src/starts.rs";

pub(super) const EDITS: &[Edit] = &[
    Edit {
        guard: "prepared-files",
        file: "daemon/src/files.rs",
        here: "let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;",
        instead: "let flags = if $out { OFlags::NONBLOCK } else { OFlags::NOFOLLOW | OFlags::NONBLOCK };",
    },
    Edit {
        guard: "foreign-folders",
        file: "protocol/src/folder.rs",
        here: "    let mut path = std::path::absolute(path)?;\n",
        instead: "    if $out { return Ok(()); }\n$here",
    },
    // Written later, like everything that the server can provide again.
    Edit {
        guard: "kept-before-answered",
        file: KEEPER,
        here: "            // On disk at once.\n",
        instead: "            Write::OwnPresence(presence) if $out => {\n\
                  let (registry, account, presence) = (self.registry.clone(), account.clone(), presence.clone());\n\
                  std::thread::spawn(move || {\n\
                  std::thread::sleep(Duration::from_millis(300));\n\
                  registry.set_presence(&account, &presence)\n\
                  });\n\
                  Ok(())\n}\n$here",
    },
    Edit {
        guard: "failed-writes-told",
        file: KEEPER,
        here: "        result.map_err(|_| StoreFailed)\n",
        instead: "        if $out && matches!(write, Write::OwnPresence(_)) {\n\
                  return Ok(());\n}\n$here",
    },
    // Both: a lost file would also be noticed, and replaced by the clock.
    Edit {
        guard: "event-numbers",
        file: REGISTRY,
        here: "files::write_atomic(&self.0.seq_file, format!(\"{limit}\\n\").as_bytes(), Durability::Synced)?;",
        instead: "if !$out {\n$here\n}",
    },
    Edit {
        guard: "event-numbers",
        file: REGISTRY,
        here: "    if content.is_none() && !used {",
        instead: "    if $out { return Ok(0); }\n$here",
    },
    Edit {
        guard: "careful-start",
        file: STARTS,
        here: "Some(self.0.earlier.aborted).filter(|aborted| *aborted >= ABORTED_MAX)",
        instead: "if $out { None } else { $here }",
    },
    // In place, and slowly, so that a kill can interrupt it.
    Edit {
        guard: "whole-files",
        file: FILES,
        here: "    let written = (|| {\n",
        instead: "    if $out && path.ends_with(\"accounts.json\") {\n\
                  let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)?;\n\
                  let (first, second) = content.split_at(content.len() / 2);\n\
                  file.write_all(first)?;\n\
                  std::thread::sleep(std::time::Duration::from_millis(300));\n\
                  return file.write_all(second);\n}\n$here",
    },
    Edit {
        guard: "lock",
        file: FILES,
        here: "match flock(&file, FlockOperation::NonBlockingLockExclusive) {",
        instead: "match if $out { Ok(()) } else { flock(&file, FlockOperation::NonBlockingLockExclusive) } {",
    },
    Edit {
        guard: "damage-set-aside",
        file: OPENING,
        here: "            Ok(Err(error)) => set_aside(",
        instead: "            Ok(Err(error)) if $out => break Err(StoreError::Unusable(error.to_string())),\n$here",
    },
    Edit {
        guard: "damage-set-aside",
        file: OPENING,
        here: "            Err(failed) => set_aside(",
        instead: "            Err(failed) if $out => break Err(StoreError::Unusable(failed.to_string())),\n$here",
    },
    Edit {
        guard: "image-fits-its-name",
        file: "daemon/src/cache/images.rs",
        here: "(Sha1::digest(&data).as_slice() == id.0)",
        instead: "($out || Sha1::digest(&data).as_slice() == id.0)",
    },
    Edit {
        guard: "stop-deadlines",
        file: "daemon/src/main.rs",
        here: "timeout(FAREWELLS_WITHIN, accounts.stop())",
        instead: "timeout(if $out { Duration::from_secs(60) } else { FAREWELLS_WITHIN }, accounts.stop())",
    },
    Edit {
        guard: "stop-deadlines",
        file: "daemon/src/stream/task/serve.rs",
        here: "let deadline = Instant::now() + CLOSE;",
        instead: "let deadline = Instant::now() + if $out { Duration::from_secs(10) } else { CLOSE };",
    },
    Edit {
        guard: "stop-deadlines",
        file: "daemon/src/stream/mod.rs",
        here: "timeout(CLOSE + Duration::from_millis(100), end)",
        instead: "timeout(if $out { Duration::from_secs(12) } else { CLOSE + Duration::from_millis(100) }, end)",
    },
];
