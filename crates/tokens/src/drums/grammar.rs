//! Which token may follow: the format's own rules and every demand of the user, as one mask.

use std::ops::RangeInclusive;

use super::codec::Excerpt;
use super::vocab::{MAX_STEPS_PER_BAR, OFFSETS, Token, VOCAB, velocity_bin};

/// A demand that cannot be met, found before generating.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a bar must have 1..={MAX_STEPS_PER_BAR} sixteenths, got {0}")]
    BarLength(u32),
    #[error("kit must name at least one drum, got none")]
    NoLanes,
    #[error("velocity range must lie in 1..=127, got {0}..={1}")]
    Velocities(u8, u8),
    #[error("at least one bar must be open for new hits, got none")]
    NoOpenBar,
    #[error("token {0} may not follow here")]
    NotAllowed(u32),
}

/// What the generated hits must obey.
#[derive(Clone, Debug)]
pub struct Constraints {
    pub excerpt: Excerpt,
    /// Bars that take new hits, one flag a bar of the excerpt; the others only pass by.
    pub open: Vec<bool>,
    /// Drums that may sound, by class index.
    pub lanes: [bool; 9],
    pub velocities: RangeInclusive<u8>,
    /// Hits a bar may have, at most; what the context has room for.
    pub hits_per_bar: u32,
    /// At least one hit must come (otherwise silence is an answer too).
    pub sounding: bool,
}

/// Hits of one drum in one cell, at most: flams and rolls, without end.
const STROKES_PER_CELL: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first bar.
    Start,
    /// A bar, or a whole hit, has been written.
    Between,
    AfterPosition,
    AfterDrum,
    AfterVelocity,
    Done,
}

/// Walks one generated section token by token.
#[derive(Clone, Debug)]
pub struct Grammar {
    constraints: Constraints,
    state: State,
    /// Bars begun so far.
    bars: u32,
    position: Option<u32>,
    /// Drum being written, its strokes in this cell so far, and the offset bin of the last one.
    drum: Option<u32>,
    strokes: u32,
    last_offset: Option<u32>,
    hits: u32,
    hits_before_bar: u32,
    velocities: RangeInclusive<u32>,
}

