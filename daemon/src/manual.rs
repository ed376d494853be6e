//! The manual page.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::config::{AFTER_HELP, Flags};

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "stopped as asked"),
    ("2", "wrong usage or configuration"),
    ("3", "already running on these folders"),
    ("4", "the address or the socket can't be bound"),
    ("5", "the storage can't be opened, not even after setting the cache aside"),
];

const FILES: &[(&str, &str)] = &[
    ("$XDG_CONFIG_HOME/prosed/config.toml", "the configuration"),
    ("$XDG_DATA_HOME/prosed/", "accounts, and what else no server can give back"),
    ("$XDG_CACHE_HOME/prosed/", "the cache: to delete it costs only a refill"),
    ("$XDG_RUNTIME_DIR/prosed/", "token, endpoint.json and socket"),
];

/// Prints the page, for `man -l -`.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print() -> io::Result<()> {
    let mut page = Vec::new();
    Man::new(Flags::command().after_help(None::<&str>)).manual("prosed").render(&mut page)?;
    let mut more = Roff::new();
    more.control("SH", ["ENVIRONMENT"]).text([roman(AFTER_HELP)]);
    for (title, entries) in [("EXIT STATUS", EXIT_STATUS), ("FILES", FILES)] {
        more.control("SH", [title]);
        for (name, meaning) in entries {
            more.control("TP", []).text([bold(*name)]).text([roman(*meaning)]);
        }
    }
    more.control("SH", ["SEE ALSO"]).text([bold("prosectl"), roman("(1)")]);
    more.to_writer(&mut page)?;
    io::stdout().write_all(&page)
}
