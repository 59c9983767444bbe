//! `train drums`: weights of one's own, from scratch or from where a run stopped.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use partita_score::picture::Line;
use partita_train::{DrumSource, Groove, Point, Settings, Shape, checkpoint};
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::training::{self, CURVE};
use crate::{cancel, model, options};

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
        let sizes = [
            ("width", self.width, 16..=2048),
            ("layers", self.layers, 1..=48),
            ("heads", self.heads, 1..=64),
            ("context", self.context, 256..=8192),
            ("batch-tokens", self.batch_tokens, 256..=1 << 20),
        ];
        for (field, got, range) in sizes {
            if !range.contains(&got) {
                let message = format!("{field} must be in {}..={}, got {got}", range.start(), range.end());
                return Err(Error::usage(field, message));
            }
        }
        if !self.width.is_multiple_of(16) || !self.width.is_multiple_of(self.heads) {
            let (width, heads) = (self.width, self.heads);
            return Err(Error::usage(
                "width",
                format!("width must be a multiple of 16 and of heads ({heads}), got {width}"),
            ));
        }
        let numbers = [
            ("learning-rate", self.learning_rate, 1e-7..=1.0),
            ("weight-decay", self.weight_decay, 0.0..=10.0),
            ("dropout", self.dropout, 0.0..=0.9),
        ];
        for (field, got, range) in numbers {
            if !range.contains(&got) {
                let message = format!("{field} must be in [{}, {}], got {got}", range.start(), range.end());
                return Err(Error::usage(field, message));
            }
        }
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
        Ok(Settings {
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
        })
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
    let path = model::kernels()?;
    let threads = partita_kernels::Pool::from_env()?.threads();
    // The settings are told to be wrong before a thousand files are read.
    options.settings(0)?;
    let groove = data(&options.data)?;
    clock.lap("load");
    let settings = options.settings(groove.styles.len())?;
    let fail = |error: partita_train::Error| Error::new(Kind::Failed, "out", error);
    let source = DrumSource::new(&groove, settings.shape.context).map_err(fail)?;
    let earlier = checkpoint::load(&options.out).map_err(|error| fail(error.into()))?;
    if options.resume && earlier.is_none() {
        return Err(training::nothing_to_resume(&options.out));
    }
    let mut points: Vec<Point> = earlier.map_or(Vec::new(), |state| state.points);
    let first = points.last().map_or(0, |point| point.step);
    let bar = training::bar(session, first, settings.steps)?;
    let mut problem = None;
    let trained = partita_train::train(&source, settings, &options.out, threads, path, |step| {
        if let Some(point) = step.validated {
            points.push(point);
            let Point { step, train, validation } = point;
            let line = format!("step {step}: {train:.4} nats a token, validation {validation:.4} nats a hit");
            training::log(session, &bar, &line);
            problem = draw(&options.out, &points).err();
        }
        let last =
            points.last().map_or(String::new(), |p| format!(", validation {:.3} nats a hit", p.validation));
        bar.set_message(format!("{:.3} nats a token{last}, {:.0} tokens/s", step.nats, step.tokens_per_s));
        bar.set_position(u64::from(step.step));
        if problem.is_some() { ControlFlow::Break(()) } else { cancel::flow() }
    });
    bar.finish_and_clear();
    let state = trained.map_err(fail)?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    let command = options.command();
    if cancel::requested() && state.step < settings.steps {
        let saved = points.last().map(|point| point.step);
        return Err(training::interrupted(state.step, saved, &command));
    }
    clock.lap("train");
    draw(&options.out, &points)?;
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

/// Draws the loss so far.
fn draw(folder: &Path, points: &[Point]) -> Result<()> {
    let line = |name: &str, value: fn(&Point) -> f64| Line {
        name: name.into(),
        points: points.iter().map(|point| (f64::from(point.step), value(point))).collect(),
    };
    let lines = vec![
        line("training, nats a token", |point| point.train),
        line("validation, nats a hit", |point| point.validation),
    ];
    training::draw(folder, lines)
}
