//! Every melody there is on a coarse grid with few pitches, judged by the verifier, against plan and walk.

use super::{Melody, below, random, score};
use partita_score::demands::{
    Demands, Plan, Required, RhythmGrid, Step, StrongBeats, Walk, strong_cells, violations,
};
use partita_score::harmony::{Chord, ChordKind, NoteName, PitchClasses};
use partita_score::{Meter, Note, Tick};
use std::{collections::BTreeSet, sync::Arc};

/// A melody as onsets and pitches.
type Line = Vec<(u32, u8)>;

/// Demands so small that all melodies can be tried: quarters as the finest grid, three to five pitches.
fn tiny(next: &mut dyn FnMut() -> f64) -> Demands {
    let (numerator, bars) = [(2, 1), (3, 1), (4, 1), (5, 1), (1, 3), (2, 2), (2, 2)][below(next, 7)];
    let mut demands = Demands::new(Meter { numerator, denominator: 4 }, bars, 100.0);
    let low = 60 + below(next, 5) as u8;
    demands.range = low..=low + 2 + below(next, if demands.cells() > 48 { 2 } else { 3 }) as u8;
    demands.grid =
        [RhythmGrid::Quarter, RhythmGrid::Quarter, RhythmGrid::Half, RhythmGrid::Whole][below(next, 4)];
    let pitch = |next: &mut dyn FnMut() -> f64| low + below(next, 6) as u8;
    if next() < 0.4 {
        demands.scale = Some(PitchClasses::from_bits(((next() * 4095.0) as u16) | 1 << (low % 12)));
    }
    if next() < 0.2 {
        demands.forbidden = [pitch(next)].into_iter().collect();
    }
    for _ in 0..below(next, 4).saturating_sub(1) {
        let pitch = pitch(next);
        demands.required.push(if next() < 0.5 {
            Required::Pitch(pitch)
        } else {
            Required::Class(pitch % 12)
        });
    }
    if next() < 0.5 {
        demands.max_leap = Some(below(next, 4) as u8);
    }
    if next() < 0.4 {
        let low = below(next, 3) as u32;
        demands.density = Some(low..=low + below(next, 3) as u32);
    }
    if next() < 0.35 {
        demands.cadence = Some(pitch(next) % 12);
    }
    demands.strong_beats =
        [StrongBeats::Free, StrongBeats::Licensed, StrongBeats::Licensed, StrongBeats::Strict]
            [below(next, 4)];
    let mut cell = 0;
    while cell < demands.cells() && next() < 0.85 {
        let kind = [ChordKind::Major, ChordKind::Minor, ChordKind::Power][below(next, 3)];
        let chord = Chord::new(NoteName::in_window((next() * 12.0) as u8, -3), kind);
        demands.chords.push((cell, (next() < 0.9).then_some(chord)));
        cell += 12 * (1 + below(next, 3) as u32);
    }
    if next() < 0.4 {
        let mut at = 12 * below(next, 3) as u32 + if next() < 0.1 { 6 } else { 0 };
        while at + 12 <= demands.cells() && next() < 0.7 {
            let end = (at + [6, 12, 12, 18, 24][below(next, 5)]).min(demands.cells());
            let velocity = 1 + below(next, 127) as u8;
            demands.locked.push(Note { onset: Tick(at), end: Tick(end), pitch: pitch(next), velocity });
            at = end + 6 * below(next, 4) as u32;
        }
    }
    if next() < 0.3 {
        let cells = demands.cells() as usize;
        let start = 6 * below(next, cells / 6) as u32;
        let end = (start + 6 + 6 * below(next, cells / 6) as u32).min(demands.cells());
        demands.open.push(if next() < 0.1 { start..start } else { start..end });
        if end + 12 < demands.cells() && next() < 0.5 {
            demands.open.push(end + 6..demands.cells());
        }
    }
    demands
}

/// The notes of a line: kept ones as they are, others as long as may be.
fn notes(demands: &Demands, line: &[(u32, u8)]) -> Vec<Note> {
    let note = |at: usize| {
        let (cell, pitch) = line[at];
        let same = |kept: &&Note| (kept.onset.0, kept.pitch) == (cell, pitch);
        if let Some(kept) = demands.locked.iter().find(same) {
            return *kept;
        }
        let next = line.get(at + 1).map_or(demands.cells(), |(cell, _)| *cell);
        let close = demands.open.iter().find(|open| open.contains(&cell)).map_or(next, |open| open.end);
        Note { onset: Tick(cell), end: Tick(next.min(close)), pitch, velocity: 80 }
    };
    (0..line.len()).map(note).collect()
}

