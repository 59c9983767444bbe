//! GPT-2: configuration and weights in the published layout.
//!
//! ```text
//! x = wte[token] + wpe[position] + added + the sum of features[row]
//! each layer:  x += c_proj(attention(c_attn(ln_1(x))))
//!              x += c_proj(activation(c_fc(ln_2(x))))
//! logits = head(ln_f(x))
//! ```
//! With rotary positions (`rotary.rs`) there is no `wpe`. Features are rows of one more table, as many at each token
//! as the caller likes: what it knows of that place besides the token.
//!
//! The pass itself is in `forward.rs`, sequences and batches in `decoder.rs`.
//!
//! Source: GPT-2 (Radford et al. 2019), section 2.3.

use partita_kernels::{KvCache, Matrix, Order, Precision};
use serde::Deserialize;

use crate::rotary::Rotary;
use crate::{Error, Result, Rng, Tensors};

/// The tensor of the features, which the published layout does not have.
const FEATURES: &str = "features.weight";

/// The non-linearity of the feed-forward layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// With the tangent approximation, as in the published GPT-2.
    GeluNew,
    /// With the error function.
    Gelu,
}

/// Sizes of a GPT-2. All counts are at least 1; `heads` divides `width`.
#[derive(Clone, Debug, PartialEq)]
pub struct GptConfig {
    /// Tokens, V.
    pub vocab: usize,
    /// The most positions of a sequence.
    pub context: usize,
    /// D.
    pub width: usize,
    pub layers: usize,
    /// H; a head has `width / heads` values, at most 1024.
    pub heads: usize,
    /// Width of the feed-forward layers, usually `4 D`.
    pub inner: usize,
    /// Added to the variance in layer normalisation.
    pub epsilon: f32,
    pub activation: Activation,
    /// Whether the output layer shares its weights with the token embedding.
    pub tied_head: bool,
    /// Rotary positions instead of learned ones; heads then have an even size.
    pub rotary: bool,
    /// Rows of the table of features, 0 for none.
    pub features: usize,
}

/// The keys of a published `config.json` that matter here; others are ignored.
#[derive(Deserialize)]
struct Published {
    vocab_size: usize,
    n_positions: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    #[serde(default = "default_epsilon")]
    layer_norm_epsilon: f32,
    #[serde(default = "default_activation")]
    activation_function: String,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    #[serde(default = "yes")]
    scale_attn_weights: bool,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

fn default_epsilon() -> f32 {
    1e-5
}

fn default_activation() -> String {
    "gelu_new".to_owned()
}

fn yes() -> bool {
    true
}

impl GptConfig {
    /// A GPT-2 with the usual proportions: `inner = 4 D`, `epsilon = 1e-5`, a tied head.
    pub fn new(vocab: usize, context: usize, width: usize, layers: usize, heads: usize) -> GptConfig {
        GptConfig {
            vocab,
            context,
            width,
            layers,
            heads,
            inner: 4 * width,
            epsilon: default_epsilon(),
            activation: Activation::GeluNew,
            tied_head: true,
            rotary: false,
            features: 0,
        }
    }

    /// Reads a published `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`] for malformed JSON, [`Error::Config`] for a variant of the network that
    /// is not implemented or a size out of range.
    pub fn from_json(json: &str) -> Result<GptConfig> {
        let published: Published = serde_json::from_str(json)?;
        let activation = match published.activation_function.as_str() {
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluNew,
            "gelu" => Activation::Gelu,
            other => {
                let allowed = "gelu_new, gelu_pytorch_tanh or gelu".to_owned();
                return Err(Error::Config { field: "activation_function", allowed, got: other.to_owned() });
            }
        };
        for (field, needed, got) in [
            ("scale_attn_weights", true, published.scale_attn_weights),
            ("scale_attn_by_inverse_layer_idx", false, published.scale_attn_by_inverse_layer_idx),
            ("add_cross_attention", false, published.add_cross_attention),
        ] {
            if needed != got {
                return Err(Error::Config { field, allowed: needed.to_string(), got: got.to_string() });
            }
        }
        let config = GptConfig {
            vocab: published.vocab_size,
            context: published.n_positions,
            width: published.n_embd,
            layers: published.n_layer,
            heads: published.n_head,
            inner: published.n_inner.unwrap_or(published.n_embd.saturating_mul(4)),
            epsilon: published.layer_norm_epsilon,
            activation,
            tied_head: published.tie_word_embeddings,
            rotary: false,
            features: 0,
        };
        config.check()?;
        Ok(config)
    }

