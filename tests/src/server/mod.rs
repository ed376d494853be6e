//! Real XMPP servers, each in its own temporary folder, on free ports of 127.0.0.1.

mod ejabberd;
mod prosody;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use crate::certificates::{self, Certificates};
use crate::process::Process;
use crate::{PATIENCE, ports};

/// The default domain of test servers. It need not resolve: clients are given host and port.
pub const DOMAIN: &str = "prosed.test";

/// How long a server may take to start: some seconds, and many on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How often to poll a starting server.
const POLL: Duration = Duration::from_millis(50);
/// How often a server is started again on other ports because another process took them first.
const ATTEMPTS: usize = 2;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Prosody 0.12
    Prosody,
    /// ejabberd 23.01
    Ejabberd,
}

impl Kind {
    /// Both; see [`on_both_servers`](crate::on_both_servers) for a test of each.
    pub const ALL: [Self; 2] = [Self::Prosody, Self::Ejabberd];
}

/// Creates a test per server from functions `async fn scenario(kind: Kind)`, so that a failure names the server:
/// `prosody::scenario`, `ejabberd::scenario`.
#[macro_export]
macro_rules! on_both_servers {
    ($($scenario:ident),* $(,)?) => {
        mod prosody {
            $(#[tokio::test] async fn $scenario() { super::$scenario($crate::Kind::Prosody).await; })*
        }
        mod ejabberd {
            $(#[tokio::test] async fn $scenario() { super::$scenario($crate::Kind::Ejabberd).await; })*
        }
    };
}

/// How a server stores passwords, which determines its offer. PLAIN is always offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passwords {
    /// Hashed for SCRAM-SHA-256, the only one offered; one salt per account.
    Sha256,
    /// Hashed for SCRAM-SHA-1, the only one offered: the default of both servers.
    Sha1,
    /// In plain text: every SCRAM is offered. Prosody chooses a new salt at each login, so that keys derived at an
    /// earlier one don't help.
    Plain,
}

/// What a server starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    kind: Kind,
    domain: &'static str,
    passwords: Passwords,
    converts_vcards: bool,
    accounts: Vec<(String, String)>,
    rosters: Vec<(String, String)>,
    sasl2: bool,
    shared_roster: bool,
    config: String,
}

impl Setup {
    /// An empty server.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            domain: DOMAIN,
            passwords: Passwords::Sha256,
            converts_vcards: true,
            accounts: Vec::new(),
            rosters: Vec::new(),
            sasl2: false,
            shared_roster: false,
            config: String::new(),
        }
    }

    /// With a domain other than [`DOMAIN`], in Unicode.
    pub fn domain(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }

    /// With passwords stored differently from [`Passwords::Sha256`].
    pub fn passwords(mut self, passwords: Passwords) -> Self {
        self.passwords = passwords;
        self
    }

    /// Keeps vcard-temp unchanged. Otherwise both servers publish its parts as newer clients would, for example the
    /// picture as an avatar (XEP-0398).
    pub fn old_vcards(mut self) -> Self {
        self.converts_vcards = false;
        self
    }

    /// With an account `name`, its password [`password`]`(name)`. Naming it again changes nothing.
    pub fn account(self, name: &str) -> Self {
        self.account_with_password(name, &password(name))
    }

    /// With an account and a given password, unless it exists already.
    pub fn account_with_password(mut self, name: &str, password: &str) -> Self {
        if !self.accounts.iter().any(|(account, _)| account == name) {
            self.accounts.push((name.to_owned(), password.to_owned()));
        }
        self
    }

    /// With both accounts, each in the other's roster: mutual subscription, named with a capital.
    pub fn friends(self, one: &str, other: &str) -> Self {
        let mut setup = self.account(one).account(other);
        setup.rosters.push((one.to_owned(), other.to_owned()));
        setup.rosters.push((other.to_owned(), one.to_owned()));
        setup
    }

    /// With SASL2 (XEP-0388) in addition to SASL, and in it Bind 2 (XEP-0386), resumption (XEP-0198) and tokens
    /// (XEP-0484): Prosody only, from Debian's `prosody-modules`.
    pub fn sasl2(mut self) -> Self {
        self.sasl2 = true;
        self
    }

    /// With everybody in everybody's roster, in the server's shared group Staff: ejabberd only.
    pub fn shared_roster(mut self) -> Self {
        self.shared_roster = true;
        self
    }

    /// With more lines in the server's own configuration language, after ours: global options of
    /// Prosody, top-level options of ejabberd.
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// The contacts of one account.
    fn roster_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.rosters.iter().filter(move |(owner, _)| owner == name).map(|(_, contact)| contact.as_str())
    }
}

/// The password of an account created by [`Setup::account`]. It contains what careless code trips over.
pub fn password(name: &str) -> String {
    format!("{name}'s \"<pass>\" & wörd\\")
}

