//! A voice's bar as written values: notes cut where the metre must be seen, tuplets, rests.

use super::metre::{Metre, SHORTEST};

/// A note value: `1 / 2^log` of a whole note, times 1.5 with a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// -1 breve, 0 whole, 2 quarter, 6 64th.
    pub log: i8,
    /// 0 or 1.
    pub dots: u8,
}

/// A group of notes that is played faster than written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuplet {
    /// This many of [`Tuplet::log`] in the time of `normal`: 3 and 2, or 6 and 4.
    pub actual: u8,
    pub normal: u8,
    /// The value that is counted, as in [`Value`].
    pub log: i8,
    pub first: bool,
    pub last: bool,
}

/// A written piece of time in a voice; units from the start of the bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub at: u32,
    pub length: u32,
    pub value: Value,
    pub tuplet: Option<Tuplet>,
    /// Which of the spans given it belongs to; `None` for a rest.
    pub span: Option<usize>,
}

/// A part of a bar with one grid.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    start: u32,
    length: u32,
    /// `(actual, normal)`
    ratio: Option<(u32, u32)>,
}

const WHOLE: u32 = 192;

/// The value of a plain length, with at most one dot.
pub(super) fn value(length: u32) -> Option<Value> {
    let plain = |length: u32| {
        (-1..=6).find(|&log| if log < 0 { length == 2 * WHOLE } else { length == WHOLE >> log })
    };
    let dotted =
        || (length.is_multiple_of(3)).then(|| plain(length / 3 * 2)).flatten().filter(|log| *log < 6);
    plain(length).map(|log| Value { log, dots: 0 }).or_else(|| dotted().map(|log| Value { log, dots: 1 }))
}

/// The bar of a voice. `spans`: `(start, end)` of its chords within the bar, in order, without overlaps.
pub(super) fn write(metre: &Metre, spans: &[(u32, u32)]) -> Vec<Piece> {
    let points: Vec<u32> = spans.iter().flat_map(|&(start, end)| [start, end]).collect();
    let mut cells = Vec::new();
    for (start, length) in metre.spans() {
        cut(start, length, &points, &mut cells);
    }
    join_plain(&mut cells);
    let mut pieces = Vec::new();
    let mut next = 0;
    for cell in cells {
        let end = cell.start + cell.length;
        let (mut at, before) = (cell.start, pieces.len());
        while at < end {
            while next < spans.len() && spans[next].1 <= at {
                next += 1;
            }
            let (span, to) = match spans.get(next) {
                Some(&(start, stop)) if start <= at => (Some(next), stop.min(end)),
                Some(&(start, _)) => (None, start.min(end)),
                None => (None, end),
            };
            match cell.ratio {
                None => plain(metre, at, to, span, &mut pieces),
                Some(ratio) => tuplet(cell, ratio, at, to, span, &mut pieces),
            }
            at = to;
        }
        if cell.ratio.is_some() {
            let count = pieces.len() - before;
            for (index, piece) in pieces[before..].iter_mut().enumerate() {
                if let Some(tuplet) = &mut piece.tuplet {
                    (tuplet.first, tuplet.last) = (index == 0, index + 1 == count);
                }
            }
        }
    }
    pieces
}

/// Finds the grid of a span; halves it where one grid does not hold.
fn cut(start: u32, length: u32, points: &[u32], cells: &mut Vec<Cell>) {
    let from = points.partition_point(|&point| point <= start);
    let inside = points[from..].iter().take_while(|&&point| point < start + length);
    let on = |grid: u32| inside.clone().all(|point| (point - start).is_multiple_of(grid));
    let whole = matches!(length, 12 | 24 | 48 | 96 | 192);
    let middle = start + length / 2;
    let mut cell = |ratio| cells.push(Cell { start, length, ratio });
    if on(SHORTEST) || !whole {
        cell(None);
    } else if on(length / 3) {
        cell(Some((3, 2)));
    } else if matches!(length, 24 | 48) && on(length / 6) && !inside.clone().any(|&point| point == middle) {
        cell(Some((6, 4)));
    } else if length > 12 {
        cut(start, length / 2, points, cells);
        cut(middle, length / 2, points, cells);
    } else {
        cell(None);
    }
}

