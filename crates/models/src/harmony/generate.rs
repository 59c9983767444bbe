//! Writing the cells that are not given.

use std::ops::ControlFlow;

use partita_nn::{Decoder, Input, Rng, Sampler, SequenceId, log_probability_under};
use partita_score::Score;
use partita_tokens::chorale::demands::Choices;
use partita_tokens::chorale::{Cell, FEATURES_EACH, Given, LOWEST, Step, Tracker, VOCAB, VOICES};

use super::{Complete, Error, Harmonizer};
use crate::stage::Compute;

/// An answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Harmony {
    pub steps: Vec<Step>,
    /// Tracks Soprano, Alto, Tenor and Bass.
    pub score: Score,
    /// Negative log-likelihood of the cells that were not given under the unconstrained model, in nats.
    pub nats: f64,
    /// What the demands cost: minus the logarithm of the probability they left, in nats.
    pub cost: f64,
    /// How many those are.
    pub written: usize,
}

/// Steps that all sequences have written together, and all they will write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub cells: usize,
    pub of: usize,
}

/// A chorale being written.
struct Sequence {
    id: SequenceId,
    /// Index of its request.
    request: usize,
    tracker: Tracker,
    given: Given,
    choices: Choices,
    sampler: Sampler,
    rng: Rng,
    nats: f64,
    cost: f64,
    written: usize,
    /// The tokens that the network remembers, and their features.
    tokens: Vec<u32>,
    features: Vec<u32>,
}

impl Harmonizer {
    /// Writes one request; the answers are in the order of the variations.
    ///
    /// # Errors
    /// A demand out of range or a contradiction, before anything is written; [`Error::Cancelled`] when `watch` breaks.
    pub fn complete(
        &self,
        compute: &Compute,
        request: &Complete,
        watch: &mut dyn FnMut(Written) -> ControlFlow<()>,
    ) -> Result<Vec<Harmony>, Error> {
        let answers = self.complete_all(compute, std::slice::from_ref(request), watch)?;
        Ok(answers.into_iter().next().expect("an answer a request"))
    }

    /// Writes several requests in shared steps. Each gets what it would get alone.
    ///
    /// # Errors
    /// As [`complete`](Self::complete), of the first request that is wrong.
    pub fn complete_all(
        &self,
        compute: &Compute,
        requests: &[Complete],
        watch: &mut dyn FnMut(Written) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<Harmony>>, Error> {
        let mut decoder = self.decoder(compute);
        let mut sequences = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            sequences.extend(begin(&mut decoder, index, request)?);
        }
        let length = |sequence: &Sequence| requests[sequence.request].cells.len();
        let of = sequences.iter().map(|sequence| length(sequence) * VOICES).sum();
        let mut cells = 0;
        loop {
            let mut live: Vec<&mut Sequence> = sequences
                .iter_mut()
                .filter(|sequence| sequence.tracker.step() < requests[sequence.request].cells.len())
                .collect();
            if live.is_empty() {
                break;
            }
            step(&mut decoder, &mut live, self.config.context)?;
            cells += live.len();
            if watch(Written { cells, of }).is_break() {
                return Err(Error::Cancelled);
            }
        }
        let mut answers: Vec<Vec<Harmony>> = vec![vec![]; requests.len()];
        for (index, request) in requests.iter().enumerate() {
            let mine: Vec<&Sequence> = sequences.iter().filter(|s| s.request == index).collect();
            answers[index] =
                mine.chunks(request.candidates).map(|candidates| best(request, candidates)).collect();
        }
        Ok(answers)
    }
}

