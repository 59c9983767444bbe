//! The baseline of Table C: n-grams of a voice, its place in the bar and the voices above.

use std::collections::HashMap;

use partita_tokens::chorale::{Cell, Step, VOICES};
use serde::Serialize;

use super::data::Chorales;
use crate::groove::Split;

/// Nats a token of one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Floor {
    /// How often each voice sings each pitch.
    pub unigram: f64,
    /// After its pitch before.
    pub bigram: f64,
    /// And at its place in the bar.
    pub metre: f64,
    /// And under the voice above.
    pub above: f64,
}

/// What a prediction may look at, the nearest known first.
type Context = (usize, Option<Option<Cell>>, Option<usize>, Option<Option<Cell>>);

/// Contexts from the widest to the narrowest.
fn contexts(chorale: &[Step], t: usize, v: usize) -> [Context; 4] {
    let before = t.checked_sub(1).map(|t| chorale[t][v]);
    let above = v.checked_sub(1).map(|above| chorale[t][above]);
    let metre = Some(t % 16);
    [
        (v, None, None, None),
        (v, Some(before), None, None),
        (v, Some(before), metre, None),
        (v, Some(before), metre, Some(above)),
    ]
}

/// Distinct cells of the training split: a voice's pitches and silence.
const CELLS: f64 = 48.0;

/// Measures n-grams that learn from the training split (Witten-Bell).
pub fn floor(chorales: &Chorales, split: Split) -> Floor {
    #[derive(Default)]
    struct Followers {
        total: u32,
        counts: HashMap<Cell, u32>,
    }
    let mut followers: HashMap<Context, Followers> = HashMap::new();
    for chorale in chorales.split(Split::Train) {
        for (t, step) in chorale.iter().enumerate() {
            for (v, cell) in step.iter().enumerate() {
                for context in contexts(chorale, t, v) {
                    let entry = followers.entry(context).or_default();
                    entry.total += 1;
                    *entry.counts.entry(*cell).or_default() += 1;
                }
            }
        }
    }
    let (mut nats, mut count) = ([0.0; 4], 0.0);
    for chorale in chorales.split(split) {
        for (t, step) in chorale.iter().enumerate() {
            for (v, cell) in step.iter().enumerate().take(VOICES) {
                let mut p = 1.0 / CELLS;
                for (nats, context) in nats.iter_mut().zip(contexts(chorale, t, v)) {
                    if let Some(entry) = followers.get(&context) {
                        let (total, kinds) = (f64::from(entry.total), entry.counts.len() as f64);
                        let seen = f64::from(entry.counts.get(cell).copied().unwrap_or(0));
                        p = (seen + kinds * p) / (total + kinds);
                    }
                    *nats -= p.ln();
                }
                count += 1.0;
            }
        }
    }
    let [unigram, bigram, metre, above] = nats.map(|nats| nats / count);
    Floor { unigram, bigram, metre, above }
}
