//! Rolls as `bench/piano_rolls.py` writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::checkpoint::hash;
use crate::groove::Split;

/// Keys of a piano.
pub const LOWEST: u8 = 21;
pub const HIGHEST: u8 = 108;

/// The pitches of a frame, ascending.
pub type Frame = Vec<u8>;
/// The frames of a piece.
pub type Roll = Vec<Frame>;

/// The pieces of all splits.
#[derive(Clone, Debug)]
pub struct Rolls {
    train: Vec<Roll>,
    validation: Vec<Roll>,
    test: Vec<Roll>,
    /// SHA-256 over the sorted lines `split,SHA-256 of the piece's frames as text`.
    pub split_hash: String,
}

/// Why the data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
}

impl Rolls {
    /// Reads `{"train": [[[pitch, ..], ..], ..], "valid": .., "test": ..}`.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds something else.
    pub fn load(path: &Path) -> Result<Rolls, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Rolls::parse(&text).map_err(|message| Error::Content { path: path.into(), message })
    }

    fn parse(text: &str) -> Result<Rolls, String> {
        let mut file: BTreeMap<String, Vec<Roll>> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        let mut split = |name: &str| {
            let rolls = file.remove(name).ok_or_else(|| format!("it must have a split {name}"))?;
            for roll in &rolls {
                for frame in roll {
                    let ascending = frame.windows(2).all(|pair| pair[0] < pair[1]);
                    if !ascending || !frame.iter().all(|pitch| (LOWEST..=HIGHEST).contains(pitch)) {
                        return Err(format!(
                            "frames must be ascending pitches in {LOWEST}..={HIGHEST}, got {frame:?}"
                        ));
                    }
                }
                lines.push(format!("{name},{}\n", hash(format!("{roll:?}").as_bytes())));
            }
            Ok(rolls)
        };
        let (train, validation, test) = (split("train")?, split("valid")?, split("test")?);
        lines.sort();
        Ok(Rolls { train, validation, test, split_hash: hash(lines.concat().as_bytes()) })
    }

    /// The pieces of a split.
    pub fn split(&self, split: Split) -> &[Roll] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}
