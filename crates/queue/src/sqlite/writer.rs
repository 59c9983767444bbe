//! One thread writes. What waits is done in one transaction, so that a hundred submissions cost one sync.
//!
//! A piece of work runs in a savepoint: one that fails leaves the others whole. Replies, events and leases come after
//! the commit, so nobody hears of what a crash could still undo. When the transaction itself fails, as on a full
//! disk, each piece is tried alone, so those that still fit (ends, clean-ups) get through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::jobs;
use super::live::{Live, Shared};
use super::schedule::Schedule;
use crate::{Error, JobId, Lane, Limits, Millis, Reaped, Result};

/// Pieces of work in one transaction.
const BATCH: usize = 256;

type After = Box<dyn FnOnce(&mut Live) + Send>;

/// What a piece of work sees.
pub struct Work<'a> {
    pub db: &'a Connection,
    pub schedule: &'a mut Schedule,
    pub shared: &'a Shared,
    pub limits: Limits,
    pub now: Millis,
    after: Vec<After>,
    wake: Vec<Lane>,
    wake_control: bool,
    later: Vec<(Instant, Lane, JobId)>,
}

impl Work<'_> {
    /// Does something in memory once the change is safe.
    pub fn after(&mut self, done: impl FnOnce(&mut Live) + Send + 'static) {
        self.after.push(Box::new(done));
    }

    /// Somebody may claim from `lane`, once the change is safe.
    pub fn wake(&mut self, lane: Lane) {
        self.wake.push(lane);
    }

    pub fn wake_control(&mut self) {
        self.wake_control = true;
    }

    /// The job may be claimed at `when`.
    pub fn later(&mut self, when: Instant, lane: Lane, id: JobId) {
        self.later.push((when, lane, id));
    }
}

/// A piece of work; may run more than once, when its first transaction fails.
pub trait Piece: Send {
    fn run(&mut self, work: &mut Work<'_>) -> Result<()>;
    fn reply(self: Box<Self>, end: Result<()>);
}

/// A piece of work as a function whose result somebody waits for.
pub struct Call<F, T> {
    pub function: F,
    pub result: Option<T>,
    pub reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Piece for Call<F, T>
where
    F: FnMut(&mut Work<'_>) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> Result<()> {
        self.result = Some((self.function)(work)?);
        Ok(())
    }

    fn reply(self: Box<Self>, end: Result<()>) {
        let Call { result, reply, .. } = *self;
        let result = end.and_then(|()| result.ok_or_else(|| Error::Unavailable("nothing was done".into())));
        // Whoever asked may have gone; the work is done all the same.
        drop(reply.send(result));
    }
}

pub struct Writer {
    pub db: Connection,
    pub schedule: Schedule,
    pub shared: Arc<Shared>,
    /// Jobs that wait for their next try.
    later: BinaryHeap<Reverse<(Instant, Lane, JobId)>>,
}

/// What work left to do once it is safe.
struct Aftermath {
    after: Vec<After>,
    wake: Vec<Lane>,
    wake_control: bool,
    later: Vec<(Instant, Lane, JobId)>,
}

impl Writer {
    pub fn new(db: Connection, shared: Arc<Shared>) -> Result<Writer> {
        Ok(Writer { schedule: Schedule::load(&db)?, db, shared, later: BinaryHeap::new() })
    }

    /// Takes back what the last process held.
    pub fn recover(&mut self) -> Result<Reaped> {
        let (reply, mut result) = oneshot::channel();
        self.batch(vec![Box::new(Call { function: jobs::recover, result: None, reply })]);
        result.try_recv().unwrap_or_else(|_| Err(Error::Unavailable("nothing was done".into())))
    }

