//! What went wrong with a request or a job, for people and programs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Kind of failure. A front end decides what each means there (an HTTP status, an exit code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A field is missing, unknown, or outside what it allows.
    InvalidRequest,
    /// What was sent is no MIDI file, or one that cannot be used.
    InvalidMidi,
    UnknownModel,
    UnknownStyle,
    /// No such task, file or key.
    NotFound,
    /// The model's files are damaged or missing.
    ModelBroken,
    /// No memory left for the model under the configured budget.
    ModelsFull,
    /// Too many tasks wait.
    QueueFull,
    /// Too many tasks of one key wait or run.
    TooManyTasks,
    /// The idempotency key was used with another request.
    KeyReused,
    /// The disk is full: no room for a new task, or for the result of one.
    NoSpace,
    /// The task store cannot be reached.
    Unavailable,
    /// The task was not done by its deadline.
    Deadline,
    Cancelled,
    /// Tried too many times.
    GaveUp,
    /// A defect of ours.
    Internal,
}

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// JSON pointer into the request, as a URI fragment.
    #[schema(example = "#/tempo")]
    pub pointer: String,
    /// What is allowed and what came.
    #[schema(example = "must be in 40..=300, got 400")]
    pub detail: String,
    /// The allowed range or values alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "40..=300")]
    pub allowed: Option<String>,
}

/// A failure. Never holds secrets or paths of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub code: Code,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Problem>,
    /// Seconds after which trying again may help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Fault {
    pub fn new(code: Code, message: impl std::fmt::Display) -> Fault {
        Fault { code, message: message.to_string(), errors: vec![], retry_after: None }
    }

    /// About one field: `pointer` as in `#/tempo`.
    pub fn field(pointer: &str, allowed: impl Into<String>, got: impl std::fmt::Display) -> Fault {
        let allowed = allowed.into();
        let detail = format!("must be {allowed}, got {got}");
        let name = pointer.trim_start_matches("#/").to_owned();
        let problem = Problem { pointer: pointer.to_owned(), detail: detail.clone(), allowed: Some(allowed) };
        Fault {
            code: Code::InvalidRequest,
            message: format!("{name} {detail}"),
            errors: vec![problem],
            retry_after: None,
        }
    }

    pub fn internal(message: impl std::fmt::Display) -> Fault {
        Fault::new(Code::Internal, message)
    }
}

impl From<partita_queue::Error> for Fault {
    fn from(error: partita_queue::Error) -> Fault {
        use partita_queue::Error as Queue;
        let code = match &error {
            Queue::Full { .. } => Code::QueueFull,
            Queue::OwnerFull { .. } => Code::TooManyTasks,
            Queue::KeyReused(_) => Code::KeyReused,
            Queue::NoSpace(_) => Code::NoSpace,
            Queue::Unavailable(_) => Code::Unavailable,
            Queue::Damaged(_) | Queue::Place(_) | Queue::Ca { .. } | Queue::Locked(_) => Code::Internal,
        };
        let error = match error {
            // It may hold a password.
            Queue::Place(place) => Queue::Place(crate::config::hide(&place)),
            other => other,
        };
        let retry_after =
            matches!(code, Code::QueueFull | Code::TooManyTasks | Code::Unavailable).then_some(2);
        Fault { retry_after, ..Fault::new(code, error) }
    }
}
