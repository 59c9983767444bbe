//! Writes the one symbol of a chord that reads back as it.

use super::super::{Chord, ChordKind, Degree, DegreeOp, name::accidental};
use super::body::ALT;
use std::fmt;

impl fmt::Display for Chord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.root)?;
        let mut left: Vec<Degree> = self.changes.clone();
        left.sort_unstable();
        let head = head(self.kind, &mut left);
        out.write_str(&head)?;
        let mut bare = head.is_empty();
        for change in left {
            let Degree { value, op, alter } = change;
            // The other way round than `seventh`.
            let sign =
                accidental(if op == DegreeOp::Add && value == 7 && alter < 0 { alter - 1 } else { alter });
            let signed = op == DegreeOp::Alter || !self.kind.has(value) && alter != 0 && value != 7;
            match (op, bare) {
                (DegreeOp::Omit, _) => write!(out, "no{value}")?,
                (_, true) if signed => write!(out, "({sign}{value})")?,
                _ if signed => write!(out, "{sign}{value}")?,
                _ => write!(out, "add{sign}{value}")?,
            }
            bare = false;
        }
        match self.bass {
            Some(bass) if bass != self.root => write!(out, "/{bass}"),
            _ => Ok(()),
        }
    }
}

/// The symbol of a kind together with the changes that are written as part of it, which are taken out of `left`.
fn head(kind: ChordKind, left: &mut Vec<Degree>) -> String {
    let mut take = |value, alter| {
        let at = left.iter().position(|it| *it == Degree { value, op: DegreeOp::Add, alter })?;
        Some(left.remove(at))
    };
    match kind {
        ChordKind::SuspendedSecond | ChordKind::SuspendedFourth => {
            let maj = match take(7, 0) {
                Some(_) => Some(""),
                None => take(7, 1).map(|_| "maj"),
            };
            let Some(maj) = maj else {
                let six = if take(6, 0).is_some() { "6" } else { "" };
                return format!("{six}{}", kind.symbol());
            };
            let nine = take(9, 0);
            let number = match nine.and_then(|_| take(13, 0)) {
                Some(_) => 13,
                None if nine.is_some() => 9,
                None => 7,
            };
            format!("{maj}{number}{}", kind.symbol())
        }
        ChordKind::MajorSixth | ChordKind::MinorSixth if take(9, 0).is_some() => {
            format!("{}/9", kind.symbol())
        }
        ChordKind::Diminished if take(7, 1).is_some() => "dim(maj7)".into(),
        ChordKind::Dominant if *left == ALT.map(|(value, op, alter)| Degree { value, op, alter }) => {
            left.clear();
            "7alt".into()
        }
        // Behind m7b5 another sign on the fifth would be a second one.
        ChordKind::HalfDiminished if left.iter().any(|it| it.value == 5) => "ø7".into(),
        _ => kind.symbol().into(),
    }
}
