//! Weight files: named tensors, read whole, converted when asked for.

mod safetensors;

use std::collections::BTreeMap;

use crate::{Error, Result};

/// The tensors of one file.
pub struct Tensors {
    bytes: Vec<u8>,
    index: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    /// Range in `bytes`, checked when the file is opened.
    from: usize,
    to: usize,
}

impl Tensors {
    /// Reads a `.safetensors` file.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Format`] for a file that is cut short or malformed.
    pub fn read(path: impl AsRef<std::path::Path>) -> Result<Tensors> {
        let path = path.as_ref();
        let read = |source| Error::Read { path: path.display().to_string(), source };
        Tensors::from_bytes(std::fs::read(path).map_err(read)?)
    }

    /// Takes the contents of a `.safetensors` file.
    ///
    /// # Errors
    /// [`Error::Format`] for contents that are cut short or malformed.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Tensors> {
        let index = safetensors::index(&bytes)?;
        Ok(Tensors { bytes, index })
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.index.get(name).map(|entry| entry.shape.as_slice())
    }

    /// A float tensor (`F32`, `F16` or `BF16`) of exactly this shape, row-major.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Shape`], [`Error::Dtype`].
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (entry, bytes) = self.entry(name)?;
        if entry.shape != shape {
            let (expected, got) = (shape.to_vec(), entry.shape.clone());
            return Err(Error::Shape { name: name.to_owned(), expected, got });
        }
        let words = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
        match entry.dtype.as_str() {
            "F32" => {
                Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            }
            "F16" => Ok(bytes.chunks_exact(2).map(|b| f16_to_f32(words(b))).collect()),
            "BF16" => Ok(bytes.chunks_exact(2).map(|b| f32::from_bits(u32::from(words(b)) << 16)).collect()),
            other => {
                Err(Error::Dtype { name: name.to_owned(), allowed: "F32, F16, BF16", got: other.to_owned() })
            }
        }
    }

    /// A tensor of whole numbers (`I32`, `I64` or `U8`), row-major, whatever its shape.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Dtype`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let (entry, bytes) = self.entry(name)?;
        let four = |b: &[u8]| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let eight = |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        match entry.dtype.as_str() {
            "I32" => Ok(bytes.chunks_exact(4).map(four).collect()),
            "I64" => Ok(bytes.chunks_exact(8).map(eight).collect()),
            "U8" => Ok(bytes.iter().map(|&byte| i64::from(byte)).collect()),
            other => {
                Err(Error::Dtype { name: name.to_owned(), allowed: "I32, I64, U8", got: other.to_owned() })
            }
        }
    }

    fn entry(&self, name: &str) -> Result<(&Entry, &[u8])> {
        let entry = self.index.get(name).ok_or_else(|| Error::MissingTensor(name.to_owned()))?;
        Ok((entry, &self.bytes[entry.from..entry.to]))
    }
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

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn floats_of_every_width_are_read() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
            "b":{"dtype":"F16","shape":[4],"data_offsets":[8,16]},
            "c":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]},
            "d":{"dtype":"I32","shape":[],"data_offsets":[18,22]}}"#;
        let mut data = [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
        for half in [0x3c00u16, 0xc000, 0x0001, 0x7c00] {
            data.extend(half.to_le_bytes());
        }
        data.extend(0x4049u16.to_le_bytes());
        data.extend((-7i32).to_le_bytes());
        let tensors = Tensors::from_bytes(file(header, &data)).unwrap();
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(tensors.f32("a", &[1, 2]).unwrap(), [1.5, -2.0]);
        assert_eq!(tensors.f32("b", &[4]).unwrap(), [1.0, -2.0, 2f32.powi(-24), f32::INFINITY]);
        assert_eq!(tensors.f32("c", &[1]).unwrap(), [3.140_625]);
        assert_eq!(tensors.integers("d").unwrap(), [-7]);
        let message = |result: Result<Vec<f32>>| result.unwrap_err().to_string();
        assert_eq!(message(tensors.f32("e", &[1])), "tensor \"e\" is missing");
        assert_eq!(message(tensors.f32("a", &[2])), "tensor \"a\" must have shape [2], got [1, 2]");
        assert_eq!(message(tensors.f32("d", &[])), "tensor \"d\" must be one of F32, F16, BF16, got I32");
    }

    #[test]
    fn damaged_files_are_refused() {
        let refused = |bytes: Vec<u8>| Tensors::from_bytes(bytes).err().expect("damaged").to_string();
        let tensor = |rest: &str| format!(r#"{{"a":{{"dtype":"F32",{rest}}}}}"#);
        let good = tensor(r#""shape":[2],"data_offsets":[0,8]"#);
        assert!(Tensors::from_bytes(file(&good, &[0; 8])).is_ok());
        assert!(refused(vec![1, 2, 3]).contains("8 bytes"));
        assert!(refused(u64::MAX.to_le_bytes().to_vec()).contains("header"));
        assert!(refused(file("not json", &[])).contains("header"));
        assert!(refused(file(&good, &[0; 7])).contains("\"a\""));
        for rest in [
            r#""shape":[3],"data_offsets":[0,8]"#,
            r#""shape":[2],"data_offsets":[8,0]"#,
            r#""shape":[2],"data_offsets":[4,12]"#,
            r#""shape":[18446744073709551615,2],"data_offsets":[0,8]"#,
            r#""shape":[-1],"data_offsets":[0,8]"#,
        ] {
            refused(file(&tensor(rest), &[0; 8]));
        }
        refused(file(&good.replace("F32", "F8"), &[0; 8]));
    }
}
