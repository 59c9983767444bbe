//! The front door: requests in, jobs and results out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partita_queue::{Job, JobId, Queue};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use crate::config::{Invalid, Reloaded};
use crate::request::WebhookRequest;
use crate::request::problems::Problems;
use crate::{Artifacts, Code, Config, Fault, Live, ModelInfo, Registry, family};

mod core;
mod counts;
mod keep;
mod keys;
mod speed;
mod start;
mod submit;
mod time;
mod update;

pub(crate) use self::core::{Core, Phase};
pub use keys::open_keys;
pub(crate) use speed::units;
pub use start::{Follow, Options, Player};
pub use time::rfc3339;

use start::blocking;

/// Target of spans that are for traces alone, not for the log.
pub const TRACE: &str = "partita_trace";

/// What a job needs besides its request.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Id of the API key.
    pub owner: Option<String>,
    /// The key's own limit of tasks at once.
    pub per_owner: Option<usize>,
    /// `(key, fingerprint)`; the fingerprint is a hash of the request as it came.
    pub idempotency: Option<(String, String)>,
    pub request_id: String,
    /// `traceparent` (W3C Trace Context) that the work belongs to, and on a second line `tracestate` if there is one;
    /// empty if nobody traces it.
    pub trace: String,
    /// The highest priority this caller may ask for, `0..=9`; 9 if `None`.
    pub max_priority: Option<u8>,
}

/// A stored job.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub job: Job,
    /// The idempotency key had brought it before.
    pub replayed: bool,
}

/// What a clean-up removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cleaned {
    pub tasks: u64,
    pub files: u64,
    pub bytes: u64,
    pub models_unloaded: u64,
}

/// Counts since the start, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// Ends by `(kind, model, status)`, with the sum of seconds and the count in each bucket of `BUCKETS`.
    pub tasks: Vec<TaskNumbers>,
    pub tokens: u64,
    /// Decoder steps, and sequences in them: their ratio is the mean batch.
    pub steps: u64,
    pub step_sequences: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub cache_bytes: u64,
    /// Tasks at work in this process.
    pub running: u64,
    /// Tokens a second over the last ten seconds.
    pub tokens_per_second: f64,
    /// `(name@version, bytes)`
    pub model_memory: Vec<(String, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskNumbers {
    pub kind: String,
    pub model: String,
    /// `complete`, `failed` or `cancelled`; `retried` after a failure that another try follows; `released` when it went
    /// back to the queue; `lost` when its lease did.
    pub status: String,
    pub count: u64,
    pub seconds: f64,
    /// Tasks that took at most `BUCKETS[i]` seconds from claim to end.
    pub buckets: Vec<u64>,
}

/// Everything behind a front end. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.enter_phase(Phase::Stopping);
        self.core.stop_all();
        // They see the phase, give their jobs back and end; cut off, they could not.
        self.tasks.get_mut().detach_all();
    }
}

/// Before events are asked for again that were cut off.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the jobs that go back to the queue may take to stop.
const STOP: Duration = Duration::from_secs(5);

