//! The thread of one job: fetch, look up, play, store. Everything here may block.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use partita_queue::Job;
use serde_json::Value;
use tokio::runtime::Handle;

use super::control::Control;
use super::store;
use super::tell::Teller;
use crate::config::Config;
use crate::engine::{Core, TRACE};
use crate::family::{Made, Model, Report};
use crate::registry::InUse;
use crate::request::Input;
use crate::{Artifacts, Cache, Code, Fault, Request};

/// The span of a part of the work, for traces.
macro_rules! part {
    ($name:literal) => {
        tracing::info_span!(target: TRACE, $name)
    };
}

/// How long a job waits for models in use to make room for its own.
const ROOM: Duration = Duration::from_secs(10);

/// What a thread has to show for its work.
pub(super) struct Done {
    /// The stored outcome.
    pub value: Value,
    /// Seconds of playing; `None` when the result was there already.
    pub played: Option<f64>,
    /// Ids of the files that the outcome lists.
    pub files: Vec<String>,
}

/// A claimed job, with the configuration it keeps until its end.
pub(super) struct Task {
    pub core: Arc<Core>,
    pub job: Arc<Job>,
    /// Of its lease.
    pub fence: u64,
    pub config: Arc<Config>,
    pub control: Arc<Control>,
}

/// Does a job from its request to its stored files.
///
/// # Errors
/// `Cancelled` after it was told to stop; else what is wrong with the request, the model or the stores.
pub(super) fn perform(task: &Task, mut teller: Teller, runtime: &Handle) -> Result<Done, Fault> {
    let Task { core, job, control, .. } = task;
    let request: Request = serde_json::from_value(job.new.request.clone())
        .map_err(|error| Fault::internal(format_args!("the stored request cannot be read: {error}")))?;
    let began = Instant::now();
    teller.started(&job.new.model, seed(&job.new.request), job.attempts);
    let mut key = cache_key(task, &request)?;
    // Who listens is told the samples, which a file holds turned down or packed.
    let known = key.as_ref().filter(|_| !listens(&request));
    let known = known.and_then(|key| runtime.block_on(core.cache.get(key)));
    let hit = known.is_some();
    let mut made = if let Some(made) = known {
        core.counts.cache_hits.fetch_add(1, Ordering::Relaxed);
        teller.replay(&made.outcome);
        made
    } else {
        if key.is_some() {
            core.counts.cache_misses.fetch_add(1, Ordering::Relaxed);
        }
        let inputs = fetch(&core.artifacts, &request, runtime)?;
        let models = part!("load").in_scope(|| acquire(core, job, &request, control, &mut teller))?;
        if let Some(key) = key.as_mut().filter(|_| !models.is_empty()) {
            // They may have been exchanged since the look-up: what is kept is kept under what played.
            *key = Cache::key(&fingerprint(models.iter().map(|model| model.fingerprint())), &request);
        }
        let together = together(&models, &request)?;
        models.iter().for_each(|model| core.tally.follow(model));
        let model = together.as_ref().or(models.first().map(|model| &***model));
        let play = || (core.player)(&request, model, &inputs, &mut teller);
        let made = part!("generate").in_scope(play);
        models.iter().for_each(|model| core.tally.leave(model));
        together.iter().for_each(|model| core.tally.add(model.counts()));
        made?
    };
    let played = began.elapsed().as_secs_f64();
    made.outcome.updated |= control.is_updated();
    made.outcome.cache = match &key {
        Some(_) if hit => "hit",
        Some(key) if !made.outcome.updated => {
            made.outcome.cache = String::new();
            runtime.block_on(core.cache.put(key, &made));
            "miss"
        }
        _ => "bypass",
    }
    .to_owned();
    measure(&mut made, job, played, hit);
    if teller.progress("export", 1.0, 0, 0).is_break() {
        return Err(stopped());
    }
    let (outcome, files) = part!("store").in_scope(|| store::save(task, made, runtime))?;
    let value = serde_json::to_value(outcome).map_err(Fault::internal)?;
    Ok(Done { value, played: (!hit).then_some(played), files })
}

/// Whether somebody wants samples as they are made.
fn listens(request: &Request) -> bool {
    matches!(request, Request::Generate(body) if body.stream == Some(true))
}

/// What a thread says that was told to stop.
pub(super) fn stopped() -> Fault {
    Fault::new(Code::Cancelled, "the task was told to stop")
}

fn seed(request: &Value) -> Option<u64> {
    request["body"]["seed"].as_u64()
}

