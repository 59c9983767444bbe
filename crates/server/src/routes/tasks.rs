//! Tasks: list, look at, cancel, watch.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use partita_queue::{Filter, Job, Role};

use super::call::{Call, no_task, task_id};
use super::submit;
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::stream::sse;
use crate::wire::page::{TaskList, link};
use crate::wire::params::Params;
use crate::wire::{accept, body, task::Task};

/// Largest sequence number that any JSON reader holds exactly.
pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;

/// What a task can be.
pub const KINDS: [&str; 10] = [
    "generate",
    "continue",
    "infill",
    "humanize",
    "harmonize",
    "arrange",
    "song",
    "render",
    "analyze",
    "batch",
];

/// A task that this caller may see.
///
/// # Errors
/// `NotFound`, also for tasks of others: whether an id exists is theirs to know.
pub async fn find(app: &App, call: &Call, id: &str) -> Answer<Job> {
    let job = app.engine.queue().get(&task_id(id)?).await?;
    job.filter(|job| call.caller.sees(job.new.owner.as_deref())).ok_or_else(|| no_task(id))
}

/// List tasks, newest first
///
/// Results are left out. Callers see the tasks of their own key; admins see all.
#[utoipa::path(
    get,
    path = "/api/v1/tasks",
    tag = "tasks",
    params(
        ("status" = Option<crate::wire::task::Status>, Query, description = "Only tasks in this state"),
        ("kind" = Option<String>, Query, description = "Only tasks of this kind"),
        ("limit" = Option<u32>, Query, description = "Tasks at most; 20 if left out", minimum = 1, maximum = 100),
        ("after" = Option<String>, Query, description = "`next` of the part before"),
    ),
    responses((status = 200, description = "Part of the list", body = TaskList))
)]
pub async fn list(State(app): State<Arc<App>>, call: Call, RawQuery(query): RawQuery) -> Answer<Response> {
    let params = Params::of(query.as_deref(), &["status", "kind", "limit", "after"])?;
    let limit: usize = params.read("limit", "an integer in 1..=100")?.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        let allowed = "an integer in 1..=100";
        let detail = format!("must be {allowed}, got {limit}");
        return Err(Problem::field(Kind::InvalidRequest, "limit", detail, Some(allowed.into())));
    }
    let kind = params.text("kind").map(ToOwned::to_owned);
    if let Some(kind) = kind.as_deref().filter(|kind| !KINDS.contains(kind)) {
        let detail = format!(
            "must be one of {}, got {:?}",
            KINDS.join(", "),
            kind.chars().take(40).collect::<String>()
        );
        return Err(Problem::field(Kind::InvalidRequest, "kind", detail, Some(KINDS.join(", "))));
    }
    let owner = call.caller.key.as_ref().filter(|key| key.role != Role::Admin).map(|key| key.id.clone());
    let state = params.read("status", "queued, running, complete, failed or cancelled")?;
    let after = params.read("after", "the `next` of a list")?;
    let filter = Filter { state, owner, kind: kind.clone(), after, limit };
    let page = app.engine.queue().list(&filter).await?;
    let next = page.jobs.last().filter(|_| page.has_more).map(|job| job.new.id.to_string());
    let data = page.jobs.into_iter().map(Task::listed).collect();
    let list = TaskList { data, has_more: next.is_some(), next: next.clone() };
    let mut response = body::write(list, limit > 50).await;
    if let Some(next) = next {
        let limit = limit.to_string();
        let mut query = vec![("limit", limit.as_str()), ("after", &next)];
        query.extend(params.text("status").map(|status| ("status", status)));
        query.extend(kind.as_deref().map(|kind| ("kind", kind)));
        link(&mut response, "/api/v1/tasks", &query);
    }
    Ok(response)
}

