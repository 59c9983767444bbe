//! What a network thinks on the way: hidden states and attention weights of one forward pass.

/// A record of one pass, filled by [`Decoder::forward_tapped`](crate::Decoder::forward_tapped).
#[derive(Clone, Debug, Default)]
pub struct Tap {
    /// `layers + 1` tensors `[L, D]`: the embeddings, then the output of each layer, the last one
    /// after the final normalisation.
    pub hidden: Vec<Vec<f32>>,
    /// One tensor `[H, L, L]` per layer: `[head][query][key]`, rows sum to 1. Empty unless asked for.
    pub attention: Vec<Vec<f32>>,
    pub(crate) wants_attention: bool,
}

impl Tap {
    /// Records hidden states only.
    pub fn hidden() -> Tap {
        Tap::default()
    }

    /// Records attention weights as well; this pass then uses one thread for its attention.
    pub fn with_attention() -> Tap {
        Tap { wants_attention: true, ..Tap::default() }
    }
}
