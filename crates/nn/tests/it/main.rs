//! Tests of the public API.

mod decoding;
mod golden;
mod vectors;
mod weights;
