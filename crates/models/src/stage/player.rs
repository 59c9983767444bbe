//! Who turns sequences into tokens: the cores themselves, for one request alone, or a loop that many requests share.

use std::sync::Arc;

use partita_nn::{Path, Pool, Rng, Sampler};
use partita_tokens::Grammar;

use super::together::{Heard, Stage, Tag};
use super::{Error, Network};

/// The cores and instructions to play on.
#[derive(Clone)]
pub struct Compute {
    pub pool: Arc<Pool>,
    pub path: Path,
}

/// One sequence to be continued until its grammar is done.
pub struct Sequence {
    /// Tokens that always stay in the context. Never empty together with `given`.
    pub prompt: Vec<u32>,
    /// Tokens of the same section that came before; the oldest bars go when the context is full.
    pub given: Vec<u32>,
    pub grammar: Box<dyn Grammar>,
    pub rng: Rng,
    pub sampler: Sampler,
}

/// What a sequence became.
pub struct Played {
    /// Generated tokens, the end left out.
    pub ids: Vec<u32>,
    pub rng: Rng,
    /// Negative log-likelihood of the generated tokens under the unconstrained model, in nats.
    pub nats: f64,
    /// What the masks took away: minus the logarithm of the probability that they left, summed over the tokens, in
    /// nats.
    pub cost: f64,
}

/// Follows the sequences of a request.
pub trait Hear {
    /// A token of sequence `index`.
    fn hear(&mut self, index: usize, id: u32);

    /// The end of sequence `index`.
    fn end(&mut self, index: usize);

    /// Called after every step, or a few times a second.
    ///
    /// # Errors
    /// [`Error::Cancelled`] stops the request at the next token.
    fn report(&mut self) -> Result<(), Error>;

    /// Another sampler for all tokens from the next one on; asked for after every report.
    ///
    /// # Errors
    /// Settings out of range; they end the request.
    fn changed(&mut self) -> Result<Option<Sampler>, Error> {
        Ok(None)
    }
}

/// Plays the sequences of a request. **Rule:** the same sequences give the same tokens with every player, whoever
/// else plays at the time.
pub trait Player: Send + Sync {
    /// Plays all `sequences` to their end, side by side, and tells `listener`; the answer is in their order.
    /// `added`: `[D]`, added to every input embedding; empty for none.
    ///
    /// # Errors
    /// What the listener says, [`Error::Crowded`], [`Error::Stopped`], [`Error::Model`].
    fn decode(
        &self,
        network: &Network,
        added: &[f32],
        sequences: Vec<Sequence>,
        listener: &mut dyn Hear,
    ) -> Result<Vec<Played>, Error>;

    /// The cores and instructions for work that is not token by token.
    fn compute(&self) -> &Compute;
}

/// Plays one request alone, on the calling thread.
impl Player for Compute {
    fn decode(
        &self,
        network: &Network,
        added: &[f32],
        sequences: Vec<Sequence>,
        listener: &mut dyn Hear,
    ) -> Result<Vec<Played>, Error> {
        let mut stage = Stage::new(network, self.clone());
        let mut played: Vec<Option<Played>> = sequences.iter().map(|_| None).collect();
        for (index, sequence) in sequences.into_iter().enumerate() {
            stage.join(Tag { request: 0, sequence: index }, added, sequence)?;
        }
        let mut heard = Vec::new();
        while stage.live() > 0 {
            stage.step(&mut heard);
            for (tag, event) in heard.drain(..) {
                match event {
                    Heard::Token { id, .. } => listener.hear(tag.sequence, id),
                    Heard::Ended(result) => {
                        played[tag.sequence] = Some(*result?);
                        listener.end(tag.sequence);
                    }
                }
            }
            listener.report()?;
            if let Some(sampler) = listener.changed()? {
                stage.set_sampler(0, &sampler);
            }
        }
        Ok(played.into_iter().map(|played| played.expect("every sequence has ended")).collect())
    }

    fn compute(&self) -> &Compute {
        self
    }
}
