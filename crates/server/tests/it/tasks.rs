//! Looking at tasks, cancelling them, and their files.

use serde_json::{Value, json};

use crate::fixture::{Server, header, problem, send};

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_where_they_stopped() {
    let server = Server::start().await;
    for seed in 0..3 {
        server.complete("/api/v1/generate", json!({"bars": 1, "seed": seed})).await;
    }
    let response = send(server.get("/api/v1/tasks?limit=2&status=complete")).await;
    let link = header(&response, "link");
    let first: Value = response.json().await.expect("a list");
    assert_eq!((first["data"].as_array().expect("tasks").len(), &first["has_more"]), (2, &json!(true)));
    assert!(first["data"][0]["result"].is_null() && first["data"][0]["done"] == true);
    let path = link.trim_start_matches('<').split('>').next().expect("a link").to_owned();
    assert!(path.contains(first["next"].as_str().expect("a cursor")) && path.contains("status=complete"));
    let (_, rest) = server.answer(server.get(&path)).await;
    assert_eq!((rest["data"].as_array().expect("tasks").len(), &rest["has_more"]), (1, &json!(false)));
    let (_, none) = server.answer(server.get("/api/v1/tasks?kind=render")).await;
    assert_eq!(none["data"], json!([]));
    for query in ["limit=0", "limit=101", "status=done", "kind=x", "after=x", "page=2"] {
        problem(server.get(&format!("/api/v1/tasks?{query}")), 422, "invalid-request").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_can_be_cancelled() {
    let server = Server::start_endless().await;
    let task = server.task("/api/v1/generate", &json!({})).await;
    let path = task["links"]["cancel"].as_str().expect("a link").to_owned();
    let (status, _) = server.answer(server.http.delete(server.url(&path))).await;
    assert_eq!(status, 200);
    let (_, task) = server.answer(server.get(&path).header("prefer", "wait=30")).await;
    assert_eq!((&task["status"], &task["done"]), (&json!("cancelled"), &json!(true)));
    let alias = path.replace("/tasks/", "/status/");
    assert_eq!(server.answer(server.get(&alias)).await.1["id"], task["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_is_not_found() {
    let server = Server::start().await;
    for id in [
        "x",
        "tsk_",
        "..%2f..%2fetc",
        "tsk_01J0000000000000000000000I",
        "%F0%9F%A5%81",
        "tsk_0000000000000000000000000x",
    ] {
        for path in
            ["/api/v1/tasks/ID", "/api/v1/status/ID", "/api/v1/tasks/ID/events", "/api/v1/tasks/ID/items"]
        {
            problem(server.get(&path.replace("ID", id)), 404, "not-found").await;
        }
        problem(server.get(&format!("/api/v1/download/{id}")), 404, "not-found").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_come_whole_in_part_or_not_at_all() {
    let server = Server::start().await;
    let task = server.complete("/api/v1/generate", json!({"bars": 1, "seed": 1})).await;
    let path = task["midi_path"].as_str().expect("a link");
    let file = &task["result"]["files"][0];
    let whole = send(server.get(path)).await;
    let tag = header(&whole, "etag");
    assert_eq!(tag, format!("\"{}\"", file["sha256"].as_str().expect("a hash")));
    assert_eq!(header(&whole, "x-content-type-options"), "nosniff");
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    let bytes = whole.bytes().await.expect("bytes");
    assert_eq!(bytes.len() as u64, file["bytes"].as_u64().expect("a size"));
    let part = send(server.get(path).header("range", "bytes=-4")).await;
    let length = bytes.len();
    assert_eq!(header(&part, "content-range"), format!("bytes {}-{}/{length}", length - 4, length - 1));
    assert_eq!(
        (part.status().as_u16(), &part.bytes().await.expect("bytes")[..]),
        (206, &bytes[length - 4..])
    );
    let part = send(server.get(path).header("range", "bytes=0-3").header("if-range", "\"old\"")).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.expect("bytes").len()), (200, length));
    let known = send(server.get(path).header("if-none-match", &tag)).await;
    assert_eq!((known.status().as_u16(), known.bytes().await.expect("bytes").len()), (304, 0));
    let head = send(server.http.head(server.url(path))).await;
    assert_eq!(
        (header(&head, "content-length"), head.bytes().await.expect("none").len()),
        (length.to_string(), 0)
    );
    let outside = server.get(path).header("range", "bytes=999999-");
    assert_eq!(header(&send(outside).await, "content-range"), format!("bytes */{length}"));
    problem(server.get(path).header("range", "bytes=999999-"), 416, "range-not-satisfiable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_their_ends_and_only_batches_have_items() {
    let server = Server::start().await;
    let task = server.complete("/api/v1/generate", json!({"bars": 1, "seed": 1})).await;
    let path = task["midi_path"].as_str().expect("a link");
    assert_eq!(send(server.get(&format!("{path}.mid"))).await.status(), 200);
    problem(server.get(&format!("{path}.wav")), 404, "not-found").await;
    let head = send(server.http.head(server.url(path)).header("range", "bytes=0-3")).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-range").as_str()), (200, ""));
    let tag = header(&head, "etag");
    let known = server.get(path).header("if-none-match", "\"x\"").header("if-none-match", tag);
    assert_eq!(send(known).await.status(), 304);
    let items = format!("/api/v1/tasks/{}/items", task["id"].as_str().expect("an id"));
    problem(server.get(&items), 404, "not-found").await;
}
