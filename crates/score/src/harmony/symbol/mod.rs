//! Chord symbols: `Cm7b5`, `F#13`, `Bb/D`, in the spellings that lead sheets use.
//!
//! Read by hand, left to right: a root in capitals, a quality (`m`, `maj`, `dim`, `°`, `ø`, `+` ...), an extension, any
//! number of changes with or without parentheses, a bass. Traps worth knowing: signs stick to the root, so `Cb9` is C
//! flat ninth and C with a flat ninth is `C(b9)`; `-` and `+` before 5, 9, 11 and 13 behind an extension are flat and
//! sharp (`C7-9`), elsewhere minor and augmented; `C2` is `Cadd9`.

mod body;
mod display;

use super::{
    Chord, NoteName,
    syntax::{Cursor, SyntaxError},
};
pub(crate) use body::{Body, Triad};
use std::str::FromStr;

/// How lead sheets write that no chord is played.
pub const NO_CHORD: &str = "N.C.";

pub(crate) const AFTER_ROOT: &str = "a quality (m, maj, dim, aug, sus4), an extension (6, 7, 9, 11, 13), an alteration (b9, #11), \
                          add, no, a bass (/E) or the end";
/// Reads a symbol or `N.C.`, which is `None`.
///
/// # Errors
/// [`SyntaxError`] at the character from which on the text is no chord.
pub fn parse_symbol(text: &str) -> Result<Option<Chord>, SyntaxError> {
    let mut cursor = Cursor::new("chord symbol", text.trim_end());
    cursor.skip_blanks();
    let chord = read_symbol(&mut cursor)?;
    cursor.end(AFTER_ROOT)?;
    Ok(chord)
}

/// The symbol of a chord, `N.C.` for none.
pub fn symbol(chord: Option<&Chord>) -> String {
    chord.map_or(NO_CHORD.into(), ToString::to_string)
}

impl FromStr for Chord {
    type Err = SyntaxError;

    /// # Errors
    /// [`SyntaxError`] at the character from which on the text is no chord; `N.C.` is none.
    fn from_str(text: &str) -> Result<Chord, SyntaxError> {
        let none = || SyntaxError::word("chord symbol", text, 0, "a chord");
        parse_symbol(text)?.ok_or_else(none)
    }
}

/// Reads the symbol that comes next; what ends a symbol is not looked at.
pub(crate) fn read_symbol(cursor: &mut Cursor<'_>) -> Result<Option<Chord>, SyntaxError> {
    if ["N.C.", "N.C", "NC", "n.c.", "nc"].into_iter().any(|none| cursor.take(none)) {
        return Ok(None);
    }
    if !cursor.peek().is_some_and(|letter| ('A'..='G').contains(&letter)) {
        return Err(cursor.expected("a chord root (A to G in capitals) or N.C."));
    }
    let root = NoteName::read(cursor)?;
    let body = Body::read(cursor, Triad::Major, true)?;
    let bass = read_bass(cursor)?;
    let chord = body.chord(root);
    Ok(Some(if let Some(bass) = bass { chord.over(bass) } else { chord }))
}

