//! Which token may follow in an accompaniment: chords and melody as they are given, then the open parts under their
//! rules.
//!
//! ```text
//! Bar  At Chord ...  Part(Melody) ...  Part(Bass) Position Pitch|Rest ...  Part(Piano) Position (Pitch Duration)+ ...  Bar
//! |---------------- given ----------|            |---- open ----|                     |----------- open ----------|
//! ```
//! Notes are judged where they begin: one that was right under its chord may ring into the next.
//!
//! What the piano is wished to be like is no rule: it weighs the tokens that the rules allow.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use partita_score::demands::{PitchSet, RhythmGrid};
use partita_score::harmony::PitchClasses;

use super::codec::{Excerpt, Hidden, encode_bar_chords, encode_part};
use super::vocab::{CELLS, DURATIONS, PITCHES, Part, Token, VOCAB};
use super::{ChordClass, Piece};
use crate::grammar::{Grammar, NotAllowed};

// Weights of wishes, chosen so that the notes of real lead sheets rise with the density from each quarter of it to the
// next, and their mean stays within a semitone or so of the register (weights/arrange/CARD.md).
/// What a place a quarter note sooner gains, and another note of a chord, in nats, where a wish is one; it is one for
/// the highest density and less one for the lowest.
const SOONER: f32 = 1.5;
const FULLER: f32 = 1.0;
/// In how many quarter notes missing notes raise it by one, and how strong it gets.
const MADE_UP: f64 = 2.0;
const STRONGEST: f64 = 2.0;
/// How far pitches lie about the wished mean, in semitones; how far the notes so far may move where the next ones are
/// sought, and in how many notes they are to be made up for.
const SPREAD: f64 = 6.0;
const FARTHEST: f64 = 12.0;
const AHEAD: f64 = 8.0;

/// Pitch classes that may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tones {
    /// Any.
    #[default]
    Free,
    /// Those of a collection, whatever the chord.
    Collection(PitchClasses),
    /// Those of a collection and those of the chord in force.
    CollectionOrChord(PitchClasses),
    /// Those of the chord in force; any where there is no chord.
    Chord,
}

impl Tones {
    /// Under a chord; `None` and [`ChordClass::NONE`] are no chord.
    pub fn classes(self, chord: Option<ChordClass>) -> PitchClasses {
        let tones = chord.unwrap_or(ChordClass::NONE).pitch_classes();
        match self {
            Tones::Free => PitchClasses::ALL,
            Tones::Collection(collection) => collection,
            Tones::CollectionOrChord(collection) => PitchClasses::from_bits(collection.bits() | tones.bits()),
            Tones::Chord if tones.is_empty() => PitchClasses::ALL,
            Tones::Chord => tones,
        }
    }
}

/// What a written part obeys.
#[derive(Clone, Debug, PartialEq)]
pub struct PartRules {
    pub range: RangeInclusive<u8>,
    pub forbidden: PitchSet,
    pub tones: Tones,
    /// Where notes may begin, and in a part of one note at a time end.
    pub grid: RhythmGrid,
    /// Notes that may sound together, at least 1; parts of one note at a time have one.
    pub polyphony: u8,
    /// Notes that may begin in a bar, at least 1. Anchors are played even if there are more of them.
    pub notes_per_bar: u32,
}

impl PartRules {
    /// Pitches that may begin under a chord.
    pub fn pitches(&self, chord: Option<ChordClass>) -> PitchSet {
        self.reach() & PitchSet::of_classes(self.tones.classes(chord))
    }

    /// Pitches of `classes` that a bass may begin a chord with: those that its symbol names count as its tones.
    pub fn anchored(&self, chord: Option<ChordClass>, classes: PitchClasses) -> PitchSet {
        let named = matches!(self.tones, Tones::CollectionOrChord(_));
        (if named { self.reach() } else { self.pitches(chord) }) & PitchSet::of_classes(classes)
    }

