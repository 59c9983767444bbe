//! The delay pattern: codebook `k` of a frame is predicted `delay(k)` columns later than the first.
//!
//! ```text
//! column     0  1  2  3  4  5  6  7        S: start token, F columns of frames, here F = 4 and K = 4 (mono)
//! codebook 0 S  0  1  2  3  S  S  S        frame t of codebook k is in column t + delay(k) + 1
//! codebook 1 S  S  0  1  2  3  S  S
//! codebook 2 S  S  S  0  1  2  3  S
//! codebook 3 S  S  S  S  0  1  2  3
//! ```
//! In stereo, codebooks alternate left and right, and both of a pair have the same delay.
//!
//! Source: MusicGen (Copet et al. 2023), section 2.2.

/// Which entries of a sequence of columns are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// K.
    pub codebooks: usize,
    /// 1 or 2; divides K.
    pub channels: usize,
    /// Frames in all, those of a prompt included.
    pub frames: usize,
}

impl Pattern {
    /// Columns by which codebook `k` lags.
    pub fn delay(&self, k: usize) -> usize {
        k / self.channels
    }

    /// Columns, the start included.
    pub fn columns(&self) -> usize {
        self.frames + self.codebooks / self.channels
    }

    /// The frame that codebook `k` has in a column; none where it has the start token.
    pub fn frame(&self, k: usize, column: usize) -> Option<usize> {
        column.checked_sub(self.delay(k) + 1).filter(|&frame| frame < self.frames)
    }

    /// Frames of which all codebooks are known when columns `0..columns` are.
    pub fn complete(&self, columns: usize) -> usize {
        columns.saturating_sub(self.codebooks / self.channels).min(self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn musicgen_codebooks_lag_one_column_each() {
        let mono = Pattern { codebooks: 4, channels: 1, frames: 4 };
        assert_eq!(mono.columns(), 8);
        let rows: Vec<String> = (0..4)
            .map(|k| (0..8).map(|c| mono.frame(k, c).map_or("S".to_owned(), |t| t.to_string())).collect())
            .collect();
        assert_eq!(rows, ["S0123SSS", "SS0123SS", "SSS0123S", "SSSS0123"]);
        assert_eq!((0..=8).map(|c| mono.complete(c)).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn musicgen_pairs_of_stereo_codebooks_lag_together() {
        let stereo = Pattern { codebooks: 8, channels: 2, frames: 3 };
        assert_eq!((0..8).map(|k| stereo.delay(k)).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(stereo.columns(), 7);
    }
}
