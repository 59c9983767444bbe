//! The server itself, its models, and its description.

use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::{Server, header, problem, send};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_how_it_is() {
    let server = Server::start().await;
    assert_eq!(server.answer(server.get("/health")).await.1["status"], "ok");
    assert_eq!(server.answer(server.get("/health/live")).await.0, 200);
    server.complete("/api/v1/generate", json!({"bars": 1})).await;
    assert_eq!(server.answer(server.get("/health/ready")).await.0, 200);
    let (_, status) = server.answer(server.get("/api/v1/status")).await;
    assert!(status["uptime"].is_number() && status["queue"]["queued"].is_object(), "{status}");
    let (_, config) = server.answer(server.get("/api/v1/config")).await;
    assert_eq!(config["server"]["port"], 8000);
    assert_eq!(server.answer(server.post("/api/v1/maintenance/cleanup")).await.0, 200);
    assert_eq!(server.answer(server.post("/api/v1/config/reload")).await.0, 200);
    server.app.closing.cancel();
    problem(server.get("/health/ready"), 503, "draining").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_come_and_go() {
    let server = Server::start().await;
    let body = json!({"model_name": "drums"});
    let (status, info) = server.answer(server.post("/api/v1/models/load").json(&body)).await;
    assert_eq!((status, &info["loaded"]), (200, &json!(true)), "{info}");
    let (_, list) = server.answer(server.get("/api/v1/models?loaded=true&kind=drums")).await;
    assert_eq!(list["data"][0]["name"], "drums");
    let (status, _) = server.answer(server.post("/api/v1/models/unload").json(&body)).await;
    assert_eq!(status, 200);
    assert_eq!(server.answer(server.get("/api/v1/models/drums")).await.1["name"], "drums");
    problem(server.get("/api/v1/models/nope"), 404, "unknown-model").await;
    problem(server.post("/api/v1/models/load").json(&json!({"model_name": "nope"})), 404, "unknown-model")
        .await;
    problem(server.post("/api/v1/models/load").json(&json!({})), 422, "invalid-request").await;
    problem(server.http.delete(server.url("/api/v1/models/drums")), 409, "conflict").await;
    let (_, styles) = server.answer(server.get("/api/v1/styles")).await;
    let names: Vec<&Value> =
        styles["data"].as_array().expect("styles").iter().map(|style| &style["name"]).collect();
    assert!(names.contains(&&json!("funk")) && names.contains(&&json!("boom-bap")), "{names:?}");
    let (_, openai) = server.answer(server.get("/v1/models")).await;
    assert_eq!((&openai["object"], &openai["data"][0]["object"]), (&json!("list"), &json!("model")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_work_without_the_network() {
    let server = Server::start().await;
    let page = send(server.get("/docs")).await;
    assert!(header(&page, "content-security-policy").contains("script-src 'self'"));
    let text = page.text().await.expect("a page");
    assert!(!text.contains("https://") && text.contains("swagger-ui"), "{text}");
    for file in ["swagger-ui-bundle.js", "swagger-initializer.js", "swagger-ui.css"] {
        assert_eq!(send(server.get(&format!("/docs/{file}"))).await.status(), 200, "{file}");
    }
    let script = send(server.get("/docs/swagger-initializer.js")).await.text().await.expect("a script");
    assert!(script.contains("/api/v1/openapi.json"));
    problem(server.get("/docs/nothing.js"), 404, "not-found").await;
    let (_, kind) = server.answer(server.get("/problems/queue-full")).await;
    assert_eq!(kind["status"], 503);
    let text = send(server.get("/problems/queue-full").header("accept", "text/html"))
        .await
        .text()
        .await
        .expect("text");
    assert!(text.starts_with("Queue full (503)"));
    problem(server.get("/problems/none"), 404, "not-found").await;
}

#[test]
fn the_committed_description_is_the_servers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../api/openapi.json");
    let text = partita_server::openapi::text();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, &text).expect("written");
    }
    // As values: the order of keys hangs on which features of the JSON library other crates turn on.
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(read(&committed) == read(&text), "api/openapi.json is out of date; UPDATE_GOLDEN=1 rewrites it");
}
