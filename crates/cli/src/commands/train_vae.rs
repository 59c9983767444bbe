//! `train melody-vae`, `drums-vae` and `groove-vae`: autoencoders of two bars.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use partita_score::picture::Line;
use partita_train::Groove;
use partita_train::vae::drums::{DrumLoops, Grooves};
use partita_train::vae::melodies::{self, Melodies};
use partita_train::vae::{Heard, Source, VaePoint, VaeSettings, VaeShape, checkpoint, train_vae};
use serde_json::json;

use super::train;
use crate::error::{Error, Kind, Result};
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::training::{self, CURVE};
use crate::{cancel, model, options};

/// Which autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vae {
    Melodies,
    DrumLoops,
    Grooves,
    Taps,
}

impl Vae {
    pub fn command(self) -> &'static str {
        match self {
            Vae::Melodies => "melody-vae",
            Vae::DrumLoops => "drums-vae",
            Vae::Grooves => "groove-vae",
            Vae::Taps => "tap-vae",
        }
    }

    /// The shipped model's settings.
    fn settings(self) -> VaeSettings {
        match self {
            Vae::Melodies => VaeSettings::melodies(),
            Vae::DrumLoops => VaeSettings::drum_loops(),
            Vae::Grooves => VaeSettings::grooves(),
            Vae::Taps => VaeSettings::taps(),
        }
    }
}

#[derive(Args, Debug)]
pub struct Options {
    /// Folder with the data: openewld, openscore-lieder and jsb-chorales for melodies, else the Groove MIDI Dataset
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the weights; a run that was stopped there goes on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Optimiser steps [default: those of the shipped model, as for all that follow]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: Option<u32>,
    /// Windows a step
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8192))]
    batch: Option<u32>,
    /// Width of the encoder in each direction
    #[arg(long)]
    encoder: Option<usize>,
    /// Width of the decoder's two layers
    #[arg(long)]
    decoder: Option<usize>,
    /// Numbers in a code
    #[arg(long)]
    latent: Option<usize>,
    /// Highest learning rate; it warms up and then falls
    #[arg(long, allow_negative_numbers = true)]
    learning_rate: Option<f32>,
    /// Weight of what a code costs
    #[arg(long, allow_negative_numbers = true)]
    beta: Option<f32>,
    /// Bits of a code that cost nothing
    #[arg(long, allow_negative_numbers = true)]
    free_bits: Option<f32>,
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
    fn settings(&self, vae: Vae) -> Result<VaeSettings> {
        let shipped = vae.settings();
        let settings = VaeSettings {
            shape: VaeShape {
                encoder: self.encoder.unwrap_or(shipped.shape.encoder),
                decoder: self.decoder.unwrap_or(shipped.shape.decoder),
                latent: self.latent.unwrap_or(shipped.shape.latent),
                ..shipped.shape
            },
            steps: self.steps.unwrap_or(shipped.steps),
            batch: self.batch.map_or(shipped.batch, |batch| batch as usize),
            learning_rate: self.learning_rate.unwrap_or(shipped.learning_rate),
            beta: self.beta.unwrap_or(shipped.beta),
            free_bits: self.free_bits.unwrap_or(shipped.free_bits),
            validate_every: self.validate_every.unwrap_or(shipped.validate_every),
            seed: self.seed,
            ..shipped
        };
        let sizes = [
            ("encoder", settings.shape.encoder, 8..=2048),
            ("decoder", settings.shape.decoder, 8..=2048),
            ("latent", settings.shape.latent, 1..=1024),
        ];
        for (field, got, range) in sizes {
            if !range.contains(&got) {
                let message = format!("{field} must be in {}..={}, got {got}", range.start(), range.end());
                return Err(Error::usage(field, message));
            }
        }
        let numbers = [
            ("learning-rate", settings.learning_rate, 1e-7..=1.0),
            ("beta", settings.beta, 0.0..=10.0),
            ("free-bits", settings.free_bits, 0.0..=10_000.0),
        ];
        for (field, got, range) in numbers {
            if !range.contains(&got) {
                let message = format!("{field} must be in [{}, {}], got {got}", range.start(), range.end());
                return Err(Error::usage(field, message));
            }
        }
        Ok(settings)
    }

    fn command(&self, vae: Vae, settings: &VaeSettings) -> CommandLine {
        let mut line = CommandLine::new(&["train", vae.command()]);
        line.option("data", self.data.display());
        line.option("out", self.out.display());
        line.option("steps", settings.steps);
        line.option("batch", settings.batch);
        line.option("encoder", settings.shape.encoder);
        line.option("decoder", settings.shape.decoder);
        line.option("latent", settings.shape.latent);
        line.option("learning-rate", settings.learning_rate);
        line.option("beta", settings.beta);
        line.option("free-bits", settings.free_bits);
        line.option("validate-every", settings.validate_every);
        line.option("seed", settings.seed);
        line
    }
}

