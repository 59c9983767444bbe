//! Keys: a tonic and a mode.

use super::{
    NoteName, PitchClasses, Scale, ScaleKind,
    syntax::{Cursor, SyntaxError},
};
use crate::{KeyChange, Tick};
use std::{fmt, str::FromStr};

/// Seven-note modes. Ionian is [`Mode::Major`] and Aeolian [`Mode::Minor`], under both names in text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    #[default]
    Major,
    /// Natural minor.
    Minor,
    HarmonicMinor,
    /// With raised sixth and seventh, up and down alike.
    MelodicMinor,
    Dorian,
    Phrygian,
    Lydian,
    Mixolydian,
    Locrian,
}

impl Mode {
    pub const ALL: [Mode; 9] = [
        Mode::Major,
        Mode::Minor,
        Mode::HarmonicMinor,
        Mode::MelodicMinor,
        Mode::Dorian,
        Mode::Phrygian,
        Mode::Lydian,
        Mode::Mixolydian,
        Mode::Locrian,
    ];

    /// What keys display and parse: `harmonic minor`.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Major => "major",
            Mode::Minor => "minor",
            Mode::HarmonicMinor => "harmonic minor",
            Mode::MelodicMinor => "melodic minor",
            Mode::Dorian => "dorian",
            Mode::Phrygian => "phrygian",
            Mode::Lydian => "lydian",
            Mode::Mixolydian => "mixolydian",
            Mode::Locrian => "locrian",
        }
    }

    /// Whether the third is minor.
    pub fn is_minor(self) -> bool {
        !matches!(self, Mode::Major | Mode::Lydian | Mode::Mixolydian)
    }

    /// How far the key signature is from that of major on the same tonic, in fifths.
    fn signature(self) -> i32 {
        match self {
            Mode::Lydian => 1,
            Mode::Major => 0,
            Mode::Mixolydian => -1,
            Mode::Dorian => -2,
            Mode::Minor | Mode::HarmonicMinor | Mode::MelodicMinor => -3,
            Mode::Phrygian => -4,
            Mode::Locrian => -5,
        }
    }

    /// The seven degrees as steps on the line of fifths from the tonic, in rising order.
    pub(crate) fn fifths(self) -> [i32; 7] {
        let mut degrees = [0, 2, 4, -1, 1, 3, 5];
        let lowest = self.signature() - 1;
        for place in &mut degrees {
            // Into the run of seven neighbours that the signature allows; the letter stays.
            *place = lowest + (*place - lowest).rem_euclid(7);
        }
        if matches!(self, Mode::HarmonicMinor | Mode::MelodicMinor) {
            degrees[6] += 7;
        }
        if self == Mode::MelodicMinor {
            degrees[5] += 7;
        }
        degrees
    }
}

/// A tonic and a mode: `F# minor`.
///
/// Parses `F# minor`, `F#m`, `F#-minor`, `Bb`, `Bb:maj`, `D dorian`, `a harmonic minor`. Without a mode a capital letter
/// is major and a small one minor, as theory books write: `a` is A minor, `bb` B flat minor. Behind the letter `m` is
/// minor and `M` major; other words in either case.
///
/// A key that no signature can hold (D# major: nine sharps) is read as its equal that can (Eb major).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub tonic: NoteName,
    pub mode: Mode,
}

/// C major.
impl Default for Key {
    fn default() -> Key {
        Key { tonic: NoteName::C, mode: Mode::Major }
    }
}

impl Key {
    /// With the tonic respelled where the signature would have more than seven sharps or flats.
    pub fn new(tonic: NoteName, mode: Mode) -> Key {
        Key { tonic, mode }.simplified()
    }

    /// The major or natural minor key of a signature, `-7..=7` sharps; more are respelled.
    pub fn from_signature(sharps: i8, minor: bool) -> Key {
        let tonic = i32::from(sharps) + if minor { 3 } else { 0 };
        Key::new(NoteName::from_fifths(tonic), if minor { Mode::Minor } else { Mode::Major })
    }

    /// Sharps of the key signature, `-7..=7`, negative counts flats; harmonic and melodic minor sign as minor.
    ///
    /// That of the respelled key if this one was made by hand with a tonic that no signature can hold.
    pub fn signature(self) -> i8 {
        self.simplified().sharps() as i8
    }

    fn sharps(self) -> i32 {
        self.tonic.fifths() + self.mode.signature()
    }

    fn simplified(self) -> Key {
        let sharps = self.sharps();
        if (-7..=7).contains(&sharps) {
            return self;
        }
        // Six sharps rather than six flats.
        let nearest = (sharps + 5).rem_euclid(12) - 5;
        Key { tonic: NoteName::from_fifths(self.tonic.fifths() + nearest - sharps), mode: self.mode }
    }

    /// Whether the third is minor.
    pub fn is_minor(self) -> bool {
        self.mode.is_minor()
    }

