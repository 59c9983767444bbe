//! `eval drums`: what a drummer is worth on performances it never saw.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use partita_models::drums::Drummer;
use partita_nn::Precision;
use partita_train::{Split, evaluate};
use serde_json::json;

use super::train;
use crate::error::Result;
use crate::model;
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// Folder with the Groove MIDI Dataset (info.csv and its MIDI files)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Part of the data to measure on
    #[arg(long, value_enum, default_value = "test")]
    split: Part,
    /// Patterns to play in each style when looking for copies of the training data
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    takes: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Validation,
    Test,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let drummer = model::drummer(session)?;
    let groove = train::data(&options.data)?;
    clock.lap("load");
    let split = match options.split {
        Part::Validation => Split::Validation,
        Part::Test => Split::Test,
    };
    session.remark("likelihood of the split, and of the baselines");
    let likelihood = evaluate::likelihood(&groove, &drummer, &compute, split)?;
    let exact: Drummer = model::drummer_at(session, Precision::F32)?;
    let f32_nats = evaluate::nats_per_hit(&groove, &exact, &compute, split)?;
    clock.lap("likelihood");
    session.remark("humanizing the split");
    let humanizing = evaluate::humanizing(&groove, &drummer, &compute, split)?;
    clock.lap("humanizing");
    session.remark("looking for copies of the training split");
    let copies = evaluate::copies(&groove, &drummer, &compute, options.takes as usize)?;
    clock.lap("copies");

    let mut text = String::new();
    let mut line =
        |name: &str, value: String| writeln!(text, "{name:<34}{value}").expect("a string takes all");
    line(
        "split",
        format!("{} ({} hits), hash {}", likelihood.split, likelihood.hits, &groove.split_hash[..16]),
    );
    line(
        "nats a hit",
        format!("{:.3} ({}), {:.3} (f32)", likelihood.model, model::PRECISION.name(), f32_nats),
    );
    line("  n-grams of the style", format!("{:.3}", likelihood.style_ngram));
    line("  token frequencies", format!("{:.3}", likelihood.unigram));
    line(
        "humanizing: timing error",
        format!("{:.2} ms (on the grid {:.2})", humanizing.mae_ms, humanizing.quantized_mae_ms),
    );
    if let Some(ms) = humanizing.anticipated_mae_ms {
        line("  one stroke ahead of the drummer", format!("{ms:.2} ms"));
    }
    line("  squared, sixteenths", format!("{:.4}", humanizing.mse));
    line(
        "  timing KL",
        format!("{:.3} (histograms {:.3})", humanizing.timing_kl, humanizing.timing_kl_histogram),
    );
    line(
        "  velocity KL",
        format!("{:.3} (histograms {:.3})", humanizing.velocity_kl, humanizing.velocity_kl_histogram),
    );
    line(
        "two bars seen in training",
        format!("{:.1} % onsets, {:.1} % performances", 100.0 * copies.onsets, 100.0 * copies.performances),
    );
    line(
        "  the drummers' own test split",
        format!(
            "{:.1} % onsets, {:.1} % performances",
            100.0 * copies.test_onsets,
            100.0 * copies.test_performances
        ),
    );
    let object = json!({
        "split_hash": groove.split_hash,
        "likelihood": likelihood,
        "nats_per_hit_f32": f32_nats,
        "humanizing": humanizing,
        "copies": copies,
        "model": crate::takes::model(&drummer),
        "timing_ms": clock.to_json(),
    });
    session.answer(&object, &text, false)
}
