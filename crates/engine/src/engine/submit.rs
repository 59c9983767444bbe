//! From a request to a stored job.

use std::time::Duration;

use partita_queue::{Job, JobId, NewJob, State, Submitted, Webhook, random_hex};

use super::core::seconds;
use super::start::blocking;
use super::{Accepted, Engine, Order, Phase};
use crate::request::groups::Ordered;
use crate::request::{End, WebhookRequest};
use crate::worker::{gone, input};
use crate::{Artifact, Code, Fault, Request, family};

/// Seconds after which another process may have taken over from one that drains.
const AFTER_DRAIN: u64 = 5;
/// The clocks of the store of tasks and of files may differ by so much.
const SLACK: Duration = Duration::from_secs(60);

impl Engine {
    /// Checks a request, fills in model and seed, and stores it as a job.
    ///
    /// # Errors
    /// `KeyReused` before all others; everything wrong with the request, with pointers; `QueueFull`, `TooManyTasks`, `NoSpace`,
    /// `Unavailable`.
    pub async fn submit(&self, request: Request, order: Order) -> Result<Accepted, Fault> {
        let core = &self.inner.core;
        if let Some((key, fingerprint)) = &order.idempotency
            && let Some(job) = core.queue.replay(order.owner.as_deref(), key, fingerprint).await?
        {
            // It was taken then; whatever would be wrong with it now does not matter.
            return Ok(Accepted { job, replayed: true });
        }
        if core.phase() != Phase::Running {
            let fault = Fault::new(Code::Unavailable, "this server is shutting down");
            return Err(Fault { retry_after: Some(AFTER_DRAIN), ..fault });
        }
        core.artifacts.has_room().await?;
        let config = core.live.get();
        let most = order.max_priority.unwrap_or(9).min(9);
        let (registry, settings) = (core.registry.clone(), config.clone());
        let most_bytes = config.server.max_upload_mb.saturating_mul(1 << 20);
        let file = match input(&request).and_then(|input| input.file_id.as_deref()) {
            Some(id) => self.music(id, most_bytes).await?,
            None => None,
        };
        let prepare = move || {
            let mut checked = match &file {
                Some(bytes) => {
                    let given = family::Given { bytes, field: "input/file_id" };
                    family::check_given(request, given, &registry, &settings)?
                }
                None => family::check(request, &registry, &settings)?,
            };
            let fields = ordered(&mut checked.request);
            let (priority, timeout) = (fields.priority.unwrap_or(5.min(most)), *fields.timeout);
            if priority > most {
                return Err(Fault::field("#/priority", format!("in 0..={most}"), priority));
            }
            let webhook = fields.webhook.as_ref().map(stored);
            if let Some(webhook) = fields.webhook {
                // The job holds it for whoever signs; the request is shown to whoever asks.
                webhook.secret = None;
            }
            let value = serde_json::to_value(&checked.request).map_err(Fault::internal)?;
            Ok::<_, Fault>((checked, value, priority, timeout, webhook))
        };
        let (checked, value, priority, timeout, webhook) = blocking(prepare).await??;
        let timeout = seconds(timeout.unwrap_or(config.queue.timeout));
        if let Some(id) = input(&checked.request).and_then(|input| input.file_id.as_deref()) {
            // Kept as long as the result could be, so that another try can read it too.
            let keep = timeout.saturating_add(seconds(config.retention.files)).saturating_add(SLACK);
            let file = core.artifacts.find(id).await?.ok_or_else(|| gone(id))?;
            usable(&file, most_bytes)?;
            core.artifacts.extend(id, keep).await?.ok_or_else(|| gone(id))?;
        }
        let now = core.queue.now().await?;
        let timeout = timeout.as_millis();
        let job = NewJob {
            id: JobId::new(),
            kind: kind(&checked.request).to_owned(),
            lane: checked.lane,
            priority: priority.min(9),
            model: checked.model,
            request: value,
            nonce: random_hex(16),
            deadline: Some(now.saturating_add(i64::try_from(timeout).unwrap_or(i64::MAX))),
            max_attempts: config.queue.max_attempts.max(1),
            webhook,
            idempotency: order.idempotency,
            request_id: order.request_id,
            trace: order.trace,
            owner: order.owner,
        };
        let lane = job.lane;
        let per_owner = job.owner.is_some().then_some(order.per_owner).flatten();
        let accepted = match core.queue.submit(job, per_owner).await? {
            Submitted::New(job) => Accepted { job, replayed: false },
            Submitted::Replayed(job) => Accepted { job, replayed: true },
        };
        core.job_stored(lane);
        Ok(accepted)
    }

