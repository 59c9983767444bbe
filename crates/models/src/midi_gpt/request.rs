//! What a checkpoint is asked for.

use partita_nn::Sampling;
use partita_tokens::miditok::Limits;

use super::Error;

/// Most tokens of a piece.
pub const MAX_TOKENS: usize = 65_536;
/// Most new bars of a piece.
pub const MAX_BARS: u32 = 512;
/// Most pieces of a request.
const MAX_VARIATIONS: usize = 64;

/// A new piece, or more of a given one.
#[derive(Clone, Debug)]
pub struct Request {
    /// What all new notes obey. `bars` are new ones, `1..=512`. Where the vocabulary has no programs, `programs` says
    /// what plays: the first of them.
    pub limits: Limits,
    /// A MIDI file to play on from; new notes begin in a new bar, or later than the last ones where there are no bars.
    pub given: Option<Vec<u8>>,
    /// New tokens after which the piece is brought to its end, `1..=65536`: begun notes are completed, and bars that
    /// are still due stay empty.
    pub max_tokens: usize,
    /// The repetition penalty counts the tokens of new pitches.
    pub sampling: Sampling,
    pub seed: u64,
    /// How many, `1..=64`; variation `i` draws from stream `i` of the seed.
    pub variations: usize,
}

impl Request {
    /// A new piece of up to 1024 tokens.
    pub fn new(seed: u64) -> Request {
        Request {
            limits: Limits::default(),
            given: None,
            max_tokens: 1024,
            sampling: Sampling { temperature: 0.95, top_p: 0.95, ..Sampling::default() },
            seed,
            variations: 1,
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_TOKENS).contains(&self.max_tokens) {
            return Err(Error::range("max_tokens", format!("in 1..={MAX_TOKENS}"), self.max_tokens));
        }
        if !(1..=MAX_VARIATIONS).contains(&self.variations) {
            return Err(Error::range("variations", format!("in 1..={MAX_VARIATIONS}"), self.variations));
        }
        if let Some(bars) = self.limits.bars.filter(|bars| !(1..=MAX_BARS).contains(bars)) {
            return Err(Error::range("bars", format!("in 1..={MAX_BARS}"), bars));
        }
        self.sampling.check().map_err(|error| match error {
            partita_nn::Error::Sampling { field, allowed, got } => {
                Error::range(field, format!("in {allowed}"), got)
            }
            other => Error::range("sampling", "valid", other),
        })
    }
}
