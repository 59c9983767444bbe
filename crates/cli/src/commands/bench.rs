//! `bench`: the speed of decoding, of one large product and of training on this machine, with random weights.

mod obedience;
mod share;

use std::sync::Arc;

use clap::Subcommand;
use partita_models::harmony::bench::chorale;
use partita_models::melody::Request;
use partita_models::music_vae::bench::{VaeBench, vae};
use partita_models::musicgen::bench::{AudioBench, audio};
use partita_nn::bench::{DecodeBench, decode, gemv};
use partita_nn::{KvPrecision, Precision};
use partita_score::Meter;
use partita_score::demands::{Demands, RhythmGrid};
use partita_train::bench::{TrainBench, train_speed};
use serde_json::json;

use crate::error::{Error, Invalid, Result};
use crate::model;
use crate::options;
use crate::report::round;
use crate::session::Session;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Tokens a second of a GPT-2 of these sizes
    Decode {
        #[arg(long, default_value_t = 6)]
        layers: usize,
        #[arg(long, default_value_t = 256)]
        width: usize,
        #[arg(long, default_value_t = 4)]
        heads: usize,
        /// Sequences decoded together
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// Tokens of each sequence, 1..=1020
        #[arg(long, default_value_t = 200)]
        tokens: usize,
        /// f32, int8 or q4
        #[arg(long, default_value = "int8", value_parser = precision)]
        precision: Precision,
        /// Precision of cached keys and values, f32 or int8
        #[arg(long, default_value = "int8", value_parser = kv)]
        kv: KvPrecision,
        /// Runs; the median counts
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Bytes of weights a second in products with one or a few rows
    Gemv {
        /// Weights in all, MiB
        #[arg(long, default_value_t = 360)]
        megabytes: usize,
        /// Rows of activations
        #[arg(long, default_value_t = 1)]
        rows: usize,
        /// f32, int8 or q4
        #[arg(long, default_value = "int8", value_parser = precision)]
        precision: Precision,
    },
    /// Tokens a second of training: forward, backward and AdamW on random tokens
    Train {
        #[arg(long, default_value_t = 4)]
        layers: usize,
        #[arg(long, default_value_t = 256)]
        width: usize,
        #[arg(long, default_value_t = 4)]
        heads: usize,
        /// Sequences a step
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
        batch: u16,
        /// Tokens of each sequence
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
        length: u16,
        /// Steps measured; the median counts
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
        steps: u16,
    },
    /// Text to audio with a published size of MusicGen
    Audio {
        /// small, medium or large
        #[arg(long, default_value = "small")]
        size: String,
        /// Seconds of sound, 1..=300
        #[arg(long, default_value_t = 30.0, value_parser = options::seconds)]
        seconds: f64,
        /// Clips generated together, 1..=16
        #[arg(long, default_value_t = 1, value_parser = options::clips)]
        clips: usize,
        /// f32, int8 or q4
        #[arg(long, default_value = "int8", value_parser = precision)]
        precision: Precision,
        /// Precision of cached keys and values, f32 or int8
        #[arg(long, default_value = "int8", value_parser = kv)]
        kv: KvPrecision,
    },
    /// Decoding and encoding two bars with a published size of MusicVAE
    Vae {
        /// cat-mel_2bar_big, cat-mel_2bar_small or groovae_2bar_humanize
        #[arg(long, default_value = "cat-mel_2bar_big")]
        size: String,
        /// Pieces decoded together
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
        batch: u16,
        /// f32, int8 or q4
        #[arg(long, default_value = "int8", value_parser = precision)]
        precision: Precision,
        /// Runs; the median counts
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
        runs: u16,
    },
    /// Random demands: how often they are broken (never), and what they cost
    Obedience {
        /// Sets of demands
        #[arg(short = 'n', long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        sets: u32,
        #[arg(long, default_value_t = 1, value_parser = options::seed)]
        seed: u64,
    },
    /// Lead sheets of 16 bars, one at a time
    Melody {
        /// Bars of each, 1..=32
        #[arg(long, default_value_t = 16, value_parser = options::bars)]
        bars: u32,
        /// Runs; the median counts
        #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
        runs: u16,
    },
    /// Four voices from nothing, with random weights or those of --model
    Chorale {
        /// Common bars, 1..=40
        #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=40))]
        bars: u8,
        /// Chorales written together
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
        variations: u8,
        /// f32, int8 or q4
        #[arg(long, default_value = "int8", value_parser = precision)]
        precision: Precision,
        /// Runs; the median counts
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
        runs: u16,
    },
    /// Drum requests at once in shared steps, against one after another
    Share {
        #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
        requests: u16,
        /// Bars of each, 1..=32
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=32))]
        bars: u32,
        /// Runs; the median counts
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
        runs: u16,
    },
}

