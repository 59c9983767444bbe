//! Everything that can be answered instead of what was asked: one table, and RFC 9457 on the wire.
//!
//! A handler returns a [`Problem`]; [`finish`] writes the body, because only there the request's id is known, and
//! turns the bare errors of libraries below into problems too. Nothing else in this crate formats an HTTP error.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use partita_engine::{Code, Fault};
use partita_queue::random_hex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Kind of problem; [`TABLE`] says what each means over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    InvalidRequest,
    InvalidMidi,
    UnknownModel,
    UnknownStyle,
    NotFound,
    ModelBroken,
    ModelsFull,
    QueueFull,
    TooManyTasks,
    KeyReused,
    NoSpace,
    Unavailable,
    Deadline,
    Cancelled,
    GaveUp,
    Internal,
    MalformedJson,
    MalformedForm,
    BadRequest,
    Unauthorized,
    Forbidden,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    Conflict,
    TooLarge,
    UriTooLong,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    HostNotAllowed,
    UpgradeRequired,
    RateLimited,
    HeadersTooLarge,
    TooManyStreams,
    Draining,
}

/// What a kind of problem means.
pub struct Row {
    pub kind: Kind,
    /// Last part of its `type`, `/problems/{slug}`.
    pub slug: &'static str,
    pub title: &'static str,
    pub status: u16,
    /// What to do about it, for people.
    pub help: &'static str,
}

const fn row(kind: Kind, slug: &'static str, title: &'static str, status: u16, help: &'static str) -> Row {
    Row { kind, slug, title, status, help }
}

/// The one table.
#[rustfmt::skip]
pub const TABLE: [Row; 35] = [
    row(Kind::InvalidRequest, "invalid-request", "Invalid request", 422, "A field is unknown, missing, or outside what it allows. `errors` names each with a JSON pointer and the allowed values."),
    row(Kind::InvalidMidi, "invalid-midi", "Invalid MIDI file", 422, "What was sent cannot be read as a Standard MIDI File, or holds nothing that can be used. Export the file again."),
    row(Kind::UnknownModel, "unknown-model", "Unknown model", 404, "No model has this name. GET /api/v1/models lists those there are."),
    row(Kind::UnknownStyle, "unknown-style", "Unknown style", 422, "The model does not play this style. GET /api/v1/styles lists those there are."),
    row(Kind::NotFound, "not-found", "Not found", 404, "There is nothing here, or it was kept as long as the server keeps it, or it belongs to another key."),
    row(Kind::ModelBroken, "model-broken", "Model damaged", 500, "The files of the model are damaged or missing. Whoever runs the server can verify them with `partita models verify`."),
    row(Kind::ModelsFull, "models-full", "No memory for the model", 503, "All models in memory are in use. Try again later, or unload one."),
    row(Kind::QueueFull, "queue-full", "Queue full", 503, "Too many tasks wait. Try again after the seconds in Retry-After."),
    row(Kind::TooManyTasks, "too-many-tasks", "Too many tasks", 429, "Too many tasks of this key wait or run. Wait until one has ended."),
    row(Kind::KeyReused, "idempotency-key-reused", "Idempotency key reused", 422, "The Idempotency-Key came before with another request. Use a new key for each new request."),
    row(Kind::NoSpace, "no-space", "Disk full", 507, "The server has no space left for new tasks, or for the result of this one, which it tried to store several times. Other tasks and files are safe."),
    row(Kind::Unavailable, "unavailable", "Unavailable", 503, "The server cannot do this now; `detail` says why. Try again after the seconds in Retry-After."),
    row(Kind::Deadline, "deadline", "Deadline passed", 504, "The task was not done by its deadline. Ask for less, or set a longer `timeout`."),
    row(Kind::Cancelled, "cancelled", "Cancelled", 409, "The task was cancelled before it was done."),
    row(Kind::GaveUp, "gave-up", "Gave up", 500, "The task was tried as often as the configuration allows and never ended."),
    row(Kind::Internal, "internal", "Internal error", 500, "A defect of the server. Its log has more under the request's id."),
    row(Kind::MalformedJson, "malformed-json", "Malformed JSON", 400, "The body, or a part of it, is no JSON. `detail` has the place."),
    row(Kind::MalformedForm, "malformed-form", "Malformed form", 400, "The body is not the multipart/form-data that its content type says: a boundary is missing, or a part is cut off. `detail` says which."),
    row(Kind::BadRequest, "bad-request", "Bad request", 400, "A header, a path or the framing of the request cannot be read."),
    row(Kind::Unauthorized, "unauthorized", "API key needed", 401, "Send an API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. `partita keys create` makes one."),
    row(Kind::Forbidden, "forbidden", "Not allowed", 403, "The key's role does not include this. Roles are viewer, user and admin."),
    row(Kind::MethodNotAllowed, "method-not-allowed", "Method not allowed", 405, "The path knows only the methods in the Allow header."),
    row(Kind::NotAcceptable, "not-acceptable", "Not acceptable", 406, "The answer cannot be given in a form that the Accept header allows."),
    row(Kind::RequestTimeout, "request-timeout", "Request too slow", 408, "The request did not arrive in time."),
    row(Kind::Conflict, "conflict", "Conflict", 409, "The thing is in a state that does not allow this."),
    row(Kind::TooLarge, "too-large", "Too large", 413, "The body is larger than the server takes. `detail` has the limit."),
    row(Kind::UriTooLong, "uri-too-long", "Address too long", 414, "The path and query are longer than the server takes. Send long values in the body."),
    row(Kind::UnsupportedMediaType, "unsupported-media-type", "Unsupported media type", 415, "The body is of a type that this path does not take. `detail` names those it does."),
    row(Kind::RangeNotSatisfiable, "range-not-satisfiable", "Range not satisfiable", 416, "The file ends before the range begins. Content-Range has its length."),
    row(Kind::HostNotAllowed, "host-not-allowed", "Host not allowed", 421, "The Host header names none of this server's names. Whoever runs the server can add it to `server.allowed_hosts`."),
    row(Kind::UpgradeRequired, "upgrade-required", "WebSocket needed", 426, "The path speaks WebSocket only. Connect with a WebSocket client, or use POST for server-sent events."),
    row(Kind::RateLimited, "rate-limited", "Quota exceeded", 429, "Too many requests in the window that the RateLimit-Policy header tells. Try again after the seconds in Retry-After."),
    row(Kind::HeadersTooLarge, "headers-too-large", "Headers too large", 431, "The headers are larger than the server takes."),
    row(Kind::TooManyStreams, "too-many-streams", "Too many streams", 503, "As many event streams are open as the server allows. Poll the task, or try again later."),
    row(Kind::Draining, "draining", "Shutting down", 503, "The server is shutting down and takes no new tasks. Try again after the seconds in Retry-After."),
];

