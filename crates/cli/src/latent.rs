//! What the commands share that play a MusicVAE: which model, how music is read, how points are played, and what is told
//! of the result.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use partita_kernels::Compute;
use partita_models::latent::{
    Choice, Error as LatentError, Example, Format, LatentConfig, LatentModel, Played, Playing,
};
use partita_models::music_vae::{Error as NetworkError, Posterior, Progress};
use partita_score::picture::{piano_roll, piano_rolls};
use partita_score::{NoteSequence, Score};
use serde_json::{Value, json};

use crate::commands::Place;
use crate::deliver::{Delivery, Input};
use crate::error::{Error, Kind, Result};
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{cancel, model, options, progress};

/// How a file is read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reading")]
pub struct Reading {
    /// Bar to begin with, the first is 1; the first bars with notes if left out
    #[arg(long, value_name = "BAR", value_parser = options::bar, allow_negative_numbers = true)]
    from_bar: Option<u32>,
    /// Take the top line where several notes sound together
    #[arg(long)]
    extract_melody: bool,
}

impl Reading {
    fn choice(&self) -> Choice {
        Choice { from_bar: self.from_bar, extract_melody: self.extract_melody }
    }

    /// The part of a file that the model reads.
    ///
    /// # Errors
    /// The rule that the file breaks, with its name.
    pub fn example(&self, model: &LatentModel, input: &Input) -> Result<Example> {
        model.read(&input.sequence()?, self.choice()).map_err(|error| match error {
            LatentError::Range { field: "from-bar", .. } => {
                Error::usage("from-bar", format!("{}: {error}", input.name))
            }
            error => Error::new(Kind::Failed, "input", format!("{}: {error}", input.name)),
        })
    }

    /// The parts of several files.
    ///
    /// # Errors
    /// As [`example`](Self::example).
    pub fn examples(&self, model: &LatentModel, inputs: &[crate::output::Target]) -> Result<Vec<Example>> {
        inputs.iter().map(|target| self.example(model, &Input::read(target)?)).collect()
    }

    /// The first option that was given.
    pub fn given(&self) -> Option<&'static str> {
        self.from_bar.map(|_| "from-bar").or(self.extract_melody.then_some("extract-melody"))
    }

    pub fn echo(&self, line: &mut CommandLine) {
        line.maybe("from-bar", self.from_bar);
        line.flag("extract-melody", self.extract_melody);
    }
}

/// How points are played.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Playing")]
pub struct Drawing {
    /// Number all randomness comes from; drawn and printed if left out
    #[arg(long, value_parser = options::seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Boldness, [0, 4]: 0 plays the likeliest steps, above 1 is wild; 0.5 for new pieces, else 0
    #[arg(long, value_parser = options::any_temperature, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Quarter notes a minute; those of the input, or 120
    #[arg(long, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: Option<f64>,
    /// Chords to play over, spread evenly (models with chords)
    #[arg(long, value_name = "'C Am F G'")]
    chords: Option<String>,
}

/// The settings of one run.
pub struct Settings {
    pub seed: u64,
    temperature: f64,
    tempo: f64,
    chords: Option<String>,
    controls: Option<Vec<f32>>,
}

impl Drawing {
    /// The first option that was given and that other models have nothing for.
    pub fn of_latent(&self) -> Option<&'static str> {
        self.tempo.map(|_| "tempo").or(self.chords.as_ref().map(|_| "chords"))
    }

    /// The settings, with what is left out filled in: `heard` is the tempo of the input.
    ///
    /// # Errors
    /// Chords that the model does not know.
    pub fn settings(&self, model: &LatentModel, heard: Option<f64>, usual: f64) -> Result<Settings> {
        let symbols: Vec<&str> = self.chords.iter().flat_map(|text| text.split_whitespace()).collect();
        let controls = if symbols.is_empty() && heard.is_some() {
            // The chords of the input, if it has some.
            None
        } else {
            model.chord_controls(&symbols).map_err(|error| Error::usage("chords", error))?
        };
        Ok(Settings {
            seed: self.seed.unwrap_or_else(options::random_seed),
            temperature: self.temperature.unwrap_or(usual),
            tempo: self.tempo.or(heard).unwrap_or(NoteSequence::DEFAULT_QPM),
            chords: self.chords.clone(),
            controls,
        })
    }
}

