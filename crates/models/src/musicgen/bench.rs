//! Measured speed of the whole way from conditioning rows to samples, with random weights of a published size: the
//! same work as with real ones.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use partita_kernels::{KvCache, KvPrecision, Path, Pool, Precision, bandwidth};
use partita_nn::Sampling;
use serde::Serialize;

use super::codec::CodecConfig;
use super::generate::{Generate, Prepared};
use super::stage::Condition;
use super::{Config, Error, LmConfig, MusicGen, Precisions, TextConfig};

/// Rows of a prompt of a few words.
const TEXT_ROWS: usize = 16;
/// Size of the memory that bandwidth is measured on, beyond any last-level cache of a small machine.
const BANDWIDTH_MEGABYTES: usize = 360;

/// A generation to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioBench {
    /// `small`, `medium` or `large`.
    pub size: String,
    /// [1, 300]
    pub seconds: f64,
    /// Clips generated together, 1..=16.
    pub clips: usize,
    pub precision: Precision,
    pub kv: KvPrecision,
    /// `1..=32`
    pub threads: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct AudioReport {
    pub size: String,
    pub seconds: f64,
    pub clips: usize,
    pub precision: &'static str,
    pub kv: &'static str,
    pub threads: usize,
    /// The instruction set.
    pub kernels: &'static str,
    /// Columns of codes a second, decoding of samples included; guidance runs two rows a clip.
    pub steps_per_s: f64,
    /// Of the time without decoding samples.
    pub lm_steps_per_s: f64,
    /// Seconds of decoding for a second of sound.
    pub codec_s_per_s: f64,
    /// Seconds until the first samples came.
    pub first_s: f64,
    /// Seconds of work for a second of sound, of all clips together.
    pub real_time_factor: f64,
    pub total_s: f64,
    /// Bytes that a step reads: weights, and the cached keys and values half way.
    pub bytes_per_step: usize,
    /// Bytes a second that the same threads stream from memory, measured after the run.
    pub bandwidth: f64,
    /// `bytes_per_step * lm_steps_per_s / bandwidth`
    pub share_of_bandwidth: f64,
}

/// The published sizes of the language model: layers, width, heads.
fn published(size: &str) -> Result<(usize, usize, usize), Error> {
    match size {
        "small" => Ok((24, 1024, 16)),
        "medium" => Ok((48, 1536, 24)),
        "large" => Ok((48, 2048, 32)),
        other => Err(Error::range("size", "small, medium, large", other)),
    }
}

/// MusicGen of a published size.
pub(super) fn config(size: &str) -> Result<Config, Error> {
    let (layers, width, heads) = published(size)?;
    Ok(Config {
        model_type: "musicgen".into(),
        text_encoder: TextConfig::t5_base(),
        audio_encoder: CodecConfig::encodec_32khz(),
        decoder: LmConfig {
            vocab_size: 2048,
            hidden_size: width,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            ffn_dim: 4 * width,
            num_codebooks: 4,
            audio_channels: 1,
            activation_function: "gelu".into(),
            scale_embedding: false,
        },
        chroma_length: 235,
        num_chroma: 12,
    })
}

/// Runs one generation.
///
/// # Errors
/// A field out of range.
pub fn audio(bench: &AudioBench) -> Result<AudioReport, Error> {
    let path = Path::from_env().unwrap_or(Path::Generic);
    let config = config(&bench.size)?;
    let request = Generate {
        prompt: "measured".into(),
        seconds: bench.seconds,
        variations: bench.clips,
        sampling: Sampling { top_k: 250, ..Sampling::default() },
        ..Generate::default()
    };
    request.check()?;
    let pool = Arc::new(Pool::new(bench.threads)?);
    let precisions = Precisions { weights: bench.precision, kv: bench.kv };
    let model = MusicGen::random(config.clone(), precisions, 1)?;
    let (layers, width, heads) = published(&bench.size)?;
    let text = (0..TEXT_ROWS * width).map(|at| (at * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
    let condition = Condition { text, prefix: Vec::new() };
    let frames = (bench.seconds * 50.0).ceil() as usize;
    let prepared = Prepared::new(condition, Some((Condition::default(), 3.0)), frames);
    let started = Instant::now();
    let mut first = None;
    model.play(&pool, path, &request, &prepared, &mut |progress| {
        if first.is_none() && !progress.new.is_empty() {
            first = Some(started.elapsed().as_secs_f64());
        }
        ControlFlow::Continue(())
    })?;
    let total = started.elapsed().as_secs_f64();
    let codec = codec_seconds(&model, &pool, path)?;
    let sound = bench.seconds * bench.clips as f64;
    let lm = total - codec * sound;
    let steps = frames as f64 + 4.0;
    let kv =
        2 * bench.clips * layers * KvCache::bytes_reserved(heads, width / heads, frames.min(1500), bench.kv)
            / 2;
    let bytes = model.lm()?.step_bytes() + kv;
    let bandwidth = bandwidth(bench.threads, BANDWIDTH_MEGABYTES)?;
    Ok(AudioReport {
        size: bench.size.clone(),
        seconds: bench.seconds,
        clips: bench.clips,
        precision: bench.precision.name(),
        kv: bench.kv.name(),
        threads: bench.threads,
        kernels: path.name(),
        steps_per_s: steps / total,
        lm_steps_per_s: steps / lm,
        codec_s_per_s: codec,
        first_s: first.unwrap_or(total),
        real_time_factor: total / sound,
        total_s: total,
        bytes_per_step: bytes,
        bandwidth,
        share_of_bandwidth: bytes as f64 * (steps / lm) / bandwidth,
    })
}

/// Seconds that decoding one second of sound takes, in the pieces that `play` decodes.
fn codec_seconds(model: &MusicGen, pool: &Arc<Pool>, path: Path) -> Result<f64, Error> {
    const PIECES: usize = 8;
    let mut compute = partita_kernels::Compute::new(Arc::clone(pool), path);
    let mut stream = model.codec()?.stream();
    let codes: Vec<Vec<u32>> = (0..4).map(|k| (0..25).map(|t| (t * 91 + k * 17) % 2048).collect()).collect();
    stream.push(&mut compute, &codes)?;
    let started = Instant::now();
    for _ in 0..PIECES {
        stream.push(&mut compute, &codes)?;
    }
    Ok(started.elapsed().as_secs_f64() / PIECES as f64 * 2.0)
}