    fn reach(&self) -> PitchSet {
        PitchSet::range(self.range.clone()) & PitchSet::range(PITCHES) & !self.forbidden
    }
}

/// What a piano is wished to be like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wishes {
    /// `[0, 1]`, from few notes to many; see [`Wishes::notes`].
    pub density: Option<f64>,
    /// Mean pitch of the notes.
    pub register: Option<f64>,
}

impl Wishes {
    /// Notes a quarter note that a density wishes for: 1.25 for 0, 6.75 for 1.
    pub fn notes(density: f64) -> f64 {
        1.25 + 5.5 * density
    }
}

/// What the generated bars are given and must obey.
#[derive(Clone)]
pub struct BandConstraints {
    /// The bars to write, and the parts that are told, in their order.
    pub excerpt: Excerpt,
    /// What is to be written, one a bar of the piece. Chords and melody never are.
    pub open: Vec<Hidden>,
    /// Everything that stays; notes that begin where their part is open are not looked at.
    pub given: Piece,
    /// By [`Part::index`]; the melody's are not looked at.
    pub rules: [PartRules; 3],
    /// Where the bass begins a note, and of which classes. One that its rules leave no pitch or no place for is no
    /// anchor. Sorted by cell, one a cell.
    pub anchors: Vec<(u32, PitchClasses)>,
    pub wishes: Wishes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What is given is told first; then the next part begins, or the next bar.
    Told,
    /// A note (or rest) may begin, or the part is complete.
    Position,
    Event,
    Duration,
    /// Another note of the chord, a later one, or the part is complete.
    More,
    Done,
}

/// Walks the generated bars of an accompaniment token by token.
#[derive(Clone)]
pub struct BandGrammar {
    constraints: BandConstraints,
    /// Bars begun, and whether the last token began one.
    begun: u32,
    fresh: bool,
    state: State,
    /// Tokens that are given and come first.
    given: VecDeque<u32>,
    /// Index of the part being told.
    part: Option<usize>,
    /// First cell of the piece at which an event may begin: past the last one, and past kept notes of the bass.
    from: u32,
    /// Cell of the event being written.
    cell: u32,
    /// Pitches of the cell so far are below.
    above: u8,
    pitch: u8,
    /// In this part of this bar.
    notes: u32,
    /// A written note of the bass rings.
    rings: bool,
    /// Ends of the piano's written notes by pitch, and of those kept before this bar; 0 for none. A key struck again
    /// ends what was written on it, never what is kept.
    sounding: [u32; 128],
    kept: [u32; 128],
    /// Open bars of the piano begun; written notes in them, and the sum of their pitches.
    opened: u32,
    written: (u32, u32),
}

impl BandGrammar {
    /// # Panics
    /// Unless `open` has an entry for every bar of the excerpt.
    pub fn new(constraints: BandConstraints) -> BandGrammar {
        let mut constraints = constraints;
        let length = constraints.given.cells_per_bar().max(1);
        assert!(constraints.open.len() >= constraints.excerpt.bars.end as usize, "one entry a bar");
        for part in [Part::Bass, Part::Piano] {
            let open = |bar: u32| constraints.open.get(bar as usize).is_some_and(|it| it.parts[part.index()]);
            constraints.given.parts[part.index()].retain(|note| !open(note.onset / length));
        }
        constraints.open.iter_mut().for_each(|open| open.parts[Part::Melody.index()] = false);
        BandGrammar {
            constraints,
            begun: 0,
            fresh: false,
            state: State::Told,
            given: VecDeque::new(),
            part: None,
            from: 0,
            cell: 0,
            above: 0,
            pitch: 0,
            notes: 0,
            rings: false,
            sounding: [0; 128],
            kept: [0; 128],
            opened: 0,
            written: (0, 0),
        }
    }

    /// The bar being written.
    fn bar(&self) -> u32 {
        self.constraints.excerpt.bars.start + self.begun - 1
    }

