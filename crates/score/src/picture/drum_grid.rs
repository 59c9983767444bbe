//! A drum pattern on its grid: a lane per drum, a line per step, hits where they were played.

use super::drawing::{Anchor, Color, Drawing};
use crate::{
    DrumClass, DrumPattern,
    text_grid::{ROWS, group_length},
};

const PAPER: Color = Color(252, 251, 248);
const LANE: Color = Color(244, 242, 236);
const INK: Color = Color(43, 45, 66);
const FAINT: Color = Color(150, 150, 160);
const STEP_LINE: Color = Color(228, 225, 217);
const BEAT_LINE: Color = Color(196, 192, 182);

const STEP: f64 = 16.0;
const ROW: f64 = 24.0;
const LABELS: f64 = 104.0;
const MARGIN: f64 = 20.0;
const TITLE: f64 = 44.0;
/// Above the lanes of each system: bar and beat numbers.
const NUMBERS: f64 = 26.0;
const SYSTEM_GAP: f64 = 18.0;
/// Steps before the first line and after the last, for hits played early.
const AIR: f64 = 0.75;
/// A system is as many bars as fit here, at least one.
const STEPS_PER_SYSTEM: u32 = 64;

/// Draws one lane per drum that plays; several bars a line.
pub fn drum_grid(pattern: &DrumPattern) -> Drawing {
    let used = |row: &DrumClass| pattern.hits.iter().any(|hit| hit.class == *row);
    let mut rows: Vec<DrumClass> = ROWS.into_iter().filter(used).collect();
    if rows.is_empty() {
        rows = vec![DrumClass::ClosedHat, DrumClass::Snare, DrumClass::Kick];
    }
    let bar_length = pattern.meter.steps_per_bar().max(1);
    let bars_per_system = (STEPS_PER_SYSTEM / bar_length).clamp(1, pattern.bars.max(1));
    let systems = pattern.bars.max(1).div_ceil(bars_per_system);
    let system_height = NUMBERS + rows.len() as f64 * ROW + SYSTEM_GAP;
    let steps = f64::from(bars_per_system * bar_length);
    let width = MARGIN + LABELS + (steps + 2.0 * AIR) * STEP + MARGIN;
    let height = MARGIN + TITLE + f64::from(systems) * system_height + MARGIN - SYSTEM_GAP;
    let mut drawing = Drawing::new(width, height, PAPER);
    title(&mut drawing, pattern);
    for system in 0..systems {
        let bars = system * bars_per_system..((system + 1) * bars_per_system).min(pattern.bars);
        let top = MARGIN + TITLE + f64::from(system) * system_height;
        let grid = Grid { pattern, rows: &rows, bars, top: top + NUMBERS, left: MARGIN + LABELS };
        grid.draw(&mut drawing);
    }
    drawing
}

fn title(drawing: &mut Drawing, pattern: &DrumPattern) {
    let tempo = (pattern.tempo * 10.0).round() / 10.0;
    let text = format!("{tempo} bpm · {} · {} bars", pattern.meter, pattern.bars);
    drawing.text((MARGIN, MARGIN + 16.0), 16.0, Anchor::Start, INK, &text);
}

/// Bars drawn side by side.
struct Grid<'a> {
    pattern: &'a DrumPattern,
    rows: &'a [DrumClass],
    bars: std::ops::Range<u32>,
    top: f64,
    left: f64,
}

impl Grid<'_> {
    fn draw(&self, drawing: &mut Drawing) {
        let bar_length = self.pattern.meter.steps_per_bar();
        let first = self.bars.start * bar_length;
        let steps = (self.bars.end - self.bars.start) * bar_length;
        let bottom = self.top + self.rows.len() as f64 * ROW;
        let x = |step: f64| self.left + (step - f64::from(first) + AIR) * STEP;
        for (index, row) in self.rows.iter().enumerate() {
            let y = self.top + index as f64 * ROW;
            let size = ((f64::from(steps) + 2.0 * AIR) * STEP, ROW - 2.0);
            drawing.rect((self.left, y + 1.0), size, 4.0, LANE);
            drawing.text((self.left - 10.0, y + ROW / 2.0 + 4.0), 12.0, Anchor::End, INK, row.name());
        }
        let group = group_length(self.pattern.meter);
        for step in 0..=steps {
            let in_bar = step % bar_length.max(1);
            let at = x(f64::from(first + step));
            let (width, color) = match in_bar {
                0 => (1.6, INK),
                beat if beat % group == 0 => (1.2, BEAT_LINE),
                _ => (0.8, STEP_LINE),
            };
            let above = if in_bar == 0 { 5.0 } else { 0.0 };
            drawing.line((at, self.top - above), (at, bottom), width, color);
            if step == steps {
                break;
            }
            let y = self.top - 8.0;
            if in_bar == 0 {
                let bar = self.bars.start + step / bar_length.max(1) + 1;
                drawing.text((at - 2.0, y), 13.0, Anchor::Start, INK, &bar.to_string());
            } else if in_bar.is_multiple_of(group) {
                drawing.text((at, y), 10.0, Anchor::Middle, FAINT, &(in_bar / group + 1).to_string());
            }
        }
        for hit in self.pattern.hits.iter().filter(|hit| (first..first + steps).contains(&hit.step)) {
            let Some(row) = self.rows.iter().position(|row| *row == hit.class) else { continue };
            let strength = f64::from(hit.velocity.min(127)) / 127.0;
            let (width, height) = (3.5 + 7.5 * strength, 6.0 + 13.0 * strength);
            let middle = (x(hit.position()), self.top + (row as f64 + 0.5) * ROW);
            let color = PAPER.mix(hue(hit.class), 0.3 + 0.7 * strength);
            // A thin edge of paper keeps close hits apart.
            let corner = |grow: f64| (middle.0 - width / 2.0 - grow, middle.1 - height / 2.0 - grow);
            drawing.rect(corner(0.8), (width + 1.6, height + 1.6), 3.6, LANE);
            drawing.rect(corner(0.0), (width, height), 3.0, color);
        }
    }
}

fn hue(class: DrumClass) -> Color {
    match class {
        DrumClass::Kick => Color(190, 50, 60),
        DrumClass::Snare => Color(214, 110, 20),
        DrumClass::ClosedHat => Color(20, 120, 130),
        DrumClass::OpenHat => Color(0, 150, 120),
        DrumClass::LowTom => Color(120, 60, 140),
        DrumClass::MidTom => Color(140, 70, 165),
        DrumClass::HighTom => Color(165, 85, 185),
        DrumClass::Crash => Color(40, 90, 175),
        DrumClass::Ride => Color(60, 110, 200),
    }
}
