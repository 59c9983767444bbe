//! Tokenizers compatible with MidiTok 3: REMI, REMI+, TSD, Structured and MIDI-Like, trained (BPE) or not.
//!
//! Ids, decoded scores and re-encoded ids are those of MidiTok 3.1.0 with symusic 0.6.0, on its own files: a model that
//! was trained on its ids runs here, and the other way round.
//!
//! ```
//! use partita_score::{DrumPattern, Meter, midi};
//! use partita_tokens::miditok::{Config, Tokenizer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tokenizer = Tokenizer::new(Config::remi_plus())?; // or Tokenizer::open("folder")?
//! let file = midi::write(&DrumPattern::empty(Meter::COMMON, 96.0, 1).to_score());
//! let tokens = tokenizer.encode(&file)?;
//! let names: Vec<&str> = tokens.ids[0].iter().map(|&id| tokenizer.vocab().names()[id as usize].as_str()).collect();
//! assert_eq!(names, ["Bar_None", "TimeSig_4/4", "Position_0", "Tempo_94.19"]);
//! let score = tokenizer.decode(&tokens)?.to_score()?;
//! # let _ = score;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Tokenizer::open`] reads a folder with `tokenizer.json`; [`Tokenizer::save`] writes one, and `vocab.json` beside it.
//! - [`Tokenizer::encode`] and [`Tokenizer::decode`] work on base tokens. [`Tokenizer::merge`] and [`Tokenizer::split`] go
//!   to the ids of a trained vocabulary and back; `decode` takes those too.
//! - [`Vocab::token`] says what an id means. [`Follow`] walks a sequence token by token and masks what may not follow, so
//!   that a sampler yields well-formed music within limits.
//!
//! Files of 3.0.x are read with that version's vocabulary and order of notes; where denominators change inside a piece,
//! its quantizing differed and is not imitated. Older files are refused. So are the options nobody trains with here:
//! key signatures, pedals, pitch bends, control changes, pitch intervals, attribute controls, numbered bars.
//!
//! **Rule to keep:** nothing is guessed. A missing key, an unknown one, an id out of the vocabulary is an error.

mod bins;
mod bpe;
mod check;
mod config;
mod decode;
mod encode;
mod error;
mod files;
mod follow;
mod json;
mod keys;
mod prepare;
mod read;
mod tables;
mod token;
mod tokenizer;
mod vocab;

pub use bins::{Resolution, Span};
pub use config::{Config, Split, TimeSignature, Tokenization, Version, WrittenBy};
pub use decode::{DecodedNote, DecodedScore, DecodedTrack};
pub use encode::MOST_TOKENS;
pub use error::{Error, Result};
pub use follow::{Follow, Limits};
pub use keys::OtherKeys;
pub use token::{Chord, Kind, Quality, Token};
pub use tokenizer::{Tokenizer, Tokens, VocabSource};
pub use vocab::Vocab;
