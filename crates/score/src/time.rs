//! Time as types: ticks, beats and seconds never mix by accident.
//!
//! Maps ([`TempoMap`], [`MeterMap`]) keep their changes sorted, one per tick; a later change on the same
//! tick replaces the earlier one. What a map says before its first change is the MIDI default: 120 bpm, 4/4.

use crate::{Error, Result};
use std::{fmt, num::NonZeroU16, str::FromStr};

/// Integer time, in ticks from the start; [`Ppq`] of them make a beat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u32);

/// Quarter notes from the start, whatever the meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Beat(pub f64);

/// Seconds from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Second(pub f64);

impl Tick {
    /// This tick in quarter notes.
    pub fn beats(self, ppq: Ppq) -> Beat {
        Beat(f64::from(self.0) / f64::from(ppq.get()))
    }
}

impl Beat {
    /// The nearest tick; negative beats give tick 0, beats past the last tick give `u32::MAX`.
    pub fn ticks(self, ppq: Ppq) -> Tick {
        // A float-to-int cast saturates.
        Tick((self.0 * f64::from(ppq.get())).round() as u32)
    }
}

/// Ticks per quarter note, `1..=32767` (the range a MIDI header can hold).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ppq(NonZeroU16);

impl Ppq {
    /// 480, what this crate writes unless told otherwise.
    pub const DEFAULT: Ppq = Ppq(NonZeroU16::new(480).expect("480 is not zero"));

    /// `None` outside `1..=32767`.
    pub const fn new(ticks: u16) -> Option<Ppq> {
        match NonZeroU16::new(ticks) {
            Some(ticks) if ticks.get() <= 0x7fff => Some(Ppq(ticks)),
            _ => None,
        }
    }

    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl Default for Ppq {
    fn default() -> Self {
        Ppq::DEFAULT
    }
}

/// Microseconds per quarter note of 120 bpm.
const DEFAULT_TEMPO: u32 = 500_000;
/// The largest tempo value a MIDI file can hold (3 bytes), about 3.58 bpm.
const SLOWEST_TEMPO: u32 = 0xff_ffff;

/// Tempo over time; 120 bpm before the first change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TempoMap {
    changes: Vec<(Tick, u32)>,
}

impl TempoMap {
    /// From `(tick, microseconds per quarter)` in any order; values are clamped to `1..=0xff_ffff`.
    pub fn new(changes: Vec<(Tick, u32)>) -> TempoMap {
        let mut changes = sort_changes(changes);
        for (_, tempo) in &mut changes {
            *tempo = (*tempo).clamp(1, SLOWEST_TEMPO);
        }
        TempoMap { changes }
    }

    /// One tempo, in quarter notes per minute; rounded to whole microseconds per quarter, `3.58..` bpm.
    pub fn constant(bpm: f64) -> TempoMap {
        // The cast saturates, so a nonsense tempo (0, NaN, negative) becomes the nearest end of the range.
        let tempo = ((60e6 / bpm).round() as u32).clamp(1, SLOWEST_TEMPO);
        TempoMap { changes: vec![(Tick(0), tempo)] }
    }

    /// `(tick, microseconds per quarter)`, sorted, one per tick.
    pub fn changes(&self) -> &[(Tick, u32)] {
        &self.changes
    }

    /// Time of a tick.
    pub fn seconds_at(&self, at: Tick, ppq: Ppq) -> Second {
        // Whole microsecond-ticks, so that the sum does not drift over many changes.
        let (mut from, mut tempo, mut sum) = (0u32, DEFAULT_TEMPO, 0u128);
        for &(tick, next) in self.changes.iter().take_while(|(tick, _)| *tick < at) {
            sum += u128::from(tick.0 - from) * u128::from(tempo);
            (from, tempo) = (tick.0, next);
        }
        sum += u128::from(at.0 - from) * u128::from(tempo);
        Second(sum as f64 / (f64::from(ppq.get()) * 1e6))
    }

    /// The tick nearest to a time; negative times give tick 0, times past the last tick give `u32::MAX`.
    pub fn tick_at(&self, at: Second, ppq: Ppq) -> Tick {
        // In microsecond-ticks, as in `seconds_at`.
        let goal = at.0 * 1e6 * f64::from(ppq.get());
        let (mut from, mut tempo, mut sum) = (0u32, DEFAULT_TEMPO, 0f64);
        for &(tick, next) in &self.changes {
            let reached = sum + f64::from(tick.0 - from) * f64::from(tempo);
            if reached > goal {
                break;
            }
            (from, tempo, sum) = (tick.0, next, reached);
        }
        Tick((f64::from(from) + (goal - sum) / f64::from(tempo)).round() as u32)
    }

