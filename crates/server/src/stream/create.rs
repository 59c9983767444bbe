//! `POST /api/v1/stream`: a new task, watched from its first event on.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use partita_engine::Request;
use partita_engine::request::Generate;

use super::{live, sse};
use crate::App;
use crate::problem::Answer;
use crate::routes::call::Call;
use crate::routes::generate::json_spoken;
use crate::routes::submit;
use crate::wire::{accept, task};

/// What is answered where the caller does not care.
const EVENTS: &str = "text/event-stream";

/// Make new music and watch it being made
///
/// The body is that of `/api/v1/generate`, the answer that of `/api/v1/tasks/{id}/events`, or with `Accept: audio/wav`
/// the sound itself, sent while it is made. Closing the connection does not cancel the task.
#[utoipa::path(
    post,
    path = "/api/v1/stream",
    tag = "generate",
    operation_id = "generate_stream",
    request_body(content = Generate, content_type = "application/json"),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"))
)]
pub async fn create(
    State(app): State<Arc<App>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let media = accept::choose(&headers, &[EVENTS, live::MEDIA])?;
    let (mut request, spoken): (Generate, _) = json_spoken(&app, &headers, body).await?;
    let is_live = media == live::MEDIA;
    if is_live {
        live::check(&app, &request).await.map_err(|problem| spoken.tell(problem))?;
    }
    request.stream.get_or_insert(true);
    // Before the task: one that nobody could watch is not made.
    let permit = app.streams.permit(&call.caller)?;
    let request = Request::Generate(Box::new(request));
    let canonical = submit::canonical(&call, &request);
    let accepted = submit::accept(&app, &call, request, &canonical).await;
    let accepted = accepted.map_err(|problem| spoken.tell(problem))?;
    let id = accepted.job.new.id;
    let mut response = match is_live {
        true => live::respond(&app, &call.caller, permit, &id).await?,
        false => sse::respond(&app, &call.caller, permit, &id, 0).await?,
    };
    if let Ok(place) = HeaderValue::from_str(&task::path(id.as_str())) {
        response.headers_mut().insert(header::CONTENT_LOCATION, place);
    }
    if accepted.replayed {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}