impl Grammar {
    /// # Errors
    /// A demand that contradicts itself.
    pub fn new(constraints: Constraints) -> Result<Grammar, Error> {
        let steps = constraints.excerpt.steps_per_bar;
        if !(1..=MAX_STEPS_PER_BAR).contains(&steps) {
            return Err(Error::BarLength(steps));
        }
        if !constraints.lanes.contains(&true) {
            return Err(Error::NoLanes);
        }
        let (low, high) = (*constraints.velocities.start(), *constraints.velocities.end());
        if low < 1 || high > 127 || low > high {
            return Err(Error::Velocities(low, high));
        }
        assert_eq!(constraints.open.len(), constraints.excerpt.fills.len(), "one flag a bar");
        if !constraints.open.contains(&true) {
            return Err(Error::NoOpenBar);
        }
        Ok(Grammar {
            state: State::Start,
            bars: 0,
            position: None,
            drum: None,
            strokes: 0,
            last_offset: None,
            hits: 0,
            hits_before_bar: 0,
            velocities: velocity_bin(low)..=velocity_bin(high),
            constraints,
        })
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bars begun so far.
    pub fn bars(&self) -> u32 {
        self.bars
    }

    /// Bars there will be in the end.
    pub fn total_bars(&self) -> u32 {
        self.constraints.excerpt.bars()
    }

    /// Whether the last token ended a bar: the place to cut a long piece.
    pub fn at_bar_line(&self) -> bool {
        self.state == State::Start || (self.state == State::Between && self.position.is_none())
    }

    /// Marks the tokens that may come next; `mask: [VOCAB]`. At least one is marked until the end.
    pub fn mask(&self, mask: &mut [bool]) {
        mask.fill(false);
        let mut allow = |token: Token| mask[token.id() as usize] = true;
        match self.state {
            State::Start => allow(self.bar_token()),
            State::AfterPosition => self.drums(0, &mut allow),
            State::AfterDrum => self.velocities.clone().for_each(|bin| allow(Token::Velocity(bin))),
            State::AfterVelocity => self.offsets().for_each(|bin| allow(Token::Offset(bin))),
            State::Between => self.between(&mut allow),
            State::Done => {}
        }
        debug_assert!(self.is_done() || mask.contains(&true));
    }

    /// The only token that may come next, if there is just one.
    pub fn forced(&self) -> Option<u32> {
        let mut mask = [false; VOCAB as usize];
        self.mask(&mut mask);
        let mut allowed = mask.iter().enumerate().filter(|(_, allowed)| **allowed).map(|(id, _)| id as u32);
        let first = allowed.next();
        if allowed.next().is_none() { first } else { None }
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// [`Error::NotAllowed`] for a token outside the mask; the grammar is unchanged.
    pub fn advance(&mut self, id: u32) -> Result<(), Error> {
        let mut mask = [false; VOCAB as usize];
        self.mask(&mut mask);
        if !mask.get(id as usize).copied().unwrap_or(false) {
            return Err(Error::NotAllowed(id));
        }
        self.state = match Token::from_id(id).expect("inside the mask") {
            Token::Bar(_) | Token::FillBar(_) => {
                self.bars += 1;
                self.hits_before_bar = self.hits;
                (self.position, self.drum) = (None, None);
                State::Between
            }
            Token::Position(step) => {
                self.position = Some(step);
                self.drum = None;
                State::AfterPosition
            }
            Token::Drum(drum) => {
                if self.drum != Some(drum) {
                    (self.strokes, self.last_offset) = (0, None);
                }
                self.drum = Some(drum);
                self.strokes += 1;
                State::AfterDrum
            }
            Token::Velocity(_) => State::AfterVelocity,
            Token::Offset(bin) => {
                self.last_offset = Some(bin);
                self.hits += 1;
                State::Between
            }
            _ => State::Done,
        };
        Ok(())
    }

    fn bar_token(&self) -> Token {
        self.constraints.excerpt.bar_token(self.bars)
    }

    fn end_of_bar(&self, allow: &mut impl FnMut(Token)) {
        let token = if self.bars == self.constraints.excerpt.bars() { Token::End } else { self.bar_token() };
        allow(token);
    }

    fn between(&self, allow: &mut impl FnMut(Token)) {
        let bar = self.bars as usize - 1;
        if !self.constraints.open[bar] || self.hits - self.hits_before_bar >= self.constraints.hits_per_bar {
            return self.end_of_bar(allow);
        }
        let steps = self.constraints.excerpt.steps_per_bar;
        let next = self.position.map_or(0, |position| position + 1);
        (next..steps).for_each(|step| allow(Token::Position(step)));
        if let Some(drum) = self.drum {
            let again =
                self.strokes < STROKES_PER_CELL && self.last_offset.is_some_and(|bin| bin + 1 < OFFSETS);
            self.drums(if again { drum } else { drum + 1 }, allow);
        }
        let last_chance = self.hits == 0 && !self.constraints.open[bar + 1..].contains(&true);
        if !(self.constraints.sounding && last_chance) {
            self.end_of_bar(allow);
        }
    }

    fn drums(&self, from: u32, allow: &mut impl FnMut(Token)) {
        let lanes = self.constraints.lanes.iter().enumerate().skip(from as usize);
        lanes.filter(|(_, open)| **open).for_each(|(drum, _)| allow(Token::Drum(drum as u32)));
    }

    /// Strokes of one drum in one cell come one after another.
    fn offsets(&self) -> std::ops::Range<u32> {
        self.last_offset.map_or(0, |bin| bin + 1)..OFFSETS
    }
}

impl crate::Grammar for Grammar {
    fn mask(&self, mask: &mut [bool]) {
        Grammar::mask(self, mask);
    }

    fn advance(&mut self, id: u32) -> Result<(), crate::NotAllowed> {
        Grammar::advance(self, id).map_err(|_| crate::NotAllowed(id))
    }

    fn is_done(&self) -> bool {
        Grammar::is_done(self)
    }

    fn is_bar(&self, id: u32) -> bool {
        is_bar(id)
    }

    fn at_bar_line(&self) -> bool {
        Grammar::at_bar_line(self)
    }

    fn bars(&self) -> u32 {
        Grammar::bars(self)
    }

    fn repeats(&self, id: u32) -> bool {
        matches!(Token::from_id(id), Some(Token::Drum(_)))
    }
}

/// Whether a token begins a bar.
pub fn is_bar(id: u32) -> bool {
    matches!(Token::from_id(id), Some(Token::Bar(_) | Token::FillBar(_)))
}
