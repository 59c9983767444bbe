//! What a queue must do; `sqlite` and `redis` do it, and one suite of tests holds them to it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ApiKey, Beat, Claim, Delivery, Event, EventKind, Filter, Job, JobId, Lane, Lease, Millis, NewJob,
    Outcome, Page, Progress, Result, Subscription,
};

/// A future on the heap, so that a queue can be chosen at run time.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// How much a queue takes and how long it waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Jobs that may wait, by lane.
    pub queued: BTreeMap<Lane, usize>,
    /// Jobs of one owner that may wait or run; `None` for no limit. An owner's key may have its own.
    pub per_owner: Option<usize>,
    /// How long a lease lasts without a heartbeat.
    pub visibility: Duration,
    /// How long an idempotency key is remembered.
    pub idempotency: Duration,
    /// Events kept a job.
    pub events: usize,
    /// Wait before a failed job is tried again; doubles with every try, up to a minute.
    pub retry: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queued: BTreeMap::from([
                (Lane::Midi, 1000),
                (Lane::Generation, 1000),
                (Lane::Heavy, 100),
                (Lane::Audio, 100),
            ]),
            per_owner: None,
            visibility: Duration::from_secs(30),
            idempotency: Duration::from_secs(24 * 3600),
            events: 1024,
            retry: Duration::from_secs(1),
        }
    }
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum Submitted {
    New(Job),
    /// The idempotency key had brought this job before.
    Replayed(Job),
}

/// What a reaper found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Back in the queue, at the front of their priority.
    pub requeued: usize,
    /// Out of attempts: failed with code `gave-up`.
    pub parked: usize,
    /// Past their deadline: failed with code `deadline`.
    pub expired: usize,
}

/// Numbers of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub queued: BTreeMap<Lane, u64>,
    pub running: BTreeMap<Lane, u64>,
    /// Jobs kept that have ended.
    pub done: u64,
    /// Jobs parked after too many attempts, among those kept.
    pub parked: u64,
    /// Deliveries that wait.
    pub deliveries: u64,
}

/// A process that takes jobs, as it last told of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// `host:pid:random`
    pub id: String,
    pub lanes: Vec<Lane>,
    pub version: String,
    pub started_at: Millis,
    pub seen_at: Millis,
    pub running: u64,
    pub done: u64,
    /// `name@version` of the models it holds.
    pub models: Vec<String>,
}

/// Requests of up to this many bytes of JSON are part of lists.
pub(crate) const LISTED_BYTES: usize = 64 << 10;

/// Bytes of results that one call of `prune` returns, about.
pub(crate) const PRUNED_BYTES: usize = 8 << 20;

/// Jobs that survive crashes. Every method may fail with [`Error::Unavailable`](crate::Error::Unavailable);
/// none leaves half a change.
pub trait Queue: Send + Sync {
    /// Stores a job as queued, with event `queued`. When this returns, the job survives a crash.
    ///
    /// # Errors
    /// `Full`, `OwnerFull` (of `per_owner`, else the limit of the queue), `KeyReused`, `NoSpace`.
    fn submit(&self, job: NewJob, per_owner: Option<usize>) -> Fut<'_, Submitted>;

