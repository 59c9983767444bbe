//! Packed weights.
//!
//! ```text
//! int8  tile:  [k / 4][lane][4]    weight + 128 as u8; one f32 scale per lane (output row)
//! q4    tile:  [k / 32] groups of  [4][lane][4] bytes, then [lane] f16 scales
//!              byte (p, lane, j):  low nibble = weight 8p + j, high nibble = weight 8p + 4 + j
//! f32   tile:  [k][lane]
//! ```
//!
//! A tile is sixteen output rows; missing rows and weights are zero. **Rule:** every path reads this
//! one layout, so a matrix can be packed before the path is known.

use crate::buffer::Buffer;
use crate::generic::{GROUP, GROUP_BYTES, TILE, f16_to_f32, f32_to_f16};
use crate::math::ROUND;
use crate::{Error, Result};

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits per weight, activations stay f32.
    F32,
    /// 8 bits per weight and one scale per output row; activations are quantised to 8 bits per row.
    Int8,
    /// 4 bits per weight and an f16 scale for every 32; activations as for [`Int8`](Self::Int8).
    Q4,
}

impl Precision {
    /// Every precision, widest first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Int8, Precision::Q4];

    /// `f32`, `int8` or `q4`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Int8 => "int8",
            Precision::Q4 => "q4",
        }
    }

    /// The precision with this [`name`](Self::name).
    pub fn parse(name: &str) -> Option<Precision> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }
}

/// Order of the values a matrix is packed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `[out, in]` row-major: `torch.nn.Linear`.
    OutIn,
    /// `[in, out]` row-major: the `Conv1D` of the published GPT-2.
    InOut,
}

/// Weights `[out, in]` with a bias `[out]`, packed for [`Compute::matmul`](crate::Compute::matmul).
pub struct Matrix {
    pub(crate) out_features: usize,
    pub(crate) in_features: usize,
    pub(crate) precision: Precision,
    pub(crate) data: Buffer,
    /// `[tiles * 16]`, int8 only.
    pub(crate) scales: Vec<f32>,
    /// `[tiles * 16]`
    pub(crate) bias: Vec<f32>,
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix({} {} x {})", self.precision.name(), self.out_features, self.in_features)
    }
}

impl Matrix {
    /// The most inputs of a matrix: an int8 sum of this many products still fits 32 bits.
    pub const MAX_IN: usize = 65_536;
    /// The most outputs of a matrix.
    pub const MAX_OUT: usize = 1 << 24;

