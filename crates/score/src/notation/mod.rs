//! Written music: MusicXML, ABC and JSON notes, out and in.

pub mod layout;
pub mod musicxml;
mod repeats;
