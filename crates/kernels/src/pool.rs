//! The compute threads: fork and join in a microsecond or two.
//!
//! A network step is a few dozen short loops with a join after each, so waking threads through the
//! kernel each time would cost more than the work. A worker that has nothing to do spins for
//! [`SPIN`], yields until [`PARK_AFTER`], then parks; an idle pool uses no processor time.
//!
//! Tasks are claimed one by one from a bit set. A worker prefers its own task (its weights are in
//! its cache), and whoever is done takes what is left, the caller included. So a parked or
//! descheduled worker never holds up a join unless it is in the middle of a task, and a pool with
//! more threads than free cores only loses speed.
//!
//! **Rule:** tasks of one `run` must not wait for each other: any number of them may run on one thread.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::shared::SharedMut;
use crate::{Error, Result};

/// How long a worker (or a join) polls without giving up the processor.
pub const SPIN: Duration = Duration::from_micros(30);
/// How long after its last task a worker parks. Longer than sampling a batch of tokens between two
/// network steps takes, short enough that idle pools are not seen in `top`.
pub const PARK_AFTER: Duration = Duration::from_micros(100);

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A fixed set of threads that run one parallel loop at a time. See the [module](self) for its cost.
pub struct Pool {
    threads: usize,
    state: Arc<State>,
    workers: Vec<JoinHandle<()>>,
}

#[repr(align(64))]
struct Line<T>(T);

struct State {
    /// High half: number of the current job. Low half: its unclaimed tasks, one bit each.
    claims: Line<AtomicU64>,
    /// Claimed or unclaimed tasks of the current job that have not finished.
    unfinished: Line<AtomicU32>,
    job: Line<UnsafeCell<Option<Job>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Held by the one `run` that uses the workers.
    busy: AtomicBool,
    closing: AtomicBool,
    sleeping: Vec<AtomicBool>,
}

#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    tasks: usize,
}

// SAFETY: `job` is written by the holder of `busy` while no task is claimed, and read only by threads
// that have claimed a task of it; `claims` orders both.
unsafe impl Sync for State {}
// SAFETY: the task behind the pointer is `Sync`.
unsafe impl Send for State {}

impl Pool {
    /// The most threads a pool can have (tasks are bits of one word).
    pub const MAX_THREADS: usize = 32;

