//! Counts since the start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Engine, TaskNumbers};

/// What is counted of the jobs that ended here.
#[derive(Default)]
pub(crate) struct Counts {
    ends: Mutex<BTreeMap<(String, String, &'static str), End>>,
    pub cache_hits: AtomicU64,
    pub cache_misses: AtomicU64,
    done: AtomicU64,
    window: Mutex<VecDeque<(Instant, u64)>>,
}

#[derive(Default)]
struct End {
    count: u64,
    seconds: f64,
    buckets: [u64; Engine::BUCKETS.len()],
}

/// Over which tokens a second are told.
const WINDOW: Duration = Duration::from_secs(10);

impl Counts {
    /// A job ended `seconds` after its claim.
    pub fn ended(&self, kind: &str, model: &str, status: &'static str, seconds: f64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ends.entry((kind.to_owned(), model.to_owned(), status)).or_default();
        end.count += 1;
        end.seconds += seconds;
        for (bucket, bound) in end.buckets.iter_mut().zip(Engine::BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    /// Jobs that ended here.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn tasks(&self) -> Vec<TaskNumbers> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let task = |((kind, model, status), end): (&(String, String, &'static str), &End)| TaskNumbers {
            kind: kind.clone(),
            model: model.clone(),
            status: (*status).to_owned(),
            count: end.count,
            seconds: end.seconds,
            buckets: end.buckets.to_vec(),
        };
        ends.iter().map(task).collect()
    }

    /// Notes that `tokens` were drawn until `now`. Called about twice a second.
    pub fn sample(&self, now: Instant, tokens: u64) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.push_back((now, tokens));
        // The newest sample outside the window stays: it is where the window begins.
        while window.get(1).is_some_and(|&(time, _)| now.duration_since(time) >= WINDOW) {
            window.pop_front();
        }
    }

    /// Tokens a second over the last ten seconds, given that `tokens` were drawn until `now`.
    pub fn rate(&self, now: Instant, tokens: u64) -> f64 {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(&(since, before)) = window.front() else { return 0.0 };
        let seconds = now.duration_since(since).as_secs_f64();
        // A model that was unloaded may have taken its count along.
        if seconds < 0.05 { 0.0 } else { tokens.saturating_sub(before) as f64 / seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_took_at_most_their_bound() {
        let counts = Counts::default();
        for seconds in [0.05, 0.2, 400.0] {
            counts.ended("generate", "drums@1", "complete", seconds);
        }
        let tasks = counts.tasks();
        assert_eq!(tasks.len(), 1);
        assert_eq!((tasks[0].count, tasks[0].buckets[0], tasks[0].buckets[2]), (3, 1, 2));
        assert_eq!(tasks[0].buckets.last(), Some(&2));
        assert!((tasks[0].seconds - 400.25).abs() < 1e-9);
    }

    #[test]
    fn speed_is_that_of_the_last_ten_seconds() {
        let counts = Counts::default();
        let start = Instant::now();
        assert_eq!(counts.rate(start, 0), 0.0);
        for tenth in 0..300 {
            counts.sample(
                start + Duration::from_millis(tenth * 100),
                if tenth < 150 { 100_000 } else { 101_000 },
            );
        }
        let end = start + Duration::from_secs(30);
        assert!(counts.rate(end, 101_000) < 1e-9);
        assert!((counts.rate(end, 102_000) - 100.0).abs() < 2.0);
        assert!(counts.window.lock().expect("no panic held it").len() < 110);
    }
}
