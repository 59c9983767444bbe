//! An arranger's weights, ready to write.

use std::sync::Arc;

use partita_nn::{Gpt, GptConfig, Precision, Tensors};
use partita_tokens::song::{FORMAT, VOCAB};
use sha2::{Digest, Sha256};

use super::{ArrangeConfig, Error};
use crate::stage::{self, Compute, Network};

/// The network that writes basses and pianos.
pub struct Arranger {
    pub config: ArrangeConfig,
    gpt: Arc<Gpt>,
}

impl Arranger {
    /// The accompaniments that ship inside the program.
    ///
    /// # Errors
    /// None for intact builds.
    pub fn bundled(precision: Precision) -> Result<Arranger, Error> {
        Arranger::load(
            "arrange",
            include_bytes!("../../../../weights/arrange/model.json"),
            include_bytes!("../../../../weights/arrange/model.safetensors"),
            precision,
        )
    }

    /// Loads `model.json` and `model.safetensors`; `name` appears in errors.
    ///
    /// # Errors
    /// [`Error::Tampered`] if the checksum differs, [`Error::Model`] for a configuration or tensor that does not fit.
    pub fn load(name: &str, config: &[u8], weights: &[u8], precision: Precision) -> Result<Arranger, Error> {
        let error = |message: String| Error::Model { name: name.to_owned(), message };
        let config: ArrangeConfig =
            serde_json::from_slice(config).map_err(|e| error(format!("model.json: {e}")))?;
        if config.family != ArrangeConfig::FAMILY {
            return Err(error(format!(
                "family must be {:?}, got {:?}",
                ArrangeConfig::FAMILY,
                config.family
            )));
        }
        if config.tokens != FORMAT || config.vocab != VOCAB as usize {
            let (tokens, vocab) = (&config.tokens, config.vocab);
            return Err(error(format!(
                "tokens must be {FORMAT:?} with {VOCAB} ids, got {tokens:?} with {vocab}"
            )));
        }
        let got: String = Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect();
        if got != config.sha256 {
            let name = format!("{name}/model.safetensors");
            return Err(Error::Tampered { name, expected: config.sha256, got });
        }
        let tensors = Tensors::from_bytes(weights.to_vec()).map_err(|e| error(e.to_string()))?;
        let sizes = GptConfig::new(config.vocab, config.context, config.width, config.layers, config.heads);
        let sizes = GptConfig { rotary: config.rotary, ..sizes };
        let gpt = Gpt::load(&tensors, sizes, precision).map_err(|e| error(e.to_string()))?;
        Ok(Arranger { config, gpt: Arc::new(gpt) })
    }

    /// An arranger that has learned nothing, for measuring speed and for tests: its weights are drawn from `seed`.
    ///
    /// # Errors
    /// Sizes out of range.
    pub fn untrained(width: usize, layers: usize, heads: usize, seed: u64) -> Result<Arranger, Error> {
        let error = |message: String| Error::Model { name: "untrained".into(), message };
        let (vocab, context) = (VOCAB as usize, 1024);
        let sizes = GptConfig { rotary: true, ..GptConfig::new(vocab, context, width, layers, heads) };
        let gpt = Gpt::random(sizes, Precision::Int8, seed).map_err(|e| error(e.to_string()))?;
        let config = ArrangeConfig {
            family: ArrangeConfig::FAMILY.into(),
            tokens: FORMAT.into(),
            vocab,
            context,
            width,
            layers,
            heads,
            rotary: true,
            sha256: String::new(),
            version: None,
            licence: None,
        };
        Ok(Arranger { config, gpt: Arc::new(gpt) })
    }

    /// The network, for a [`Player`](crate::stage::Player).
    pub fn network(&self) -> Network {
        Network::new(Arc::clone(&self.gpt))
    }

    /// Negative log-likelihood in nats of each target, given the inputs up to its place; both `[L]`, L within the
    /// context. No grammar is applied.
    ///
    /// # Errors
    /// [`Error::Model`] for too many tokens or an unknown one.
    pub fn nats(&self, compute: &Compute, inputs: &[u32], targets: &[u32]) -> Result<Vec<f64>, Error> {
        Ok(stage::nats(&self.gpt, compute, inputs, targets)?)
    }

    /// Bytes of memory the loaded model holds: packed matrices, embeddings and normalisations.
    pub fn memory_bytes(&self) -> usize {
        let config = self.gpt.config();
        let rows = config.vocab + 2 * (2 * config.layers + 1);
        self.gpt.bytes_per_step() + 4 * rows * config.width
    }
}
