//! A checkpoint: the network, and the tokenizer that says what its ids mean.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use partita_nn::{Gpt, GptConfig, Precision, Tensors};
use partita_tokens::miditok::{Tokenizer, VocabSource};
use serde::Deserialize;

use super::Error;
use crate::stage::Network;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
/// `model_type` of the configuration.
const KIND: &str = "gpt2";
const START: &str = "BOS_None";
/// Published configurations have 1 kB; a tokenizer of 100 000 tokens has 20 MB.
const MAX_CONFIG: u64 = 1 << 20;
const MAX_TOKENIZER: u64 = 64 << 20;

/// A GPT-2 over MidiTok's tokens.
pub struct MidiGpt {
    pub(super) name: String,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) gpt: Arc<Gpt>,
}

impl MidiGpt {
    pub const FAMILY: &str = "midi-gpt";

    /// Whether a folder says that it holds a GPT-2; what else is in it is not looked at.
    pub fn is_at(folder: &Path) -> bool {
        read(folder, CONFIG, MAX_CONFIG).is_ok_and(|text| kind(&text).is_ok_and(|kind| kind == KIND))
    }

    /// Checks all of a folder but its weights.
    ///
    /// # Errors
    /// As [`MidiGpt::open`].
    pub fn check(name: &str, folder: &Path) -> Result<(), Error> {
        describe(name, folder).map(|_| ())
    }

    /// Opens a folder; `name` appears in errors. Weights may be in any form that [`Tensors::open`] reads.
    ///
    /// # Errors
    /// [`Error::Model`] for a file that is missing or not what it should be, a tokenizer that is not MidiTok's, ids of
    /// the tokenizer that the network lacks, a tensor that does not fit.
    pub fn open(name: &str, folder: &Path, precision: Precision) -> Result<MidiGpt, Error> {
        let (config, tokenizer) = describe(name, folder)?;
        let error = |error: partita_nn::Error| fail(name, error);
        let tensors = Tensors::open(folder).map_err(error)?;
        let gpt = Gpt::load(&tensors, config, precision).map_err(error)?;
        MidiGpt::new(name, gpt, tokenizer)
    }

    /// A network and its tokenizer.
    ///
    /// # Errors
    /// [`Error::Model`] for ids of the tokenizer that the network lacks.
    pub fn new(name: &str, gpt: Gpt, tokenizer: Tokenizer) -> Result<MidiGpt, Error> {
        fits(name, gpt.config(), &tokenizer)?;
        Ok(MidiGpt { name: name.to_owned(), tokenizer: Arc::new(tokenizer), gpt: Arc::new(gpt) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Sizes of the network.
    pub fn config(&self) -> &GptConfig {
        self.gpt.config()
    }

    /// The network, for a [`Player`](crate::stage::Player).
    pub fn network(&self) -> Network {
        Network::new(Arc::clone(&self.gpt))
    }

    /// What the files leave open, if it could matter: the order of programs in a vocabulary that nobody wrote down.
    pub fn warning(&self) -> Option<String> {
        let config = self.tokenizer.config();
        let guessed = self.tokenizer.vocab_source() == VocabSource::Config;
        // All of them have one order only.
        (guessed && config.use_programs && config.programs.len() < 129).then(|| {
            let name = &self.name;
            format!(
                "model {name}: {TOKENIZER} does not say the order of its programs; if instruments sound wrong, put \
                 MidiTok's vocab as vocab.json beside it"
            )
        })
    }

    /// The token that sequences begin with, where the vocabulary has one.
    pub(super) fn start(&self) -> Option<u32> {
        self.id(self.tokenizer.vocab().id(START)?)
    }

    /// The id that means one base token alone; of a trained vocabulary it may be another one.
    pub(super) fn id(&self, base: u32) -> Option<u32> {
        let alone = |id: &u32| self.tokenizer.base_ids(*id).is_some_and(|ids| ids == [base]);
        (0..self.tokenizer.vocab_size() as u32).find(alone)
    }
}

/// Sizes and tokenizer of a folder.
fn describe(name: &str, folder: &Path) -> Result<(GptConfig, Tokenizer), Error> {
    let config = read(folder, CONFIG, MAX_CONFIG).map_err(|why| fail(name, why))?;
    let kind = kind(&config).map_err(|why| fail(name, why))?;
    if kind != KIND {
        return Err(fail(name, format!("{CONFIG} must have model_type {KIND:?}, got {kind:?}")));
    }
    let config = GptConfig::from_json(&config).map_err(|error| fail(name, format!("{CONFIG}: {error}")))?;
    // Read here, as the tokenizer would read a file of any length.
    read(folder, TOKENIZER, MAX_TOKENIZER).map_err(|why| fail(name, why))?;
    let tokenizer = Tokenizer::open(folder).map_err(|error| fail(name, error))?;
    fits(name, &config, &tokenizer)?;
    Ok((config, tokenizer))
}

fn fits(name: &str, config: &GptConfig, tokenizer: &Tokenizer) -> Result<(), Error> {
    let (has, needs) = (config.vocab, tokenizer.vocab_size());
    if has < needs {
        let why = format!("vocab_size must be at least the {needs} tokens of its tokenizer, got {has}");
        return Err(fail(name, why));
    }
    Ok(())
}

/// The `model_type` of a configuration.
fn kind(config: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Published {
        model_type: Option<String>,
    }
    let published: Published = serde_json::from_str(config).map_err(|error| format!("{CONFIG}: {error}"))?;
    Ok(published.model_type.unwrap_or_default().chars().take(64).collect())
}

fn read(folder: &Path, file: &str, most: u64) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(folder.join(file));
    let read = opened.and_then(|opened| opened.take(most + 1).read_to_string(&mut text));
    read.map_err(|error| format!("{file} cannot be read: {error}"))?;
    if text.len() as u64 > most {
        return Err(format!("{file} must have at most {most} bytes, got more"));
    }
    Ok(text)
}

#[expect(clippy::needless_pass_by_value, reason = "texts and errors are passed as they come")]
fn fail(name: &str, message: impl ToString) -> Error {
    Error::Model { name: name.to_owned(), message: message.to_string() }
}
