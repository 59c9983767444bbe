//! Drum patterns and scores as pictures.
//!
//! Both drawings are lists of rectangles, lines and short texts ([`Drawing`]), written as SVG or painted to PNG from
//! the same list, so the two always agree. The PNG's letters come from a small stroke font of our own.

mod drawing;
mod drum_grid;
mod font;
mod heat_map;
mod line_chart;
mod piano_roll;
mod raster;
mod rolls;

pub use drawing::{Color, Drawing};
pub use drum_grid::drum_grid;
pub use heat_map::{HeatMap, heat_map};
pub use line_chart::{Line, LineChart, line_chart};
pub use piano_roll::piano_roll;
pub use rolls::piano_rolls;

use crate::{DrumPattern, Result, Score};

/// A drum pattern as SVG: velocity is size and shade, microtiming the distance from the step's line.
pub fn drum_grid_svg(pattern: &DrumPattern) -> String {
    drum_grid(pattern).to_svg()
}

/// A score as SVG: a piano roll with a colour per track, velocity by shade.
pub fn piano_roll_svg(score: &Score) -> String {
    piano_roll(score).to_svg()
}

/// Paints an SVG written by this module; `scale` is pixels per SVG unit, `(0, 16]`.
///
/// # Errors
/// [`crate::Error::Picture`] for an SVG with anything but rectangles, lines and texts, or a picture of more than
/// 64 million pixels; [`crate::Error::OutOfRange`] for the scale.
pub fn svg_to_png(svg: &str, scale: f64) -> Result<Vec<u8>> {
    Drawing::from_svg(svg)?.to_png(scale)
}
