//! Weights for chorales, ready to sing.

use std::sync::Arc;

use partita_nn::{Decoder, Gpt, GptConfig, Input, KvPrecision, Precision, log_probability};
use partita_tokens::chorale::{FEATURES, FEATURES_EACH, TOKENS, VOCAB, VOICES};

use super::{Error, HarmonyConfig};
use crate::checkpoint::Checkpoint;
use crate::stage::Compute;

/// Writes the missing voices of chorales.
#[derive(Debug)]
pub struct Harmonizer {
    pub config: HarmonyConfig,
    gpt: Arc<Gpt>,
}

/// What has been written is remembered whole: int8 would save memory that one chorale does not need.
const MEMORY: KvPrecision = KvPrecision::F32;

impl Harmonizer {
    /// The chorales that ship inside the program.
    ///
    /// # Errors
    /// None for intact builds.
    pub fn bundled(precision: Precision) -> Result<Harmonizer, Error> {
        Harmonizer::load(
            "chorale",
            include_bytes!("../../../../weights/chorale/model.json"),
            include_bytes!("../../../../weights/chorale/model.safetensors"),
            precision,
        )
    }

    /// Loads `model.json` and `model.safetensors`; `name` appears in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]: the checksum differs, or a configuration or tensor does not fit.
    pub fn load(
        name: &str,
        config: &[u8],
        weights: &[u8],
        precision: Precision,
    ) -> Result<Harmonizer, Error> {
        let checkpoint = Checkpoint(name);
        let config: HarmonyConfig = checkpoint.config(config)?;
        let sizes = sizes(&config).map_err(|error| checkpoint.unfit(error))?;
        let tensors = checkpoint.tensors(weights, &config.sha256)?;
        let gpt = checkpoint.gpt(&tensors, sizes, precision)?;
        Ok(Harmonizer { config, gpt })
    }

    /// A network that has learned nothing, for tests and for measuring speed.
    ///
    /// # Errors
    /// Sizes out of range.
    pub fn random(config: HarmonyConfig, precision: Precision, seed: u64) -> Result<Harmonizer, Error> {
        let gpt_config = sizes(&config).map_err(Error::model)?;
        let gpt = Gpt::random(gpt_config, precision, seed).map_err(Error::model)?;
        Ok(Harmonizer { config, gpt: Arc::new(gpt) })
    }

    /// Bytes of memory the loaded model holds: packed matrices, embeddings and normalisations.
    pub fn memory_bytes(&self) -> usize {
        self.gpt.memory_bytes()
    }

    /// Trained numbers.
    pub fn parameters(&self) -> usize {
        self.gpt.config().parameters()
    }

    pub(super) fn decoder(&self, compute: &Compute) -> Decoder {
        Decoder::new(&self.gpt, Arc::clone(&compute.pool), compute.path, MEMORY)
    }

    /// Negative log-likelihood in nats of each target, given the inputs up to its place.
    ///
    /// `inputs`, `targets`: `[L]`, L within the context; `features`: `[L, FEATURES_EACH]`. No demand is applied.
    ///
    /// # Errors
    /// [`Error::Model`] for too many tokens or an unknown one.
    pub fn nats(
        &self,
        compute: &Compute,
        inputs: &[u32],
        features: &[u32],
        targets: &[u32],
    ) -> Result<Vec<f64>, Error> {
        let rows = features.chunks_exact(FEATURES_EACH);
        let inputs: Vec<Input> =
            inputs.iter().zip(rows).map(|(token, features)| Input { token: *token, features }).collect();
        let logits = self.decoder(compute).forward_all(None, &inputs).map_err(Error::model)?;
        Ok(targets.iter().enumerate().map(|(i, &id)| -log_probability(logits.row(i), id)).collect())
    }
}

/// The network of a configuration, or what is wrong with it.
fn sizes(config: &HarmonyConfig) -> Result<GptConfig, String> {
    if config.family != HarmonyConfig::FAMILY {
        return Err(format!("family must be {:?}, got {:?}", HarmonyConfig::FAMILY, config.family));
    }
    let (tokens, vocab, features) = (&config.tokens, config.vocab, config.features);
    if tokens != TOKENS || vocab != VOCAB as usize || features != FEATURES {
        return Err(format!(
            "tokens must be {TOKENS:?} with {VOCAB} ids and {FEATURES} features, got {tokens:?} with {vocab} and \
             {features}"
        ));
    }
    if config.context == 0 || !config.context.is_multiple_of(2 * VOICES) {
        return Err(format!("context must be a multiple of {}, got {}", 2 * VOICES, config.context));
    }
    Ok(GptConfig {
        rotary: true,
        features,
        ..GptConfig::new(vocab, config.context, config.width, config.layers, config.heads)
    })
}
