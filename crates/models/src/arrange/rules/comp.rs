//! Chords by rule, voiced by [`partita_score::harmony::voice`].

use partita_nn::Rng;
use partita_score::harmony::{Voicing, voice};
use partita_tokens::song::PieceNote;

use super::meter::Pulse;
use super::{CompRule, Sheet, choose};

/// Onsets and ends in cells of a bar of 4/4.
type Bar = &'static [(u32, u32)];

const BOSSA: [Bar; 2] = [&[(0, 12), (18, 24), (36, 48)], &[(12, 18), (30, 42)]];
const CHARLESTON: [Bar; 4] =
    [&[(0, 15), (18, 24)], &[(6, 12), (30, 36)], &[(18, 24), (42, 48)], &[(0, 6), (30, 42)]];
const STABS: [Bar; 3] =
    [&[(9, 12), (21, 24), (42, 45)], &[(6, 9), (15, 18), (33, 36)], &[(12, 15), (30, 33), (36, 39)]];

/// Plays the chords of a sheet, sorted by onset, then pitch.
pub fn play(rule: CompRule, sheet: &Sheet, rng: &mut Rng) -> Vec<PieceNote> {
    let pulse = Pulse::of(sheet.piece.meter);
    let voicings = voice(sheet.symbols.iter().map(|(_, chord)| chord.as_ref()));
    let mut notes = Vec::new();
    let mut tone = 0;
    for bar in sheet.bars.clone() {
        let start = bar * pulse.length;
        let mut left = sheet.rules.notes_per_bar as usize;
        for (onset, end) in strokes(rule, sheet, &pulse, bar, rng) {
            let voicing = sheet.index_at(onset).and_then(|index| voicings[index].as_ref());
            if !sheet.rules.grid.has(onset - start) || end <= onset {
                continue;
            }
            let mut pitches = voicing.map_or_else(Vec::new, |voicing| fitting(voicing, sheet, onset));
            if rule == CompRule::Arpeggio && !pitches.is_empty() {
                pitches = vec![pitches[up_and_down(tone, pitches.len())]];
                tone += 1;
            }
            pitches.truncate(left);
            left -= pitches.len();
            notes.extend(pitches.into_iter().map(|pitch| PieceNote { onset, end, pitch }));
        }
    }
    notes
}

/// Cells of the piece at which chords begin and end; none reaches into the next chord.
fn strokes(rule: CompRule, sheet: &Sheet, pulse: &Pulse, bar: u32, rng: &mut Rng) -> Vec<(u32, u32)> {
    let (start, end) = (bar * pulse.length, (bar + 1) * pulse.length);
    let common = pulse.length == 48 && pulse.beats.len() == 4;
    let beats = || (0..pulse.beats.len()).map(|index| (pulse.beats[index], pulse.end(index))).collect();
    let off_beats = || {
        let off = (0..pulse.beats.len()).map(|index| pulse.half(index)).filter(|at| *at < pulse.length);
        off.map(|at| (at, (at + pulse.fast).min(pulse.length))).collect()
    };
    let strokes: Vec<(u32, u32)> = match rule {
        CompRule::Held => {
            let changes = sheet.changes(start, end).map(|at| at - start);
            let mut onsets: Vec<u32> = std::iter::once(0).chain(changes).collect();
            onsets.dedup();
            onsets.into_iter().map(|at| (at, pulse.length)).collect()
        }
        CompRule::Bossa if common => BOSSA[(bar % 2) as usize].to_vec(),
        CompRule::Charleston if common => CHARLESTON[choose(rng, CHARLESTON.len())].to_vec(),
        CompRule::Stabs if common => STABS[choose(rng, STABS.len())].to_vec(),
        CompRule::Beats | CompRule::Bossa => beats(),
        CompRule::OffBeats | CompRule::Charleston | CompRule::Stabs => off_beats(),
        CompRule::Arpeggio => {
            let places = (0..pulse.length).step_by(pulse.fast as usize);
            places.map(|at| (at, (at + pulse.fast).min(pulse.length))).collect()
        }
    };
    let in_piece =
        |(onset, end): (u32, u32)| (start + onset, (start + end).min(sheet.chord_end(start + onset)));
    strokes.into_iter().map(in_piece).collect()
}

/// The right hand's tones, each in the octave nearest to its own that the rules allow, rising; of too many the upper.
fn fitting(voicing: &Voicing, sheet: &Sheet, cell: u32) -> Vec<u8> {
    let allowed = sheet.rules.pitches(sheet.piece.chord_at(cell));
    let place = |pitch: &u8| {
        let octaves = allowed.iter().filter(|other| other % 12 == pitch % 12);
        octaves.min_by_key(|other| (other.abs_diff(*pitch), *other))
    };
    let mut pitches: Vec<u8> = voicing.upper.iter().filter_map(place).collect();
    pitches.sort_unstable();
    pitches.dedup();
    let surplus = pitches.len().saturating_sub(usize::from(sheet.rules.polyphony));
    pitches.split_off(surplus)
}

/// Index of a broken chord's next tone: 0 1 2 1 0 1 2 1 of three.
fn up_and_down(tone: usize, count: usize) -> usize {
    let turn = 2 * count.saturating_sub(1).max(1);
    let at = tone % turn;
    at.min(turn - at).min(count - 1)
}
