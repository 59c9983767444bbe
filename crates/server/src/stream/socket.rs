//! A WebSocket on which several tasks can be made, watched, changed and cancelled.
//!
//! In: `{"op":"generate","ref":"a","body":{...},"detach":false,"idempotency_key":"k"}`, `{"op":"cancel","id":...}`,
//! `{"op":"update","id":...,"temperature":0.9}`, `{"op":"ping"}`. Out: `{"event":...,"ref":...,"id":...,...}`.
//! An event `audio` has the number of its `bytes` instead of `b64`; they are the binary message right after it.
//! What is wrong with an operation is answered as event `error`; the socket stays. A socket that closes cancels the
//! tasks that it made, unless they were detached. Each operation is asked for anew whether the caller may still do it.
//!
//! Every end that the server brings about is told by a close frame:
//!
//! | code | why |
//! |---|---|
//! | 1000 | nothing was asked for a while, or the client closed with it |
//! | 1001 | the server is shutting down |
//! | 1002, 1007, 1009 | what came is no WebSocket, no UTF-8 text, or longer than [`MAX_MESSAGE`] |
//! | 1008 | the caller may not be here any more |

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use partita_engine::Request;
use partita_engine::request::Generate;
use partita_queue::{Job, JobId, Role, State as JobState};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::permit::Permit;
use super::watch::Watch;
use crate::App;
use crate::audit::Act;
use crate::problem::{Answer, Kind, Problem};
use crate::routes::call::{self, Call, no_task};
use crate::routes::{submit, tasks};
use crate::wire::{body, body::Most, task::Task};

/// Largest message, bytes.
const MAX_MESSAGE: usize = 1 << 20;
/// Tasks that one socket may watch at once.
const MAX_TASKS: usize = 64;
/// Events that may wait for a slow reader; their tasks' logs hold the rest.
const BUFFER: usize = 32;
/// A reader that takes nothing for this long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the other side may take to answer a goodbye. Less than a server that stops waits for its streams.
const PARTING: Duration = Duration::from_secs(1);

/// `GET /api/v1/stream` with `Upgrade: websocket`
#[utoipa::path(
    get,
    path = "/api/v1/stream",
    tag = "generate",
    operation_id = "socket",
    summary = "Open a WebSocket",
    description = "Operations `generate`, `cancel`, `update` and `ping` go in as JSON, the events of the tasks come out. \
                   A socket that closes cancels the tasks it made, unless they were detached.",
    responses(
        (status = 101, description = "The socket is open"),
        (status = 426, description = "The request asks for no WebSocket", body = crate::problem::Body9457, content_type = "application/problem+json"),
    )
)]
pub async fn open(
    State(app): State<Arc<App>>,
    call: Call,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let upgrade = upgrade.map_err(|error| {
        Problem::new(Kind::UpgradeRequired, format!("this path is a WebSocket: {}", error.body_text()))
            .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
    })?;
    let permit = app.streams.permit(&call.caller)?;
    // One key cannot name all tasks of the socket: each operation may bring its own.
    let call = Call { idempotency: None, ..call };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| Session::new(app, call, permit).run(socket)))
}

const OPERATIONS: &str = "generate, cancel, update or ping";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    #[serde(rename = "op")]
    _op: String,
    #[serde(default, rename = "ref")]
    _name: Option<String>,
    #[serde(default)]
    body: Map<String, Value>,
    #[serde(default)]
    detach: bool,
    #[serde(default)]
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    #[serde(rename = "op")]
    _op: String,
    #[serde(default, rename = "ref")]
    _name: Option<String>,
    id: String,
}

