//! Songs as tokens: chords, a melody, a bass and a piano, bar by bar.
//!
//! ```text
//! prompt   Write|Fill  Key Meter Tempo Style Density Register Opening NoChords     (each may be missing)
//! bar      Bar(to come)  (At Chord)*  then for each part  Part (Position Pitch|Rest)*             one note at a time
//!                                                         Part (Position (Pitch Duration)+)*      several
//! ```
//! What is given stands before `Perform`, a `Hole` where something is missing; after it come the bars that have holes,
//! with what belongs into them. In a part of one note at a time a note lasts until the next one or a rest, over bar
//! lines too. The chord in force is told at the start of every bar.
//!
//! Ids never change their meaning under the format's name, [`FORMAT`].

mod band_grammar;
mod chord_class;
mod codec;
mod grammar;
mod piece;
mod vocab;

pub use band_grammar::{BandConstraints, BandGrammar, PartRules, Tones, Wishes};
pub use chord_class::ChordClass;
pub use codec::{Excerpt, Hidden, Prompt, Reader, encode_bars, encode_filling, encode_prompt};
pub use grammar::{Constraints, LeadGrammar};
pub use piece::{Piece, PieceNote};
pub use vocab::{
    CELLS, CHORD_GRID, DENSITIES, DURATIONS, MAX_CELLS_PER_BAR, METERS, MOST_REMAINING, PITCHES, Part,
    REGISTERS, STYLES, TEMPOS, Token, VOCAB, density_bin, density_value, duration_index, meter_index,
    register_bin, tempo_bin,
};

/// Name of this format in a model's `model.json`.
pub const FORMAT: &str = "song-1";
