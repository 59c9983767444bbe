//! The files that `torch.save` writes for a state dict: a zip with a pickle and a member a storage.
//!
//! ```text
//! name/data.pkl     the dict: tensors as (storage, offset, shape, strides)
//! name/byteorder    "little"; files of torch before 2.1 have none
//! name/data/0       the bytes of storage "0"; tied tensors are on one storage
//! ```
//! Tensors must be contiguous, as the parameters of a model are: they are then one range of the file.

mod input;
mod pickle;
mod zip;

use std::collections::BTreeMap;

use self::pickle::Described;
use self::zip::Member;
use super::source::Source;
use super::{Entry, Index, quoted};

/// In bytes: a tensor takes about 150 of them.
const MAX_PICKLE: u64 = 1 << 22;

/// Where each tensor of a file lies. Every range is inside its storage, which is inside the file.
pub(super) fn index(source: &Source) -> Result<Index, String> {
    let members = zip::members(source)?;
    let pickles = || members.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let mut roots = pickles().filter(|root| !root.contains('/'));
    let (Some(root), None) = (roots.next(), roots.next()) else {
        return Err("must be a zip by torch, with one folder that has a data.pkl".into());
    };

    if let Some(member) = members.get(&format!("{root}/byteorder")) {
        let order = source.section(member.at, member.length.min(16))?;
        if order != b"little" {
            return Err(format!("byteorder must be \"little\", got \"{}\"", order.escape_ascii()));
        }
    }
    let member = members.get(&format!("{root}/data.pkl")).ok_or("data.pkl is missing")?;
    if member.length > MAX_PICKLE {
        return Err(format!("data.pkl must have at most {MAX_PICKLE} bytes, got {}", member.length));
    }
    let bytes = source.section(member.at, member.length)?;
    let tensors = pickle::state_dict(&bytes).map_err(|what| format!("data.pkl: {what}"))?;

    let place = |(name, described): (&str, Described)| match place(&described, root, &members) {
        Ok(entry) => Ok((name.to_owned(), entry)),
        Err(what) => Err(format!("tensor {}: {what}", quoted(name))),
    };
    tensors.into_iter().map(place).collect()
}

fn place(described: &Described<'_>, root: &str, members: &BTreeMap<String, Member>) -> Result<Entry, String> {
    let Described { dtype, key, storage, offset, shape, strides } = described;
    let path = format!("{root}/data/{key}");
    let member = members.get(&path).ok_or_else(|| format!("its storage {path:?} is missing"))?;
    if dtype.bytes(&[*storage]) != Some(member.length) {
        let got = member.length;
        return Err(format!("its storage {path:?} must have {storage} elements of {dtype}, got {got} bytes"));
    }
    if !is_contiguous(shape, strides) {
        return Err(format!("must be contiguous, got strides {strides:?} for shape {shape:?}"));
    }
    let (Some(bytes), Some(from)) = (dtype.bytes(shape), dtype.bytes(&[*offset])) else {
        return Err(format!("shape {shape:?} at {offset} is too large"));
    };
    if from.checked_add(bytes).is_none_or(|end| end > member.length) {
        return Err(format!("shape {shape:?} at {offset} must be inside the storage's {storage} elements"));
    }
    Entry::new(*dtype, shape, member.at + from, bytes)
}

/// Strides of sides of length 1 mean nothing, and none does in an empty tensor.
fn is_contiguous(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = Some(1u64);
    let sides = shape.iter().zip(strides).rev();
    shape.contains(&0)
        || sides.filter(|&(&side, _)| side != 1).all(|(&side, &stride)| {
            let fits = Some(stride) == expected;
            expected = expected.and_then(|length| length.checked_mul(side));
            fits
        })
}

#[cfg(test)]
mod tests;
