//! The checkpoint of two kinds of files (V2, `TensorBundle`).
//!
//! ```text
//! PREFIX.index                 a table: "" -> how many data files, name -> type, shape, file, place, checksum
//! PREFIX.data-00000-of-00001   the tensors' bytes, one after the other
//! ```
//! Tensors lie at any byte. A variable in slices has an entry of its own without data, and one for each slice.

use std::collections::BTreeMap;

use super::proto::{Fields, Value};
use super::slices::{self, Extent};
use super::table::Table;
use super::{dtype, named, shape, text};
use crate::weights::beside::Beside;
use crate::weights::dtype::Dtype;
use crate::weights::entry::{Checksum, Entry, Span};
use crate::weights::source::Source;
use crate::weights::{About, Index, Tensors};
use crate::{Error, Result};

/// File names have five digits for a data file's number.
const MAX_FILES: u64 = 99_999;

/// Of a tensor or a slice.
struct Described {
    dtype: Dtype,
    shape: Vec<u64>,
    file: u64,
    at: u64,
    bytes: u64,
    checksum: u32,
    slices: Vec<Vec<Extent>>,
}

#[derive(Default)]
struct Listed {
    files: u64,
    named: BTreeMap<String, Described>,
    /// By their binary keys.
    slices: BTreeMap<Vec<u8>, Described>,
}

pub(super) fn load(
    index: &Source,
    table: &Table<'_>,
    name: Option<&str>,
    beside: &Beside<'_>,
) -> Result<Tensors> {
    let Listed { files, named: tensors, slices } = list(table).map_err(|what| index.fault(&what))?;
    let prefix = name.and_then(|name| name.strip_suffix(".index")).ok_or_else(|| {
        index.fault("the index of a checkpoint must be called PREFIX.index, with its data files beside it")
    })?;
    let mut data = Data { prefix, files, beside, sources: Vec::new(), numbers: BTreeMap::new() };
    let mut found = Index::new();
    for (name, described) in tensors {
        let entry = if described.slices.is_empty() {
            data.place(&described, &name, index)
        } else {
            data.join(&described, &name, &slices, index)
        }?;
        found.insert(name, entry);
    }
    Ok(Tensors { sources: data.sources, index: found, about: About::default() })
}

fn list(table: &Table<'_>) -> Result<Listed, String> {
    let mut listed = Listed::default();
    table.each(|block, key, value| {
        let bytes = &block.bytes[value];
        if key.is_empty() {
            listed.files = header(bytes)?;
            return Ok(());
        }
        if key[0] == 0 {
            let slice = described(bytes).map_err(|what| format!("a slice: {what}"))?;
            listed.slices.insert(key.to_vec(), slice);
            return Ok(());
        }
        let name = text(key, "a name")?;
        let tensor = described(bytes).map_err(named(name))?;
        match listed.named.insert(name.to_owned(), tensor) {
            Some(_) => Err(named(name)("must be there once, got it twice".into())),
            None => Ok(()),
        }
    })?;
    Ok(listed)
}

/// The number of data files (`BundleHeaderProto`).
fn header(bytes: &[u8]) -> Result<u64, String> {
    let (mut files, mut order) = (0, 0);
    let mut fields = Fields::new(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Varint(count)) => files = count,
            (2, Value::Varint(number)) => order = number,
            _ => {}
        }
    }
    if order != 0 {
        return Err("the checkpoint must be little-endian, got big-endian".into());
    }
    if !(1..=MAX_FILES).contains(&files) {
        return Err(format!("a checkpoint must have 1..={MAX_FILES} data files, got {files}"));
    }
    Ok(files)
}

/// A `BundleEntryProto`; what is not there is 0.
fn described(bytes: &[u8]) -> Result<Described, String> {
    let mut described = Described {
        dtype: Dtype::Other,
        shape: vec![],
        file: 0,
        at: 0,
        bytes: 0,
        checksum: 0,
        slices: vec![],
    };
    let mut fields = Fields::new(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Varint(number)) => described.dtype = dtype(number),
            (2, Value::Bytes(range)) => described.shape = shape(Fields::within(bytes, range), bytes)?,
            (3, Value::Varint(file)) => described.file = file,
            (4, Value::Varint(at)) => described.at = at,
            (5, Value::Varint(size)) => described.bytes = size,
            (6, Value::Fixed32(checksum)) => described.checksum = checksum,
            (7, Value::Bytes(range)) => {
                described.slices.push(slices::extents(Fields::within(bytes, range), bytes)?);
            }
            _ => {}
        }
    }
    Ok(described)
}

/// The data files, opened when the first tensor in them comes.
struct Data<'a> {
    prefix: &'a str,
    files: u64,
    beside: &'a Beside<'a>,
    sources: Vec<Source>,
    /// Of files, in `sources`.
    numbers: BTreeMap<u64, usize>,
}

impl Data<'_> {
    fn open(&mut self, file: u64, name: &str, index: &Source) -> Result<usize> {
        if let Some(&number) = self.numbers.get(&file) {
            return Ok(number);
        }
        let fault = |what: String| index.fault(&named(name)(what));
        if file >= self.files {
            return Err(fault(format!("its data file must be in 0..{}, got {file}", self.files)));
        }
        let path = format!("{}.data-{file:05}-of-{:05}", self.prefix, self.files);
        let opened = self.beside.open(&path).map_err(|error| match error {
            // One that is not there has no tensor to name.
            Error::Read { path, source } => fault(format!("cannot read its data file {path}: {source}")),
            error => error,
        })?;
        self.sources.push(opened);
        self.numbers.insert(file, self.sources.len() - 1);
        Ok(self.sources.len() - 1)
    }

    fn span(&mut self, described: &Described, name: &str, index: &Source) -> Result<Span> {
        let &Described { dtype, ref shape, file, at, bytes, checksum, .. } = described;
        let number = self.open(file, name, index)?;
        let source = &self.sources[number];
        let fault = |what: String| source.fault(&named(name)(what));
        let length = source.length();
        if at.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(fault(format!("{bytes} bytes at {at} are needed, but the file has {length}")));
        }
        if dtype.is_number() && dtype.bytes(shape) != Some(bytes) {
            return Err(fault(format!("shape {shape:?} of {dtype} does not fit {bytes} bytes")));
        }
        Ok(Span { source: number, at, bytes, checksum: Some(Checksum::new(checksum)) })
    }

    fn place(&mut self, described: &Described, name: &str, index: &Source) -> Result<Entry> {
        let span = self.span(described, name, index)?;
        let entry = Entry::joined(described.dtype, &described.shape, vec![span]);
        entry.map_err(|what| index.fault(&named(name)(what)))
    }

    fn join(
        &mut self,
        whole: &Described,
        name: &str,
        slices: &BTreeMap<Vec<u8>, Described>,
        index: &Source,
    ) -> Result<Entry> {
        let fault = |what: String| index.fault(&named(name)(what));
        let mut spans = Vec::new();
        for extents in &whole.slices {
            let slice = slices.get(&slices::key(name, extents));
            let slice = slice.ok_or_else(|| fault(format!("its slice {extents:?} is missing")))?;
            let shape = slices::shape(&whole.shape, extents).map_err(fault)?;
            if slice.shape != shape || slice.dtype != whole.dtype || !slice.slices.is_empty() {
                return Err(fault(format!("its slice {extents:?} must have shape {shape:?} and its type")));
            }
            spans.push((extents.clone(), self.span(slice, name, index)?));
        }
        let spans = slices::in_order(&whole.shape, spans).map_err(fault)?;
        Entry::joined(whole.dtype, &whole.shape, spans).map_err(fault)
    }
}
