//! `model.json` of a model of ours, and the models inside the program.

use partita_kernels::Precision;
use serde::{Deserialize, Serialize};

use super::{Error, Format, LatentModel};
use crate::checkpoint::Checkpoint;

/// What `model.json` says of `model.safetensors`; the sizes are for people, networks are read off their tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentConfig {
    /// Always [`LatentConfig::FAMILY`].
    pub family: String,
    /// What a step means: a [`Format::name`].
    pub tokens: String,
    /// Sixteenths of an example.
    pub steps: usize,
    /// Values of a step that is encoded, and of one that is decoded.
    pub input: usize,
    pub output: usize,
    /// Values of a point.
    pub latent: usize,
    /// Widths of the encoder's layers, in each direction.
    pub encoder: Vec<usize>,
    /// Widths of the decoder's layers.
    pub decoder: Vec<usize>,
    /// For a groove that humanizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widened: Option<Widened>,
    /// Of the weights, hexadecimal.
    pub sha256: String,
}

/// How strokes are moved away from the mean of all drummers: what a model expects of many is flatter than what any one
/// of them does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Widened {
    /// Factor on the distance from the mean, 1 for none.
    pub gain: f64,
    /// Mean microtiming in steps, late is positive.
    pub offset: f64,
    /// Mean velocity.
    pub velocity: f64,
}

impl LatentConfig {
    pub const FAMILY: &'static str = "music_vae";
}

/// A model inside the program.
struct Bundled {
    name: &'static str,
    config: &'static [u8],
    weights: &'static [u8],
}

macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        &[$(Bundled {
            name: $name,
            config: include_bytes!(concat!("../../../../weights/", $name, "/model.json")),
            weights: include_bytes!(concat!("../../../../weights/", $name, "/model.safetensors")),
        }),*]
    };
}

// A constant would be in the program as often as it is used.
static BUNDLED: &[Bundled] = bundled!["melody-2bar", "drums-2bar", "groove-humanize", "groove-tap"];

impl LatentModel {
    /// Names of the models inside the program.
    pub fn bundled_names() -> impl Iterator<Item = &'static str> {
        BUNDLED.iter().map(|model| model.name)
    }

    /// The `model.json` of a model inside the program.
    pub fn bundled_config(name: &str) -> Option<LatentConfig> {
        let model = BUNDLED.iter().find(|model| model.name == name)?;
        serde_json::from_slice(model.config).ok()
    }

    /// A model inside the program; `None` for other names.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes).
    pub fn bundled(name: &str, precision: Option<Precision>) -> Option<Result<LatentModel, Error>> {
        let model = BUNDLED.iter().find(|model| model.name == name)?;
        Some(LatentModel::from_bytes(name, model.config, model.weights, precision))
    }

    /// A model from the bytes of `model.json` and `model.safetensors`. `name` appears in errors.
    ///
    /// # Errors
    /// Weights of another checksum, a field or tensor that does not fit.
    pub fn from_bytes(
        name: &str,
        config: &[u8],
        weights: &[u8],
        precision: Option<Precision>,
    ) -> Result<LatentModel, Error> {
        let checkpoint = Checkpoint(name);
        let config: LatentConfig = checkpoint.config(config)?;
        checkpoint.family(LatentConfig::FAMILY, &config.family)?;
        let format = Format::parse(&config.tokens).ok_or_else(|| {
            let names = Format::names();
            checkpoint.unfit(format!("tokens must be one of {names}, got {:?}", config.tokens))
        })?;
        let tensors = checkpoint.tensors(weights, &config.sha256)?;
        let mut model = LatentModel::load(name, &tensors, Some((format, config.steps)), precision)?;
        model.widened = config.widened;
        Ok(model)
    }
}
