//! A job from its submission to its end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{JobId, Webhook};

/// Milliseconds since 1970, by the store's clock.
pub type Millis = i64;

/// What kind of worker a job needs. Each lane has its own queue and its own number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Reading, rendering and analysing: one core, no network.
    Midi,
    /// The models, which share their steps.
    Generation,
    /// Large batches and whatever takes minutes.
    Heavy,
    /// Models that make sound: minutes too, and steps that they share among themselves.
    Audio,
}

impl Lane {
    pub const ALL: [Lane; 4] = [Lane::Midi, Lane::Generation, Lane::Heavy, Lane::Audio];

    pub fn name(self) -> &'static str {
        match self {
            Lane::Midi => "midi",
            Lane::Generation => "generation",
            Lane::Heavy => "heavy",
            Lane::Audio => "audio",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Lane, String> {
        let lane = Lane::ALL.into_iter().find(|lane| lane.name() == text);
        lane.ok_or_else(|| format!("lane must be midi, generation, heavy or audio, got {text:?}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Queued,
    Running,
    Complete,
    Failed,
    Cancelled,
}

impl State {
    pub fn is_done(self) -> bool {
        matches!(self, State::Complete | State::Failed | State::Cancelled)
    }

    pub fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Complete => "complete",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        let all = [State::Queued, State::Running, State::Complete, State::Failed, State::Cancelled];
        let state = all.into_iter().find(|state| state.name() == text);
        state.ok_or_else(|| {
            format!("status must be queued, running, complete, failed or cancelled, got {text:?}")
        })
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    pub id: JobId,
    /// What is to be done: `generate`, `continue`, `render`, `batch`, ...
    pub kind: String,
    pub lane: Lane,
    /// `0..=9`; higher goes first, 5 is usual.
    pub priority: u8,
    /// Whose it is: the id of an API key.
    pub owner: Option<String>,
    /// The model that will answer, as `name@version`; empty when none is needed.
    pub model: String,
    /// Checked and complete: the seed is in it.
    pub request: Value,
    /// 32 hex digits from the system's randomness: names of files are derived from it and the fence of the lease, so
    /// that nobody can guess them and no try writes over another's.
    pub nonce: String,
    /// When it is no longer wanted.
    pub deadline: Option<Millis>,
    /// Times it may be tried before it is parked as failed, `1..`.
    pub max_attempts: u32,
    pub webhook: Option<Webhook>,
    /// `(key, fingerprint)`: the same key of the same owner within [`Limits::idempotency`](crate::Limits) is the same
    /// job; with another fingerprint it is an error.
    pub idempotency: Option<(String, String)>,
    /// Name of the HTTP request that brought it, for logs.
    pub request_id: String,
    /// `traceparent` (W3C Trace Context) of that request, and after a line break its `tracestate` if it has one; empty
    /// if nobody traces it.
    #[serde(default)]
    pub trace: String,
}

/// How far a running job is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// `[0, 1]`
    pub fraction: f64,
    /// What is being done: `load`, `generate`, `render`, `export`.
    pub stage: String,
    /// Units of the stage (bars, items) done and in all.
    pub step: u64,
    pub steps: u64,
    /// Seconds to go, if known.
    pub eta: Option<f64>,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    #[serde(flatten)]
    pub new: NewJob,
    pub state: State,
    /// Claims so far, without those that were given back untried.
    pub attempts: u32,
    /// Those of them whose worker stopped without an answer.
    #[serde(default)]
    pub deaths: u32,
    pub progress: Progress,
    /// Of a complete job.
    pub result: Option<Value>,
    /// Of a failed job: `{code, message, field}`.
    pub error: Option<Value>,
    /// Somebody asked to cancel it while it ran.
    pub cancel_requested: bool,
    /// Who runs it or ran it last.
    pub worker: Option<String>,
    pub created_at: Millis,
    pub started_at: Option<Millis>,
    pub finished_at: Option<Millis>,
}

/// The right to run a job, until the lease runs out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub id: JobId,
    /// Grows with every claim of the job.
    pub fence: u64,
}

/// A job given to a worker.
#[derive(Clone, Debug)]
pub struct Claim {
    pub job: Job,
    pub lease: Lease,
}

/// What a heartbeat learns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beat {
    /// The lease is somebody else's by now: stop, and tell nobody.
    pub lost: bool,
    pub cancelled: bool,
    /// Live changes of parameters since the last heartbeat, oldest first.
    pub updates: Vec<Value>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Complete(Value),
    /// `error`: `{code, message, field}`. Retried while attempts are left if `again`.
    Failed {
        error: Value,
        again: bool,
    },
    Cancelled,
}

/// Which jobs a list holds, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    /// Only jobs of this owner; `None` for all.
    pub owner: Option<String>,
    pub kind: Option<String>,
    /// Only jobs older than this one.
    pub after: Option<JobId>,
    /// `1..=100`
    pub limit: usize,
}

/// Part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub jobs: Vec<Job>,
    pub has_more: bool,
}
