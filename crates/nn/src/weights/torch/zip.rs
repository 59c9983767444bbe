//! The zip that torch writes: members stored uncompressed, zip64 where it is needed, no comment.
//!
//! ```text
//! (local header | name | extra | data | descriptor)* | directory | [zip64 end | locator] | end
//! ```
//! Stricter than unzipping: every number that is written twice must agree, and nothing may overlap, so
//! that two readers cannot see two different files. Checksums are not read: torch can be told to omit them.

use std::collections::BTreeMap;

use super::input::Input;
use crate::weights::quoted;
use crate::weights::source::Source;

const END: u64 = 22;
const LOCATOR: u64 = 20;
const END_64: u64 = 56;
const LOCAL: u64 = 30;

/// In bytes: room for some hundred thousand members, where the largest published models have thousands.
const MAX_DIRECTORY: u64 = 1 << 24;

/// What a flag may say: that sizes follow the data (they are in the directory too), that names are UTF-8,
/// and how hard a compressor would have tried.
const FLAGS: u16 = 1 << 3 | 1 << 11 | 0b110;

/// Where a member's data lies.
#[derive(Debug, PartialEq)]
pub(super) struct Member {
    pub at: u64,
    pub length: u64,
}

struct Directory {
    at: u64,
    length: u64,
    members: u64,
}

/// A member as the directory describes it.
struct Listed {
    name: String,
    /// Of its local header.
    at: u64,
    length: u64,
}

/// The members by name; each is inside the file, and none overlaps another.
pub(super) fn members(source: &Source) -> Result<BTreeMap<String, Member>, String> {
    let directory = directory(source).map_err(|what| format!("end of the zip: {what}"))?;
    if directory.length > MAX_DIRECTORY {
        return Err(format!(
            "zip directory: must have at most {MAX_DIRECTORY} bytes, got {}",
            directory.length
        ));
    }
    let bytes = source.section(directory.at, directory.length)?;
    let mut input = Input::new(&bytes);
    let mut members = BTreeMap::new();
    let mut spans = Vec::new();
    while !input.is_empty() {
        let listed = listed(&mut input).map_err(|what| format!("zip directory: {what}"))?;
        let named = |what: String| format!("zip member {}: {what}", quoted(&listed.name));
        let member = local(source, &listed, directory.at).map_err(named)?;
        spans.push((listed.at, member.at + member.length));
        if members.contains_key(&listed.name) {
            return Err(named("must be there once, got it twice".into()));
        }
        members.insert(listed.name, member);
    }
    if members.len() as u64 != directory.members {
        return Err(format!("zip directory: must have {} members, got {}", directory.members, members.len()));
    }
    spans.sort_unstable();
    if let Some(pair) = spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        return Err(format!("zip: members must not overlap, got {:?} and {:?}", pair[0], pair[1]));
    }
    Ok(members)
}

/// Found from the end of the file, where it must be: no comment, nothing behind it.
fn directory(source: &Source) -> Result<Directory, String> {
    let all = source.length();
    let end = all.checked_sub(END).ok_or_else(|| format!("must have {END} bytes, got {all}"))?;
    let bytes = source.section(end, END)?;
    let mut input = Input::new(&bytes);
    signature(&mut input, b"PK\x05\x06")?;
    let disks = [input.u16()?, input.u16()?];
    let [here, members] = [input.u16()?, input.u16()?];
    let [length, at] = [input.u32()?, input.u32()?];
    let comment = input.u16()?;
    if comment != 0 {
        return Err(format!("must have no comment, got {comment} bytes"));
    }

    let large = match end.checked_sub(LOCATOR + END_64) {
        Some(start) => directory_64(source, start)?,
        None => None,
    };
    let small = Directory { at: at.into(), length: length.into(), members: members.into() };
    let saturated = |short: u64, all_ones: u64, long: u64| short == long || short == all_ones;
    let (found, directory_end) = match large {
        Some(large) => {
            if !saturated(small.at, u32::MAX.into(), large.at)
                || !saturated(small.length, u32::MAX.into(), large.length)
                || !saturated(small.members, u16::MAX.into(), large.members)
            {
                return Err("its 64-bit numbers contradict the others".into());
            }
            (large, end - LOCATOR - END_64)
        }
        None => (small, end),
    };
    if disks.iter().any(|&disk| disk != 0 && disk != u16::MAX) || here != members {
        return Err("must be of one disk".into());
    }
    if found.at.checked_add(found.length) != Some(directory_end) {
        let Directory { at, length, .. } = found;
        return Err(format!("{length} bytes of directory at {at} must end at {directory_end}"));
    }
    Ok(found)
}

