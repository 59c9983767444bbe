//! Long short-term memory.
//!
//! ```text
//! cell.rs           one layer, a step at a time, for any number of sequences together
//! torch.rs          layers in a row over a sequence in pieces, as torch.nn.LSTM names them
//! tensorflow.rs     the weights of a TensorFlow layer
//! bidirectional.rs  layers in both directions over whole sequences
//! ```
//! **Rule:** the sums of a gate are the bias, then the product with each part of the input in the order in which they
//! are added, then the product with the hidden state. Nothing depends on pieces, on the batch or on threads.

mod bidirectional;
mod cell;
mod tensorflow;
#[cfg(test)]
mod tests;
mod torch;

pub use bidirectional::{BiLstm, LstmFrame};
pub use cell::{LstmCell, LstmState};
pub use tensorflow::{TensorflowLstm, tensorflow_dense};
pub use torch::{Lstm, LstmStream};
