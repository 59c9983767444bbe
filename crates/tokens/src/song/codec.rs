//! Pieces <-> tokens.

use std::ops::Range;

use partita_score::Meter;

use super::vocab::{
    CHORD_GRID, DURATIONS, MAX_CELLS_PER_BAR, MOST_REMAINING, Part, Token, density_bin, duration_index,
    meter_index, register_bin, tempo_bin,
};
use super::{ChordClass, Piece, PieceNote};

/// The tokens every sequence starts with; what is `None` is left to the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// Whether something is given whose holes are to be filled.
    pub fill: bool,
    /// Tonic pitch class and whether it is minor.
    pub key: Option<(u8, bool)>,
    pub meter: Option<Meter>,
    /// Beats per minute.
    pub tempo: Option<f64>,
    /// Index of a style, as the model's configuration lists them.
    pub style: Option<u32>,
    /// Onsets of the melody a quarter note.
    pub density: Option<f64>,
    /// Mean pitch of the melody.
    pub register: Option<f64>,
    /// The first bar is the first of the piece.
    pub opening: bool,
    /// There are no chords.
    pub no_chords: bool,
}

/// The tokens of a prompt.
pub fn encode_prompt(prompt: &Prompt) -> Vec<u32> {
    let mut tokens = vec![if prompt.fill { Token::Fill } else { Token::Write }];
    tokens.extend(prompt.key.map(|(tonic, minor)| Token::Key(u32::from(tonic % 12) + 12 * u32::from(minor))));
    tokens.extend(prompt.meter.map(|meter| Token::Meter(meter_index(meter.numerator, meter.denominator))));
    tokens.extend(prompt.tempo.map(|bpm| Token::Tempo(tempo_bin(bpm))));
    tokens.extend(prompt.style.map(Token::Style));
    tokens.extend(prompt.density.map(|onsets| Token::Density(density_bin(onsets))));
    tokens.extend(prompt.register.map(|pitch| Token::Register(register_bin(pitch))));
    tokens.extend(prompt.opening.then_some(Token::Opening));
    tokens.extend(prompt.no_chords.then_some(Token::NoChords));
    tokens.into_iter().map(Token::id).collect()
}

/// Which part of a piece is told, and how far its end is.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpt {
    /// Bars of the piece.
    pub bars: Range<u32>,
    /// Bars of the whole piece, for telling how many are to come.
    pub total: u32,
    /// Whether chords are told, and which parts, in their order.
    pub chords: bool,
    pub parts: Vec<Part>,
}

impl Excerpt {
    /// The token of a bar.
    pub fn bar_token(&self, bar: u32) -> Token {
        Token::Bar(self.total.saturating_sub(bar + 1).min(MOST_REMAINING))
    }
}

/// What is missing in each bar of an excerpt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    pub chords: bool,
    /// By [`Part::index`].
    pub parts: [bool; 3],
}

impl Hidden {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.chords || self.parts.contains(&true)
    }
}

/// The tokens of an excerpt, without an end. `hidden`: one a bar, or empty for nothing hidden.
pub fn encode_bars(piece: &Piece, excerpt: &Excerpt, hidden: &[Hidden]) -> Vec<u32> {
    let mut out = Vec::new();
    for (index, bar) in excerpt.bars.clone().enumerate() {
        let hidden = hidden.get(index).copied().unwrap_or_default();
        out.push(excerpt.bar_token(bar).id());
        if excerpt.chords {
            if hidden.chords {
                out.push(Token::Hole.id());
            } else {
                encode_bar_chords(piece, bar, &mut out);
            }
        }
        for &part in &excerpt.parts {
            out.push(Token::Part(part).id());
            if hidden.parts[part.index()] {
                out.push(Token::Hole.id());
            } else {
                encode_part(piece, part, bar, bar == excerpt.bars.start, &mut out);
            }
        }
    }
    out
}

/// What belongs into the holes: the bars that have some, with only what was hidden.
pub fn encode_filling(piece: &Piece, excerpt: &Excerpt, hidden: &[Hidden]) -> Vec<u32> {
    let mut out = Vec::new();
    for (index, bar) in excerpt.bars.clone().enumerate() {
        let holes = hidden[index];
        if !holes.any() {
            continue;
        }
        out.push(excerpt.bar_token(bar).id());
        if excerpt.chords && holes.chords {
            encode_bar_chords(piece, bar, &mut out);
        }
        for &part in excerpt.parts.iter().filter(|part| holes.parts[part.index()]) {
            out.push(Token::Part(part).id());
            let fresh = index.checked_sub(1).is_none_or(|before| !hidden[before].parts[part.index()]);
            encode_part(piece, part, bar, fresh, &mut out);
        }
    }
    out
}