    /// A pool of `threads` in `1..=32`, the calling thread included: `Pool::new(1)` starts none.
    ///
    /// # Errors
    /// [`Error::Threads`] out of range, [`Error::Spawn`] if the system refuses a thread.
    pub fn new(threads: usize) -> Result<Pool> {
        if !(1..=Self::MAX_THREADS).contains(&threads) {
            return Err(Error::Threads { max: Self::MAX_THREADS, got: threads });
        }
        let state = Arc::new(State {
            claims: Line(AtomicU64::new(0)),
            unfinished: Line(AtomicU32::new(0)),
            job: Line(UnsafeCell::new(None)),
            panic: Mutex::new(None),
            busy: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            sleeping: (1..threads).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = Pool { threads, state, workers: Vec::new() };
        for worker in 1..threads {
            let state = Arc::clone(&pool.state);
            let handle = thread::Builder::new()
                .name(format!("partita-compute-{worker}"))
                .spawn(move || state.work(worker))
                .map_err(|error| Error::Spawn(error.to_string()))?;
            pool.workers.push(handle);
        }
        Ok(pool)
    }

    /// A pool of `PARTITA_THREADS` threads; without it, one per core, at most 8: decoding is bound by
    /// memory, which few cores saturate.
    ///
    /// # Errors
    /// As [`Pool::new`], and [`Error::ThreadsVariable`] for a value that is not in `1..=32`.
    pub fn from_env() -> Result<Pool> {
        match std::env::var("PARTITA_THREADS") {
            Ok(text) => Pool::new(parse_threads(&text)?),
            Err(_) => Pool::new(thread::available_parallelism().map_or(1, usize::from).min(8)),
        }
    }

    /// Threads that take part in [`run`](Self::run), the caller included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `task(worker, workers)` once for each `worker` in `0..threads`, in parallel where threads
    /// are free, and returns when all have finished. Called from inside a task, or while another
    /// thread uses the pool, it runs them all on the calling thread.
    ///
    /// # Panics
    /// With the first panic of a task, after all tasks have finished.
    pub fn run(&self, task: impl Fn(usize, usize) + Sync) {
        self.run_tasks(self.threads, &task);
    }

    /// Splits `slice` into chunks of `len` elements and calls `each(index, chunk)` for all of them.
    /// The last chunk may be shorter. Neighbouring chunks share a worker.
    pub fn for_chunks<T: Send>(&self, slice: &mut [T], len: usize, each: impl Fn(usize, &mut [T]) + Sync) {
        let (total, len) = (slice.len(), len.max(1));
        let chunks = total.div_ceil(len);
        // Uneven chunks (causal attention) balance better in more tasks than there are threads.
        let wanted = if chunks >= 8 * self.threads { 4 * self.threads } else { self.threads };
        let tasks = wanted.min(chunks).min(Self::MAX_THREADS);
        let shared = SharedMut::new(slice);
        self.run_tasks(tasks, &|task, tasks| {
            for index in chunks * task / tasks..chunks * (task + 1) / tasks {
                // SAFETY: each index belongs to one task, and chunks of different indices are disjoint.
                each(index, unsafe { shared.part(index * len, total.min((index + 1) * len)) });
            }
        });
    }

    /// `tasks` in `0..=32`.
    fn run_tasks(&self, tasks: usize, task: &Task<'_>) {
        let state = &*self.state;
        if self.threads == 1 || tasks <= 1 || state.busy.swap(true, Ordering::Acquire) {
            (0..tasks).for_each(|index| task(index, tasks));
            return;
        }
        let pointer: *const Task<'_> = task;
        // SAFETY: only the lifetime changes. The pointer is used by threads that have claimed a task,
        // and this function returns after every claimed task has finished.
        let pointer = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(pointer) };
        // SAFETY: `busy` is ours and no task is claimed, so nobody else looks at the job.
        unsafe { *state.job.0.get() = Some(Job { task: pointer, tasks }) };
        state.unfinished.0.store(tasks as u32, Ordering::Relaxed);
        let number = (state.claims.0.load(Ordering::Relaxed) >> 32).wrapping_add(1) & 0xffff_ffff;
        let all = u64::MAX >> (64 - tasks);
        state.claims.0.store(number << 32 | all, Ordering::Release);
        self.wake(tasks);

        while state.claim_and_run(0) {}
        let started = Instant::now();
        while state.unfinished.0.load(Ordering::Acquire) != 0 {
            relax(started);
        }
        let panic = state.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        state.busy.store(false, Ordering::Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    fn wake(&self, tasks: usize) {
        // Pairs with the fence in `sleep`: either we see the flag, or the worker sees the job.
        fence(Ordering::SeqCst);
        for (sleeping, worker) in self.state.sleeping.iter().zip(&self.workers).take(tasks - 1) {
            if sleeping.load(Ordering::Relaxed) {
                worker.thread().unpark();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches every panic of a task, so there is no result to look at.
            let _ = worker.join();
        }
    }
}

impl State {
    /// Claims one task of the current job, the one numbered `preferred` if it can, and runs it.
    fn claim_and_run(&self, preferred: usize) -> bool {
        let mut claims = self.claims.0.load(Ordering::Acquire);
        let index = loop {
            let open = claims as u32;
            if open == 0 {
                return false;
            }
            let index = if open >> preferred & 1 == 1 { preferred } else { open.trailing_zeros() as usize };
            let claimed = claims & !(1 << index);
            // The job's number is part of the word, so a claim on a job that has ended fails.
            match self.claims.0.compare_exchange_weak(claims, claimed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break index,
                Err(now) => claims = now,
            }
        };
        // SAFETY: with a claimed task the job stays as it is until we count the task as finished.
        let Job { task, tasks } = unsafe { (*self.job.0.get()).expect("a job with claims is set") };
        // SAFETY: `run_tasks` keeps the task alive until all claimed tasks have finished.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*task)(index, tasks) }));
        if let Err(payload) = result {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
        self.unfinished.0.fetch_sub(1, Ordering::Release);
        true
    }

    fn work(&self, worker: usize) {
        let mut idle_since = Instant::now();
        while !self.closing.load(Ordering::Relaxed) {
            if self.claim_and_run(worker) {
                idle_since = Instant::now();
            } else if idle_since.elapsed() < PARK_AFTER {
                relax(idle_since);
            } else {
                self.sleep(worker);
                idle_since = Instant::now();
            }
        }
    }

    fn sleep(&self, worker: usize) {
        let flag = &self.sleeping[worker - 1];
        flag.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.claims.0.load(Ordering::Relaxed) as u32 == 0 && !self.closing.load(Ordering::Relaxed) {
            thread::park();
        }
        flag.store(false, Ordering::Relaxed);
    }
}

/// One pause of a polling loop that began at `since`.
fn relax(since: Instant) {
    if since.elapsed() < SPIN {
        for _ in 0..8 {
            std::hint::spin_loop();
        }
    } else {
        thread::yield_now();
    }
}

fn parse_threads(text: &str) -> Result<usize> {
    match text.trim().parse() {
        Ok(threads) if (1..=Pool::MAX_THREADS).contains(&threads) => Ok(threads),
        _ => Err(Error::ThreadsVariable { max: Pool::MAX_THREADS, got: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn count_one(count: &AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads).unwrap();
            for _ in 0..2000 {
                let seen: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
                pool.run(|worker, workers| {
                    assert_eq!(workers, threads);
                    seen[worker].fetch_add(1, Ordering::Relaxed);
                });
                assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn chunks_cover_the_slice() {
        let pool = Pool::new(3).unwrap();
        for (len, chunk) in [(0, 4), (1, 4), (10, 4), (100, 1), (1000, 7)] {
            let mut values = vec![0; len];
            pool.for_chunks(&mut values, chunk, |index, part| part.fill(index + 1));
            for (at, value) in values.iter().enumerate() {
                assert_eq!(*value, at / chunk + 1);
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(4).unwrap();
        for bad in 0..4 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(|worker, _| assert!(worker != bad, "worker {worker}"));
            }));
            let text = *result.unwrap_err().downcast::<String>().unwrap();
            assert_eq!(text, format!("worker {bad}"));
        }
        let count = AtomicUsize::new(0);
        pool.run(|_, _| count_one(&count));
        assert_eq!(count.into_inner(), 4);
    }

    #[test]
    fn nested_and_concurrent_runs_finish() {
        let pool = Pool::new(2).unwrap();
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(|_, _| pool.run(|_, _| count_one(&count)));
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 3 * 200 * 4);
    }

    #[test]
    fn parked_workers_wake_up() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..20 {
            let started = Instant::now();
            while started.elapsed() < 2 * PARK_AFTER {
                std::hint::spin_loop();
            }
            let count = AtomicUsize::new(0);
            pool.run(|_, _| count_one(&count));
            assert_eq!(count.into_inner(), 2);
        }
    }

    #[test]
    fn thread_counts_outside_the_range_are_named() {
        assert_eq!(Pool::new(0).err().unwrap().to_string(), "threads must be in 1..=32, got 0");
        for text in ["0", "33", "two", ""] {
            let message = parse_threads(text).unwrap_err().to_string();
            assert_eq!(message, format!("PARTITA_THREADS must be a whole number in 1..=32, got {text:?}"));
        }
        assert_eq!(parse_threads(" 4 "), Ok(4));
    }
}
