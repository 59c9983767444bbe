//! Files packed by gzip: unpacked once into a file without a name, which goes with the weights.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::source::{PIECE, Source};

/// A checkpoint of random numbers shrinks by a tenth, one of zeros a thousandfold.
const MAX_RATIO: u64 = 64;
/// What a small file may unpack to whatever its ratio, on disk and in memory.
const SMALL: u64 = 64 << 20;
const SMALL_IN_MEMORY: u64 = 1 << 20;
/// The largest published archive has 2 GB.
const MAX_UNPACKED: u64 = 16 << 30;

pub(super) fn is_gzip(first: &[u8]) -> bool {
    first.starts_with(&[0x1f, 0x8b])
}

/// Unpacks into a temporary file in `folder`, or where the system has its own if nothing can be written there. What was
/// in memory stays there.
pub(super) fn unpack(source: &Source, folder: Option<&Path>) -> Result<Source, String> {
    let small = if source.is_memory() { SMALL_IN_MEMORY } else { SMALL };
    let most = source.length().saturating_mul(MAX_RATIO).max(small).min(MAX_UNPACKED);
    if source.is_memory() {
        let mut bytes = Vec::new();
        copy(source, &mut bytes, most)?;
        return Ok(source.made(bytes));
    }
    let mut file = spool(folder).map_err(|error| format!("cannot make a file to unpack into: {error}"))?;
    let length = copy(source, &mut file, most)?;
    Ok(source.spooled(file, length))
}

/// Without a name: it is gone with the process, however that ends.
fn spool(folder: Option<&Path>) -> io::Result<File> {
    // The system's own place may be in memory, the folder of an archive hardly is.
    match folder.map(tempfile::tempfile_in) {
        Some(Ok(file)) => Ok(file),
        _ => tempfile::tempfile(),
    }
}

fn copy(source: &Source, out: &mut impl Write, most: u64) -> Result<u64, String> {
    let mut reader = MultiGzDecoder::new(io::BufReader::with_capacity(PIECE, source.reader()));
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    loop {
        let read = match reader.read(&mut piece) {
            Ok(0) => return Ok(length),
            Ok(read) => &piece[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err("gzip: the file is cut short".into());
            }
            Err(error) => return Err(format!("gzip: {error}")),
        };
        length += read.len() as u64;
        if length > most {
            return Err(format!("gzip: must unpack to at most {most} bytes, but there are more"));
        }
        out.write_all(read).map_err(|error| format!("cannot keep what is unpacked: {error}"))?;
    }
}
