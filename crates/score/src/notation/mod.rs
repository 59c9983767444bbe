//! Written music: MusicXML, ABC and JSON notes, out and in.

pub mod abc;
mod assemble;
pub mod layout;
pub mod musicxml;
mod repeats;
