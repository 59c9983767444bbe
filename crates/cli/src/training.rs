//! What the commands share that train: where a run goes on, its bar and its curve, and what is told when it was stopped.

use std::ops::ControlFlow;
use std::path::Path;

use indicatif::ProgressBar;
use partita_score::picture::{Line, LineChart, line_chart};
use partita_train::checkpoint::{self, State};
use partita_train::{Point, Settings, Source};

use crate::error::{Error, Kind, Result};
use crate::output::write_stderr;
use crate::report::{self, CommandLine};
use crate::session::Session;
use crate::{cancel, model, progress};

/// The picture of the loss, in the folder of the weights.
pub const CURVE: &str = "loss.png";

/// What is there after a run.
pub fn files(out: &Path) -> [String; 4] {
    let names = ["model.json", "model.safetensors", "checkpoint.safetensors", CURVE];
    names.map(|name| out.join(name).display().to_string())
}

/// For `--resume` in a folder without a checkpoint.
pub fn nothing_to_resume(out: &Path) -> Error {
    let message = format!("out must hold a checkpoint to resume, got {}", out.display());
    Error::new(Kind::NotFound, "out", message)
}

/// The bar of a run that begins at step `first`; Ctrl-C is heard from now on.
///
/// # Errors
/// When nobody reads what is said of a run that goes on.
pub fn bar(session: &Session, first: u32, steps: u32) -> Result<ProgressBar> {
    if first > 0 && !session.quiet {
        write_stderr(&format!("going on at step {first} of {steps}\n"))?;
    }
    cancel::listen();
    let template = "{bar:24} {pos}/{len}  {msg}  {elapsed} gone, {eta} to go";
    let bar = progress::bar(session, u64::from(steps), template);
    bar.set_position(u64::from(first));
    bar.reset_eta();
    Ok(bar)
}

/// A line for the log where there is no bar.
pub fn log(session: &Session, bar: &ProgressBar, line: &str) {
    if bar.is_hidden() && !session.quiet {
        drop(write_stderr(&format!("{line}\n")));
    }
}

/// What is told of a run that was stopped at `step`, with its last checkpoint at step `saved`.
pub fn interrupted(step: u32, saved: Option<u32>, command: &CommandLine) -> Error {
    let message = match saved {
        None => {
            format!("interrupted at step {step} before the first checkpoint; start again with: {command}")
        }
        Some(saved) => format!(
            "interrupted at step {step}; the checkpoint is that of step {saved}; go on with: {command}"
        ),
    };
    Error::told(Kind::Interrupted).saying(message)
}

/// Draws the loss so far: named lines of steps and values.
///
/// # Errors
/// A folder that cannot be written.
pub fn draw(out: &Path, lines: Vec<Line>) -> Result<()> {
    let last = lines.first().and_then(|line| line.points.last()).map_or(0.0, |point| point.0);
    let title = format!("Loss after {}", report::count(last as usize, "step"));
    let png = line_chart(&LineChart { title, x: "step".into(), lines }).to_png(2.0)?;
    let (path, beside) = (out.join(CURVE), out.join("loss.partial"));
    let written = std::fs::write(&beside, png).and_then(|()| std::fs::rename(&beside, &path));
    written.map_err(|e| Error::file("out", "write", &path, &e))
}

/// Checks what a decoder is to be trained with.
///
/// # Errors
/// The first setting out of range.
pub fn check(settings: &Settings) -> Result<()> {
    let shape = settings.shape;
    let sizes = [
        ("width", shape.width, 16..=2048),
        ("layers", shape.layers, 1..=48),
        ("heads", shape.heads, 1..=64),
        ("context", shape.context, 256..=8192),
        ("batch-tokens", settings.batch_tokens, 256..=1 << 20),
    ];
    for (field, got, range) in sizes {
        if !range.contains(&got) {
            let message = format!("{field} must be in {}..={}, got {got}", range.start(), range.end());
            return Err(Error::usage(field, message));
        }
    }
    let (width, heads) = (shape.width, shape.heads);
    if !width.is_multiple_of(16) || !width.is_multiple_of(heads) {
        let message = format!("width must be a multiple of 16 and of heads ({heads}), got {width}");
        return Err(Error::usage("width", message));
    }
    if shape.rotary && !(width / heads).is_multiple_of(2) {
        let message = format!("heads must have an even width, got {width} / {heads}");
        return Err(Error::usage("heads", message));
    }
    let numbers = [
        ("learning-rate", settings.learning_rate, 1e-7..=1.0),
        ("weight-decay", settings.weight_decay, 0.0..=10.0),
        ("dropout", settings.dropout, 0.0..=0.9),
        ("averaging", settings.averaging, 0.0..=0.99999),
    ];
    for (field, got, range) in numbers {
        if !range.contains(&got) {
            let message = format!("{field} must be in [{}, {}], got {got}", range.start(), range.end());
            return Err(Error::usage(field, message));
        }
    }
    Ok(())
}

/// A decoder to be trained.
pub struct Run<'a> {
    pub source: &'a dyn Source,
    pub settings: Settings,
    pub out: &'a Path,
    /// Only go on with what is in `out`.
    pub resume: bool,
    /// What a validation loss is told a piece of.
    pub unit: &'a str,
}

/// Trains, with a bar, lines for the log and the curve of the loss. `command` is told to whoever stops it.
///
/// # Errors
/// What training says; [`Kind::Interrupted`].
pub fn follow(session: &Session, run: &Run, command: &CommandLine) -> Result<(State, Vec<Point>)> {
    let Run { source, settings, out, resume, unit } = *run;
    let path = model::kernels()?;
    let threads = partita_kernels::Pool::from_env()?.threads();
    let fail = |error: partita_train::Error| Error::new(Kind::Failed, "out", error);
    let earlier = checkpoint::load(out).map_err(|error| fail(error.into()))?;
    if resume && earlier.is_none() {
        return Err(nothing_to_resume(out));
    }
    let mut points: Vec<Point> = earlier.map_or(Vec::new(), |state| state.points);
    let first = points.last().map_or(0, |point| point.step);
    let bar = bar(session, first, settings.steps)?;
    let mut problem = None;
    let trained = partita_train::train(source, settings, out, threads, path, |step| {
        if let Some(point) = step.validated {
            points.push(point);
            let Point { step, train, validation } = point;
            let line =
                format!("step {step}: {train:.4} nats a token, validation {validation:.4} nats a {unit}");
            log(session, &bar, &line);
            problem = draw_points(out, &points, unit).err();
        }
        let last = points
            .last()
            .map_or(String::new(), |p| format!(", validation {:.3} nats a {unit}", p.validation));
        bar.set_message(format!("{:.3} nats a token{last}, {:.0} tokens/s", step.nats, step.tokens_per_s));
        bar.set_position(u64::from(step.step));
        if problem.is_some() { ControlFlow::Break(()) } else { cancel::flow() }
    });
    bar.finish_and_clear();
    let state = trained.map_err(fail)?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    if cancel::requested() && state.step < settings.steps {
        let saved = points.last().map(|point| point.step);
        return Err(interrupted(state.step, saved, command));
    }
    draw_points(out, &points, unit)?;
    Ok((state, points))
}

fn draw_points(out: &Path, points: &[Point], unit: &str) -> Result<()> {
    let line = |name: String, value: fn(&Point) -> f64| Line {
        name,
        points: points.iter().map(|point| (f64::from(point.step), value(point))).collect(),
    };
    let lines = vec![
        line("training, nats a token".into(), |point| point.train),
        line(format!("validation, nats a {unit}"), |point| point.validation),
    ];
    draw(out, lines)
}