/// What is left is for the task.
#[derive(Deserialize)]
struct Update {
    #[serde(rename = "op")]
    _op: String,
    #[serde(default, rename = "ref")]
    _name: Option<String>,
    id: String,
    #[serde(flatten)]
    parameters: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ping {
    #[serde(rename = "op")]
    _op: String,
    #[serde(default, rename = "ref")]
    _name: Option<String>,
}

/// An event on its way to the socket.
struct Told {
    event: Value,
    /// The binary message after it.
    samples: Option<Vec<u8>>,
}

impl From<Value> for Told {
    fn from(event: Value) -> Told {
        Told { event, samples: None }
    }
}

/// What became of a message.
enum Taken {
    Answer(Value),
    /// The answer comes with the events.
    Later,
    /// The caller may not be here any more.
    Refused(Problem),
}

struct Session {
    app: Arc<App>,
    call: Call,
    /// Tasks to cancel when the socket closes.
    attached: HashSet<JobId>,
    /// Each gives the task, and whether its last event was handed on.
    watchers: JoinSet<(JobId, bool)>,
    events: mpsc::Sender<Told>,
    arrived: mpsc::Receiver<Told>,
    _permit: Permit,
}

impl Session {
    fn new(app: Arc<App>, call: Call, permit: Permit) -> Session {
        let (events, arrived) = mpsc::channel(BUFFER);
        Session {
            app,
            call,
            attached: HashSet::new(),
            watchers: JoinSet::new(),
            events,
            arrived,
            _permit: permit,
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let pace = self.app.pace;
        let start = tokio::time::Instant::now();
        let mut heartbeat = tokio::time::interval_at(start + pace.heartbeat, pace.heartbeat);
        let mut check = tokio::time::interval_at(start + pace.check, pace.check);
        let (mut unanswered, mut used) = (0, Instant::now());
        let parting = self.app.parting.clone();
        loop {
            let mut after = None;
            let answer = tokio::select! {
                message = socket.recv() => {
                    unanswered = 0;
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            used = Instant::now();
                            match self.take(&text).await {
                                Taken::Answer(answer) => Message::Text(answer.to_string().into()),
                                Taken::Later => continue,
                                Taken::Refused(problem) => {
                                    close(&mut socket, close_code::POLICY, &problem.detail).await;
                                    break;
                                }
                            }
                        }
                        Some(Ok(Message::Binary(_))) => {
                            let problem = Problem::new(Kind::InvalidRequest, "messages must be text with one JSON object");
                            Message::Text(self.failed(None, &problem).to_string().into())
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(_))) => {
                            // The answer to it goes out with the next read.
                            let _ = tokio::time::timeout(PARTING, socket.recv()).await;
                            break;
                        }
                        Some(Err(error)) => {
                            if let Some((code, reason)) = fault(error) {
                                goodbye(&mut socket, code, &reason).await;
                            }
                            break;
                        }
                        None => break,
                    }
                }
                Some(told) = self.arrived.recv() => {
                    after = told.samples;
                    Message::Text(told.event.to_string().into())
                }
                Some(ended) = self.watchers.join_next() => {
                    used = Instant::now();
                    if let Ok((id, true)) = ended {
                        self.attached.remove(&id);
                    }
                    continue;
                }
                _ = check.tick() => {
                    if let Err(problem) = self.check().await {
                        close(&mut socket, close_code::POLICY, &problem.detail).await;
                        break;
                    }
                    if self.watchers.is_empty() && used.elapsed() >= pace.idle {
                        close(&mut socket, close_code::NORMAL, "nothing was asked for a while").await;
                        break;
                    }
                    continue;
                }
                _ = heartbeat.tick() => {
                    if unanswered >= 2 {
                        break;
                    }
                    unanswered += 1;
                    Message::Ping(Vec::new().into())
                }
                () = parting.cancelled() => {
                    // What was accepted is finished or given back by whoever shuts down; it is not cancelled.
                    self.attached.clear();
                    self.tell_rest(&mut socket).await;
                    close(&mut socket, close_code::AWAY, "the server is shutting down").await;
                    break;
                }
            };
            let samples = after.map(|samples| Message::Binary(samples.into()));
            if !send(&mut socket, answer, samples, PATIENCE).await {
                break;
            }
        }
        for id in std::mem::take(&mut self.attached) {
            let _ = self.app.engine.queue().cancel(&id).await;
        }
    }

    /// Sends the events that came before the end.
    async fn tell_rest(&mut self, socket: &mut WebSocket) {
        while let Ok(told) = self.arrived.try_recv() {
            let samples = told.samples.map(|samples| Message::Binary(samples.into()));
            if !send(socket, Message::Text(told.event.to_string().into()), samples, PARTING).await {
                return;
            }
        }
    }

    /// # Errors
    /// `Unauthorized` when the caller may not be here any more.
    async fn check(&mut self) -> Answer<()> {
        match self.app.guard.still(&self.call.caller).await {
            Ok(caller) => self.call.caller = caller,
            Err(problem) if problem.kind == Kind::Unauthorized => {
                self.note("GET /api/v1/stream", &problem);
                return Err(problem);
            }
            // While the store is away, operations fail by themselves.
            Err(_) => {}
        }
        Ok(())
    }

    /// Writes a refusal into the audit file.
    fn note(&self, what: &str, problem: &Problem) {
        let status = problem.status().as_u16();
        if matches!(status, 401 | 403 | 429) {
            let caller = &self.call.caller;
            let act = Act { kind: "refused", request_id: &self.call.request_id.0, what, status };
            self.app.guard.note(Some(caller), caller.address, act);
        }
    }

    /// Does one operation; the answer goes out before the events of the task it made.
    async fn take(&mut self, text: &str) -> Taken {
        // The name is told with every answer, so it is read also from what is wrong otherwise.
        let most = Most::of(&self.app.engine.config());
        let value: Value = match body::parse(text.as_bytes(), "#", &most) {
            Ok(value) => value,
            Err(problem) => return Taken::Answer(self.failed(None, &problem)),
        };
        if let Err(problem) = self.check().await {
            return Taken::Refused(problem);
        }
        let name =
            value.get("ref").and_then(Value::as_str).map(|name| name.chars().take(128).collect::<String>());
        let result = self.perform(value, name.as_deref()).await;
        match result {
            Ok(Some(answer)) => Taken::Answer(answer),
            Ok(None) => Taken::Later,
            Err(problem) => {
                self.note("an operation on /api/v1/stream", &problem);
                Taken::Answer(self.failed(name.as_deref(), &problem))
            }
        }
    }

    /// Does one operation; `None` when its answer comes with the events.
    async fn perform(&mut self, op: Value, name: Option<&str>) -> Answer<Option<Value>> {
        let missing = |detail: String| {
            Problem::field(Kind::InvalidRequest, "#/op", detail, Some(OPERATIONS.to_owned()))
        };
        if !op.is_object() {
            let detail = format!("must be an object with op, got {}", shown(&op));
            return Err(Problem::field(Kind::InvalidRequest, "#", detail, None));
        }
        let kind = match &op["op"] {
            Value::Null if op.get("op").is_none() => return Err(missing("is missing".into())),
            Value::String(kind) => kind.clone(),
            other => return Err(missing(format!("must be {OPERATIONS}, got {}", shown(other)))),
        };
        let answer = match kind.as_str() {
            "generate" => self.generate(name, body::of_value(op, "#")?).await,
            "cancel" => {
                let Cancel { id, .. } = body::of_value(op, "#")?;
                self.call.caller.require(Role::User)?;
                let job = tasks::find(&self.app, &self.call, &id).await?;
                let job = self.app.engine.queue().cancel(&job.new.id).await?.ok_or_else(|| no_task(&id))?;
                let (caller, what) = (&self.call.caller, format!("cancel {id} on /api/v1/stream"));
                let act =
                    Act { kind: "action", request_id: &self.call.request_id.0, what: &what, status: 200 };
                self.app.guard.note(Some(caller), caller.address, act);
                let task = Task::whole(job, &self.app.engine).await?;
                Ok(json!({"event": "cancelling", "ref": name, "id": id, "data": task}))
            }
            "update" => {
                let Update { id, parameters, .. } = body::of_value(op, "#")?;
                self.call.caller.require(Role::User)?;
                let job = tasks::find(&self.app, &self.call, &id).await?;
                if !self.app.engine.update(&job.new.id, parameters.into()).await? {
                    let job = tasks::find(&self.app, &self.call, &id).await?;
                    return Err(unchanged(&job));
                }
                self.tell_change(job.new.id, name.map(ToOwned::to_owned));
                return Ok(None);
            }
            "ping" => {
                let Ping { .. } = body::of_value(op, "#")?;
                Ok(json!({"event": "pong", "ref": name}))
            }
            _ => Err(missing(format!("must be {OPERATIONS}, got {}", shown(&kind.into())))),
        };
        answer.map(Some)
    }

    /// Tells whether a task took a change, once it is known: one whose notes are all there, as those of a result out of
    /// the cache, ends without.
    fn tell_change(&mut self, id: JobId, name: Option<String>) {
        let (app, events, request) = (self.app.clone(), self.events.clone(), self.call.request_id.0.clone());
        self.watchers.spawn(async move {
            let answer = match app.engine.finished(&id, app.pace.change).await {
                Ok(job) if job.state.is_done() && !has_changed(&job) => {
                    json!({"event": "error", "ref": name, "problem": unchanged(&job).body(&request)})
                }
                // Where it cannot be asked, it was told all the same.
                _ => json!({"event": "updated", "ref": name, "id": id.as_str()}),
            };
            let _ = events.send(answer.into()).await;
            (id, false)
        });
    }

    async fn generate(&mut self, name: Option<&str>, op: Make) -> Answer<Value> {
        if self.watchers.len() >= MAX_TASKS {
            let detail = format!("at most {MAX_TASKS} tasks may be open on one socket");
            return Err(Problem::new(Kind::TooManyTasks, detail));
        }
        let key = op.idempotency_key.as_deref().map(|key| call::key(key.as_bytes(), "#/idempotency_key"));
        let call = Call { idempotency: key.transpose()?, ..self.call.clone() };
        let (mut request, spoken): (Generate, _) = body::of_value_spoken(op.body.into(), "#/body")?;
        request.stream.get_or_insert(true);
        self.app.guard.admit(&call.caller).await?;
        let request = Request::Generate(Box::new(request));
        let canonical = submit::canonical(&call, &request);
        let accepted = submit::accept(&self.app, &call, request, &canonical).await;
        let accepted = accepted.map_err(|problem| spoken.tell(in_body(problem)))?;
        let id = accepted.job.new.id.clone();
        if !op.detach {
            self.attached.insert(id.clone());
        }
        let watch = Watch::open(&self.app, &id, 0).await?;
        self.watchers.spawn(tell(watch, id.clone(), name.map(ToOwned::to_owned), self.events.clone()));
        Ok(json!({"event": "accepted", "ref": name, "id": id.as_str()}))
    }

    fn failed(&self, name: Option<&str>, problem: &Problem) -> Value {
        json!({"event": "error", "ref": name, "problem": problem.body(&self.call.request_id.0)})
    }
}