    /// Checks every size.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that is out of range.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("vocab", self.vocab, 1 << 20),
            ("context", self.context, KvCache::MAX_POSITIONS),
            ("width", self.width, Matrix::MAX_IN),
            ("layers", self.layers, 1024),
            ("heads", self.heads, self.width),
            ("inner", self.inner, Matrix::MAX_IN),
        ];
        for (field, got, most) in sizes {
            if !(1..=most).contains(&got) {
                return Err(Error::Config { field, allowed: format!("in 1..={most}"), got: got.to_string() });
            }
        }
        if !self.width.is_multiple_of(self.heads) || self.width / self.heads > KvCache::MAX_HEAD_SIZE {
            let allowed = format!("a divisor of width {}, with heads of at most 1024", self.width);
            return Err(Error::Config { field: "heads", allowed, got: self.heads.to_string() });
        }
        if self.features > 1 << 20 {
            let allowed = format!("in 0..={}", 1 << 20);
            return Err(Error::Config { field: "features", allowed, got: self.features.to_string() });
        }
        if self.rotary && !self.head_size().is_multiple_of(2) {
            let allowed = "such that heads have an even size, for rotary positions".to_owned();
            return Err(Error::Config { field: "heads", allowed, got: self.heads.to_string() });
        }
        if !(self.epsilon >= 0.0 && self.epsilon < 1.0) {
            let (allowed, got) = ("in [0, 1)".to_owned(), self.epsilon.to_string());
            return Err(Error::Config { field: "epsilon", allowed, got });
        }
        Ok(())
    }

    /// Values per head, Dh.
    pub fn head_size(&self) -> usize {
        self.width / self.heads
    }

    /// Trained numbers.
    pub fn parameters(&self) -> usize {
        let (d, inner) = (self.width, self.inner);
        let layer = 4 * d * d + 2 * d * inner + 9 * d + inner;
        let head = if self.tied_head { 0 } else { self.vocab * d };
        let positions = if self.rotary { 0 } else { self.context };
        (self.vocab + positions + self.features) * d + self.layers * layer + 2 * d + head
    }
}

/// Scale and shift of a layer normalisation, each `[D]`.
pub(crate) struct Norm {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
}

/// How the network knows where a token is.
pub(crate) enum Positions {
    /// `[context, D]`
    Learned(Vec<f32>),
    Rotary(Rotary),
}

pub(crate) struct Layer {
    pub norm_1: Norm,
    /// `[3 D, D]`: queries, keys, values.
    pub attention: Matrix,
    pub attention_out: Matrix,
    pub norm_2: Norm,
    pub inner: Matrix,
    pub inner_out: Matrix,
}

/// A GPT-2 ready to run.
pub struct Gpt {
    pub(crate) config: GptConfig,
    /// `[V, D]`
    pub(crate) tokens: Vec<f32>,
    pub(crate) positions: Positions,
    /// `[F, D]`
    pub(crate) features: Vec<f32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    pub(crate) head: Matrix,
}

impl std::fmt::Debug for Gpt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpt({:?}, {})", self.config, self.precision().name())
    }
}

impl Gpt {
    /// Loads published weights, names with or without the `transformer.` prefix, and packs the
    /// matrices in `precision`. Embeddings and normalisations stay f32.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen or not finite; a config out of range.
    pub fn load(tensors: &Tensors, config: GptConfig, precision: Precision) -> Result<Gpt> {
        let prefix = if tensors.contains("transformer.wte.weight") { "transformer." } else { "" };
        Gpt::build(config, precision, |name, shape| {
            let name = if matches!(name, "lm_head.weight" | FEATURES) {
                name.to_owned()
            } else {
                format!("{prefix}{name}")
            };
            tensors.f32(&name, shape)
        })
    }

    /// A network of random weights, for measuring speed and comparing kernels. The same `seed` gives
    /// the same weights everywhere.
    ///
    /// # Errors
    /// A config out of range.
    pub fn random(config: GptConfig, precision: Precision, seed: u64) -> Result<Gpt> {
        let mut rng = Rng::new(seed, 0);
        Gpt::build(config, precision, |name, shape| {
            let count = shape.iter().product();
            // Normalisations scale by about 1; everything else has the usual spread of 0.02 or so.
            let (middle, spread) = if name.ends_with("ln_1.weight")
                || name.ends_with("ln_2.weight")
                || name.ends_with("ln_f.weight")
            {
                (1.0, 0.2)
            } else {
                (0.0, 0.08)
            };
            Ok((0..count).map(|_| middle + (rng.f32() - 0.5) * spread).collect())
        })
    }

