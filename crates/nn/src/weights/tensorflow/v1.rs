//! The checkpoint of one file (V1, `SavedTensorSlices`), as TensorFlow wrote it until 2016 and `.mag` files hold it.
//!
//! ```text
//! a table: "" -> names, shapes, types;  any other key -> name, slice, values as a TensorProto
//! ```
//! Values are a field of packed numbers. Floats that lie in the file as they are are read from there when they are
//! asked for; the rest (whole numbers, which are of any length, and compressed blocks) is converted at once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::proto::{Fields, Value};
use super::slices::{self, Extent};
use super::table::{Block, Table};
use super::{dtype, named, shape, text};
use crate::Result;
use crate::weights::dtype::Dtype;
use crate::weights::entry::{Entry, Span};
use crate::weights::source::Source;
use crate::weights::{About, Index, Tensors};

/// A repeated last value may fill so many bytes more than the file has.
const SPARE: u64 = 1 << 16;

/// A variable as the first entry describes it.
struct Described {
    dtype: Dtype,
    shape: Vec<u64>,
    slices: Vec<(Vec<Extent>, Span)>,
}

pub(super) fn load(source: Source) -> Result<Tensors> {
    let (index, converted) = read(&source).map_err(|what| source.fault(&what))?;
    let converted = source.made(converted);
    Ok(Tensors { sources: vec![source, converted], index, about: About::default() })
}

/// The tensors of a table, and the bytes of those that were converted: the second source.
fn read(source: &Source) -> Result<(Index, Vec<u8>), String> {
    let table = Table::open(source)?;
    let mut variables = BTreeMap::new();
    let mut converted = Converted { bytes: Vec::new(), filled: 0, most: source.length() + SPARE };
    table.each(|block, key, value| {
        if key.is_empty() {
            variables = meta(&block.bytes, value)?;
            return Ok(());
        }
        // A field of one message.
        let mut fields = Fields::within(&block.bytes, value);
        while let Some((field, value)) = fields.next()? {
            if let (2, Value::Bytes(range)) = (field, value) {
                slice(block, range, &mut variables, &mut converted)?;
            }
        }
        Ok(())
    })?;

    let mut index = Index::new();
    for (name, Described { dtype, shape, slices }) in variables {
        // Text is listed; where it lies does not matter.
        let spans =
            if dtype.is_number() { slices::in_order(&shape, slices).map_err(named(&name))? } else { vec![] };
        let entry = Entry::joined(dtype, &shape, spans).map_err(named(&name))?;
        if dtype.is_number() && dtype.bytes(&shape) != Some(entry.bytes) {
            let what = format!("shape {shape:?} of {dtype} does not fit {} bytes", entry.bytes);
            return Err(named(&name)(what));
        }
        index.insert(name, entry);
    }
    Ok((index, converted.bytes))
}

/// `SavedTensorSlices.meta`: a variable each.
fn meta(bytes: &[u8], range: Range<usize>) -> Result<BTreeMap<String, Described>, String> {
    let mut variables = BTreeMap::new();
    let mut outer = Fields::within(bytes, range);
    while let Some((field, value)) = outer.next()? {
        let (1, Value::Bytes(range)) = (field, value) else { continue };
        let mut fields = Fields::within(bytes, range);
        while let Some((field, value)) = fields.next()? {
            let (1, Value::Bytes(range)) = (field, value) else { continue };
            let (name, described) = variable(bytes, range)?;
            if variables.insert(name.to_owned(), described).is_some() {
                return Err(named(name)("must be there once, got it twice".into()));
            }
        }
    }
    Ok(variables)
}

/// A `SavedSliceMeta`. Which slices there are is seen when they come.
fn variable(bytes: &[u8], range: Range<usize>) -> Result<(&str, Described), String> {
    let (mut name, mut sides, mut kind) = ("", vec![], Dtype::Other);
    let mut fields = Fields::within(bytes, range);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(range)) => name = text(&bytes[range], "a name")?,
            (2, Value::Bytes(range)) => sides = shape(Fields::within(bytes, range), bytes)?,
            (3, Value::Varint(number)) => kind = dtype(number),
            _ => {}
        }
    }
    Ok((name, Described { dtype: kind, shape: sides, slices: vec![] }))
}

