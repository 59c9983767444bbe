//! Redis and workers that go away for a while or for good: what was accepted is done, and done once.
//!
//! The server and each worker have folders of their own, as machines have; only files of results are shared.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Event, PATIENCE, Process, Redis, Server, worker};

/// Lanes that are left to others.
const NO_WORKERS: [&str; 8] = [
    "--set",
    "lanes.generation.workers=0",
    "--set",
    "lanes.midi.workers=0",
    "--set",
    "lanes.heavy.workers=0",
    "--set",
    "lanes.audio.workers=0",
];

/// A server without workers of its own, and the Redis it shares with them.
struct Site {
    server: Server,
    redis: Redis,
    set: Vec<String>,
    place: TempDir,
}

impl Site {
    /// `visibility` in seconds.
    fn start(visibility: u32) -> Site {
        let place = tempfile::tempdir().expect("a folder");
        let redis = Redis::start(place.path());
        let set = [
            "--queue".to_owned(),
            redis.url.clone(),
            "--set".to_owned(),
            format!("storage.files={}", place.path().join("files").display()),
            "--set".to_owned(),
            format!("queue.visibility={visibility}"),
            "--set".to_owned(),
            "queue.max_attempts=3".to_owned(),
        ];
        let more: Vec<&str> = set.iter().map(String::as_str).chain(NO_WORKERS).collect();
        let server = Server::start(&place.path().join("server"), &more);
        Site { server, redis, set: set.into(), place }
    }

    fn worker(&self, name: &str) -> Process {
        let more: Vec<&str> = self.set.iter().map(String::as_str).collect();
        worker(&self.place.path().join(name), &more)
    }
}

/// A task of several seconds.
fn long(seed: u64) -> Value {
    json!({"style": "funk", "bars": 32, "seed": seed, "variations": 6})
}

fn short(seed: u64) -> Value {
    json!({"style": "rock", "bars": 2, "seed": seed})
}

fn is_running(task: &Value) -> bool {
    task["status"] == "running" && task["progress"].as_f64() > Some(0.0)
}

fn next(events: &std::sync::mpsc::Receiver<Event>) -> Event {
    events.recv_timeout(PATIENCE).expect("the stream goes on")
}

#[test]
fn redis_killed_in_the_middle_of_tasks_loses_none_and_their_streams_go_on() {
    let mut site = Site::start(30);
    let _worker = site.worker("a");
    let client = site.server.client();
    let id = client.submit(&long(1));
    let others: Vec<String> = (0..10).map(|seed| client.submit(&short(seed))).collect();
    let events = client.watch(&id, 0);
    let mut seen: Vec<Event> = vec![];
    while seen.iter().filter(|event| event.name == "notes").count() < 2 {
        seen.push(next(&events));
    }
    site.redis.process.kill();
    std::thread::sleep(Duration::from_secs(1));
    site.redis = Redis::start(site.place.path());
    while seen.last().is_some_and(|event| event.name != "complete") {
        seen.push(next(&events));
    }
    let ids: Vec<u64> = seen.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=seen.len() as u64).collect::<Vec<_>>(), "an event is missing or came twice");
    let task = client.finished(&id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("complete"), &json!(1)), "{task}");
    let told = seen.iter().filter(|event| event.name == "notes" && event.data["variation"] == 0);
    let told: usize = told.map(|event| event.data["notes"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(Some(told), task["result"]["notes"].as_array().map(Vec::len), "the stream lost notes");
    // Who comes back with the last event it knows gets the same rest.
    let middle = seen.len() / 2;
    let again = client.watch(&id, seen[middle - 1].id);
    assert_eq!(again.iter().collect::<Vec<_>>(), seen[middle..]);
    for id in others {
        let task = client.finished(&id);
        assert_eq!(task["status"], "complete", "{task}");
        client.files(&task);
    }
}

#[test]
fn a_redis_that_does_not_answer_is_told_in_time_and_costs_no_finished_work() {
    let site = Site::start(30);
    let mut worker = site.worker("a");
    let client = site.server.client();
    let id = client.submit(&long(2));
    client.until(&id, is_running);
    site.redis.process.signal("-STOP");
    let stopped = Instant::now();
    let key = [("Idempotency-Key", "again"), ("Prefer", "respond-async")];
    for path in [Some(format!("/api/v1/tasks/{id}")), Some("/health/ready".to_owned()), None] {
        let asked = Instant::now();
        let answer = match &path {
            Some(path) => client.response(path),
            None => client.posted("/api/v1/generate", &short(1), &key),
        };
        let answer = answer.expect("an answer");
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let seconds: u64 = header("retry-after").expect("when to come again").parse().expect("seconds");
        assert!(seconds > 0 && header("content-type") == Some("application/problem+json"), "{answer:?}");
        assert_eq!(answer.status(), 503, "{path:?}");
        assert!(asked.elapsed() < Duration::from_secs(12), "{path:?} took {:?}", asked.elapsed());
        let problem: Value = answer.json().expect("JSON");
        assert_eq!(problem["code"], "unavailable", "{problem}");
    }
    for path in ["/health", "/health/live"] {
        assert_eq!(client.get(path).expect("an answer").0, 200);
    }
    std::thread::sleep(Duration::from_secs(8).saturating_sub(stopped.elapsed()));
    site.redis.process.signal("-CONT");
    let task = client.finished(&id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("complete"), &json!(1)), "{task}");
    // What was refused may have reached Redis all the same; the key makes it one task.
    let second = loop {
        match client.post("/api/v1/generate", &short(1), &key).expect("an answer") {
            (503, _) => assert!(stopped.elapsed() < PATIENCE, "no task is taken any more"),
            (200..=202, task) => break task["id"].as_str().expect("an id").to_owned(),
            (status, problem) => panic!("status {status}: {problem}"),
        }
    };
    assert_eq!(client.finished(&second)["status"], "complete");
    let (_, list) = client.get("/api/v1/tasks").expect("an answer");
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!(client.get("/health/ready").expect("an answer").0, 200);
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn a_worker_that_slept_past_its_lease_changes_nothing_when_it_wakes() {
    let site = Site::start(5);
    let mut sleeper = site.worker("sleeper");
    let client = site.server.client();
    let id = client.submit(&long(3));
    let first = client.until(&id, is_running);
    sleeper.signal("-STOP");
    let _other = site.worker("other");
    let task = client.finished(&id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("complete"), &json!(2)), "{task}");
    assert!(task["started_at"].as_str() > first["started_at"].as_str());
    let before = client.files(&task);
    sleeper.signal("-CONT");
    // It is told that the task is no longer its own, and ends like any other.
    assert_eq!(sleeper.terminate(), 0);
    assert_eq!(client.finished(&id), task, "a late result changed the task");
    assert_eq!(client.files(&task), before, "a late result changed a file");
}

