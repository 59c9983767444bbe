//! New music: as a task, and as one plain file.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use partita_engine::request::{FileFormat, Generate, Song};
use partita_engine::{Fault, File, Outcome, Request};
use partita_queue::State as JobState;

use super::call::Call;
use super::{download, submit};
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::body::{self, Most};
use crate::wire::params::Params;
use crate::wire::spoken::Spoken;
use crate::wire::{disposition, task::Task};

/// Reads a JSON body as a `T`.
///
/// # Errors
/// As [`body::json`] and [`body::collect`].
pub async fn json_body<T: serde::de::DeserializeOwned + Send + 'static>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Answer<T> {
    json_spoken(app, headers, body).await.map(|(value, _)| value)
}

/// As [`json_body`], with the fields that came under another name.
///
/// # Errors
/// As [`json_body`].
pub async fn json_spoken<T: serde::de::DeserializeOwned + Send + 'static>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Answer<(T, Spoken)> {
    let said = body::said(headers)?;
    let config = app.engine.config();
    let limit = config.server.max_body_mb.saturating_mul(1 << 20);
    let bytes = body::collect(body, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    body::json(said, bytes, Most::of(&config)).await
}

/// Make new music
///
/// The answer is the task: complete with its result when it ended in time, else as it stands, to be asked for again.
/// A task that failed in time is also answered with 200: its `status` is `failed` and `error` says why.
#[utoipa::path(
    post,
    path = "/api/v1/generate",
    tag = "generate",
    request_body(content = Generate, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn generate(
    State(app): State<Arc<App>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let (request, spoken): (Generate, _) = json_spoken(&app, &headers, body).await?;
    let answer = submit::run(&app, &call, Request::Generate(Box::new(request))).await;
    answer.map_err(|problem| spoken.tell(problem))
}

/// Make a song: melody, chords, bass and drums
///
/// Aligned tracks of one file, and with `stems` a WAV file of each. `made` of each take says who made what.
#[utoipa::path(
    post,
    path = "/api/v1/song",
    tag = "generate",
    request_body(content = Song, content_type = "application/json"),
    responses(
        (status = 200, description = "The task has ended: `status` says how", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn song(
    State(app): State<Arc<App>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let (request, spoken): (Song, _) = json_spoken(&app, &headers, body).await?;
    let answer = submit::run(&app, &call, Request::Song(Box::new(request))).await;
    answer.map_err(|problem| spoken.tell(problem))
}

const SIMPLE: [&str; 17] = [
    "model",
    "style",
    "bars",
    "tempo",
    "seed",
    "density",
    "swing",
    "fill",
    "key",
    "chords",
    "progression",
    "mood",
    "profile",
    "temperature",
    "top_k",
    "top_p",
    "format",
];

/// Make new music with nothing but a URL
///
/// Answers with the file itself, or with the task for `format=json`. A task that takes longer than the server waits is
/// answered with 202.
#[utoipa::path(
    get,
    path = "/api/v1/generate/simple",
    tag = "generate",
    params(
        ("model" = Option<String>, Query, description = "A model, an alias, or `name@version`"),
        ("style" = Option<String>, Query, description = "A style or profile of the model", example = "funk"),
        ("bars" = Option<u32>, Query, description = "Bars to play", example = 4),
        ("tempo" = Option<f64>, Query, description = "Beats per minute"),
        ("seed" = Option<u64>, Query, description = "Same request and seed, same bytes"),
        ("density" = Option<f64>, Query, description = "From sparse to busy"),
        ("swing" = Option<f64>, Query, description = "Place of the off-beat sixteenth"),
        ("fill" = Option<bool>, Query, description = "The last bar is a fill"),
        ("key" = Option<String>, Query, description = "Key of a melody", example = "D minor"),
        ("chords" = Option<String>, Query, description = "Chords under a melody"),
        ("progression" = Option<String>, Query, description = "Chords under a melody, as Roman numerals"),
        ("mood" = Option<String>, Query, description = "Mood whose chords are drawn"),
        ("profile" = Option<String>, Query, description = "Sampling settings from the configuration"),
        ("temperature" = Option<f64>, Query, description = "`(0, 4]`"),
        ("top_k" = Option<u32>, Query, description = "Only the k likeliest tokens; 0 for all"),
        ("top_p" = Option<f64>, Query, description = "`(0, 1]`"),
        ("format" = Option<String>, Query, description = "What comes back; `mid` if left out"),
    ),
    responses(
        (status = 200, description = "The music", body = Task),
        (status = 202, description = "The task waits or runs", body = Task),
    )
)]
pub async fn simple(State(app): State<Arc<App>>, call: Call, RawQuery(query): RawQuery) -> Answer<Response> {
    let params = Params::of(query.as_deref(), &SIMPLE)?;
    let format = match params.text("format") {
        None | Some("mid") => SimpleFormat::Mid,
        Some("json") => SimpleFormat::Json,
        Some("wav") => SimpleFormat::Wav,
        Some(_) => {
            return Err(params.read::<u8>("format", "mid, json or wav").err().unwrap_or_else(no_format));
        }
    };
    let text = |name| params.text(name).map(ToOwned::to_owned);
    let request = Generate {
        model: text("model"),
        style: text("style"),
        profile: text("profile"),
        key: text("key"),
        chords: text("chords"),
        progression: text("progression"),
        mood: text("mood"),
        bars: params.read("bars", "an integer in 1..=32")?,
        tempo: params.read("tempo", "a number in 40..=300")?,
        seed: params.read("seed", "an integer in 0..=18446744073709551615")?,
        density: params.read("density", "a number in 0..=1")?,
        swing: params.read("swing", "a number in 0.5..=0.75")?,
        fill: params.read("fill", "true or false")?,
        temperature: params.read("temperature", "a number above 0 and at most 4")?,
        top_k: params.read("top_k", "an integer in 0..=100000")?,
        top_p: params.read("top_p", "a number above 0 and at most 1")?,
        files: (format == SimpleFormat::Wav).then(|| vec![FileFormat::Wav]),
        ..Generate::default()
    };
    let request = Request::Generate(Box::new(request));
    if format == SimpleFormat::Json {
        return submit::run(&app, &call, request).await.map_err(in_query);
    }
    let canonical = submit::canonical(&call, &request);
    let accepted = submit::accept(&app, &call, request, &canonical).await.map_err(in_query)?;
    let wait = call.prefer.wait(submit::usual_wait(&app));
    let job = submit::finished(&app, &accepted.job.new.id, wait).await?;
    let mut response = match job.state {
        JobState::Complete => bytes_of(&app, job.result).await?,
        JobState::Failed => {
            let fault = job.error.and_then(|error| serde_json::from_value::<Fault>(error).ok());
            return Err(fault.map_or_else(|| Problem::new(Kind::Internal, "the task failed"), Problem::from));
        }
        JobState::Cancelled => return Err(Problem::new(Kind::Cancelled, "the task was cancelled")),
        _ => submit::answer(&app, job).await?,
    };
    submit::mark(&mut response, &call, accepted.replayed);
    Ok(response)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SimpleFormat {
    Mid,
    Json,
    Wav,
}

fn no_format() -> Problem {
    Problem::field(Kind::InvalidRequest, "format", "must be mid, json or wav", None)
}

/// Pointers into a body that is a query are names of its parameters.
fn in_query(mut problem: Problem) -> Problem {
    for error in &mut problem.errors {
        error.pointer = error.pointer.trim_start_matches("#/").to_owned();
    }
    problem
}

/// The first file of a result.
///
/// # Errors
/// `Internal` for one without files, `NotFound`, `Unavailable`.
pub async fn bytes_of(app: &Arc<App>, result: Option<serde_json::Value>) -> Answer<Response> {
    let cache = submit::cache_status(result.as_ref());
    let outcome: Outcome = result.and_then(|result| serde_json::from_value(result).ok()).unwrap_or_default();
    let file = outcome.files.first().ok_or_else(|| Problem::new(Kind::Internal, "the task made no file"))?;
    let mut response = Response::new(download::read(app.clone(), file.file_id.clone(), 0..file.bytes).await?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, file.bytes.into());
    headers.extend(
        cache.map(|cache| (HeaderName::from_static("cache-status"), HeaderValue::from_static(cache))),
    );
    for (name, value) in headers_of(file, outcome.seed) {
        headers.insert(name, value);
    }
    Ok(response)
}

fn headers_of(file: &File, seed: Option<u64>) -> Vec<(HeaderName, HeaderValue)> {
    let kind = HeaderValue::from_str(&file.media_type);
    let mut headers = vec![
        (header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream"))),
        (header::CONTENT_DISPOSITION, disposition::attachment(&file.name)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    headers.extend(HeaderValue::from_str(&file.url).ok().map(|url| (header::CONTENT_LOCATION, url)));
    headers.extend(seed.map(|seed| (HeaderName::from_static("x-seed"), seed.into())));
    headers
}
