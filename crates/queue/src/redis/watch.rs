//! One watcher of one job.

use std::sync::Arc;
use std::time::Duration;

use redis::Script;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{Event, EventKind, JobId, Result, Subscription};

use super::hub::{Hub, Watch};
use super::link::Link;
use super::rows::{Log, RawLog};
use super::scripts;

/// Events read at once, and kept for a watcher that is slow.
const BATCH: usize = 64;
/// Wait before a failed read is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Watches `id` after `after`; `None` if there is no such job.
pub(super) async fn watch(
    link: &Link,
    hub: &Arc<Hub>,
    id: &JobId,
    after: u64,
) -> Result<Option<Subscription>> {
    let mut watch = hub.watch(id);
    watch.look();
    let Some(log) = read(link, id, after).await? else { return Ok(None) };
    let (sender, events) = mpsc::channel(BATCH);
    // Somebody who claims to have seen what has not happened yet has seen all.
    let feed = Feed { link: link.clone(), id: id.clone(), watch, after: after.min(log.sequence), sender };
    tokio::spawn(feed.run(log));
    Ok(Some(Subscription { events }))
}

async fn read(link: &Link, id: &JobId, after: u64) -> Result<Option<Log>> {
    let script: &Script = &scripts::EVENTS;
    let log: RawLog = link
        .run(script, 1, |call| {
            call.arg(id.as_str()).arg(after).arg(BATCH);
        })
        .await?;
    log.map(Log::read).transpose()
}

struct Feed {
    link: Link,
    id: JobId,
    watch: Watch,
    /// What the watcher has.
    after: u64,
    sender: mpsc::Sender<Event>,
}

impl Feed {
    async fn run(mut self, mut log: Log) {
        loop {
            let full = log.events.len() >= BATCH;
            let last = log.last();
            for event in log.events {
                let ends = event.kind.is_last();
                if self.give(event).await.is_none() || ends {
                    return;
                }
            }
            if !full {
                if let Some(last) = last {
                    // Its log is gone, or the watcher has seen it all: the end is told in any case.
                    self.give(last).await;
                    return;
                }
                tokio::select! {
                    () = self.sender.closed() => return,
                    alive = self.watch.changed() => if !alive { return },
                }
            }
            match self.read().await {
                Some(next) => log = next,
                None => return,
            }
        }
    }

    /// Hands over an event, after a reset if some before it are gone; `None` if nobody listens.
    async fn give(&mut self, event: Event) -> Option<()> {
        if event.sequence > self.after + 1 {
            let reset = Event { sequence: event.sequence - 1, kind: EventKind::Reset, data: json!({}) };
            self.sender.send(reset).await.ok()?;
        }
        self.after = event.sequence;
        self.sender.send(event).await.ok()
    }

    /// What has come since; `None` if nobody listens or the job is forgotten.
    async fn read(&mut self) -> Option<Log> {
        loop {
            self.watch.look();
            match read(&self.link, &self.id, self.after).await {
                Ok(log) => return log,
                Err(_) if self.watch.is_over() => return None,
                Err(error) => tracing::debug!(%error, id = %self.id, "events cannot be read now"),
            }
            tokio::select! {
                () = self.sender.closed() => return None,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}
