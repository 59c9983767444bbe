//! MidiTok's rules as the grammar of a sequence, with an end after so many tokens.

use std::sync::Arc;

use partita_tokens::miditok::{Follow, Kind, Token, Tokenizer};
use partita_tokens::{Grammar, NotAllowed};

/// What a grammar asks of an id, once for all.
#[derive(Debug)]
pub(super) struct Roles {
    roles: Vec<Role>,
    /// Chosen when nothing may follow any more. It is no part of the music.
    end: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Role {
    /// Begins a bar, or moves time on where there are no bars: what comes from here on is understood without what was
    /// before.
    cut: bool,
    /// Begins a note or another time.
    event: bool,
    /// May begin what is new after a given piece.
    opens: bool,
    pitch: bool,
}

impl Roles {
    /// `end`: the end token, if the vocabulary has one.
    pub fn new(tokenizer: &Tokenizer, end: Option<u32>) -> Roles {
        let vocab = tokenizer.vocab();
        let bars = vocab.id_of(Token::Bar).is_some();
        let config = tokenizer.config();
        let told = config.use_programs && !config.program_changes;
        let is_event = |kind| match kind {
            Kind::Bar | Kind::Position | Kind::TimeShift | Kind::Rest | Kind::Program => true,
            // Where each note says its program, that comes first.
            Kind::Pitch | Kind::PitchDrum | Kind::NoteOn | Kind::DrumOn | Kind::NoteOff | Kind::DrumOff => {
                !told
            }
            _ => false,
        };
        let role = |id: u32| {
            let ids = tokenizer.base_ids(id).unwrap_or_default();
            let first = ids.first().map(|&id| vocab.kind(id));
            let is_pitch = |kind| matches!(kind, Kind::Pitch | Kind::PitchDrum | Kind::NoteOn | Kind::DrumOn);
            let cut = if bars { Kind::Bar } else { Kind::TimeShift };
            Role {
                cut: first == Some(cut),
                event: first.is_some_and(is_event),
                opens: first == Some(cut) || first == Some(if bars { Kind::BarEnd } else { Kind::Rest }),
                pitch: ids.iter().any(|&id| is_pitch(vocab.kind(id))),
            }
        };
        Roles { roles: (0..tokenizer.vocab_size() as u32).map(role).collect(), end: end.unwrap_or(0) }
    }

    fn get(&self, id: u32) -> Role {
        self.roles.get(id as usize).copied().unwrap_or_default()
    }
}

/// Walks one sequence.
pub(super) struct Walk {
    follow: Follow,
    roles: Arc<Roles>,
    /// Tokens until nothing new begins.
    left: usize,
    /// What is given ends where its last note begins, and the first new token has to leave that place.
    opening: bool,
    at_cut: bool,
    is_over: bool,
}

impl Walk {
    /// `follow` stands after what is given.
    pub fn new(follow: Follow, roles: &Arc<Roles>, max_tokens: usize, opening: bool) -> Walk {
        Walk { follow, roles: Arc::clone(roles), left: max_tokens, opening, at_cut: false, is_over: false }
    }

    /// Whether the budget is spent and everything begun is whole. The next token then says so, whichever it is: what
    /// plays sequences keeps all but the last token.
    fn is_spent(&self) -> bool {
        self.left == 0 && self.follow.may_stop()
    }
}

impl Grammar for Walk {
    fn mask(&self, mask: &mut [bool]) {
        if self.is_spent() {
            mask.fill(false);
            mask[self.roles.end as usize] = true;
            return;
        }
        self.follow.mask(mask);
        if self.opening {
            for (id, allowed) in (0..).zip(mask.iter_mut()) {
                *allowed &= self.roles.get(id).opens;
            }
        }
    }

    fn advance(&mut self, id: u32) -> Result<(), NotAllowed> {
        if self.is_spent() {
            self.is_over = id == self.roles.end;
            return if self.is_over { Ok(()) } else { Err(NotAllowed(id)) };
        }
        let role = self.roles.get(id);
        if self.opening && !role.opens {
            return Err(NotAllowed(id));
        }
        self.follow.advance(id).map_err(|_| NotAllowed(id))?;
        self.opening = false;
        self.at_cut = role.cut;
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.follow.close();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_over || self.follow.is_done()
    }

    fn is_bar(&self, id: u32) -> bool {
        self.roles.get(id).cut
    }

    fn is_event(&self, id: u32) -> bool {
        self.roles.get(id).event
    }

    fn at_bar_line(&self) -> bool {
        self.at_cut
    }

    fn bars(&self) -> u32 {
        self.follow.bars()
    }

    fn repeats(&self, id: u32) -> bool {
        self.roles.get(id).pitch
    }
}
