//! Basses by rule.

use partita_nn::Rng;
use partita_score::demands::PitchSet;
use partita_score::harmony::{Chord, PitchClasses};
use partita_tokens::song::PieceNote;

use super::meter::Pulse;
use super::{BassRule, Sheet, choose};

/// Where basses stay around, E2.
const MIDDLE: u8 = 40;
/// 3+3+2 eighths in cells.
const TRESILLO: [(u32, Tone); 3] = [(0, Tone::Root), (18, Tone::Fifth), (36, Tone::Octave)];
/// Bars of sixteenths that a syncopated bass may play.
const SYNCOPATED: [&[(u32, Tone)]; 3] = [
    &[
        (0, Tone::Root),
        (9, Tone::Root),
        (18, Tone::Octave),
        (24, Tone::Root),
        (33, Tone::Fifth),
        (42, Tone::Octave),
    ],
    &[
        (0, Tone::Root),
        (6, Tone::Root),
        (15, Tone::Octave),
        (21, Tone::Fifth),
        (30, Tone::Root),
        (39, Tone::Root),
    ],
    &[
        (0, Tone::Root),
        (18, Tone::Root),
        (21, Tone::Octave),
        (24, Tone::Root),
        (36, Tone::Fifth),
        (45, Tone::Root),
    ],
];

/// What of the chord is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Root,
    Fifth,
    Octave,
    /// One on the way, of a walking bass.
    Way,
}

/// Plays a bass under the chords of a sheet, sorted, one note at a time.
pub fn play(rule: BassRule, sheet: &Sheet, rng: &mut Rng) -> Vec<PieceNote> {
    let pulse = Pulse::of(sheet.piece.meter);
    let mut notes: Vec<PieceNote> = Vec::new();
    let mut before = MIDDLE;
    for bar in sheet.bars.clone() {
        let start = bar * pulse.length;
        let places = places(rule, sheet, &pulse, start, rng);
        let mut left = sheet.rules.notes_per_bar;
        for (index, &(cell, tone)) in places.iter().enumerate() {
            let Some(chord) = sheet.chord_at(cell) else { continue };
            let next = places.get(index + 1).map_or(start + pulse.length, |(next, _)| *next);
            // Chords have their places even if the limit is low.
            let owed = places[index + 1..].iter().filter(|(at, _)| is_change(sheet, *at)).count() as u32;
            if left <= owed && !is_change(sheet, cell) {
                continue;
            }
            let class = sheet.piece.chord_at(cell);
            let own = PitchClasses::EMPTY.with(chord.bass().pitch_class());
            let allowed = sheet.rules.pitches(class) | sheet.rules.anchored(class, own);
            let Some(pitch) = pitch(tone, sheet, chord, cell, next, before, allowed, rng) else { continue };
            left = left.saturating_sub(1);
            let end = next.min(sheet.silence(cell));
            notes.push(PieceNote { onset: cell, end, pitch });
            before = pitch;
        }
    }
    notes
}

fn is_change(sheet: &Sheet, cell: u32) -> bool {
    sheet.changes(cell, cell + 1).next().is_some()
}

/// Cells of the piece and what is played there, rising; at every chord its root.
fn places(rule: BassRule, sheet: &Sheet, pulse: &Pulse, start: u32, rng: &mut Rng) -> Vec<(u32, Tone)> {
    let common = pulse.length == 48 && pulse.beats.len() == 4;
    let fifths = || {
        let on = if pulse.strong.len() > 1 { &pulse.strong } else { &pulse.beats };
        let tone = |index: usize| if index.is_multiple_of(2) { Tone::Root } else { Tone::Fifth };
        on.iter().enumerate().map(|(index, at)| (*at, tone(index))).collect::<Vec<_>>()
    };
    let octaves = || {
        let pair = |index: usize| [(pulse.beats[index], Tone::Root), (pulse.half(index), Tone::Octave)];
        (0..pulse.beats.len()).flat_map(pair).filter(|(at, _)| *at < pulse.length).collect::<Vec<_>>()
    };
    let places = match rule {
        BassRule::Roots => pulse.strong.iter().map(|at| (*at, Tone::Root)).collect(),
        BassRule::RootsAndFifths => fifths(),
        BassRule::Eighths => {
            (0..pulse.length).step_by(pulse.fast as usize).map(|at| (at, Tone::Root)).collect()
        }
        BassRule::Octaves => octaves(),
        BassRule::Walking => pulse.beats.iter().map(|at| (*at, Tone::Way)).collect(),
        BassRule::Tresillo if pulse.length == 48 => TRESILLO.to_vec(),
        BassRule::Tresillo => fifths(),
        BassRule::Syncopated if common => SYNCOPATED[choose(rng, SYNCOPATED.len())].to_vec(),
        BassRule::Syncopated => octaves(),
    };
    let mut places: Vec<(u32, Tone)> = places.into_iter().map(|(at, tone)| (start + at, tone)).collect();
    for change in sheet.changes(start, start + pulse.length) {
        places.retain(|(at, _)| *at != change);
        places.push((change, Tone::Root));
    }
    places.sort_by_key(|(at, _)| *at);
    places.retain(|(at, _)| sheet.rules.grid.has(at - start));
    places
}