/// Whether the notes of a task that has ended were played with other settings than it began with.
fn has_changed(job: &Job) -> bool {
    job.result.as_ref().is_some_and(|result| result["updated"] == true)
}

/// Why a task takes no change.
fn unchanged(job: &Job) -> Problem {
    let why = match job.state {
        JobState::Queued => "the task has not begun; it can be changed while it runs",
        JobState::Running => "the task does not run",
        JobState::Complete => "the task is finished: all its notes are played",
        JobState::Failed => "the task is finished: it failed",
        JobState::Cancelled => "the task is finished: it was cancelled",
    };
    Problem::new(Kind::Conflict, why)
}

/// A value in few words.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        other => other.to_string(),
    }
}

/// Pointers into a request are pointers into the operation that holds it.
fn in_body(mut problem: Problem) -> Problem {
    for error in &mut problem.errors {
        if let Some(rest) = error.pointer.strip_prefix('#') {
            error.pointer = format!("#/body{rest}");
        }
    }
    problem
}

/// Says why the socket closes, and waits for the other side to have heard it.
async fn close(socket: &mut WebSocket, code: CloseCode, reason: &str) {
    goodbye(socket, code, reason).await;
    let heard = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(PARTING, heard).await;
}

async fn goodbye(socket: &mut WebSocket, code: CloseCode, reason: &str) {
    // A control frame holds 125 bytes, two of them for the code.
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    let frame = CloseFrame { code, reason: reason.into() };
    let _ = tokio::time::timeout(PARTING, socket.send(Message::Close(Some(frame)))).await;
}

