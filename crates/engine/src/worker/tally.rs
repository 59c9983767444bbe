//! What the models of this process have played, over all times each was loaded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use partita_models::stage::Counts;

use crate::family::Model;
use crate::registry::InUse;

/// Sums the counts of models, which begin anew with every load.
#[derive(Default)]
pub(crate) struct Tally {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Models at work now, whose counts still grow.
    playing: Vec<Weak<InUse>>,
    /// By the place of a model in memory: it tells two loads of one model apart as long as both are there.
    seen: HashMap<usize, Seen>,
    /// Of models that were made for one task.
    gone: Counts,
}

#[derive(Default)]
struct Seen {
    /// Of models that were at this place before.
    before: Counts,
    last: Counts,
}

impl Tally {
    /// Follows `model` from now on.
    pub fn follow(&self, model: &Arc<InUse>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.playing.retain(|model| model.strong_count() > 0);
        state.playing.push(Arc::downgrade(model));
        state.see(model);
    }

    /// Takes the last counts of a model that will be let go.
    pub fn leave(&self, model: &InUse) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).see(model);
    }

    /// Counts what a model has played that is there no more.
    pub fn add(&self, counts: Counts) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.gone = add(state.gone, counts);
    }

    /// Passes, sequences in them and tokens so far.
    pub fn total(&self) -> Counts {
        let playing: Vec<_> = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.playing.iter().filter_map(Weak::upgrade).collect()
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        playing.iter().for_each(|model| state.see(model));
        let total = state.seen.values().fold(state.gone, |sum, seen| add(add(sum, seen.before), seen.last));
        drop(state);
        total
    }
}

impl State {
    fn see(&mut self, model: &Model) {
        self.seen.entry(std::ptr::from_ref(model).addr()).or_default().update(model.counts());
    }
}

impl Seen {
    fn update(&mut self, now: Counts) {
        if now.steps < self.last.steps || now.tokens < self.last.tokens {
            // Another model at the same place.
            self.before = add(self.before, self.last);
        }
        self.last = now;
    }
}

fn add(one: Counts, other: Counts) -> Counts {
    Counts {
        steps: one.steps + other.steps,
        stepped: one.stepped + other.stepped,
        tokens: one.tokens + other.tokens,
        ..Counts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_over_a_new_load() {
        let counts = |steps, tokens| Counts { steps, stepped: 2 * steps, tokens, ..Counts::default() };
        let mut seen = Seen::default();
        for now in [counts(5, 10), counts(9, 18), counts(9, 18), counts(1, 2), counts(3, 6)] {
            seen.update(now);
        }
        assert_eq!(add(seen.before, seen.last), counts(12, 24));
    }
}
