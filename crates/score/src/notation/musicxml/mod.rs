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

use crate::{Result, Score};

/// Reads a document in UTF-8, UTF-16 or Latin-1.
///
/// # Errors
/// [`Error::MusicXml`](crate::Error) for what is no such document.
pub fn read_bytes(bytes: &[u8]) -> Result<Score> {
    read(&document::decode(bytes)?)
}
