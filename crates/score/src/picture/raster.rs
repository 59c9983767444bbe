//! Shapes to pixels, with edges smoothed by distance, and pixels to PNG.

use super::{
    drawing::{Anchor, Color, Drawing, Shape},
    font,
};
use crate::{Error, Result};

/// Pixels a picture may have.
const MOST_PIXELS: f64 = 64e6;
/// Stroke width of letters, in ems.
const STROKE: f64 = 0.085;

struct Canvas {
    width: usize,
    height: usize,
    /// RGB, row by row.
    pixels: Vec<u8>,
}

pub(super) fn png(drawing: &Drawing, scale: f64) -> Result<Vec<u8>> {
    if !(scale > 0.0 && scale <= 16.0) {
        return Err(Error::OutOfRange { name: "scale", min: 0.0, max: 16.0, got: scale });
    }
    let (width, height) = ((drawing.width * scale).round(), (drawing.height * scale).round());
    if !(width >= 1.0 && height >= 1.0 && width * height <= MOST_PIXELS) {
        return Err(Error::Picture(format!("size must be 1 to 64 million pixels, got {width} by {height}")));
    }
    let (width, height) = (width as usize, height as usize);
    let mut canvas = Canvas { width, height, pixels: vec![255; width * height * 3] };
    for shape in &drawing.shapes {
        canvas.draw(shape, scale);
    }
    encode(&canvas).map_err(|error| Error::Picture(error.to_string()))
}

fn encode(canvas: &Canvas) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, canvas.width as u32, canvas.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

impl Canvas {
    fn draw(&mut self, shape: &Shape, scale: f64) {
        match shape {
            Shape::Rect { x, y, width, height, radius, fill } => {
                let [x, y, width, height, radius] = [x, y, width, height, radius].map(|value| value * scale);
                self.rect((x, y, x + width, y + height), radius, *fill);
            }
            Shape::Line { from, to, width, color } => {
                let half = width * scale / 2.0;
                let [(x1, y1), (x2, y2)] = [*from, *to].map(|(x, y)| (x * scale, y * scale));
                // Upright lines are boxes without round ends.
                if x1 == x2 {
                    self.rect((x1 - half, y1.min(y2), x1 + half, y1.max(y2)), 0.0, *color);
                } else if y1 == y2 {
                    self.rect((x1.min(x2), y1 - half, x1.max(x2), y1 + half), 0.0, *color);
                } else {
                    self.stroke((x1, y1), (x2, y2), half, *color);
                }
            }
            Shape::Text { x, y, size, anchor, color, text } => {
                let em = size * scale;
                let width = text.chars().count() as f64 * font::ADVANCE * em;
                let unit = font::CAP_HEIGHT * em / font::UNITS;
                let mut left = x * scale
                    - match anchor {
                        Anchor::Start => 0.0,
                        Anchor::Middle => width / 2.0,
                        Anchor::End => width,
                    };
                let margin = (font::ADVANCE * em - font::GLYPH_WIDTH * unit) / 2.0;
                let top = y * scale - font::CAP_HEIGHT * em;
                for letter in text.chars() {
                    for line in font::lines(letter) {
                        let [from, to] = line.map(|(x, y)| (left + margin + x * unit, top + y * unit));
                        self.stroke(from, to, STROKE * em / 2.0, *color);
                    }
                    left += font::ADVANCE * em;
                }
            }
        }
    }

    /// A box with rounded corners. Coverage is exact for straight edges and by distance at the corners.
    fn rect(&mut self, (left, top, right, bottom): (f64, f64, f64, f64), radius: f64, color: Color) {
        let radius = radius.min((right - left) / 2.0).min((bottom - top) / 2.0).max(0.0);
        let overlap = |low: f64, high: f64, at: f64| (high.min(at + 1.0) - low.max(at)).clamp(0.0, 1.0);
        self.paint((left, top, right, bottom), color, |x, y| {
            let straight = overlap(left, right, x) * overlap(top, bottom, y);
            let (x, y) = (x + 0.5, y + 0.5);
            let dx = (left + radius - x).max(x - right + radius);
            let dy = (top + radius - y).max(y - bottom + radius);
            if dx > 0.0 && dy > 0.0 && radius > 0.0 {
                straight.min((radius - dx.hypot(dy) + 0.5).clamp(0.0, 1.0))
            } else {
                straight
            }
        });
    }

