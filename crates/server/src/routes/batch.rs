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
use super::generate::json_spoken;
use super::{submit, tasks};
use crate::App;
use crate::problem::{Answer, Field, Kind, Problem};
use crate::wire::body::{self, Most};
use crate::wire::spoken::Spoken;
use crate::wire::task::{self, Task};

const LINES: [&str; 4] =
    ["application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/ndjson"];

/// Make music for many requests at once
///
/// All of them share the steps of the model. As JSON Lines, each line is one request of `/api/v1/generate`; the result
/// then also has a file with a line for each item.
///
/// All requests are checked before any is played, and one that is wrong refuses the batch: 422 with a pointer such as
/// `#/requests/3/bars`, or in JSON Lines the `line` and a pointer into its object, `#/bars`. A request that fails while it
/// is played leaves the others alone: its item is `failed`, and the task is complete.
///
/// Each request counts as a task against the quota of its caller. Where fewer are left, the whole batch is refused with
/// 429 and nothing is counted.
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
    if !kind.is_some_and(|kind| LINES.contains(&kind.as_str())) {
        let (request, spoken): (Batch, _) = json_spoken(&app, &headers, body).await?;
        let answer = run(&app, &call, request).await;
        return answer.map_err(|problem| spoken.tell(problem));
    }
    let config = app.engine.config();
    let limit = usize::try_from(config.server.max_body_mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
    let bytes = body::collect(body, limit).await?;
    let most = Most::of(&config);
    // Up to thousands of lines: not on a thread that others wait for.
    let lines = tokio::task::spawn_blocking(move || Lines::read(&bytes, &most)).await;
    let lines = lines.map_err(|_| Problem::new(Kind::Internal, "the body could not be read"))??;
    let Lines { requests, places } = lines;
    let request = Batch { requests, jsonl: Some(true), ..Batch::default() };
    let answer = run(&app, &call, request).await;
    answer.map_err(|problem| places.tell(problem))
}

/// As [`submit::run`], with each request counted as a task of the caller; the call itself was the first.
async fn run(app: &App, call: &Call, batch: Batch) -> Answer<Response> {
    let items = batch.requests.len();
    let request = Request::Batch(Box::new(batch));
    let canonical = submit::canonical(call, &request);
    if let Some(known) = submit::replay(app, call, &canonical).await? {
        return submit::answered(app, call, known).await;
    }
    let mut counted = app.guard.admit_items(&call.caller, items).await?;
    let accepted = submit::accept(app, call, request, &canonical).await;
    // What makes no task counts as one call, like every other that makes none.
    if !accepted.as_ref().is_ok_and(|accepted| !accepted.replayed)
        && let Some(counted) = counted.take()
    {
        app.guard.give_back(counted).await;
    }
    let mut response = submit::answered(app, call, accepted?).await?;
    if let Some(counted) = counted {
        counted.left.write(response.headers_mut());
    }
    Ok(response)
}

/// A body of JSON Lines: one request a line; empty lines are passed over.
#[derive(Debug)]
struct Lines {
    requests: Vec<Generate>,
    places: Places,
}

/// Where the requests of a body stand in it.
#[derive(Debug, Default)]
struct Places {
    /// Line of each request, counted from 1.
    lines: Vec<u64>,
    spoken: Spoken,
}

impl Lines {
    fn read(bytes: &[u8], most: &Most) -> Answer<Lines> {
        let (mut requests, mut places) = (vec![], Places::default());
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1u64..) {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if requests.len() >= most.requests {
                let allowed = format!("1..={}", most.requests);
                let detail = format!("must hold {allowed} requests, got more");
                let problem = Problem::field(Kind::InvalidRequest, ALL, detail, Some(allowed));
                return Err(places.tell(problem));
            }
            let root = format!("{ALL}/{}", requests.len());
            places.lines.push(number);
            let read = body::parse_spoken(line, &root, most);
            let (request, spoken) = read.map_err(|problem| match problem.kind {
                Kind::MalformedJson => malformed(number, &problem.detail),
                _ => places.tell(problem),
            })?;
            places.spoken.append(spoken);
            requests.push(request);
        }
        Ok(Lines { requests, places })
    }
}

/// Pointer to the list that the requests become.
const ALL: &str = "#/requests";

/// A line that is no JSON, which its reader took for a whole body.
fn malformed(line: u64, detail: &str) -> Problem {
    let detail = detail.trim_start_matches("the body ").replace(" at line 1 column ", " at column ");
    let mut problem = Problem::new(Kind::MalformedJson, format!("line {line} {detail}"));
    problem.errors = vec![Field { line: Some(line), ..Field::new("#", detail, None) }];
    problem
}

