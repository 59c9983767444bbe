//! Work on given music: JSON with an `input`, or a form with the MIDI file itself.

use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use partita_engine::family::Given;
use partita_engine::request::{Analyze, Arrange, Continue, Harmonize, Humanize, Infill, Input, Render};
use partita_engine::{Artifacts, Fault, Request, family};
use partita_queue::Role;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::call::Call;
use super::generate::json_spoken;
use super::submit;
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::webhook;
use crate::wire::form::{self, Form};
use crate::wire::task::Task;
use crate::wire::{body, form::Upload};

/// A verb whose music comes with it.
trait OnInput: DeserializeOwned + Send + 'static {
    fn input(&mut self) -> &mut Input;
    fn wrap(self) -> Request;
}

macro_rules! on_input {
    ($($name:ident)*) => { $(
        impl OnInput for $name {
            fn input(&mut self) -> &mut Input {
                &mut self.input
            }
            fn wrap(self) -> Request {
                Request::$name(Box::new(self))
            }
        }
    )* };
}

on_input!(Continue Infill Humanize Harmonize Arrange Render Analyze);

/// # Errors
/// As [`submit::run`]; `UnsupportedMediaType`, `TooLarge`.
async fn run<T: OnInput>(app: &App, call: &Call, request: HttpRequest) -> Answer<Response> {
    call.caller.require(Role::User)?;
    let kind = body::media_type(request.headers());
    if kind.as_deref() == Some("multipart/form-data") {
        let form = form::read(request, max_upload(app)).await?;
        return run_form::<T>(app, call, form).await;
    }
    let headers = request.headers().clone();
    let read = json_spoken(app, &headers, request.into_body()).await;
    let (request, spoken): (T, _) = read.map_err(|mut problem| {
        if problem.kind == Kind::UnsupportedMediaType {
            let got = kind.as_deref().unwrap_or_default();
            problem = body::unsupported(got, "application/json or multipart/form-data");
        }
        problem
    })?;
    submit::run(app, call, request.wrap()).await.map_err(|problem| spoken.tell(problem))
}

/// # Errors
/// As [`run`].
async fn run_form<T: OnInput>(app: &App, call: &Call, form: Form) -> Answer<Response> {
    let (request, spoken): (T, _) = body::of_value_spoken(form.fields.into(), "#")?;
    let answer = match form.file {
        Some(file) => run_upload(app, call, request, file).await,
        None => submit::run(app, call, request.wrap()).await,
    };
    answer.map_err(|problem| spoken.tell(problem))
}

/// # Errors
/// As [`run`].
async fn run_upload<T: OnInput>(app: &App, call: &Call, mut request: T, file: Upload) -> Answer<Response> {
    let Upload { name, bytes } = file;
    if *request.input() != Input::default() {
        return Err(Problem::field(Kind::InvalidRequest, "#/input", "must be left out beside a file", None));
    }
    // The same file sent twice is the same request, though each upload has a name of its own.
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    request.input().file_id = Some(hash);
    let mut request = request.wrap();
    let canonical = submit::canonical(call, &request);
    if let Some(accepted) = submit::replay(app, call, &canonical).await? {
        return submit::answered(app, call, accepted).await;
    }
    let bytes = check(app, &mut request, bytes).await?;
    let upload = app.engine.upload(&name, bytes).await?;
    set_file(&mut request, upload.id);
    submit::run_as(app, call, request, &canonical).await
}

/// Checks everything, the file too, before that is stored; gives its bytes back.
async fn check(app: &App, request: &mut Request, bytes: Vec<u8>) -> Answer<Vec<u8>> {
    let config = app.engine.config();
    webhook::check_request(request, &config)?;
    set_file(request, Artifacts::random_id());
    let (registry, request) = (app.engine.registry().clone(), request.clone());
    let check = move || {
        let given = Given { bytes: &bytes, field: "file" };
        family::check_given(request, given, &registry, &config)?;
        Ok::<_, Fault>(bytes)
    };
    let checked = tokio::task::spawn_blocking(check).await;
    Ok(checked.map_err(|_| Problem::new(Kind::Internal, "the request could not be checked"))??)
}

fn set_file(request: &mut Request, id: String) {
    let input = match request {
        Request::Continue(request) => &mut request.input,
        Request::Infill(request) => &mut request.input,
        Request::Humanize(request) => &mut request.input,
        Request::Harmonize(request) => &mut request.input,
        Request::Arrange(request) => &mut request.input,
        Request::Render(request) => &mut request.input,
        Request::Analyze(request) => &mut request.input,
        Request::Generate(_) | Request::Song(_) | Request::Batch(_) => return,
    };
    input.file_id = Some(id);
}

pub fn max_upload(app: &App) -> usize {
    usize::try_from(app.engine.config().server.max_upload_mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

/// Play on after given bars
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/continue",
    tag = "generate",
    operation_id = "continue",
    request_body(content = Continue, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn continue_(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Continue>(&app, &call, request).await
}

/// Play some bars or drums anew and keep the rest
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/infill",
    tag = "generate",
    request_body(content = Infill, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn infill(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Infill>(&app, &call, request).await
}

/// Give notes the timing and velocity of a player
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/humanize",
    tag = "generate",
    request_body(content = Humanize, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn humanize(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Humanize>(&app, &call, request).await
}

/// Write chords for a melody, or with the model `chorale` the voices that are missing of four
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/harmonize",
    tag = "generate",
    request_body(content = Harmonize, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn harmonize(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Harmonize>(&app, &call, request).await
}

/// Play a bass and a piano under a melody and its chords
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/arrange",
    tag = "generate",
    request_body(content = Arrange, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn arrange(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Arrange>(&app, &call, request).await
}

/// Make sound from notes
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/render",
    tag = "generate",
    request_body(content = Render, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn render(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Render>(&app, &call, request).await
}

/// Tell what is in a MIDI file
///
/// Music comes as `input`, or as `file` of a form whose other fields are those of the JSON body.
#[utoipa::path(
    post,
    path = "/api/v1/analyze",
    tag = "generate",
    request_body(content = Analyze, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn analyze(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    run::<Analyze>(&app, &call, request).await
}

/// Play on after an uploaded MIDI file
///
/// The same as `/api/v1/continue` with a form.
#[utoipa::path(
    post,
    path = "/api/v1/generate/from-midi",
    tag = "generate",
    request_body(content = Continue, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn from_midi(State(app): State<Arc<App>>, call: Call, request: HttpRequest) -> Answer<Response> {
    call.caller.require(Role::User)?;
    let kind = body::media_type(request.headers()).unwrap_or_default();
    if kind != "multipart/form-data" {
        return Err(body::unsupported(&kind, "multipart/form-data"));
    }
    let form = form::read(request, max_upload(&app)).await?;
    if form.file.is_none() {
        return Err(Problem::field(Kind::InvalidRequest, "#/file", "is missing", None));
    }
    run_form::<Continue>(&app, &call, form).await
}
