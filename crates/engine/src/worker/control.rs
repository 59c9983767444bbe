//! What the two halves of a job share: the thread that plays it and the task that looks after it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use partita_queue::Progress;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::family::Change;
use crate::request::whole;

/// Why a job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Cancelled,
    Deadline,
    /// The process ends; the job goes back to the queue.
    Shutdown,
    /// The lease is somebody else's: nobody is told of anything any more.
    Lost,
}

/// One job at work.
#[derive(Default)]
pub(crate) struct Control {
    stopped: AtomicBool,
    why: watch::Sender<Option<Why>>,
    /// A reason for a heartbeat ahead of time.
    pub poke: Notify,
    /// The thread is done; nothing more will be told.
    pub ended: Notify,
    told: Mutex<Told>,
    /// What has not yet been seen by the thread.
    change: Mutex<Option<Change>>,
    updated: AtomicBool,
}

#[derive(Default)]
struct Told {
    progress: Progress,
    /// Since the last heartbeat.
    changed: bool,
}

impl Control {
    /// Stops the job at its next token. The first reason stays, but for a lost lease, which silences all others.
    pub fn stop(&self, why: Why) {
        self.why.send_if_modified(|now| {
            let counts = now.is_none() || (why == Why::Lost && *now != Some(Why::Lost));
            if counts {
                *now = Some(why);
            }
            counts
        });
        self.stopped.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub fn why(&self) -> Option<Why> {
        *self.why.borrow()
    }

    /// Returns once the job was told to stop.
    pub async fn stopped(&self) {
        // It fails only when the sender is gone, and `self` holds it.
        let _ = self.why.subscribe().wait_for(Option::is_some).await;
    }

    /// Returns once nothing more may be told or stored for the job.
    pub async fn silenced(&self) {
        let _ = self.why.subscribe().wait_for(|why| matches!(why, Some(Why::Lost | Why::Shutdown))).await;
    }

    /// Keeps `progress` for the next heartbeat.
    pub fn note(&self, change: impl FnOnce(&mut Progress)) {
        let mut told = lock(&self.told);
        change(&mut told.progress);
        told.changed = true;
    }

    pub fn progress(&self) -> Progress {
        lock(&self.told).progress.clone()
    }

    /// Whether there is progress that no heartbeat has told; it counts as told then.
    pub fn take_changed(&self) -> bool {
        std::mem::take(&mut lock(&self.told).changed)
    }

    /// Takes live parameters over, as far as they are there; they were checked when they came in.
    pub fn update(&self, parameters: &Value) {
        let new = Change {
            temperature: parameters["temperature"].as_f64(),
            top_k: whole::of(&parameters["top_k"]).map(|top_k| usize::try_from(top_k).unwrap_or(usize::MAX)),
            top_p: parameters["top_p"].as_f64(),
        };
        let mut change = lock(&self.change);
        *change = Some(change.unwrap_or_default().then(new));
    }

    /// New settings, once.
    pub fn take_change(&self) -> Option<Change> {
        let change = lock(&self.change).take()?;
        self.updated.store(true, Ordering::Release);
        Some(change)
    }

    /// Whether the thread has taken new settings.
    pub fn is_updated(&self) -> bool {
        self.updated.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_reason_stays_unless_the_lease_is_lost() {
        let control = Control::default();
        assert!(!control.is_stopped());
        control.stop(Why::Cancelled);
        control.stop(Why::Deadline);
        assert_eq!((control.is_stopped(), control.why()), (true, Some(Why::Cancelled)));
        control.stop(Why::Lost);
        control.stop(Why::Shutdown);
        assert_eq!(control.why(), Some(Why::Lost));
    }

    #[test]
    fn new_settings_are_seen_once_and_keep_the_others() {
        let control = Control::default();
        assert!(control.take_change().is_none() && !control.is_updated());
        control.update(&json!({"temperature": 2.0}));
        control.update(&json!({"top_k": 3.0}));
        assert_eq!(
            control.take_change(),
            Some(Change { temperature: Some(2.0), top_k: Some(3), top_p: None })
        );
        assert!(control.take_change().is_none() && control.is_updated());
    }
}
