//! Which token may follow: the format's own rules and every demand of the user, as one mask.
//!
//! What follows the rules is a sequence that MidiTok itself could have written, but for the order of notes at one time:
//! the decoder loses none of its tokens. A pitch does not begin twice at one time in one program; in MIDI-Like it ends
//! before it begins again, and everything ends before the sequence does.

mod rules;

use std::ops::RangeInclusive;
use std::sync::Arc;

use self::rules::{Rules, State};
use super::config::TimeSignature;
use super::{Error, Result, Tokenizer};

/// What generated sequences must obey; the default is nothing but the format.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Of all notes but drums.
    pub pitches: RangeInclusive<u8>,
    /// Of all notes but drums, C first.
    pub pitch_classes: [bool; 12],
    /// Exactly so many bars. Only REMI has bars.
    pub bars: Option<u32>,
    /// The only time signature.
    pub signature: Option<TimeSignature>,
    /// Programs that may play, -1 for drums; `None` for all. For a sequence that is one track without program tokens, it
    /// says whether the track is drums.
    pub programs: Option<Vec<i16>>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { pitches: 0..=127, pitch_classes: [true; 12], bars: None, signature: None, programs: None }
    }
}

/// Walks one sequence token by token, merged tokens too.
#[derive(Clone, Debug)]
pub struct Follow {
    rules: Arc<Rules>,
    state: State,
}

impl Follow {
    /// Stands before the first token. A start token (`BOS_None`) is not part of the walk.
    ///
    /// # Errors
    /// [`Error::Demand`] for limits that contradict themselves or the vocabulary.
    pub fn new(tokenizer: &Tokenizer, limits: &Limits) -> Result<Follow> {
        let rules = Rules::new(tokenizer, limits)?;
        let state = rules.start();
        Ok(Follow { rules: Arc::new(rules), state })
    }

    /// Marks the tokens that may come next; `mask: [vocab_size]`, what is beyond the vocabulary stays unmarked. At least
    /// one is marked until the end, but for a trained vocabulary that lacks single tokens.
    pub fn mask(&self, mask: &mut [bool]) {
        mask.fill(false);
        for (id, allowed) in mask.iter_mut().enumerate().take(self.rules.size()) {
            *allowed = self.rules.allows(&self.state, id as u32);
        }
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] for a token outside the mask; nothing has changed then.
    pub fn advance(&mut self, id: u32) -> Result<()> {
        if !self.rules.allows(&self.state, id) {
            return Err(Error::NotAllowed(id));
        }
        self.rules.take_id(&mut self.state, id);
        Ok(())
    }

    /// Takes tokens that are there already, whatever the limits say. Ids that mean nothing are left out.
    pub fn read(&mut self, ids: &[u32]) {
        ids.iter().for_each(|&id| self.rules.take_id(&mut self.state, id));
    }

    /// From here on nothing new begins: what has begun is ended, and bars that are due pass empty.
    pub fn close(&mut self) {
        self.state.close();
    }

    /// Whether the sequence is whole and closed: by its end token (`EOS_None`), or by the bar token after the last of
    /// [`Limits::bars`], which is no part of the music.
    pub fn is_done(&self) -> bool {
        self.state.is_done()
    }

    /// Whether the music may stop here, even if nothing says so: no note is half written or still sounds, no bar is due.
    pub fn may_stop(&self) -> bool {
        self.rules.may_stop(&self.state)
    }

    /// Bars begun so far, in REMI.
    pub fn bars(&self) -> u32 {
        self.state.bars()
    }
}
