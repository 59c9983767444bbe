//! Checkpoints as test data: written by hand, so that they can also be wrong.

use super::proto::write::{bytes, fixed32, number, varint};
use super::slices::{Extent, key};
use super::table::MAGIC;
use crate::weights::crc32c::Crc32c;

pub(in crate::weights) fn masked(bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.add(bytes);
    crc.masked()
}

/// How a table is written.
#[derive(Clone, Copy)]
pub(in crate::weights) struct Layout {
    pub entries_per_block: usize,
    pub snappy: bool,
}

pub(in crate::weights) const PLAIN: Layout = Layout { entries_per_block: usize::MAX, snappy: false };

/// A table of entries in the order in which they come.
pub(in crate::weights) fn table(entries: &[(Vec<u8>, Vec<u8>)], layout: Layout) -> Vec<u8> {
    let mut out = Vec::new();
    let mut index = Vec::new();
    for entries in entries.chunks(layout.entries_per_block.min(entries.len()).max(1)) {
        let handle = put(&mut out, &block(entries), layout.snappy);
        index.push((entries[entries.len() - 1].0.clone(), handle));
    }
    let index = put(&mut out, &block(&index), layout.snappy);
    finish(out, &index)
}

/// Appends what comes after the blocks, given the handle of their index.
pub(super) fn finish(mut out: Vec<u8>, index: &[u8]) -> Vec<u8> {
    let metaindex = put(&mut out, &block(&[]), false);
    let mut footer = [&metaindex, index].concat();
    footer.resize(40, 0);
    [out, footer, MAGIC.to_vec()].concat()
}

fn block(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut restarts, mut before): (Vec<u8>, Vec<u32>, &[u8]) = (vec![], vec![], &[]);
    for (i, (key, value)) in entries.iter().enumerate() {
        let mut shared = key.iter().zip(before).take_while(|(a, b)| a == b).count();
        if i % 16 == 0 {
            restarts.push(out.len() as u32);
            shared = 0;
        }
        out.extend([varint(shared as u64), varint((key.len() - shared) as u64)].concat());
        out.extend([varint(value.len() as u64), key[shared..].to_vec(), value.clone()].concat());
        before = key;
    }
    out.extend(restarts.iter().flat_map(|restart| restart.to_le_bytes()));
    out.extend((restarts.len() as u32).to_le_bytes());
    out
}

/// Appends a block; returns its handle.
pub(super) fn put(out: &mut Vec<u8>, content: &[u8], snappy: bool) -> Vec<u8> {
    let packed = snappy.then(|| snap::raw::Encoder::new().compress_vec(content).unwrap());
    let mut content = packed.unwrap_or_else(|| content.to_vec());
    let handle = [varint(out.len() as u64), varint(content.len() as u64)].concat();
    content.push(u8::from(snappy));
    out.extend(&content);
    out.extend(masked(&content).to_le_bytes());
    handle
}

pub(in crate::weights) fn shape(sides: &[u64]) -> Vec<u8> {
    sides.iter().flat_map(|&side| bytes(2, &number(1, side))).collect()
}

pub(super) fn slice(extents: &[Extent]) -> Vec<u8> {
    let extent = |extent: &Extent| {
        let length = extent.length.map(|length| number(2, length)).unwrap_or_default();
        bytes(1, &[number(1, extent.start), length].concat())
    };
    extents.iter().flat_map(extent).collect()
}

/// The first entry of an index.
pub(in crate::weights) fn header(files: u64, order: u64) -> (Vec<u8>, Vec<u8>) {
    (vec![], [number(1, files), number(2, order), bytes(3, &number(1, 1))].concat())
}

/// A tensor in the first data file.
pub(in crate::weights) fn entry(
    name: &str,
    dtype: u64,
    sides: &[u64],
    at: usize,
    data: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let place = [number(4, at as u64), number(5, data.len() as u64), fixed32(6, masked(data))].concat();
    (name.as_bytes().to_vec(), [number(1, dtype), bytes(2, &shape(sides)), place].concat())
}

/// A V2 checkpoint of f32 tensors with one axis: index and data. The names must be sorted.
pub(in crate::weights) fn v2(tensors: &[(&str, &[f32])], layout: Layout) -> (Vec<u8>, Vec<u8>) {
    // Tensors lie at any byte.
    let mut data = vec![0xaa];
    let mut entries = vec![header(1, 0)];
    for (name, values) in tensors {
        let bytes = crate::weights::fixture::floats(values);
        entries.push(entry(name, 1, &[values.len() as u64], data.len(), &bytes));
        data.extend(bytes);
    }
    (table(&entries, layout), data)
}

/// A variable of a V1 checkpoint, with the fields of its `TensorProto` for each slice.
pub(in crate::weights) struct Variable<'a> {
    pub name: &'a str,
    pub dtype: u64,
    pub sides: &'a [u64],
    pub(in crate::weights::tensorflow) slices: Vec<(Vec<Extent>, Vec<u8>)>,
}

impl<'a> Variable<'a> {
    /// In one slice.
    pub(in crate::weights) fn whole(
        name: &'a str,
        dtype: u64,
        sides: &'a [u64],
        tensor: Vec<u8>,
    ) -> Variable<'a> {
        let full = vec![Extent { start: 0, length: None }; sides.len()];
        Variable { name, dtype, sides, slices: vec![(full, tensor)] }
    }
}

/// A V1 checkpoint. The names must be sorted, and the slices of each.
pub(in crate::weights) fn v1(variables: &[Variable], layout: Layout) -> Vec<u8> {
    let meta = variables.iter().flat_map(|Variable { name, dtype, sides, slices }| {
        let slices = slices.iter().flat_map(|(extents, _)| bytes(4, &slice(extents))).collect();
        bytes(1, &[bytes(1, name.as_bytes()), bytes(2, &shape(sides)), number(3, *dtype), slices].concat())
    });
    let mut entries = vec![(vec![], bytes(1, &meta.collect::<Vec<u8>>()))];
    for variable in variables {
        for (extents, tensor) in &variable.slices {
            let name = bytes(1, variable.name.as_bytes());
            let saved = [name, bytes(2, &slice(extents)), bytes(3, tensor)].concat();
            entries.push((key(variable.name, extents), bytes(2, &saved)));
        }
    }
    table(&entries, layout)
}
