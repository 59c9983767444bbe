//! Random histories of one lane against a model in plain vectors.

use partita_queue::{Lease, NewJob, State};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Submit {
        priority: u8,
        max_attempts: u32,
    },
    Claim,
    Beat(usize),
    Finish(usize, usize),
    FinishStale(usize),
    Release(usize),
    Cancel(usize),
    /// Every lease runs out.
    RunOut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (4u8..=6, 1u32..=3).prop_map(|(priority, max_attempts)| Step::Submit { priority, max_attempts }),
        5 => Just(Step::Claim),
        1 => any::<usize>().prop_map(Step::Beat),
        3 => (any::<usize>(), 0usize..4).prop_map(|(job, outcome)| Step::Finish(job, outcome)),
        1 => any::<usize>().prop_map(Step::FinishStale),
        2 => any::<usize>().prop_map(Step::Release),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::RunOut),
    ]
}

/// One job as it must be.
struct Model {
    id: JobId,
    priority: u8,
    max_attempts: u32,
    state: State,
    attempts: u32,
    deaths: u32,
    cancel: bool,
    /// 1 for a job that was given back, 2 for one that must run alone.
    front: u8,
    /// Place among equals that are not at the front.
    turn: usize,
    held: Option<Claim>,
    stale: Vec<Lease>,
}

impl Model {
    fn is_suspect(&self) -> bool {
        self.deaths >= 2
    }

    fn give_back(&mut self, state: State, front: bool) {
        self.state = if self.cancel { State::Cancelled } else { state };
        self.front = if self.is_suspect() { 2 } else { u8::from(front) };
        self.stale.extend(self.held.take().map(|claim| claim.lease));
    }

    fn lose(&mut self) {
        self.deaths += 1;
        let out = self.deaths >= self.max_attempts;
        self.give_back(if out { State::Failed } else { State::Queued }, true);
    }

    fn end(&mut self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Complete(_) => {
                self.cancel = false;
                self.give_back(State::Complete, false);
            }
            Outcome::Cancelled => self.give_back(State::Cancelled, false),
            Outcome::Failed { again, .. } if *again && self.attempts - self.deaths < self.max_attempts => {
                self.give_back(State::Queued, false);
                return self.state == State::Queued;
            }
            Outcome::Failed { .. } => self.give_back(State::Failed, false),
        }
        false
    }
}

pub async fn random_histories_match_the_model(store: &dyn Store) {
    histories(store, 16).await;
}

pub async fn histories(store: &dyn Store, cases: u32) {
    let queue = open(store).await;
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let steps = proptest::collection::vec(step(), 1..40);
        let result = TestRunner::new(config).run(&steps, |steps| {
            let verdict = handle.block_on(play(&*queue, &steps));
            handle.block_on(clean(&*queue));
            verdict.map_err(TestCaseError::fail)
        });
        if let Err(TestError::Fail(reason, steps)) = result {
            panic!("{reason} after {steps:?}");
        }
        result.expect("no case is given up");
    });
}

/// Empties the queue for the next history.
async fn clean(queue: &dyn Queue) {
    let all = partita_queue::Filter { limit: 100, ..Default::default() };
    let jobs = queue.list(&all).await.expect("listing works").jobs;
    for job in jobs.iter().filter(|job| !job.state.is_done()) {
        queue.cancel(&job.new.id).await.expect("cancelling works");
    }
    queue.set_limits(Limits { visibility: Duration::from_millis(1), ..limits() });
    // Leases taken before the change are still long: whoever holds one was told by `play`.
    queue.reap().await.expect("reaping works");
    queue.set_limits(limits());
    queue.prune(i64::MAX / 2, 1000).await.expect("pruning works");
}

async fn play(queue: &dyn Queue, steps: &[Step]) -> Result<(), String> {
    let mut jobs: Vec<Model> = Vec::new();
    let mut turn = 0;
    let mut verdict = Ok(());
    for (at, step) in steps.iter().enumerate() {
        turn += 1;
        verdict = advance(queue, &mut jobs, step, turn).await;
        if verdict.is_ok() {
            verdict = compare(queue, &jobs).await;
        }
        if let Err(reason) = verdict {
            verdict = Err(format!("step {at} ({step:?}): {reason}"));
            break;
        }
    }
    for claim in jobs.iter().filter_map(|job| job.held.as_ref()) {
        finish(queue, claim, Outcome::Cancelled).await;
    }
    verdict
}

