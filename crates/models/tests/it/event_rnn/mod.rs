//! The event RNNs against Magenta: features, labels, probabilities, greedy continuations, and what holds for any
//! network.

mod case;
mod load;
mod play;
mod vectors;
