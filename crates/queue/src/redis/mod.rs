//! The queue on many machines: Redis Streams with consumer groups.
//!
//! **Delivery** is the broker's own. A job is an entry of a stream: `XADD` submits, `XREADGROUP` claims, `XACK` and
//! `XDEL` end. The lease is the idle time of the pending entry (`XPENDING`), which a heartbeat sets back
//! (`XCLAIM ... JUSTID`). What belongs together is done by one script (`lua/`), which Redis runs in one step. All
//! times are Redis' own, so the clocks of the machines do not matter.
//!
//! **Order:** a stream for each lane, priority and owner, and one for what goes to the front of a priority. The sorted
//! set `turn:<lane>:<priority>` holds the streams with waiting jobs by when their next turn is; a claim takes one job
//! and moves the stream to the end. So owners take turns, whatever each has waiting, and each one's jobs stay in order.
//! A stream goes with its last entry.
//!
//! **Names**, all after `{prefix}:`
//!
//! | name | what |
//! |---|---|
//! | `job:<id>` | hash: the job, its state, fence, result |
//! | `stream:<lane>:<priority>:<whose>` | waiting and running jobs of one owner; `whose` is `-`, `of:<owner>`, `front` or `suspect` |
//! | `turn:<lane>:<priority>` | streams by turn |
//! | `queue:<lane>:<priority>`, `later:<lane>`, `running:<lane>`, `owner:<whose>` | jobs that wait, wait for another try, run, have not ended |
//! | `suspects:<lane>:<priority>`, `held:<worker>`, `quiet` | suspects that wait, jobs that a worker runs, which worker becomes idle for a suspect |
//! | `leased` | streams some of whose entries a worker holds |
//! | `events:<id>`, `updates:<id>` | log and live changes of a job |
//! | `deadlines`, `ended`, `parked`, `list`, `list:<whose>` | jobs by what their name says |
//! | `idem:...` | idempotency keys |
//! | `deliveries`, `delivery:<id>` | calls to make, by when |
//! | `keys`, `workers`, `seen` | API keys; processes and when they last told of themselves |
//! | `rate:<key>` | limits of requests |
//! | `cache:<key>`, `cache-used`, `cache-ends`, `cache-sizes`, `cache-bytes` | cached results; when each was used and ends, how large each and all are |
//! | `news` | channel: `work <lane>`, `event <id> <sequence>`, `control <id>` |
//!
//! **Operation:** Redis 7 or later with `appendonly yes` (with `appendfsync always` an accepted job survives a power
//! cut too, with the usual `everysec` the last second may be lost) and `maxmemory-policy noeviction`.

mod hub;
mod link;
mod ops;
mod rows;
mod scripts;
mod tls;
mod watch;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::FromRedisValue;
use tokio::task::AbortHandle;

use crate::rate::{Decision, Quota};
use crate::{Limits, Result};

use hub::{Ear, Hub};
use link::{Link, millis};

/// Bytes that a cached value costs besides its own: its names and its places in the lists of the cache, about.
pub const CACHE_ENTRY: u64 = 512;

/// What a cache keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    /// Of all values together.
    pub bytes: u64,
    /// How many values, at least 1.
    pub entries: u64,
    /// How long a value is fresh.
    pub ttl: Duration,
}

/// Jobs in Redis.
pub struct Redis {
    link: Link,
    hub: Arc<Hub>,
    hearing: AbortHandle,
    limits: RwLock<Limits>,
}

impl Redis {
    /// Connects to `url` (`redis://`, `redis+unix://`, or `rediss://` with TLS and the certificates that the system
    /// trusts); all names in Redis begin with `prefix`.
    ///
    /// # Errors
    /// `Unavailable`, `Place`.
    pub async fn connect(url: &str, prefix: &str, limits: Limits) -> Result<Redis> {
        Redis::connect_trusting(None, url, prefix, limits).await
    }

