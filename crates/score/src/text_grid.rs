//! A drum pattern as a grid of characters for the terminal.
//!
//! One row per drum that plays, cymbals on top and the kick at the bottom; velocity by shade, beats apart by spaces,
//! bars by lines. With colour, early hits are cyan and late ones yellow.

use crate::{DrumClass, DrumPattern, Meter};
use std::{collections::HashMap, fmt::Write};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// Blocks and lines instead of ASCII.
    pub unicode: bool,
    /// Columns; bars that don't fit go below. At least one beat is shown however narrow.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Style { color: false, unicode: true, width: 80 }
    }
}

/// Rows from top to bottom.
pub(crate) const ROWS: [DrumClass; 9] = {
    use DrumClass::*;
    [Crash, Ride, OpenHat, ClosedHat, HighTom, MidTom, LowTom, Snare, Kick]
};

/// Columns left of the first bar line: the longest name, a space each side.
const LABEL: usize = 12;
/// Offsets from here on are coloured as early or late, in steps.
const NOTICEABLE: f32 = 0.1;

const BOLD: &str = "1";
const DIM: &str = "2";
const EARLY: &str = "36";
const LATE: &str = "33";
const ON_TIME: &str = "0";

/// Steps that belong together to the eye: a beat, or a dotted quarter in 6/8, 9/8, 12/8.
pub(crate) fn group_length(meter: Meter) -> u32 {
    match (meter.numerator, meter.denominator) {
        (numerator, 8) if numerator > 3 && numerator % 3 == 0 => 6,
        (_, 8) => 2,
        (numerator, 16) if numerator % 3 == 0 => 3,
        _ => 4,
    }
}

/// Draws the pattern; every line ends in a line feed.
pub fn render(pattern: &DrumPattern, style: Style) -> String {
    let mut out = String::new();
    let dot = if style.unicode { "·" } else { "-" };
    let (tempo, meter, bars) = (pattern.tempo, pattern.meter, pattern.bars);
    let plural = if bars == 1 { "" } else { "s" };
    let title = format!("{} bpm {dot} {meter} {dot} {bars} bar{plural}", (tempo * 10.0).round() / 10.0);
    let _ = writeln!(out, "{}", paint(style, BOLD, &title));
    // The loudest stroke of each cell.
    let mut cells: HashMap<(DrumClass, u32), (u8, f32)> = HashMap::new();
    for hit in &pattern.hits {
        let cell = cells.entry((hit.class, hit.step)).or_insert((0, 0.0));
        if hit.velocity > cell.0 {
            *cell = (hit.velocity, hit.offset);
        }
    }
    let rows: Vec<DrumClass> =
        ROWS.into_iter().filter(|row| pattern.hits.iter().any(|hit| hit.class == *row)).collect();
    if rows.is_empty() {
        out.push_str("(no hits)\n");
        return out;
    }
    let groups = groups(pattern);
    let mut rest = &groups[..];
    while !rest.is_empty() {
        let (system, after) = rest.split_at(fitting(rest, style.width));
        rest = after;
        out.push('\n');
        header(&mut out, style, system);
        for row in &rows {
            let _ = write!(out, "{:>1$} ", row.name(), LABEL - 1);
            let mut line = Line::new(style);
            for (index, group) in system.iter().enumerate() {
                line.divider(index == 0 || group.beat == 0);
                for step in group.start..group.start + group.length {
                    line.cell(cells.get(&(*row, step)).copied());
                }
            }
            line.divider(true);
            line.finish(&mut out);
        }
    }
    legend(&mut out, style);
    out
}

/// A beat of a bar.
struct Group {
    bar: u32,
    beat: u32,
    start: u32,
    length: u32,
}

fn groups(pattern: &DrumPattern) -> Vec<Group> {
    let (bar_length, length) = (pattern.meter.steps_per_bar(), group_length(pattern.meter));
    let of_bar = |bar: u32| {
        let starts = (0..bar_length).step_by(length as usize).enumerate();
        starts.map(move |(beat, in_bar)| {
            let length = length.min(bar_length - in_bar);
            Group { bar, beat: beat as u32, start: bar * bar_length + in_bar, length }
        })
    };
    (0..pattern.bars).flat_map(of_bar).collect()
}

/// How many groups go on this line: whole bars if one fits, else as many beats as fit.
fn fitting(groups: &[Group], width: usize) -> usize {
    let (mut columns, mut bars_end, mut beats_end) = (LABEL + 1, 0, 0);
    for (index, group) in groups.iter().enumerate() {
        columns += group.length as usize + 1;
        if columns > width {
            break;
        }
        beats_end = index + 1;
        if groups.get(index + 1).is_none_or(|next| next.beat == 0) {
            bars_end = index + 1;
        }
    }
    // A bar that was begun on the line above ends alone, so that bars stay readable.
    if bars_end > 0 { bars_end } else { beats_end.max(1) }
}