/// Look at a task
///
/// With `Prefer: wait=N`, the answer comes when the task has ended or after N seconds.
#[utoipa::path(
    get,
    path = "/api/v1/tasks/{id}",
    tag = "tasks",
    operation_id = "get_task",
    params(("id" = String, Path, description = "Id of a task")),
    responses((status = 200, description = "The task as it stands", body = Task))
)]
pub async fn get(State(app): State<Arc<App>>, call: Call, Path(id): Path<String>) -> Answer<Response> {
    look(&app, &call, &id).await
}

/// Look at a task
///
/// The same as `/api/v1/tasks/{id}`.
#[utoipa::path(
    get,
    path = "/api/v1/status/{id}",
    tag = "tasks",
    operation_id = "get_task_status",
    params(("id" = String, Path, description = "Id of a task")),
    responses((status = 200, description = "The task as it stands", body = Task))
)]
pub async fn status(State(app): State<Arc<App>>, call: Call, Path(id): Path<String>) -> Answer<Response> {
    look(&app, &call, &id).await
}

async fn look(app: &App, call: &Call, id: &str) -> Answer<Response> {
    let mut job = find(app, call, id).await?;
    if call.prefer.wait.is_some() && !job.state.is_done() {
        job = submit::finished(app, &job.new.id, call.prefer.wait(Duration::ZERO)).await?;
    }
    let mut response = shown(app, job).await?;
    response.headers_mut().extend(call.prefer.applied(true));
    Ok(response)
}

/// The task with 200, whatever its state: it was the task that was asked for.
async fn shown(app: &App, job: Job) -> Answer<Response> {
    let mut response = submit::answer(app, job).await?;
    *response.status_mut() = axum::http::StatusCode::OK;
    response.headers_mut().remove(axum::http::header::LOCATION);
    Ok(response)
}

/// Cancel a task
///
/// One that waits is cancelled at once; one that runs stops at its next token. One that has ended stays as it is.
#[utoipa::path(
    delete,
    path = "/api/v1/tasks/{id}",
    tag = "tasks",
    operation_id = "cancel_task",
    params(("id" = String, Path, description = "Id of a task")),
    responses((status = 200, description = "The task as it stands", body = Task))
)]
pub async fn cancel(State(app): State<Arc<App>>, call: Call, Path(id): Path<String>) -> Answer<Response> {
    call.caller.require(Role::User)?;
    let job = find(&app, &call, &id).await?;
    let job = app.engine.queue().cancel(&job.new.id).await?.ok_or_else(|| no_task(&id))?;
    shown(&app, job).await
}

/// Watch a task
///
/// Server-sent events: `queued`, `started`, `progress`, `notes`, `log`, then one of `complete`, `failed`, `cancelled`
/// with the task, after which the stream ends. `reset` also carries the task: what came before is no longer kept.
#[utoipa::path(
    get,
    path = "/api/v1/tasks/{id}/events",
    tag = "tasks",
    params(
        ("id" = String, Path, description = "Id of a task"),
        ("after" = Option<u64>, Query, description = "Sequence number of the last event that is known"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same, as browsers send it"),
    ),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"))
)]
pub async fn events(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer<Response> {
    accept::require(&headers, "text/event-stream")?;
    let params = Params::of(query.as_deref(), &["after"])?;
    let allowed = format!("an integer in 0..={MAX_SEQUENCE}");
    let after: Option<u64> = params.read("after", &allowed)?;
    if let Some(after) = after.filter(|after| *after > MAX_SEQUENCE) {
        let detail = format!("must be {allowed}, got {after}");
        return Err(Problem::field(Kind::InvalidRequest, "after", detail, Some(allowed)));
    }
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last.and_then(|text| text.parse().ok()).filter(|last| *last <= MAX_SEQUENCE);
    let job = find(&app, &call, &id).await?;
    let permit = app.streams.permit(&call.caller)?;
    sse::respond(&app, &call.caller, permit, &job.new.id, last.or(after).unwrap_or(0)).await
}
