//! Rolls as sequences to learn from.

use std::ops::Range;
use std::path::Path;

use partita_nn::Rng;
use serde_json::json;

use super::data::{Frame, HIGHEST, LOWEST, Roll, Rolls};
use super::features::{FEATURES, Reader, VOCAB};
use crate::checkpoint::{self, Float};
use crate::gpt::Example;
use crate::groove::Split;
use crate::parameters::{Parameters, Shape};
use crate::run::{Error, Settings};
use crate::source::Source;

/// Tokens of a training sequence and of a window, at most.
const CROP: usize = 640;
/// Training pieces are moved by up to this many semitones.
const MOST_MOVED: i32 = 5;

/// Piano rolls as a network learns from them.
pub struct RollSource<'a> {
    rolls: &'a Rolls,
}

impl<'a> RollSource<'a> {
    /// # Errors
    /// [`Error::EmptySplit`] without a frame to learn from or to validate on.
    pub fn new(rolls: &'a Rolls) -> Result<RollSource<'a>, Error> {
        for split in [Split::Train, Split::Validation] {
            if rolls.split(split).iter().all(Vec::is_empty) {
                return Err(Error::EmptySplit { needs: "frames", split: split.name() });
            }
        }
        Ok(RollSource { rolls })
    }
}

impl Source for RollSource<'_> {
    fn split_hash(&self) -> &str {
        &self.rolls.split_hash
    }

    /// A stretch of a piece, moved by at most a fourth where the keys allow it.
    fn draw(&self, rng: &mut Rng) -> Example {
        let rolls = self.rolls.split(Split::Train);
        let longest = rolls.iter().map(Vec::len).max().unwrap_or(0) as u64;
        // Pieces as likely as they are long.
        let roll = loop {
            let roll = &rolls[rng.below(rolls.len() as u64) as usize];
            if rng.below(longest) < roll.len() as u64 {
                break roll;
            }
        };
        let pitches = || roll.iter().flatten().map(|pitch| i32::from(*pitch));
        let down = (i32::from(LOWEST) - pitches().min().unwrap_or(0)).clamp(-MOST_MOVED, 0);
        let up = (i32::from(HIGHEST) - pitches().max().unwrap_or(0)).clamp(0, MOST_MOVED);
        let moved = down + rng.below((up - down + 1) as u64) as i32;
        let frame =
            |frame: &Frame| frame.iter().map(|pitch| (i32::from(*pitch) + moved) as u8).collect::<Frame>();
        let roll: Roll = roll.iter().map(frame).collect();
        let first = rng.below(roll.len() as u64) as usize;
        // So that the beginning is learned as often as the rest.
        let first = first.saturating_sub(16);
        example(&roll, first, CROP)
    }

    fn validation(&self) -> Vec<Example> {
        self.rolls.split(Split::Validation).iter().flat_map(windows).collect()
    }

    fn validation_tokens(&self) -> usize {
        100_000
    }

    /// Frames.
    fn units(&self, example: &Example) -> usize {
        let ends = example.targets.iter().zip(&example.weights);
        ends.filter(|(id, weight)| **id == Reader::new().token(None) && **weight > 0.0).count()
    }

    fn write_model(&self, folder: &Path, parameters: &Parameters) -> Result<(), checkpoint::Error> {
        let config =
            |sha256: String| json!({ "family": "roll", "shape": parameters.shape, "sha256": sha256 });
        checkpoint::write_model(folder, parameters, config, Float::F16)
    }
}

impl Settings {
    /// The settings the table was measured with.
    pub fn rolls() -> Settings {
        Settings {
            steps: 1000,
            batch_tokens: 2048,
            warmup: 100,
            weight_decay: 0.5,
            dropout: 0.2,
            validate_every: 100,
            ..Settings::new(Shape::roll(128, 3, 4))
        }
    }
}

impl Shape {
    /// A network for rolls.
    pub fn roll(width: usize, layers: usize, heads: usize) -> Shape {
        Shape {
            vocab: VOCAB as usize,
            context: 2 * CROP,
            styles: 0,
            width,
            layers,
            heads,
            rotary: true,
            features: FEATURES,
        }
    }
}

/// Whole frames from `first` on, of at most `most` tokens but one frame at least.
fn example(roll: &Roll, first: usize, most: usize) -> Example {
    let (mut last, mut tokens) = (first, 0);
    while last < roll.len() && (last == first || tokens + roll[last].len() < most) {
        tokens += roll[last].len() + 1;
        last += 1;
    }
    frames(roll, first..last)
}

fn frames(roll: &Roll, frames: Range<usize>) -> Example {
    let mut reader = Reader::new();
    let tokens = |frame: &Frame| frame.iter().copied().map(Some).chain([None]).collect::<Vec<_>>();
    for token in roll[..frames.start].iter().flat_map(tokens) {
        reader.push(token);
    }
    let mut example =
        Example { inputs: vec![], targets: vec![], weights: vec![], style: 0, features: vec![] };
    for token in roll[frames].iter().flat_map(tokens) {
        example.inputs.push(reader.last_token);
        reader.features(&mut example.features);
        example.targets.push(reader.token(token));
        example.weights.push(1.0);
        reader.push(token);
    }
    example
}

/// Windows that cover a piece, each token with weight once; all but the first begin half a window before what they
/// measure.
pub fn windows(roll: &Roll) -> Vec<Example> {
    let mut windows = Vec::new();
    let mut measured = 0;
    while measured < roll.len() {
        let (mut first, mut tokens) = (measured, 0);
        while first > 0 && tokens < CROP / 2 {
            first -= 1;
            tokens += roll[first].len() + 1;
        }
        let known: usize = roll[first..measured].iter().map(|frame| frame.len() + 1).sum();
        let end = {
            let next = example(roll, measured, CROP - CROP / 2);
            let ends = next.targets.iter().filter(|id| **id == Reader::new().token(None));
            measured + ends.count()
        };
        let mut window = frames(roll, first..end);
        window.weights[..known].fill(0.0);
        windows.push(window);
        measured = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roll(frames: usize) -> Roll {
        (0..frames).map(|t| (0..t % 5).map(|i| (40 + 7 * i + (t * t) % 11) as u8).collect()).collect()
    }

    #[test]
    fn nothing_of_the_future_shows() {
        let one = roll(40);
        let mut other = one.clone();
        other[30..].iter_mut().for_each(|frame| *frame = vec![60, 90]);
        let known: usize = one[..30].iter().map(|frame| frame.len() + 1).sum();
        let (a, b) = (frames(&one, 0..40), frames(&other, 0..40));
        let rows = a.features.len() / a.inputs.len() * (known + 1);
        assert_eq!((&a.inputs[..=known], &a.features[..rows]), (&b.inputs[..=known], &b.features[..rows]));
        assert_ne!(a.targets[known..], b.targets[known..]);
    }

    #[test]
    fn tokens_tell_frames_apart_and_each_is_measured_once() {
        let whole = roll(700);
        let measured: Vec<u32> = windows(&whole)
            .iter()
            .flat_map(|w| w.targets.iter().zip(&w.weights).filter(|(_, weight)| **weight > 0.0))
            .map(|(target, _)| *target)
            .collect();
        assert_eq!(measured, frames(&whole, 0..700).targets);
        let reader = Reader::new();
        let mut ids: Vec<u32> = (LOWEST..=HIGHEST).map(|pitch| reader.token(Some(pitch))).collect();
        ids.push(reader.token(None));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), usize::from(HIGHEST - LOWEST) + 2);
    }
}