impl Settings {
    pub fn playing(&self) -> Playing<'_> {
        Playing {
            temperature: self.temperature as f32,
            seed: self.seed,
            tempo: self.tempo,
            controls: self.controls.as_deref(),
        }
    }

    pub fn echo(&self, line: &mut CommandLine) {
        line.option("seed", self.seed);
        line.option("temperature", self.temperature);
        line.option("tempo", self.tempo);
        line.maybe("chords", self.chords.as_ref());
    }
}

/// The model that was asked for, `usual` if none was: inside the program, in a file or folder, or in the store.
///
/// # Errors
/// [`Kind::NotFound`] for a name that nobody knows, with what to do; a model of another kind or a damaged one.
pub fn open(session: &Session, place: &Place, usual: &str) -> Result<LatentModel> {
    let named = session.model.as_ref().map_or_else(|| usual.into(), |path| path.to_string_lossy());
    if let Some(model) = LatentModel::bundled(&named, None) {
        return Ok(model?);
    }
    let path = Path::new(&*named);
    if path.exists() || Path::new(&format!("{named}.index")).exists() {
        return Ok(LatentModel::open(&called(path), path, None)?);
    }
    let installed = place.find(session, &named)?;
    Ok(LatentModel::open(installed.called(), &installed.folder, None)?)
}

/// Whether `--model` names a MusicVAE rather than a drummer.
pub fn is_asked_for(session: &Session) -> bool {
    let Some(path) = &session.model else { return false };
    let name = path.to_string_lossy();
    let family = || {
        let config = std::fs::read(path.join("model.json")).ok()?;
        Some(serde_json::from_slice::<Value>(&config).ok()?["family"] == LatentConfig::FAMILY)
    };
    LatentModel::bundled_names().any(|bundled| bundled == name)
        || family().unwrap_or_else(|| Format::published(&called(path)).is_some())
}

/// What a path says of a model: its own name, and that of its folder.
fn called(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut names = path.iter().rev().take(2).map(|name| name.to_string_lossy()).collect::<Vec<_>>();
    names.reverse();
    names.join("/")
}

/// The model of ours that plays what a file holds.
pub fn usual(input: &Input) -> &'static str {
    let notes = || input.score.tracks.iter().filter(|track| !track.notes.is_empty());
    if notes().count() > 0 && notes().all(partita_score::Track::is_drums) {
        "drums-2bar"
    } else {
        "melody-2bar"
    }
}

/// Where to compute.
///
/// # Errors
/// See [`model::compute`].
pub fn compute() -> Result<Compute> {
    let compute = model::compute()?;
    Ok(Compute::new(Arc::clone(&compute.pool), compute.path))
}

/// Runs `work` with a bar of steps, which stops at Ctrl-C.
///
/// # Errors
/// Those of `work`.
pub fn watched<T>(
    session: &Session,
    work: impl FnOnce(&mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<T, LatentError>,
) -> Result<T> {
    cancel::listen();
    let bar = progress::bar(session, 0, "{bar:30} step {pos} of {len}");
    let result = work(&mut |progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.steps as u64);
        cancel::flow()
    });
    bar.finish_and_clear();
    Ok(result?)
}

/// All there is to tell of pieces that were played.
pub struct Told<'a> {
    pub session: &'a Session,
    pub model: &'a LatentModel,
    pub seed: u64,
    pub played: &'a [Played],
    /// Names of the pieces.
    pub names: Vec<String>,
    /// What the command has to say besides.
    pub more: Value,
    pub command: CommandLine,
    pub delivery: Delivery,
    pub clock: Clock,
}

