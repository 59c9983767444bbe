//! A matrix as shades: which of the columns each row looks at.

use super::drawing::{Anchor, Color, Drawing};

use super::piano_roll::{INK, PAPER};
const FULL: Color = Color(20, 60, 130);
const LEFT: f64 = 56.0;
const TOP: f64 = 64.0;
const MARGIN: f64 = 24.0;
/// Cells of a side, at most: larger matrices are averaged.
const CELLS: usize = 160;
/// Units of the longer side.
const SIDE: f64 = 640.0;

/// Values in rows of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    pub title: String,
    /// Names of the axes: of what rows and columns count.
    pub rows: String,
    pub columns: String,
    /// Row-major; those below 0 and those that are no numbers count as 0.
    pub values: Vec<f32>,
    pub width: usize,
}

/// Draws the values, the darkest the highest; zeros stay blank.
pub fn heat_map(map: &HeatMap) -> Drawing {
    let width = map.width.max(1);
    let height = map.values.len() / width;
    let (columns, rows) = (width.min(CELLS), height.clamp(1, CELLS));
    let cell = SIDE / columns.max(rows) as f64;
    let (right, bottom) = (LEFT + columns as f64 * cell, TOP + rows as f64 * cell);
    let mut drawing = Drawing::new(right + MARGIN, bottom + MARGIN + 20.0, PAPER);
    drawing.text((LEFT, 30.0), 16.0, Anchor::Start, INK, &map.title);
    let text = format!("{} down, {} to the right", map.rows, map.columns);
    drawing.text((LEFT, 50.0), 12.0, Anchor::Start, INK, &text);
    let part = |index: usize, parts: usize, whole: usize| {
        index * whole / parts..((index + 1) * whole).div_ceil(parts)
    };
    let mean = |row: usize, column: usize| {
        let (mut sum, mut count) = (0.0, 0usize);
        for y in part(row, rows, height).filter(|y| *y < height) {
            for x in part(column, columns, width) {
                let value = map.values[y * width + x];
                sum += if value > 0.0 { f64::from(value) } else { 0.0 };
                count += 1;
            }
        }
        sum / count.max(1) as f64
    };
    let means: Vec<f64> = (0..rows * columns).map(|at| mean(at / columns, at % columns)).collect();
    let highest = means.iter().copied().fold(0.0, f64::max);
    for (at, value) in means.iter().enumerate().filter(|(_, value)| **value > 0.0) {
        // The square root, so that weak places are seen beside strong ones.
        let shade = (value / highest).sqrt();
        let (x, y) = (LEFT + (at % columns) as f64 * cell, TOP + (at / columns) as f64 * cell);
        drawing.rect((x, y), (cell, cell), 0.0, PAPER.mix(FULL, shade));
    }
    drawing.line((LEFT, TOP), (LEFT, bottom), 1.0, INK);
    drawing.line((LEFT, bottom), (right, bottom), 1.0, INK);
    for (label, x) in [("0".to_owned(), LEFT), (width.to_string(), right)] {
        drawing.text((x, bottom + 16.0), 11.0, Anchor::Middle, INK, &label);
    }
    drawing.text((LEFT - 6.0, bottom), 11.0, Anchor::End, INK, &height.to_string());
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_is_darkest_and_zeros_are_blank() {
        let map = HeatMap {
            title: "t".into(),
            rows: "r".into(),
            columns: "c".into(),
            values: vec![0.0, 1.0, 0.25, f32::NAN],
            width: 2,
        };
        let svg = heat_map(&map).to_svg();
        assert_eq!(svg.matches("<rect").count(), 3, "paper and two cells: {svg}");
        assert!(svg.contains("#143c82"), "{svg}");
        let large = HeatMap { values: vec![0.5; 1000 * 600], width: 1000, ..map };
        assert!(heat_map(&large).to_svg().matches("<rect").count() <= CELLS * CELLS + 1);
    }
}
