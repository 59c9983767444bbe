//! What only this process knows: leases, watchers, sleepers and workers.
//!
//! Leases run by the monotonic clock, so a jump of the wall clock takes no job away. Nothing here is needed after a
//! crash: whoever held a lease is gone then.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Notify;

use super::clock::Clock;
use super::log::Logs;
use crate::{Beat, JobId, Lane, Lease, Limits, Progress, Stats, WorkerInfo};

/// Live changes kept for one heartbeat; older ones are overtaken.
const UPDATES: usize = 64;

pub struct Shared {
    live: Mutex<Live>,
    limits: RwLock<Limits>,
    /// As of the last commit.
    stats: Mutex<Stats>,
    lanes: [Notify; Lane::ALL.len()],
    pub control: Notify,
}

pub struct Live {
    pub clock: Clock,
    pub running: HashMap<JobId, Running>,
    pub logs: Logs,
    /// Jobs to look after: cancelled or updated.
    pub control: Vec<JobId>,
    pub workers: BTreeMap<String, (WorkerInfo, Instant)>,
    /// Deliveries that somebody makes, until then.
    pub deliveries: HashMap<String, Instant>,
}

/// A job that is held.
pub struct Running {
    pub fence: u64,
    pub until: Instant,
    pub cancelled: bool,
    pub updates: Vec<Value>,
    pub progress: Progress,
}

impl Shared {
    pub fn new(limits: Limits, opening: u64) -> Shared {
        let live = Live {
            clock: Clock::new(),
            running: HashMap::new(),
            logs: Logs::new(opening),
            control: Vec::new(),
            workers: BTreeMap::new(),
            deliveries: HashMap::new(),
        };
        Shared {
            live: Mutex::new(live),
            limits: RwLock::new(limits),
            stats: Mutex::default(),
            lanes: Default::default(),
            control: Notify::new(),
        }
    }

    /// Held for moments only: nobody waits or writes a file meanwhile.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn limits(&self) -> Limits {
        self.limits.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(std::sync::PoisonError::into_inner) = limits;
    }

    pub fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn set_stats(&self, stats: &Stats) {
        self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone_from(stats);
    }

    /// Who waits for jobs of a lane. A call that finds nobody waiting is kept for the next who does.
    pub fn lane(&self, lane: Lane) -> &Notify {
        &self.lanes[lane as usize]
    }
}

impl Live {
    pub fn heartbeat(&mut self, lease: &Lease, progress: &Progress, limits: &Limits) -> Beat {
        let now = Instant::now();
        match self.running.get_mut(&lease.id) {
            // A lease that has run out is lost even before the reaper sees it, so the two never disagree.
            Some(running) if running.fence == lease.fence && now < running.until => {
                running.until = now + limits.visibility;
                running.progress = progress.clone();
                let updates = std::mem::take(&mut running.updates);
                Beat { lost: false, cancelled: running.cancelled, updates }
            }
            _ => Beat { lost: true, ..Beat::default() },
        }
    }

    pub fn holds(&self, lease: &Lease) -> bool {
        self.running.get(&lease.id).is_some_and(|running| running.fence == lease.fence)
    }

    pub fn update(&mut self, id: &JobId, parameters: Value) -> bool {
        let Some(running) = self.running.get_mut(id) else { return false };
        if running.updates.len() == UPDATES {
            running.updates.remove(0);
        }
        running.updates.push(parameters);
        self.mark(id);
        true
    }

    /// Forgets workers that said nothing for `silence`.
    pub fn workers_seen(&mut self, silence: Duration) {
        self.workers.retain(|_, (_, seen)| seen.elapsed() < silence);
    }

    /// Has the holder of a job look at it.
    pub fn mark(&mut self, id: &JobId) {
        if !self.control.contains(id) {
            self.control.push(id.clone());
        }
    }

    /// Nobody holds the job any longer.
    pub fn let_go(&mut self, id: &JobId) {
        self.running.remove(id);
        self.control.retain(|other| other != id);
    }
}
