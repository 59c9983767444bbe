//! What the API is, for programs and people, without the network.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_swagger_ui::Config;

use crate::openapi;
use crate::problem::{Answer, Problem, TABLE};

/// Styles are inline in the pages of Swagger UI, and pictures are data; nothing comes from elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// Get this description
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "operations",
    operation_id = "openapi",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub async fn openapi_json() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(openapi::text);
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

/// `GET /docs`: relative links below need the slash.
pub async fn index() -> Redirect {
    Redirect::permanent("/docs/")
}

/// `GET /docs/`
pub async fn page() -> Answer<Response> {
    file(Path("index.html".to_owned())).await
}

/// `GET /docs/{*path}`
pub async fn file(Path(path): Path<String>) -> Answer<Response> {
    let none = || Problem::not_found("no such page");
    let config = Arc::new(Config::from("/api/v1/openapi.json").try_it_out_enabled(true));
    let file = utoipa_swagger_ui::serve(&path, config).ok().flatten().ok_or_else(none)?;
    let kind = HeaderValue::from_str(&file.content_type).map_err(|_| none())?;
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
    Ok((headers, file.bytes.into_owned()).into_response())
}

/// A kind of problem, explained.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemKind {
    #[serde(rename = "type")]
    #[schema(example = "/problems/queue-full")]
    pub kind: String,
    #[schema(example = "Queue full")]
    pub title: &'static str,
    #[schema(example = 503)]
    pub status: u16,
    /// What it means and what to do about it.
    pub detail: &'static str,
}

/// Explain a kind of problem
///
/// As JSON, or as text for browsers.
#[utoipa::path(
    get,
    path = "/problems/{slug}",
    tag = "operations",
    operation_id = "explain_problem",
    security(()),
    params(("slug" = String, Path, description = "Last part of a problem's `type`", example = "queue-full")),
    responses((status = 200, description = "What it means", content((ProblemKind = "application/json"), (String = "text/plain"))))
)]
pub async fn problem(Path(slug): Path<String>, headers: HeaderMap) -> Answer<Response> {
    let row = TABLE.iter().find(|row| row.slug == slug);
    let row = row.ok_or_else(|| Problem::not_found("there is no such kind of problem"))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") || accept.starts_with("text/plain") {
        let mut text = String::new();
        let _ = writeln!(text, "{} ({})\n\n{}", row.title, row.status, row.help);
        let kind: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        return Ok((kind, text).into_response());
    }
    let kind = format!("/problems/{}", row.slug);
    Ok(Json(ProblemKind { kind, title: row.title, status: row.status, detail: row.help }).into_response())
}
