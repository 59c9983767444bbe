//! A checkpoint: its parts, loaded when they are needed, and what a prompt is to the language model.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use partita_kernels::{After, Compute, KvPrecision, Matrix, Order, Precision};
use partita_nn::Tensors;
use tokenizers::Tokenizer;

use super::cache::{self, CacheUse};
use super::codec::{Codec, CodecEncoder};
use super::stage::{Condition, Stage};
use super::{Config, Decoder, Error, Lm, TextEncoder};

/// How weights and memory of the language model are stored. The text encoder and the codec are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precisions {
    pub weights: Precision,
    pub kv: KvPrecision,
}

impl Default for Precisions {
    fn default() -> Precisions {
        Precisions { weights: Precision::Int8, kv: KvPrecision::Int8 }
    }
}

/// A MusicGen checkpoint. A part is loaded at its first use and kept until it is [released](Self::release).
pub struct MusicGen {
    config: Config,
    precisions: Precisions,
    tokenizer: Tokenizer,
    tensors: Arc<Tensors>,
    /// From the width of the text to that of the language model; none where they are equal.
    text_projection: Option<Matrix>,
    /// From pitch classes to the width of the language model, in melody models.
    melody_projection: Option<Matrix>,
    text: Part<TextEncoder>,
    lm: Part<Lm>,
    codec: Part<Codec>,
    encoder: Part<CodecEncoder>,
    /// Where the packed language model is kept.
    cache: Option<PathBuf>,
    cache_use: Mutex<Option<CacheUse>>,
}

/// Something that may be in memory.
type Part<T> = Mutex<Option<Arc<T>>>;

/// The part, loaded if it has to be. Two threads do not load it twice.
fn part<T>(place: &Part<T>, load: impl FnOnce() -> Result<T, Error>) -> Result<Arc<T>, Error> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(part) = &*place {
        return Ok(Arc::clone(part));
    }
    let part = Arc::new(load()?);
    *place = Some(Arc::clone(&part));
    Ok(part)
}

/// The parts of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Text,
    Lm,
    Codec,
    Encoder,
}

impl MusicGen {
    /// Opens a folder in the published layout: `config.json`, `tokenizer.json` and the weights.
    ///
    /// # Errors
    /// A file that is missing or malformed, a shard that is incomplete. Tensors are checked when their part is loaded.
    pub fn open(folder: &Path, precisions: Precisions) -> Result<MusicGen, Error> {
        /// Far above every published one.
        const LARGEST: u64 = 64 << 20;
        let read = |name: &str| -> Result<Vec<u8>, Error> {
            let path = folder.join(name);
            let error = |source| partita_nn::Error::Read { path: path.display().to_string(), source };
            let size = std::fs::metadata(&path).map_err(error)?.len();
            if size > LARGEST {
                return Err(Error::range("file size", format!("0..={LARGEST}"), size));
            }
            Ok(std::fs::read(&path).map_err(error)?)
        };
        let config = Config::from_json(&String::from_utf8_lossy(&read("config.json")?))?;
        let tokenizer = read("tokenizer.json")?;
        // The library panics where the JSON of a decoder breaks off.
        serde_json::from_slice::<serde_json::Value>(&tokenizer)
            .map_err(|error| Error::Tokenizer(error.to_string()))?;
        let tokenizer = Tokenizer::from_bytes(tokenizer);
        let tokenizer = tokenizer.map_err(|error| Error::Tokenizer(error.to_string()))?;
        let tensors = Tensors::open(folder)?;
        let (from, to) = (config.text_encoder.d_model, config.decoder.hidden_size);
        let projection = |name: &str, inputs: usize| -> Result<Matrix, Error> {
            let weights = tensors.f32(&format!("{name}.weight"), &[to, inputs])?;
            let matrix = Matrix::pack(&weights, to, inputs, Order::OutIn, Precision::F32)?;
            Ok(matrix.with_bias(&tensors.f32(&format!("{name}.bias"), &[to])?)?)
        };
        let needed = from != to || tensors.contains("enc_to_dec_proj.weight");
        let melody = config.melody();
        Ok(MusicGen {
            text_projection: needed.then(|| projection("enc_to_dec_proj", from)).transpose()?,
            melody_projection: melody
                .then(|| projection("audio_enc_to_dec_proj", config.num_chroma))
                .transpose()?,
            config,
            precisions,
            tokenizer,
            tensors: Arc::new(tensors),
            text: Part::default(),
            lm: Part::default(),
            codec: Part::default(),
            encoder: Part::default(),
            cache: None,
            cache_use: Mutex::default(),
        })
    }

    /// A model whose language model and codec have random weights, for measuring speed; it reads no prompts.
    pub(super) fn random(config: Config, precisions: Precisions, seed: u64) -> Result<MusicGen, Error> {
        let nothing = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        Ok(MusicGen {
            text_projection: None,
            melody_projection: None,
            tokenizer: Tokenizer::new(tokenizers::models::unigram::Unigram::default()),
            tensors: Arc::new(Tensors::from_bytes(nothing)?),
            text: Part::default(),
            lm: Mutex::new(Some(Arc::new(Lm::random(&config, precisions.weights, seed)?))),
            codec: Mutex::new(Some(Arc::new(Codec::random(&config.audio_encoder, seed)?))),
            encoder: Part::default(),
            config,
            precisions,
            cache: None,
            cache_use: Mutex::default(),
        })
    }

    /// Keeps the packed language model in `folder`, of this model alone, and takes it from there when it is of the same
    /// weights. The folder is made if it can be. Several processes may share it.
    pub fn with_cache(self, folder: PathBuf) -> MusicGen {
        MusicGen { cache: Some(folder), ..self }
    }

