//! Where the weights of a network come from: files, or whatever else can name its tensors.

use std::ops::Range;

use crate::{Result, Tensors};

/// Named tensors that are read a few rows at a time, so that a large one need never be in memory as it came.
pub trait TensorSource {
    /// All names, in any order.
    fn names(&self) -> Vec<String>;

    /// The shape of a tensor, if it is there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// Rows `range` along the first axis of a float tensor of exactly this shape, row-major. The same call gives the
    /// same numbers: some rows are asked for twice.
    ///
    /// # Errors
    /// The tensor is missing, misshapen or cannot be read; its name is in the message.
    fn rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> Result<Vec<f32>>;

    /// The whole of a float tensor of exactly this shape, row-major.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.rows(name, shape, 0..shape.first().copied().unwrap_or(1))
    }
}

impl TensorSource for Tensors {
    fn names(&self) -> Vec<String> {
        Tensors::names(self).map(str::to_owned).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        Tensors::shape(self, name).map(<[usize]>::to_vec)
    }

    fn rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> Result<Vec<f32>> {
        Tensors::rows(self, name, shape, range)
    }

    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.f32(name, shape)
    }
}
