//! Bach's chorales: the data set, sequences to learn from, and Table C.

mod data;
mod draw;
mod source;

pub use data::{Chorale, Chorales, Error};
pub use source::{ChoraleSource, example, windows};
