//! Tests of the public API.

mod decoding;
mod golden;
mod magenta_checkpoints;
mod vectors;
mod weights;
