//! An arranger's weights, ready to write.

use std::sync::Arc;

use partita_nn::{Gpt, GptConfig, Precision};
use partita_tokens::song::{FORMAT, VOCAB};

use super::{ArrangeConfig, Error};
use crate::checkpoint::Checkpoint;
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
    /// [`Error::Checkpoint`]: the checksum differs, or a configuration or tensor does not fit.
    pub fn load(name: &str, config: &[u8], weights: &[u8], precision: Precision) -> Result<Arranger, Error> {
        let checkpoint = Checkpoint(name);
        let config: ArrangeConfig = checkpoint.config(config)?;
        checkpoint.family(ArrangeConfig::FAMILY, &config.family)?;
        checkpoint.tokens((FORMAT, VOCAB), (&config.tokens, config.vocab))?;
        let tensors = checkpoint.tensors(weights, &config.sha256)?;
        let gpt = checkpoint.gpt(&tensors, config.sizes(), precision)?;
        Ok(Arranger { config, gpt })
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

    /// Bytes of its weights in memory.
    pub fn memory_bytes(&self) -> usize {
        self.gpt.memory_bytes()
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
}
