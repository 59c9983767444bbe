//! Weight files: named tensors over one or many files, read when asked for.
//!
//! Opening reads headers alone and checks them against the files; a tensor's bytes are read by position
//! and converted piece by piece, so memory holds one tensor at a time, whatever the size of the files.
//! A file is what its contents say: safetensors, or the zip of torch, whose pickle is parsed, never run.

mod dtype;
#[cfg(test)]
mod fixture;
mod folder;
mod safetensors;
mod source;
mod torch;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use self::dtype::{Convert, Dtype};
use self::source::Source;
use crate::{Error, Result};

/// Of a name that an error repeats, in bytes.
const MAX_QUOTED: usize = 120;
/// Of a tensor in a fingerprint, in bytes.
const SAMPLE: u64 = 32;

/// Named tensors of one file or of several shards.
pub struct Tensors {
    sources: Vec<Source>,
    index: Index,
}

type Index = BTreeMap<String, Entry>;

/// Where a tensor lies: row-major and without gaps. Checked against its file when that is opened.
#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Number of its file in [`Tensors::sources`].
    source: usize,
    /// First byte in its file.
    at: u64,
    bytes: u64,
}

impl Entry {
    fn new(dtype: Dtype, shape: &[u64], at: u64, bytes: u64) -> Result<Entry, String> {
        let shape = shape.iter().map(|&side| usize::try_from(side)).collect::<Result<_, _>>();
        let shape = shape.map_err(|_| "the shape is too large for this machine".to_owned())?;
        Ok(Entry { dtype, shape, source: 0, at, bytes })
    }
}

impl Tensors {
    /// Opens a file, safetensors or torch.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Format`] for a file that is cut short or malformed.
    pub fn read(path: impl AsRef<Path>) -> Result<Tensors> {
        Tensors::one(Source::open(path.as_ref())?)
    }

    /// Takes the contents of a file, safetensors or torch.
    ///
    /// # Errors
    /// [`Error::Format`] for contents that are cut short or malformed.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Tensors> {
        Tensors::one(Source::memory(bytes))
    }

    /// Opens the weights of a model folder: the first there is of `model.safetensors`,
    /// `model.safetensors.index.json` with its shards, `pytorch_model.bin` and
    /// `pytorch_model.bin.index.json` with its shards. Other files are not looked at.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Format`] for a folder without any of them, for a file that is cut short
    /// or malformed, and where index and shards contradict each other: a shard or tensor that is missing,
    /// a shard's name that is a path, another total size.
    pub fn open(folder: impl AsRef<Path>) -> Result<Tensors> {
        folder::open(folder.as_ref())
    }

    fn one(source: Source) -> Result<Tensors> {
        let index = index(&source).map_err(|what| source.fault(&what))?;
        Ok(Tensors { sources: vec![source], index })
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.index.get(name).map(|entry| entry.shape.as_slice())
    }

    /// What these weights are, as text: equal for the same unchanged files, in whatever folder, and different once a
    /// file was written again. Holds the files' names, lengths and times of change, and each tensor's name, type, place
    /// and a few bytes of its middle (there are stores that give all files one time). Reads the times anew each call.
    ///
    /// `None` for contents in memory, and where the system does not tell times.
    pub fn fingerprint(&self) -> Option<String> {
        let mut text = String::new();
        for source in &self.sources {
            let (name, changed) = source.identity()?;
            text += &format!("{name:?} {} {changed}\n", source.length());
        }
        for (name, entry) in &self.index {
            let Entry { dtype, shape, source, at, bytes } = entry;
            let sample = self.sources[*source].section(at + bytes / 2, (bytes / 2).min(SAMPLE)).ok()?;
            text += &format!("{name:?} {dtype} {shape:?} {source} {at} {sample:x?}\n");
        }
        Some(text)
    }

    /// A float tensor (`F32`, `F16`, `BF16`, or `F64` rounded) of exactly this shape, row-major.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Shape`], [`Error::Dtype`], [`Error::ReadTensor`].
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let entry = self.shaped(name, shape)?;
        self.floats(name, entry, entry.at, entry.bytes)
    }

    /// Rows `range` of a float tensor of exactly this shape: the part of [`Tensors::f32`] that its first
    /// axis cuts out. No more than these rows is read.
    ///
    /// # Errors
    /// As [`Tensors::f32`]; [`Error::Rows`] for a range that is not inside `0..shape[0]`.
    pub fn rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> Result<Vec<f32>> {
        let entry = self.shaped(name, shape)?;
        let rows = shape.first().copied().unwrap_or(0);
        if range.start > range.end || range.end > rows {
            return Err(Error::Rows { name: name.to_owned(), rows, got: range });
        }
        let row = entry.bytes.checked_div(rows as u64).unwrap_or(0);
        self.floats(name, entry, entry.at + row * range.start as u64, row * range.len() as u64)
    }

    /// A tensor of whole numbers (`I32`, `I64` or `U8`), row-major, whatever its shape.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Dtype`], [`Error::ReadTensor`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let entry = self.entry(name)?;
        let convert =
            dtype::integers(entry.dtype).ok_or_else(|| wrong_type(name, "I32, I64, U8", entry.dtype))?;
        self.convert(name, entry, entry.at, entry.bytes, convert)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.index.get(name).ok_or_else(|| Error::MissingTensor(name.to_owned()))
    }

    fn shaped(&self, name: &str, shape: &[usize]) -> Result<&Entry> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            let (expected, got) = (shape.to_vec(), entry.shape.clone());
            return Err(Error::Shape { name: name.to_owned(), expected, got });
        }
        Ok(entry)
    }

    fn floats(&self, name: &str, entry: &Entry, at: u64, bytes: u64) -> Result<Vec<f32>> {
        let convert =
            dtype::floats(entry.dtype).ok_or_else(|| wrong_type(name, "F32, F16, BF16, F64", entry.dtype))?;
        self.convert(name, entry, at, bytes, convert)
    }

    fn convert<T>(
        &self,
        name: &str,
        entry: &Entry,
        at: u64,
        bytes: u64,
        convert: Convert<T>,
    ) -> Result<Vec<T>> {
        let source = &self.sources[entry.source];
        // The range was inside its file, so the file's length bounds what is taken here.
        let mut out = Vec::with_capacity((bytes / entry.dtype.size()) as usize);
        source.pieces(at, bytes, |piece| convert(piece, &mut out)).map_err(|error| Error::ReadTensor {
            path: source.name().to_owned(),
            name: name.to_owned(),
            source: error,
        })?;
        Ok(out)
    }
}

/// The tensors of one file, by what its first bytes say it is.
fn index(source: &Source) -> Result<Index, String> {
    let first = source.section(0, source.length().min(16))?;
    match first.as_slice() {
        // A member's beginning, or the end of a zip without any.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => torch::index(source),
        // A pickle's beginning followed by the magic number of that format.
        [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, ..] => {
            Err("a file of torch must be a zip, as torch 1.6 and later write it, got the format before it"
                .into())
        }
        bytes if bytes.starts_with(b"version https:/") => {
            Err("must hold weights, got the pointer that Git LFS leaves in their place".into())
        }
        _ => safetensors::index(source),
    }
}

/// Names in a file may be of any length; an error repeats their beginning.
fn quoted(name: &str) -> String {
    match name.char_indices().find(|&(at, _)| at >= MAX_QUOTED) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

fn wrong_type(name: &str, allowed: &'static str, got: Dtype) -> Error {
    Error::Dtype { name: name.to_owned(), allowed, got: got.to_string() }
}

#[cfg(test)]
mod tests;
