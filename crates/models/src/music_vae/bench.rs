//! Measured speed of encoding and decoding, with random weights of a published size: the same work as with real ones.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Instant;

use partita_kernels::{Compute, Path, Pool, Precision, bandwidth};
use partita_nn::{Rng, TensorSource};
use serde::Serialize;

use super::{Decode, Error, Input, MusicVae, Sequence, latent};

/// Size of the memory that bandwidth is measured on, beyond any last-level cache of a small machine.
const BANDWIDTH_MEGABYTES: usize = 360;

/// A decoding to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeBench {
    /// One of [`NAMES`].
    pub model: String,
    /// Points decoded together, 1..=256.
    pub batch: usize,
    pub precision: Precision,
    /// `1..=32`
    pub threads: usize,
    /// Runs after one that is not counted; the median counts. At least 1.
    pub runs: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct VaeReport {
    pub model: String,
    pub batch: usize,
    pub steps: usize,
    pub precision: &'static str,
    pub threads: usize,
    /// The instruction set.
    pub kernels: &'static str,
    /// Median time for all steps of all pieces, in milliseconds.
    pub decode_ms: f64,
    /// Every run, in order.
    pub decode_ms_runs: Vec<f64>,
    /// Median time for encoding as many pieces.
    pub encode_ms: f64,
    /// Seconds that packing took, the making of random numbers included.
    pub load_s: f64,
    pub parameters: usize,
    /// Of the packed weights.
    pub model_bytes: usize,
    /// The most memory the process had until after loading, where the system tells; weights, and whatever loading needs.
    pub load_peak_bytes: Option<u64>,
    /// The same at the end.
    pub peak_bytes: Option<u64>,
    /// Bytes of weights that a step of all pieces reads.
    pub bytes_per_step: usize,
    /// Bytes a second that the same threads stream from memory, measured after the runs.
    pub bandwidth: f64,
    /// `bytes_per_step * steps a second / bandwidth`; above 1 where the weights fit the cache.
    pub share_of_bandwidth: f64,
}

/// The published sizes that can be measured.
pub const NAMES: [&str; 3] = ["cat-mel_2bar_big", "cat-mel_2bar_small", "groovae_2bar_humanize"];
const STEPS: usize = 32;

struct Sizes {
    depth: usize,
    z: usize,
    encoder: usize,
    decoder: &'static [usize],
}

fn published(model: &str) -> Result<Sizes, Error> {
    match model {
        "cat-mel_2bar_big" => Ok(Sizes { depth: 90, z: 512, encoder: 2048, decoder: &[2048, 2048, 2048] }),
        "cat-mel_2bar_small" => Ok(Sizes { depth: 90, z: 256, encoder: 512, decoder: &[256, 256] }),
        "groovae_2bar_humanize" => Ok(Sizes { depth: 27, z: 256, encoder: 512, decoder: &[256, 256] }),
        other => Err(Error::range("model", NAMES.join(", "), other)),
    }
}

/// Tensors of random numbers.
struct Random {
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Random {
    fn new(sizes: &Sizes) -> Random {
        let mut shapes = BTreeMap::new();
        let mut dense = |scope: String, inputs: usize, outputs: usize| {
            shapes.insert(format!("{scope}/kernel"), vec![inputs, outputs]);
            shapes.insert(format!("{scope}/bias"), vec![outputs]);
        };
        for side in ["fw", "bw"] {
            let scope = super::config::direction("encoder", 0, side);
            dense(scope, sizes.depth + sizes.encoder, 4 * sizes.encoder);
        }
        dense("encoder/mu".into(), 2 * sizes.encoder, sizes.z);
        dense("encoder/sigma".into(), 2 * sizes.encoder, sizes.z);
        dense("decoder/z_to_initial_state".into(), sizes.z, 2 * sizes.decoder.iter().sum::<usize>());
        let mut inputs = sizes.depth + sizes.z;
        for (index, &width) in sizes.decoder.iter().enumerate() {
            dense(super::config::layer("decoder", index), inputs + width, 4 * width);
            inputs = width;
        }
        dense("decoder/output_projection".into(), inputs, sizes.depth);
        Random { shapes }
    }

    fn parameters(&self) -> usize {
        self.shapes.values().map(|shape| shape.iter().product::<usize>()).sum()
    }
}

impl TensorSource for Random {
    fn names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.shapes.get(name).cloned()
    }

