//! What happens to a job, in order, for whoever watches.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event; `sequence` counts from 1 within its job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub sequence: u64,
    pub kind: EventKind,
    pub data: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// `{position}`
    Queued,
    /// `{model, seed, attempt}`; a second one means that the job began anew and earlier notes are void.
    Started,
    /// [`Progress`](crate::Progress)
    Progress,
    /// `{variation, bar, from_beat, notes}`
    Notes,
    /// `{variation, seq, codec, sample_rate, channels, b64}`
    Audio,
    /// `{message}`
    Log,
    /// The buffer no longer holds what was asked for; the job as it stands is the answer. Has no sequence of its own:
    /// it carries the sequence after which events go on.
    Reset,
    Complete,
    Failed,
    Cancelled,
}

impl EventKind {
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Queued => "queued",
            EventKind::Started => "started",
            EventKind::Progress => "progress",
            EventKind::Notes => "notes",
            EventKind::Audio => "audio",
            EventKind::Log => "log",
            EventKind::Reset => "reset",
            EventKind::Complete => "complete",
            EventKind::Failed => "failed",
            EventKind::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_last(self) -> bool {
        matches!(self, EventKind::Complete | EventKind::Failed | EventKind::Cancelled)
    }
}

/// Events of one job as they come. Ends after the last one, or early when its reader is too far behind: whoever has
/// not seen a last event subscribes again after the one it saw.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) events: tokio::sync::mpsc::Receiver<Event>,
}

impl Subscription {
    /// The next event; `None` after the last, when the reader was too slow, or when the store has gone.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}
