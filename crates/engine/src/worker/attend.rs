//! The task that looks after one job while its thread plays: heartbeats, events, deadline, the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use partita_queue::{Claim, Error, Job, JobId, Lease, Outcome};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::control::{Control, Why};
use super::perform::{Done, Task, perform};
use super::store::{SPACE, forget, no_space};
use super::tell::{Said, Teller};
use crate::engine::{Core, Phase, TRACE, units};
use crate::{Code, Fault};

/// How long a thread that was told to stop is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Events that come closer together go to the log together.
const BATCH: Duration = Duration::from_millis(20);
/// First heartbeat: for a cancellation that came between the claim and the first look.
const FIRST_BEAT: Duration = Duration::from_millis(250);
/// Progress that changed is told to the queue this often.
const TICK: Duration = Duration::from_secs(1);
/// Leases are renewed as if they lasted no longer, so that a configuration with a shorter visibility, here or on
/// another machine, takes no running job away. The least that the configuration allows.
const SHORTEST: Duration = Duration::from_secs(5);
/// Events that the store does not take for so long are dropped: the result matters more.
const GIVE_UP: Duration = Duration::from_secs(3);
/// How long the end of a job waits for its last events: for a store that is slow, on a machine whose cores are all at
/// work. One that does not answer is given up sooner.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// What [`end`] says of a result that the store has no room for.
const NO_ROOM: &str = "no room";

/// Does a claimed job and ends it, or gives it back.
pub(super) async fn attend(core: Arc<Core>, claim: Claim) {
    let span = span(&core, &claim.job);
    look_after(core, claim).instrument(span).await;
}

/// The span of one try of a job.
fn span(core: &Core, job: &Job) -> Span {
    let new = &job.new;
    let span = tracing::info_span!(
        target: TRACE,
        parent: None,
        "task",
        otel.kind = "consumer",
        otel.status_code = Empty,
        task = %new.id,
        kind = new.kind,
        lane = new.lane.name(),
        model = new.model,
        attempt = job.attempts,
        request_id = new.request_id,
        status = Empty,
    );
    if let Some(follow) = core.follow {
        follow(&span, job);
    }
    span
}

async fn look_after(core: Arc<Core>, claim: Claim) {
    let began = Instant::now();
    let Claim { job, lease } = claim;
    let job = Arc::new(job);
    let control = Arc::new(Control::default());
    let _entry = core.enter(&job.new.id, control.clone());
    let heart = tokio::spawn(beat(core.clone(), lease.clone(), control.clone()));
    let (said, heard) = mpsc::unbounded_channel();
    let mut publisher = {
        let (queue, lease) = (core.queue.clone(), lease.clone());
        let store = move |events| {
            let (queue, lease) = (queue.clone(), lease.clone());
            async move { queue.publish(&lease, events).await }
        };
        tokio::spawn(publish(job.new.id.clone(), store, control.clone(), heard))
    };
    let task = Task {
        core: core.clone(),
        job: job.clone(),
        fence: lease.fence,
        config: core.live.get(),
        control: control.clone(),
    };
    let mut played = start(task, said);

    let ended = watch(&core, &job, &control, &mut played).await;
    control.ended.notify_one();
    let has_ended = ended.is_some();
    if has_ended {
        tokio::select! {
            _ = &mut publisher => {}
            () = control.silenced() => {}
            () = tokio::time::sleep(LAST_WORDS) => {
                tracing::warn!(task = %job.new.id, "the last events of a task were not stored");
            }
        }
    } else {
        tracing::warn!(task = %job.new.id, "a thread has not stopped yet; its work will be thrown away");
    }
    stop(publisher).await;

    let seconds = began.elapsed().as_secs_f64();
    let status = match verdict(ended, control.why()) {
        Verdict::Silent => "lost",
        Verdict::Release => match core.queue.release(&lease).await {
            Ok(given_back) => {
                core.given_back(usize::from(given_back));
                "released"
            }
            Err(error) => {
                // The lease runs out by itself.
                tracing::warn!(task = %job.new.id, %error, "a task cannot be given back");
                "lost"
            }
        },
        Verdict::Done(done) => {
            if let Some(played) = done.played {
                let new = &job.new;
                core.speeds.learn(new.lane, &new.model, &new.kind, units(&new.request), played);
            }
            match end(&core, &job, &lease, &control, Outcome::Complete(done.value), "complete").await {
                NO_ROOM => {
                    // First, for they take space.
                    forget(&core.artifacts, &done.files).await;
                    let (outcome, status) = failure(&job, no_space(&"no space left for tasks"));
                    end(&core, &job, &lease, &control, outcome, status).await
                }
                status => status,
            }
        }
        Verdict::Cancelled => end(&core, &job, &lease, &control, Outcome::Cancelled, "cancelled").await,
        Verdict::Failed(fault) => {
            let (outcome, status) = failure(&job, fault);
            end(&core, &job, &lease, &control, outcome, status).await
        }
    };
    stop(heart).await;
    let span = Span::current();
    span.record("status", status);
    if status == "failed" {
        span.record("otel.status_code", "ERROR");
    }
    core.counts.ended(&job.new.kind, &job.new.model, status, seconds);
    tracing::info!(
        task = %job.new.id,
        kind = job.new.kind,
        model = job.new.model,
        request = job.new.request_id,
        attempt = job.attempts,
        status,
        ms = (seconds * 1e3).round(),
        "task ended"
    );
    if !has_ended {
        // It still has its core and its memory, so its place in the lane stays taken.
        tokio::select! {
            _ = played => {}
            () = core.reached(Phase::Stopping) => {}
        }
    }
}

