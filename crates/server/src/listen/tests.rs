//! Clients that misbehave, over real sockets.

use axum::body::Bytes;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use partita_engine::config::{Config, Live};
use partita_queue::sqlite::Sqlite;
use tokio::task::JoinHandle;

use super::*;
use crate::guard::{Guard, surround};
use crate::problem;

struct Running {
    address: SocketAddr,
    stop: Stop,
    server: JoinHandle<()>,
}

async fn start(change: impl FnOnce(&mut Config, &mut Limits)) -> Running {
    let (mut config, mut limits) = (Config::default(), Limits::default());
    config.server.max_body_mb = 1;
    change(&mut config, &mut limits);
    let queue = Arc::new(Sqlite::in_memory(partita_queue::Limits::default()).expect("a queue"));
    let guard = Guard::over(Arc::new(Live::fixed(config)), queue);
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_millis(300)).await))
        .route("/large", get(async || vec![b'x'; 64 * 1024 * 1024]))
        .route("/events", get(events))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/unread", post(async || "done"));
    let router = surround(router, &guard).layer(from_fn(problem::finish));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = Stop::default();
    let server = tokio::spawn(serve(listener, router, limits, stop.clone()));
    Running { address, stop, server }
}

/// Four events, with longer silence than a client of anything else may keep.
async fn events() -> impl axum::response::IntoResponse {
    let body = futures_util::stream::unfold(0, |count| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (count < 4).then(|| (Ok::<_, std::convert::Infallible>("data: x\n\n"), count + 1))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(body))
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("sent");
        read(&mut stream).await
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut answer = vec![];
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

const HEAD: &str = "Host: localhost\r\nConnection: close\r\n";

#[tokio::test]
async fn a_request_is_answered_and_then_another() {
    let running = start(|_, _| {}).await;
    let first = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = running.exchange(format!("{first}GET / HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let running = start(|_, _| {}).await;
    let mut stream = running.connect().await;
    let head = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.expect("an answer before any of the body");
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_client_that_sends_on_still_reads_the_refusal() {
    let running = start(|_, _| {}).await;
    let mut stream = running.connect().await;
    let head = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let chunk = vec![b'x'; 64 * 1024];
    for _ in 0..160 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.expect("the answer was not reset away");
    assert_eq!(&start, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_chunked_body_is_cut_at_the_limit() {
    let running = start(|_, _| {}).await;
    let mut request =
        format!("POST /length HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..20 {
        request.extend(format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024)).into_bytes());
    }
    request.extend(b"0\r\n\r\n");
    let answer = running.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{}", &answer[..answer.len().min(100)]);
    assert!(answer.contains("application/problem+json"));
}

#[tokio::test]
async fn a_body_just_inside_the_limit_is_taken() {
    let running = start(|_, _| {}).await;
    let head = format!("POST /length HTTP/1.1\r\n{HEAD}Content-Length: 1048576\r\n\r\n");
    let answer = running.exchange(&[head.as_bytes(), &vec![b'x'; 1_048_576]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("1048576"), "{answer}");
}

#[tokio::test]
async fn a_body_that_drips_is_cut() {
    let running = start(|config, _| config.server.body_timeout = 0.3).await;
    let mut stream = running.connect().await;
    let head = "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut start = [0; 12];
    reader.read_exact(&mut start).await.expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 408");
    drip.abort();
}

#[tokio::test]
async fn headers_that_drip_or_never_come_close_the_connection() {
    let running = start(|_, limits| limits.header_timeout = Duration::from_millis(300)).await;
    for start in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let answer = running.exchange(start.as_bytes()).await;
        assert!(!answer.contains("200"), "{answer}");
    }
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let running = start(|_, _| {}).await;
    let exchange = async |headers: &str| {
        running.exchange(format!("GET / HTTP/1.1\r\n{HEAD}{headers}\r\n").as_bytes()).await
    };
    let many = |count: usize| (0..count).map(|i| format!("x-{i}: 1\r\n")).collect::<String>();
    let large = |kib: usize| format!("x-large: {}\r\n", "x".repeat(kib * 1024));
    for fine in [many(90), large(31)] {
        assert!(exchange(&fine).await.starts_with("HTTP/1.1 200"));
    }
    for flood in [many(110), large(48)] {
        let answer = exchange(&flood).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("headers-too-large"),
            "{answer}"
        );
    }
    for flood in [many(300), large(100)] {
        let answer = exchange(&flood).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_missing_host_is_a_bad_request() {
    let running = start(|_, _| {}).await;
    let answer = running.exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let running = start(|_, limits| limits.write_timeout = Duration::from_millis(300)).await;
    let mut stream = running.connect().await;
    stream.write_all(format!("GET /large HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(900)).await;
    let answer = read(&mut stream).await;
    assert!(answer.len() < 60 * 1024 * 1024, "all {} bytes came", answer.len());
}

#[tokio::test]
async fn a_client_that_drips_its_answer_is_cut_and_a_slow_stream_is_not() {
    let running = start(|_, limits| limits.write_timeout = Duration::from_millis(400)).await;
    let mut stream = running.connect().await;
    stream.write_all(format!("GET /large HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).await.expect("sent");
    // Far below 1 KiB/s, and never quiet for long.
    let (started, mut byte) = (Instant::now(), [0; 4]);
    while started.elapsed() < Duration::from_millis(1500) {
        stream.read_exact(&mut byte).await.expect("what waits here");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = read(&mut stream).await;
    assert!(answer.len() < 60 * 1024 * 1024, "all {} bytes came", answer.len());
    let answer = running.exchange(format!("GET /events HTTP/1.1\r\n{HEAD}\r\n").as_bytes()).await;
    assert_eq!(answer.matches("data: x").count(), 4, "{answer}");
}

#[test]
fn one_address_leaves_connections_to_others_and_gives_its_own_back() {
    let all = ByAddress::default();
    let take = |address: &str| Place::take(&all, address.parse().expect("an address"), 2);
    let held = [take("192.0.2.1"), take("::ffff:192.0.2.1")];
    assert!(held.iter().all(Option::is_some) && take("192.0.2.1").is_none());
    assert!(take("192.0.2.2").is_some());
    drop(held);
    assert!(take("192.0.2.1").is_some() && all.lock().expect("no panic held it").is_empty());
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_back() {
    let running = start(|_, limits| limits.connections = 1).await;
    let mut first = running.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut start = [0; 12];
    first.read_exact(&mut start).await.expect("an answer");
    let mut second = running.connect().await;
    assert!(read(&mut second).await.starts_with("HTTP/1.1 503"));
    drop(first);
    let mut tries = 0;
    while !running
        .exchange(format!("GET / HTTP/1.1\r\n{HEAD}\r\n").as_bytes())
        .await
        .starts_with("HTTP/1.1 200")
    {
        tries += 1;
        assert!(tries < 100, "the place is never free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stop_ends_requests_at_work_and_takes_no_more() {
    let running = start(|_, _| {}).await;
    let mut at_work = running.connect().await;
    at_work.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut idle = running.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut start = [0; 12];
    idle.read_exact(&mut start).await.expect("an answer");
    running.stop.stop.cancel();
    assert!(read(&mut at_work).await.starts_with("HTTP/1.1 200"));
    let _ = read(&mut idle).await;
    drop((at_work, idle));
    tokio::time::timeout(Duration::from_secs(10), running.server).await.expect("it ends").expect("well");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn an_abort_cuts_what_does_not_end() {
    let running = start(|_, _| {}).await;
    let mut stuck = running.connect().await;
    stuck
        .write_all(b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        .await
        .expect("sent");
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.stop.stop.cancel();
    running.stop.abort.cancel();
    tokio::time::timeout(Duration::from_secs(10), running.server).await.expect("it ends").expect("well");
}
