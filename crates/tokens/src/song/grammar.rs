//! Which token may follow: the format's own rules and every demand on the melody and its chords, as one mask.

use std::collections::VecDeque;
use std::sync::Arc;

use partita_score::demands::{Plan, Step, StrongBeats, Walk};
use partita_score::harmony::{NoteName, PitchClasses};

use super::codec::{Excerpt, Hidden, encode_bar_chords};
use super::vocab::{CHORD_GRID, PITCHES, Part, Token, VOCAB};
use super::{ChordClass, Piece};
use crate::grammar::{Grammar, NotAllowed};

/// What the generated bars must obey.
#[derive(Clone)]
pub struct Constraints {
    /// The whole piece, from its first bar.
    pub excerpt: Excerpt,
    /// What is to be written, one a bar. Bars in which nothing is are left out if `fill`, else told as they are given.
    pub open: Vec<Hidden>,
    pub fill: bool,
    /// Chords that are not to be written; notes that stay are demands of the plan.
    pub given: Piece,
    /// The melody's demands; every bar of the piece.
    pub plan: Arc<Plan>,
    /// Chords have no other tones; `None` for any.
    pub chord_tones: Option<PitchClasses>,
    /// The piece ends on a chord over this pitch class, if chords are written in its last bar.
    pub last_root: Option<u8>,
    /// Chords that may begin in a bar, at least 1.
    pub chords_per_bar: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a bar.
    Bar,
    /// A chord may begin, or the bar's chords are complete.
    At,
    Chord,
    /// The bar's chords are complete, and a melody follows.
    Part,
    /// A note or a rest may begin, or the bar is complete.
    Position,
    Event,
    Done,
}

/// Walks the generated bars of a lead sheet token by token.
#[derive(Clone)]
pub struct LeadGrammar {
    constraints: Constraints,
    /// Bars to write, and which of them comes next.
    bars: Vec<u32>,
    next: usize,
    /// Whether the last token began a bar.
    fresh: bool,
    state: State,
    /// Tokens that are given and come first.
    given: VecDeque<u32>,
    walk: Walk,
    /// Chords so far, given and written.
    chords: Vec<(u32, ChordClass)>,
    /// Bars whose chords the walk knows.
    told: u32,
    /// Eighth of the bar of the chord being written, and how many the bar has.
    at: Option<u32>,
    chords_in_bar: u32,
    /// Cell of the piece of the event being written.
    cell: u32,
    allowed_chords: Vec<bool>,
}

impl LeadGrammar {
    pub fn new(constraints: Constraints) -> LeadGrammar {
        let open = |bar: &u32| !constraints.fill || constraints.open[*bar as usize].any();
        let bars = constraints.excerpt.bars.clone().filter(open).collect();
        let fits = |class: ChordClass| {
            let tones = class.pitch_classes();
            class != ChordClass::NONE
                && constraints.chord_tones.is_none_or(|allowed| tones.is_subset(allowed))
        };
        let mut allowed: Vec<bool> =
            (0..ChordClass::COUNT).filter_map(ChordClass::from_index).map(fits).collect();
        // A collection without a single chord leaves the harmony empty.
        allowed[0] = !allowed.contains(&true);
        let hidden = |cell: u32| constraints.open[(cell / constraints.given.cells_per_bar()) as usize].chords;
        let chords = constraints.given.chords.iter().filter(|(cell, _)| !hidden(*cell)).copied().collect();
        LeadGrammar {
            bars,
            next: 0,
            fresh: true,
            state: State::Bar,
            given: VecDeque::new(),
            walk: Walk::start(&constraints.plan),
            chords,
            told: 0,
            at: None,
            chords_in_bar: 0,
            cell: 0,
            allowed_chords: allowed,
            constraints,
        }
    }

    /// The bar being written.
    fn bar(&self) -> u32 {
        self.bars[self.next - 1]
    }

    fn length(&self) -> u32 {
        self.constraints.given.cells_per_bar()
    }

    fn start(&self) -> u32 {
        self.bar() * self.length()
    }

    /// Whether the bar being written tells a melody.
    fn has_melody(&self) -> bool {
        let told = self.constraints.excerpt.parts.contains(&Part::Melody);
        let open = self.constraints.open[self.bar() as usize].parts[Part::Melody.index()];
        told && (open || !self.constraints.fill)
    }

    /// What follows a complete bar.
    fn after_bar(&self) -> Token {
        self.bars.get(self.next).map_or(Token::End, |bar| self.constraints.excerpt.bar_token(*bar))
    }

