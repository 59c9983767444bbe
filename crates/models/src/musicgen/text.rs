//! The text encoder: T5, the encoder half.
//!
//! ```text
//! x = shared[ids]
//! each layer:  x += o(attention(rms(x)))        attention = softmax(q k + bias) v, no 1/sqrt(d)
//!              x += wo(relu(wi(rms(x))))
//! out = rms(x)
//! ```
//! The bias depends on how far a key is from the query and belongs to the first layer; all layers use it. Weights
//! stay f32: the values inside grow far beyond what 16 bits, or one 8-bit scale a row, can hold.
//!
//! Source: T5 (Raffel et al. 2020), section 2.1; sizes of the published checkpoints of MusicGen.

use std::sync::Arc;

use partita_kernels::{After, Compute, Matrix, Order, Precision, ln, rms_norm, softmax};
use partita_nn::Tensors;

use super::{Error, TextConfig};

/// The most tokens of a prompt. The published tokenizer was made for 512; more only costs time.
pub const MOST_TOKENS: usize = 512;

/// The encoder with its weights; the embeddings of a prompt's few tokens are read from the file.
pub struct TextEncoder {
    config: TextConfig,
    tensors: Arc<Tensors>,
    /// `[buckets, heads]`
    bias: Vec<f32>,
    layers: Vec<Layer>,
    /// `[d_model]`
    norm: Vec<f32>,
}

struct Layer {
    /// `[d_model]`
    norm_1: Vec<f32>,
    /// Queries, keys and values of all heads, one after the other.
    qkv: Matrix,
    out: Matrix,
    /// `[d_model]`
    norm_2: Vec<f32>,
    inner: Matrix,
    inner_out: Matrix,
}

impl TextEncoder {
    /// Loads the tensors under `text_encoder.`.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen or not finite.
    pub fn load(tensors: &Arc<Tensors>, config: &TextConfig) -> Result<TextEncoder, Error> {
        let (model, inner) = (config.d_model, config.num_heads * config.d_kv);
        let read = |name: &str, shape: &[usize]| tensors.f32(&format!("text_encoder.{name}"), shape);
        let matrix = |name: &str, out, inputs| -> Result<Matrix, Error> {
            Ok(Matrix::pack(&read(name, &[out, inputs])?, out, inputs, Order::OutIn, Precision::F32)?)
        };
        let mut layers = Vec::new();
        for index in 0..config.num_layers {
            let block = format!("encoder.block.{index}.layer");
            let mut qkv = Vec::new();
            for part in ["q", "k", "v"] {
                qkv.extend(read(&format!("{block}.0.SelfAttention.{part}.weight"), &[inner, model])?);
            }
            layers.push(Layer {
                norm_1: read(&format!("{block}.0.layer_norm.weight"), &[model])?,
                qkv: Matrix::pack(&qkv, 3 * inner, model, Order::OutIn, Precision::F32)?,
                out: matrix(&format!("{block}.0.SelfAttention.o.weight"), model, inner)?,
                norm_2: read(&format!("{block}.1.layer_norm.weight"), &[model])?,
                inner: matrix(&format!("{block}.1.DenseReluDense.wi.weight"), config.d_ff, model)?,
                inner_out: matrix(&format!("{block}.1.DenseReluDense.wo.weight"), model, config.d_ff)?,
            });
        }
        let bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
        Ok(TextEncoder {
            tensors: Arc::clone(tensors),
            bias: read(bias, &[config.relative_attention_num_buckets, config.num_heads])?,
            norm: read("encoder.final_layer_norm.weight", &[model])?,
            layers,
            config: config.clone(),
        })
    }