/// Bar numbers, then beat numbers.
fn header(out: &mut String, style: Style, system: &[Group]) {
    let mut bars = format!("{:>1$}  ", "bar", LABEL - 1);
    let mut beats = " ".repeat(LABEL + 1);
    let mut column = LABEL + 1;
    for (index, group) in system.iter().enumerate() {
        if index == 0 || group.beat == 0 {
            number(&mut bars, column, group.bar + 1);
        }
        number(&mut beats, column, group.beat + 1);
        column += group.length as usize + 1;
    }
    let _ = writeln!(out, "{}", paint(style, BOLD, &bars));
    let _ = writeln!(out, "{}", paint(style, DIM, &beats));
}

/// Writes a number at a column unless the one before reaches into it.
fn number(line: &mut String, column: usize, number: u32) {
    if line.len() <= column {
        line.push_str(&" ".repeat(column - line.len()));
        let _ = write!(line, "{number}");
    }
}

/// A row being written; neighbours of one colour share their escape codes.
struct Line {
    style: Style,
    code: &'static str,
    span: String,
    done: String,
}

impl Line {
    fn new(style: Style) -> Line {
        Line { style, code: ON_TIME, span: String::new(), done: String::new() }
    }

    fn push(&mut self, code: &'static str, text: &str) {
        // A space looks the same in any colour.
        if code != self.code && text != " " {
            self.done.push_str(&paint(self.style, self.code, &self.span));
            self.span.clear();
            self.code = code;
        }
        self.span.push_str(text);
    }

    fn divider(&mut self, bar: bool) {
        match (bar, self.style.unicode) {
            (false, _) => self.push(DIM, " "),
            (true, true) => self.push(DIM, "│"),
            (true, false) => self.push(DIM, "|"),
        }
    }

    /// `hit`: velocity and offset.
    fn cell(&mut self, hit: Option<(u8, f32)>) {
        let Some((velocity, offset)) = hit else {
            self.push(DIM, if self.style.unicode { "·" } else { "." });
            return;
        };
        let code = match offset {
            late if late >= NOTICEABLE => LATE,
            early if early <= -NOTICEABLE => EARLY,
            _ => ON_TIME,
        };
        self.push(code, shades(self.style)[usize::from(velocity.min(127) / 32)]);
    }

    fn finish(mut self, out: &mut String) {
        self.done.push_str(&paint(self.style, self.code, &self.span));
        out.push_str(&self.done);
        out.push('\n');
    }
}

fn shades(style: Style) -> [&'static str; 4] {
    if style.unicode { ["░", "▒", "▓", "█"] } else { ["-", "+", "x", "X"] }
}

fn legend(out: &mut String, style: Style) {
    let _ = write!(out, "\n{:>1$} ", "velocity", LABEL - 1);
    for (shade, from) in shades(style).into_iter().zip([1, 32, 64, 96]) {
        let _ = write!(out, " {shade} {from}..");
    }
    if style.color {
        let (early, late) = (paint(style, EARLY, "early"), paint(style, LATE, "late"));
        let _ = write!(out, "   {early} {late}");
    }
    out.push('\n');
}

fn paint(style: Style, code: &str, text: &str) -> String {
    if style.color && code != ON_TIME && !text.is_empty() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hit;

    fn groove(meter: &str, bars: u32) -> DrumPattern {
        let mut pattern = DrumPattern::empty(meter.parse().expect("valid"), 96.0, bars);
        let length = pattern.meter.steps_per_bar();
        for step in 0..pattern.steps() {
            let mut add = |class, velocity, offset| pattern.hits.push(Hit { step, class, velocity, offset });
            if step % 2 == 0 {
                add(DrumClass::ClosedHat, 30 + (step % 4) as u8 * 20, 0.2);
            }
            match step % length {
                0 => add(DrumClass::Kick, 127, 0.0),
                4 | 12 => add(DrumClass::Snare, 90, -0.2),
                _ => {}
            }
        }
        pattern
    }

    #[test]
    fn a_bar_of_four_reads_as_expected() {
        let text = render(&groove("4/4", 1), Style { unicode: false, ..Style::default() });
        let expected = "\
96 bpm - 4/4 - 1 bar

        bar  1
             1    2    3    4
 closed-hat |-.x. -.x. -.x. -.x.|
      snare |.... x... .... x...|
       kick |X... .... .... ....|

   velocity  - 1.. + 32.. x 64.. X 96..
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        for meter in ["4/4", "7/8", "6/8", "5/16", "32/4", "1/16", "3/2"] {
            for width in [20, 40, 80, 200] {
                let text = render(&groove(meter, 9), Style { width, ..Style::default() });
                let grid = text.lines().filter(|line| line.contains('│'));
                let widest = grid.map(|line| line.chars().count()).max().expect("has rows");
                assert!(widest <= width, "{meter} at {width}: {widest}");
            }
        }
    }

    #[test]
    fn colour_marks_late_and_early_and_plain_has_no_escapes() {
        let colored = render(&groove("4/4", 2), Style { color: true, ..Style::default() });
        assert!(colored.contains("\x1b[33m░\x1b[0m") && colored.contains("\x1b[36m▓\x1b[0m"));
        assert!(!render(&groove("4/4", 2), Style::default()).contains('\x1b'));
        let empty = DrumPattern::empty(Meter::COMMON, 96.0, 4);
        assert!(render(&empty, Style::default()).ends_with("(no hits)\n"));
    }
}