    fn begin_bar(&mut self) {
        self.next += 1;
        (self.at, self.chords_in_bar) = (None, 0);
        let open = self.constraints.open[self.bar() as usize].chords;
        self.state = if !self.constraints.excerpt.chords || (self.constraints.fill && !open) {
            self.end_chords()
        } else if open {
            State::At
        } else {
            encode_bar_chords(&self.constraints.given, self.bar(), &mut self.given);
            self.end_chords()
        };
    }

    fn end_chords(&self) -> State {
        if self.has_melody() { State::Part } else { State::Bar }
    }

    /// Leads the walk to the bar being written, through bars that only hold what is kept.
    fn reach(&mut self) {
        while self.walk.bar() < self.bar() {
            self.tell_chords(self.walk.bar());
            let step = self.walk.forced().or_else(|| self.walk.steps().last());
            let step = step.expect("a walk that is not done has a step");
            self.walk.take(step).expect("a step of its own");
        }
        self.tell_chords(self.bar());
    }

    fn tell_chords(&mut self, bar: u32) {
        let demands = self.walk.plan().demands();
        if !demands.chords.is_empty() || demands.strong_beats == StrongBeats::Free || bar < self.told {
            return;
        }
        let (start, end) = (bar * self.length(), (bar + 1) * self.length());
        let name = |class: u8| NoteName::in_window(class, -3);
        let inside = self.chords.iter().filter(|(cell, _)| (start..end).contains(cell));
        let chords: Vec<_> = inside.map(|(cell, class)| (*cell, class.chord(name))).collect();
        self.walk.set_chords(bar, &chords).expect("bars are told in order, chords sorted");
        self.told = bar + 1;
    }

    fn chord_mask(&self, allow: &mut impl FnMut(Token)) {
        let before = self.chords.last().map(|(_, class)| *class).filter(|_| self.chords_in_bar > 0);
        let last_bar = self.bar() + 1 == self.constraints.excerpt.bars.end;
        let root = self.constraints.last_root.filter(|_| last_bar);
        let mut any = false;
        let classes = || (0..ChordClass::COUNT).filter(|&class| self.allowed_chords[class as usize]);
        for class in classes() {
            let chord = ChordClass::from_index(class).expect("in range");
            // The last bar stays on the last chord.
            let fits = root.is_none_or(|root| chord.parts().is_some_and(|(own, _)| own == root));
            if fits && before != Some(chord) {
                allow(Token::Chord(class));
                any = true;
            }
        }
        if !any {
            classes().for_each(|class| allow(Token::Chord(class)));
        }
    }

    fn position_mask(&self, allow: &mut impl FnMut(Token)) {
        let (start, bar) = (self.start(), self.bar());
        let grid = self.walk.plan().demands().grid;
        for cell in self.walk.onset_cells(bar) {
            if self.playable(cell).next().is_some() {
                allow(Token::Position(cell - start));
            }
        }
        let limit = self.walk.hold_limit();
        for cell in start..start + self.length() {
            if (limit == Some(cell) || grid.has(cell - start)) && self.walk.may_rest(cell) {
                allow(Token::Position(cell - start));
            }
        }
        if self.walk.may_end_bar() {
            allow(self.after_bar());
        }
    }

    fn playable(&self, cell: u32) -> impl Iterator<Item = u8> {
        self.walk.onsets(cell).iter().filter(|pitch| PITCHES.contains(pitch))
    }
}

impl Grammar for LeadGrammar {
    fn mask(&self, mask: &mut [bool]) {
        mask.fill(false);
        let mut allow = |token: Token| mask[token.id() as usize] = true;
        if let Some(&id) = self.given.front() {
            mask[id as usize] = true;
            return;
        }
        match self.state {
            State::Bar => allow(self.after_bar()),
            State::At => {
                let next = self.at.map_or(0, |at| at + 1);
                if self.at.is_none() {
                    allow(Token::At(0));
                } else {
                    let last_bar = self.bar() + 1 == self.constraints.excerpt.bars.end;
                    let settled = last_bar && self.constraints.last_root.is_some();
                    if self.chords_in_bar < self.constraints.chords_per_bar && !settled {
                        (next..self.length().div_ceil(CHORD_GRID)).for_each(|at| allow(Token::At(at)));
                    }
                    allow(if self.has_melody() { Token::Part(Part::Melody) } else { self.after_bar() });
                }
            }
            State::Chord => self.chord_mask(&mut allow),
            State::Part => allow(Token::Part(Part::Melody)),
            State::Position => self.position_mask(&mut allow),
            State::Event => {
                self.playable(self.cell).for_each(|pitch| allow(Token::Pitch(pitch)));
                if self.walk.may_rest(self.cell) {
                    allow(Token::Rest);
                }
            }
            State::Done => {}
        }
    }

