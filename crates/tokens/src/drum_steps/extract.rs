//! Drum tracks out of a sequence on a grid.

use super::DrumSet;
use partita_score::sequence::{QuantizedSequence, TimedNote};
use std::collections::BTreeMap;

/// What counts as a drum track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrumExtraction {
    /// As many silent bars end a track, another may begin; `None`: none ever does.
    pub gap_bars: Option<u32>,
    /// Shorter tracks are dropped.
    pub min_bars: u32,
    /// Longer tracks are cut here.
    pub max_steps: Option<u32>,
    /// Whether the last bar is filled up.
    pub pad_end: bool,
}

/// Sets of drums from a step of the grid on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrumSteps {
    /// The step of the first set, the beginning of a bar.
    pub start_step: u32,
    pub sets: Vec<DrumSet>,
}

/// The drum tracks of a sequence in order of time; `class` says which bit a note sets, or that it is left out.
///
/// Notes of velocity 0 are left out. Empty where a bar has no whole number of steps.
///
/// Source: note-seq, `DrumTrack.from_quantized_sequence`; Magenta, `extract_drum_tracks`.
pub fn extract(
    sequence: &QuantizedSequence,
    class: impl Fn(&TimedNote) -> Option<usize>,
    how: DrumExtraction,
) -> Vec<DrumSteps> {
    let Some(bar) = sequence.steps_per_bar().filter(|&steps| steps > 0) else { return Vec::new() };
    let mut hits: BTreeMap<u32, DrumSet> = BTreeMap::new();
    for it in sequence.notes.iter().filter(|it| it.note.velocity > 0) {
        if let Some(class) = class(&it.note).filter(|&class| class < 64) {
            *hits.entry(it.start).or_default() |= 1 << class;
        }
    }
    let gap = how.gap_bars.map(|bars| bars.saturating_mul(bar));
    let mut tracks = Vec::new();
    let mut hits = hits.into_iter().peekable();
    while let Some(&(first, _)) = hits.peek() {
        // Every track begins on a bar of the whole: all searches do.
        let start_step = first - first % bar;
        let mut sets: Vec<DrumSet> = Vec::new();
        while let Some((step, set)) = hits.next_if(|(step, _)| {
            let silent = (step - start_step).saturating_sub(sets.len() as u32);
            sets.is_empty() || gap.is_none_or(|gap| silent < gap)
        }) {
            sets.resize((step - start_step) as usize, 0);
            sets.push(set);
        }
        if how.pad_end {
            sets.resize(sets.len().next_multiple_of(bar as usize), 0);
        }
        let steps = sets.len() as u32;
        if steps < bar * how.min_bars {
            continue;
        }
        if let Some(max) = how.max_steps {
            sets.truncate(if how.pad_end { max - max % bar } else { max } as usize);
        }
        tracks.push(DrumSteps { start_step, sets });
    }
    tracks
}
