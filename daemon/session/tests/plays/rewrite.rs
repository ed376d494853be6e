//! `PROSED_PLAYS=rewrite cargo test -p prosed-session --test plays` puts what happens in place of
//! what the scripts expect. It saves typing, not thinking: read the result before you commit it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::script::{Script, is_expectation};
use crate::stage::Stage;

pub(crate) fn rewrite(file: &Path, text: &str, script: &Script) {
    // What happens after the step that ends on a line.
    let mut happens: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for scene in &script.scenes {
        let mut stage = Stage::default();
        for step in scene.steps.iter().filter(|step| !step.is_expectation()) {
            let wanted = match stage.act(step) {
                Ok(wanted) => wanted,
                Err(trouble) => {
                    eprintln!("{}:{} ({}): {trouble}", file.display(), step.line, scene.title);
                    break;
                }
            };
            let mut lines = Vec::new();
            for shown in &wanted {
                stage.name_request(shown);
                lines.extend(stage.script_of(shown));
            }
            happens.insert(step.last, lines);
        }
    }
    let (mut rewritten, mut dropping) = (Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        dropping = is_expectation(line) || (dropping && line.starts_with(' '));
        if !dropping {
            rewritten.push(line.to_owned());
        }
        rewritten.extend(happens.remove(&(at + 1)).unwrap_or_default());
    }
    std::fs::write(file, rewritten.join("\n") + "\n").expect("a script that can be written");
}
