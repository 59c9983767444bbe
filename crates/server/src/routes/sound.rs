//! Sound as clients of ElevenLabs and LocalAI ask for it: words in, a sound file out, on one connection. A client that
//! goes away before cancels the task.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use partita_engine::request::{FileFormat, Generate};
use partita_engine::{Fault, Request};
use partita_queue::{JobId, State as JobState};
use serde::Deserialize;
use utoipa::ToSchema;

use super::call::Call;
use super::generate::{bytes_of, json_body};
use super::submit;
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::stream::live;
use crate::wire::params::Params;
use crate::wire::spoken::Spoken;
use crate::wire::task::Task;

/// How long such a call waits for its sound, unless `Prefer` says otherwise; then it is answered with the task.
const PATIENT: Duration = Duration::from_secs(600);

/// A sound from a text, as ElevenLabs and LocalAI have it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SoundGeneration {
    /// What it should sound like.
    #[schema(min_length = 1, max_length = 2000, example = "rain on a tin roof")]
    pub text: String,
    /// A model, an alias, or `name@version`; chosen if left out.
    pub model_id: Option<String>,
    /// 10 if left out.
    #[schema(minimum = 1, maximum = 300)]
    pub duration_seconds: Option<f64>,
    /// How closely to follow the text, from not at all to a guidance of 10; 0.3 if left out.
    #[schema(minimum = 0, maximum = 1)]
    pub prompt_influence: Option<f64>,
    /// Beats per minute; the model follows it roughly.
    #[schema(minimum = 40, maximum = 300)]
    pub bpm: Option<f64>,
    /// The model follows it roughly.
    #[schema(max_length = 100, example = "F minor")]
    pub keyscale: Option<String>,
    /// The models here do not sing: `true`, or left out.
    pub instrumental: Option<bool>,
    /// Same request and seed, same bytes.
    #[schema(minimum = 0)]
    pub seed: Option<u64>,
}

/// Music from a prompt, as ElevenLabs has it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Music {
    /// What it should sound like.
    #[schema(min_length = 1, max_length = 2000, example = "calm piano with strings")]
    pub prompt: String,
    /// 10000 if left out.
    #[schema(minimum = 1000, maximum = 300_000)]
    pub music_length_ms: Option<u32>,
    /// A model, an alias, or `name@version`; chosen if left out.
    pub model_id: Option<String>,
    /// The models here do not sing: `true`, or left out.
    pub force_instrumental: Option<bool>,
    /// Same request and seed, same bytes.
    #[schema(minimum = 0)]
    pub seed: Option<u64>,
}

/// A request of this API, and the names that its fields came under.
struct Meant {
    request: Generate,
    spoken: Spoken,
}

impl SoundGeneration {
    fn meant(self) -> Answer<Meant> {
        no_voice("instrumental", self.instrumental)?;
        let influence = self.prompt_influence.unwrap_or(0.3);
        if !(0.0..=1.0).contains(&influence) {
            let detail = format!("must be in [0, 1], got {influence}");
            let allowed = Some("[0, 1]".to_owned());
            return Err(Problem::field(Kind::InvalidRequest, "#/prompt_influence", detail, allowed));
        }
        let request = Generate {
            prompt: Some(self.text),
            model: self.model_id,
            seconds: Some(self.duration_seconds.unwrap_or(10.0)),
            guidance: Some((10.0 * influence).max(1.0)),
            tempo: self.bpm,
            key: self.keyscale,
            seed: self.seed,
            ..Generate::default()
        };
        let names =
            [("prompt", "text"), ("model", "model_id"), ("seconds", "duration_seconds"), ("tempo", "bpm")];
        Ok(Meant { request, spoken: Spoken::of(&[&names[..], &[("key", "keyscale")]].concat()) })
    }
}

impl Music {
    fn meant(self) -> Answer<Meant> {
        no_voice("force_instrumental", self.force_instrumental)?;
        let request = Generate {
            prompt: Some(self.prompt),
            model: self.model_id,
            seconds: Some(f64::from(self.music_length_ms.unwrap_or(10_000)) / 1000.0),
            seed: self.seed,
            ..Generate::default()
        };
        let spoken = Spoken::of(&[("model", "model_id"), ("seconds", "music_length_ms")]);
        Ok(Meant { request, spoken })
    }
}

/// # Errors
/// `InvalidRequest` for a caller that wants somebody to sing.
fn no_voice(field: &str, instrumental: Option<bool>) -> Answer<()> {
    if instrumental != Some(false) {
        return Ok(());
    }
    let detail = "must be true or left out: the models here do not sing";
    Err(Problem::field(Kind::InvalidRequest, &format!("#/{field}"), detail, Some("true".into())))
}

