//! What a model takes in memory, known from the names and shapes of its tensors.

use partita_kernels::{KvCache, KvPrecision, Precision};
use partita_nn::Tensors;

use super::stage::Stage;
use super::text::MOST_TOKENS;
use super::{Config, MusicGen};

/// Bytes of the text encoder, the language model and the decoding half of the codec, about: what packing adds for
/// scales and whole tiles is left out.
pub fn weight_bytes(tensors: &Tensors, precision: Precision) -> u64 {
    let packed = match precision {
        Precision::F32 => 4.0,
        Precision::Int8 => 1.0,
        // Two a byte, and two bytes of scale for 32.
        Precision::Q4 => 0.5625,
    };
    let each = |name: &str| -> f64 {
        // Rows of these are read from the file when they are needed.
        if matches!(name, "text_encoder.shared.weight" | "text_encoder.encoder.embed_tokens.weight") {
            return 0.0;
        }
        let kept = ["text_encoder.", "audio_encoder.decoder.", "audio_encoder.quantizer."];
        let shape = tensors.shape(name).unwrap_or_default();
        let is_matrix = shape.len() == 2 && !name.contains(".embed_");
        let bytes = match name {
            name if kept.iter().any(|start| name.starts_with(start)) => 4.0,
            name if name.starts_with("decoder.") && is_matrix => packed,
            name if name.starts_with("decoder.") => 4.0,
            _ => 0.0,
        };
        shape.iter().map(|size| *size as f64).product::<f64>() * bytes
    };
    tensors.names().map(each).sum::<f64>() as u64
}

/// Bytes of keys and values of a clip: both branches of guidance, for a whole window and a prompt of any length.
pub fn clip_bytes(config: &Config, kv: KvPrecision) -> u64 {
    let (lm, heads) = (&config.decoder, config.decoder.num_attention_heads);
    let reserved = |positions: usize| {
        KvCache::bytes_reserved(heads, lm.hidden_size / heads, positions, kv) * lm.num_hidden_layers
    };
    let capacity = Stage::capacity(MusicGen::prefix(config), lm.num_codebooks);
    let text = if config.melody() { 0 } else { reserved(MOST_TOKENS) };
    (2 * reserved(capacity.min(KvCache::MAX_POSITIONS)) + text) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_of_the_small_model_takes_about_200_megabytes() {
        let config = crate::musicgen::bench::config("small").unwrap();
        let bytes = clip_bytes(&config, KvPrecision::Int8);
        assert!((150_000_000..220_000_000).contains(&bytes), "{bytes}");
        // A value takes four bytes instead of one, and needs no scale.
        assert!(clip_bytes(&config, KvPrecision::F32) > 3 * bytes);
    }
}
