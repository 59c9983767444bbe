//! The one body of every task, whatever its kind and state.

use partita_engine::{Code, Engine, Fault, Metrics, Outcome};
use partita_queue::{Job, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::time::rfc3339;
use crate::problem::{Answer, Body9457, Kind, Problem};

/// A piece of work from its submission to its end.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Task {
    #[schema(pattern = "^tsk_[0-9a-z]{26}$", example = "tsk_01k9h3q0w8t9v5x2c7b4n6m1k0")]
    pub id: String,
    /// The same as `id`.
    #[schema(pattern = "^tsk_[0-9a-z]{26}$", example = "tsk_01k9h3q0w8t9v5x2c7b4n6m1k0")]
    pub task_id: String,
    /// `generate`, `continue`, `infill`, `humanize`, `harmonize`, `arrange`, `song`, `render`, `analyze` or `batch`
    #[schema(example = "generate")]
    pub kind: String,
    /// The model that answers, as `name@version`; null when none is needed.
    #[schema(example = "drums@1")]
    pub model: Option<String>,
    pub status: Status,
    /// Whether `status` will not change any more.
    pub done: bool,
    /// `[0, 1]`
    #[schema(minimum = 0, maximum = 1)]
    pub progress: f64,
    /// What is being done now; null before and after.
    #[schema(example = "generate")]
    pub stage: Option<String>,
    /// Tasks that go first, about; null unless it waits, and in lists.
    pub position: Option<u64>,
    /// Seconds until it will be done, from measured speed; null in lists.
    pub estimated_time: Option<f64>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// Tries so far.
    pub attempts: u32,
    /// What was asked, with seed, model and defaults filled in; secrets and whole files are left out. In lists, one of
    /// more than 64 KiB is `{"omitted_bytes": n}`.
    #[schema(value_type = Object)]
    pub request: Value,
    /// Of a complete task; left out of lists.
    #[schema(value_type = Option<Outcome>)]
    pub result: Option<Value>,
    /// Where the first MIDI file of the result is; left out of lists.
    #[schema(example = "/api/v1/download/fil_01hz3q0w8t9v5x2c7b4n6m1k0j")]
    pub midi_path: Option<String>,
    /// Of a failed task.
    pub error: Option<Body9457>,
    /// Of a complete task; left out of lists.
    pub metrics: Option<Metrics>,
    pub links: Links,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TaskStatus)]
pub enum Status {
    Queued,
    Running,
    Complete,
    Failed,
    Cancelled,
}

impl From<State> for Status {
    fn from(state: State) -> Status {
        match state {
            State::Queued => Status::Queued,
            State::Running => Status::Running,
            State::Complete => Status::Complete,
            State::Failed => Status::Failed,
            State::Cancelled => Status::Cancelled,
        }
    }
}

/// Where to go from a task.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TaskLinks)]
pub struct Links {
    #[serde(rename = "self")]
    pub this: String,
    /// Server-sent events
    pub events: String,
    /// DELETE cancels.
    pub cancel: String,
}

pub fn path(id: &str) -> String {
    format!("/api/v1/tasks/{id}")
}

impl Task {
    /// As it stands in a list: from the job alone, without its result, and with the number of requests and notes it brought
    /// instead of these.
    pub fn listed(job: Job) -> Task {
        // Queues list jobs without their results already.
        let mut task = Task { result: None, ..Task::of(job) };
        for place in ["/requests", "/seed_notes", "/input/notes"] {
            if let Some(list) = task.request.pointer_mut(place)
                && let Some(length) = list.as_array().map(Vec::len)
            {
                *list = length.into();
            }
        }
        task
    }

    /// With its place in the queue and the time to go.
    ///
    /// # Errors
    /// `Unavailable`
    pub async fn whole(job: Job, engine: &Engine) -> Answer<Task> {
        let position = match job.state {
            State::Queued => engine.queue().position(&job.new.id).await?,
            _ => None,
        };
        let estimated_time = Some(if job.state.is_done() { 0.0 } else { engine.estimate(&job).await });
        Ok(Task { position, estimated_time, ..Task::of(job) })
    }

    fn of(mut job: Job) -> Task {
        if let Some(result) = &mut job.result {
            tell_items(result, &job.new.request_id);
        }
        let id = job.new.id.to_string();
        let link = path(&id);
        let done = job.state.is_done();
        let metrics = job.result.as_ref().and_then(|result| result.get("metrics"));
        let fraction = if job.state == State::Complete { 1.0 } else { job.progress.fraction };
        let running = job.state == State::Running && !job.progress.stage.is_empty();
        Task {
            kind: job.new.kind,
            model: Some(job.new.model).filter(|model| !model.is_empty()),
            status: job.state.into(),
            done,
            progress: if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 },
            stage: running.then_some(job.progress.stage),
            position: None,
            estimated_time: done.then_some(0.0),
            created_at: rfc3339(job.created_at),
            started_at: job.started_at.map(rfc3339),
            finished_at: job.finished_at.map(rfc3339),
            attempts: job.attempts,
            request: echo(job.new.request),
            midi_path: job.result.as_ref().and_then(midi_path),
            error: job.error.map(|error| error_body(error, &job.new.request_id)),
            metrics: metrics.and_then(|metrics| serde_json::from_value(metrics.clone()).ok()),
            links: Links { events: format!("{link}/events"), cancel: link.clone(), this: link },
            result: job.result,
            task_id: id.clone(),
            id,
        }
    }

    /// Whether writing it takes long enough to keep other requests waiting.
    pub fn is_large(&self) -> bool {
        let count = |name| {
            let list = self.result.as_ref().and_then(|result| result.get(name)).and_then(Value::as_array);
            list.map_or(0, Vec::len)
        };
        count("notes") > 4000 || count("items") > 16 || count("takes") > 16
    }
}

