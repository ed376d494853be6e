//! The prosed daemon: a thin shell of I/O around the pure sessions of `prosed-session`.

mod accounts;
mod activity;
mod actor;
mod cache;
mod check;
mod config;
mod credentials;
mod decode;
mod events;
#[cfg(debug_assertions)]
mod fault_injection;
mod files;
mod logging;
mod manual;
mod metrics;
mod registry;
mod rpc;
mod service;
mod shell;
mod starts;
mod stream;
mod supervisor;
mod watchdog;

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use jid::BareJid;
use prosed_protocol::endpoint::Endpoint;
use prosed_protocol::folder::Untrusted;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use accounts::Accounts;
use activity::Activity;
use cache::{Store, StoreError};
use config::{Config, Flags};
use credentials::Credentials;
use events::EventLog;
use metrics::Metrics;
use registry::{Registry, RegistryError};
use rpc::{DoorMetrics, Doors, Listeners, PictureKey, RunFile, Services, Token, Translator};
use service::StopSignals;
use shell::{SessionMetrics, Shell};
use starts::{CleanEnd, Starts};

/// Returns the memory that a login took within seconds; the system's allocator keeps it (decisions/0009).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Stopping takes at most 5 seconds. This part is for unavailable presences and the ends of streams …
const FAREWELLS_WITHIN: Duration = Duration::from_millis(3_600);
/// … this one for the doors, where answers may be in flight, and for the cache …
const CLOSE_WITHIN: Duration = Duration::from_millis(1_200);
/// … and this one for what the runtime has not ended yet.
const END_WITHIN: Duration = Duration::from_millis(100);
/// When asked to stop while the cache is being opened, we let that finish: otherwise the next start would count it as
/// a crash.
const OPENING_ENDS_WITHIN: Duration = Duration::from_secs(3);
/// Threads for sessions and their streams; the cache and the doors have one each.
const WORKERS: usize = 2;
/// Sockets and timers are polled after this many turns of tasks. Servers that flood us keep all threads busy: at
/// tokio's own 61 turns, a quiet account would hear of its stanza late.
const TURNS_BETWEEN_LOOKS: u32 = 4;

/// Why the process ends, as reported by its exit code.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Usage = 2,
    AlreadyRunning = 3,
    Address = 4,
    Storage = 5,
    /// A file or folder that other users could have prepared, or could change.
    Untrusted = 6,
    Other = 1,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, error)) => {
            eprintln!("prosed: {}", in_one_line(&error));
            // Whatever was to be done with it.
            let untrusted = |cause: &(dyn Error + 'static)| cause.downcast_ref().is_some_and(Untrusted::is);
            let exit = if error.chain().any(untrusted) { Exit::Untrusted } else { exit };
            ExitCode::from(exit as u8)
        }
    }
}

