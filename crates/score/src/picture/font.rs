//! A stroke font for labels: capitals, digits and a little punctuation on a grid 4 wide and 6 high.
//!
//! A glyph is a list of polylines; each point is two digits, x then y, y down from cap height to baseline.

/// Cap height in ems.
pub(super) const CAP_HEIGHT: f64 = 0.68;
/// Width of every letter with its space, in ems (that of usual monospaced fonts, as the SVG asks for).
pub(super) const ADVANCE: f64 = 0.6;
/// Grid units in the cap height.
pub(super) const UNITS: f64 = 6.0;
/// Grid units a glyph is wide.
pub(super) const GLYPH_WIDTH: f64 = 4.0;

/// The lines of a letter in grid units; small letters look like capitals, unknown ones like a box.
pub(super) fn lines(letter: char) -> impl Iterator<Item = [(f64, f64); 2]> {
    glyph(letter.to_ascii_uppercase()).split(',').flat_map(|polyline| {
        let points: Vec<(f64, f64)> = polyline.split_whitespace().filter_map(point).collect();
        let single = points.first().filter(|_| points.len() == 1).map(|dot| [*dot, *dot]);
        let pairs: Vec<_> = points.windows(2).map(|pair| [pair[0], pair[1]]).collect();
        pairs.into_iter().chain(single)
    })
}

fn point(text: &str) -> Option<(f64, f64)> {
    let number: u8 = text.parse().ok()?;
    Some((f64::from(number / 10), f64::from(number % 10)))
}

fn glyph(letter: char) -> &'static str {
    match letter {
        ' ' => "",
        'A' => "06 02 20 42 46, 04 44",
        'B' => "00 30 41 42 33 03, 33 44 45 36 06 00",
        'C' => "41 30 10 01 05 16 36 45",
        'D' => "00 20 42 44 26 06 00",
        'E' => "40 00 06 46, 03 33",
        'F' => "40 00 06, 03 33",
        'G' => "41 30 10 01 05 16 36 45 43 23",
        'H' => "00 06, 40 46, 03 43",
        'I' => "10 30, 20 26, 16 36",
        'J' => "40 45 36 16 05",
        'K' => "00 06, 40 03 46",
        'L' => "00 06 46",
        'M' => "06 00 23 40 46",
        'N' => "06 00 46 40",
        'O' => "10 30 41 45 36 16 05 01 10",
        'P' => "06 00 30 41 42 33 03",
        'Q' => "10 30 41 45 36 16 05 01 10, 24 46",
        'R' => "06 00 30 41 42 33 03, 23 46",
        'S' => "41 30 10 01 02 13 33 44 45 36 16 05",
        'T' => "00 40, 20 26",
        'U' => "00 05 16 36 45 40",
        'V' => "00 26 40",
        'W' => "00 16 23 36 40",
        'X' => "00 46, 40 06",
        'Y' => "00 23 40, 23 26",
        'Z' => "00 40 06 46",
        '0' => "10 30 41 45 36 16 05 01 10, 22 24",
        '1' => "11 20 26, 16 36",
        '2' => "01 10 30 41 42 06 46",
        '3' => "00 40 22 32 43 45 36 16 05",
        '4' => "30 04 44, 30 36",
        '5' => "40 00 02 32 43 45 36 16 05",
        '6' => "30 10 01 05 16 36 45 43 32 03",
        '7' => "00 40 16",
        '8' => "10 30 41 42 33 13 02 01 10, 13 04 05 16 36 45 44 33",
        '9' => "43 14 03 01 10 30 41 45 36 16",
        '-' | '–' => "03 43",
        '+' => "03 43, 21 25",
        '.' => "26",
        ',' => "25 17",
        ':' => "22, 25",
        '·' => "23",
        '/' => "06 40",
        '#' => "10 16, 30 36, 02 42, 04 44",
        '(' => "30 11 15 36",
        ')' => "10 31 35 16",
        '_' => "06 46",
        '\'' => "20 21",
        '"' => "10 11, 30 31",
        '=' => "02 42, 04 44",
        '%' => "06 40, 00, 46",
        '&' => "46 11 20 31 04 05 16 26 44",
        '!' => "20 24, 26",
        '?' => "01 10 30 41 42 24, 26",
        _ => "00 40 46 06 00",
    }
}
