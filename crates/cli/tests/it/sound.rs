//! A server that makes sound, from outside: the bytes of the command line, cancelled, killed, and many at once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::Place;
use crate::server::{Client, PATIENCE, Server};

fn model(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf").join(name);
    folder.canonicalize().expect("the reference model").display().to_string()
}

/// A place whose store has the model `tiny`, and the folder of its data.
fn place(name: &str) -> (Place, PathBuf) {
    let place = Place::new();
    place.ok(&format!("models import {} --name tiny --copy --data-dir data", model(name)));
    let data = place.path("data");
    (place, data)
}

fn serve(data: &Path) -> (Server, Client) {
    let server = Server::start(data, &["--set", "server.sync_wait=20"]);
    let client = server.client();
    (server, client)
}

fn made(client: &Client, body: &Value) -> Value {
    let id = client.submit(body);
    let task = client.finished(&id);
    assert_eq!(task["status"], "complete", "{task}");
    task
}

#[test]
fn a_server_gives_the_files_of_the_command_line() {
    for name in ["musicgen_mono", "musicgen_stereo"] {
        let (place, data) = place(name);
        let line = "generate audio --data-dir data --model tiny --prompt drums --tempo 92 --key Fm --instruments rhodes \
                    --negative noise --seconds 1.5 --guidance 2.5 --seed 7 -n 2";
        for file in ["a.wav", "a.flac", "a.ogg"] {
            place.ok(&format!("{line} -o {file}"));
        }
        let (mut server, client) = serve(&data);
        let body = json!({
            "model": "tiny", "prompt": "drums", "tempo": 92, "key": "Fm", "instruments": ["rhodes"], "negative": "noise",
            "seconds": 1.5, "guidance": 2.5, "seed": 7, "variations": 2, "files": ["wav", "flac", "ogg"],
        });
        let task = made(&client, &body);
        for (take, number) in task["result"]["takes"].as_array().expect("takes").iter().zip(1..) {
            let files = client.files(&json!({ "result": take }));
            for (bytes, end) in files.iter().zip(["wav", "flac", "ogg"]) {
                assert!(*bytes == place.read(&format!("a-{number}.{end}")), "{name} {number} {end}");
            }
        }
        // As it is made, it is what a pipe gets.
        let piped = place.ok(&line.replace(" -n 2", " -o -")).0.stdout;
        let mut one = body;
        one["variations"] = json!(1);
        let accept = [("Accept", "audio/wav")];
        let live = client.posted("/api/v1/stream", &one, &accept).expect("an answer");
        assert!(live.bytes().expect("whole") == piped, "{name}");
        assert_eq!(server.process.terminate(), 0);
    }
}

#[test]
fn sound_that_takes_long_holds_up_no_drums_and_stops_when_it_is_cancelled() {
    let (_place, data) = place("musicgen_mono");
    let (mut server, client) = serve(&data);
    let long = |seed: u64| json!({ "model": "tiny", "prompt": "drums", "seconds": 300, "variations": 2, "seed": seed });
    let ids: Vec<String> = (0..6).map(|seed| client.submit(&long(seed))).collect();
    // Any of them: a fast machine may be past the first.
    let running = |id: &String| {
        client.get(&format!("/api/v1/tasks/{id}")).is_ok_and(|(_, task)| task["stage"] == "generate")
    };
    let start = Instant::now();
    while !ids.iter().any(running) {
        assert!(start.elapsed() < PATIENCE, "none of them is being made");
    }
    for seed in 0..5 {
        let (status, drums) =
            client.post("/api/v1/generate", &json!({ "bars": 2, "seed": seed }), &[]).expect("an answer");
        assert_eq!((status, &drums["status"]), (200, &json!("complete")));
    }
    let open = |id: &String| {
        !client.get(&format!("/api/v1/tasks/{id}")).expect("an answer").1["done"].as_bool().expect("a flag")
    };
    assert!(ids.iter().filter(|id| open(id)).count() >= 4, "drums came first");
    for id in &ids {
        assert_eq!(client.delete(&format!("/api/v1/tasks/{id}")).expect("an answer").0, 200);
    }
    let began = Instant::now();
    let ends: Vec<Value> = ids.iter().map(|id| client.finished(id)).collect();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(ends.iter().filter(|task| task["status"] == "cancelled").count() >= 4);
    assert!(ends.iter().all(|task| task["status"] != "failed"));
    assert_eq!(server.process.terminate(), 0);
}

#[test]
fn a_server_killed_in_the_middle_of_a_sound_makes_it_after_its_restart() {
    let (place, data) = place("musicgen_mono");
    place
        .ok("generate audio --data-dir data --model tiny --prompt drums --seconds 250 --seed 3 -o whole.wav");
    let (mut server, client) = serve(&data);
    let id = client.submit(&json!({ "model": "tiny", "prompt": "drums", "seconds": 250, "seed": 3 }));
    client.until(&id, |task| task["progress"].as_f64() > Some(0.02) || task["done"] == json!(true));
    server.process.kill();
    let (mut server, client) = serve(&data);
    let task = client.finished(&id);
    assert_eq!(task["status"], "complete", "{task}");
    assert_eq!(task["attempts"], 2, "it was killed in the middle");
    assert!(client.files(&task)[0] == place.read("whole.wav"));
    assert_eq!(server.process.terminate(), 0);
}

#[test]
fn requests_at_once_get_what_each_gets_alone() {
    let (place, data) = place("musicgen_mono");
    let (mut server, client) = serve(&data);
    let seeds: Vec<u64> = (0..8).collect();
    let body = |seed: u64| json!({ "model": "tiny", "prompt": "drums", "seconds": 10, "seed": seed });
    let ids: Vec<String> = seeds.iter().map(|seed| client.submit(&body(*seed))).collect();
    for (seed, id) in seeds.iter().zip(&ids) {
        let file = format!("{seed}.wav");
        let line = format!("--model tiny --prompt drums --seconds 10 --seed {seed} -o {file}");
        place.ok(&format!("generate audio --data-dir data {line}"));
        let task = client.finished(id);
        assert!(client.files(&task)[0] == place.read(&file), "{seed}");
    }
    assert_eq!(server.process.terminate(), 0);
}

#[test]
fn a_model_that_is_not_there_says_what_to_run_and_is_found_once_it_is() {
    let place = Place::new();
    let data = place.path("data");
    let (mut server, client) = serve(&data);
    let body = json!({ "model": "musicgen-small", "prompt": "drums", "seconds": 1 });
    let (status, problem) = client.post("/api/v1/generate", &body, &[]).expect("an answer");
    assert_eq!((status, &problem["type"]), (404, &json!("/problems/unknown-model")));
    let detail = problem["detail"].as_str().expect("told");
    for part in ["`partita models pull musicgen-small`", "2.4 GB", "CC-BY-NC-4.0"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    place.ok(&format!(
        "models import {} --name musicgen-small --copy --data-dir data",
        model("musicgen_mono")
    ));
    // The registry looks again when somebody asks for the list.
    std::thread::sleep(Duration::from_millis(1100));
    let (_, models) = client.get("/api/v1/models?kind=musicgen").expect("an answer");
    assert_eq!(models["data"][0]["name"], "musicgen-small", "{models}");
    made(&client, &json!({ "prompt": "drums", "seconds": 1 }));
    assert_eq!(server.process.terminate(), 0);
}
