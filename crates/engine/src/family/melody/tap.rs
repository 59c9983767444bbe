//! Between a writer and its task: progress goes out, changes of the sampling come in, token by token.

use std::sync::{Mutex, PoisonError};

use partita_models::stage::{Compute, Error, Hear, Network, Played, Player, Sequence};
use partita_nn::Sampler;
use partita_tokens::song::Token;

use crate::family::deliver::PLAYED;
use crate::family::{Change, Report};

/// Plays on the decoder that all requests share, and tells `report` of it.
pub(crate) struct Tap<'a, 'b> {
    player: &'a dyn Player,
    state: Mutex<State<'b>>,
}

struct State<'b> {
    report: &'b mut dyn Report,
    sampling: partita_nn::Sampling,
    /// Bars that each variation will have begun in the end.
    bars: u64,
    updated: bool,
}

impl<'a, 'b> Tap<'a, 'b> {
    pub fn new(
        player: &'a dyn Player,
        report: &'b mut dyn Report,
        sampling: partita_nn::Sampling,
        bars: u32,
    ) -> Tap<'a, 'b> {
        let state = State { report, sampling, bars: u64::from(bars), updated: false };
        Tap { player, state: Mutex::new(state) }
    }

    /// Whether the sampling was changed on the way.
    pub fn updated(self) -> bool {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).updated
    }
}

impl Player for Tap<'_, '_> {
    fn decode(
        &self,
        network: &Network,
        added: &[f32],
        sequences: Vec<Sequence>,
        listener: &mut dyn Hear,
    ) -> Result<Vec<Played>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = vec![0; sequences.len()];
        let mut ear = Ear { inner: listener, state: &mut state, begun };
        self.player.decode(network, added, sequences, &mut ear)
    }

    fn compute(&self) -> &Compute {
        self.player.compute()
    }
}

struct Ear<'a, 'b> {
    inner: &'a mut dyn Hear,
    state: &'a mut State<'b>,
    /// Bars by variation.
    begun: Vec<u64>,
}

impl Hear for Ear<'_, '_> {
    fn hear(&mut self, index: usize, id: u32) {
        self.begun[index] += u64::from(matches!(Token::from_id(id), Some(Token::Bar(_))));
        self.inner.hear(index, id);
    }

    fn end(&mut self, index: usize) {
        self.begun[index] = self.state.bars;
        self.inner.end(index);
    }

    fn report(&mut self) -> Result<(), Error> {
        self.inner.report()?;
        let all = self.state.bars * self.begun.len() as u64;
        let done = self.begun.iter().sum::<u64>().min(all);
        let fraction = PLAYED * done as f64 / all.max(1) as f64;
        let flow = self.state.report.progress("generate", fraction, done, all);
        if flow.is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn changed(&mut self) -> Result<Option<Sampler>, Error> {
        let Some(change) = self.state.report.sampling() else { return Ok(None) };
        let Change { temperature, top_k, top_p } = change;
        let sampling = &mut self.state.sampling;
        sampling.temperature = temperature.map_or(sampling.temperature, |value| value as f32);
        sampling.top_k = top_k.unwrap_or(sampling.top_k);
        sampling.top_p = top_p.map_or(sampling.top_p, |value| value as f32);
        self.state.updated = true;
        Ok(Some(Sampler::new(self.state.sampling.clone())?))
    }
}
