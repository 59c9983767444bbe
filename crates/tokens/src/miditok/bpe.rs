//! Trained tokenizers: several base tokens become one.
//!
//! A base token is a character, a bar a word; a model of Hugging Face's `tokenizers` merges the characters of a word. The
//! model runs unchanged in the library it was made with, whatever it is (BPE, Unigram or WordPiece).

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::Value;

use super::config::{Config, Split};
use super::encode::{MOST_TOKENS, Sequence};
use super::prepare::{Prepared, bar, beat};
use super::token::Kind;
use super::vocab::Vocab;
use super::{Error, Result};

/// A trained model and its relation to the base vocabulary.
#[derive(Clone)]
pub(super) struct Merges {
    model: tokenizers::Tokenizer,
    /// As the file has it.
    json: String,
    /// By base id: a character, or a few for the special tokens that training a Unigram model adds.
    characters: Vec<String>,
    /// Base ids of each id of the model; `None` for what is no music, such as an unknown token.
    pieces: Vec<Option<Vec<u32>>>,
}

impl Merges {
    /// Reads `_model` and `_vocab_base_byte_to_token` of a tokenizer file.
    ///
    /// # Errors
    /// [`Error::Model`] for what the library refuses, and characters that do not fit the vocabulary.
    pub fn read(json: &str, characters: &[(String, String)], vocab: &Vocab) -> Result<Merges> {
        let fail = |text: String| Error::Model(text);
        // The library panics where the JSON of a decoder breaks off.
        serde_json::from_str::<serde_json::Value>(json).map_err(|error| fail(error.to_string()))?;
        let model = tokenizers::Tokenizer::from_str(json).map_err(|error| fail(error.to_string()))?;
        let mut ids = HashMap::new();
        let mut own: Vec<Option<String>> = vec![None; vocab.len()];
        for (text, name) in characters {
            let id = vocab.id(name).ok_or_else(|| fail(format!("{name} is not in the base vocabulary")))?;
            let mut each = text.chars();
            match (each.next(), each.next()) {
                (None, _) => return Err(fail(format!("a token must be a character, got none for {name}"))),
                (Some(character), None) => {
                    ids.insert(character, id);
                }
                _ => {}
            }
            own[id as usize] = Some(text.clone());
        }
        let missing = own.iter().position(Option::is_none);
        if let Some(id) = missing {
            return Err(fail(format!("{} has no character", vocab.names()[id])));
        }
        let affixes = Affixes::read(json)?;
        let size = model.get_vocab_size(true);
        if size > MOST_TOKENS {
            return Err(fail(format!("may have {MOST_TOKENS} tokens at most, got {size}")));
        }
        let piece = |id: u32| {
            let text = model.id_to_token(id)?;
            affixes.strip(&text).chars().map(|character| ids.get(&character).copied()).collect()
        };
        let pieces = (0..size as u32).map(piece).collect();
        let characters = own.into_iter().flatten().collect();
        Ok(Merges { model, json: json.into(), characters, pieces })
    }

    pub fn json(&self) -> &str {
        &self.json
    }

    /// The text of each base token.
    pub fn characters(&self) -> &[String] {
        &self.characters
    }

    /// Ids of the trained vocabulary.
    pub fn size(&self) -> usize {
        self.pieces.len()
    }

