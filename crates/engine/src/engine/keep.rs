//! Keeping house: taking back lost leases, telling of this process, following the configuration, cleaning up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partita_queue::WorkerInfo;

use super::core::seconds;
use super::start::blocking;
use super::{Cleaned, Core, Phase};
use crate::Fault;

/// How often the house is looked after.
const ROUND: Duration = Duration::from_millis(500);
/// How often leases are looked at: also what wakes workers for tasks that wait for their next try.
const REAP: Duration = Duration::from_secs(1);
/// How often this process tells of itself.
const ANNOUNCE: Duration = Duration::from_secs(5);
/// Jobs forgotten at a time, so that others get their turn at the store.
const SLICE: usize = 200;

/// Looks after everything that is quick, until the engine stops.
pub(super) async fn house(core: Arc<Core>) {
    let (mut reaped, mut announced): (Option<Instant>, Option<Instant>) = (None, None);
    while core.phase() < Phase::Stopping {
        core.counts.sample(Instant::now(), tokens(&core));
        // Whoever reloads through the engine has done this; not so who only has the configuration.
        if !core.is_applied() {
            let apply = core.clone();
            if blocking(move || apply.apply()).await.is_err() {
                tracing::error!("a part of the new configuration is not in force");
            }
        }
        let every = (core.visibility() / 4).min(REAP);
        if reaped.is_none_or(|last| last.elapsed() >= every) {
            reap(&core).await;
            reaped = Some(Instant::now());
        }
        if announced.is_none_or(|last| last.elapsed() >= ANNOUNCE.min(core.visibility())) {
            announce(&core).await;
            announced = Some(Instant::now());
        }
        tokio::select! {
            () = core.reached(Phase::Stopping) => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

async fn reap(core: &Core) {
    match core.queue.reap().await {
        Ok(found) if found.requeued + found.parked + found.expired > 0 => {
            let (requeued, parked, expired) = (found.requeued, found.parked, found.expired);
            tracing::warn!(requeued, parked, expired, "tasks were taken back");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "lost tasks cannot be looked for"),
    }
}

async fn announce(core: &Core) {
    let lanes: Vec<_> = core.lanes.iter().copied().filter(|lane| core.width(*lane) > 0).collect();
    if lanes.is_empty() {
        return;
    }
    let info = WorkerInfo {
        id: core.worker.clone(),
        lanes,
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: core.started_at,
        seen_at: core.queue.now().await.unwrap_or(core.started_at),
        running: core.at_work() as u64,
        done: core.counts.done(),
        models: core.registry.memory().into_iter().map(|(model, _)| model).collect(),
    };
    if let Err(error) = core.queue.announce(&info).await {
        tracing::debug!(%error, "this worker cannot be announced");
    }
}

/// Tokens drawn by all models of this process.
pub(super) fn tokens(core: &Core) -> u64 {
    core.tally.total().tokens
}

/// Cleans up every `retention.interval`, until the engine stops.
pub(super) async fn clean_often(core: Arc<Core>) {
    loop {
        let mut waited = Duration::ZERO;
        // A new interval counts at once, not after the old one.
        while waited < seconds(core.live.get().retention.interval).max(ROUND) {
            tokio::select! {
                () = core.reached(Phase::Draining) => return,
                () = tokio::time::sleep(ROUND) => waited += ROUND,
            }
        }
        match clean(&core).await {
            Ok(cleaned) if cleaned != Cleaned::default() => tracing::info!(?cleaned, "cleaned up"),
            Ok(_) => {}
            Err(fault) => tracing::warn!(error = %fault, "cannot clean up"),
        }
    }
}

/// Removes what has been kept long enough. Files go by their own times, whatever became of their task: another task may
/// still read them.
pub(super) async fn clean(core: &Arc<Core>) -> Result<Cleaned, Fault> {
    let mut cleaned = Cleaned::default();
    let kept = i64::try_from(seconds(core.live.get().retention.tasks).as_millis()).unwrap_or(i64::MAX);
    let before = core.queue.now().await?.saturating_sub(kept);
    loop {
        let jobs = core.queue.prune(before, SLICE).await?;
        cleaned.tasks += jobs.len() as u64;
        // Large results come in smaller parts.
        if jobs.is_empty() {
            break;
        }
    }
    let (files, bytes) = core.artifacts.clean().await?;
    cleaned.files += files;
    cleaned.bytes += bytes;
    let registry = core.registry.clone();
    cleaned.models_unloaded = blocking(move || registry.unload_idle()).await? as u64;
    Ok(cleaned)
}
