//! What a checkpoint for chorales says of itself (`model.json`).

use partita_tokens::chorale::{FEATURES, TOKENS, VOCAB, VOICES};
use serde::{Deserialize, Serialize};

/// Sizes and meaning of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HarmonyConfig {
    /// Always [`HarmonyConfig::FAMILY`].
    pub family: String,
    /// The token format, always [`partita_tokens::chorale::TOKENS`].
    pub tokens: String,
    pub vocab: usize,
    /// Rows of the table of features.
    pub features: usize,
    /// Tokens that are attended to at once, in whole steps, and so in either half.
    pub context: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// SHA-256 of `model.safetensors`, in hexadecimal.
    pub sha256: String,
    /// For catalogues; a folder's name may say it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Under which the weights may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

impl HarmonyConfig {
    pub const FAMILY: &str = "chorale";
    /// Steps that our networks learn to attend to: eight bars.
    pub const WINDOW: usize = 128;

    /// A network of these sizes without weights.
    pub fn new(width: usize, layers: usize, heads: usize) -> HarmonyConfig {
        HarmonyConfig {
            family: HarmonyConfig::FAMILY.into(),
            tokens: TOKENS.into(),
            vocab: VOCAB as usize,
            features: FEATURES,
            context: VOICES * HarmonyConfig::WINDOW,
            width,
            layers,
            heads,
            sha256: String::new(),
            version: None,
            licence: None,
        }
    }
}
