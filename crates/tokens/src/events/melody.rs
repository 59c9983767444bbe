//! Events of a melody, one a step, and the steps of a stretch of time.

use super::{DrumSet, OneHot};
use crate::melody::{Melody, MelodyEvent};

/// Melody events with pitches `low..high`: 0 no event, 1 note-off, then the pitches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MelodyRange {
    pub low: u8,
    pub high: u8,
}

impl MelodyRange {
    /// Number of pitches.
    pub fn pitches(self) -> usize {
        usize::from(self.high.saturating_sub(self.low))
    }
}

/// Classes before the pitches.
const SPECIAL: usize = 2;

impl OneHot for MelodyRange {
    type Event = MelodyEvent;

    fn classes(&self) -> usize {
        self.pitches() + SPECIAL
    }

    fn default_event(&self) -> MelodyEvent {
        MelodyEvent::NoEvent
    }

    fn class(&self, event: MelodyEvent) -> Result<usize, (&'static str, String, String)> {
        match event {
            MelodyEvent::NoEvent => Ok(0),
            MelodyEvent::NoteOff => Ok(1),
            MelodyEvent::NoteOn(pitch) if (self.low..self.high).contains(&pitch) => {
                Ok(SPECIAL + usize::from(pitch - self.low))
            }
            MelodyEvent::NoteOn(pitch) => {
                Err(("pitch", format!("{}..{}", self.low, self.high), pitch.to_string()))
            }
        }
    }

    fn event(&self, class: usize) -> MelodyEvent {
        match class {
            0 => MelodyEvent::NoEvent,
            1 => MelodyEvent::NoteOff,
            _ => {
                assert!(class < self.classes(), "class {class} of {}", self.classes());
                MelodyEvent::NoteOn(self.low + (class - SPECIAL) as u8)
            }
        }
    }
}

/// Cuts or lengthens a melody to `steps`. A note that still sounds at the old end is ended there when steps are added.
pub fn set_melody_length(events: &mut Vec<MelodyEvent>, steps: usize) {
    let mut melody = Melody { start_step: 0, events: std::mem::take(events) };
    melody.set_length(steps);
    *events = melody.events;
}

/// Cuts or lengthens drums to `steps`; what is added is silent.
pub fn set_drum_length(events: &mut Vec<DrumSet>, steps: usize) {
    events.resize(steps, DrumSet::default());
}

/// Where [`start_step`] and [`end_step`] stop: lengths made of them stay small, whatever the times.
const MOST_STEPS: f64 = 1e6;

/// First step to generate when a section begins `seconds` into the piece, a million at most. A step's own beginning
/// counts as passed: step `k` exactly gives `k + 1`, as in Magenta, where a primer of `k` steps is followed by one
/// that is left alone.
pub fn start_step(seconds: f64, steps_per_second: f64) -> usize {
    (seconds * steps_per_second + 1.0).clamp(0.0, MOST_STEPS) as usize
}

/// The step at which a section that ends at `seconds` ends, a million at most: steps that are cut by its end are left
/// out.
pub fn end_step(seconds: f64, steps_per_second: f64) -> usize {
    (seconds * steps_per_second).clamp(0.0, MOST_STEPS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn melody(codes: &[i64]) -> Vec<MelodyEvent> {
        codes.iter().map(|&code| MelodyEvent::from_code(code).unwrap()).collect()
    }

    #[test]
    fn codes_name_every_event_and_nothing_else() {
        for code in -2..=127 {
            assert_eq!(i64::from(MelodyEvent::from_code(code).unwrap().code()), code);
        }
        for code in [i64::MIN, -3, 128, 300, i64::MAX] {
            assert_eq!(MelodyEvent::from_code(code), None);
        }
    }

    #[test]
    fn classes_and_events_are_one_to_one() {
        for range in [MelodyRange { low: 48, high: 84 }, MelodyRange { low: 0, high: 128 }] {
            for class in 0..range.classes() {
                assert_eq!(range.class(range.event(class)), Ok(class));
            }
        }
        let outside = MelodyRange { low: 48, high: 84 }.class(MelodyEvent::NoteOn(84));
        assert_eq!(outside, Err(("pitch", "48..84".into(), "84".into())));
    }

    #[test]
    fn a_longer_melody_ends_the_note_that_sounds() {
        let check = |before: &[i64], steps, after: &[i64]| {
            let mut events = melody(before);
            set_melody_length(&mut events, steps);
            assert_eq!(events, melody(after));
        };
        check(&[60], 3, &[60, -1, -2]);
        check(&[60, -2, -2], 5, &[60, -2, -2, -1, -2]);
        check(&[60, -1, -2], 5, &[60, -1, -2, -2, -2]);
        check(&[-2, -2], 4, &[-2, -2, -2, -2]);
        check(&[], 2, &[-2, -2]);
        check(&[60, -2, 62], 2, &[60, -2]);
    }

    #[test]
    fn a_section_starts_a_step_late_and_ends_with_whole_steps() {
        assert_eq!(start_step(2.0, 8.0), 17);
        assert_eq!(start_step(1.9, 8.0), 16);
        assert_eq!(end_step(4.99, 100.0), 499);
        assert_eq!(start_step(-1.0, 8.0), 0);
        assert_eq!(end_step(f64::NAN, 8.0), 0);
        assert_eq!(start_step(f64::INFINITY, 8.0), 1_000_000);
    }
}
