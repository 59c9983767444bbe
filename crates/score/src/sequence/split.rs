//! Cuts a sequence wherever its tempo or time signature changes.

use super::{KeySignature, NoteSequence, Tempo, TimeSignature};
use crate::Second;

/// A part of a sequence with one tempo and one time signature, moved to time 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Where it was in the whole.
    pub start: Second,
    pub sequence: NoteSequence,
}

/// What may change, borrowed.
enum Change {
    Meter(u32, u32),
    Tempo(f64),
}

impl NoteSequence {
    /// The parts between changes of tempo and time signature, in order; a sequence without changes is one part.
    ///
    /// Notes belong to the part they start in and are cut at its end. Each part begins with the tempo, signatures and
    /// chord in force. Nothing after `total_time` is in any part, and a sequence of no length has none.
    ///
    /// Source: note-seq, `split_note_sequence_on_time_changes`.
    pub fn split_on_time_changes(&self) -> Vec<Piece> {
        let times = self.split_times();
        let mut pieces: Vec<Piece> = times
            .windows(2)
            .map(|pair| Piece {
                start: Second(pair[0]),
                sequence: NoteSequence {
                    ticks_per_quarter: self.ticks_per_quarter,
                    ..NoteSequence::default()
                },
            })
            .collect();
        let ends = &times[1..];
        let mut notes = self.notes.clone();
        notes.sort_by(|a, b| a.start.0.total_cmp(&b.start.0));
        for mut note in notes.into_iter().filter(|note| note.start.0 >= 0.0) {
            let index = ends.partition_point(|&end| end <= note.start.0);
            let Some(piece) = pieces.get_mut(index) else { break };
            let offset = times[index];
            note.start = Second(note.start.0 - offset);
            note.end = Second(note.end.0.min(ends[index]) - offset);
            piece.sequence.total_time = Second(piece.sequence.total_time.0.max(note.end.0));
            piece.sequence.notes.push(note);
        }
        let meters =
            in_force(&self.time_signatures, &times, |it| it.time.0, |it, time| TimeSignature { time, ..*it });
        let tempos = in_force(&self.tempos, &times, |it| it.time.0, |it, time| Tempo { time, ..*it });
        let keys =
            in_force(&self.key_signatures, &times, |it| it.time.0, |it, time| KeySignature { time, ..*it });
        let chords = in_force(
            &self.chords,
            &times,
            |it| it.time.0,
            |it, time| super::ChordSymbol { time, text: it.text.clone() },
        );
        let states = meters.into_iter().zip(tempos).zip(keys.into_iter().zip(chords));
        for (piece, ((meters, tempos), (keys, chords))) in pieces.iter_mut().zip(states) {
            piece.sequence.time_signatures = meters;
            piece.sequence.tempos = tempos;
            piece.sequence.key_signatures = keys;
            piece.sequence.chords = chords;
        }
        pieces
    }

    /// Ascending, from 0; the last is the end, unless nothing is there.
    fn split_times(&self) -> Vec<f64> {
        let meters = self.time_signatures.iter();
        let meters = meters.map(|it| (it.time.0, Change::Meter(it.numerator, it.denominator)));
        let tempos = self.tempos.iter().map(|it| (it.time.0, Change::Tempo(it.qpm)));
        let mut changes: Vec<_> =
            meters.chain(tempos).filter(|&(time, _)| time < self.total_time.0).collect();
        // Stable: at one time the signature comes before the tempo.
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut meter, mut qpm) = ((4, 4), NoteSequence::DEFAULT_QPM);
        let mut times = vec![0.0];
        let mut last = 0.0;
        for (time, change) in changes {
            let changed = match change {
                Change::Meter(above, below) => {
                    std::mem::replace(&mut meter, (above, below)) != (above, below)
                }
                Change::Tempo(next) => std::mem::replace(&mut qpm, next) != next,
            };
            if changed && time > last {
                times.push(time);
                last = time;
            }
        }
        if self.total_time.0 > last {
            times.push(self.total_time.0);
        }
        times
    }
}

/// Per part: the state at its start, at time 0, then the changes strictly inside it.
fn in_force<T>(
    all: &[T],
    times: &[f64],
    time_of: impl Fn(&T) -> f64,
    moved: impl Fn(&T, Second) -> T,
) -> Vec<Vec<T>> {
    let mut sorted: Vec<&T> = all.iter().collect();
    sorted.sort_by(|a, b| time_of(a).total_cmp(&time_of(b)));
    let (mut next, mut state) = (0, None);
    let mut parts = Vec::with_capacity(times.len());
    for pair in times.windows(2) {
        while let Some(&it) = sorted.get(next).filter(|it| time_of(it) <= pair[0]) {
            (state, next) = (Some(it), next + 1);
        }
        let mut part: Vec<T> = state.iter().map(|it| moved(it, Second(0.0))).collect();
        while let Some(&it) = sorted.get(next).filter(|it| time_of(it) < pair[1]) {
            part.push(moved(it, Second(time_of(it) - pair[0])));
            (state, next) = (Some(it), next + 1);
        }
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::TimedNote;

    fn note(start: f64, end: f64) -> TimedNote {
        TimedNote { start: Second(start), end: Second(end), pitch: 60, velocity: 90, ..TimedNote::default() }
    }

    fn tempo(time: f64, qpm: f64) -> Tempo {
        Tempo { time: Second(time), qpm }
    }

    fn sequence(notes: Vec<TimedNote>, tempos: Vec<Tempo>) -> NoteSequence {
        let mut sequence = NoteSequence { notes, tempos, ..NoteSequence::default() };
        sequence.total_time = sequence.end();
        sequence
    }

    #[test]
    fn a_tempo_at_the_start_cuts_nothing() {
        let whole = sequence(vec![note(0.0, 2.0)], vec![tempo(0.0, 90.0)]);
        let pieces = whole.split_on_time_changes();
        assert_eq!(pieces, [Piece { start: Second(0.0), sequence: whole }]);
    }

    #[test]
    fn a_note_over_a_cut_is_cut_there() {
        let whole = sequence(vec![note(0.0, 3.0), note(2.5, 4.0)], vec![tempo(0.0, 90.0), tempo(2.0, 100.0)]);
        let pieces = whole.split_on_time_changes();
        let spans = |piece: &Piece| -> Vec<_> {
            piece.sequence.notes.iter().map(|note| (note.start.0, note.end.0)).collect()
        };
        assert_eq!(pieces.iter().map(spans).collect::<Vec<_>>(), [vec![(0.0, 2.0)], vec![(0.5, 2.0)]]);
        assert_eq!(pieces[1].sequence.tempos, [tempo(0.0, 100.0)]);
        assert_eq!(pieces[0].sequence.tempos, [tempo(0.0, 90.0)]);
    }

    #[test]
    fn silence_has_no_part() {
        assert_eq!(NoteSequence::default().split_on_time_changes(), []);
    }
}
