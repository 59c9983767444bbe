//! Starting, stopping and looking after a server, as whoever runs it does.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{Place, Ran};
use crate::server::{Client, Redis, Server};

fn funk(seed: u64, variations: u64) -> Value {
    json!({"style": "funk", "bars": 32, "seed": seed, "variations": variations})
}

fn running(client: &Client, body: &Value) -> String {
    let id = client.submit(body);
    client.until(&id, |task| task["status"] == "running" && task["progress"].as_f64() > Some(0.0));
    id
}

#[test]
fn a_server_told_to_stop_lets_its_task_finish() {
    let place = Place::new();
    let mut server = Server::start(&place.path("data"), &[]);
    let id = running(&server.client(), &funk(1, 2));
    assert_eq!(server.process.terminate(), 0);
    let server = Server::start(&place.path("data"), &["--set", "lanes.generation.workers=0"]);
    let task = server.client().finished(&id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("complete"), &json!(1)), "{task}");
}

#[test]
fn a_task_that_is_not_done_in_time_goes_back_and_counts_as_untried() {
    let place = Place::new();
    let mut server =
        Server::start(&place.path("data"), &["--set", "server.drain=0", "--set", "log.level=info"]);
    let id = running(&server.client(), &funk(2, 6));
    let events = server.client().watch(&id, 0);
    assert_eq!(server.process.terminate(), 0);
    server.log.says("went back to the queue");
    // Who watched is let go, not left hanging.
    assert!(events.iter().all(|event| event.name != "failed" && event.name != "cancelled"));
    let server = Server::start(&place.path("data"), &[]);
    let task = server.client().finished(&id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("complete"), &json!(1)), "{task}");
}

#[test]
fn a_second_signal_ends_the_server_at_once_and_loses_nothing() {
    let place = Place::new();
    let mut server = Server::start(&place.path("data"), &["--set", "log.level=info"]);
    let id = running(&server.client(), &funk(3, 12));
    server.process.signal("-TERM");
    server.log.says("stopping");
    let told = Instant::now();
    assert_eq!(server.process.terminate(), 0);
    assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
    let server = Server::start(&place.path("data"), &[]);
    let task = server.client().finished(&id);
    assert_eq!(task["status"], "complete", "{task}");
}

fn tasks_per_hour(client: &Client) -> Value {
    client.get("/api/v1/config").expect("an answer").1["limits"]["tasks_per_hour"].clone()
}

