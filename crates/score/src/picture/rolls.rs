//! Several short scores as small piano rolls side by side, on one scale: the steps of a way from one to another.

use super::drawing::{Anchor, Drawing};
use super::piano_roll::{BAR_LINE, BLACK_KEY, HUES, INK, PAPER, WHITE_KEY};
use crate::{Score, Tick};

const MARGIN: f64 = 16.0;
const LABEL: f64 = 18.0;
const GAP: f64 = 12.0;
/// Panels in a row; more go below.
const COLUMNS: usize = 8;
const WIDTH: f64 = 132.0;
/// Height of all pitches together, as far as a row is not lower than [`LOWEST_ROW`].
const HEIGHT: f64 = 120.0;
const LOWEST_ROW: f64 = 2.0;
const HIGHEST_ROW: f64 = 12.0;

/// Draws each score under its name. All have the pitches and the length of the widest and longest; of drums only the
/// notes that sound in one of them have a row.
pub fn piano_rolls(panels: &[(String, &Score)]) -> Drawing {
    let scores: Vec<&Score> = panels.iter().map(|(_, score)| *score).collect();
    let rows = pitches(&scores);
    let row = (HEIGHT / rows.len() as f64).clamp(LOWEST_ROW, HIGHEST_ROW);
    let height = row * rows.len() as f64;
    let beats = scores.iter().map(|score| bars_in_beats(score)).fold(1.0, f64::max);
    let columns = panels.len().clamp(1, COLUMNS);
    let lines = panels.len().div_ceil(columns).max(1);
    let across = columns as f64 * (WIDTH + GAP) - GAP + 2.0 * MARGIN;
    let down = lines as f64 * (height + LABEL + GAP) - GAP + 2.0 * MARGIN;
    let mut drawing = Drawing::new(across, down, PAPER);
    for (index, (name, score)) in panels.iter().enumerate() {
        let left = MARGIN + (index % columns) as f64 * (WIDTH + GAP);
        let top = MARGIN + LABEL + (index / columns) as f64 * (height + LABEL + GAP);
        drawing.text((left, top - 5.0), 11.0, Anchor::Start, INK, name);
        drawing.rect((left, top), (WIDTH, height), 0.0, WHITE_KEY);
        for (place, pitch) in rows.iter().enumerate() {
            if matches!(pitch % 12, 1 | 3 | 6 | 8 | 10) {
                drawing.rect((left, top + place as f64 * row), (WIDTH, row), 0.0, BLACK_KEY);
            }
        }
        let x = |at: Tick| left + at.beats(score.ppq).0 / beats * WIDTH;
        for start in score.meters.bar_starts(Tick(score.end().0.max(1)), score.ppq) {
            if x(start) < left + WIDTH - 0.5 {
                drawing.line((x(start), top), (x(start), top + height), 0.8, BAR_LINE);
            }
        }
        for (track, hue) in score.tracks.iter().zip(HUES.iter().cycle()) {
            for note in &track.notes {
                let Ok(place) = rows.binary_search_by(|pitch| note.pitch.cmp(pitch)) else { continue };
                let strength = 0.3 + 0.7 * f64::from(note.velocity.min(127)) / 127.0;
                let (from, to) = (x(note.onset), x(note.end).min(left + WIDTH));
                let corner = (from, top + place as f64 * row + 0.2);
                drawing.rect(corner, ((to - from - 0.4).max(1.5), row - 0.4), 0.8, PAPER.mix(*hue, strength));
            }
        }
    }
    drawing
}

/// The pitches that have a row, the highest first: all between the outer ones, or, where all is drums, those that sound.
fn pitches(scores: &[&Score]) -> Vec<u8> {
    let tracks = || scores.iter().flat_map(|score| &score.tracks);
    let mut sounding: Vec<u8> = tracks().flat_map(|track| &track.notes).map(|note| note.pitch).collect();
    sounding.sort_unstable_by(|a, b| b.cmp(a));
    sounding.dedup();
    let (Some(&highest), Some(&lowest)) = (sounding.first(), sounding.last()) else { return vec![60] };
    if tracks().all(|track| track.is_drums() || track.notes.is_empty()) {
        return sounding;
    }
    (lowest.saturating_sub(1)..=highest.saturating_add(1).min(127)).rev().collect()
}

/// Beats up to the end of the bar in which the last note ends.
fn bars_in_beats(score: &Score) -> f64 {
    let end = score.end();
    // A note that ends with a bar does not begin the next one.
    let starts = score.meters.bar_starts(Tick(end.0.saturating_sub(1)), score.ppq);
    let last = starts.last().copied().unwrap_or_default();
    last.beats(score.ppq).0 + score.meters.at(last).beats_per_bar()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Note, Track};

    fn score(channel: u8, notes: &[(u32, u32, u8)]) -> Score {
        let notes = notes.iter().map(|&(onset, end, pitch)| Note {
            onset: Tick(onset),
            end: Tick(end),
            pitch,
            velocity: 100,
        });
        Score {
            tracks: vec![Track { channel, notes: notes.collect(), ..Track::default() }],
            ..Score::default()
        }
    }

    #[test]
    fn all_panels_share_one_scale_of_pitch_and_time() {
        let ppq = u32::from(Score::default().ppq.get());
        let low = score(0, &[(0, ppq, 60)]);
        let high = score(0, &[(0, 8 * ppq, 72)]);
        assert_eq!(pitches(&[&low, &high]), (59..=73).rev().collect::<Vec<u8>>());
        assert_eq!((bars_in_beats(&low), bars_in_beats(&high)), (4.0, 8.0));
        let drawing = piano_rolls(&[("a".into(), &low), ("b".into(), &high)]);
        let svg = drawing.to_svg();
        assert!(svg.contains(">a</text>") && svg.contains(">b</text>"), "{svg}");
        assert_eq!(drawing.width, 2.0 * WIDTH + GAP + 2.0 * MARGIN);
        assert!(!drawing.to_png(1.0).unwrap().is_empty());
    }

    #[test]
    fn drums_have_a_row_for_what_sounds_and_many_panels_go_below() {
        let beat = score(9, &[(0, 10, 36), (20, 30, 51)]);
        assert_eq!(pitches(&[&beat]), [51, 36]);
        let panels: Vec<_> = (0..9).map(|step| (step.to_string(), &beat)).collect();
        let two = piano_rolls(&panels);
        assert!(two.height > 1.9 * (piano_rolls(&panels[..8]).height - 2.0 * MARGIN));
        let silent = Score::default();
        assert!(!piano_rolls(&[("nothing".into(), &silent)]).shapes.is_empty());
        assert!(!piano_rolls(&[]).shapes.is_empty());
    }
}
