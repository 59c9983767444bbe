//! The guard around a small router, as requests see it.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use partita_engine::config::Sources;
use partita_queue::sqlite::Sqlite;
use partita_queue::{ApiKey, Limits};
use serde_json::Value;

use super::*;
use crate::problem;

struct Site {
    router: Router,
    queue: Arc<dyn Queue>,
}

/// A router with a route for each role, behind the guard, with this configuration.
fn site(flags: &[(&str, &str)]) -> Site {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let live = Arc::new(Live::open(Sources { flags, ..Sources::default() }).expect("a configuration"));
    let queue: Arc<dyn Queue> = Arc::new(Sqlite::in_memory(Limits::default()).expect("a queue"));
    let guard = Guard::over(live, queue.clone());
    let who = async |caller: Caller| caller.owner().unwrap_or_else(|| "nobody".into());
    let router = Router::new()
        .route("/open", get(async || "open"))
        .route("/viewer", get(who).route_layer(guard.need(Need::VIEWER)))
        .route("/user", get(who).post(who).route_layer(guard.need(Need::USER)))
        .route("/admin", get(who).route_layer(guard.need(Need::ADMIN)))
        .route("/task", post(who).route_layer(guard.need(Need::TASK)))
        .route("/json", get(async || axum::Json(1)))
        .route("/docs", get(async || axum::response::Html("x")));
    Site { router: surround(router, &guard).layer(from_fn(problem::finish)), queue }
}

impl Site {
    async fn key(&self, role: Role, change: impl FnOnce(&mut ApiKey)) -> (String, String) {
        let (mut key, secret) = ApiKey::create("test", role, 0, None);
        change(&mut key);
        self.queue.put_key(&key).await.expect("stored");
        (key.id, secret.reveal().to_owned())
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send_from([192, 0, 2, 1], method, path, headers).await
    }

    async fn send_from(&self, from: [u8; 4], method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8000");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((from, 40_000))));
        tower::ServiceExt::oneshot(self.router.clone(), request).await.expect("an answer")
    }

    async fn status(&self, path: &str, key: &str) -> u16 {
        self.send("GET", path, &[("x-api-key", key)]).await.status().as_u16()
    }
}

async fn problem_of(response: Response) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn loopback_without_keys_is_open_and_a_key_closes_it() {
    let site = site(&[]);
    assert_eq!(site.send("GET", "/admin", &[]).await.status(), StatusCode::OK);
    let site = self::site(&[]);
    site.key(Role::Viewer, |_| {}).await;
    let refused = site.send("GET", "/viewer", &[]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"partita\"");
    assert_eq!(problem_of(refused).await["code"], "unauthorized");
}

#[tokio::test]
async fn a_public_address_is_closed_without_keys() {
    assert_eq!(site(&[("server.host", "0.0.0.0")]).send("GET", "/viewer", &[]).await.status(), 401);
    assert_eq!(site(&[("auth.keys", "always")]).send("GET", "/viewer", &[]).await.status(), 401);
    assert_eq!(site(&[("auth.keys", "never")]).send("GET", "/admin", &[]).await.status(), 200);
    let never = [("auth.keys", "never"), ("server.host", "0.0.0.0")];
    assert_eq!(site(&never).send("GET", "/viewer", &[]).await.status(), 401);
    let told = [never[0], never[1], ("server.insecure", "true")];
    assert_eq!(site(&told).send("GET", "/admin", &[]).await.status(), 200);
    let insecure = site(&[("server.host", "0.0.0.0"), ("server.insecure", "true")]);
    assert_eq!(insecure.send("GET", "/viewer", &[]).await.status(), 200);
}

#[tokio::test]
async fn the_end_of_the_last_key_opens_nothing() {
    for insecure in [false, true] {
        let flags = [("server.host", "0.0.0.0"), ("server.insecure", "true")];
        let site = site(if insecure { &flags } else { &[] });
        site.key(Role::Admin, |key| key.expires_at = Some(1)).await;
        site.key(Role::User, |key| key.revoked_at = Some(1)).await;
        for path in ["/viewer", "/user", "/admin"] {
            assert_eq!(site.send("GET", path, &[]).await.status(), 401, "{path} {insecure}");
        }
    }
}