/// Waits until the configuration in force has `limit`.
fn follows(client: &Client, limit: u32) {
    let start = Instant::now();
    while tasks_per_hour(client) != json!(limit) {
        assert!(start.elapsed() < Duration::from_secs(30), "the limit never becomes {limit}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_changed_configuration_applies_and_a_wrong_one_changes_nothing() {
    let place = Place::new();
    place.write("partita.yaml", b"limits: {tasks_per_hour: 1}");
    let file = place.path("partita.yaml");
    let file = file.to_str().expect("a plain path");
    let server = Server::start(&place.path("data"), &["--config", file, "--set", "log.level=info"]);
    let client = server.client();
    assert_eq!(tasks_per_hour(&client), 1);
    place.write("partita.yaml", b"limits: {tasks_per_hour: 2}\nlog: {format: json}");
    server.process.signal("-HUP");
    follows(&client, 2);
    assert!(server.log.says("need a restart").contains("log.format"));
    place.write("partita.yaml", b"limits: {tasks_per_hour: 3, task_per_hour: 4}");
    server.process.signal("-HUP");
    let why = server.log.says("the old one stays in force");
    assert!(why.contains("task_per_hour") && why.contains("tasks_per_hour"), "{why}");
    assert_eq!(tasks_per_hour(&client), 2);
    // Without a signal, by its file alone.
    place.write("partita.yaml", b"limits: {tasks_per_hour: 5}");
    follows(&client, 5);
    // By the API.
    place.write("partita.yaml", b"limits: {tasks_per_hour: 6}");
    let (status, _) = client.post("/api/v1/config/reload", &json!({}), &[]).expect("an answer");
    assert_eq!((status, tasks_per_hour(&client)), (200, json!(6)));
}

#[test]
fn what_a_reload_brings_is_in_force_when_it_is_answered() {
    let place = Place::new();
    place.write("partita.yaml", b"lanes: {generation: {workers: 0}}");
    let file = place.path("partita.yaml");
    let server = Server::start(&place.path("data"), &["--config", file.to_str().expect("a plain path")]);
    let client = server.client();
    let reload = |aliases: &str, lane: &str| {
        let text = format!("models: {{aliases: {{{aliases}}}}}\nlanes: {{generation: {{{lane}}}}}");
        place.write("partita.yaml", text.as_bytes());
        let (status, answer) = client.post("/api/v1/config/reload", &json!({}), &[]).expect("an answer");
        assert_eq!(status, 200, "{answer}");
    };
    let ask = |model: &str| {
        let body = json!({"model": model, "style": "funk", "bars": 1});
        client.post("/api/v1/generate", &body, &[("Prefer", "respond-async")]).expect("an answer")
    };
    let mut waiting = String::new();
    for round in 0..4 {
        let name = format!("band{round}");
        reload(&format!("{name}: drums"), "workers: 0, max_queued: 0");
        assert_eq!(ask(&name).1["code"], "queue-full");
        reload(&format!("{name}: nobody, other{round}: drums"), "workers: 0, max_queued: 9");
        assert_eq!(ask(&name).1["code"], "unknown-model");
        let (status, task) = ask(&format!("other{round}"));
        assert_eq!(status, 202, "{task}");
        waiting = task["id"].as_str().expect("an id").to_owned();
    }
    reload("", "workers: 1");
    assert_eq!(client.finished(&waiting)["status"], "complete");
}

fn key(place: &Place, data: &str, role: &str) -> (String, String) {
    let made = place.ok(&format!("keys create --name {role} --role {role} --data-dir {data} --json")).json();
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    (text("id"), text("key"))
}

#[test]
fn keys_made_beside_a_running_server_open_what_their_role_allows_until_revoked() {
    let place = Place::new();
    let server = Server::start(&place.path("data"), &["--set", "auth.keys=always"]);
    let client = server.client();
    let (_, viewer) = key(&place, "data", "viewer");
    let (user_id, user) = key(&place, "data", "user");
    let (_, admin) = key(&place, "data", "admin");
    let get = |path: &str, key: &str| client.with_key(key).get(path).expect("an answer").0;
    let make = |key: &str| {
        let body = json!({"style": "funk", "bars": 1});
        client.with_key(key).post("/api/v1/generate", &body, &[]).expect("an answer").0
    };
    for (key, tasks, music, config) in
        [("", 401, 401, 401), (&*viewer, 200, 403, 403), (&*user, 200, 200, 403), (&*admin, 200, 200, 200)]
    {
        let got = (get("/api/v1/tasks", key), make(key), get("/api/v1/config", key));
        assert_eq!(got, (tasks, music, config), "{key:.8}");
        assert_eq!(get("/health", key), 200);
    }
    let list = place.ok("keys list --data-dir data --json");
    assert_eq!(list.json()["keys"].as_array().map(Vec::len), Some(3));
    for secret in [&viewer, &user, &admin] {
        assert!(!list.stdout().contains(secret.as_str()) && !server.log.text().contains(secret.as_str()));
    }
    assert_eq!(place.ok(&format!("keys revoke {user_id} --data-dir data --json")).json()["state"], "revoked");
    let start = Instant::now();
    while get("/api/v1/tasks", &user) != 401 {
        assert!(start.elapsed() < Duration::from_secs(10), "a revoked key still opens");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(get("/api/v1/tasks", &admin), 200);
    let wrong = place.run("keys revoke nobody --data-dir data --json");
    assert_eq!(wrong.code(), 3, "{}", wrong.stderr());
    assert!(wrong.json()["error"]["message"].as_str().is_some_and(|words| words.contains("nobody")));
    // The program's own client brings its key too.
    let line = format!("tasks list --server {} --json", server.url);
    assert_eq!(place.run(&line).code(), 1);
    assert_eq!(
        place.ok(&format!("{line} --api-key {admin}")).json()["data"].as_array().map(Vec::len),
        Some(2)
    );
}

/// A command that must fail with `code` and `words`, and say so in one object.
fn refused(ran: &Ran, code: i32, words: &str) {
    let error = ran.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(ran.code(), code, "{error}");
    assert!(error.contains(words), "{words:?} is not in {error:?}");
}

#[test]
fn a_server_that_must_not_start_says_why() {
    let place = Place::new();
    let serve = |more: &str| place.run(&format!("serve --port 0 --data-dir data --json {more}"));
    refused(&serve("--host 0.0.0.0"), 2, "there is no API key");
    refused(&serve("--set server.prot=1"), 2, "port");
    refused(&serve("--set queue.visibility=1"), 2, "5..=3600");
    refused(&serve("--config nowhere.yaml"), 3, "nowhere.yaml");
    refused(&place.run("worker --data-dir data --json"), 2, "redis://");
    let first = Server::start(&place.path("data"), &[]);
    refused(&serve(""), 1, "another");
    let port = first.url.rsplit(':').next().expect("a port");
    refused(&place.run(&format!("serve --port {port} --data-dir other --json")), 1, "cannot listen");
    assert_eq!(first.client().get("/health/live").expect("an answer").0, 200);
}

#[test]
fn a_public_address_is_served_once_there_is_a_key() {
    let place = Place::new();
    let (_, admin) = key(&place, "data", "admin");
    let server = Server::start(&place.path("data"), &["--host", "0.0.0.0"]);
    let client = Client::new(&server.url.replace("0.0.0.0", "127.0.0.1"));
    assert_eq!(client.get("/api/v1/tasks").expect("an answer").0, 401);
    assert_eq!(client.with_key(&admin).get("/api/v1/tasks").expect("an answer").0, 200);
}

/// One event a line.
fn events(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn watched_events_are_a_line_each_and_come_while_the_task_runs() {
    let place = Place::new();
    let server = Server::start(&place.path("data"), &[]);
    let client = server.client();
    let id = client.submit(&funk(5, 8));
    let mut command = place.command(&["tasks", "watch", &id, "--server", &server.url, "--json"]);
    let mut watch = command.stdout(std::process::Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut seen = vec![];
    let mut next = || lines.next().map(|line| events(&line.expect("text")).remove(0));
    let notes = loop {
        let event = next().expect("an event before the end");
        assert_eq!(event["id"], json!(id));
        seen.push(event.clone());
        if event["event"] == "notes" {
            break event;
        }
    };
    assert!(notes["data"]["notes"].as_array().is_some_and(|notes| !notes.is_empty()), "{notes}");
    assert!(
        !client.get(&format!("/api/v1/tasks/{id}")).expect("an answer").1["done"]
            .as_bool()
            .expect("a switch")
    );
    seen.extend(std::iter::from_fn(next));
    assert_eq!(watch.wait().expect("our child").code(), Some(0));
    let names: Vec<&str> = seen.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    assert_eq!((names[0], names[1], names.last()), ("queued", "started", Some(&"complete")), "{names:?}");
    let numbers: Vec<u64> = seen.iter().map(|event| event["sequence"].as_u64().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let task = &seen.last().expect("one")["data"];
    assert_eq!((&task["id"], &task["status"]), (&json!(id), &json!("complete")));
}

#[test]
fn commands_look_after_a_server() {
    let place = Place::new();
    let server = Server::start(&place.path("data"), &[]);
    let client = server.client();
    let done = client.submit(&json!({"style": "funk", "bars": 2}));
    client.finished(&done);
    let ask = |line: &str| place.ok(&format!("{line} --server {} --json", server.url)).json();
    let tell = |line: &str| place.ok(&format!("{line} --server {}", server.url)).stdout();
    let list = ask("tasks list");
    assert_eq!(list["data"][0]["id"], json!(done));
    assert_eq!(ask("tasks list --status failed")["data"], json!([]));
    assert_eq!(ask(&format!("tasks show {done}"))["status"], "complete");
    assert!(tell(&format!("tasks show {done}")).contains("/api/v1/download/"));
    assert!(tell(&format!("tasks watch {done}")).contains("bar 2: "));
    let id = running(&client, &funk(1, 16));
    let top = ask("top --once");
    assert_eq!(top["running"][0]["id"], json!(id), "{top}");
    assert!(tell("top --once").contains(&id));
    let cancelled = ask(&format!("tasks cancel {id}"));
    assert!(cancelled["status"] == "running" || cancelled["status"] == "cancelled", "{cancelled}");
    assert_eq!(client.finished(&id)["status"], "cancelled");
    assert_eq!(ask(&format!("tasks cancel {id}"))["status"], "cancelled");
    let watched = place.run(&format!("tasks watch {id} --server {} --json", server.url));
    let last = events(&watched.stdout()).pop().expect("an event");
    assert_eq!((watched.code(), &last["data"]["status"]), (5, &json!("cancelled")));
    let loaded = |list: Value| {
        let models = list["data"].as_array().expect("models").clone();
        models.iter().any(|model| model["name"] == "drums" && model["memory_bytes"].is_u64())
    };
    assert!(loaded(ask("models ps")));
    ask("models unload drums");
    assert!(!loaded(ask("models ps")));
    ask("models load drums");
    assert!(tell("models ps").contains("loaded"));
    let absent = place.run(&format!("models load nothing --server {} --json", server.url));
    refused(&absent, 3, "nothing");
    let absent = place.run(&format!("tasks show tsk_{} --server {} --json", "0".repeat(26), server.url));
    assert!(absent.code() == 3 || absent.code() == 2, "{}", absent.stderr());
}

#[test]
fn a_server_that_is_not_there_has_its_own_exit_code() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let id = format!("tsk_{}", "0".repeat(26));
    for command in [
        "tasks list".to_owned(),
        format!("tasks show {id}"),
        format!("tasks watch {id}"),
        format!("tasks cancel {id}"),
        "top --once".into(),
        "models ps".into(),
        "models load drums".into(),
    ] {
        refused(&place.run(&format!("{command} --server http://{free} --json")), 4, "does not answer");
    }
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let place = Place::new();
    let secret = format!("whsec_{}", "c2VjcmV0".repeat(4));
    let line = format!(
        "config show --json --queue redis://ann:hunter2@localhost:6379/1 --set webhooks.secret={secret}"
    );
    let ran = place.ok(&line);
    assert_eq!(ran.json()["queue"]["url"], "redis://ann:***@localhost:6379/1");
    assert_eq!(ran.json()["webhooks"]["secret"], "***");
    assert!(!ran.stdout().contains("hunter2") && !ran.stdout().contains(&secret));
    assert_eq!(place.ok("config check --json").json(), json!({"ok": true}));
}

#[test]
fn a_full_disk_refuses_new_tasks_and_serves_old_ones() {
    let place = Place::new();
    place.write("partita.yaml", b"{}");
    let file = place.path("partita.yaml");
    let server = Server::start(&place.path("data"), &["--config", file.to_str().expect("a plain path")]);
    let client = server.client();
    let done = client.finished(&client.submit(&json!({"style": "funk", "bars": 1})));
    // More than any disk has: as good as full.
    place.write("partita.yaml", b"storage: {min_free_mb: 1000000000}");
    let (status, _) = client.post("/api/v1/config/reload", &json!({}), &[]).expect("an answer");
    assert_eq!(status, 200);
    let body = json!({"style": "funk", "bars": 1});
    let start = Instant::now();
    let answer = loop {
        let answer = client.posted("/api/v1/generate", &body, &[]).expect("an answer");
        if answer.status() == 507 || start.elapsed() > Duration::from_secs(10) {
            break answer;
        }
    };
    assert_eq!(answer.status(), 507);
    assert!(answer.headers().contains_key("retry-after"));
    let problem: Value = answer.json().expect("JSON");
    assert_eq!(problem["code"], "no-space", "{problem}");
    // Whoever shares requests out sends them elsewhere, and does not start the server anew.
    let answer = client.response("/health/ready").expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().expect("JSON");
    assert!(problem["detail"].as_str().is_some_and(|words| words.contains("no space left")), "{problem}");
    assert_eq!(client.get("/health/live").expect("an answer").0, 200);
    let url = done["result"]["files"][0]["url"].as_str().expect("a file");
    assert_eq!(client.bytes(url).expect("an answer").0, 200);
    place.write("partita.yaml", b"{}");
    client.post("/api/v1/config/reload", &json!({}), &[]).expect("an answer");
    let start = Instant::now();
    while client.post("/api/v1/generate", &body, &[]).expect("an answer").0 == 507 {
        assert!(start.elapsed() < Duration::from_secs(10), "it never takes tasks again");
    }
    assert_eq!(client.get("/health/ready").expect("an answer").0, 200);
    assert!(Path::new(&place.path("data")).join("tasks.sqlite3").exists());
}

#[test]
fn keys_and_a_store_that_does_not_answer_are_503_and_never_let_in_or_500() {
    let place = Place::new();
    let redis = Redis::start(&place.path("."));
    let make = |role: &str| {
        let line = format!("keys create --role {role} --queue {} --json", redis.url);
        place.ok(&line).json()["key"].as_str().expect("a key").to_owned()
    };
    let (known, unseen) = (make("admin"), make("admin"));
    let more = ["--queue", &redis.url, "--set", "auth.keys=always"];
    let server = Server::start(&place.path("data"), &more);
    let client = server.client();
    let with = |key: &str| client.with_key(key);
    assert_eq!(with(&known).get("/api/v1/tasks").expect("an answer").0, 200);
    redis.process.signal("-STOP");
    let wrong = format!("pt_{}_{}", "0".repeat(16), "0".repeat(64));
    for (key, path) in [
        (&known, "/api/v1/tasks"),
        (&known, "/api/v1/maintenance/cleanup"),
        (&unseen, "/api/v1/tasks"),
        (&wrong, "/api/v1/tasks"),
    ] {
        let answer = match path.ends_with("cleanup") {
            true => with(key).posted(path, &json!({}), &[]),
            false => with(key).response(path),
        };
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 503, "{key:.8} {path}");
        let again = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        assert!(again.is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0)));
        let problem: Value = answer.json().expect("JSON");
        assert_eq!(problem["code"], "unavailable", "{problem}");
    }
    // Who was let in before may still look at what is wrong; nobody else.
    assert_eq!(with(&known).response("/metrics").expect("an answer").status(), 200);
    assert_eq!(with(&unseen).response("/metrics").expect("an answer").status(), 503);
    assert_eq!(with("").get("/api/v1/tasks").expect("an answer").0, 401);
    redis.process.signal("-CONT");
    let start = Instant::now();
    while with(&unseen).get("/api/v1/tasks").expect("an answer").0 != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody is let in any more");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(with(&wrong).get("/api/v1/tasks").expect("an answer").0, 401);
}

/// A receiver of one call: the URL, and its body once it has come.
fn receiver() -> (String, std::sync::mpsc::Receiver<Value>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("its address"));
    let (sent, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a call");
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("written");
        sent.send(serde_json::from_slice(&body).expect("JSON")).expect("the test listens");
    });
    (url, received)
}

