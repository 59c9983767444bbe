//! Chord symbols to the 49 classes of models that play over chords.
//!
//! 0 no chord, then twelve each from C up: 1 major, 13 minor, 25 augmented, 37 diminished. Only the triad of a chord
//! counts: `Am7/G` is A minor.
//!
//! Source: note-seq, `chord_symbols_lib` and `TriadChordOneHotEncoding`.

use crate::excerpt::{ConvertError, Result};
use partita_score::sequence::QuantizedSequence;

/// Classes of a chord.
pub const CHORDS: u32 = 49;
/// How lead sheets write that no chord is played.
pub const NO_CHORD: &str = "N.C.";

/// A kind's ways to be written, and how far its third and fifth are from a major triad's; `None`: it has none.
type Kind = (&'static [&'static str], Option<i8>, Option<i8>);

/// In the order in which they are tried: the first whose rest makes sense counts.
const KINDS: [Kind; 31] = [
    (&["", "maj", "M"], Some(0), Some(0)),
    (&["m", "min", "-"], Some(-1), Some(0)),
    (&["+", "aug"], Some(0), Some(1)),
    (&["o", "dim"], Some(-1), Some(-1)),
    (&["7"], Some(0), Some(0)),
    (&["maj7", "M7"], Some(0), Some(0)),
    (&["m7", "min7", "-7"], Some(-1), Some(0)),
    (&["o7", "dim7"], Some(-1), Some(-1)),
    (&["+7", "aug7"], Some(0), Some(1)),
    (&["m7b5", "-7b5", "/o", "/o7"], Some(-1), Some(-1)),
    (
        &[
            "mmaj7",
            "mM7",
            "minmaj7",
            "minM7",
            "-maj7",
            "-M7",
            "m(maj7)",
            "m(M7)",
            "min(maj7)",
            "min(M7)",
            "-(maj7)",
            "-(M7)",
        ],
        Some(-1),
        Some(0),
    ),
    (&["6"], Some(0), Some(0)),
    (&["m6", "min6", "-6"], Some(-1), Some(0)),
    (&["9"], Some(0), Some(0)),
    (&["maj9", "M9"], Some(0), Some(0)),
    (&["m9", "min9", "-9"], Some(-1), Some(0)),
    (&["+9", "aug9"], Some(0), Some(1)),
    (&["6/9"], Some(0), Some(0)),
    (&["11"], Some(0), Some(0)),
    (&["maj11", "M11"], Some(0), Some(0)),
    (&["m11", "min11", "-11"], Some(-1), Some(0)),
    (&["13"], Some(0), Some(0)),
    (&["maj13", "M13"], Some(0), Some(0)),
    (&["m13", "min13", "-13"], Some(-1), Some(0)),
    (&["sus2"], None, Some(0)),
    (&["sus", "sus4"], None, Some(0)),
    (&["sus7", "7sus"], None, Some(0)),
    (&["ped"], None, None),
    (&["5"], None, Some(0)),
    // What people write besides; note-seq refuses these two.
    (&["major"], Some(0), Some(0)),
    (&["minor"], Some(-1), Some(0)),
];

/// The class of a chord symbol, `0..49`.
///
/// # Errors
/// [`ConvertError::Chord`] for what is no symbol, or has no such triad (`Csus4`, `C5`).
pub fn triad_id(symbol: &str) -> Result<u32> {
    if matches!(symbol, "N.C." | "NC") {
        return Ok(0);
    }
    read(symbol).ok_or_else(|| ConvertError::Chord { got: symbol.chars().take(40).collect() })
}

/// A symbol of a class; `None` past the last.
pub fn triad_name(id: u32) -> Option<String> {
    const ROOTS: [&str; 12] = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
    let Some(chord) = id.checked_sub(1) else { return Some(NO_CHORD.into()) };
    let kind = ["", "m", "aug", "dim"].get(chord as usize / 12)?;
    Some(format!("{}{kind}", ROOTS[chord as usize % 12]))
}

/// Classes of a progression, each chord for the same number of steps.
///
/// # Errors
/// [`ConvertError::Chord`]; [`ConvertError::NoChords`] for an empty progression.
pub fn spread_chords(symbols: &[&str], steps: usize) -> Result<Vec<u32>> {
    if symbols.is_empty() {
        return Err(ConvertError::NoChords);
    }
    let ids: Vec<u32> = symbols.iter().map(|symbol| triad_id(symbol)).collect::<Result<_>>()?;
    Ok((0..steps).map(|step| ids[step * ids.len() / steps]).collect())
}

/// The chords of a sequence by step.
pub(crate) struct Changes<'a>(Vec<&'a (u32, String)>);

