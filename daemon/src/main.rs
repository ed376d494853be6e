//! The prosed daemon: a thin shell of I/O around the pure sessions of `prosed-session`.

mod accounts;
mod actor;
mod cache;
mod config;
mod credentials;
mod events;
mod files;
mod registry;
mod rpc;
mod service;
mod stream;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::sync::oneshot;
use tracing::{error, info};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use accounts::{Accounts, Shell};
use cache::{Store, StoreError};
use config::{Config, Flags};
use credentials::Credentials;
use events::EventLog;
use registry::{Registry, RegistryError};
use rpc::{Endpoint, EndpointFile, Services, Token, Translator};

/// Stopping takes no longer than this: farewells, the outbox, the streams' ends.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Threads for sessions and their streams; the cache and the doors have one of their own each.
const WORKERS: usize = 2;

/// Why the process ends, as its exit code says it.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Usage = 2,
    AlreadyRunning = 3,
    Address = 4,
    Storage = 5,
    Other = 1,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, error)) => {
            eprintln!("prosed: {error:#}");
            ExitCode::from(exit as u8)
        }
    }
}

type Failed = (Exit, anyhow::Error);

fn failed<E: Into<anyhow::Error>>(exit: Exit) -> impl FnOnce(E) -> Failed {
    move |error| (exit, error.into())
}

fn run(flags: Flags) -> Result<(), Failed> {
    let check_only = flags.check_config;
    let environment: BTreeMap<_, _> = std::env::vars_os().collect();
    let home = std::env::home_dir();
    let config = Config::resolve(flags, &environment, home.as_deref()).map_err(failed(Exit::Usage))?;
    let tls = stream::tls_config(config.extra_ca.as_deref()).map_err(failed(Exit::Usage))?;
    let filter = EnvFilter::builder().parse(&config.log);
    let filter =
        filter.with_context(|| format!("log filter «{}»", config.log)).map_err(failed(Exit::Usage))?;
    let caps = log_caps().map_err(failed(Exit::Other))?;
    if check_only {
        println!("the configuration is fine");
        return Ok(());
    }
    service::harden().map_err(failed(Exit::Other))?;
    let writer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(caps);
    tracing_subscriber::registry().with(writer).with(filter).init();
    service::make_folders(&config).map_err(failed(Exit::Storage))?;

    let registry = Registry::open(&config.data_dir).map_err(|error| match error {
        RegistryError::AlreadyRunning { .. } => (Exit::AlreadyRunning, error.into()),
        RegistryError::Io { .. } => (Exit::Storage, error.into()),
    })?;
    let store = Store::open(&config.cache_dir, registry.clone()).map_err(|error| match error {
        StoreError::InUse(_) => (Exit::AlreadyRunning, error.into()),
        StoreError::Io { .. } | StoreError::Unusable(_) => (Exit::Storage, error.into()),
    })?;
    let given = environment.get(OsStr::new("CREDENTIALS_DIRECTORY")).map(Path::new);
    let credentials = Credentials::open(config.secret_store, &config.data_dir, given)
        .with_context(|| format!("{}: the folder for secrets can't be made", config.data_dir.display()))
        .map_err(failed(Exit::Storage))?;
    let numbers = registry.clone();
    let log = EventLog::new(registry.seq_mark(), Box::new(move |next| numbers.reserve(next)));
    let log = Arc::new(log.map_err(failed(Exit::Storage))?);
    let doors = config.listen.map(|address| {
        TcpListener::bind(address)
            .with_context(|| format!("{address} can't be bound"))
            .map_err(failed(Exit::Address))
    });
    let doors = doors.transpose()?;

    let token = Token::load_or_create(&config.runtime_dir.join("token")).map_err(failed(Exit::Storage))?;
    let translator = Translator::new().map_err(failed(Exit::Other))?;
    let shell = Shell {
        store: store.clone(),
        registry,
        credentials,
        log: Arc::clone(&log),
        translator: translator.clone(),
        tls,
        overrides: config.accounts.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("session")
        .enable_all()
        .build()
        .map_err(failed(Exit::Other))?;
    let images = store.clone();
    let images: rpc::Images = Arc::new(move |id| {
        let images = images.clone();
        Box::pin(async move { images.image(id).await })
    });
    let services = |accounts| Services {
        accounts,
        log,
        translator,
        images,
        token,
        allowed_origins: config.allowed_origins.clone(),
    };
    runtime.block_on(serve(&config, shell, services, doors))?;
    runtime.block_on(store.shutdown());
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(())
}

/// What libraries may log of stanzas and secrets, whatever was asked for: a filter of its own, since
/// in the same one a directive for a part of a library would win over ours for the whole.
fn log_caps() -> anyhow::Result<Targets> {
    let caps = format!("trace,{},{}", stream::LOG_CAPS, credentials::LOG_CAPS);
    caps.parse().context("the caps on the log")
}

async fn serve(
    config: &Config,
    shell: Shell,
    services: impl FnOnce(Arc<Accounts>) -> Services,
    doors: Option<TcpListener>,
) -> Result<(), Failed> {
    let mut signals = service::StopSignals::new().map_err(failed(Exit::Other))?;
    let accounts = Accounts::start(shell, tokio::runtime::Handle::current());
    let (close, closed) = oneshot::channel::<()>();
    let mut opened = None;
    if let Some(listener) = doors {
        let address = listener.local_addr().map_err(failed(Exit::Address))?;
        let closed = async move {
            let _ = closed.await;
        };
        let thread =
            rpc::serve(listener, services(Arc::clone(&accounts)), closed).map_err(failed(Exit::Address))?;
        let endpoint = Endpoint {
            url: format!("ws://{address}/rpc"),
            socket: None,
            token_file: config.runtime_dir.join("token"),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            api_level: prosed_protocol::API_LEVEL,
        };
        let file = EndpointFile::write(&config.runtime_dir.join("endpoint.json"), &endpoint)
            .map_err(failed(Exit::Storage))?;
        info!(%address, "ready");
        service::ready(&format!("listening on {address}"));
        opened = Some((thread, file));
    }
    let signal = signals.next().await;
    info!(signal, "stopping");
    service::stopping();
    let farewell = async {
        if tokio::time::timeout(STOP_WITHIN, accounts.stop()).await.is_err() {
            error!("not every server has heard our farewell");
        }
    };
    tokio::select! {
        () = farewell => {}
        again = signals.next() => info!(signal = again, "stopping at once"),
    }
    drop(close);
    if let Some((thread, file)) = opened {
        drop(file);
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
    Ok(())
}
