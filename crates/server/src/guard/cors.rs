//! Pages of other origins: none may read answers unless the configuration names them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Guard;
use super::host::allows_origin;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "accept, authorization, content-type, idempotency-key, if-none-match, if-range, last-event-id, prefer, range, x-api-key, x-request-id",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "accept-ranges, allow, cache-status, content-disposition, content-length, content-location, content-range, etag, \
     idempotent-replayed, last-modified, link, location, preference-applied, ratelimit, ratelimit-policy, retry-after, \
     www-authenticate, x-request-id, x-seed",
);

/// Answers preflights of allowed origins and marks answers for them; leaves all other requests alone. Keys travel in
/// headers, never in cookies, so credentials are not allowed.
pub async fn layer(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let config = guard.config();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| origin.to_str().is_ok_and(|origin| allows_origin(origin, &config)));
    let Some(origin) = origin else {
        let mut response = next.run(request).await;
        // Without this a cache would give a page of an allowed origin the answer that others got.
        if !config.server.cors_origins.is_empty() {
            vary(response.headers_mut());
        }
        return response;
    };
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match is_preflight {
        true => preflight(),
        false => next.run(request).await,
    };
    mark(response.headers_mut(), origin);
    response
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn mark(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    vary(headers);
}

fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