/// Writes the pieces: one after the other into one file, or each into its own.
///
/// # Errors
/// A piece that cannot be written.
pub fn write(delivery: &mut Delivery, played: &[Played], names: &[String], bars: Option<u32>) -> Result<()> {
    let scores: Vec<Score> = played.iter().map(|piece| piece.sequence.to_score()).collect();
    let Some(bars) = bars else {
        for (index, score) in scores.iter().enumerate() {
            delivery.write(index, score, || piano_roll(score), None)?;
        }
        return Ok(());
    };
    let mut whole = NoteSequence { notes: Vec::new(), ..played[0].sequence.clone() };
    let length = f64::from(bars) * 240.0 / whole.qpm();
    for (index, piece) in played.iter().enumerate() {
        let from = index as f64 * length;
        for note in &piece.sequence.notes {
            let mut note = *note;
            (note.start.0, note.end.0) = (note.start.0 + from, note.end.0 + from);
            whole.notes.push(note);
        }
        whole.total_time.0 = from + length;
    }
    let panels: Vec<_> = names.iter().cloned().zip(&scores).collect();
    delivery.write(0, &whole.to_score(), || piano_rolls(&panels), None)
}

/// Gives the files their names and tells what they are.
///
/// # Errors
/// When a file cannot be named or nobody reads the answer.
pub fn finish(told: Told<'_>) -> Result<()> {
    let Told { session, model, seed, played, names, more, command, delivery, mut clock } = told;
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let pieces = played.iter().zip(&names).map(
        |(piece, name)| json!({ "name": name, "z": piece.z, "sequence": piece.sequence.to_json_value() }),
    );
    let mut object = json!({
        "command": command.to_string(),
        "seed": seed,
        "pieces": pieces.collect::<Vec<_>>(),
        "files": files,
        "model": about(model),
        "timing_ms": clock.to_json(),
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (piece, name) in played.iter().zip(&names) {
            let _ = writeln!(text, "{name:>8}  {}", line(&piece.sequence));
        }
    }
    let facts = [("model", model.name()), ("seed", &seed.to_string())];
    text += &report::ending(session, &files, &facts, &command);
    session.remark(&format!("milliseconds {}", clock.to_json()));
    session.answer(&object, &text, has_stdout)
}

/// Which model played.
pub fn about(model: &LatentModel) -> Value {
    json!({
        "name": model.name(),
        "family": "music_vae",
        "tokens": model.format().name(),
        "steps": model.steps(),
        "z": model.z_size(),
    })
}

/// Where an example lies, for `--json`.
pub fn place(posterior: &Posterior) -> Value {
    json!({ "mu": posterior.mu, "sigma": posterior.sigma })
}

/// A piece in a line: how many notes, and the first of them by name.
pub fn line(sequence: &NoteSequence) -> String {
    const NAMES: [&str; 12] = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
    const SHOWN: usize = 12;
    let name = |pitch: u8| format!("{}{}", NAMES[usize::from(pitch % 12)], i32::from(pitch / 12) - 1);
    let drum = |pitch: u8| {
        partita_score::DrumClass::from_gm(pitch)
            .map_or_else(|| pitch.to_string(), |class| class.name().to_owned())
    };
    let shown: Vec<String> = sequence
        .notes
        .iter()
        .take(SHOWN)
        .map(|note| if note.is_drum { drum(note.pitch) } else { name(note.pitch) })
        .collect();
    let more = if sequence.notes.len() > SHOWN { " ..." } else { "" };
    format!("{:9} {}{more}", report::count(sequence.notes.len(), "note"), shown.join(" "))
}

impl From<LatentError> for Error {
    fn from(error: LatentError) -> Error {
        match &error {
            _ if error.is_cancelled() && cancel::requested() => Error::interrupted(),
            _ if error.is_cancelled() => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            LatentError::Range { field, .. } => Error::usage(field, &error),
            LatentError::Network(NetworkError::Range { field, .. }) => Error::usage(field, &error),
            LatentError::Verb { .. } => Error::usage("model", &error),
            LatentError::Checkpoint(_) | LatentError::Model { .. } | LatentError::Network(_) => {
                Error::new(Kind::Failed, "model", &error)
            }
            LatentError::Convert(_) => Error::new(Kind::Failed, "input", &error),
        }
    }
}
