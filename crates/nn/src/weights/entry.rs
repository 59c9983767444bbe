//! Where a tensor lies, and reading it from there.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::crc32c::Crc32c;
use super::dtype::{Dtype, Scale};
use super::source::{PIECE, Source};

/// Where a tensor lies: row-major, in one or several places, which joined have no gaps. Checked against their files
/// when those were opened.
#[derive(Debug)]
pub(super) struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Of all spans.
    pub bytes: u64,
    pub spans: Vec<Span>,
    /// For floats that are kept as `U8` or `U16`.
    pub scale: Option<Scale>,
}

/// A part of a file.
#[derive(Debug)]
pub(super) struct Span {
    /// Number of its file in [`Tensors`](super::Tensors).
    pub source: usize,
    /// First byte in its file.
    pub at: u64,
    pub bytes: u64,
    pub checksum: Option<Checksum>,
}

/// The masked CRC-32C of a span.
#[derive(Debug)]
pub(super) struct Checksum {
    expected: u32,
    /// It was compared, and was right.
    good: AtomicBool,
}

impl Entry {
    /// A tensor in one place of the first file.
    pub(super) fn new(dtype: Dtype, shape: &[u64], at: u64, bytes: u64) -> Result<Entry, String> {
        Entry::joined(dtype, shape, vec![Span { source: 0, at, bytes, checksum: None }])
    }

    pub(super) fn joined(dtype: Dtype, shape: &[u64], spans: Vec<Span>) -> Result<Entry, String> {
        let shape = shape.iter().map(|&side| usize::try_from(side)).collect::<Result<_, _>>();
        let shape = shape.map_err(|_| "the shape is too large for this machine".to_owned())?;
        let bytes = spans.iter().map(|span| span.bytes).fold(0, u64::saturating_add);
        Ok(Entry { dtype, shape, bytes, spans, scale: None })
    }

    /// Hands over `length` bytes from byte `from` of the tensor in order, in pieces of whole elements.
    /// The checksum of every span of which something is read is compared, once in its life.
    pub(super) fn read(
        &self,
        sources: &[Source],
        from: u64,
        length: u64,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let (mut begin, end) = (0, from + length);
        let mut piece = Vec::with_capacity(PIECE.min(usize::try_from(length).unwrap_or(PIECE)));
        for span in &self.spans {
            let inside = from.saturating_sub(begin)..end.saturating_sub(begin).min(span.bytes);
            begin += span.bytes;
            if inside.start >= inside.end {
                continue;
            }
            let source = &sources[span.source];
            let is_whole = inside.end - inside.start == span.bytes;
            let unproven = span.checksum.as_ref().filter(|checksum| !checksum.good.load(Ordering::Relaxed));
            if let Some(checksum) = unproven.filter(|_| !is_whole) {
                checksum.prove(source, span)?;
            }
            let mut crc = Crc32c::new();
            let mut done = inside.start;
            while done < inside.end {
                let old = piece.len();
                let here = (inside.end - done).min((PIECE - old) as u64);
                piece.resize(old + here as usize, 0);
                source.read_exact(span.at + done, &mut piece[old..])?;
                if is_whole && unproven.is_some() {
                    crc.add(&piece[old..]);
                }
                done += here;
                if piece.len() == PIECE {
                    take(&piece);
                    piece.clear();
                }
            }
            if let Some(checksum) = unproven.filter(|_| is_whole) {
                checksum.compare(crc)?;
            }
        }
        if !piece.is_empty() {
            take(&piece);
        }
        Ok(())
    }
}

impl Checksum {
    pub(super) fn new(masked: u32) -> Checksum {
        Checksum { expected: masked, good: AtomicBool::new(false) }
    }

    fn prove(&self, source: &Source, span: &Span) -> io::Result<()> {
        let mut piece = vec![0; PIECE.min(usize::try_from(span.bytes).unwrap_or(PIECE))];
        let (mut crc, mut done) = (Crc32c::new(), 0);
        while done < span.bytes {
            let here = (span.bytes - done).min(PIECE as u64);
            let piece = &mut piece[..here as usize];
            source.read_exact(span.at + done, piece)?;
            crc.add(piece);
            done += here;
        }
        self.compare(crc)
    }

    fn compare(&self, crc: Crc32c) -> io::Result<()> {
        let (expected, got) = (self.expected, crc.masked());
        if expected != got {
            let what = format!("the checksum must be {expected:#010x}, got {got:#010x}: the file is damaged");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.good.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(bytes: &[u8]) -> u32 {
        let mut crc = Crc32c::new();
        crc.add(bytes);
        crc.masked()
    }

    /// Bytes over three spans of two sources, the second of which is empty.
    fn scattered(bytes: &[u8], cut: usize) -> (Vec<Source>, Entry) {
        let sources = vec![
            Source::memory([&[9; 5], &bytes[cut..]].concat()),
            Source::memory([&[8; 3], &bytes[..cut]].concat()),
        ];
        let span = |source, at, bytes: &[u8]| Span {
            source,
            at,
            bytes: bytes.len() as u64,
            checksum: Some(Checksum::new(masked(bytes))),
        };
        let spans = vec![span(1, 3, &bytes[..cut]), span(0, 5, &[]), span(0, 5, &bytes[cut..])];
        (sources, Entry::joined(Dtype::F32, &[bytes.len() as u64 / 4], spans).unwrap())
    }

    #[test]
    fn spans_join_to_the_whole_in_pieces_of_whole_elements() {
        let bytes: Vec<u8> = (0..PIECE * 2 + 24).map(|i| (i * 31 % 251) as u8).collect();
        for cut in [1, PIECE - 1, PIECE, PIECE + 3, PIECE * 2 + 23] {
            let (sources, entry) = scattered(&bytes, cut);
            for (at, length) in [(8, PIECE), (0, bytes.len()), (16, PIECE + 8), (8, 0), (bytes.len(), 0)] {
                let mut joined = Vec::new();
                let take = |piece: &[u8]| {
                    assert_eq!(piece.len() % 8, 0);
                    joined.extend_from_slice(piece);
                };
                entry.read(&sources, at as u64, length as u64, take).unwrap();
                assert!(joined == bytes[at..at + length], "{length} bytes at {at}, cut at {cut}");
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_found_by_whoever_reads_any_byte_of_its_span() {
        let bytes: Vec<u8> = (0..64).collect();
        for (from, length) in [(0, 64), (0, 4), (60, 4), (28, 8)] {
            let (mut sources, entry) = scattered(&bytes, 32);
            entry.read(&sources, from, length, |_| {}).unwrap();
            // What was compared once is not compared again.
            sources[0] = Source::memory(vec![0; 37]);
            sources[1] = Source::memory(vec![0; 37]);
            entry.read(&sources, from, length, |_| {}).unwrap();

            let (sources, mut entry) = scattered(&bytes, 32);
            for span in &mut entry.spans {
                span.checksum = Some(Checksum::new(1));
            }
            let error = entry.read(&sources, from, length, |_| {}).unwrap_err();
            assert!(error.to_string().contains("checksum"), "{error}");
        }
    }
}
