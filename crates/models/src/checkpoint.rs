//! The two files of a model of ours, `model.json` and `model.safetensors`: read and checked before a family opens them.

use std::sync::Arc;

use partita_nn::{Gpt, GptConfig, Precision, Tensors};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// What is wrong with them: the thing, what is expected, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("weights of {name} must have sha256 {expected}, got {got}; the file is cut short or changed")]
    Tampered { name: String, expected: String, got: String },
    #[error("model {name}: {message}")]
    Unfit { name: String, message: String },
}

/// A model by the name that appears in errors.
#[derive(Clone, Copy)]
pub(crate) struct Checkpoint<'a>(pub &'a str);

impl Checkpoint<'_> {
    /// What `model.json` says.
    pub fn config<C: DeserializeOwned>(self, config: &[u8]) -> Result<C, Error> {
        serde_json::from_slice(config).map_err(|error| self.unfit(format!("model.json: {error}")))
    }

    /// Refuses a model of another family.
    pub fn family(self, expected: &str, got: &str) -> Result<(), Error> {
        if got == expected {
            return Ok(());
        }
        Err(self.unfit(format!("family must be {expected:?}, got {got:?}")))
    }

    /// Refuses a model of other tokens, or of another number of them.
    pub fn tokens(self, expected: (&str, u32), got: (&str, usize)) -> Result<(), Error> {
        let ((tokens, vocab), (other, ids)) = (expected, got);
        if tokens == other && vocab as usize == ids {
            return Ok(());
        }
        Err(self.unfit(format!("tokens must be {tokens:?} with {vocab} ids, got {other:?} with {ids}")))
    }

    /// The weights, whole.
    pub fn tensors(self, weights: &[u8], sha256: &str) -> Result<Tensors, Error> {
        let got: String = Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect();
        if got != sha256 {
            let name = format!("{}/model.safetensors", self.0);
            return Err(Error::Tampered { name, expected: sha256.to_owned(), got });
        }
        Tensors::from_bytes(weights.to_vec()).map_err(|error| self.unfit(error))
    }

    /// The network of all weights.
    pub fn gpt(self, tensors: &Tensors, sizes: GptConfig, precision: Precision) -> Result<Arc<Gpt>, Error> {
        Gpt::load(tensors, sizes, precision).map(Arc::new).map_err(|error| self.unfit(error))
    }

    #[expect(clippy::needless_pass_by_value, reason = "errors and texts are passed as they come")]
    pub fn unfit(self, message: impl ToString) -> Error {
        Error::Unfit { name: self.0.to_owned(), message: message.to_string() }
    }
}
