//! The lead sheet writer's sequences and its model.

use std::path::Path;

use partita_models::melody::MelodyConfig;
use partita_nn::Rng;
use partita_tokens::song::{FORMAT, Token, VOCAB};

use super::collection::{STYLES, Songs};
use super::examples::{Sampler, covering};
use crate::checkpoint::{self, Float};
use crate::gpt::Example;
use crate::groove::Split;
use crate::parameters::{Parameters, Shape};
use crate::run::{Error, Settings};
use crate::source::Source;

/// Songs as a writer of lead sheets learns from them.
pub struct LeadSource<'a> {
    songs: &'a Songs,
    sampler: Sampler<'a>,
    context: usize,
}

impl<'a> LeadSource<'a> {
    /// Sequences of at most `context` tokens.
    ///
    /// # Errors
    /// [`Error::EmptySplit`] without a song to learn from or to validate on.
    pub fn new(songs: &'a Songs, context: usize) -> Result<LeadSource<'a>, Error> {
        for split in [Split::Train, Split::Validation] {
            if songs.split(split).next().is_none() {
                return Err(Error::EmptySplit { needs: "songs", split: split.name() });
            }
        }
        Ok(LeadSource { songs, sampler: Sampler::new(songs, context), context })
    }
}

impl Source for LeadSource<'_> {
    fn split_hash(&self) -> &str {
        &self.songs.split_hash
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        self.sampler.draw(rng)
    }

    fn validation(&self) -> Vec<Example> {
        let collections = 0..self.songs.collections.len();
        collections.flat_map(|index| covering(self.songs, index, Split::Validation, self.context)).collect()
    }

    fn units(&self, example: &Example) -> usize {
        notes(example)
    }

    fn write_model(&self, folder: &Path, parameters: &Parameters) -> Result<(), checkpoint::Error> {
        let shape = parameters.shape;
        let config = |sha256| MelodyConfig {
            family: MelodyConfig::FAMILY.into(),
            tokens: FORMAT.into(),
            vocab: shape.vocab,
            context: shape.context,
            width: shape.width,
            layers: shape.layers,
            heads: shape.heads,
            rotary: shape.rotary,
            styles: STYLES.map(str::to_owned).to_vec(),
            sha256,
            version: None,
            licence: None,
        };
        checkpoint::write_model(folder, parameters, config, Float::F16)
    }
}

/// Notes that count in the loss of an example.
pub fn notes(example: &Example) -> usize {
    let is_pitch = |id: &u32| matches!(Token::from_id(*id), Some(Token::Pitch(_)));
    let asked = example.targets.iter().zip(&example.weights).filter(|(_, weight)| **weight > 0.0);
    asked.filter(|(id, _)| is_pitch(id)).count()
}

impl Settings {
    /// The settings the shipped writer of lead sheets was trained with.
    pub fn lead() -> Settings {
        Settings {
            steps: 2500,
            batch_tokens: 4096,
            warmup: 100,
            averaging: 0.995,
            ..Settings::new(Shape::lead())
        }
    }
}

impl Shape {
    /// The shipped lead sheet writer's sizes.
    pub fn lead() -> Shape {
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
