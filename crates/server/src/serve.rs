//! From a configuration to a server that runs, and from a signal to one that has stopped with nothing lost.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use partita_engine::{Engine, Fault, Live, Options};
use partita_queue::Lane;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::guard::{BindError, check_bind};
use crate::log::{self, LogError};
use crate::signal::{Signal, Signals};
use crate::{App, listen, webhook};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Engine(#[from] Fault),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot listen on {host}:{port}: {error}")]
    Listen { host: String, port: u16, error: std::io::Error },
    #[error(
        "--host (server.host) must be an address of this machine or a name of one, such as 127.0.0.1, ::1, localhost, \
         or 0.0.0.0 for all, got {host:?}, {why}"
    )]
    Host { host: String, why: &'static str },
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
}

/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What streams and slow clients get to end after the last task.
const PARTING: Duration = Duration::from_secs(2);

/// TLS of outgoing calls. Whoever came first decides; every part of the process uses the same.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// As many open files as the system lets this process have: each connection is one, and the usual 1024 is fewer than
/// `limits.max_streams`.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // What cannot be raised stays: connections beyond it are told so one by one.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// Runs the API and its workers until SIGTERM or SIGINT; calls `ready` once it listens.
///
/// # Errors
/// What keeps it from starting. Once it listens, it ends well.
pub async fn serve(live: Arc<Live>, ready: impl FnOnce(SocketAddr) + Send) -> Result<(), ServeError> {
    let _log = log::start(&live.get().log)?;
    let signals = Signals::new().map_err(ServeError::Signals)?;
    serve_until(live, ready, signals).await
}

async fn serve_until(
    live: Arc<Live>,
    ready: impl FnOnce(SocketAddr) + Send,
    mut signals: Signals,
) -> Result<(), ServeError> {
    install_crypto();
    raise_file_limit();
    let config = live.get();
    resolve(&config).await?;
    let options = Options { follow: Some(log::follow), ..Options::default() };
    let engine = Engine::start_with(live.clone(), options).await?;
    let listener = match listener(&live, &engine).await {
        Ok(listener) => listener,
        Err(error) => {
            engine.drain(Duration::ZERO).await;
            return Err(error);
        }
    };
    let app = App::new(engine.clone());
    share_quotas(&app, &config).await;
    let stop = listen::Stop::default();
    let limits = listen::Limits {
        connections: config.server.max_connections,
        header_timeout: seconds(config.server.header_timeout),
        ..listen::Limits::default()
    };
    let address = listener.local_addr().map_err(|error| listen_error(&config, error))?;
    let server = tokio::spawn(listen::serve(listener, crate::router(&app), limits, stop.clone()));
    let webhooks = tokio::spawn(webhook::run(app.clone(), stop.stop.clone()));
    let watcher = tokio::spawn(watch_file(engine.clone(), stop.stop.clone()));
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    ready(address);

    wait_for_stop(&engine, &mut signals, || app.guard.audit().reopen()).await;
    // First no new tasks; those at work end while others still look at them, cancel them and watch them, and their
    // webhooks are called. Then streams and connections.
    app.closing.cancel();
    let ending = async {
        drain(&engine, &live).await;
        app.parting.cancel();
        stop.stop.cancel();
        let (calls, cut) = (webhooks.abort_handle(), stop.abort.clone());
        let late = async {
            tokio::time::sleep(PARTING).await;
            cut.cancel();
            // A call that is cut off is made again by the next process.
            calls.abort();
            std::future::pending::<()>().await;
        };
        let ends = async {
            wait(server).await;
            // Sockets are no connections of the server's any more; they say goodbye by themselves.
            app.streams.ended().await;
            wait_cut(webhooks).await;
            wait(watcher).await;
        };
        tokio::select! {
            () = ends => {}
            () = late => {}
        }
    };
    unless_told_again(ending, &mut signals).await;
    stop.abort.cancel();
    let closing = app.clone();
    let flushed = tokio::task::spawn_blocking(move || closing.guard.audit().flush(Duration::from_secs(2)));
    wait(flushed).await;
    tracing::info!("stopped");
    Ok(())
}

async fn listener(live: &Live, engine: &Engine) -> Result<TcpListener, ServeError> {
    let config = live.get();
    check_bind(&config, engine.queue().as_ref()).await?;
    let place = (bare(&config.server.host), config.server.port);
    TcpListener::bind(place).await.map_err(|error| listen_error(&config, error))
}

/// A host as the system takes it: without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether the host to listen on is known, before anything is opened.
///
/// # Errors
/// `Host`
async fn resolve(config: &partita_engine::Config) -> Result<(), ServeError> {
    let host = bare(&config.server.host);
    let found = tokio::net::lookup_host((host, config.server.port)).await;
    if found.is_ok_and(|mut addresses| addresses.next().is_some()) {
        return Ok(());
    }
    Err(ServeError::Host { host: host.to_owned(), why: "a name that nobody knows" })
}

fn listen_error(config: &partita_engine::Config, error: std::io::Error) -> ServeError {
    let host = config.server.host.clone();
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => ServeError::Host { host, why: "which is elsewhere" },
        _ => ServeError::Listen { host, port: config.server.port, error },
    }
}

