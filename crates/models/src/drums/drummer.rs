//! A drummer's weights, ready to play.

use std::sync::Arc;

use partita_nn::{Decoder, Gpt, GptConfig, Precision, Tensors};
use partita_tokens::drums::VOCAB;
use sha2::{Digest, Sha256};

use super::style::{all_styles, find_style, style_from_profile};
use super::{DrumsConfig, Error, Style};
use crate::stage::{Compute, MEMORY, Network};

/// The network with its styles.
pub struct Drummer {
    pub config: DrumsConfig,
    pub(crate) gpt: Arc<Gpt>,
    /// `[styles + 1, width]`
    pub(crate) styles: Vec<f32>,
}

const STYLE_ROWS: &str = "style_embeddings.weight";

impl Drummer {
    /// The drummer that ships inside the program.
    ///
    /// # Errors
    /// See [`Drummer::load`].
    pub fn bundled(precision: Precision) -> Result<Drummer, Error> {
        Drummer::load(
            "drums",
            include_bytes!("../../../../weights/drums/model.json"),
            include_bytes!("../../../../weights/drums/model.safetensors"),
            precision,
        )
    }

    /// Loads `model.json` and `model.safetensors`; `name` appears in errors.
    ///
    /// # Errors
    /// [`Error::Tampered`] if the checksum differs, [`Error::Model`] for a configuration or tensor that does not fit.
    pub fn load(name: &str, config: &[u8], weights: &[u8], precision: Precision) -> Result<Drummer, Error> {
        let error = |message: String| Error::Model { name: name.to_owned(), message };
        let config: DrumsConfig =
            serde_json::from_slice(config).map_err(|e| error(format!("model.json: {e}")))?;
        if config.family != DrumsConfig::FAMILY {
            return Err(error(format!("family must be {:?}, got {:?}", DrumsConfig::FAMILY, config.family)));
        }
        if config.tokens != DrumsConfig::TOKENS || config.vocab != VOCAB as usize {
            let (tokens, vocab) = (&config.tokens, config.vocab);
            return Err(error(format!(
                "tokens must be {:?} with {VOCAB} ids, got {tokens:?} with {vocab}",
                DrumsConfig::TOKENS
            )));
        }
        if config.tempos.len() != config.styles.len() {
            return Err(error(format!(
                "tempos must be one a style, {}, got {}",
                config.styles.len(),
                config.tempos.len()
            )));
        }
        let got: String = Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect();
        if got != config.sha256 {
            return Err(Error::Tampered {
                name: format!("{name}/model.safetensors"),
                expected: config.sha256,
                got,
            });
        }
        let tensors = Tensors::from_bytes(weights.to_vec()).map_err(|e| error(e.to_string()))?;
        let gpt_config =
            GptConfig::new(config.vocab, config.context, config.width, config.layers, config.heads);
        let gpt = Gpt::load(&tensors, gpt_config, precision).map_err(|e| error(e.to_string()))?;
        let rows = config.styles.len() + 1;
        let styles = tensors.f32(STYLE_ROWS, &[rows, config.width]).map_err(|e| error(e.to_string()))?;
        Ok(Drummer { config, gpt: Arc::new(gpt), styles })
    }

    /// Bytes of memory the loaded model holds: packed matrices, embeddings, normalisations and styles.
    pub fn memory_bytes(&self) -> usize {
        let config = self.gpt.config();
        let rows = config.vocab + config.context + 2 * (2 * config.layers + 1);
        self.gpt.bytes_per_step() + 4 * (rows * config.width + self.styles.len())
    }

    /// Bytes of keys and values that a sequence being played reserves; they are used as it grows.
    pub fn sequence_bytes(&self) -> usize {
        self.network().sequence_bytes()
    }

    /// The network, for a [`Player`](crate::stage::Player).
    pub fn network(&self) -> Network {
        Network::new(Arc::clone(&self.gpt))
    }

    /// An empty decoder of this network.
    pub(crate) fn decoder(&self, compute: &Compute) -> Decoder {
        Decoder::new(&self.gpt, Arc::clone(&compute.pool), compute.path, MEMORY)
    }

    /// Every style by name: learned ones first.
    ///
    /// # Errors
    /// A bundled profile that does not fit this model.
    pub fn styles(&self) -> Result<Vec<Style>, Error> {
        all_styles(&self.config)
    }

    /// The style called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownStyle`] with the nearest names.
    pub fn style(&self, name: &str) -> Result<Style, Error> {
        find_style(&self.config, name)
    }

    /// A style from a profile's YAML text.
    ///
    /// # Errors
    /// [`Error::Profile`] naming the field.
    pub fn profile(&self, name: &str, yaml: &str) -> Result<Style, Error> {
        style_from_profile(&self.config, name, yaml)
    }

    /// No style in particular.
    pub fn any_style(&self) -> Style {
        Style {
            name: "any".into(),
            embedding: self.config.styles.len() as u32,
            base: "any".into(),
            tempo: 100.0,
            profile: None,
        }
    }

    /// The vector `[width]` that is added to every input embedding.
    pub(crate) fn style_vector(&self, style: &Style) -> &[f32] {
        let width = self.config.width;
        &self.styles[style.embedding as usize * width..][..width]
    }
}