/// `/E` if it comes next.
fn read_bass(cursor: &mut Cursor<'_>) -> Result<Option<NoteName>, SyntaxError> {
    if !cursor.take("/") {
        return Ok(None);
    }
    if !cursor.peek().is_some_and(|letter| ('A'..='G').contains(&letter)) {
        return Err(cursor.expected("a bass note (A to G in capitals)"));
    }
    NoteName::read(cursor).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::{ChordKind, Degree, DegreeOp};
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn check(text: &str, display: &str, tones: &str) {
        let chord: Chord = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let names: Vec<_> = chord.tones().iter().map(ToString::to_string).collect();
        assert_eq!((chord.to_string().as_str(), names.join(" ").as_str()), (display, tones), "{text}");
        assert_eq!(display.parse::<Chord>().as_ref(), Ok(&chord), "{text}");
    }

    #[test]
    fn triads_and_their_spellings() {
        for text in ["C", "Cmaj", "CM", "CMaj", "Cmajor", " C "] {
            check(text, "C", "C E G");
        }
        for text in ["F#m", "F#min", "F#-", "F♯mi", "F#minor", "F#−"] {
            check(text, "F#m", "F# A C#");
        }
        for text in ["Bdim", "B°", "Bo", "Bmb5", "B-b5", "Bm(b5)"] {
            check(text, "Bdim", "B D F");
        }
        for text in ["Abaug", "Ab+", "Ab(#5)", "A♭+5"] {
            check(text, "Abaug", "Ab C E");
        }
        for text in ["Dsus4", "Dsus", "D(sus4)"] {
            check(text, "Dsus4", "D G A");
        }
        check("Dsus2", "Dsus2", "D E A");
        check("Dsus24", "Dsus4add2", "D E G A");
        check("E5", "E5", "E B");
        check("C(b5)", "C(b5)", "C E Gb");
        check("C-5", "C(b5)", "C E Gb");
    }

    #[test]
    fn sevenths_and_their_spellings() {
        for text in ["Bbmaj7", "BbM7", "BbΔ", "BbΔ7", "Bb^7", "Bb△7", "BbMaj7", "Bbma7", "Bb(maj7)", "Bb7M"]
        {
            check(text, "Bbmaj7", "Bb D F A");
        }
        for text in ["F7", "Fdom7", "F(b7)", "F(7)"] {
            check(text, "F7", "F A C Eb");
        }
        for text in ["Cm7", "C-7", "Cmin7", "Cmi7"] {
            check(text, "Cm7", "C Eb G Bb");
        }
        for text in ["Cm7b5", "Cø", "Cø7", "C-7b5", "Cm7(b5)", "Cm7-5", "Cmin7♭5"] {
            check(text, "Cm7b5", "C Eb Gb Bb");
        }
        for text in ["C°7", "Cdim7", "Co7"] {
            check(text, "Cdim7", "C Eb Gb Bbb");
        }
        for text in ["Cmin(maj7)", "CmM7", "Cmmaj7", "C-Δ7", "C-Δ", "CmΔ7", "CminMaj7", "Cm(M7)", "Cm#7"] {
            check(text, "Cm(maj7)", "C Eb G B");
        }
        for text in ["C+7", "Caug7", "C7#5", "C7+", "C7+5", "C7(#5)"] {
            check(text, "Caug7", "C E G# Bb");
        }
        for text in ["Cmaj7#5", "C+maj7", "CaugM7", "C+Δ"] {
            check(text, "Cmaj7#5", "C E G# B");
        }
        check("Cdim(maj7)", "Cdim(maj7)", "C Eb Gb B");
        check("C7sus4", "C7sus4", "C F G Bb");
        check("Csus7", "C7sus4", "C F G Bb");
        check("Cm7sus4", "C7sus4", "C F G Bb");
        check("Cmaj7sus2", "Cmaj7sus2", "C D G B");
    }

    #[test]
    fn sixths_and_extensions() {
        check("C6", "C6", "C E G A");
        check("Cmaj6", "C6", "C E G A");
        check("Cm6", "Cm6", "C Eb G A");
        for text in ["C6/9", "C69", "C6(9)", "C6add9"] {
            check(text, "C6/9", "C E G A D");
        }
        check("Cm6/9", "Cm6/9", "C Eb G A D");
        check("C9", "C9", "C E G Bb D");
        check("CΔ9", "Cmaj9", "C E G B D");
        check("Cm11", "Cm11", "C Eb G Bb D F");
        check("F#13", "F#13", "F# A# C# E G# B D#");
        check("Cmaj13", "Cmaj13", "C E G B D F A");
        check("C9sus4", "C9sus4", "C F G Bb D");
        check("C13sus", "C13sus4", "C F G Bb D A");
        check("Cadd9", "Cadd9", "C E G D");
        check("C2", "Cadd9", "C E G D");
        check("Cmadd9", "Cmadd9", "C Eb G D");
        check("C(add9)", "Cadd9", "C E G D");
        check("C+9", "Caug7add9", "C E G# Bb D");
        check("Cdim9", "Cdim7add9", "C Eb Gb Bbb D");
        check("Cø9", "Cm7b5add9", "C Eb Gb Bb D");
        check("Cm(maj9)", "Cm(maj7)add9", "C Eb G B D");
    }

    #[test]
    fn alterations_with_and_without_parentheses() {
        for text in ["C7#9b13", "C7(#9,b13)", "C7(#9 b13)", "C7(#9b13)", "C7(b13)(#9)", "C7+9-13", "C7♯9♭13"]
        {
            check(text, "C7#9b13", "C E G Bb D# Ab");
        }
        check("C7(b9,#11)", "C7b9#11", "C E G Bb Db F#");
        check("C7b9#9", "C7b9#9", "C E G Bb Db D#");
        check("C7b5", "C7b5", "C E Gb Bb");
        check("C7b5#5", "C7b5add#5", "C E Gb G# Bb");
        check("C13#11", "C13#11", "C E G Bb D F# A");
        check("Cmaj7#11", "Cmaj7#11", "C E G B F#");
        check("C(b9)", "C(b9)", "C E G Db");
        check("C7sus4b9", "C7sus4b9", "C F G Bb Db");
        check("C7alt", "C7alt", "C E Bb Db D# F# Ab");
        check("Calt", "C7alt", "C E Bb Db D# F# Ab");
        check("Cno3", "Cno3", "C G");
        check("C7(omit3)", "C7no3", "C G Bb");
        check("Comit5", "Cno5", "C E");
        check("C7/13", "C7add13", "C E G Bb A");
        check("C7add13", "C7add13", "C E G Bb A");
        check("Cm7b5b9", "Cm7b5b9", "C Eb Gb Bb Db");
    }

    #[test]
    fn basses_and_roots() {
        check("Bb/D", "Bb/D", "Bb D F");
        check("C7b9/Bb", "C7b9/Bb", "C E G Bb Db");
        check("C6/9/E", "C6/9/E", "C E G A D");
        check("D/C", "D/C", "D F# A");
        check("C/C", "C", "C E G");
        check("Cb9", "Cb9", "Cb Eb Gb Bbb Db");
        check("F##m", "F##m", "F## A# C##");
        let chord: Chord = "Bb/D".parse().expect("a chord");
        assert_eq!((chord.bass().to_string(), chord.root.to_string()), ("D".into(), "Bb".into()));
    }

    #[test]
    fn no_chord_is_none() {
        for text in ["N.C.", "NC", " n.c. "] {
            assert_eq!(parse_symbol(text), Ok(None));
        }
        assert_eq!((symbol(None), symbol("Am".parse().ok().as_ref())), ("N.C.".into(), "Am".into()));
        assert!("N.C.".parse::<Chord>().is_err());
    }

    #[test]
    fn errors_point_at_the_character() {
        let check = |text: &str, column, start: &str| {
            let error = parse_symbol(text).expect_err(text);
            assert!(error.column == column && error.expected.starts_with(start), "{text}: {error}");
        };
        check("", 1, "a chord root");
        check("c7", 1, "a chord root");
        check("H7", 1, "a chord root");
        check("Cmq7", 3, "a quality");
        check("  Cfoo", 4, "a quality");
        check("C7b", 4, "a degree");
        check("C7b14", 4, "a degree");
        check("C7#0", 4, "a degree");
        check("Cadd", 5, "a degree");
        check("C7(b9", 6, "a closing parenthesis");
        check("C7()", 4, "a change");
        check("C7(b9,y)", 7, "a change");
        check("C/H", 3, "a bass note");
        check("C/", 3, "a bass note");
        check("C/e", 3, "a bass note");
        check("C7 F7", 4, "a quality");
        check("Cm4", 3, "a quality");
        check(&format!("C7{}", "b9".repeat(40)), 37, "at most");
        let error = parse_symbol("Cmq7").expect_err("no chord");
        assert_eq!(error.caret(), "Cmq7\n  ^");
        assert!(error.to_string().ends_with("got 'q'"), "{error}");
    }

    fn chords() -> impl Strategy<Value = Chord> {
        let op = prop_oneof![Just(DegreeOp::Alter), Just(DegreeOp::Add), Just(DegreeOp::Omit)];
        let change = (0..=14u8, op, -3..=3i8).prop_map(|(value, op, alter)| Degree { value, op, alter });
        let name = (-15..=19).prop_map(NoteName::from_fifths);
        let kinds: Vec<ChordKind> = ChordKind::all().collect();
        (name.clone(), prop::sample::select(kinds), vec(change, 0..5), prop::option::of(name))
            .prop_map(|(root, kind, changes, bass)| Chord { root, kind, changes, bass })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn every_simplified_chord_prints_and_parses_back(chord in chords()) {
            let simple = chord.simplified();
            prop_assert_eq!(simple.simplified(), simple.clone());
            let text = simple.to_string();
            prop_assert_eq!(text.parse::<Chord>(), Ok(simple), "{}", text);
        }

        #[test]
        fn random_text_gives_a_chord_or_a_place_in_it(text in "[A-HNm#b♭x0-9+°øΔ()/,. ajdisuonltM-]{0,14}|.{0,8}") {
            match parse_symbol(&text) {
                Ok(Some(chord)) => prop_assert_eq!(chord.to_string().parse::<Chord>(), Ok(chord.clone())),
                Ok(None) => {}
                Err(error) => prop_assert!(error.column <= text.chars().count() + 1),
            }
        }
    }
}
