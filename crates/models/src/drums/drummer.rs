//! A drummer's weights, ready to play.

use std::sync::Arc;

use partita_nn::{Decoder, Gpt, GptConfig, Precision};
use partita_tokens::drums::VOCAB;

use super::style::{all_styles, find_style, style_from_profile};
use super::{DrumsConfig, Error, Style};
use crate::checkpoint::Checkpoint;
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
    /// [`Error::Checkpoint`]: the checksum differs, or a configuration or tensor does not fit.
    pub fn load(name: &str, config: &[u8], weights: &[u8], precision: Precision) -> Result<Drummer, Error> {
        let checkpoint = Checkpoint(name);
        let config: DrumsConfig = checkpoint.config(config)?;
        checkpoint.family(DrumsConfig::FAMILY, &config.family)?;
        checkpoint.tokens((DrumsConfig::TOKENS, VOCAB), (&config.tokens, config.vocab))?;
        if config.tempos.len() != config.styles.len() {
            let (styles, tempos) = (config.styles.len(), config.tempos.len());
            return Err(checkpoint
                .unfit(format!("tempos must be one a style, {styles}, got {tempos}"))
                .into());
        }
        let tensors = checkpoint.tensors(weights, &config.sha256)?;
        let sizes = GptConfig::new(config.vocab, config.context, config.width, config.layers, config.heads);
        let gpt = checkpoint.gpt(&tensors, sizes, precision)?;
        let rows = config.styles.len() + 1;
        let styles = tensors.f32(STYLE_ROWS, &[rows, config.width]).map_err(|e| checkpoint.unfit(e))?;
        Ok(Drummer { config, gpt, styles })
    }

    /// Bytes of memory the loaded model holds: packed matrices, embeddings, normalisations and styles.
    pub fn memory_bytes(&self) -> usize {
        self.gpt.memory_bytes() + 4 * self.styles.len()
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
