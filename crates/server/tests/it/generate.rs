//! Making music, and the one body of its tasks.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::fixture::{Server, header, problem, send};

#[tokio::test(flavor = "multi_thread")]
async fn what_curl_sends_makes_music() {
    let server = Server::start().await;
    let request = server
        .post("/api/v1/generate")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("{\"style\":\"funk\",\"bars\":4}");
    let (status, task) = server.answer(request).await;
    assert_eq!((status, &task["status"]), (200, &json!("complete")), "{task}");
    assert_eq!(task["id"], task["task_id"]);
    assert_eq!(
        (&task["done"], &task["progress"], &task["estimated_time"]),
        (&json!(true), &json!(1.0), &json!(0.0))
    );
    assert!(task["result"]["seed"].is_u64() && task["result"]["notes"].as_array().expect("notes").len() > 8);
    let path = task["midi_path"].as_str().expect("a link");
    let file = send(server.get(path)).await.bytes().await.expect("bytes");
    assert!(file.starts_with(b"MThd"));
    // The task that was echoed makes the same music.
    let mut body = task["request"].clone();
    body["model"] = task["model"].clone();
    let again = server.complete("/api/v1/generate", body).await;
    assert_eq!(again["result"]["notes"], task["result"]["notes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_alone_gives_a_file() {
    let server = Server::start().await;
    let response = send(server.get("/api/v1/generate/simple?style=jazz&bars=1&seed=5")).await;
    assert_eq!(header(&response, "content-type"), "audio/midi");
    assert!(header(&response, "content-disposition").starts_with("attachment; filename="));
    assert_eq!(header(&response, "x-seed"), "5");
    let bytes = response.bytes().await.expect("bytes");
    assert!(bytes.starts_with(b"MThd"));
    let response = send(server.get("/api/v1/generate/simple?style=jazz&bars=1&seed=5&format=wav")).await;
    assert!(response.bytes().await.expect("bytes").starts_with(b"RIFF"));
    let (status, task) = server.answer(server.get("/api/v1/generate/simple?bars=1&format=json")).await;
    assert_eq!((status, &task["status"]), (200, &json!("complete")));
    let wrong = problem(server.get("/api/v1/generate/simple?bars=99"), 422, "invalid-request").await;
    assert_eq!(wrong["errors"][0]["pointer"], "bars");
    problem(server.get("/api/v1/generate/simple?format=mp3"), 422, "invalid-request").await;
    problem(server.get("/api/v1/generate/simple?barz=1"), 422, "invalid-request").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_one_task() {
    let server = Server::start().await;
    let call =
        |body: Value| send(server.post("/api/v1/generate").header("idempotency-key", "k-1").json(&body));
    let first = call(json!({"bars": 1, "style": "rock"})).await;
    assert_eq!(header(&first, "idempotent-replayed"), "");
    let first: Value = first.json().await.expect("a task");
    // Another order of fields is the same request.
    let again = call(json!({"style": "rock", "bars": 1})).await;
    assert_eq!(header(&again, "idempotent-replayed"), "true");
    let again: Value = again.json().await.expect("a task");
    assert_eq!((&first["id"], &first["result"]), (&again["id"], &again["result"]));
    let other = server.post("/api/v1/generate").header("idempotency-key", "k-1").json(&json!({"bars": 2}));
    problem(other, 422, "idempotency-key-reused").await;
    let bad = server.post("/api/v1/generate").header("idempotency-key", "a b").json(&json!({}));
    assert_eq!(problem(bad, 400, "bad-request").await["errors"][0]["pointer"], "Idempotency-Key");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upload_twice_is_the_same_request() {
    let server = Server::start().await;
    let midi = server.midi().await;
    let call = || {
        let file = Part::bytes(midi.clone()).file_name("a.mid").mime_str("audio/midi").expect("a type");
        let form = Form::new().part("file", file).text("bars", "1").text("seed", "3");
        send(server.post("/api/v1/generate/from-midi").header("idempotency-key", "u").multipart(form))
    };
    let first: Value = call().await.json().await.expect("a task");
    assert_eq!((&first["status"], &first["kind"]), (&json!("complete"), &json!("continue")), "{first}");
    let again = call().await;
    assert_eq!(header(&again, "idempotent-replayed"), "true");
    assert_eq!(again.json::<Value>().await.expect("a task")["id"], first["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_takes_an_upload_and_json() {
    let server = Server::start().await;
    let midi = server.midi().await;
    let upload = server.post("/api/v1/files").header("content-type", "audio/midi").body(midi.clone());
    let response = send(upload).await;
    assert_eq!(response.status(), 201);
    let place = header(&response, "location");
    let file: Value = response.json().await.expect("a file");
    assert_eq!(file["url"], json!(place));
    for verb in ["continue", "infill", "humanize", "render", "analyze"] {
        let task =
            server.complete(&format!("/api/v1/{verb}"), json!({"input": {"file_id": file["file_id"]}})).await;
        assert_eq!(task["kind"], verb);
        let part = Part::bytes(midi.clone()).file_name("a.mid").mime_str("audio/midi").expect("a type");
        let form = Form::new().part("file", part).text("request", "{\"priority\": 7}");
        let (status, task) = server.answer(server.post(&format!("/api/v1/{verb}")).multipart(form)).await;
        assert_eq!((status, &task["status"]), (200, &json!("complete")), "{verb}: {task}");
    }
    let none = problem(server.post("/api/v1/continue").json(&json!({})), 422, "invalid-request").await;
    assert!(none["errors"][0]["pointer"].as_str().expect("a pointer").starts_with("#/input"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_tells_each_item_in_json_and_lines() {
    let server = Server::start().await;
    let lines = "{\"custom_id\":\"a\",\"bars\":1,\"seed\":1}\n{\"custom_id\":\"b\",\"bars\":1,\"seed\":2}\n";
    let request =
        server.post("/api/v1/generate/batch").header("content-type", "application/x-ndjson").body(lines);
    let (status, task) = server.answer(request).await;
    assert_eq!((status, &task["status"]), (200, &json!("complete")), "{task}");
    assert_eq!(task["result"]["request_counts"]["completed"], 2);
    let items = format!("/api/v1/tasks/{}/items", task["id"].as_str().expect("an id"));
    let (_, list) = server.answer(server.get(&items)).await;
    assert_eq!((&list["data"][0]["custom_id"], &list["data"][1]["custom_id"]), (&json!("a"), &json!("b")));
    let response = send(server.get(&items).header("accept", "application/x-ndjson")).await;
    assert_eq!(header(&response, "content-type"), "application/x-ndjson");
    let text = response.text().await.expect("lines");
    assert_eq!(text.lines().count(), 2);
    // Alone, a request gives what it gives in a batch.
    let alone = server.complete("/api/v1/generate", json!({"bars": 1, "seed": 2})).await;
    assert_eq!(alone["result"]["notes"], list["data"][1]["result"]["notes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_says_how_long_to_wait() {
    let server = Server::start_endless().await;
    let call = |prefer: &'static str| {
        send(server.post("/api/v1/generate").header("prefer", prefer).json(&json!({})))
    };
    let response = call("respond-async").await;
    assert_eq!(response.status(), 202);
    assert_eq!(header(&response, "preference-applied"), "respond-async");
    assert!(header(&response, "retry-after").parse::<u64>().expect("seconds") >= 1);
    let place = header(&response, "location");
    let task: Value = response.json().await.expect("a task");
    assert_eq!(place, format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id")));
    assert!(task["estimated_time"].is_number());
    let begun = std::time::Instant::now();
    let response = call("wait=1").await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "preference-applied").as_str()),
        (202, "wait=1")
    );
    assert!(begun.elapsed().as_secs_f64() >= 0.9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_alone_tells_as_much_as_a_task_and_serves_no_foreign_page() {
    let server = Server::start().await;
    let path = "/api/v1/generate/simple?bars=1&seed=5";
    let call = || send(server.get(path).header("idempotency-key", "s").header("prefer", "wait=30"));
    let (first, again) = (call().await, call().await);
    assert_eq!(header(&first, "preference-applied"), "wait=30");
    assert!(header(&first, "cache-status").starts_with("partita"));
    assert_eq!(
        (header(&first, "idempotent-replayed").as_str(), header(&again, "idempotent-replayed").as_str()),
        ("", "true")
    );
    assert_eq!(first.bytes().await.expect("bytes"), again.bytes().await.expect("bytes"));
    problem(server.get(path).header("sec-fetch-site", "cross-site"), 403, "forbidden").await;
    problem(server.get(path).header("origin", "https://evil.example"), 403, "forbidden").await;
    assert_eq!(send(server.http.head(server.url(path))).await.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_form_and_a_replayed_one_leave_no_file_behind() {
    let server = Server::start().await;
    let midi = server.midi().await;
    let files = || walk(&server.app.engine.config().files_dir().expect("a folder"));
    let before = files();
    let call = |bars: &'static str, key: &'static str| {
        let file = Part::bytes(midi.clone()).file_name("a.mid").mime_str("audio/midi").expect("a type");
        let form = Form::new().part("file", file).text("bars", bars).text("seed", "3");
        server.post("/api/v1/continue").header("idempotency-key", key).multipart(form)
    };
    problem(call("99", "a"), 422, "invalid-request").await;
    assert_eq!(files(), before);
    assert_eq!(send(call("1", "b")).await.status(), 200);
    let after = files();
    assert!(after > before);
    assert_eq!(header(&send(call("1", "b")).await, "idempotent-replayed"), "true");
    assert_eq!(files(), after);
}

/// Files below a folder.
fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_sheet_is_written_continued_and_harmonized() {
    let server = Server::start().await;
    let body = json!({
        "model": "melody", "seed": 7, "bars": 4, "key": "G", "chords": "G | Em | C | D7", "output_format": "full",
        "files": ["mid", "musicxml", "abc"],
    });
    let task = server.complete("/api/v1/generate", body).await;
    assert_eq!((&task["model"], &task["kind"]), (&json!("melody@1"), &json!("generate")));
    let take = &task["result"]["takes"][0];
    assert_eq!(take["chords"][1], json!({"start": 4.0, "chord": "Em"}));
    assert!(take["tokens"].as_array().expect("ids").len() > 8 && take["midi"].is_string());
    let files = task["result"]["files"].as_array().expect("files");
    let kinds: Vec<&str> = files.iter().filter_map(|file| file["media_type"].as_str()).collect();
    assert_eq!(kinds, ["audio/midi", "application/vnd.recordare.musicxml+xml", "text/vnd.abc"]);
    let path = files[0]["url"].as_str().expect("a link");
    let midi = send(server.get(path)).await.bytes().await.expect("bytes").to_vec();
    let file = Part::bytes(midi).file_name("a.mid").mime_str("audio/midi").expect("a type");
    let form =
        Form::new().part("file", file).text("model", "melody").text("bars", "2").text("require", "A,B");
    let (status, longer) = server.answer(server.post("/api/v1/generate/from-midi").multipart(form)).await;
    assert_eq!((status, &longer["status"]), (200, &json!("complete")), "{longer}");
    assert_eq!(longer["result"]["bars"], 6);
    let input = json!({"file_id": files[0]["file_id"]});
    let other = server.complete("/api/v1/harmonize", json!({"input": input, "seed": 1})).await;
    assert_eq!(other["kind"], "harmonize");
    let part = |task: &Value| -> Vec<Value> {
        let notes = task["result"]["notes"].as_array().expect("notes").iter();
        notes.filter(|note| note["channel"] == 0).cloned().collect()
    };
    assert_eq!(part(&other), part(&task));
    // By rule, under the file itself.
    let midi = send(server.get(path)).await.bytes().await.expect("bytes").to_vec();
    let file = Part::bytes(midi).file_name("a.mid").mime_str("audio/midi").expect("a type");
    let form = Form::new().part("file", file).text("bass", "walking").text("piano", "charleston");
    let (status, under) = server.answer(server.post("/api/v1/arrange").multipart(form)).await;
    assert_eq!(
        (status, &under["kind"], &under["status"]),
        (200, &json!("arrange"), &json!("complete")),
        "{under}"
    );
    let made = json!({"bass": "rule walking", "chords": "given", "piano": "rule charleston"});
    assert_eq!(under["result"]["takes"][0]["made"], made);
    assert!(part(&task).iter().all(|note| part(&under).contains(note)));
    let wrong =
        server.post("/api/v1/generate").json(&json!({"model": "melody", "key": "C", "require": ["F#4"]}));
    let wrong = problem(wrong, 422, "invalid-request").await;
    let mut pointers: Vec<&str> =
        wrong["errors"].as_array().expect("errors").iter().filter_map(|it| it["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["#/key", "#/require"], "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_song_comes_with_its_stems() {
    let server = Server::start().await;
    let body = json!({"style": "funk", "bars": 2, "seed": 3, "without": ["bass"], "stems": true});
    let task = server.complete("/api/v1/song", body).await;
    assert_eq!((&task["model"], &task["kind"]), (&json!("melody@1"), &json!("song")));
    let files = task["result"]["files"].as_array().expect("files");
    let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().expect("a name")).collect();
    assert_eq!(names.len(), 4);
    for ending in [".mid", "-melody.wav", "-chords.wav", "-drums.wav"] {
        assert_eq!(names.iter().filter(|name| name.ends_with(ending)).count(), 1, "{ending}: {names:?}");
    }
    let made = &task["result"]["takes"][0]["made"];
    assert_eq!((&made["drums"], &made["chords"]), (&json!("model"), &json!("rule stabs")));
    let wrong = server.post("/api/v1/song").json(&json!({"style": "polka", "comping": "loudly"}));
    let wrong = problem(wrong, 422, "invalid-request").await;
    let pointers: Vec<&Value> =
        wrong["errors"].as_array().expect("errors").iter().map(|it| &it["pointer"]).collect();
    assert_eq!(pointers, ["#/comping", "#/style"], "{wrong}");
}