/// The chord in force at the start of a bar, and the changes in it.
pub(super) fn encode_bar_chords(piece: &Piece, bar: u32, out: &mut impl Extend<u32>) {
    let length = piece.cells_per_bar();
    let start = bar * length;
    let first = piece.chord_at(start).unwrap_or(ChordClass::NONE);
    let mut told = first;
    out.extend([Token::At(0).id(), Token::Chord(first.index()).id()]);
    for &(at, chord) in piece.chords.iter().filter(|(at, _)| *at > start && *at < start + length) {
        if chord != told {
            out.extend([Token::At((at - start) / CHORD_GRID).id(), Token::Chord(chord.index()).id()]);
            told = chord;
        }
    }
}

/// `fresh`: nothing rings at the start of the bar, as far as a reader knows.
pub(super) fn encode_part(piece: &Piece, part: Part, bar: u32, fresh: bool, out: &mut Vec<u32>) {
    let length = piece.cells_per_bar();
    let (start, end) = (bar * length, (bar + 1) * length);
    let notes = piece.part(part);
    let inside = |cell: u32| (start..end).contains(&cell);
    if part.is_single() {
        let mut events: Vec<(u32, Token)> = Vec::new();
        for (index, note) in notes.iter().enumerate() {
            if inside(note.onset) {
                events.push((note.onset, Token::Pitch(note.pitch)));
            }
            let next = notes.get(index + 1).map(|next| next.onset);
            let heard = !(fresh && note.onset < start);
            if inside(note.end) && heard && next.is_none_or(|next| next > note.end) {
                events.push((note.end, Token::Rest));
            }
        }
        out.extend(events.into_iter().flat_map(|(at, token)| [Token::Position(at - start).id(), token.id()]));
    } else {
        let mut at = None;
        for note in notes.iter().filter(|note| inside(note.onset)) {
            if at != Some(note.onset) {
                out.push(Token::Position(note.onset - start).id());
                at = Some(note.onset);
            }
            let duration = Token::Duration(duration_index(note.end - note.onset));
            out.extend([Token::Pitch(note.pitch).id(), duration.id()]);
        }
    }
}

/// Reads tokens back: bars of `Bar …` one after another, each where the caller says it lies.
#[derive(Clone, Debug)]
pub struct Reader {
    cells_per_bar: u32,
    /// Bars to come in their order.
    bars: std::collections::VecDeque<u32>,
    bar: Option<u32>,
    part: Option<Part>,
    /// Place of the next chord or note.
    at: u32,
    /// What rings in each part of one note at a time: onset and pitch.
    ringing: [Option<(u32, u8)>; 3],
    pitch: Option<u8>,
    pub chords: Vec<(u32, ChordClass)>,
    pub parts: [Vec<PieceNote>; 3],
}

impl Reader {
    /// For bars with these indices in the piece.
    pub fn new(cells_per_bar: u32, bars: impl IntoIterator<Item = u32>) -> Reader {
        Reader {
            cells_per_bar: cells_per_bar.clamp(1, MAX_CELLS_PER_BAR),
            bars: bars.into_iter().collect(),
            bar: None,
            part: None,
            at: 0,
            ringing: [None; 3],
            pitch: None,
            chords: Vec::new(),
            parts: Default::default(),
        }
    }

    /// Takes the next token; what makes no sense here is passed over.
    pub fn read(&mut self, id: u32) {
        let Some(token) = Token::from_id(id) else { return };
        let start = self.bar.unwrap_or(0) * self.cells_per_bar;
        match token {
            Token::Bar(_) => {
                let next = self.bars.pop_front();
                if let Some(last) = self.bar.filter(|last| next != Some(last + 1)) {
                    self.silence((last + 1) * self.cells_per_bar);
                }
                (self.bar, self.part) = (next, None);
            }
            Token::Part(part) => self.part = Some(part),
            Token::At(eighth) => self.at = start + eighth * CHORD_GRID,
            Token::Chord(class) => {
                self.chords.extend(ChordClass::from_index(class).map(|class| (self.at, class)));
            }
            Token::Position(cell) => self.at = start + cell,
            Token::Rest => self.part.into_iter().for_each(|part| self.end(part, self.at)),
            Token::Pitch(pitch) => match self.part {
                Some(part) if part.is_single() => {
                    self.end(part, self.at);
                    self.ringing[part.index()] = Some((self.at, pitch));
                }
                _ => self.pitch = Some(pitch),
            },
            Token::Duration(index) => {
                if let (Some(pitch), Some(part)) = (self.pitch.take(), self.part) {
                    let end = self.at + DURATIONS[index as usize];
                    self.parts[part.index()].push(PieceNote { onset: self.at, end, pitch });
                }
            }
            _ => {}
        }
    }