#[tokio::test]
async fn each_role_includes_the_ones_before() {
    let site = site(&[]);
    let paths = ["/viewer", "/user", "/admin"];
    for (role, expected) in
        [(Role::Viewer, [200, 403, 403]), (Role::User, [200, 200, 403]), (Role::Admin, [200, 200, 200])]
    {
        let (_, key) = site.key(role, |_| {}).await;
        for (path, expected) in paths.iter().zip(expected) {
            assert_eq!(site.status(path, &key).await, expected, "{role:?} {path}");
        }
    }
    let (_, key) = site.key(Role::User, |_| {}).await;
    let refused = problem_of(site.send("GET", "/admin", &[("x-api-key", &key)]).await).await;
    assert_eq!(refused["detail"], "this needs a key of role admin, got user");
}

#[tokio::test]
async fn keys_that_do_not_open_are_told_apart_from_none_and_from_nothing_else() {
    let site = site(&[]);
    let (id, key) = site.key(Role::Admin, |_| {}).await;
    let (_, expired) = site.key(Role::Admin, |key| key.expires_at = Some(1)).await;
    let (_, revoked) = site.key(Role::Admin, |key| key.revoked_at = Some(1)).await;
    let other = format!("pt_{id}_{}", "0".repeat(64));
    let unknown = format!("pt_{}_{}", "0".repeat(16), "0".repeat(64));
    let mut details = vec![];
    for wrong in [&expired, &revoked, &other, &unknown, &"hunter2".to_owned(), &String::new()] {
        let refused = site.send("GET", "/viewer", &[("x-api-key", wrong)]).await;
        assert_eq!(refused.status(), 401, "{wrong}");
        let challenge = &refused.headers()[header::WWW_AUTHENTICATE];
        assert_eq!(challenge, "Bearer realm=\"partita\", error=\"invalid_token\"");
        details.push(problem_of(refused).await["detail"].clone());
    }
    assert!(details.iter().all(|detail| *detail == details[0]));
    let bearer = format!("Bearer {key}");
    let answer = site.send("GET", "/viewer", &[("authorization", &bearer)]).await;
    let body = axum::body::to_bytes(answer.into_body(), 100).await.expect("a body");
    assert_eq!(&body[..], id.as_bytes());
}

#[tokio::test]
async fn guessing_is_slowed_down_without_locking_out_a_key_in_use() {
    let site = site(&[]);
    let (_, key) = site.key(Role::User, |_| {}).await;
    assert_eq!(site.status("/viewer", &key).await, 200);
    let guess = format!("pt_{}_{}", "0".repeat(16), "0".repeat(64));
    let mut answers = vec![];
    for _ in 0..25 {
        answers.push(site.status("/viewer", &guess).await);
    }
    assert_eq!(answers[..20], [401; 20]);
    assert_eq!(answers[24], 429);
    assert_eq!(site.status("/viewer", &key).await, 200);
    // One that nobody has seen yet neither.
    let (_, new) = site.key(Role::User, |_| {}).await;
    assert_eq!(site.status("/viewer", &new).await, 200);
    let elsewhere = site.send_from([192, 0, 2, 2], "GET", "/viewer", &[("x-api-key", &guess)]).await;
    assert_eq!(elsewhere.status(), 401);
}

#[tokio::test]
async fn a_revoked_key_stops_within_seconds() {
    let site = site(&[("auth.keys", "always")]);
    let (mut key, secret) = ApiKey::create("test", Role::User, 0, None);
    site.queue.put_key(&key).await.expect("stored");
    assert_eq!(site.status("/viewer", secret.reveal()).await, 200);
    key.revoked_at = Some(1);
    site.queue.put_key(&key).await.expect("stored");
    let started = std::time::Instant::now();
    while site.status("/viewer", secret.reveal()).await == 200 {
        assert!(started.elapsed().as_secs() < 5, "still believed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tasks_are_counted_and_the_answer_tells() {
    let site = site(&[("limits.tasks_per_hour", "2"), ("auth.keys", "always")]);
    let (_, key) = site.key(Role::User, |_| {}).await;
    let headers = [("x-api-key", key.as_str())];
    let first = site.send("POST", "/task", &headers).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["ratelimit-policy"], "\"tasks-per-key\";q=2;w=3600");
    assert_eq!(first.headers()["ratelimit"], "\"tasks-per-key\";r=1;t=1800");
    assert_eq!(site.send("POST", "/task", &headers).await.status(), 200);
    let refused = site.send("POST", "/task", &headers).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1790..=1800).contains(&wait), "{wait}");
    assert!(refused.headers().contains_key("ratelimit"));
    let problem = problem_of(refused).await;
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"][0], "tasks-per-key");
    // What makes no task is not counted.
    assert_eq!(site.send("POST", "/user", &headers).await.status(), 200);
    let (_, unlimited) = site.key(Role::User, |key| key.hourly_limit = Some(0)).await;
    let free = site.send("POST", "/task", &[("x-api-key", &unlimited)]).await;
    assert!(free.status() == 200 && !free.headers().contains_key("ratelimit"));
}

