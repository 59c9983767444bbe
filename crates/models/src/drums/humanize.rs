//! A performance of a score: every hit stays, velocity and microtiming are played.

use std::ops::{ControlFlow, Range};

use partita_kernels::exp;
use partita_nn::{Logits, Rng};
use partita_score::{DrumPattern, Hit};
use partita_tokens::drums::{
    Excerpt, OFFSETS, Prompt, Task, Token, VELOCITIES, encode_hits, encode_prompt, encode_score,
    hide_performance, offset_value, velocity_value,
};

use super::Error;
use super::drummer::Drummer;
use super::generate::window;
use super::request::{Humanize, check_meter};
use super::watch::{NewBar, Progress, Watch};
use crate::stage::{Compute, Player};

/// How a hit is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// `[1, 127]`, not yet rounded.
    pub velocity: f64,
    /// Microtiming in steps, `[-0.5, 0.5)`; the first step of a piece may come out early and is the caller's to clip.
    pub offset: f64,
}

/// A stroke before it is given its final shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Performed {
    /// What drummers do here in the middle, by the model: mean velocity, median offset.
    pub expected: Stroke,
    /// What one drummer did.
    pub sampled: Stroke,
}

/// Hears of everything performed so far, how many bars that is, and which of them are new.
type Report<'a> = &'a mut dyn FnMut(&[Performed], u32, Range<u32>) -> ControlFlow<()>;

/// Bars performed at once, and bars of the score seen on either side.
const WINDOW_BARS: u32 = 2;
const SIDE_BARS: u32 = 1;

/// From what the model expects to what is played.
///
/// An average performance is flatter than any one drummer's, so deviations from the middle are widened; a
/// sample is mixed in so that seeds differ. Wider has a truer spread, narrower a smaller timing error; the default is
/// the narrowest whose timing KL on the validation split is below 0.31 (the model's card has the trade).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expression {
    /// From the expectation (0) to one sample (1).
    pub spread: f64,
    /// Widening of offsets around [`MIDDLE_OFFSET`] and of velocities around [`MIDDLE_VELOCITY`].
    pub offset_gain: f64,
    pub velocity_gain: f64,
}

/// Means of the Groove training split.
const MIDDLE_OFFSET: f64 = -0.059;
const MIDDLE_VELOCITY: f64 = 68.6;

impl Default for Expression {
    fn default() -> Expression {
        Expression { spread: 0.1, offset_gain: 1.5, velocity_gain: 1.25 }
    }
}

impl Expression {
    /// The stroke to play.
    pub fn shape(&self, performed: &Performed) -> Stroke {
        let mix = |expected: f64, sampled: f64| expected + self.spread * (sampled - expected);
        let offset = mix(performed.expected.offset, performed.sampled.offset);
        let velocity = mix(performed.expected.velocity, performed.sampled.velocity);
        Stroke {
            offset: (MIDDLE_OFFSET + self.offset_gain * (offset - MIDDLE_OFFSET)).clamp(-0.5, 0.499),
            velocity: (MIDDLE_VELOCITY + self.velocity_gain * (velocity - MIDDLE_VELOCITY)).clamp(1.0, 127.0),
        }
    }
}