    /// Hidden states `[L, d_model]` of `1..=512` token ids.
    ///
    /// # Errors
    /// [`Error::Range`] for a number of tokens or an id out of range.
    pub fn encode(&self, compute: &mut Compute, ids: &[u32]) -> Result<Vec<f32>, Error> {
        let (model, inner) = (self.config.d_model, self.config.num_heads * self.config.d_kv);
        if !(1..=MOST_TOKENS).contains(&ids.len()) {
            return Err(Error::range("prompt tokens", format!("1..={MOST_TOKENS}"), ids.len()));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return Err(Error::range("token id", format!("0..{}", self.config.vocab_size), id));
        }
        let mut x: Vec<f32> = Vec::with_capacity(ids.len() * model);
        for &id in ids {
            let (table, shape) = ("text_encoder.shared.weight", [self.config.vocab_size, model]);
            x.extend(self.tensors.rows(table, &shape, id as usize..id as usize + 1)?);
        }
        let bias = self.position_bias(ids.len());
        let mut normed = vec![0.0; x.len()];
        let mut qkv = vec![0.0; ids.len() * 3 * inner];
        let mut wide = vec![0.0; ids.len() * self.config.d_ff];
        for layer in &self.layers {
            self.normalize(compute, &layer.norm_1, &x, &mut normed);
            compute.matmul(&layer.qkv, &normed, After::Store, &mut qkv);
            let attended = self.attend(compute, &qkv, &bias, ids.len())?;
            compute.matmul(&layer.out, &attended, After::Add, &mut x);
            self.normalize(compute, &layer.norm_2, &x, &mut normed);
            compute.matmul(&layer.inner, &normed, After::Store, &mut wide);
            wide.iter_mut().for_each(|value| *value = value.max(0.0));
            compute.matmul(&layer.inner_out, &wide, After::Add, &mut x);
        }
        self.normalize(compute, &self.norm, &x, &mut normed);
        Ok(normed)
    }

    fn normalize(&self, compute: &Compute, scale: &[f32], x: &[f32], out: &mut [f32]) {
        let width = scale.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            rms_norm(compute.path(), x, scale, self.config.layer_norm_epsilon, out);
        }
    }

    /// `qkv`: `[L, 3, heads, d_kv]`, `bias`: `[heads, L, L]`; returns `[L, heads * d_kv]`.
    fn attend(
        &self,
        compute: &mut Compute,
        qkv: &[f32],
        bias: &[f32],
        len: usize,
    ) -> Result<Vec<f32>, Error> {
        let (heads, size) = (self.config.num_heads, self.config.d_kv);
        let inner = heads * size;
        let mut out = vec![0.0; len * inner];
        let (mut scores, mut mixed) = (vec![0.0; len * len], vec![0.0; len * size]);
        for head in 0..heads {
            let part = |which: usize| -> Vec<f32> {
                let rows = qkv.chunks_exact(3 * inner);
                rows.flat_map(|row| &row[which * inner + head * size..][..size]).copied().collect()
            };
            let keys = Matrix::pack(&part(1), len, size, Order::OutIn, Precision::F32)?;
            let values = Matrix::pack(&part(2), size, len, Order::InOut, Precision::F32)?;
            scores.copy_from_slice(&bias[head * len * len..][..len * len]);
            compute.matmul(&keys, &part(0), After::Add, &mut scores);
            scores.chunks_exact_mut(len).for_each(|row| softmax(compute.path(), row));
            compute.matmul(&values, &scores, After::Store, &mut mixed);
            for (out, mixed) in out.chunks_exact_mut(inner).zip(mixed.chunks_exact(size)) {
                out[head * size..][..size].copy_from_slice(mixed);
            }
        }
        Ok(out)
    }

    /// `[heads, L, L]`
    fn position_bias(&self, len: usize) -> Vec<f32> {
        let (heads, config) = (self.config.num_heads, &self.config);
        let mut out = Vec::with_capacity(heads * len * len);
        for head in 0..heads {
            for query in 0..len as i64 {
                out.extend((0..len as i64).map(|key| self.bias[bucket(key - query, config) * heads + head]));
            }
        }
        out
    }
}

/// The row of the bias table for a key `distance` tokens after the query: exact up to a quarter of the buckets in each
/// direction, then ever coarser.
fn bucket(distance: i64, config: &TextConfig) -> usize {
    let half = config.relative_attention_num_buckets / 2;
    let base = if distance > 0 { half } else { 0 };
    let (exact, far) = ((half / 2).max(1), distance.unsigned_abs() as usize);
    if far < exact {
        return base + far;
    }
    let octaves = ln(config.relative_attention_max_distance as f64 / exact as f64);
    let coarse = ln(far as f64 / exact as f64) / octaves * (half - exact) as f64;
    base + (exact + coarse as usize).min(half - 1)
}
