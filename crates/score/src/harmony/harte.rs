//! Harte's chord syntax, in which data sets write chords: `C:min7/b3`, `G:7(b9)`, `N`.
//!
//! Source: Harte, Sandler, Abdallah, Gomez, "Symbolic representation of musical chords", ISMIR 2005.

use super::{
    Chord, ChordKind, Degree, DegreeOp, Letter, NoteName,
    name::read_accidental,
    syntax::{Cursor, SyntaxError},
};

/// Shorthands, longest first where one begins another.
const SHORTHANDS: [(&str, ChordKind); 23] = [
    ("maj13", ChordKind::Major13th),
    ("maj11", ChordKind::Major11th),
    ("maj9", ChordKind::MajorNinth),
    ("maj7", ChordKind::MajorSeventh),
    ("maj6", ChordKind::MajorSixth),
    ("maj", ChordKind::Major),
    ("minmaj7", ChordKind::MajorMinor),
    ("min13", ChordKind::Minor13th),
    ("min11", ChordKind::Minor11th),
    ("min9", ChordKind::MinorNinth),
    ("min7", ChordKind::MinorSeventh),
    ("min6", ChordKind::MinorSixth),
    ("min", ChordKind::Minor),
    ("hdim7", ChordKind::HalfDiminished),
    ("dim7", ChordKind::DiminishedSeventh),
    ("dim", ChordKind::Diminished),
    ("aug", ChordKind::Augmented),
    ("sus2", ChordKind::SuspendedSecond),
    ("sus4", ChordKind::SuspendedFourth),
    ("13", ChordKind::Dominant13th),
    ("11", ChordKind::Dominant11th),
    ("9", ChordKind::DominantNinth),
    ("7", ChordKind::Dominant),
];

/// Reads a chord in Harte's syntax; `N` (none) and `X` (unknown) are `None`.
///
/// Billboard's `5` (root and fifth) and `1` (the root alone) are read too.
///
/// # Errors
/// [`SyntaxError`] at the character from which on the text is no chord.
pub fn parse_harte(text: &str) -> Result<Option<Chord>, SyntaxError> {
    let mut cursor = Cursor::new("chord", text.trim_end());
    cursor.skip_blanks();
    if cursor.take("N") || cursor.take("X") {
        cursor.end("the end")?;
        return Ok(None);
    }
    let root = NoteName::read(&mut cursor)?;
    let mut chord = Chord::new(root, ChordKind::Major);
    if cursor.take(":") {
        let shorthand = SHORTHANDS.iter().find(|(word, _)| cursor.take(word));
        match shorthand {
            Some((_, kind)) => chord.kind = *kind,
            None if cursor.take("5") => chord.kind = ChordKind::Power,
            None if cursor.take("1") || cursor.peek() == Some('(') => {
                chord.kind = ChordKind::Power;
                chord.changes.push(Degree { value: 5, op: DegreeOp::Omit, alter: 0 });
            }
            None => return Err(cursor.expected("maj, min, dim, aug, 7, min7, ..., sus4 or degrees (1,b3)")),
        }
        if cursor.take("(") {
            read_degrees(&mut cursor, &mut chord)?;
        }
    }
    if cursor.take("/") {
        let (value, alter) = read_degree(&mut cursor)?;
        let letter = Letter::ALL[usize::from(value - 1) % 7];
        chord = chord.over(root.moved(letter.fifths() + 7 * i32::from(alter)));
    }
    cursor.end("degrees in parentheses, a bass (/b3) or the end")?;
    Ok(Some(chord.simplified()))
}

/// A list up to its closing parenthesis.
fn read_degrees(cursor: &mut Cursor<'_>, chord: &mut Chord) -> Result<(), SyntaxError> {
    // A list without a shorthand says every tone itself.
    for _ in 0..16 {
        if cursor.take("*") {
            let (value, _) = read_degree(cursor)?;
            chord.changes.push(Degree { value, op: DegreeOp::Omit, alter: 0 });
        } else {
            let (value, alter) = read_degree(cursor)?;
            // Major sevenths are a semitone above what ours are counted from.
            let alter = if value == 7 { alter + 1 } else { alter };
            let own = chord.kind.degrees().iter().find(|(degree, _)| *degree == value);
            let omitted = chord.changes.iter().position(|it| it.value == value && it.op == DegreeOp::Omit);
            match (own, omitted) {
                (Some((_, own)), Some(omitted)) if *own == alter => {
                    chord.changes.remove(omitted);
                }
                (Some((_, own)), None) if *own == alter => {}
                _ => chord.changes.push(Degree { value, op: DegreeOp::Add, alter }),
            }
        }
        if cursor.take(")") {
            return Ok(());
        }
        if !cursor.take(",") {
            return Err(cursor.expected("a comma or a closing parenthesis"));
        }
    }
    Err(cursor.expected("at most 16 degrees"))
}

/// A degree of the major scale and its alteration, `-2..=2`.
pub(crate) fn read_degree(cursor: &mut Cursor<'_>) -> Result<(u8, i8), SyntaxError> {
    let alter = read_accidental(cursor);
    let digits = cursor.rest().bytes().take_while(u8::is_ascii_digit).count();
    let number = cursor.rest()[..digits].parse().ok().filter(|number| (1..=13).contains(number));
    let number = number.ok_or_else(|| cursor.expected("a degree (1 to 13)"))?;
    cursor.at += digits;
    Ok((number, alter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chords_of_data_sets_are_read() {
        let check = |text: &str, symbol: &str| {
            let chord = parse_harte(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(chord.map_or("N".to_owned(), |chord| chord.to_string()), symbol, "{text}");
        };
        check("N", "N");
        check("X", "N");
        check("C", "C");
        check("A:min", "Am");
        check("Db:maj/5", "Db/Ab");
        check("F:min/b3", "Fm/Ab");
        check("C:min7/b3", "Cm7/Eb");
        check("G:7(b9)", "G7b9");
        check("G:hdim7", "Gm7b5");
        check("Eb:11", "Eb11");
        check("Gb:maj(9)", "Gbadd9");
        check("E:sus4(b7,9)", "E9sus4");
        check("D:sus4(b7)", "D7sus4");
        check("C:maj6(9)", "C6/9");
        check("C:5", "C5");
        check("C:5(b7)", "C5add7");
        check("C:1", "C5no5");
        check("C:(1,5)", "C5");
        check("C:(1,b3,5)", "C5b3");
        check("C:1(b3,b7)/b7", "C5b3no5add7/Bb");
        check("C:aug(b7)", "Caug7");
        check("C:maj(*3)", "Cno3");
        check("C:min(7)", "Cm(maj7)");
        check("A:maj/bb13", "A/Fb");
        check("Bb:minmaj7", "Bbm(maj7)");
        check("C:maj7(#5)", "Cmaj7add#5");
    }

    #[test]
    fn errors_point_at_the_character() {
        for (text, column) in [
            ("", 1),
            ("H:maj", 1),
            ("C:foo", 3),
            ("C:maj(", 7),
            ("C:maj(9", 8),
            ("C:maj/", 7),
            ("Nx", 2),
            ("C:maj/14", 7),
        ] {
            let error = parse_harte(text).expect_err(text);
            assert_eq!(error.column, column, "{text}: {error}");
        }
    }
}
