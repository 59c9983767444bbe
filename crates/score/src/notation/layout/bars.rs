//! The bars of a score, in ticks and in units, and which of them start something new.

use super::metre::{Metre, QUARTER, SHORTEST, bar_length};
use crate::{Error, Meter, Result, Score, Tick};

/// The most bars that are written: hours of music, yet small whatever a tiny file claims.
pub const MAX_BARS: usize = 8192;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Units from the start of the piece, [`super::QUARTER`] to a quarter note.
    pub start: u32,
    /// Units; less than the metre says where a change of metre cuts the bar short.
    pub length: u32,
    pub meter: Meter,
    /// A time signature stands here: at the first bar and at every change.
    pub new_meter: bool,
    /// Shorter than its metre says.
    pub cut: bool,
    pub(super) metre: Metre,
    /// Where it starts in ticks; bars of odd metres may start between two.
    tick: f64,
}

/// The bars up to a tick, and how ticks become units.
pub(super) struct Bars {
    pub list: Vec<Bar>,
    units_per_tick: f64,
}

impl Bars {
    /// Bars that cover `end`, and one more for what is rounded onto the end of the last.
    pub fn new(score: &Score, end: Tick) -> Result<Bars> {
        let ppq = f64::from(score.ppq.get());
        let units_per_tick = f64::from(QUARTER) / ppq;
        let mut bars = Bars { list: Vec::new(), units_per_tick };
        let mut changes = score.meters.changes().to_vec();
        if changes.first().is_none_or(|(at, _)| at.0 > 0) {
            changes.insert(0, (Tick(0), Meter::COMMON));
        }
        changes.retain(|(at, _)| *at <= end);
        let end = f64::from(end.0).max(1.0);
        for (index, &(from, meter)) in changes.iter().enumerate() {
            let last = index + 1 == changes.len();
            let to = changes.get(index + 1).map_or(end, |(at, _)| f64::from(at.0));
            bars.segment(f64::from(from.0), to, meter, last, ppq)?;
        }
        bars.mark();
        Ok(bars)
    }

    /// Bars of one metre between two ticks; the last one is cut at `to` unless the piece ends there.
    fn segment(&mut self, from: f64, to: f64, meter: Meter, last: bool, ppq: f64) -> Result<()> {
        let ticks = ppq * 4.0 * f64::from(meter.numerator.max(1)) / f64::from(meter.denominator.max(1));
        let count = ((to - from) / ticks - 1e-9).ceil().max(0.0);
        if count + self.list.len() as f64 + 1.0 > MAX_BARS as f64 {
            let got = (count + self.list.len() as f64 + 1.0) as u64;
            return Err(Error::TooManyBars { max: MAX_BARS as u32, got });
        }
        let base = self.place(from);
        let full = bar_length(meter);
        let whole = Metre::new(meter, full, false);
        let stop = if last { u32::MAX } else { self.place(to) };
        // One more at the end of the piece.
        for number in 0..count as u32 + u32::from(last) {
            let start = base + number * full;
            let length = full.min(stop.saturating_sub(start));
            // Metres finer than a 64th note can round to nothing.
            if length == 0 {
                break;
            }
            let cut = length < full;
            let metre = if cut { Metre::new(meter, length, self.list.is_empty()) } else { whole.clone() };
            let tick = from + f64::from(number) * ticks;
            self.list.push(Bar { start, length, meter, new_meter: false, cut, metre, tick });
        }
        Ok(())
    }

    /// Bars follow each other without gaps, whatever rounding did.
    fn mark(&mut self) {
        let (mut at, mut meter) = (0, None);
        for bar in &mut self.list {
            bar.start = at;
            at += bar.length;
            bar.new_meter = meter != Some(bar.meter);
            meter = Some(bar.meter);
        }
    }

    /// A tick on the grid of 64th notes.
    fn place(&self, tick: f64) -> u32 {
        (tick * self.units_per_tick / f64::from(SHORTEST)).round() as u32 * SHORTEST
    }

    /// Where a tick lies: the bar's index, and exact units from its start.
    pub fn locate(&self, tick: Tick) -> (usize, f64) {
        let tick = f64::from(tick.0);
        let index = self.list.partition_point(|bar| bar.tick <= tick + 1e-6).saturating_sub(1);
        (index, (tick - self.list[index].tick).max(0.0) * self.units_per_tick)
    }

    /// The bar that a place in units lies in; the last one for what lies behind.
    pub fn at(&self, unit: u32) -> usize {
        self.list.partition_point(|bar| bar.start <= unit).saturating_sub(1)
    }

    pub fn end(&self) -> u32 {
        self.list.last().map_or(0, |bar| bar.start + bar.length)
    }

    /// Half a tick in units: how far a time that rounding to ticks moved may lie from its place.
    pub fn tolerance(&self) -> f64 {
        (self.units_per_tick / 2.0).min(0.5) + 1e-6
    }
}