pub fn precision(text: &str) -> std::result::Result<Precision, Invalid> {
    let invalid =
        || Invalid { field: "precision", allowed: "f32, int8 or q4".into(), got: format!("{text:?}") };
    Precision::parse(text).ok_or_else(invalid)
}

pub fn kv(text: &str) -> std::result::Result<KvPrecision, Invalid> {
    let invalid = || Invalid { field: "kv", allowed: "f32 or int8".into(), got: format!("{text:?}") };
    KvPrecision::parse(text).ok_or_else(invalid)
}

pub fn run(command: &Command, session: &Session) -> Result<()> {
    // Both variables of the environment are checked before anything is measured.
    let path = model::kernels()?;
    let threads = partita_kernels::Pool::from_env()?.threads();
    let gigabytes = |bytes: f64| round(bytes / 1e9, 1);
    match *command {
        Command::Obedience { sets, seed } => obey(sets as usize, seed, session),
        Command::Melody { bars, runs } => melody(bars, runs, threads, session),
        Command::Audio { ref size, seconds, clips, precision, kv } => {
            let bench = AudioBench { size: size.clone(), seconds, clips, precision, kv, threads };
            let report = audio(&bench)?;
            let text = format!(
                "{:.1} steps/s, {:.2} s for a second of sound, first sound after {:.2} s\n\
                 {} {} weights, {} kernels, {threads} threads, {clips} x {seconds} s\n\
                 {:.1} steps/s without the codec ({:.3} s for a second), {:.0} % of {} GB/s\n",
                report.steps_per_s,
                report.real_time_factor,
                report.first_s,
                report.size,
                report.precision,
                report.kernels,
                report.lm_steps_per_s,
                report.codec_s_per_s,
                100.0 * report.share_of_bandwidth,
                gigabytes(report.bandwidth),
            );
            session.answer(&json!(report), &text, false)
        }
        Command::Vae { ref size, batch, precision, runs } => {
            let (batch, runs) = (usize::from(batch), usize::from(runs));
            let bench = VaeBench { model: size.clone(), batch, precision, threads, runs };
            // Every other field was checked above.
            let report = vae(&bench).map_err(|error| Error::usage("size", error))?;
            let megabytes = |bytes: u64| round(bytes as f64 / 1e6, 0);
            let text = format!(
                "{:.1} ms for {batch} x {} steps, {:.1} ms to encode them again\n\
                 {} ({} parameters), {} weights, {} kernels, {threads} threads\n\
                 {} MB a step, {:.0} % of {} GB/s; {} MB of weights, {} MB in memory at most\n",
                report.decode_ms,
                report.steps,
                report.encode_ms,
                report.model,
                report.parameters,
                report.precision,
                report.kernels,
                megabytes(report.bytes_per_step as u64),
                100.0 * report.share_of_bandwidth,
                gigabytes(report.bandwidth),
                megabytes(report.model_bytes as u64),
                report.peak_bytes.map_or_else(|| "?".to_owned(), |bytes| megabytes(bytes).to_string()),
            );
            session.answer(&json!(report), &text, false)
        }
        Command::Decode { layers, width, heads, batch, tokens, precision, kv, runs } => {
            check_sizes(layers, width, heads)?;
            let bench = DecodeBench { layers, width, heads, batch, tokens, precision, kv, threads, runs };
            let report = decode(&bench)?;
            let text = format!(
                "{:.0} tokens/s ({} parameters, {} weights, {} kernels, {threads} threads)\n\
                 {:.1} ms for {batch} x {tokens} tokens, {:.0} % of {} GB/s\n",
                report.tokens_per_s,
                report.parameters,
                report.precision,
                report.kernels,
                report.ms_total,
                100.0 * report.share_of_bandwidth,
                gigabytes(report.bandwidth),
            );
            session.answer(&json!(report), &text, false)
        }
        Command::Gemv { megabytes, rows, precision } => {
            let report = gemv(precision, megabytes, rows, threads)?;
            let text = format!(
                "{} GB/s of {} weights ({} kernels, {threads} threads), {:.0} % of {} GB/s\n",
                gigabytes(report.bytes_per_s),
                report.precision,
                report.kernels,
                100.0 * report.share_of_bandwidth,
                gigabytes(report.bandwidth),
            );
            session.answer(&json!(report), &text, false)
        }
        Command::Train { layers, width, heads, batch, length, steps } => {
            check_sizes(layers, width, heads)?;
            if !width.is_multiple_of(16) || !width.is_multiple_of(heads) {
                let message = format!("width must be a multiple of 16 and of heads ({heads}), got {width}");
                return Err(Error::usage("width", message));
            }
            let (batch, length, steps) = (usize::from(batch), usize::from(length), usize::from(steps));
            let vocab = partita_tokens::drums::VOCAB as usize;
            let (rotary, features) = (false, 0);
            let shape = partita_train::Shape {
                vocab,
                context: length,
                styles: 1,
                width,
                layers,
                heads,
                rotary,
                features,
            };
            let report = train_speed(&TrainBench { shape, batch, length, steps, threads, path });
            let text = format!(
                "{:.0} tokens/s ({} parameters, {} kernels, {threads} threads)\n{:.1} ms for {batch} x {length} tokens\n",
                report.tokens_per_s,
                report.parameters,
                path.name(),
                report.ms_per_step,
            );
            session.answer(&json!(report), &text, false)
        }
        Command::Chorale { bars, variations, precision, runs } => {
            let harmonizer = model::choir(session, precision)?;
            let compute = model::compute()?;
            let (bars, variations) = (usize::from(bars), usize::from(variations));
            let report = chorale(&harmonizer, &compute, bars, variations, runs.into())?;
            let text = format!(
                "{:.0} times real time: {:.0} ms for {variations} x {bars} bars at 120 bpm\n                 {:.0} tokens/s ({} parameters, {} weights, {} kernels, {threads} threads)\n",
                report.real_time,
                report.ms,
                report.tokens_per_s,
                report.parameters,
                precision.name(),
                report.kernels,
            );
            session.answer(&json!(report), &text, false)
        }
        Command::Share { requests, bars, runs } => {
            let (drummer, compute) = (Arc::new(model::drummer(session)?), model::compute()?);
            let bench = share::ShareBench { requests: requests.into(), bars, runs: runs.into() };
            crate::cancel::listen();
            let report = share::measure(&drummer, &compute, &bench)?;
            let text = format!(
                "{:.1} times as fast: {:.0} ms at once, {:.0} ms one after another ({requests} x {bars} bars, {} kernels, {threads} threads)\n\
                 {:.0} tokens/s, {:.1} sequences a step; the slowest request took {:.0} ms\n",
                report.ratio,
                report.shared_ms,
                report.alone_ms,
                report.kernels,
                report.shared_tokens_per_s,
                report.batch,
                report.slowest_ms,
            );
            session.answer(&report.to_json(), &text, false)
        }
    }
}

