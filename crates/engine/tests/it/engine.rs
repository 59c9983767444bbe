//! The front door with the bundled drummer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use partita_engine::request::{Batch, Generate, Render};
use partita_engine::{Code, Config, Engine, Live, Options, Order, Outcome, Request};
use partita_queue::{EventKind, Job, JobId, State};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Long enough for a machine under load, short enough to see a test that hangs.
const LONG: Duration = Duration::from_secs(60);

fn config(dir: &Path, queue: &str) -> Config {
    let mut config = Config::default();
    config.storage.data_dir = dir.to_owned();
    config.storage.min_free_mb = 0;
    config.queue.url = queue.into();
    config
}

async fn start(config: Config) -> Engine {
    Engine::start(Arc::new(Live::fixed(config))).await.expect("an engine")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn funk(bars: u32, seed: Option<u64>) -> Request {
    let body = Generate { style: Some("funk".into()), bars: Some(bars), seed, ..Generate::default() };
    Request::Generate(Box::new(body))
}

async fn submit(engine: &Engine, request: Request) -> Job {
    engine.submit(request, Order::default()).await.expect("accepted").job
}

async fn outcome(engine: &Engine, id: &JobId) -> Outcome {
    let job = engine.finished(id, LONG).await.expect("a job");
    assert_eq!(job.state, State::Complete, "{:?}", job.error);
    serde_json::from_value(job.result.expect("a result")).expect("an outcome")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_notes_and_a_midi_file() {
    let dir = folder();
    let engine = start(config(dir.path(), "sqlite")).await;
    let job = submit(&engine, funk(4, None)).await;
    assert!(job.new.model.starts_with("drums@"), "{}", job.new.model);
    let estimate = engine.estimate(&job).await;
    assert!(estimate.is_finite() && estimate >= 0.0, "{estimate}");
    let first = outcome(&engine, &job.new.id).await;
    assert_eq!(job.new.request["body"]["seed"].as_u64(), first.seed);
    assert!(first.notes.as_ref().is_some_and(|notes| notes.len() > 8), "{:?}", first.notes);
    let file = &first.files[0];
    let bytes = engine.artifacts().read(&file.file_id, 0..file.bytes).await.expect("the file");
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((hash, bytes.len() as u64), (file.sha256.clone(), file.bytes));
    partita_score::midi::read(&bytes).expect("a MIDI file");
    // The seed that was drawn gives the same bytes again, from the cache or not.
    let again = submit(&engine, funk(4, first.seed)).await;
    let again = outcome(&engine, &again.new.id).await;
    assert_eq!((again.notes, &again.files[0].sha256), (first.notes, &file.sha256));
    assert_eq!(again.cache, "hit");
    assert_ne!(again.files[0].file_id, file.file_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_come_bar_by_bar_while_they_are_played() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:")).await;
    let job = submit(&engine, funk(8, Some(11))).await;
    let mut events = engine.queue().subscribe(&job.new.id, 0).await.expect("a queue").expect("a job");
    let (mut notes, mut bars) = (vec![], vec![]);
    while let Some(event) = events.next().await {
        if event.kind == EventKind::Notes {
            bars.push(event.data["bar"].as_u64().expect("a bar"));
            let mut part: Vec<partita_engine::Note> =
                serde_json::from_value(event.data["notes"].clone()).expect("notes");
            notes.append(&mut part);
        }
    }
    assert!(bars.len() >= 8 && bars.is_sorted(), "{bars:?}");
    let mut all = outcome(&engine, &job.new.id).await.notes.expect("notes");
    let order = |one: &partita_engine::Note, other: &partita_engine::Note| {
        one.start.total_cmp(&other.start).then(one.pitch.cmp(&other.pitch))
    };
    notes.sort_by(order);
    all.sort_by(order);
    assert_eq!(notes, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_the_same_time_share_steps() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:")).await;
    let mut ids = vec![];
    for seed in 0..16 {
        ids.push(submit(&engine, funk(8, Some(seed))).await.new.id);
    }
    for id in &ids {
        outcome(&engine, id).await;
    }
    let numbers = engine.numbers();
    let batch = numbers.step_sequences as f64 / numbers.steps as f64;
    assert!(batch > 4.0, "{batch} sequences a step");
    assert!(numbers.tokens > 0 && numbers.tokens_per_second >= 0.0);
    assert_eq!(numbers.model_memory.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_reports_each_item() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:")).await;
    let requests = (0..3).map(|seed| Generate { bars: Some(2), seed: Some(seed), ..Generate::default() });
    let batch = Batch { requests: requests.collect(), ..Batch::default() };
    let job = submit(&engine, Request::Batch(Box::new(batch))).await;
    assert_eq!(job.new.kind, "batch");
    let outcome = outcome(&engine, &job.new.id).await;
    assert_eq!(outcome.items.len(), 3);
    for item in &outcome.items {
        let result = item.result.as_ref().expect("a result");
        assert_eq!(result.files.len(), 1, "{item:?}");
        assert!(engine.artifacts().find(&result.files[0].file_id).await.expect("a store").is_some());
    }
    assert_eq!(outcome.cache, "bypass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_midi_and_can_be_used() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.server.max_upload_mb = 1;
    let engine = start(config).await;
    let fault = engine.upload("x.mid", b"no music".to_vec()).await.expect_err("no MIDI");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidMidi, "#/file"));
    let fault = engine.upload("x.mid", vec![0; (1 << 20) + 1]).await.expect_err("too long");
    assert_eq!(fault.code, Code::InvalidRequest);
    let made = submit(&engine, funk(2, Some(1))).await;
    let made = outcome(&engine, &made.new.id).await;
    let bytes =
        engine.artifacts().read(&made.files[0].file_id, 0..made.files[0].bytes).await.expect("a file");
    let upload = engine.upload("take.mid", bytes.clone()).await.expect("stored");
    assert_eq!(upload.bytes, bytes.len() as u64);
    let mut render = Render::default();
    render.input.file_id = Some(upload.id);
    let job = submit(&engine, Request::Render(Box::new(render.clone()))).await;
    let sound = outcome(&engine, &job.new.id).await;
    assert_eq!(sound.files[0].media_type, "audio/wav");
    render.input.file_id = Some(partita_engine::Artifacts::random_id());
    let fault =
        engine.submit(Request::Render(Box::new(render)), Order::default()).await.expect_err("no file");
    assert_eq!(fault.errors[0].pointer, "#/input/file_id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_lane_refuses_and_says_when_to_come_back() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.lanes.generation.max_queued = 2;
    let options = Options { workers: false, ..Options::default() };
    let engine = Engine::start_with(Arc::new(Live::fixed(config)), options).await.expect("an engine");
    for seed in 0..2 {
        submit(&engine, funk(1, Some(seed))).await;
    }
    let fault = engine.submit(funk(1, Some(2)), Order::default()).await.expect_err("full");
    assert_eq!(fault.code, Code::QueueFull);
    assert!(fault.retry_after.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_cannot_have_more_tasks_than_it_may() {
    let dir = folder();
    let options = Options { workers: false, ..Options::default() };
    let live = Arc::new(Live::fixed(config(dir.path(), ":memory:")));
    let engine = Engine::start_with(live, options).await.expect("an engine");
    let order = |owner: &str| Order { owner: Some(owner.into()), per_owner: Some(1), ..Order::default() };
    engine.submit(funk(1, Some(1)), order("a")).await.expect("accepted");
    let fault = engine.submit(funk(1, Some(2)), order("a")).await.expect_err("too many");
    assert_eq!(fault.code, Code::TooManyTasks);
    engine.submit(funk(1, Some(2)), order("b")).await.expect("another key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_brings_the_same_task() {
    let dir = folder();
    let options = Options { workers: false, ..Options::default() };
    let live = Arc::new(Live::fixed(config(dir.path(), ":memory:")));
    let engine = Engine::start_with(live, options).await.expect("an engine");
    let order = |print: &str| Order { idempotency: Some(("k".into(), print.into())), ..Order::default() };
    let first = engine.submit(funk(1, None), order("1")).await.expect("accepted");
    let second = engine.submit(funk(1, None), order("1")).await.expect("accepted");
    assert_eq!((first.replayed, second.replayed), (false, true));
    assert_eq!(first.job.new, second.job.new);
    let fault = engine.submit(funk(2, None), order("2")).await.expect_err("another request");
    assert_eq!(fault.code, Code::KeyReused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhooks_secret_is_kept_out_of_the_request() {
    let dir = folder();
    let options = Options { workers: false, ..Options::default() };
    let live = Arc::new(Live::fixed(config(dir.path(), ":memory:")));
    let engine = Engine::start_with(live, options).await.expect("an engine");
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let webhook = json!({"url": "https://example.com/hook", "events": ["failed"], "secret": secret});
    let body: Generate = serde_json::from_value(json!({"bars": 1, "webhook": webhook})).expect("a request");
    let job = submit(&engine, Request::Generate(Box::new(body))).await;
    let kept = job.new.webhook.as_ref().expect("a webhook");
    assert_eq!((kept.secret.as_deref(), &kept.events[..]), (Some(secret), &[State::Failed][..]));
    assert!(!job.new.request.to_string().contains(secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_is_ready_once_its_warm_models_are_loaded() {
    let dir = folder();
    let engine = start(config(dir.path(), ":memory:")).await;
    let ready = async {
        while !engine.is_ready().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, ready).await.expect("it gets ready");
    assert!(engine.registry().list().iter().any(|model| model.loaded));
    assert!(!engine.queue().workers().await.expect("a queue").is_empty());
    engine.drain(Duration::ZERO).await;
    assert!(!engine.is_ready().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_not_there_leaves_the_engine_alive_and_not_ready() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.models.warm = vec!["tuba".into()];
    let engine = start(config).await;
    let job = submit(&engine, funk(1, Some(1))).await;
    outcome(&engine, &job.new.id).await;
    assert!(!engine.is_ready().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_midi_that_is_small_enough_can_be_an_input_and_it_is_kept_for_its_task() {
    let dir = folder();
    let mut config = config(dir.path(), ":memory:");
    config.retention.files = 60.0;
    config.queue.timeout = 600.0;
    let options = Options { workers: false, ..Options::default() };
    let engine = Engine::start_with(Arc::new(Live::fixed(config)), options).await.expect("an engine");
    let id = partita_engine::Artifacts::random_id();
    let artifacts = engine.artifacts();
    let render = |id: &str| {
        let mut render = Render::default();
        render.input.file_id = Some(id.to_owned());
        Request::Render(Box::new(render))
    };
    artifacts.put(&id, "a.wav", "audio/wav", "", LONG, vec![1]).await.expect("stored");
    let fault = engine.submit(render(&id), Order::default()).await.expect_err("sound");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidRequest, "#/input/file_id"));
    let large = partita_engine::Artifacts::random_id();
    artifacts.put(&large, "a.mid", "audio/midi", "", LONG, vec![0; (10 << 20) + 1]).await.expect("stored");
    let fault = engine.submit(render(&large), Order::default()).await.expect_err("too large");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidRequest, "#/input/file_id"));
    let broken = partita_engine::Artifacts::random_id();
    artifacts.put(&broken, "a.mid", "audio/midi", "", LONG, vec![0; 9]).await.expect("stored");
    let fault = engine.submit(render(&broken), Order::default()).await.expect_err("no MIDI file");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidMidi, "#/input/file_id"));
    let small = partita_engine::Artifacts::random_id();
    let path = format!("{}/../../testdata/midi/drummer5-hiphop-87-4-4.mid", env!("CARGO_MANIFEST_DIR"));
    let music = std::fs::read(path).expect("a test file");
    artifacts.put(&small, "a.mid", "audio/midi", "", LONG, music).await.expect("stored");
    let job = submit(&engine, render(&small)).await;
    let kept = artifacts.find(&small).await.expect("a store").expect("there").expires_at;
    assert!(kept >= job.new.deadline.expect("a deadline") + 60_000, "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_request_is_answered_whatever_would_be_wrong_with_it_now() {
    let dir = folder();
    let options = Options { workers: false, ..Options::default() };
    let live = Arc::new(Live::fixed(config(dir.path(), ":memory:")));
    let engine = Engine::start_with(live, options).await.expect("an engine");
    let order = |print: &str| Order { idempotency: Some(("k".into(), print.into())), ..Order::default() };
    let first = engine.submit(funk(1, None), order("1")).await.expect("accepted");
    let gone = Generate { model: Some("tuba".into()), ..Generate::default() };
    let again = engine.submit(Request::Generate(Box::new(gone)), order("1")).await.expect("known");
    assert_eq!((again.replayed, again.job.new.id), (true, first.job.new.id));
    engine.drain(Duration::ZERO).await;
    assert!(engine.submit(funk(1, None), order("1")).await.expect("known").replayed);
    assert_eq!(engine.submit(funk(1, None), order("2")).await.expect_err("other").code, Code::KeyReused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_priority_above_their_own() {
    let dir = folder();
    let options = Options { workers: false, ..Options::default() };
    let live = Arc::new(Live::fixed(config(dir.path(), ":memory:")));
    let engine = Engine::start_with(live, options).await.expect("an engine");
    let asked = |priority| {
        Request::Generate(Box::new(Generate {
            priority: Some(priority),
            bars: Some(1),
            ..Generate::default()
        }))
    };
    let order = || Order { max_priority: Some(5), ..Order::default() };
    let fault = engine.submit(asked(6), order()).await.expect_err("too high");
    let problem = &fault.errors[0];
    assert_eq!((problem.pointer.as_str(), problem.allowed.as_deref()), ("#/priority", Some("in 0..=5")));
    engine.submit(asked(5), order()).await.expect("allowed");
    engine.submit(asked(9), Order::default()).await.expect("allowed");
}
