//! ejabberd: started without Erlang's distribution, so that it needs neither a node name nor epmd and any number of
//! instances can run side by side.

use std::fmt::Write;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use super::{Passwords, Server, roster_name};
use crate::process::Process;

/// Written by the server once it accepts connections and has its accounts.
const READY: &str = "ready";

/// Starts the server, creates the accounts and rosters of `setup.term`, reports that. What it would write with
/// minutes of delay (Mnesia's log into tables, those of Dets to disk) is written at once, so that it may be killed.
const BOOT: &str = r#"
    {ok, _} = ejabberd:start(),
    {ok, Terms} = file:consult("setup.term"),
    lists:foreach(fun
        ({account, User, Domain, Password}) ->
            case ejabberd_auth:try_register(User, Domain, Password) of ok -> ok; {error, exists} -> ok end;
        ({contact, User, Domain, Contact, Name}) ->
            ok = mod_admin_extra:add_rosteritem(User, Domain, Contact, Domain, Name, <<>>, <<"both">>);
        ({everybody, Domain, Group}) ->
            {atomic, ok} = mod_shared_roster:create_group(Domain, Group,
                [{label, Group}, {displayed_groups, [Group]}, {all_users, true}])
    end, Terms),
    dumped = mnesia:dump_log(),
    lists:foreach(fun(Table) -> ok = dets:sync(Table) end, dets:all()),
    ok = file:write_file("ready", <<>>).
"#;

pub(super) fn launch(server: &Server) -> Result<Process> {
    let folder = server.folder();
    let config = server.write("ejabberd.yml", &configuration(server))?;
    // Contacts are set up once: after a restart the clients' changes must still be there.
    let again = folder.join("database").exists();
    server.write("setup.term", &if again { String::new() } else { terms(server) })?;
    let _absent = fs::remove_file(folder.join(READY));
    Process::spawn(Path::new("/usr/bin/erl"), &folder.join("console.log"), |command| {
        command
            // Few schedulers that don't spin: several servers share the cores with the tests.
            .args(["+S", "2", "+sbwt", "none", "-noinput"])
            .arg("-mnesia")
            .arg("dir")
            .arg(format!("\"{}\"", folder.join("database").display()))
            .args(["-eval", BOOT])
            .current_dir(folder)
            .env("HOME", folder)
            .env("EJABBERD_CONFIG_PATH", config)
            .env("EJABBERD_LOG_PATH", folder.join("ejabberd.log"))
            .env("ERL_CRASH_DUMP_BYTES", "0");
        if let Ok(libraries) = libraries() {
            command.env("ERL_LIBS", libraries);
        }
    })
}

pub(super) fn accounts_are_there(server: &Server) -> bool {
    server.folder().join(READY).exists()
}

/// The folder with Debian's `ejabberd-23.01…`; its name depends on the architecture.
fn libraries() -> Result<PathBuf> {
    let holds_ejabberd = |folder: &PathBuf| {
        fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("ejabberd-"))
            })
        })
    };
    fs::read_dir("/usr/lib")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(holds_ejabberd)
        .ok_or_else(|| Error::from(ErrorKind::NotFound))
}

fn configuration(server: &Server) -> String {
    let certificate = server.certificates.bundle_pem.display();
    let (domain, port, direct_port, extra) =
        (server.domain, server.port, server.direct_port, &server.setup.config);
    let passwords = match server.setup.passwords {
        Passwords::Sha256 => "auth_password_format: scram\nauth_scram_hash: sha256",
        Passwords::Sha1 => "auth_password_format: scram\nauth_scram_hash: sha",
        Passwords::Plain => "auth_password_format: plain",
    };
    let shared = if server.setup.shared_roster { "  mod_shared_roster: {}\n" } else { "" };
    let avatars = if server.setup.converts_vcards { "  mod_avatar: {}\n" } else { "" };
    format!(
        r#"
loglevel: info
hosts:
  - {domain}
certfiles:
  - "{certificate}"
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls_required: true
  - port: {direct_port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    tls: true
{passwords}
disable_sasl_mechanisms:
  - "digest-md5"
  - "X-OAUTH2"
modules:
  mod_admin_extra: {{}}
{avatars}  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_mam:
    default: never
  mod_offline: {{}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub:
    plugins:
      - flat
      - pep
  mod_roster:
    versioning: true
{shared}  mod_stream_mgmt:
    resend_on_timeout: if_offline
  mod_time: {{}}
  mod_vcard:
    search: false
  mod_vcard_xupdate: {{}}
  mod_version: {{}}
{extra}
"#
    )
}

fn terms(server: &Server) -> String {
    let domain = binary(server.domain);
    let mut terms = String::new();
    for (name, password) in &server.setup.accounts {
        let _infallible = writeln!(terms, "{{account, {}, {domain}, {}}}.", binary(name), binary(password));
    }
    if server.setup.shared_roster {
        let _infallible = writeln!(terms, "{{everybody, {domain}, {}}}.", binary("Staff"));
    }
    for (name, contact) in &server.setup.rosters {
        let (owner, contact, shown) = (binary(name), binary(contact), binary(&roster_name(contact)));
        let _infallible = writeln!(terms, "{{contact, {owner}, {domain}, {contact}, {shown}}}.");
    }
    terms
}

/// An Erlang binary of the text's UTF-8 bytes.
fn binary(text: &str) -> String {
    let bytes: Vec<_> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}
