//! Jobs at work, with a player made for each test instead of a model.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partita_engine::family::{Change, Made, MadeFile, Report};
use partita_engine::{Code, Config, Engine, Fault, Live, Note, Options, Outcome, Player, Request, Take};
use partita_queue::{EventKind, Job, JobId, Lane, NewJob, State, random_hex};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Long enough for a machine under load, short enough to see a test that hangs.
const LONG: Duration = Duration::from_secs(30);

fn config(dir: &Path, queue: &str) -> Config {
    let mut config = Config::default();
    config.storage.data_dir = dir.to_owned();
    config.storage.min_free_mb = 0;
    config.queue.url = queue.into();
    config.models.warm = vec![];
    config
}

async fn start(
    config: Config,
    player: impl Fn(&Request, &mut dyn Report) -> Result<Made, Fault> + Send + Sync + 'static,
) -> Engine {
    let player: Arc<Player> =
        Arc::new(move |request: &Request, _: Option<&_>, _: &HashMap<_, _>, report: &mut dyn Report| {
            player(request, report)
        });
    let options = Options { player: Some(player), ..Options::default() };
    Engine::start_with(Arc::new(Live::fixed(config)), options).await.expect("an engine")
}

fn job(request: Value) -> NewJob {
    NewJob {
        id: JobId::new(),
        kind: "generate".into(),
        lane: Lane::Generation,
        priority: 5,
        owner: None,
        model: String::new(),
        request,
        nonce: random_hex(16),
        deadline: None,
        max_attempts: 2,
        webhook: None,
        idempotency: None,
        request_id: "req_test".into(),
        trace: String::new(),
    }
}

fn request(seed: u64) -> Value {
    json!({"verb": "generate", "body": {"seed": seed, "bars": 4}})
}

async fn submit(engine: &Engine, job: NewJob) -> JobId {
    let id = job.id.clone();
    engine.queue().submit(job, None).await.expect("stored");
    id
}

async fn done(engine: &Engine, id: &JobId) -> Job {
    let job = engine.finished(id, LONG).await.expect("a job");
    assert!(job.state.is_done(), "{job:?}");
    job
}

fn outcome(job: &Job) -> Outcome {
    assert_eq!(job.state, State::Complete, "{:?}", job.error);
    serde_json::from_value(job.result.clone().expect("a result")).expect("an outcome")
}

fn seed(request: &Request) -> u64 {
    match request {
        Request::Generate(body) => body.seed.expect("a seed"),
        other => panic!("{other:?}"),
    }
}

fn note(start: f64) -> Note {
    Note { pitch: 36, start, duration: 0.25, velocity: 100, channel: 9 }
}

/// Four bars of four notes and a file that names the seed.
fn play(request: &Request, report: &mut dyn Report) -> Result<Made, Fault> {
    let mut all = vec![];
    for bar in 0..4 {
        let from = f64::from(bar) * 4.0;
        if report.progress("generate", from / 16.0, u64::from(bar), 4).is_break() {
            return Err(Fault::new(Code::Cancelled, "stopped"));
        }
        let notes: Vec<_> = (0..4).map(|beat| note(from + f64::from(beat))).collect();
        all.extend(notes.clone());
        report.notes(None, 0, bar, from, notes);
    }
    let takes = vec![Take { notes: Some(all.clone()), ..Take::default() }];
    let seed = seed(request);
    let file = MadeFile {
        take: Some(0),
        item: None,
        name: "take.mid".into(),
        media_type: "audio/midi".into(),
        bytes: format!("seed {seed}").into_bytes(),
    };
    let outcome = Outcome {
        seed: Some(seed),
        time_signature: Some([4, 4]),
        duration_seconds: Some(8.0),
        notes: Some(all),
        takes,
        ..Outcome::default()
    };
    Ok(Made { outcome, files: vec![file] })
}