/// The 64-bit end before the locator before the end, if they are there.
fn directory_64(source: &Source, start: u64) -> Result<Option<Directory>, String> {
    let bytes = source.section(start, END_64 + LOCATOR)?;
    let (end, locator) = bytes.split_at(END_64 as usize);
    let mut locator = Input::new(locator);
    if locator.array()? != *b"PK\x06\x07" {
        return Ok(None);
    }
    let (disk, at, disks) = (locator.u32()?, locator.u64()?, locator.u32()?);
    if disk != 0 || disks > 1 || at != start {
        return Err(format!("the locator must point to {start} on the only disk, got {at}"));
    }
    let mut end = Input::new(end);
    signature(&mut end, b"PK\x06\x06")?;
    let length = end.u64()?;
    if length != END_64 - 12 {
        return Err(format!("the 64-bit end must have {} bytes, got {length}", END_64 - 12));
    }
    let _versions = end.u32()?;
    let disks = [end.u32()?, end.u32()?];
    let [here, members] = [end.u64()?, end.u64()?];
    if disks != [0, 0] || here != members {
        return Err("must be of one disk".into());
    }
    let [length, at] = [end.u64()?, end.u64()?];
    Ok(Some(Directory { at, length, members }))
}

fn listed(input: &mut Input) -> Result<Listed, String> {
    signature(input, b"PK\x01\x02")?;
    let _versions = input.u32()?;
    let (flags, method) = (input.u16()?, input.u16()?);
    let _time_and_checksum = input.u64()?;
    let [packed, length] = [input.u32()?, input.u32()?];
    let [name, extra, comment] = [input.u16()?, input.u16()?, input.u16()?];
    let disk = input.u16()?;
    let _attributes = (input.u16()?, input.u32()?);
    let at = input.u32()?;
    let name = std::str::from_utf8(input.slice(name.into())?).map_err(|_| "a name is not UTF-8")?.to_owned();
    let extra = input.slice(extra.into())?;
    input.slice(comment.into())?;

    let mut large = Input::new(extra_64(extra)?);
    // The 64-bit field holds those numbers alone that did not fit, in this order.
    let mut number = |short: u32| if short == u32::MAX { large.u64() } else { Ok(short.into()) };
    let (length, packed, at) = (number(length)?, number(packed)?, number(at)?);
    if method != 0 || packed != length {
        return Err(format!("{} must be stored uncompressed, got method {method}", quoted(&name)));
    }
    if flags & !FLAGS != 0 {
        return Err(format!("{} must not be encrypted or patched, got flags {flags:#06x}", quoted(&name)));
    }
    if disk != 0 && disk != u16::MAX {
        return Err(format!("{} must be on disk 0, got {disk}", quoted(&name)));
    }
    Ok(Listed { name, at, length })
}

/// The extra field with 64-bit numbers, empty if there is none.
fn extra_64(extra: &[u8]) -> Result<&[u8], String> {
    let mut input = Input::new(extra);
    while !input.is_empty() {
        let (kind, length) = (input.u16()?, input.u16()?);
        let field = input.slice(length.into())?;
        if kind == 1 {
            return Ok(field);
        }
    }
    Ok(&[])
}

/// The local header says where the data begins; it must be that of the listed member, before the directory.
fn local(source: &Source, listed: &Listed, limit: u64) -> Result<Member, String> {
    let bytes = source.section(listed.at, LOCAL + listed.name.len() as u64)?;
    let mut input = Input::new(&bytes);
    signature(&mut input, b"PK\x03\x04")?;
    let _version = input.u16()?;
    let (flags, method) = (input.u16()?, input.u16()?);
    let _time_checksum_and_sizes = input.array::<16>()?;
    let [name, extra] = [input.u16()?, input.u16()?];
    if flags & !FLAGS != 0 || method != 0 || usize::from(name) != listed.name.len() {
        return Err("its local header contradicts the directory".into());
    }
    if input.slice(name.into())? != listed.name.as_bytes() {
        return Err("its local header has another name".into());
    }
    let at = listed.at + LOCAL + u64::from(name) + u64::from(extra);
    if at.checked_add(listed.length).is_none_or(|end| end > limit) {
        return Err(format!("{} bytes at {at} must end before the directory at {limit}", listed.length));
    }
    Ok(Member { at, length: listed.length })
}

fn signature(input: &mut Input, expected: &[u8; 4]) -> Result<(), String> {
    let got = input.array::<4>()?;
    if got == *expected {
        return Ok(());
    }
    Err(format!("must begin with {}, got {}", expected.escape_ascii(), got.escape_ascii()))
}
