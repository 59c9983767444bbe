//! Who turns sequences into tokens: the cores themselves, for one request alone, or a loop that many requests share.

use partita_nn::{Rng, Sampler};
use partita_tokens::drums::Grammar;

use super::drummer::{Compute, Drummer};
use super::stage::{Heard, Stage, Tag};
use super::watch::Listener;
use super::{Error, Style};

/// One sequence to be continued until its grammar is done.
pub struct Sequence {
    /// Tokens that always stay in the context; never empty.
    pub(crate) prompt: Vec<u32>,
    /// Tokens of the same section that came before; the oldest bars go when the context is full.
    pub(crate) given: Vec<u32>,
    pub(crate) grammar: Grammar,
    pub(crate) rng: Rng,
    pub(crate) sampler: Sampler,
}

/// What a sequence became.
pub struct Played {
    /// Generated tokens, the end left out.
    pub(crate) ids: Vec<u32>,
    pub(crate) rng: Rng,
    /// Negative log-likelihood of the generated tokens under the unconstrained model, in nats.
    pub(crate) nats: f64,
}

/// Plays the sequences of a request. **Rule:** the same sequences give the same tokens with every player, whoever
/// else plays at the time.
pub trait Player: Send + Sync {
    /// Plays all `sequences` to their end, side by side, and tells `listener`; the answer is in their order.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Crowded`], [`Error::Stopped`], [`Error::Model`].
    fn decode(
        &self,
        drummer: &Drummer,
        style: &Style,
        sequences: Vec<Sequence>,
        listener: &mut Listener<'_>,
    ) -> Result<Vec<Played>, Error>;

    /// The cores and instructions for work that is not token by token.
    fn compute(&self) -> &Compute;
}

/// Plays one request alone, on the calling thread.
impl Player for Compute {
    fn decode(
        &self,
        drummer: &Drummer,
        style: &Style,
        sequences: Vec<Sequence>,
        listener: &mut Listener<'_>,
    ) -> Result<Vec<Played>, Error> {
        let added = drummer.style_vector(style);
        let mut stage = Stage::new(drummer, self.clone());
        let mut played: Vec<Option<Played>> = sequences.iter().map(|_| None).collect();
        for (index, sequence) in sequences.into_iter().enumerate() {
            stage.join(Tag { request: 0, sequence: index }, added, sequence)?;
        }
        let mut heard = Vec::new();
        while stage.live() > 0 {
            stage.step(&mut heard);
            for (tag, event) in heard.drain(..) {
                match event {
                    Heard::Token(id) => listener.hear(tag.sequence, id),
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
