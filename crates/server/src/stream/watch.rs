//! The events of one task as they go over the wire.

use std::sync::Arc;
use std::time::Duration;

use partita_queue::{Event, EventKind, JobId, Subscription};
use serde_json::Value;

use crate::App;
use crate::problem::Answer;
use crate::routes::call::no_task;
use crate::wire::task::Task;

/// An event ready to be written.
#[derive(Debug)]
pub struct Sent {
    pub sequence: u64,
    pub name: &'static str,
    pub data: Value,
    /// Nothing comes after it.
    pub is_last: bool,
}

/// Wait before asking the store again, and how often in a row.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: u32 = 120;

/// Follows one task until its last event.
pub struct Watch {
    app: Arc<App>,
    id: JobId,
    events: Subscription,
    /// Sequence number of the event that was seen last.
    seen: u64,
    /// Came, but was not handed on yet.
    held: Option<Event>,
    ended: bool,
}

impl Watch {
    /// Events after sequence number `after`.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn open(app: &Arc<App>, id: &JobId, after: u64) -> Answer<Watch> {
        let events = app.engine.queue().subscribe(id, after).await?;
        let events = events.ok_or_else(|| no_task(id.as_str()))?;
        Ok(Watch { app: app.clone(), id: id.clone(), events, seen: after, held: None, ended: false })
    }

    /// The next event; `None` after the last, when the task was forgotten or the store has gone for long, or when the
    /// server shuts down. May be dropped at any time without losing an event.
    pub async fn next(&mut self) -> Option<Sent> {
        if self.ended {
            return None;
        }
        if self.held.is_none() {
            let parting = self.app.parting.clone();
            let event = tokio::select! {
                event = self.event() => event?,
                () = parting.cancelled() => return None,
            };
            self.held = Some(event);
        }
        // Whoever stops waiting below finds the event again.
        let whole = match self.held.as_ref()?.kind {
            kind if kind.is_last() || kind == EventKind::Reset => self.task().await,
            _ => None,
        };
        let Event { sequence, kind, data } = self.held.take()?;
        self.ended = kind.is_last();
        let data = match kind {
            EventKind::Progress => progress(data),
            _ => whole.unwrap_or(data),
        };
        Some(Sent { sequence, name: kind.name(), data, is_last: self.ended })
    }

    /// A subscription ends early when its reader is too far behind; the task's log still holds the rest.
    async fn event(&mut self) -> Option<Event> {
        for tries in 0..TRIES {
            if let Some(event) = self.events.next().await {
                self.seen = event.sequence;
                return Some(event);
            }
            if tries > 0 {
                tokio::time::sleep(AGAIN).await;
            }
            match self.app.engine.queue().subscribe(&self.id, self.seen).await {
                Ok(Some(events)) => self.events = events,
                Ok(None) => return None,
                Err(error) => tracing::debug!(%error, task = %self.id, "events cannot be followed now"),
            }
        }
        None
    }

    async fn task(&self) -> Option<Value> {
        let job = self.app.engine.queue().get(&self.id).await.ok()??;
        let task = Task::whole(job, &self.app.engine).await.ok()?;
        serde_json::to_value(task).ok()
    }
}

/// `{progress, stage, step, steps, eta}`: a task calls its fraction `progress` too.
fn progress(mut data: Value) -> Value {
    if let Some(fields) = data.as_object_mut()
        && let Some(fraction) = fields.remove("fraction")
    {
        fields.insert("progress".into(), fraction);
    }
    data
}