    /// Merges base ids, which are cut into words before the indices of `cuts`.
    ///
    /// # Errors
    /// [`Error::Id`] for an id outside the base vocabulary.
    pub fn merge(&self, ids: &[u32], cuts: &[u32], sequence: usize) -> Result<Vec<u32>> {
        let mut text = Vec::with_capacity(ids.len());
        for (at, &id) in ids.iter().enumerate() {
            let character = self.characters.get(id as usize);
            text.push(character.ok_or(Error::Id { id, size: self.characters.len(), sequence, at })?);
        }
        let mut words: Vec<String> = Vec::with_capacity(cuts.len() + 1);
        let mut from = 0;
        for &cut in cuts {
            let cut = (cut as usize).clamp(from, text.len());
            words.push(text[from..cut].iter().map(|text| text.as_str()).collect());
            from = cut;
        }
        words.push(text[from..].iter().map(|text| text.as_str()).collect());
        let encoding =
            self.model.encode_fast(words, true).map_err(|error| Error::Model(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The base ids of merged ones.
    ///
    /// # Errors
    /// [`Error::Id`] outside the trained vocabulary, and for ids that stand for no music.
    pub fn split(&self, ids: &[u32], sequence: usize) -> Result<Vec<u32>> {
        let mut base = Vec::with_capacity(ids.len() * 2);
        for (at, &id) in ids.iter().enumerate() {
            let piece = self.pieces.get(id as usize).and_then(Option::as_ref);
            base.extend(piece.ok_or(Error::Id { id, size: self.size(), sequence, at })?);
        }
        Ok(base)
    }

    /// The base ids of one id.
    pub fn piece(&self, id: u32) -> Option<&[u32]> {
        self.pieces.get(id as usize)?.as_deref()
    }
}

/// What the pieces of a model have around their characters.
#[derive(Default)]
struct Affixes {
    prefix: String,
    suffix: String,
    /// Marks the start of a word.
    space: String,
}

impl Affixes {
    fn read(json: &str) -> Result<Affixes> {
        let value: Value = serde_json::from_str(json).map_err(|error| Error::Model(error.to_string()))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let before = &value["pre_tokenizer"];
        let space = if before["type"] == "Metaspace" { text(&before["replacement"]) } else { String::new() };
        let model = &value["model"];
        let (prefix, suffix) =
            (text(&model["continuing_subword_prefix"]), text(&model["end_of_word_suffix"]));
        Ok(Affixes { prefix, suffix, space })
    }

    fn strip<'a>(&self, piece: &'a str) -> &'a str {
        let piece = piece.strip_prefix(self.prefix.as_str()).unwrap_or(piece);
        let piece = piece.strip_suffix(self.suffix.as_str()).unwrap_or(piece);
        piece.strip_prefix(self.space.as_str()).unwrap_or(piece)
    }
}

/// Where words begin, but the first: indices into the ids of a sequence.
///
/// # Errors
/// [`Error::TooLong`] for more bars than a sequence may have tokens.
pub(super) fn cuts(config: &Config, piece: &Prepared, sequence: &Sequence) -> Result<Vec<u32>> {
    let mut cuts = Vec::new();
    if config.encode_ids_split == Split::No || piece.last == 0 {
        return Ok(cuts);
    }
    let mut at = 0;
    let ends = piece.signatures.iter().skip(1).map(|(at, _)| *at).chain([piece.last + 1]);
    for (&(start, signature), end) in piece.signatures.iter().zip(ends) {
        let length = match config.encode_ids_split {
            Split::Beat => beat(signature.denominator, piece.ticks_per_quarter).max(1),
            _ => bar(signature, piece.ticks_per_quarter),
        };
        let mut tick = start;
        while tick < end {
            // The first word begins at 0 by itself.
            if tick > 0 {
                let times = &sequence.times[at..];
                at += times.iter().position(|&time| time >= tick).unwrap_or(times.len());
                if at == sequence.times.len() {
                    return Ok(cuts);
                }
                if cuts.len() >= MOST_TOKENS {
                    return Err(Error::TooLong { most: MOST_TOKENS });
                }
                cuts.push(at as u32);
            }
            tick += length;
        }
    }
    Ok(cuts)
}

/// Where words begin in a sequence whose times are not known: at its bar tokens.
pub(super) fn cuts_at_bars(vocab: &Vocab, ids: &[u32]) -> Vec<u32> {
    let bars = ids.iter().enumerate().filter(|(_, id)| vocab.kind(**id) == Kind::Bar);
    bars.skip(1).map(|(at, _)| at as u32).collect()
}
