//! Cuts a file into its header and tracks, forgiving wrong counts, wrong lengths and junk in between.

use crate::{Error, Ppq, Result};

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// 0, 1 or 2; others are read as 1.
    pub format: u16,
    pub division: Division,
    /// Where the first chunk after the header starts.
    pub end: usize,
}

/// Unit of the file's delta times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Division {
    Ppq(Ppq),
    /// Ticks of fixed length. As many ticks per "quarter" as nominal ticks per second, and a tempo of one
    /// second a quarter (1.001 s for 29.97 frames/s) give every tick its exact time.
    Smpte {
        ppq: Ppq,
        tempo: u32,
    },
}

/// The bytes of one track.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub start: usize,
    /// Parsing must stop here.
    pub limit: usize,
    /// Where the next chunk starts; `None` when the length can't be trusted: then it is where the events end.
    pub next: Option<usize>,
}

/// Junk before the header (as MacBinary puts there) is searched this far.
const JUNK_BEFORE_HEADER: usize = 1024;

pub(crate) fn header(bytes: &[u8]) -> Result<Header> {
    if bytes.is_empty() {
        return Err(Error::NotMidi("the input is empty"));
    }
    let reach = if bytes.starts_with(b"RIFF") { bytes.len() } else { bytes.len().min(JUNK_BEFORE_HEADER) };
    let at = find(&bytes[..reach], b"MThd").ok_or(Error::NotMidi("no MThd header found"))?;
    let fail = |at, message: String| Err(Error::MidiHeader { at, message });
    let Some(&[a, b, c, d, f0, f1, _, _, high, low]) = bytes.get(at + 4..at + 14) else {
        return fail(at, format!("header must be 14 bytes, got {}", bytes.len() - at));
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    // A longer header is allowed by the standard; a length past the end is a wrong length.
    let fits = usize::try_from(length).ok().and_then(|length| (at + 8).checked_add(length));
    let end = fits.filter(|&end| length > 6 && end <= bytes.len()).unwrap_or(at + 14);
    let division = if high < 0x80 {
        match Ppq::new(u16::from_be_bytes([high, low])) {
            Some(ppq) => Division::Ppq(ppq),
            None => return fail(at + 12, "ticks per quarter must be in 1..=32767, got 0".into()),
        }
    } else {
        let frames = high.wrapping_neg();
        let (nominal, tempo) = match frames {
            24 | 25 | 30 => (u16::from(frames), 1_000_000),
            29 => (30, 1_001_000),
            _ => {
                return fail(
                    at + 12,
                    format!("smpte frames per second must be 24, 25, 29 or 30, got {frames}"),
                );
            }
        };
        match Ppq::new(nominal * u16::from(low)) {
            Some(ppq) => Division::Smpte { ppq, tempo },
            None => return fail(at + 13, "smpte ticks per frame must be in 1..=255, got 0".into()),
        }
    };
    Ok(Header { format: u16::from_be_bytes([f0, f1]), division, end })
}

/// The next track at or after `at`, `None` at the end of the file.
pub(crate) fn next_track(bytes: &[u8], mut at: usize) -> Option<Chunk> {
    loop {
        let rest = bytes.get(at..)?;
        if rest.len() < 8 {
            return None;
        }
        let length = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let start = at + 8;
        let end = start.checked_add(length).filter(|&end| end <= bytes.len());
        if rest.starts_with(b"MTrk") {
            let next = end.filter(|&end| end == bytes.len() || is_chunk(&bytes[end..]));
            return Some(Chunk { start, limit: next.unwrap_or(bytes.len()), next });
        }
        at = match end {
            // An unknown chunk whose length leads to another chunk or the end.
            Some(end) if is_chunk(rest) && (end == bytes.len() || is_chunk(&bytes[end..])) => end,
            // Junk.
            _ => at + 1 + find(&rest[1..], b"MTrk")?,
        };
    }
}

fn is_chunk(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes[..4].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ')
}

fn find(bytes: &[u8], what: &[u8; 4]) -> Option<usize> {
    bytes.windows(4).position(|window| window == what)
}
