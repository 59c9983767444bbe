//! What musicians write into fields: keys, scales and notes by their names.

use std::str::FromStr;

use partita_score::demands::{PitchSet, Required};
use partita_score::harmony::{Key, NoteName, SyntaxError};

use super::problems::{Problems, text};
use crate::Code;

/// Longest text of a key, scale or mood, characters.
pub(crate) const LONGEST_NAME: usize = 200;
/// Notes of a list.
pub(crate) const MOST_NOTES: usize = 128;

/// A key; `None` for any, and after a problem.
pub(crate) fn key(given: &str, problems: &mut Problems) -> Option<Key> {
    if given.trim().eq_ignore_ascii_case("any") {
        return None;
    }
    parsed("key", given, problems)
}

/// Whether a text has so many characters at most; tells if not.
pub(crate) fn short(field: &str, given: &str, most: usize, problems: &mut Problems) -> bool {
    let characters = given.chars().count();
    if characters > most {
        problems.add(field, &format!("at most {most} characters"), characters);
    }
    characters <= most
}

/// What a text means; `None` after a problem.
pub(crate) fn parsed<T: FromStr<Err = SyntaxError>>(
    field: &str,
    given: &str,
    problems: &mut Problems,
) -> Option<T> {
    if !short(field, given, LONGEST_NAME, problems) {
        return None;
    }
    given.parse().map_err(|error| syntax(field, &error, problems)).ok()
}

pub(crate) fn syntax(field: &str, error: &SyntaxError, problems: &mut Problems) {
    problems.say(Code::InvalidRequest, field, error, None);
}

/// Notes by name or number, each with the place of what is none.
pub(crate) fn notes(
    field: &str,
    words: Option<&[String]>,
    most: usize,
    problems: &mut Problems,
) -> Vec<Required> {
    let words = words.unwrap_or_default();
    if words.len() > most {
        problems.add(field, &format!("at most {most} notes"), words.len());
        return vec![];
    }
    let mut notes = Vec::with_capacity(words.len());
    for (index, word) in words.iter().enumerate() {
        let class = || Some(Required::Class(NoteName::from_str(word.trim()).ok()?.pitch_class()));
        match pitch(word).map(Required::Pitch).or_else(class) {
            Some(note) => notes.push(note),
            None => problems.add(&format!("{field}/{index}"), "a note, as in F#4, 61 or Bb", text(word)),
        }
    }
    notes
}

/// All pitches of notes.
pub(crate) fn pitches(notes: &[Required]) -> PitchSet {
    notes.iter().fold(PitchSet::EMPTY, |set, note| set | note.pitches())
}

/// A MIDI pitch: a number, or a name with its octave; C4 is 60.
fn pitch(word: &str) -> Option<u8> {
    let word = word.trim();
    if let Ok(number) = word.parse::<u8>() {
        return (number < 128).then_some(number);
    }
    let octave = word.find(|c: char| c == '-' || c.is_ascii_digit())?;
    NoteName::from_str(&word[..octave]).ok()?.pitch(word[octave..].parse().ok()?)
}
