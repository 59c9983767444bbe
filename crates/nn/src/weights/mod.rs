//! Weight files: named tensors over one or many files, read when asked for.
//!
//! Opening reads headers alone and checks them against the files; a tensor's bytes are read by position
//! and converted piece by piece, so memory holds one tensor at a time, whatever the size of the files.
//! A file is what its contents say: safetensors, the zip of torch, whose pickle is parsed, never run, a checkpoint of
//! TensorFlow (V1, V2, Magenta's `.mag`), a manifest of magenta-js, or a tar or gzip of these. Archives are read where
//! they lie; nothing is unpacked into folders.

mod beside;
mod crc32c;
mod dtype;
mod entry;
#[cfg(test)]
mod fixture;
mod folder;
mod gzip;
mod open;
mod safetensors;
mod source;
mod tar;
mod tensorflow;
mod tfjs;
mod torch;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use self::dtype::Dtype;
use self::entry::{Entry, Span};
use self::source::Source;
pub use self::tensorflow::Bundle;
use crate::{Error, Result};

/// Of a name that an error repeats, in bytes.
const MAX_QUOTED: usize = 120;
/// Weights in the order of a GPU's library, which TensorFlow keeps beside those in its own.
const OPAQUE: &str = "opaque_kernel";
/// Of a tensor in a fingerprint, in bytes.
const SAMPLE: u64 = 32;

/// Named tensors of one file or of several.
pub struct Tensors {
    sources: Vec<Source>,
    index: Index,
    about: About,
}

type Index = BTreeMap<String, Entry>;

/// What a file says beside its weights.
#[derive(Default)]
struct About {
    bundle: Option<Bundle>,
    config: Option<String>,
}

impl Tensors {
    /// Opens a file, whatever it is called. The data of a checkpoint's `.index` and the files of a manifest must be
    /// beside it.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Format`] for a file that is cut short or malformed.
    pub fn read(path: impl AsRef<Path>) -> Result<Tensors> {
        open::file(path.as_ref())
    }

