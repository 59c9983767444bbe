//! Scales: what a melody may be made of.

use super::{
    Key, Mode, NoteName, PitchClasses, key,
    syntax::{Cursor, SyntaxError},
};
use std::{fmt, str::FromStr};

/// Which notes above the tonic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ScaleKind {
    Mode(Mode),
    /// 1 2 3 5 6
    MajorPentatonic,
    /// 1 b3 4 5 b7
    MinorPentatonic,
    /// 1 b3 4 b5 5 b7
    Blues,
    /// 1 2 b3 3 5 6
    MajorBlues,
    WholeTone,
    /// Diminished: whole tone, semitone, ...
    Octatonic,
    /// Dominant diminished: semitone, whole tone, ...
    OctatonicHalf,
    Chromatic,
    /// Any notes, the tonic first, no pitch class twice.
    Custom(Vec<NoteName>),
}

/// A tonic and a kind of scale: `A minor pentatonic`.
///
/// Parses every [`Key`], `E blues`, `C whole tone`, `D octatonic`, `chromatic`, and lists of notes: `C D Eb G`, in which
/// the first is the tonic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scale {
    pub tonic: NoteName,
    pub kind: ScaleKind,
}

/// Kinds that are no modes: names, the first of which is displayed, and steps on the line of fifths in rising order.
type Named = (&'static [&'static str], ScaleKind, &'static [i32]);
const NAMED: [Named; 8] = [
    (
        &["major pentatonic", "major-pentatonic", "pentatonic major", "pentatonic"],
        ScaleKind::MajorPentatonic,
        &[0, 2, 4, 1, 3],
    ),
    (
        &["minor pentatonic", "minor-pentatonic", "pentatonic minor"],
        ScaleKind::MinorPentatonic,
        &[0, -3, -1, 1, -2],
    ),
    (&["blues", "minor blues", "minor-blues"], ScaleKind::Blues, &[0, -3, -1, -6, 1, -2]),
    (&["major blues", "major-blues"], ScaleKind::MajorBlues, &[0, 2, -3, 4, 1, 3]),
    (&["whole tone", "whole-tone", "wholetone"], ScaleKind::WholeTone, &[0, 2, 4, 6, 8, -2]),
    (
        &["octatonic", "diminished", "whole-half octatonic", "whole-half"],
        ScaleKind::Octatonic,
        &[0, 2, -3, -1, -6, -4, 3, 5],
    ),
    (
        &["half-whole octatonic", "half-whole", "dominant diminished"],
        ScaleKind::OctatonicHalf,
        &[0, -5, -3, 4, 6, 1, 3, -2],
    ),
    (&["chromatic"], ScaleKind::Chromatic, &[0, 7, 2, -3, 4, -1, 6, 1, 8, 3, -2, 5]),
];

/// What a scale may be, for error messages.
const KINDS: &str = "a mode (major, minor, dorian, ...), major pentatonic, minor pentatonic, blues, major blues, \
                     whole tone, octatonic, half-whole octatonic, chromatic or a list of notes";

impl From<Key> for Scale {
    fn from(key: Key) -> Scale {
        key.scale()
    }
}

impl Scale {
    /// Of any notes, the first of which is the tonic; names of a pitch class that was there before are left out.
    ///
    /// `None` without notes.
    pub fn custom(notes: &[NoteName]) -> Option<Scale> {
        let mut seen = PitchClasses::EMPTY;
        let mut names = Vec::new();
        for name in notes {
            if !seen.contains(name.pitch_class()) {
                seen = seen.with(name.pitch_class());
                names.push(*name);
            }
        }
        Some(Scale { tonic: *names.first()?, kind: ScaleKind::Custom(names) })
    }

    /// The names, from the tonic up; those of a custom scale in rising order too.
    pub fn degrees(&self) -> Vec<NoteName> {
        match &self.kind {
            ScaleKind::Mode(mode) => mode.fifths().iter().map(|place| self.tonic.moved(*place)).collect(),
            ScaleKind::Custom(names) => {
                let mut names = names.clone();
                let tonic = self.tonic.pitch_class();
                names.sort_by_key(|name| (name.pitch_class() + 12 - tonic) % 12);
                names
            }
            kind => {
                let places = NAMED.iter().find(|(_, named, _)| named == kind).map_or(&[][..], |it| it.2);
                places.iter().map(|place| self.tonic.moved(*place)).collect()
            }
        }
    }

    pub fn pitch_classes(&self) -> PitchClasses {
        self.degrees().into_iter().map(NoteName::pitch_class).collect()
    }

    /// Whether a MIDI pitch or pitch class is in the scale.
    pub fn contains(&self, pitch: u8) -> bool {
        self.pitch_classes().contains(pitch)
    }

    /// Which degree a MIDI pitch or pitch class is, the tonic 0; `None` outside the scale.
    pub fn degree_of(&self, pitch: u8) -> Option<usize> {
        self.degrees().iter().position(|name| name.pitch_class() == pitch % 12)
    }

    /// The key to write it in: its own for modes, else major or minor on the tonic, whichever shares more notes with
    /// it (of equals minor where the scale has the minor third only).
    pub fn key(&self) -> Key {
        if let ScaleKind::Mode(mode) = self.kind {
            return Key::new(self.tonic, mode);
        }
        let (major, minor) = (Key::new(self.tonic, Mode::Major), Key::new(self.tonic, Mode::Minor));
        let shared = |key: Key| (key.pitch_classes() & self.pitch_classes()).len();
        let third = |semitones| self.contains(self.tonic.pitch_class() + semitones);
        let (of_major, of_minor) = (shared(major), shared(minor));
        let only_minor_third = third(3) && !third(4);
        if of_minor > of_major || of_minor == of_major && only_minor_third { minor } else { major }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ScaleKind::Mode(mode) => write!(out, "{} {}", self.tonic, mode.name()),
            ScaleKind::Custom(names) => {
                let mut gap = "";
                for name in names {
                    write!(out, "{gap}{name}")?;
                    gap = " ";
                }
                // One name alone would be read as a key.
                if names.len() == 1 { write!(out, ",") } else { Ok(()) }
            }
            kind => {
                let named = NAMED.iter().find(|(_, named, _)| named == kind);
                write!(out, "{} {}", self.tonic, named.map_or("", |(names, ..)| names[0]))
            }
        }
    }
}

