//! Where the parts of a network come from: from published tensors, or from what was packed before.

use partita_kernels::{Matrix, Order, Precision};

use super::Error;

/// The parts of a network, asked for in one fixed order.
pub(super) trait Parts {
    type Error;

    /// The rows of one or several tensors of `shape`, `[out, in]` each, one below the other.
    fn matrix(
        &mut self,
        names: &[String],
        shape: [usize; 2],
        precision: Precision,
    ) -> Result<Matrix, Self::Error>;

    /// A tensor as it is.
    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Self::Error>;
}

/// Tensors from `tensor(name, shape)`, packed here.
pub(super) struct Unpacked<F>(pub F);

impl<F: FnMut(&str, &[usize]) -> Result<Vec<f32>, Error>> Parts for Unpacked<F> {
    type Error = Error;

    fn matrix(&mut self, names: &[String], shape: [usize; 2], precision: Precision) -> Result<Matrix, Error> {
        let mut rows = Vec::new();
        for name in names {
            let tensor = self.floats(name, &shape)?;
            if rows.is_empty() {
                rows = tensor;
                // By the length of what was read, so that a size that is only said takes no memory.
                rows.reserve_exact(rows.len() * (names.len() - 1));
            } else {
                rows.extend(tensor);
            }
        }
        Ok(Matrix::pack(&rows, names.len() * shape[0], shape[1], Order::OutIn, precision)?)
    }

    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.0(name, shape)
    }
}
