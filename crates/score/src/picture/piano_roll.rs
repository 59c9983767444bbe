//! A score as a piano roll: pitch upwards, time to the right, a colour per track.

use super::drawing::{Anchor, Color, Drawing};
use crate::{Meter, Score, Tick};

pub(super) const PAPER: Color = Color(252, 251, 248);
pub(super) const WHITE_KEY: Color = Color(248, 246, 241);
pub(super) const BLACK_KEY: Color = Color(239, 236, 228);
pub(super) const INK: Color = Color(43, 45, 66);
const BEAT_LINE: Color = Color(228, 225, 217);
pub(super) const BAR_LINE: Color = Color(170, 166, 158);

const ROW: f64 = 8.0;
const MARGIN: f64 = 20.0;
const LABELS: f64 = 40.0;
const TITLE: f64 = 52.0;
/// Units a beat is wide in short scores; longer ones shrink to [`WIDEST`].
const BEAT: f64 = 28.0;
const WIDEST: f64 = 2400.0;
const NARROWEST: f64 = 480.0;
/// Pitches shown at least, so that a single note isn't a giant.
const FEWEST_ROWS: u8 = 14;

pub(super) const HUES: [Color; 8] = [
    Color(38, 84, 160),
    Color(200, 80, 30),
    Color(20, 130, 110),
    Color(150, 50, 120),
    Color(110, 120, 20),
    Color(190, 40, 60),
    Color(90, 70, 190),
    Color(120, 90, 60),
];

/// Draws all tracks over each other, drums too (by their note numbers).
pub fn piano_roll(score: &Score) -> Drawing {
    let notes = || score.tracks.iter().flat_map(|track| &track.notes);
    let lowest = notes().map(|note| note.pitch).min().unwrap_or(55).saturating_sub(1);
    let highest = notes().map(|note| note.pitch).max().unwrap_or(72).saturating_add(1).min(127);
    let highest = highest.max(lowest.saturating_add(FEWEST_ROWS)).min(127);
    let lowest = lowest.min(highest.saturating_sub(FEWEST_ROWS));
    let rows = f64::from(highest - lowest + 1);
    let last_bar = score.meters.at(score.end()).beats_per_bar();
    let beats = whole_bars(score).max(last_bar);
    let roll_width = (beats * BEAT).clamp(NARROWEST, WIDEST);
    let beat = roll_width / beats;
    let (left, top) = (MARGIN + LABELS, MARGIN + TITLE);
    let (right, bottom) = (left + roll_width, top + rows * ROW);
    let mut drawing = Drawing::new(right + MARGIN, bottom + MARGIN, PAPER);
    let row_top = |pitch: u8| top + f64::from(highest - pitch) * ROW;
    let x = |at: Tick| left + at.beats(score.ppq).0 * beat;
    title(&mut drawing, score);
    for pitch in lowest..=highest {
        let black = matches!(pitch % 12, 1 | 3 | 6 | 8 | 10);
        let key = if black { BLACK_KEY } else { WHITE_KEY };
        drawing.rect((left, row_top(pitch)), (roll_width, ROW), 0.0, key);
        if pitch.is_multiple_of(12) {
            let name = format!("C{}", i32::from(pitch / 12) - 1);
            drawing.text((left - 6.0, row_top(pitch) + ROW), 11.0, Anchor::End, INK, &name);
        }
    }
    // Lines closer than this are left out, numbers too.
    let mut last_line = f64::NEG_INFINITY;
    let mut last_number = f64::NEG_INFINITY;
    let starts = score.meters.bar_starts(Tick(score.end().0.max(1)), score.ppq);
    for (bar, start) in starts.iter().enumerate() {
        let at = x(*start);
        if beat >= 8.0 {
            let end = starts.get(bar + 1).map_or(right, |next| x(*next)).min(right);
            let lines = (1..).map(|count| at + f64::from(count) * beat).take_while(|line| *line < end - 0.5);
            lines.for_each(|line| drawing.line((line, top), (line, bottom), 0.8, BEAT_LINE));
        }
        if at - last_line >= 3.0 {
            drawing.line((at, top - 4.0), (at, bottom), 1.2, BAR_LINE);
            last_line = at;
        }
        if at - last_number >= 28.0 {
            drawing.text((at + 2.0, top - 6.0), 11.0, Anchor::Start, INK, &(bar + 1).to_string());
            last_number = at;
        }
    }
    for (index, track) in score.tracks.iter().enumerate() {
        let hue = HUES[index % HUES.len()];
        for note in &track.notes {
            let strength = f64::from(note.velocity.min(127)) / 127.0;
            let from = x(note.onset);
            let width = (x(note.end) - from - 0.6).max(2.0);
            let place = (from, row_top(note.pitch.min(127)) + 0.6);
            drawing.rect(place, (width, ROW - 1.2), 1.8, PAPER.mix(hue, 0.3 + 0.7 * strength));
        }
    }
    drawing
}

/// Beats up to the end of the bar the last note ends in.
fn whole_bars(score: &Score) -> f64 {
    let end = score.end();
    let starts = score.meters.bar_starts(end, score.ppq);
    let Some(last) = starts.last() else { return Meter::COMMON.beats_per_bar() };
    let full = last.beats(score.ppq).0 + score.meters.at(*last).beats_per_bar();
    full.max(end.beats(score.ppq).0)
}

/// Tempo, metre and length; below, the tracks in their colours.
fn title(drawing: &mut Drawing, score: &Score) {
    let first = |changes: usize| if changes > 1 { " (changes)" } else { "" };
    let tempo = (score.tempos.bpm_at(Tick(0)) * 10.0).round() / 10.0;
    let text = format!(
        "{tempo} bpm{} · {}{} · {:.1} s",
        first(score.tempos.changes().len()),
        score.meters.at(Tick(0)),
        first(score.meters.changes().len()),
        score.duration().0,
    );
    drawing.text((MARGIN, MARGIN + 14.0), 15.0, Anchor::Start, INK, &text);
    let mut x = MARGIN;
    for (index, track) in score.tracks.iter().enumerate() {
        let name: String = match track.name.trim() {
            "" if track.is_drums() => "drums".into(),
            "" => format!("program {}", track.program),
            name => name.chars().take(24).collect(),
        };
        let width = 18.0 + name.chars().count() as f64 * 6.6 + 14.0;
        if x + width > drawing.width {
            break;
        }
        drawing.rect((x, MARGIN + 23.0), (11.0, 9.0), 2.0, HUES[index % HUES.len()]);
        drawing.text((x + 16.0, MARGIN + 31.0), 11.0, Anchor::Start, INK, &name);
        x += width;
    }
}