    /// As many semitones higher, in the spelling of fewest accidentals; of six sharps and six flats on the side where
    /// this key is.
    #[must_use]
    pub fn transposed(self, semitones: i32) -> Key {
        if semitones.rem_euclid(12) == 0 {
            return self;
        }
        let sharps = self.sharps();
        let lowest = if sharps < 0 { -6 } else { -5 };
        let nearest = lowest + (sharps + semitones.rem_euclid(12) * 7 - lowest).rem_euclid(12);
        Key { tonic: NoteName::from_fifths(self.tonic.fifths() + nearest - sharps), mode: self.mode }
    }

    /// A minor for C major and C major for A minor: the other key of the same signature. Modes with a major third
    /// give minor, the others major.
    #[must_use]
    pub fn relative(self) -> Key {
        Key::from_signature(self.signature(), !self.is_minor())
    }

    /// C minor for C major and C major for C minor, in any mode with that third.
    #[must_use]
    pub fn parallel(self) -> Key {
        Key::new(self.tonic, if self.is_minor() { Mode::Major } else { Mode::Minor })
    }

    /// The seven notes of the key as a scale.
    pub fn scale(self) -> Scale {
        Scale { tonic: self.tonic, kind: ScaleKind::Mode(self.mode) }
    }

    /// The seven names, from the tonic up.
    pub fn degrees(self) -> [NoteName; 7] {
        self.mode.fifths().map(|place| self.tonic.moved(place))
    }

    pub fn pitch_classes(self) -> PitchClasses {
        self.degrees().into_iter().map(NoteName::pitch_class).collect()
    }

    /// Whether a MIDI pitch or pitch class is one of the seven.
    pub fn contains(self, pitch: u8) -> bool {
        self.pitch_classes().contains(pitch)
    }

    /// As a key signature in a score.
    ///
    /// MIDI knows major and minor only: church modes come back as the major or minor key of their signature, harmonic
    /// and melodic minor as minor.
    pub fn change(self, at: Tick) -> KeyChange {
        KeyChange { at, sharps: self.signature(), minor: self.is_minor() }
    }
}

impl From<KeyChange> for Key {
    fn from(change: KeyChange) -> Key {
        Key::from_signature(change.sharps, change.minor)
    }
}

/// Names of modes and other ways to write them, longest first where one begins another. In lower case.
const MODES: [(&str, Mode); 22] = [
    ("harmonic minor", Mode::HarmonicMinor),
    ("harmonic-minor", Mode::HarmonicMinor),
    ("harmonic", Mode::HarmonicMinor),
    ("melodic minor", Mode::MelodicMinor),
    ("melodic-minor", Mode::MelodicMinor),
    ("melodic", Mode::MelodicMinor),
    ("natural minor", Mode::Minor),
    ("natural-minor", Mode::Minor),
    ("major", Mode::Major),
    ("maj", Mode::Major),
    ("dur", Mode::Major),
    ("ionian", Mode::Major),
    ("minor", Mode::Minor),
    ("min", Mode::Minor),
    ("moll", Mode::Minor),
    ("m", Mode::Minor),
    ("aeolian", Mode::Minor),
    ("dorian", Mode::Dorian),
    ("phrygian", Mode::Phrygian),
    ("lydian", Mode::Lydian),
    ("mixolydian", Mode::Mixolydian),
    ("locrian", Mode::Locrian),
];

/// What may follow a tonic, for error messages.
pub(crate) const MODE_NAMES: &str =
    "major, minor, harmonic minor, melodic minor, dorian, phrygian, lydian, mixolydian or locrian";

/// The mode a word stands for; `M` alone is major.
pub(crate) fn mode(word: &str) -> Option<Mode> {
    if word == "M" {
        return Some(Mode::Major);
    }
    // Any number of blanks between two words.
    let word = word.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    MODES.into_iter().find(|(name, _)| *name == word).map(|(_, mode)| mode)
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.tonic, self.mode.name())
    }
}

impl FromStr for Key {
    type Err = SyntaxError;

