//! The command line. No option takes a secret, because every program on the machine can read the arguments of every
//! other program.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use prosed_protocol::{Availability, TlsMode};

use crate::failure;

/// Talk to prosed, the daemon that keeps your XMPP sessions.
///
/// On a terminal it prints tables and text, otherwise one line of JSON per result. An error is one line on standard
/// error, and an exit code.
#[derive(Parser)]
#[command(name = "prosectl", version, after_help = failure::help(), max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print JSON lines, as in a pipe, even on a terminal.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The account to use: a bare JID. May be left out if there is only one.
    #[arg(long, global = true, value_name = "JID", value_parser = jid)]
    pub(crate) account: Option<String>,
    /// The daemon's runtime directory [default: $XDG_RUNTIME_DIR/prosed, else $XDG_DATA_HOME/prosed/run, else
    /// ~/.local/share/prosed/run].
    #[arg(long, global = true, value_name = "DIR", env = "PROSED_RUNTIME_DIR", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) runtime_dir: Option<PathBuf>,
}

impl Arguments {
    /// What clap can't check: that a command's JID and --account name the same account, also if --account comes before
    /// the command, and that `set-profile` changes something.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let own = match &self.command {
            Command::Login(login) => Some(&login.jid),
            Command::Logout { jid, .. } => jid.as_ref(),
            Command::SetProfile(change) if change.patch.is_none() && change.fields == Fields::default() => {
                return Err(Self::command().error(
                    ErrorKind::MissingRequiredArgument,
                    "nothing to change: give options such as --nickname, or JSON; see `prosectl set-profile --help`",
                ));
            }
            _ => None,
        };
        match (own, &self.account) {
            (Some(jid), Some(account)) if jid != account => Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                format!("--account {account} and {jid} name two accounts: give only one"),
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Log in. Asks for the password unless it is remembered or given by an option.
    Login(Login),
    /// Log an account out, until the next login.
    Logout {
        /// The account; may be left out if there is only one.
        #[arg(value_name = "JID", value_parser = jid)]
        jid: Option<String>,
        /// Also erase its cache and password.
        #[arg(long)]
        forget: bool,
    },
    /// Show all accounts with their contacts and requests, all at one moment.
    State,
    /// Connect now, without waiting for the next attempt.
    Reconnect,
    /// Show the accounts and the state of their sessions.
    Accounts,
    /// Show everything about one account.
    Account,
    /// Set your presence.
    Presence {
        /// Your availability.
        #[arg(value_parser = clap::builder::EnumValueParser::<Presence>::new())]
        availability: Presence,
        /// A status message for contacts.
        status: Option<String>,
        /// The resource's priority, -128 to -1.
        #[arg(long, allow_hyphen_values = true, value_parser = priority)]
        priority: Option<i8>,
    },
    /// Show the contacts.
    Roster,
    /// Show everything about a contact.
    Contact(Person),
    /// Fetch the pictures and profiles of these contacts first.
    Show {
        /// The contacts: bare JIDs.
        #[arg(required = true, value_name = "JID", value_parser = jid)]
        jids: Vec<String>,
    },
    /// Add a contact, and ask to see their presence.
    Add {
        /// The contact: a bare JID.
        #[arg(value_parser = jid)]
        jid: String,
        /// Their name in your contact list.
        #[arg(long)]
        name: Option<String>,
        /// A group to put them in; may be repeated.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// A message to send with the request to see their presence.
        #[arg(long, value_name = "TEXT", conflicts_with = "no_subscribe")]
        message: Option<String>,
        /// Don't ask to see their presence.
        #[arg(long)]
        no_subscribe: bool,
    },
    /// Change a contact's name or groups.
    Update {
        /// The contact: a bare JID.
        #[arg(value_parser = jid)]
        jid: String,
        /// Their name in your contact list; an empty one removes it.
        #[arg(long)]
        name: Option<String>,
        /// A group for them, replacing all others; may be repeated.
        #[arg(long = "group", value_name = "GROUP", conflicts_with = "no_groups")]
        groups: Vec<String>,
        /// Remove them from all groups.
        #[arg(long)]
        no_groups: bool,
    },
    /// Rename a contact.
    Rename {
        /// The contact: a bare JID.
        #[arg(value_parser = jid)]
        jid: String,
        /// Their name in your contact list. Without it, the name that they chose is shown.
        name: Option<String>,
    },
    /// Rename a group for all contacts in it.
    RenameGroup {
        /// The group's current name.
        from: String,
        /// The new name. If that group exists, the two are merged.
        to: String,
    },
    /// Put a contact into these groups only.
    Groups {
        /// The contact: a bare JID.
        #[arg(value_parser = jid)]
        jid: String,
        /// All of their groups; none removes them from all groups.
        #[arg(value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Remove a contact.
    Remove(Person),
    /// Show who wants to see your presence.
    Requests,
    /// Let somebody see your presence, now or as soon as they ask.
    Approve(Person),
    /// Refuse to let somebody see your presence, or stop letting them see it.
    Deny(Person),
    /// Ask to see somebody's presence.
    Request {
        /// Who to ask: a bare JID.
        #[arg(value_parser = jid)]
        jid: String,
        /// A message to send with the request.
        message: Option<String>,
    },
    /// Stop seeing somebody's presence, or withdraw the request.
    Cancel(Person),
    /// Show or save somebody's picture.
    Avatar {
        /// Whose: a bare JID. Default: your own.
        #[arg(value_parser = jid)]
        jid: Option<String>,
        /// Save it to this file; `-` is standard output.
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Show somebody's profile.
    Profile {
        /// Whose: a bare JID. Default: your own.
        #[arg(value_parser = jid)]
        jid: Option<String>,
        /// Ask the server, even if the profile is known.
        #[arg(long)]
        refresh: bool,
    },
    /// Publish a picture of you: a GIF, JPEG, PNG or WebP.
    #[command(group(ArgGroup::new("change").args(["picture", "remove"]).required(true)))]
    SetAvatar {
        /// The picture; `-` is standard input.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        picture: Option<PathBuf>,
        /// Remove the picture.
        #[arg(long)]
        remove: bool,
    },
    /// Change your published profile, by options or JSON. Everything else stays as it is.
    SetProfile(Box<SetProfile>),
    /// Show events: those after --since, and with --follow new ones as they happen.
    Events(Events),
    /// Call any method of the API.
    Call {
        /// Its name, such as get_contact.
        method: String,
        /// Its parameters, a JSON object; `-` reads them from standard input.
        #[arg(value_name = "JSON")]
        params: Option<String>,
    },
    /// Find out what is wrong with prosed on this computer, and how to fix it.
    Doctor {
        /// Check this account's server as well, logged in or not.
        #[arg(value_name = "JID", value_parser = jid)]
        jids: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Print the description of the API: an OpenRPC document.
    Discover,
    /// Show where programs find prosed: its endpoint.json, or one field of it.
    Endpoint {
        /// Print only this field, as plain text.
        #[arg(value_enum)]
        part: Option<EndpointPart>,
    },
    /// Show the versions of prosectl and of the running daemon.
    Version,
    /// Open the web console in the browser.
    Open {
        /// Print its address instead. The page will ask for the token.
        #[arg(long)]
        print: bool,
    },
    /// Show the token for the daemon's port.
    Token {
        /// Make a new one first. The old one becomes invalid; open connections stay open.
        #[arg(long)]
        new: bool,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page of prosectl or of one of its commands.
    Man {
        /// The command. Default: prosectl itself.
        command: Option<String>,
        /// Write all pages into this folder instead.
        #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = ValueHint::DirPath)]
        all: Option<PathBuf>,
    },
}

/// The fields that `endpoint` can print.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum EndpointPart {
    /// The path of endpoint.json, even while prosed is not running.
    File,
    /// The path of the Unix socket.
    Socket,
    /// The WebSocket's address.
    Url,
    /// The path of the file with the token for that address.
    TokenFile,
}

/// Where `doctor` looks for the servers of the JIDs that it is given.
#[derive(Args, Default)]
pub(crate) struct Place {
    /// Check this host, a name or an address, instead of where a login would go.
    #[arg(long, requires = "jids", value_hint = ValueHint::Hostname)]
    pub(crate) host: Option<String>,
    /// The host's port.
    #[arg(long, requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
}

/// The argument of commands about one person.
#[derive(Args)]
pub(crate) struct Person {
    /// Who: a bare JID.
    #[arg(value_parser = jid)]
    pub(crate) jid: String,
}

#[derive(Args)]
pub(crate) struct Login {
    /// The account: a bare JID.
    #[arg(value_parser = jid)]
    pub(crate) jid: String,
    /// Read the password from standard input: its first line.
    #[arg(long, conflicts_with = "password_command")]
    pub(crate) password_stdin: bool,
    /// Run this shell command, and use the first line that it prints as the password.
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub(crate) password_command: Option<String>,
    /// The resource to request.
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// The server's name or address, if DNS doesn't have it.
    #[arg(long, value_hint = ValueHint::Hostname)]
    pub(crate) host: Option<String>,
    /// The server's port.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// How the connection is secured.
    #[arg(long, value_enum)]
    pub(crate) tls: Option<Tls>,
    /// Don't remember the password, and stay logged out after a restart.
    #[arg(long)]
    pub(crate) no_remember: bool,
    /// Log in although the server offers less security than before, and accept that from now on. Ask its operator
    /// first: somebody may be intercepting the connection.
    #[arg(long)]
    pub(crate) accept_downgrade: bool,
}

#[derive(Args)]
pub(crate) struct SetProfile {
    /// What to change, as in {"nickname": "Mo", "note": null}: null removes a field. `-` reads it from standard input.
    #[arg(value_name = "JSON", conflicts_with = "Fields")]
    pub(crate) patch: Option<String>,
    #[command(flatten)]
    pub(crate) fields: Fields,
}

/// Fields of a profile. An empty value removes a field; fields that are not given stay.
#[derive(Args, Default, PartialEq)]
#[group(multiple = true)]
pub(crate) struct Fields {
    /// The full name. For this and all other fields, an empty value removes the field.
    #[arg(long, value_name = "NAME")]
    pub(crate) full_name: Option<String>,
    /// The nickname.
    #[arg(long, value_name = "NAME")]
    pub(crate) nickname: Option<String>,
    /// The organization.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// The job title.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// The function in the organization.
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// An e-mail address, replacing all existing ones; may be repeated.
    #[arg(long = "email", value_name = "ADDRESS", value_hint = ValueHint::EmailAddress)]
    pub(crate) emails: Vec<String>,
    /// A telephone number, replacing all existing ones; may be repeated.
    #[arg(long = "phone", value_name = "NUMBER")]
    pub(crate) phones: Vec<String>,
    /// A web address, replacing all existing ones; may be repeated.
    #[arg(long = "url", value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) urls: Vec<String>,
    /// Street and number.
    #[arg(long)]
    pub(crate) street: Option<String>,
    /// The town.
    #[arg(long)]
    pub(crate) locality: Option<String>,
    /// The region or state.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The postal code.
    #[arg(long, value_name = "CODE")]
    pub(crate) postal_code: Option<String>,
    /// The country.
    #[arg(long)]
    pub(crate) country: Option<String>,
    /// The birthday, as in 1970-12-31 or --1231.
    #[arg(long, value_name = "DATE", allow_hyphen_values = true)]
    pub(crate) birthday: Option<String>,
    /// A note.
    #[arg(long)]
    pub(crate) note: Option<String>,
}

#[derive(Args)]
#[command(group(ArgGroup::new("which").args(["since", "follow"]).required(true).multiple(true)))]
pub(crate) struct Events {
    /// Continue with new events until interrupted, across restarts of the daemon.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Start after this seq.
    #[arg(long, value_name = "SEQ")]
    pub(crate) since: Option<u64>,
    /// Show only events of this name, such as contactChanged; may be repeated.
    #[arg(long = "event", value_name = "NAME")]
    pub(crate) events: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Tls {
    /// As the domain's DNS says; otherwise, and with --host or --port, STARTTLS.
    Auto,
    /// From the first byte.
    Direct,
    /// With STARTTLS.
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

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Presence {
    /// Available.
    Available,
    /// Free to chat.
    Chat,
    /// Away for a short time.
    Away,
    /// Away for a long time.
    Xa,
    /// Do not disturb.
    Dnd,
    /// Invisible to contacts.
    Unavailable,
}

impl From<Presence> for Availability {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Available => Self::Available,
            Presence::Chat => Self::Chat,
            Presence::Away => Self::Away,
            Presence::Xa => Self::Xa,
            Presence::Dnd => Self::Dnd,
            Presence::Unavailable => Self::Unavailable,
        }
    }
}

/// Checks that a JID has a domain and no resource, without the white space around it. The daemon checks the rest, but
/// would take a single word for a domain of its own, and add a contact that nobody meant. A gateway's JID is only a
/// domain: it has a dot, or is `localhost`.
fn jid(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (address, resource) = text.split_at(text.find('/').unwrap_or(text.len()));
    let is_host = address.contains(['.', ':', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
    let has_server = address.split_once('@').map_or(is_host, |(_, domain)| !domain.is_empty());
    if !has_server && !address.eq_ignore_ascii_case("localhost") {
        let name = address.trim_end_matches('@').trim_end();
        return Err(format!(
            "the server is missing: write {name}@example.org, with the server in place of example.org"
        ));
    }
    if !resource.is_empty() {
        return Err(format!("leave out {resource}: write {address}"));
    }
    Ok(text.to_owned())
}

/// The daemon's range: see `set_presence`.
fn priority(text: &str) -> Result<i8, &'static str> {
    text.parse().ok().filter(|priority| *priority < 0).ok_or("a priority is a number from -128 to -1")
}

#[cfg(test)]
mod tests;