    fn advance(&mut self, id: u32) -> Result<(), NotAllowed> {
        let mut mask = [false; VOCAB as usize];
        self.mask(&mut mask);
        if !mask.get(id as usize).copied().unwrap_or(false) {
            return Err(NotAllowed(id));
        }
        let refused = |_| NotAllowed(id);
        self.fresh = self.is_bar(id);
        if self.given.pop_front().is_some() {
            return Ok(());
        }
        match Token::from_id(id).expect("inside the mask") {
            Token::Bar(_) => {
                if self.state == State::Position {
                    self.walk.take(Step::NextBar).map_err(refused)?;
                }
                self.begin_bar();
            }
            Token::At(at) => (self.at, self.state) = (Some(at), State::Chord),
            Token::Chord(class) => {
                let cell = self.start() + self.at.unwrap_or(0) * CHORD_GRID;
                let place = self.chords.partition_point(|(at, _)| *at < cell);
                self.chords.insert(place, (cell, ChordClass::from_index(class).expect("inside the mask")));
                self.chords_in_bar += 1;
                self.state = State::At;
            }
            Token::Part(_) => {
                self.reach();
                self.state = State::Position;
            }
            Token::Position(cell) => (self.cell, self.state) = (self.start() + cell, State::Event),
            Token::Pitch(pitch) => {
                self.walk.onset(self.cell, pitch).map_err(refused)?;
                self.state = State::Position;
            }
            Token::Rest => {
                self.walk.rest(self.cell).map_err(refused)?;
                self.state = State::Position;
            }
            _ => self.state = State::Done,
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Chords that are given are told to the model; it chooses none of them.
    fn is_given(&self) -> bool {
        !self.given.is_empty()
    }

    fn is_bar(&self, id: u32) -> bool {
        matches!(Token::from_id(id), Some(Token::Bar(_)))
    }

    /// The token of a bar ends the one before it: what came before that token are whole bars.
    fn at_bar_line(&self) -> bool {
        self.fresh
    }

    fn bars(&self) -> u32 {
        self.next as u32
    }

    fn repeats(&self, id: u32) -> bool {
        matches!(Token::from_id(id), Some(Token::Pitch(_)))
    }
}

#[cfg(test)]
mod tests {
    use partita_score::Meter;
    use partita_score::demands::Demands;

    use super::*;

    fn grammar(chords: bool) -> LeadGrammar {
        let class = |index| ChordClass::from_index(index).unwrap();
        LeadGrammar::new(Constraints {
            excerpt: Excerpt { bars: 0..4, total: 4, chords: true, parts: vec![Part::Melody] },
            open: vec![Hidden { chords, parts: [true, false, false] }; 4],
            fill: false,
            given: Piece {
                meter: Meter::COMMON,
                bars: 4,
                chords: vec![(0, class(1)), (72, class(30))],
                ..Piece::default()
            },
            plan: Arc::new(Plan::new(&Demands::new(Meter::COMMON, 4, 100.0)).unwrap()),
            chord_tones: None,
            last_root: None,
            chords_per_bar: 2,
        })
    }

    #[test]
    fn a_bar_line_is_where_a_bar_begins_and_only_given_chords_are_told() {
        let mut state = 1u32;
        for chords in [false, true] {
            let mut grammar = grammar(chords);
            assert!(grammar.at_bar_line());
            let mut bars = 0;
            while !grammar.is_done() {
                let mut mask = [false; VOCAB as usize];
                grammar.mask(&mut mask);
                let allowed: Vec<u32> = (0..VOCAB).filter(|id| mask[*id as usize]).collect();
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let id = allowed[(state >> 8) as usize % allowed.len()];
                let of_chord = matches!(Token::from_id(id), Some(Token::At(_) | Token::Chord(_)));
                assert_eq!(grammar.is_given(), of_chord && !chords);
                assert!(!grammar.is_given() || allowed.len() == 1);
                grammar.advance(id).unwrap();
                assert_eq!(grammar.at_bar_line(), grammar.is_bar(id));
                bars += u32::from(grammar.is_bar(id));
            }
            assert_eq!(bars, 4);
        }
    }
}