impl Kind {
    pub fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.kind == self).expect("a test holds the table complete")
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).expect("a test holds the table valid")
    }

    /// The kind that tells of a bare status best.
    fn of_status(status: StatusCode) -> Kind {
        match status.as_u16() {
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            405 => Kind::MethodNotAllowed,
            406 => Kind::NotAcceptable,
            408 => Kind::RequestTimeout,
            409 => Kind::Conflict,
            413 => Kind::TooLarge,
            414 => Kind::UriTooLong,
            415 => Kind::UnsupportedMediaType,
            416 => Kind::RangeNotSatisfiable,
            421 => Kind::HostNotAllowed,
            422 => Kind::InvalidRequest,
            429 => Kind::RateLimited,
            431 => Kind::HeadersTooLarge,
            503 => Kind::Unavailable,
            400..=499 => Kind::BadRequest,
            _ => Kind::Internal,
        }
    }
}

impl From<Code> for Kind {
    fn from(code: Code) -> Kind {
        match code {
            Code::InvalidRequest => Kind::InvalidRequest,
            Code::InvalidMidi => Kind::InvalidMidi,
            Code::UnknownModel => Kind::UnknownModel,
            Code::UnknownStyle => Kind::UnknownStyle,
            Code::NotFound => Kind::NotFound,
            Code::ModelBroken => Kind::ModelBroken,
            Code::ModelsFull => Kind::ModelsFull,
            Code::QueueFull => Kind::QueueFull,
            Code::TooManyTasks => Kind::TooManyTasks,
            Code::KeyReused => Kind::KeyReused,
            Code::NoSpace => Kind::NoSpace,
            Code::Unavailable => Kind::Unavailable,
            Code::Deadline => Kind::Deadline,
            Code::Cancelled => Kind::Cancelled,
            Code::GaveUp => Kind::GaveUp,
            Code::Internal => Kind::Internal,
        }
    }
}

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = FieldProblem)]
pub struct Field {
    /// JSON pointer into the body as a URI fragment, or the name of a query parameter or header. In JSON Lines it leads
    /// into the object of its line.
    #[schema(example = "#/tempo")]
    pub pointer: String,
    /// Line of a body of JSON Lines, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, example = 3, nullable = false)]
    pub line: Option<u64>,
    /// What is allowed and what came.
    #[schema(example = "must be in 40..=300, got 400")]
    pub detail: String,
    /// The allowed range or values alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "40..=300", nullable = false)]
    pub allowed: Option<String>,
}