    /// A line with round ends.
    fn stroke(&mut self, from: (f64, f64), to: (f64, f64), half: f64, color: Color) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let squared = dx * dx + dy * dy;
        let reach = half + 0.5;
        let bounds = (
            from.0.min(to.0) - reach,
            from.1.min(to.1) - reach,
            from.0.max(to.0) + reach,
            from.1.max(to.1) + reach,
        );
        self.paint(bounds, color, |x, y| {
            let (px, py) = (x + 0.5 - from.0, y + 0.5 - from.1);
            let along = if squared > 0.0 { ((px * dx + py * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
            let distance = (px - along * dx).hypot(py - along * dy);
            // Thinner than a pixel means paler.
            (reach - distance).clamp(0.0, 1.0) * (half * 2.0).min(1.0)
        });
    }

    /// Blends the colour by `coverage(left, top)` of each pixel in the bounds.
    fn paint(
        &mut self,
        (left, top, right, bottom): (f64, f64, f64, f64),
        Color(red, green, blue): Color,
        coverage: impl Fn(f64, f64) -> f64,
    ) {
        // The casts saturate: what is left of or above the picture starts at 0.
        let columns = (left.floor() as usize)..(right.ceil() as usize).min(self.width);
        let rows = (top.floor() as usize)..(bottom.ceil() as usize).min(self.height);
        for row in rows {
            for column in columns.clone() {
                let part = coverage(column as f64, row as f64);
                if part <= 0.0 {
                    continue;
                }
                let at = (row * self.width + column) * 3;
                for (pixel, value) in self.pixels[at..at + 3].iter_mut().zip([red, green, blue]) {
                    let old = f64::from(*pixel);
                    *pixel = (old + (f64::from(value) - old) * part).round() as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(drawing: &Drawing, scale: f64) -> (usize, Vec<u8>) {
        let png = drawing.to_png(scale).expect("small");
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a png");
        let mut buffer = vec![0; reader.output_buffer_size().expect("fits")];
        let info = reader.next_frame(&mut buffer).expect("a frame");
        (info.width as usize, buffer)
    }

    #[test]
    fn half_covered_pixels_are_half_blended() {
        let mut drawing = Drawing::new(4.0, 1.0, Color(255, 255, 255));
        drawing.rect((0.5, 0.0), (2.0, 1.0), 0.0, Color(0, 0, 0));
        let (width, buffer) = pixels(&drawing, 1.0);
        let reds: Vec<u8> = buffer.iter().step_by(3).copied().collect();
        assert_eq!((width, reds), (4, vec![128, 0, 128, 255]));
    }

    #[test]
    fn every_printable_ascii_letter_leaves_ink() {
        for letter in '!'..='~' {
            let mut drawing = Drawing::new(20.0, 20.0, Color(255, 255, 255));
            drawing.text((2.0, 15.0), 14.0, Anchor::Start, Color(0, 0, 0), &letter.to_string());
            assert!(pixels(&drawing, 1.0).1.iter().any(|value| *value < 128), "{letter}");
        }
    }

    #[test]
    fn sizes_out_of_range_are_errors() {
        for (side, scale) in
            [(1e9, 1.0), (0.0, 1.0), (f64::NAN, 1.0), (9.0, 0.0), (9.0, 17.0), (9.0, f64::NAN)]
        {
            assert!(Drawing::new(side, side, Color(0, 0, 0)).to_png(scale).is_err(), "{side} {scale}");
        }
        let far = [Shape::Rect {
            x: -1e300,
            y: 1e300,
            width: 2e300,
            height: -1.0,
            radius: 9.0,
            fill: Color(0, 0, 0),
        }];
        assert!(Drawing { width: 9.0, height: 9.0, shapes: far.to_vec() }.to_png(1.0).is_ok());
    }
}
