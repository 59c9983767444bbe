//! Opening everything and starting the workers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use partita_queue::sqlite::Sqlite;
use partita_queue::{Job, Lane, Limits, Queue, random_hex};
use tokio::task::JoinSet;

use super::core::{Parts, limits};
use super::{Core, Engine, Inner, Phase, keep};
use crate::config::Config;
use crate::family::{Made, Model, Report};
use crate::{Artifacts, Cache, Code, Fault, Live, Registry, Request, family, worker};

/// What plays a request: see [`family::play`].
pub type Player = dyn Fn(&Request, Option<&Model>, &HashMap<String, Vec<u8>>, &mut dyn Report) -> Result<Made, Fault>
    + Send
    + Sync;

/// Makes the span of a try of a job part of the trace that the job came with. See [`TRACE`](super::TRACE).
pub type Follow = fn(&tracing::Span, &Job);

/// What an engine does besides taking requests.
#[derive(Clone)]
pub struct Options {
    /// Lanes to take jobs from; all if `None`. `lanes.*.workers` of the configuration says how many at once.
    pub lanes: Option<Vec<Lane>>,
    /// `false` leaves all jobs to other processes.
    pub workers: bool,
    /// Who plays; the model families if `None`.
    pub player: Option<Arc<Player>>,
    /// `None` where nobody traces.
    pub follow: Option<Follow>,
}

impl Default for Options {
    fn default() -> Options {
        Options { lanes: None, workers: true, player: None, follow: None }
    }
}

impl Engine {
    /// Opens the queue, the files and the catalogue that the configuration names, and starts `workers` for the lanes
    /// that have any there.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn start(live: Arc<Live>) -> Result<Engine, Fault> {
        Engine::start_with(live, Options::default()).await
    }

    /// As [`Engine::start`], with a say in what this process works on.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn start_with(live: Arc<Live>, options: Options) -> Result<Engine, Fault> {
        let config = live.get();
        let queue = open_queue(&config).await?;
        let started_at = queue.now().await?;
        let artifacts = Artifacts::open(&config).await?;
        let cache = Cache::open(&config).await?;
        let registry = {
            let config = config.clone();
            blocking(move || Registry::open(&config)).await??
        };
        let lanes = options.lanes.unwrap_or_else(|| Lane::ALL.to_vec());
        let core = Arc::new(Core::new(Parts {
            config,
            live,
            queue,
            registry: Arc::new(registry),
            artifacts: Arc::new(artifacts),
            cache,
            player: options.player.unwrap_or_else(|| Arc::new(family::play)),
            follow: options.follow,
            worker: format!("{}:{}:{}", host(), std::process::id(), random_hex(4)),
            lanes: if options.workers { lanes } else { vec![] },
            started_at,
        }));
        let mut tasks = JoinSet::new();
        for &lane in &core.lanes {
            let serving = core.serve();
            let dispatch = worker::dispatch(core.clone(), lane);
            tasks.spawn(async move {
                dispatch.await;
                drop(serving);
            });
        }
        if !core.lanes.is_empty() {
            tasks.spawn(worker::listen(core.clone()));
        }
        tasks.spawn(warm(core.clone()));
        tasks.spawn(keep::house(core.clone()));
        tasks.spawn(keep::clean_often(core.clone()));
        Ok(Engine { inner: Arc::new(Inner { core, tasks: tokio::sync::Mutex::new(tasks) }) })
    }
}

/// Loads the models that are to be there before the first request; those that fail are tried again, because files may
/// still be on their way.
async fn warm(core: Arc<Core>) {
    let mut pause = std::time::Duration::from_secs(1);
    loop {
        let config = core.live.get();
        let plays = Lane::ALL.into_iter().any(|lane| lane != Lane::Midi && core.width(lane) > 0);
        let is_loaded = !plays || {
            let core = core.clone();
            let load = move || {
                let failed = core.registry.warm(&config.models.warm);
                for (model, fault) in &failed {
                    tracing::error!(model, error = %fault, "a model cannot be loaded");
                }
                failed.is_empty()
            };
            blocking(load).await.unwrap_or(false)
        };
        if is_loaded {
            core.warm.store(true, Ordering::Release);
            return;
        }
        tokio::select! {
            () = core.reached(Phase::Draining) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(std::time::Duration::from_secs(30));
    }
}

/// The queue that the configuration names.
pub(super) async fn open_queue(config: &Config) -> Result<Arc<dyn Queue>, Fault> {
    let limits = limits(config);
    match config.queue.url.as_str() {
        ":memory:" => open_sqlite(move || Sqlite::in_memory(limits)).await,
        "sqlite" => open_file(&config.data_dir().join("tasks.sqlite3"), limits).await,
        url if url.starts_with("sqlite:") => open_file(Path::new(&url["sqlite:".len()..]), limits).await,
        #[cfg(feature = "redis")]
        url if url.starts_with("redis") => Ok(Arc::new(config.queue.redis(limits).await?)),
        url => Err(partita_queue::Error::Place(crate::config::hide(url)).into()),
    }
}

async fn open_file(path: &Path, limits: Limits) -> Result<Arc<dyn Queue>, Fault> {
    let path = path.to_owned();
    if let Some(folder) = path.parent() {
        let mut builder = tokio::fs::DirBuilder::new();
        // What is in it is for the owner's eyes only.
        #[cfg(unix)]
        builder.mode(0o700);
        builder.recursive(true).create(folder).await.map_err(|error| {
            let (folder, why) = (folder.display(), error.kind());
            Fault::new(Code::Unavailable, format_args!("storage.data_dir {folder} cannot be made: {why}"))
        })?;
    }
    open_sqlite(move || Sqlite::open(&path, limits)).await
}

async fn open_sqlite(
    open: impl FnOnce() -> partita_queue::Result<Sqlite> + Send + 'static,
) -> Result<Arc<dyn Queue>, Fault> {
    Ok(Arc::new(blocking(open).await??))
}

/// Runs what would hold up an async thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Fault::internal("a step stopped on a defect of the program"))
}

/// Name of this machine, as far as it has one.
fn host() -> String {
    let file = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = file.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    let name: String =
        name.unwrap_or_default().trim().chars().filter(|c| !c.is_control() && *c != ':').collect();
    if name.is_empty() { "host".into() } else { name }
}
