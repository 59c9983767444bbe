//! Events of a performance: notes begin and end, time passes, the velocity changes.

use super::OneHot;

/// The longest shift of one event, in steps.
pub const MAX_SHIFT: u32 = 100;
/// Steps of a second.
pub const STEPS_PER_SECOND: u32 = 100;

/// A change, or time that passes until the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PerformanceEvent {
    /// Pitch `0..=127`.
    NoteOn(u8),
    /// Pitch `0..=127`.
    NoteOff(u8),
    /// Steps `1..=100`.
    TimeShift(u8),
    /// Bin `1..=bins` of the notes that follow.
    Velocity(u8),
}

/// The numbering: note-on, note-off, time shift and, with velocities, their bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerformanceEvents {
    /// Velocity bins `0..=127`; none when velocities are not told.
    pub bins: u8,
}

const PITCHES: usize = 128;
const SHIFTS: usize = 2 * PITCHES;
const BINS: usize = SHIFTS + MAX_SHIFT as usize;

impl PerformanceEvents {
    /// Velocities of a bin; the last may reach beyond 127.
    fn bin_size(self) -> u8 {
        127u8.div_ceil(self.bins.max(1))
    }

    /// The bin `1..=bins` of a velocity `1..=127`.
    pub fn bin(self, velocity: u8) -> u8 {
        velocity.saturating_sub(1) / self.bin_size() + 1
    }

    /// The lowest velocity of a bin.
    pub fn velocity(self, bin: u8) -> u8 {
        (1 + u16::from(bin.saturating_sub(1)) * u16::from(self.bin_size())).min(127) as u8
    }
}

impl OneHot for PerformanceEvents {
    type Event = PerformanceEvent;

    fn classes(&self) -> usize {
        BINS + usize::from(self.bins)
    }

    fn default_event(&self) -> PerformanceEvent {
        PerformanceEvent::TimeShift(MAX_SHIFT as u8)
    }

    fn class(&self, event: PerformanceEvent) -> Result<usize, (&'static str, String, String)> {
        let refuse = |field, allowed: &str, got: u8| Err((field, allowed.to_owned(), got.to_string()));
        match event {
            PerformanceEvent::NoteOn(pitch) if pitch < 128 => Ok(usize::from(pitch)),
            PerformanceEvent::NoteOff(pitch) if pitch < 128 => Ok(PITCHES + usize::from(pitch)),
            PerformanceEvent::NoteOn(pitch) | PerformanceEvent::NoteOff(pitch) => {
                refuse("pitch", "0..=127", pitch)
            }
            PerformanceEvent::TimeShift(steps) if (1..=MAX_SHIFT).contains(&u32::from(steps)) => {
                Ok(SHIFTS + usize::from(steps) - 1)
            }
            PerformanceEvent::TimeShift(steps) => refuse("time shift", "1..=100", steps),
            PerformanceEvent::Velocity(bin) if (1..=self.bins).contains(&bin) => {
                Ok(BINS + usize::from(bin) - 1)
            }
            PerformanceEvent::Velocity(bin) => refuse("velocity bin", &format!("1..={}", self.bins), bin),
        }
    }

    fn event(&self, class: usize) -> PerformanceEvent {
        assert!(class < self.classes(), "class {class} of {}", self.classes());
        match class {
            BINS.. => PerformanceEvent::Velocity((class - BINS) as u8 + 1),
            SHIFTS.. => PerformanceEvent::TimeShift((class - SHIFTS) as u8 + 1),
            PITCHES.. => PerformanceEvent::NoteOff((class - PITCHES) as u8),
            _ => PerformanceEvent::NoteOn(class as u8),
        }
    }
}

/// Steps that pass in all.
pub fn shifted_steps(events: &[PerformanceEvent]) -> usize {
    let steps = events.iter().map(|event| match event {
        PerformanceEvent::TimeShift(steps) => usize::from(*steps),
        _ => 0,
    });
    steps.sum()
}

/// Makes events last `steps` in all: time is added at the end, or what lies beyond is taken off. Events at the very
/// end stay when nothing needs to be taken off.
pub fn set_performance_length(events: &mut Vec<PerformanceEvent>, steps: usize) {
    let before = shifted_steps(events);
    if before > steps {
        let mut surplus = before - steps;
        while surplus > 0 {
            match events.pop() {
                Some(PerformanceEvent::TimeShift(shift)) if usize::from(shift) > surplus => {
                    events.push(PerformanceEvent::TimeShift(shift - surplus as u8));
                    surplus = 0;
                }
                Some(PerformanceEvent::TimeShift(shift)) => surplus -= usize::from(shift),
                Some(_) => {}
                None => break,
            }
        }
        return;
    }
    let mut missing = steps - before;
    let longest = MAX_SHIFT as usize;
    if let Some(PerformanceEvent::TimeShift(shift)) = events.last_mut() {
        let added = missing.min(longest.saturating_sub(usize::from(*shift)));
        *shift += added as u8;
        missing -= added;
    }
    while missing > 0 {
        let shift = missing.min(longest);
        events.push(PerformanceEvent::TimeShift(shift as u8));
        missing -= shift;
    }
}

#[cfg(test)]
mod tests {
    use super::PerformanceEvent::{NoteOff, NoteOn, TimeShift, Velocity};
    use super::*;

    #[test]
    fn classes_and_events_are_one_to_one() {
        for (bins, classes) in [(0, 356), (32, 388)] {
            let events = PerformanceEvents { bins };
            assert_eq!(events.classes(), classes);
            for class in 0..classes {
                assert_eq!(events.class(events.event(class)), Ok(class));
            }
        }
        let plain = PerformanceEvents { bins: 0 };
        for wrong in [NoteOn(128), NoteOff(200), TimeShift(0), TimeShift(101), Velocity(1)] {
            assert!(plain.class(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn thirty_two_bins_hold_four_velocities_each() {
        let events = PerformanceEvents { bins: 32 };
        for velocity in 1..=127 {
            let bin = events.bin(velocity);
            assert!((1..=32).contains(&bin));
            assert!(events.velocity(bin) <= velocity && velocity < events.velocity(bin) + 4);
        }
        assert_eq!(events.velocity(20), 77);
    }

    #[test]
    fn a_length_is_reached_with_the_longest_shifts_or_by_cutting() {
        let check = |before: &[PerformanceEvent], steps, after: &[PerformanceEvent]| {
            let mut events = before.to_vec();
            set_performance_length(&mut events, steps);
            assert_eq!(events, after);
        };
        check(&[], 230, &[TimeShift(100), TimeShift(100), TimeShift(30)]);
        check(&[NoteOn(60), TimeShift(90)], 120, &[NoteOn(60), TimeShift(100), TimeShift(20)]);
        check(
            &[TimeShift(50), NoteOn(60), TimeShift(50), NoteOff(60)],
            70,
            &[TimeShift(50), NoteOn(60), TimeShift(20)],
        );
        check(&[TimeShift(50), NoteOn(60), TimeShift(50)], 50, &[TimeShift(50), NoteOn(60)]);
        check(&[TimeShift(50), NoteOff(60)], 50, &[TimeShift(50), NoteOff(60)]);
        check(&[TimeShift(50), NoteOff(60)], 0, &[]);
    }
}