/// Runs workers without HTTP until SIGTERM or SIGINT: tasks come from the queue that the configuration names.
///
/// # Errors
/// What keeps them from starting.
pub async fn work(live: Arc<Live>, lanes: Vec<Lane>) -> Result<(), ServeError> {
    let _log = log::start(&live.get().log)?;
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    install_crypto();
    let options = Options { lanes: Some(lanes.clone()), follow: Some(log::follow), ..Options::default() };
    let engine = Engine::start_with(live.clone(), options).await?;
    let stop = CancellationToken::new();
    let watcher = tokio::spawn(watch_file(engine.clone(), stop.clone()));
    tracing::info!(?lanes, version = env!("CARGO_PKG_VERSION"), "working");
    wait_for_stop(&engine, &mut signals, || {}).await;
    stop.cancel();
    let ending = async {
        drain(&engine, &live).await;
        wait(watcher).await;
    };
    unless_told_again(ending, &mut signals).await;
    tracing::info!("stopped");
    Ok(())
}

/// Returns at the first signal to stop; reloads at each SIGHUP before.
async fn wait_for_stop(engine: &Engine, signals: &mut Signals, on_hangup: impl Fn()) {
    loop {
        match signals.next().await {
            Signal::Stop => return,
            Signal::Hangup => {
                on_hangup();
                reload(engine).await;
            }
        }
    }
}

async fn unless_told_again(ending: impl Future<Output = ()>, signals: &mut Signals) {
    let again = async { while signals.next().await != Signal::Stop {} };
    tokio::select! {
        () = ending => {}
        () = again => tracing::warn!("stopping at once; tasks at work are found by the next process"),
    }
}

async fn drain(engine: &Engine, live: &Live) {
    let grace = live.get().server.drain;
    tracing::info!(grace, "stopping");
    let requeued = engine.drain(seconds(grace)).await;
    if requeued > 0 {
        tracing::info!(requeued, "tasks went back to the queue");
    }
}

/// Reloads the configuration when its file changes, without being told.
async fn watch_file(engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let looked = engine.live().clone();
        let changed = tokio::task::spawn_blocking(move || looked.file_changed()).await;
        if changed.unwrap_or(false) {
            reload(&engine).await;
        }
    }
}

/// Reads the configuration again and tells what came of it. The old one stays in force if anything is wrong.
async fn reload(engine: &Engine) {
    match engine.reload().await {
        Ok(reloaded) => {
            let (changed, restart) = (reloaded.changed.join(", "), reloaded.needs_restart.join(", "));
            tracing::info!(changed, "configuration reloaded");
            if !restart.is_empty() {
                tracing::warn!(keys = restart, "changed keys that need a restart keep their old values");
            }
        }
        Err(wrong) => {
            for invalid in wrong {
                tracing::error!(error = %invalid, "configuration not reloaded; the old one stays in force");
            }
        }
    }
}

/// Lets servers that share a queue in Redis count together.
async fn share_quotas(app: &App, config: &partita_engine::Config) {
    if !config.queue.url.starts_with("redis") {
        return;
    }
    let limits = partita_queue::Limits::default();
    match config.queue.redis(limits).await {
        Ok(redis) => app.guard.share_quotas(partita_queue::rate::RateLimiter::Redis(Arc::new(redis))),
        Err(error) => tracing::warn!(%error, "quotas are counted by this server alone"),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// As [`wait`], for a task that may have been cut off on purpose.
async fn wait_cut<T>(task: tokio::task::JoinHandle<T>) {
    match task.await {
        Err(error) if !error.is_cancelled() => tracing::error!(%error, "a part of the server ended early"),
        _ => {}
    }
}

async fn wait<T>(task: tokio::task::JoinHandle<T>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part of the server ended early");
    }
}

#[cfg(test)]
mod tests {
    use partita_engine::config::Sources;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_changed_file_is_read_without_a_signal_and_a_wrong_one_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("partita.yaml");
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write("limits: {tasks_per_hour: 1}");
        let data = dir.path().to_str().expect("a plain path");
        let flags = [("storage.data_dir", data), ("queue.url", ":memory:"), ("models.warm", "[]")];
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { file: Some(file.clone()), flags, ..Sources::default() };
        let live = Arc::new(Live::open(sources).expect("a configuration"));
        let engine = Engine::start_with(live.clone(), Options { workers: false, ..Options::default() });
        let engine = engine.await.expect("an engine");
        let stop = CancellationToken::new();
        let watcher = tokio::spawn(watch_file(engine, stop.clone()));
        for (text, expected) in [
            ("limits: {tasks_per_hour: 2}", 2),
            ("limits: {tasks_per_hour: many}", 2),
            ("limits: {tasks_per_hour: 3}\nserver: {port: 9}", 3),
        ] {
            write(text);
            let started = std::time::Instant::now();
            while live.file_changed() || live.get().limits.tasks_per_hour != expected {
                assert!(started.elapsed() < 20 * LOOK, "{text} is never read");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(live.get().server.port, 8000, "the port needs a restart");
        stop.cancel();
        watcher.await.expect("it ends");
    }
}
