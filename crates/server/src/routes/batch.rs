//! Many requests as one task, as JSON or a line each.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use partita_engine::request::{Batch, Generate};
use partita_engine::{Item, Request};
use partita_queue::State as JobState;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::call::Call;
use super::generate::json_body;
use super::{submit, tasks};
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::body::{self, Most};
use crate::wire::task::{self, Task};

const LINES: [&str; 4] =
    ["application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/ndjson"];

/// Make music for many requests at once
///
/// All of them share the steps of the model. As JSON Lines, each line is one request of `/api/v1/generate`; the result
/// then also has a file with a line for each item.
#[utoipa::path(
    post,
    path = "/api/v1/generate/batch",
    tag = "generate",
    request_body(content = Batch, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn batch(
    State(app): State<Arc<App>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let kind = body::media_type(&headers);
    let request = match kind.as_deref() {
        Some(kind) if LINES.contains(&kind) => {
            let config = app.engine.config();
            let limit =
                usize::try_from(config.server.max_body_mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
            let bytes = body::collect(body, limit).await?;
            let most = Most::of(&config);
            // Up to thousands of lines: not on a thread that others wait for.
            let requests = tokio::task::spawn_blocking(move || lines(&bytes, &most)).await;
            let requests =
                requests.map_err(|_| Problem::new(Kind::Internal, "the body could not be read"))??;
            Batch { requests, jsonl: Some(true), ..Batch::default() }
        }
        _ => json_body(&app, &headers, body).await?,
    };
    submit::run(&app, &call, Request::Batch(Box::new(request))).await
}

/// One request a line; empty lines are passed over. Pointers count requests, details count lines.
fn lines(bytes: &[u8], most: &Most) -> Answer<Vec<Generate>> {
    let max = most.requests;
    let mut requests = vec![];
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if requests.len() >= max {
            let allowed = format!("1..={max}");
            let detail = format!("must hold {allowed} requests, got more");
            return Err(Problem::field(Kind::InvalidRequest, "#/requests", detail, Some(allowed)));
        }
        let root = format!("#/requests/{}", requests.len());
        let request = body::parse(line, &root, most).map_err(|mut problem| {
            problem.detail = format!("line {}: {}", number + 1, problem.detail);
            problem
        })?;
        requests.push(request);
    }
    Ok(requests)
}

/// What became of the requests of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemList {
    pub data: Vec<Item>,
    pub has_more: bool,
    pub next: Option<String>,
}

/// Get the items of a batch that has ended
///
/// With `Accept: application/x-ndjson`, a line for each item.
#[utoipa::path(
    get,
    path = "/api/v1/tasks/{id}/items",
    tag = "tasks",
    params(("id" = String, Path, description = "Id of a task")),
    responses((status = 200, description = "All items", body = ItemList))
)]
pub async fn items(
    State(app): State<Arc<App>>,
    call: Call,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let job = tasks::find(&app, &call, &id).await?;
    if job.new.kind != "batch" {
        return Err(Problem::not_found("only batches have items"));
    }
    if job.state != JobState::Complete {
        return Err(Problem::new(
            Kind::Conflict,
            format!("the task must be complete, it is {}", job.state.name()),
        ));
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let as_lines =
        accept.split(',').any(|one| LINES.contains(&one.split(';').next().unwrap_or_default().trim()));
    let write = move || -> Option<Vec<u8>> {
        let mut result = job.result?;
        task::tell_items(&mut result, &job.new.request_id);
        let items = result.get_mut("items").map(Value::take).unwrap_or_else(|| json!([]));
        if !as_lines {
            return serde_json::to_vec(&json!({"data": items, "has_more": false, "next": null})).ok();
        }
        let mut text = vec![];
        for item in items.as_array()? {
            serde_json::to_writer(&mut text, item).ok()?;
            text.push(b'\n');
        }
        Some(text)
    };
    let text = tokio::task::spawn_blocking(write).await.ok().flatten();
    let text = text.ok_or_else(|| Problem::new(Kind::Internal, "the result cannot be read"))?;
    let kind = if as_lines { "application/x-ndjson" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(requests: usize) -> Most {
        Most { requests, ..Most::default() }
    }

    #[test]
    fn lines_are_requests() {
        let requests = lines(b"{\"bars\":1,\"custom_id\":\"a\"}\r\n\n{\"bars\":2}", &most(9)).expect("two");
        assert_eq!(requests.iter().map(|request| request.bars).collect::<Vec<_>>(), [Some(1), Some(2)]);
        let problem = lines(b"{}\n\n{\"barz\":2}", &most(9)).expect_err("unknown");
        assert_eq!(problem.errors[0].pointer, "#/requests/1/barz");
        assert!(problem.detail.starts_with("line 3: "), "{}", problem.detail);
        assert_eq!(lines(b"{}\n{", &most(9)).expect_err("broken").status().as_u16(), 400);
        assert_eq!(lines(b"{}\n{}\n{}", &most(2)).expect_err("many").status().as_u16(), 422);
    }
}
