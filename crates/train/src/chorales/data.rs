//! The JSB chorales on the grid of sixteenths, by the split of Boulanger-Lewandowski et al. 2012.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use partita_tokens::chorale::{Cell, HIGHEST, LOWEST, Step, VOICES};

use crate::checkpoint::hash;
use crate::groove::Split;

/// One chorale, a step each sixteenth.
pub type Chorale = Vec<Step>;

const FILE: &str = "Jsb16thSeparated.json";

/// The chorales of all splits.
#[derive(Clone, Debug)]
pub struct Chorales {
    train: Vec<Chorale>,
    validation: Vec<Chorale>,
    test: Vec<Chorale>,
    /// SHA-256 over the sorted lines `split,SHA-256 of the chorale's pitches as text`.
    pub split_hash: String,
}

/// Why the data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("data must be a folder with {FILE} or jsb-chorales/{FILE}, got {}", .0.display())]
    Nothing(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
}

impl Chorales {
    /// Reads `Jsb16thSeparated.json` of czhuang/JSB-Chorales-dataset: `{"train": [[[s, a, t, b], ..], ..], ..}`, -1
    /// for silence.
    ///
    /// # Errors
    /// [`Error::Nothing`] without the file, [`Error::Content`] for one that holds something else.
    pub fn load(folder: &Path) -> Result<Chorales, Error> {
        let places = [folder.join(FILE), folder.join("jsb-chorales").join(FILE)];
        let Some(path) = places.into_iter().find(|path| path.is_file()) else {
            return Err(Error::Nothing(folder.into()));
        };
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Chorales::parse(&text).map_err(|message| Error::Content { path, message })
    }

    pub(super) fn parse(text: &str) -> Result<Chorales, String> {
        let mut file: BTreeMap<String, Vec<Vec<[i32; VOICES]>>> =
            serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut lines = Vec::new();
        let mut split = |name: &str| {
            let pieces = file.remove(name).ok_or_else(|| format!("it must have a split {name}"))?;
            pieces
                .iter()
                .for_each(|piece| lines.push(format!("{name},{}\n", hash(format!("{piece:?}").as_bytes()))));
            pieces.iter().map(|piece| chorale(piece)).collect::<Result<Vec<_>, _>>()
        };
        let (train, validation, test) = (split("train")?, split("valid")?, split("test")?);
        lines.sort();
        Ok(Chorales { train, validation, test, split_hash: hash(lines.concat().as_bytes()) })
    }

    /// The chorales of a split.
    pub fn split(&self, split: Split) -> &[Chorale] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// Lowest and highest pitch of each voice in the training split.
    pub fn ranges(&self) -> [RangeInclusive<u8>; VOICES] {
        std::array::from_fn(|voice| {
            let pitches = || self.train.iter().flatten().filter_map(|step| step[voice].pitch());
            pitches().min().unwrap_or(LOWEST)..=pitches().max().unwrap_or(HIGHEST)
        })
    }
}

fn chorale(piece: &[[i32; VOICES]]) -> Result<Chorale, String> {
    let cell = |pitch: i32| match u8::try_from(pitch) {
        _ if pitch == -1 => Ok(Cell::Rest),
        Ok(pitch) if (LOWEST..=HIGHEST).contains(&pitch) => Ok(Cell::Pitch(pitch)),
        _ => Err(format!("pitches must be -1 or in {LOWEST}..={HIGHEST}, got {pitch}")),
    };
    let step = |step: &[i32; VOICES]| Ok([cell(step[0])?, cell(step[1])?, cell(step[2])?, cell(step[3])?]);
    piece.iter().map(step).collect()
}

/// `chorale` moved by `semitones`.
pub(super) fn transposed(chorale: &[Step], semitones: i32) -> Chorale {
    let cell = |cell: Cell| match cell {
        Cell::Rest => Cell::Rest,
        Cell::Pitch(pitch) => Cell::Pitch((i32::from(pitch) + semitones) as u8),
    };
    chorale.iter().map(|step| step.map(cell)).collect()
}

/// The moves, in semitones, after which every voice stays within its range.
pub(super) fn moves(chorale: &[Step], ranges: &[RangeInclusive<u8>; VOICES]) -> RangeInclusive<i32> {
    let (mut down, mut up) = (-11, 11);
    for (voice, range) in ranges.iter().enumerate() {
        let pitches = || chorale.iter().filter_map(|step| step[voice].pitch());
        if let (Some(lowest), Some(highest)) = (pitches().min(), pitches().max()) {
            down = down.max(i32::from(*range.start()) - i32::from(lowest));
            up = up.min(i32::from(*range.end()) - i32::from(highest));
        }
    }
    down.min(0)..=up.max(0)
}