    /// The job that `key` of `owner` brought within `Limits::idempotency`, if there is one. Changes nothing: a request
    /// that came before is answered so before anything else is asked of it.
    ///
    /// # Errors
    /// `KeyReused` if that job has another fingerprint.
    fn replay<'a>(
        &'a self,
        owner: Option<&'a str>,
        key: &'a str,
        fingerprint: &'a str,
    ) -> Fut<'a, Option<Job>>;

    fn get<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<Job>>;

    /// Jobs without their results, which are not even read. A request of more than 64 KiB of JSON is replaced by
    /// `{"omitted_bytes": n}`, and their traces are empty; `get` has them whole.
    fn list<'a>(&'a self, filter: &'a Filter) -> Fut<'a, Page>;

    /// Jobs that go before a queued one in its lane, about; `None` unless it waits.
    fn position<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<u64>>;

    /// Leases up to `limit` jobs of a lane: highest priority first; among equals fair between owners, so that one
    /// owner's thousand jobs do not hold up another's one; then oldest first. Each claim counts as an attempt.
    ///
    /// A job that was held at two or more deaths of a worker is a suspect: it comes alone, to a worker that runs
    /// nothing else in any lane, and until it has ended that worker gets nothing else. So one job that takes its
    /// process down each time does not use up the tries of those beside it. See the crate's documentation.
    fn claim<'a>(&'a self, worker: &'a str, lane: Lane, limit: usize) -> Fut<'a, Vec<Claim>>;

    /// Returns when a job may have become claimable, or after `timeout`.
    fn wait<'a>(&'a self, lanes: &'a [Lane], timeout: Duration) -> Fut<'a, ()>;

    /// Renews a lease and tells the progress, which then shows in the job; an event of it is for `publish`.
    fn heartbeat<'a>(&'a self, lease: &'a Lease, progress: &'a Progress) -> Fut<'a, Beat>;

    /// Appends events to a running job's log; does nothing under an old fence.
    fn publish<'a>(&'a self, lease: &'a Lease, events: Vec<(EventKind, Value)>) -> Fut<'a, ()>;

    /// Ends a job, appends its last event and stores the delivery of its webhook, all in one step. `false` under an
    /// old fence. A cancel request that came first wins over a failure, not over a result.
    ///
    /// A failure to be tried again puts the job at the back of its priority, claimable after `Limits::retry`; out of
    /// attempts it fails with its own error.
    fn finish<'a>(&'a self, lease: &'a Lease, outcome: Outcome) -> Fut<'a, bool>;

    /// Gives a job back untried, to the front of its priority: for a process that shuts down. `false` under an old
    /// fence.
    fn release<'a>(&'a self, lease: &'a Lease) -> Fut<'a, bool>;

    /// Cancels a queued job at once; asks the worker of a running one. Returns the job as it is then.
    fn cancel<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<Job>>;

    /// Passes new parameters to the worker of a running job. `false` unless it runs.
    fn update<'a>(&'a self, id: &'a JobId, parameters: Value) -> Fut<'a, bool>;

    /// Returns when a running job of this process may have been cancelled or updated, or after `timeout`: a reason
    /// for a heartbeat ahead of time.
    fn wait_control(&self, timeout: Duration) -> Fut<'_, Vec<JobId>>;

    /// Takes back leases that ran out, parks and expires. Any process may call it at any time.
    fn reap(&self) -> Fut<'_, Reaped>;

    /// The events of a job after `after`, then those to come. An event that is no longer kept gives one
    /// [`EventKind::Reset`] first. A job that has ended gives its last event at least.
    fn subscribe<'a>(&'a self, id: &'a JobId, after: u64) -> Fut<'a, Option<Subscription>>;

    fn stats(&self) -> Fut<'_, Stats>;

    /// Forgets jobs that ended before `before`, at most `limit` and fewer when their results are large; nothing when
    /// none is left. Returns them as in a list but with their results, whose files are the caller's to remove. Never
    /// forgotten are jobs that have not ended, whose webhook waits to be called, or whose idempotency key is
    /// remembered.
    fn prune(&self, before: Millis, limit: usize) -> Fut<'_, Vec<Job>>;

    /// By the store's clock.
    fn now(&self) -> Fut<'_, Millis>;

    fn put_key<'a>(&'a self, key: &'a ApiKey) -> Fut<'a, ()>;

    fn key<'a>(&'a self, id: &'a str) -> Fut<'a, Option<ApiKey>>;

    fn keys(&self) -> Fut<'_, Vec<ApiKey>>;

    /// Deliveries that are due, leased for `lease` to the caller.
    fn due_deliveries(&self, limit: usize, lease: Duration) -> Fut<'_, Vec<Delivery>>;

    /// `retry_after`: `None` when the call was made or given up, else the time until the next try.
    fn settle_delivery<'a>(&'a self, id: &'a str, retry_after: Option<Duration>) -> Fut<'a, ()>;

    /// Tells of this process; forgotten after three times `Limits::visibility` without a word.
    fn announce<'a>(&'a self, worker: &'a WorkerInfo) -> Fut<'a, ()>;

    fn workers(&self) -> Fut<'_, Vec<WorkerInfo>>;

    /// New limits from a reloaded configuration.
    fn set_limits(&self, limits: Limits);
}

/// The event that tells of `state`.
pub(crate) fn last_event(state: crate::State) -> Option<EventKind> {
    match state {
        crate::State::Complete => Some(EventKind::Complete),
        crate::State::Failed => Some(EventKind::Failed),
        crate::State::Cancelled => Some(EventKind::Cancelled),
        _ => None,
    }
}

/// An event as it stands in a log.
pub(crate) fn event(sequence: u64, kind: EventKind, data: Value) -> Event {
    Event { sequence, kind, data }
}
