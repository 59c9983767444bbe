//! Bad input: the right status, the right place, and a server that goes on.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::fixture::{Server, header, problem, send};

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_body_is_told_its_place() {
    let server = Server::start().await;
    for (body, status, slug, pointer) in [
        ("{", 400, "malformed-json", ""),
        ("{\"tempo\": NaN}", 400, "malformed-json", ""),
        ("{\"tempo\": 1e999}", 422, "invalid-request", "#/tempo"),
        ("{\"tempo\": 1e999", 400, "malformed-json", ""),
        ("\u{0}", 400, "malformed-json", ""),
        ("{\"tempo\": 400}", 422, "invalid-request", "#/tempo"),
        ("{\"tempo\": -1}", 422, "invalid-request", "#/tempo"),
        ("{\"bars\": 0}", 422, "invalid-request", "#/bars"),
        ("{\"bars\": 1.5}", 422, "invalid-request", "#/bars"),
        ("{\"barz\": 4}", 422, "invalid-request", "#/barz"),
        ("{\"prompt\": \"sad piano\"}", 404, "unknown-model", "#/prompt"),
        ("{\"model\": \"drums\", \"duration\": 5}", 422, "invalid-request", "#/duration"),
        ("{\"style\": \"polka-metal\"}", 422, "unknown-style", "#/style"),
        ("{\"model\": \"nope\"}", 404, "unknown-model", ""),
        ("[]", 422, "invalid-request", "#"),
        ("\"x\"", 422, "invalid-request", "#"),
    ] {
        let request = server.post("/api/v1/generate").header("content-type", "application/json").body(body);
        let problem = problem(request, status, slug).await;
        if !pointer.is_empty() {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
    }
    let deep = format!("{{\"kit\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    let request = server.post("/api/v1/generate").header("content-type", "application/json").body(deep);
    assert!(send(request).await.status().is_client_error());
    server.complete("/api/v1/generate", json!({"bars": 1})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_sizes_methods_and_paths_are_refused_as_problems() {
    let server = Server::start().await;
    let text = server.post("/api/v1/generate").header("content-type", "text/plain").body("{}");
    problem(text, 415, "unsupported-media-type").await;
    let form = server
        .post("/api/v1/generate")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("style=funk");
    problem(form, 415, "unsupported-media-type").await;
    let json = server.post("/api/v1/generate/from-midi").json(&json!({}));
    problem(json, 415, "unsupported-media-type").await;
    problem(server.get("/nowhere"), 404, "not-found").await;
    problem(server.get("/api/v1/generate"), 405, "method-not-allowed").await;
    let response = send(server.http.request(Method::PUT, server.url("/api/v1/tasks/x"))).await;
    let mut allow: Vec<String> = header(&response, "allow").split(',').map(|m| m.trim().to_owned()).collect();
    allow.sort();
    assert_eq!(allow, ["DELETE", "GET", "HEAD"]);
    problem(server.http.request(Method::TRACE, server.url("/health")), 405, "method-not-allowed").await;
    let large = "x".repeat(17 << 20);
    let large = server.post("/api/v1/generate").header("content-type", "application/json").body(large);
    problem(large, 413, "too-large").await;
    let file = |bytes: Vec<u8>, kind: &str| {
        let part = Part::bytes(bytes).file_name("x.mid").mime_str(kind).expect("a type");
        server.post("/api/v1/generate/from-midi").multipart(Form::new().part("file", part))
    };
    problem(file(b"\x89PNG".to_vec(), "audio/midi"), 415, "unsupported-media-type").await;
    problem(file(b"MThd".to_vec(), "image/png"), 415, "unsupported-media-type").await;
    problem(file(b"MThd".to_vec(), "audio/midi"), 422, "invalid-midi").await;
    problem(file(vec![0; 11 << 20], "audio/midi"), 413, "too-large").await;
    let missing = server.post("/api/v1/generate/from-midi").multipart(Form::new().text("bars", "2"));
    assert_eq!(problem(missing, 422, "invalid-request").await["errors"][0]["pointer"], "#/file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_long_is_refused_before_it_is_read() {
    let server = Server::start().await;
    // No JSON at its end, which nobody gets to see.
    let body = format!("{{\"requests\": [{}", "{},".repeat(500_000));
    let request = server.post("/api/v1/generate/batch").header("content-type", "application/json").body(body);
    assert_eq!(problem(request, 422, "invalid-request").await["errors"][0]["pointer"], "#/requests");
}

/// What `body` is refused with at `path`: the first error, and the detail.
async fn refused(server: &Server, path: &str, kind: &str, body: &str) -> (Value, String) {
    let request = server.post(path).header("content-type", kind).body(body.to_owned());
    let problem = problem(request, 422, "invalid-request").await;
    (problem["errors"][0].clone(), problem["detail"].as_str().expect("text").to_owned())
}

const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_the_wrong_kind_is_told_the_range_of_its_field() {
    let server = Server::start().await;
    for (body, pointer, range) in [
        ("{\"bars\": -1}", "#/bars", "1..=32"),
        ("{\"bars\": 4.5}", "#/bars", "1..=32"),
        ("{\"bars\": \"abc\"}", "#/bars", "1..=32"),
        ("{\"variations\": -1}", "#/variations", "1..=64"),
        ("{\"top_k\": 0.5}", "#/top_k", "0..=100000"),
        ("{\"priority\": 256}", "#/priority", "0..=9"),
        ("{\"velocity\": [1, 256]}", "#/velocity/1", "1..=127"),
        (
            "{\"seed_notes\": [{\"pitch\": 256, \"start\": 0, \"duration\": 1, \"velocity\": 9}]}",
            "#/seed_notes/0/pitch",
            "0..=127",
        ),
    ] {
        let (error, detail) = refused(&server, "/api/v1/generate", JSON, body).await;
        assert_eq!((&error["pointer"], error["line"].is_null()), (&json!(pointer), true), "{body}");
        assert_eq!(error["allowed"], format!("an integer in {range}"), "{body}");
        assert!(detail.contains(&format!("must be an integer in {range}, got ")), "{detail}");
    }
    let task = server.complete("/api/v1/generate", json!({"bars": 1.0, "seed": 5.0})).await;
    assert_eq!((&task["request"]["bars"], &task["request"]["seed"]), (&json!(1), &json!(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_under_another_name_is_told_by_that_name() {
    let server = Server::start().await;
    for (body, pointer) in [
        ("{\"n\": -1}", "#/n"),
        ("{\"n\": 99}", "#/n"),
        ("{\"num_outputs\": 99}", "#/num_outputs"),
        ("{\"variations\": 99}", "#/variations"),
    ] {
        for path in ["/api/v1/generate", "/api/v1/stream"] {
            let (error, detail) = refused(&server, path, JSON, body).await;
            assert_eq!(error["pointer"], pointer, "{path} {body}");
            assert!(detail.starts_with(&format!("{} must be", &pointer[2..])), "{detail}");
        }
    }
    let post = |path: &str, body: Value| server.post(path).json(&body);
    let style = post("/api/v1/generate", json!({"producer_style": "polka-metal"}));
    assert_eq!(problem(style, 422, "unknown-style").await["errors"][0]["pointer"], "#/producer_style");
    let model = post("/api/v1/generate", json!({"model_name": "nope"}));
    assert_eq!(problem(model, 404, "unknown-model").await["errors"][0]["pointer"], "#/model_name");
    let note = json!({"pitch": 36, "start": 0, "duration": 1, "velocity": 90});
    let input = post("/api/v1/infill", json!({"n": 99, "input": {"notes": [note]}}));
    assert_eq!(problem(input, 422, "invalid-request").await["errors"][0]["pointer"], "#/n");
    let batch = post("/api/v1/generate/batch", json!({"requests": [{}, {"num_outputs": 99}]}));
    let batch = problem(batch, 422, "invalid-request").await;
    assert_eq!(batch["errors"][0]["pointer"], "#/requests/1/num_outputs");
    let midi = server.midi().await;
    let file = Part::bytes(midi).file_name("a.mid").mime_str("audio/midi").expect("a type");
    let form = Form::new().part("file", file).text("n", "99");
    let form = problem(server.post("/api/v1/continue").multipart(form), 422, "invalid-request").await;
    assert_eq!(form["errors"][0]["pointer"], "#/n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_refused_at_once() {
    let server = Server::start().await;
    let broken = b"MThd".to_vec();
    // It can be read and stored, and holds nothing to play.
    let silent = b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0".to_vec();
    let upload = server.post("/api/v1/files").header("content-type", "audio/midi").body(silent.clone());
    let id = server.answer(upload).await.1["file_id"].clone();
    assert!(id.is_string());
    let form = |path: &str, bytes: &[u8]| {
        let part = Part::bytes(bytes.to_vec()).file_name("a.mid").mime_str("audio/midi").expect("a type");
        server.post(path).multipart(Form::new().part("file", part))
    };
    for verb in ["generate/from-midi", "continue", "infill", "humanize", "render", "analyze"] {
        let path = format!("/api/v1/{verb}");
        let told = problem(form(&path, &broken), 422, "invalid-midi").await;
        assert_eq!(told["errors"][0]["pointer"], "#/file", "{verb}");
        if verb == "analyze" {
            continue;
        }
        let told = problem(form(&path, &silent), 422, "invalid-midi").await;
        assert_eq!(told["errors"][0]["pointer"], "#/file", "{verb}: {told}");
        if verb != "generate/from-midi" {
            let named = server.post(&path).json(&json!({"input": {"file_id": id}}));
            let told = problem(named, 422, "invalid-midi").await;
            assert_eq!(told["errors"][0]["pointer"], "#/input/file_id", "{verb}: {told}");
        }
    }
    // What the file does not have cannot be asked for.
    let file = Part::bytes(server.midi().await).file_name("a.mid").mime_str("audio/midi").expect("a type");
    let far = Form::new().part("file", file).text("bars", "[1, 900]");
    let far = problem(server.post("/api/v1/infill").multipart(far), 422, "invalid-request").await;
    assert_eq!(far["errors"][0]["pointer"], "#/bars");
    let (_, list) = server.answer(server.get("/api/v1/tasks")).await;
    assert_eq!(list["data"].as_array().expect("tasks").len(), 1, "only the one whose file was taken: {list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_request_refuses_a_batch_and_is_told_where_it_stands() {
    let server = Server::start().await;
    let path = "/api/v1/generate/batch";
    for (wrong, inside) in [
        ("{\"bars\": 99}", "bars"),
        ("{\"bars\": -1}", "bars"),
        ("{\"n\": 99}", "n"),
        ("{\"barz\": 1}", "barz"),
        ("{\"\u{e4}\": 1}", "\u{e4}"),
        ("{\"tempo\": 1e400}", "tempo"),
    ] {
        let escaped = inside.replace('\u{e4}', "%C3%A4");
        let body = format!("{{\"requests\": [{{}}, {{}}, {{}}, {wrong}]}}");
        let (error, detail) = refused(&server, path, JSON, &body).await;
        assert_eq!(error["pointer"], format!("#/requests/3/{escaped}"));
        assert!(detail.starts_with(&format!("requests/3/{inside} ")), "{detail}");
        let body = format!("{{}}\n{{}}\n\n{{}}\n{wrong}\n");
        let (error, detail) = refused(&server, path, "application/x-ndjson", &body).await;
        assert_eq!((&error["line"], &error["pointer"]), (&json!(5), &json!(format!("#/{escaped}"))));
        assert!(detail.starts_with(&format!("line 5: {inside} ")), "{detail}");
    }
    let broken = server.post(path).header("content-type", "application/x-ndjson").body("{}\n{\"bars\"\n");
    let broken = problem(broken, 400, "malformed-json").await;
    assert_eq!(broken["errors"][0]["line"], 2);
    assert!(broken["detail"].as_str().expect("text").starts_with("line 2 is no JSON: "), "{broken}");
    assert_eq!(server.answer(server.get("/api/v1/tasks")).await.1["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_forms_and_files_are_told_as_what_they_are() {
    let server = Server::start().await;
    let kind = "multipart/form-data; boundary=x";
    for body in ["no form", "--x\r\nContent-Disposition: form-data; name=\"bars\"\r\n\r\n4"] {
        let request = server.post("/api/v1/continue").header("content-type", kind).body(body);
        assert_eq!(problem(request, 400, "malformed-form").await["title"], "Malformed form");
    }
    let unbound = server.post("/api/v1/files").header("content-type", "multipart/form-data").body("x");
    problem(unbound, 400, "malformed-form").await;
    let part = server.post("/api/v1/continue").multipart(Form::new().text("request", "{"));
    let part = problem(part, 400, "malformed-json").await;
    assert!(part["detail"].as_str().expect("text").starts_with("the part request is no JSON"), "{part}");
    let file = server.post("/api/v1/files").header("content-type", "audio/midi").body("no MIDI");
    let file = problem(file, 415, "unsupported-media-type").await;
    assert_eq!(file["detail"], "file must be a Standard MIDI File, which begins with MThd");
    let name = server.post("/api/v1/generate").json(&json!({"\u{e4}\u{f6}": 1}));
    let name = problem(name, 422, "invalid-request").await;
    assert_eq!(name["errors"][0]["pointer"], "#/%C3%A4%C3%B6");
    assert!(name["detail"].as_str().expect("text").starts_with("\u{e4}\u{f6} is no known field"), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_twice_or_in_vain_is_refused() {
    let server = Server::start().await;
    let twice = server
        .post("/api/v1/generate")
        .header("idempotency-key", "a")
        .header("idempotency-key", "a")
        .json(&json!({"bars": 1}));
    assert_eq!(problem(twice, 400, "bad-request").await["errors"][0]["pointer"], "Idempotency-Key");
    for (path, accept) in
        [("/api/v1/stream", "audio/wav"), ("/api/v1/stream", "application/json, text/html;q=0.5")]
    {
        let request = server.post(path).header("accept", accept).json(&json!({"bars": 1}));
        let refused = problem(request, 406, "not-acceptable").await;
        let allowed = refused["errors"][0]["allowed"].as_str().expect("told");
        assert!(allowed.starts_with("text/event-stream"), "{accept}: {allowed}");
    }
    assert_eq!(server.answer(server.get("/api/v1/tasks")).await.1["data"], json!([]));
    let task = server.complete("/api/v1/generate", json!({"bars": 1})).await;
    let (id, file) = (task["id"].as_str().expect("an id"), task["midi_path"].as_str().expect("a link"));
    let events = format!("/api/v1/tasks/{id}/events");
    problem(server.get(&events).header("accept", "audio/wav"), 406, "not-acceptable").await;
    for accept in ["text/event-stream", "*/*", "audio/wav, text/*;q=0.1"] {
        assert_eq!(send(server.get(&events).header("accept", accept)).await.status(), 200, "{accept}");
    }
    let task = format!("/api/v1/tasks/{id}");
    for path in [
        file,
        &task,
        "/api/v1/openapi.json",
        "/api/v1/models/drums",
        "/api/v1/status",
        "/api/v1/config",
        "/api/v1/stream",
        "/v1/models",
    ] {
        let refused = problem(server.get(&format!("{path}?barz=1")), 422, "invalid-request").await;
        assert_eq!(refused["errors"][0]["pointer"], "barz", "{path}");
        assert!(refused["detail"].as_str().expect("text").contains("it takes none"), "{refused}");
    }
    for path in ["generate", "generate/batch", "stream", "continue", "files", "models/load", "config/reload"]
    {
        let request = server.post(&format!("/api/v1/{path}?style=funk")).json(&json!({}));
        let refused = problem(request, 422, "invalid-request").await;
        assert_eq!(refused["errors"][0]["pointer"], "style", "{path}");
    }
    let near = problem(server.get("/api/v1/styles?modl=drums"), 422, "invalid-request").await;
    assert!(near["detail"].as_str().expect("text").contains("did you mean model?"), "{near}");
    // Probes may add what they like.
    for path in ["/health?x=1", "/health/ready?x=1", "/metrics?x=1", "/problems/queue-full?x=1"] {
        assert_eq!(send(server.get(path)).await.status(), 200, "{path}");
    }
}