    /// Takes the contents of a file that needs no other.
    ///
    /// # Errors
    /// [`Error::Format`] for contents that are cut short or malformed.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Tensors> {
        open::load(Source::memory(bytes), None, &beside::Beside::Nothing, open::Packed::No)
    }

    /// Opens the weights at a path: a file as [`Tensors::read`] does, the prefix of a TensorFlow checkpoint
    /// (`model.ckpt` for `model.ckpt.index` and its data), or a folder.
    ///
    /// Of a folder it is the first there is of `model.safetensors`, `model.safetensors.index.json` with its shards,
    /// `pytorch_model.bin`, `pytorch_model.bin.index.json` with its shards, `weights_manifest.json` with its files, the
    /// checkpoint that a file called `checkpoint` names, the only `.index`, and the only archive or bundle (`.tar`,
    /// `.tar.gz`, `.tgz`, `.mag`). Other files are not looked at.
    ///
    /// A packed archive is unpacked into a temporary file beside it, or in the system's folder for them, which is gone
    /// with the tensors; a plain one is read where it lies.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Format`] for a folder without any of them, for a file that is cut short
    /// or malformed, and where index and shards contradict each other: a shard or tensor that is missing,
    /// a shard's name that is a path, another total size.
    pub fn open(path: impl AsRef<Path>) -> Result<Tensors> {
        open::path(path.as_ref())
    }

    /// What a Magenta bundle says of itself; `None` for other files.
    pub fn bundle(&self) -> Option<&Bundle> {
        self.about.bundle.as_ref()
    }

    /// The text of the `config.json` beside a manifest of magenta-js.
    pub fn config(&self) -> Option<&str> {
        self.about.config.as_deref()
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The names, without what training leaves in a checkpoint: the optimizer's slots, moving averages, counts of
    /// steps, and copies of the weights in the order of a GPU's library.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.names().filter(|name| !is_of_training(name))
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
            text += &format!("{name:?} {} {:?}", entry.dtype, entry.shape);
            for Span { source, at, bytes, .. } in &entry.spans {
                let sample = self.sources[*source].section(at + bytes / 2, (bytes / 2).min(SAMPLE)).ok()?;
                text += &format!(" {source} {at} {sample:x?}");
            }
            text.push('\n');
        }
        Some(text)
    }

    /// A float tensor (`F32`, `F16`, `BF16`, or `F64` rounded) of exactly this shape, row-major.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Shape`], [`Error::Dtype`], [`Error::ReadTensor`].
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let entry = self.shaped(name, shape)?;
        self.floats(name, entry, 0, entry.bytes)
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
        self.floats(name, entry, row * range.start as u64, row * range.len() as u64)
    }

    /// A tensor of whole numbers of at most 64 bits, or of truths as 0 and 1, row-major, whatever its shape.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Dtype`] (also for a `U64` that is no `i64`), [`Error::ReadTensor`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        const ALLOWED: &str = "I8, I16, I32, I64, U8, U16, U32, U64 below 2^63, BOOL";
        let entry = self.entry(name)?;
        let convert = dtype::integers(entry.dtype).filter(|_| entry.scale.is_none());
        let convert = convert.ok_or_else(|| wrong_type(name, ALLOWED, entry))?;
        let values = self.convert(name, entry, 0, entry.bytes, convert)?;
        if entry.dtype == Dtype::U64 && values.iter().any(|&value| value < 0) {
            return Err(wrong_type(name, ALLOWED, entry));
        }
        Ok(values)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.index.get(name).ok_or_else(|| {
            // In its place there may be what only a GPU's library can read.
            let opaque = self.names().find(|name| name.ends_with(OPAQUE));
            match opaque {
                Some(opaque) => Error::OpaqueKernel { name: name.to_owned(), opaque: opaque.to_owned() },
                None => Error::MissingTensor(name.to_owned()),
            }
        })
    }

    fn shaped(&self, name: &str, shape: &[usize]) -> Result<&Entry> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            let (expected, got) = (shape.to_vec(), entry.shape.clone());
            return Err(Error::Shape { name: name.to_owned(), expected, got });
        }
        Ok(entry)
    }

    fn floats(&self, name: &str, entry: &Entry, from: u64, bytes: u64) -> Result<Vec<f32>> {
        if let Some(scale) = entry.scale {
            let dtype = entry.dtype;
            return self.convert(name, entry, from, bytes, |piece, out| scale.floats(dtype, piece, out));
        }
        let convert =
            dtype::floats(entry.dtype).ok_or_else(|| wrong_type(name, "F32, F16, BF16, F64", entry))?;
        self.convert(name, entry, from, bytes, convert)
    }

    fn convert<T>(
        &self,
        name: &str,
        entry: &Entry,
        from: u64,
        bytes: u64,
        convert: impl Fn(&[u8], &mut Vec<T>),
    ) -> Result<Vec<T>> {
        // Every span was inside its file, so the files' lengths bound what is taken here.
        let mut out = Vec::with_capacity((bytes / entry.dtype.size()) as usize);
        entry.read(&self.sources, from, bytes, |piece| convert(piece, &mut out)).map_err(|error| {
            let path = entry.spans.first().map_or("", |span| self.sources[span.source].name());
            Error::ReadTensor { path: path.to_owned(), name: name.to_owned(), source: error }
        })?;
        Ok(out)
    }
}

fn is_of_training(name: &str) -> bool {
    let own = name.rsplit('/').next().unwrap_or(name);
    ["Adam", "Adam_1", "ExponentialMovingAverage"].contains(&own) && own != name
        || ["beta1_power", "beta2_power", "global_step", OPAQUE].contains(&own)
}

/// Names in a file may be of any length; an error repeats their beginning.
fn quoted(name: &str) -> String {
    match name.char_indices().find(|&(at, _)| at >= MAX_QUOTED) {
        Some((end, _)) => format!("{:?}...", &name[..end]),
        None => format!("{name:?}"),
    }
}

fn wrong_type(name: &str, allowed: &'static str, entry: &Entry) -> Error {
    let got = match entry.scale {
        Some(_) => "floats that were quantised".to_owned(),
        None => entry.dtype.to_string(),
    };
    Error::Dtype { name: name.to_owned(), allowed, got }
}

#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod tests;
