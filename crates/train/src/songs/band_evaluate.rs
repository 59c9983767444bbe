//! How good an arranger is on songs it never saw, beside n-grams.

use partita_models::arrange::{Arranger, Error};
use partita_models::stage::Compute;
use partita_tokens::song::VOCAB;
use serde::Serialize;

use super::accompaniment::covering;
use super::collection::Songs;
use super::source::notes;
use crate::evaluate::{NGRAM_ORDER, Ngram};
use crate::groove::Split;

/// Likelihood of the basses and pianos of one split, in nats a note: places, lengths and ends count too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BandLikelihood {
    pub split: &'static str,
    pub notes: usize,
    pub model: f64,
    /// Token frequencies alone, learned on the training split.
    pub unigram: f64,
    /// Interpolated n-grams up to [`NGRAM_ORDER`] tokens (Witten-Bell).
    pub ngram: f64,
}

/// Nats a note of `split`, melody and chords given.
///
/// # Errors
/// What the model says.
pub fn band_likelihood(
    songs: &Songs,
    arranger: &Arranger,
    compute: &Compute,
    split: Split,
) -> Result<BandLikelihood, Error> {
    let context = arranger.config.context;
    let baseline = Ngram::learn(&covering(songs, Split::Train, context), NGRAM_ORDER, VOCAB);
    let examples = covering(songs, split, context);
    let count: usize = examples.iter().map(notes).sum();
    let per_note = |nats: f64| nats / count.max(1) as f64;
    let mut model = 0.0;
    for example in &examples {
        let nats = arranger.nats(compute, &example.inputs, &example.targets)?;
        model +=
            nats.iter().zip(&example.weights).map(|(nats, weight)| nats * f64::from(*weight)).sum::<f64>();
    }
    Ok(BandLikelihood {
        split: split.name(),
        notes: count,
        model: per_note(model),
        unigram: per_note(examples.iter().map(|example| baseline.nats(example, 1, false)).sum()),
        ngram: per_note(examples.iter().map(|example| baseline.nats(example, NGRAM_ORDER, false)).sum()),
    })
}
