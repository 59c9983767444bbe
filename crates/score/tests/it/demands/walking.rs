//! Walks of thousands of random demands: they never get stuck and obey.

use super::{Melody, below, random, score};
use partita_score::Note;
use partita_score::demands::{Contradiction, Plan, Step, StrongBeats, Walk, random_demands, violations};
use partita_score::harmony::{Chord, ChordKind, NoteName};
use std::sync::Arc;

/// Any chords for a bar, the same ones in the walk and in the score.
fn chords(next: &mut dyn FnMut() -> f64, start: u32, cells: u32) -> Vec<(u32, Option<Chord>)> {
    let kinds: Vec<_> = ChordKind::all().collect();
    let mut chords = Vec::new();
    let mut cell = start + if next() < 0.8 { 0 } else { 12 };
    while cell < start + cells && next() < 0.7 {
        let chord =
            Chord::new(NoteName::in_window((next() * 12.0) as u8, -3), kinds[below(next, kinds.len())]);
        chords.push((cell, (next() < 0.9).then_some(chord)));
        cell += 1 + (next() * 30.0) as u32;
    }
    chords
}

/// Walks at random; `eager` notes come more often than rests and bar lines.
fn walk(next: &mut dyn FnMut() -> f64, plan: &Arc<Plan>) -> (Melody, Vec<(u32, Option<Chord>)>) {
    let demands = plan.demands().clone();
    let (mut walk, mut melody, mut told) = (Walk::start(plan), Melody::default(), demands.chords.clone());
    let (mut bar_told, eager) = (None, next());
    while !walk.is_done() {
        let bar = walk.bar();
        if demands.chords.is_empty() && bar_told != Some(bar) {
            bar_told = Some(bar);
            let new = chords(next, bar * plan.cells_per_bar(), plan.cells_per_bar());
            walk.set_chords(bar, &new).expect("chords of the current bar");
            told.extend(new);
        }
        let steps: Vec<Step> = walk.steps().collect();
        assert!(!steps.is_empty(), "stuck at cell {} of {demands:?} after {:?}", walk.cell(), melody.notes);
        if let Some(step) = walk.forced() {
            assert_eq!(steps, [step]);
        }
        let onsets = steps.iter().filter(|step| matches!(step, Step::Onset { .. })).count();
        let others = steps.len() - onsets;
        let at = if onsets > 0 && (others == 0 || next() < eager) {
            // Near ones more often, or most bars would have few notes.
            let nearest = 1 + below(next, onsets);
            below(next, nearest)
        } else {
            onsets + below(next, others)
        };
        melody.take(&mut walk, steps[at]);
    }
    assert!(walk.steps().next().is_none());
    (melody, told)
}

/// Plays some bars of a melody that obeys anew, with all else kept: it can be done, since it was. Returns whether it
/// was tried.
fn infill(next: &mut dyn FnMut() -> f64, plan: &Plan, notes: &[Note]) -> usize {
    let mut demands = plan.demands().clone();
    // Notes on strong beats can't be relied on before their chords are known, though they were there.
    if !demands.open.is_empty() || demands.strong_beats != StrongBeats::Free && demands.chords.is_empty() {
        return 0;
    }
    let (one, other) = (below(next, demands.bars as usize) as u32, below(next, demands.bars as usize) as u32);
    let open = one.min(other) * plan.cells_per_bar()..(one.max(other) + 1) * plan.cells_per_bar();
    let is_kept = |note: &&Note| !open.contains(&note.onset.0) || demands.locked.contains(note);
    let locked = notes.iter().filter(is_kept).copied().collect();
    (demands.locked, demands.open) = (locked, vec![open]);
    let plan = Plan::new(&demands).unwrap_or_else(|error| panic!("{error}: {demands:?} was {notes:?}"));
    let (melody, told) = walk(next, &Arc::new(plan));
    let score = score(&demands, &melody.notes, &told, 480);
    assert_eq!(violations(&score, 0, &demands), [], "infilled {demands:?}");
    1
}

#[test]
fn walks_never_get_stuck_and_obey() {
    let (mut planned, mut notes, mut infilled) = (0, 0, 0);
    for seed in 0..2500 {
        let mut next = random(seed);
        let demands = random_demands(&mut next);
        let plan = match Plan::new(&demands) {
            Ok(plan) => Arc::new(plan),
            Err(Contradiction::Conflict { demands: named, why }) => {
                assert!(!named.is_empty() && !why.is_empty(), "{demands:?}");
                continue;
            }
            Err(error) => panic!("{error}: {demands:?}"),
        };
        planned += 1;
        for _ in 0..2 {
            let (melody, told) = walk(&mut next, &plan);
            notes += melody.notes.len();
            let ppq = [12, 24, 480, 960][below(&mut next, 4)];
            let score = score(&demands, &melody.notes, &told, ppq);
            assert_eq!(violations(&score, 0, &demands), [], "seed {seed}: {demands:?}");
            infilled += infill(&mut next, &plan, &melody.notes);
        }
    }
    assert!(infilled > 500, "{infilled}");
    assert!(planned > 1000 && notes > 20_000, "{planned} of 2500 had a plan, {notes} notes");
}