/// The name under which [`Setup::friends`] puts an account into a roster.
pub fn roster_name(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What a client needs to log in; it may outlive the server.
#[derive(Clone, Debug)]
pub struct Door {
    domain: &'static str,
    direct_port: u16,
    tls: Arc<ClientConfig>,
    accounts: Vec<(String, String)>,
}

impl From<&Server> for Door {
    fn from(server: &Server) -> Self {
        Self {
            domain: server.domain,
            direct_port: server.direct_port,
            tls: server.tls.clone(),
            accounts: server.setup.accounts.clone(),
        }
    }
}

impl Door {
    /// Its domain.
    pub fn domain(&self) -> &str {
        self.domain
    }

    /// The bare JID of an account.
    pub fn jid(&self, name: &str) -> String {
        format!("{name}@{}", self.domain)
    }

    /// The password of an account.
    ///
    /// # Panics
    /// When there is no such account.
    pub fn password(&self, name: &str) -> &str {
        let account = self.accounts.iter().find(|(account, _)| account == name);
        &account.unwrap_or_else(|| panic!("no account {name} was set up")).1
    }

    /// A TLS connection to [`Server::direct_port`], the certificate verified.
    ///
    /// # Errors
    /// When the server is gone.
    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        certificates::connect(self.tls.clone(), self.domain, self.direct_port).await
    }
}

/// A running server. It is killed, and its folder removed, when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Which server it is.
    pub kind: Kind,
    /// The domain it serves.
    pub domain: &'static str,
    /// The port for STARTTLS.
    pub port: u16,
    /// The port for direct TLS (XEP-0368).
    pub direct_port: u16,
    /// The certificate of the authority that signed the server's.
    pub ca_pem: PathBuf,
    setup: Setup,
    tls: Arc<ClientConfig>,
    certificates: Certificates,
    // Declared before the folder, which it uses: fields are dropped in order.
    process: Option<Process>,
    folder: TempDir,
}

impl Server {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Panics
    /// If it cannot be started; the message says what to install.
    pub async fn start(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("prosed-server-").tempdir().expect("a temporary folder");
        let certificates = Certificates::create(folder.path(), setup.domain);
        let mut server = Self {
            kind: setup.kind,
            domain: setup.domain,
            port: 0,
            direct_port: 0,
            ca_pem: certificates.ca_pem.clone(),
            tls: certificates::client_config(&certificates.ca_pem),
            certificates,
            setup,
            process: None,
            folder,
        };
        for attempt in 1.. {
            (server.port, server.direct_port) = (ports::free(), ports::free());
            server.launch();
            match server.ready().await {
                Ok(()) => break,
                Err(reason) if attempt == ATTEMPTS => panic!("{reason}\n{}", server.log()),
                Err(_) => server.kill(),
            }
        }
        server
    }

    /// Stops it as its administrator would; clients see their streams close.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(PATIENCE).await;
        }
    }

    /// Kills it: connections break without notice.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again with its data and ports, stopping it first if it runs.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.launch();
        if let Err(reason) = self.ready().await {
            panic!("{reason}\n{}", self.log());
        }
    }

    /// The bare JID of an account.
    pub fn jid(&self, name: &str) -> String {
        format!("{name}@{}", self.domain)
    }

    /// Parameters of prosed's `login` for this server: `jid`, `password`, `host`, `port`, `tls` (STARTTLS).
    pub fn login(&self, name: &str) -> Value {
        json!({
            "jid": self.jid(name), "password": Door::from(self).password(name),
            "host": "127.0.0.1", "port": self.port, "tls": "starttls",
        })
    }

    /// The same, with TLS from the first byte.
    pub fn login_direct(&self, name: &str) -> Value {
        let mut parameters = self.login(name);
        parameters["port"] = self.direct_port.into();
        parameters["tls"] = "direct".into();
        parameters
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The folder that holds its configuration, data and log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What its clients need to know.
    pub fn door(&self) -> Door {
        self.into()
    }

    fn launch(&mut self) {
        let launched = match self.kind {
            Kind::Prosody => prosody::launch(self),
            Kind::Ejabberd => ejabberd::launch(self),
        };
        let process = launched.unwrap_or_else(|error| {
            panic!("{:?} cannot be started ({error}). Run tests/install first.", self.kind)
        });
        self.process = Some(process);
    }

    /// Waits until both ports accept connections. The handshake distinguishes our server from another one on that
    /// port.
    async fn ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                return Err(format!("{:?} ended while starting: {status}", self.kind));
            }
            let accounts_are_there = self.kind == Kind::Prosody || ejabberd::accounts_are_there(self);
            if accounts_are_there
                && self.door().connect().await.is_ok()
                && TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{:?} does not serve after {STARTS_WITHIN:?}", self.kind));
            }
            sleep(POLL).await;
        }
    }

    fn write(&self, name: &str, content: &str) -> std::io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(self.folder.path()))?;
        fs::write(&path, content)?;
        Ok(path)
    }
}