/// Make a sound as ElevenLabs and LocalAI do
///
/// The answer is the sound. Closing the connection before cancels the task.
#[utoipa::path(
    post,
    path = "/v1/sound-generation",
    tag = "compatible",
    params(("output_format" = Option<String>, Query, description = "What comes back; `wav` if left out")),
    request_body(content = SoundGeneration, content_type = "application/json"),
    responses(
        (status = 200, description = "The sound", body = Vec<u8>, content_type = "audio/wav"),
        (status = 202, description = "It takes longer than the call waits", body = Task),
    )
)]
pub async fn sound_generation(
    State(app): State<Arc<App>>,
    call: Call,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let format = format(query.as_deref())?;
    let asked: SoundGeneration = json_body(&app, &headers, body).await?;
    run(&app, &call, asked.meant()?, format).await
}

/// Make music as ElevenLabs does
///
/// The answer is the sound. Closing the connection before cancels the task.
#[utoipa::path(
    post,
    path = "/v1/music",
    tag = "compatible",
    params(("output_format" = Option<String>, Query, description = "What comes back; `wav` if left out")),
    request_body(content = Music, content_type = "application/json"),
    responses(
        (status = 200, description = "The sound", body = Vec<u8>, content_type = "audio/wav"),
        (status = 202, description = "It takes longer than the call waits", body = Task),
    )
)]
pub async fn music(
    State(app): State<Arc<App>>,
    call: Call,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let format = format(query.as_deref())?;
    let asked: Music = json_body(&app, &headers, body).await?;
    run(&app, &call, asked.meant()?, format).await
}

fn format(query: Option<&str>) -> Answer<FileFormat> {
    let params = Params::of(query, &["output_format"])?;
    match params.text("output_format") {
        None | Some("wav") => Ok(FileFormat::Wav),
        Some("flac") => Ok(FileFormat::Flac),
        Some("ogg" | "opus") => Ok(FileFormat::Ogg),
        Some(other) => {
            let allowed = "wav, flac or ogg";
            let got: String = other.chars().take(40).collect();
            let detail = format!("must be {allowed}, got {got:?}");
            Err(Problem::field(Kind::InvalidRequest, "output_format", detail, Some(allowed.into())))
        }
    }
}

async fn run(app: &Arc<App>, call: &Call, meant: Meant, format: FileFormat) -> Answer<Response> {
    let Meant { request, spoken } = meant;
    let asked = Generate { files: Some(vec![format]), ..request };
    sounds(app, &asked).await.map_err(|problem| spoken.tell(problem))?;
    let request = Request::Generate(Box::new(asked));
    let canonical = submit::canonical(call, &request);
    let accepted = submit::accept(app, call, request, &canonical).await;
    let accepted = accepted.map_err(|problem| spoken.tell(problem))?;
    let id = accepted.job.new.id.clone();
    // A task that an earlier call made is that call's.
    let mut leaving = Leaving { app: app.clone(), task: (!accepted.replayed).then(|| id.clone()) };
    let job = submit::finished(app, &id, call.prefer.wait(PATIENT)).await?;
    leaving.task = None;
    let mut response = match job.state {
        JobState::Complete => bytes_of(app, job.result).await?,
        JobState::Failed => {
            let fault = job.error.and_then(|error| serde_json::from_value::<Fault>(error).ok());
            let problem =
                fault.map_or_else(|| Problem::new(Kind::Internal, "the task failed"), Problem::from);
            return Err(spoken.tell(problem));
        }
        JobState::Cancelled => return Err(Problem::new(Kind::Cancelled, "the task was cancelled")),
        _ => submit::answer(app, job).await?,
    };
    submit::mark(&mut response, call, accepted.replayed);
    Ok(response)
}

/// # Errors
/// `InvalidRequest` for a model that makes no sound, and all else that is wrong with the request.
async fn sounds(app: &App, request: &Generate) -> Answer<()> {
    match live::check(app, request).await {
        Err(problem) if problem.kind == Kind::NotAcceptable => {
            let detail = "must be a model that makes sound from words";
            Err(Problem::field(Kind::InvalidRequest, "#/model", detail, None))
        }
        checked => checked,
    }
}

/// Cancels its task when nobody waits for it any more.
struct Leaving {
    app: Arc<App>,
    task: Option<JobId>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(id) = self.task.take() else { return };
        // What a server that shuts down has accepted goes back to the queue.
        if self.app.closing.is_cancelled() {
            return;
        }
        let queue = self.app.engine.queue().clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { queue.cancel(&id).await.map(drop) });
        }
    }
}
