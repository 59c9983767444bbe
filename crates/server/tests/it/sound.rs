//! Sound from words over HTTP, with a model of a few random weights.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use partita_engine::store::{Import, Store};
use partita_engine::{Config, Options};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{LONG, Server, header, problem, send};
use crate::streams::{events, hear, open, say};

/// The model is called tiny.
fn import(config: &Config) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf/musicgen_mono");
    let import = Import { folder: &folder, name: Some("tiny"), copy: true, replace: false };
    Store::of(config).import(&import, &mut |_| ControlFlow::Continue(())).expect("imported");
}

async fn start() -> Server {
    Server::start_with(|config| import(config), Options::default()).await
}

fn body(seed: u64) -> Value {
    json!({"prompt": "drums", "seconds": 1.5, "seed": seed})
}

async fn bytes(server: &Server, path: &str, body: &Value, accept: &str) -> Vec<u8> {
    let response = send(server.post(path).header("accept", accept).json(body)).await;
    assert_eq!(response.status(), 200, "{path}");
    response.bytes().await.expect("the sound").to_vec()
}

async fn file(server: &Server, task: &Value) -> Vec<u8> {
    let url = task["result"]["files"][0]["url"].as_str().expect("a file");
    send(server.get(url)).await.bytes().await.expect("the file").to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_alone_makes_sound_that_can_be_downloaded_and_is_kept() {
    let server = start().await;
    let task = server.complete("/api/v1/generate", body(1)).await;
    assert_eq!((&task["model"], &task["request"]["guidance"]), (&json!("tiny@1"), &json!(3.0)));
    let found = &task["result"]["files"][0];
    assert_eq!((&found["name"], &found["media_type"]), (&json!("tiny-1.5s-s1.wav"), &json!("audio/wav")));
    assert_eq!(file(&server, &task).await.len(), 44 + 2 * 48_000);
    let again = server.complete("/api/v1/generate", body(1)).await;
    assert_eq!((&task["result"]["cache"], &again["result"]["cache"]), (&json!("miss"), &json!("hit")));
    assert_eq!(again["result"]["files"][0]["sha256"], found["sha256"]);
    let (_, models) = server.answer(server.get("/api/v1/models?kind=musicgen")).await;
    assert_eq!((&models["data"][0]["name"], &models["data"][0]["loaded"]), (&json!("tiny"), &json!(true)));
    let unload = server.post("/api/v1/models/unload").json(&json!({"model_name": "tiny"}));
    assert_eq!(server.answer(unload).await.1["loaded"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_is_sent_while_it_is_made_as_a_file_as_events_and_over_a_socket() {
    let server = start().await;
    let response = send(server.post("/api/v1/stream").header("accept", "audio/wav").json(&body(7))).await;
    assert_eq!((header(&response, "content-type").as_str(), response.status().as_u16()), ("audio/wav", 200));
    let place = header(&response, "content-location");
    let live = response.bytes().await.expect("the sound").to_vec();
    assert_eq!((&live[..4], &live[4..8]), (&b"RIFF"[..], &[0xff; 4][..]), "nobody knows the length yet");
    assert_eq!(live.len(), 44 + 2 * 48_000);
    let (_, task) = server.answer(server.get(&place)).await;
    assert_eq!((&task["status"], &task["request"]["stream"]), (&json!("complete"), &json!(true)));
    // A result that is kept is not told: what is kept is turned down, or packed.
    assert!(bytes(&server, "/api/v1/stream", &body(7), "audio/wav").await == live);

    let text = send(server.post("/api/v1/stream").json(&body(7))).await.text().await.expect("events");
    let told: Vec<Value> =
        events(&text).into_iter().filter(|(_, name, _)| name == "audio").map(|(_, _, data)| data).collect();
    let shape = |data: &Value| (data["codec"].clone(), data["sample_rate"].clone(), data["channels"].clone());
    assert!(told.iter().all(|data| shape(data) == (json!("pcm_s16le"), json!(32_000), json!(1))));
    let numbers: Vec<_> = told.iter().map(|data| data["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, [0, 1, 2], "every half second");
    let decode = |data: &Value| STANDARD.decode(data["b64"].as_str().expect("base64")).expect("base64");
    assert!(told.iter().flat_map(decode).eq(live[44..].iter().copied()));

    let mut socket = open(&server).await;
    say(&mut socket, &json!({"op": "generate", "ref": "a", "body": body(7)})).await;
    let mut samples = vec![];
    for seq in 0..3 {
        let event = hear(&mut socket, &["audio"]).await;
        assert_eq!((&event["ref"], &event["data"]["seq"]), (&json!("a"), &json!(seq)));
        assert!(event["data"].get("b64").is_none());
        let next = tokio::time::timeout(LONG, socket.next()).await.expect("in time");
        let Some(Ok(Message::Binary(part))) = next else { panic!("{next:?}") };
        assert_eq!(event["data"]["bytes"], json!(part.len()));
        samples.extend(part);
    }
    assert!(samples == live[44..]);
    let end = hear(&mut socket, &["complete"]).await;
    assert_eq!(end["data"]["status"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_samples_who_did_not_ask_for_them() {
    let server = start().await;
    let task = server.complete("/api/v1/generate", body(3)).await;
    let path = format!("{}/events", task["links"]["self"].as_str().expect("a link"));
    let text = send(server.get(&path)).await.text().await.expect("events");
    assert!(events(&text).iter().all(|(_, name, _)| name != "audio"));
    let silent = json!({"prompt": "drums", "seconds": 1, "stream": false});
    let text = send(server.post("/api/v1/stream").json(&silent)).await.text().await.expect("events");
    let names: Vec<String> = events(&text).into_iter().map(|(_, name, _)| name).collect();
    assert!(names.iter().any(|name| name == "progress") && names.iter().all(|name| name != "audio"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_as_sound_makes_no_task() {
    let server = start().await;
    let wav = |body: Value| server.post("/api/v1/stream").header("accept", "audio/wav").json(&body);
    problem(wav(json!({"bars": 1})), 406, "not-acceptable").await;
    for (body, status, slug, pointer) in [
        (json!({"prompt": "x", "variations": 2}), 422, "invalid-request", "#/variations"),
        (json!({"prompt": "x", "n": 2}), 422, "invalid-request", "#/n"),
        (json!({"prompt": "x", "stream": false}), 422, "invalid-request", "#/stream"),
        (json!({"prompt": "x", "duration": 0}), 422, "invalid-request", "#/duration"),
        (json!({"prompt": "x", "model": "musicgen-large"}), 404, "unknown-model", "#/model"),
    ] {
        let refused = problem(wav(body.clone()), status, slug).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(server.answer(server.get("/api/v1/tasks")).await.1["data"], json!([]));
    // One that fails before its first sound is a problem, not an empty file.
    let letters = (0..1000).flat_map(|i| [char::from(b'a' + (i * 7 % 26) as u8), ' ']).collect::<String>();
    let refused = problem(wav(json!({"prompt": letters})), 422, "invalid-request").await;
    assert!(refused["detail"].as_str().expect("told").contains("tokens"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_servers_get_sound_on_one_connection() {
    let server = start().await;
    let same =
        json!({"prompt": "rain", "seconds": 1, "guidance": 5, "seed": 4, "tempo": 90, "key": "F minor"});
    let expected = file(&server, &server.complete("/api/v1/generate", same).await).await;
    let asked = json!({
        "text": "rain", "duration_seconds": 1, "prompt_influence": 0.5, "seed": 4, "bpm": 90, "keyscale": "F minor",
        "instrumental": true, "model_id": "tiny",
    });
    assert!(bytes(&server, "/v1/sound-generation", &asked, "*/*").await == expected);
    let music = json!({"prompt": "drums", "music_length_ms": 1500, "seed": 1});
    let expected = file(&server, &server.complete("/api/v1/generate", body(1)).await).await;
    assert!(bytes(&server, "/v1/music", &music, "*/*").await == expected);
    let flac = bytes(&server, "/v1/music?output_format=flac", &music, "*/*").await;
    assert_eq!(&flac[..4], b"fLaC");
    for (path, body, status, pointer) in [
        ("/v1/music", json!({}), 422, "#/prompt"),
        ("/v1/music", json!({"prompt": ""}), 422, "#/prompt"),
        ("/v1/music", json!({"prompt": "x", "music_length_ms": 999}), 422, "#/music_length_ms"),
        ("/v1/music", json!({"prompt": "x", "composition_plan": {}}), 422, "#/composition_plan"),
        ("/v1/music", json!({"prompt": "x", "force_instrumental": false}), 422, "#/force_instrumental"),
        ("/v1/music", json!({"prompt": "x", "model_id": "music_v1"}), 404, "#/model_id"),
        ("/v1/music", json!({"prompt": "x", "model_id": "drums"}), 422, "#/prompt"),
        ("/v1/music?output_format=mp3_44100_128", json!({"prompt": "x"}), 422, "output_format"),
        ("/v1/sound-generation", json!({"text": 3}), 422, "#/text"),
        ("/v1/sound-generation", json!({"text": "x", "duration_seconds": 301}), 422, "#/duration_seconds"),
        ("/v1/sound-generation", json!({"text": "x", "prompt_influence": 2}), 422, "#/prompt_influence"),
        ("/v1/sound-generation", json!({"text": "x", "bpm": 1}), 422, "#/bpm"),
        ("/v1/sound-generation", json!({"text": "x", "keyscale": ""}), 422, "#/keyscale"),
        ("/v1/sound-generation", json!({"text": "x", "lyrics": "la"}), 422, "#/lyrics"),
    ] {
        let slug = if status == 404 { "unknown-model" } else { "invalid-request" };
        let refused = problem(server.post(path).json(&body), status, slug).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_on_its_connection_and_goes_away_cancels_its_task() {
    let server = start().await;
    let long = server.post("/v1/music").json(&json!({"prompt": "x", "music_length_ms": 300_000}));
    let gone = tokio::time::timeout(Duration::from_millis(300), long.send()).await;
    assert!(gone.is_err(), "it takes longer");
    let cancelled = async {
        loop {
            let (_, list) = server.answer(server.get("/api/v1/tasks")).await;
            if list["data"][0]["status"] == "cancelled" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, cancelled).await.expect("cancelled");
}