    /// Quarter notes per minute in force at a tick.
    pub fn bpm_at(&self, at: Tick) -> f64 {
        60e6 / f64::from(value_at(&self.changes, at).unwrap_or(DEFAULT_TEMPO))
    }
}

/// A time signature; [`FromStr`] accepts numerators `1..=32` over 1, 2, 4, 8 or 16.
///
/// Meters read from files may hold other denominators (powers of two up to 128).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meter {
    pub numerator: u8,
    pub denominator: u8,
}

impl Meter {
    /// 4/4
    pub const COMMON: Meter = Meter { numerator: 4, denominator: 4 };

    /// `None` unless the numerator is `1..=32` and the denominator 1, 2, 4, 8 or 16.
    pub fn new(numerator: u8, denominator: u8) -> Option<Meter> {
        let fits = (1..=32).contains(&numerator) && matches!(denominator, 1 | 2 | 4 | 8 | 16);
        fits.then_some(Meter { numerator, denominator })
    }

    /// Sixteenths in a bar.
    pub fn steps_per_bar(self) -> u32 {
        u32::from(self.numerator) * 16 / u32::from(self.denominator.max(1))
    }

    /// Quarter notes in a bar.
    pub fn beats_per_bar(self) -> f64 {
        f64::from(self.numerator) * 4.0 / f64::from(self.denominator.max(1))
    }
}

impl Default for Meter {
    fn default() -> Self {
        Meter::COMMON
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.numerator, self.denominator)
    }
}

impl FromStr for Meter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Meter> {
        text.split_once('/')
            .and_then(|(above, below)| Meter::new(above.trim().parse().ok()?, below.trim().parse().ok()?))
            .ok_or_else(|| Error::BadMeter { got: format!("{text:?}") })
    }
}

/// Metre over time; 4/4 before the first change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterMap {
    changes: Vec<(Tick, Meter)>,
}

impl MeterMap {
    /// The most bars [`MeterMap::bar_starts`] lists: a tiny file can claim billions.
    pub const BAR_LIMIT: usize = 1 << 20;

    /// From changes in any order.
    pub fn new(changes: Vec<(Tick, Meter)>) -> MeterMap {
        MeterMap { changes: sort_changes(changes) }
    }

    /// One metre from the start.
    pub fn constant(meter: Meter) -> MeterMap {
        MeterMap { changes: vec![(Tick(0), meter)] }
    }

    /// Sorted, one per tick.
    pub fn changes(&self) -> &[(Tick, Meter)] {
        &self.changes
    }

    /// The metre in force at a tick.
    pub fn at(&self, at: Tick) -> Meter {
        value_at(&self.changes, at).unwrap_or(Meter::COMMON)
    }

    /// The first bar line at a tick or after it.
    pub fn bar_line(&self, at: Tick, ppq: Ppq) -> Tick {
        let before = self.changes.partition_point(|(from, _)| *from <= at);
        let (from, meter) = before.checked_sub(1).map_or((Tick(0), Meter::COMMON), |last| self.changes[last]);
        let bar = u64::from(ppq.get()) * 4 * u64::from(meter.numerator.max(1));
        let denominator = u64::from(meter.denominator.max(1)).min(bar);
        let bars = (u64::from(at.0 - from.0) * denominator).div_ceil(bar);
        let line = u64::from(from.0) + (bars * bar).div_ceil(denominator);
        let next = self.changes.get(before).map_or(Tick(u32::MAX), |(to, _)| *to);
        Tick(u32::try_from(line).unwrap_or(u32::MAX)).min(next)
    }

    /// First tick of every bar that starts before `until`, at most [`MeterMap::BAR_LIMIT`] of them.
    ///
    /// A change inside a bar cuts it short: a new bar starts there.
    pub fn bar_starts(&self, until: Tick, ppq: Ppq) -> Vec<Tick> {
        let mut starts = Vec::new();
        let (mut from, mut meter) = (Tick(0), Meter::COMMON);
        let ends = self.changes.iter().copied().chain([(until, Meter::COMMON)]);
        for (to, next) in ends {
            let to = to.min(until);
            // Bars of a twentieth of a tick don't exist, hence the `max`; others may have fractional ticks.
            let numerator = u64::from(ppq.get()) * 4 * u64::from(meter.numerator);
            let denominator = u64::from(meter.denominator.max(1)).min(numerator.max(1));
            let bars = (0..).map(|bar: u64| u64::from(from.0) + bar * numerator.max(1) / denominator);
            let room = Self::BAR_LIMIT - starts.len();
            starts.extend(bars.take_while(|&at| at < u64::from(to.0)).take(room).map(|at| Tick(at as u32)));
            (from, meter) = (to, next);
        }
        starts
    }
}

