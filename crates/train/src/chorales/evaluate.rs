//! Table C of Music Transformer (arXiv:1809.04281): nats a token on the grid of sixteenths, soprano to bass, all four
//! tokens of a step counted, silence too, no padding.

use partita_models::harmony::{Compute, Error, Harmonizer};
use partita_tokens::chorale::{Given, VOICES};
use serde::Serialize;

use super::data::Chorales;
use super::source::windows;
use crate::groove::Split;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableC {
    pub split: &'static str,
    pub chorales: usize,
    pub tokens: usize,
    /// Nats a token.
    pub nats: f64,
    /// The same of each voice, soprano first.
    pub voices: [f64; VOICES],
}

/// Measures `harmonizer` on `split`, nothing given. It attends to the tokens of its context alone, of which at least
/// half come before what is measured where there are as many; its features know the chorale from its beginning.
///
/// # Errors
/// What the model says.
pub fn table_c(
    chorales: &Chorales,
    harmonizer: &Harmonizer,
    compute: &Compute,
    split: Split,
) -> Result<TableC, Error> {
    let (mut sums, mut tokens) = ([0.0; VOICES], 0);
    let steps = harmonizer.config.context / VOICES;
    let windows = |chorale| windows(chorale, &Given::nothing(), steps);
    for example in chorales.split(split).iter().flat_map(windows) {
        let nats = harmonizer.nats(compute, &example.inputs, &example.features, &example.targets)?;
        for (i, nats) in nats.iter().enumerate().filter(|(i, _)| example.weights[*i] > 0.0) {
            sums[i % VOICES] += nats;
            tokens += 1;
        }
    }
    let each = (tokens / VOICES).max(1) as f64;
    Ok(TableC {
        split: split.name(),
        chorales: chorales.split(split).len(),
        tokens,
        nats: sums.iter().sum::<f64>() / tokens.max(1) as f64,
        voices: sums.map(|sum| sum / each),
    })
}