    /// The bytes of a file that a request names; `None` where it is not there or cannot be music, which is told once the
    /// rest of the request has been checked.
    async fn music(&self, id: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        let artifacts = &self.inner.core.artifacts;
        let file = artifacts.find(id).await?.filter(|file| usable(file, most_bytes).is_ok());
        let Some(file) = file else { return Ok(None) };
        match artifacts.read(id, 0..file.bytes).await {
            Err(fault) if fault.code == Code::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Seconds until a job will have ended, from measured speed; 0 once it has.
    pub async fn estimate(&self, job: &Job) -> f64 {
        let core = &self.inner.core;
        if job.state.is_done() {
            return 0.0;
        }
        let lane = job.new.lane;
        let (mut ahead, mut elapsed, mut running) = (0, None, 0);
        if job.state == State::Queued {
            ahead = core.queue.position(&job.new.id).await.ok().flatten().unwrap_or(0);
            let stats = core.queue.stats().await.unwrap_or_default();
            running = stats.running.get(&lane).copied().unwrap_or(0);
        } else if let (Some(started), Ok(now)) = (job.started_at, core.queue.now().await) {
            elapsed = Some(now.saturating_sub(started).max(0) as f64 / 1e3);
        }
        let place = super::speed::Place {
            state: job.state,
            ahead,
            running,
            width: super::core::lane_of(&core.live.get(), lane).workers,
            fraction: job.progress.fraction,
            elapsed,
        };
        let units = super::units(&job.new.request);
        core.speeds.estimate(lane, &job.new.model, &job.new.kind, units, place)
    }
}

/// Whether a stored file can be the music of a request.
fn usable(file: &Artifact, most_bytes: u64) -> Result<(), Fault> {
    const FIELD: &str = "#/input/file_id";
    if file.media_type != "audio/midi" {
        return Err(Fault::field(FIELD, "a MIDI file (audio/midi)", &file.media_type));
    }
    if file.bytes > most_bytes {
        let allowed = format!("a file of at most {most_bytes} bytes");
        return Err(Fault::field(FIELD, allowed, format_args!("{} bytes", file.bytes)));
    }
    Ok(())
}

/// Name of a verb, as tasks show it.
fn kind(request: &Request) -> &'static str {
    match request {
        Request::Generate(_) => "generate",
        Request::Continue(_) => "continue",
        Request::Infill(_) => "infill",
        Request::Humanize(_) => "humanize",
        Request::Harmonize(_) => "harmonize",
        Request::Arrange(_) => "arrange",
        Request::Song(_) => "song",
        Request::Render(_) => "render",
        Request::Analyze(_) => "analyze",
        Request::Batch(_) => "batch",
    }
}

fn ordered(request: &mut Request) -> Ordered<'_> {
    match request {
        Request::Generate(body) => body.ordered(),
        Request::Continue(body) => body.ordered(),
        Request::Infill(body) => body.ordered(),
        Request::Humanize(body) => body.ordered(),
        Request::Harmonize(body) => body.ordered(),
        Request::Arrange(body) => body.ordered(),
        Request::Song(body) => body.ordered(),
        Request::Render(body) => body.ordered(),
        Request::Analyze(body) => body.ordered(),
        Request::Batch(body) => body.ordered(),
    }
}

/// A webhook as the queue keeps it.
fn stored(webhook: &WebhookRequest) -> Webhook {
    let state = |end: &End| match end {
        End::Complete => State::Complete,
        End::Failed => State::Failed,
        End::Cancelled => State::Cancelled,
    };
    Webhook {
        url: webhook.url.clone(),
        events: webhook.events.iter().flatten().map(state).collect(),
        secret: webhook.secret.clone(),
    }
}
