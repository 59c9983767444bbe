//! What the decoder's numbers cost and which of them it reads back.

use partita_nn::Rng;
use serde::{Deserialize, Serialize};

/// How the decoder's own output is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The likeliest; the first of equals.
    Best,
    /// Drawn by its probability.
    Drawn,
}

/// A class out of `logits`.
pub(super) fn choose_class(logits: &[f32], choice: Choice, rng: &mut Rng) -> u32 {
    let mut best = 0;
    for (i, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = i;
        }
    }
    if choice == Choice::Best {
        return best as u32;
    }
    let weights = logits.iter().map(|value| (value - logits[best]).exp());
    let mut left = rng.f32() * weights.clone().sum::<f32>();
    for (i, weight) in weights.enumerate() {
        left -= weight;
        if left < 0.0 {
            return i as u32;
        }
    }
    best as u32
}

/// Drums in a groove; a step has so many hits, velocities and offsets, in this order.
pub const DRUMS: usize = 9;

/// How grooves are weighed and fed back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groove {
    /// Weight of the squared errors of velocity and offset where a hit is.
    pub struck: f32,
    /// The same where none is (what is asked for there is zero).
    pub silent: f32,
    /// Share of the decoder's own steps that keep the true hits.
    pub keep_hits: f32,
}

impl Groove {
    /// MusicVAE's loss; the decoder's own hits are fed back.
    pub const PLAIN: Groove = Groove { struck: 1.0, silent: 1.0, keep_hits: 0.0 };

    /// Log-loss of the hits and squared errors of velocities and offsets of one step.
    ///
    /// `bent`: sigmoid and tanh of the 27 outputs; `gradient`: `[27]`, written.
    pub(super) fn loss(self, bent: (&[f32], &[f32]), truth: &[f32], gradient: &mut [f32]) -> f32 {
        let (sigmoids, tanhs) = bent;
        let mut loss = 0.0;
        for drum in 0..DRUMS {
            let (velocity, offset) = (DRUMS + drum, 2 * DRUMS + drum);
            let hit = truth[drum];
            let chance = if hit > 0.5 { sigmoids[drum] } else { 1.0 - sigmoids[drum] };
            // Never the logarithm of zero; the gradient stays exact.
            loss -= chance.max(1e-7).ln();
            gradient[drum] = sigmoids[drum] - hit;
            let weight = if hit > 0.5 { self.struck } else { self.silent };
            let played = sigmoids[velocity];
            let wrong = played - truth[velocity];
            loss += weight * wrong * wrong;
            gradient[velocity] = 2.0 * weight * wrong * played * (1.0 - played);
            let played = tanhs[offset];
            let wrong = played - truth[offset];
            loss += weight * wrong * wrong;
            gradient[offset] = 2.0 * weight * wrong * (1.0 - played * played);
        }
        loss
    }

    /// What is not zero of a step that the decoder chose itself: hits, and all velocities and offsets as they came.
    pub(super) fn feed(
        self,
        sigmoids: &[f32],
        tanhs: &[f32],
        truth: &[f32],
        choice: Choice,
        rng: &mut Rng,
    ) -> Vec<(u32, f32)> {
        let keep = rng.f32() < self.keep_hits;
        let mut row = Vec::with_capacity(3 * DRUMS);
        for drum in 0..DRUMS {
            let hit = match choice {
                _ if keep => truth[drum] > 0.5,
                Choice::Best => sigmoids[drum] > 0.5,
                Choice::Drawn => rng.f32() < sigmoids[drum],
            };
            if hit {
                row.push((drum as u32, 1.0));
            }
        }
        row.extend((DRUMS..2 * DRUMS).map(|at| (at as u32, sigmoids[at])));
        row.extend((2 * DRUMS..3 * DRUMS).map(|at| (at as u32, tanhs[at])));
        row
    }
}