impl Engine {
    /// Bounds of the buckets of [`TaskNumbers`], seconds.
    pub const BUCKETS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.inner.core.live.get()
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.inner.core.live
    }

    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.inner.core.queue
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.inner.core.registry
    }

    pub fn artifacts(&self) -> &Arc<Artifacts> {
        &self.inner.core.artifacts
    }

    /// Name of this process among the workers: `host:pid:random`.
    pub fn worker(&self) -> &str {
        &self.inner.core.worker
    }

    /// The job when it has ended, or as it is after `wait`.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn finished(&self, id: &JobId, wait: Duration) -> Result<Job, Fault> {
        let job = self.job(id).await?;
        if job.state.is_done() || wait.is_zero() {
            return Ok(job);
        }
        let queue = self.queue();
        let last = async {
            let mut seen = 0;
            loop {
                let Some(mut events) = queue.subscribe(id, seen).await? else { return Ok(()) };
                while let Some(event) = events.next().await {
                    if event.kind.is_last() {
                        return Ok(());
                    }
                    seen = event.sequence.max(seen);
                }
                // Cut off before the end: its reader was too slow, or the store was away for a moment.
                if self.job(id).await?.state.is_done() {
                    return Ok::<_, Fault>(());
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        if let Ok(ended) = tokio::time::timeout(wait, last).await {
            ended?;
        }
        let job = self.job(id).await?;
        self.inner.core.learn(&job);
        Ok(job)
    }

    async fn job(&self, id: &JobId) -> Result<Job, Fault> {
        let job = self.queue().get(id).await?;
        job.ok_or_else(|| Fault::new(Code::NotFound, format_args!("no task is called {id}")))
    }

    /// Checks live parameters (`temperature`, `top_k`, `top_p`) and passes them to a running job. `false` unless it runs.
    ///
    /// # Errors
    /// Ranges, `NotFound`.
    pub async fn update(&self, id: &JobId, parameters: serde_json::Value) -> Result<bool, Fault> {
        update::check(&parameters)?;
        if self.queue().update(id, parameters).await? {
            return Ok(true);
        }
        self.job(id).await.map(|_| false)
    }

    /// Stores an upload, so that requests can name it as `file_id`.
    ///
    /// # Errors
    /// `InvalidMidi` for what is no music or too large to work on, `InvalidRequest` for too many bytes, `NoSpace`.
    pub async fn upload(&self, name: &str, bytes: Vec<u8>) -> Result<crate::Artifact, Fault> {
        let config = self.config();
        let most = config.server.max_upload_mb.saturating_mul(1 << 20);
        if bytes.len() as u64 > most {
            let allowed = format!("at most {most} bytes");
            return Err(Fault::field("#/file", allowed, format_args!("{} bytes", bytes.len())));
        }
        self.artifacts().has_room().await?;
        let bytes = blocking(move || family::check_upload(&bytes).map(|()| bytes)).await??;
        let id = Artifacts::random_id();
        let keep = core::seconds(config.retention.files);
        self.artifacts().put(&id, name, "audio/midi", "", keep, bytes).await
    }

    /// Every model, as [`Registry::list`], without holding up an async thread.
    ///
    /// # Errors
    /// `Internal`.
    pub async fn models(&self) -> Result<Vec<ModelInfo>, Fault> {
        let registry = self.registry().clone();
        blocking(move || registry.list()).await
    }

    /// Whether a webhook's URL and secret may be used.
    ///
    /// # Errors
    /// With pointers under `#/webhook`.
    pub fn check_webhook(webhook: &WebhookRequest) -> Result<(), Fault> {
        let mut problems = Problems::default();
        crate::request::webhook::check(webhook, &mut problems);
        problems.finish()
    }

    /// Reads the configuration again and passes it on; jobs at work keep the old one. When it returns, the new one is in
    /// force in every part of this process.
    ///
    /// # Errors
    /// Everything wrong with it; the old one stays in force.
    pub async fn reload(&self) -> Result<Reloaded, Vec<Invalid>> {
        let core = self.inner.core.clone();
        let reload = move || {
            let reloaded = core.live.reload()?;
            core.apply();
            Ok(reloaded)
        };
        // Files are read, which may take a while on a slow disk.
        tokio::task::spawn_blocking(reload).await.unwrap_or_else(|_| {
            let message = "the configuration could not be put in force: a defect of the program".to_owned();
            Err(vec![Invalid { key: String::new(), place: "reload".into(), message }])
        })
    }

    /// Removes what has been kept long enough, and unloads idle models.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn clean(&self) -> Result<Cleaned, Fault> {
        keep::clean(&self.inner.core).await
    }

    pub fn numbers(&self) -> Numbers {
        use std::sync::atomic::Ordering::Relaxed;
        let core = &self.inner.core;
        let models = core.tally.total();
        Numbers {
            tasks: core.counts.tasks(),
            tokens: models.tokens,
            steps: models.steps,
            step_sequences: models.stepped,
            cache_hits: core.counts.cache_hits.load(Relaxed),
            cache_misses: core.counts.cache_misses.load(Relaxed),
            cache_bytes: core.cache.bytes(),
            running: core.at_work() as u64,
            tokens_per_second: core.counts.rate(Instant::now(), models.tokens),
            model_memory: core.registry.memory(),
        }
    }

    /// Whether the warm models are loaded and the queue can be reached.
    pub async fn is_ready(&self) -> bool {
        let core = &self.inner.core;
        if core.phase() != Phase::Running || !core.warm.load(std::sync::atomic::Ordering::Acquire) {
            return false;
        }
        matches!(tokio::time::timeout(Duration::from_secs(2), core.queue.stats()).await, Ok(Ok(_)))
    }

    /// Takes no more jobs; gives those at work `grace` to finish, then back to the queue. Returns how many went back.
    pub async fn drain(&self, grace: Duration) -> usize {
        let core = &self.inner.core;
        core.enter_phase(Phase::Draining);
        let mut tasks = self.inner.tasks.lock().await;
        let _ = tokio::time::timeout(grace, core.idle()).await;
        core.enter_phase(Phase::Stopping);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, ended).await.is_err() {
            tracing::warn!("some tasks have not stopped; their leases run out by themselves");
        }
        core.given_back(0)
    }
}
