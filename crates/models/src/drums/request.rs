//! What a drummer is asked for. Everything is checked here, once, before any work.

use std::ops::{Range, RangeInclusive};

use partita_score::{DrumClass, DrumPattern, Hit, Meter};
use partita_tokens::drums::MAX_STEPS_PER_BAR;

use super::{Error, Style};

/// Which drums may sound, by class index.
pub type Lanes = [bool; 9];

/// Every drum.
pub const ALL_LANES: Lanes = [true; 9];

/// The lanes of a list of drums.
pub fn lanes_of(drums: &[DrumClass]) -> Lanes {
    let mut lanes = [false; 9];
    drums.iter().for_each(|drum| lanes[drum.index()] = true);
    lanes
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// `(0, 4]`; 1 leaves the model's probabilities as they are.
    pub temperature: f64,
    /// Only the k likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability, `(0, 1]`.
    pub top_p: f64,
}

impl Sampling {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Range`] naming the first setting out of range.
    pub fn check(&self) -> Result<(), Error> {
        if !(self.temperature > 0.0 && self.temperature <= 4.0) {
            return Err(Error::range("temperature", "(0, 4]", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::range("top-p", "(0, 1]", self.top_p));
        }
        Ok(())
    }
}

impl Default for Sampling {
    /// A little safer than the model's own probabilities, without their unlikeliest twentieth.
    fn default() -> Sampling {
        Sampling { temperature: 0.9, top_k: 0, top_p: 0.95 }
    }
}

/// What every request shares.
#[derive(Clone, Debug)]
pub struct Common {
    pub style: Style,
    pub seed: u64,
    pub sampling: Sampling,
    /// `[0, 1]`: from sparse to busy; `None` leaves it to the style.
    pub density: Option<f64>,
    pub lanes: Lanes,
    pub velocities: RangeInclusive<u8>,
}

/// New bars from nothing.
#[derive(Clone, Debug)]
pub struct Generate {
    pub common: Common,
    /// `1..=32`
    pub bars: u32,
    /// Beats per minute, `40..=300`; `None` takes the style's own.
    pub tempo: Option<f64>,
    pub meter: Meter,
    /// The last bar is a fill.
    pub fill: bool,
    /// How many, `1..=64`; variation `i` draws from stream `i` of the seed.
    pub variations: usize,
}

/// More bars after given ones, in their metre and tempo.
#[derive(Clone, Debug)]
pub struct Continue {
    pub common: Common,
    pub before: DrumPattern,
    /// `1..=32`
    pub bars: u32,
    /// The last bar is a fill.
    pub fill: bool,
    pub variations: usize,
}

/// Some cells of a pattern played anew.
#[derive(Clone, Debug)]
pub struct Infill {
    /// `common.lanes` are the drums to play anew.
    pub common: Common,
    pub pattern: DrumPattern,
    /// Bars to play anew, counted from 0.
    pub bars: Range<u32>,
    pub variations: usize,
}

impl Infill {
    /// Whether a hit is to be played anew (and so leaves the pattern).
    pub fn opens(&self, hit: &Hit) -> bool {
        self.bars.contains(&(hit.step / self.pattern.meter.steps_per_bar()))
            && self.common.lanes[hit.class.index()]
    }
}

/// A performance of given hits: every hit stays, its velocity and microtiming move.
#[derive(Clone, Debug)]
pub struct Humanize {
    pub style: Style,
    pub seed: u64,
    pub pattern: DrumPattern,
    /// `[0, 1]`: from the pattern as it is to the model's performance.
    pub amount: f64,
}

pub(crate) fn check_variations(variations: usize) -> Result<(), Error> {
    if (1..=64).contains(&variations) {
        Ok(())
    } else {
        Err(Error::range("variations", "1..=64", variations))
    }
}

pub(crate) fn check_common(common: &Common) -> Result<(), Error> {
    common.sampling.check()?;
    let (low, high) = (*common.velocities.start(), *common.velocities.end());
    if low < 1 || high > 127 || low > high {
        return Err(Error::range("velocity", "1-127, low first", format!("{low}-{high}")));
    }
    if let Some(density) = common.density.filter(|d| !(0.0..=1.0).contains(d)) {
        return Err(Error::range("density", "[0, 1]", density));
    }
    Ok(())
}

pub(crate) fn check_bars(bars: u32) -> Result<(), Error> {
    if (1..=32).contains(&bars) { Ok(()) } else { Err(Error::range("bars", "1..=32", bars)) }
}

pub(crate) fn check_tempo(tempo: f64) -> Result<(), Error> {
    if (40.0..=300.0).contains(&tempo) { Ok(()) } else { Err(Error::range("tempo", "40..=300", tempo)) }
}

pub(crate) fn check_meter(meter: Meter) -> Result<(), Error> {
    let steps = meter.steps_per_bar();
    let fits = (1..=MAX_STEPS_PER_BAR).contains(&steps) && meter.denominator <= 16;
    if fits {
        Ok(())
    } else {
        Err(Error::range("time", "bars of 1..=32 sixteenths", format!("{meter} with {steps}")))
    }
}