/// A `SavedSlice` with its values.
fn slice(
    block: &Block,
    range: Range<usize>,
    variables: &mut BTreeMap<String, Described>,
    converted: &mut Converted,
) -> Result<(), String> {
    let bytes = &block.bytes;
    let (mut name, mut extents, mut tensor) = ("", vec![], 0..0);
    let mut fields = Fields::within(bytes, range);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(range)) => name = text(&bytes[range], "a name")?,
            (2, Value::Bytes(range)) => extents = slices::extents(Fields::within(bytes, range), bytes)?,
            (3, Value::Bytes(range)) => tensor = range,
            _ => {}
        }
    }
    let described = variables.get_mut(name);
    let described =
        described.ok_or_else(|| named(name)("has values, but the file does not list it".into()))?;
    let dtype = described.dtype;
    if !dtype.is_number() {
        return Ok(());
    }
    let shape = slices::shape(&described.shape, &extents).map_err(named(name))?;
    let span = values(block, tensor, dtype, &shape, converted).map_err(named(name))?;
    described.slices.push((extents, span));
    Ok(())
}

/// The values of a `TensorProto`, in the file or converted.
fn values(
    block: &Block,
    range: Range<usize>,
    dtype: Dtype,
    shape: &[u64],
    converted: &mut Converted,
) -> Result<Span, String> {
    let needed = dtype.bytes(shape).ok_or_else(|| format!("shape {shape:?} is too large"))?;
    let holding = field_of(dtype).ok_or_else(|| format!("{dtype} must not be in a checkpoint of V1"))?;
    // Of numbers that are in the file as they are in memory.
    let is_plain = matches!(dtype, Dtype::F32 | Dtype::F64);
    let from = converted.bytes.len();
    // The one chunk that is all of the tensor, as long as no other comes.
    let mut whole: Option<Range<usize>> = None;
    let mut fields = Fields::within(&block.bytes, range);
    while let Some((field, value)) = fields.next()? {
        if field != holding && field != CONTENT {
            continue;
        }
        let is_first = whole.is_none() && converted.bytes.len() == from;
        if let Some(range) = whole.take() {
            converted.bytes.extend(&block.bytes[range]);
        }
        match value {
            Value::Bytes(range) if is_plain || field == CONTENT => {
                if is_first && block.at.is_some() && range.len() as u64 == needed {
                    whole = Some(range);
                } else {
                    converted.bytes.extend(&block.bytes[range]);
                }
            }
            Value::Bytes(range) => {
                let mut packed = Fields::within(&block.bytes, range);
                while !packed.is_empty() {
                    converted.push(packed.varint()?, dtype);
                }
            }
            Value::Varint(number) if !is_plain => converted.push(number, dtype),
            Value::Fixed32(bits) if dtype == Dtype::F32 => converted.bytes.extend(bits.to_le_bytes()),
            Value::Fixed64(bits) if dtype == Dtype::F64 => converted.bytes.extend(bits.to_le_bytes()),
            other => return Err(format!("values of {dtype} must not be kept as {other:?}")),
        }
    }
    if let (Some(range), Some(at)) = (whole, block.at) {
        return Ok(Span { source: 0, at: at + range.start as u64, bytes: needed, checksum: None });
    }
    converted.fill(from, needed, dtype)?;
    Ok(Span { source: 1, at: from as u64, bytes: needed, checksum: None })
}

/// `tensor_content`: all values as they are in memory.
const CONTENT: u64 = 4;

/// The field of a `TensorProto` that holds numbers of a type.
fn field_of(dtype: Dtype) -> Option<u64> {
    Some(match dtype {
        Dtype::F32 => 5,
        Dtype::F64 => 6,
        Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U16 | Dtype::U8 => 7,
        Dtype::I64 => 10,
        Dtype::Bool => 11,
        Dtype::F16 | Dtype::Bf16 => 13,
        Dtype::U32 => 16,
        Dtype::U64 => 17,
        Dtype::F8E4M3 | Dtype::F8E5M2 | Dtype::String | Dtype::Other => return None,
    })
}

/// Values as they are in memory.
struct Converted {
    bytes: Vec<u8>,
    /// How many of them repeat a last value.
    filled: u64,
    most: u64,
}

impl Converted {
    fn push(&mut self, number: u64, dtype: Dtype) {
        let number = if dtype == Dtype::Bool { u64::from(number != 0) } else { number };
        // Negative numbers were written as 64 bits: the low ones are those of the type.
        self.bytes.extend(&number.to_le_bytes()[..dtype.size() as usize]);
    }

    /// Makes what was pushed since `from` exactly `needed` bytes: a writer may leave out values that repeat the last.
    fn fill(&mut self, from: usize, needed: u64, dtype: Dtype) -> Result<(), String> {
        let size = dtype.size() as usize;
        let got = self.bytes.len() - from;
        let fill = needed.saturating_sub(got as u64);
        self.filled += fill;
        if fill > 0 && got >= size && self.filled <= self.most {
            let last = self.bytes[self.bytes.len() - size..].to_vec();
            for _ in 0..fill / size as u64 {
                self.bytes.extend(&last);
            }
        }
        if (self.bytes.len() - from) as u64 != needed {
            return Err(format!("must have {needed} bytes of values, got {got}"));
        }
        Ok(())
    }
}