async fn advance(queue: &dyn Queue, jobs: &mut Vec<Model>, step: &Step, turn: usize) -> Result<(), String> {
    let pick = |number: usize| if jobs.is_empty() { None } else { Some(number % jobs.len()) };
    match step {
        Step::Submit { priority, max_attempts } => {
            let new = NewJob { priority: *priority, max_attempts: *max_attempts, ..new_job() };
            jobs.push(Model {
                id: submit(queue, new).await.new.id,
                priority: *priority,
                max_attempts: *max_attempts,
                state: State::Queued,
                attempts: 0,
                deaths: 0,
                cancel: false,
                front: 0,
                turn,
                held: None,
                stale: Vec::new(),
            });
        }
        Step::Claim => {
            let waiting = || jobs.iter().filter(|job| job.state == State::Queued);
            let best = waiting().map(|job| (job.priority, job.front)).max();
            let oldest =
                waiting().filter(|job| Some((job.priority, job.front)) == best).map(|job| job.turn).min();
            let mut running = jobs.iter().filter(|job| job.held.is_some()).peekable();
            let alone = matches!(best, Some((_, 2))) && running.peek().is_some();
            let blocked = best.is_none() || alone || running.any(Model::is_suspect);
            let Some(claim) = claim(queue).await else {
                return if blocked { Ok(()) } else { Err("nothing was claimed".into()) };
            };
            let job =
                jobs.iter_mut().find(|job| job.id == claim.job.new.id).ok_or("a strange job was claimed")?;
            let fits = !blocked
                && job.state == State::Queued
                && Some((job.priority, job.front)) == best
                && (job.front > 0 || Some(job.turn) == oldest);
            if !fits || job.stale.iter().any(|lease| lease.fence >= claim.lease.fence) {
                return Err(format!("the wrong job was claimed: {claim:?}"));
            }
            (job.state, job.front) = (State::Running, 0);
            job.attempts += 1;
            job.held = Some(claim);
        }
        Step::Beat(number) => {
            let Some(Model { held: Some(claim), cancel, .. }) = pick(*number).map(|i| &jobs[i]) else {
                return Ok(());
            };
            let told = beat(queue, claim).await;
            if told.lost || told.cancelled != *cancel {
                return Err(format!("{told:?}"));
            }
        }
        Step::Finish(number, outcome) => {
            let Some(job) = pick(*number).map(|i| &mut jobs[i]) else { return Ok(()) };
            let Some(claim) = job.held.clone() else { return Ok(()) };
            let outcome = [complete(), failed(true), failed(false), Outcome::Cancelled][*outcome].clone();
            if !finish(queue, &claim, outcome.clone()).await {
                return Err("the lease is good, but the end was refused".into());
            }
            if job.end(&outcome) {
                job.turn = turn;
                // Its wait of a millisecond.
                pause(15).await;
                queue.reap().await.map_err(|error| error.to_string())?;
            }
        }
        Step::FinishStale(number) => {
            let Some(lease) = pick(*number).and_then(|i| jobs[i].stale.last()) else { return Ok(()) };
            let taken = queue.finish(lease, complete()).await.map_err(|error| error.to_string())?;
            let released = queue.release(lease).await.map_err(|error| error.to_string())?;
            if taken || released {
                return Err("a stale fence did something".into());
            }
        }
        Step::Release(number) => {
            let Some(job) = pick(*number).map(|i| &mut jobs[i]) else { return Ok(()) };
            let Some(claim) = job.held.clone() else { return Ok(()) };
            if !queue.release(&claim.lease).await.map_err(|error| error.to_string())? {
                return Err("the lease is good, but the release was refused".into());
            }
            job.attempts -= 1;
            job.give_back(State::Queued, true);
        }
        Step::Cancel(number) => {
            let Some(job) = pick(*number).map(|i| &mut jobs[i]) else { return Ok(()) };
            queue.cancel(&job.id).await.map_err(|error| error.to_string())?;
            match job.state {
                State::Queued => job.state = State::Cancelled,
                State::Running => job.cancel = true,
                _ => {}
            }
        }
        Step::RunOut => {
            let held: Vec<Claim> = jobs.iter().filter_map(|job| job.held.clone()).collect();
            run_out(queue, &held).await;
            jobs.iter_mut().filter(|job| job.held.is_some()).for_each(Model::lose);
        }
    }
    Ok(())
}

async fn compare(queue: &dyn Queue, jobs: &[Model]) -> Result<(), String> {
    for model in jobs {
        let job = get(queue, &model.id).await;
        // Whether a job that was cancelled and then released was tried does not matter any more.
        let tried = job.attempts == model.attempts || model.state == State::Cancelled;
        if job.state != model.state || !tried {
            let expected = (model.state, model.attempts);
            return Err(format!("{} is {:?}, expected {expected:?}", model.id, (job.state, job.attempts)));
        }
        let (result, error) = (job.state == State::Complete, job.state == State::Failed);
        if (job.result.is_some(), job.error.is_some()) != (result, error) {
            return Err(format!("{} has the wrong end: {job:?}", model.id));
        }
    }
    let stats = queue.stats().await.map_err(|error| error.to_string())?;
    let told = (stats.queued[&Lane::Generation], stats.running[&Lane::Generation], stats.done);
    let count = |is: fn(State) -> bool| jobs.iter().filter(|job| is(job.state)).count() as u64;
    let expected = (
        count(|state| state == State::Queued),
        count(|state| state == State::Running),
        count(State::is_done),
    );
    if told != expected {
        return Err(format!("{told:?} are queued, running and done, expected {expected:?}"));
    }
    Ok(())
}