impl Places {
    /// The problem with each pointer leading into the object of its line, and the line.
    fn tell(&self, problem: Problem) -> Problem {
        let mut problem = self.spoken.tell(problem);
        for (number, error) in problem.errors.iter_mut().enumerate() {
            let Some(rest) = error.pointer.strip_prefix(ALL) else { continue };
            let rest = rest.trim_start_matches('/');
            let (index, inside) = rest.split_once('/').unwrap_or((rest, ""));
            let line = index.parse().ok().and_then(|index: usize| self.lines.get(index).copied());
            if number == 0 {
                problem.detail = placed(&problem.detail, index, line);
            }
            error.pointer = if inside.is_empty() { "#".to_owned() } else { format!("#/{inside}") };
            error.line = line;
        }
        problem
    }
}

/// A detail that begins with a place among all requests, with the line instead.
fn placed(detail: &str, index: &str, line: Option<u64>) -> String {
    let Some(rest) = detail.strip_prefix("requests") else { return detail.to_owned() };
    let Some(line) = line else { return format!("the body{rest}") };
    let rest = rest.trim_start_matches('/');
    let rest = rest.strip_prefix(index).unwrap_or(rest);
    match rest.strip_prefix('/') {
        Some(field) => format!("line {line}: {field}"),
        None => format!("line {line}{rest}"),
    }
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

    fn read(bytes: &[u8], requests: usize) -> Answer<Lines> {
        Lines::read(bytes, &most(requests))
    }

    #[test]
    fn lines_are_requests() {
        let lines = read(b"{\"bars\":1,\"custom_id\":\"a\"}\r\n\n{\"bars\":2}", 9).expect("two");
        let bars: Vec<_> = lines.requests.iter().map(|request| request.bars).collect();
        assert_eq!((bars, lines.places.lines), (vec![Some(1), Some(2)], vec![1, 3]));
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_place_in_it() {
        for (bytes, line, pointer, detail) in [
            ("{}\n\n{\"barz\":2}", Some(3), "#/barz", "line 3: barz is no known field; did you mean bars?"),
            ("{}\n{\"n\":-1}", Some(2), "#/n", "line 2: n must be an integer in 1..=64, got integer `-1`"),
            ("{}\n[]", Some(2), "#", "line 2 must be an object, got a list"),
            ("{}\n{\"tempo\":1e400}", Some(2), "#/tempo", "line 2: tempo must be a number"),
            ("{}\n{\"velocity\":[1,true]}", Some(2), "#/velocity/1", "line 2: velocity/1 must be"),
            ("{}\n{}\n{}", None, "#", "the body must hold 1..=2 requests, got more"),
        ] {
            let problem = read(bytes.as_bytes(), 2).expect_err("refused");
            assert_eq!((problem.status().as_u16(), problem.errors.len()), (422, 1), "{problem:?}");
            let error = &problem.errors[0];
            assert_eq!((error.line, error.pointer.as_str()), (line, pointer), "{problem:?}");
            assert!(problem.detail.starts_with(detail), "{}", problem.detail);
            assert!(!error.detail.contains("requests/"), "{}", error.detail);
        }
        let problem = read(b"{}\n{", 9).expect_err("broken");
        assert_eq!((problem.status().as_u16(), problem.errors[0].line), (400, Some(2)));
        assert_eq!(problem.detail, "line 2 is no JSON: EOF while parsing an object at column 1");
    }

    #[test]
    fn what_the_check_says_of_a_batch_is_told_by_line() {
        let lines = read(b"{}\n\n{\"n\":99}", 9).expect("two");
        let problem = |pointer: &str| {
            let told = Problem::field(Kind::InvalidRequest, pointer, "must be less", None);
            let told = lines.places.tell(told);
            (told.errors[0].line, told.errors[0].pointer.clone(), told.detail)
        };
        assert_eq!(
            problem("#/requests/1/variations"),
            (Some(3), "#/n".into(), "line 3: n must be less".into())
        );
        assert_eq!(
            problem("#/requests/0/kit/2"),
            (Some(1), "#/kit/2".into(), "line 1: kit/2 must be less".into())
        );
        assert_eq!(problem("#/requests"), (None, "#".into(), "the body must be less".into()));
        assert_eq!(problem("#/priority"), (None, "#/priority".into(), "priority must be less".into()));
    }
}
