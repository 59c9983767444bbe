//! Chords by rule, for demands that cannot wait for the model's.
//!
//! A plan promises no note on a strong beat whose chord nobody knows. Where a melody is possible only with such notes (a
//! grid of half notes has no other places), chords have to be known first: plain triads of the scale, in progressions
//! that all styles share, the first under which there is a melody.

use partita_nn::Rng;
use partita_score::demands::{Demands, Plan, StrongBeats};
use partita_score::harmony::{Key, NoteName, PitchClasses};
use partita_tokens::song::ChordClass;

use super::request::{Harmony, Request};
use super::write::Task;

/// Degrees of the scale, one a bar, repeated. A last bar under a cadence is on the tonic.
const PROGRESSIONS: [[usize; 4]; 6] =
    [[0, 3, 4, 0], [0, 5, 3, 4], [0, 4, 5, 3], [0, 3, 0, 4], [0, 5, 1, 4], [0, 0, 3, 3]];
/// The stream of the seed that the progression is drawn from; no variation has it.
const STREAM: u64 = u64::MAX - 1;

/// Settles the chords of a task if no plan can be made without, and takes back rules that mean nothing.
pub(super) fn settle(request: &Request, task: &mut Task) {
    if request.harmony == Harmony::None {
        // Without chords no tone is foreign.
        task.demands.strong_beats = StrongBeats::Free;
    }
    let waits = request.harmony == Harmony::Written && task.demands.strong_beats != StrongBeats::Free;
    if !waits || task.is_filled() || Plan::exists(&task.demands) {
        return;
    }
    let free = Demands { strong_beats: StrongBeats::Free, ..task.demands.clone() };
    if !Plan::exists(&free) {
        // Chords have no part in what is wrong.
        task.demands = free;
        return;
    }
    let bars = task.written();
    for classes in progressions(request, bars.len()) {
        let length = task.given.cells_per_bar();
        let name = |class: u8| {
            NoteName::in_window(class, request.key.map_or(0, |key| i32::from(key.signature())) - 5)
        };
        let placed = || bars.iter().map(|bar| bar * length).zip(&classes);
        let chords = placed().map(|(at, class)| (at, class.chord(name))).collect();
        let known = Demands { chords, ..task.demands.clone() };
        if Plan::exists(&known) {
            task.demands = known;
            task.given.chords.extend(placed().map(|(at, class)| (at, *class)));
            task.open.iter_mut().for_each(|hidden| hidden.chords = false);
            return;
        }
    }
}

/// Progressions to try, the drawn one first; then one chord alone.
fn progressions(request: &Request, bars: usize) -> Vec<Vec<ChordClass>> {
    let scale =
        request.chord_tones.or(request.demands.scale).unwrap_or_else(|| Key::default().pitch_classes());
    let tonic = request.demands.cadence.or(request.key.map(|key| key.tonic.pitch_class())).unwrap_or(0);
    let triads = triads(scale, tonic);
    if triads.is_empty() {
        return vec![vec![ChordClass::NONE; bars]];
    }
    let first = (Rng::new(request.seed, STREAM).f64() * PROGRESSIONS.len() as f64) as usize;
    let shared =
        (0..PROGRESSIONS.len()).map(|index| PROGRESSIONS[(first + index) % PROGRESSIONS.len()].to_vec());
    let alone = (0..triads.len()).map(|degree| vec![degree]);
    let written = |degrees: Vec<usize>| {
        let mut classes: Vec<ChordClass> =
            (0..bars).map(|bar| triads[degrees[bar % degrees.len()] % triads.len()]).collect();
        if let (Some(last), Some(_)) = (classes.last_mut(), request.demands.cadence) {
            *last = triads[0];
        }
        classes
    };
    shared.chain(alone).map(written).collect()
}

/// Major, minor and diminished triads over the notes of a scale, from its tonic up.
fn triads(scale: PitchClasses, tonic: u8) -> Vec<ChordClass> {
    let over = |root: u8| {
        let mut over = (1..ChordClass::COUNT).filter_map(ChordClass::from_index).filter(|class| {
            class.parts().is_some_and(|(own, _)| own == root)
                && class.pitch_classes().len() == 3
                && class.pitch_classes().is_subset(scale)
        });
        over.next()
    };
    (0..12).filter_map(|step| over((tonic + step) % 12)).collect()
}