/// What to say of a message that could not be read; `None` when there is nobody to say it to.
fn fault(error: axum::Error) -> Option<(CloseCode, String)> {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError;
    let error = error.into_inner().downcast::<Error>().ok()?;
    match *error {
        Error::Utf8(_) => Some((close_code::INVALID, "messages must be UTF-8 text, got other bytes".into())),
        Error::Capacity(_) => {
            Some((close_code::SIZE, format!("messages must be at most {MAX_MESSAGE} bytes, got more")))
        }
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(error) => Some((close_code::PROTOCOL, error.to_string())),
        _ => None,
    }
}

/// Takes the samples out of an event, and says how many bytes they are.
fn unpack(data: &mut Value) -> Option<Vec<u8>> {
    let samples = STANDARD.decode(data["b64"].as_str()?).ok()?;
    let fields = data.as_object_mut()?;
    fields.remove("b64");
    fields.insert("bytes".into(), samples.len().into());
    Some(samples)
}

/// Sends one or two messages; `false` when the other side is gone.
async fn send(socket: &mut WebSocket, first: Message, second: Option<Message>, patience: Duration) -> bool {
    for message in std::iter::once(first).chain(second) {
        if !matches!(tokio::time::timeout(patience, socket.send(message)).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

/// Passes the events of a task on until its last; returns its id, and whether the last came through.
async fn tell(
    mut watch: Watch,
    id: JobId,
    name: Option<String>,
    events: mpsc::Sender<Told>,
) -> (JobId, bool) {
    while let Some(mut sent) = watch.next().await {
        let samples = if sent.name == "audio" { unpack(&mut sent.data) } else { None };
        let event = json!({
            "event": sent.name, "ref": name, "id": id.as_str(), "sequence": sent.sequence, "data": sent.data,
        });
        if events.send(Told { event, samples }).await.is_err() {
            break;
        }
        if sent.is_last {
            return (id, true);
        }
    }
    (id, false)
}
