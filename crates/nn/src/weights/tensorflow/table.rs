//! The sorted tables of LevelDB, in which TensorFlow keeps the index of a checkpoint, or all of it.
//!
//! ```text
//! data block* | metaindex block | index block | footer
//! block:  (shared, unshared, value length: varints | rest of the key | value)* | restarts: u32 * n | n: u32
//!         followed by a byte (0 as it is, 1 Snappy) and the masked CRC-32C of both
//! footer: handle of the metaindex | handle of the index | zeros up to 40 bytes | magic number
//! ```
//! Stricter than LevelDB: blocks follow one another and keys grow, so that the work and the names that come out are
//! bounded by the file's length.

use std::ops::Range;

use super::proto::Fields;
use crate::weights::crc32c::Crc32c;
use crate::weights::source::Source;

const FOOTER: u64 = 48;
pub(in crate::weights) const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();
/// Behind a block: its kind and its checksum.
const TRAILER: u64 = 5;
/// Of a key, in bytes. A variable's name is some hundred bytes long.
const MAX_KEY: usize = 4096;
/// Writers begin a key anew every 16 entries, so all keys together have at most 16 times the bytes of their file.
const MAX_KEYS: u64 = 64;
/// Snappy makes at most 64 bytes of 3.
const MAX_RATIO: usize = 32;

/// A table whose index was read.
pub(super) struct Table<'a> {
    source: &'a Source,
    blocks: Vec<Handle>,
}

#[derive(Clone, Copy)]
struct Handle {
    at: u64,
    length: u64,
}

/// The content of a block.
pub(super) struct Block {
    pub bytes: Vec<u8>,
    /// Where in the file these bytes lie, unless they were compressed.
    pub at: Option<u64>,
}

/// Whether a file ends as tables do.
pub(in crate::weights) fn is_table(source: &Source) -> bool {
    let magic = MAGIC.len() as u64;
    source.length() >= FOOTER && source.section(source.length() - magic, magic).is_ok_and(|end| end == MAGIC)
}

impl<'a> Table<'a> {
    pub(super) fn open(source: &'a Source) -> Result<Table<'a>, String> {
        let all = source.length();
        let end = all
            .checked_sub(FOOTER)
            .ok_or_else(|| format!("a table must have at least {FOOTER} bytes, got {all}"))?;
        let footer = source.section(end, FOOTER)?;
        if !footer.ends_with(&MAGIC) {
            return Err("a table must end with its magic number: the file is cut short or no table".into());
        }
        let mut fields = Fields::new(&footer[..footer.len() - MAGIC.len()]);
        // It says nothing here; that it is whole says that the file is.
        let metaindex = handle(&mut fields, end)?;
        read(source, metaindex).map_err(|what| format!("metaindex of the table: {what}"))?;
        let index = handle(&mut fields, end)?;
        let index = read(source, index).map_err(|what| format!("index of the table: {what}"))?;

        let (mut blocks, mut free) = (Vec::new(), 0);
        let mut unbounded = u64::MAX;
        entries(&index, &mut unbounded, |_, value| {
            let block = handle(&mut Fields::within(&index.bytes, value), end)?;
            if block.at < free {
                return Err(format!("a block must begin at {free} or later, got {}", block.at));
            }
            free = block.at + block.length + TRAILER;
            blocks.push(block);
            Ok(())
        })
        .map_err(|what| format!("index of the table: {what}"))?;
        Ok(Table { source, blocks })
    }

    /// Hands over block, key and place of the value of every entry, in the order of the keys. One block is in memory
    /// at a time.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&Block, &[u8], Range<usize>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut keys = self.source.length().saturating_mul(MAX_KEYS);
        for &handle in &self.blocks {
            let block =
                read(self.source, handle).map_err(|what| format!("block at {}: {what}", handle.at))?;
            entries(&block, &mut keys, |key, value| take(&block, key, value))?;
        }
        Ok(())
    }

