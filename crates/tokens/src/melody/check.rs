//! Whether a sequence is one melody, and how to make it one.
//!
//! The converters take the highest of several notes without a word, as the models' original code does. Whoever wants
//! to hear about it asks here first.

use super::MelodyConverter;
use crate::excerpt::{ConvertError, Result, STEPS_PER_QUARTER};
use partita_score::{NoteSequence, sequence::TimedNote};

/// A note may sound this many steps into the next: players let notes overlap.
const LEGATO_STEPS: u32 = 1;

/// Refuses what the converter would have to choose from: several notes at once, or several players.
///
/// Only notes that the converter takes count. Notes start together if they do so on the grid; a note that sounds an
/// eighth or more into the next is held against it.
///
/// # Errors
/// [`ConvertError::Polyphonic`] with the first place.
pub fn check_monophonic(sequence: &NoteSequence, converter: &MelodyConverter) -> Result<()> {
    for piece in sequence.split_on_time_changes() {
        let mut part = piece.sequence;
        part.notes.retain(|note| converter.takes(note) && !note.is_drum && note.velocity > 0);
        // What cannot be put on a grid has errors of its own.
        let Ok(quantized) = part.quantize(STEPS_PER_QUARTER) else { continue };
        let mut notes: Vec<_> = quantized.notes.iter().collect();
        notes.sort_by_key(|it| (it.start, it.end));
        for pair in notes.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let what = if a.note.instrument != b.note.instrument {
                "got notes of two instruments"
            } else if a.start == b.start {
                "got two that start together"
            } else if a.end > b.start + LEGATO_STEPS {
                "got one held over another"
            } else {
                continue;
            };
            return Err(ConvertError::Polyphonic { what, at: piece.start.0 + b.note.start.0 });
        }
    }
    Ok(())
}

/// The top line of everything the converter takes, as one instrument of the first note's program.
///
/// A note below one that still sounds is left out; a higher one ends a lower one. Drums are left out.
pub fn top_line(sequence: &NoteSequence, converter: &MelodyConverter) -> NoteSequence {
    let mut notes: Vec<TimedNote> = sequence.notes.clone();
    notes.retain(|note| converter.takes(note) && !note.is_drum && note.velocity > 0);
    notes.sort_by(|a, b| a.start.0.total_cmp(&b.start.0).then(b.pitch.cmp(&a.pitch)));
    let program = notes.first().map_or(0, |note| note.program);
    let mut line: Vec<TimedNote> = Vec::new();
    for mut note in notes {
        (note.instrument, note.program) = (0, program);
        if let Some(last) = line.last_mut() {
            if note.start.0 < last.end.0 && note.pitch <= last.pitch {
                continue;
            }
            last.end.0 = last.end.0.min(note.start.0);
        }
        line.push(note);
    }
    NoteSequence { notes: line, ..sequence.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_score::Second;

    fn sequence(notes: &[(f64, f64, u8, u32)]) -> NoteSequence {
        let note = |&(start, end, pitch, instrument): &(f64, f64, u8, u32)| TimedNote {
            start: Second(start),
            end: Second(end),
            pitch,
            velocity: 90,
            instrument,
            ..TimedNote::default()
        };
        let mut sequence =
            NoteSequence { notes: notes.iter().map(note).collect(), ..NoteSequence::default() };
        sequence.total_time = sequence.end();
        sequence
    }

    fn polyphony(notes: &[(f64, f64, u8, u32)]) -> Option<&'static str> {
        match check_monophonic(&sequence(notes), &MelodyConverter::two_bars()) {
            Err(ConvertError::Polyphonic { what, .. }) => Some(what),
            _ => None,
        }
    }

    #[test]
    fn legato_is_a_melody_and_chords_are_not() {
        assert_eq!(polyphony(&[(0.0, 0.6, 60, 0), (0.5, 1.0, 62, 0)]), None);
        assert_eq!(polyphony(&[(0.0, 0.5, 60, 0), (0.02, 0.5, 64, 0)]), Some("got two that start together"));
        assert_eq!(polyphony(&[(0.0, 1.0, 60, 0), (0.5, 1.0, 62, 0)]), Some("got one held over another"));
        assert_eq!(polyphony(&[(0.0, 0.5, 60, 0), (0.5, 1.0, 62, 1)]), Some("got notes of two instruments"));
    }

    #[test]
    fn the_top_line_is_a_melody() {
        let chords = sequence(&[(0.0, 1.0, 48, 1), (0.0, 0.5, 60, 0), (0.25, 0.5, 55, 0), (0.5, 1.0, 64, 0)]);
        let line = top_line(&chords, &MelodyConverter::two_bars());
        assert_eq!(line.notes.iter().map(|note| note.pitch).collect::<Vec<_>>(), [60, 64]);
        assert_eq!(check_monophonic(&line, &MelodyConverter::two_bars()), Ok(()));
    }
}