impl<'a> Changes<'a> {
    pub fn new(sequence: &'a QuantizedSequence) -> Changes<'a> {
        let mut changes: Vec<_> =
            sequence.chords.iter().filter(|(step, _)| *step < sequence.total_steps).collect();
        changes.sort_by_key(|(step, _)| *step);
        Changes(changes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The symbol in force at a step; of several on one step the last.
    pub fn at(&self, step: u32) -> &'a str {
        match self.0.partition_point(|(from, _)| *from <= step) {
            0 => NO_CHORD,
            after => &self.0[after - 1].1,
        }
    }
}

fn read(symbol: &str) -> Option<u32> {
    let (root, rest) = pitch_class(symbol)?;
    let kinds =
        KINDS.iter().flat_map(|&(names, third, fifth)| names.iter().map(move |name| (name, third, fifth)));
    let mut triads =
        kinds.filter_map(|(name, third, fifth)| modified(rest.strip_prefix(name)?, third, fifth));
    let quality = match triads.next()? {
        (Some(0), Some(0)) => 0,
        (Some(-1), Some(0)) => 1,
        (Some(0), Some(1)) => 2,
        (Some(-1), Some(-1)) => 3,
        _ => return None,
    };
    Some(1 + 12 * quality + root)
}

/// A letter with sharps or flats, and what follows.
fn pitch_class(text: &str) -> Option<(u32, &str)> {
    let letter = text.bytes().next()?;
    let natural = [9, 11, 0, 2, 4, 5, 7].get(usize::from(letter.checked_sub(b'A')?)).copied()?;
    let rest = &text[1..];
    let count = |sign: char| rest.chars().take_while(|&it| it == sign).count();
    let (sharps, flats) = (count('#'), count('b'));
    let rest = &rest[sharps + flats..];
    // `C#b` is no root.
    if rest.starts_with(['#', 'b']) {
        return None;
    }
    Some((((natural + sharps % 12 + 12 - flats % 12) % 12) as u32, rest))
}

/// Third and fifth after what follows the kind: `(b5)`, `add9`, `no3`, `/G`. `None` if that is something else.
fn modified(
    mut rest: &str,
    mut third: Option<i8>,
    mut fifth: Option<i8>,
) -> Option<(Option<i8>, Option<i8>)> {
    loop {
        if rest.is_empty() {
            return Some((third, fifth));
        }
        if let Some(bass) = rest.strip_prefix('/') {
            return pitch_class(bass).filter(|(_, end)| end.is_empty()).map(|_| (third, fifth));
        }
        rest = rest.strip_prefix('(').unwrap_or(rest);
        let (change, alter) = [("addb", -1), ("add#", 1), ("add", 0), ("no", 0), ("#", 1), ("b", -1)]
            .into_iter()
            .find(|(change, _)| rest.starts_with(change))?;
        rest = &rest[change.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let degree: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        rest = rest.strip_prefix(')').unwrap_or(rest);
        let part = match degree {
            3 => &mut third,
            5 => &mut fifth,
            // A chord without its first is no triad.
            1 => return (!change.starts_with("no")).then_some((None, None)),
            _ => continue,
        };
        *part = match (&change[..change.len().min(2)], *part) {
            ("ad", None) => Some(alter),
            ("no", Some(_)) => None,
            ("ad", Some(_)) | ("no", None) => return None,
            (_, was) => Some(was.unwrap_or(0).checked_add(alter)?),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triad_of_a_symbol_counts() {
        let check = |symbol, id| assert_eq!(triad_id(symbol).ok(), Some(id), "{symbol}");
        check("N.C.", 0);
        check("C", 1);
        check("Bb", 11);
        check("B#", 1);
        check("Cb", 12);
        check("Am7/G", 22);
        check("F#m", 19);
        check("Ebmaj7", 4);
        check("G7(b9)", 8);
        check("Gaug", 32);
        check("Bdim7", 48);
        check("Bm7b5", 48);
        check("C6/9", 1);
        check("Am(maj7)", 22);
        check("C(#5)", 25);
        check("D-(b5)", 39);
    }

    #[test]
    fn what_has_no_such_triad_is_refused() {
        for symbol in
            ["Csus4", "C5", "H", "", "C#b", "Cno3", "Cfoo", "C/H", "C(b5)", "Cadd5", "é", "C/", "Cno"]
        {
            assert!(matches!(triad_id(symbol), Err(ConvertError::Chord { .. })), "{symbol}");
        }
    }

    #[test]
    fn every_class_has_a_name_that_reads_as_it() {
        for id in 0..CHORDS {
            assert_eq!(triad_id(&triad_name(id).expect("in range")), Ok(id));
        }
        assert_eq!(triad_name(CHORDS), None);
    }

    #[test]
    fn a_progression_shares_the_steps() {
        assert_eq!(spread_chords(&["C", "Am"], 5), Ok(vec![1, 1, 1, 22, 22]));
        assert_eq!(spread_chords(&[], 5), Err(ConvertError::NoChords));
    }
}
