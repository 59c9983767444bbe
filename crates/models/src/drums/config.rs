//! What a drummer's checkpoint says of itself (`model.json`).

use serde::{Deserialize, Serialize};

/// Sizes and meaning of a drummer's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrumsConfig {
    /// Always [`DrumsConfig::FAMILY`].
    pub family: String,
    /// The token format, always [`DrumsConfig::TOKENS`].
    pub tokens: String,
    pub vocab: usize,
    /// Longest sequence in tokens.
    pub context: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Learned styles in the order of their embeddings; one more row, the last, stands for "any".
    pub styles: Vec<String>,
    /// Median tempo of each style's beats in the training data, beats per minute.
    pub tempos: Vec<f64>,
    /// SHA-256 of `model.safetensors`, in hexadecimal.
    pub sha256: String,
    /// For catalogues; a folder's name may say it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Under which the weights may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

impl DrumsConfig {
    pub const FAMILY: &str = "drums";
    /// Name of the token format in `tokens::drums`; changes whenever an id changes its meaning.
    pub const TOKENS: &str = "drums-1";
}
