//! Chorales as sequences to learn from.

use std::ops::{Range, RangeInclusive};
use std::path::Path;

use partita_models::harmony::HarmonyConfig;
use partita_nn::Rng;
use partita_tokens::chorale::demands::MAX_STEPS;
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
const CROPS: RangeInclusive<usize> = 32..=HarmonyConfig::WINDOW;
/// Share of features left out in training: a network that leans on all of them overfits 229 chorales.
const LEFT_OUT_SHARE: f32 = 0.3;

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
        chorales
            .iter()
            .flat_map(|chorale| windows(chorale, &Given::nothing(), HarmonyConfig::WINDOW))
            .collect()
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
        let config =
            |sha256| HarmonyConfig { sha256, ..HarmonyConfig::new(shape.width, shape.layers, shape.heads) };
        checkpoint::write_model(folder, parameters, config, Float::F16)
    }
}

impl Settings {
    /// The settings the measured network was trained with.
    pub fn chorales() -> Settings {
        Settings {
            steps: 2500,
            batch_tokens: 2048,
            learning_rate: 1.5e-3,
            warmup: 200,
            weight_decay: 0.3,
            dropout: 0.3,
            validate_every: 250,
            averaging: 0.995,
            ..Settings::new(Shape::chorale(160, 3, 4))
        }
    }
}

impl Shape {
    /// A network for chorales.
    pub fn chorale(width: usize, layers: usize, heads: usize) -> Shape {
        Shape {
            vocab: VOCAB as usize,
            context: VOICES * MAX_STEPS,
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

/// Windows of at most `length` steps, an even number, in which each token has weight once: all but the first begin half
/// a window before what they measure, as a network that writes forgets the older half when its memory is full.
pub fn windows(chorale: &Chorale, given: &Given, length: usize) -> Vec<Example> {
    let mut windows = Vec::new();
    let (mut first, mut measured) = (0, 0);
    while measured < chorale.len() {
        let last = (first + length).min(chorale.len());
        let mut window = example(chorale, given, first..last);
        window.weights[..(measured - first) * VOICES].fill(0.0);
        windows.push(window);
        measured = last;
        first += length / 2;
    }
    windows
}

#[cfg(test)]
mod tests {
    use partita_tokens::chorale::{BEGIN, Cell, FEATURES_EACH};

    use super::*;

    /// A chorale of `steps` steps that moves, rests and repeats itself.
    fn chorale(steps: usize) -> Chorale {
        let cell = |t: usize, v: usize| match (t / 2 * (v + 3) + t / 7) % 9 {
            0 if v == 2 => Cell::Rest,
            n => Cell::Pitch((70 - 8 * v + n) as u8),
        };
        (0..steps).map(|t| std::array::from_fn(|v| cell(t % 40, v))).collect()
    }

    #[test]
    fn a_window_sees_what_the_whole_sees_there() {
        let chorale = chorale(60);
        let whole = example(&chorale, &Given::nothing(), 0..60);
        assert_eq!((whole.length(), whole.inputs[0]), (240, BEGIN));
        let window = example(&chorale, &Given::nothing(), 13..41);
        let rows = 13 * 4 * FEATURES_EACH..41 * 4 * FEATURES_EACH;
        assert_eq!(window.features, whole.features[rows]);
        assert_eq!(
            (&window.inputs[..], &window.targets[..]),
            (&whole.inputs[52..164], &whole.targets[52..164])
        );
    }

    #[test]
    fn nothing_of_the_future_shows_but_what_is_given() {
        let one = chorale(48);
        let mut other = one.clone();
        for step in &mut other[24..] {
            *step = [Cell::Pitch(79), Cell::Pitch(72), Cell::Rest, Cell::Pitch(40)];
        }
        let features = |chorale: &Chorale, given: &Given| example(chorale, given, 0..48).features;
        let known = 24 * VOICES * FEATURES_EACH;
        let nothing = Given::nothing();
        assert_eq!(features(&one, &nothing)[..known], features(&other, &nothing)[..known]);
        assert_ne!(features(&one, &nothing), features(&other, &nothing));
        // A given soprano shows before it comes, as far ahead as a bar.
        let soprano = |chorale: &Chorale| Given {
            cells: chorale.iter().map(|step| [Some(step[0]), None, None, None]).collect(),
            end: None,
        };
        let (a, b) = (features(&one, &soprano(&one)), features(&other, &soprano(&other)));
        let differs = |step: usize| {
            let rows = step * VOICES * FEATURES_EACH..(step + 1) * VOICES * FEATURES_EACH;
            a[rows.clone()] != b[rows]
        };
        assert!(differs(23) && (0..8).all(|step| !differs(step)));
    }

    #[test]
    fn every_token_is_measured_once() {
        for steps in [1, 7, 64, 128, 129, 300] {
            let chorale = chorale(steps);
            for window in [128, 16, 650, 2] {
                let windows = windows(&chorale, &Given::nothing(), window);
                let measured: Vec<u32> = windows
                    .iter()
                    .flat_map(|w| w.targets.iter().zip(&w.weights).filter(|(_, weight)| **weight > 0.0))
                    .map(|(target, _)| *target)
                    .collect();
                assert_eq!(
                    measured,
                    example(&chorale, &Given::nothing(), 0..steps).targets,
                    "{steps} {window}"
                );
                assert!(windows.iter().all(|w| w.length() <= window * VOICES));
            }
        }
    }

    #[test]
    fn drawn_sequences_stay_within_the_voices_ranges_and_given_cells_have_no_weight() {
        let text = |name: &str| {
            let cell = |cell: &Cell| cell.pitch().map_or("-1".to_owned(), |pitch| pitch.to_string());
            let step = |step: &Step| format!("[{}]", step.iter().map(cell).collect::<Vec<_>>().join(","));
            let piece = |n: usize| format!("[{}]", chorale(n).iter().map(step).collect::<Vec<_>>().join(","));
            format!("\"{name}\": [{}, {}]", piece(90), piece(200))
        };
        let json = format!("{{{}, {}, {}}}", text("train"), text("valid"), text("test"));
        let chorales = Chorales::parse(&json).unwrap();
        let source = ChoraleSource::new(&chorales).unwrap();
        let (mut given, mut tokens) = (0, 0);
        for seed in 0..200 {
            let example = source.draw(&mut Rng::new(seed, 0));
            assert!(
                (1..=128 * VOICES).contains(&example.length()) && example.length().is_multiple_of(VOICES)
            );
            assert_eq!(example.features.len(), example.length() * FEATURES_EACH);
            assert!(example.features.iter().all(|row| *row <= LEFT_OUT));
            tokens += example.length();
            given += example.weights.iter().filter(|weight| **weight == 0.0).count();
            assert_eq!(source.draw(&mut Rng::new(seed, 0)), example);
        }
        let share = given as f64 / tokens as f64;
        assert!((0.05..0.3).contains(&share), "{share} of the tokens are given");
    }
}
