//! The language model over codes: weights.
//!
//! ```text
//! x = sum over k of embed_k[column[k]] + position
//! each layer:  x += out(attention(norm(x)))                     causal
//!              x += out(attention(norm(x), text))               not in melody models
//!              x += fc2(gelu(fc1(norm(x))))
//! logits_k = head_k(norm(x))
//! ```
//! No product has a bias. The pass itself is in `decoder.rs`.
//!
//! Source: MusicGen (Copet et al. 2023); names of the published checkpoints.

use partita_kernels::{Matrix, Order, Precision};
use partita_nn::{Rng, Tensors};

use super::positions::Positions;
use super::{Config, Error, LmConfig};

/// The network with its weights.
pub struct Lm {
    pub(super) config: LmConfig,
    /// `[K][V + 1, D]`
    embeddings: Vec<Vec<f32>>,
    pub(super) positions: Positions,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Norm,
    /// All codebooks, one after the other: `[K * V, D]`.
    pub(super) heads: Matrix,
}

pub(super) struct Layer {
    pub norm_1: Norm,
    /// Queries, keys and values.
    pub qkv: Matrix,
    pub out: Matrix,
    pub cross: Option<Cross>,
    pub norm_2: Norm,
    pub inner: Matrix,
    pub inner_out: Matrix,
}

/// Attention to the text.
pub(super) struct Cross {
    pub norm: Norm,
    pub query: Matrix,
    pub key: Matrix,
    pub value: Matrix,
    pub out: Matrix,
}

/// `[D]` each.
pub(super) struct Norm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

impl Lm {
    /// Added to the variance in layer normalisation.
    pub(super) const EPSILON: f32 = 1e-5;

    /// Loads the tensors under `decoder.` and packs the matrices in `precision`. Embeddings and normalisations stay f32,
    /// and so do the keys and values of the text, which are computed once.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen or not finite.
    pub fn load(tensors: &Tensors, config: &Config, precision: Precision) -> Result<Lm, Error> {
        let read = |name: &str, shape: &[usize]| tensors.f32(&format!("decoder.{name}"), shape);
        Lm::build(config, precision, |name, shape| Ok(read(name, shape)?))
    }

    /// A network of random weights, for measuring speed. The same `seed` gives the same weights everywhere.
    ///
    /// # Errors
    /// Sizes that cannot be packed.
    pub fn random(config: &Config, precision: Precision, seed: u64) -> Result<Lm, Error> {
        let mut rng = Rng::new(seed, 0);
        Lm::build(config, precision, |name, shape| {
            // Normalisations scale by about 1; everything else has the usual spread.
            let (middle, spread) = if name.ends_with("norm.weight") { (1.0, 0.2) } else { (0.0, 0.08) };
            Ok((0..shape.iter().product()).map(|_| middle + (rng.f32() - 0.5) * spread).collect())
        })
    }

    /// A network of weights from `tensor(name, shape)`, names without `decoder.`.
    fn build(
        config: &Config,
        precision: Precision,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, Error>,
    ) -> Result<Lm, Error> {
        let crossed = !config.melody();
        let config = config.decoder.clone();
        let (width, wide, vocab) = (config.hidden_size, config.ffn_dim, config.vocab_size);
        let pack = |values: &[f32], out, inputs, precision| {
            Matrix::pack(values, out, inputs, Order::OutIn, precision)
        };
        let mut embeddings = Vec::new();
        for k in 0..config.num_codebooks {
            embeddings.push(tensor(&format!("model.decoder.embed_tokens.{k}.weight"), &[vocab + 1, width])?);
        }
        let mut layers = Vec::new();
        for index in 0..config.num_hidden_layers {
            let name = |rest: &str| format!("model.decoder.layers.{index}.{rest}");
            let mut qkv = Vec::with_capacity(3 * width * width);
            for part in ["q_proj", "k_proj", "v_proj"] {
                qkv.extend(tensor(&name(&format!("self_attn.{part}.weight")), &[width, width])?);
            }
            let mut square = |rest: &str, precision| -> Result<Matrix, Error> {
                Ok(pack(&tensor(&name(rest), &[width, width])?, width, width, precision)?)
            };
            let out = square("self_attn.out_proj.weight", precision)?;
            let cross = if crossed {
                let query = square("encoder_attn.q_proj.weight", precision)?;
                let key = square("encoder_attn.k_proj.weight", Precision::F32)?;
                let value = square("encoder_attn.v_proj.weight", Precision::F32)?;
                let out = square("encoder_attn.out_proj.weight", precision)?;
                let norm = Norm::load(&mut tensor, &name("encoder_attn_layer_norm"), width)?;
                Some(Cross { norm, query, key, value, out })
            } else {
                None
            };
            layers.push(Layer {
                norm_1: Norm::load(&mut tensor, &name("self_attn_layer_norm"), width)?,
                qkv: pack(&qkv, 3 * width, width, precision)?,
                out,
                cross,
                norm_2: Norm::load(&mut tensor, &name("final_layer_norm"), width)?,
                inner: pack(&tensor(&name("fc1.weight"), &[wide, width])?, wide, width, precision)?,
                inner_out: pack(&tensor(&name("fc2.weight"), &[width, wide])?, width, wide, precision)?,
            });
        }
        let norm = Norm::load(&mut tensor, "model.decoder.layer_norm", width)?;
        let mut heads = Vec::with_capacity(config.num_codebooks * vocab * width);
        for k in 0..config.num_codebooks {
            heads.extend(tensor(&format!("lm_heads.{k}.weight"), &[vocab, width])?);
        }
        let heads = pack(&heads, config.num_codebooks * vocab, width, precision)?;
        let positions = Positions::new(width);
        Ok(Lm { config, embeddings, positions, layers, norm, heads })
    }

    /// Sizes.
    pub fn config(&self) -> &LmConfig {
        &self.config
    }

    /// The start token, also where a codebook has no code yet: V.
    pub fn start(&self) -> u32 {
        self.config.vocab_size as u32
    }

    /// Bytes of weights that a step reads, without cached keys and values.
    pub fn step_bytes(&self) -> usize {
        let layer = |layer: &Layer| {
            let cross = layer.cross.as_ref().map_or(0, |cross| cross.query.bytes() + cross.out.bytes());
            layer.qkv.bytes() + layer.out.bytes() + cross + layer.inner.bytes() + layer.inner_out.bytes()
        };
        self.layers.iter().map(layer).sum::<usize>() + self.heads.bytes()
    }

    /// Appends the input row `[D]` of a column `[K]`.
    ///
    /// # Panics
    /// If the column does not have K codes in `0..=V`.
    pub(super) fn embed(&self, column: &[u32], position: usize, x: &mut Vec<f32>) {
        let width = self.config.hidden_size;
        assert_eq!(column.len(), self.embeddings.len());
        let from = x.len();
        x.resize(from + width, 0.0);
        let row = &mut x[from..];
        for (&code, table) in column.iter().zip(&self.embeddings) {
            let entry = &table[code as usize * width..][..width];
            row.iter_mut().zip(entry).for_each(|(x, value)| *x += value);
        }
        self.positions.add(position, row);
    }
}

impl Norm {
    fn load(
        tensor: &mut impl FnMut(&str, &[usize]) -> Result<Vec<f32>, Error>,
        name: &str,
        width: usize,
    ) -> Result<Norm, Error> {
        let scale = tensor(&format!("{name}.weight"), &[width])?;
        Ok(Norm { scale, shift: tensor(&format!("{name}.bias"), &[width])? })
    }
}