/// Stable by tick; of several on one tick the last wins.
fn sort_changes<T: Copy>(mut changes: Vec<(Tick, T)>) -> Vec<(Tick, T)> {
    changes.sort_by_key(|(tick, _)| *tick);
    changes.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 = later.1;
        }
        same
    });
    changes
}

fn value_at<T: Copy>(changes: &[(Tick, T)], at: Tick) -> Option<T> {
    let after = changes.partition_point(|(tick, _)| *tick <= at);
    Some(changes.get(after.checked_sub(1)?)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ppq(ticks: u16) -> Ppq {
        Ppq::new(ticks).expect("tests use valid ppq")
    }

    #[test]
    fn the_default_tempo_is_120() {
        let map = TempoMap::default();
        assert_eq!(map.bpm_at(Tick(9)), 120.0);
        assert_eq!(map.seconds_at(Tick(960), ppq(480)), Second(1.0));
        assert_eq!(map.tick_at(Second(1.0), ppq(480)), Tick(960));
    }

    #[test]
    fn seconds_follow_tempo_changes_and_ticks_come_back() {
        let map = TempoMap::new(vec![(Tick(480), 1_000_000), (Tick(960), 250_000)]);
        assert_eq!(map.seconds_at(Tick(480), ppq(480)), Second(0.5));
        assert_eq!(map.seconds_at(Tick(960), ppq(480)), Second(1.5));
        assert_eq!(map.seconds_at(Tick(1440), ppq(480)), Second(1.75));
        for tick in 0..3000 {
            assert_eq!(map.tick_at(map.seconds_at(Tick(tick), ppq(480)), ppq(480)), Tick(tick));
        }
    }

    #[test]
    fn a_later_change_on_the_same_tick_wins() {
        let map = TempoMap::new(vec![(Tick(5), 1), (Tick(0), 2), (Tick(5), 3)]);
        assert_eq!(map.changes(), [(Tick(0), 2), (Tick(5), 3)]);
    }

    #[test]
    fn extreme_values_do_not_panic() {
        for bpm in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let map = TempoMap::constant(bpm);
            assert!(map.seconds_at(Tick(u32::MAX), ppq(1)).0.is_finite());
        }
        assert_eq!(TempoMap::default().tick_at(Second(1e300), ppq(1)), Tick(u32::MAX));
        assert_eq!(TempoMap::default().tick_at(Second(f64::NAN), ppq(1)), Tick(0));
        let odd = MeterMap::new(vec![(Tick(0), Meter { numerator: 1, denominator: 128 })]);
        assert_eq!(odd.bar_starts(Tick(u32::MAX), ppq(1)).len(), MeterMap::BAR_LIMIT);
        let none = MeterMap::new(vec![(Tick(0), Meter { numerator: 0, denominator: 0 })]);
        assert_eq!(none.bar_starts(Tick(3), ppq(1)).len(), 3);
    }

    #[test]
    fn a_meter_change_starts_a_bar() {
        let seven = Meter { numerator: 7, denominator: 8 };
        let map = MeterMap::new(vec![(Tick(2000), seven)]);
        let starts = map.bar_starts(Tick(5400), ppq(480));
        assert_eq!(starts, [0, 1920, 2000, 3680, 5360].map(Tick));
        assert_eq!((map.at(Tick(1999)), map.at(Tick(2000))), (Meter::COMMON, seven));
    }

    #[test]
    fn meters_parse_and_print() {
        for text in ["4/4", "7/8", "32/16", "3/2", "1/1"] {
            assert_eq!(text.parse::<Meter>().expect("valid").to_string(), text);
        }
        for text in ["", "4", "4/3", "0/4", "33/4", "4/32", "-1/4", "4/4/4"] {
            let message = text.parse::<Meter>().expect_err("invalid").to_string();
            assert!(message.contains("1..=32") && message.contains(text), "{message}");
        }
        assert_eq!(Meter { numerator: 7, denominator: 8 }.steps_per_bar(), 14);
        assert_eq!(Meter { numerator: 7, denominator: 8 }.beats_per_bar(), 3.5);
    }
}
