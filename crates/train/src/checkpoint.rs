//! Checkpoints: weights in HF's GPT-2 layout, and what a run needs to go on.
//!
//! A folder holds `model.safetensors` (f16) with `model.json`, the best by validation so far, and
//! `checkpoint.safetensors` (weights, AdamW's moments, and in its metadata step, settings and points), which
//! a resumed run reads. Every file is written
//! beside and renamed, the checkpoint last: after a kill at any time a resumed run repeats what was lost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::parameters::{Parameters, Tensor};
use crate::run::{Point, Settings};
use crate::source::Source;

/// Everything a run is at one step.
pub struct State {
    pub settings: Settings,
    pub parameters: Parameters,
    /// The weights' running average, where the settings ask for one.
    average: Option<Parameters>,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub step: u32,
    pub points: Vec<Point>,
    /// Hash of the data set and its split; see [`Source::split_hash`].
    pub split_hash: String,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    settings: Settings,
    split_hash: String,
    step: u32,
    points: Vec<Point>,
}

/// Why a checkpoint cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {verb} {}: {source}", path.display())]
    File { verb: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
}

impl State {
    pub(crate) fn new(settings: Settings, split_hash: &str) -> State {
        let parameters = Parameters::new(settings.shape, settings.seed);
        let zeros = vec![0.0; parameters.values.len()];
        State {
            settings,
            parameters,
            average: (settings.averaging > 0.0).then(|| Parameters::zeros(settings.shape)),
            first: zeros.clone(),
            second: zeros,
            step: 0,
            points: vec![],
            split_hash: split_hash.to_owned(),
        }
    }

    /// The weights that are validated and written as the model.
    pub fn shipped(&self) -> &Parameters {
        self.average.as_ref().unwrap_or(&self.parameters)
    }

    /// Takes the weights of this step into the average; early steps leave it soon.
    pub(crate) fn follow(&mut self) {
        let Some(average) = &mut self.average else { return };
        let step = self.step as f32;
        let taken = 1.0 - self.settings.averaging.min(step / (step + 10.0));
        for (average, value) in average.values.iter_mut().zip(&self.parameters.values) {
            *average += taken * (value - *average);
        }
    }
}

/// Writes the checkpoint of `state` into `folder`, which is made if need be.
///
/// # Errors
/// [`Error::File`] if a file cannot be written; the old checkpoint then still stands.
pub fn save(folder: &Path, state: &State, source: &dyn Source) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::File {
        verb: "make",
        path: folder.into(),
        source,
    })?;
    let file = StateFile {
        settings: state.settings,
        split_hash: source.split_hash().to_owned(),
        step: state.step,
        points: state.points.clone(),
    };
    let metadata = HashMap::from([("state".to_owned(), json(&file))]);
    let mut parts =
        vec![("weights.", &state.parameters.values), ("first.", &state.first), ("second.", &state.second)];
    parts.extend(state.average.as_ref().map(|average| ("average.", &average.values)));
    let best = state.points.iter().map(|point| point.validation).fold(f64::INFINITY, f64::min);
    if state.points.last().is_none_or(|last| last.validation <= best) {
        source.write_model(folder, state.shipped())?;
    }
    write(&folder.join(CHECKPOINT), &serialize(&state.parameters.tensors, &parts, Float::F32, Some(metadata)))
}

/// Writes `model.safetensors` and `model.json`, the form in which a model ships; `config` gets the checksum of the
/// weights.
///
/// # Errors
/// [`Error::File`] if a file cannot be written.
pub fn write_model<C: Serialize>(
    folder: &Path,
    parameters: &Parameters,
    config: impl FnOnce(String) -> C,
    float: Float,
) -> Result<(), Error> {
    let bytes = serialize(&parameters.tensors, &[("", &parameters.values)], float, None);
    let sha256 = hash(&bytes);
    write(&folder.join("model.safetensors"), &bytes)?;
    write(&folder.join("model.json"), json(&config(sha256)).as_bytes())
}

