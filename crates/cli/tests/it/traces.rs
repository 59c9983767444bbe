//! Traces as a collector gets them: a small OTLP receiver listens, and a real server sends to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use serde_json::json;

use crate::run::Place;
use crate::server::{Redis, Server, worker_in};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const VENDORS: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
const TRACE: [u8; 16] = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
const SPAN: [u8; 8] = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();

/// Spans go at the end of the process alone, and no setting of whoever runs the test changes what they say.
const AT_THE_END: [(&str, &str); 4] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
    ("OTEL_SERVICE_NAME", ""),
    ("OTEL_RESOURCE_ATTRIBUTES", ""),
    ("NO_PROXY", "127.0.0.1"),
];

/// What has arrived so far.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ResourceSpans>>>);

impl Collector {
    /// A collector and the argument that makes a server send to it.
    fn start() -> (Collector, String) {
        let collector = Collector::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let kept = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || kept.hear(stream));
            }
        });
        (collector, format!("log.otlp=http://{address}"))
    }

    /// Answers the requests of one connection.
    fn hear(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            let lower = head.to_lowercase();
            assert!(lower.contains("content-type: application/x-protobuf"), "{head}");
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.expect("a length").parse().expect("a number");
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let request = ExportTraceServiceRequest::decode(&body[..]).expect("a request of OTLP");
            self.0.lock().expect("no panic").extend(request.resource_spans);
            // An empty answer is one that accepts all.
            let answer =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            reader.get_mut().write_all(answer).expect("written");
        }
    }

    fn spans(&self) -> Vec<Span> {
        let all = self.0.lock().expect("no panic").clone();
        all.into_iter().flat_map(|one| one.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// What each batch says of its process.
    fn resources(&self) -> Vec<Vec<KeyValue>> {
        let all = self.0.lock().expect("no panic").clone();
        all.into_iter().map(|one| one.resource.expect("a resource").attributes).collect()
    }
}

fn text(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.clone()) {
        Some(AnyValue { value: Some(Any::StringValue(text)) }) => text,
        Some(AnyValue { value: Some(Any::IntValue(number)) }) => number.to_string(),
        _ => String::new(),
    }
}

/// The one span called `name` among those of the caller's trace.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name && span.trace_id == TRACE).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:?}");
    found[0]
}

