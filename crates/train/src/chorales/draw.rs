//! What is given in a training sequence.

use partita_nn::Rng;
use partita_tokens::chorale::{Cell, Given, Step, VOICES};

/// Share of sequences in which nothing is given, and in which only the end is.
const NOTHING: f64 = 0.5;
const END_ALONE: f64 = 0.1;
/// Of the others: the soprano, the bass, some voices; else all but a region is given.
const SOPRANO: f64 = 0.45;
const BASS: f64 = 0.1;
const VOICE_SETS: f64 = 0.25;
/// How often the end is given with them.
const WITH_END: f64 = 0.75;

/// Draws what is given of `chorale`.
pub(super) fn given(chorale: &[Step], rng: &mut Rng) -> Given {
    let kind = rng.f64();
    if kind < NOTHING {
        return Given::nothing();
    }
    let end = Some(chorale.len());
    if kind < NOTHING + END_ALONE {
        return Given { end, ..Given::nothing() };
    }
    let kind = rng.f64();
    // Bit v: voice v is given everywhere; else outside `hole`.
    let (voices, hole) = if kind < SOPRANO {
        (0b0001, 0..chorale.len())
    } else if kind < SOPRANO + BASS {
        (0b1000, 0..chorale.len())
    } else if kind < SOPRANO + BASS + VOICE_SETS {
        (1 + rng.below(14) as usize, 0..chorale.len())
    } else {
        let length = 8 + rng.below(120) as usize;
        let start = rng.below(chorale.len() as u64) as usize;
        (rng.below(15) as usize, start..start + length)
    };
    let cells = |(t, step): (usize, &Step)| {
        let known = |v: usize| voices >> v & 1 == 1 || !hole.contains(&t);
        std::array::from_fn::<Option<Cell>, VOICES, _>(|v| known(v).then_some(step[v]))
    };
    let end = end.filter(|_| rng.f64() < WITH_END);
    Given { cells: chorale.iter().enumerate().map(cells).collect(), end }
}
