//! The sound of one task while it is made: a WAV file whose end nobody knows yet.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use partita_audio::{WavFormat, WavWriter};
use partita_engine::request::Generate;
use partita_engine::{Code, Fault, Request, family};
use partita_queue::JobId;
use serde_json::Value;

use super::permit::Permit;
use super::watch::Watch;
use crate::App;
use crate::guard::Caller;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::accept;

/// What is sent.
pub const MEDIA: &str = "audio/wav";

/// Whether a request makes one sound that can be sent while it is made.
///
/// # Errors
/// `NotAcceptable` for a model that makes none, `InvalidRequest`, and all else that is wrong with the request.
pub async fn check(app: &App, request: &Generate) -> Answer<()> {
    if request.stream == Some(false) {
        let detail = format!("must be true or left out with Accept: {MEDIA}, got false");
        return Err(Problem::field(Kind::InvalidRequest, "#/stream", detail, None));
    }
    let (registry, config) = (app.engine.registry().clone(), app.engine.config());
    let asked = Request::Generate(Box::new(Generate { stream: Some(true), ..request.clone() }));
    let checked = tokio::task::spawn_blocking(move || family::check(asked, &registry, &config)).await;
    let checked = checked.map_err(|_| Problem::new(Kind::Internal, "the request could not be checked"))??;
    let Request::Generate(checked) = checked.request else { return Ok(()) };
    if checked.stream != Some(true) {
        return Err(accept::refused("text/event-stream"));
    }
    if let Some(got) = checked.variations.filter(|variations| *variations > 1) {
        let allowed = format!("1 with Accept: {MEDIA}");
        let detail = format!("must be {allowed}, got {got}");
        return Err(Problem::field(Kind::InvalidRequest, "#/variations", detail, Some(allowed)));
    }
    Ok(())
}

/// Sends the sound of a task from its beginning, as long as the caller may have it. The answer begins with the first
/// sound; a task that ends without any is a problem. One that fails later breaks the connection off.
///
/// # Errors
/// That of the task, `NotFound`, `Unavailable`, `Draining`.
pub async fn respond(app: &Arc<App>, caller: &Caller, permit: Permit, id: &JobId) -> Answer<Response> {
    let watch = Watch::open(app, id, 0).await?;
    let check = tokio::time::interval_at(tokio::time::Instant::now() + app.pace.check, app.pace.check);
    let mut live = Live {
        app: app.clone(),
        caller: caller.clone(),
        watch,
        check,
        next: 0,
        ended: false,
        begun: None,
        _permit: permit,
    };
    live.begun = Some(live.first().await?);
    let sound = stream::unfold(live, async |mut live| live.next().await.map(|part| (part, live)));
    let mut response = Response::new(Body::from_stream(sound));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

struct Live {
    app: Arc<App>,
    caller: Caller,
    watch: Watch,
    check: tokio::time::Interval,
    /// Number of the part that comes next. A task that begins anew makes the same parts again.
    next: u64,
    ended: bool,
    /// What goes out first.
    begun: Option<Bytes>,
    _permit: Permit,
}

/// What came of a task.
enum Came {
    /// The data of an event `audio`.
    Sound(Value),
    Complete,
    /// The problem of a task that failed or was cancelled, or that can no longer be followed.
    Broken(Problem),
}

impl Live {
    /// The head of the file and the first part.
    async fn first(&mut self) -> Answer<Bytes> {
        match self.come().await {
            Came::Sound(data) => {
                let number = |name: &str| data[name].as_u64().and_then(|number| u32::try_from(number).ok());
                let (rate, channels) = (number("sample_rate").unwrap_or(0), number("channels").unwrap_or(0));
                let failed = |_| Problem::new(Kind::Internal, "the sound cannot be written");
                let head = WavWriter::new(Vec::new(), rate, channels as usize, WavFormat::Int16, None);
                let mut bytes = head.and_then(WavWriter::finish).map_err(failed)?;
                bytes.extend(samples(&data).ok_or_else(|| Problem::new(Kind::Internal, "no samples"))?);
                Ok(bytes.into())
            }
            Came::Complete => Err(Problem::new(Kind::Internal, "the task made no sound")),
            Came::Broken(problem) => Err(problem),
        }
    }

    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if let Some(begun) = self.begun.take() {
            return Some(Ok(begun));
        }
        if self.ended {
            return None;
        }
        match self.come().await {
            Came::Sound(data) => match samples(&data) {
                Some(part) => Some(Ok(part.into())),
                None => self.broken("a part of the sound cannot be read"),
            },
            Came::Complete => None,
            Came::Broken(problem) => self.broken(&problem.detail),
        }
    }

    /// Breaks the connection off: whoever listens must not take a part for the whole.
    fn broken(&mut self, why: &str) -> Option<std::io::Result<Bytes>> {
        self.ended = true;
        Some(Err(std::io::Error::other(why.to_owned())))
    }

    /// The next part that was not sent yet, or the end.
    async fn come(&mut self) -> Came {
        loop {
            let sent = tokio::select! {
                biased;
                _ = self.check.tick() => {
                    match self.app.guard.still(&self.caller).await {
                        Ok(caller) => self.caller = caller,
                        Err(problem) if problem.kind == Kind::Unauthorized => return Came::Broken(problem),
                        // While the store is away, nothing new comes that could be withheld.
                        Err(_) => {}
                    }
                    continue;
                }
                sent = self.watch.next() => sent,
            };
            let Some(sent) = sent else {
                let problem = Problem::new(Kind::Draining, "the task can no longer be followed here");
                return Came::Broken(problem.retry_after(5));
            };
            match sent.name {
                "audio" if sent.data["variation"] == 0 => {
                    let number = sent.data["seq"].as_u64().unwrap_or(u64::MAX);
                    if number == self.next {
                        self.next += 1;
                        return Came::Sound(sent.data);
                    }
                    if number > self.next {
                        return Came::Broken(Problem::new(Kind::Internal, "a part of the sound was lost"));
                    }
                }
                "complete" => return Came::Complete,
                _ if sent.is_last => return Came::Broken(end(&sent.data)),
                _ => {}
            }
        }
    }
}

fn samples(data: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(data["b64"].as_str()?).ok()
}

/// What became of a task that made no whole sound.
fn end(task: &Value) -> Problem {
    let code = serde_json::from_value::<Code>(task["error"]["code"].clone()).ok();
    match (task["error"]["detail"].as_str(), code) {
        (Some(detail), code) => Fault::new(code.unwrap_or(Code::Internal), detail).into(),
        (None, _) => Problem::new(Kind::Cancelled, "the task was cancelled"),
    }
}