impl Field {
    pub fn new(pointer: &str, detail: impl Into<String>, allowed: Option<String>) -> Field {
        Field { pointer: pointer.to_owned(), line: None, detail: detail.into(), allowed }
    }
}

/// The place of a pointer for people: without the escapes of a URI and of JSON pointers.
pub fn shown(pointer: &str) -> String {
    let Some(place) = pointer.strip_prefix('#') else { return pointer.to_owned() };
    let place = place.strip_prefix('/').unwrap_or(place);
    let place = percent_encoding::percent_decode_str(place).decode_utf8_lossy();
    let place = place.replace("~1", "/").replace("~0", "~");
    place.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A problem as RFC 9457 writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body9457 {
    /// Where people read more about this kind.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid-request")]
    pub kind: String,
    #[schema(example = "Invalid request")]
    pub title: String,
    #[schema(minimum = 400, maximum = 599, example = 422)]
    pub status: u16,
    #[schema(example = "tempo must be in 40..=300, got 400")]
    pub detail: String,
    #[schema(example = "/api/v1/requests/req_3f2a9c0d5e6b7a81")]
    pub instance: String,
    /// Also in the header X-Request-Id and in the server's log.
    #[schema(example = "req_3f2a9c0d5e6b7a81")]
    pub request_id: String,
    /// The kind, for programs.
    #[schema(example = "invalid-request")]
    pub code: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Field>,
    /// Quotas that are used up, by the names in RateLimit-Policy.
    #[serde(rename = "violated-policies", default, skip_serializing_if = "Vec::is_empty")]
    pub violated_policies: Vec<String>,
}

/// An answer instead of what was asked.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: Kind,
    pub detail: String,
    pub errors: Vec<Field>,
    /// Seconds after which trying again may help.
    pub retry_after: Option<u64>,
    pub violated_policies: Vec<String>,
    /// Further headers, such as Allow or WWW-Authenticate.
    pub headers: Box<HeaderMap>,
}

/// Result of a handler.
pub type Answer<T> = Result<T, Problem>;

impl Problem {
    pub fn new(kind: Kind, detail: impl std::fmt::Display) -> Problem {
        Problem {
            kind,
            detail: detail.to_string(),
            errors: vec![],
            retry_after: None,
            violated_policies: vec![],
            headers: Box::default(),
        }
    }

    /// About one field, query parameter or header: `pointer` as in `#/tempo` or `limit`.
    pub fn field(
        kind: Kind,
        pointer: &str,
        detail: impl std::fmt::Display,
        allowed: Option<String>,
    ) -> Problem {
        let detail = detail.to_string();
        let name = shown(pointer);
        let message = if name.is_empty() { detail.clone() } else { format!("{name} {detail}") };
        let mut problem = Problem::new(kind, message);
        problem.errors = vec![Field::new(pointer, detail, allowed)];
        problem
    }

    pub fn not_found(detail: impl std::fmt::Display) -> Problem {
        Problem::new(Kind::NotFound, detail)
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.insert(name, value);
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// As RFC 9457 writes it, for the request `request_id`.
    pub fn body(&self, request_id: &str) -> Body9457 {
        let row = self.kind.row();
        let kind = match self.kind {
            Kind::RateLimited => "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned(),
            _ => format!("/problems/{}", row.slug),
        };
        Body9457 {
            kind,
            title: row.title.to_owned(),
            status: row.status,
            detail: self.detail.clone(),
            instance: format!("/api/v1/requests/{request_id}"),
            request_id: request_id.to_owned(),
            code: row.slug.to_owned(),
            errors: self.errors.clone(),
            violated_policies: self.violated_policies.clone(),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        let errors = fault.errors.into_iter();
        let errors =
            errors.map(|e| Field { pointer: e.pointer, line: None, detail: e.detail, allowed: e.allowed });
        let kind = Kind::from(fault.code);
        let retry_after = fault.retry_after.or((kind.row().status == 503).then_some(2));
        Problem { errors: errors.collect(), retry_after, ..Problem::new(kind, fault.message) }
    }
}

impl From<partita_queue::Error> for Problem {
    fn from(error: partita_queue::Error) -> Problem {
        Fault::from(error).into()
    }
}

/// Carries a problem from its maker to [`finish`].
#[derive(Clone)]
struct Carried(Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Carried(Arc::new(self)));
        response
    }
}

/// Name of one HTTP request, in its answer, its log lines and its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl RequestId {
    /// The one the caller sent, if it can be told apart from an attack on logs; else a new one.
    fn of(headers: &HeaderMap) -> RequestId {
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let plain = |text: &&str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        RequestId(sent.filter(plain).map_or_else(|| format!("req_{}", random_hex(8)), ToOwned::to_owned))
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<RequestId, Self::Rejection> {
        let id = parts.extensions.get::<RequestId>().cloned();
        Ok(id.unwrap_or_else(|| RequestId::of(&parts.headers)))
    }
}

