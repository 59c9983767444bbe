//! The drummer's sequences and its model.

use std::path::Path;

use partita_models::drums::DrumsConfig;
use partita_nn::Rng;
use partita_tokens::drums::{Token, VOCAB};

use crate::checkpoint::{self, Float};
use crate::examples::{Sampler, covering};
use crate::gpt::Example;
use crate::groove::{Groove, Split};
use crate::parameters::{Parameters, Shape};
use crate::run::Error;
use crate::source::Source;

/// The Groove MIDI Dataset as a drummer learns from it.
pub struct DrumSource<'a> {
    groove: &'a Groove,
    sampler: Sampler<'a>,
    context: usize,
}

impl<'a> DrumSource<'a> {
    /// Sequences of at most `context` tokens.
    ///
    /// # Errors
    /// [`Error::EmptySplit`] without a performance to learn from or to validate on.
    pub fn new(groove: &'a Groove, context: usize) -> Result<DrumSource<'a>, Error> {
        for split in [Split::Train, Split::Validation] {
            if groove.split(split).all(|clip| clip.hits.is_empty()) {
                return Err(Error::EmptySplit { needs: "performances", split: split.name() });
            }
        }
        Ok(DrumSource { groove, sampler: Sampler::new(groove, Split::Train, context), context })
    }
}

impl Source for DrumSource<'_> {
    fn split_hash(&self) -> &str {
        &self.groove.split_hash
    }

    fn draw(&self, rng: &mut Rng) -> Example {
        self.sampler.draw(rng)
    }

    fn validation(&self) -> Vec<Example> {
        covering(self.groove, Split::Validation, self.context)
    }

    fn units(&self, example: &Example) -> usize {
        hits(example)
    }

    fn write_model(&self, folder: &Path, parameters: &Parameters) -> Result<(), checkpoint::Error> {
        let config = |sha256| DrumsConfig { sha256, ..drums_config(parameters, self.groove) };
        checkpoint::write_model(folder, parameters, config, Float::F16)
    }
}

/// Hits that count in the loss of an example: each has one offset.
pub fn hits(example: &Example) -> usize {
    let is_offset = |id: &u32| matches!(Token::from_id(*id), Some(Token::Offset(_)));
    let asked = example.targets.iter().zip(&example.weights).filter(|(_, weight)| **weight > 0.0);
    asked.filter(|(id, _)| is_offset(id)).count()
}

impl Shape {
    /// The shipped drummer's sizes, for a data set of `styles` styles.
    pub fn drummer(styles: usize) -> Shape {
        Shape {
            vocab: VOCAB as usize,
            context: 768,
            styles: styles + 1,
            width: 256,
            layers: 4,
            heads: 4,
            rotary: false,
            features: 0,
        }
    }
}

/// The configuration of a drummer of these sizes.
pub fn drums_config(parameters: &Parameters, groove: &Groove) -> DrumsConfig {
    let shape = parameters.shape;
    debug_assert_eq!(shape.vocab, VOCAB as usize);
    DrumsConfig {
        family: DrumsConfig::FAMILY.into(),
        tokens: DrumsConfig::TOKENS.into(),
        vocab: shape.vocab,
        context: shape.context,
        width: shape.width,
        layers: shape.layers,
        heads: shape.heads,
        styles: groove.styles.clone(),
        tempos: (0..groove.styles.len()).map(|style| median_tempo(groove, style)).collect(),
        sha256: String::new(),
        version: None,
        licence: None,
    }
}

fn median_tempo(groove: &Groove, style: usize) -> f64 {
    let clips = |fills: bool| groove.clips.iter().filter(move |c| c.style == style && (fills || !c.fill));
    let mut tempos: Vec<f64> = clips(false).map(|clip| clip.tempo).collect();
    if tempos.is_empty() {
        tempos = clips(true).map(|clip| clip.tempo).collect();
    }
    tempos.sort_by(f64::total_cmp);
    tempos.get(tempos.len() / 2).copied().unwrap_or(100.0)
}