impl FromStr for Scale {
    type Err = SyntaxError;

    /// # Errors
    /// [`SyntaxError`] with the column of the word that is no tonic, no kind of scale and no note.
    fn from_str(text: &str) -> Result<Scale, SyntaxError> {
        let mut cursor = Cursor::new("scale", text.trim_end());
        cursor.skip_blanks();
        if cursor.rest().eq_ignore_ascii_case("chromatic") {
            return Ok(Scale { tonic: NoteName::C, kind: ScaleKind::Chromatic });
        }
        let start = cursor;
        let small = cursor.peek().is_some_and(|letter| letter.is_ascii_lowercase());
        let tonic = NoteName::read(&mut cursor)?;
        let _ = cursor.take(":");
        cursor.skip_blanks();
        if cursor.is_done() {
            return Ok(Key::new(tonic, if small { Mode::Minor } else { Mode::Major }).scale());
        }
        if let Some(mode) = key::mode(cursor.rest()) {
            return Ok(Key::new(tonic, mode).scale());
        }
        let word = cursor.rest().split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if let Some((_, kind, _)) = NAMED.iter().find(|(names, ..)| names.contains(&word.as_str())) {
            return Ok(Scale { tonic, kind: kind.clone() });
        }
        list(start, cursor.at)
    }
}

/// A list of notes; `second` is where the first ended, blanks aside: nothing that could be a note there means that a
/// kind of scale was meant.
fn list(mut cursor: Cursor<'_>, second: usize) -> Result<Scale, SyntaxError> {
    let mut names = Vec::new();
    while !cursor.is_done() {
        let at = cursor.at;
        let unknown = |cursor: &Cursor<'_>| SyntaxError::word(cursor.what, cursor.text, at, KINDS);
        let name = match NoteName::read(&mut cursor) {
            Err(_) if at == second => return Err(unknown(&cursor)),
            name => name?,
        };
        if !cursor.is_done() && !cursor.rest().starts_with([',', ' ', '\t']) {
            return Err(if at == second {
                unknown(&cursor)
            } else {
                cursor.expected("a blank and the next note")
            });
        }
        names.push(name);
        cursor.at = cursor.text.len() - cursor.rest().trim_start_matches([',', ' ', '\t']).len();
    }
    Scale::custom(&names).ok_or_else(|| cursor.expected("a note name (A to G)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(text: &str) -> Scale {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn scales_parse_print_and_have_their_notes() {
        let check = |text: &str, display: &str, degrees: &str| {
            let names: Vec<_> = scale(text).degrees().iter().map(ToString::to_string).collect();
            assert_eq!(
                (scale(text).to_string().as_str(), names.join(" ").as_str()),
                (display, degrees),
                "{text}"
            );
            assert_eq!(scale(display), scale(text));
            assert_eq!(scale(text).pitch_classes().len(), names.len());
        };
        check("C", "C major", "C D E F G A B");
        check("a", "A minor", "A B C D E F G");
        check("F# minor", "F# minor", "F# G# A B C# D E");
        check("C pentatonic", "C major pentatonic", "C D E G A");
        check("A minor pentatonic", "A minor pentatonic", "A C D E G");
        check("e Blues", "E blues", "E G A Bb B D");
        check("C major blues", "C major blues", "C D Eb E G A");
        check("C whole-tone", "C whole tone", "C D E F# G# Bb");
        check("C octatonic", "C octatonic", "C D Eb F Gb Ab A B");
        check("C half-whole", "C half-whole octatonic", "C Db Eb E F# G A Bb");
        check("chromatic", "C chromatic", "C C# D Eb E F F# G G# A Bb B");
        check("C D Eb G", "C D Eb G", "C D Eb G");
        check("G, C,D Eb", "G C D Eb", "G C D Eb");
        check("D C D#", "D C D#", "D D# C");
        check("C C# Db C", "C C#", "C C#");
        check("C,", "C,", "C");
    }

    #[test]
    fn what_is_no_scale_is_refused_with_its_column() {
        let check = |text: &str, column, start: &str| {
            let error = text.parse::<Scale>().expect_err(text);
            assert!(error.column == column && error.expected.starts_with(start), "{text}: {error}");
        };
        check("", 1, "a note name");
        check("X blues", 1, "a note name");
        check("C bluse", 3, "a mode");
        check("C foo", 3, "a mode");
        check("C D H", 5, "a note name");
        check("C D E9", 6, "a blank");
    }

    #[test]
    fn octaves_and_degrees_of_pitches() {
        let blues = scale("E blues");
        assert!(blues.contains(64) && blues.contains(70) && !blues.contains(65));
        assert_eq!((blues.degree_of(52), blues.degree_of(71), blues.degree_of(65)), (Some(0), Some(4), None));
    }

    #[test]
    fn every_scale_has_a_key_to_write_it_in() {
        let check = |text: &str, key: &str| assert_eq!(scale(text).key().to_string(), key, "{text}");
        check("D dorian", "D dorian");
        check("E blues", "E minor");
        check("A minor pentatonic", "A minor");
        check("C pentatonic", "C major");
        check("C D Eb G", "C minor");
        check("C chromatic", "C major");
        check("C", "C major");
    }
}
