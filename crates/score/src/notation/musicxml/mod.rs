//! MusicXML 4.0, out and in: plain (`.musicxml`) and compressed (`.mxl`).
//!
//! Source: the MusicXML 4.0 specification and its schema, W3C Music Notation Community Group.

mod container;
mod direction;
mod document;
mod measure;
mod read;
mod write;
mod xml;

pub use container::{compress, decompress};
pub use read::read;
pub use write::write;