/// All lines on quarters that the verifier finds nothing wrong with.
fn all_that_obey(demands: &Demands) -> BTreeSet<Line> {
    let kept: Vec<(u32, u8)> = demands.locked.iter().map(|note| (note.onset.0, note.pitch)).collect();
    let mut lines: Vec<Line> = vec![vec![]];
    let mut cells: Vec<u32> = (0..demands.cells()).step_by(12).chain(kept.iter().map(|it| it.0)).collect();
    cells.sort_unstable();
    cells.dedup();
    for cell in cells {
        let choices: Vec<Option<u8>> = match kept.iter().find(|it| it.0 == cell) {
            Some((_, pitch)) => vec![Some(*pitch)],
            None => demands.range.clone().map(Some).chain([None]).collect(),
        };
        let with = |line: &Line, pitch: Option<u8>| {
            let mut line = line.clone();
            line.extend(pitch.map(|pitch| (cell, pitch)));
            line
        };
        lines = lines.iter().flat_map(|line| choices.iter().map(move |pitch| with(line, *pitch))).collect();
    }
    let obeys = |line: &Line| {
        let score = score(demands, &notes(demands, line), &demands.chords, 12);
        violations(&score, 0, demands).is_empty()
    };
    lines.into_iter().filter(obeys).collect()
}

/// All lines that a walk can make.
fn all_walks(walk: &Walk, melody: &Melody, found: &mut BTreeSet<Line>) {
    if walk.is_done() {
        found.insert(melody.notes.iter().map(|note| (note.onset.0, note.pitch)).collect());
        return;
    }
    let steps: Vec<Step> = walk.steps().collect();
    assert!(!steps.is_empty(), "stuck at {} of {:?}", walk.cell(), walk.plan().demands());
    let demands = walk.plan().demands();
    for step in steps {
        // A rest just where the note must end, or before an onset, changes no line.
        if let Step::Rest { cell } = step
            && walk.hold_limit() != Some(cell)
            && (cell % 12 != 0 || demands.cells() > 36)
        {
            continue;
        }
        let (mut walk, mut melody) = (walk.clone(), melody.clone());
        melody.take(&mut walk, step);
        all_walks(&walk, &melody, found);
    }
}

#[test]
fn a_plan_and_its_walks_are_all_that_obeys_and_nothing_else() {
    let (mut possible, mut impossible, mut lines) = (0, 0, 0);
    for seed in 0..800 {
        let demands = tiny(&mut random(seed));
        if demands.strong_beats != StrongBeats::Free && demands.chords.is_empty() {
            continue;
        }
        let expected = all_that_obey(&demands);
        let Ok(plan) = Plan::new(&demands) else {
            assert!(
                expected.is_empty(),
                "seed {seed}: no plan, but {:?} obeys {demands:?}",
                expected.first()
            );
            impossible += 1;
            continue;
        };
        let mut walked = BTreeSet::new();
        all_walks(&Walk::start(&Arc::new(plan)), &Melody::default(), &mut walked);
        assert!(!walked.is_empty());
        let only = |one: &BTreeSet<Line>, other: &BTreeSet<Line>| one.difference(other).next().cloned();
        assert_eq!(only(&walked, &expected), None, "seed {seed}: walked, but does not obey {demands:?}");
        assert_eq!(only(&expected, &walked), None, "seed {seed}: obeys, but is not walked {demands:?}");
        possible += 1;
        lines += walked.len();
    }
    assert!(possible > 200 && impossible > 130, "{possible} possible, {impossible} not");
    assert!(lines > 10_000, "{lines}");
}

/// Without chords no note may be relied on for a strong beat, but for those that are kept.
#[test]
fn a_plan_for_unknown_chords_is_possible_if_it_is_without_notes_on_strong_beats() {
    let (mut possible, mut impossible) = (0, 0);
    for seed in 0..600 {
        let mut demands = tiny(&mut random(seed + 50_000));
        if demands.strong_beats == StrongBeats::Free {
            continue;
        }
        demands.chords.clear();
        let strong = strong_cells(demands.meter);
        let relied = |line: &Line| {
            line.iter().any(|(cell, _)| {
                let kept = demands.locked.iter().any(|note| note.onset.0 == *cell);
                !kept && strong.contains(&(cell % demands.cells_per_bar()))
            })
        };
        let safe = all_that_obey(&demands).iter().any(|line| !relied(line));
        assert_eq!(Plan::new(&demands).is_ok(), safe, "seed {seed}: {demands:?}");
        if safe {
            possible += 1;
        } else {
            impossible += 1;
        }
    }
    assert!(possible > 50 && impossible > 50, "{possible} possible, {impossible} not");
}
