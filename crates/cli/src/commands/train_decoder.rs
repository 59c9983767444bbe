//! `train melody`, `train accompaniment`, `train chorales` and `train rolls`: lead sheets, basses and pianos under them,
//! four voices on a grid, and the piano rolls that Table A is measured on.

use std::path::{Path, PathBuf};

use clap::Args;
use partita_train::chorales::{self, ChoraleSource, Chorales};
use partita_train::rolls::{self, RollSource, Rolls};
use partita_train::songs::{self, BandSource, LeadSource, Songs};
use partita_train::{Settings, Shape, Source};
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::options;
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::training::{self, CURVE, Run};

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Music {
    Melody,
    Accompaniment,
    Chorales,
    Rolls,
}

impl Music {
    pub fn command(self) -> &'static str {
        match self {
            Music::Melody => "melody",
            Music::Accompaniment => "accompaniment",
            Music::Chorales => "chorales",
            Music::Rolls => "rolls",
        }
    }

    /// The settings whose numbers are on the card.
    fn settings(self) -> Settings {
        match self {
            Music::Melody => Settings::lead(),
            Music::Accompaniment => Settings::band(),
            Music::Chorales => Settings::chorales(),
            Music::Rolls => Settings::rolls(),
        }
    }

    /// What a validation loss is told a piece of.
    fn unit(self) -> &'static str {
        match self {
            Music::Melody | Music::Accompaniment => "note",
            Music::Chorales => "token",
            Music::Rolls => "frame",
        }
    }
}

#[derive(Args, Debug)]
pub struct Options {
    /// For melody and accompaniment folders with leadsheets.jsonl or lieder.jsonl, several if given several times; for
    /// chorales the folder with Jsb16thSeparated.json; for rolls a file that bench/piano_rolls.py wrote
    #[arg(long, value_name = "PATH", required = true)]
    data: Vec<PathBuf>,
    /// Folder for the weights; a run that was stopped there goes on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Optimiser steps [default: those of the measured model, as for all that follow]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Numbers in a hidden state, a multiple of 16 and of the heads
    #[arg(long)]
    width: Option<usize>,
    #[arg(long)]
    layers: Option<usize>,
    /// Attention heads
    #[arg(long)]
    heads: Option<usize>,
    /// Tokens a step
    #[arg(long)]
    batch_tokens: Option<usize>,
    /// Highest learning rate; it warms up and then falls
    #[arg(long, allow_negative_numbers = true)]
    learning_rate: Option<f32>,
    #[arg(long, allow_negative_numbers = true)]
    weight_decay: Option<f32>,
    /// Share of activations left out, [0, 0.9]
    #[arg(long, allow_negative_numbers = true)]
    dropout: Option<f32>,
    /// How much of the weights' average stays at a step, [0, 1); the average is the model. 0: the weights are
    #[arg(long, allow_negative_numbers = true)]
    averaging: Option<f32>,
    /// Steps between validations and checkpoints
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    validate_every: Option<u32>,
    #[arg(long, default_value_t = 1, value_parser = options::seed)]
    seed: u64,
    /// Only go on with a run that is already in the folder
    #[arg(long)]
    resume: bool,
}

impl Options {
    fn settings(&self, music: Music) -> Result<Settings> {
        let measured = music.settings();
        let settings = Settings {
            shape: Shape {
                width: self.width.unwrap_or(measured.shape.width),
                layers: self.layers.unwrap_or(measured.shape.layers),
                heads: self.heads.unwrap_or(measured.shape.heads),
                ..measured.shape
            },
            steps: self.steps.unwrap_or(measured.steps),
            batch_tokens: self.batch_tokens.unwrap_or(measured.batch_tokens),
            learning_rate: self.learning_rate.unwrap_or(measured.learning_rate),
            weight_decay: self.weight_decay.unwrap_or(measured.weight_decay),
            dropout: self.dropout.unwrap_or(measured.dropout),
            averaging: self.averaging.unwrap_or(measured.averaging),
            validate_every: self.validate_every.unwrap_or(measured.validate_every),
            seed: self.seed,
            ..measured
        };
        training::check(&settings)?;
        Ok(settings)
    }

