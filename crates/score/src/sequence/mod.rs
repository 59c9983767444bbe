//! Music in seconds: the note list that Magenta's models are fed with and answer in.
//!
//! [`NoteSequence`] is note-seq's message of that name, less what no model here reads. Times are `f64` seconds and
//! come out of a MIDI file with exactly the bits of pretty_midi and note-seq: quantising compares and rounds them, so
//! one bit can move a note by a step. [`crate::Score`] stays the type for everything else; the two convert both ways.
//!
//! Rule to keep: lists stay in the order of their source. Which of two notes on one step counts can depend on it.

mod clock;
mod json;
mod midi;
mod quantize;
mod score;
mod split;

pub use quantize::{MAX_STEPS, QuantizedNote, QuantizedSequence};
pub use split::Piece;

use crate::Second;

/// Notes and what they are counted by, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NoteSequence {
    /// 0 where nobody said.
    pub ticks_per_quarter: u32,
    pub tempos: Vec<Tempo>,
    pub time_signatures: Vec<TimeSignature>,
    pub key_signatures: Vec<KeySignature>,
    pub notes: Vec<TimedNote>,
    pub chords: Vec<ChordSymbol>,
    /// The end of the last note unless the source says otherwise.
    pub total_time: Second,
}

/// One sounding note.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimedNote {
    /// May be negative in what a model with microtiming answers.
    pub start: Second,
    /// Not before `start`.
    pub end: Second,
    /// `0..128`, 60 = middle C = C4.
    pub pitch: u8,
    /// `0..128`; models ignore notes of velocity 0.
    pub velocity: u8,
    /// Which player; for MIDI the number of (program, channel, track) in order of their first finished note.
    pub instrument: u32,
    /// General MIDI program, `0..128`.
    pub program: u8,
    pub is_drum: bool,
}

/// A tempo from a time on; 120 before the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tempo {
    pub time: Second,
    /// Quarter notes per minute.
    pub qpm: f64,
}

/// A time signature from a time on; 4/4 before the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeSignature {
    pub time: Second,
    pub numerator: u32,
    pub denominator: u32,
}

/// A key signature from a time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeySignature {
    pub time: Second,
    /// Pitch class of the tonic, `0..12`, 0 = C.
    pub key: u8,
    pub minor: bool,
}

/// A chord from a time on, as lead sheets write it: `Am7`, `C/G`, `N.C.` for none.
#[derive(Clone, Debug, PartialEq)]
pub struct ChordSymbol {
    pub time: Second,
    pub text: String,
}

impl NoteSequence {
    /// Quarter notes per minute where no tempo is given.
    pub const DEFAULT_QPM: f64 = 120.0;
    /// What note-seq writes for a sequence that came from no file.
    pub const DEFAULT_TICKS_PER_QUARTER: u32 = 220;

    /// The latest note end, 0 without notes.
    pub fn end(&self) -> Second {
        Second(self.notes.iter().map(|note| note.end.0).fold(0.0, f64::max))
    }

    /// The first tempo, 120 without one.
    pub fn qpm(&self) -> f64 {
        self.tempos.first().map_or(NoteSequence::DEFAULT_QPM, |tempo| tempo.qpm)
    }

    /// Adds the notes and chords of another sequence from a time on; tempos and signatures stay those of this one.
    ///
    /// Parts that were cut out with [`NoteSequence::split_on_time_changes`] or by a converter go back so.
    pub fn add(&mut self, other: &NoteSequence, at: Second) {
        let moved = |time: Second| Second(time.0 + at.0);
        let notes =
            other.notes.iter().map(|it| TimedNote { start: moved(it.start), end: moved(it.end), ..*it });
        self.notes.extend(notes);
        let chords = other.chords.iter();
        self.chords.extend(chords.map(|it| ChordSymbol { time: moved(it.time), text: it.text.clone() }));
        self.total_time.0 = self.total_time.0.max(moved(other.total_time).0).max(self.end().0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_go_back_to_their_places() {
        let note =
            |start: f64| TimedNote { start: Second(start), end: Second(start + 0.5), ..TimedNote::default() };
        let tempos =
            [(0.0, 100.0), (1.0, 80.0)].map(|(time, qpm)| Tempo { time: Second(time), qpm }).to_vec();
        let mut whole =
            NoteSequence { notes: vec![note(0.25), note(1.25)], tempos, ..NoteSequence::default() };
        whole.total_time = whole.end();
        let mut again = NoteSequence { tempos: whole.tempos.clone(), ..NoteSequence::default() };
        for piece in whole.split_on_time_changes() {
            again.add(&piece.sequence, piece.start);
        }
        assert_eq!(again, whole);
    }
}
