//! What the information fields of ABC say: keys, metres, tempos, lengths, voices.

use super::super::layout::signature;
use super::length::Length;
use crate::Meter;
use crate::harmony::{Key, Letter, Mode, NoteName};

/// What a `K:` field says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KeyField {
    /// `(sharps, minor)`; `None` where the field names none.
    pub sign: Option<(i8, bool)>,
    /// What notes without a sign are, by letter; only if a key is named.
    pub alters: Option<[i8; 7]>,
    pub octave: Option<i32>,
    pub transpose: Option<i32>,
    pub percussion: bool,
}

/// Reads a `K:` field; words that are no key or clef are ignored.
pub(super) fn key(text: &str) -> KeyField {
    let mut field = KeyField::default();
    let mut words = text.split_whitespace().flat_map(parted).peekable();
    match words.peek().copied() {
        Some("HP" | "Hp") => {
            let mut alters = [0; 7];
            (alters[Letter::F.index()], alters[Letter::C.index()]) = (1, 1);
            (field.sign, field.alters) = (Some((2, false)), Some(alters));
            words.next();
        }
        Some("none") => {
            field.alters = Some([0; 7]);
            words.next();
        }
        Some(first) => {
            if let Some((key, mode_in_word)) = tonic(first) {
                words.next();
                let mode = match mode_in_word {
                    Some(mode) => mode,
                    None => {
                        let mode = words.peek().and_then(|word| mode(word));
                        if mode.is_some() {
                            words.next();
                        }
                        mode.unwrap_or(Mode::Major)
                    }
                };
                let key = Key::new(key, mode);
                field.sign = Some((key.signature(), key.is_minor()));
                field.alters = Some(signature(key.signature()));
            }
        }
        None => {}
    }
    for word in words {
        if word == "exp" {
            field.alters = Some([0; 7]);
        } else if let Some(accidentals) = accidentals(word) {
            for (alter, letter) in accidentals {
                field.alters.get_or_insert([0; 7])[letter.index()] = alter;
            }
        } else {
            property(word, &mut field);
        }
    }
    field
}

/// `C^f^c`: a tonic or mode, and the accidentals that stand right behind it.
fn parted(word: &str) -> impl Iterator<Item = &str> {
    let at = word.find(['^', '_', '=']).filter(|&at| {
        let (name, behind) = word.split_at(at);
        let named = tonic(name).is_some() || name == "exp" || mode(name).is_some_and(|_| name != "m");
        named && accidentals(behind).is_some()
    });
    let (name, behind) = word.split_at(at.unwrap_or(word.len()));
    [name, behind].into_iter().filter(|part| !part.is_empty())
}

/// `clef=`, `octave=`, `transpose=`, or a clef alone, in `K:` and `V:` fields.
pub(super) fn property(word: &str, field: &mut KeyField) {
    let (name, value) = word.split_once('=').unwrap_or(("clef", word));
    let number = value.parse::<i32>().ok().filter(|number| (-120..=120).contains(number));
    match name {
        "octave" => field.octave = number.filter(|octave| (-10..=10).contains(octave)),
        "transpose" | "t" => field.transpose = number,
        "clef" => {
            field.percussion |= value.starts_with("perc");
            if value.ends_with("-8") {
                field.octave = Some(-1);
            } else if value.ends_with("+8") {
                field.octave = Some(1);
            }
        }
        _ => {}
    }
}

/// `F#m`, `Bbmix`, `C`: the tonic and, if it is joined to it, the mode.
fn tonic(word: &str) -> Option<(NoteName, Option<Mode>)> {
    let letter = word.chars().next().filter(|letter| ('A'..='G').contains(letter))?;
    let rest = &word[1..];
    let (alter, rest) = match rest.chars().next() {
        Some('#') => (1, &rest[1..]),
        Some('b') => (-1, &rest[1..]),
        _ => (0, rest),
    };
    let name = NoteName::new(Letter::from_char(letter)?, alter)?;
    if rest.is_empty() { Some((name, None)) } else { Some((name, Some(mode(rest)?))) }
}

/// Modes are known by three letters; `m` alone is minor.
fn mode(word: &str) -> Option<Mode> {
    let word = word.to_ascii_lowercase();
    if word == "m" {
        return Some(Mode::Minor);
    }
    Some(match word.get(..3)? {
        "maj" | "ion" => Mode::Major,
        "min" | "aeo" => Mode::Minor,
        "mix" => Mode::Mixolydian,
        "dor" => Mode::Dorian,
        "phr" => Mode::Phrygian,
        "lyd" => Mode::Lydian,
        "loc" => Mode::Locrian,
        _ => return None,
    })
}