/// `None` for what is not kept: batches, whose items would push everything else out.
fn cache_key(task: &Task, request: &Request) -> Result<Option<String>, Fault> {
    if matches!(request, Request::Batch(_)) || task.config.cache.store == "off" {
        return Ok(None);
    }
    let registry = &task.core.registry;
    let models = names(&task.job, request).map(|name| registry.fingerprint(name));
    Ok(Some(Cache::key(&fingerprint(models.collect::<Result<Vec<_>, _>>()?), request)))
}

/// The models that play a request, its own first.
fn names<'a>(job: &'a Job, request: &'a Request) -> impl Iterator<Item = &'a str> {
    let own = Some(job.new.model.as_str()).filter(|name| !name.is_empty());
    own.into_iter().chain(request.others())
}

/// What decides the results of several models together.
fn fingerprint(models: impl IntoIterator<Item = String>) -> String {
    models.into_iter().collect::<Vec<_>>().join("\n")
}

/// The models of a request as one, if it names several.
fn together(models: &[Arc<InUse>], request: &Request) -> Result<Option<Model>, Fault> {
    let Some((own, others)) = models.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Ok(None);
    };
    let others: Vec<&Model> = others.iter().map(|other| &***other).collect();
    own.with(&others, request).map(Some)
}

/// The bytes of the files a request names.
fn fetch(
    artifacts: &Artifacts,
    request: &Request,
    runtime: &Handle,
) -> Result<HashMap<String, Vec<u8>>, Fault> {
    let mut inputs = HashMap::new();
    let Some(id) = input(request).and_then(|input| input.file_id.as_deref()) else { return Ok(inputs) };
    let bytes = runtime.block_on(async {
        let file = artifacts.find(id).await?.ok_or_else(|| gone(id))?;
        artifacts.read(id, 0..file.bytes).await
    })?;
    inputs.insert(id.to_owned(), bytes);
    Ok(inputs)
}

/// A file that a request names and that is not there.
pub(crate) fn gone(id: &str) -> Fault {
    Fault::field("#/input/file_id", "a file that is still kept", format_args!("{id:?}"))
}

/// The music a request works on.
pub(crate) fn input(request: &Request) -> Option<&Input> {
    match request {
        Request::Generate(_) | Request::Song(_) | Request::Batch(_) => None,
        Request::Arrange(body) => Some(&body.input),
        Request::Continue(body) => Some(&body.input),
        Request::Infill(body) => Some(&body.input),
        Request::Humanize(body) => Some(&body.input),
        Request::Harmonize(body) => Some(&body.input),
        Request::Render(body) => Some(&body.input),
        Request::Analyze(body) => Some(&body.input),
    }
}

/// The models of a job, its own first; waits a while when others fill the memory, and holds none meanwhile.
fn acquire(
    core: &Core,
    job: &Job,
    request: &Request,
    control: &Control,
    teller: &mut Teller,
) -> Result<Vec<Arc<InUse>>, Fault> {
    if job.new.model.is_empty() {
        return Ok(vec![]);
    }
    if teller.progress("load", 0.0, 0, 0).is_break() {
        return Err(stopped());
    }
    let began = Instant::now();
    loop {
        let models = names(job, request).map(|name| core.registry.acquire(name).map(Arc::new));
        match models.collect::<Result<Vec<_>, Fault>>() {
            // Without a time to come back it is larger than all the room there is.
            Err(fault)
                if fault.code == Code::ModelsFull
                    && fault.retry_after.is_some()
                    && began.elapsed() < ROOM =>
            {
                std::thread::sleep(Duration::from_millis(100));
                if control.is_stopped() {
                    return Err(stopped());
                }
            }
            result => return result,
        }
    }
}

fn measure(made: &mut Made, job: &Job, played: f64, hit: bool) {
    let metrics = &mut made.outcome.metrics;
    let waited = job.started_at.unwrap_or(job.created_at).saturating_sub(job.created_at);
    metrics.queue_ms = waited.max(0) as f64;
    metrics.generate_ms = (played * 1e6).round() / 1e3;
    if hit {
        metrics.tokens = 0;
    }
    let takes = made.outcome.takes.len().max(1) as f64;
    let music = made.outcome.duration_seconds.filter(|seconds| *seconds > 0.0);
    metrics.realtime_factor = music.map(|seconds| (seconds * takes / played.max(1e-6) * 10.0).round() / 10.0);
}
