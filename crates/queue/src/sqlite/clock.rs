//! The time that jobs are stored with.
//!
//! It runs with the monotonic clock: when somebody sets the clock of the machine, deadlines of jobs that wait and
//! idempotency keys of clients that try again still mean what they meant. Once no job has needed it for a while, it
//! follows the clock of the machine.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Millis;

/// How long no job must have waited or run. A submission is on its way for less.
const QUIET: Duration = Duration::from_secs(10);

pub struct Clock {
    /// What it showed at `since`.
    shown: Millis,
    since: Instant,
    used: Instant,
}

impl Clock {
    pub fn new() -> Clock {
        let now = Instant::now();
        Clock { shown: wall(), since: now, used: now }
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Millis {
        let passed = now.saturating_duration_since(self.since).as_millis();
        self.shown.saturating_add(Millis::try_from(passed).unwrap_or(Millis::MAX))
    }

    /// Some job waits or runs.
    pub fn needed(&mut self) {
        self.used = Instant::now();
    }

    /// How far the clock of the machine is ahead; `None` while jobs need this one.
    pub fn behind(&self) -> Option<Millis> {
        let now = Instant::now();
        (now.saturating_duration_since(self.used) >= QUIET).then(|| wall().saturating_sub(self.at(now)))
    }

    pub fn advance(&mut self, by: Millis) {
        self.shown = self.shown.saturating_add(by);
    }
}

/// By the clock of the machine.
fn wall() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 86_400_000;

    /// One that was made before somebody set the clock of the machine ahead by `jump`.
    fn set(jump: Millis, idle: Duration) -> Option<Clock> {
        let used = Instant::now().checked_sub(idle)?;
        Some(Clock { shown: wall() - jump, since: Instant::now(), used })
    }

    #[test]
    fn a_jump_is_not_seen_while_jobs_need_the_clock() {
        for jump in [DAY, -DAY] {
            let Some(mut clock) = set(jump, QUIET) else { continue };
            let ahead = clock.behind().expect("nobody needs it");
            assert!((ahead - jump).abs() < 5_000, "{ahead}");
            clock.needed();
            assert_eq!(clock.behind(), None);
            assert!((clock.now() + jump - wall()).abs() < 5_000);
        }
    }

    #[test]
    fn it_follows_when_nobody_needs_it() {
        let Some(mut clock) = set(DAY, QUIET) else { return };
        clock.advance(clock.behind().expect("nobody needs it"));
        assert!((clock.now() - wall()).abs() < 5_000);
    }
}
