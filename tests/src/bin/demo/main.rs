//! prosed at work, to watch: a real server, live contacts, and the events as a UI receives them. Everything it starts
//! ends with it.

mod cast;
mod story;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use prosed_tests::daemon::binary;
use prosed_tests::server::{self, Kind, Server};
use prosed_tests::{Daemon, Ui};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::story::Style;

/// The account that prosed logs in to.
const ME: &str = "me";

/// How many events pass before the instructions are repeated: a terminal has some 24 lines.
const REMIND_AFTER: usize = 20;

/// Shows prosed at work: a real XMPP server, live contacts, and the events as they come.
#[derive(Parser)]
struct Options {
    /// Ends after this many seconds; fails if no contact has changed by then.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Prints each event as one line of JSON on standard output, all else on standard error.
    #[arg(long)]
    json: bool,
    /// Which server to run.
    #[arg(long, value_enum, default_value = "prosody")]
    server: ServerName,
}

#[derive(Clone, Copy, ValueEnum)]
enum ServerName {
    Prosody,
    Ejabberd,
}

// One thread: the kernel ends a child with the thread that started it, and this one lives longest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut interrupted = signal(SignalKind::interrupt()).expect("signals can be watched");
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be watched");
    let mut show =
        Show { style: Style::for_terminal(stdout().is_terminal()), json: options.json, changes: 0 };
    tokio::select! {
        () = show.run(&options) => {}
        _ = interrupted.recv() => show.say("\nEverything is stopped, and the temporary folder is removed."),
        _ = terminated.recv() => {}
    }
    // A script that set a time limit wants to know whether anything happened.
    if options.seconds.is_some() && show.changes == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Show {
    style: Style,
    json: bool,
    /// How many changes of contacts were seen.
    changes: usize,
}

impl Show {
    /// Starts everything, reports events, and ends cleanly when the time is up.
    async fn run(&mut self, options: &Options) {
        let kind = match options.server {
            ServerName::Prosody => Kind::Prosody,
            ServerName::Ejabberd => Kind::Ejabberd,
        };
        let setup =
            cast::CAST.iter().fold(server::Setup::new(kind), |setup, actor| setup.friends(ME, actor.name));
        let server = Server::start(setup).await;
        self.say(&format!("{kind:?} serves {} on 127.0.0.1:{}", server.domain, server.port));
        let actors = cast::enter(&server).await;
        let names: Vec<_> = cast::CAST.iter().map(|actor| actor.full_name).collect();
        self.say(&format!("Contacts: {}", names.join(", ")));

        let mut daemon = Daemon::start(Daemon::setup().trust(&server)).await;
        let ui = Ui::connect(&daemon).await;
        ui.subscribe(json!({})).await;
        let login = ui.call("login", server.login(ME)).await;
        let account =
            login.unwrap_or_else(|error| panic!("prosed cannot log in: {error:?}\n{}", daemon.log()));
        self.say(&format!("prosed (process {}) is logged in as {}", daemon.id(), text(&account["jid"])));
        let roster = ui.call("load_roster", json!({})).await;
        let roster = roster.unwrap_or_else(|error| panic!("no roster: {error:?}\n{}", daemon.log()));
        let seq = roster["seq"].as_u64().unwrap_or_default();
        let contacts = roster["contacts"].as_array().cloned().unwrap_or_default();
        let invitation = invitation(&daemon);
        self.say(&invitation);

        let known = contacts.into_iter().map(|contact| (text(&contact["jid"]), contact)).collect();
        let over = options.seconds.map_or(Duration::MAX, Duration::from_secs);
        tokio::select! {
            told = self.tell(&ui, &invitation, known, seq) => match told {
                Ok(()) => self.say(&format!("prosed has closed the connection.\n{}", daemon.log())),
                Err(_reader_left) => {}
            },
            () = sleep(over) => {}
        }
        drop(actors);
        daemon.sigterm().await;
    }

    /// Prints events until the daemon is gone; fails if the reader, such as `head`, is.
    ///
    /// `known` is the state at `seq`: older events are already in it.
    async fn tell(
        &mut self,
        ui: &Ui,
        invitation: &str,
        mut known: BTreeMap<String, Value>,
        seq: u64,
    ) -> io::Result<()> {
        let mut told = 0;
        while let Some(event) = ui.next_event().await {
            if event["seq"].as_u64().is_some_and(|number| number <= seq) {
                continue;
            }
            self.changes += event["contacts"].as_array().map_or(0, Vec::len);
            if self.json {
                writeln!(stdout(), "{event}")?;
                continue;
            }
            for line in story::tell(&event, &mut known, self.style) {
                writeln!(stdout(), "{line}")?;
                told += 1;
                // What was there has scrolled out of sight.
                if told % REMIND_AFTER == 0 {
                    writeln!(stdout(), "{invitation}")?;
                }
            }
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        // Output other than events may be lost.
        let _unheard = if self.json { writeln!(stderr(), "{text}") } else { writeln!(stdout(), "{text}") };
    }
}

/// How to join in from another terminal, ready to copy.
fn invitation(daemon: &Daemon) -> String {
    format!(
        r#"
Join in from another terminal:
  export PROSED_RUNTIME_DIR={} PATH="{}:$PATH"
  prosectl roster                        # the contacts as they are now
  prosectl presence away 'Back at five'  # they see it
  prosectl events --follow               # all events, as they come
  prosectl open                          # the web console, in a browser

Ctrl-C stops everything and removes the temporary folder.
"#,
        daemon.runtime_dir().display(),
        binary().parent().expect("a program is in a folder").display(),
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