#[test]
fn the_end_of_a_task_that_finishes_while_the_server_stops_is_still_told() {
    let place = Place::new();
    let secret = format!("webhooks.secret=whsec_{}", "c2VjcmV0".repeat(4));
    let more = ["--set", "webhooks.allow_private=[127.0.0.0/8]", "--set", &secret];
    let mut server = Server::start(&place.path("data"), &more);
    let (url, received) = receiver();
    let mut body = funk(4, 2);
    body["webhook"] = json!({"url": url, "events": ["complete"]});
    let id = running(&server.client(), &body);
    assert!(received.try_recv().is_err());
    assert_eq!(server.process.terminate(), 0);
    // Whoever ended has called before.
    let told = received.recv_timeout(Duration::from_secs(5)).expect("the call was made");
    assert_eq!((&told["id"], &told["status"]), (&json!(id), &json!("complete")));
}

#[test]
fn what_a_server_keeps_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    key(&place, "data", "admin");
    let audit = format!("log.audit={}", place.path("data/audit.jsonl").display());
    let server = Server::start(&place.path("data"), &["--set", "auth.keys=never", "--set", &audit]);
    let client = server.client();
    client.finished(&client.submit(&json!({"style": "funk", "bars": 1})));
    let mut open = vec![place.path("data")];
    let mut seen = vec![];
    while let Some(path) = open.pop() {
        let about = std::fs::metadata(&path).expect("still there");
        let mode = about.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        if about.is_dir() {
            open.extend(
                std::fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()),
            );
        }
        seen.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    for name in ["tasks.sqlite3", "tasks.sqlite3-wal", "files", "audit.jsonl"] {
        assert!(seen.iter().any(|path| path == name), "{name} is not in {seen:?}");
    }
    assert!(seen.iter().any(|name| name.starts_with("fil_")), "{seen:?}");
}

#[test]
fn keys_that_come_and_go_are_audited_without_their_secrets() {
    let place = Place::new();
    let audit = place.path("audit.jsonl");
    let settings = format!("--data-dir data --json --set log.audit={}", audit.display());
    let made = place.ok(&format!("keys create --name band --role admin {settings}")).json();
    let (id, secret) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    place.ok(&format!("keys list {settings}"));
    place.ok(&format!("keys revoke {id} {settings}"));
    let text = std::fs::read_to_string(&audit).expect("the audit file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<&Value> = lines.iter().map(|line| &line["what"]).collect();
    assert_eq!(told, [&json!(format!("keys create {id} admin")), &json!(format!("keys revoke {id}"))]);
    assert!(lines.iter().all(|line| line["kind"] == "action"), "{text}");
    assert!(!text.contains(secret.rsplit('_').next().expect("its last part")));
}
