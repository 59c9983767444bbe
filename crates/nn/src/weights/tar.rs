//! Archives by `tar`, read by position: a checkpoint in one is read from where it lies, and nothing is unpacked.
//!
//! ```text
//! (header of 512 bytes | content, padded to a multiple of 512)* | two blocks of zeros
//! ```
//! Members' names never become paths: they only say which member belongs to which.

use std::collections::BTreeMap;
use std::ops::Range;

use super::beside::Beside;
use super::source::Source;
use super::tfjs::MANIFEST;
use super::{Tensors, open, quoted};
use crate::Result;

const BLOCK: u64 = 512;
/// Of a long name or of a record with one, in bytes.
const MAX_NAME: u64 = 1 << 16;
/// Kinds of weights that are one file, in the order in which they are looked for.
const WHOLE: [&str; 4] = [".safetensors", ".mag", ".ckpt", ".bin"];

/// Where a header has what.
const NAME: Range<usize> = 0..100;
const SIZE: Range<usize> = 124..136;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: Range<usize> = 157..257;
const MARK: Range<usize> = 257..265;
const PREFIX: Range<usize> = 345..500;

/// The regular files of an archive.
pub(super) struct Archive {
    source: Source,
    /// The last of each name, as unpacking would leave it.
    members: BTreeMap<String, Place>,
    /// In the order in which they first came.
    names: Vec<String>,
}

#[derive(Clone, Copy)]
struct Place {
    at: u64,
    length: u64,
}

/// Whether a file begins as archives do.
pub(super) fn is_tar(source: &Source) -> bool {
    let Ok(first) = source.section(0, source.length().min(BLOCK)) else { return false };
    first.get(MARK).is_some_and(|mark| mark.starts_with(b"ustar"))
        || <&[u8; BLOCK as usize]>::try_from(first.as_slice())
            .is_ok_and(|header| header[0] != 0 && has_checksum(header))
}

/// The weights in an archive: the first checkpoint (a member ending in `.index`), the first folder of magenta-js, or
/// the first file that is weights as a whole.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) for an archive that is cut short or has none of these.
pub(super) fn load(source: Source) -> Result<Tensors> {
    let archive = Archive::open(source)?;
    let name = archive.choose();
    let name = name.ok_or_else(|| {
        let got = archive.names.iter().take(5).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        archive.source.fault(&format!(
            "the archive must hold a checkpoint (.index), a {MANIFEST}, or one of {}, got {}",
            WHOLE.join(", "),
            if got.is_empty() { "no file" } else { &got }
        ))
    })?;
    let (folder, own) = name.split_at(name.rfind('/').map_or(0, |slash| slash + 1));
    let member = archive.member(name).unwrap_or_else(|| Err(archive.source.fault("a member is missing")))?;
    open::load(member, Some(own), &Beside::Archive(&archive, folder), open::Packed::Archived)
}

impl Archive {
    fn open(source: Source) -> Result<Archive> {
        let mut archive = Archive { source, members: BTreeMap::new(), names: Vec::new() };
        archive.list().map_err(|what| archive.source.fault(&format!("tar: {what}")))?;
        Ok(archive)
    }

    /// A member as a source of its own.
    pub(super) fn member(&self, name: &str) -> Option<Result<Source>> {
        let place = self.members.get(name)?;
        let part = self.source.part(place.at, place.length, &format!("member {}", quoted(name)));
        Some(part.map_err(|what| self.source.fault(&what)))
    }

    fn choose(&self) -> Option<&str> {
        let names = || {
            self.names.iter().map(String::as_str).filter(|name| {
                let own = name.rsplit('/').next().unwrap_or(name);
                // What macOS puts beside every file.
                !own.starts_with("._") && !name.split('/').any(|part| part == "__MACOSX")
            })
        };
        let manifest = |name: &&str| name.rsplit('/').next() == Some(MANIFEST);
        let whole = || WHOLE.iter().find_map(|end| names().find(|name| name.ends_with(end)));
        names().find(|name| name.ends_with(".index")).or_else(|| names().find(manifest)).or_else(whole)
    }