#[test]
fn a_request_and_the_work_on_its_task_are_one_trace_that_goes_on_from_the_caller() {
    let place = Place::new();
    let (collector, otlp) = Collector::start();
    let more = ["--set", &otlp, "--set", "log.level=info"];
    let mut server = Server::start_in(&place.path("data"), &more, &AT_THE_END);
    let client = server.client();
    let body = json!({"style": "funk", "bars": 2, "seed": 1});
    let headers = [("traceparent", CALLER), ("tracestate", VENDORS)];
    let answer = client.posted("/api/v1/generate", &body, &headers).expect("an answer");
    assert_eq!(answer.status(), 200);
    let request_id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    let task: serde_json::Value = answer.json().expect("a task");
    // One that its caller does not record, one without a caller, one that leads nowhere, and a probe.
    let unsampled = CALLER.replace("-01", "-00").replace("4bf9", "aaaa");
    client.posted("/api/v1/generate", &body, &[("traceparent", &unsampled)]).expect("an answer");
    assert_eq!(client.get("/api/v1/generate/simple?bars=1&seed=77").expect("an answer").0, 200);
    assert_eq!(client.get("/nowhere/77").expect("an answer").0, 404);
    assert_eq!(client.get("/health/ready").expect("an answer").0, 200);
    assert!(!server.log.says("answered").contains("otel."));
    assert!(collector.spans().is_empty());
    assert_eq!(server.process.terminate(), 0);

    let spans = collector.spans();
    let request = only(&spans, "POST /api/v1/generate");
    assert_eq!((&request.parent_span_id[..], request.kind()), (&SPAN[..], SpanKind::Server));
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/api/v1/generate"),
        ("http.response.status_code", "200"),
        ("url.path", "/api/v1/generate"),
        ("request_id", &*request_id),
    ] {
        assert_eq!(text(&request.attributes, name), value, "{name}");
    }
    let work = only(&spans, "task");
    assert_eq!((&work.parent_span_id, work.kind()), (&request.span_id, SpanKind::Consumer));
    for (name, value) in [
        ("task", task["id"].as_str().expect("an id")),
        ("kind", "generate"),
        ("model", task["model"].as_str().expect("a model")),
        ("attempt", "1"),
        ("status", "complete"),
        ("request_id", &request_id),
    ] {
        assert_eq!(text(&work.attributes, name), value, "{name}");
    }
    let queued = only(&spans, "queued");
    assert_eq!(queued.parent_span_id, request.span_id);
    assert!(queued.start_time_unix_nano <= queued.end_time_unix_nano);
    for part in ["load", "generate", "store"] {
        let part = only(&spans, part);
        assert_eq!(part.parent_span_id, work.span_id);
        assert!(work.start_time_unix_nano <= part.start_time_unix_nano);
        assert!(part.end_time_unix_nano <= work.end_time_unix_nano);
    }
    for name in ["POST /api/v1/generate", "queued", "task", "load", "generate", "store"] {
        assert_eq!(only(&spans, name).trace_state, VENDORS, "{name}");
    }
    let generate = only(&spans, "generate");
    assert!(generate.end_time_unix_nano - generate.start_time_unix_nano > 1_000_000, "{generate:?}");

    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let simple = named("GET /api/v1/generate/simple");
    assert!(simple.len() == 1 && simple[0].parent_span_id.is_empty() && simple[0].trace_id != TRACE);
    let lost = named("GET");
    assert_eq!(text(&lost[0].attributes, "http.response.status_code"), "404");
    assert_eq!(lost[0].status.clone().unwrap_or_default().code(), StatusCode::Unset);
    assert_eq!(named("POST /api/v1/generate").len(), 1, "a caller that records nothing is recorded");
    assert!(!spans.iter().any(|span| span.name.contains("health")));
    assert!(!format!("{spans:?}").contains("seed=77"), "a query is recorded");
    for resource in collector.resources() {
        assert_eq!(text(&resource, "service.name"), "partita");
        assert_eq!(text(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_trace_goes_on_in_the_worker_that_does_the_task() {
    let place = Place::new();
    let (collector, otlp) = Collector::start();
    let redis = Redis::start(&place.path("."));
    let files = format!("storage.files={}", place.path("files").display());
    let shared = ["--queue", &redis.url, "--set", &files, "--set", &otlp];
    let serve = [&shared[..], &["--set", "lanes.generation.workers=0"]].concat();
    let mut server = Server::start_in(&place.path("server"), &serve, &AT_THE_END);
    let named = [AT_THE_END[0], ("OTEL_SERVICE_NAME", "drummers"), AT_THE_END[2], AT_THE_END[3]];
    let mut worker = worker_in(&place.path("worker"), &shared, &named);
    let client = server.client();
    let headers = [("traceparent", CALLER), ("tracestate", VENDORS), ("Prefer", "respond-async")];
    let (status, task) =
        client.post("/api/v1/generate", &json!({"style": "funk", "bars": 1}), &headers).expect("an answer");
    assert_eq!(status, 202, "{task}");
    client.finished(task["id"].as_str().expect("an id"));
    assert_eq!((worker.terminate(), server.process.terminate()), (0, 0));
    let spans = collector.spans();
    let (request, work) = (only(&spans, "POST /api/v1/generate"), only(&spans, "task"));
    assert_eq!(work.parent_span_id, request.span_id);
    for name in ["POST /api/v1/generate", "queued", "task", "generate"] {
        assert_eq!(only(&spans, name).trace_state, VENDORS, "{name}");
    }
    let mut names: Vec<String> =
        collector.resources().iter().map(|resource| text(resource, "service.name")).collect();
    names.sort();
    assert_eq!(names, ["drummers", "partita"]);
}

#[test]
fn a_collector_that_is_not_there_is_told_once_and_costs_nothing_else() {
    let place = Place::new();
    // Bound and dropped: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let otlp = format!("log.otlp=http://{free}");
    let often = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("NO_PROXY", "127.0.0.1")];
    let mut server = Server::start_in(&place.path("data"), &["--set", &otlp], &often);
    let client = server.client();
    for _ in 0..3 {
        let id = client.submit(&json!({"style": "funk", "bars": 1}));
        assert_eq!(client.finished(&id)["status"], "complete");
    }
    let line = server.log.says("traces do not reach the collector");
    assert!(line.contains("log.otlp"), "{line}");
    let told = Instant::now();
    assert_eq!(server.process.terminate(), 0);
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
    assert_eq!(server.log.text().matches("traces do not reach").count(), 1);
}

#[test]
fn a_collector_that_never_answers_holds_up_neither_requests_nor_the_end() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let otlp = format!("log.otlp=http://{}", silent.local_addr().expect("its address"));
    let often = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("NO_PROXY", "127.0.0.1")];
    let mut server = Server::start_in(&place.path("data"), &["--set", &otlp], &often);
    let client = server.client();
    let id = client.submit(&json!({"style": "funk", "bars": 1}));
    assert_eq!(client.finished(&id)["status"], "complete");
    // More spans than may wait.
    let begun = Instant::now();
    for _ in 0..3000 {
        assert_eq!(client.get("/api/v1/styles").expect("an answer").0, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "3000 requests took {:?}", begun.elapsed());
    let told = Instant::now();
    assert_eq!(server.process.terminate(), 0);
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
}
