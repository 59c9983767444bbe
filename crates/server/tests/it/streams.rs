//! Tasks while they happen.

use futures_util::{SinkExt, StreamExt};
use partita_engine::Options;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{LONG, Server, header, problem, send};

/// `(id, event, data)` of a whole stream.
pub fn events(text: &str) -> Vec<(u64, String, Value)> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim_start().to_owned()
    };
    let blocks = text.split("\n\n").filter(|block| block.contains("event:"));
    let event = |block: &str| {
        let data = serde_json::from_str(&field(block, "data:")).expect("JSON");
        (field(block, "id:").parse().expect("a number"), field(block, "event:"), data)
    };
    blocks.map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_melody_arrives_bar_by_bar_while_it_is_written() {
    let server = Server::start().await;
    let body = json!({"model": "melody", "bars": 16, "seed": 3, "chords": "C | F | G7 | Am"});
    let text = send(server.post("/api/v1/stream").json(&body)).await.text().await.expect("events");
    let all = events(&text);
    let told: Vec<&Value> =
        all.iter().filter(|(_, name, _)| name == "notes").map(|(.., data)| data).collect();
    let bars: Vec<u64> = told.iter().map(|data| data["bar"].as_u64().expect("a bar")).collect();
    assert_eq!(bars, (0..16).collect::<Vec<_>>());
    let notes = told.iter().flat_map(|data| data["notes"].as_array().expect("notes").clone());
    let task = &all.last().expect("one").2;
    assert_eq!(json!(notes.collect::<Vec<_>>()), task["result"]["notes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_arrive_bar_by_bar_and_a_stream_resumes() {
    let server = Server::start().await;
    let response = send(server.post("/api/v1/stream").json(&json!({"bars": 4, "seed": 3}))).await;
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    let place = header(&response, "content-location");
    let text = response.text().await.expect("events");
    assert!(text.contains("retry: 2000"), "{text}");
    let all = events(&text);
    let names: Vec<&str> = all.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(
        (names[0], names[1], *names.last().expect("one")),
        ("queued", "started", "complete"),
        "{names:?}"
    );
    let told: usize = all
        .iter()
        .filter(|(_, name, _)| name == "notes")
        .map(|(_, _, data)| data["notes"].as_array().expect("notes").len())
        .sum();
    let task = &all.last().expect("one").2;
    assert_eq!(told, task["result"]["notes"].as_array().expect("notes").len());
    assert!(names.iter().filter(|name| **name == "notes").count() >= 4, "{names:?}");
    assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));
    // From the middle on, by either way of saying where.
    let path = format!("{place}/events");
    let middle = all[2].0;
    let rest = send(server.get(&path).header("last-event-id", middle.to_string()))
        .await
        .text()
        .await
        .expect("events");
    assert_eq!(events(&rest), all[3..]);
    let rest = send(server.get(&format!("{path}?after={middle}"))).await.text().await.expect("events");
    assert_eq!(events(&rest), all[3..]);
    for after in ["-1", "9007199254740992", "x"] {
        let wrong = problem(server.get(&format!("{path}?after={after}")), 422, "invalid-request").await;
        assert_eq!(wrong["errors"][0]["pointer"], "after");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_limited() {
    let server = Server::start_with(|config| config.limits.max_streams = 0, Options::default()).await;
    let task = server.complete("/api/v1/generate", json!({"bars": 1})).await;
    let path = task["links"]["events"].as_str().expect("a link");
    problem(server.get(path), 503, "too-many-streams").await;
    let response = send(server.get(path)).await;
    assert!(!header(&response, "retry-after").is_empty());
}

/// Waits until so many streams are open.
async fn open_streams(server: &Server, count: usize) {
    let begun = std::time::Instant::now();
    while server.app.streams.open() != count {
        assert!(begun.elapsed() < LONG, "{} streams are open, not {count}", server.app.streams.open());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gives_its_place_back_however_it_ends_and_a_refusal_takes_none() {
    let server = Server::start_endless_with(|config| config.limits.max_streams = 2).await;
    let task = server.task("/api/v1/generate", &json!({})).await;
    let path = task["links"]["events"].as_str().expect("a link").to_owned();
    let absent = format!("/api/v1/tasks/tsk_{}/events", "0".repeat(26));
    for _ in 0..5 {
        problem(server.get(&absent), 404, "not-found").await;
        problem(server.post("/api/v1/stream").json(&json!({"bars": 0})), 422, "invalid-request").await;
        problem(server.get("/api/v1/stream"), 426, "upgrade-required").await;
    }
    open_streams(&server, 0).await;
    // Clients that hang up.
    let (events, socket) = (send(server.get(&path)).await, open(&server).await);
    open_streams(&server, 2).await;
    for _ in 0..5 {
        problem(server.get(&path), 503, "too-many-streams").await;
        problem(server.post("/api/v1/stream").json(&json!({})), 503, "too-many-streams").await;
    }
    drop((events, socket));
    open_streams(&server, 0).await;
    // The end of the task.
    let streams = [send(server.get(&path)).await, send(server.get(&path)).await];
    open_streams(&server, 2).await;
    server.answer(server.http.delete(server.url(path.trim_end_matches("/events")))).await;
    for stream in streams {
        stream.text().await.expect("events");
    }
    open_streams(&server, 0).await;
}

pub type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub async fn open(server: &Server) -> Socket {
    let url = format!("ws://{}/api/v1/stream", server.address);
    tokio_tungstenite::connect_async(url).await.expect("a socket").0
}

pub async fn say(socket: &mut Socket, op: &Value) {
    socket.send(Message::text(op.to_string())).await.expect("sent");
}

/// The next event called one of `names`.
pub async fn hear(socket: &mut Socket, names: &[&str]) -> Value {
    let listen = async {
        loop {
            let Message::Text(text) = socket.next().await.expect("open").expect("a message") else {
                continue;
            };
            let event: Value = serde_json::from_str(&text).expect("JSON");
            if names.iter().any(|name| event["event"] == *name) {
                return event;
            }
        }
    };
    tokio::time::timeout(LONG, listen).await.expect("an event in time")
}

/// The code that the server closes with; `None` if it ends without a word.
async fn closed(socket: &mut Socket) -> Option<u16> {
    let end = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    tokio::time::timeout(LONG, end).await.expect("it closes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_makes_music_and_survives_nonsense() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    for nonsense in ["", "{", "[]", "{\"op\":\"dance\"}", "{\"op\":\"cancel\",\"id\":\"x\"}"] {
        socket.send(Message::text(nonsense)).await.expect("sent");
        let event = hear(&mut socket, &["error"]).await;
        assert!(event["problem"]["status"].as_u64().expect("a status") >= 400, "{event}");
    }
    say(&mut socket, &json!({"op": "generate", "ref": "b", "body": {"barz": 1}})).await;
    let event = hear(&mut socket, &["error"]).await;
    assert_eq!(
        (&event["ref"], &event["problem"]["errors"][0]["pointer"]),
        (&json!("b"), &json!("#/body/barz"))
    );
    say(&mut socket, &json!({"op": "ping", "ref": "p"})).await;
    assert_eq!(hear(&mut socket, &["pong"]).await["ref"], "p");
    say(&mut socket, &json!({"op": "generate", "ref": "a", "body": {"bars": 2, "seed": 1}})).await;
    let accepted = hear(&mut socket, &["accepted"]).await;
    assert_eq!(accepted["ref"], "a");
    let notes = hear(&mut socket, &["notes"]).await;
    assert_eq!((&notes["id"], &notes["ref"]), (&accepted["id"], &json!("a")));
    let end = hear(&mut socket, &["complete"]).await;
    assert_eq!(end["data"]["status"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_closes_cancels_what_it_made_unless_detached() {
    let server = Server::start_endless().await;
    let mut socket = open(&server).await;
    say(&mut socket, &json!({"op": "generate", "body": {}})).await;
    let mine = hear(&mut socket, &["accepted"]).await["id"].as_str().expect("an id").to_owned();
    say(&mut socket, &json!({"op": "generate", "body": {}, "detach": true})).await;
    let left = hear(&mut socket, &["accepted"]).await["id"].as_str().expect("an id").to_owned();
    drop(socket);
    let path = format!("/api/v1/tasks/{mine}");
    let (_, task) = server.answer(server.get(&path).header("prefer", "wait=30")).await;
    assert_eq!(task["status"], "cancelled");
    let (_, task) = server.answer(server.get(&format!("/api/v1/tasks/{left}"))).await;
    assert_eq!(task["done"], false, "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_changed_and_cancelled_over_a_socket() {
    let server = Server::start_endless().await;
    let mut socket = open(&server).await;
    say(&mut socket, &json!({"op": "generate", "body": {}})).await;
    let id = hear(&mut socket, &["started"]).await["id"].clone();
    say(&mut socket, &json!({"op": "update", "ref": "u", "id": id, "temperature": 0.9})).await;
    let event = hear(&mut socket, &["updated", "error"]).await;
    assert_eq!((&event["event"], &event["ref"]), (&json!("updated"), &json!("u")), "{event}");
    say(&mut socket, &json!({"op": "update", "id": id, "temperature": 9})).await;
    assert_eq!(hear(&mut socket, &["updated", "error"]).await["event"], "error");
    say(&mut socket, &json!({"op": "cancel", "id": id})).await;
    hear(&mut socket, &["cancelling"]).await;
    assert_eq!(hear(&mut socket, &["cancelled"]).await["data"]["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_get_is_told_to_upgrade() {
    let server = Server::start().await;
    problem(server.get("/api/v1/stream"), 426, "upgrade-required").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_events_arrives_whole_and_in_order_by_either_way() {
    let server = Server::start().await;
    let body = json!({"bars": 32, "variations": 24, "seed": 1});
    server.complete("/api/v1/generate", body.clone()).await;
    let text = send(server.post("/api/v1/stream").json(&body)).await.text().await.expect("events");
    let all = events(&text);
    assert_eq!(all.last().expect("one").1, "complete");
    let notes = all.iter().filter(|(_, name, _)| name == "notes").count();
    assert_eq!(notes, 32 * 24);
    assert!(all.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    let progress = all.iter().filter(|(_, name, _)| name == "progress");
    assert!(progress.clone().all(|(_, _, data)| data["progress"].is_number() && data["fraction"].is_null()));

    let mut socket = open(&server).await;
    say(&mut socket, &json!({"op": "generate", "body": body})).await;
    let (mut last, mut notes) = (0, 0);
    loop {
        let event = hear(&mut socket, &["queued", "started", "progress", "notes", "complete"]).await;
        let sequence = event["sequence"].as_u64().expect("a number");
        assert_eq!(sequence, last + 1, "{event}");
        last = sequence;
        notes += usize::from(event["event"] == "notes");
        if event["event"] == "complete" {
            break;
        }
        // A reader that is slower than the server.
        if notes.is_multiple_of(50) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    assert_eq!(notes, 32 * 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_say_where_they_are_wrong_and_bring_their_own_idempotency_key() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    for (op, pointer) in [
        (json!({"op": "cancel"}), "#/id"),
        (json!({"op": "cancel", "id": 7}), "#/id"),
        (json!({"op": "cancel", "id": "x", "now": true}), "#/now"),
        (json!({"op": "generate", "boddy": {}}), "#/boddy"),
        (json!({"op": "generate", "body": {"tempo": 900}}), "#/body/tempo"),
        (json!({"op": "generate", "body": []}), "#/body"),
        (json!({"op": "generate", "idempotency_key": "a b"}), "#/idempotency_key"),
        (json!({"op": "ping", "x": 1}), "#/x"),
        (json!({"op": "dance"}), "#/op"),
        (json!({}), "#/op"),
    ] {
        say(&mut socket, &op).await;
        let event = hear(&mut socket, &["error", "accepted", "pong"]).await;
        assert_eq!(event["problem"]["errors"][0]["pointer"], pointer, "{op}: {event}");
    }
    let mut ids = vec![];
    for key in ["a", "a", "b"] {
        let body = json!({"bars": 1, "seed": 1});
        say(&mut socket, &json!({"op": "generate", "idempotency_key": key, "body": body})).await;
        ids.push(hear(&mut socket, &["accepted", "error"]).await["id"].clone());
        hear(&mut socket, &["complete"]).await;
    }
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_loses_its_open_streams() {
    let pace = partita_server::app::Pace {
        check: std::time::Duration::from_millis(200),
        ..partita_server::app::Pace::default()
    };
    let server = Server::start_endless_at(pace).await;
    let (mut key, secret) = partita_queue::ApiKey::create("test", partita_queue::Role::User, 0, None);
    server.app.engine.queue().put_key(&key).await.expect("stored");
    let bearer = format!("Bearer {}", secret.reveal());
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
        format!("ws://{}/api/v1/stream", server.address),
    )
    .expect("a request");
    request.headers_mut().insert("authorization", bearer.parse().expect("a header"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a socket");
    say(&mut socket, &json!({"op": "generate", "body": {}, "detach": true})).await;
    let id = hear(&mut socket, &["started"]).await["id"].as_str().expect("an id").to_owned();
    let watch = server.get(&format!("/api/v1/tasks/{id}/events")).header("authorization", &bearer);
    let watch = send(watch).await;
    assert_eq!(watch.status(), 200);
    key.revoked_at = Some(1);
    server.app.engine.queue().put_key(&key).await.expect("stored");
    let ends = async {
        assert_eq!(closed(&mut socket).await, Some(1008));
        watch.text().await.expect("the stream ends");
    };
    tokio::time::timeout(LONG, ends).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_socket_closes_and_a_dead_one_takes_its_task_along() {
    let short = std::time::Duration::from_millis(200);
    let pace = partita_server::app::Pace {
        heartbeat: short,
        check: short,
        idle: 2 * short,
        ..partita_server::app::Pace::default()
    };
    let server = Server::start_endless_at(pace).await;
    let mut idle = open(&server).await;
    assert_eq!(closed(&mut idle).await, Some(1000));
    // One that is never read answers no ping.
    let mut dead = open(&server).await;
    say(&mut dead, &json!({"op": "generate", "body": {}})).await;
    let id = hear(&mut dead, &["accepted"]).await["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/tasks/{id}");
    let (_, task) = server.answer(server.get(&path).header("prefer", "wait=30")).await;
    assert_eq!(task["status"], "cancelled");
    drop(dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_takes_no_tasks_and_still_answers_about_those_it_has() {
    let server = Server::start_endless().await;
    let task = server.task("/api/v1/generate", &json!({})).await;
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().expect("an id"));
    let watch = send(server.get(&format!("{path}/events"))).await;
    server.app.closing.cancel();
    problem(server.post("/api/v1/generate").json(&json!({})), 503, "draining").await;
    let refused = send(server.post("/api/v1/stream").json(&json!({}))).await;
    assert!(refused.status() == 503 && !header(&refused, "retry-after").is_empty());
    assert_eq!(server.answer(server.get(&path)).await.0, 200);
    assert_eq!(server.answer(server.http.delete(server.url(&path))).await.0, 200);
    let all = events(&tokio::time::timeout(LONG, watch.text()).await.expect("in time").expect("events"));
    assert_eq!(all.last().expect("one").1, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_its_client_closes_is_closed_with_the_same_code() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    say(&mut socket, &json!({"op": "generate", "body": {"bars": 1}})).await;
    hear(&mut socket, &["complete"]).await;
    socket.close(Some(frame(1000))).await.expect("sent");
    assert_eq!(closed(&mut socket).await, Some(1000));
}

fn frame(code: u16) -> tokio_tungstenite::tungstenite::protocol::CloseFrame {
    tokio_tungstenite::tungstenite::protocol::CloseFrame { code: code.into(), reason: "".into() }
}

/// The bytes of a frame as a client sends it, under a mask of zeros.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_closes_a_socket_with_the_code_that_says_why() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start().await;
    let large = vec![b'x'; 24 << 20];
    for (bytes, code) in [
        (raw(0x81, b"{\"op\":\"\xff\"}"), 1007),
        // Far more than fits into the buffers on the way: it is sent to its end before the answer is read.
        (raw(0x81, &large), 1009),
        // In two frames that fit, and together do not.
        ([raw(0x01, &large[..600_000]), raw(0x80, &large[..600_000])].concat(), 1009),
        // An operation code that does not exist.
        (raw(0x83, b"x"), 1002),
    ] {
        let mut socket = open(&server).await;
        let tokio_tungstenite::MaybeTlsStream::Plain(stream) = socket.get_mut() else {
            panic!("no TLS here")
        };
        stream.write_all(&bytes).await.expect("sent");
        assert_eq!(closed(&mut socket).await, Some(code));
    }
    let mut socket = open(&server).await;
    for text in ["{", "5", "[]", "\u{0}"] {
        socket.send(Message::text(text)).await.expect("sent");
        hear(&mut socket, &["error"]).await;
    }
    say(&mut socket, &json!({"op": "ping"})).await;
    hear(&mut socket, &["pong"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_parts_says_so_after_the_last_event_and_waits_until_it_is_heard() {
    let server = Server::start_endless().await;
    let mut socket = open(&server).await;
    say(&mut socket, &json!({"op": "generate", "body": {}})).await;
    let id = hear(&mut socket, &["started"]).await["id"].as_str().expect("an id").to_owned();
    server.app.parting.cancel();
    assert_eq!(closed(&mut socket).await, Some(1001));
    tokio::time::timeout(LONG, server.app.streams.ended()).await.expect("no stream is left");
    let (_, task) = server.answer(server.get(&format!("/api/v1/tasks/{id}"))).await;
    assert_eq!(task["done"], false, "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_of_another_type_is_told_what_came() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    for (op, pointer, got) in [
        (json!({"op": 5}), "#/op", "got 5"),
        (json!({"op": null}), "#/op", "got null"),
        (json!({"op": ["ping"]}), "#/op", "got a list"),
        (json!({"op": {}}), "#/op", "got an object"),
        (json!({"op": "dance"}), "#/op", "got \"dance\""),
        (json!("ping"), "#", "got \"ping\""),
        (json!({}), "#/op", "is missing"),
    ] {
        say(&mut socket, &op).await;
        let error = hear(&mut socket, &["error", "pong"]).await["problem"]["errors"][0].clone();
        assert_eq!(error["pointer"], pointer, "{op}: {error}");
        assert!(error["detail"].as_str().is_some_and(|detail| detail.ends_with(got)), "{op}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_comes_too_late_is_not_said_to_be_made() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use partita_engine::family::{Made, Report};

    // Ends when it is told to; takes changes only where its request has a seed of 1.
    let end = Arc::new(AtomicBool::new(false));
    let told = end.clone();
    let player = move |request: &partita_engine::Request,
                       _: Option<&partita_engine::family::Model>,
                       _: &std::collections::HashMap<String, Vec<u8>>,
                       report: &mut dyn Report|
          -> Result<Made, partita_engine::Fault> {
        let takes = serde_json::to_value(request).expect("JSON")["body"]["seed"] == 1;
        loop {
            let took = takes && report.sampling().is_some();
            if took || !takes && told.load(Ordering::Acquire) {
                return Ok(Made::default());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    let options = Options { player: Some(Arc::new(player)), ..Options::default() };
    let pace = partita_server::app::Pace { change: LONG, ..partita_server::app::Pace::default() };
    let server = Server::start_at(|config| config.server.sync_wait = 0.0, options, pace).await;
    let mut socket = open(&server).await;
    let mut change = async |seed: u64| {
        say(&mut socket, &json!({"op": "generate", "body": {"seed": seed}})).await;
        let id = hear(&mut socket, &["started"]).await["id"].clone();
        say(&mut socket, &json!({"op": "update", "ref": "u", "id": id, "temperature": 0.5})).await;
        // Operations are done in their order.
        say(&mut socket, &json!({"op": "ping"})).await;
        hear(&mut socket, &["pong"]).await;
        if seed != 1 {
            end.store(true, Ordering::Release);
        }
        let first = hear(&mut socket, &["updated", "error"]).await;
        assert_eq!(first["ref"], "u");
        say(&mut socket, &json!({"op": "update", "ref": "u", "id": id, "temperature": 0.5})).await;
        [first, hear(&mut socket, &["updated", "error"]).await]
    };
    let [first, after] = change(1).await;
    assert_eq!(first["event"], "updated", "{first}");
    assert!(after["problem"]["detail"].as_str().is_some_and(|detail| detail.contains("finished")), "{after}");
    for late in change(2).await {
        assert_eq!((&late["event"], &late["problem"]["status"]), (&json!("error"), &json!(409)), "{late}");
        assert!(
            late["problem"]["detail"].as_str().is_some_and(|detail| detail.contains("finished")),
            "{late}"
        );
    }
}
