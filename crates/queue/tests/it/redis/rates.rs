//! Limits of requests and the cache.

use std::sync::Arc;
use std::time::Duration;

use partita_queue::rate::{Quota, RateLimiter, Rates, decide};
use partita_queue::redis::{CACHE_ENTRY, CacheBounds};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Names;
use crate::suite::{self, limits, pause};

/// More than any test caches.
const LARGE: u64 = 64 << 20;

/// Some requests, each with its quota, how many it counts as, and the time since the one before in microseconds; both
/// may be negative.
fn trace() -> impl Strategy<Value = Vec<(u32, i64, i64)>> {
    let gap = prop_oneof![9 => 0i64..600_000_000, 1 => -8_000_000_000i64..8_000_000_000];
    let count = prop_oneof![3 => Just(1i64), 1 => -3i64..9];
    prop::collection::vec((prop_oneof![4 => Just(7u32), 1 => 0u32..20], count, gap), 1..60)
}

#[test]
fn redis_and_memory_decide_alike() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
            let number = std::cell::Cell::new(0);
            let result = TestRunner::new(config).run(&trace(), |trace| {
                number.set(number.get() + 1);
                let key = format!("key {}", number.get());
                let (mut now, mut tat) = (1_700_000_000_000_001, 0);
                for (limit, count, gap) in trace {
                    now += gap;
                    let quota = Quota { limit, period: Duration::from_secs(3600) };
                    let (allowed, used, next) = decide(quota, now, tat, count);
                    tat = next;
                    let told = handle.block_on(queue.count_at(&key, quota, count, Some(now)));
                    let told = told.expect("asking works");
                    let step = 3_600_000_000 / i64::from(limit.max(1));
                    prop_assert_eq!(told.allowed, allowed);
                    prop_assert_eq!(told.reset_after, Duration::from_micros(used.unsigned_abs()));
                    prop_assert_eq!(i64::from(told.remaining), (step * i64::from(limit) - used) / step);
                }
                Ok(())
            });
            result.expect("both decide alike");
        });
    });
}

#[test]
fn both_limiters_let_a_quota_through_and_no_more() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        for limiter in [RateLimiter::Memory(Rates::default()), RateLimiter::Redis(Arc::clone(&queue))] {
            let quota = Quota { limit: 3, period: Duration::from_secs(600) };
            for left in [2, 1, 0] {
                let decision = limiter.check("a", quota).await.expect("asking works");
                assert_eq!((decision.allowed, decision.limit, decision.remaining), (true, 3, left));
            }
            let decision = limiter.check("a", quota).await.expect("asking works");
            assert!(!decision.allowed && decision.retry_after.is_some_and(|time| time.as_secs() > 100));
            let count = async |count| {
                let decision = limiter.count("c", quota, count).await.expect("asking works");
                (decision.allowed, decision.remaining)
            };
            assert_eq!(count(2).await, (true, 1));
            assert_eq!(count(2).await, (false, 1), "none of both is counted");
            assert_eq!(count(-1).await, (true, 2));
            assert_eq!(count(2).await, (true, 0));
            assert!(limiter.check("b", quota).await.expect("asking works").allowed);
        }
    });
}

#[test]
fn what_is_cached_comes_back_until_its_time_is_up() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        assert_eq!(queue.cache_get("large").await.expect("reading works"), None);
        let bounds = |ttl| CacheBounds { bytes: LARGE, entries: 10, ttl };
        queue.cache_put("large", &bytes, bounds(Duration::from_secs(60))).await.expect("storing works");
        assert!(queue.cache_get("large").await.expect("reading works") == Some(bytes));
        queue.cache_put("short", b"x", bounds(Duration::from_millis(1))).await.expect("storing works");
        pause(20).await;
        assert_eq!(queue.cache_get("short").await.expect("reading works"), None);
    });
}

#[test]
fn a_cache_keeps_its_bounds_and_what_is_used() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        let (long, value) = (Duration::from_secs(60), vec![7; 10_000]);
        let most = 4 * (10_000 + CACHE_ENTRY);
        let put = async |key: &str, value: &[u8], ttl| {
            queue
                .cache_put(key, value, CacheBounds { bytes: most, entries: 100, ttl })
                .await
                .expect("storing works");
        };
        let has = async |key: &str| queue.cache_get(key).await.expect("reading works").is_some();
        for key in ["a", "b", "c", "d"] {
            put(key, &value, long).await;
        }
        assert!(has("a").await, "used, so that b is the oldest");
        put("e", &value, long).await;
        assert!(!has("b").await);
        for key in ["a", "c", "d", "e"] {
            assert!(has(key).await, "{key}");
        }
        // The same key takes its own place.
        put("a", &value, long).await;
        assert!(has("c").await && has("d").await && has("e").await);
        put("f", &vec![1; 100_000], long).await;
        assert!(!has("f").await && has("a").await, "it is larger than the cache");
        let bytes = async || {
            let name = format!("{{{}}}:cache-bytes", names.prefix);
            names.server.ask::<u64>(&["GET", &name]).await
        };
        assert_eq!(bytes().await, most);
        // What has expired counts no longer, and nothing has to go for it.
        for key in ["a", "c", "d"] {
            put(key, &value, Duration::from_millis(1)).await;
        }
        pause(20).await;
        put("g", b"", long).await;
        assert_eq!(bytes().await, 10_000 + 2 * CACHE_ENTRY);
        assert!(has("e").await && has("g").await);
        let two = CacheBounds { bytes: most, entries: 2, ttl: long };
        queue.cache_put("h", b"", two).await.expect("storing works");
        assert!(!has("e").await && has("g").await && has("h").await, "their number is bounded too");
    });
}