    /// The first entry of all.
    pub(super) fn first(&self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let first = self.blocks.first().ok_or("the table is empty")?;
        let block = read(self.source, *first).map_err(|what| format!("block at {}: {what}", first.at))?;
        let (mut found, mut unbounded) = (None, u64::MAX);
        entries(&block, &mut unbounded, |key, value| {
            if found.is_none() {
                found = Some((key.to_vec(), block.bytes[value].to_vec()));
            }
            Ok(())
        })?;
        found.ok_or_else(|| "the table is empty".to_owned())
    }
}

/// A block's place, which with its trailer ends before `limit`.
fn handle(fields: &mut Fields<'_>, limit: u64) -> Result<Handle, String> {
    let (at, length) = (fields.varint()?, fields.varint()?);
    let end = at.checked_add(length).and_then(|end| end.checked_add(TRAILER));
    if end.is_none_or(|end| end > limit) {
        return Err(format!("a block of {length} bytes at {at} must end before {limit}"));
    }
    Ok(Handle { at, length })
}

fn read(source: &Source, Handle { at, length }: Handle) -> Result<Block, String> {
    let mut bytes = source.section(at, length + TRAILER)?;
    let checked = bytes.len() - 4;
    let expected = u32::from_le_bytes(bytes[checked..].try_into().map_err(|_| "no checksum")?);
    let mut crc = Crc32c::new();
    crc.add(&bytes[..checked]);
    if crc.masked() != expected {
        let got = crc.masked();
        return Err(format!("the checksum must be {expected:#010x}, got {got:#010x}: the file is damaged"));
    }
    let kind = bytes[checked - 1];
    bytes.truncate(checked - 1);
    match kind {
        0 => Ok(Block { bytes, at: Some(at) }),
        1 => Ok(Block { bytes: unpack(&bytes)?, at: None }),
        kind => Err(format!("a block must be kept as it is (0) or by Snappy (1), got {kind}")),
    }
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |error: snap::Error| format!("Snappy: {error}");
    let (length, most) = (snap::raw::decompress_len(bytes).map_err(wrong)?, bytes.len() * MAX_RATIO);
    if length > most {
        return Err(format!("Snappy: must unpack to at most {most} bytes, got {length}"));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(wrong)
}

/// `allowed`: how many bytes of keys may still come.
fn entries(
    block: &Block,
    allowed: &mut u64,
    mut take: impl FnMut(&[u8], Range<usize>) -> Result<(), String>,
) -> Result<(), String> {
    let bytes = &block.bytes;
    let count = bytes.len().checked_sub(4).ok_or("a block must have at least 4 bytes")?;
    let restarts = u32::from_le_bytes(bytes[count..].try_into().map_err(|_| "no restarts")?);
    let end = u64::from(restarts).checked_mul(4).and_then(|length| (count as u64).checked_sub(length));
    let end =
        end.ok_or_else(|| format!("a block of {} bytes cannot have {restarts} restarts", bytes.len()))?;

    let mut key: Vec<u8> = Vec::new();
    let mut is_first = true;
    let mut fields = Fields::within(bytes, 0..end as usize);
    while !fields.is_empty() {
        let (shared, unshared, length) = (fields.varint()?, fields.varint()?, fields.varint()?);
        let rest = &bytes[fields.take(unshared)?];
        let shared = usize::try_from(shared).ok().filter(|&shared| shared <= key.len());
        let shared = shared.ok_or("a key must share no more than the one before it has")?;
        if shared + rest.len() > MAX_KEY {
            let got = shared + rest.len();
            return Err(format!("a key must have at most {MAX_KEY} bytes, got {got}"));
        }
        if !is_first && rest <= &key[shared..] {
            return Err("keys must grow from one entry to the next".into());
        }
        is_first = false;
        key.truncate(shared);
        key.extend_from_slice(rest);
        *allowed = allowed
            .checked_sub(key.len() as u64)
            .ok_or_else(|| format!("all keys must have at most {MAX_KEYS} times the bytes of the file"))?;
        take(&key, fields.take(length)?)?;
    }
    Ok(())
}