/// Random weights of any size would be made before anyone notices.
fn check_sizes(layers: usize, width: usize, heads: usize) -> Result<()> {
    for (field, got, most) in [("layers", layers, 64), ("width", width, 4096), ("heads", heads, 64)] {
        if !(1..=most).contains(&got) {
            return Err(Error::usage(field, format!("{field} must be in 1..={most}, got {got}")));
        }
    }
    Ok(())
}

/// Of ten sets six are for lead sheets, two for chorales, one for accompaniments, one for drums.
fn obey(sets: usize, seed: u64, session: &Session) -> Result<()> {
    let compute = model::compute()?;
    let bundled = Session { model: None, ..session.clone() };
    let (writer, drummer) = (model::writer(session)?, model::drummer(&bundled)?);
    let (harmonizer, arranger) = (model::choir(&bundled, model::PRECISION)?, model::arranger(&bundled)?);
    crate::cancel::listen();
    let bar =
        crate::progress::bar(session, sets as u64, "{bar:30} {pos} of {len} sets of demands, {eta} to go");
    let (chorales, bands, drums) = (sets / 5, sets / 10, sets / 10);
    let tallies = [
        ("melody", obedience::melodies(&writer, &compute, sets - chorales - bands - drums, seed, &bar)?),
        ("chorales", obedience::chorales(&harmonizer, &compute, chorales, seed, &bar)?),
        ("accompaniment", obedience::accompaniments(&arranger, &compute, bands, seed, &bar)?),
        ("drums", obedience::drums(&drummer, &compute, drums, seed, &bar)?),
    ];
    bar.finish_and_clear();
    let violations: usize = tallies.iter().map(|(_, tally)| tally.violations).sum();
    let mut object = json!({ "sets": sets, "seed": seed, "violations": violations });
    let mut text = String::new();
    for (name, tally) in &tallies {
        let told = tally.to_json();
        text += &format!(
            "{name}: {} written, {} refused, {} violations, demands cost {} nats a token, {} ms a piece\n",
            tally.written, tally.refused, tally.violations, told["cost_nats_per_token"], told["ms_per_piece"]
        );
        tally.shown.iter().for_each(|line| text += &format!("  {line}\n"));
        object[name] = told;
    }
    session.answer(&object, &text, false)?;
    if violations > 0 { Err(Error::told(crate::error::Kind::Failed)) } else { Ok(()) }
}

