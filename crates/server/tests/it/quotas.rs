//! What a caller may still ask for, as the headers tell it.

use partita_engine::Options;
use partita_queue::Role;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::fixture::{Server, header, send};

/// A server with ten tasks an hour for each key, and a key.
async fn limited() -> (Server, String) {
    let change = |config: &mut partita_engine::Config| {
        config.limits.tasks_per_hour = 10;
        config.auth.keys = "always".into();
        config.server.sync_wait = 0.0;
    };
    let server = Server::start_with(change, Options { workers: false, ..Options::default() }).await;
    let (_, key) = server.key(Role::User).await;
    (server, key)
}

/// Status, tasks left, seconds to wait, and the body.
async fn ask(request: RequestBuilder) -> (u16, u32, Option<u64>, Value) {
    let response = send(request).await;
    let left =
        header(&response, "ratelimit").split(';').find_map(|part| part.strip_prefix("r=")?.parse().ok());
    let wait = header(&response, "retry-after").parse().ok();
    (response.status().as_u16(), left.expect("a limit"), wait, response.json().await.expect("JSON"))
}

fn batch(server: &Server, key: &str, items: usize) -> RequestBuilder {
    let requests = vec![json!({"style": "funk", "bars": 1}); items];
    server.post("/api/v1/generate/batch").header("x-api-key", key).json(&json!({"requests": requests}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_counts_as_many_tasks_as_it_has_requests() {
    let (server, key) = limited().await;
    let (status, left, ..) = ask(batch(&server, &key, 4)).await;
    assert_eq!((status, left), (202, 6));
    let (status, left, wait, problem) = ask(batch(&server, &key, 7)).await;
    assert_eq!((status, left, &problem["code"]), (429, 6, &json!("rate-limited")), "{problem}");
    assert!(wait.is_some_and(|wait| (300..=360).contains(&wait)), "a tenth of an hour: {wait:?}");
    let lines = "{\"bars\": 1}\n".repeat(7);
    let lines = server.post("/api/v1/generate/batch").header("x-api-key", &key).body(lines);
    let (status, left, ..) = ask(lines.header("content-type", "application/x-ndjson")).await;
    assert_eq!((status, left), (429, 6));
    let (status, left, ..) = ask(batch(&server, &key, 6)).await;
    assert_eq!((status, left), (202, 0));
    let single = server.post("/api/v1/generate").header("x-api-key", &key).json(&json!({"bars": 1}));
    assert_eq!(ask(single).await.0, 429);
    let tasks = server.get("/api/v1/tasks").header("x-api-key", &key);
    assert_eq!(server.answer(tasks).await.1["data"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_makes_no_task_counts_as_one_call() {
    let (server, key) = limited().await;
    let named = |items| batch(&server, &key, items).header("idempotency-key", "again");
    let (status, left, _, first) = ask(named(8)).await;
    assert_eq!((status, left), (202, 2));
    let (status, left, _, again) = ask(named(8)).await;
    assert_eq!((status, left, &again["id"]), (202, 1, &first["id"]));
    let (server, key) = limited().await;
    let wrong = json!({"requests": vec![json!({"style": "polka-metal"}); 5]});
    let wrong = server.post("/api/v1/generate/batch").header("x-api-key", &key).json(&wrong);
    let (status, left, ..) = ask(wrong).await;
    assert_eq!((status, left), (422, 9));
    let (status, left, wait, problem) = ask(batch(&server, &key, 11)).await;
    assert_eq!((status, left, wait), (429, 9, None), "no time helps: {problem}");
    assert!(problem["detail"].as_str().is_some_and(|words| words.contains("send it in parts")), "{problem}");
}
