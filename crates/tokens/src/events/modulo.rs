//! Performance events as points on circles: neighbours in pitch, time or velocity are near each other.

use super::one_hot::{check, class_of};
use super::{Codec, Error, MAX_SHIFT, OneHot, PerformanceEvent, PerformanceEvents};

/// ```text
/// input   note-on   [1, note on a circle of 144, pitch class on a circle of 12]    5 numbers
///         note-off  the same                                                       5
///         shift     [1, steps - 1 on a circle of 100]                              3
///         velocity  [1, bin - 1 on a circle of all bins]                           3, without bins none
/// ```
///
/// A point is its cosine and sine; the blocks of the other kinds are 0. Classes are the events' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modulo(pub PerformanceEvents);

const NOTE: usize = 5;
const OTHER: usize = 3;
/// Twelve octaves, of which MIDI's pitches fill most.
const NOTES: usize = 144;

/// Point `index` of `count` on the unit circle, starting at (1, 0) and turning left.
///
/// Of additions and multiplications alone, so that it is the same on every machine, which a system's cosine is not.
fn point(index: usize, count: usize) -> [f32; 2] {
    // Eighths of the circle, and what is left over in [0, 1).
    let eighths = 8 * (index % count);
    let (octant, rest) = (eighths / count, (eighths % count) as f64 / count as f64);
    let within = if octant.is_multiple_of(2) { rest } else { 1.0 - rest };
    let angle = within * std::f64::consts::FRAC_PI_4;
    let square = angle * angle;
    // Taylor's series; in [0, pi / 4] the next term is below 1e-17.
    let (mut cosine, mut sine) = (1.0, 1.0);
    for n in (1..=8).rev() {
        let n = f64::from(n);
        cosine = 1.0 - square / ((2.0 * n - 1.0) * (2.0 * n)) * cosine;
        sine = 1.0 - square / ((2.0 * n) * (2.0 * n + 1.0)) * sine;
    }
    let (c, s) = (cosine as f32, (angle * sine) as f32);
    match octant {
        0 => [c, s],
        1 => [s, c],
        2 => [-s, c],
        3 => [-c, s],
        4 => [-c, -s],
        5 => [-s, -c],
        6 => [s, -c],
        _ => [c, -s],
    }
}

impl Codec for Modulo {
    type Event = PerformanceEvent;

    fn inputs(&self) -> usize {
        2 * NOTE + OTHER + if self.0.bins == 0 { 0 } else { OTHER }
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn check(&self, events: &[PerformanceEvent]) -> Result<(), Error> {
        check(&self.0, events)
    }

    fn input(&self, events: &[PerformanceEvent], position: usize, out: &mut [f32]) {
        out.fill(0.0);
        let (at, circles) = match events[position] {
            PerformanceEvent::NoteOn(pitch) => (0, notes(pitch)),
            PerformanceEvent::NoteOff(pitch) => (NOTE, notes(pitch)),
            PerformanceEvent::TimeShift(steps) => {
                (2 * NOTE, vec![(usize::from(steps) - 1, MAX_SHIFT as usize)])
            }
            PerformanceEvent::Velocity(bin) => {
                (2 * NOTE + OTHER, vec![(usize::from(bin) - 1, usize::from(self.0.bins))])
            }
        };
        out[at] = 1.0;
        for (out, (index, count)) in out[at + 1..].chunks_exact_mut(2).zip(circles) {
            out.copy_from_slice(&point(index, count));
        }
    }

    fn label(&self, events: &[PerformanceEvent], position: usize) -> usize {
        class_of(&self.0, events[position])
    }

    fn event(&self, class: usize, _: &[PerformanceEvent]) -> PerformanceEvent {
        self.0.event(class)
    }
}

fn notes(pitch: u8) -> Vec<(usize, usize)> {
    vec![(usize::from(pitch), NOTES), (usize::from(pitch % 12), 12)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_the_cosine_and_sine_of_their_angle() {
        for count in [12, 32, 100, 144] {
            for index in 0..count {
                let angle = index as f64 * std::f64::consts::TAU / count as f64;
                let [cosine, sine] = point(index, count);
                assert!((f64::from(cosine) - angle.cos()).abs() < 6e-8, "{index} of {count}");
                assert!((f64::from(sine) - angle.sin()).abs() < 6e-8, "{index} of {count}");
            }
        }
    }

    #[test]
    fn each_kind_has_its_own_block() {
        let codec = Modulo(PerformanceEvents { bins: 32 });
        assert_eq!((codec.inputs(), codec.classes()), (16, 388));
        assert_eq!(Modulo(PerformanceEvents { bins: 0 }).inputs(), 13);
        let events = [
            PerformanceEvent::NoteOn(0),
            PerformanceEvent::NoteOff(36),
            PerformanceEvent::TimeShift(26),
            PerformanceEvent::Velocity(17),
        ];
        let inputs = codec.all_inputs(&events);
        let rows: Vec<&[f32]> = inputs.chunks_exact(16).collect();
        assert_eq!(rows[0], [1., 1., 0., 1., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.]);
        assert_eq!(rows[1], [0., 0., 0., 0., 0., 1., 0., 1., 1., 0., 0., 0., 0., 0., 0., 0.]);
        assert_eq!(rows[2], [0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 1., 0., 1., 0., 0., 0.]);
        assert_eq!(rows[3], [0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 1., -1., 0.]);
    }
}
