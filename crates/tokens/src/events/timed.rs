//! Performances as notes with times, and back.

use super::{Error, MAX_SHIFT, PerformanceEvent, PerformanceEvents, STEPS_PER_SECOND};

/// A note of a performance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedNote {
    /// `0..=127`
    pub pitch: u8,
    /// `1..=127`
    pub velocity: u8,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
}

/// The latest end of a note: a day. What lies between two notes becomes events, so there must be a bound.
const LATEST: f64 = 86_400.0;
/// Velocity of notes before the first velocity event.
const VELOCITY: u8 = 100;

/// The nearest step, the later of two.
fn step(seconds: f64) -> usize {
    (seconds * f64::from(STEPS_PER_SECOND) + 0.5) as usize
}

/// The events that play `notes`, in any order, from step 0. A note ends a step after its beginning at least.
///
/// # Errors
/// [`Error::Note`] for a pitch, velocity or time out of range, or an end before its start.
pub fn performance_of(
    encoding: PerformanceEvents,
    notes: &[TimedNote],
) -> Result<Vec<PerformanceEvent>, Error> {
    let mut sorted = Vec::with_capacity(notes.len());
    for (index, note) in notes.iter().enumerate() {
        check(index, note)?;
        sorted.push(note);
    }
    sorted.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.pitch.cmp(&b.pitch)));
    let mut changes = Vec::with_capacity(2 * sorted.len());
    for (index, note) in sorted.iter().enumerate() {
        let start = step(note.start);
        changes.push((start, index, false));
        changes.push((step(note.end).max(start + 1), index, true));
    }
    changes.sort_unstable();
    let (mut now, mut bin, mut events) = (0, 0, Vec::new());
    for (at, index, ends) in changes {
        while now < at {
            let shift = (at - now).min(MAX_SHIFT as usize);
            events.push(PerformanceEvent::TimeShift(shift as u8));
            now += shift;
        }
        let TimedNote { pitch, velocity, .. } = *sorted[index];
        if ends {
            events.push(PerformanceEvent::NoteOff(pitch));
            continue;
        }
        if encoding.bins > 0 && encoding.bin(velocity) != bin {
            bin = encoding.bin(velocity);
            events.push(PerformanceEvent::Velocity(bin));
        }
        events.push(PerformanceEvent::NoteOn(pitch));
    }
    Ok(events)
}

fn check(index: usize, note: &TimedNote) -> Result<(), Error> {
    let refuse = |field, allowed: String, got: String| Err(Error::Note { index, field, allowed, got });
    if note.pitch > 127 {
        return refuse("pitch", "0..=127".to_owned(), note.pitch.to_string());
    }
    if !(1..=127).contains(&note.velocity) {
        return refuse("velocity", "1..=127".to_owned(), note.velocity.to_string());
    }
    if !(0.0..=LATEST).contains(&note.start) {
        return refuse("start", format!("[0, {LATEST}] seconds"), note.start.to_string());
    }
    if !(note.start..=LATEST).contains(&note.end) {
        return refuse("end", format!("[{}, {LATEST}] seconds", note.start), note.end.to_string());
    }
    Ok(())
}

