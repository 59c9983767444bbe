//! What is written to stderr: where it goes and how, and one line for each request. Traces begin here too.
//!
//! **Rule:** no line and no span holds a query string, a body, a prompt or a key.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use partita_engine::TRACE;
use partita_engine::config::Log;
use tracing::{Instrument, Level, Span};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::problem::RequestId;

#[cfg(not(feature = "otel"))]
mod none;
#[cfg(feature = "otel")]
mod otel;

#[cfg(not(feature = "otel"))]
use none as otel;
pub use otel::follow;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.level must be as in info or info,partita_engine=debug, got {got:?}: {why}")]
    Level { got: String, why: String },
    #[error("log.otlp: {0}")]
    Otlp(String),
}

/// Holds what must be sent before the process ends.
#[must_use = "traces still to be sent go when it is dropped"]
#[derive(Default)]
pub struct Logging {
    #[cfg(feature = "otel")]
    _traces: Option<otel::Traces>,
}

/// Starts logging; does nothing if the process logs already.
///
/// # Errors
/// A level or an endpoint that cannot be understood.
pub fn start(config: &Log) -> Result<Logging, LogError> {
    let level = |why: tracing_subscriber::filter::ParseError| LogError::Level {
        got: config.level.clone(),
        why: why.to_string(),
    };
    let filter = EnvFilter::try_new(&config.level).map_err(level)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format.as_str() {
        "json" => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        _ => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
    };
    let filter = filter.and(filter_fn(|about| about.target() != TRACE));
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    {
        let traces = otel::Traces::start(&config.otlp)?;
        let _ = registry.with(traces.as_ref().map(otel::Traces::layer)).try_init();
        Ok(Logging { _traces: traces })
    }
    #[cfg(not(feature = "otel"))]
    {
        if registry.try_init().is_ok() && !config.otlp.is_empty() {
            tracing::warn!("log.otlp is set, but this build has no OpenTelemetry (feature otel)");
        }
        Ok(Logging::default())
    }
}

/// `traceparent` of a request's span, and on a second line its `tracestate`, beside the request; empty where nobody
/// traces.
#[derive(Clone, Debug, Default)]
pub struct Trace(pub String);

/// The layer around all others: gives the request its name, and writes a line when the last byte has gone.
pub async fn access(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (mut parts, body) = request.into_parts();
    let Ok(id) = RequestId::from_request_parts(&mut parts, &()).await;
    // One that was too strange to keep must not be seen by anybody below either.
    parts
        .headers
        .insert("x-request-id", HeaderValue::from_str(&id.0).expect("letters, digits, `.`, `_` and `-`"));
    let route = parts.extensions.get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = parts.method.clone();
    let trace = if is_probe(&route) { Span::none() } else { otel::request(&parts, &route, &id) };
    parts.extensions.insert(Trace(otel::parent(&trace)));
    let span = tracing::info_span!("request", request_id = %id.0, %method, route);
    let next = next.run(Request::from_parts(parts, body));
    let response = next.instrument(span.clone()).instrument(trace.clone()).await;
    let status = response.status();
    otel::answered(&trace, status);
    response.map(|body| Body::new(Counted { body, bytes: 0, started, span, trace, route, status }))
}

/// Whether a route is asked every few seconds by whoever watches the server.
fn is_probe(route: &str) -> bool {
    route.starts_with("/health") || route == "/metrics"
}

/// The body of an answer, on its way.
struct Counted {
    body: Body,
    bytes: u64,
    started: Instant,
    span: Span,
    /// Ends with the last byte.
    trace: Span,
    route: String,
    status: StatusCode,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.bytes += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (_trace, _span) = (self.trace.enter(), self.span.enter());
        let ms = self.started.elapsed().as_micros() as f64 / 1000.0;
        let (status, bytes) = (self.status.as_u16(), self.bytes);
        if self.status.is_success() && is_probe(&self.route) {
            tracing::event!(Level::DEBUG, status, ms, bytes, "answered");
        } else {
            tracing::event!(Level::INFO, status, ms, bytes, "answered");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_answer_is_one_line_with_its_route_and_without_its_query() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
        let subscriber = tracing_subscriber::registry().with(layer.with_writer(move || writer.clone()));
        let _guard = tracing::subscriber::set_default(subscriber);
        let router = Router::new().route("/tasks/{id}", get(async || "hello"));
        let router = router.layer(axum::middleware::from_fn(access));
        let request =
            Request::get("/tasks/7?key=pt_secret").header("x-request-id", "abc").body(Body::empty());
        let response = router.oneshot(request.expect("a request")).await.expect("an answer");
        let body = axum::body::to_bytes(response.into_body(), 100).await.expect("a body");
        assert_eq!(&body[..], b"hello");
        let text = String::from_utf8(lines.0.lock().expect("nobody panicked").clone()).expect("text");
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one line");
        assert_eq!(line["status"], 200);
        assert_eq!(line["bytes"], 5);
        assert_eq!(line["span"]["route"], "/tasks/{id}");
        assert_eq!(line["span"]["request_id"], "abc");
        assert_eq!(line["span"]["method"], "GET");
        assert!(line["ms"].is_f64());
        assert!(!text.contains("pt_secret"));
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let config = Log { level: "info,=".into(), ..Log::default() };
        let config = Log { level: format!("{}=loud", config.level), ..config };
        assert!(start(&config).is_err());
    }
}
