//! The first look at a request, and the last at its answer.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use partita_engine::Config;

use super::{Caller, Guard, address, host};
use crate::audit::Act;
use crate::problem::{Kind, Problem, RequestId};

/// Bytes of a path with its query.
const LONGEST_ADDRESS: usize = 8 * 1024;
/// Headers of a request, and bytes of them all. A connection reads twice as much, so that who sends a little too much
/// is told so in the usual form; beyond that it answers without any.
pub const MOST_HEADERS: usize = 100;
pub const MOST_HEADER_BYTES: usize = 32 * 1024;

/// On the answer to what goes into the audit file whatever came of it.
#[derive(Clone)]
pub struct Noted;

/// Refuses requests that are not for us, writes refusals and deeds down, and adds the headers that keep browsers from
/// misusing an answer.
pub async fn layer(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let is_page = request.uri().path().starts_with("/docs");
    let config = guard.config();
    let from = address(request.extensions());
    let id = request.extensions().get::<RequestId>().cloned();
    let path: String = request.uri().path().chars().take(200).collect();
    let what = format!("{} {path}", request.method());
    let mut response = match check(&request, &config) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let status = response.status().as_u16();
    let noted = response.extensions().get::<Noted>().is_some();
    if noted || matches!(status, 401 | 403 | 429) {
        let kind = if matches!(status, 401 | 403 | 429) { "refused" } else { "action" };
        let id = id.as_ref().map_or("", |id| &id.0);
        let act = Act { kind, request_id: id, what: &what, status };
        guard.note(response.extensions().get::<Caller>(), from, act);
    }
    seal(response.headers_mut(), is_page);
    response
}

/// A GET that makes music: no page of others may send anybody's browser there.
const MAKES: &str = "/api/v1/generate/simple";

fn check(request: &Request, config: &Config) -> Result<(), Problem> {
    let length = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if length > LONGEST_ADDRESS {
        let detail = format!("path and query may have at most {LONGEST_ADDRESS} bytes, got {length}");
        return Err(Problem::new(Kind::UriTooLong, detail));
    }
    // `name: value` and the end of the line.
    let bytes: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let count = request.headers().len();
    if count > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
        let allowed = format!("at most {MOST_HEADERS} headers of {MOST_HEADER_BYTES} bytes in all");
        let detail = format!("a request may have {allowed}, got {count} of {bytes}");
        return Err(Problem::new(Kind::HeadersTooLarge, detail));
    }
    host::check(request, config)?;
    if request.uri().path() != MAKES {
        return host::check_origin(request, config);
    }
    if request.method() == Method::HEAD {
        let problem = Problem::new(Kind::MethodNotAllowed, "this path does not know HEAD");
        return Err(problem.with_header(header::ALLOW, HeaderValue::from_static("GET")));
    }
    host::check_maker(request, config)
}

const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The page of the API's description runs its own scripts, and styles itself inline.
const OWN: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Adds security headers where the handler has set none.
fn seal(headers: &mut HeaderMap, is_page: bool) {
    let mut set = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    set(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    set(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    set(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set(header::CONTENT_SECURITY_POLICY, if is_page { OWN } else { NOTHING });
    set(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if [&b"application/json"[..], b"application/problem+json", b"application/jsonl", b"text/event-stream"]
        .iter()
        .any(|fleeting| kind.starts_with(fleeting))
    {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}
