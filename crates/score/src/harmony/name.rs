//! Names of notes without an octave: a letter and its accidental.

use super::syntax::{Cursor, SyntaxError};
use std::{fmt, str::FromStr};

/// The white keys, from C up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Letter {
    C,
    D,
    E,
    F,
    G,
    A,
    B,
}

impl Letter {
    /// From C up.
    pub const ALL: [Letter; 7] =
        [Letter::C, Letter::D, Letter::E, Letter::F, Letter::G, Letter::A, Letter::B];

    /// `0..7`, C = 0.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Semitones above C.
    pub fn pitch_class(self) -> u8 {
        [0, 2, 4, 5, 7, 9, 11][self.index()]
    }

    /// The letter `steps` higher, round and round: B + 1 = C.
    pub fn up(self, steps: i32) -> Letter {
        Letter::ALL[(self.index() as i32 + steps).rem_euclid(7) as usize]
    }

    /// Place on the line of fifths, F = -1 to B = 5.
    pub fn fifths(self) -> i32 {
        [0, 2, 4, -1, 1, 3, 5][self.index()]
    }

    /// In either case.
    pub fn from_char(letter: char) -> Option<Letter> {
        Letter::ALL.into_iter().find(|it| it.as_char() == letter.to_ascii_uppercase())
    }

    /// Upper case.
    pub fn as_char(self) -> char {
        ['C', 'D', 'E', 'F', 'G', 'A', 'B'][self.index()]
    }
}

/// A letter with its accidental: F#, Bb, C.
///
/// Parses with `#`, `##`, `x`, `b`, `bb` or the signs ♯ 𝄪 ♭ 𝄫 ♮ behind a letter in either case, so `bb` is B flat.
/// Displays in ASCII (`F##`), which parses back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteName {
    pub letter: Letter,
    /// Semitones up from the letter, `-2..=2`.
    pub alter: i8,
}

impl NoteName {
    pub const C: NoteName = NoteName { letter: Letter::C, alter: 0 };
    pub const A: NoteName = NoteName { letter: Letter::A, alter: 0 };

    /// `None` for an alteration outside `-2..=2`.
    pub fn new(letter: Letter, alter: i8) -> Option<NoteName> {
        (-2..=2).contains(&alter).then_some(NoteName { letter, alter })
    }

    /// `0..12`, C = 0.
    pub fn pitch_class(self) -> u8 {
        (i32::from(self.letter.pitch_class()) + i32::from(self.alter)).rem_euclid(12) as u8
    }

    /// Place on the line of fifths, Fbb = -15 to B## = 19.
    pub fn fifths(self) -> i32 {
        self.letter.fifths() + 7 * i32::from(self.alter)
    }

    /// The name at a place on the line of fifths; places beyond double accidentals give their enharmonic equal.
    pub fn from_fifths(fifths: i32) -> NoteName {
        let mut place = fifths;
        if !(-15..=19).contains(&place) {
            // The equal nearest to C.
            place = (place.rem_euclid(12) + 5) % 12 - 5;
        }
        let letter = Letter::ALL.into_iter().find(|it| it.fifths() == (place + 1).rem_euclid(7) - 1);
        NoteName { letter: letter.expect("letters are -1..=5"), alter: (place + 1).div_euclid(7) as i8 }
    }

    /// The name of a pitch class among the twelve places from `lowest` up.
    ///
    /// `pitch_class` counts round: 12 is 0. With `lowest` -3 the black keys are C# Eb F# G# Bb.
    pub fn in_window(pitch_class: u8, lowest: i32) -> NoteName {
        let place = i32::from(pitch_class) * 7;
        NoteName::from_fifths(lowest + (place - lowest).rem_euclid(12))
    }

    /// Moved along the line of fifths: +1 is a fifth up, +7 a chromatic semitone up, -5 a diatonic one.
    pub fn moved(self, fifths: i32) -> NoteName {
        NoteName::from_fifths(self.fifths().saturating_add(fifths))
    }

    /// The name of this pitch class with the fewest accidentals, Db to F#: E for Fb, F# for Gb.
    pub fn simplified(self) -> NoteName {
        if (-5..=6).contains(&self.fifths()) { self } else { NoteName::in_window(self.pitch_class(), -5) }
    }

    /// The octave in which this name is written for a pitch: 4 for middle C, also for B# on 60, which is B#3.
    ///
    /// Exact if `pitch` has this name's pitch class; otherwise the octave of the natural nearest below.
    pub fn octave(self, pitch: u8) -> i32 {
        (i32::from(pitch) - i32::from(self.alter)).div_euclid(12) - 1
    }

    /// The MIDI pitch of this name in an octave, C4 = 60; `None` outside `0..128`.
    pub fn pitch(self, octave: i32) -> Option<u8> {
        let natural =
            octave.checked_add(1)?.checked_mul(12)?.checked_add(self.letter.pitch_class().into())?;
        u8::try_from(natural + i32::from(self.alter)).ok().filter(|pitch| *pitch < 128)
    }

