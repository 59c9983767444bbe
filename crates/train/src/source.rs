//! Where sequences come from.

use std::path::Path;

use partita_nn::Rng;

use crate::checkpoint;
use crate::gpt::Example;
use crate::parameters::Parameters;

/// Sequences of a data set, and the model they make.
pub trait Source: Sync {
    /// SHA-256 over the sorted lines `file,split`: which split a number was measured on.
    fn split_hash(&self) -> &str;

    /// The next training sequence of `rng`'s stream, varied in a way that stays musical.
    fn draw(&self, rng: &mut Rng) -> Example;

    /// Sequences that cover the validation split once, as it is.
    fn validation(&self) -> Vec<Example>;

    /// Tokens to validate on during training, about; of more, every k-th sequence is taken. The whole split is measured
    /// afterwards.
    fn validation_tokens(&self) -> usize {
        60_000
    }

    /// Units that count in the loss of an example (hits, notes): a validation loss is told in nats a unit.
    fn units(&self, example: &Example) -> usize;

    /// Writes the form in which a model ships.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn write_model(&self, folder: &Path, parameters: &Parameters) -> Result<(), checkpoint::Error>;
}