/// The request as it came, without what must not or need not be told again.
fn echo(request: Value) -> Value {
    let mut body = match request {
        Value::Object(mut map) if map.contains_key("verb") => map.remove("body").unwrap_or_default(),
        other => other,
    };
    hide(&mut body);
    if let Some(requests) = body.get_mut("requests").and_then(Value::as_array_mut) {
        requests.iter_mut().for_each(hide);
    }
    body
}

fn hide(body: &mut Value) {
    if let Some(secret) = body.pointer_mut("/webhook/secret") {
        *secret = "***".into();
    }
    if let Some(input) = body.get_mut("input").and_then(Value::as_object_mut) {
        input.remove("midi");
    }
}

/// Writes the errors of a batch's items as problems, as tasks have theirs.
pub fn tell_items(result: &mut Value, request_id: &str) {
    for item in result.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        let error = item.get_mut("error").filter(|error| error.get("type").is_none());
        if let Some(error) = error.filter(|error| error.is_object()) {
            let problem = error_body(error.take(), request_id);
            *error = serde_json::to_value(problem).unwrap_or_default();
        }
    }
}

fn midi_path(result: &Value) -> Option<String> {
    let files = result.get("files")?.as_array()?;
    let midi = |file: &&Value| file["media_type"].as_str().is_some_and(|text| text.starts_with("audio/midi"));
    files.iter().find(midi)?["url"].as_str().map(ToOwned::to_owned)
}

/// The error of a job as a problem. Queues write `{code, message}` themselves when a job runs out of tries or time.
fn error_body(error: Value, request_id: &str) -> Body9457 {
    let code = error.get("code").cloned().and_then(|code| serde_json::from_value::<Code>(code).ok());
    let message = error.get("message").and_then(Value::as_str).unwrap_or("the task failed").to_owned();
    let problem = match serde_json::from_value::<Fault>(error) {
        Ok(fault) => Problem::from(fault),
        Err(_) => Problem::new(code.map_or(Kind::Internal, Kind::from), message),
    };
    problem.body(request_id)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use partita_queue::{JobId, Lane, NewJob, Progress};
    use serde_json::json;

    pub fn job() -> Job {
        let new = NewJob {
            id: JobId::new(),
            kind: "generate".into(),
            lane: Lane::Generation,
            priority: 5,
            owner: None,
            model: "drums@1".into(),
            request: json!({"verb": "generate", "body": {"bars": 4, "webhook": {"url": "http://x", "secret": "whsec_x"}}}),
            nonce: "0".repeat(32),
            deadline: None,
            max_attempts: 3,
            webhook: None,
            idempotency: None,
            request_id: "req_1".into(),
            trace: String::new(),
        };
        Job {
            new,
            state: State::Queued,
            attempts: 0,
            deaths: 0,
            progress: Progress::default(),
            result: None,
            error: None,
            cancel_requested: false,
            worker: None,
            created_at: 0,
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn secrets_do_not_come_back() {
        let task = Task::of(job());
        assert_eq!(task.request, json!({"bars": 4, "webhook": {"url": "http://x", "secret": "***"}}));
        assert!(!task.done && task.estimated_time.is_none());
    }

    #[test]
    fn lists_count_what_would_make_them_long() {
        let mut batch = job();
        batch.new.request = json!({"verb": "batch", "body": {"requests": [{"bars": 1}, {"bars": 2}]}});
        let items =
            json!([{"index": 0, "status": "failed", "error": {"code": "deadline", "message": "late"}}]);
        batch.result = Some(json!({"items": items}));
        let whole = Task::of(batch.clone());
        assert_eq!(whole.request["requests"][1]["bars"], 2);
        let error = &whole.result.expect("told")["items"][0]["error"];
        assert_eq!((&error["type"], &error["status"]), (&json!("/problems/deadline"), &json!(504)));
        let listed = Task::listed(batch);
        assert_eq!((&listed.request, listed.result), (&json!({"requests": 2}), None));
    }

    #[test]
    fn a_complete_task_names_its_midi_file() {
        let files =
            json!([{"media_type": "audio/wav", "url": "/w"}, {"media_type": "audio/midi", "url": "/m"}]);
        let result = json!({"files": files, "metrics": {"queue_ms": 1.0, "generate_ms": 2.0, "tokens": 3}});
        let task = Task::of(Job { state: State::Complete, result: Some(result), ..job() });
        assert_eq!(task.midi_path.as_deref(), Some("/m"));
        assert_eq!((task.progress, task.done), (1.0, true));
        assert_eq!(task.metrics.expect("told").tokens, 3);
    }

    #[test]
    fn a_failed_task_tells_a_problem_whoever_wrote_the_error() {
        let error =
            |value| Task::of(Job { state: State::Failed, error: Some(value), ..job() }).error.expect("told");
        let parked = error(json!({"code": "gave-up", "message": "tried 3 times", "field": null}));
        assert_eq!((parked.status, parked.detail.as_str()), (500, "tried 3 times"));
        assert_eq!(error(json!({"code": "invalid-midi", "message": "x"})).kind, "/problems/invalid-midi");
        assert_eq!(error(json!("?")).code, "internal");
        assert_eq!(parked.request_id, "req_1");
    }
}
