//! Events one after the other: the start in one pass, then a step for each event that is drawn.

use std::fmt::Debug;
use std::ops::ControlFlow;

use partita_kernels::Compute;
use partita_nn::{Rng, Sampler, Sampling, log_probability};
use partita_tokens::events::Codec;

use super::beam::{Beam, best};
use super::{Error, Net, NetState};

/// The most events of a sequence, its start included.
pub const MOST_EVENTS: usize = 65_536;
/// The most sequences in flight together.
const MOST_ROWS: usize = 1024;

/// A sequence to go on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Continue<E> {
    /// What there is, one event at least.
    pub primer: Vec<E>,
    /// Events in all, more than those of the primer, up to [`MOST_EVENTS`].
    pub length: usize,
    /// Temperature 0 takes the most likely event. Events seen before are not penalised: `repetition_penalty` is 1.
    pub sampling: Sampling,
    pub beam: Beam,
    pub seed: u64,
    /// Continuations, each from a random stream of its own, 1 and more.
    pub variations: usize,
}

impl<E> Continue<E> {
    /// `length` events in all, sampled at temperature 1.
    pub fn new(primer: Vec<E>, length: usize, seed: u64) -> Continue<E> {
        let (sampling, beam) = (Sampling::default(), Beam::default());
        Continue { primer, length, sampling, beam, seed, variations: 1 }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Range`] naming the first field out of range.
    pub fn check(&self) -> Result<(), Error> {
        let events = self.primer.len();
        if !(1..MOST_EVENTS).contains(&events) {
            return Err(Error::range("events of the primer", format!("1..{MOST_EVENTS}"), events));
        }
        if !(events + 1..=MOST_EVENTS).contains(&self.length) {
            return Err(Error::range(
                "length",
                format!("{}..={MOST_EVENTS} events", events + 1),
                self.length,
            ));
        }
        self.sampling.check()?;
        if self.sampling.repetition_penalty != 1.0 {
            return Err(Error::range("repetition_penalty", "[1, 1]", self.sampling.repetition_penalty));
        }
        self.beam.check()?;
        let most = MOST_ROWS / (self.beam.size * self.beam.branches);
        if !(1..=most).contains(&self.variations) {
            return Err(Error::range("variations", format!("1..={most} with this beam"), self.variations));
        }
        Ok(())
    }
}

/// A sequence that was continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation<E> {
    /// The primer and what follows.
    pub events: Vec<E>,
    /// `ln` of the probability that what follows the primer had at the temperature it was drawn with.
    pub log_likelihood: f64,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events of a sequence that were drawn.
    pub events: usize,
    pub of: usize,
}

/// Asked before every step; breaking it ends the request.
pub(super) type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// A network that plays with one encoding.
pub(super) struct Player<'a, E> {
    pub net: &'a Net,
    pub codec: &'a dyn Codec<Event = E>,
}

impl<E: Copy + PartialEq + Debug> Player<'_, E> {
    /// Continues with a generator a variation, which go on where they are.
    pub(super) fn play(
        &self,
        compute: &mut Compute,
        request: &Continue<E>,
        rngs: &mut [Rng],
        watch: Watch<'_>,
    ) -> Result<Vec<Continuation<E>>, Error> {
        request.check()?;
        self.codec.check(&request.primer)?;
        let of = request.length - request.primer.len();
        if watch(Progress { events: 0, of }).is_break() {
            return Err(Error::Cancelled);
        }
        let mut state = self.net.start(1);
        let logits = self.net.prefill(compute, &mut state, &self.codec.all_inputs(&request.primer));
        let classes = self.net.classes();
        let mut stage = Stage {
            player: self,
            drawing: Drawing { sampler: Sampler::new(request.sampling.clone())?, scaled: Vec::new() },
            branches: vec![Branch { events: request.primer.clone(), score: 0.0, variation: 0 }],
            logits: logits[logits.len() - classes..].to_vec(),
            state,
        };
        let Beam { size, branches, steps } = request.beam;
        // A beam begins with equal copies.
        let copies: Vec<(usize, usize)> =
            (0..rngs.len()).flat_map(|variation| vec![(0, variation); size]).collect();
        stage.keep(&copies);
        let mut drawn = 0;
        while drawn < of {
            if drawn > 0 {
                stage.keep(&best(&stage.branches, size));
            }
            stage.branch(branches, size);
            // The first round is the short one, so that all others have their full number of steps.
            let round = if drawn == 0 { (of - 1) % steps + 1 } else { steps };
            for _ in 0..round {
                if drawn > 0 {
                    stage.advance(compute);
                    if watch(Progress { events: drawn, of }).is_break() {
                        return Err(Error::Cancelled);
                    }
                }
                stage.draw(rngs)?;
                drawn += 1;
            }
        }
        stage.keep(&best(&stage.branches, 1));
        let done = stage.branches.into_iter();
        Ok(done.map(|branch| Continuation { events: branch.events, log_likelihood: branch.score }).collect())
    }

    /// `ln` of the probability of all events but the first, which the network does not foretell.
    pub(super) fn log_likelihood(&self, compute: &mut Compute, events: &[E]) -> Result<f64, Error> {
        if !(2..=MOST_EVENTS).contains(&events.len()) {
            return Err(Error::range("events", format!("2..={MOST_EVENTS}"), events.len()));
        }
        self.codec.check(events)?;
        let inputs = self.codec.all_inputs(&events[..events.len() - 1]);
        let logits = self.net.prefill(compute, &mut self.net.start(1), &inputs);
        let rows = logits.chunks_exact(self.net.classes()).enumerate();
        Ok(rows.map(|(at, row)| log_probability(row, self.codec.label(events, at + 1) as u32)).sum())
    }
}

/// A sequence on its way.
#[derive(Clone)]
pub(super) struct Branch<E> {
    pub events: Vec<E>,
    pub score: f64,
    pub variation: usize,
}

/// All sequences of a request; row for row the same in all parts.
struct Stage<'a, E> {
    player: &'a Player<'a, E>,
    drawing: Drawing,
    branches: Vec<Branch<E>>,
    state: NetState,
    /// `[rows, V]`, after the last event.
    logits: Vec<f32>,
}

struct Drawing {
    sampler: Sampler,
    /// Logits over the temperature.
    scaled: Vec<f32>,
}

impl<E: Copy + PartialEq + Debug> Stage<'_, E> {
    /// Goes on with these rows, each for a variation.
    fn keep(&mut self, rows: &[(usize, usize)]) {
        let same = |(at, &(row, variation)): (usize, &(usize, usize))| {
            row == at && self.branches[row].variation == variation
        };
        if rows.len() == self.branches.len() && rows.iter().enumerate().all(same) {
            return;
        }
        let branch = |&(row, variation): &(usize, usize)| Branch { variation, ..self.branches[row].clone() };
        self.branches = rows.iter().map(branch).collect();
        let rows: Vec<usize> = rows.iter().map(|&(row, _)| row).collect();
        let classes = self.player.net.classes();
        self.logits =
            rows.iter().flat_map(|&row| &self.logits[row * classes..][..classes]).copied().collect();
        self.state = self.state.pick(&rows);
    }

    /// Makes `branches` of each sequence, those of a variation side by side.
    fn branch(&mut self, branches: usize, size: usize) {
        let first = (0..self.branches.len()).step_by(size);
        let rows: Vec<(usize, usize)> = first
            .flat_map(|first| (0..branches).flat_map(move |_| first..first + size))
            .map(|row| (row, self.branches[row].variation))
            .collect();
        self.keep(&rows);
    }

    /// Draws an event for every sequence.
    fn draw(&mut self, rngs: &mut [Rng]) -> Result<(), Error> {
        let logits = self.logits.chunks_exact(self.player.net.classes());
        for (branch, logits) in self.branches.iter_mut().zip(logits) {
            let (class, score) = self.drawing.draw(logits, &mut rngs[branch.variation])?;
            branch.score += score;
            branch.events.push(self.player.codec.event(class, &branch.events));
        }
        Ok(())
    }

    /// Has the network read the newest events.
    fn advance(&mut self, compute: &mut Compute) {
        let Player { net, codec } = self.player;
        let mut x = vec![0.0; self.branches.len() * net.inputs()];
        for (x, Branch { events, .. }) in x.chunks_exact_mut(net.inputs()).zip(&self.branches) {
            codec.input(events, events.len() - 1, x);
        }
        self.logits = net.step(compute, &mut self.state, &x);
    }
}

impl Drawing {
    /// A class, and `ln` of its probability.
    fn draw(&mut self, logits: &[f32], rng: &mut Rng) -> Result<(usize, f64), Error> {
        let class = self.sampler.sample(logits, &[], None, rng)?;
        let temperature = self.sampler.sampling().temperature;
        if temperature == 0.0 {
            return Ok((class as usize, 0.0));
        }
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.scaled.clear();
        // Taken off first, so that a tiny temperature cannot overflow.
        self.scaled.extend(logits.iter().map(|logit| (logit - top) / temperature));
        Ok((class as usize, log_probability(&self.scaled, class)))
    }
}
