//! Packed matrices as bytes: what [`Matrix::pack`] made, kept so that a later start need not pack again.
//!
//! ```text
//! data [tiles][tile]    scales [tiles * 16] f32, int8 only    bias [tiles * 16] f32
//! ```
//! Numbers have the machine's byte order, as in memory. Shape and precision are not among the bytes: whoever keeps
//! them also keeps what they are of, and finds out whether they were damaged.

use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult, Write};

use crate::buffer::Buffer;
use crate::generic::{GROUP_BYTES, TILE};
use crate::matrix::{Matrix, Precision, tile_bytes};
use crate::{Error, Result};

/// How much is converted at once.
const PIECE: usize = 1 << 14;

impl Matrix {
    /// Number of the layout and of the way weights are rounded. **Rule:** a change to either takes the next number,
    /// so that nobody reads what another program packed.
    pub const PACKING: u32 = 1;

    /// Bytes that [`write_packed`](Self::write_packed) writes for a matrix of this size.
    ///
    /// # Errors
    /// [`Error::MatrixSize`] for a size out of range.
    pub fn packed_bytes(out_features: usize, in_features: usize, precision: Precision) -> Result<u64> {
        Self::check_size(out_features, in_features)?;
        let tiles = out_features.div_ceil(TILE) as u64;
        let rows = if precision == Precision::Int8 { 2 } else { 1 };
        Ok(tiles * (tile_bytes(precision, in_features) as u64 + rows * 4 * TILE as u64))
    }

    /// Writes the packed weights, scales and bias.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_packed(&self, to: &mut impl Write) -> IoResult<()> {
        to.write_all(&self.data.bytes()[..self.tiles() * self.tile_bytes()])?;
        write_floats(to, &self.scales)?;
        write_floats(to, &self.bias)
    }

    /// Takes back what [`write_packed`](Self::write_packed) wrote for a matrix of this size, straight to where it
    /// stays. Memory is taken for all of it at once: compare [`packed_bytes`](Self::packed_bytes) with what there is
    /// first.
    ///
    /// # Errors
    /// Those of `from`; [`ErrorKind::InvalidData`] for a size out of range or a number that is not finite.
    pub fn read_packed(
        from: &mut impl Read,
        out_features: usize,
        in_features: usize,
        precision: Precision,
    ) -> IoResult<Matrix> {
        let bytes = Self::packed_bytes(out_features, in_features, precision).map_err(invalid)?;
        if usize::try_from(bytes).is_err() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let rows = out_features.next_multiple_of(TILE);
        let weights = rows / TILE * tile_bytes(precision, in_features);
        let mut data = Buffer::streamed(weights);
        from.read_exact(&mut data.bytes_mut()[..weights])?;
        match precision {
            Precision::F32 => check_finite(&data.floats()[..weights / 4])?,
            Precision::Int8 => {}
            Precision::Q4 => check_halves(&data.bytes()[..weights])?,
        }
        let scales = read_floats(from, if precision == Precision::Int8 { rows } else { 0 })?;
        let bias = read_floats(from, rows)?;
        check_finite(&scales)?;
        check_finite(&bias)?;
        Ok(Matrix { out_features, in_features, precision, data, scales, bias })
    }
}

/// Writes numbers for [`read_floats`].
///
/// # Errors
/// Those of `to`.
pub fn write_floats(to: &mut impl Write, values: &[f32]) -> IoResult<()> {
    let mut bytes = Vec::with_capacity(4 * PIECE.min(values.len()));
    for piece in values.chunks(PIECE) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|value| value.to_ne_bytes()));
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// Takes back `count` numbers of any value. Memory is taken as they come.
///
/// # Errors
/// Those of `from`.
pub fn read_floats(from: &mut impl Read, count: usize) -> IoResult<Vec<f32>> {
    let mut values = Vec::new();
    let mut bytes = vec![0; 4 * PIECE.min(count)];
    while values.len() < count {
        let piece = &mut bytes[..4 * PIECE.min(count - values.len())];
        from.read_exact(piece)?;
        values.extend(piece.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)));
    }
    Ok(values)
}

fn check_finite(values: &[f32]) -> IoResult<()> {
    for (piece, values) in values.chunks(PIECE).enumerate() {
        // No way out in the middle, so that the loop runs on vectors.
        let finite = values.iter().fold(true, |finite, value| finite & value.is_finite());
        if let Some(at) = values.iter().position(|value| !value.is_finite()).filter(|_| !finite) {
            return Err(not_finite(piece * PIECE + at, values[at]));
        }
    }
    Ok(())
}

