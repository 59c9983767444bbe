//! An event RNN from wherever its checkpoint lies.

use std::path::Path;

use partita_kernels::Precision;
use partita_nn::Tensors;

use super::{Bundle, Error, EventRnn, Options};

impl EventRnn {
    /// Opens a bundle (`.mag`) or any checkpoint that [`Tensors::open`] reads. What it plays is told by the bundle, else
    /// by `name`.
    ///
    /// # Errors
    /// Files that are missing or damaged, [`Error::UnknownBundle`], a network of another kind.
    pub fn open(name: &str, path: &Path, precision: Precision) -> Result<EventRnn, Error> {
        let tensors = Tensors::open(path)?;
        let told = tensors.bundle();
        let bundle = match told {
            Some(told) => Bundle::find(&told.id).or_else(|_| Bundle::find(name))?,
            None => Bundle::find(name)?,
        };
        let attention = told.and_then(|told| told.attention_length);
        EventRnn::load(bundle, &tensors, Options { precision, attention })
    }
}
