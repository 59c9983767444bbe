//! Measured speed of decoding and of one large product, with random weights.

use std::sync::Arc;
use std::time::Instant;

use partita_kernels::{After, Compute, Matrix, Order, bandwidth};
use serde::Serialize;

use crate::{
    Decoder, Error, Gpt, GptConfig, KvPrecision, Path, Pool, Precision, Result, Rng, Sampler, Sampling,
};

/// Size of the memory that bandwidth is measured on, beyond any last-level cache of a small machine.
const BANDWIDTH_MEGABYTES: usize = 360;

/// A decoding to measure: a GPT-2 with 500 tokens and 1024 positions, sampling with top-k 50.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeBench {
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    /// Sequences decoded together.
    pub batch: usize,
    /// Tokens drawn for each sequence, after a prompt of 4; at most 1020.
    pub tokens: usize,
    pub precision: Precision,
    pub kv: KvPrecision,
    /// `1..=32`
    pub threads: usize,
    /// Runs after a short warm-up; the median counts. At least 1.
    pub runs: usize,
}

impl Default for DecodeBench {
    fn default() -> DecodeBench {
        DecodeBench {
            layers: 6,
            width: 256,
            heads: 4,
            batch: 1,
            tokens: 200,
            precision: Precision::Int8,
            kv: KvPrecision::Int8,
            threads: 2,
            runs: 5,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct DecodeReport {
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub batch: usize,
    pub tokens: usize,
    pub precision: &'static str,
    pub kv: &'static str,
    pub threads: usize,
    /// The instruction set.
    pub kernels: &'static str,
    pub parameters: usize,
    /// Median time for all tokens of all sequences, in milliseconds, prompt included.
    pub ms_total: f64,
    /// Fastest run.
    pub ms_best: f64,
    /// Every run, in order.
    pub ms_runs: Vec<f64>,
    /// Tokens of all sequences per second.
    pub tokens_per_s: f64,
    pub steps_per_s: f64,
    /// Bytes that a step reads: weights, and the cached keys and values of half the sequence.
    pub bytes_per_step: usize,
    /// Bytes per second that the same threads stream from memory, measured after the runs.
    pub bandwidth: f64,
    /// `bytes_per_step * steps_per_s / bandwidth`; above 1 where the weights fit the cache.
    pub share_of_bandwidth: f64,
    /// 64-bit FNV-1a hash of the tokens drawn: equal on every machine and for any number of threads.
    pub tokens_hash: String,
}

/// Runs `bench`.
///
/// # Errors
/// A size out of range.
pub fn decode(bench: &DecodeBench) -> Result<DecodeReport> {
    let config = GptConfig::new(500, 1024, bench.width, bench.layers, bench.heads);
    for (field, got, most) in
        [("tokens", bench.tokens, 1020), ("batch", bench.batch, 4096), ("runs", bench.runs, 10_000)]
    {
        if !(1..=most).contains(&got) {
            return Err(Error::Config { field, allowed: format!("in 1..={most}"), got: got.to_string() });
        }
    }
    let path = Path::from_env().map_err(|got| Error::Config {
        field: "kernels",
        allowed: "a path this CPU has".to_owned(),
        got,
    })?;
    let gpt = Arc::new(Gpt::random(config, bench.precision, 1)?);
    let mut decoder = Decoder::new(&gpt, Arc::new(Pool::new(bench.threads)?), path, bench.kv);
    generate(&mut decoder, bench, bench.tokens.min(10))?;
    let mut runs = Vec::with_capacity(bench.runs);
    let mut hash = 0;
    for _ in 0..bench.runs {
        let started = Instant::now();
        hash = generate(&mut decoder, bench, bench.tokens)?;
        runs.push(started.elapsed().as_secs_f64());
    }
    let mut sorted = runs.clone();
    sorted.sort_by(f64::total_cmp);
    let seconds = sorted[sorted.len() / 2];
    let steps_per_s = bench.tokens as f64 / seconds;
    let bytes_per_step = gpt.bytes_per_step() + bench.batch * cached_bytes(bench);
    let bandwidth = bandwidth(bench.threads, BANDWIDTH_MEGABYTES)?;
    Ok(DecodeReport {
        layers: bench.layers,
        width: bench.width,
        heads: bench.heads,
        batch: bench.batch,
        tokens: bench.tokens,
        precision: bench.precision.name(),
        kv: bench.kv.name(),
        threads: bench.threads,
        kernels: path.name(),
        parameters: gpt.config().parameters(),
        ms_total: seconds * 1e3,
        ms_best: sorted[0] * 1e3,
        ms_runs: runs.iter().map(|run| run * 1e3).collect(),
        tokens_per_s: steps_per_s * bench.batch as f64,
        steps_per_s,
        bytes_per_step,
        bandwidth,
        share_of_bandwidth: bytes_per_step as f64 * steps_per_s / bandwidth,
        tokens_hash: format!("{hash:016x}"),
    })
}

/// Mean bytes of cached keys and values one sequence reads in a step.
fn cached_bytes(bench: &DecodeBench) -> usize {
    let positions = 4 + bench.tokens / 2;
    match bench.kv {
        KvPrecision::F32 => bench.layers * positions * bench.width * 8,
        KvPrecision::Int8 => bench.layers * positions * (bench.width * 2 + bench.heads * 8),
    }
}

fn generate(decoder: &mut Decoder, bench: &DecodeBench, tokens: usize) -> Result<u64> {
    let mut sampler = Sampler::new(Sampling { top_k: 50, ..Sampling::default() })?;
    let mut rngs: Vec<Rng> = (0..bench.batch as u64).map(|stream| Rng::new(7, stream)).collect();
    let sequences: Vec<_> = (0..bench.batch).map(|_| decoder.join(None)).collect();
    let mut next = Vec::with_capacity(bench.batch);
    for (index, &sequence) in sequences.iter().enumerate() {
        let prompt: [u32; 4] = std::array::from_fn(|at| ((index * 31 + at * 97) % 499) as u32 + 1);
        decoder.prefill(sequence, &prompt)?;
        let logits = decoder.last_logits(sequence)?.expect("a prefill leaves logits");
        next.push((sequence, sampler.sample(logits, &[], None, &mut rngs[index])?));
    }
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut record = |next: &[(crate::SequenceId, u32)]| {
        for (_, token) in next {
            hash = (hash ^ u64::from(*token)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    record(&next);
    for _ in 1..tokens {
        let logits = decoder.step(&next)?;
        for (row, ((_, token), rng)) in next.iter_mut().zip(&mut rngs).enumerate() {
            *token = sampler.sample(logits.row(row), &[], None, rng)?;
        }
        record(&next);
    }
    sequences.iter().for_each(|&sequence| decoder.leave(sequence));
    Ok(hash)
}

/// Speed of one product with a large matrix.
#[derive(Clone, Debug, Serialize)]
pub struct GemvReport {
    pub precision: &'static str,
    pub kernels: &'static str,
    pub threads: usize,
    /// Rows of activations per pass over the weights.
    pub rows: usize,
    /// Bytes of weights.
    pub bytes: usize,
    /// Median time of a pass over all weights, in milliseconds.
    pub ms: f64,
    /// Bytes of weights per second.
    pub bytes_per_s: f64,
    /// Bytes per second that the same threads stream from memory: median of measurements before,
    /// between and after the products.
    pub bandwidth: f64,
    /// `bytes_per_s / bandwidth`
    pub share_of_bandwidth: f64,
}

/// Multiplies `rows` rows (`1..=64`) with a set of 1024-wide matrices of `megabytes` (`1..=4096`) in
/// all, one after the other, and compares with the speed of memory.
///
/// # Errors
/// A size out of range.
pub fn gemv(precision: Precision, megabytes: usize, rows: usize, threads: usize) -> Result<GemvReport> {
    const SIZE: usize = 1024;
    for (field, got, most) in [("megabytes", megabytes, 4096), ("rows", rows, 64)] {
        if !(1..=most).contains(&got) {
            return Err(Error::Config { field, allowed: format!("in 1..={most}"), got: got.to_string() });
        }
    }
    let path = Path::from_env().map_err(|got| Error::Config {
        field: "kernels",
        allowed: "a path this CPU has".to_owned(),
        got,
    })?;
    let mut rng = Rng::new(3, 0);
    let weights: Vec<f32> = (0..4 * SIZE * SIZE).map(|_| rng.f32() - 0.5).collect();
    let first = Matrix::pack(&weights, 4 * SIZE, SIZE, Order::OutIn, precision)?;
    let count = (megabytes << 20).div_ceil(first.bytes());
    let mut matrices = vec![first];
    while matrices.len() < count {
        matrices.push(Matrix::pack(&weights, 4 * SIZE, SIZE, Order::OutIn, precision)?);
    }
    let bytes = matrices.iter().map(Matrix::bytes).sum();
    let x: Vec<f32> = (0..rows * SIZE).map(|_| rng.f32() - 0.5).collect();
    let mut out = vec![0.0; rows * 4 * SIZE];
    let mut compute = Compute::new(Arc::new(Pool::new(threads)?), path);
    let (mut times, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        streams.push(bandwidth(threads, BANDWIDTH_MEGABYTES)?);
        for _ in 0..5 {
            let started = Instant::now();
            for matrix in &matrices {
                compute.matmul(matrix, &x, After::Store, &mut out);
            }
            times.push(started.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    streams.sort_by(f64::total_cmp);
    let (seconds, stream) = (times[times.len() / 2], streams[streams.len() / 2]);
    let bytes_per_s = bytes as f64 / seconds;
    Ok(GemvReport {
        precision: precision.name(),
        kernels: path.name(),
        threads,
        rows,
        bytes,
        ms: seconds * 1e3,
        bytes_per_s,
        bandwidth: stream,
        share_of_bandwidth: bytes_per_s / stream,
    })
}
