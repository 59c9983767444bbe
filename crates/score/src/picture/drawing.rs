//! The shapes a picture is made of, and their SVG.

use super::raster;
use crate::{Error, Result};
use std::fmt::Write;

/// sRGB, opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// This colour with `part`, `[0, 1]`, of the other one.
    pub fn mix(self, other: Color, part: f64) -> Color {
        let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
        Color(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    fn parse(text: &str) -> Option<Color> {
        let number = u32::from_str_radix(text.strip_prefix('#').filter(|hex| hex.len() == 6)?, 16).ok()?;
        let [_, red, green, blue] = number.to_be_bytes();
        Some(Color(red, green, blue))
    }
}

impl std::fmt::Display for Color {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// Which end of a text its `x` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

const ANCHORS: [(Anchor, &str); 3] =
    [(Anchor::Start, "start"), (Anchor::Middle, "middle"), (Anchor::End, "end")];

/// Everything is in SVG units, y down.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// `radius` rounds the corners.
    Rect {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        radius: f64,
        fill: Color,
    },
    Line {
        from: (f64, f64),
        to: (f64, f64),
        width: f64,
        color: Color,
    },
    /// `y` is the baseline, `size` the em.
    Text {
        x: f64,
        y: f64,
        size: f64,
        anchor: Anchor,
        color: Color,
        text: String,
    },
}

/// A picture as a list of shapes, later ones on top.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

impl Drawing {
    /// A blank picture.
    pub(super) fn new(width: f64, height: f64, background: Color) -> Drawing {
        let mut drawing = Drawing { width, height, shapes: Vec::new() };
        drawing.rect((0.0, 0.0), (width, height), 0.0, background);
        drawing
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), radius: f64, fill: Color) {
        self.shapes.push(Shape::Rect { x, y, width, height, radius, fill });
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, color: Color) {
        self.shapes.push(Shape::Line { from, to, width, color });
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, color: Color, text: &str) {
        let text = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        self.shapes.push(Shape::Text { x, y, size, anchor, color, text });
    }

    /// As an SVG document, one shape per line.
    pub fn to_svg(&self) -> String {
        let (width, height) = (number(self.width), number(self.height));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\">\n"
        );
        for shape in &self.shapes {
            let _ = match shape {
                Shape::Rect { x, y, width, height, radius, fill } => {
                    let [x, y, width, height, radius] =
                        [x, y, width, height, radius].map(|value| number(*value));
                    let size = format!("width=\"{width}\" height=\"{height}\" rx=\"{radius}\"");
                    writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" {size} fill=\"{fill}\"/>")
                }
                Shape::Line { from, to, width, color } => {
                    let [x1, y1, x2, y2, width] = [from.0, from.1, to.0, to.1, *width].map(number);
                    let ends = format!("x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"");
                    writeln!(svg, "<line {ends} stroke=\"{color}\" stroke-width=\"{width}\"/>")
                }
                Shape::Text { x, y, size, anchor, color, text } => {
                    let [x, y, size] = [x, y, size].map(|value| number(*value));
                    let anchor = ANCHORS.iter().find(|pair| pair.0 == *anchor).map_or("start", |pair| pair.1);
                    let style = format!("font-size=\"{size}\" fill=\"{color}\" text-anchor=\"{anchor}\"");
                    writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {style}>{}</text>", escape(text))
                }
            };
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Reads back what [`Drawing::to_svg`] wrote; numbers come back to a hundredth.
    ///
    /// # Errors
    /// [`Error::Picture`] naming the first element that is not of this subset.
    pub fn from_svg(svg: &str) -> Result<Drawing> {
        let mut drawing = None;
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap_or((tag, ""));
            let name = tag.split([' ', '/', '\n']).next().unwrap_or_default();
            let failed = || {
                let shown: String = tag.chars().take(60).collect();
                Error::Picture(format!("svg must be one this program drew, got <{shown}>"))
            };
            match (name, &mut drawing) {
                _ if tag.starts_with(['/', '?', '!']) => {}
                ("svg", None) => {
                    let size = attribute(tag, "width").zip(attribute(tag, "height"));
                    let (width, height) = size.ok_or_else(failed)?;
                    drawing = Some(Drawing { width, height, shapes: Vec::new() });
                }
                (_, Some(drawing)) => drawing.shapes.push(shape(name, tag, text).ok_or_else(failed)?),
                _ => return Err(failed()),
            }
        }
        drawing.ok_or_else(|| Error::Picture("svg must have an <svg> element, found none".into()))
    }

    /// As PNG, 8-bit RGB; `scale` is pixels per unit, `(0, 16]`.
    ///
    /// # Errors
    /// See [`super::svg_to_png`].
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>> {
        raster::png(self, scale)
    }
}

fn shape(name: &str, tag: &str, text: &str) -> Option<Shape> {
    let at = |name| attribute(tag, name);
    let color = |name| Color::parse(raw_attribute(tag, name)?);
    Some(match name {
        "rect" => Shape::Rect {
            x: at("x")?,
            y: at("y")?,
            width: at("width")?,
            height: at("height")?,
            radius: at("rx")?,
            fill: color("fill")?,
        },
        "line" => Shape::Line {
            from: (at("x1")?, at("y1")?),
            to: (at("x2")?, at("y2")?),
            width: at("stroke-width")?,
            color: color("stroke")?,
        },
        "text" => {
            let anchor = raw_attribute(tag, "text-anchor")?;
            Shape::Text {
                x: at("x")?,
                y: at("y")?,
                size: at("font-size")?,
                anchor: ANCHORS.iter().find(|pair| pair.1 == anchor)?.0,
                color: color("fill")?,
                text: unescape(text),
            }
        }
        _ => return None,
    })
}

fn raw_attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let rest = tag.get(start..)?;
    rest.get(..rest.find('"')?)
}

fn attribute(tag: &str, name: &str) -> Option<f64> {
    raw_attribute(tag, name)?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Hundredths are finer than any screen; fewer digits keep files small.
fn number(value: f64) -> String {
    // Adding zero turns -0 into 0.
    format!("{}", (value * 100.0).round() / 100.0 + 0.0)
}

const ESCAPES: [(&str, &str); 4] = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;")];

fn escape(text: &str) -> String {
    ESCAPES.iter().fold(text.to_owned(), |text, (plain, escaped)| text.replace(plain, escaped))
}

fn unescape(text: &str) -> String {
    ESCAPES.iter().rev().fold(text.to_owned(), |text, (plain, escaped)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svg_reads_back_as_drawn() {
        let mut drawing = Drawing::new(100.0, 50.5, Color(250, 249, 240));
        drawing.rect((1.25, -2.0), (3.0, 4.0), 1.5, Color(1, 2, 3));
        drawing.line((0.0, 0.0), (9.0, 9.0), 0.5, Color(255, 0, 128));
        drawing.text((5.0, 6.0), 11.0, Anchor::End, Color(0, 0, 0), "a < b & \"c\" > &lt;");
        assert_eq!(Drawing::from_svg(&drawing.to_svg()), Ok(drawing));
    }

    #[test]
    fn foreign_svgs_are_errors() {
        for svg in
            ["", "<svg>", "<rect/>", "<svg width=\"1\" height=\"1\"><circle/></svg>", "<", "<>", "<svg é"]
        {
            assert!(matches!(Drawing::from_svg(svg), Err(Error::Picture(_))), "{svg}");
        }
    }
}
