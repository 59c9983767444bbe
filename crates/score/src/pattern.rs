//! A drum performance on a grid of sixteenths: what the drum model reads and writes.

use crate::{DrumClass, Error, Meter, MeterMap, Note, Ppq, Result, Score, TempoMap, Tick, Track};
use std::ops::Range;

/// One stroke of one drum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Sixteenth-note cell from the start of the pattern.
    pub step: u32,
    pub class: DrumClass,
    /// `1..=127`
    pub velocity: u8,
    /// Microtiming in steps, `[-0.5, 0.5)`; positive is late.
    pub offset: f32,
}

/// Hits in one metre and tempo, sorted by `(step, class, offset)`.
#[derive(Clone, Debug, PartialEq)]
pub struct DrumPattern {
    pub meter: Meter,
    /// Quarter notes per minute.
    pub tempo: f64,
    pub bars: u32,
    pub hits: Vec<Hit>,
}

/// Splits a place in steps into the nearest step and the offset from it, `[-0.5, 0.5)`.
///
/// A place half way belongs to the later step; places before `-0.5` become step 0, offset -0.5.
pub fn split_position(position: f64) -> (u32, f32) {
    let step = (position + 0.5).floor().clamp(0.0, f64::from(u32::MAX - 1));
    let offset = (position - step).clamp(-0.5, 0.5) as f32;
    // Narrowing to f32 can round up to the half that belongs to the next step.
    if offset >= 0.5 { (step as u32 + 1, -0.5) } else { (step as u32, offset) }
}

/// The tick nearest to `position` (in steps) among those that [`split_position`] reads back as `step`.
///
/// Where ticks are so coarse that the step has none of its own, simply the nearest; before the start, tick 0.
pub(crate) fn tick_in_step(step: u32, position: f64, ticks_per_step: f64) -> Tick {
    let nearest = (position * ticks_per_step).round();
    let first = ((f64::from(step) - 0.5) * ticks_per_step).ceil();
    // Half a step late would be the next step's: one tick less.
    let last = ((f64::from(step) + 0.5) * ticks_per_step).ceil() - 1.0;
    Tick(if first <= last { nearest.clamp(first, last) } else { nearest } as u32)
}

impl Hit {
    /// Place in steps from the start, offset included.
    pub fn position(&self) -> f64 {
        f64::from(self.step) + f64::from(self.offset)
    }

    /// The tick its note starts at in a score of `ppq`: never before the start, and inside its step.
    pub fn onset(&self, ppq: Ppq) -> Tick {
        tick_in_step(self.step, self.position(), f64::from(ppq.get()) / 4.0)
    }
}

impl DrumPattern {
    /// The ticks per quarter [`DrumPattern::to_score`] uses: 120 ticks a step.
    pub const PPQ: Ppq = Ppq::DEFAULT;

    /// No hits yet.
    pub fn empty(meter: Meter, tempo: f64, bars: u32) -> DrumPattern {
        DrumPattern { meter, tempo, bars, hits: Vec::new() }
    }

    /// Sixteenths in the whole pattern.
    pub fn steps(&self) -> u32 {
        self.bars.saturating_mul(self.meter.steps_per_bar())
    }

    /// Sorts by `(step, class, offset)`, ties in their order.
    pub fn sort(&mut self) {
        self.hits.sort_by(order);
    }

