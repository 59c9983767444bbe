//! How often somebody may ask: the generic cell rate algorithm (ITU-T I.371), in memory or in Redis.
//!
//! A quota is a bucket as large as the period; each request fills it by one share, and it empties as time goes by.
//! So a whole quota may be used at once, and then one request for each share of the period. Requests that are made
//! together are taken together: all of them fit, or none is counted.

use std::collections::HashMap;
#[cfg(feature = "redis")]
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Result;

/// `limit` requests in each `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: u32,
    pub period: Duration,
}

/// Whether requests are in the quota, and what the answer's headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub limit: u32,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Until the whole quota is there again.
    pub reset_after: Duration,
    /// Of refused requests: until they may be made. More of them than the whole quota may never be, however long
    /// they wait.
    pub retry_after: Option<Duration>,
}

/// The longest period; numbers of microseconds stay exact in Redis' scripts.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Quota {
    /// Microseconds of one request and of all.
    pub(crate) fn micros(self) -> (i64, i64) {
        let period = i64::try_from(self.period.min(LONGEST).as_micros()).unwrap_or(i64::MAX);
        let step = (period / i64::from(self.limit.max(1))).max(1);
        (step, step * i64::from(self.limit))
    }

    /// Of `count` requests. `used`: microseconds of the quota that are used up after them.
    pub(crate) fn decision(self, allowed: bool, used: i64, count: i64) -> Decision {
        let (step, whole) = self.micros();
        let time = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        Decision {
            allowed,
            limit: self.limit,
            remaining: u32::try_from((whole - used) / step).unwrap_or_default(),
            reset_after: time(used),
            retry_after: (!allowed).then(|| time(used.saturating_add(step.saturating_mul(count)) - whole)),
        }
    }
}

/// The algorithm. `tat`: when the quota would be whole again if nobody asked; `now` on the same clock, microseconds;
/// `count`: requests that are made, or below 0 those that are given back.
/// Returns whether they are in the quota, how many microseconds of it are then used up, and the new `tat`.
pub fn decide(quota: Quota, now: i64, tat: i64, count: i64) -> (bool, i64, i64) {
    let (step, whole) = quota.micros();
    // More than the whole comes from a clock that went back or a quota that shrank.
    let used = tat.saturating_sub(now).clamp(0, whole);
    let after = used.saturating_add(step.saturating_mul(count)).max(0);
    if after > whole {
        return (false, used, tat);
    }
    // With nothing used up there is nothing to remember: a clock that goes back must not make something of it.
    (true, after, if after == 0 { 0 } else { now + after })
}

/// Quotas in memory, for one process.
#[derive(Debug)]
pub struct Rates {
    start: Instant,
    /// Most keys remembered.
    most: usize,
    tats: Mutex<HashMap<String, i64>>,
}

impl Rates {
    /// Remembers `most` keys; when there are more, it forgets those that have used up least.
    pub fn new(most: usize) -> Rates {
        Rates { start: Instant::now(), most: most.max(1), tats: Mutex::default() }
    }

    /// Counts one request of `key`, if it is in the quota.
    pub fn check(&self, key: &str, quota: Quota) -> Decision {
        self.count(key, quota, 1)
    }

    /// Counts `count` requests of `key`, if all are in the quota; below 0, gives so many back.
    pub fn count(&self, key: &str, quota: Quota, count: i64) -> Decision {
        self.count_at(key, quota, count, self.now())
    }

