//! The clock of the machine is set forward and back by a day while a server works.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Client, Server};

/// Debian's `faketime` fakes what a process believes the time is.
fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let library = places
        .map(|place| place.join("faketime/libfaketimeMT.so.1"))
        .chain([
            "/usr/local/lib/faketime/libfaketimeMT.so.1".into(),
            "/usr/lib64/faketime/libfaketimeMT.so.1".into(),
        ])
        .find(|library| library.exists());
    library.expect("faketime is needed: `apt-get install faketime`")
}

/// Submits `count` tasks with keys of their own; returns their ids.
fn submit(client: &Client, round: &str, count: u64) -> Vec<String> {
    let one = |number: u64| {
        let body = json!({"style": "funk", "bars": 4 + number % 3, "seed": number});
        let key = format!("{round}-{number}");
        let headers = [("Idempotency-Key", key.as_str()), ("Prefer", "respond-async")];
        let send = || {
            let (status, task) = client.post("/api/v1/generate", &body, &headers).expect("an answer");
            assert!((200..=202).contains(&status), "status {status}: {task}");
            task["id"].as_str().expect("an id").to_owned()
        };
        let id = send();
        assert_eq!(send(), id, "one key, two tasks");
        id
    };
    (0..count).map(one).collect()
}

fn date(task: &Value, name: &str) -> String {
    task[name].as_str().unwrap_or_else(|| panic!("{name} of {task}")).to_owned()
}

#[test]
fn a_clock_that_is_set_by_a_day_loses_no_task_and_doubles_none() {
    let place = tempfile::tempdir().expect("a folder");
    let faked = place.path().join("time");
    let set_clock = |offset: &str| {
        let new = place.path().join("new");
        std::fs::write(&new, offset).expect("written");
        std::fs::rename(&new, &faked).expect("renamed");
        // The library looks once a second.
        std::thread::sleep(Duration::from_millis(1500));
    };
    std::fs::write(&faked, "+0").expect("written");
    let environment = [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", faked.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let set =
        ["--set", "lanes.generation.workers=2", "--set", "cache.store=off", "--set", "queue.visibility=5"];
    let mut server = Server::start_in(&place.path().join("data"), &set, &environment);
    let client = server.client();
    // One waits for longer than all jumps, with a deadline of an hour.
    let long =
        client.submit(&json!({"style": "funk", "bars": 32, "seed": 1, "variations": 16, "timeout": 3600}));
    client.until(&long, |task| task["status"] == "running" && task["progress"].as_f64() > Some(0.0));
    let mut ids = vec![long];
    for (round, offset) in ["+1d", "+0", "-1d", "+0"].into_iter().enumerate() {
        ids.extend(submit(&client, &format!("before-{round}"), 30));
        set_clock(offset);
        // The same keys after the jump are still the same tasks.
        let again = submit(&client, &format!("before-{round}"), 30);
        assert_eq!(again, ids[ids.len() - 30..], "the clock made a second task of a first");
        ids.extend(submit(&client, &format!("after-{round}"), 10));
    }
    for id in &ids {
        let task = client.finished(id);
        assert_eq!((&task["status"], &task["attempts"]), (&json!("complete"), &json!(1)), "{task}");
        let [created, started, finished] =
            ["created_at", "started_at", "finished_at"].map(|name| date(&task, name));
        assert!(created <= started && started <= finished, "{created} {started} {finished}");
        assert!(
            task["metrics"]["queue_ms"].as_f64().is_some_and(|ms| (0.0..600_000.0).contains(&ms)),
            "{task}"
        );
    }
    let (_, status) = client.get("/api/v1/status").expect("an answer");
    assert_eq!(status["queue"]["done"], json!(ids.len()), "{status}");
    assert!(status["uptime"].as_f64().is_some_and(|up| up < 600.0), "{status}");
    assert!(!server.log.text().contains("panicked"), "{}", server.log.text());
    assert_eq!(server.process.terminate(), 0);
}