    /// # Errors
    /// [`SyntaxError`] with the column of what is no tonic or no mode.
    fn from_str(text: &str) -> Result<Key, SyntaxError> {
        let mut cursor = Cursor::new("key", text.trim_end());
        cursor.skip_blanks();
        let small = cursor.peek().is_some_and(|letter| letter.is_ascii_lowercase());
        let tonic = NoteName::read(&mut cursor)?;
        let parted = [":", "-", "_"].into_iter().any(|sign| cursor.take(sign));
        cursor.skip_blanks();
        if cursor.is_done() && !parted {
            return Ok(Key::new(tonic, if small { Mode::Minor } else { Mode::Major }));
        }
        let mode = mode(cursor.rest());
        let error = || SyntaxError::word(cursor.what, cursor.text, cursor.at, MODE_NAMES);
        Ok(Key::new(tonic, mode.ok_or_else(error)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn keys_parse_in_every_usual_spelling() {
        let check = |text: &str, display: &str, signature| {
            assert_eq!(
                (key(text).to_string().as_str(), key(text).signature()),
                (display, signature),
                "{text}"
            );
        };
        check("C", "C major", 0);
        check("a", "A minor", 0);
        check("b", "B minor", 2);
        check("bb", "Bb minor", -5);
        check("Bb", "Bb major", -2);
        check("Bbm", "Bb minor", -5);
        check("bbm", "Bb minor", -5);
        check("F# minor", "F# minor", 3);
        check("f# MINOR", "F# minor", 3);
        check("F#min", "F# minor", 3);
        check(" Eb:maj ", "Eb major", -3);
        check("F#-minor", "F# minor", 3);
        check("F#_minor", "F# minor", 3);
        check("CM", "C major", 0);
        check("c major", "C major", 0);
        check("D dorian", "D dorian", 0);
        check("D  Dorian", "D dorian", 0);
        check("G mixolydian", "G mixolydian", 0);
        check("E phrygian", "E phrygian", 0);
        check("F lydian", "F lydian", 0);
        check("B locrian", "B locrian", 0);
        check("A aeolian", "A minor", 0);
        check("C ionian", "C major", 0);
        check("a harmonic  minor", "A harmonic minor", 0);
        check("C melodic-minor", "C melodic minor", -3);
        check("G♭ major", "Gb major", -6);
        check("C# major", "C# major", 7);
        check("Cb", "Cb major", -7);
        check("A# minor", "A# minor", 7);
        check("D# major", "Eb major", -3);
        check("Fb major", "E major", 4);
        check("G# major", "Ab major", -4);
        check("Db minor", "C# minor", 4);
        check("B## locrian", "C# locrian", 2);
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_column() {
        let check = |text: &str, column, got: &str| {
            let error = text.parse::<Key>().expect_err(text);
            assert_eq!((error.column, error.got.as_str()), (column, got), "{error}");
        };
        check("", 1, "the end");
        check("H minor", 1, "'H'");
        check("  H", 3, "'H'");
        check("C minr", 3, "\"minr\"");
        check("C-", 3, "the end");
        check("C:", 3, "the end");
        check("C major x", 3, "\"major\"");
        check("C###", 4, "\"#\"");
        let message = "F# mino".parse::<Key>().expect_err("no mode").to_string();
        assert!(message.starts_with("key, column 4: expected major, minor, "), "{message}");
    }

    #[test]
    fn keys_print_and_parse_back() {
        for mode in Mode::ALL {
            for sharps in -7..=7 {
                let key = Key::new(NoteName::from_fifths(sharps - mode.signature()), mode);
                assert_eq!((i32::from(key.signature()), key.to_string().parse()), (sharps, Ok(key)));
            }
        }
    }

    #[test]
    fn degrees_are_seven_letters() {
        let check = |text: &str, degrees: &str| {
            let names: Vec<_> = key(text).degrees().iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), degrees, "{text}");
        };
        check("C", "C D E F G A B");
        check("F# minor", "F# G# A B C# D E");
        check("F# harmonic minor", "F# G# A B C# D E#");
        check("A melodic minor", "A B C D E F# G#");
        check("G# harmonic minor", "G# A# B C# D# E F##");
        check("D dorian", "D E F G A B C");
        check("E phrygian", "E F G A B C D");
        check("C lydian", "C D E F# G A B");
        check("C mixolydian", "C D E F G A Bb");
        check("C locrian", "C Db Eb F Gb Ab Bb");
        check("Cb", "Cb Db Eb Fb Gb Ab Bb");
        assert!(key("A harmonic minor").contains(68) && !key("a").contains(68));
    }

    #[test]
    fn relative_parallel_and_transposed_keys() {
        assert_eq!(key("C").relative(), key("a"));
        assert_eq!(key("f#").relative(), key("A"));
        assert_eq!(key("D dorian").relative(), key("C"));
        assert_eq!(key("Eb").parallel(), key("eb"));
        assert_eq!(key("Gb").parallel(), key("f#"));
        assert_eq!(key("c harmonic minor").parallel(), key("C"));
        let check = |from: &str, by, to: &str| assert_eq!(key(from).transposed(by), key(to), "{from} {by}");
        check("C", 1, "Db");
        check("C", 6, "F#");
        check("F", 1, "Gb");
        check("D", 12, "D");
        check("Gb", 0, "Gb");
        check("a", -1, "g#");
        check("d", 1, "eb");
        check("D dorian", 2, "E dorian");
        check("C", -3, "A");
        check("C", i32::MIN, "E");
    }

    #[test]
    fn signatures_go_into_a_score_and_back() {
        for sharps in -7..=7 {
            for minor in [false, true] {
                let change = KeyChange { at: Tick(9), sharps, minor };
                assert_eq!(Key::from(change).change(Tick(9)), change);
            }
        }
        assert_eq!(Key::from(key("D dorian").change(Tick(0))), key("a"));
        // Nothing in a `KeyChange` made by hand is out of reach.
        for sharps in i8::MIN..=i8::MAX {
            assert!((-7..=7).contains(&Key::from_signature(sharps, true).signature()));
        }
    }
}