    fn length(&self) -> u32 {
        self.constraints.given.cells_per_bar()
    }

    fn start(&self) -> u32 {
        self.bar() * self.length()
    }

    fn is_open(&self, part: Part, bar: u32) -> bool {
        self.constraints.open[bar as usize].parts[part.index()]
    }

    /// Where the open bars of a part end that the bar being written is one of.
    fn limit(&self, part: Part) -> u32 {
        let end = self.constraints.excerpt.bars.end;
        let closed = (self.bar()..end).find(|bar| !self.is_open(part, *bar));
        closed.unwrap_or(end) * self.length()
    }

    fn current(&self) -> Option<Part> {
        self.part.map(|index| self.constraints.excerpt.parts[index])
    }

    /// What follows when the current part, or before the first the chords, are told.
    fn next_token(&self) -> Token {
        let excerpt = &self.constraints.excerpt;
        let bar = || {
            let next = excerpt.bars.start + self.begun;
            if next < excerpt.bars.end { excerpt.bar_token(next) } else { Token::End }
        };
        if self.begun == 0 {
            return bar();
        }
        let part = excerpt.parts.get(self.part.map_or(0, |index| index + 1));
        part.map_or_else(bar, |part| Token::Part(*part))
    }

    fn begin_bar(&mut self) {
        self.begun += 1;
        (self.part, self.state) = (None, State::Told);
        if self.constraints.excerpt.chords {
            encode_bar_chords(&self.constraints.given, self.bar(), &mut self.given);
        }
    }

    fn begin_part(&mut self) {
        let index = self.part.map_or(0, |index| index + 1);
        self.part = Some(index);
        let (part, bar, start) = (self.constraints.excerpt.parts[index], self.bar(), self.start());
        if !self.is_open(part, bar) {
            let first = bar == self.constraints.excerpt.bars.start;
            let mut told = Vec::new();
            encode_part(&self.constraints.given, part, bar, first, &mut told);
            self.given.extend(told);
            self.state = State::Told;
            return;
        }
        (self.from, self.notes, self.state) = (start, 0, State::Position);
        let ringing = self.constraints.given.part(part).iter();
        let ringing = ringing.filter(|note| note.onset < start && note.end > start);
        if part.is_single() {
            // What is kept stays as long as it was.
            let end = ringing.map(|note| note.end).max();
            self.from = end.unwrap_or(start);
            self.rings &= bar > self.constraints.excerpt.bars.start && self.is_open(part, bar - 1);
        } else {
            self.opened += 1;
            for note in ringing {
                let end = &mut self.kept[usize::from(note.pitch & 127)];
                *end = note.end.max(*end);
            }
        }
    }

    fn rules(&self) -> &PartRules {
        let part = self.current().expect("a part is being written");
        &self.constraints.rules[part.index()]
    }

    /// Cells of the bar at which an event may begin, by time alone.
    fn cells(&self) -> impl Iterator<Item = u32> {
        let (start, grid) = (self.start(), self.rules().grid);
        (self.from.max(start)..start + self.length()).filter(move |cell| grid.has(cell - start))
    }

    /// Pitches a part of several notes may begin.
    fn playable(&self, cell: u32, above: u8) -> PitchSet {
        let rules = self.rules();
        if self.notes >= rules.notes_per_bar.max(1) {
            return PitchSet::EMPTY;
        }
        let mut pitches = rules.pitches(self.constraints.given.chord_at(cell));
        let rings = |pitch: u8| self.sounding[usize::from(pitch)].max(self.kept[usize::from(pitch)]) > cell;
        let ringing = (0..128).filter(|pitch| rings(*pitch)).fold(PitchSet::EMPTY, PitchSet::with);
        if ringing.len() >= usize::from(rules.polyphony.max(1)) {
            // What rings may be struck again.
            pitches = pitches & ringing;
        }
        // `above` is the lowest pitch that may follow.
        pitches & PitchSet::range(above..=127)
    }

