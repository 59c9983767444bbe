//! How much of what the model plays was played, note for note, in the training split.

use std::collections::HashSet;
use std::ops::{ControlFlow, RangeInclusive};

use partita_models::drums::{ALL_LANES, Common, Drummer, Generate, Progress, Sampling};
use partita_models::stage::Compute;
use partita_score::{Hit, Meter};
use partita_tokens::drums::{offset_bin, velocity_bin};
use serde::Serialize;

use super::Error;
use crate::groove::{Groove, Split};

/// Shares of two-bar windows that occur in the training split, `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Copies {
    pub windows: usize,
    /// The same drums on the same steps.
    pub onsets: f64,
    /// Also the same velocity and microtiming bins.
    pub performances: f64,
    /// `onsets` of the human test split: how often drummers repeat each other.
    pub test_onsets: f64,
    pub test_performances: f64,
}

const BARS: u32 = 2;
const VELOCITIES: RangeInclusive<u8> = 1..=127;

type Onsets = Vec<(u32, u32)>;
type Performance = Vec<(u32, u32, u32, u32)>;

fn onsets(hits: &[Hit]) -> Onsets {
    let mut onsets: Onsets = hits.iter().map(|hit| (hit.step, hit.class.index() as u32)).collect();
    onsets.dedup();
    onsets
}

fn performance(hits: &[Hit]) -> Performance {
    // A generated piece starts on time, so early first strokes count as on time on both sides.
    let offset = |hit: &Hit| if hit.step == 0 { hit.offset.max(0.0) } else { hit.offset };
    let cell =
        |hit: &Hit| (hit.step, hit.class.index() as u32, velocity_bin(hit.velocity), offset_bin(offset(hit)));
    hits.iter().map(cell).collect()
}

/// Non-empty two-bar windows starting at every bar.
fn windows(groove: &Groove, split: Split) -> impl Iterator<Item = Vec<Hit>> {
    let clips = groove.split(split).filter(|clip| clip.meter == Meter::COMMON);
    let windows =
        clips.flat_map(|clip| (0..clip.bars.saturating_sub(BARS - 1)).map(|first| clip.window(first, BARS)));
    windows.filter(|hits| !hits.is_empty())
}

/// Generates `takes` four-bar patterns in each learned style and looks their windows up.
///
/// # Errors
/// What the model says.
pub fn copies(groove: &Groove, drummer: &Drummer, compute: &Compute, takes: usize) -> Result<Copies, Error> {
    let mut seen_onsets = HashSet::new();
    let mut seen_performances = HashSet::new();
    for hits in windows(groove, Split::Train) {
        seen_onsets.insert(onsets(&hits));
        seen_performances.insert(performance(&hits));
    }
    let share = |all: &[Vec<Hit>]| {
        let rate = |found: usize| found as f64 / all.len().max(1) as f64;
        let same_onsets = all.iter().filter(|hits| seen_onsets.contains(&onsets(hits))).count();
        let same = all.iter().filter(|hits| seen_performances.contains(&performance(hits))).count();
        (rate(same_onsets), rate(same))
    };
    let mut generated = Vec::new();
    for style in &drummer.config.styles {
        let common = Common {
            style: drummer.style(style)?,
            seed: 1,
            sampling: Sampling::default(),
            density: None,
            lanes: ALL_LANES,
            velocities: VELOCITIES,
        };
        let request =
            Generate { common, bars: 4, tempo: None, meter: Meter::COMMON, fill: false, variations: takes };
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        for take in drummer.generate(compute, &request, &mut watch)? {
            for first in 0..=4 - BARS {
                let window = take.pattern.slice_bars(first..first + BARS).expect("inside the pattern");
                if !window.hits.is_empty() {
                    generated.push(window.hits);
                }
            }
        }
    }
    let (same_onsets, same_performances) = share(&generated);
    let (test_onsets, test_performances) = share(&windows(groove, Split::Test).collect::<Vec<_>>());
    Ok(Copies {
        windows: generated.len(),
        onsets: same_onsets,
        performances: same_performances,
        test_onsets,
        test_performances,
    })
}