    fn build(
        config: GptConfig,
        precision: Precision,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Gpt> {
        config.check()?;
        let (width, inner) = (config.width, config.inner);
        let tokens = tensor("wte.weight", &[config.vocab, width])?;
        let positions = if config.rotary {
            Positions::Rotary(Rotary::new(config.context, config.head_size()))
        } else {
            Positions::Learned(tensor("wpe.weight", &[config.context, width])?)
        };
        let features = match config.features {
            0 => Vec::new(),
            rows => tensor(FEATURES, &[rows, width])?,
        };
        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let mut norm = |name: &str| -> Result<Norm> {
                Ok(Norm {
                    scale: tensor(&format!("h.{index}.{name}.weight"), &[width])?,
                    shift: tensor(&format!("h.{index}.{name}.bias"), &[width])?,
                })
            };
            let (norm_1, norm_2) = (norm("ln_1")?, norm("ln_2")?);
            let mut linear = |name: &str, inputs: usize, outputs: usize| -> Result<Matrix> {
                let name = format!("h.{index}.{name}");
                let weight = tensor(&format!("{name}.weight"), &[inputs, outputs])?;
                let bias = tensor(&format!("{name}.bias"), &[outputs])?;
                Matrix::pack(&weight, outputs, inputs, Order::InOut, precision)
                    .and_then(|matrix| matrix.with_bias(&bias))
                    .map_err(|source| Error::Tensor { name, source })
            };
            layers.push(Layer {
                norm_1,
                attention: linear("attn.c_attn", width, 3 * width)?,
                attention_out: linear("attn.c_proj", width, width)?,
                norm_2,
                inner: linear("mlp.c_fc", width, inner)?,
                inner_out: linear("mlp.c_proj", inner, width)?,
            });
        }
        let norm = Norm { scale: tensor("ln_f.weight", &[width])?, shift: tensor("ln_f.bias", &[width])? };
        let untied =
            if config.tied_head { None } else { Some(tensor("lm_head.weight", &[config.vocab, width])?) };
        let head =
            Matrix::pack(untied.as_ref().unwrap_or(&tokens), config.vocab, width, Order::OutIn, precision)
                .map_err(|source| Error::Tensor { name: "lm_head.weight".to_owned(), source })?;
        Ok(Gpt { config, tokens, positions, features, layers, norm, head })
    }

    /// The sizes.
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// How the matrices are stored.
    pub fn precision(&self) -> Precision {
        self.head.precision()
    }

    /// Bytes of weights that one decoding step reads, whatever the batch.
    pub fn bytes_per_step(&self) -> usize {
        let layer = |layer: &Layer| {
            [&layer.attention, &layer.attention_out, &layer.inner, &layer.inner_out]
                .into_iter()
                .map(Matrix::bytes)
                .sum::<usize>()
        };
        self.layers.iter().map(layer).sum::<usize>() + self.head.bytes()
    }

    /// Bytes of memory it holds: packed matrices, embeddings and normalisations.
    pub fn memory_bytes(&self) -> usize {
        let config = &self.config;
        let positions = if config.rotary { 0 } else { config.context };
        let rows = config.vocab + positions + config.features + 2 * (2 * config.layers + 1);
        self.bytes_per_step() + 4 * rows * config.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str =
        r#"{"vocab_size": 10, "n_positions": 8, "n_embd": 12, "n_layer": 1, "n_head": 3, "n_inner": null}"#;

    #[test]
    fn a_published_config_is_read() {
        let config = GptConfig::from_json(JSON).unwrap();
        assert_eq!(config, GptConfig::new(10, 8, 12, 1, 3));
        assert_eq!(config.head_size(), 4);
    }

    #[test]
    fn configs_that_cannot_run_are_named() {
        let refused =
            |from: &str, to: &str| GptConfig::from_json(&JSON.replace(from, to)).unwrap_err().to_string();
        assert_eq!(
            refused("\"n_head\": 3", "\"n_head\": 5"),
            "config heads must be a divisor of width 12, with heads of at most 1024, got 5"
        );
        assert_eq!(refused("\"n_layer\": 1", "\"n_layer\": 0"), "config layers must be in 1..=1024, got 0");
        assert_eq!(
            refused("\"n_inner\": null", "\"activation_function\": \"relu\""),
            "config activation_function must be gelu_new, gelu_pytorch_tanh or gelu, got relu"
        );
        assert!(refused("{", "[").starts_with("config: "));
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let tensors = Tensors::from_bytes([&2u64.to_le_bytes()[..], b"{}"].concat()).unwrap();
        let error = Gpt::load(&tensors, GptConfig::new(10, 8, 12, 1, 3), Precision::F32).unwrap_err();
        assert_eq!(error.to_string(), "tensor \"wte.weight\" is missing");
    }

    #[test]
    fn the_number_of_parameters_is_that_of_the_published_gpt2() {
        assert_eq!(GptConfig::new(50_257, 1024, 768, 12, 12).parameters(), 124_439_808);
    }
}
