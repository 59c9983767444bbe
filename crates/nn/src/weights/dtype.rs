//! The number types of weight files, and their conversion.

use std::fmt;

/// The type of a tensor's elements, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    Bool,
    U8,
    I8,
    F8E4M3,
    F8E5M2,
    F16,
    Bf16,
    I16,
    U16,
    F32,
    I32,
    U32,
    F64,
    I64,
    U64,
    /// Text, which is listed and cannot be read.
    String,
    /// A type that this program has no use for; as text.
    Other,
}

/// With the names of safetensors files, in the order of the declaration.
const ALL: [(Dtype, &str); 17] = [
    (Dtype::Bool, "BOOL"),
    (Dtype::U8, "U8"),
    (Dtype::I8, "I8"),
    (Dtype::F8E4M3, "F8_E4M3"),
    (Dtype::F8E5M2, "F8_E5M2"),
    (Dtype::F16, "F16"),
    (Dtype::Bf16, "BF16"),
    (Dtype::I16, "I16"),
    (Dtype::U16, "U16"),
    (Dtype::F32, "F32"),
    (Dtype::I32, "I32"),
    (Dtype::U32, "U32"),
    (Dtype::F64, "F64"),
    (Dtype::I64, "I64"),
    (Dtype::U64, "U64"),
    (Dtype::String, "STRING"),
    (Dtype::Other, "a type that is not read"),
];

impl Dtype {
    pub(super) fn from_name(name: &str) -> Option<Dtype> {
        let found = ALL.iter().find(|(_, known)| *known == name).map(|&(dtype, _)| dtype);
        found.filter(|dtype| dtype.is_number())
    }

    /// Whether its elements have a size of their own.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Dtype::String | Dtype::Other)
    }

    /// Of one element, in bytes; 1 for what is no number, which is never converted.
    pub(super) fn size(self) -> u64 {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 | Dtype::F8E4M3 | Dtype::F8E5M2 => 1,
            Dtype::String | Dtype::Other => 1,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F64 | Dtype::I64 | Dtype::U64 => 8,
        }
    }

    /// Of a tensor of this shape, in bytes.
    pub(super) fn bytes(self, shape: &[u64]) -> Option<u64> {
        shape.iter().try_fold(self.size(), |product, &side| product.checked_mul(side))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALL[*self as usize].1)
    }
}

/// Converts whole elements and appends them.
pub(super) type Convert<T> = fn(&[u8], &mut Vec<T>);

/// To f32; `None` for types that are no floats.
/// F64 is rounded to the nearest f32, the others are exact.
pub(super) fn floats(dtype: Dtype) -> Option<Convert<f32>> {
    Some(match dtype {
        Dtype::F32 => |bytes, out| out.extend(elements(bytes).map(f32::from_le_bytes)),
        Dtype::F64 => |bytes, out| out.extend(elements(bytes).map(|b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => |bytes, out| out.extend(elements(bytes).map(|b| f16_to_f32(u16::from_le_bytes(b)))),
        Dtype::Bf16 => |bytes, out| {
            out.extend(elements(bytes).map(|b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)));
        },
        _ => return None,
    })
}

/// To i64; `None` for types that are not offered as integers.
pub(super) fn integers(dtype: Dtype) -> Option<Convert<i64>> {
    Some(match dtype {
        Dtype::I8 => |bytes, out| out.extend(bytes.iter().map(|&byte| i64::from(byte as i8))),
        Dtype::I16 => |bytes, out| out.extend(elements(bytes).map(|b| i64::from(i16::from_le_bytes(b)))),
        Dtype::U16 => |bytes, out| out.extend(elements(bytes).map(|b| i64::from(u16::from_le_bytes(b)))),
        Dtype::U32 => |bytes, out| out.extend(elements(bytes).map(|b| i64::from(u32::from_le_bytes(b)))),
        Dtype::Bool => |bytes, out| out.extend(bytes.iter().map(|&byte| i64::from(byte != 0))),
        Dtype::I32 => |bytes, out| out.extend(elements(bytes).map(|b| i64::from(i32::from_le_bytes(b)))),
        Dtype::I64 => |bytes, out| out.extend(elements(bytes).map(i64::from_le_bytes)),
        Dtype::U8 => |bytes, out| out.extend(bytes.iter().map(|&byte| i64::from(byte))),
        _ => return None,
    })
}

/// Whole numbers `q` that stand for the floats `q * scale + min`, computed in f64 and rounded once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub scale: f64,
    pub min: f64,
}

impl Scale {
    /// Appends what whole elements of `dtype` (`U8` or `U16`) stand for.
    pub(super) fn floats(self, dtype: Dtype, bytes: &[u8], out: &mut Vec<f32>) {
        // Not fused: TensorFlow.js rounds the product too.
        let value = |q: u16| (f64::from(q) * self.scale + self.min) as f32;
        match dtype {
            Dtype::U16 => out.extend(elements(bytes).map(|b| value(u16::from_le_bytes(b)))),
            _ => out.extend(bytes.iter().map(|&byte| value(byte.into()))),
        }
    }
}

fn elements<const SIZE: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; SIZE]> {
    bytes.as_chunks::<SIZE>().0.iter().copied()
}

/// Exact for every f16, infinities and not-a-numbers included.
fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff);
    let bits = if magnitude >= 0x7c00 {
        magnitude << 13 | 0x7f80_0000
    } else {
        // The shift leaves the exponent 112 too low; multiplying also normalises subnormals.
        (f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23)).to_bits()
    };
    f32::from_bits(bits | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_the_name_it_prints() {
        for (dtype, name) in ALL {
            assert_eq!(dtype.to_string(), name);
            assert_eq!(Dtype::from_name(name), Some(dtype).filter(|dtype| dtype.is_number()));
        }
        assert_eq!(Dtype::from_name("F8"), None);
    }

    #[test]
    fn every_half_keeps_its_value() {
        for half in 0..=u16::MAX {
            let (sign, exponent, fraction) = (half >> 15, i32::from(half >> 10 & 31), f64::from(half & 1023));
            let magnitude = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            let got = f16_to_f32(half);
            assert_eq!(got.is_sign_negative(), sign == 1, "{half:#x}");
            assert!(f64::from(got.abs()) == magnitude || got.is_nan() && magnitude.is_nan(), "{half:#x}");
        }
    }
}
