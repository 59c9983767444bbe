//! What a checkpoint for chorales says of itself (`model.json`).

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
    /// Longest sequence in tokens.
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
}
