//! Collections of songs: a line of JSON each, with a table that says which split a song belongs to.
//!
//! A folder holds `leadsheets.jsonl` (OpenEWLD: `notes`, `chords` in Harte's syntax) or `lieder.jsonl` (OpenScore Lieder:
//! `parts`), and `splits.csv` with the columns `src` and `split`. Times are ticks, 48 a quarter note; `bars` are where
//! bars begin.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use partita_tokens::song::Piece;
use serde::Deserialize;

use super::piece::pieces;
use crate::groove::Split;

/// Styles a song may have, in the order of their tokens.
pub const STYLES: [&str; 10] =
    ["pop", "jazz", "rock", "stage", "folk", "soul", "latin", "classical", "blues", "lied"];

/// A stretch of a song in one metre.
#[derive(Clone, Debug)]
pub struct Song {
    /// File of the song in its collection.
    pub name: String,
    pub split: Split,
    pub piece: Piece,
    /// Tonic pitch class and whether it is minor.
    pub key: (u8, bool),
    /// Beats per minute, where it is written down.
    pub tempo: Option<f64>,
    /// Index into [`STYLES`].
    pub style: Option<u32>,
    /// Chords come from symbols or were recognized; otherwise there are none.
    pub has_chords: bool,
    /// Whether it begins, and ends, where the song does.
    pub opening: bool,
    pub closing: bool,
}

/// Songs of one or several collections.
#[derive(Clone, Debug)]
pub struct Songs {
    /// One list a collection.
    pub collections: Vec<Vec<Song>>,
    /// SHA-256 over the sorted lines `file,split`: which split a number was measured on.
    pub split_hash: String,
}

/// Why a collection cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("data must be a folder with leadsheets.jsonl or lieder.jsonl, got {}", .0.display())]
    NoSongs(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} line {line}: {message}", path.display())]
    Line { path: PathBuf, line: usize, message: String },
    #[error("{} must say train, validation or test of {name}", path.display())]
    NoSplit { path: PathBuf, name: String },
}

/// A line of a collection.
#[derive(Deserialize)]
pub(super) struct Written {
    pub src: String,
    #[serde(default)]
    pub genres: Option<Vec<String>>,
    pub time: Vec<(u32, String)>,
    #[serde(default)]
    pub key: Vec<(u32, i8, Option<String>)>,
    #[serde(default)]
    pub tempo: Vec<(u32, f64)>,
    pub bars: Vec<u32>,
    #[serde(default)]
    pub end: Option<u32>,
    /// Onset, duration, pitch.
    #[serde(default)]
    pub notes: Vec<(u32, u32, u8)>,
    #[serde(default)]
    pub chords: Vec<(u32, String)>,
    #[serde(default)]
    pub parts: Vec<WrittenPart>,
}

#[derive(Deserialize)]
pub(super) struct WrittenPart {
    pub name: String,
    pub notes: Vec<(u32, u32, u8)>,
}

impl Songs {
    /// Reads the collections in `folders`.
    ///
    /// # Errors
    /// A folder without a collection, a file that cannot be read, a line that makes no sense, a song without a split.
    pub fn load(folders: &[PathBuf]) -> Result<Songs, Error> {
        let mut collections = Vec::new();
        let mut lines = Vec::new();
        for folder in folders {
            collections.push(load_collection(folder, &mut lines)?);
        }
        lines.sort();
        lines.dedup();
        let split_hash = crate::checkpoint::hash(lines.concat().as_bytes());
        Ok(Songs { collections, split_hash })
    }

    /// All songs of a split, collection after collection.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &Song> {
        self.collections.iter().flatten().filter(move |song| song.split == split)
    }
}

/// `lines`: gets `file,split` of every song, also of those without a stretch that can be used.
fn load_collection(folder: &Path, lines: &mut Vec<String>) -> Result<Vec<Song>, Error> {
    let files = ["leadsheets.jsonl", "lieder.jsonl"].map(|name| folder.join(name));
    let path = files.into_iter().find(|path| path.is_file());
    let path = path.ok_or_else(|| Error::NoSongs(folder.to_path_buf()))?;
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
    };
    let splits_path = folder.join("splits.csv");
    let splits = read_splits(&read(&splits_path)?);
    let mut songs = Vec::new();
    for (line, text) in read(&path)?.lines().enumerate() {
        let error = |message: String| Error::Line { path: path.clone(), line: line + 1, message };
        let written: Written = serde_json::from_str(text).map_err(|e| error(e.to_string()))?;
        let split = splits
            .get(&written.src)
            .copied()
            .ok_or_else(|| Error::NoSplit { path: splits_path.clone(), name: written.src.clone() })?;
        lines.push(format!("{},{}\n", written.src, split.name()));
        songs.extend(pieces(&written, split));
    }
    Ok(songs)
}

/// `src` and `split`, the first and the third column of a table.
fn read_splits(text: &str) -> HashMap<String, Split> {
    let row = |line: &str| {
        let fields = fields(line);
        let split = Split::ALL.into_iter().find(|it| Some(it.name()) == fields.get(2).map(String::as_str))?;
        Some((fields.into_iter().next()?, split))
    };
    text.lines().filter_map(row).collect()
}

/// The fields of a line of comma-separated values; quoted ones may hold commas, and quotes written twice.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("there is always a field");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_hold_commas_and_quotes() {
        assert_eq!(fields(r#""a, ""b""",c,,d"#), ["a, \"b\"", "c", "", "d"]);
        let splits = read_splits("src,group,split\n\"x,y\",\"g,h\",test,3\nz,g,train,4\n");
        assert_eq!((splits["x,y"], splits["z"], splits.len()), (Split::Test, Split::Train, 2));
    }
}