    /// Whether a request would be in the quota, without counting it.
    pub fn peek(&self, key: &str, quota: Quota) -> Decision {
        let now = self.now();
        let tats = self.tats.lock().unwrap_or_else(PoisonError::into_inner);
        let tat = tats.get(key).copied().unwrap_or(now);
        let (allowed, ..) = decide(quota, now, tat, 1);
        let (_, whole) = quota.micros();
        quota.decision(allowed, tat.saturating_sub(now).clamp(0, whole), 1)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX / 2)
    }

    fn count_at(&self, key: &str, quota: Quota, count: i64, now: i64) -> Decision {
        let mut tats = self.tats.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tats.get(key).copied();
        let (allowed, used, tat) = decide(quota, now, known.unwrap_or(now), count);
        if allowed {
            match tats.get_mut(key) {
                Some(old) => *old = tat,
                // The whole quota is there: nothing to remember.
                None if used == 0 => {}
                None => {
                    if tats.len() >= self.most {
                        forget(&mut tats, now, self.most / 2);
                    }
                    tats.insert(key.to_owned(), tat);
                }
            }
        }
        quota.decision(allowed, used, count)
    }

    /// Keys remembered now.
    pub fn len(&self) -> usize {
        self.tats.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Rates {
    fn default() -> Rates {
        Rates::new(100_000)
    }
}

/// Drops the keys whose quota is whole, and if `most` are not enough for the others, those nearest to it.
fn forget(tats: &mut HashMap<String, i64>, now: i64, most: usize) {
    tats.retain(|_, tat| *tat > now);
    if tats.len() > most {
        let mut all: Vec<i64> = tats.values().copied().collect();
        let (_, least, _) = all.select_nth_unstable(tats.len() - most - 1);
        let least = *least;
        tats.retain(|_, tat| *tat > least);
    }
}

/// Quotas where the queue is.
pub enum RateLimiter {
    Memory(Rates),
    #[cfg(feature = "redis")]
    Redis(Arc<crate::redis::Redis>),
}

impl RateLimiter {
    /// Counts one request of `key`, if it is in the quota.
    ///
    /// # Errors
    /// `Unavailable` and `NoSpace`, of Redis only.
    pub async fn check(&self, key: &str, quota: Quota) -> Result<Decision> {
        self.count(key, quota, 1).await
    }

    /// Counts `count` requests of `key`, if all are in the quota; below 0, gives so many back.
    ///
    /// # Errors
    /// `Unavailable` and `NoSpace`, of Redis only.
    pub async fn count(&self, key: &str, quota: Quota, count: i64) -> Result<Decision> {
        match self {
            RateLimiter::Memory(rates) => Ok(rates.count(key, quota, count)),
            #[cfg(feature = "redis")]
            RateLimiter::Redis(redis) => redis.count(key, quota, count).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn quota(limit: u32, seconds: u64) -> Quota {
        Quota { limit, period: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_whole_quota_may_be_used_at_once() {
        let rates = Rates::default();
        let quota = quota(3, 30);
        let remaining: Vec<u32> = (0..3).map(|_| rates.count_at("a", quota, 1, 0).remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = rates.count_at("a", quota, 1, SECOND);
        assert_eq!((refused.allowed, refused.retry_after), (false, Some(Duration::from_secs(9))));
        assert_eq!(refused.reset_after, Duration::from_secs(29));
        assert!(rates.count_at("b", quota, 1, SECOND).allowed, "keys are apart");
        assert!(rates.count_at("a", quota, 1, 10 * SECOND).allowed);
        assert!(!rates.count_at("a", quota, 1, 11 * SECOND).allowed);
    }

    #[test]
    fn requests_made_together_fit_together_or_not_at_all() {
        let (rates, quota) = (Rates::default(), quota(10, 100));
        assert_eq!(rates.count_at("a", quota, 7, 0).remaining, 3);
        let refused = rates.count_at("a", quota, 4, 0);
        assert_eq!((refused.allowed, refused.remaining), (false, 3), "none of the four is counted");
        // Seven and four are one too many.
        assert_eq!(refused.retry_after, Some(Duration::from_secs(10)));
        assert!(rates.count_at("a", quota, 3, 0).allowed);
        assert_eq!(rates.count_at("a", quota, -2, 0).remaining, 2);
        assert_eq!(rates.count_at("a", quota, -20, 0).remaining, 10, "no more than there are come back");
        let never = rates.count_at("a", quota, 11, 0);
        assert!(!never.allowed && never.remaining == 10);
        rates.count_at("b", quota, -1, 0);
        assert_eq!(rates.len(), 1, "who has a whole quota is not remembered");
    }

    #[test]
    fn a_quota_of_nothing_refuses_all() {
        let refused = Rates::default().count_at("a", quota(0, 60), 1, 0);
        assert!(!refused.allowed && refused.retry_after.is_some());
    }

    #[test]
    fn a_clock_that_went_back_locks_nobody_out_for_longer_than_the_period() {
        let quota = quota(2, 60);
        let (_, _, tat) = decide(quota, 1_000_000 * SECOND, 0, 1);
        assert!(!decide(quota, 5, tat, 1).0);
        assert_eq!(
            quota.decision(false, decide(quota, 5, tat, 1).1, 1).retry_after,
            Some(Duration::from_secs(30))
        );
    }

    #[test]
    fn memory_is_bounded_and_keeps_who_used_most() {
        let rates = Rates::new(100);
        let quota = quota(10, 10);
        for _ in 0..10 {
            rates.count_at("greedy", quota, 1, 0);
        }
        for n in 0..1000 {
            rates.count_at(&format!("key {n}"), quota, 1, n);
            assert!(rates.len() <= 100);
        }
        assert!(!rates.count_at("greedy", quota, 1, 1000).allowed);
        rates.count_at("late", quota, 1, 100 * SECOND);
        for n in 0..100 {
            rates.count_at(&format!("later {n}"), quota, 1, 100 * SECOND);
        }
        assert!(rates.len() <= 101);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_twice_the_quota_and_waits_are_short(
            limit in 1u32..20, seconds in 1u64..100, gaps in prop::collection::vec(0i64..20 * SECOND, 1..100),
        ) {
            let (quota, rates) = (quota(limit, seconds), Rates::default());
            let (mut now, mut taken) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let decision = rates.count_at("k", quota, 1, now);
                prop_assert!(decision.remaining < limit);
                if let Some(wait) = decision.retry_after {
                    let wait = i64::try_from(wait.as_micros()).unwrap();
                    prop_assert!(wait > 0 && wait <= quota.micros().0);
                } else {
                    taken.push(now);
                }
            }
            let period = i64::try_from(quota.period.as_micros()).unwrap();
            for (i, start) in taken.iter().enumerate() {
                let within = taken[i..].iter().take_while(|time| **time < start + period).count();
                prop_assert!(within <= 2 * limit as usize);
            }
        }
    }
}