/// The checkpoint in `folder`, or `None` if there is none.
///
/// # Errors
/// A file that cannot be read, is cut short, or does not hold what it says.
pub fn load(folder: &Path) -> Result<Option<State>, Error> {
    let Some(parts) = read_parts(folder)? else { return Ok(None) };
    let file: StateFile = parts.state()?;
    let mut parameters = Parameters::zeros(file.settings.shape);
    let read = |prefix: &str| parts.read(prefix, &parameters.tensors);
    let (weights, first, second) = (read("weights.")?, read("first.")?, read("second.")?);
    let averaged = file.settings.averaging > 0.0;
    let average = averaged.then(|| read("average.")).transpose()?;
    let average = average.map(|values| Parameters { values, ..Parameters::zeros(file.settings.shape) });
    parameters.values = weights;
    Ok(Some(State {
        settings: file.settings,
        parameters,
        average,
        first,
        second,
        step: file.step,
        points: file.points,
        split_hash: file.split_hash,
    }))
}

pub(crate) const CHECKPOINT: &str = "checkpoint.safetensors";

/// The bytes of a checkpoint, with its state as text.
pub(crate) struct Parts {
    path: PathBuf,
    bytes: Vec<u8>,
    state: String,
}

/// Reads the checkpoint of `folder`, or `None` if there is none.
pub(crate) fn read_parts(folder: &Path) -> Result<Option<Parts>, Error> {
    let path = folder.join(CHECKPOINT);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::File { verb: "read", path, source }),
    };
    let error = |message: String| Error::Content { path: path.clone(), message };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| error(e.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get("state"));
    let state = text.ok_or_else(|| error("no state in its metadata".into()))?.clone();
    Ok(Some(Parts { path, bytes, state }))
}

impl Parts {
    fn error(&self, message: String) -> Error {
        Error::Content { path: self.path.clone(), message }
    }

    pub(crate) fn state<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.state).map_err(|e| self.error(e.to_string()))
    }

    /// All values of the tensors `prefix` + name, end to end.
    pub(crate) fn read(&self, prefix: &str, layout: &[Tensor]) -> Result<Vec<f32>, Error> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|e| self.error(e.to_string()))?;
        let mut values = vec![0.0; layout.last().map_or(0, |tensor| tensor.range.end)];
        for tensor in layout {
            let name = format!("{prefix}{}", tensor.name);
            let view = tensors.tensor(&name).map_err(|e| self.error(format!("{name}: {e}")))?;
            if view.dtype() != Dtype::F32 || view.shape() != tensor.shape {
                return Err(self.error(format!(
                    "{name} must be f32 {:?}, got {:?} {:?}",
                    tensor.shape,
                    view.dtype(),
                    view.shape()
                )));
            }
            for (value, bytes) in values[tensor.range.clone()].iter_mut().zip(view.data().chunks_exact(4)) {
                *value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
            }
        }
        Ok(values)
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    F32,
    F16,
}

pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).expect("plain data") + "\n"
}

pub(crate) fn serialize(
    layout: &[Tensor],
    parts: &[(&str, &Vec<f32>)],
    float: Float,
    metadata: Option<HashMap<String, String>>,
) -> Vec<u8> {
    let to_bytes = |values: &[f32]| -> Vec<u8> {
        match float {
            Float::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Float::F16 => values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect(),
        }
    };
    let dtype = if float == Float::F32 { Dtype::F32 } else { Dtype::F16 };
    let data: Vec<(String, &Vec<usize>, Vec<u8>)> = parts
        .iter()
        .flat_map(|(prefix, values)| {
            layout
                .iter()
                .map(move |t| (format!("{prefix}{}", t.name), &t.shape, to_bytes(&values[t.range.clone()])))
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(dtype, (*shape).clone(), bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize(views, metadata).expect("views of our own")
}

/// Writes beside, then renames.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("partial");
    let result = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    result.map_err(|source| Error::File { verb: "write", path: path.into(), source })
}
