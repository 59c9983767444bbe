//! `train drums`: weights of one's own, from scratch or from where a run stopped.

use std::path::{Path, PathBuf};

use clap::Args;
use partita_train::{DrumSource, Groove, Settings, Shape};
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::options;
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::training::{self, CURVE, Run};

#[derive(Args, Debug)]
pub struct Options {
    /// Folder with the Groove MIDI Dataset (info.csv and its MIDI files)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the weights; a run that was stopped there goes on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Optimiser steps
    #[arg(long, default_value_t = 4200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Numbers in a hidden state, a multiple of 16 and of the heads
    #[arg(long, default_value_t = 256)]
    width: usize,
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Attention heads
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// Longest sequence in tokens
    #[arg(long, default_value_t = 768)]
    context: usize,
    /// Tokens a step
    #[arg(long, default_value_t = 8192)]
    batch_tokens: usize,
    /// Highest learning rate; it warms up and then falls
    #[arg(long, default_value_t = 2e-3, allow_negative_numbers = true)]
    learning_rate: f32,
    /// Steps until the highest learning rate
    #[arg(long, default_value_t = 150)]
    warmup: u32,
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    weight_decay: f32,
    /// Share of activations left out, [0, 0.9]
    #[arg(long, default_value_t = 0.13, allow_negative_numbers = true)]
    dropout: f32,
    /// Steps between validations and checkpoints
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    validate_every: u32,
    #[arg(long, default_value_t = 1, value_parser = options::seed)]
    seed: u64,
    /// Only go on with a run that is already in the folder
    #[arg(long)]
    resume: bool,
}

impl Options {
    fn settings(&self, styles: usize) -> Result<Settings> {
        let shape = Shape {
            vocab: partita_tokens::drums::VOCAB as usize,
            context: self.context,
            styles: styles + 1,
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            rotary: false,
            features: 0,
        };
        let settings = Settings {
            shape,
            steps: self.steps,
            batch_tokens: self.batch_tokens,
            learning_rate: self.learning_rate,
            warmup: self.warmup.max(1),
            weight_decay: self.weight_decay,
            dropout: self.dropout,
            clip: 1.0,
            seed: self.seed,
            validate_every: self.validate_every,
            averaging: 0.0,
        };
        training::check(&settings)?;
        Ok(settings)
    }

    fn command(&self) -> CommandLine {
        let mut line = CommandLine::new(&["train", "drums"]);
        line.option("data", self.data.display());
        line.option("out", self.out.display());
        line.option("steps", self.steps);
        line.option("width", self.width);
        line.option("layers", self.layers);
        line.option("heads", self.heads);
        line.option("context", self.context);
        line.option("batch-tokens", self.batch_tokens);
        line.option("learning-rate", self.learning_rate);
        line.option("warmup", self.warmup);
        line.option("weight-decay", self.weight_decay);
        line.option("dropout", self.dropout);
        line.option("validate-every", self.validate_every);
        line.option("seed", self.seed);
        line
    }
}

/// The data set in `folder`.
///
/// # Errors
/// A folder without one, files that cannot be read.
pub fn data(folder: &Path) -> Result<Groove> {
    Groove::load(folder).map_err(|error| {
        let missing = matches!(error, partita_train::groove::Error::NoInfo(_));
        Error::new(if missing { Kind::NotFound } else { Kind::Failed }, "data", error)
    })
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    // The settings are told to be wrong before a thousand files are read.
    options.settings(0)?;
    let groove = data(&options.data)?;
    clock.lap("load");
    let settings = options.settings(groove.styles.len())?;
    let fail = |error: partita_train::Error| Error::new(Kind::Failed, "out", error);
    let source = DrumSource::new(&groove, settings.shape.context).map_err(fail)?;
    let command = options.command();
    let run = Run { source: &source, settings, out: &options.out, resume: options.resume, unit: "hit" };
    let (state, points) = training::follow(session, &run, &command)?;
    clock.lap("train");
    let last = points.last().copied();
    let object = json!({
        "command": command.to_string(),
        "seed": options.seed,
        "steps": state.step,
        "parameters": state.parameters.values.len(),
        "clips": groove.clips.len(),
        "styles": groove.styles,
        "split_hash": groove.split_hash,
        "points": points,
        "files": training::files(&options.out),
        "timing_ms": clock.to_json(),
    });
    let out = options.out.display();
    let validation =
        last.map_or(String::new(), |point| format!(", validation {:.3} nats a hit", point.validation));
    let text = format!(
        "trained {} steps{validation}\nwrote  {out}/model.json, {out}/model.safetensors, {out}/{CURVE}\n\
         play   partita --model {out} generate drums\nagain  {command}\n",
        state.step
    );
    session.answer(&object, if session.quiet { "" } else { &text }, false)
}
