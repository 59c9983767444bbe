//! GrooVAE's humanizing table: play the quantised test split again and compare with the drummer.
//!
//! Recipe (Gillick et al. 2019, table 2; the baseline row reproduces): test split, common time only, one hit
//! a drum and sixteenth (the loudest), nearest sixteenth, windows of two bars; the model sees steps and drums
//! alone. The paper does not define its KL beyond the name, so two are given: of Gaussians with the two
//! moments, and of histograms.

use std::ops::ControlFlow;

use partita_models::drums::{Drummer, Expression, Humanize, Performed, Progress};
use partita_models::stage::Compute;
use partita_score::{DrumPattern, Hit, Meter};
use serde::Serialize;

use super::Error;
use crate::groove::{Clip, Groove, Split};

/// Distances between what was played and what the model plays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Humanizing {
    pub split: &'static str,
    pub hits: usize,
    /// Mean absolute timing error of leaving everything on the grid, milliseconds.
    pub quantized_mae_ms: f64,
    /// Mean absolute timing error, milliseconds.
    pub mae_ms: f64,
    /// Mean squared timing error, sixteenths squared.
    pub mse: f64,
    /// KL of the drummers' offsets from the model's, Gaussian, nats.
    pub timing_kl: f64,
    /// The same for velocities.
    pub velocity_kl: f64,
    /// KL over histograms of 20 equal bins, one count added to each.
    pub timing_kl_histogram: f64,
    pub velocity_kl_histogram: f64,
    /// Mean absolute velocity error, `0..=127`.
    pub velocity_mae: f64,
    /// Timing error when every stroke is foretold from the drummer's own strokes before it, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anticipated_mae_ms: Option<f64>,
}

/// One hit as it was played and as a model plays it.
#[derive(Clone, Copy, Debug)]
pub struct PlayedStroke {
    pub played: Hit,
    /// Steps, late is positive.
    pub offset: f64,
    /// `[0, 127]`
    pub velocity: f64,
    /// Milliseconds a sixteenth.
    pub step_ms: f64,
}

const WINDOW_BARS: u32 = 2;
const BINS: usize = 20;

/// Measures `drummer` on `split`.
///
/// # Errors
/// What the model says.
pub fn humanizing(
    groove: &Groove,
    drummer: &Drummer,
    compute: &Compute,
    split: Split,
) -> Result<Humanizing, Error> {
    let played = perform_split(groove, drummer, compute, split)?;
    Ok(measure(split, &played, Expression::default()))
}

/// One hit as it was played and as the model performs it.
#[derive(Clone, Copy, Debug)]
pub struct PlayedHit {
    pub played: Hit,
    pub performed: Performed,
    /// What the model expected having heard all hits before this one as the drummer played them.
    pub anticipated: Performed,
    /// Milliseconds a sixteenth.
    pub step_ms: f64,
}

/// Every hit of `split` by the recipe.
///
/// # Errors
/// What the model says.
pub fn perform_split(
    groove: &Groove,
    drummer: &Drummer,
    compute: &Compute,
    split: Split,
) -> Result<Vec<PlayedHit>, Error> {
    let mut all = Vec::new();
    for clip in groove.split(split).filter(|clip| clip.meter == Meter::COMMON) {
        let hits = loudest_of_cells(clip);
        for first in (0..clip.bars).step_by(WINDOW_BARS as usize) {
            play_window(groove, drummer, compute, clip, &hits, first, &mut all)?;
        }
    }
    Ok(all)
}

/// One hit a drum and sixteenth: the loudest.
pub(crate) fn loudest_of_cells(clip: &Clip) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    for hit in &clip.hits {
        match hits.last_mut().filter(|last| (last.step, last.class) == (hit.step, hit.class)) {
            Some(last) if hit.velocity > last.velocity => *last = *hit,
            Some(_) => {}
            None => hits.push(*hit),
        }
    }
    hits
}

fn play_window(
    groove: &Groove,
    drummer: &Drummer,
    compute: &Compute,
    clip: &Clip,
    hits: &[Hit],
    first: u32,
    all: &mut Vec<PlayedHit>,
) -> Result<(), Error> {
    let start = first * clip.steps_per_bar();
    let bars = WINDOW_BARS.min(clip.bars - first);
    let end = start + bars * clip.steps_per_bar();
    let played: Vec<&Hit> = hits.iter().filter(|hit| (start..end).contains(&hit.step)).collect();
    if played.is_empty() {
        return Ok(());
    }
    let grid =
        played.iter().map(|hit| Hit { step: hit.step - start, velocity: 64, offset: 0.0, class: hit.class });
    let request = Humanize {
        style: drummer.style(&groove.styles[clip.style])?,
        seed: u64::from(first),
        pattern: DrumPattern { meter: clip.meter, tempo: clip.tempo, bars, hits: grid.collect() },
        amount: 1.0,
    };
    let performed = drummer.perform(compute, &request, &mut |_: &Progress| ControlFlow::Continue(()))?;
    let real = played.iter().map(|hit| Hit { step: hit.step - start, ..**hit }).collect();
    let real = Humanize { pattern: DrumPattern { hits: real, ..request.pattern.clone() }, ..request };
    let anticipated = drummer.anticipate(compute, &real)?;
    let step_ms = 15_000.0 / clip.tempo;
    let hits = played.iter().zip(performed).zip(anticipated);
    all.extend(hits.map(|((hit, performed), anticipated)| PlayedHit {
        played: **hit,
        performed,
        anticipated,
        step_ms,
    }));
    Ok(())
}