/// Plays until it is told to stop, or new settings come.
fn play_on(report: &mut dyn Report) -> Option<Change> {
    loop {
        if report.progress("generate", 0.5, 1, 2).is_break() {
            return None;
        }
        if let Some(sampling) = report.sampling() {
            return Some(sampling);
        }
        // As long as a token takes.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A player that tells when it begins and plays until it is told to stop.
fn endless(begun: mpsc::UnboundedSender<u64>) -> impl Fn(&Request, &mut dyn Report) -> Result<Made, Fault> {
    move |request: &Request, report: &mut dyn Report| {
        let _ = begun.send(seed(request));
        match play_on(report) {
            None => Err(Fault::new(Code::Cancelled, "stopped")),
            Some(_) => play(request, report),
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_lists_files_that_hold_what_was_made() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:"), play).await;
    let id = submit(&engine, job(request(7))).await;
    let job = done(&engine, &id).await;
    let outcome = outcome(&job);
    assert_eq!((outcome.seed, outcome.cache.as_str(), outcome.updated), (Some(7), "miss", false));
    assert_eq!(outcome.files, outcome.takes[0].files);
    let file = &outcome.files[0];
    assert_eq!(file.url, format!("/api/v1/download/{}", file.file_id));
    assert!(file.expires_at.ends_with('Z') && file.expires_at.len() == 24, "{}", file.expires_at);
    let bytes = engine.artifacts().read(&file.file_id, 0..file.bytes).await.expect("the file");
    assert_eq!(bytes, b"seed 7");
    assert!(outcome.metrics.realtime_factor.is_some_and(|factor| factor > 0.0));
    assert_eq!(engine.estimate(&job).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_order_and_hold_every_note_of_the_result() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:"), play).await;
    // Once played, once from the cache.
    for cache in ["miss", "hit"] {
        let id = submit(&engine, job(request(7))).await;
        let mut events = engine.queue().subscribe(&id, 0).await.expect("a queue").expect("a job");
        let (mut kinds, mut notes, mut last) = (vec![], vec![], 0);
        while let Some(event) = events.next().await {
            assert_eq!(event.sequence, last + 1);
            last = event.sequence;
            if event.kind == EventKind::Notes {
                assert_eq!(event.data["from_beat"].as_f64(), event.data["bar"].as_f64().map(|bar| bar * 4.0));
                notes
                    .extend(serde_json::from_value::<Vec<Note>>(event.data["notes"].clone()).expect("notes"));
            }
            if event.kind == EventKind::Started {
                assert_eq!(event.data, json!({"model": "", "seed": 7, "attempt": 1}));
            }
            kinds.push(event.kind);
        }
        assert_eq!(&kinds[..2], [EventKind::Queued, EventKind::Started]);
        assert_eq!(kinds.last(), Some(&EventKind::Complete));
        let outcome = outcome(&done(&engine, &id).await);
        assert_eq!((outcome.notes, outcome.cache.as_str()), (Some(notes), cache));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_from_the_cache_has_the_same_notes_and_files_of_its_own() {
    let dir = folder();
    let plays = Arc::new(AtomicUsize::new(0));
    let count = plays.clone();
    let engine = start(config(dir.path(), ":memory:"), move |request, report| {
        count.fetch_add(1, Ordering::Relaxed);
        play(request, report)
    })
    .await;
    let mut outcomes = vec![];
    for _ in 0..2 {
        let id = submit(&engine, job(request(3))).await;
        outcomes.push(outcome(&done(&engine, &id).await));
    }
    let [first, second] = &outcomes[..] else { panic!("two") };
    assert_eq!((first.cache.as_str(), second.cache.as_str()), ("miss", "hit"));
    assert_eq!(first.notes, second.notes);
    assert_ne!(first.files[0].file_id, second.files[0].file_id);
    assert_eq!(first.files[0].sha256, second.files[0].sha256);
    assert_eq!(plays.load(Ordering::Relaxed), 1);
    // Its end is counted after it is told.
    while engine.numbers().running > 0 {
        tokio::task::yield_now().await;
    }
    let numbers = engine.numbers();
    assert_eq!((numbers.cache_hits, numbers.cache_misses, numbers.running), (1, 1, 0));
    let complete = numbers.tasks.iter().find(|task| task.status == "complete").expect("tasks");
    assert_eq!((complete.count, complete.buckets.last()), (2, Some(&2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_and_running_jobs_can_be_cancelled() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.lanes.generation.workers = 1;
    let (begun, mut begins) = mpsc::unbounded_channel();
    let player = endless(begun);
    let engine = start(config, player).await;
    let running = submit(&engine, job(request(1))).await;
    assert_eq!(begins.recv().await, Some(1));
    let waiting = submit(&engine, job(request(2))).await;
    for id in [&waiting, &running] {
        engine.queue().cancel(id).await.expect("a queue").expect("a job");
        assert_eq!(done(&engine, id).await.state, State::Cancelled);
    }
    // The lane goes on, and the job that waited has never begun.
    let next = submit(&engine, job(request(3))).await;
    assert_eq!(begins.recv().await, Some(3));
    engine.queue().cancel(&next).await.expect("a queue");
    done(&engine, &next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_past_its_deadline_stops_and_says_so() {
    let dir = folder();
    let (begun, _begins) = mpsc::unbounded_channel();
    let player = endless(begun);
    let engine = start(config(dir.path(), ":memory:"), player).await;
    let now = engine.queue().now().await.expect("a clock");
    let id = submit(&engine, NewJob { deadline: Some(now + 300), ..job(request(1)) }).await;
    let job = done(&engine, &id).await;
    assert_eq!(job.state, State::Failed);
    assert_eq!(job.error.expect("an error")["code"], "deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_settings_reach_a_running_job_and_mark_its_result() {
    let dir = folder();
    let (seen, mut settings) = mpsc::unbounded_channel();
    let engine = start(config(dir.path(), ":memory:"), move |request, report| {
        let sampling = play_on(report).ok_or_else(|| Fault::new(Code::Cancelled, "stopped"))?;
        let _ = seen.send(sampling);
        play(request, report)
    })
    .await;
    let body =
        json!({"verb": "generate", "body": {"seed": 1, "temperature": 0.5, "top_k": 7, "top_p": 0.25}});
    let id = submit(&engine, job(body)).await;
    let mut events = engine.queue().subscribe(&id, 0).await.expect("a queue").expect("a job");
    while events.next().await.expect("an event").kind != EventKind::Started {}
    for wrong in [json!({"temperature": 9}), json!({"bars": 2})] {
        assert_eq!(engine.update(&id, wrong).await.expect_err("a fault").code, Code::InvalidRequest);
    }
    assert!(engine.update(&id, json!({"temperature": 2.0})).await.expect("passed on"));
    let got = settings.recv().await.expect("settings");
    assert_eq!(got, Change { temperature: Some(2.0), ..Change::default() });
    let outcome = outcome(&done(&engine, &id).await);
    assert!(outcome.updated);
    assert_eq!(outcome.cache, "bypass");
    assert!(!engine.update(&id, json!({"top_k": 1})).await.expect("not running"));
    let unknown = engine.update(&JobId::new(), json!({"top_k": 1})).await;
    assert_eq!(unknown.expect_err("a fault").code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_parks_its_job_and_leaves_the_lane_at_work() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.lanes.generation.workers = 1;
    let engine = start(config, |request, report| {
        assert_ne!(seed(request), 13, "a defect made for this test");
        play(request, report)
    })
    .await;
    let bad = submit(&engine, job(request(13))).await;
    let good = submit(&engine, job(request(1))).await;
    outcome(&done(&engine, &good).await);
    let bad = done(&engine, &bad).await;
    assert_eq!((bad.state, bad.attempts), (State::Failed, 2));
    let error = bad.error.expect("an error");
    assert!(!error.to_string().contains("made for this test"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_parked_and_what_is_wrong_is_not_tried_again() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:"), |_, _| {
        Err(Fault::new(Code::InvalidMidi, "input must be a MIDI file"))
    })
    .await;
    let torn = submit(&engine, NewJob { max_attempts: 1, ..job(json!({"verb": "dance"})) }).await;
    let torn = done(&engine, &torn).await;
    assert_eq!((torn.state, torn.attempts), (State::Failed, 1));
    let wrong = submit(&engine, job(request(1))).await;
    let wrong = done(&engine, &wrong).await;
    assert_eq!((wrong.state, wrong.attempts), (State::Failed, 1));
    assert_eq!(wrong.error.expect("an error")["code"], "invalid-midi");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_never_does_more_at_once_than_it_may() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.lanes.generation.workers = 3;
    config.cache.store = "off".into();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (at, peak) = (now.clone(), most.clone());
    let engine = start(config, move |request, report| {
        peak.fetch_max(at.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        let made = play(request, report);
        at.fetch_sub(1, Ordering::SeqCst);
        made
    })
    .await;
    let mut ids = vec![];
    for seed in 0..20 {
        ids.push(submit(&engine, job(request(seed))).await);
    }
    for id in &ids {
        assert_eq!(outcome(&done(&engine, id).await).cache, "bypass");
    }
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_engine_gives_its_jobs_back_and_the_next_one_finishes_them() {
    let dir = folder();
    let mut config = config(dir.path(), "sqlite");
    config.cache.store = "off".into();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let player = endless(begun);
    let engine = start(config.clone(), player).await;
    let first = submit(&engine, job(request(5))).await;
    assert_eq!(begins.recv().await, Some(5));
    assert_eq!(engine.drain(Duration::from_millis(20)).await, 1);
    assert!(!engine.is_ready().await);
    let job = engine.finished(&first, Duration::ZERO).await.expect("a job");
    assert_eq!((job.state, job.attempts), (State::Queued, 0));
    let submitted = engine.submit(Request::Analyze(Box::default()), Default::default()).await;
    let fault = submitted.expect_err("no new tasks");
    assert_eq!(fault.code, Code::Unavailable);
    assert!(fault.retry_after.is_some());
    drop(engine);
    let engine = start(config, play).await;
    let outcome = outcome(&done(&engine, &first).await);
    let file = &outcome.files[0];
    assert_eq!(engine.artifacts().read(&file.file_id, 0..file.bytes).await.expect("the file"), b"seed 5");
    engine.drain(LONG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_lets_jobs_at_work_finish() {
    let dir = folder();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (begun, mut begins) = mpsc::unbounded_channel();
    let engine = start(config(dir.path(), ":memory:"), move |request, report| {
        let _ = begun.send(());
        let _ = gate.lock().expect("no panic holds it").recv();
        play(request, report)
    })
    .await;
    let id = submit(&engine, job(request(5))).await;
    begins.recv().await;
    let draining = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(LONG).await }
    });
    go.send(()).expect("a player");
    assert_eq!(draining.await.expect("no panic"), 0);
    assert_eq!(done(&engine, &id).await.state, State::Complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_engine_ends_its_threads() {
    /// Tells when the last owner of the player has gone.
    struct Gone(mpsc::UnboundedSender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let dir = folder();
    let (sender, mut gone) = mpsc::unbounded_channel();
    let held = Gone(sender);
    let (begun, mut begins) = mpsc::unbounded_channel();
    let player = endless(begun);
    let engine = start(config(dir.path(), ":memory:"), move |request, report| {
        let _held = &held;
        player(request, report)
    })
    .await;
    submit(&engine, job(request(1))).await;
    begins.recv().await;
    drop(engine);
    tokio::time::timeout(LONG, gone.recv()).await.expect("everything has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_job_ends_with_the_time_or_the_job() {
    let dir = folder();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let player = endless(begun);
    let engine = start(config(dir.path(), ":memory:"), player).await;
    let id = submit(&engine, job(request(1))).await;
    begins.recv().await;
    let job = engine.finished(&id, Duration::from_millis(30)).await.expect("a job");
    assert_eq!(job.state, State::Running);
    let estimate = engine.estimate(&job).await;
    assert!(estimate.is_finite() && estimate >= 0.0, "{estimate}");
    let mut waiters = vec![];
    for _ in 0..200 {
        let (engine, id) = (engine.clone(), id.clone());
        waiters.push(tokio::spawn(async move { done(&engine, &id).await.state }));
    }
    engine.queue().cancel(&id).await.expect("a queue");
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic"), State::Cancelled);
    }
    let unknown = engine.finished(&JobId::new(), LONG).await;
    assert_eq!(unknown.expect_err("a fault").code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_workers_leaves_jobs_to_others() {
    let dir = folder();
    let options = Options { workers: false, ..Options::default() };
    let live = Arc::new(Live::fixed(config(dir.path(), ":memory:")));
    let engine = Engine::start_with(live, options).await.expect("an engine");
    let id = submit(&engine, job(request(1))).await;
    let claims = engine.queue().claim("other", Lane::Generation, 4).await.expect("a queue");
    assert_eq!(claims.iter().map(|claim| claim.job.new.id.clone()).collect::<Vec<_>>(), [id]);
    assert!(engine.queue().workers().await.expect("a queue").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cleaning_forgets_old_jobs_and_leaves_files_their_own_time() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.retention.tasks = 0.0;
    let engine = start(config, play).await;
    let id = submit(&engine, job(request(1))).await;
    let file = outcome(&done(&engine, &id).await).files.remove(0);
    // A job that ended in this very millisecond is not older than now.
    let mut cleaned = engine.clean().await.expect("cleaned");
    while cleaned.tasks == 0 {
        tokio::task::yield_now().await;
        cleaned = engine.clean().await.expect("cleaned");
    }
    assert_eq!((cleaned.tasks, cleaned.files), (1, 0));
    assert!(engine.artifacts().find(&file.file_id).await.expect("a store").is_some());
    let gone = engine.finished(&id, Duration::ZERO).await;
    assert_eq!(gone.expect_err("a fault").code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_lost_its_lease_says_nothing_more() {
    let dir = folder();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let player = endless(begun);
    let engine = start(config(dir.path(), ":memory:"), player).await;
    let id = submit(&engine, job(request(1))).await;
    begins.recv().await;
    // The first fence is 1; giving the job back under it makes the worker's own lease an old one.
    let lease = partita_queue::Lease { id: id.clone(), fence: 1 };
    assert!(engine.queue().release(&lease).await.expect("a queue"));
    assert_eq!(begins.recv().await, Some(1), "it is claimed again");
    engine.queue().cancel(&id).await.expect("a queue");
    assert_eq!(done(&engine, &id).await.state, State::Cancelled);
    let mut events = engine.queue().subscribe(&id, 0).await.expect("a queue").expect("a job");
    let mut ends = 0;
    while let Some(event) = events.next().await {
        ends += usize::from(event.kind.is_last());
    }
    assert_eq!(ends, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_does_not_stop_keeps_its_place_in_the_lane() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.lanes.generation.workers = 1;
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (begun, mut begins) = mpsc::unbounded_channel();
    let engine = start(config, move |request, report| {
        let _ = begun.send(seed(request));
        if seed(request) == 1 {
            // Deaf to every call to stop.
            let _ = gate.lock().expect("no panic holds it").recv();
        }
        play(request, report)
    })
    .await;
    let deaf = submit(&engine, job(request(1))).await;
    assert_eq!(begins.recv().await, Some(1));
    let next = submit(&engine, job(request(2))).await;
    engine.queue().cancel(&deaf).await.expect("a queue");
    assert_eq!(done(&engine, &deaf).await.state, State::Cancelled);
    let early = tokio::time::timeout(Duration::from_millis(500), begins.recv()).await;
    assert!(early.is_err(), "the next one began beside it");
    go.send(()).expect("a player");
    assert_eq!(begins.recv().await, Some(2));
    outcome(&done(&engine, &next).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_worker_writes_no_file_of_the_finished_result() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.cache.store = "off".into();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (begun, mut begins) = mpsc::unbounded_channel();
    let tries = AtomicUsize::new(0);
    let engine = start(config, move |request, report| {
        let attempt = tries.fetch_add(1, Ordering::SeqCst);
        let _ = begun.send(attempt);
        if attempt == 0 {
            let _ = gate.lock().expect("no panic holds it").recv();
        }
        let mut made = play(request, report)?;
        made.files[0].bytes = format!("try {attempt}").into_bytes();
        Ok(made)
    })
    .await;
    let id = submit(&engine, job(request(1))).await;
    begins.recv().await;
    // The first fence is 1: the lease is somebody else's from here on.
    let lease = partita_queue::Lease { id: id.clone(), fence: 1 };
    assert!(engine.queue().release(&lease).await.expect("a queue"));
    assert_eq!(begins.recv().await, Some(1));
    let file = outcome(&done(&engine, &id).await).files.remove(0);
    go.send(()).expect("a player");
    engine.drain(LONG).await;
    let bytes = engine.artifacts().read(&file.file_id, 0..file.bytes).await.expect("the file");
    assert_eq!(bytes, b"try 1");
}