    /// Packs `values`, `out_features * in_features` finite numbers in the given order, with no bias.
    ///
    /// # Errors
    /// A size out of range, a wrong number of values, or one that is not finite.
    pub fn pack(
        values: &[f32],
        out_features: usize,
        in_features: usize,
        order: Order,
        precision: Precision,
    ) -> Result<Matrix> {
        Self::check_size(out_features, in_features)?;
        let expected = out_features * in_features;
        if values.len() != expected {
            return Err(Error::MatrixLength { out_features, in_features, expected, got: values.len() });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { index, value: values[index].to_string() });
        }
        let mut matrix = Self::empty(out_features, in_features, precision);
        let mut row = vec![0.0; in_features.next_multiple_of(GROUP)];
        for out in 0..out_features {
            match order {
                Order::OutIn => {
                    row[..in_features].copy_from_slice(&values[out * in_features..][..in_features]);
                }
                Order::InOut => {
                    for (at, value) in row[..in_features].iter_mut().enumerate() {
                        *value = values[at * out_features + out];
                    }
                }
            }
            matrix.pack_row(out, &row);
        }
        Ok(matrix)
    }

    /// The same weights with a bias `[out]`.
    ///
    /// # Errors
    /// [`Error::MatrixLength`] for another length, [`Error::NotFinite`].
    pub fn with_bias(mut self, bias: &[f32]) -> Result<Matrix> {
        if bias.len() != self.out_features {
            return Err(Error::MatrixLength {
                out_features: self.out_features,
                in_features: 1,
                expected: self.out_features,
                got: bias.len(),
            });
        }
        if let Some(index) = bias.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { index, value: bias[index].to_string() });
        }
        self.bias[..bias.len()].copy_from_slice(bias);
        Ok(self)
    }

    /// Outputs.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Inputs.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// How the weights are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes that one product reads: weights, scales and bias, with padding.
    pub fn bytes(&self) -> usize {
        self.tiles() * self.tile_bytes() + 4 * (self.scales.len() + self.bias.len())
    }

    /// Row `out` as stored, `[in]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, out: usize) -> Vec<f32> {
        assert!(out < self.out_features, "row {out} of {}", self.out_features);
        (0..self.in_features).map(|at| self.stored(out, at)).collect()
    }

    /// The weight of output `out` for input `at`.
    #[inline(always)]
    pub(crate) fn stored(&self, out: usize, at: usize) -> f32 {
        let (tile, lane) = (out / TILE, out % TILE);
        let bytes = &self.data.bytes()[tile * self.tile_bytes()..][..self.tile_bytes()];
        match self.precision {
            Precision::F32 => self.data.floats()[tile * self.tile_bytes() / 4 + at * TILE + lane],
            Precision::Int8 => (f32::from(bytes[at / 4 * 64 + lane * 4 + at % 4]) - 128.0) * self.scales[out],
            Precision::Q4 => {
                let group = &bytes[at / GROUP * GROUP_BYTES..][..GROUP_BYTES];
                let within = at % GROUP;
                let byte = group[within / 8 * 64 + lane * 4 + within % 4];
                let nibble = if within % 8 < 4 { byte & 15 } else { byte >> 4 };
                let scale = u16::from_le_bytes([group[256 + 2 * lane], group[257 + 2 * lane]]);
                (f32::from(nibble) - 8.0) * f16_to_f32(scale)
            }
        }
    }

    pub(crate) fn check_size(out_features: usize, in_features: usize) -> Result<()> {
        for (name, max, got) in
            [("outputs", Self::MAX_OUT, out_features), ("inputs", Self::MAX_IN, in_features)]
        {
            if !(1..=max).contains(&got) {
                return Err(Error::MatrixSize { name, max, got });
            }
        }
        Ok(())
    }

    pub(crate) fn tiles(&self) -> usize {
        self.out_features.div_ceil(TILE)
    }

    pub(crate) fn tile_bytes(&self) -> usize {
        tile_bytes(self.precision, self.in_features)
    }

    /// All weights zero. The sizes were checked.
    pub(crate) fn empty(out_features: usize, in_features: usize, precision: Precision) -> Matrix {
        let tiles = out_features.div_ceil(TILE);
        Matrix {
            out_features,
            in_features,
            precision,
            data: Buffer::streamed(tiles * tile_bytes(precision, in_features)),
            scales: vec![0.0; if precision == Precision::Int8 { tiles * TILE } else { 0 }],
            bias: vec![0.0; tiles * TILE],
        }
    }

    /// `row` is padded with zeros to a whole number of groups.
    fn pack_row(&mut self, out: usize, row: &[f32]) {
        let top = row.iter().fold(0.0f32, |top, value| top.max(value.abs()));
        if self.precision == Precision::Int8 {
            self.scales[out] = top / 127.0;
        }
        self.pack_part(out, 0, row, inverse(top));
    }

    /// Packs the weights of output `out` for the inputs from `first` on, a whole number of groups each. `inverse` is
    /// that of the whole row, and int8 only.
    pub(crate) fn pack_part(&mut self, out: usize, first: usize, part: &[f32], inverse: f32) {
        let (tile, lane) = (out / TILE, out % TILE);
        let start = tile * self.tile_bytes();
        let left = self.in_features - first;
        match self.precision {
            Precision::F32 => {
                let tile = &mut self.data.floats_mut()[start / 4 + first * TILE..];
                for (at, value) in part.iter().take(left).enumerate() {
                    tile[at * TILE + lane] = *value;
                }
            }
            Precision::Int8 => {
                let tile = &mut self.data.bytes_mut()[start + first * TILE..];
                for (at, value) in part.iter().take(left.next_multiple_of(4)).enumerate() {
                    let rounded = (value * inverse + ROUND) - ROUND;
                    tile[at / 4 * 64 + lane * 4 + at % 4] = (rounded.clamp(-127.0, 127.0) + 128.0) as u8;
                }
            }
            Precision::Q4 => {
                let tile = &mut self.data.bytes_mut()[start + first / GROUP * GROUP_BYTES..];
                let groups = part.chunks_exact(GROUP).take(left.div_ceil(GROUP));
                for (group, values) in groups.enumerate() {
                    let (scale, nibbles) = quantize_group(values);
                    let group = &mut tile[group * GROUP_BYTES..][..GROUP_BYTES];
                    for (at, nibble) in nibbles.into_iter().enumerate() {
                        let shift = if at % 8 < 4 { 0 } else { 4 };
                        group[at / 8 * 64 + lane * 4 + at % 4] |= nibble << shift;
                    }
                    group[256 + 2 * lane..][..2].copy_from_slice(&scale.to_le_bytes());
                }
            }
        }
    }
}

