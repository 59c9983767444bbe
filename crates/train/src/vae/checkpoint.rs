//! Checkpoints of the autoencoders: what a run needs to go on, and `model.safetensors` with `model.json`, the
//! best by validation so far.

use std::collections::HashMap;
use std::path::Path;

use partita_models::latent::Format;
pub use partita_models::latent::LatentConfig as VaeConfig;
use partita_nn::Tensors;
use partita_tokens::groove::GrooveInput;
use serde::{Deserialize, Serialize};

use super::run::{VaePoint, VaeSettings};
use super::weights::{Head, Heard, VaeShape, VaeWeights};
use crate::checkpoint::{CHECKPOINT, Error, Float, hash, json, read_parts, serialize, write};

/// Everything a run is at one step.
pub struct State {
    pub settings: VaeSettings,
    pub weights: VaeWeights,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub step: u32,
    pub points: Vec<VaePoint>,
    pub split_hash: String,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    settings: VaeSettings,
    split_hash: String,
    step: u32,
    points: Vec<VaePoint>,
}

/// The shape that these sizes are, if the trainer knows such networks.
///
/// # Errors
/// Which of the sizes or names it does not know.
fn shape(config: &VaeConfig) -> Result<VaeShape, String> {
    let (head, heard) = match config.tokens.as_str() {
        "melody-90" | "drums-9" => (Head::Categorical, Heard::Hits),
        "groove-27-hits" => (Head::Groove, Heard::Hits),
        "groove-27-taps" => (Head::Groove, Heard::Taps),
        other => {
            let known = "melody-90, drums-9, groove-27-hits or groove-27-taps";
            return Err(format!("tokens must be {known}, got {other:?}"));
        }
    };
    let ([encoder], [decoder, second]) = (&config.encoder[..], &config.decoder[..]) else {
        return Err("there must be one layer in encoder and two in decoder".into());
    };
    let (encoder, decoder) = (*encoder, *decoder);
    let sizes = [config.steps, config.input, config.output, config.latent, encoder, decoder];
    if decoder != *second || sizes.iter().any(|size| !(1..=4096).contains(size)) {
        return Err("sizes must be in 1..=4096, and both layers of the decoder as wide".into());
    }
    let (steps, input, output, latent) = (config.steps, config.input, config.output, config.latent);
    Ok(VaeShape { head, heard, steps, input, output, encoder, decoder, latent })
}

/// What the steps of a shape mean.
fn tokens(shape: VaeShape) -> Format {
    match (shape.head, shape.heard, shape.input == shape.output) {
        (Head::Groove, Heard::Hits, _) => Format::groove(GrooveInput::Hits),
        (Head::Groove, Heard::Taps, _) => Format::groove(GrooveInput::TapTiming),
        (Head::Categorical, _, true) => Format::Melody { chords: false },
        (Head::Categorical, _, false) => Format::Drums,
    }
}

/// `model.json` of a shape, the checksum left out.
fn config(shape: VaeShape) -> VaeConfig {
    VaeConfig {
        family: VaeConfig::FAMILY.into(),
        tokens: tokens(shape).name().into(),
        steps: shape.steps,
        input: shape.input,
        output: shape.output,
        latent: shape.latent,
        encoder: vec![shape.encoder],
        decoder: vec![shape.decoder; 2],
        widened: None,
        sha256: String::new(),
    }
}

impl State {
    pub(crate) fn new(settings: VaeSettings, split_hash: &str) -> State {
        let weights = VaeWeights::new(settings.shape, settings.seed);
        let zeros = vec![0.0; weights.values.len()];
        State {
            settings,
            weights,
            first: zeros.clone(),
            second: zeros,
            step: 0,
            points: vec![],
            split_hash: split_hash.to_owned(),
        }
    }
}

/// Writes the checkpoint of `state` into `folder`, which is made if need be.
///
/// # Errors
/// [`Error::File`] if a file cannot be written; the old checkpoint then still stands.
pub fn save(folder: &Path, state: &State) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::File {
        verb: "make",
        path: folder.into(),
        source,
    })?;
    let file = StateFile {
        settings: state.settings,
        split_hash: state.split_hash.clone(),
        step: state.step,
        points: state.points.clone(),
    };
    let metadata = HashMap::from([("state".to_owned(), json(&file))]);
    let parts = [("weights.", &state.weights.values), ("first.", &state.first), ("second.", &state.second)];
    let best = state.points.iter().map(|point| point.validation).fold(f64::INFINITY, f64::min);
    if state.points.last().is_none_or(|last| last.validation <= best) {
        write_model(folder, &state.weights, Float::F16)?;
    }
    write(&folder.join(CHECKPOINT), &serialize(&state.weights.tensors, &parts, Float::F32, Some(metadata)))
}

/// Writes `model.safetensors` and `model.json`, the form in which a model ships.
///
/// # Errors
/// [`Error::File`] if a file cannot be written.
pub fn write_model(folder: &Path, weights: &VaeWeights, float: Float) -> Result<(), Error> {
    let bytes = serialize(&weights.tensors, &[("", &weights.values)], float, None);
    let config = VaeConfig { sha256: hash(&bytes), ..config(weights.shape) };
    write(&folder.join("model.safetensors"), &bytes)?;
    write(&folder.join("model.json"), json(&config).as_bytes())
}

/// The model that `folder` holds, in the form in which it ships.
///
/// # Errors
/// A file that cannot be read, or weights that are not what `model.json` says.
pub fn load_model(folder: &Path) -> Result<(VaeConfig, VaeWeights), Error> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| Error::File { verb: "read", path, source })
    };
    let error = |name: &str, message: String| Error::Content { path: folder.join(name), message };
    let config: VaeConfig =
        serde_json::from_slice(&read("model.json")?).map_err(|e| error("model.json", e.to_string()))?;
    if config.family != VaeConfig::FAMILY {
        let message = format!("family must be {}, got {:?}", VaeConfig::FAMILY, config.family);
        return Err(error("model.json", message));
    }
    let shape = shape(&config).map_err(|message| error("model.json", message))?;
    let bytes = read("model.safetensors")?;
    let got = hash(&bytes);
    if got != config.sha256 {
        let message = format!("sha256 must be {}, got {got}", config.sha256);
        return Err(error("model.safetensors", message));
    }
    let file = folder.join("model.safetensors");
    let tensors = Tensors::read(&file).map_err(|e| error("model.safetensors", e.to_string()))?;
    let mut weights = VaeWeights::zeros(shape);
    for tensor in &weights.tensors {
        let values = tensors.f32(&tensor.name, &tensor.shape);
        let values = values.map_err(|e| error("model.safetensors", e.to_string()))?;
        weights.values[tensor.range.clone()].copy_from_slice(&values);
    }
    Ok((config, weights))
}

/// The checkpoint in `folder`, or `None` if there is none.
///
/// # Errors
/// A file that cannot be read, is cut short, or does not hold what it says.
pub fn load(folder: &Path) -> Result<Option<State>, Error> {
    let Some(parts) = read_parts(folder)? else { return Ok(None) };
    let file: StateFile = parts.state()?;
    let mut weights = VaeWeights::zeros(file.settings.shape);
    let read = |prefix: &str| parts.read(prefix, &weights.tensors);
    let (values, first, second) = (read("weights.")?, read("first.")?, read("second.")?);
    weights.values = values;
    Ok(Some(State {
        settings: file.settings,
        weights,
        first,
        second,
        step: file.step,
        points: file.points,
        split_hash: file.split_hash,
    }))
}
