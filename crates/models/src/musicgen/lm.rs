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

use partita_kernels::{Matrix, Precision};
use partita_nn::{Rng, Tensors};

use super::parts::{Parts, Unpacked};
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

    /// Loads the tensors under `decoder.` and packs the matrices in `precision`. Embeddings and normalisations stay f32.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen or not finite.
    pub fn load(tensors: &Tensors, config: &Config, precision: Precision) -> Result<Lm, Error> {
        Lm::build(config, precision, &mut Lm::published(tensors))
    }

    /// The parts of a checkpoint.
    pub(super) fn published(tensors: &Tensors) -> impl Parts<Error = Error> {
        Unpacked(|name: &str, shape: &[usize]| Ok(tensors.f32(&format!("decoder.{name}"), shape)?))
    }

    /// A network of random weights, for measuring speed. The same `seed` gives the same weights everywhere.
    ///
    /// # Errors
    /// Sizes that cannot be packed.
    pub fn random(config: &Config, precision: Precision, seed: u64) -> Result<Lm, Error> {
        Lm::build(config, precision, &mut Lm::noise(seed))
    }

    /// Random parts.
    pub(super) fn noise(seed: u64) -> impl Parts<Error = Error> {
        let mut rng = Rng::new(seed, 0);
        Unpacked(move |name: &str, shape: &[usize]| {
            // Normalisations scale by about 1; everything else has the usual spread.
            let (middle, spread) = if name.ends_with("norm.weight") { (1.0, 0.2) } else { (0.0, 0.08) };
            Ok((0..shape.iter().product()).map(|_| middle + (rng.f32() - 0.5) * spread).collect())
        })
    }

    /// A network of these parts, named as published without `decoder.`.
    pub(super) fn build<P: Parts>(
        config: &Config,
        precision: Precision,
        parts: &mut P,
    ) -> Result<Lm, P::Error> {
        let (width, vocab) = (config.decoder.hidden_size, config.decoder.vocab_size);
        let mut embeddings = Vec::new();
        for k in 0..config.decoder.num_codebooks {
            let name = format!("model.decoder.embed_tokens.{k}.weight");
            embeddings.push(parts.floats(&name, &[vocab + 1, width])?);
        }
        let layers = (0..config.decoder.num_hidden_layers)
            .map(|index| Layer::build(config, index, precision, parts))
            .collect::<Result<_, _>>()?;
        let norm = Norm::load(parts, "model.decoder.layer_norm", width)?;
        let heads = build_heads(&config.decoder, precision, parts)?;
        Ok(Lm {
            config: config.decoder.clone(),
            embeddings,
            positions: Positions::new(width),
            layers,
            norm,
            heads,
        })
    }

    /// The heads alone, `[K * V, D]`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) fn load_heads(
        tensors: &Tensors,
        config: &Config,
        precision: Precision,
    ) -> Result<Matrix, Error> {
        build_heads(&config.decoder, precision, &mut Lm::published(tensors))
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
        let matrices = self.layers.iter().flat_map(Layer::matrices).map(|(_, matrix)| matrix.bytes());
        matrices.sum::<usize>() + self.heads.bytes()
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

fn build_heads<P: Parts>(config: &LmConfig, precision: Precision, parts: &mut P) -> Result<Matrix, P::Error> {
    let heads: Vec<String> = (0..config.num_codebooks).map(|k| format!("lm_heads.{k}.weight")).collect();
    parts.matrix(&heads, [config.vocab_size, config.hidden_size], precision)
}

impl Layer {
    /// One layer alone.
    ///
    /// # Errors
    /// As [`Lm::load`].
    pub fn load(
        tensors: &Tensors,
        config: &Config,
        index: usize,
        precision: Precision,
    ) -> Result<Layer, Error> {
        Layer::build(config, index, precision, &mut Lm::published(tensors))
    }

    fn build<P: Parts>(
        config: &Config,
        index: usize,
        precision: Precision,
        parts: &mut P,
    ) -> Result<Layer, P::Error> {
        let (width, wide) = (config.decoder.hidden_size, config.decoder.ffn_dim);
        let name = |rest: &str| format!("model.decoder.layers.{index}.{rest}");
        let own = ["q_proj", "k_proj", "v_proj"].map(|part| name(&format!("self_attn.{part}.weight")));
        let qkv = parts.matrix(&own, [width, width], precision)?;
        let mut square = |rest: &str, precision| parts.matrix(&[name(rest)], [width, width], precision);
        let out = square("self_attn.out_proj.weight", precision)?;
        let cross = if config.melody() {
            None
        } else {
            let query = square("encoder_attn.q_proj.weight", precision)?;
            // Read once a clip, not once a step: four bits would save no time.
            let once = if precision == Precision::Q4 { Precision::Int8 } else { precision };
            let key = square("encoder_attn.k_proj.weight", once)?;
            let value = square("encoder_attn.v_proj.weight", once)?;
            let out = square("encoder_attn.out_proj.weight", precision)?;
            let norm = Norm::load(parts, &name("encoder_attn_layer_norm"), width)?;
            Some(Cross { norm, query, key, value, out })
        };
        Ok(Layer {
            norm_1: Norm::load(parts, &name("self_attn_layer_norm"), width)?,
            qkv,
            out,
            cross,
            norm_2: Norm::load(parts, &name("final_layer_norm"), width)?,
            inner: parts.matrix(&[name("fc1.weight")], [wide, width], precision)?,
            inner_out: parts.matrix(&[name("fc2.weight")], [width, wide], precision)?,
        })
    }

    /// The matrices that a step reads, and what they are for.
    pub fn matrices(&self) -> Vec<(&'static str, &Matrix)> {
        let mut matrices = vec![("attention", &self.qkv), ("attention output", &self.out)];
        if let Some(cross) = &self.cross {
            matrices.extend([("text queries", &cross.query), ("text output", &cross.out)]);
        }
        matrices.extend([("feed-forward", &self.inner), ("feed-forward output", &self.inner_out)]);
        matrices
    }

    /// The matrices that are read once a clip: those of the keys and values of the text.
    pub fn text_matrices(&self) -> Vec<(&'static str, &Matrix)> {
        let cross = self.cross.as_ref();
        cross.map_or_else(Vec::new, |cross| vec![("text keys", &cross.key), ("text values", &cross.value)])
    }
}

impl Norm {
    fn load<P: Parts>(parts: &mut P, name: &str, width: usize) -> Result<Norm, P::Error> {
        let scale = parts.floats(&format!("{name}.weight"), &[width])?;
        Ok(Norm { scale, shift: parts.floats(&format!("{name}.bias"), &[width])? })
    }
}