    /// One drum track on channel 9 in General MIDI notes, 480 ticks per quarter.
    ///
    /// A note lasts a sixteenth or until the next one of its pitch or the end; of several strokes of one drum on one tick the
    /// loudest sounds. Onsets before the start move to tick 0; all others
    /// stay in their step, so a hit that is late by almost half a step comes at most 59 ticks late.
    pub fn to_score(&self) -> Score {
        let ticks_per_step = f64::from(Self::PPQ.get()) / 4.0;
        let length = Tick((f64::from(self.steps()) * ticks_per_step) as u32);
        let mut notes: Vec<Note> = self
            .hits
            .iter()
            .map(|hit| {
                let onset = tick_in_step(hit.step, hit.position(), ticks_per_step);
                // Nothing rings past the last bar, so that a loop is as long as it says.
                let end = onset
                    .0
                    .saturating_add(ticks_per_step as u32)
                    .min(length.0)
                    .max(onset.0.saturating_add(1));
                let end = Tick(end);
                Note { onset, end, pitch: hit.class.gm_pitch(), velocity: hit.velocity.clamp(1, 127) }
            })
            .collect();
        notes.sort_by_key(|note| (note.onset, note.pitch, std::cmp::Reverse(note.velocity)));
        notes.dedup_by_key(|note| (note.onset, note.pitch));
        let mut next_onset = [Tick(u32::MAX); 128];
        for note in notes.iter_mut().rev() {
            let next = &mut next_onset[usize::from(note.pitch)];
            note.end = note.end.min(*next);
            *next = note.onset;
        }
        let track = Track { name: "Drums".into(), channel: 9, program: 0, notes, controls: Vec::new() };
        Score {
            ppq: Self::PPQ,
            tempos: TempoMap::constant(self.tempo),
            meters: MeterMap::constant(self.meter),
            tracks: vec![track],
            ..Score::default()
        }
        .until(length)
    }

    /// This pattern followed by another one; the tempo stays this one's.
    ///
    /// # Errors
    /// [`Error::Pattern`] when the metres differ, [`Error::TooManyBars`] when steps no longer fit.
    pub fn concat(&self, other: &DrumPattern) -> Result<DrumPattern> {
        if self.meter != other.meter {
            let (mine, its) = (self.meter, other.meter);
            return Err(Error::Pattern(format!(
                "patterns to join must have one meter, got {mine} and {its}"
            )));
        }
        let max = u32::MAX / self.meter.steps_per_bar().max(1);
        let bars = u64::from(self.bars) + u64::from(other.bars);
        if bars > u64::from(max) {
            return Err(Error::TooManyBars { max, got: bars });
        }
        let start = self.steps();
        let moved = other.hits.iter().map(|hit| Hit { step: hit.step.saturating_add(start), ..*hit });
        let hits = self.hits.iter().copied().chain(moved).collect();
        let mut joined = DrumPattern { bars: bars as u32, hits, ..*self };
        joined.sort();
        Ok(joined)
    }

    /// The bars of a range as a pattern of their own, steps counted from its first bar.
    ///
    /// # Errors
    /// [`Error::Pattern`] unless the range is non-empty and inside `0..bars`.
    pub fn slice_bars(&self, bars: Range<u32>) -> Result<DrumPattern> {
        if bars.is_empty() || bars.end > self.bars {
            let (start, end) = (bars.start, bars.end);
            let message =
                format!("bars to take must be a non-empty part of 0..{}, got {start}..{end}", self.bars);
            return Err(Error::Pattern(message));
        }
        let length = self.meter.steps_per_bar();
        let steps = bars.start.saturating_mul(length)..bars.end.saturating_mul(length);
        let inside = self.hits.iter().filter(|hit| steps.contains(&hit.step));
        let hits = inside.map(|hit| Hit { step: hit.step - steps.start, ..*hit }).collect();
        Ok(DrumPattern { bars: bars.end - bars.start, hits, ..*self })
    }
}