#[expect(clippy::too_many_arguments, reason = "all there is to know of one note")]
fn pitch(
    tone: Tone,
    sheet: &Sheet,
    chord: &Chord,
    cell: u32,
    next: u32,
    before: u8,
    allowed: PitchSet,
    rng: &mut Rng,
) -> Option<u8> {
    // Near the middle, so that lines do not drift away.
    let near = |class: u8| nearest(class, before / 2 + MIDDLE / 2, allowed);
    let root = || near(chord.bass().pitch_class()).or_else(|| near(chord.root.pitch_class()));
    match tone {
        Tone::Root => root(),
        Tone::Fifth => near(fifth(chord)).or_else(root),
        Tone::Octave => {
            let root = root()?;
            Some(if allowed.contains(root + 12) { root + 12 } else { root })
        }
        Tone::Way => way(sheet, chord, cell, next, before, allowed, rng).or_else(root),
    }
}

/// A walking bass between two chords: a step into the next root at their border, else a chord tone not far away.
fn way(
    sheet: &Sheet,
    chord: &Chord,
    cell: u32,
    next: u32,
    before: u8,
    allowed: PitchSet,
    rng: &mut Rng,
) -> Option<u8> {
    let goal = sheet.chord_at(next).filter(|_| is_change(sheet, next));
    if let Some(goal) = goal {
        let goal = nearest(goal.bass().pitch_class(), before, PitchSet::range(sheet.rules.range.clone()))?;
        let mut steps = [goal + 1, goal.saturating_sub(1), goal + 2, goal.saturating_sub(2)];
        if rng.below(2) == 0 {
            steps.reverse();
        }
        let step = steps.into_iter().find(|pitch| allowed.contains(*pitch) && *pitch != before);
        if step.is_some() {
            return step;
        }
    }
    let bar_line = cell.is_multiple_of(sheet.piece.cells_per_bar());
    let tones = PitchSet::of_classes(chord.pitch_classes()) & allowed;
    let root = PitchSet::of_classes(PitchClasses::EMPTY.with(chord.root.pitch_class()));
    let mut close: Vec<u8> = (if bar_line { tones & root } else { tones })
        .iter()
        .filter(|pitch| *pitch != before && pitch.abs_diff(before) <= 7)
        .collect();
    // Two choices, the ones that lead back to the middle first.
    close.sort_by_key(|pitch| (pitch.abs_diff(MIDDLE + 3), *pitch));
    close.truncate(2);
    if close.is_empty() { None } else { Some(close[choose(rng, close.len())]) }
}

/// Pitch class of a chord's fifth, whatever its quality; its root without one.
fn fifth(chord: &Chord) -> u8 {
    let fifth = chord.degrees().into_iter().find(|(value, _)| *value == 5);
    (chord.root.pitch_class() + fifth.map_or(0, |(_, semitones)| semitones)) % 12
}

fn nearest(class: u8, near: u8, allowed: PitchSet) -> Option<u8> {
    let own = allowed & PitchSet::of_classes(PitchClasses::EMPTY.with(class % 12));
    own.iter().min_by_key(|pitch| (pitch.abs_diff(near), *pitch))
}