fn join_plain(cells: &mut Vec<Cell>) {
    cells.dedup_by(|later, earlier| {
        let plain = later.ratio.is_none() && earlier.ratio.is_none();
        if plain {
            earlier.length += later.length;
        }
        plain
    });
}

/// A note or rest from `at` to `to` in written values, cut where the metre must be seen.
fn plain(metre: &Metre, at: u32, to: u32, span: Option<usize>, pieces: &mut Vec<Piece>) {
    let mut left = vec![(at, to)];
    while let Some((at, to)) = left.pop() {
        let length = to - at;
        let fitting = value(length).filter(|value| reads_well(metre, at, to, *value, span.is_none()));
        if let Some(value) = fitting {
            pieces.push(Piece { at, length, value, tuplet: None, span });
            continue;
        }
        match place_to_cut(metre, at, to) {
            Some(middle) => left.extend([(middle, to), (at, middle)]),
            // Nothing is shorter: a 64th stands for what lies between the places.
            None => {
                let value = value(length).unwrap_or(Value { log: 6, dots: 0 });
                pieces.push(Piece { at, length, value, tuplet: None, span });
            }
        }
    }
}

/// The strongest place inside; from a strong start the last of equals, else the first.
fn place_to_cut(metre: &Metre, at: u32, to: u32) -> Option<u32> {
    let inside = (at + 1..to).filter(|place| place.is_multiple_of(SHORTEST));
    let strongest = inside.clone().map(|place| metre.weakness(place)).min()?;
    let mut equal = inside.filter(|&place| metre.weakness(place) == strongest);
    if metre.weakness(at) <= strongest { equal.next_back() } else { equal.next() }
}

/// Whether one value may stand from `at` to `to` without hiding the metre.
fn reads_well(metre: &Metre, at: u32, to: u32, value: Value, rest: bool) -> bool {
    let inside = (at + 1..to).filter(|place| place.is_multiple_of(SHORTEST));
    let Some(crossed) = inside.map(|place| metre.weakness(place)).min() else { return true };
    let (start, end) = (metre.weakness(at), metre.weakness(to % metre.length().max(1)));
    if metre.is_compound(at) || metre.is_compound(to - 1) {
        // Whole groups, or within one of them.
        if crossed <= 1 {
            return start <= 1 && end <= 1 && (value.dots == 1 || !rest) && start <= crossed;
        }
        if rest && value.dots == 1 {
            return crossed > 2 || (start <= 1 && end <= 1);
        }
        return start <= crossed || crossed > 2;
    }
    if rest {
        return start <= crossed && value.dots == 0;
    }
    if start <= crossed {
        return true;
    }
    // A weak start: dotted within its beat up to the next strong place, or half a value off (syncopation).
    if value.dots == 1 {
        return crossed > 2 && end < start;
    }
    crossed + 1 >= start && (to - at) / 2 * 2 == to - at && metre.weakness(at + (to - at) / 2) == crossed
}

/// Within a tuplet: one to four of its parts are one value.
fn tuplet(cell: Cell, ratio: (u32, u32), at: u32, to: u32, span: Option<usize>, pieces: &mut Vec<Piece>) {
    let (actual, normal) = ratio;
    let part = cell.length / actual;
    // The written length of one part.
    let written = cell.length / normal;
    let log = value(written).map_or(6, |value| value.log);
    let mut at = at;
    while at < to {
        let parts = (to - at) / part;
        let parts = match parts {
            0 => break,
            5.. => 4,
            few => few,
        };
        let value = value(written * parts).unwrap_or(Value { log, dots: 0 });
        let tuplet = Tuplet { actual: actual as u8, normal: normal as u8, log, first: false, last: false };
        pieces.push(Piece { at, length: part * parts, value, tuplet: Some(tuplet), span });
        at += part * parts;
    }
}

#[cfg(test)]
mod tests {
    use super::super::metre::bar_length;
    use super::*;
    use crate::Meter;