    fn rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> partita_nn::Result<Vec<f32>> {
        let row: usize = shape[1..].iter().product();
        let inputs = if shape.len() > 1 { shape[0] } else { 1000 };
        let spread = (12.0 / inputs as f32).sqrt();
        let seed = name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        let mut values = Vec::with_capacity(range.len() * row);
        for index in range {
            let mut rng = Rng::new(seed, index as u64);
            values.extend((0..row).map(|_| (rng.f32() - 0.5) * spread));
        }
        Ok(values)
    }
}

/// Loads a model and measures it.
///
/// # Errors
/// A field out of range.
pub fn vae(bench: &VaeBench) -> Result<VaeReport, Error> {
    let path = Path::from_env().unwrap_or(Path::Generic);
    let source = Random::new(&published(&bench.model)?);
    let mut compute = Compute::new(Arc::new(Pool::new(bench.threads)?), path);
    let started = Instant::now();
    let model = MusicVae::load(&source, bench.precision)?;
    let load_s = started.elapsed().as_secs_f64();
    let load_peak_bytes = peak_bytes();
    let points: Vec<Vec<f32>> = (0..bench.batch)
        .map(|at| latent::random(model.config().z_size, &mut Rng::new(1, at as u64)))
        .collect();
    let mut pieces = Vec::new();
    let (mut decode_ms_runs, mut encode_runs) = (Vec::new(), Vec::new());
    for run in 0..=bench.runs.max(1) {
        let request = Decode { points: &points, temperature: 1.0, length: Some(STEPS), controls: None };
        let mut rngs: Vec<Rng> = (0..bench.batch).map(|at| Rng::new(2, at as u64)).collect();
        let started = Instant::now();
        pieces = model.decode(&mut compute, &request, &mut rngs, &mut |_| ControlFlow::Continue(()))?;
        let decoded = started.elapsed().as_secs_f64() * 1e3;
        let inputs: Vec<Input<'_>> =
            pieces.iter().map(|steps: &Sequence| Input { steps, controls: None }).collect();
        let started = Instant::now();
        model.encode(&mut compute, &inputs)?;
        if run > 0 {
            decode_ms_runs.push(decoded);
            encode_runs.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    drop(pieces);
    let peak = peak_bytes();
    let decode_ms = median(&decode_ms_runs);
    let bytes_per_step = model.step_bytes();
    let bandwidth = bandwidth(bench.threads, BANDWIDTH_MEGABYTES)?;
    Ok(VaeReport {
        model: bench.model.clone(),
        batch: bench.batch,
        steps: STEPS,
        precision: bench.precision.name(),
        threads: bench.threads,
        kernels: path.name(),
        decode_ms,
        decode_ms_runs,
        encode_ms: median(&encode_runs),
        load_s,
        parameters: source.parameters(),
        model_bytes: model.bytes(),
        load_peak_bytes,
        peak_bytes: peak,
        bytes_per_step,
        bandwidth,
        share_of_bandwidth: bytes_per_step as f64 * STEPS as f64 / (decode_ms / 1e3) / bandwidth,
    })
}

fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The largest resident size the process has had.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magenta_speed_is_measured_and_other_models_are_refused() {
        let bench = VaeBench {
            model: "groovae_2bar_humanize".into(),
            batch: 2,
            precision: Precision::Int8,
            threads: 1,
            runs: 1,
        };
        let report = vae(&bench).unwrap();
        assert_eq!((report.parameters, report.decode_ms_runs.len()), (4_085_019, 1));
        assert!(report.decode_ms > 0.0 && report.encode_ms > 0.0);
        // Three products of 256 x 1024, one of 27 x 1024, the projection; not the part of z.
        assert!((800_000..1_000_000).contains(&report.bytes_per_step), "{}", report.bytes_per_step);
        // int8 weights, f32 mu, sigma and projection.
        assert!((4_000_000..7_000_000).contains(&report.model_bytes), "{}", report.model_bytes);
        let error = vae(&VaeBench { model: "other".into(), ..bench }).unwrap_err().to_string();
        assert!(error.starts_with("model must be cat-mel_2bar_big, "), "{error}");
    }

    #[test]
    fn magenta_published_sizes_have_the_published_numbers_of_parameters() {
        for (name, parameters) in NAMES.into_iter().zip([134_571_098, 4_423_770, 4_085_019]) {
            assert_eq!(Random::new(&published(name).unwrap()).parameters(), parameters, "{name}");
        }
    }
}
