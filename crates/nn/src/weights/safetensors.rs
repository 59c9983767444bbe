//! The safetensors format: a length, a JSON header, the data.
//!
//! ```text
//! u64 little-endian n | n bytes of JSON: {"name": {"dtype", "shape", "data_offsets": [from, to]}} | data
//! ```
//! Offsets count from the start of the data. As the format demands, the tensors cover the data without
//! gaps and overlaps, so a file that lost or gained bytes is noticed.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

use super::dtype::Dtype;
use super::source::Source;
use super::{Entry, Index, quoted};

/// In bytes: some hundred thousand tensors, where the largest published files have thousands. The format
/// would allow 100 MB, which as tensors are most of a gigabyte.
const MAX_HEADER: u64 = 1 << 24;

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Where each tensor of a file lies. Every range is inside the file and has its tensor's size.
pub(super) fn index(source: &Source) -> Result<Index, String> {
    let all = source.length();
    if all < 8 {
        return Err(format!("the file must have at least 8 bytes, got {all}"));
    }
    let length = source.section(0, 8)?;
    let length = length.try_into().map(u64::from_le_bytes).map_err(|_| "no length".to_owned())?;
    let most = MAX_HEADER.min(all - 8);
    if length > most {
        return Err(format!("the header must have at most {most} bytes, got {length}"));
    }
    let Header(header) =
        serde_json::from_slice(&source.section(8, length)?).map_err(|error| format!("header: {error}"))?;
    let start = 8 + length;
    let data = all - start;

    let mut index = Index::new();
    for (name, described) in header {
        let entry =
            place(&described, data, start).map_err(|what| format!("tensor {}: {what}", quoted(&name)))?;
        index.insert(name, entry);
    }
    covered(&index, start, all)?;
    Ok(index)
}

fn place(described: &Described, data: u64, start: u64) -> Result<Entry, String> {
    let Described { dtype, shape, data_offsets: [from, to] } = described;
    let dtype = Dtype::from_name(dtype).ok_or_else(|| format!("unknown type {dtype:?}"))?;
    if from > to || *to > data {
        return Err(format!("offsets must be in 0..={data}, got {from}..{to}"));
    }
    if dtype.bytes(shape) != Some(to - from) {
        return Err(format!("shape {shape:?} of {dtype} does not fit {} bytes", to - from));
    }
    Entry::new(dtype, shape, start + from, to - from)
}

/// Whether the tensors, one after the other, are all there is from `start` to `end`.
fn covered(index: &Index, start: u64, end: u64) -> Result<(), String> {
    let mut ranges: Vec<_> =
        index.iter().map(|(name, entry)| (entry.spans[0].at, entry.bytes, name)).collect();
    ranges.sort_unstable();
    let mut at = start;
    for (from, bytes, name) in ranges {
        if from != at {
            let (from, at) = (from - start, at - start);
            let name = quoted(name);
            return Err(format!(
                "tensor {name}: must begin at {at}, where the one before it ends, got {from}"
            ));
        }
        at += bytes;
    }
    if at != end {
        return Err(format!("the tensors must end where the file does, at {end}, got {at}"));
    }
    Ok(())
}

/// Read straight into its final form: values of JSON in between would take many times the header's size.
struct Header(BTreeMap<String, Described>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Tensors;

        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let described = map
                        .next_value()
                        .map_err(|error| A::Error::custom(format!("tensor {}: {error}", quoted(&name))))?;
                    if header.contains_key(&name) {
                        let name = quoted(&name);
                        return Err(A::Error::custom(format!(
                            "tensor {name} must be there once, got it twice"
                        )));
                    }
                    header.insert(name, described);
                }
                Ok(Header(header))
            }
        }

        deserializer.deserialize_map(Tensors)
    }
}