fn melody(bars: u32, runs: u16, threads: usize, session: &Session) -> Result<()> {
    let compute = model::compute()?;
    let writer = model::writer(session)?;
    let key: partita_score::harmony::Key = "C".parse().expect("a key");
    let demands = Demands { scale: Some(key.pitch_classes()), ..Demands::new(Meter::COMMON, bars, 110.0) };
    let demands = Demands { range: 57..=81, grid: RhythmGrid::Mixed, ..demands };
    let mut times = Vec::new();
    let mut tokens = Vec::new();
    for run in 0..=runs {
        let request = Request { key: Some(key), ..Request::new(demands.clone(), u64::from(run)) };
        let started = std::time::Instant::now();
        let leads = writer.write(&compute, &request, &mut |_| crate::cancel::flow())?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        tokens.push(leads[0].ids.len());
    }
    // The first run warms up.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let ms = times[times.len() / 2];
    let mean = tokens.iter().sum::<usize>() as f64 / tokens.len() as f64;
    let object = json!({
        "bars": bars,
        "ms": round(ms, 2),
        "tokens": round(mean, 1),
        "tokens_per_s": round(mean / ms * 1000.0, 0),
        "threads": threads,
    });
    let text = format!("{ms:.1} ms for {bars} bars ({mean:.0} tokens), {threads} threads\n");
    session.answer(&object, &text, false)
}