    /// Works until all senders have gone.
    pub fn run(mut self, inbox: &Receiver<Box<dyn Piece>>) {
        loop {
            let first = match self.later.peek() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(Reverse((when, ..))) => {
                    inbox.recv_timeout(when.saturating_duration_since(Instant::now()))
                }
            };
            match first {
                Ok(first) => {
                    let batch = std::iter::once(first).chain(inbox.try_iter()).take(BATCH).collect();
                    self.batch(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // After every batch: under a steady load there is never a pause.
            if self.later.peek().is_some_and(|Reverse((when, ..))| *when <= Instant::now()) {
                self.promote();
            }
        }
    }

    fn batch(&mut self, mut batch: Vec<Box<dyn Piece>>) {
        let mut ends: Vec<Result<()>> = Vec::new();
        let whole = self.transact(|writer, aftermaths| {
            for piece in &mut batch {
                let end = writer.piece(piece.as_mut(), aftermaths);
                // Some errors end the whole transaction.
                if let Err(error) = &end
                    && writer.db.is_autocommit()
                {
                    return Err(Error::Unavailable(error.to_string()));
                }
                ends.push(end);
            }
            Ok(())
        });
        if whole.is_err() {
            ends.clear();
            for piece in &mut batch {
                let mut end = Ok(());
                let alone = self.transact(|writer, aftermaths| {
                    end = writer.piece(piece.as_mut(), aftermaths);
                    Ok(())
                });
                ends.push(end.and(alone));
            }
        }
        for (piece, end) in batch.into_iter().zip(ends) {
            piece.reply(end);
        }
    }

    /// Runs one piece in a savepoint.
    fn piece(&mut self, piece: &mut dyn Piece, aftermaths: &mut Vec<Aftermath>) -> Result<()> {
        let mark = self.schedule.mark();
        let now = self.shared.live().clock.now();
        self.db.prepare_cached("SAVEPOINT piece")?.execute([])?;
        let mut work = Work {
            db: &self.db,
            schedule: &mut self.schedule,
            shared: &self.shared,
            limits: self.shared.limits(),
            now,
            after: Vec::new(),
            wake: Vec::new(),
            wake_control: false,
            later: Vec::new(),
        };
        let end = piece.run(&mut work);
        let Work { after, wake, wake_control, later, .. } = work;
        match end {
            Ok(()) => {
                self.db.prepare_cached("RELEASE piece")?.execute([])?;
                aftermaths.push(Aftermath { after, wake, wake_control, later });
                Ok(())
            }
            Err(error) => {
                self.schedule.roll_back(mark);
                if !self.db.is_autocommit() {
                    self.db.execute_batch("ROLLBACK TO piece; RELEASE piece")?;
                }
                Err(error)
            }
        }
    }

    /// Runs `body` in a transaction; all of it is undone when it or the commit fails.
    fn transact(&mut self, body: impl FnOnce(&mut Writer, &mut Vec<Aftermath>) -> Result<()>) -> Result<()> {
        let mut aftermaths = Vec::new();
        let attempt = || -> Result<()> {
            self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            body(self, &mut aftermaths)?;
            self.db.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        };
        if let Err(error) = attempt() {
            tracing::warn!(%error, "a change of the queue was undone");
            self.schedule.roll_back(0);
            if !self.db.is_autocommit()
                && let Err(error) = self.db.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "the transaction cannot be undone");
            }
            return Err(error);
        }
        self.schedule.commit();
        self.shared.set_stats(self.schedule.stats());
        self.finish(aftermaths);
        Ok(())
    }

    fn finish(&mut self, aftermaths: Vec<Aftermath>) {
        let mut live = self.shared.live();
        let mut wake = Vec::new();
        let mut wake_control = false;
        for aftermath in aftermaths {
            aftermath.after.into_iter().for_each(|done| done(&mut live));
            wake.extend(aftermath.wake);
            wake_control |= aftermath.wake_control;
            self.later.extend(aftermath.later.into_iter().map(Reverse));
        }
        drop(live);
        for lane in wake {
            self.shared.lane(lane).notify_one();
        }
        if wake_control {
            self.shared.control.notify_one();
        }
    }

    /// Makes jobs claimable whose wait is over.
    fn promote(&mut self) {
        let mut due = Vec::new();
        while let Some(Reverse((when, ..))) = self.later.peek()
            && *when <= Instant::now()
        {
            due.extend(self.later.pop().map(|Reverse(entry)| entry));
        }
        let end = self.transact(|writer, aftermaths| {
            let mut query = writer.db.prepare_cached("UPDATE jobs SET delayed = 0 WHERE id = ?1")?;
            for (_, _, id) in &due {
                query.execute([id.as_str()])?;
            }
            let wake = due.iter().map(|(_, lane, _)| *lane).collect();
            aftermaths.push(Aftermath { after: Vec::new(), wake, wake_control: false, later: Vec::new() });
            Ok(())
        });
        if end.is_err() {
            let again = Instant::now() + Duration::from_secs(1);
            self.later.extend(due.into_iter().map(|(_, lane, id)| Reverse((again, lane, id))));
        }
    }
}
