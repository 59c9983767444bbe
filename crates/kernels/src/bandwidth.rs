//! How fast this machine streams memory: what bounds the decoding of one sequence.

use std::hint::black_box;
use std::time::Instant;

use crate::Path;
use crate::buffer::Buffer;
use crate::{Error, Pool, Result, multiversion};

/// Passes over the memory; the median counts.
const PASSES: usize = 9;

multiversion! {
    /// The compiler turns this into several wide accumulators, so the reads are the limit.
    fn read(words: &[u64]) -> u64 {
        words.iter().fold(0, |a, b| a ^ b)
    }
}

/// Bytes per second that `threads` threads (`1..=32`) read from `megabytes` (`1..=16384`) of memory.
/// Below the size of the last-level cache it measures the cache.
///
/// # Errors
/// [`Error::Threads`], [`Error::MatrixSize`] out of range.
pub fn bandwidth(threads: usize, megabytes: usize) -> Result<f64> {
    const LARGEST: usize = 16_384;
    if !(1..=LARGEST).contains(&megabytes) {
        return Err(Error::MatrixSize { name: "megabytes", max: LARGEST, got: megabytes });
    }
    let pool = Pool::new(threads)?;
    let mut buffer = Buffer::streamed(megabytes << 20);
    // Pages that were never written all map to one page of zeros.
    pool.for_chunks(buffer.bytes_mut(), 1 << 20, |index, part| part.fill(index as u8 | 1));
    let bytes = buffer.bytes();
    let path = Path::ALL.into_iter().rev().find(|path| path.is_supported()).unwrap_or(Path::Generic);
    let mut times: Vec<f64> = (0..PASSES)
        .map(|_| {
            let started = Instant::now();
            pool.run(|worker, workers| {
                let part = &bytes[bytes.len() * worker / workers..bytes.len() * (worker + 1) / workers];
                // SAFETY: every bit pattern is a `u64`; `align_to` keeps to aligned words.
                let (_, words, _) = unsafe { part.align_to::<u64>() };
                black_box(read(path, words));
            });
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    Ok(bytes.len() as f64 / times[PASSES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_faster_than_a_disk() {
        assert!(bandwidth(1, 4).unwrap() > 1e8);
        assert_eq!(bandwidth(1, 0).unwrap_err().to_string(), "megabytes must be in 1..=16384, got 0");
    }
}
