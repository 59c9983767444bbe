//! Chorales as sequences to learn from.

use std::ops::{Range, RangeInclusive};
use std::path::Path;

use partita_models::harmony::HarmonyConfig;
use partita_nn::Rng;
use partita_tokens::chorale::{FEATURES, Given, LEFT_OUT, Step, Tracker, VOCAB, VOICES};

use super::data::{Chorale, Chorales, moves, transposed};
use super::draw;
use crate::checkpoint::{self, Float};
use crate::gpt::Example;
use crate::groove::Split;
use crate::parameters::{Parameters, Shape};
use crate::run::{Error, Settings};
use crate::source::Source;

/// Steps of a training sequence.
const CROPS: RangeInclusive<usize> = 32..=128;
/// Steps of a validation window, and by how many the next one starts later.
pub const WINDOW: usize = 128;
pub const STRIDE: usize = 64;
/// Share of features left out in training.
const LEFT_OUT_SHARE: f32 = 0.08;
/// Positions that the network has room for: 650 steps.
pub const CONTEXT: usize = 2600;

/// The JSB chorales as a network learns from them.
pub struct ChoraleSource<'a> {
    chorales: &'a Chorales,
    ranges: [RangeInclusive<u8>; VOICES],
    /// `[i]`: steps of the training chorales before `i`, and of all.
    starts: Vec<usize>,
}

impl<'a> ChoraleSource<'a> {
    /// # Errors
    /// [`Error::EmptySplit`] without a chorale to learn from or to validate on.
    pub fn new(chorales: &'a Chorales) -> Result<ChoraleSource<'a>, Error> {
        for split in [Split::Train, Split::Validation] {
            if chorales.split(split).iter().all(Vec::is_empty) {
                return Err(Error::EmptySplit { needs: "chorales", split: split.name() });
            }
        }
        let mut starts = vec![0];
        for chorale in chorales.split(Split::Train) {
            starts.push(starts[starts.len() - 1] + chorale.len());
        }
        Ok(ChoraleSource { chorales, ranges: chorales.ranges(), starts })
    }
}

impl Source for ChoraleSource<'_> {
    fn split_hash(&self) -> &str {
        &self.chorales.split_hash
    }

    /// A stretch of a chorale, each step as likely as any other, moved within the voices' ranges.
    fn draw(&self, rng: &mut Rng) -> Example {
        let step = rng.below(self.starts[self.starts.len() - 1] as u64) as usize;
        let index = self.starts.partition_point(|start| *start <= step) - 1;
        let chorale = &self.chorales.split(Split::Train)[index];
        let moves = moves(chorale, &self.ranges);
        let moved = moves.start() + rng.below((moves.end() - moves.start() + 1) as u64) as i32;
        let chorale = transposed(chorale, moved);
        let given = draw::given(&chorale, rng);
        let length = CROPS.start() + rng.below((CROPS.end() - CROPS.start() + 1) as u64) as usize;
        // The drawn step lies anywhere in the stretch.
        let first = (step - self.starts[index]).saturating_sub(rng.below(length as u64) as usize);
        let last = (first + length).min(chorale.len());
        let mut example = example(&chorale, &given, first..last);
        for row in &mut example.features {
            if rng.f32() < LEFT_OUT_SHARE {
                *row = LEFT_OUT;
            }
        }
        example
    }

    fn validation(&self) -> Vec<Example> {
        let chorales = self.chorales.split(Split::Validation);
        chorales.iter().flat_map(|chorale| windows(chorale, WINDOW, STRIDE)).collect()
    }

    fn validation_tokens(&self) -> usize {
        usize::MAX
    }

    /// Tokens.
    fn units(&self, example: &Example) -> usize {
        example.weights.iter().filter(|weight| **weight > 0.0).count()
    }

    fn write_model(&self, folder: &Path, parameters: &Parameters) -> Result<(), checkpoint::Error> {
        let shape = parameters.shape;
        let config = |sha256| HarmonyConfig {
            family: HarmonyConfig::FAMILY.into(),
            tokens: partita_tokens::chorale::TOKENS.into(),
            vocab: shape.vocab,
            features: shape.features,
            context: shape.context,
            width: shape.width,
            layers: shape.layers,
            heads: shape.heads,
            sha256,
            version: None,
            licence: None,
        };
        checkpoint::write_model(folder, parameters, config, Float::F16)
    }
}

impl Settings {
    /// The settings the measured network was trained with.
    pub fn chorales() -> Settings {
        Settings {
            steps: 2000,
            batch_tokens: 4096,
            weight_decay: 0.5,
            dropout: 0.3,
            validate_every: 100,
            ..Settings::new(Shape::chorale(160, 3, 4))
        }
    }
}

impl Shape {
    /// A network for chorales.
    pub fn chorale(width: usize, layers: usize, heads: usize) -> Shape {
        Shape {
            vocab: VOCAB as usize,
            context: CONTEXT,
            styles: 0,
            width,
            layers,
            heads,
            rotary: true,
            features: FEATURES,
        }
    }
}

/// The tokens of `steps`, each predicted from those before it in the stretch and from the features, which know the
/// chorale from its beginning. Given cells have no weight.
pub fn example(chorale: &[Step], given: &Given, steps: Range<usize>) -> Example {
    let mut tracker = Tracker::new();
    for step in &chorale[..steps.start] {
        step.iter().for_each(|cell| tracker.push(*cell));
    }
    let mut example =
        Example { inputs: vec![], targets: vec![], weights: vec![], style: 0, features: vec![] };
    for (t, step) in chorale.iter().enumerate().take(steps.end).skip(steps.start) {
        for (voice, cell) in step.iter().enumerate() {
            example.inputs.push(tracker.last_token());
            tracker.features(given, &mut example.features);
            example.targets.push(tracker.token(*cell));
            example.weights.push(if given.cell(t, voice).is_some() { 0.0 } else { 1.0 });
            tracker.push(*cell);
        }
    }
    example
}

/// Windows of at most `length` steps that start every `stride` steps and in which each token has weight once: where
/// it has most tokens before it.
pub fn windows(chorale: &Chorale, length: usize, stride: usize) -> Vec<Example> {
    let mut windows = Vec::new();
    let (mut first, mut measured) = (0, 0);
    while measured < chorale.len() {
        let last = (first + length).min(chorale.len());
        let mut window = example(chorale, &Given::nothing(), first..last);
        window.weights[..(measured - first) * VOICES].fill(0.0);
        windows.push(window);
        measured = last;
        first += stride;
    }
    windows
}