/// Ends a helper of this job and waits until it holds nothing any more.
async fn stop(task: JoinHandle<()>) {
    // One that has ended may have been waited for, which nobody may do twice.
    if !task.is_finished() {
        task.abort();
        let _ = task.await;
    }
}

/// Starts the thread that plays. What it sends is its end; a dropped sender is a panic.
fn start(task: Task, said: mpsc::UnboundedSender<Said>) -> oneshot::Receiver<Result<Done, Fault>> {
    let (end, ended) = oneshot::channel();
    let teller = Teller::new(task.control.clone(), said);
    let (runtime, span) = (Handle::current(), Span::current());
    let play = move || {
        let span = span.entered();
        let work = AssertUnwindSafe(|| perform(&task, teller, &runtime));
        let result = catch_unwind(work).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            let text =
                text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
            tracing::error!(task = %task.job.new.id, panic = text, "a task hit a defect");
            Err(Fault::internal("the task stopped on a defect of the program"))
        });
        // Before the end is told: whoever waits for it may want to open the same stores next.
        drop((task, span));
        let _ = end.send(result);
    };
    if let Err(error) = std::thread::Builder::new().name("partita-task".into()).spawn(play) {
        // The sender went with the closure, so the receiver sees the end at once.
        tracing::error!(%error, "no thread for a task");
    }
    ended
}

