//! What an arranger's checkpoint says of itself (`model.json`).

use partita_nn::GptConfig;
use serde::{Deserialize, Serialize};

/// Sizes and meaning of an arranger's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrangeConfig {
    /// Always [`ArrangeConfig::FAMILY`].
    pub family: String,
    /// The token format, always [`partita_tokens::song::FORMAT`].
    pub tokens: String,
    pub vocab: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Rotary positions instead of learned ones.
    pub rotary: bool,
    /// SHA-256 of `model.safetensors`, in hexadecimal.
    pub sha256: String,
    /// For catalogues; a folder's name may say it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Under which the weights may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

impl ArrangeConfig {
    pub const FAMILY: &str = "arrange";

    pub(super) fn sizes(&self) -> GptConfig {
        let sizes = GptConfig::new(self.vocab, self.context, self.width, self.layers, self.heads);
        GptConfig { rotary: self.rotary, ..sizes }
    }
}
