//! Progressions with the moods people tagged them with.

use crate::{Error, Result};
use std::{fmt::Write, str::FromStr, sync::OnceLock};

/// A mood of the library; parses in either case, also by other words for it (`happy` is joyful).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mood(&'static str);

/// A progression, one chord or two (`IV_V`) a bar, as numerals over the major scale.
pub(super) struct Entry {
    pub minor: bool,
    pub bars: Vec<String>,
    pub moods: Vec<Mood>,
}

/// In alphabetical order.
const MOODS: [&str; 21] = [
    "anguished",
    "dark",
    "dramatic",
    "empowered",
    "excited",
    "fearful",
    "hopeful",
    "joyful",
    "lonely",
    "mysterious",
    "nostalgic",
    "peaceful",
    "playful",
    "rebellious",
    "relaxed",
    "romantic",
    "sad",
    "spiritual",
    "surprised",
    "tender",
    "triumphant",
];
/// Words people use for a mood of the library.
const OTHERS: [(&str, &str); 20] = [
    ("angry", "rebellious"),
    ("calm", "peaceful"),
    ("cheerful", "joyful"),
    ("chill", "relaxed"),
    ("dreamy", "tender"),
    ("energetic", "excited"),
    ("epic", "triumphant"),
    ("gloomy", "dark"),
    ("happy", "joyful"),
    ("heroic", "triumphant"),
    ("love", "romantic"),
    ("melancholic", "nostalgic"),
    ("melancholy", "nostalgic"),
    ("optimistic", "hopeful"),
    ("scary", "fearful"),
    ("serene", "peaceful"),
    ("sorrowful", "sad"),
    ("tense", "mysterious"),
    ("uplifting", "hopeful"),
    ("warm", "tender"),
];

/// The moods there are, in alphabetical order.
pub fn moods() -> impl Iterator<Item = &'static str> {
    MOODS.into_iter()
}

impl Mood {
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for Mood {
    type Err = Error;

    /// # Errors
    /// [`Error::UnknownMood`] with the moods there are and the nearest of them.
    fn from_str(text: &str) -> Result<Mood> {
        let word = text.trim().to_lowercase();
        let other = OTHERS.iter().find(|(other, _)| *other == word).map_or(word.as_str(), |(_, mood)| mood);
        if let Some(mood) = MOODS.into_iter().find(|mood| *mood == other) {
            return Ok(Mood(mood));
        }
        let shown: String = text.chars().take(40).collect();
        let mut hint = String::new();
        let near = MOODS.iter().chain(OTHERS.iter().map(|(other, _)| other));
        let near = near.map(|mood| (distance(&word, mood), *mood)).min();
        if let Some((_, mood)) = near.filter(|(apart, mood)| *apart <= mood.len() / 3) {
            let _ = write!(hint, ", did you mean {mood}?");
        }
        Err(Error::UnknownMood { got: format!("{shown:?}"), allowed: MOODS.join(", "), hint })
    }
}

/// Single letters to insert, remove or replace; of a long word only its start is looked at.
fn distance(word: &str, mood: &str) -> usize {
    let (word, mood): (Vec<char>, Vec<char>) = (word.chars().take(40).collect(), mood.chars().collect());
    let mut row: Vec<usize> = (0..=mood.len()).collect();
    for (i, x) in word.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in mood.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[mood.len()]
}

/// The library, read once.
pub(super) fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| include_str!("../../../data/moods.txt").lines().filter_map(entry).collect())
}

/// `None` for comments.
fn entry(line: &str) -> Option<Entry> {
    if line.starts_with('#') {
        return None;
    }
    let (mode, rest) = line.split_once(": ")?;
    let (bars, moods) = rest.split_once(" = ")?;
    Some(Entry {
        minor: mode == "minor",
        bars: bars.split(' ').map(Into::into).collect(),
        moods: moods
            .split(' ')
            .filter_map(|mood| MOODS.into_iter().find(|it| *it == mood).map(Mood))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Key, parse_roman};
    use super::*;

    #[test]
    fn the_library_reads_whole() {
        assert_eq!(entries().len(), 184);
        let lines = include_str!("../../../data/moods.txt").lines();
        assert_eq!(lines.filter(|line| !line.starts_with('#')).count(), 184);
        for entry in entries() {
            assert!(!entry.moods.is_empty() && !entry.bars.is_empty());
            for bar in &entry.bars {
                parse_roman(bar, Key::default()).unwrap_or_else(|error| panic!("{bar}: {error}"));
            }
        }
        for mood in MOODS {
            assert!(entries().iter().any(|entry| entry.moods.contains(&Mood(mood))), "{mood}");
        }
        for (_, mood) in OTHERS {
            assert!(MOODS.contains(&mood), "{mood}");
        }
    }
}
