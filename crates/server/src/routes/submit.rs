//! From a request to the answer that holds its task: every route that makes tasks ends here.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use partita_engine::{Accepted, Request};
use partita_queue::{Job, JobId, Role};
use serde_json::Value;

use super::call::Call;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::{body, task};
use crate::{App, webhook};

/// Checks and stores a request, waits as long as the caller wants, and answers with its task.
///
/// # Errors
/// What is wrong with the request; `QueueFull` and its kin. A task that fails is an answer, not an error.
pub async fn run(app: &App, call: &Call, request: Request) -> Answer<Response> {
    let canonical = canonical(call, &request);
    run_as(app, call, request, &canonical).await
}

/// As [`run`], with the bytes that tell equal requests apart from others.
///
/// # Errors
/// As [`run`].
pub async fn run_as(app: &App, call: &Call, request: Request, canonical: &[u8]) -> Answer<Response> {
    let accepted = accept(app, call, request, canonical).await?;
    answered(app, call, accepted).await
}

/// Waits as long as the caller wants, and answers with the task.
///
/// # Errors
/// `Unavailable`
pub async fn answered(app: &App, call: &Call, accepted: Accepted) -> Answer<Response> {
    let job = finished(app, &accepted.job.new.id, call.prefer.wait(usual_wait(app))).await?;
    let mut response = answer(app, job).await?;
    mark(&mut response, call, accepted.replayed);
    Ok(response)
}

/// Adds the headers that tell what was done about those of the request.
pub fn mark(response: &mut Response, call: &Call, replayed: bool) {
    let answered = response.status() == StatusCode::OK;
    response.headers_mut().extend(call.prefer.applied(answered));
    if replayed {
        let name = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
}

/// The job when it has ended, or as it is after `wait`, or when the server shuts down and nothing more will come.
///
/// # Errors
/// `NotFound`, `Unavailable`.
pub async fn finished(app: &App, id: &JobId, wait: Duration) -> Answer<Job> {
    tokio::select! {
        job = app.engine.finished(id, wait) => Ok(job?),
        () = app.parting.cancelled() => Ok(app.engine.finished(id, Duration::ZERO).await?),
    }
}

/// The task that an idempotency key brought before, if it did.
///
/// # Errors
/// `KeyReused`, `Unavailable`.
pub async fn replay(app: &App, call: &Call, canonical: &[u8]) -> Answer<Option<Accepted>> {
    let Some(key) = &call.idempotency else { return Ok(None) };
    let (owner, fingerprint) = (call.caller.owner(), call.fingerprint(canonical));
    let job = app.engine.queue().replay(owner.as_deref(), key, &fingerprint).await?;
    Ok(job.map(|job| Accepted { job, replayed: true }))
}

/// Checks and stores a request.
///
/// # Errors
/// As [`run`].
pub async fn accept(app: &App, call: &Call, mut request: Request, canonical: &[u8]) -> Answer<Accepted> {
    call.caller.require(Role::User)?;
    if app.closing.is_cancelled() {
        return Err(Problem::new(Kind::Draining, "the server is shutting down").retry_after(5));
    }
    let config = app.engine.config();
    webhook::check_request(&request, &config)?;
    webhook::sign_for(&mut request, &call.caller, &config);
    let accepted = app.engine.submit(request, call.order(canonical)).await?;
    let (job, replayed) = (&accepted.job, accepted.replayed);
    if !replayed {
        app.guard.accepted(&call.caller, job, StatusCode::ACCEPTED.as_u16());
    }
    tracing::info!(task = %job.new.id, kind = job.new.kind, model = job.new.model, replayed, "accepted");
    Ok(accepted)
}

/// Bytes that are equal just when two requests ask the same; none where nobody compares them.
pub fn canonical(call: &Call, request: &Request) -> Vec<u8> {
    match call.idempotency {
        Some(_) => serde_json::to_vec(request).expect("requests are plain data"),
        None => vec![],
    }
}

pub fn usual_wait(app: &App) -> Duration {
    Duration::try_from_secs_f64(app.engine.config().server.sync_wait).unwrap_or_default()
}

/// The task: 200 once it has ended, 202 with the place and the time to ask again before.
///
/// # Errors
/// `Unavailable`
pub async fn answer(app: &App, job: Job) -> Answer<Response> {
    let done = job.state.is_done();
    let cache = cache_status(job.result.as_ref());
    let task = task::Task::whole(job, &app.engine).await?;
    let location = task.links.this.clone();
    let again = task.estimated_time.unwrap_or(1.0).ceil().clamp(1.0, 60.0) as u64;
    let large = task.is_large();
    let mut response = body::write(task, large).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cache) = cache {
        headers.insert(HeaderName::from_static("cache-status"), HeaderValue::from_static(cache));
    }
    if !done {
        let location = HeaderValue::from_str(&location).map_err(|_| Problem::not_found("no such task"))?;
        headers.insert(header::LOCATION, location);
        headers.insert(header::RETRY_AFTER, again.into());
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// `Cache-Status` (RFC 9211) of a complete task.
pub fn cache_status(result: Option<&Value>) -> Option<&'static str> {
    match result?.get("cache")?.as_str()? {
        "hit" => Some("partita; hit"),
        "miss" => Some("partita; fwd=miss"),
        "bypass" => Some("partita; fwd=bypass"),
        _ => None,
    }
}