    /// Ends what still rings at the end of the last bar.
    #[must_use]
    pub fn finish(mut self) -> Reader {
        if let Some(bar) = self.bar {
            self.silence((bar + 1) * self.cells_per_bar);
        }
        self
    }

    /// What has been written so far of a part of one note at a time: onset and pitch of the note that rings.
    pub fn ringing(&self, part: Part) -> Option<(u32, u8)> {
        self.ringing[part.index()]
    }

    fn silence(&mut self, at: u32) {
        Part::ALL.into_iter().for_each(|part| self.end(part, at));
    }

    fn end(&mut self, part: Part, at: u32) {
        if let Some((onset, pitch)) = self.ringing[part.index()].take()
            && at > onset
        {
            self.parts[part.index()].push(PieceNote { onset, end: at, pitch });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece() -> Piece {
        let note = |onset, end, pitch| PieceNote { onset, end, pitch };
        let class = |index| ChordClass::from_index(index).unwrap();
        Piece {
            meter: Meter::COMMON,
            bars: 4,
            chords: vec![(0, class(1)), (24, class(30)), (96, class(8))],
            parts: [
                // A rest at a bar line, a note over one, a triplet, repeated notes.
                vec![
                    note(0, 12, 60),
                    note(12, 16, 62),
                    note(16, 20, 64),
                    note(20, 48, 65),
                    note(84, 108, 67),
                    note(108, 120, 67),
                    note(130, 150, 69),
                ],
                vec![],
                vec![note(0, 24, 48), note(0, 24, 52), note(48, 60, 55)],
            ],
        }
    }

    fn read(piece: &Piece, bars: impl IntoIterator<Item = u32>, ids: &[u32]) -> Reader {
        let mut reader = Reader::new(piece.cells_per_bar(), bars);
        ids.iter().for_each(|id| reader.read(*id));
        reader.finish()
    }

    #[test]
    fn a_piece_comes_back_from_its_tokens() {
        let piece = piece();
        let excerpt = Excerpt { bars: 0..4, total: 4, chords: true, parts: vec![Part::Melody, Part::Piano] };
        let read = read(&piece, 0..4, &encode_bars(&piece, &excerpt, &[]));
        assert_eq!(read.parts, piece.parts);
        let told: Vec<_> = (0..4).map(|bar| (bar * 48, piece.chord_at(bar * 48).unwrap())).collect();
        assert!(
            told.iter().all(|chord| read.chords.contains(chord)) && read.chords.contains(&piece.chords[1])
        );
    }

    #[test]
    fn what_is_hidden_is_in_the_filling_and_nothing_else() {
        let piece = piece();
        let excerpt = Excerpt { bars: 0..4, total: 4, chords: true, parts: vec![Part::Melody] };
        let melody = Hidden { parts: [true, false, false], ..Hidden::default() };
        let hidden = [Hidden::default(), melody, Hidden::default(), Hidden { chords: true, ..melody }];
        let given = encode_bars(&piece, &excerpt, &hidden);
        assert_eq!(given.iter().filter(|id| **id == Token::Hole.id()).count(), 3);
        let filling = encode_filling(&piece, &excerpt, &hidden);
        let read = read(&piece, [1, 3], &filling);
        // A note that rings out of its bar is cut where the reader's bars end.
        assert_eq!(read.parts[0], [PieceNote { onset: 84, end: 96, pitch: 67 }]);
        assert_eq!(read.chords, [(144, piece.chord_at(144).unwrap())]);
    }

    #[test]
    fn an_excerpt_tells_how_many_bars_are_to_come() {
        let excerpt = Excerpt { bars: 2..4, total: 40, chords: false, parts: vec![Part::Melody] };
        assert_eq!(excerpt.bar_token(2), Token::Bar(MOST_REMAINING));
        assert_eq!(excerpt.bar_token(39), Token::Bar(0));
    }

    #[test]
    fn any_tokens_read_without_harm() {
        let mut state = 1u32;
        let ids: Vec<u32> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) % (super::super::VOCAB + 3)
            })
            .collect();
        let reader = read(&piece(), 0..50, &ids);
        assert!(reader.parts.iter().flatten().all(|note| note.end > note.onset));
    }
}