    /// What the cache did when the language model was last loaded; `None` before, and without a cache. Its failures are
    /// told here alone: they make a start slow, not wrong.
    pub fn cache_use(&self) -> Option<CacheUse> {
        self.cache_use.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes that its text encoder, language model and codec take once they are loaded, about.
    pub fn weight_bytes(&self) -> u64 {
        super::memory::weight_bytes(&self.tensors, self.precisions.weights)
    }

    /// The weight files.
    pub(super) fn tensors(&self) -> &Tensors {
        &self.tensors
    }

    /// The text encoder.
    ///
    /// # Errors
    /// The first of its tensors that is missing, misshapen or not finite; so for the other parts.
    pub fn text(&self) -> Result<Arc<TextEncoder>, Error> {
        part(&self.text, || TextEncoder::load(&self.tensors, &self.config.text_encoder))
    }

    /// The language model, from the [cache](Self::with_cache) where there is one.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn lm(&self) -> Result<Arc<Lm>, Error> {
        part(&self.lm, || {
            let Some(folder) = &self.cache else {
                return Lm::load(&self.tensors, &self.config, self.precisions.weights);
            };
            let (lm, used) = cache::load(folder, &self.tensors, &self.config, self.precisions.weights)?;
            *self.cache_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(used);
            Ok(lm)
        })
    }

    /// The decoding half of the codec.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn codec(&self) -> Result<Arc<Codec>, Error> {
        part(&self.codec, || Codec::load(&self.tensors, "audio_encoder.", &self.config.audio_encoder))
    }

    /// The encoding half of the codec.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn encoder(&self) -> Result<Arc<CodecEncoder>, Error> {
        part(&self.encoder, || {
            CodecEncoder::load(&self.tensors, "audio_encoder.", &self.config.audio_encoder)
        })
    }

    /// Gives the memory of a part back once nobody uses it any more.
    pub fn release(&self, section: Section) {
        fn clear<T>(place: &Part<T>) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        match section {
            Section::Text => clear(&self.text),
            Section::Lm => clear(&self.lm),
            Section::Codec => clear(&self.codec),
            Section::Encoder => clear(&self.encoder),
        }
    }

    /// Token ids of a prompt, the end token last.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn tokens(&self, prompt: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.tokenizer.encode(prompt, true);
        Ok(encoding.map_err(|error| Error::Tokenizer(error.to_string()))?.get_ids().to_vec())
    }

    /// What a prompt, and in melody models a melody, is to the language model. `melody`: pitch classes `[N, 12]`.
    ///
    /// # Errors
    /// [`Error::Range`] for a prompt of too many tokens, or a melody for a model that reads none.
    pub fn condition(
        &self,
        compute: &mut Compute,
        prompt: &str,
        melody: Option<&[f32]>,
    ) -> Result<Condition, Error> {
        let mut text = self.text()?.encode(compute, &self.tokens(prompt)?)?;
        if let Some(projection) = &self.text_projection {
            let rows = text.len() / self.config.text_encoder.d_model;
            let mut projected = vec![0.0; rows * self.config.decoder.hidden_size];
            compute.matmul(projection, &text, After::Store, &mut projected);
            text = projected;
        }
        match &self.melody_projection {
            None if melody.is_some() => Err(Error::NoMelody),
            None => Ok(Condition { text, prefix: Vec::new() }),
            Some(projection) => {
                let mut prefix = self.melody_rows(compute, projection, melody);
                prefix.extend(text);
                Ok(Condition { text: Vec::new(), prefix })
            }
        }
    }

    /// What guidance leads away from: nothing, or in melody models as many rows as `condition` has, of silence.
    pub fn null_condition(&self, compute: &mut Compute, condition: &Condition) -> Condition {
        let mut prefix = Vec::new();
        if let Some(projection) = &self.melody_projection {
            prefix = self.melody_rows(compute, projection, None);
            prefix.resize(condition.prefix.len(), 0.0);
        }
        Condition { text: Vec::new(), prefix }
    }

    /// Rows `[chroma_length, D]`: the melody, repeated or cut. No melody is the pitch class C throughout, as the model
    /// was trained.
    fn melody_rows(&self, compute: &mut Compute, projection: &Matrix, melody: Option<&[f32]>) -> Vec<f32> {
        let classes = self.config.num_chroma;
        let mut silence = vec![0.0; classes];
        silence[0] = 1.0;
        let melody = melody.filter(|rows| !rows.is_empty()).unwrap_or(&silence);
        let values = self.config.chroma_length * classes;
        let features: Vec<f32> = melody.iter().copied().cycle().take(values).collect();
        let mut rows = vec![0.0; self.config.chroma_length * self.config.decoder.hidden_size];
        compute.matmul(projection, &features, After::Store, &mut rows);
        rows
    }

    /// Rows that may come before the codes.
    pub(super) fn prefix(config: &Config) -> usize {
        if config.melody() { config.chroma_length + super::text::MOST_TOKENS } else { 0 }
    }

    /// A stage for clips of this model.
    ///
    /// # Errors
    /// As [`lm`](Self::lm).
    pub fn stage(&self, compute: Compute) -> Result<Stage, Error> {
        let (lm, config) = (self.lm()?, &self.config.decoder);
        let capacity = Stage::capacity(MusicGen::prefix(&self.config), config.num_codebooks);
        let decoder = Decoder::new(&lm, compute, self.precisions.kv, capacity);
        Ok(Stage::new(decoder, config.num_codebooks, config.audio_channels, lm.start()))
    }
}
