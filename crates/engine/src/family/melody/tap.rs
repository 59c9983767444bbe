//! Between a writer and its task: progress and bars go out, changes of the sampling come in, token by token.

use std::sync::{Mutex, PoisonError};

use partita_models::stage::{Compute, Error, Hear, Network, Played, Player, Sequence};
use partita_nn::Sampler;

use super::stream::Stream;
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
    stream: Stream<'b>,
    updated: bool,
}

impl<'a, 'b> Tap<'a, 'b> {
    pub fn new(
        player: &'a dyn Player,
        report: &'b mut dyn Report,
        sampling: partita_nn::Sampling,
        stream: Stream<'b>,
    ) -> Tap<'a, 'b> {
        let state = State { report, sampling, stream, updated: false };
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
        let ended = vec![false; sequences.len()];
        let mut ear = Ear { inner: listener, state: &mut state, ended };
        self.player.decode(network, added, sequences, &mut ear)
    }

    fn compute(&self) -> &Compute {
        self.player.compute()
    }
}

struct Ear<'a, 'b> {
    inner: &'a mut dyn Hear,
    state: &'a mut State<'b>,
    /// By variation.
    ended: Vec<bool>,
}

impl Hear for Ear<'_, '_> {
    fn hear(&mut self, index: usize, id: u32) {
        let State { report, stream, .. } = &mut *self.state;
        stream.hear(index, id, *report);
        self.inner.hear(index, id);
    }

    fn end(&mut self, index: usize) {
        self.ended[index] = true;
        let State { report, stream, .. } = &mut *self.state;
        stream.end(index, *report);
        self.inner.end(index);
    }

    fn report(&mut self) -> Result<(), Error> {
        self.inner.report()?;
        let stream = &self.state.stream;
        let each = stream.bars();
        let begun = |(index, ended)| if ended { each } else { stream.begun(index).min(each) };
        let done = self.ended.iter().copied().enumerate().map(begun).map(u64::from).sum::<u64>();
        let all = u64::from(each) * self.ended.len() as u64;
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