/// The outermost layer: names the request and writes problems.
pub async fn finish(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let response = next.run(request).await;
    let mut response = written(response, &id, &method).await;
    let value = HeaderValue::from_str(&id.0).expect("letters, digits, `.`, `_` and `-`");
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

async fn written(response: Response, id: &RequestId, method: &axum::http::Method) -> Response {
    let status = response.status();
    let is_problem = |value: &HeaderValue| value.as_bytes().starts_with(b"application/problem+json");
    let done = response.headers().get(header::CONTENT_TYPE).is_some_and(is_problem);
    let streams = response.headers().contains_key(header::UPGRADE);
    let (mut parts, body) = response.into_parts();
    let carried = parts.extensions.remove::<Carried>();
    let problem = match carried {
        Some(Carried(problem)) => Arc::unwrap_or_clone(problem),
        None if (status.is_client_error() || status.is_server_error()) && !done && !streams => {
            bare(status, body, method).await
        }
        None => return Response::from_parts(parts, body),
    };
    let mut answer = (problem.status(), Json(problem.body(&id.0))).into_response();
    let headers = answer.headers_mut();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    headers.extend(parts.headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    headers.extend(*problem.headers);
    if problem.kind == Kind::Unauthorized && !headers.contains_key(header::WWW_AUTHENTICATE) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"partita\""));
    }
    answer
}

/// A problem of an error that a library answered with a status and perhaps a line of text.
async fn bare(status: StatusCode, body: Body, method: &axum::http::Method) -> Problem {
    let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => format!("this path does not know {method}"),
        // The text of an error inside is for the log alone.
        _ if status.is_server_error() || text.trim().is_empty() => {
            status.canonical_reason().unwrap_or("error").to_lowercase()
        }
        _ => text.trim().to_owned(),
    };
    Problem::new(Kind::of_status(status), detail)
}

/// What a panic in a handler becomes.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub fn panicked(cause: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().copied().or(cause.downcast_ref::<String>().map(String::as_str));
    tracing::error!(cause = text.unwrap_or("unknown"), "a handler panicked");
    Problem::new(Kind::Internal, "internal error").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_row_and_a_valid_status() {
        for row in &TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.kind == row.kind).count(), 1, "{}", row.slug);
            assert_eq!(TABLE.iter().filter(|other| other.slug == row.slug).count(), 1, "{}", row.slug);
            assert!((400..600).contains(&row.kind.status().as_u16()));
            assert!(!row.help.is_empty() && !row.title.is_empty());
        }
    }

    #[test]
    fn a_fault_keeps_its_pointers() {
        let problem = Problem::from(Fault::field("#/tempo", "in 40..=300", 400));
        let body = problem.body("req_1");
        assert_eq!(body.status, 422);
        assert_eq!(body.kind, "/problems/invalid-request");
        assert_eq!(body.errors[0].pointer, "#/tempo");
        assert_eq!(body.errors[0].allowed.as_deref(), Some("in 40..=300"));
        assert_eq!(body.instance, "/api/v1/requests/req_1");
    }

    #[test]
    fn only_pointers_are_escaped() {
        let pointer = "#/requests/0/%C3%A4~1%0A~0";
        let problem = Problem::field(Kind::InvalidRequest, pointer, "is unknown", None);
        assert_eq!(problem.errors[0].pointer, pointer);
        assert_eq!(problem.detail, "requests/0/\u{e4}/\u{fffd}~ is unknown");
        let problem = Problem::field(Kind::InvalidRequest, "#", "is wrong", None);
        assert_eq!((problem.detail.as_str(), problem.errors[0].pointer.as_str()), ("is wrong", "#"));
        assert_eq!(Problem::field(Kind::InvalidRequest, "a%20b", "is wrong", None).detail, "a%20b is wrong");
    }

    #[test]
    fn a_503_always_says_when_to_try_again() {
        for code in [Code::QueueFull, Code::Unavailable, Code::ModelsFull] {
            assert!(Problem::from(Fault::new(code, "x")).retry_after.is_some());
        }
    }

    #[test]
    fn a_sent_request_id_is_kept_only_when_plain() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).expect("a header"));
            RequestId::of(&headers).0
        };
        assert_eq!(of("abc-1.2_3"), "abc-1.2_3");
        assert!(of("a b").starts_with("req_"));
        assert!(of(&"x".repeat(65)).starts_with("req_"));
    }
}