/// The f16 scales of the groups of a q4 matrix.
fn check_halves(data: &[u8]) -> IoResult<()> {
    for (index, group) in data.chunks_exact(GROUP_BYTES).enumerate() {
        let scales = group[GROUP_BYTES - 2 * TILE..].as_chunks().0.iter();
        let finite =
            scales.fold(true, |finite, &half| finite & (u16::from_le_bytes(half) & 0x7c00 != 0x7c00));
        if !finite {
            return Err(not_finite(index, f32::NAN));
        }
    }
    Ok(())
}

fn not_finite(index: usize, value: f32) -> IoError {
    invalid(Error::NotFinite { index, value: value.to_string() })
}

fn invalid(error: Error) -> IoError {
    IoError::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;

    fn packed(out: usize, inputs: usize, precision: Precision) -> Matrix {
        let values: Vec<f32> =
            (0..out * inputs).map(|i| ((i * 2_654_435_761 % 1009) as f32 / 504.5 - 1.0) * 0.3).collect();
        let bias: Vec<f32> = (0..out).map(|i| i as f32 - 2.5).collect();
        Matrix::pack(&values, out, inputs, Order::OutIn, precision).unwrap().with_bias(&bias).unwrap()
    }

    fn written(matrix: &Matrix) -> Vec<u8> {
        let mut bytes = Vec::new();
        matrix.write_packed(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_matrix_is_the_same_after_writing_and_reading() {
        for (out, inputs) in [(1, 1), (16, 32), (17, 33), (50, 70)] {
            for precision in Precision::ALL {
                let matrix = packed(out, inputs, precision);
                let bytes = written(&matrix);
                let length = Matrix::packed_bytes(out, inputs, precision).unwrap();
                assert_eq!(bytes.len() as u64, length, "{matrix:?}");
                let mut rest = bytes.as_slice();
                let back = Matrix::read_packed(&mut rest, out, inputs, precision).unwrap();
                assert!(rest.is_empty());
                assert_eq!(back.data.bytes(), matrix.data.bytes(), "{matrix:?}");
                assert_eq!((&back.scales, &back.bias), (&matrix.scales, &matrix.bias));
                assert_eq!(back.bytes(), matrix.bytes());
                let short = &mut &bytes[..bytes.len() - 1];
                let error = Matrix::read_packed(short, out, inputs, precision).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            }
        }
    }

    #[test]
    fn packed_numbers_that_are_not_finite_are_refused() {
        for precision in Precision::ALL {
            let bytes = written(&packed(17, 33, precision));
            let tile = tile_bytes(precision, 33);
            // The last of the bias, of the scales and of the weights.
            let floats = if precision == Precision::Int8 { vec![4, 4 * 32 + 4] } else { vec![4] };
            for from_the_end in floats {
                let mut bytes = bytes.clone();
                let at = bytes.len() - from_the_end;
                bytes[at..at + 4].copy_from_slice(&f32::INFINITY.to_ne_bytes());
                assert!(Matrix::read_packed(&mut bytes.as_slice(), 17, 33, precision).is_err());
            }
            let mut bytes = bytes.clone();
            let refused = match precision {
                Precision::F32 => {
                    bytes[4..8].copy_from_slice(&f32::NAN.to_ne_bytes());
                    true
                }
                Precision::Int8 => {
                    bytes[4..8].fill(0xff);
                    false
                }
                Precision::Q4 => {
                    bytes[2 * tile - 2..2 * tile].copy_from_slice(&0xfc00u16.to_le_bytes());
                    true
                }
            };
            let read = Matrix::read_packed(&mut bytes.as_slice(), 17, 33, precision);
            assert_eq!(read.is_err(), refused, "{precision:?}");
        }
        assert!(Matrix::read_packed(&mut [].as_slice(), 0, 1, Precision::F32).is_err());
        assert!(Matrix::packed_bytes(1, Matrix::MAX_IN + 1, Precision::F32).is_err());
    }

    /// A new number in [`Matrix::PACKING`] comes with new sums here, and the other way round.
    #[test]
    fn packing_is_that_of_its_number() {
        let sum = |precision| {
            let bytes = written(&packed(50, 70, precision));
            bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |sum, &byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let sums = Precision::ALL.map(sum);
        let known = [0xf883_2d6f_e268_73c2, 0xa8f1_97a3_16f8_cd4d, 0x7fc2_4958_432c_c14d];
        assert_eq!((Matrix::PACKING, sums), (1, known));
    }
}
