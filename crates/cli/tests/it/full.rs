//! A disk without room for results. A limit on the size of files stands in for it: what is larger is refused as by a
//! disk that is full, and the limit can be lifted while the server runs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::run::Place;
use crate::server::{Client, Server};

/// Of 2 MiB, in blocks of 512 bytes, as an error and not as a deadly signal.
const LIMIT: &str = "trap '' XFSZ; ulimit -S -f 4096";

/// More than a minute of sound: about 13 MiB.
fn sound(seed: u64) -> Value {
    json!({"style": "funk", "bars": 32, "seed": seed, "files": ["mid", "wav"]})
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = vec![];
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable")) {
        match entry.file_type().expect("a type").is_dir() {
            true => names.extend(self::names(&entry.path())),
            false => names.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    names
}

fn out_of_space(client: &Client, id: &str, why: &str) {
    let task = client.finished(id);
    assert_eq!((&task["status"], &task["attempts"]), (&json!("failed"), &json!(2)), "{task}");
    let error = &task["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!("no-space"), &json!(507)), "{error}");
    assert_eq!(error["detail"], format!("the result could not be stored: {why}"));
}

#[test]
fn a_result_without_room_is_tried_again_and_then_fails_and_leaves_nothing_behind() {
    let place = Place::new();
    let data = place.path("data");
    let set = ["--set", "queue.max_attempts=2", "--set", "storage.min_free_mb=0"];
    let server = Server::start_after(LIMIT, &data, &set);
    let client = server.client();
    let large = client.submit(&sound(1));
    // Files that fit, and a result with all their notes that does not.
    let requests: Vec<Value> =
        (0..20).map(|seed| json!({"style": "funk", "bars": 32, "seed": seed})).collect();
    let headers = [("Prefer", "respond-async")];
    let batch = client.post("/api/v1/generate/batch", &json!({"requests": requests}), &headers);
    let batch = batch.expect("an answer").1["id"].as_str().expect("an id").to_owned();
    let small = client.finished(&client.submit(&json!({"style": "funk", "bars": 1})));
    assert_eq!(small["status"], "complete", "{small}");
    out_of_space(&client, &large, "no space left for files");
    out_of_space(&client, &batch, "no space left for tasks");
    // A body and what is known of it, of the one task that was done.
    let file = small["result"]["files"][0]["file_id"].as_str().expect("a file");
    let names = names(&data.join("files"));
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with(file)), "{names:?}");

    let id = client.submit(&sound(2));
    assert!(server.log.says(&id).contains("cannot be stored, trying again"));
    let pid = server.process.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit runs").success());
    let task = client.finished(&id);
    assert_eq!(task["status"], "complete", "{task}");
    assert!(client.files(&task)[1].len() > 2 << 20);
}
