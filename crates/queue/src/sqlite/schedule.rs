//! Whose turn it is: start-time fair queueing between owners, and how many jobs are where.
//!
//! Within a lane and priority, time is counted in turns. A new job's turn is one after its owner's last, but never
//! before the present, which is the turn last claimed. So an owner's hundredth job comes a hundred turns from now and
//! another owner's first job comes next. Jobs without an owner count as one owner's.
//!
//! Changes are undone with the transaction that made them.

use std::collections::HashMap;
use std::time::Instant;

use rusqlite::Connection;

use super::records;
use crate::retry::{QUIET, SUSPECT};
use crate::{Lane, Result, Stats};

type Place = (Lane, u8);

#[derive(Default)]
pub struct Schedule {
    stats: Stats,
    /// Suspects that run: none or one.
    suspects: u64,
    quiet: Option<Quiet>,
    now: HashMap<Place, i64>,
    last: HashMap<(Place, String), i64>,
    undo: Vec<Undo>,
}

/// What is counted.
#[derive(Clone, Copy)]
pub enum Count {
    Queued(Lane),
    Running(Lane),
    Suspects,
    Done,
    Parked,
    Deliveries,
}

/// A suspect waits for the process to become idle.
#[derive(Clone, Copy)]
struct Quiet {
    lane: Lane,
    since: Instant,
}

impl Quiet {
    fn lasts(&self) -> bool {
        self.since.elapsed() < QUIET
    }

    /// Also after the time in which the others go on.
    fn is_over(&self) -> bool {
        self.since.elapsed() > QUIET + QUIET
    }
}

enum Undo {
    Count(Count, i64),
    Quiet(Option<Quiet>),
    Now(Place, i64),
    Last((Place, String), i64),
}

/// Owners remembered before those whose turns have passed are dropped.
const OWNERS: usize = 4096;

impl Schedule {
    /// As the jobs in the file have it.
    pub fn load(db: &Connection) -> Result<Schedule> {
        let mut schedule = Schedule { stats: records::count(db)?, ..Schedule::default() };
        let sql = format!("SELECT count(*) FROM jobs WHERE state = 'running' AND deaths >= {SUSPECT}");
        schedule.suspects = db.query_row(&sql, [], |row| row.get(0))?;
        let mut query = db.prepare(
            "SELECT lane, priority, ifnull(owner, ''), min(turn), max(turn) FROM jobs \
             WHERE state = 'queued' GROUP BY 1, 2, 3",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let lane: String = row.get(0)?;
            let Some(lane) = Lane::ALL.into_iter().find(|known| known.name() == lane) else { continue };
            let place = (lane, row.get(1)?);
            let (first, last): (i64, i64) = (row.get(3)?, row.get(4)?);
            let now = schedule.now.entry(place).or_insert(first - 1);
            *now = (*now).min(first - 1);
            schedule.last.insert((place, row.get(2)?), last);
        }
        Ok(schedule)
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub fn queued(&self, lane: Lane) -> usize {
        self.stats.queued.get(&lane).map_or(0, |&count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Some more or fewer.
    pub fn count(&mut self, what: Count, change: i64) {
        self.undo.push(Undo::Count(what, -change));
        self.add(what, change);
    }

    fn add(&mut self, what: Count, change: i64) {
        let number = match what {
            Count::Queued(lane) => self.stats.queued.entry(lane).or_default(),
            Count::Running(lane) => self.stats.running.entry(lane).or_default(),
            Count::Suspects => &mut self.suspects,
            Count::Done => &mut self.stats.done,
            Count::Parked => &mut self.stats.parked,
            Count::Deliveries => &mut self.stats.deliveries,
        };
        *number = number.saturating_add_signed(change);
    }

    /// A job of `lane` runs no longer (`-1`) or runs (`1`).
    pub fn run(&mut self, lane: Lane, deaths: u32, change: i64) {
        self.count(Count::Running(lane), change);
        if deaths >= SUSPECT {
            self.count(Count::Suspects, change);
        }
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        self.stats.running.values().all(|&count| count == 0)
    }

    /// Whether a lane may claim nothing: a suspect runs, or one of another lane waits for the process to become idle.
    pub fn is_shut(&self, lane: Lane) -> bool {
        self.suspects > 0 || self.quiet.is_some_and(|quiet| quiet.lane != lane && quiet.lasts())
    }

    /// Somebody may be kept from claiming until jobs end.
    pub fn keeps_waiting(&self) -> bool {
        self.suspects > 0 || self.quiet.is_some_and(|quiet| quiet.lasts())
    }

    /// A suspect of `lane` is next and others run. Whether the lane waits for them; else it goes on without it.
    pub fn wait_for_idle(&mut self, lane: Lane) -> bool {
        if self.quiet.is_none_or(|quiet| quiet.is_over()) {
            self.set_quiet(Some(Quiet { lane, since: Instant::now() }));
        }
        self.quiet.is_some_and(|quiet| quiet.lasts())
    }

    /// No suspect of `lane` is next any longer.
    pub fn stop_waiting(&mut self, lane: Lane) {
        if self.quiet.is_some_and(|quiet| quiet.lane == lane && quiet.lasts()) {
            self.set_quiet(None);
        }
    }

    fn set_quiet(&mut self, quiet: Option<Quiet>) {
        self.undo.push(Undo::Quiet(self.quiet));
        self.quiet = quiet;
    }

    /// The turn of a job that comes now.
    pub fn next_turn(&mut self, lane: Lane, priority: u8, owner: Option<&str>) -> i64 {
        let key = ((lane, priority), owner.unwrap_or_default().to_owned());
        let now = self.now.get(&key.0).copied().unwrap_or_default();
        let last = self.last.get(&key).copied().unwrap_or_default();
        let turn = now.max(last) + 1;
        self.undo.push(Undo::Last(key.clone(), last));
        self.last.insert(key, turn);
        turn
    }

    /// A job with this turn was claimed.
    pub fn claimed(&mut self, lane: Lane, priority: u8, turn: i64) {
        let now = self.now.entry((lane, priority)).or_default();
        self.undo.push(Undo::Now((lane, priority), *now));
        *now = turn.max(*now);
    }

    /// A point to go back to.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    pub fn roll_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop().expect("the list is longer than the mark") {
                Undo::Count(what, change) => self.add(what, change),
                Undo::Quiet(quiet) => self.quiet = quiet,
                Undo::Now(place, turn) => drop(self.now.insert(place, turn)),
                Undo::Last(key, turn) => drop(self.last.insert(key, turn)),
            }
        }
    }