impl Drummer {
    /// One stroke for each hit of `request.pattern`, in order.
    ///
    /// The bars `watch` gets hold the hits with velocities rounded and offsets as they are. Its sampling plays no part.
    ///
    /// # Errors
    /// A field out of its range, a bar too full to read, or [`Error::Cancelled`].
    pub fn humanize(
        &self,
        player: &dyn Player,
        request: &Humanize,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Stroke>, Error> {
        if !(0.0..=1.0).contains(&request.amount) {
            return Err(Error::range("amount", "[0, 1]", request.amount));
        }
        let expression = Expression::default();
        let blend = |from: f64, to: f64| from + request.amount * (to - from);
        let play = |(hit, performed): (&Hit, &Performed)| {
            let stroke = expression.shape(performed);
            Stroke {
                velocity: blend(f64::from(hit.velocity), stroke.velocity),
                offset: blend(f64::from(hit.offset), stroke.offset),
            }
        };
        let pattern = &request.pattern;
        let steps = pattern.meter.steps_per_bar();
        let performed = self.perform_each(player.compute(), request, &mut |performed, bars, new| {
            let new = new.map(|bar| {
                let of_bar = |(hit, _): &(&Hit, &Performed)| hit.step / steps == bar;
                let hits = pattern.hits.iter().zip(performed).filter(of_bar).map(|(hit, performed)| {
                    let stroke = play((hit, performed));
                    let velocity = stroke.velocity.round().clamp(1.0, 127.0) as u8;
                    Hit { velocity, offset: stroke.offset as f32, ..*hit }
                });
                NewBar { variation: 0, bar, hits: hits.collect() }
            });
            let new = new.collect();
            watch.progress(&Progress { tokens: performed.len(), bars, total_bars: pattern.bars, new })
        })?;
        Ok(pattern.hits.iter().zip(&performed).map(play).collect())
    }

    /// What the model makes of each hit of `request.pattern`; `request.amount` plays no part.
    ///
    /// # Errors
    /// As [`Drummer::humanize`].
    pub fn perform(
        &self,
        player: &dyn Player,
        request: &Humanize,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Performed>, Error> {
        let total_bars = request.pattern.bars;
        self.perform_each(player.compute(), request, &mut |performed, bars, _| {
            watch.progress(&Progress { tokens: performed.len(), bars, total_bars, new: vec![] })
        })
    }

    /// As [`Drummer::perform`]; `report` hears of everything so far, how many bars that is, and which are new.
    fn perform_each(
        &self,
        compute: &Compute,
        request: &Humanize,
        report: Report,
    ) -> Result<Vec<Performed>, Error> {
        let pattern = &request.pattern;
        check_meter(pattern.meter)?;
        let mut rng = Rng::new(request.seed, 0);
        let mut performed = Vec::with_capacity(pattern.hits.len());
        let mut done = 0;
        while done < pattern.bars {
            let (bars, ids, heard) = self.score_window(pattern, done)?;
            let logits = self.logits(compute, request.style.embedding, &hide_performance(&ids))?;
            let steps = pattern.meter.steps_per_bar();
            let start = ids.iter().position(|&id| id == Token::Perform.id()).expect("a score ends with it");
            let strokes = strokes(&logits, &ids, start, &mut rng);
            let inside = |hit: &Hit| bars.contains(&(heard.first_bar + hit.step / steps));
            performed.extend(
                strokes.into_iter().zip(&heard.hits).filter(|(_, hit)| inside(hit)).map(|(stroke, _)| stroke),
            );
            done = bars.end;
            if report(&performed, done, bars).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(performed)
    }

    /// What the model expects of each hit of `request.pattern` when it has heard all hits before it as they are:
    /// one step ahead of the drummer. For measuring; the pattern must fit the context.
    ///
    /// # Errors
    /// [`Error::Model`] for a pattern that does not fit.
    pub fn anticipate(&self, compute: &Compute, request: &Humanize) -> Result<Vec<Performed>, Error> {
        let pattern = &request.pattern;
        let steps_per_bar = pattern.meter.steps_per_bar();
        let excerpt = Excerpt { first_bar: 0, steps_per_bar, fills: vec![false; pattern.bars as usize] };
        let mut ids = encode_prompt(&Prompt {
            task: Task::Generate,
            steps_per_bar,
            tempo: pattern.tempo,
            density: None,
        });
        let start = ids.len();
        ids.extend(encode_hits(&excerpt, &pattern.hits));
        let logits = self.logits(compute, request.style.embedding, &ids)?;
        Ok(strokes(&logits, &ids, start, &mut Rng::new(request.seed, 0)))
    }

    /// The bars from `done` on to perform next, their tokens with as many side bars as fit the context, and the
    /// hits these hold.
    fn score_window(&self, pattern: &DrumPattern, done: u32) -> Result<(Range<u32>, Vec<u32>, Heard), Error> {
        let steps_per_bar = pattern.meter.steps_per_bar();
        let mut crowd = 0;
        for (size, sides) in [(WINDOW_BARS, SIDE_BARS), (WINDOW_BARS, 0), (1, SIDE_BARS), (1, 0)] {
            let bars = done..(done + size).min(pattern.bars);
            let range = bars.start.saturating_sub(sides)..(bars.end + sides).min(pattern.bars);
            let excerpt = Excerpt { first_bar: range.start, steps_per_bar, fills: vec![false; range.len()] };
            let hits = window(&pattern.hits, steps_per_bar, range.start, range.end - range.start);
            let task = Prompt { task: Task::Humanize, steps_per_bar, tempo: pattern.tempo, density: None };
            let mut ids = encode_prompt(&task);
            ids.extend(encode_score(&excerpt, &hits));
            ids.push(Token::Perform.id());
            ids.extend(encode_hits(&excerpt, &hits));
            if ids.len() <= self.config.context {
                return Ok((bars, ids, Heard { first_bar: range.start, hits }));
            }
            crowd = hits.len();
        }
        Err(Error::Crowded { bar: done + 1, hits: crowd })
    }
}

/// One stroke for each drum token from `start` on: its velocity is asked for at the drum, its offset one token later.
fn strokes(logits: &Logits, ids: &[u32], start: usize, rng: &mut Rng) -> Vec<Performed> {
    let drums = (start..ids.len()).filter(|&i| matches!(Token::from_id(ids[i]), Some(Token::Drum(_))));
    let stroke = |at: usize| {
        let (velocity, drawn) = draw(logits.row(at), &VELOCITY, rng);
        let (offset, drawn_offset) = draw(logits.row(at + 1), &OFFSET, rng);
        Performed {
            expected: Stroke { velocity, offset },
            sampled: Stroke { velocity: drawn, offset: drawn_offset },
        }
    };
    drums.map(stroke).collect()
}

/// Hits of a window, steps from its first bar.
struct Heard {
    first_bar: u32,
    hits: Vec<Hit>,
}

/// One class of tokens with its values.
struct Scale {
    bins: u32,
    token: fn(u32) -> Token,
    value: fn(u32) -> f64,
    middle: Middle,
}

/// What stands for a distribution: the median has the smallest absolute error, the mean the smallest squared one.
enum Middle {
    Mean,
    Median,
}

const VELOCITY: Scale = Scale {
    bins: VELOCITIES,
    token: Token::Velocity,
    value: |bin| f64::from(velocity_value(bin)),
    middle: Middle::Mean,
};
const OFFSET: Scale = Scale {
    bins: OFFSETS,
    token: Token::Offset,
    value: |bin| f64::from(offset_value(bin)),
    middle: Middle::Median,
};

/// The middle of the distribution over a scale's bins, and one draw from it.
fn draw(logits: &[f32], scale: &Scale, rng: &mut Rng) -> (f64, f64) {
    let logit = |bin| logits[(scale.token)(bin).id() as usize];
    let top = (0..scale.bins).map(logit).fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = (0..scale.bins).map(|bin| f64::from(exp(logit(bin) - top))).collect();
    let total: f64 = weights.iter().sum();
    let mut left = rng.f64() * total;
    let drawn = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    let middle = match scale.middle {
        Middle::Mean => {
            weights.iter().zip(0..).map(|(weight, bin)| weight * (scale.value)(bin)).sum::<f64>() / total
        }
        Middle::Median => median(&weights, total, scale.value),
    };
    (middle, (scale.value)(drawn.map_or(scale.bins - 1, |bin| bin as u32)))
}

/// The median, linear inside its bin.
fn median(weights: &[f64], total: f64, value: fn(u32) -> f64) -> f64 {
    let mut below = 0.0;
    for (weight, bin) in weights.iter().zip(0..) {
        if below + weight >= total / 2.0 {
            let inside = (total / 2.0 - below) / weight - 0.5;
            return value(bin) + inside * (value(1) - value(0));
        }
        below += weight;
    }
    value(weights.len() as u32 - 1)
}