    /// Reads the name that comes next.
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<NoteName, SyntaxError> {
        let letter = cursor.peek().and_then(Letter::from_char);
        let letter = letter.ok_or_else(|| cursor.expected("a note name (A to G)"))?;
        cursor.at += 1;
        Ok(NoteName { letter, alter: read_accidental(cursor) })
    }
}

/// What comes behind a letter or before a degree; 0 for none. Takes at most a double accidental.
pub(crate) fn read_accidental(cursor: &mut Cursor<'_>) -> i8 {
    const SIGNS: [(&str, i8); 11] = [
        ("##", 2),
        ("♯♯", 2),
        ("x", 2),
        ("𝄪", 2),
        ("#", 1),
        ("♯", 1),
        ("bb", -2),
        ("♭♭", -2),
        ("𝄫", -2),
        ("b", -1),
        ("♭", -1),
    ];
    let sign = SIGNS.into_iter().find(|(sign, _)| cursor.take(sign));
    let natural = sign.is_none() && cursor.take("♮");
    sign.filter(|_| !natural).map_or(0, |(_, alter)| alter)
}

/// `#` and `b` for an alteration.
pub(crate) fn accidental(alter: i8) -> &'static str {
    match alter {
        ..=-2 => "bb",
        -1 => "b",
        0 => "",
        1 => "#",
        2.. => "##",
    }
}

impl fmt::Display for NoteName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.letter.as_char(), accidental(self.alter))
    }
}

impl FromStr for NoteName {
    type Err = SyntaxError;

    /// # Errors
    /// [`SyntaxError`] for anything but one name.
    fn from_str(text: &str) -> Result<NoteName, SyntaxError> {
        let mut cursor = Cursor::new("note name", text.trim());
        let name = NoteName::read(&mut cursor)?;
        cursor.end("#, ##, x, b, bb or the end")?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_pitch_classes_and_places() {
        let check = |text: &str, pitch_class, fifths| {
            let name: NoteName = text.parse().expect(text);
            assert_eq!((name.pitch_class(), name.fifths()), (pitch_class, fifths), "{text}");
            assert_eq!(NoteName::from_fifths(fifths), name);
        };
        check("C", 0, 0);
        check("G", 7, 1);
        check("F", 5, -1);
        check("F#", 6, 6);
        check("f♯", 6, 6);
        check("Gb", 6, -6);
        check("bb", 10, -2);
        check("b♭", 10, -2);
        check("B♮", 11, 5);
        check("Bbb", 9, -9);
        check("E𝄫", 2, -10);
        check("Fx", 7, 13);
        check("F##", 7, 13);
        check("C𝄪", 2, 14);
        check("Cb", 11, -7);
        check("B#", 0, 12);
        check("Fbb", 3, -15);
        check("B##", 1, 19);
    }

    #[test]
    fn every_name_prints_and_parses_back() {
        for place in -15..=19 {
            let name = NoteName::from_fifths(place);
            assert_eq!((name.fifths(), name.to_string().parse()), (place, Ok(name)));
            assert!(name.alter.abs() <= 2);
        }
    }

    #[test]
    fn places_beyond_double_accidentals_keep_their_pitch() {
        for place in [-1000, -40, -16, 20, 21, 33, 999] {
            let name = NoteName::from_fifths(place);
            assert_eq!(i32::from(name.pitch_class()), (place * 7).rem_euclid(12));
        }
        assert_eq!(NoteName::C.moved(i32::MAX).fifths().rem_euclid(12), i32::MAX.rem_euclid(12));
    }

    #[test]
    fn other_text_is_refused_with_its_column() {
        for (text, column) in [("", 1), ("H", 1), ("C###", 4), ("Cbbb", 4), ("C#b", 3), ("é", 1), ("C 1", 3)]
        {
            let error = text.parse::<NoteName>().expect_err(text);
            assert_eq!(error.column, column, "{error}");
        }
    }

    #[test]
    fn a_window_names_all_twelve() {
        let names = |lowest| {
            let names = (0..12).map(|pitch_class| NoteName::in_window(pitch_class, lowest).to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(-3), "C C# D Eb E F F# G G# A Bb B");
        assert_eq!(names(-5), "C Db D Eb E F F# G Ab A Bb B");
        assert_eq!(names(4), "B# C# C## D# E E# F# F## G# G## A# B");
    }

    #[test]
    fn octaves_belong_to_the_letter() {
        let check = |text: &str, pitch, octave| {
            let name: NoteName = text.parse().expect(text);
            assert_eq!((name.octave(pitch), name.pitch(octave)), (octave, Some(pitch)), "{text}");
        };
        check("C", 60, 4);
        check("B#", 60, 3);
        check("Cb", 59, 4);
        check("C", 0, -1);
        check("G", 127, 9);
        assert_eq!(NoteName::C.pitch(i32::MAX), None);
        assert_eq!("Cb".parse::<NoteName>().expect("a name").pitch(-1), None);
    }

    #[test]
    fn simplified_has_few_accidentals() {
        let check = |from: &str, to: &str| {
            assert_eq!(from.parse::<NoteName>().expect(from).simplified().to_string(), to);
        };
        check("Fb", "E");
        check("Gb", "F#");
        check("A#", "Bb");
        check("Db", "Db");
        check("B##", "Db");
    }
}