/// The notes that `events` play, beginning at `start_step`; none is longer than `longest` seconds. Notes that are
/// begun twice end in the order they began, notes of no length are left out, and what still sounds ends with the
/// last step.
pub fn timed_notes(
    encoding: PerformanceEvents,
    events: &[PerformanceEvent],
    start_step: usize,
    longest: f64,
) -> Vec<TimedNote> {
    let per_step = 1.0 / f64::from(STEPS_PER_SECOND);
    let seconds = |step: usize| step as f64 * per_step + start_step as f64 * per_step;
    let (mut now, mut velocity, mut notes) = (0, VELOCITY, Vec::new());
    // Pitches in the order they were first heard, with the steps and velocities of their notes that still sound.
    let mut sounding: Vec<(u8, Vec<(usize, u8)>)> = Vec::new();
    let mut end = |pitch: u8, (from, velocity): (usize, u8), now: usize| {
        if from < now {
            let start = seconds(from);
            notes.push(TimedNote { pitch, velocity, start, end: seconds(now).min(start + longest) });
        }
    };
    for event in events {
        match *event {
            PerformanceEvent::NoteOn(pitch) => match sounding.iter_mut().find(|(other, _)| *other == pitch) {
                Some((_, begun)) => begun.push((now, velocity)),
                None => sounding.push((pitch, vec![(now, velocity)])),
            },
            PerformanceEvent::NoteOff(pitch) => {
                let begun = sounding.iter_mut().find(|(other, begun)| *other == pitch && !begun.is_empty());
                if let Some((_, begun)) = begun {
                    end(pitch, begun.remove(0), now);
                }
            }
            PerformanceEvent::TimeShift(steps) => now += usize::from(steps),
            PerformanceEvent::Velocity(bin) => velocity = encoding.velocity(bin),
        }
    }
    for (pitch, begun) in sounding {
        for begun in begun {
            end(pitch, begun, now);
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::PerformanceEvent::{NoteOff, NoteOn, TimeShift, Velocity};
    use super::*;

    const EVENTS: PerformanceEvents = PerformanceEvents { bins: 32 };

    fn note(pitch: u8, velocity: u8, start: f64, end: f64) -> TimedNote {
        TimedNote { pitch, velocity, start, end }
    }

    #[test]
    fn notes_become_events_and_the_same_notes_again() {
        let notes = [note(60, 77, 0.0, 0.25), note(64, 77, 0.25, 3.5), note(67, 1, 1.0, 1.5)];
        let events = performance_of(EVENTS, &notes).unwrap();
        let expected = [
            Velocity(20),
            NoteOn(60),
            TimeShift(25),
            NoteOff(60),
            NoteOn(64),
            TimeShift(75),
            Velocity(1),
            NoteOn(67),
            TimeShift(50),
            NoteOff(67),
            TimeShift(100),
            TimeShift(100),
            NoteOff(64),
        ];
        assert_eq!(events, expected);
        let mut back = timed_notes(EVENTS, &events, 0, 5.0);
        back.sort_by(|a, b| a.start.total_cmp(&b.start));
        assert_eq!(back, notes);
    }

    #[test]
    fn a_note_of_no_length_gets_a_step() {
        let events = performance_of(PerformanceEvents { bins: 0 }, &[note(60, 9, 0.5, 0.5)]).unwrap();
        assert_eq!(events, [TimeShift(50), NoteOn(60), TimeShift(1), NoteOff(60)]);
    }

    #[test]
    fn the_oldest_note_ends_first_and_nothing_sounds_for_too_long() {
        let events = [
            NoteOff(3),
            NoteOn(60),
            TimeShift(10),
            NoteOn(60),
            TimeShift(10),
            NoteOff(60),
            NoteOn(61),
            NoteOff(61),
            NoteOn(62),
            TimeShift(100),
            TimeShift(100),
            TimeShift(100),
            TimeShift(100),
            TimeShift(100),
            TimeShift(100),
        ];
        let expected = [note(60, 100, 0.0, 0.2), note(60, 100, 0.1, 5.1), note(62, 100, 0.2, 5.2)];
        assert_eq!(timed_notes(EVENTS, &events, 0, 5.0), expected);
    }

    #[test]
    fn notes_out_of_range_are_named() {
        let error = |note| performance_of(EVENTS, &[note]).unwrap_err().to_string();
        assert_eq!(error(note(128, 1, 0.0, 1.0)), "note 0: pitch must be in 0..=127, got 128");
        assert_eq!(error(note(60, 0, 0.0, 1.0)), "note 0: velocity must be in 1..=127, got 0");
        assert_eq!(error(note(60, 1, -1.0, 1.0)), "note 0: start must be in [0, 86400] seconds, got -1");
        assert_eq!(error(note(60, 1, 2.0, 1.0)), "note 0: end must be in [2, 86400] seconds, got 1");
        assert_eq!(error(note(60, 1, 0.0, f64::NAN)), "note 0: end must be in [0, 86400] seconds, got NaN");
    }
}