/// What the models learn from.
pub enum Data {
    Melodies(Melodies),
    Groove(Groove),
}

impl Data {
    /// # Errors
    /// A folder without the data, files that cannot be read.
    pub fn load(vae: Vae, folder: &Path) -> Result<Data> {
        if vae != Vae::Melodies {
            return Ok(Data::Groove(train::data(folder)?));
        }
        let melodies = Melodies::load(folder).map_err(|error| {
            let missing = matches!(error, melodies::Error::Nothing(_));
            Error::new(if missing { Kind::NotFound } else { Kind::Failed }, "data", error)
        })?;
        Ok(Data::Melodies(melodies))
    }

    /// The windows of these data for one of the models.
    pub fn source(&self, vae: Vae) -> Box<dyn Source + '_> {
        match self {
            Data::Melodies(melodies) => Box::new(melodies),
            Data::Groove(groove) if vae == Vae::DrumLoops => Box::new(DrumLoops::new(groove)),
            Data::Groove(groove) => {
                let heard = if vae == Vae::Taps { Heard::Taps } else { Heard::Hits };
                Box::new(Grooves::new(groove, heard))
            }
        }
    }
}

pub fn run(vae: Vae, options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let path = model::kernels()?;
    let threads = partita_kernels::Pool::from_env()?.threads();
    let settings = options.settings(vae)?;
    let data = Data::load(vae, &options.data)?;
    let source = data.source(vae);
    clock.lap("load");
    let fail = |error: partita_train::Error| Error::new(Kind::Failed, "out", error);
    let earlier = checkpoint::load(&options.out).map_err(|error| fail(error.into()))?;
    if options.resume && earlier.is_none() {
        return Err(training::nothing_to_resume(&options.out));
    }
    let mut points: Vec<VaePoint> = earlier.map_or(Vec::new(), |state| state.points);
    let first = points.last().map_or(0, |point| point.step);
    let bar = training::bar(session, first, settings.steps)?;
    let mut problem = None;
    let trained = train_vae(source.as_ref(), settings, &options.out, threads, path, |step| {
        if let Some(point) = step.validated {
            points.push(point);
            training::log(session, &bar, &tell(point));
            problem = draw(&options.out, &points).err();
        }
        let last = points.last().map_or(String::new(), |p| format!(", validation {:.2}", p.validation));
        let rate = step.windows_per_s;
        bar.set_message(format!("{:.2} nats a window{last}, {rate:.0} windows/s", step.cost));
        bar.set_position(u64::from(step.step));
        if problem.is_some() { ControlFlow::Break(()) } else { cancel::flow() }
    });
    bar.finish_and_clear();
    let state = trained.map_err(fail)?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    let command = options.command(vae, &settings);
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
        "parameters": state.weights.values.len(),
        "split_hash": state.split_hash,
        "points": points,
        "files": training::files(&options.out),
        "timing_ms": clock.to_json(),
    });
    let out = options.out.display();
    let validation = last.map_or(String::new(), |point| {
        format!(
            ", validation {:.2} nats a window, {:.1} % of it comes back",
            point.validation,
            100.0 * point.accuracy
        )
    });
    let text = format!(
        "trained {} steps{validation}\nwrote  {out}/model.json, {out}/model.safetensors, {out}/{CURVE}\n\
         test   partita --model {out} eval {} --data {}\nagain  {command}\n",
        state.step,
        vae.command(),
        options.data.display()
    );
    session.answer(&object, if session.quiet { "" } else { &text }, false)
}

/// A line for the log where there is no bar.
fn tell(point: VaePoint) -> String {
    let VaePoint { step, train, validation, reconstruction, divergence, accuracy } = point;
    format!(
        "step {step}: {train:.3} nats a window, validation {validation:.3} (reconstruction {reconstruction:.3}, \
         code {divergence:.3}), {:.1} % comes back",
        100.0 * accuracy
    )
}

/// Draws the loss so far.
fn draw(folder: &Path, points: &[VaePoint]) -> Result<()> {
    let line = |name: &str, value: fn(&VaePoint) -> f64| Line {
        name: name.into(),
        points: points.iter().map(|point| (f64::from(point.step), value(point))).collect(),
    };
    let lines = vec![
        line("training, nats a window", |point| point.train),
        line("validation, nats a window", |point| point.validation),
    ];
    training::draw(folder, lines)
}
