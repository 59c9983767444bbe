//! Accepted work that is never lost: jobs, their events, keys of users and the calls that tell others of an end.
//!
//! One trait, [`Queue`], and two engines behind it: an SQLite file (`sqlite`, one process) and Redis Streams
//! (`redis`, many machines). What a job means is for others; here it is a JSON request with a lane and a state.
//!
//! **Delivery:** at least once. A claimed job is leased; its worker renews the lease with a heartbeat, and a lease
//! that ran out gives the job to another worker. Each claim has a new fence, and an end told under an old fence is
//! refused, so a job has exactly one result.
//!
//! **Poison:** a try that ends in an error and a try whose worker stopped without an answer (the lease ran out, or the
//! file was opened anew) are counted apart, each against `max_attempts`. A process that dies takes all its jobs down,
//! so a death says little about any of them. A job that was there at two deaths is a suspect and runs alone in its
//! process from then on; so its third death is its own doing, and jobs that were only near a poisonous one are done. A
//! suspect waits in its place; when it is next, its process claims nothing more until it has become idle, for a minute
//! at most, and then goes on without it for a minute before it tries again.
//!
//! **Clocks:** Redis counts by its own clock. With a file, leases, waits for another try and leases of deliveries run
//! by the monotonic clock. Times that are stored (deadlines, ages of idempotency keys and of ended jobs, the next call of
//! a webhook) come from a clock that follows the machine's only while no job needs it, so a machine whose clock is set
//! neither takes jobs away nor holds them up.
#![forbid(unsafe_code)]

mod error;
mod event;
mod id;
mod job;
mod key;
mod queue;
pub mod rate;
#[cfg(feature = "redis")]
pub mod redis;
mod retry;
pub mod sqlite;
mod webhook;

pub use error::{Error, Result};
pub use event::{Event, EventKind, Subscription};
pub use id::{JobId, random_hex};
pub use job::{Beat, Claim, Filter, Job, Lane, Lease, Millis, NewJob, Outcome, Page, Progress, State};
pub use key::{ApiKey, Role, Secret};
pub use queue::{Fut, Limits, Queue, Reaped, Stats, Submitted, WorkerInfo};
pub use webhook::{Delivery, Webhook};
