//! Completion scripts and manual pages.

use std::fs::{File, create_dir_all};
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::arguments::Arguments;
use crate::failure::{EXIT_STATUS, Failure};
use crate::output::Output;

const SOURCE: &str = concat!("prosectl ", env!("CARGO_PKG_VERSION"));

/// Examples for the manual page.
const EXAMPLES: &[(&str, &str)] = &[
    ("prosectl login me@example.org", "Logs in, and asks for the password once."),
    (
        "pass show xmpp | prosectl login me@example.org --password-stdin",
        "Logs in with a password from a password manager.",
    ),
    ("prosectl presence away 'Back at five'", "Sets your presence."),
    ("prosectl roster | jq -r 'select(.availability == \"available\") | .name'", "Lists who is available."),
    ("prosectl events --follow --event contactChanged", "Prints one line per change until interrupted."),
    ("prosectl doctor", "Finds out what is wrong, and how to fix it."),
];

pub(crate) fn completions(shell: Shell, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "prosectl", &mut script);
    output.bytes(&script)
}

/// Prints the page of a command or of prosectl itself, or writes all pages as files.
pub(crate) fn man(command: Option<&str>, all: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    // Includes the global options in every command's page.
    let mut prosectl = Arguments::command().disable_help_subcommand(true).after_help(None::<&str>);
    prosectl.build();
    if let Some(folder) = all {
        return write_all(&prosectl, folder).map_err(|error| Failure::File(folder.to_owned(), error));
    }
    let page = match command {
        None => &prosectl,
        Some(name) => prosectl.find_subcommand(name).ok_or_else(|| Failure::NoPage(name.to_owned()))?,
    };
    let mut text = Vec::new();
    write(page, &mut text).map_err(Failure::Output)?;
    output.bytes(&text)
}

fn write_all(prosectl: &Command, folder: &Path) -> io::Result<()> {
    create_dir_all(folder)?;
    for command in std::iter::once(prosectl).chain(prosectl.get_subcommands()) {
        write(command, &mut File::create(folder.join(Man::new(command.clone()).get_filename()))?)?;
    }
    Ok(())
}

fn write(command: &Command, page: &mut dyn Write) -> io::Result<()> {
    Man::new(command.clone()).source(SOURCE).manual("prosed").render(page)?;
    let mut more = Roff::new();
    if command.has_subcommands() {
        more.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in EXIT_STATUS {
            more.control("TP", []).text([bold(code.to_string())]).text([roman(*meaning)]);
        }
        more.control("SH", ["EXAMPLES"]);
        for (line, purpose) in EXAMPLES {
            more.control("TP", []).text([bold(*line)]).text([roman(*purpose)]);
        }
        more.control("SH", ["SEE ALSO"]).text([bold("prosed"), roman("(1)")]);
    } else {
        more.control("SH", ["SEE ALSO"]).text([bold("prosectl"), roman("(1), also for the exit status")]);
    }
    more.to_writer(page)
}
