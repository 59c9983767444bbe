//! What whoever runs the server sees of it: calls to others, numbers, the audit file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use partita_engine::Options;
use partita_queue::Role;
use partita_server::webhook;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fixture::{LONG, Server, header, problem, send};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that is busy at first; its URL and what reaches it.
async fn receiver(busy: usize) -> (String, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
    let (sent, received) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let hear = async move |headers: HeaderMap, body: Bytes| {
        sent.send((headers, body)).expect("the test listens");
        match calls.fetch_add(1, Ordering::Relaxed) < busy {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::NO_CONTENT,
        }
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(hear));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_called_again_until_it_answers_well() {
    let change = |config: &mut partita_engine::Config| {
        config.webhooks.allow_private = vec!["127.0.0.0/8".into()];
        config.webhooks.secret = SECRET.into();
    };
    let server = Server::start_with(change, Options::default()).await;
    let stop = CancellationToken::new();
    let calls = tokio::spawn(webhook::run(server.app.clone(), stop.clone()));
    let (url, mut received) = receiver(1).await;
    let request = json!({"style": "funk", "bars": 1, "webhook": {"url": url, "events": ["complete"]}});
    let task = server.complete("/api/v1/generate", request).await;
    let mut ids = vec![];
    for _ in 0..2 {
        let call = tokio::time::timeout(LONG, received.recv()).await.expect("a call in time");
        let (headers, body) = call.expect("a call");
        let text = |name: &str| headers[name].to_str().expect("text").to_owned();
        let key = STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes());
        mac.update(&body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(text("webhook-signature"), signature);
        let told: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&told["id"], &told["status"]), (&task["id"], &json!("complete")));
        assert_eq!(told["result"]["notes"], task["result"]["notes"]);
        assert!(!String::from_utf8_lossy(&body).contains(SECRET));
        ids.push(text("webhook-id"));
    }
    assert_eq!(ids[0], ids[1]);
    let stats = async || server.app.engine.queue().stats().await.expect("numbers").deliveries;
    let started = std::time::Instant::now();
    while stats().await > 0 {
        assert!(started.elapsed() < LONG, "the call is never settled");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(received.try_recv().is_err());
    stop.cancel();
    calls.await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_leads_inside_or_cannot_be_signed_is_refused_with_its_task() {
    let server = Server::start().await;
    let hook = |url: &str, secret: Option<&str>| {
        let mut body = json!({"style": "funk", "bars": 1, "webhook": {"url": url}});
        if let Some(secret) = secret {
            body["webhook"]["secret"] = secret.into();
        }
        server.post("/api/v1/generate").json(&body)
    };
    let inside = problem(hook("http://169.254.169.254/latest", Some(SECRET)), 422, "invalid-request").await;
    assert_eq!(inside["errors"][0]["pointer"], "#/webhook/url");
    let unsigned = problem(hook("https://example.com/", None), 422, "invalid-request").await;
    assert_eq!(unsigned["errors"][0]["pointer"], "#/webhook/secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_shows_in_the_metrics_and_in_the_audit_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("audit.jsonl");
    let audit = path.clone();
    let server = Server::start_with(move |config| config.log.audit = audit, Options::default()).await;
    let task = server.complete("/api/v1/generate", json!({"style": "funk", "bars": 1})).await;
    let model = task["model"].as_str().expect("a model");
    let line = format!("music_gen_requests_total{{model=\"{model}\",status=\"complete\"}} 1");
    // A task is counted by its worker, which hears of its end at the same time as the client.
    let began = std::time::Instant::now();
    let text = loop {
        let text = send(server.get("/metrics")).await.text().await.expect("text");
        if text.lines().any(|found| found == line) {
            break text;
        }
        assert!(began.elapsed() < LONG, "{line} is not in\n{text}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(text.contains("route=\"/api/v1/generate\",method=\"POST\",status=\"200\"} 1"), "{text}");
    assert!(!text.contains("tsk_"));

    let lines = audited(&server, &path).await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["task"], task["id"]);
    assert_eq!(line["kind"], "generate");
    assert!(line.get("request").is_none());
}

/// The lines of the audit file so far.
async fn audited(server: &Server, path: &std::path::Path) -> Vec<Value> {
    let guard = server.app.guard.clone();
    let flushed = tokio::task::spawn_blocking(move || guard.audit().flush(LONG));
    flushed.await.expect("written");
    let text = std::fs::read_to_string(path).expect("the audit file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_acts_of_administrators_are_audited_without_secrets_and_requests() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("audit.jsonl");
    let audit = path.clone();
    let change = move |config: &mut partita_engine::Config| {
        config.log.audit = audit;
        config.limits.tasks_per_hour = 1;
        config.webhooks.secret = SECRET.into();
    };
    let server = Server::start_with(change, Options::default()).await;
    let (viewer_id, viewer) = server.key(Role::Viewer).await;
    let (user_id, user) = server.key(Role::User).await;
    let (admin_id, admin) = server.key(Role::Admin).await;
    let wrong = format!("pt_{}_{}", "0".repeat(16), "0".repeat(64));
    let (model, music) = (json!({"model_name": "drums"}), json!({"style": "boom-bap", "bars": 1}));
    // Method and path, the key and its id, what is sent, and what comes of it.
    let calls = [
        ("GET /api/v1/tasks", None, None, None, 401),
        ("GET /api/v1/tasks", Some(&wrong), None, None, 401),
        ("POST /api/v1/generate", Some(&viewer), Some(&viewer_id), Some(&music), 403),
        ("POST /api/v1/config/reload", Some(&user), Some(&user_id), None, 403),
        ("POST /api/v1/generate", Some(&user), Some(&user_id), Some(&music), 200),
        ("POST /api/v1/generate", Some(&user), Some(&user_id), Some(&music), 429),
        ("POST /api/v1/models/load", Some(&admin), Some(&admin_id), Some(&model), 200),
        ("POST /api/v1/models/unload", Some(&admin), Some(&admin_id), Some(&model), 200),
        ("DELETE /api/v1/models/drums", Some(&admin), Some(&admin_id), None, 409),
        ("POST /api/v1/config/reload", Some(&admin), Some(&admin_id), None, 200),
        ("POST /api/v1/maintenance/cleanup", Some(&admin), Some(&admin_id), None, 200),
        // Looking is no act.
        ("GET /api/v1/config", Some(&admin), Some(&admin_id), None, 200),
    ];
    for (what, key, _, body, status) in &calls {
        let (method, path) = what.split_once(' ').expect("both");
        // A query may hold anything.
        let query = if path == "/api/v1/tasks" { "?status=complete" } else { "" };
        let method = method.parse().expect("a method");
        let mut request = server.http.request(method, server.url(&format!("{path}{query}")));
        request = request.header("x-request-id", "audited");
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let (got, answer) = server.answer(request).await;
        assert_eq!(got, *status, "{what}: {answer}");
    }
    let lines = audited(&server, &path).await;
    let expected = calls.iter().take(calls.len() - 1);
    assert_eq!(lines.len(), calls.len() - 1, "{lines:#?}");
    for (line, (what, _, id, _, status)) in lines.iter().zip(expected) {
        assert_eq!(line["key"], json!(id), "{line}");
        assert_eq!((&line["address"], &line["request_id"]), (&json!("127.0.0.1"), &json!("audited")));
        if *status == 200 && *what == "POST /api/v1/generate" {
            assert!(line["task"].as_str().is_some_and(|task| task.starts_with("tsk_")), "{line}");
            continue;
        }
        let kind = if matches!(status, 401 | 403 | 429) { "refused" } else { "action" };
        assert_eq!(
            (&line["kind"], &line["what"], &line["status"]),
            (&json!(kind), &json!(what), &json!(status))
        );
    }
    let text = std::fs::read_to_string(&path).expect("the audit file");
    for secret in [&*viewer, &*user, &*admin, &*wrong, SECRET, "boom-bap", "complete"] {
        assert!(!text.contains(secret), "{secret} is in the audit file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_counts_like_a_task_and_a_look_does_not() {
    let change = |config: &mut partita_engine::Config| config.limits.tasks_per_minute_per_address = 2;
    let server = Server::start_with(change, Options::default()).await;
    // The first of two.
    let midi = server.midi().await;
    let upload = || server.post("/api/v1/files").header("content-type", "audio/midi").body(midi.clone());
    for _ in 0..5 {
        assert_eq!(send(server.get("/api/v1/tasks")).await.status(), 200);
    }
    let answer = send(upload()).await;
    assert_eq!(
        (answer.status().as_u16(), &*header(&answer, "ratelimit-policy")),
        (201, "\"tasks-per-address\";q=2;w=60")
    );
    assert!(header(&answer, "ratelimit").starts_with("\"tasks-per-address\";r=0;"));
    let refused = problem(upload(), 429, "rate-limited").await;
    assert_eq!(refused["violated-policies"], json!(["tasks-per-address"]));
    problem(server.post("/api/v1/generate").json(&json!({"bars": 1})), 429, "rate-limited").await;
    assert_eq!(send(server.get("/api/v1/tasks")).await.status(), 200);
}