/// The sequences of a request: for each variation its candidates.
fn begin(decoder: &mut Decoder, index: usize, request: &Complete) -> Result<Vec<Sequence>, Error> {
    request.bounded()?;
    let choices = Choices::new(&request.cells, &request.demands)?;
    let sampler = Sampler::new(request.sampling.clone())
        .map_err(|e| Error::Model { name: "chorale".into(), message: e.to_string() })?;
    let given = Given { cells: request.cells.clone(), end: Some(request.cells.len()) };
    let count = request.variations * request.candidates;
    Ok((0..count)
        .map(|stream| Sequence {
            id: decoder.join(None),
            request: index,
            tracker: Tracker::new(),
            given: given.clone(),
            choices: choices.clone(),
            sampler: sampler.clone(),
            rng: Rng::new(request.seed, stream as u64),
            nats: 0.0,
            cost: 0.0,
            written: 0,
            tokens: vec![],
            features: vec![],
        })
        .collect())
}

/// Writes the next cell of each. `context`: the tokens that the network attends to, at most.
fn step(decoder: &mut Decoder, live: &mut [&mut Sequence], context: usize) -> Result<(), Error> {
    for sequence in live.iter_mut() {
        if sequence.tokens.len() == context {
            sequence.forget(decoder)?;
        }
        sequence.tokens.push(sequence.tracker.last_token());
        sequence.tracker.features(&sequence.given, &mut sequence.features);
    }
    let inputs: Vec<(SequenceId, Input)> =
        live.iter().map(|s| (s.id, s.inputs().next_back().expect("it has just got one"))).collect();
    decoder.advance(&inputs).map_err(Error::model)?;
    for sequence in live.iter_mut() {
        let logits = decoder.last_logits(sequence.id).map_err(Error::model)?;
        let logits = logits.expect("it has just taken a token");
        sequence.write(logits)?;
    }
    Ok(())
}

impl Sequence {
    /// What the network remembers.
    fn inputs(&self) -> impl DoubleEndedIterator<Item = Input<'_>> {
        let features = self.features.chunks_exact(FEATURES_EACH);
        self.tokens.iter().zip(features).map(|(token, features)| Input { token: *token, features })
    }

    /// Forgets the older half: the network learned to attend no further than its context.
    fn forget(&mut self, decoder: &mut Decoder) -> Result<(), Error> {
        let old = self.tokens.len() / 2;
        self.tokens.drain(..old);
        self.features.drain(..old * FEATURES_EACH);
        decoder.truncate(self.id, 0).map_err(Error::model)?;
        decoder.prefill(self.id, &self.inputs().collect::<Vec<_>>()).map_err(Error::model)
    }

    /// Writes the cell that is given, or one that the demands leave.
    fn write(&mut self, logits: &[f32]) -> Result<(), Error> {
        let (t, v) = (self.tracker.step(), self.tracker.voice());
        if let Some(cell) = self.given.cell(t, v) {
            self.tracker.push(cell);
            return Ok(());
        }
        let open = self.choices.open(t, v);
        let reference = self.tracker.reference();
        let allowed = |id: u32| match partita_tokens::chorale::cell(id, reference) {
            Some(Cell::Pitch(pitch)) => open >> (pitch - LOWEST) & 1 == 1,
            _ => false,
        };
        let mask: Vec<bool> = (0..VOCAB).map(allowed).collect();
        let id = self.sampler.sample(logits, &[], Some(&mask), &mut self.rng).map_err(Error::model)?;
        let cell = partita_tokens::chorale::cell(id, reference).expect("the mask allows pitches alone");
        let (of_token, of_mask) = log_probability_under(logits, id, &mask);
        self.nats -= of_token;
        self.cost -= of_mask;
        self.written += 1;
        self.choices.choose(t, v, cell.pitch().expect("the mask allows pitches alone"));
        self.tracker.push(cell);
        Ok(())
    }
}

/// The likeliest of the candidates, the first of several.
fn best(request: &Complete, candidates: &[&Sequence]) -> Harmony {
    let best =
        candidates.iter().copied().reduce(|best, other| if other.nats < best.nats { other } else { best });
    let best = best.expect("at least one candidate");
    let steps = best.tracker.steps().to_vec();
    Harmony { score: request.score(&steps), steps, nats: best.nats, cost: best.cost, written: best.written }
}