    /// As [`Redis::connect`]. `ca`: a file with PEM certificates to trust instead of the system's; then `url` must be
    /// `rediss://`.
    ///
    /// # Errors
    /// `Unavailable`, also for a server that is not trusted; `Place`, `Ca`.
    pub async fn connect_trusting(
        ca: Option<&Path>,
        url: &str,
        prefix: &str,
        limits: Limits,
    ) -> Result<Redis> {
        let (link, client) = Link::open(url, prefix, ca).await?;
        warn_of_eviction(&link).await;
        let hub = Arc::new(Hub::default());
        let channel = link.name("news");
        let ear = Ear::open(&client, &channel).await?;
        let hearing = tokio::spawn(Arc::clone(&hub).hear(client, channel, ear)).abort_handle();
        Ok(Redis { link, hub, hearing, limits: RwLock::new(limits) })
    }

    /// Counts `count` requests against `quota` of `key`, for all processes together, if all are in it; below 0, gives
    /// so many back. A connection that was lost since the last call costs nothing but a moment.
    ///
    /// # Errors
    /// `Unavailable`, `NoSpace`.
    pub async fn count(&self, key: &str, quota: Quota, count: i64) -> Result<Decision> {
        self.count_at(key, quota, count, None).await
    }

    /// As [`Redis::count`], at a time in microseconds instead of Redis' own.
    #[doc(hidden)]
    pub async fn count_at(&self, key: &str, quota: Quota, count: i64, now: Option<i64>) -> Result<Decision> {
        let (step, whole) = quota.micros();
        let fill = |call: &mut redis::ScriptInvocation<'_>| {
            call.arg(key).arg(step.saturating_mul(count)).arg(whole);
            call.arg(now.map_or(String::new(), |now| now.to_string()));
        };
        // What was counted although its answer was lost is counted once more, to the caller's cost.
        let (allowed, used): (bool, i64) = self.link.run_again(&scripts::RATE, 1, fill).await?;
        Ok(quota.decision(allowed, used, count))
    }

    /// A cached value that is still fresh.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn cache_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let fill = |call: &mut redis::ScriptInvocation<'_>| {
            call.arg(key);
        };
        self.link.run(&scripts::CACHE_GET, 1, fill).await
    }

    /// Caches `bytes` for `bounds.ttl`, and drops what was not used for longest until all cached values are within the
    /// bounds; each takes [`CACHE_ENTRY`] bytes more than it has. A value that is larger by itself is not kept.
    ///
    /// # Errors
    /// `Unavailable`, `NoSpace`.
    pub async fn cache_put(&self, key: &str, bytes: &[u8], bounds: CacheBounds) -> Result<()> {
        let fill = |call: &mut redis::ScriptInvocation<'_>| {
            call.arg(key).arg(bytes).arg(millis(bounds.ttl).max(1)).arg(bounds.bytes.min(1 << 50));
            call.arg(CACHE_ENTRY).arg(bounds.entries.clamp(1, 1 << 50));
        };
        let _kept: bool = self.link.run(&scripts::CACHE_PUT, 1, fill).await?;
        Ok(())
    }

    fn limits(&self) -> Limits {
        self.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &redis::Script,
        fill: impl FnOnce(&mut redis::ScriptInvocation<'_>),
    ) -> Result<T> {
        let events = self.limits.read().unwrap_or_else(PoisonError::into_inner).events;
        self.link.run(script, events, fill).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.hearing.abort();
        self.hub.close();
    }
}

/// A Redis that makes room by throwing away keys throws away jobs.
async fn warn_of_eviction(link: &Link) {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("maxmemory-policy");
    // Hosted Redis often forbids the question.
    let answer: Result<Vec<String>> = link.command(&ask).await;
    if let Ok(Some(policy)) = answer.map(|pair| pair.into_iter().nth(1))
        && policy != "noeviction"
    {
        tracing::warn!(
            policy,
            "Redis may throw away tasks when its memory is full; set maxmemory-policy noeviction"
        );
    }
}
