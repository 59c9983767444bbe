//! Seconds to steps of a grid that follows the tempo.

use super::{NoteSequence, TimedNote};
use crate::{Error, Result};

/// Later steps are refused: 16384 bars of sixteenths, over nine hours at 120 bpm. Converters allocate by the step.
pub const MAX_STEPS: u32 = 1 << 18;

/// A sequence of one tempo and one time signature whose notes know their steps.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedSequence {
    pub steps_per_quarter: u32,
    /// Quarter notes per minute.
    pub qpm: f64,
    pub numerator: u32,
    /// A power of two.
    pub denominator: u32,
    /// In the order of the source.
    pub notes: Vec<QuantizedNote>,
    /// (step, symbol), in the order of the source.
    pub chords: Vec<(u32, String)>,
    /// At least the end of every note.
    pub total_steps: u32,
}

/// A note on the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedNote {
    pub note: TimedNote,
    pub start: u32,
    /// After `start` in all but notes that end before they start.
    pub end: u32,
}

impl QuantizedSequence {
    /// `None` where a bar has no whole number of steps.
    pub fn steps_per_bar(&self) -> Option<u32> {
        let whole_note = u64::from(self.steps_per_quarter) * 4;
        let (steps, denominator) =
            (whole_note.checked_mul(u64::from(self.numerator))?, u64::from(self.denominator));
        if steps.checked_rem(denominator)? > 0 {
            return None;
        }
        u32::try_from(steps / denominator).ok()
    }

    /// Length of a step in seconds.
    pub fn seconds_per_step(&self) -> f64 {
        60.0 / self.qpm / f64::from(self.steps_per_quarter)
    }
}

impl NoteSequence {
    /// Puts every note on the nearest step, halves up; a note shorter than half a step gets one.
    ///
    /// Without a tempo it is 120 bpm, without a time signature 4/4.
    ///
    /// # Errors
    /// [`Error::TempoChange`], [`Error::MeterChange`] (split first), [`Error::BadTimeSignature`],
    /// [`Error::NegativeTime`], [`Error::TooManySteps`], [`Error::OutOfRange`] for a tempo.
    ///
    /// Source: note-seq, `quantize_note_sequence`.
    pub fn quantize(&self, steps_per_quarter: u32) -> Result<QuantizedSequence> {
        let (numerator, denominator) = self.only_meter()?;
        let qpm = self.only_tempo()?;
        let per_second = f64::from(steps_per_quarter) * qpm / 60.0;
        let mut total_steps = step(self.total_time.0, per_second)?;
        let mut notes = Vec::with_capacity(self.notes.len());
        for &note in &self.notes {
            let start = step(note.start.0, per_second)?;
            let end = step(note.end.0, per_second)?;
            let end = if end == start { end + 1 } else { end };
            total_steps = total_steps.max(end);
            notes.push(QuantizedNote { note, start, end });
        }
        let chords =
            self.chords.iter().map(|chord| Ok((step(chord.time.0, per_second)?, chord.text.clone())));
        let chords = chords.collect::<Result<_>>()?;
        Ok(QuantizedSequence { steps_per_quarter, qpm, numerator, denominator, notes, chords, total_steps })
    }

    fn only_meter(&self) -> Result<(u32, u32)> {
        let mut sorted: Vec<_> = self.time_signatures.iter().collect();
        sorted.sort_by(|a, b| a.time.0.total_cmp(&b.time.0));
        let (Some(first), Some(earliest)) = (self.time_signatures.first(), sorted.first()) else {
            return Ok((4, 4));
        };
        let meter = (first.numerator, first.denominator);
        let change = |from, to, at| Err(Error::MeterChange { from, to, at });
        let given = (earliest.numerator, earliest.denominator);
        if earliest.time.0 != 0.0 && given != (4, 4) {
            return change((4, 4), given, earliest.time.0);
        }
        let other = sorted[1..].iter().find(|it| (it.numerator, it.denominator) != meter);
        if let Some(other) = other {
            return change(meter, (other.numerator, other.denominator), other.time.0);
        }
        if !meter.1.is_power_of_two() || meter.0 == 0 {
            return Err(Error::BadTimeSignature { numerator: meter.0, denominator: meter.1 });
        }
        Ok(meter)
    }

