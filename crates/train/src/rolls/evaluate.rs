//! Table A: nats a frame, joint, by the recipe of Boulanger-Lewandowski et al. 2012 (arXiv:1206.6392).

use std::path::Path;

use partita_nn::Tensors;
use serde::{Deserialize, Serialize};

use super::data::Rolls;
use super::source::windows;
use crate::checkpoint::Error;
use crate::gpt::{Example, Gpt};
use crate::groove::Split;
use crate::parameters::{Parameters, Shape};
use crate::run::shards;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableA {
    pub split: &'static str,
    pub pieces: usize,
    pub frames: usize,
    /// Nats a frame.
    pub nats: f64,
}

/// Measures a network on `split`.
pub fn table_a(
    rolls: &Rolls,
    parameters: &Parameters,
    split: Split,
    threads: usize,
    path: partita_kernels::Path,
) -> TableA {
    let rolls = rolls.split(split);
    let examples: Vec<Example> = rolls.iter().flat_map(windows).collect();
    let shards = shards(&examples);
    let nats_of = |shards: &[&[Example]]| {
        let mut net = Gpt::new(parameters.shape, path);
        let mut sum = 0.0;
        for shard in shards {
            let losses = net.losses(parameters, shard);
            let weights = shard.iter().flat_map(|example| &example.weights);
            sum += losses.iter().zip(weights).map(|(loss, weight)| f64::from(loss * weight)).sum::<f64>();
        }
        sum
    };
    let nats: f64 = std::thread::scope(|scope| {
        let parts = shards.chunks(shards.len().div_ceil(threads).max(1));
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| nats_of(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("evaluation does not panic")).sum()
    });
    let frames: usize = rolls.iter().map(Vec::len).sum();
    TableA { split: split.name(), pieces: rolls.len(), frames, nats: nats / frames.max(1) as f64 }
}

#[derive(Deserialize)]
struct RollConfig {
    family: String,
    shape: Shape,
}

/// The best weights that training left in `folder`.
///
/// # Errors
/// A folder without them, or that holds something else.
pub fn best(folder: &Path) -> Result<Parameters, Error> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| Error::File { verb: "read", path, source })
    };
    let error = |message: String| Error::Content { path: folder.into(), message };
    let config: RollConfig =
        serde_json::from_slice(&read("model.json")?).map_err(|e| error(format!("model.json: {e}")))?;
    let expected = Shape::roll(config.shape.width, config.shape.layers, config.shape.heads);
    if config.family != "roll" || config.shape != expected {
        let (family, shape) = (config.family, config.shape);
        return Err(error(format!(
            "model.json must be of family \"roll\" and {expected:?}, got {family:?} and {shape:?}"
        )));
    }
    let tensors = Tensors::from_bytes(read("model.safetensors")?).map_err(|e| error(e.to_string()))?;
    let mut parameters = Parameters::zeros(config.shape);
    for tensor in &parameters.tensors {
        let values = tensors.f32(&tensor.name, &tensor.shape).map_err(|e| error(e.to_string()))?;
        parameters.values[tensor.range.clone()].copy_from_slice(&values);
    }
    Ok(parameters)
}