    fn command(&self, music: Music, settings: &Settings) -> CommandLine {
        let mut line = CommandLine::new(&["train", music.command()]);
        self.data.iter().for_each(|data| line.option("data", data.display()));
        line.option("out", self.out.display());
        line.option("steps", settings.steps);
        line.option("width", settings.shape.width);
        line.option("layers", settings.shape.layers);
        line.option("heads", settings.shape.heads);
        line.option("batch-tokens", settings.batch_tokens);
        line.option("learning-rate", settings.learning_rate);
        line.option("weight-decay", settings.weight_decay);
        line.option("dropout", settings.dropout);
        line.option("averaging", settings.averaging);
        line.option("validate-every", settings.validate_every);
        line.option("seed", self.seed);
        line
    }
}

/// The folder of weights that `--model` names, of a kind that is not in the program.
///
/// # Errors
/// No `--model`.
pub fn folder(session: &Session, music: Music) -> Result<&Path> {
    session.model.as_deref().ok_or_else(|| {
        let message = format!("model must be a folder that partita train {} wrote", music.command());
        Error::usage("model", message)
    })
}

/// The one place there may be.
fn only(data: &[PathBuf]) -> Result<&Path> {
    match data {
        [only] => Ok(only),
        _ => Err(Error::usage("data", format!("data must be given once, got {} times", data.len()))),
    }
}

/// The songs in all of `folders`.
///
/// # Errors
/// A folder without a collection, a file that cannot be read.
pub fn songs(folders: &[PathBuf]) -> Result<Songs> {
    Songs::load(folders).map_err(|error| {
        let missing = matches!(error, songs::Error::NoSongs(_));
        Error::new(if missing { Kind::NotFound } else { Kind::Failed }, "data", error)
    })
}

/// The chorales in `folder`.
///
/// # Errors
/// A folder without them, a file that cannot be read.
pub fn chorales(folder: &Path) -> Result<Chorales> {
    Chorales::load(folder).map_err(|error| {
        let missing = matches!(error, chorales::Error::Nothing(_));
        Error::new(if missing { Kind::NotFound } else { Kind::Failed }, "data", error)
    })
}

/// The rolls in a file.
///
/// # Errors
/// A file that is not there or cannot be read.
pub fn rolls(path: &Path) -> Result<Rolls> {
    Rolls::load(path).map_err(|error| {
        let missing = matches!(error, rolls::Error::Read { .. });
        Error::new(if missing { Kind::NotFound } else { Kind::Failed }, "data", error)
    })
}

pub fn run(music: Music, options: &Options, session: &Session) -> Result<()> {
    let settings = options.settings(music)?;
    let fail = |error: partita_train::Error| Error::new(Kind::Failed, "data", error);
    match music {
        Music::Melody => {
            let data = songs(&options.data)?;
            let source = LeadSource::new(&data, settings.shape.context).map_err(fail)?;
            train(music, options, settings, &source, session)
        }
        Music::Accompaniment => {
            let data = songs(&options.data)?;
            let source = BandSource::new(&data, settings.shape.context).map_err(fail)?;
            train(music, options, settings, &source, session)
        }
        Music::Chorales => {
            let data = chorales(only(&options.data)?)?;
            let source = ChoraleSource::new(&data).map_err(fail)?;
            train(music, options, settings, &source, session)
        }
        Music::Rolls => {
            let data = rolls(only(&options.data)?)?;
            let source = RollSource::new(&data).map_err(fail)?;
            train(music, options, settings, &source, session)
        }
    }
}

fn train(
    music: Music,
    options: &Options,
    settings: Settings,
    source: &dyn Source,
    session: &Session,
) -> Result<()> {
    let mut clock = Clock::start();
    let command = options.command(music, &settings);
    let run = Run { source, settings, out: &options.out, resume: options.resume, unit: music.unit() };
    let (state, points) = training::follow(session, &run, &command)?;
    clock.lap("train");
    let object = json!({
        "command": command.to_string(),
        "seed": options.seed,
        "steps": state.step,
        "parameters": state.parameters.values.len(),
        "split_hash": source.split_hash(),
        "points": points,
        "files": training::files(&options.out),
        "timing_ms": clock.to_json(),
    });
    let out = options.out.display();
    let validation = points.last().map_or(String::new(), |point| {
        format!(", validation {:.3} nats a {}", point.validation, music.unit())
    });
    let text = format!(
        "trained {} steps{validation}\nwrote  {out}/model.json, {out}/model.safetensors, {out}/{CURVE}\n\
         eval   partita --model {out} eval {} --data {}\nagain  {command}\n",
        state.step,
        music.command(),
        options.data[0].display()
    );
    session.answer(&object, if session.quiet { "" } else { &text }, false)
}