    /// Pitches that an anchor at a cell asks for; none if it is no anchor.
    fn anchor(&self, cell: u32) -> PitchSet {
        let anchors = &self.constraints.anchors;
        let Ok(index) = anchors.binary_search_by_key(&cell, |(at, _)| *at) else { return PitchSet::EMPTY };
        let rules = &self.constraints.rules[Part::Bass.index()];
        rules.anchored(self.constraints.given.chord_at(cell), anchors[index].1)
    }

    /// Anchors to come in this bar.
    fn anchors(&self) -> impl Iterator<Item = u32> {
        self.cells().filter(|cell| !self.anchor(*cell).is_empty())
    }

    /// Pitches the bass may begin.
    fn bass(&self, cell: u32) -> PitchSet {
        let asked = self.anchor(cell);
        if !asked.is_empty() {
            return asked;
        }
        let rules = self.rules();
        // Anchors have their places even if the limit is low.
        if self.notes + self.anchors().count() as u32 >= rules.notes_per_bar {
            return PitchSet::EMPTY;
        }
        rules.pitches(self.constraints.given.chord_at(cell))
    }

    fn may_rest(&self, cell: u32) -> bool {
        self.rings && self.anchor(cell).is_empty()
    }

    /// Where more notes are wished for, places gain by how soon they are, and chords by their notes; else they lose.
    fn lean_density(&self, density: f64, logits: &mut [f32]) {
        let (start, from) = (self.start(), self.from.max(self.start()));
        let told = f64::from((self.opened - 1) * self.length() + from - start) / f64::from(CELLS);
        let rate = Wishes::notes(density);
        let missing = (rate * told - f64::from(self.written.0)) / (rate * MADE_UP);
        let wish = (2.0 * density - 1.0 + missing).clamp(-STRONGEST, STRONGEST) as f32;
        let mut later = |token: Token, cell: u32| {
            logits[token.id() as usize] -= wish * SOONER * (cell - from) as f32 / CELLS as f32;
        };
        self.cells().for_each(|cell| later(Token::Position(cell - start), cell));
        later(self.next_token(), start + self.length());
        if self.state == State::More {
            PITCHES.for_each(|pitch| logits[Token::Pitch(pitch).id() as usize] += wish * FULLER);
        }
    }

    /// Pitches lose by the square of their distance from where the next note brings the mean to the wished one; a wish
    /// never shortens a chord.
    fn lean_register(&self, register: f64, logits: &mut [f32]) {
        let (notes, sum) = self.written;
        let ahead = (register * f64::from(notes) - f64::from(sum)) / AHEAD;
        let center = register + ahead.clamp(-FARTHEST, FARTHEST);
        let loss = |pitch: u8| {
            let far = (f64::from(pitch) - center) / SPREAD;
            (far * far / 2.0) as f32
        };
        let playable = self.playable(self.cell, self.above);
        let least = playable.iter().map(loss).fold(f32::INFINITY, f32::min);
        playable.iter().for_each(|pitch| logits[Token::Pitch(pitch).id() as usize] -= loss(pitch) - least);
    }

    fn position_mask(&self, allow: &mut impl FnMut(Token)) {
        let (part, start) = (self.current().expect("a part is being written"), self.start());
        if part.is_single() {
            let next = self.anchors().next();
            for cell in self.cells().take_while(|cell| next.is_none_or(|next| *cell <= next)) {
                if !self.bass(cell).is_empty() || self.may_rest(cell) {
                    allow(Token::Position(cell - start));
                }
            }
            if next.is_none() {
                allow(self.next_token());
            }
            return;
        }
        let limit = self.limit(part);
        for cell in self.cells().filter(|cell| cell + DURATIONS[0] <= limit) {
            if !self.playable(cell, 0).is_empty() {
                allow(Token::Position(cell - start));
            }
        }
        allow(self.next_token());
    }
}