/// `^f`, `_b^c` in a key; `None` for a word of any other kind.
fn accidentals(word: &str) -> Option<Vec<(i8, Letter)>> {
    let mut found = Vec::new();
    for accidental in word.split_inclusive(|letter: char| letter.is_ascii_alphabetic()) {
        let letter = accidental.chars().next_back()?;
        let alter = match accidental.strip_suffix(letter)? {
            "^" => 1,
            "^^" => 2,
            "_" => -1,
            "__" => -2,
            "=" => 0,
            _ => return None,
        };
        found.push((alter, Letter::from_char(letter)?));
    }
    Some(found)
}

/// `4/4`, `C`, `C|`, `2+3/8`; `Some(None)` for `none`, `None` for what is no metre.
pub(super) fn meter(text: &str) -> Option<Option<Meter>> {
    let text = text.trim();
    match text {
        "C" => return Some(Some(Meter::COMMON)),
        "C|" => return Some(Some(Meter { numerator: 2, denominator: 2 })),
        "none" | "" => return Some(None),
        _ => {}
    }
    let (above, below) = text.split_once('/')?;
    let parts = above.trim_matches(['(', ')', ' ']).split('+').map(|part| part.trim().parse::<u8>().ok());
    let sum: u32 = parts.collect::<Option<Vec<u8>>>()?.into_iter().map(u32::from).sum();
    let denominator: u8 = below.trim().parse().ok().filter(|it: &u8| it.is_power_of_two() && *it <= 128)?;
    let numerator = u8::try_from(sum).ok().filter(|it| *it > 0)?;
    Some(Some(Meter { numerator, denominator }))
}

/// A fraction like `1/8` or `1`, of a whole note, in quarters.
pub(super) fn fraction(text: &str) -> Option<Length> {
    let (above, below) = text.trim().split_once('/').unwrap_or((text.trim(), "1"));
    let (above, below): (u16, u16) = (above.trim().parse().ok()?, below.trim().parse().ok()?);
    Length::new(u64::from(above) * 4, below.into()).filter(|length| *length != Length::ZERO)
}

/// Quarter notes per minute; `unit` is the unit note length in quarters.
///
/// `1/4=120`, `"Allegro" 1/4=120`, `1/4 1/8=80` (both together), `120` (unit notes); `None` for words alone.
pub(super) fn tempo(text: &str, unit: Length) -> Option<f64> {
    let mut outside = String::new();
    for (index, piece) in text.split('"').enumerate() {
        if index % 2 == 0 {
            outside.push_str(piece);
        }
    }
    let (beats, number) = match outside.split_once('=') {
        Some((beats, number)) => (beats.trim(), number),
        None => ("", outside.as_str()),
    };
    let mut beat = Length::ZERO;
    for word in beats.split_whitespace().filter(|word| !word.starts_with('C')) {
        beat = beat.plus(fraction(word)?)?;
    }
    let beat = if beat == Length::ZERO { unit } else { beat };
    let number: f64 =
        number.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)?;
    Some(number * beat.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_their_modes_and_clefs() {
        let check = |text: &str, sign| assert_eq!(key(text).sign, sign, "{text}");
        check("G", Some((1, false)));
        check("Gm", Some((-2, true)));
        check("F# minor", Some((3, true)));
        check("Bb", Some((-2, false)));
        check("ADor", Some((1, true)));
        check("D mixolydian", Some((1, false)));
        check("Em clef=bass", Some((1, true)));
        check("none", None);
        check("clef=bass", None);
        check("", None);
        assert_eq!(key("D exp _b ^f").alters, Some([0, 0, 0, 1, 0, 0, -1]));
        assert_eq!(key("C^f^c^a").alters, Some([1, 0, 0, 1, 0, 1, 0]));
        assert_eq!(key("Dmix_b=f").alters, Some([0, 0, 0, 0, 0, 0, -1]));
        assert_eq!((key("C clef=G").alters, key("F m=B").sign), (Some([0; 7]), Some((-1, false))));
        assert_eq!(key("D =c").alters, Some([0, 0, 0, 1, 0, 0, 0]));
        assert_eq!(key("C treble-8").octave, Some(-1));
        assert!(key("C clef=perc").percussion);
    }

    #[test]
    fn meters_and_tempos_are_read() {
        assert_eq!(meter("6/8"), Some(Some(Meter { numerator: 6, denominator: 8 })));
        assert_eq!(meter("(2+3)/8"), Some(Some(Meter { numerator: 5, denominator: 8 })));
        assert_eq!((meter("none"), meter("4/3"), meter("x")), (Some(None), None, None));
        let eighth = fraction("1/8").expect("valid");
        assert_eq!(tempo("1/4=120", eighth), Some(120.0));
        assert_eq!(tempo("3/8=60", eighth), Some(90.0));
        assert_eq!(tempo("\"Slow = 1\" 1/4=50", eighth), Some(50.0));
        assert_eq!(tempo("120", eighth), Some(60.0));
        assert_eq!((tempo("\"Slow\"", eighth), tempo("1/4=nan", eighth)), (None, None));
    }
}