#[tokio::test]
async fn names_of_others_are_misdirected() {
    let site = site(&[("server.allowed_hosts", "[music.example]")]);
    let status = async |host: &str| site.send("GET", "/open", &[("host", host)]).await.status().as_u16();
    for host in ["localhost", "127.0.0.1:8000", "[::1]:8000", "music.example:8000"] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    assert_eq!(status("evil.example").await, 421);
    assert_eq!(status("a b").await, 400);
}

#[tokio::test]
async fn pages_of_others_may_neither_read_nor_write() {
    let site = site(&[("server.cors_origins", "['https://studio.example']")]);
    let evil = [("origin", "https://evil.example")];
    let read = site.send("GET", "/open", &evil).await;
    assert!(!read.headers().contains_key("access-control-allow-origin"));
    assert_eq!(site.send("POST", "/user", &evil).await.status(), 403);
    let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    let refused = site.send("OPTIONS", "/user", &preflight).await;
    assert!(!refused.headers().contains_key("access-control-allow-origin"));

    let friend = [("origin", "https://studio.example"), ("access-control-request-method", "POST")];
    let allowed = site.send("OPTIONS", "/user", &friend).await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://studio.example");
    assert!(allowed.headers()["access-control-allow-methods"].to_str().expect("text").contains("POST"));
    assert!(!allowed.headers().contains_key("access-control-allow-credentials"));
    let written = site.send("POST", "/user", &friend[..1]).await;
    assert_eq!(written.status(), 200);
    assert_eq!(written.headers()["vary"], "origin");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let site = site(&[]);
    for (path, headers) in
        [("/open", vec![]), ("/nowhere", vec![]), ("/open", vec![("host", "evil.example")])]
    {
        let answer = site.send("GET", path, &headers).await;
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        assert!(headers["content-security-policy"].to_str().expect("text").starts_with("default-src 'none'"));
    }
    assert_eq!(site.send("GET", "/json", &[]).await.headers()["cache-control"], "no-store");
    let page = site.send("GET", "/docs", &[]).await;
    let policy = page.headers()["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn an_address_that_is_too_long_and_a_packed_body_are_refused() {
    let site = site(&[]);
    let long = format!("/open?{}", "x".repeat(9000));
    assert_eq!(problem_of(site.send("GET", &long, &[]).await).await["status"], 414);
    for packing in ["gzip", "br", "deflate, gzip"] {
        let refused = site.send("POST", "/user", &[("content-encoding", packing)]).await;
        assert_eq!(problem_of(refused).await["status"], 415, "{packing}");
    }
    assert_eq!(site.send("POST", "/user", &[("content-encoding", "identity")]).await.status(), 200);
}

#[tokio::test]
async fn a_public_address_needs_a_live_key_to_listen_on() {
    let site = site(&[]);
    let mut config = Config::default();
    let check = async |config: &Config| check_bind(config, site.queue.as_ref()).await;
    assert!(check(&config).await.is_ok());
    config.server.host = "0.0.0.0".into();
    let refused = check(&config).await.expect_err("no key").to_string();
    assert!(refused.contains("partita keys create") && refused.contains("0.0.0.0"));
    config.server.insecure = true;
    assert!(check(&config).await.is_ok());
    config.server.insecure = false;
    site.key(Role::User, |key| key.revoked_at = Some(1)).await;
    assert!(check(&config).await.is_err());
    site.key(Role::User, |_| {}).await;
    assert!(check(&config).await.is_ok());
    config.auth.keys = "never".into();
    assert!(check(&config).await.is_err());
}
