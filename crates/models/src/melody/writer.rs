//! A writer's weights, ready to write.

use std::sync::Arc;

use partita_nn::{Gpt, GptConfig, Precision};
use partita_tokens::song::{FORMAT, VOCAB};

use super::{Error, MelodyConfig};
use crate::checkpoint::Checkpoint;
use crate::stage::{self, Compute, Network};

/// The network with its styles; clones share its weights.
#[derive(Clone)]
pub struct Writer {
    pub config: MelodyConfig,
    pub(super) gpt: Arc<Gpt>,
    network: Network,
}

impl Writer {
    /// The writer that ships inside the program.
    ///
    /// # Errors
    /// See [`Writer::load`].
    pub fn bundled(precision: Precision) -> Result<Writer, Error> {
        Writer::load(
            "melody",
            include_bytes!("../../../../weights/melody/model.json"),
            include_bytes!("../../../../weights/melody/model.safetensors"),
            precision,
        )
    }

    /// Loads `model.json` and `model.safetensors`; `name` appears in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]: the checksum differs, or a configuration or tensor does not fit.
    pub fn load(name: &str, config: &[u8], weights: &[u8], precision: Precision) -> Result<Writer, Error> {
        let checkpoint = Checkpoint(name);
        let config: MelodyConfig = checkpoint.config(config)?;
        checkpoint.family(MelodyConfig::FAMILY, &config.family)?;
        checkpoint.tokens((FORMAT, VOCAB), (&config.tokens, config.vocab))?;
        let tensors = checkpoint.tensors(weights, &config.sha256)?;
        let gpt = checkpoint.gpt(&tensors, config.sizes(), precision)?;
        Ok(Writer::of(config, gpt))
    }

    /// A writer that has learned nothing, for measuring speed and for tests: its weights are drawn from `seed`.
    ///
    /// # Errors
    /// Sizes out of range.
    pub fn untrained(width: usize, layers: usize, heads: usize, seed: u64) -> Result<Writer, Error> {
        let error = |message: String| Error::Model { name: "untrained".into(), message };
        let (vocab, context) = (VOCAB as usize, 1024);
        let sizes = GptConfig { rotary: true, ..GptConfig::new(vocab, context, width, layers, heads) };
        let gpt = Gpt::random(sizes, Precision::Int8, seed).map_err(|e| error(e.to_string()))?;
        let config = MelodyConfig {
            family: MelodyConfig::FAMILY.into(),
            tokens: FORMAT.into(),
            vocab,
            context,
            width,
            layers,
            heads,
            rotary: true,
            styles: vec!["pop".into()],
            sha256: String::new(),
            version: None,
            licence: None,
        };
        Ok(Writer::of(config, Arc::new(gpt)))
    }

    fn of(config: MelodyConfig, gpt: Arc<Gpt>) -> Writer {
        let network = Network::new(Arc::clone(&gpt));
        Writer { config, gpt, network }
    }

    /// An ensemble: from now on this writer decides with others, their logits averaged by weight. Styles are this one's.
    ///
    /// # Errors
    /// [`Error::Range`] for a weight that is not above 0, or other styles.
    pub fn mixed(mut self, own: f32, others: &[(Writer, f32)]) -> Result<Writer, Error> {
        if let Some((other, _)) = others.iter().find(|(other, _)| other.config.styles != self.config.styles) {
            let allowed = format!("models of the styles {}", self.config.styles.join(", "));
            return Err(Error::range("mix", allowed, other.config.styles.join(", ")));
        }
        let own = std::iter::once((Arc::clone(&self.gpt), own));
        let members = own.chain(others.iter().map(|(other, weight)| (Arc::clone(&other.gpt), *weight)));
        let network = Network::mixed(members.collect());
        let weights = || others.iter().map(|(_, weight)| weight.to_string()).collect::<Vec<_>>().join(", ");
        self.network = network.ok_or_else(|| Error::range("mix", "weights above 0", weights()))?;
        Ok(self)
    }

    /// The network, for a [`Player`](crate::stage::Player); several for an ensemble.
    pub fn network(&self) -> Network {
        self.network.clone()
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
        self.gpt.memory_bytes()
    }

    /// Index of a style.
    ///
    /// # Errors
    /// [`Error::Range`] listing the styles.
    pub(super) fn style(&self, name: &str) -> Result<u32, Error> {
        let at = self.config.styles.iter().position(|style| style.eq_ignore_ascii_case(name));
        let allowed = || format!("one of {}", self.config.styles.join(", "));
        at.map(|at| at as u32).ok_or_else(|| Error::range("style", allowed(), format!("{name:?}")))
    }
}