#[test]
fn events_and_cancels_cross_machines() {
    let site = Site::start(30);
    let _worker = site.worker("a");
    let client = site.server.client();
    let id = client.submit(&long(4));
    let events = client.watch(&id, 0);
    let mut names = vec![];
    while !(names.iter().any(|name| name == "progress") && names.iter().any(|name| name == "notes")) {
        names.push(next(&events).name);
    }
    assert_eq!(names[..2], ["queued", "started"]);
    let asked = Instant::now();
    assert_eq!(client.delete(&format!("/api/v1/tasks/{id}")).expect("an answer").0, 200);
    let last = events.iter().last().expect("the end is told");
    assert_eq!((last.name.as_str(), &last.data["status"]), ("cancelled", &json!("cancelled")));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    // The worker is free for the next.
    let next = client.finished(&client.submit(&short(1)));
    assert_eq!(next["status"], "complete", "{next}");
    client.files(&next);
    let task = client.finished(&id);
    assert_eq!((&task["status"], &task["result"]), (&json!("cancelled"), &Value::Null));
}

#[test]
fn a_task_that_takes_its_worker_down_every_time_is_parked_with_an_error() {
    let site = Site::start(5);
    let client = site.server.client();
    let id = client.submit(&long(5));
    for attempt in 1..=3 {
        let mut worker = site.worker("victim");
        client.until(&id, |task| is_running(task) && task["attempts"] == json!(attempt));
        worker.kill();
    }
    let task = client.finished(&id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("failed"), &json!(3)), "{task}");
    assert_eq!(task["error"]["code"], "gave-up", "{task}");
    let detail = task["error"]["detail"].as_str().expect("words");
    assert!(detail.contains("tried 3 times"), "{detail}");
    let (_, status) = client.get("/api/v1/status").expect("an answer");
    assert_eq!(status["queue"]["parked"], json!(1), "{status}");
    // Nobody else suffers.
    let _worker = site.worker("a");
    assert_eq!(client.finished(&client.submit(&short(1)))["status"], "complete");
}

#[test]
fn a_task_that_no_worker_can_read_is_parked_with_its_own_error_and_holds_up_nobody() {
    let site = Site::start(30);
    let client = site.server.client();
    let (unread, other) = (client.submit(&short(1)), client.submit(&short(2)));
    let name = format!("{{partita}}:job:{unread}");
    let stored = site.redis.command(&["HGET", &name, "request"]);
    assert!(stored.contains("generate"), "{stored}");
    site.redis.command(&["HSET", &name, "request", &stored.replace("generate", "sing")]);
    let _worker = site.worker("a");
    assert_eq!(client.finished(&other)["status"], "complete");
    let task = client.finished(&unread);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("failed"), &json!(3)), "{task}");
    let error = &task["error"];
    assert_eq!(error["code"], "internal", "{error}");
    assert!(error["detail"].as_str().is_some_and(|words| words.contains("cannot be read")), "{error}");
    let (_, status) = client.get("/api/v1/status").expect("an answer");
    assert_eq!(status["queue"]["parked"], json!(1), "{status}");
}