    fn only_tempo(&self) -> Result<f64> {
        let mut sorted: Vec<_> = self.tempos.iter().collect();
        sorted.sort_by(|a, b| a.time.0.total_cmp(&b.time.0));
        let (Some(first), Some(earliest)) = (self.tempos.first(), sorted.first()) else {
            return Ok(NoteSequence::DEFAULT_QPM);
        };
        let change = |from, to, at| Err(Error::TempoChange { from, to, at });
        if earliest.time.0 != 0.0 && earliest.qpm != NoteSequence::DEFAULT_QPM {
            return change(NoteSequence::DEFAULT_QPM, earliest.qpm, earliest.time.0);
        }
        if let Some(other) = sorted[1..].iter().find(|it| it.qpm != first.qpm) {
            return change(first.qpm, other.qpm, other.time.0);
        }
        // NaN is in no range. The ends are what a MIDI file can say.
        let (min, max) = (3.5, 6e7);
        if !(min..=max).contains(&first.qpm) {
            return Err(Error::OutOfRange { name: "tempo", min, max, got: first.qpm });
        }
        Ok(first.qpm)
    }
}

/// The nearest step; what lies less than a step and a half before the start is step 0, as for note-seq.
fn step(seconds: f64, per_second: f64) -> Result<u32> {
    let step = (seconds * per_second + 0.5).trunc();
    if step < 0.0 {
        return Err(Error::NegativeTime { got: seconds });
    }
    if step > f64::from(MAX_STEPS) || step.is_nan() {
        return Err(Error::TooManySteps { max: MAX_STEPS, at: seconds });
    }
    Ok(step as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Second,
        sequence::{Tempo, TimeSignature},
    };

    fn with(start: f64, end: f64) -> NoteSequence {
        let note = TimedNote { start: Second(start), end: Second(end), ..TimedNote::default() };
        NoteSequence { notes: vec![note], total_time: Second(end), ..NoteSequence::default() }
    }

    fn steps(start: f64, end: f64) -> (u32, u32) {
        let sequence = with(start, end).quantize(4).expect("in range");
        (sequence.notes[0].start, sequence.notes[0].end)
    }

    #[test]
    fn halves_go_up_and_no_note_is_empty() {
        assert_eq!(steps(0.0625, 0.125), (1, 2));
        assert_eq!(steps(0.0624, 0.0625), (0, 1));
        assert_eq!(steps(0.25, 0.25), (2, 3));
    }

    #[test]
    fn times_before_the_start_are_refused_from_a_step_and_a_half_on() {
        assert_eq!(steps(-0.18, 0.1).0, 0);
        assert_eq!(with(-0.19, 0.1).quantize(4), Err(Error::NegativeTime { got: -0.19 }));
    }

    #[test]
    fn hostile_times_are_refused() {
        for at in [1e300, f64::INFINITY, f64::NAN] {
            assert!(matches!(with(0.0, at).quantize(4), Err(Error::TooManySteps { .. })), "{at}");
        }
        for qpm in [0.0, -1.0, f64::NAN, 1e300] {
            let mut sequence = with(0.0, 1.0);
            sequence.tempos.push(Tempo { time: Second(0.0), qpm });
            assert!(matches!(sequence.quantize(4), Err(Error::OutOfRange { .. })), "{qpm}");
        }
    }

    #[test]
    fn a_first_tempo_or_meter_that_comes_late_is_a_change() {
        let mut sequence = with(0.0, 4.0);
        sequence.tempos.push(Tempo { time: Second(1.0), qpm: 90.0 });
        assert_eq!(sequence.quantize(4), Err(Error::TempoChange { from: 120.0, to: 90.0, at: 1.0 }));
        sequence.tempos.clear();
        sequence.time_signatures.push(TimeSignature { time: Second(1.0), numerator: 3, denominator: 4 });
        assert_eq!(sequence.quantize(4), Err(Error::MeterChange { from: (4, 4), to: (3, 4), at: 1.0 }));
        sequence.time_signatures[0] = TimeSignature { time: Second(0.0), numerator: 4, denominator: 6 };
        assert_eq!(sequence.quantize(4), Err(Error::BadTimeSignature { numerator: 4, denominator: 6 }));
    }

    #[test]
    fn a_bar_of_fractional_steps_has_no_length_in_steps() {
        let mut sequence = with(0.0, 4.0);
        let mut bar = |numerator, denominator| {
            sequence.time_signatures = vec![TimeSignature { time: Second(0.0), numerator, denominator }];
            sequence.quantize(4).expect("a good meter").steps_per_bar()
        };
        assert_eq!([bar(4, 4), bar(6, 8), bar(2, 2), bar(5, 32)], [Some(16), Some(12), Some(16), None]);
    }
}
