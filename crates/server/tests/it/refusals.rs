//! Bad input: the right status, the right place, and a server that goes on.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;

use crate::fixture::{Server, header, problem, send};

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_body_is_told_its_place() {
    let server = Server::start().await;
    for (body, status, slug, pointer) in [
        ("{", 400, "malformed-json", ""),
        ("{\"tempo\": NaN}", 400, "malformed-json", ""),
        ("{\"tempo\": 1e999}", 400, "malformed-json", ""),
        ("\u{0}", 400, "malformed-json", ""),
        ("{\"tempo\": 400}", 422, "invalid-request", "#/tempo"),
        ("{\"tempo\": -1}", 422, "invalid-request", "#/tempo"),
        ("{\"bars\": 0}", 422, "invalid-request", "#/bars"),
        ("{\"bars\": 1.5}", 422, "invalid-request", "#/bars"),
        ("{\"barz\": 4}", 422, "invalid-request", "#/barz"),
        ("{\"prompt\": \"sad piano\"}", 422, "invalid-request", "#/prompt"),
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