    /// Written values as text: `4` quarter, `4.` dotted, `r` before a rest, `_` before what is tied, `t` tuplet.
    fn check(meter: &str, spans: &[(u32, u32)], expected: &str) {
        let meter: Meter = meter.parse().expect("valid");
        let metre = Metre::new(meter, bar_length(meter), false);
        let mut last = None;
        let text = write(&metre, spans).into_iter().map(|piece| {
            let tied = piece.span.is_some() && piece.span == last;
            last = piece.span;
            let mark = if piece.span.is_none() {
                "r"
            } else if tied {
                "_"
            } else {
                ""
            };
            let tuplet = piece.tuplet.map_or(String::new(), |it| format!("t{}", it.actual));
            format!(
                "{mark}{}{}{tuplet}",
                1u32 << piece.value.log.max(0),
                ".".repeat(usize::from(piece.value.dots))
            )
        });
        assert_eq!(text.collect::<Vec<_>>().join(" "), expected, "{meter} {spans:?}");
    }

    #[test]
    fn four_four_shows_its_middle() {
        check("4/4", &[(0, 192)], "1");
        check("4/4", &[(0, 144)], "2. r4");
        check("4/4", &[(48, 144)], "r4 2 r4");
        check("4/4", &[(72, 120)], "r4 r8 8 _8 r8 r4");
        check("4/4", &[(24, 72), (72, 96)], "r8 4 8 r2");
        check("4/4", &[(0, 72), (72, 96), (96, 192)], "4. 8 2");
        check("4/4", &[(0, 36), (36, 48), (48, 60), (60, 96)], "8. 16 16 8. r2");
        check("4/4", &[(0, 120)], "2 _8 r8 r4");
        check("4/4", &[(84, 192)], "r4 r8 r16 16 _2");
    }

    #[test]
    fn three_six_and_odd_metres_show_their_groups() {
        check("3/4", &[(0, 144)], "2.");
        check("3/4", &[(48, 144)], "r4 2");
        check("3/4", &[(24, 144)], "r8 8 _2");
        check("6/8", &[(0, 144)], "2.");
        check("6/8", &[(0, 72), (72, 120), (120, 144)], "4. 4 8");
        check("6/8", &[(24, 96)], "r8 4 _8 r4");
        check("6/8", &[], "r2.");
        check("5/4", &[(0, 240)], "2. _2");
        check("7/8", &[(0, 168)], "2 _4.");
        check("9/8", &[(0, 216)], "2. _4.");
        check("12/8", &[(0, 288)], "1.");
    }

    #[test]
    fn triplets_take_the_widest_span_that_holds() {
        check("4/4", &[(0, 16), (16, 32), (32, 48)], "8t3 8t3 8t3 r4 r2");
        check("4/4", &[(0, 32), (32, 48)], "4t3 8t3 r4 r2");
        check("4/4", &[(0, 32), (32, 64), (64, 96)], "4t3 4t3 4t3 r2");
        check("4/4", &[(0, 64), (64, 128), (128, 192)], "2t3 2t3 2t3");
        check("4/4", &[(0, 24), (24, 32), (32, 40), (40, 48)], "8 16t3 16t3 16t3 r4 r2");
        check("4/4", &[(0, 8), (8, 32), (32, 48)], "16t6 8.t6 8t6 r4 r2");
        check("2/4", &[(0, 96 - 16), (96 - 16, 96)], "4 _4t3 8t3");
    }

    #[test]
    fn every_span_on_the_grid_is_written_whole() {
        for text in ["4/4", "3/4", "6/8", "7/8", "5/4", "2/2", "12/8", "5/16", "3/2", "4/2", "1/16", "11/8"] {
            let meter: Meter = text.parse().expect("valid");
            let metre = Metre::new(meter, bar_length(meter), false);
            let end = metre.length();
            for start in (0..end).step_by(3) {
                for stop in (start + 3..=end).step_by(3) {
                    let pieces = write(&metre, &[(start, stop)]);
                    let mut at = 0;
                    for piece in &pieces {
                        assert_eq!(piece.at, at);
                        let value = piece.value;
                        let written = if value.log < 0 { 2 * WHOLE } else { WHOLE >> value.log };
                        assert_eq!(
                            piece.length * 2,
                            written * (2 + u32::from(value.dots)),
                            "{text} {start} {stop}"
                        );
                        assert_eq!(piece.span.is_some(), (start..stop).contains(&piece.at));
                        at += piece.length;
                    }
                    assert_eq!(at, end, "{text} {start} {stop}");
                }
            }
        }
    }
}
