//! ABC 2.1, out and in.
//!
//! Source: the abc standard 2.1 (abcnotation.com), sections 3 to 7.

mod cursor;
mod field;
mod length;
mod music;
mod read;
mod words;
mod write;

pub use read::{read, read_all};
pub use write::write;
