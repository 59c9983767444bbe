//! A tokenizer: configuration, vocabulary, lookups, and the merges if it was trained.

use super::bpe::{self, Merges};
use super::config::{Config, Split, Tokenization};
use super::decode::{DecodedScore, Decoder, decode};
use super::encode::{Encoder, encode};
use super::prepare::{prepare, sort_notes};
use super::read::{Piece, read};
use super::tables::Tables;
use super::token::Token;
use super::{Error, Result, Vocab};

/// Turns MIDI files into token ids and back.
#[derive(Clone)]
pub struct Tokenizer {
    pub(super) config: Config,
    pub(super) vocab: Vocab,
    pub(super) source: VocabSource,
    pub(super) tables: Tables,
    pub(super) merges: Option<Merges>,
}

/// Where the order of a vocabulary comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabSource {
    /// Stored in the tokenizer file.
    Tokenizer,
    /// A `vocab.json` beside it.
    File,
    /// Made from the configuration. The order of programs is then what Python gives after loading the file, which need
    /// not be what it gave when the ids were made: worth a warning where a subset of the programs is used.
    Config,
}

/// Ids of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// One sequence of all tracks ([`Config::one_stream`]), or one a track.
    pub ids: Vec<Vec<u32>>,
    /// Of the trained vocabulary.
    pub encoded: bool,
    /// Program (0 is that of drums too, -1 is drums as well) and whether it is drums, one a sequence; empty where all
    /// tracks share one, or where nobody knows.
    pub programs: Vec<(i16, bool)>,
    /// Where the words of each sequence begin, for [`Tokenizer::merge`].
    pub(super) cuts: Option<Vec<Vec<u32>>>,
}

impl Tokens {
    /// Ids from elsewhere, a model for example.
    pub fn new(ids: Vec<Vec<u32>>) -> Tokens {
        Tokens { ids, ..Tokens::default() }
    }
}

impl Tokenizer {
    /// A tokenizer with the vocabulary of its configuration.
    ///
    /// # Errors
    /// Values out of range.
    pub fn new(config: Config) -> Result<Tokenizer> {
        let config = config.check()?;
        let vocab = Vocab::new(&config)?;
        Tokenizer::assemble(config, vocab, VocabSource::Config, None)
    }

