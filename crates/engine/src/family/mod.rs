//! Model families: what each can be asked for, and how it answers. A new family is a folder here and a variant of
//! [`Model`]; routes, queues and registries do not change.

use std::collections::HashMap;
use std::ops::ControlFlow;

use partita_queue::Lane;

mod arrange;
mod batch;
mod check;
mod chorale;
mod deliver;
mod drums;
mod harmonic;
mod limits;
mod melody;
mod midi;
mod model;
mod musicgen;
mod song;
mod stage;
mod style;

pub use batch::{JSONL_NAME, jsonl};
pub use check::{Catalogue, Given, check_with};
pub use model::{Description, Model, ModelSource, Stored, compute, describe, describe_source};
pub use partita_models::drums::Sampling;
pub use style::StyleInfo;

use crate::request::{Generate, input};
use crate::{Config, Fault, Note, Outcome, Registry, Request};

/// A request that can be played: complete, so that the same bytes come from it at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// With its seed, model (`name@version`) and every default that decides the result filled in.
    pub request: Request,
    /// `name@version`; empty when no model is needed.
    pub model: String,
    pub lane: Lane,
    /// Files it reads, to be fetched before it is played.
    pub inputs: Vec<String>,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeFile {
    /// Which take it belongs to; `None` for the whole task.
    pub take: Option<usize>,
    /// Which item of a batch.
    pub item: Option<usize>,
    pub name: String,
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// What a request became. `files` lists in `outcome` are empty: whoever stores the files fills them in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    pub outcome: Outcome,
    pub files: Vec<MadeFile>,
}

/// Told while a request is played.
pub trait Report: Send {
    /// `fraction` in `[0, 1]`; `Break` stops the work at the next token.
    fn progress(&mut self, stage: &str, fraction: f64, step: u64, steps: u64) -> ControlFlow<()>;

    /// A bar that will not change any more. `item`: of a batch. Times are beats from the start of the piece.
    fn notes(&mut self, item: Option<usize>, variation: usize, bar: u32, from_beat: f64, notes: Vec<Note>);

    /// Samples that will not change any more. Told only where the request says that somebody listens.
    fn sound(&mut self, _: Sound) {}

    /// What somebody changed of the sampling settings since the last call.
    fn sampling(&mut self) -> Option<Change>;
}

/// Samples of a clip, in the order they sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    pub variation: usize,
    /// How many came before of this variation.
    pub sequence: u64,
    /// Hz
    pub sample_rate: u32,
    pub channels: usize,
    /// 16 bit, little endian, channels in turn: those of a WAV file that is written as it comes.
    pub samples: Vec<u8>,
}

/// New sampling settings; what is left out stays as the request has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    pub temperature: Option<f64>,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
}

impl Change {
    /// This change, and then a `later` one.
    pub fn then(self, later: Change) -> Change {
        Change {
            temperature: later.temperature.or(self.temperature),
            top_k: later.top_k.or(self.top_k),
            top_p: later.top_p.or(self.top_p),
        }
    }

    /// `sampling` with this change.
    pub fn of(self, sampling: Sampling) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(sampling.temperature),
            top_k: self.top_k.unwrap_or(sampling.top_k),
            top_p: self.top_p.unwrap_or(sampling.top_p),
        }
    }
}

/// Checks a request against the catalogue: chooses the model, fills in the seed and all defaults.
///
/// # Errors
/// Everything wrong with it, each with its pointer and what is allowed.
pub fn check(request: Request, registry: &Registry, config: &Config) -> Result<Checked, Fault> {
    check_with(request, None, registry, config)
}

/// As [`check`], also against the file that the request names.
///
/// # Errors
/// As [`check`]; those of the file point to where it was `given`.
pub fn check_given(
    request: Request,
    given: Given,
    registry: &Registry,
    config: &Config,
) -> Result<Checked, Fault> {
    check_with(request, Some(given), registry, config)
}

/// Checks that an uploaded file is a MIDI file that can be worked on.
///
/// # Errors
/// `InvalidMidi` with the pointer `#/file`.
pub fn check_upload(bytes: &[u8]) -> Result<(), Fault> {
    input::check_file(bytes)
}

/// Plays a checked request. Blocks; calls `report` often. `model`: [`with`](Model::with) others where the request names several;
/// `inputs`: bytes by file id.
///
/// # Errors
/// `Cancelled` after `report` broke off; `InvalidMidi`, `InvalidRequest`, `Internal`.
pub fn play(
    request: &Request,
    model: Option<&Model>,
    inputs: &HashMap<String, Vec<u8>>,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let needed = || model.ok_or_else(|| Fault::internal("a request that needs a model came without one"));
    model.map_or(Ok(()), |model| model.is_for(request))?;
    match request {
        Request::Generate(request) => generate(needed()?, request, report),
        Request::Continue(request) => {
            let music = input::read(&request.input, inputs)?;
            match needed()? {
                Model::Drums(model) => drums::play::continue_(model, request, &music, report),
                Model::Melody(model) => melody::play::continue_(model, request, &music, report),
                other => Err(other.cannot("continue")),
            }
        }
        Request::Infill(request) => {
            let music = input::read(&request.input, inputs)?;
            match needed()? {
                Model::Drums(model) => drums::play::infill(model, request, &music, report),
                Model::Melody(model) => melody::play::infill(model, request, &music, report),
                Model::Chorale(model) => chorale::play::infill(model, request, &music, report),
                other => Err(other.cannot("infill")),
            }
        }
        Request::Humanize(request) => {
            let music = input::read(&request.input, inputs)?;
            match needed()? {
                Model::Drums(model) => drums::play::humanize(model, request, &music, report),
                other => Err(other.cannot("humanize")),
            }
        }
        Request::Harmonize(request) => {
            let music = input::read(&request.input, inputs)?;
            match needed()? {
                Model::Melody(model) => melody::play::harmonize(model, request, &music, report),
                Model::Chorale(model) => chorale::play::harmonize(model, request, &music, report),
                other => Err(other.cannot("harmonize")),
            }
        }
        Request::Arrange(request) => {
            let music = input::read(&request.input, inputs)?;
            match needed()? {
                Model::Arrange(model) => arrange::play::arrange(model, request, &music, report),
                other => Err(other.cannot("arrange")),
            }
        }
        Request::Song(request) => match needed()? {
            Model::Song(model) => song::play::song(model, request, report),
            other => Err(other.cannot("write a song")),
        },
        Request::Render(request) => midi::render(request, &input::read(&request.input, inputs)?, report),
        Request::Analyze(request) => midi::analyze(request, &input::read(&request.input, inputs)?, report),
        Request::Batch(request) => batch::play(needed()?, request, report),
    }
}

fn generate(model: &Model, request: &Generate, report: &mut dyn Report) -> Result<Made, Fault> {
    match model {
        Model::Drums(model) => drums::play::generate(model, request, report),
        Model::Melody(model) => melody::play::generate(model, request, report),
        Model::Chorale(model) => chorale::play::generate(model, request, report),
        Model::MusicGen(model) => musicgen::play::generate(model, request, report),
        other => Err(other.cannot("generate")),
    }
}
