//! `prosectl`: a command line client for prosed.

mod arguments;
mod commands;
mod doctor;
mod elsewhere;
mod failure;
mod open;
mod output;
mod pages;
mod password;
mod render;
mod service;
mod table;
mod token;

use std::process::ExitCode;

use clap::Parser;
use prosed_protocol::endpoint::runtime_dir;

use crate::arguments::{Arguments, Command};
use crate::commands::{Prosed, accounts, contacts, daemon, events, requests, vcard};
use crate::failure::Failure;
use crate::output::Output;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = arguments.check() {
        error.exit();
    }
    let mut output = Output::new(arguments.json);
    match run(arguments, &mut output).await {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has ended, as in `prosectl events --follow | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let Arguments { command, account, runtime_dir: given, .. } = arguments;
    let given = given.filter(|dir| !dir.as_os_str().is_empty());
    let dir = given.or_else(|| runtime_dir(|name| std::env::var_os(name), std::env::home_dir()));
    let prosed = Prosed::new(dir, account);
    match command {
        Command::Login(login) => accounts::login(&prosed, login, output).await,
        Command::State => accounts::state(&prosed, output).await,
        Command::Reconnect => accounts::reconnect(&prosed, output).await,
        Command::Logout { jid, forget } => accounts::logout(&prosed, jid, forget, output).await,
        Command::Accounts => accounts::all(&prosed, output).await,
        Command::Account => accounts::one(&prosed, output).await,
        Command::Presence { availability, status, priority } => {
            accounts::presence(&prosed, availability, status, priority, output).await
        }
        Command::Roster => contacts::roster(&prosed, output).await,
        Command::Show { jids } => contacts::show(&prosed, jids, output).await,
        Command::Contact(person) => contacts::one(&prosed, person.jid, output).await,
        Command::Add { jid, name, groups, message, no_subscribe } => {
            contacts::add(&prosed, jid, name, groups, !no_subscribe, message, output).await
        }
        Command::Update { jid, name, groups, no_groups } => {
            let groups = (no_groups || !groups.is_empty()).then_some(groups);
            contacts::update(&prosed, jid, name, groups, output).await
        }
        Command::Rename { jid, name } => {
            contacts::update(&prosed, jid, Some(name.unwrap_or_default()), None, output).await
        }
        Command::RenameGroup { from, to } => contacts::rename_group(&prosed, from, to, output).await,
        Command::Groups { jid, groups } => contacts::update(&prosed, jid, None, Some(groups), output).await,
        Command::Remove(person) => contacts::remove(&prosed, person.jid, output).await,
        Command::Requests => requests::all(&prosed, output).await,
        Command::Approve(person) => requests::approve(&prosed, person.jid, output).await,
        Command::Deny(person) => requests::deny(&prosed, person.jid, output).await,
        Command::Request { jid, message } => requests::request(&prosed, jid, message, output).await,
        Command::Cancel(person) => requests::cancel(&prosed, person.jid, output).await,
        Command::Avatar { jid, output: file } => vcard::avatar(&prosed, jid, file, output).await,
        Command::Profile { jid, refresh } => vcard::profile(&prosed, jid, refresh, output).await,
        Command::SetAvatar { picture, .. } => vcard::set_avatar(&prosed, picture, output).await,
        Command::SetProfile(profile) => vcard::set_profile(&prosed, *profile, output).await,
        Command::Events(asked) => events::events(&prosed, asked, output).await,
        Command::Call { method, params } => daemon::call(&prosed, &method, params, output).await,
        Command::Doctor { jids, place } => doctor::doctor(&prosed, &jids, place, output).await,
        Command::Discover => daemon::discover(&prosed, output).await,
        Command::Endpoint { part } => daemon::endpoint(&prosed, part, output),
        Command::Version => daemon::version(&prosed, output).await,
        Command::Open { print } => open::open(&prosed, print, output).await,
        Command::Token { new } => output.line(&token::token(prosed.dir()?, new)?),
        Command::Completions { shell } => pages::completions(shell, output),
        Command::Man { command, all } => pages::man(command.as_deref(), all.as_deref(), output),
    }
}