/// The order hits are kept in.
pub(crate) fn order(left: &Hit, right: &Hit) -> std::cmp::Ordering {
    let key = |hit: &Hit| (hit.step, hit.class);
    key(left).cmp(&key(right)).then(left.offset.total_cmp(&right.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(step: u32, class: DrumClass, offset: f32) -> Hit {
        Hit { step, class, velocity: 100, offset }
    }

    fn pattern(bars: u32, hits: Vec<Hit>) -> DrumPattern {
        DrumPattern { hits, ..DrumPattern::empty(Meter::COMMON, 96.0, bars) }
    }

    #[test]
    fn notes_of_one_pitch_never_overlap_and_never_start_before_zero() {
        let kicks = vec![
            hit(0, DrumClass::Kick, -0.4),
            hit(1, DrumClass::Kick, -0.25),
            hit(1, DrumClass::Snare, 0.0),
        ];
        let score = pattern(1, kicks).to_score();
        let spans: Vec<_> = score.tracks[0].notes.iter().map(|n| (n.onset.0, n.end.0, n.pitch)).collect();
        assert_eq!(spans, [(0, 90, 36), (90, 210, 36), (120, 240, 38)]);
        assert!(score.tracks[0].is_drums());
        assert_eq!(score.tempos.bpm_at(Tick(0)).round(), 96.0);
    }

    #[test]
    fn strokes_of_one_drum_on_one_tick_are_the_loudest_of_them() {
        let soft = |hit: Hit| Hit { velocity: 30, ..hit };
        let strokes = vec![
            // Both before the start, and both on the last tick of their step.
            soft(hit(0, DrumClass::Kick, -0.3)),
            hit(0, DrumClass::Kick, -0.2),
            hit(0, DrumClass::Snare, -0.2),
            hit(7, DrumClass::Snare, 0.499),
            soft(hit(7, DrumClass::Snare, 0.499)),
        ];
        let score = pattern(1, strokes).to_score();
        let notes: Vec<_> =
            score.tracks[0].notes.iter().map(|n| (n.onset.0, n.end.0, n.pitch, n.velocity)).collect();
        assert_eq!(notes, [(0, 120, 36, 100), (0, 120, 38, 100), (899, 1019, 38, 100)]);
    }

    #[test]
    fn cutting_and_joining_gives_the_whole() {
        let whole = pattern(3, (0..48).map(|step| hit(step, DrumClass::Ride, 0.1)).collect());
        let parts = [whole.slice_bars(0..1), whole.slice_bars(1..3)].map(|part| part.expect("inside"));
        assert_eq!(parts[0].concat(&parts[1]), Ok(whole.clone()));
        for bad in [1..1, 2..4] {
            assert!(whole.slice_bars(bad).is_err());
        }
        let waltz = DrumPattern::empty("3/4".parse().expect("valid"), 96.0, 1);
        assert!(whole.concat(&waltz).is_err());
    }

    #[test]
    fn a_hit_late_by_almost_half_a_step_stays_in_its_bar() {
        for (offset, tick) in [(0.499, 1859), (0.5f32.next_down(), 1859), (0.49, 1859), (-0.5, 1740)] {
            let score = pattern(1, vec![hit(15, DrumClass::Snare, offset)]).to_score();
            assert_eq!(score.tracks[0].notes[0].onset, Tick(tick), "offset {offset}");
        }
    }

    #[test]
    fn every_tick_of_a_step_reads_back_as_that_step() {
        for ppq in [1u16, 5, 6, 7, 96, 480, 32767] {
            let ppq = f64::from(ppq);
            for (step, offset) in [(1, -0.5), (2, -0.49), (3, -0.5), (4, 0.499), (15, 0.499_999), (16, 0.3)] {
                let Tick(tick) = tick_in_step(step, f64::from(step) + offset, ppq / 4.0);
                // Below 4 ticks a quarter most steps have no tick.
                let reads = split_position(f64::from(tick) * 4.0 / ppq).0;
                assert!(reads == step || ppq < 4.0 && step % 4 != 0, "{ppq}: {step} became {reads}");
            }
        }
    }

    #[test]
    fn half_way_belongs_to_the_later_step() {
        assert_eq!(split_position(2.5), (3, -0.5));
        assert_eq!(split_position(2.25), (2, 0.25));
        assert_eq!(split_position(-9.0), (0, -0.5));
        assert_eq!(split_position(2.499_999_999_999), (3, -0.5));
    }
}
