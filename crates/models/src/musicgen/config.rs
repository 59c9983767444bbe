//! Sizes of a model, from the published `config.json`.

use serde::Deserialize;

use super::Error;
use super::codec::CodecConfig;

/// A published `config.json`; keys that do not matter here are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// `musicgen`, conditioned by attending to the text, or `musicgen_melody`, by rows before the codes.
    pub model_type: String,
    pub text_encoder: TextConfig,
    pub audio_encoder: CodecConfig,
    pub decoder: LmConfig,
    /// Rows of melody before the codes, [`Config::melody`] only.
    #[serde(default = "chroma_length")]
    pub chroma_length: usize,
    /// Pitch classes of a row of melody.
    #[serde(default = "num_chroma")]
    pub num_chroma: usize,
}

/// The T5 encoder.
#[derive(Clone, Debug, Deserialize)]
pub struct TextConfig {
    pub vocab_size: usize,
    pub d_model: usize,
    /// Values of a head; `num_heads * d_kv` may differ from `d_model`.
    pub d_kv: usize,
    pub d_ff: usize,
    pub num_layers: usize,
    pub num_heads: usize,
    #[serde(default = "relative_attention_num_buckets")]
    pub relative_attention_num_buckets: usize,
    #[serde(default = "relative_attention_max_distance")]
    pub relative_attention_max_distance: usize,
    #[serde(default = "layer_norm_epsilon")]
    pub layer_norm_epsilon: f32,
    #[serde(default = "feed_forward_proj")]
    pub feed_forward_proj: String,
}

/// The language model over codes.
#[derive(Clone, Debug, Deserialize)]
pub struct LmConfig {
    /// Codes, V. Embeddings have one row more: the start token.
    pub vocab_size: usize,
    /// D.
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub ffn_dim: usize,
    /// K.
    pub num_codebooks: usize,
    /// 1, or 2 when codebooks alternate left and right.
    #[serde(default = "audio_channels")]
    pub audio_channels: usize,
    #[serde(default = "activation_function")]
    pub activation_function: String,
    #[serde(default)]
    pub scale_embedding: bool,
}

fn chroma_length() -> usize {
    235
}

fn num_chroma() -> usize {
    12
}

fn relative_attention_num_buckets() -> usize {
    32
}

fn relative_attention_max_distance() -> usize {
    128
}

fn layer_norm_epsilon() -> f32 {
    1e-6
}

fn feed_forward_proj() -> String {
    "relu".to_owned()
}

fn audio_channels() -> usize {
    1
}

fn activation_function() -> String {
    "gelu".to_owned()
}

impl TextConfig {
    /// The encoder of every published model.
    pub fn t5_base() -> TextConfig {
        TextConfig {
            vocab_size: 32_128,
            d_model: 768,
            d_kv: 64,
            d_ff: 3072,
            num_layers: 12,
            num_heads: 12,
            relative_attention_num_buckets: relative_attention_num_buckets(),
            relative_attention_max_distance: relative_attention_max_distance(),
            layer_norm_epsilon: layer_norm_epsilon(),
            feed_forward_proj: feed_forward_proj(),
        }
    }
}

impl Config {
    /// # Errors
    /// [`Error::Config`] for a variant that is not implemented or a size out of range.
    pub fn from_json(json: &str) -> Result<Config, Error> {
        let error = |error: serde_json::Error| Error::config("config.json", "a published config", error);
        let config: Config = serde_json::from_str(json).map_err(error)?;
        config.check()?;
        Ok(config)
    }

    /// Whether the model reads a melody, as rows before the codes.
    pub fn melody(&self) -> bool {
        self.model_type == "musicgen_melody"
    }

    fn check(&self) -> Result<(), Error> {
        let (text, lm) = (&self.text_encoder, &self.decoder);
        if !["musicgen", "musicgen_melody"].contains(&self.model_type.as_str()) {
            return Err(Error::config("model_type", "musicgen or musicgen_melody", &self.model_type));
        }
        if text.feed_forward_proj != "relu" {
            return Err(Error::config("text_encoder.feed_forward_proj", "relu", &text.feed_forward_proj));
        }
        if lm.activation_function != "gelu" {
            return Err(Error::config("decoder.activation_function", "gelu", &lm.activation_function));
        }
        if lm.scale_embedding {
            return Err(Error::config("decoder.scale_embedding", "false", true));
        }
        // Far above every published size, far below what would overflow or fill memory by a mistyped number.
        for (field, most, got) in [
            ("text_encoder.vocab_size", 1 << 20, text.vocab_size),
            ("text_encoder.d_model", 1 << 14, text.d_model),
            ("text_encoder.d_kv", 1 << 10, text.d_kv),
            ("text_encoder.d_ff", 1 << 16, text.d_ff),
            ("text_encoder.num_layers", 128, text.num_layers),
            ("text_encoder.num_heads", 128, text.num_heads),
            ("text_encoder.relative_attention_num_buckets", 1024, text.relative_attention_num_buckets),
            ("text_encoder.relative_attention_max_distance", 1 << 16, text.relative_attention_max_distance),
            ("decoder.vocab_size", 1 << 16, lm.vocab_size),
            ("decoder.hidden_size", 1 << 14, lm.hidden_size),
            ("decoder.num_hidden_layers", 256, lm.num_hidden_layers),
            ("decoder.num_attention_heads", 256, lm.num_attention_heads),
            ("decoder.ffn_dim", 1 << 16, lm.ffn_dim),
            ("decoder.num_codebooks", 64, lm.num_codebooks),
            ("decoder.audio_channels", 2, lm.audio_channels),
            ("chroma_length", 1 << 12, self.chroma_length),
            ("num_chroma", 128, self.num_chroma),
        ] {
            if !(1..=most).contains(&got) {
                return Err(Error::config(field, format!("1..={most}"), got));
            }
        }
        if lm.hidden_size % (2 * lm.num_attention_heads) != 0 || lm.hidden_size < 4 {
            let allowed = format!("a multiple of {} from 4 on", 2 * lm.num_attention_heads);
            return Err(Error::config("decoder.hidden_size", allowed, lm.hidden_size));
        }
        if lm.num_codebooks % lm.audio_channels != 0 {
            return Err(Error::config(
                "decoder.num_codebooks",
                "a multiple of audio_channels",
                lm.num_codebooks,
            ));
        }
        Ok(())
    }
}