    pub(super) fn assemble(
        config: Config,
        vocab: Vocab,
        source: VocabSource,
        merges: Option<Merges>,
    ) -> Result<Tokenizer> {
        let tables = Tables::new(&config, &vocab)?;
        Ok(Tokenizer { config, vocab, source, tables, merges })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The base vocabulary.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    pub fn vocab_source(&self) -> VocabSource {
        self.source
    }

    /// Ids a model of this tokenizer knows: those of the trained vocabulary if there is one.
    pub fn vocab_size(&self) -> usize {
        self.merges.as_ref().map_or(self.vocab.len(), Merges::size)
    }

    pub fn is_trained(&self) -> bool {
        self.merges.is_some()
    }

    /// The base tokens of an id of the trained vocabulary, or the id itself if the tokenizer was not trained.
    pub fn base_ids(&self, id: u32) -> Option<Vec<u32>> {
        match &self.merges {
            Some(merges) => merges.piece(id).map(<[u32]>::to_vec),
            None => self.vocab.token(id).map(|_| vec![id]),
        }
    }

    /// Base ids of a MIDI file.
    ///
    /// # Errors
    /// A damaged file, or a piece that needs a token the vocabulary lacks.
    pub fn encode(&self, midi: &[u8]) -> Result<Tokens> {
        let mut piece = read(midi)?;
        if self.config.sorts_notes() {
            piece.parts.iter_mut().for_each(|part| sort_notes(&mut part.notes));
        }
        self.encode_piece(piece)
    }

    /// Base ids of a decoded score, whose notes keep their lengths and their order. (In a MIDI file, of two notes of one
    /// pitch that overlap, the first to begin would be the first to end.)
    ///
    /// # Errors
    /// A score that needs a token the vocabulary lacks.
    pub fn encode_decoded(&self, score: &DecodedScore) -> Result<Tokens> {
        self.encode_piece(score.to_piece())
    }

    fn encode_piece(&self, piece: Piece) -> Result<Tokens> {
        let piece = prepare(piece, &self.config, &self.tables)?;
        let encoder = Encoder { config: &self.config, vocab: &self.vocab, tables: &self.tables };
        let sequences = encode(encoder, &piece, self.is_trained())?;
        let cuts = match &self.merges {
            Some(_) => {
                let each = sequences.iter().map(|sequence| bpe::cuts(&self.config, &piece, sequence));
                Some(each.collect::<Result<Vec<_>>>()?)
            }
            None => None,
        };
        let programs = if self.config.one_stream() {
            Vec::new()
        } else {
            piece.parts.iter().map(|part| (i16::from(part.program), part.is_drum())).collect()
        };
        let ids = sequences.into_iter().map(|sequence| sequence.ids).collect();
        Ok(Tokens { ids, encoded: false, programs, cuts })
    }

    /// The score of some tokens, merged or not.
    ///
    /// # Errors
    /// [`Error::Id`] for ids outside the vocabulary, [`Error::Shape`] for another number of sequences or programs than
    /// the tokenizer expects.
    pub fn decode(&self, tokens: &Tokens) -> Result<DecodedScore> {
        if tokens.encoded {
            return self.decode(&self.split(tokens)?);
        }
        let mut sequences = Vec::with_capacity(tokens.ids.len());
        for (sequence, ids) in tokens.ids.iter().enumerate() {
            let mut list: Vec<Token> = Vec::with_capacity(ids.len());
            for (at, &id) in ids.iter().enumerate() {
                let size = self.vocab.len();
                list.push(self.vocab.token(id).ok_or(Error::Id { id, size, sequence, at })?);
            }
            sequences.push(list);
        }
        let decoder = Decoder { config: &self.config, tables: &self.tables };
        let programs = Some(tokens.programs.as_slice()).filter(|programs| !programs.is_empty());
        decode(decoder, &sequences, programs)
    }

    /// Base ids to those of the trained vocabulary.
    ///
    /// Words are bars or beats. Tokens of [`Tokenizer::encode`] know where these begin; others are cut at their bar
    /// tokens, which only REMI has.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tokenizer that was not trained or tokens whose bars nobody knows, [`Error::Id`].
    pub fn merge(&self, tokens: &Tokens) -> Result<Tokens> {
        let merges = self.merges()?;
        if tokens.encoded {
            return Ok(tokens.clone());
        }
        let known = tokens.cuts.as_ref().filter(|cuts| cuts.len() == tokens.ids.len());
        let whole = self.config.encode_ids_split == Split::No;
        let remi =
            self.config.tokenization == Tokenization::Remi && self.config.encode_ids_split == Split::Bar;
        if known.is_none() && !whole && !remi {
            let allowed = "made by encode, as bars or beats are not told by their tokens".into();
            return Err(Error::Shape { what: "tokens to merge", allowed, got: "others".into() });
        }
        let each = tokens.ids.iter().enumerate().map(|(index, ids)| match known {
            Some(cuts) => merges.merge(ids, &cuts[index], index),
            None if whole => merges.merge(ids, &[], index),
            None => merges.merge(ids, &bpe::cuts_at_bars(&self.vocab, ids), index),
        });
        let ids = each.collect::<Result<_>>()?;
        Ok(Tokens { ids, encoded: true, programs: tokens.programs.clone(), cuts: None })
    }

    /// Ids of the trained vocabulary to base ids.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tokenizer that was not trained, [`Error::Id`] for ids outside its vocabulary.
    pub fn split(&self, tokens: &Tokens) -> Result<Tokens> {
        let merges = self.merges()?;
        if !tokens.encoded {
            return Ok(tokens.clone());
        }
        let each = tokens.ids.iter().enumerate().map(|(index, ids)| merges.split(ids, index));
        let ids = each.collect::<Result<_>>()?;
        Ok(Tokens { ids, encoded: false, programs: tokens.programs.clone(), cuts: None })
    }

    fn merges(&self) -> Result<&Merges> {
        let untrained = || Error::Shape {
            what: "a tokenizer of merged ids",
            allowed: "trained".into(),
            got: "an untrained one".into(),
        };
        self.merges.as_ref().ok_or_else(untrained)
    }
}
