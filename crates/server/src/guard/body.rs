//! Bodies of requests: not too large, not too slow, not packed.
//!
//! The handler below may do with a broken body what it likes: what was wrong is remembered here and answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use partita_engine::Config;
use tokio::time::Sleep;

use super::Guard;
use crate::problem::{Kind, Problem};

const MIB: u64 = 1024 * 1024;

/// What was wrong with a body, as it is kept in an atomic.
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

/// Bytes a body of this type may have.
fn limit_of(headers: &HeaderMap, config: &Config) -> u64 {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is = |start: &str| kind.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    if is("multipart/") {
        // The fields beside the file are small, but they and the boundaries count.
        return config.server.max_upload_mb.saturating_mul(MIB).saturating_add(MIB / 4);
    }
    if is("audio/") || is("application/octet-stream") {
        return config.server.max_upload_mb.saturating_mul(MIB);
    }
    config.server.max_body_mb.saturating_mul(MIB)
}

/// Refuses what is too large, without reading it if it says so, and cuts what is too large or too slow without saying.
pub async fn layer(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let config = guard.config();
    limited(request, next, &config).await
}

async fn limited(request: Request, next: Next, config: &Config) -> Response {
    if let Some(problem) = packed(request.headers()) {
        return close(problem.into_response());
    }
    let limit = limit_of(request.headers(), config);
    if request.body().size_hint().lower() > limit {
        return close(too_large(limit).into_response());
    }
    let found = Arc::new(AtomicU8::new(0));
    let timeout = Duration::try_from_secs_f64(config.server.body_timeout).unwrap_or(Duration::MAX);
    let request = request
        .map(|body| Body::new(Watched { body, left: limit, timeout, deadline: None, found: found.clone() }));
    let response = next.run(request).await;
    match found.load(Ordering::Relaxed) {
        TOO_LARGE => close(too_large(limit).into_response()),
        TOO_SLOW => {
            let detail = format!("the body must arrive within {} s", config.server.body_timeout);
            close(Problem::new(Kind::RequestTimeout, detail).into_response())
        }
        _ => response,
    }
}

/// Bodies are taken as they are, so none can unfold into more than it is.
fn packed(headers: &HeaderMap) -> Option<Problem> {
    let other = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .find(|value| !value.is_empty() && *value != "identity");
    other.map(|value| {
        let name: String = String::from_utf8_lossy(value.as_bytes()).chars().take(40).collect();
        let detail = format!("Content-Encoding must be identity, got {name:?}");
        Problem::new(Kind::UnsupportedMediaType, detail)
            .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
    })
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body may have at most {limit} bytes"))
}

/// Rest of the body is not wanted, so the connection is of no more use.
fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

struct Watched {
    body: Body,
    left: u64,
    timeout: Duration,
    /// Runs from the first read on.
    deadline: Option<Pin<Box<Sleep>>>,
    found: Arc<AtomicU8>,
}

impl Watched {
    fn fail(&mut self, found: u8, message: &'static str) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.found.store(found, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new(message))))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let timeout = self.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        // Before the body: one byte at a time must not keep it from running out.
        if deadline.as_mut().poll(context).is_ready() {
            return self.fail(TOO_SLOW, "the body came too slowly");
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > self.left {
                return self.fail(TOO_LARGE, "the body is too large");
            }
            self.left -= bytes;
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
