//! What the parts of a running engine share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use partita_queue::{Job, JobId, Lane, Limits, Millis, Queue, State};
use tokio::sync::{Notify, watch};

use super::counts::Counts;
use super::speed::{Speeds, units};
use super::start::{Follow, Player};
use crate::config::Config;
use crate::worker::{Control, Tally, Why};
use crate::{Artifacts, Cache, Live, Registry};

/// How far the end of the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new jobs.
    Draining,
    /// Jobs at work go back to the queue.
    Stopping,
}

/// Shared by the front door and everything that works behind it.
pub(crate) struct Core {
    pub live: Arc<Live>,
    pub queue: Arc<dyn Queue>,
    pub registry: Arc<Registry>,
    pub artifacts: Arc<Artifacts>,
    pub cache: Cache,
    pub counts: Counts,
    pub speeds: Speeds,
    pub tally: Tally,
    pub player: Arc<Player>,
    pub follow: Option<Follow>,
    /// `host:pid:random`
    pub worker: String,
    /// Lanes this process may take jobs from.
    pub lanes: Vec<Lane>,
    pub started_at: Millis,
    /// The warm models are there.
    pub warm: AtomicBool,
    /// What the parts were last given; held while they are given it.
    applied: Mutex<Arc<Config>>,
    /// Tells that they have it.
    changes: watch::Sender<()>,
    phase: watch::Sender<Phase>,
    running: Mutex<HashMap<JobId, Arc<Control>>>,
    pokes: [Notify; Lane::ALL.len()],
    given_back: AtomicUsize,
    dispatchers: watch::Sender<usize>,
}

/// The parts a [`Core`] is made of.
pub(super) struct Parts {
    /// What they were opened with.
    pub config: Arc<Config>,
    pub live: Arc<Live>,
    pub queue: Arc<dyn Queue>,
    pub registry: Arc<Registry>,
    pub artifacts: Arc<Artifacts>,
    pub cache: Cache,
    pub player: Arc<Player>,
    pub follow: Option<Follow>,
    pub worker: String,
    pub lanes: Vec<Lane>,
    pub started_at: Millis,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Core {
        Core {
            live: parts.live,
            queue: parts.queue,
            registry: parts.registry,
            artifacts: parts.artifacts,
            cache: parts.cache,
            counts: Counts::default(),
            speeds: Speeds::default(),
            tally: Tally::default(),
            player: parts.player,
            follow: parts.follow,
            worker: parts.worker,
            lanes: parts.lanes,
            started_at: parts.started_at,
            warm: AtomicBool::new(false),
            applied: Mutex::new(parts.config),
            changes: watch::Sender::new(()),
            phase: watch::Sender::new(Phase::Running),
            running: Mutex::default(),
            pokes: Default::default(),
            given_back: AtomicUsize::new(0),
            dispatchers: watch::Sender::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to `phase`; never back.
    pub fn enter_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Returns once `phase` has begun.
    pub async fn reached(&self, phase: Phase) {
        // It fails only when the sender is gone, and `self` holds it.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Jobs of a lane this process does at once, by the configuration in force.
    pub fn width(&self, lane: Lane) -> usize {
        if self.lanes.contains(&lane) { lane_of(&self.live.get(), lane).workers } else { 0 }
    }

    pub fn visibility(&self) -> Duration {
        seconds(self.live.get().queue.visibility)
    }

    /// Lists a job as being at work while the answer lives.
    pub fn enter(self: &Arc<Self>, id: &JobId, control: Arc<Control>) -> Entry {
        self.running().insert(id.clone(), control.clone());
        // It may have begun to stop since the claim.
        if self.phase() == Phase::Stopping {
            control.stop(Why::Shutdown);
        }
        Entry { core: self.clone(), id: id.clone(), control }
    }

    /// Has a job look for a cancellation or new parameters.
    pub fn poke(&self, id: &JobId) {
        if let Some(control) = self.running().get(id) {
            control.poke.notify_one();
        }
    }

    pub fn stop_all(&self) {
        self.running().values().for_each(|control| control.stop(Why::Shutdown));
    }

    pub fn at_work(&self) -> usize {
        self.running().len()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Control>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a job was stored in `lane` by this process.
    pub async fn poked(&self, lane: Lane) {
        self.pokes[lane as usize].notified().await;
    }

    pub fn job_stored(&self, lane: Lane) {
        self.pokes[lane as usize].notify_one();
    }

    /// Counts jobs that went back to the queue.
    pub fn given_back(&self, jobs: usize) -> usize {
        self.given_back.fetch_add(jobs, Ordering::Relaxed) + jobs
    }

    /// Counts a lane as being served while the answer lives.
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.dispatchers.send_modify(|count| *count += 1);
        Serving(self.clone())
    }

    /// Returns once no lane is served any more and all their jobs have ended.
    pub async fn idle(&self) {
        let _ = self.dispatchers.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Learns the speed from a job that another process did; those done here are measured where they end.
    pub fn learn(&self, job: &Job) {
        if !self.lanes.is_empty() || job.state != State::Complete {
            return;
        }
        let (new, result) = (&job.new, job.result.as_ref());
        let millis = result
            .filter(|result| result["cache"] != "hit")
            .and_then(|r| r["metrics"]["generate_ms"].as_f64());
        if let Some(millis) = millis {
            self.speeds.learn(new.lane, &new.model, &new.kind, units(&new.request), millis / 1e3);
        }
    }

    /// Passes the configuration in force on to the parts that hold some of it, unless they have it; returns once they
    /// do. Reads the folder of models: not for async code.
    pub fn apply(&self) {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let config = self.live.get();
        if Arc::ptr_eq(&applied, &config) {
            return;
        }
        // First: a part that fails is not tried again for the same configuration.
        applied.clone_from(&config);
        self.queue.set_limits(limits(&config));
        self.registry.reconfigure(&config);
        self.artifacts.reconfigure(&config);
        self.cache.reconfigure(&config);
        self.changes.send_replace(());
    }

    /// Whether the parts have the configuration in force, as far as anybody can tell without waiting.
    pub fn is_applied(&self) -> bool {
        let applied = self.applied.try_lock();
        applied.is_ok_and(|applied| Arc::ptr_eq(&applied, &self.live.get()))
    }

    /// Sees each configuration that is put in force from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// A lane that is served.
pub(crate) struct Serving(Arc<Core>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.dispatchers.send_modify(|count| *count -= 1);
    }
}

/// A job in the list of those at work.
pub(crate) struct Entry {
    core: Arc<Core>,
    id: JobId,
    control: Arc<Control>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut running = self.core.running();
        // The same job may have come back here under a new lease.
        if running.get(&self.id).is_some_and(|control| Arc::ptr_eq(control, &self.control)) {
            running.remove(&self.id);
        }
    }
}

/// The configuration of a lane.
pub(super) fn lane_of(config: &Config, lane: Lane) -> &crate::config::Lane {
    match lane {
        Lane::Midi => &config.lanes.midi,
        Lane::Generation => &config.lanes.generation,
        Lane::Heavy => &config.lanes.heavy,
        Lane::Audio => &config.lanes.audio,
    }
}

/// What the queue is to take.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        queued: Lane::ALL.into_iter().map(|lane| (lane, lane_of(config, lane).max_queued)).collect(),
        per_owner: Some(config.limits.concurrent_per_key).filter(|limit| *limit > 0),
        visibility: seconds(config.queue.visibility),
        idempotency: seconds(config.queue.idempotency),
        events: config.queue.events,
        ..Limits::default()
    }
}

/// A time of the configuration; what cannot be a time counts as a day.
pub(super) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(86_400))
}
