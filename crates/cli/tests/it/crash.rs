//! Nothing accepted is lost and nothing is done twice, whoever is killed and when.
//!
//! `PARTITA_KILLS` sets how often each test kills; together they kill at least 200 times by default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Client, Process, Redis, Server, worker};

const CLIENTS: usize = 4;
/// Few seeds, so that many tasks must have the same notes.
const SEEDS: u64 = 5;

fn kills(usual: usize) -> usize {
    std::env::var("PARTITA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What clients were promised: the idempotency key of each accepted task, and its id.
#[derive(Default)]
struct Promises {
    url: Mutex<String>,
    accepted: Mutex<BTreeMap<String, String>>,
    /// Tasks that a client has seen complete, as they were then.
    seen: Mutex<BTreeMap<String, Value>>,
    stop: AtomicBool,
}

impl Promises {
    /// Submits task after task; whatever the connection does, each is tried with the same key until it is accepted.
    fn submit_forever(&self, client: usize) {
        let http = Client::new("");
        for number in 0.. {
            let key = format!("client-{client}-task-{number}");
            let body = json!({
                "style": "funk",
                "bars": 2 + number % 3,
                "seed": number % SEEDS,
                "files": if number % 4 == 0 { json!(["mid", "json"]) } else { json!(["mid"]) },
            });
            // Once tried, a key is tried until it is accepted: what became of an unanswered call is not known.
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            loop {
                let url = self.url.lock().expect("no panic").clone();
                let headers = [("Idempotency-Key", key.as_str()), ("Prefer", "respond-async")];
                match http.at(&url).post("/api/v1/generate", &body, &headers) {
                    Ok((200..=202, task)) => {
                        let id = task["id"].as_str().expect("a task has an id").to_owned();
                        let mut accepted = self.accepted.lock().expect("no panic");
                        if let Some(before) = accepted.insert(key.clone(), id.clone()) {
                            assert_eq!(before, id, "one key, two tasks");
                        }
                        break;
                    }
                    Ok((429 | 503, _)) | Err(_) => std::thread::sleep(Duration::from_millis(20)),
                    Ok((status, body)) => panic!("status {status}: {body}"),
                }
            }
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// Looks at tasks while they are done, to find out later whether an end was changed.
    fn look_on(&self) {
        let http = Client::new("");
        while !self.stop.load(Ordering::Relaxed) {
            let ids: Vec<String> = self.accepted.lock().expect("no panic").values().cloned().collect();
            for id in ids {
                let url = self.url.lock().expect("no panic").clone();
                let known = self.seen.lock().expect("no panic").contains_key(&id);
                if !known
                    && let Ok((200, task)) = http.at(&url).get(&format!("/api/v1/tasks/{id}"))
                    && task["status"] == "complete"
                {
                    self.seen.lock().expect("no panic").insert(id, task);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs clients while `disturb` does its worst.
    fn while_submitting(self: &Arc<Promises>, disturb: impl FnOnce(&Promises)) {
        let run = |work: fn(&Promises, usize), client| {
            let promises = Arc::clone(self);
            std::thread::spawn(move || work(&promises, client))
        };
        let mut clients: Vec<_> = (0..CLIENTS).map(|client| run(Promises::submit_forever, client)).collect();
        clients.push(run(|promises, _| promises.look_on(), CLIENTS));
        disturb(self);
        self.stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("a client failed"));
    }

    /// Every promise was kept, once, and every file is whole.
    fn check(&self, client: &Client, files: &Path) {
        let accepted = self.accepted.lock().expect("no panic");
        let ids: BTreeSet<String> = accepted.values().cloned().collect();
        assert_eq!(ids.len(), accepted.len(), "two keys share a task");
        let seen = self.seen.lock().expect("no panic");
        let mut music: BTreeMap<String, Value> = BTreeMap::new();
        let mut tried_again = 0;
        for id in &ids {
            let task = client.finished(id);
            assert_eq!(task["status"], "complete", "{task}");
            tried_again += usize::from(task["attempts"].as_u64().expect("a number") > 1);
            if let Some(before) = seen.get(id) {
                assert_eq!(before, &task, "a task changed after its end");
            }
            let request = format!("{} {}", task["request"]["seed"], task["request"]["bars"]);
            let notes = &task["result"]["notes"];
            assert!(notes.as_array().is_some_and(|notes| !notes.is_empty()), "{task}");
            assert_eq!(music.entry(request).or_insert_with(|| notes.clone()), notes, "one seed, two results");
            for file in task["result"]["files"].as_array().expect("files") {
                let (status, bytes) = client.bytes(file["url"].as_str().expect("a URL")).expect("an answer");
                assert_eq!(status, 200, "{file}");
                assert_eq!(file["sha256"], sha256(&bytes), "a file is not what its task says");
            }
        }
        let there = tasks(client);
        let strangers: Vec<&String> = there.symmetric_difference(&ids).collect();
        assert!(
            strangers.is_empty(),
            "tasks that nobody was promised, or that are not listed: {strangers:?}"
        );
        let bodies = check_files(files, &ids);
        println!(
            "{} tasks accepted, {} seen complete under way, {tried_again} tried again, {bodies} files",
            ids.len(),
            seen.len()
        );
        assert!(
            ids.len() >= 20 && !seen.is_empty() && tried_again > 0,
            "too little happened to prove anything"
        );
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each file that can be found is whole and belongs to a task; returns how many there are.
fn check_files(folder: &Path, tasks: &BTreeSet<String>) -> usize {
    let mut whole = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            whole += check_files(&path, tasks);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let sidecar: Value =
                serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("half a sidecar");
            let sum = sidecar["sha256"].as_str().expect("a hash");
            let body = format!("{}.{}", sidecar["id"].as_str().expect("an id"), &sum[..16]);
            let body = std::fs::read(path.with_file_name(body)).expect("a file without its body");
            assert_eq!(sha256(&body), sum, "half a file: {}", path.display());
            assert!(tasks.contains(sidecar["task"].as_str().expect("an id")), "nobody's file: {sidecar}");
            whole += 1;
        }
    }
    whole
}

/// Ids of every task the server has.
fn tasks(client: &Client) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut after = String::new();
    loop {
        let (status, page) = client.get(&format!("/api/v1/tasks?limit=100{after}")).expect("an answer");
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().expect("a list");
        ids.extend(data.iter().map(|task| task["id"].as_str().expect("an id").to_owned()));
        match page["next"].as_str() {
            Some(next) if page["has_more"] == json!(true) => after = format!("&after={next}"),
            _ => return ids,
        }
    }
}

/// Uneven pauses without a random number generator.
fn pause(turn: usize) -> Duration {
    Duration::from_millis(20 + (turn as u64 * 7919) % 480)
}

#[test]
fn a_server_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    // Few at once, so that some end between two kills and no task meets a hundred of them.
    let set = [
        "--set",
        "queue.max_attempts=100",
        "--set",
        "lanes.generation.workers=4",
        "--set",
        "cache.store=off",
    ];
    let promises = Arc::new(Promises::default());
    let mut server = Server::start(place.path(), &set);
    promises.url.lock().expect("no panic").clone_from(&server.url);
    promises.while_submitting(|promises| {
        for turn in 0..kills(110) {
            std::thread::sleep(pause(turn));
            server.process.kill();
            server = Server::start(place.path(), &set);
            promises.url.lock().expect("no panic").clone_from(&server.url);
        }
    });
    promises.check(&server.client(), &place.path().join("files"));
    assert_eq!(server.process.terminate(), 0);
}

#[test]
fn workers_the_server_and_redis_killed_again_and_again_lose_nothing_and_double_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    let mut redis = Redis::start(place.path());
    let url = redis.url.clone();
    let set = [
        ["--queue", &url],
        ["--set", "queue.max_attempts=100"],
        ["--set", "queue.visibility=5"],
        ["--set", "cache.store=off"],
    ]
    .concat();
    let only_http: Vec<&str> = set
        .iter()
        .copied()
        .chain(["--set", "lanes.generation.workers=0", "--set", "lanes.midi.workers=0"])
        .chain(["--set", "lanes.heavy.workers=0", "--set", "lanes.audio.workers=0"])
        .chain(["--set", "models.warm=[]"])
        .collect();
    let promises = Arc::new(Promises::default());
    let mut server = Server::start(place.path(), &only_http);
    promises.url.lock().expect("no panic").clone_from(&server.url);
    let mut workers: Vec<Process> = (0..2).map(|_| worker(place.path(), &set)).collect();
    promises.while_submitting(|promises| {
        for turn in 0..kills(100) {
            std::thread::sleep(pause(turn));
            match turn % 25 {
                12 => {
                    server.process.kill();
                    server = Server::start(place.path(), &only_http);
                    promises.url.lock().expect("no panic").clone_from(&server.url);
                }
                24 => {
                    redis.process.kill();
                    redis = Redis::start(place.path());
                }
                _ => {
                    let which = turn % workers.len();
                    workers[which].kill();
                    workers[which] = worker(place.path(), &set);
                }
            }
        }
    });
    promises.check(&server.client(), &place.path().join("files"));
    for mut worker in workers {
        assert_eq!(worker.terminate(), 0);
    }
    assert_eq!(server.process.terminate(), 0);
}
