//! The safetensors format: a length, a JSON header, the data.
//!
//! ```text
//! u64 little-endian n | n bytes of JSON: {"name": {"dtype", "shape", "data_offsets": [from, to]}} | data
//! ```
//! Offsets count from the start of the data.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Entry;
use crate::{Error, Result};

/// The format's own limit.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Where each tensor of a file lies. Every range is inside the file and has its tensor's size.
pub(super) fn index(bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(Error::Format(format!("the file must have at least 8 bytes, got {}", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER.min(rest.len() as u64) {
        let most = MAX_HEADER.min(rest.len() as u64);
        return Err(Error::Format(format!("the header must have at most {most} bytes, got {length}")));
    }
    let (header, data) = rest.split_at(length as usize);
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| Error::Format(format!("header: {error}")))?;
    let start = 8 + length as usize;
    header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, value)| {
            let described = Described::deserialize(value)
                .map_err(|error| Error::Format(format!("header of tensor {name:?}: {error}")))?;
            let entry = place(described, data.len() as u64, start)
                .map_err(|what| Error::Format(format!("tensor {name:?}: {what}")))?;
            Ok((name, entry))
        })
        .collect()
}

fn place(described: Described, data: u64, start: usize) -> Result<Entry, String> {
    let size = match described.dtype.as_str() {
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" => 1,
        "F16" | "BF16" | "I16" | "U16" => 2,
        "F32" | "I32" | "U32" => 4,
        "F64" | "I64" | "U64" => 8,
        other => return Err(format!("unknown type {other:?}")),
    };
    let bytes = described.shape.iter().try_fold(size, |product: u64, &side| product.checked_mul(side));
    let [from, to] = described.data_offsets;
    if from > to || to > data {
        return Err(format!("offsets must be in 0..={data}, got {from}..{to}"));
    }
    if bytes != Some(to - from) {
        return Err(format!("shape {:?} does not fit {} bytes", described.shape, to - from));
    }
    Ok(Entry {
        dtype: described.dtype,
        shape: described.shape.into_iter().map(|side| side as usize).collect(),
        from: start + from as usize,
        to: start + to as usize,
    })
}
