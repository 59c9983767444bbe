//! `models check`: what it costs to keep the weights of a model for sound in fewer bits.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use partita_kernels::{KvPrecision, Precision};
use partita_models::musicgen::Precisions;
use partita_models::musicgen::check::{Options, Report, Share, check};
use serde_json::json;

use super::place::{Place, size};
use crate::commands::bench;
use crate::error::Result;
use crate::report::{round, tame};
use crate::session::{Clock, Session};
use crate::{cancel, model, options, progress};

/// The model that is checked when none is named: the one that `generate audio` plays.
const USUAL: &str = "musicgen-small";
/// Shares of equal choices that the advice turns on; a rule of thumb.
const CLOSE: f64 = 0.95;
const FAR: f64 = 0.85;

#[derive(Args, Debug)]
pub struct Check {
    /// A name that `models list` shows; the one in --model if left out, else musicgen-small
    name: Option<String>,
    /// How the weights are kept: f32, int8 or q4
    #[arg(long, default_value = "int8", value_parser = bench::precision)]
    precision: Precision,
    /// How cached keys and values are kept: f32 or int8
    #[arg(long, default_value = "int8", value_parser = bench::kv)]
    kv: KvPrecision,
    /// Columns of codes to play, 50 a second, 10..=1500
    #[arg(long, default_value_t = 100, allow_negative_numbers = true)]
    steps: usize,
    /// What is played
    #[arg(short, long, value_name = "TEXT", default_value_t = Options::default().prompt)]
    prompt: String,
    /// How closely the prompt is followed, [1, 20]
    #[arg(long, default_value_t = 3.0, value_parser = options::guidance, allow_negative_numbers = true)]
    guidance: f32,
    #[command(flatten)]
    place: Place,
}

pub fn run(options: &Check, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let folder = folder(options, session)?;
    let compute = model::compute()?;
    let precisions = Precisions { weights: options.precision, kv: options.kv };
    let played = Options { prompt: options.prompt.clone(), steps: options.steps, guidance: options.guidance };
    cancel::listen();
    let bar = progress::bar(session, 0, "{bar:30} {pos} of {len}  {msg}  ETA {eta}");
    let checked = check(&folder, precisions, (&compute.pool, compute.path), &played, &mut |progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.doing);
        cancel::flow()
    });
    bar.finish_and_clear();
    let report = checked?;
    clock.lap("check");
    let mut object = json!(report);
    object["model"] = json!(folder);
    object["choices"]["share"] = json!(round(report.choices.part(), 4));
    object["ms"] = clock.to_json();
    let text = format!("{}  {}", tame(&folder.display().to_string()), told(&report));
    session.answer(&object, &text, false)
}

fn folder(options: &Check, session: &Session) -> Result<PathBuf> {
    let name = match (&options.name, &session.model) {
        (Some(name), _) => name.clone(),
        (None, Some(path)) if path.is_dir() => return Ok(path.clone()),
        (None, Some(path)) => path.to_string_lossy().into_owned(),
        (None, None) => USUAL.to_owned(),
    };
    Ok(options.place.store()?.find(&name)?.folder)
}

/// The report for people.
fn told(report: &Report) -> String {
    let Report { precision, kv, kernels, steps, seconds, heads, .. } = report;
    let mut text = format!(
        "{precision} weights, {kv} keys and values, {kernels} kernels\n\
         {steps} columns of codes ({} s) of \"{}\"\n\n\
         layer   weights    output  worst matrix\n",
        round(*seconds, 2),
        tame(&report.prompt),
    );
    for layer in &report.layers {
        let worst = layer.matrices.iter().max_by(|a, b| a.weights.total_cmp(&b.weights));
        let worst = worst.filter(|worst| worst.weights > 0.0);
        let worst =
            worst.map_or("-".to_owned(), |worst| format!("{}, {}", worst.name, percent(worst.weights)));
        let (weights, output) = (percent(layer.weights), percent(layer.output));
        let _ = writeln!(text, "{:>5}  {weights:>8}  {output:>8}  {worst}", layer.layer + 1);
    }
    let (weights, logits) = (percent(heads.weights), percent(heads.logits));
    let _ = writeln!(text, "heads  {weights:>8}  {logits:>8}\n");
    let shares: Vec<String> = report.codebooks.iter().map(|share| share_of(*share)).collect();
    let Share { equal, of } = report.choices;
    let _ = writeln!(text, "choices  {equal} of {of} as in f32 ({})", share_of(report.choices));
    let _ = writeln!(text, "         by codebook {}", shares.join(", "));
    let _ = writeln!(
        text,
        "alone    the same codes for {} of {steps} columns ({} s)",
        report.same_columns,
        round(report.same_seconds, 2),
    );
    let _ = writeln!(text, "logits   cosine {:.6}, {:.6} at worst", heads.cosine, heads.least_cosine);
    let bytes = |bytes: usize| size(bytes as u64);
    let _ = writeln!(
        text,
        "a step   reads {} of weights, in f32 {}\n",
        bytes(report.bytes_per_step),
        bytes(report.f32_bytes_per_step),
    );
    text.push_str(
        "weights: how far the kept weights are from those of f32. output: how far what a layer hands on\n\
         is, with the layers before it packed too. choices: how often the likeliest code is that of f32\n\
         after the same codes. alone: how long both play the same from their own codes; after that the\n\
         music goes another way, as with another seed, which is no fault in itself.\n\n",
    );
    text.push_str(advice(report));
    text.push('\n');
    text
}

/// Which precision to choose.
fn advice(report: &Report) -> &'static str {
    let share = report.choices.part();
    match report.precision {
        "f32" => {
            "f32 is what the others are measured by. For playing, int8 reads about a quarter of it at each\n\
             step: see `--precision int8`."
        }
        "q4" if share >= CLOSE => {
            "q4 follows f32 closely here: a good choice where speed or memory is short."
        }
        "q4" if share >= FAR => {
            "q4 strays from f32 now and then: choose it for speed, and int8 to stay closer."
        }
        "q4" => "q4 strays far from f32 here: choose int8 unless speed matters more.",
        _ if share >= CLOSE => "int8 follows f32 closely here: a good choice.",
        _ if share >= FAR => {
            "int8 strays from f32 now and then: a good choice still; f32 is exact, and slow."
        }
        _ => "int8 strays far from f32 here: compare by ear with `generate audio --precision f32`.",
    }
}

/// `0.53 %`; small errors are not told as none.
fn percent(error: f64) -> String {
    match error * 100.0 {
        0.0 => "0 %".to_owned(),
        small if small < 0.01 => "<0.01 %".to_owned(),
        percent => format!("{percent:.2} %"),
    }
}

/// Rounded down, so that 100 % are all.
fn share_of(share: Share) -> String {
    format!("{} %", (share.part() * 1000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_errors_and_missing_shares_stay_visible() {
        assert_eq!([0.0, 1e-6, 0.005_34, 0.2].map(percent), ["0 %", "<0.01 %", "0.53 %", "20.00 %"]);
        assert_eq!(share_of(Share { equal: 9_999, of: 10_000 }), "99.9 %");
        assert_eq!(share_of(Share { equal: 4, of: 4 }), "100 %");
    }
}
