//! What the commands share that train: where a run goes on, its bar and its curve, and what is told when it was stopped.

use std::path::Path;

use indicatif::ProgressBar;
use partita_score::picture::{Line, LineChart, line_chart};

use crate::error::{Error, Kind, Result};
use crate::output::write_stderr;
use crate::report::{self, CommandLine};
use crate::session::Session;
use crate::{cancel, progress};

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
    Error { kind: Kind::Interrupted, field: None, message }
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