/// What went wrong and why, each cause once: some errors include theirs.
fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.ends_with(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

type Failed = (Exit, anyhow::Error);

fn failed<E: Into<anyhow::Error>>(exit: Exit) -> impl FnOnce(E) -> Failed {
    move |error| (exit, error.into())
}

fn run(flags: Flags) -> Result<(), Failed> {
    if flags.man {
        return manual::print().map_err(failed(Exit::Other));
    }
    let (check_config, check_server) = (flags.check_config, flags.check_server.clone());
    let at = (flags.host.clone(), flags.port);
    let environment: BTreeMap<_, _> = std::env::vars_os().collect();
    let home = std::env::home_dir();
    let config = Config::resolve(flags, &environment, home.as_deref()).map_err(failed(Exit::Usage))?;
    let filter = EnvFilter::builder().parse(&config.log);
    let filter =
        filter.with_context(|| format!("log filter «{}»", config.log)).map_err(failed(Exit::Usage))?;
    let subscriber = logging::subscriber(filter).map_err(failed(Exit::Other))?;
    if check_config {
        stream::tls_config(config.extra_ca.as_deref()).map_err(failed(Exit::Usage))?;
        print!("{}", check::config(&config).map_err(failed(Exit::Other))?);
        return Ok(());
    }
    if let Some(account) = check_server {
        let tls = stream::tls_config(config.extra_ca.as_deref()).map_err(failed(Exit::Usage))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asked = async { check::server(&config, &tls, &account, at).await };
        let (reached, found) =
            runtime.map_err(failed(Exit::Other))?.block_on(asked).map_err(failed(Exit::Other))?;
        print!("{found}");
        return if reached {
            Ok(())
        } else {
            Err((Exit::Other, anyhow!("{account} can't log in: `text` says why, and `next_step` what to do")))
        };
    }
    service::harden().map_err(failed(Exit::Other))?;
    subscriber.init();
    service::log_panics();
    // Before there is a second thread.
    let passed = Listeners::passed().map_err(failed(Exit::Address))?;
    let given = environment.get(OsStr::new("CREDENTIALS_DIRECTORY")).map(PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("session")
        .event_interval(TURNS_BETWEEN_LOOKS)
        .enable_all()
        .build()
        .map_err(failed(Exit::Other))?;
    let result = runtime.block_on(live(Arc::new(config), passed, given));
    runtime.shutdown_timeout(END_WITHIN);
    result
}

/// What lives as long as the daemon.
struct Opened {
    store: Store,
    registry: Registry,
    starts: Starts,
    /// Kept for its `Drop`: it records a clean exit.
    _end: CleanEnd,
    credentials: Credentials,
    log: Arc<EventLog>,
    token: Token,
    picture_key: PictureKey,
    listeners: Listeners,
    /// Kept for its `Drop`: it removes the socket's file.
    _socket: Option<rpc::SocketFile>,
}

/// Opens everything that can fail to open. Blocks, for some twenty seconds at worst.
fn open(config: &Config, passed: Listeners, given: Option<&Path>) -> Result<Opened, Failed> {
    service::make_folders(config).map_err(failed(Exit::Storage))?;
    let registry = Registry::open(&config.data_dir).map_err(|error| match error {
        RegistryError::AlreadyRunning { .. } => (Exit::AlreadyRunning, error.into()),
        RegistryError::Io { .. } => (Exit::Storage, error.into()),
    })?;
    // No other daemon is running here. The other folders are cleaned by their writers.
    files::sweep(&config.runtime_dir).map_err(failed(Exit::Storage))?;
    let known = |account: &BareJid| registry.entry(account).is_some();
    let (starts, end) = Starts::open(&config.data_dir, known).map_err(failed(Exit::Storage))?;
    let store = Store::open(&config.cache_dir, registry.clone()).map_err(|error| match error {
        StoreError::InUse(_) => (Exit::AlreadyRunning, error.into()),
        StoreError::Io { .. } | StoreError::Unusable(_) => (Exit::Storage, error.into()),
    })?;
    let credentials = Credentials::open(config.secret_store, &config.data_dir, given)
        .with_context(|| format!("{}: the folder for secrets can't be made", config.data_dir.display()))
        .map_err(failed(Exit::Storage))?;
    let numbers = registry.clone();
    let log = EventLog::new(registry.seq_mark(), Box::new(move |next| numbers.reserve(next)));
    let log = Arc::new(log.map_err(failed(Exit::Storage))?);
    let (listeners, socket) = passed.or_bind(config.listen, &config.socket).map_err(failed(Exit::Address))?;
    let kept = !config.allowed_origins.is_empty();
    let token = Token::start(&config.runtime_dir.join("token"), kept).map_err(failed(Exit::Storage))?;
    let picture_key = config.runtime_dir.join("picture-key");
    let picture_key = PictureKey::start(&picture_key, &token, kept).map_err(failed(Exit::Storage))?;
    let (_end, _socket) = (end, socket);
    Ok(Opened { store, registry, starts, _end, credentials, log, token, picture_key, listeners, _socket })
}

async fn live(config: Arc<Config>, passed: Listeners, given: Option<PathBuf>) -> Result<(), Failed> {
    let mut signals = StopSignals::new().map_err(failed(Exit::Other))?;
    // In parallel with opening the cache: a system has hundreds of certificate files.
    let extra_ca = config.extra_ca.clone();
    let tls = tokio::task::spawn_blocking(move || stream::tls_config(extra_ca.as_deref()));
    let settled = Arc::clone(&config);
    let mut opening = tokio::task::spawn_blocking(move || open(&settled, passed, given.as_deref()));
    let opened = tokio::select! {
        opened = &mut opening => opened.map_err(failed(Exit::Other))??,
        signal = signals.next() => {
            info!(signal, "stopping before the start is complete");
            tokio::select! {
                _ = timeout(OPENING_ENDS_WITHIN, opening) => {}
                _ = signals.next() => {}
            }
            return Ok(());
        }
    };
    let tls = tls.await.map_err(failed(Exit::Other))?.map_err(failed(Exit::Usage))?;
    let Opened { store, registry, starts, _end, credentials, log, token, picture_key, listeners, _socket } =
        opened;
    let translator = Translator::new(picture_key);
    let activity = Activity::new();
    let (sessions, counts) = (SessionMetrics::default(), DoorMetrics::default());
    let metrics = Metrics::new()
        .with(|to| sessions.register(to))
        .with(|to| log.register(to))
        .with(|to| store.register(to))
        .with(|to| counts.register(to))
        .with(|to| activity.register(to));
    let shell = Shell {
        store: store.clone(),
        registry,
        starts,
        credentials,
        log: Arc::clone(&log),
        metrics: sessions,
        activity: Arc::clone(&activity),
        announcer: Box::new(translator.clone()),
        tls,
        overrides: config.accounts.clone(),
    };
    let (address, socket) = (listeners.address(), listeners.path());
    shell.finish_forgetting().await;
    let accounts = Accounts::start(shell, Handle::current());
    let services = Services {
        accounts: Arc::clone(&accounts),
        log: Arc::clone(&log),
        activity: Arc::clone(&activity),
        translator,
        images: images(&store),
        counts,
        metrics,
        token,
        allowed_origins: config.allowed_origins.clone(),
        descriptors: service::descriptors(),
    };
    tokio::spawn(async move { activity.run().await });
    let mut doors = rpc::serve(listeners, services).map_err(failed(Exit::Address))?;
    let endpoint = Endpoint {
        url: address.map(|address| format!("ws://{address}/rpc")),
        socket,
        token_file: config.runtime_dir.join("token"),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_level: prosed_protocol::API_LEVEL,
    };
    let settings = check::config(&config).map_err(failed(Exit::Other))?;
    let _settings = RunFile::settings(&config.runtime_dir, settings).map_err(failed(Exit::Storage))?;
    let _endpoint = RunFile::endpoint(&config.runtime_dir, &endpoint).map_err(failed(Exit::Storage))?;
    let places = [endpoint.url, endpoint.socket.map(|path| path.display().to_string())];
    let places = places.into_iter().flatten().collect::<Vec<_>>().join(", ");
    info!(%places, "ready");
    service::ready(&format!("listening on {places}"));
    let watchdog = service::watchdog().map(|patience| {
        tokio::spawn(watchdog::feed(patience, Arc::clone(&accounts), store.clone(), doors.pulse()))
    });

    let result = tokio::select! {
        signal = signals.next() => {
            info!(signal, "stopping");
            Ok(())
        }
        () = doors.failed() => Err((Exit::Other, anyhow!("the port and socket were closed unexpectedly: this is a bug"))),
    };
    service::stopping();
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    tokio::select! {
        () = stop(&accounts, &log, doors, &store) => {}
        signal = signals.next() => info!(signal, "stopping at once"),
    }
    result
}

/// Unavailable presences first, then everything else. UIs only see their connections end.
async fn stop(accounts: &Arc<Accounts>, log: &EventLog, doors: Doors, store: &Store) {
    let begun = Instant::now();
    log.close();
    if timeout(FAREWELLS_WITHIN, accounts.stop()).await.is_err() {
        warn!("not every server was told that we are leaving");
    }
    let closing = async { tokio::join!(doors.close(), store.shutdown()) };
    if timeout_at(begun + FAREWELLS_WITHIN + CLOSE_WITHIN, closing).await.is_err() {
        warn!("not everything ended in time");
    }
}

fn images(store: &Store) -> rpc::Images {
    let store = store.clone();
    Arc::new(move |id, size| {
        let store = store.clone();
        Box::pin(async move {
            match size {
                None => store.image(id).await,
                Some(size) => store.thumbnail(id, size).await,
            }
        })
    })
}
