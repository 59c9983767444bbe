//! What can go wrong with a queue.

use crate::JobId;

/// Result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too many jobs wait in the lane; nothing was stored.
    #[error("at most {limit} tasks may wait in lane {lane}")]
    Full { lane: crate::Lane, limit: usize },
    /// Too many jobs of one owner wait or run; nothing was stored.
    #[error("at most {limit} tasks of one key may wait or run")]
    OwnerFull { limit: usize },
    /// The idempotency key was used before with another request.
    #[error("the idempotency key was used before with another request (task {0})")]
    KeyReused(JobId),
    /// The disk (or the memory Redis may use) is full: nothing was stored, what is there stays whole.
    #[error("no space left to store tasks: {0}")]
    NoSpace(String),
    /// The store cannot be reached now; trying again may help.
    #[error("the task store cannot be reached: {0}")]
    Unavailable(String),
    /// The store is there and says something that makes no sense.
    #[error("the task store is damaged or of another version: {0}")]
    Damaged(String),
    /// A place or URL that is none.
    #[error("queue must be sqlite:FILE, :memory: or redis://HOST:PORT/DB, got {0:?}")]
    Place(String),
    /// The file of those whom TLS is to trust.
    #[error("queue.ca must be a file with PEM certificates, got {path:?}: {why}")]
    Ca { path: String, why: String },
    /// Another process uses the file.
    #[error("{0} is used by another partita process; stop it or choose another data directory")]
    Locked(String),
}