    /// What was done stays done.
    pub fn commit(&mut self) {
        self.undo.clear();
        if self.last.len() > OWNERS {
            let now = &self.now;
            self.last.retain(|(place, _), last| *last > now.get(place).copied().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane::Generation;

    #[test]
    fn another_owners_first_job_comes_next() {
        let mut schedule = Schedule::default();
        let greedy: Vec<i64> = (0..100).map(|_| schedule.next_turn(LANE, 5, Some("a"))).collect();
        assert_eq!(greedy, (1..=100).collect::<Vec<_>>());
        schedule.claimed(LANE, 5, 40);
        assert_eq!(schedule.next_turn(LANE, 5, Some("b")), 41);
        // Urgent jobs of an owner are no reason to let its usual ones wait.
        assert_eq!(schedule.next_turn(LANE, 9, Some("a")), 1);
    }

    #[test]
    fn what_is_rolled_back_was_never_there() {
        let mut schedule = Schedule::default();
        schedule.count(Count::Queued(LANE), 1);
        assert_eq!(schedule.next_turn(LANE, 5, None), 1);
        schedule.commit();
        let mark = schedule.mark();
        schedule.count(Count::Queued(LANE), 1);
        schedule.next_turn(LANE, 5, None);
        schedule.claimed(LANE, 5, 2);
        schedule.roll_back(mark);
        assert_eq!(schedule.queued(LANE), 1);
        assert_eq!(schedule.next_turn(LANE, 5, None), 2);
    }

    #[test]
    fn a_lane_waits_for_a_suspect_with_patience_and_then_goes_on() {
        let mut schedule = Schedule::default();
        assert!(schedule.wait_for_idle(LANE));
        assert!(schedule.is_shut(Lane::Midi) && !schedule.is_shut(LANE));
        let Some(since) = Instant::now().checked_sub(QUIET) else { return };
        schedule.quiet = Some(Quiet { lane: LANE, since });
        assert!(!schedule.wait_for_idle(LANE) && !schedule.is_shut(Lane::Midi));
        let Some(since) = since.checked_sub(QUIET + QUIET) else { return };
        schedule.quiet = Some(Quiet { lane: LANE, since });
        assert!(schedule.wait_for_idle(LANE) && schedule.is_shut(Lane::Midi));
    }
}