/// What int8 weights are multiplied by before they are rounded, where `top` is the largest magnitude of their row.
pub(crate) fn inverse(top: f32) -> f32 {
    if top > SMALLEST { 127.0 / top } else { 0.0 }
}

/// Rows with nothing larger count as zero: 127 over a smaller number could overflow.
pub(crate) const SMALLEST: f32 = 1e-30;

pub(crate) fn tile_bytes(precision: Precision, in_features: usize) -> usize {
    match precision {
        Precision::F32 => in_features * TILE * 4,
        Precision::Int8 => in_features.div_ceil(4) * 64,
        Precision::Q4 => in_features.div_ceil(GROUP) * GROUP_BYTES,
    }
}

/// An f16 scale and 32 nibbles `weight / scale + 8` in `0..16`.
///
/// -8 has no positive counterpart, so the sign of the scale puts the largest weight there. That
/// wastes the other end when both signs reach as far, so a symmetric scale is tried as well, and the
/// one with the smaller squared error is kept.
fn quantize_group(values: &[f32]) -> (u16, [u8; GROUP]) {
    let largest = values.iter().fold(0.0f32, |top, value| if value.abs() > top.abs() { *value } else { top });
    let mut best = (f32::INFINITY, 0, [8; GROUP]);
    for divisor in [-8.0, -7.5, -7.0] {
        let half = f32_to_f16(largest / divisor);
        let scale = f16_to_f32(half);
        if scale == 0.0 {
            continue;
        }
        let mut nibbles = [8; GROUP];
        let mut error = 0.0;
        for (nibble, value) in nibbles.iter_mut().zip(values) {
            // The quotient is small, and to call the system's rounding would take most of the time of packing.
            let rounded = ((value / scale + ROUND) - ROUND).clamp(-8.0, 7.0);
            *nibble = (rounded + 8.0) as u8;
            error += (rounded * scale - value) * (rounded * scale - value);
        }
        if error < best.0 {
            best = (error, half, nibbles);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 2_654_435_761 % 1009) as f32 / 504.5 - 1.0) * 0.3).collect()
    }

    #[test]
    fn a_stored_row_is_within_one_quantum() {
        for (out, inputs) in [(1, 1), (16, 32), (17, 33), (50, 70)] {
            let values = weights(out * inputs);
            for (precision, worst) in
                [(Precision::F32, 0.0), (Precision::Int8, 0.3 / 254.0), (Precision::Q4, 0.3 / 8.0)]
            {
                let matrix = Matrix::pack(&values, out, inputs, Order::OutIn, precision).unwrap();
                for row in 0..out {
                    for (stored, value) in matrix.row(row).iter().zip(&values[row * inputs..]) {
                        assert!(
                            (stored - value).abs() <= worst * 1.01,
                            "{precision:?}: {value} became {stored}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn both_orders_pack_the_same_matrix() {
        let (out, inputs) = (19, 37);
        let values = weights(out * inputs);
        let turned: Vec<f32> = (0..inputs * out).map(|i| values[i % out * inputs + i / out]).collect();
        for precision in Precision::ALL {
            let a = Matrix::pack(&values, out, inputs, Order::OutIn, precision).unwrap();
            let b = Matrix::pack(&turned, out, inputs, Order::InOut, precision).unwrap();
            assert_eq!(a.data.bytes(), b.data.bytes());
        }
    }

    #[test]
    fn bad_weights_are_named() {
        let error = |values: &[f32], out, inputs| {
            Matrix::pack(values, out, inputs, Order::OutIn, Precision::Q4).unwrap_err().to_string()
        };
        assert_eq!(error(&[1.0; 5], 2, 3), "a 2 x 3 matrix needs 6 values, got 5");
        assert_eq!(error(&[], 0, 3), "outputs must be in 1..=16777216, got 0");
        assert_eq!(error(&[1.0, f32::NAN], 1, 2), "weight 1 must be finite, got NaN");
    }
}
