//! `eval melody-vae`, `drums-vae` and `groove-vae`: what an autoencoder is worth on windows it never saw.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use partita_train::Split;
use partita_train::vae::drums::Grooves;
use partita_train::vae::evaluate::{self, Reconstruction, Widened};
use partita_train::vae::{Heard, Source, VaeConfig, checkpoint, melodies};
use serde_json::json;

use super::train_vae::{Data, Vae};
use crate::error::{Error, Kind, Result};
use crate::model;
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// Folder with the data: openewld, openscore-lieder and jsb-chorales for melodies, else the Groove MIDI Dataset
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Part of the data to measure on
    #[arg(long, value_enum, default_value = "test")]
    split: Part,
    /// Windows to play from nothing when looking for copies of the training data
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    takes: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Validation,
    Test,
}

/// How far strokes are moved from their mean when humanizing is measured.
const GAINS: [f64; 8] = [1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0];

pub fn run(vae: Vae, options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let path = model::kernels()?;
    let threads = partita_kernels::Pool::from_env()?.threads();
    let Some(folder) = &session.model else {
        let message = format!("model must be a folder that partita train {} wrote", vae.command());
        return Err(Error::usage("model", message));
    };
    let (config, weights) =
        checkpoint::load_model(folder).map_err(|error| Error::new(Kind::NotFound, "model", error))?;
    let tokens = match vae {
        Vae::Melodies => "melody-90",
        Vae::DrumLoops => "drums-9",
        Vae::Grooves => "groove-27-hits",
        Vae::Taps => "groove-27-taps",
    };
    if config.tokens != tokens {
        let message = format!("model must have tokens {tokens}, got {}", config.tokens);
        return Err(Error::usage("model", message));
    }
    let data = Data::load(vae, &options.data)?;
    let source = data.source(vae);
    clock.lap("load");
    let split = match options.split {
        Part::Validation => Split::Validation,
        Part::Test => Split::Test,
    };
    session.remark("what comes back of the split");
    let table = evaluate::reconstruction(source.as_ref(), &weights, split, threads, path);
    clock.lap("reconstruction");
    let mut object = json!({
        "split_hash": source.split_hash(),
        "model": config,
        "reconstruction": table,
    });
    let mut text = Text::default();
    text.table(&table, source.as_ref(), &config);
    if let (Vae::Grooves, Data::Groove(groove)) = (vae, &data) {
        session.remark("humanizing the split");
        let grooves = Grooves::new(groove, Heard::Hits);
        let rows = evaluate::humanizing(&grooves, &weights, split, &GAINS, threads, path);
        text.humanizing(&rows);
        object["humanizing"] = json!(rows);
        clock.lap("humanizing");
    } else if vae != Vae::Taps {
        session.remark("looking for copies of the training split");
        let lowest = (vae == Vae::Melodies).then_some(melodies::LOWEST_PITCH_CLASS);
        let invented = evaluate::invented(source.as_ref(), &weights, options.takes as usize, lowest, path);
        text.line(
            "played from nothing",
            format!("{} windows, {} different", invented.windows, invented.distinct),
        );
        text.line("  seen in training", format!("{:.1} %", 100.0 * invented.known));
        text.line("  of the test split itself", format!("{:.1} %", 100.0 * invented.test_known));
        object["invented"] = json!(invented);
        clock.lap("copies");
    }
    object["timing_ms"] = clock.to_json();
    session.answer(&object, &text.0, false)
}

/// The answer for people: a name and what was found, a line each.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "{name:<34}{value}").expect("a string takes all");
    }

    fn table(&mut self, table: &Reconstruction, source: &dyn Source, config: &VaeConfig) {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        self.line(
            "split",
            format!("{} ({} windows), hash {}", table.split, table.windows, &source.split_hash()[..16]),
        );
        let unit = if config.tokens.starts_with("groove-27") { "loss a window" } else { "nats a window" };
        self.line(unit, format!("{:.2}, and {:.2} for the code", table.reconstruction, table.divergence));
        self.line("  both, a step", format!("{:.3}", table.bound_per_step));
        if let Some(nats) = table.followers_per_step {
            self.line("  which class follows which", format!("{nats:.3}"));
        }
        self.line("comes back, told each step before", percent(table.told));
        self.line("  reading its own choices", percent(table.alone));
        self.line("  whole windows", percent(table.alone_whole));
        if let Some([right, silent]) = table.strokes_alone {
            self.line(
                "  strokes and silences",
                format!("{} (never striking {})", percent(right), percent(silent)),
            );
        }
        self.line("  drawn at temperature 1", percent(table.drawn));
        self.line("  always the commonest", percent(table.commonest));
    }

    fn humanizing(&mut self, rows: &[Widened]) {
        for Widened { gain, distances: d } in rows {
            self.line(
                &format!("humanizing, widened {gain:.2} times"),
                format!(
                    "{:.2} ms (on the grid {:.2}), timing KL {:.3} ({:.3}), velocity KL {:.3} ({:.3})",
                    d.mae_ms,
                    d.quantized_mae_ms,
                    d.timing_kl,
                    d.timing_kl_histogram,
                    d.velocity_kl,
                    d.velocity_kl_histogram
                ),
            );
        }
    }
}
