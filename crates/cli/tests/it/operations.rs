//! Starting, stopping and looking after a server, as whoever runs it does.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{Place, Ran};
use crate::server::{Client, Server};

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
    assert_eq!(ask(&format!("tasks watch {done}"))["status"], "complete");
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
    assert_eq!((watched.code(), &watched.json()["status"]), (5, &json!("cancelled")));
    let loaded = |list: Value| list["data"][0]["memory_bytes"].is_u64();
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
    let url = done["result"]["files"][0]["url"].as_str().expect("a file");
    assert_eq!(client.bytes(url).expect("an answer").0, 200);
    place.write("partita.yaml", b"{}");
    client.post("/api/v1/config/reload", &json!({}), &[]).expect("an answer");
    let start = Instant::now();
    while client.post("/api/v1/generate", &body, &[]).expect("an answer").0 == 507 {
        assert!(start.elapsed() < Duration::from_secs(10), "it never takes tasks again");
    }
    assert!(Path::new(&place.path("data")).join("tasks.sqlite3").exists());
}