    fn list(&mut self) -> Result<(), String> {
        let (mut at, all) = (0, self.source.length());
        // From headers that speak of the next member.
        let (mut long_name, mut long_size) = (None, None);
        loop {
            let header = self.source.section(at, BLOCK).map_err(|_| {
                format!(
                    "the archive is cut short: at {at} a header or the end mark must follow, got {all} bytes"
                )
            })?;
            let header: &[u8; BLOCK as usize] = header.as_slice().try_into().map_err(|_| "no header")?;
            if header.iter().all(|&byte| byte == 0) {
                return Ok(());
            }
            if !has_checksum(header) {
                return Err(format!("the header at {at} does not have its checksum: the archive is damaged"));
            }
            let kind = header[KIND];
            let is_file = matches!(kind, 0 | b'0' | b'7');
            let own = number(&header[SIZE]).ok_or_else(|| format!("the header at {at} has no length"))?;
            // Links and devices have no content, whatever their header says.
            let length = match kind {
                b'1'..=b'6' => 0,
                _ if is_file => long_size.take().unwrap_or(own),
                _ => own,
            };
            let start = at + BLOCK;
            let named = |name: &str| format!("member {}", quoted(name));
            let name = long_name.take().unwrap_or_else(|| name_of(header));
            let end = start.checked_add(length).filter(|&end| end <= all).ok_or_else(|| {
                let what = named(&name);
                format!("the archive is cut short: {what} has {length} bytes at {start}, the archive {all}")
            })?;
            let extra = |source: &Source| match length {
                0..=MAX_NAME => source.section(start, length),
                _ => Err(format!("a long name must have at most {MAX_NAME} bytes, got {length}")),
            };
            match kind {
                b'L' => long_name = Some(text(&extra(&self.source)?)),
                b'x' => (long_name, long_size) = extended(&extra(&self.source)?)?,
                b'S' => return Err(format!("{} must be kept whole, got one with holes", named(&name))),
                b'1' => {
                    let linked = plain(&text(&header[LINK])).to_owned();
                    if let Some(&place) = self.members.get(&linked) {
                        self.add(plain(&name), place);
                    }
                }
                _ if is_file && !name.ends_with('/') => self.add(plain(&name), Place { at: start, length }),
                _ => {}
            }
            at = end.next_multiple_of(BLOCK);
        }
    }

    fn add(&mut self, name: &str, place: Place) {
        if self.members.insert(name.to_owned(), place).is_none() {
            self.names.push(name.to_owned());
        }
    }
}

/// Without what says "here".
fn plain(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    name
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn name_of(header: &[u8; BLOCK as usize]) -> String {
    let name = text(&header[NAME]);
    // GNU's mark is "ustar  ", and its headers have other things there.
    let prefix = if header[MARK].starts_with(b"ustar\0") { text(&header[PREFIX]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// Octal digits between spaces and zeros, or, marked by the first bit, bytes of a larger number.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first == 0x80 {
        let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
        return high.iter().all(|&byte| byte == 0).then_some(u64::from_be_bytes(low.try_into().ok()?));
    }
    let digits = text(field);
    let digits = digits.trim_matches(' ');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The sum of a header's bytes, with spaces in place of the sum itself; some writers took bytes for signed.
fn has_checksum(header: &[u8; BLOCK as usize]) -> bool {
    let others = || header[..CHECKSUM.start].iter().chain(&header[CHECKSUM.end..]);
    let spaces = 8 * i64::from(b' ');
    let unsigned = others().map(|&byte| i64::from(byte)).sum::<i64>() + spaces;
    let signed = others().map(|&byte| i64::from(byte as i8)).sum::<i64>() + spaces;
    let expected = text(&header[CHECKSUM]);
    let expected = expected.trim_matches(' ');
    !expected.is_empty()
        && i64::from_str_radix(expected, 8).is_ok_and(|expected| expected == unsigned || expected == signed)
}

/// Name and size that records of the form `LENGTH key=value\n` give the next member.
fn extended(mut records: &[u8]) -> Result<(Option<String>, Option<u64>), String> {
    let (mut name, mut size) = (None, None);
    let wrong = || "a record of an extended header must be \"LENGTH key=value\"".to_owned();
    while !records.is_empty() {
        let space = records.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
        let length = std::str::from_utf8(&records[..space]).ok().and_then(|digits| digits.parse().ok());
        let record = length.and_then(|length: usize| records.get(space + 1..length)).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        records = &records[space + 1 + record.len() + 1..];
        let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => name = Some(String::from_utf8_lossy(value).into_owned()),
            b"size" => {
                let digits = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
                size =
                    Some(digits.ok_or_else(|| "an extended header has no length of its member".to_owned())?);
            }
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err("a member must be kept whole, got one with holes".into());
            }
            _ => {}
        }
    }
    Ok((name, size))
}