impl Grammar for BandGrammar {
    fn mask(&self, mask: &mut [bool]) {
        mask.fill(false);
        let mut allow = |token: Token| mask[token.id() as usize] = true;
        if let Some(&id) = self.given.front() {
            mask[id as usize] = true;
            return;
        }
        match self.state {
            State::Told => allow(self.next_token()),
            State::Position => self.position_mask(&mut allow),
            State::Event if self.current().is_some_and(Part::is_single) => {
                self.bass(self.cell).iter().for_each(|pitch| allow(Token::Pitch(pitch)));
                if self.may_rest(self.cell) {
                    allow(Token::Rest);
                }
            }
            State::Event => {
                self.playable(self.cell, self.above).iter().for_each(|pitch| allow(Token::Pitch(pitch)));
            }
            State::Duration => {
                let room = self.limit(Part::Piano) - self.cell;
                let fit = (0..).zip(DURATIONS).filter(|(_, cells)| *cells <= room);
                fit.for_each(|(index, _)| allow(Token::Duration(index)));
            }
            State::More => {
                self.playable(self.cell, self.above).iter().for_each(|pitch| allow(Token::Pitch(pitch)));
                self.position_mask(&mut allow);
            }
            State::Done => {}
        }
    }

    fn lean(&self, logits: &[f32]) -> Option<Vec<f32>> {
        let Wishes { density, register } = self.constraints.wishes;
        let places = matches!(self.state, State::Position | State::More);
        let pitches = matches!(self.state, State::Event | State::More);
        if !self.given.is_empty() || self.current() != Some(Part::Piano) || !(places || pitches) {
            return None;
        }
        let (density, register) = (density.filter(|_| places), register.filter(|_| pitches));
        density.or(register)?;
        let mut leaning = logits.to_vec();
        density.into_iter().for_each(|density| self.lean_density(density, &mut leaning));
        register.into_iter().for_each(|register| self.lean_register(register, &mut leaning));
        Some(leaning)
    }

    fn advance(&mut self, id: u32) -> Result<(), NotAllowed> {
        let mut mask = [false; VOCAB as usize];
        self.mask(&mut mask);
        if !mask.get(id as usize).copied().unwrap_or(false) {
            return Err(NotAllowed(id));
        }
        self.fresh = false;
        if self.given.pop_front().is_some() {
            return Ok(());
        }
        match Token::from_id(id).expect("inside the mask") {
            Token::Bar(_) => {
                self.begin_bar();
                self.fresh = true;
            }
            Token::Part(_) => self.begin_part(),
            Token::Position(cell) => {
                self.cell = self.start() + cell;
                (self.from, self.above, self.state) = (self.cell + 1, 0, State::Event);
            }
            Token::Pitch(pitch) => {
                self.notes += 1;
                if self.current().is_some_and(Part::is_single) {
                    (self.rings, self.state) = (true, State::Position);
                } else {
                    self.written = (self.written.0 + 1, self.written.1 + u32::from(pitch));
                    (self.pitch, self.above, self.state) = (pitch, pitch + 1, State::Duration);
                }
            }
            Token::Duration(index) => {
                self.sounding[usize::from(self.pitch)] = self.cell + DURATIONS[index as usize];
                self.state = State::More;
            }
            Token::Rest => (self.rings, self.state) = (false, State::Position),
            _ => self.state = State::Done,
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn is_given(&self) -> bool {
        !self.given.is_empty() || self.state == State::Told
    }

    fn is_bar(&self, id: u32) -> bool {
        matches!(Token::from_id(id), Some(Token::Bar(_)))
    }

    fn at_bar_line(&self) -> bool {
        self.fresh || self.begun == 0
    }

    fn bars(&self) -> u32 {
        self.begun
    }

    fn repeats(&self, id: u32) -> bool {
        matches!(Token::from_id(id), Some(Token::Pitch(_)))
    }
}

#[cfg(test)]
mod tests;
