//! `prosectl`: prosed from the command line, for people and for scripts.

mod commands;
mod escape;
mod failure;
mod output;
mod password;
mod people;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use prosed_protocol::TlsMode;
use prosed_protocol::endpoint::runtime_dir;

use crate::failure::Failure;
use crate::output::Output;

/// Talk to prosed, the daemon that keeps your XMPP sessions.
#[derive(Parser)]
#[command(name = "prosectl", version, after_help = failure::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print JSON lines, as in a pipe, though this is a terminal.
    #[arg(long, global = true)]
    json: bool,
    /// The account that is meant: a bare JID. It may be left out where there is only one.
    #[arg(long, global = true, value_name = "JID")]
    account: Option<String>,
    /// The daemon's runtime directory [default: $XDG_RUNTIME_DIR/prosed, else $XDG_DATA_HOME/prosed/run].
    #[arg(long, global = true, value_name = "DIR", env = "PROSED_RUNTIME_DIR")]
    runtime_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Log an account in. Asks for the password unless one is remembered or given by an option.
    Login(Login),
    /// Log an account out, until the next login.
    Logout {
        /// Erase its cache and its password as well.
        #[arg(long)]
        forget: bool,
    },
    /// Show the accounts and how their sessions stand.
    Accounts,
    /// Show the contacts.
    Roster,
    /// Show all that is known of a contact.
    Contact {
        /// Who is meant.
        jid: String,
    },
    /// Show events: those after --since, and with --follow those that come.
    Events(Events),
    /// Call any method of the API.
    Call {
        /// Its name, as in get_contact.
        method: String,
        /// Its parameters, a JSON object; `-` reads them from standard input.
        #[arg(value_name = "JSON")]
        params: Option<String>,
    },
    /// Show the token that opens the daemon's port.
    Token {
        /// Make a new one first. A running daemon takes it up when it starts anew.
        #[arg(long)]
        new: bool,
    },
    /// Show the versions of prosectl and of the running daemon.
    Version,
}

#[derive(Args)]
struct Login {
    /// The account: a bare JID.
    jid: String,
    /// Read the password from standard input: its first line.
    #[arg(long, conflicts_with = "password_command")]
    password_stdin: bool,
    /// Run this shell command, and take the first line that it prints as the password.
    #[arg(long, value_name = "COMMAND")]
    password_command: Option<String>,
    /// The wished resource part of the JID.
    #[arg(long)]
    resource: Option<String>,
    /// The server's name or address, where DNS doesn't say.
    #[arg(long)]
    host: Option<String>,
    /// The server's port.
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is secured.
    #[arg(long, value_enum)]
    tls: Option<Tls>,
    /// Keep no password, and stay logged out after a restart.
    #[arg(long)]
    no_remember: bool,
}

#[derive(Args)]
struct Events {
    /// Go on with those that come, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Begin behind this seq.
    #[arg(long, value_name = "SEQ", required_unless_present = "follow")]
    since: Option<u64>,
    /// Only events of this name; may be said more than once.
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tls {
    Auto,
    Direct,
    Starttls,
}

impl From<Tls> for TlsMode {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Auto => Self::Auto,
            Tls::Direct => Self::Direct,
            Tls::Starttls => Self::Starttls,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut output = Output::new(arguments.json);
    match run(arguments, &mut output).await {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has enough of it: `prosectl events --follow | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let given = arguments.runtime_dir.filter(|dir| !dir.as_os_str().is_empty());
    let dir = given.or_else(|| runtime_dir(|name| std::env::var_os(name)));
    let dir = dir.ok_or(Failure::NoHome)?;
    let account = arguments.account;
    match arguments.command {
        Command::Login(login) => commands::login(&dir, login, output).await,
        Command::Logout { forget } => commands::logout(&dir, account, forget, output).await,
        Command::Accounts => commands::accounts(&dir, output).await,
        Command::Roster => commands::roster(&dir, account, output).await,
        Command::Contact { jid } => commands::contact(&dir, account, jid, output).await,
        Command::Events(events) => commands::events(&dir, account, events, output).await,
        Command::Call { method, params } => commands::call(&dir, &method, params, output).await,
        Command::Token { new } => output.line(&token::token(&dir, new)?),
        Command::Version => commands::version(&dir, output).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
}
