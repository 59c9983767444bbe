//! Which short notes share a beam.

use super::metre::{Metre, QUARTER};
use super::values::Piece;

/// What a beam does at a note; a note has one entry for each of its flags, the outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beam {
    Begin,
    Continue,
    End,
    ForwardHook,
    BackwardHook,
}

/// The beams of a voice's bar, parallel to `pieces`; empty for notes that have none.
pub(super) fn beams(metre: &Metre, pieces: &[Piece]) -> Vec<Vec<Beam>> {
    let mut beams = vec![Vec::new(); pieces.len()];
    let mut from = 0;
    while from < pieces.len() {
        let key = key(metre, pieces, from);
        let run = (from..pieces.len())
            .take_while(|&index| flags(&pieces[index]) > 0 && self::key(metre, pieces, index) == key);
        let to = from + run.count();
        if to >= from + 2 {
            join(&pieces[from..to], &mut beams[from..to]);
        }
        from = to.max(from + 1);
    }
    beams
}

/// Flags of a note, 0 for rests and quarter notes.
fn flags(piece: &Piece) -> usize {
    if piece.span.is_none() { 0 } else { usize::try_from(piece.value.log - 2).unwrap_or(0) }
}

/// Notes with equal keys may share a beam: those of a beat, or of a group that has nothing shorter than eighths.
fn key(metre: &Metre, pieces: &[Piece], index: usize) -> u32 {
    let (start, end) = metre.group(pieces[index].at);
    if metre.is_compound(pieces[index].at) {
        return start;
    }
    let near = pieces.iter().filter(|piece| (start..end).contains(&piece.at) && flags(piece) > 0);
    let eighths = near.clone().all(|piece| flags(piece) == 1 && piece.tuplet.is_none());
    if eighths && end - start <= 3 * QUARTER {
        start
    } else {
        start + (pieces[index].at - start) / QUARTER * QUARTER
    }
}

fn join(pieces: &[Piece], beams: &mut [Vec<Beam>]) {
    let most = pieces.iter().map(flags).max().unwrap_or(0);
    for level in 1..=most {
        for index in 0..pieces.len() {
            if flags(&pieces[index]) < level {
                continue;
            }
            let before = index > 0 && flags(&pieces[index - 1]) >= level;
            let after = index + 1 < pieces.len() && flags(&pieces[index + 1]) >= level;
            beams[index].push(match (before, after) {
                (true, true) => Beam::Continue,
                (true, false) => Beam::End,
                (false, true) => Beam::Begin,
                // A hook points to the note it shares the outer beam with.
                (false, false) if index == 0 => Beam::ForwardHook,
                (false, false) => Beam::BackwardHook,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metre::bar_length;
    use super::super::values;
    use super::*;
    use crate::Meter;

    fn check(meter: &str, ends: &[u32], expected: &str) {
        let meter: Meter = meter.parse().expect("valid");
        let metre = Metre::new(meter, bar_length(meter), false);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let spans: Vec<_> = starts.zip(ends.iter().copied()).collect();
        let pieces = values::write(&metre, &spans);
        let letter = |beam: &Beam| match beam {
            Beam::Begin => 'b',
            Beam::Continue => 'c',
            Beam::End => 'e',
            Beam::ForwardHook => 'f',
            Beam::BackwardHook => 'h',
        };
        let all = beams(&metre, &pieces);
        let text: Vec<String> = all.iter().map(|it| it.iter().map(letter).collect()).collect();
        assert_eq!(text.join(","), expected);
    }

    #[test]
    fn eighths_join_in_halves_and_sixteenths_in_beats() {
        check("4/4", &[24, 48, 72, 96, 120, 144, 168, 192], "b,c,c,e,b,c,c,e");
        check("2/4", &[12, 24, 48, 72, 96], "bb,ce,e,b,e");
        check("2/4", &[36, 48, 60, 96], "b,eh,bf,e");
        check("6/8", &[24, 48, 72, 96, 120, 144], "b,c,e,b,c,e");
        check("4/4", &[48, 72, 192], ",b,e,");
    }

    #[test]
    fn triplets_share_a_beam() {
        check("2/4", &[16, 32, 48, 96], "b,c,e,");
    }
}
