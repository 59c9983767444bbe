//! Checkpoints rebuilt from the recipe of the reference vectors, so that they need not be kept.

use std::collections::BTreeMap;
use std::ops::Range;

use partita_nn::{Error, Result, TensorSource};
use serde_json::Value;

/// Tensors of pseudo-random numbers, a function of their names.
pub struct Recipe {
    salt: String,
    tensors: BTreeMap<String, Tensor>,
}

struct Tensor {
    shape: Vec<usize>,
    spread: f64,
    middle: f64,
}

impl Recipe {
    /// Of a `case.json`.
    pub fn new(case: &Value) -> Recipe {
        let number = |value: &Value| value.as_f64().expect("a number");
        let tensor = |value: &Value| {
            let shape = value["shape"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize);
            let tensor =
                Tensor { shape: shape.collect(), spread: number(&value["a"]), middle: number(&value["b0"]) };
            (value["name"].as_str().unwrap().to_owned(), tensor)
        };
        Recipe {
            salt: case["salt"].as_str().unwrap().to_owned(),
            tensors: case["variables"].as_array().unwrap().iter().map(tensor).collect(),
        }
    }

    /// Numbers in all tensors.
    pub fn values(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.shape.iter().product::<usize>()).sum()
    }

    /// Leaves a tensor out.
    pub fn remove(&mut self, name: &str) {
        self.tensors.remove(name).unwrap_or_else(|| panic!("{name}"));
    }

    /// Gives a tensor another shape, or adds one.
    pub fn reshape(&mut self, name: &str, shape: &[usize]) {
        let tensor = Tensor { shape: shape.to_vec(), spread: 0.1, middle: 0.0 };
        self.tensors.insert(name.to_owned(), tensor);
    }
}

impl TensorSource for Recipe {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|tensor| tensor.shape.clone())
    }

    fn rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> Result<Vec<f32>> {
        let tensor = self.tensors.get(name).ok_or_else(|| Error::MissingTensor(name.to_owned()))?;
        if tensor.shape != shape {
            let (expected, got) = (shape.to_vec(), tensor.shape.clone());
            return Err(Error::Shape { name: name.to_owned(), expected, got });
        }
        let row: usize = shape[1..].iter().product();
        let seed = format!("{}/{name}", self.salt).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let value = |index: usize| {
            let x = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            let unit = ((x ^ x >> 31) >> 40) as f64 / f64::from(1 << 24);
            ((unit - 0.5) * 2.0 * tensor.spread + tensor.middle) as f32
        };
        Ok((range.start * row..range.end * row).map(value).collect())
    }
}

#[test]
fn magenta_recipe_gives_the_numbers_it_is_published_with() {
    let case = serde_json::json!({
        "salt": "dev/cat_mel",
        "variables": [{"name": "decoder/output_projection/bias", "shape": [90], "a": 0.3, "b0": 0.0}],
    });
    let values = Recipe::new(&case).floats("decoder/output_projection/bias", &[90]).unwrap();
    assert_eq!(values[..5], [0.262_635_83, 0.041_855_55, -0.101_993_784, 0.269_636_8, 0.146_975_65]);
}
