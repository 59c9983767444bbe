//! The drum format: bars, positions, drums, velocities and microtiming.
//!
//! ```text
//! generate   Task Length Tempo Density | Bar Position Drum Velocity Offset Drum Velocity Offset Position ... Bar ... End
//! humanize   Task Length Tempo Density | Bar Position Drum Drum Position ... | Perform | Bar Position Drum ? ? Drum ? ? ... End
//! infill     Task Length Tempo Density | the kept hits, as in generate       | Perform | the new hits, as in generate      End
//! ```
//!
//! A hit is a drum with a velocity and an offset from its sixteenth; hits in one cell share its position
//! token. In `humanize`, velocities and offsets are asked for at the question marks but never read (the token
//! there is Perform again), so each is what to expect from the score alone. Bars carry their place in a four-bar phrase and whether they are a beat or a fill.

mod codec;
mod grammar;
mod vocab;

pub use codec::{
    Excerpt, Prompt, Task, decode_hits, encode_hits, encode_prompt, encode_score, hide_performance,
    is_performance,
};
pub use grammar::{Constraints, Error, Grammar, is_bar};
pub use vocab::{
    BARS_PER_PHRASE, DENSITIES, MAX_STEPS_PER_BAR, OFFSETS, TEMPOS, Token, VELOCITIES, VOCAB, density_bin,
    offset_bin, offset_value, tempo_bin, velocity_bin, velocity_value,
};
