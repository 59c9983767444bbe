//! What whoever runs the server sees of it: calls to others, numbers, the audit file.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use partita_engine::Options;
use partita_server::webhook;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fixture::{LONG, Server, problem, send};

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
    let text = send(server.get("/metrics")).await.text().await.expect("text");
    let model = task["model"].as_str().expect("a model");
    let line = format!("music_gen_requests_total{{model=\"{model}\",status=\"complete\"}} 1");
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    assert!(text.contains("route=\"/api/v1/generate\",method=\"POST\",status=\"200\"} 1"), "{text}");
    assert!(!text.contains("tsk_"));

    let guard = server.app.guard.clone();
    let flushed = tokio::task::spawn_blocking(move || guard.audit().flush(LONG));
    flushed.await.expect("written");
    let text = std::fs::read_to_string(&path).expect("the audit file");
    let line: Value = serde_json::from_str(text.trim()).expect("one line");
    assert_eq!(line["task"], task["id"]);
    assert_eq!(line["kind"], "generate");
    assert!(line.get("request").is_none());
}
