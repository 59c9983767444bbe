//! Jobs at work: a dispatcher a lane claims them, a thread plays each, a task looks after it.
//!
//! The thread ([`perform`]) does everything that computes or waits for a disk; the task ([`attend`]) only talks to
//! the queue, so it stays awake on a machine whose cores are all at work.
//!
//! **Invariant:** whoever has lost the lease of a job says nothing of it any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partita_queue::Lane;
use tokio::task::JoinSet;

use crate::engine::{Core, Phase};

mod attend;
mod control;
mod perform;
mod store;
mod tally;
mod tell;

pub(crate) use control::{Control, Why};
pub(crate) use perform::{gone, input};
pub(crate) use tally::Tally;

/// A lane is looked at this often, even if nobody tells of a job.
const LOOK: Duration = Duration::from_secs(1);
/// A wake-up that brought no job and came sooner than this is not followed at once.
const HASTE: Duration = Duration::from_millis(10);

/// Claims jobs of a lane while there is room, until the process drains; ends when the last of them has ended.
pub(crate) async fn dispatch(core: Arc<Core>, lane: Lane) {
    let mut running = JoinSet::new();
    let mut changes = core.changes();
    let mut pause = Duration::from_millis(50);
    while core.phase() == Phase::Running {
        while running.try_join_next().is_some() {}
        let room = core.width(lane).saturating_sub(running.len());
        if room == 0 {
            tokio::select! {
                () = rest(&core, &mut running, LOOK) => {}
                // The lane may be wider now.
                _ = changes.changed() => {}
            }
            continue;
        }
        match core.queue.claim(&core.worker, lane, room).await {
            Ok(claims) if claims.is_empty() => {
                pause = Duration::from_millis(50);
                let since = Instant::now();
                let lanes = [lane];
                tokio::select! {
                    result = core.queue.wait(&lanes, LOOK) => if result.is_err() || since.elapsed() < HASTE {
                        tokio::time::sleep(HASTE).await;
                    },
                    () = core.poked(lane) => {}
                    () = core.reached(Phase::Draining) => {}
                }
            }
            Ok(claims) => {
                pause = Duration::from_millis(50);
                for claim in claims {
                    running.spawn(attend::attend(core.clone(), claim));
                }
            }
            Err(error) => {
                tracing::warn!(%lane, %error, "no tasks can be claimed, trying again");
                rest(&core, &mut running, pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// Until a job ends, the process drains, or `time` has passed.
async fn rest(core: &Core, running: &mut JoinSet<()>, time: Duration) {
    let ended = async {
        if running.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = ended => {}
        () = core.reached(Phase::Draining) => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// Passes calls for cancellation and new parameters on to the jobs at work.
pub(crate) async fn listen(core: Arc<Core>) {
    while core.phase() != Phase::Stopping {
        let since = Instant::now();
        let ids = tokio::select! {
            ids = core.queue.wait_control(LOOK * 5) => ids,
            () = core.reached(Phase::Stopping) => return,
        };
        match ids {
            Ok(ids) if ids.is_empty() && since.elapsed() < HASTE => tokio::time::sleep(HASTE).await,
            Ok(ids) => ids.iter().for_each(|id| core.poke(id)),
            // Heartbeats find it out too, only later.
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