/// Waits for the end of the thread, telling it to stop when it must; `None` if it does not.
async fn watch(
    core: &Core,
    job: &Job,
    control: &Control,
    played: &mut oneshot::Receiver<Result<Done, Fault>>,
) -> Option<Result<Done, Fault>> {
    let stopping = core.reached(Phase::Stopping);
    let deadline = async {
        match left(core, job).await {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    let broken = |_| Err(Fault::internal("the task could not be started"));
    tokio::select! {
        biased;
        end = &mut *played => return Some(end.unwrap_or_else(broken)),
        () = control.stopped() => {}
        () = deadline => control.stop(Why::Deadline),
        () = stopping => control.stop(Why::Shutdown),
    }
    let end = tokio::time::timeout(PATIENCE, played).await.ok()?;
    Some(end.unwrap_or_else(broken))
}

/// Time until the deadline. Asked once: from then on this process's own steady clock counts, which nobody sets.
async fn left(core: &Core, job: &Job) -> Option<Duration> {
    let deadline = job.new.deadline?;
    let now = core.queue.now().await.ok().or(job.started_at)?;
    Some(Duration::from_millis(u64::try_from(deadline.saturating_sub(now)).unwrap_or(0)))
}

/// What is to be said of a job.
enum Verdict {
    Silent,
    Release,
    Done(Done),
    Cancelled,
    Failed(Fault),
}

fn verdict(ended: Option<Result<Done, Fault>>, why: Option<Why>) -> Verdict {
    match (why, ended) {
        (Some(Why::Lost), _) => Verdict::Silent,
        (_, Some(Ok(done))) => Verdict::Done(done),
        (Some(Why::Cancelled), _) => Verdict::Cancelled,
        (Some(Why::Deadline), _) => {
            Verdict::Failed(Fault::new(Code::Deadline, "the task was not done by its deadline"))
        }
        (Some(Why::Shutdown), _) => Verdict::Release,
        (None, Some(Err(fault))) => Verdict::Failed(fault),
        (None, None) => Verdict::Failed(Fault::internal("the task stopped without a reason")),
    }
}

/// What is told of a failed job, and what becomes of it.
fn failure(job: &Job, fault: Fault) -> (Outcome, &'static str) {
    let again = again(&fault);
    // Deaths of workers are counted apart, see `partita_queue`.
    let errors = job.attempts.saturating_sub(job.deaths);
    let status = if again && errors < job.new.max_attempts { "retried" } else { "failed" };
    tracing::warn!(task = %job.new.id, code = ?fault.code, error = %fault, status, "a task failed");
    let error = serde_json::to_value(Fault { retry_after: None, ..fault }).unwrap_or_default();
    (Outcome::Failed { error, again }, status)
}

/// Whether another try may go better, here or on another machine.
fn again(fault: &Fault) -> bool {
    use Code::{Internal, ModelBroken, ModelsFull, NoSpace, Unavailable, UnknownModel};
    // The model was whole when the job was accepted: its files may be on their way again.
    match fault.code {
        // A model that is larger than all the memory there is says no time.
        ModelsFull => fault.retry_after.is_some(),
        code => matches!(code, Internal | ModelBroken | NoSpace | Unavailable | UnknownModel),
    }
}

/// Tells the queue of the end, as often as it takes: a store that cannot be reached for a while does not cost
/// finished work, because the heartbeat keeps the lease or another fence refuses the end. A result for which there is
/// no room for [`SPACE`] is [`NO_ROOM`]; a failure, which is smaller, may find some.
async fn end(
    core: &Core,
    job: &Job,
    lease: &Lease,
    control: &Control,
    outcome: Outcome,
    status: &'static str,
) -> &'static str {
    let mut pause = Duration::from_millis(50);
    let mut next = Some(outcome);
    let mut full: Option<Instant> = None;
    loop {
        let (this, copy) = duplicate(next.take()).await;
        next = copy;
        let Some(this) = this else { return "lost" };
        match core.queue.finish(lease, this).await {
            Ok(true) => return status,
            Ok(false) => return "lost",
            Err(error @ (Error::Unavailable(_) | Error::NoSpace(_))) => {
                let is_full = matches!(error, Error::NoSpace(_));
                let waited = is_full && full.get_or_insert_with(Instant::now).elapsed() >= SPACE;
                if waited && matches!(next, Some(Outcome::Complete(_))) {
                    return NO_ROOM;
                }
                tracing::warn!(task = %job.new.id, %error, "the end of a task cannot be stored, trying again");
                if control.why() == Some(Why::Lost) || core.phase() == Phase::Stopping {
                    return "lost";
                }
                tokio::select! {
                    () = core.reached(Phase::Stopping) => {}
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Err(error) => {
                tracing::error!(task = %job.new.id, %error, "the end of a task cannot be stored");
                return "lost";
            }
        }
    }
}

/// Two of one: results of batches have megabytes, which async threads do not copy.
async fn duplicate(outcome: Option<Outcome>) -> (Option<Outcome>, Option<Outcome>) {
    let large = matches!(&outcome, Some(Outcome::Complete(value)) if value.get("items").is_some());
    if !large {
        return (outcome.clone(), outcome);
    }
    tokio::task::spawn_blocking(move || (outcome.clone(), outcome)).await.unwrap_or_default()
}

/// Renews the lease until it is lost.
async fn beat(core: Arc<Core>, lease: Lease, control: Arc<Control>) {
    let mut last = Instant::now();
    let mut wait = FIRST_BEAT;
    loop {
        let poked = tokio::select! {
            () = tokio::time::sleep(wait) => wait == FIRST_BEAT,
            () = control.poke.notified() => true,
        };
        let visibility = core.visibility().min(SHORTEST);
        wait = TICK.min(visibility / 3);
        // A beat more than a third of the visibility after the last would leave no room for a failed one.
        if !poked && !control.take_changed() && last.elapsed() + wait < visibility / 3 {
            continue;
        }
        match core.queue.heartbeat(&lease, &control.progress()).await {
            Ok(beat) => {
                last = Instant::now();
                if beat.lost {
                    control.stop(Why::Lost);
                    return;
                }
                for parameters in &beat.updates {
                    control.update(parameters);
                }
                if beat.cancelled {
                    control.stop(Why::Cancelled);
                }
            }
            Err(error) => tracing::warn!(task = %lease.id, %error, "no heartbeat"),
        }
    }
}

/// Writes what the thread says to the log of the job, in order, until it says no more. What a store does not take is
/// dropped: at once when it is full, after [`GIVE_UP`] when it cannot be reached.
async fn publish<F: Future<Output = partita_queue::Result<()>>>(
    task: JobId,
    store: impl Fn(Vec<Said>) -> F,
    control: Arc<Control>,
    mut heard: mpsc::UnboundedReceiver<Said>,
) {
    let mut events: Vec<Said> = vec![];
    // Since when the store has not been reached.
    let mut silent: Option<Instant> = None;
    while heard.recv_many(&mut events, 256).await > 0 {
        let mut pause = Duration::from_millis(100);
        loop {
            match store(events.clone()).await {
                Err(Error::Unavailable(_))
                    if silent.get_or_insert_with(Instant::now).elapsed() + pause < GIVE_UP =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(error) => {
                    tracing::warn!(%task, %error, count = events.len(), "events were dropped");
                    break;
                }
                Ok(()) => {
                    silent = None;
                    break;
                }
            }
        }
        events.clear();
        tokio::select! {
            () = tokio::time::sleep(BATCH) => {}
            () = control.ended.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn done() -> Option<Result<Done, Fault>> {
        Some(Ok(Done { value: Value::Null, played: None, files: vec![] }))
    }

    /// Tells a few events to a store that fails; returns how often it was asked and how long it took.
    async fn tell_to(error: fn() -> Error) -> (usize, Duration) {
        let (said, heard) = mpsc::unbounded_channel();
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let store = |_| {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { Err(error()) }
        };
        for _ in 0..1000 {
            said.send((partita_queue::EventKind::Log, Value::Null)).expect("heard");
        }
        drop(said);
        let began = Instant::now();
        publish(JobId::new(), store, Arc::new(Control::default()), heard).await;
        (calls.into_inner(), began.elapsed())
    }

    #[tokio::test]
    async fn events_that_no_store_takes_are_dropped() {
        let (calls, took) = tell_to(|| Error::NoSpace("full".into())).await;
        assert_eq!(calls, 4, "once for each part");
        assert!(took < GIVE_UP, "{took:?}");
        let (calls, took) = tell_to(|| Error::Unavailable("away".into())).await;
        // It is waited for once, not for every part anew.
        assert!((5..20).contains(&calls) && took < 2 * GIVE_UP, "{calls} calls in {took:?}");
    }

    #[test]
    fn a_result_wins_over_everything_but_a_lost_lease() {
        for why in [None, Some(Why::Cancelled), Some(Why::Deadline), Some(Why::Shutdown)] {
            assert!(matches!(verdict(done(), why), Verdict::Done(_)), "{why:?}");
        }
        assert!(matches!(verdict(done(), Some(Why::Lost)), Verdict::Silent));
    }

    #[test]
    fn the_reason_to_stop_is_the_end_of_what_stopped() {
        let ends = || [None, Some(Err(Fault::new(Code::Cancelled, "stopped")))];
        for ended in ends() {
            assert!(matches!(verdict(ended, Some(Why::Cancelled)), Verdict::Cancelled));
        }
        for ended in ends() {
            assert!(matches!(verdict(ended, Some(Why::Shutdown)), Verdict::Release));
        }
        for ended in ends() {
            let Verdict::Failed(fault) = verdict(ended, Some(Why::Deadline)) else { panic!("it failed") };
            assert!(fault.code == Code::Deadline && !again(&fault));
        }
    }

    #[test]
    fn the_callers_own_mistakes_are_not_tried_again() {
        for code in [Code::InvalidRequest, Code::InvalidMidi, Code::UnknownStyle] {
            assert!(!again(&Fault::new(code, "")), "{code:?}");
        }
        for code in [Code::Internal, Code::ModelBroken, Code::NoSpace, Code::Unavailable] {
            assert!(again(&Fault::new(code, "")), "{code:?}");
        }
        let full = Fault::new(Code::ModelsFull, "");
        assert!(!again(&full) && again(&Fault { retry_after: Some(5), ..full }));
    }
}
