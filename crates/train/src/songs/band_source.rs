//! The arranger's sequences and its model.

use std::path::Path;

use partita_models::arrange::ArrangeConfig;
use partita_nn::Rng;
use partita_tokens::song::{FORMAT, VOCAB};

use super::accompaniment::{BandSampler, covering};
use super::collection::Songs;
use super::source::notes;
use crate::checkpoint::{self, Float};
use crate::gpt::Example;
use crate::groove::Split;
use crate::parameters::{Parameters, Shape};
use crate::run::{Error, Settings};
use crate::source::Source;

/// Songs with piano as an arranger learns from them.
pub struct BandSource<'a> {
    songs: &'a Songs,
    sampler: BandSampler<'a>,
    context: usize,
}

impl<'a> BandSource<'a> {
    /// Sequences of at most `context` tokens; songs without a piano are passed over.
    ///
    /// # Errors
    /// [`Error::EmptySplit`] without a song with piano to learn from or to validate on.
    pub fn new(songs: &'a Songs, context: usize) -> Result<BandSource<'a>, Error> {
        let sampler = BandSampler::new(songs, context);
        let empty = |split: Split| Error::EmptySplit { needs: "songs with a piano", split: split.name() };
        if sampler.is_empty() {
            return Err(empty(Split::Train));
        }
        if covering(songs, Split::Validation, context).is_empty() {
            return Err(empty(Split::Validation));
        }
        Ok(BandSource { songs, sampler, context })
    }
}

impl Source for BandSource<'_> {
    fn split_hash(&self) -> &str {
        &self.songs.split_hash
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        self.sampler.draw(rng)
    }

    fn validation(&self) -> Vec<Example> {
        covering(self.songs, Split::Validation, self.context)
    }

    fn units(&self, example: &Example) -> usize {
        notes(example)
    }

    fn write_model(&self, folder: &Path, parameters: &Parameters) -> Result<(), checkpoint::Error> {
        let shape = parameters.shape;
        let config = |sha256| ArrangeConfig {
            family: ArrangeConfig::FAMILY.into(),
            tokens: FORMAT.into(),
            vocab: shape.vocab,
            context: shape.context,
            width: shape.width,
            layers: shape.layers,
            heads: shape.heads,
            rotary: shape.rotary,
            sha256,
            version: None,
            licence: None,
        };
        checkpoint::write_model(folder, parameters, config, Float::F16)
    }
}

impl Settings {
    /// The settings the shipped arranger was trained with.
    pub fn band() -> Settings {
        Settings {
            steps: 1200,
            batch_tokens: 4096,
            warmup: 100,
            averaging: 0.995,
            ..Settings::new(Shape::band())
        }
    }
}

impl Shape {
    /// The shipped arranger's sizes.
    pub fn band() -> Shape {
        Shape {
            vocab: VOCAB as usize,
            context: 1024,
            styles: 0,
            width: 192,
            layers: 4,
            heads: 4,
            rotary: true,
            features: 0,
        }
    }
}
