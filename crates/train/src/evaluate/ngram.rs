//! The baseline: token n-grams with Witten-Bell interpolation, of one style and of all.

use std::collections::HashMap;

use crate::gpt::Example;

#[derive(Default)]
struct Followers {
    total: u32,
    counts: HashMap<u32, u32>,
}

/// Counts of what follows each context; a context is a style (or none) and the tokens before.
pub(crate) struct Ngram {
    followers: HashMap<(Option<u32>, Vec<u32>), Followers>,
    /// Tokens there are.
    vocab: u32,
}

impl Ngram {
    /// Counts n-grams of up to `order` tokens.
    pub(crate) fn learn(examples: &[Example], order: usize, vocab: u32) -> Ngram {
        let mut followers: HashMap<(Option<u32>, Vec<u32>), Followers> = HashMap::new();
        for example in examples {
            for (i, weight) in example.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                debug_assert_eq!(*weight, 1.0);
                for length in 0..order.min(i + 2) {
                    let context = example.inputs[i + 1 - length..=i].to_vec();
                    for style in [None, Some(example.style)] {
                        let entry = followers.entry((style, context.clone())).or_default();
                        entry.total += 1;
                        *entry.counts.entry(example.targets[i]).or_default() += 1;
                    }
                }
            }
        }
        Ngram { followers, vocab }
    }

    /// Negative log-likelihood of an example's weighted tokens, in nats.
    ///
    /// From the uniform distribution up: every longer context, and after it the same context in the style,
    /// is mixed in by how often it was followed by something new.
    pub(crate) fn nats(&self, example: &Example, order: usize, with_style: bool) -> f64 {
        let mut nats = 0.0;
        for (i, _) in example.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let token = example.targets[i];
            let mut p = 1.0 / f64::from(self.vocab);
            for length in 0..order.min(i + 2) {
                let context = example.inputs[i + 1 - length..=i].to_vec();
                let styles: &[Option<u32>] = if with_style { &[None, Some(example.style)] } else { &[None] };
                for style in styles {
                    if let Some(followers) = self.followers.get(&(*style, context.clone())) {
                        let (total, kinds) = (f64::from(followers.total), followers.counts.len() as f64);
                        let count = followers.counts.get(&token).copied().unwrap_or(0);
                        p = (f64::from(count) + kinds * p) / (total + kinds);
                    }
                }
            }
            nats -= p.ln();
        }
        nats
    }
}