/// The table's row for a way of expression.
pub fn measure(split: Split, all: &[PlayedHit], expression: Expression) -> Humanizing {
    let strokes: Vec<PlayedStroke> = all
        .iter()
        .map(|hit| {
            let stroke = expression.shape(&hit.performed);
            let (offset, velocity) = (stroke.offset, stroke.velocity);
            PlayedStroke { played: hit.played, offset, velocity, step_ms: hit.step_ms }
        })
        .collect();
    let foretold = all
        .iter()
        .map(|hit| (f64::from(hit.played.offset) - hit.anticipated.expected.offset).abs() * hit.step_ms);
    let anticipated = foretold.sum::<f64>() / all.len() as f64;
    Humanizing { anticipated_mae_ms: Some(anticipated), ..distances(split, &strokes) }
}

/// The table's row for strokes from anywhere.
pub fn distances(split: Split, all: &[PlayedStroke]) -> Humanizing {
    let offsets: Vec<(f64, f64)> = all.iter().map(|s| (f64::from(s.played.offset), s.offset)).collect();
    let velocities: Vec<(f64, f64)> =
        all.iter().map(|s| (f64::from(s.played.velocity) / 127.0, s.velocity / 127.0)).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / all.len() as f64;
    let ms = || offsets.iter().zip(all.iter().map(|stroke| stroke.step_ms));
    Humanizing {
        split: split.name(),
        hits: all.len(),
        quantized_mae_ms: mean(&mut ms().map(|((played, _), ms)| played.abs() * ms)),
        mae_ms: mean(&mut ms().map(|((played, model), ms)| (played - model).abs() * ms)),
        mse: mean(&mut offsets.iter().map(|(played, model)| (played - model).powi(2))),
        timing_kl: gaussian_kl(&offsets),
        velocity_kl: gaussian_kl(&velocities),
        timing_kl_histogram: histogram_kl(&offsets, -0.5, 0.5),
        velocity_kl_histogram: histogram_kl(&velocities, 0.0, 1.0),
        velocity_mae: 127.0 * mean(&mut velocities.iter().map(|(played, model)| (played - model).abs())),
        anticipated_mae_ms: None,
    }
}

/// KL(played || modelled) of Gaussians with the moments of the two lists.
fn gaussian_kl(pairs: &[(f64, f64)]) -> f64 {
    let moments = |values: Vec<f64>| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64)
    };
    let (mean_p, var_p) = moments(pairs.iter().map(|pair| pair.0).collect());
    let (mean_q, var_q) = moments(pairs.iter().map(|pair| pair.1).collect());
    0.5 * ((var_q / var_p).ln() + (var_p + (mean_p - mean_q).powi(2)) / var_q - 1.0)
}

/// KL(played || modelled) of histograms over `[low, high]`, one count added to each bin.
fn histogram_kl(pairs: &[(f64, f64)], low: f64, high: f64) -> f64 {
    let histogram = |values: &mut dyn Iterator<Item = f64>| {
        let mut bins = [1.0; BINS];
        for value in values {
            bins[(((value - low) / (high - low) * BINS as f64) as usize).min(BINS - 1)] += 1.0;
        }
        let total: f64 = bins.iter().sum();
        bins.map(|count| count / total)
    };
    let p = histogram(&mut pairs.iter().map(|pair| pair.0));
    let q = histogram(&mut pairs.iter().map(|pair| pair.1));
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergences_of_equal_lists_are_zero_and_of_shifted_ones_are_not() {
        let equal: Vec<(f64, f64)> = (0..100).map(|i| f64::from(i) / 200.0 - 0.25).map(|x| (x, x)).collect();
        assert!(gaussian_kl(&equal).abs() < 1e-12 && histogram_kl(&equal, -0.5, 0.5).abs() < 1e-12);
        let shifted: Vec<(f64, f64)> = equal.iter().map(|(x, y)| (*x, y + 0.2)).collect();
        // Equal variances s: KL = shift^2 / (2 s); here s = 100 steps of 1/200 -> (100^2 - 1) / 12 / 200^2.
        let variance = (100.0f64.powi(2) - 1.0) / 12.0 / 200.0f64.powi(2);
        assert!((gaussian_kl(&shifted) - 0.04 / (2.0 * variance)).abs() < 1e-9);
        assert!(histogram_kl(&shifted, -0.5, 0.5) > 0.3);
    }
}
