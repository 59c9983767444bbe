//! How good a drummer is on performances it never saw, beside honest baselines.

mod copies;
mod humanizing;
mod ngram;

use partita_models::drums::Drummer;
use partita_models::stage::Compute;
use partita_tokens::drums::VOCAB;
use serde::Serialize;

pub use copies::{Copies, copies};
pub(crate) use humanizing::loudest_of_cells;
pub use humanizing::{Humanizing, PlayedHit, PlayedStroke, distances, humanizing, measure, perform_split};

use crate::drums::hits;
use crate::examples::covering;
use crate::gpt::Example;
use crate::groove::{Groove, Split};
pub(crate) use ngram::Ngram;

/// Likelihood of one split, in nats a hit (all tokens of the performance count: bars, positions, drums,
/// velocities, offsets).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likelihood {
    pub split: &'static str,
    pub hits: usize,
    pub model: f64,
    /// Token frequencies alone.
    pub unigram: f64,
    /// Interpolated n-grams up to [`NGRAM_ORDER`] tokens, of the style and of all styles (Witten-Bell).
    pub style_ngram: f64,
}

/// Longest n-gram of the baseline.
pub const NGRAM_ORDER: usize = 6;

/// Why a measurement stopped.
pub type Error = partita_models::drums::Error;

/// Nats a hit of `split` under the model and both baselines, which learn from the training split.
///
/// # Errors
/// What the model says; a data set with other styles than the model's is an error too.
pub fn likelihood(
    groove: &Groove,
    drummer: &Drummer,
    compute: &Compute,
    split: Split,
) -> Result<Likelihood, Error> {
    let examples = covering(groove, split, drummer.config.context);
    let count: usize = examples.iter().map(hits).sum();
    let baseline = Ngram::learn(&covering(groove, Split::Train, drummer.config.context), NGRAM_ORDER, VOCAB);
    let per_hit = |nats: f64| nats / count as f64;
    Ok(Likelihood {
        split: split.name(),
        hits: count,
        model: per_hit(model_nats(drummer, compute, &examples)?),
        unigram: per_hit(examples.iter().map(|e| baseline.nats(e, 1, false)).sum()),
        style_ngram: per_hit(examples.iter().map(|e| baseline.nats(e, NGRAM_ORDER, true)).sum()),
    })
}

/// Nats a hit under the model alone, for comparing precisions.
///
/// # Errors
/// What the model says.
pub fn nats_per_hit(
    groove: &Groove,
    drummer: &Drummer,
    compute: &Compute,
    split: Split,
) -> Result<f64, Error> {
    let examples = covering(groove, split, drummer.config.context);
    let count: usize = examples.iter().map(hits).sum();
    Ok(model_nats(drummer, compute, &examples)? / count as f64)
}

fn model_nats(drummer: &Drummer, compute: &Compute, examples: &[Example]) -> Result<f64, Error> {
    let mut total = 0.0;
    for example in examples {
        let nats = drummer.nats(compute, example.style, &example.inputs, &example.targets)?;
        total += nats.iter().zip(&example.weights).map(|(n, w)| n * f64::from(*w)).sum::<f64>();
    }
    Ok(total)
}

/// `count` of `all` that lie evenly among them, all of them if they are fewer.
pub fn evenly<T>(all: &[T], count: usize) -> impl Iterator<Item = &T> {
    let count = count.min(all.len());
    (0..count).map(move |index| &all[index * all.len() / count])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_many_come_from_everywhere_and_all_of_few_once() {
        let some = |count| evenly(&[0, 1, 2, 3, 4, 5, 6], count).copied().collect::<Vec<_>>();
        assert_eq!((some(0), some(2), some(3)), (vec![], vec![0, 3], vec![0, 2, 4]));
        assert_eq!(some(9), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(evenly::<u8>(&[], 3).count(), 0);
    }
}
