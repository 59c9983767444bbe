//! Structured: a time shift, a pitch, a velocity and a duration for every note.
//!
//! ```text
//! TimeShift [Program] Pitch Velocity Duration TimeShift [Program] Pitch Velocity Duration ...
//! ```
//! A shift is the nearest of the vocabulary: long silences get shorter.

use super::{Encoder, Sequence};
use crate::miditok::Result;
use crate::miditok::prepare::Prepared;
use crate::miditok::read::{Note, Part};

pub(super) fn encode(encoder: Encoder, piece: &Prepared, timed: bool) -> Result<Vec<Sequence>> {
    let ticks_per_quarter = piece.ticks_per_quarter;
    if encoder.config.one_stream() {
        let each = piece.parts.iter().flat_map(|part| part.notes.iter().map(move |note| (part, note)));
        let mut notes: Vec<(&Part, &Note)> = each.collect();
        if piece.parts.len() > 1 {
            notes.sort_by_key(|(_, note)| note.time);
        }
        return Ok(vec![write(encoder, ticks_per_quarter, notes.into_iter(), timed)?]);
    }
    if piece.parts.is_empty() {
        return Ok(vec![Sequence::new(timed)]);
    }
    let each = piece.parts.iter();
    each.map(|part| write(encoder, ticks_per_quarter, part.notes.iter().map(|note| (part, note)), timed))
        .collect()
}

fn write<'a>(
    encoder: Encoder,
    ticks_per_quarter: i64,
    notes: impl Iterator<Item = (&'a Part, &'a Note)>,
    timed: bool,
) -> Result<Sequence> {
    let (config, ids) = (encoder.config, encoder.vocab.ids());
    let ruler = &encoder.tables.rulers(ticks_per_quarter).durations;
    let mut out = Sequence::new(timed);
    let mut previous = 0;
    for (part, note) in notes {
        let gap = note.time - previous;
        let shift = if gap == 0 { ids.zero_shift } else { ids.shift(ruler.nearest(gap))? };
        out.push(shift, note.time)?;
        let program = part.token_program();
        if config.use_programs {
            out.push(ids.program(program)?, note.time)?;
        }
        out.push(ids.pitch(part.is_drum() && config.use_pitchdrum_tokens, note.pitch)?, note.time)?;
        if config.use_velocities {
            out.push(ids.velocity(note.velocity)?, note.time)?;
        }
        if encoder.tables.lasts(program) {
            out.push(ids.duration(ruler.nearest(note.duration))?, note.time)?;
        }
        previous = note.time;
    }
    Ok(out)
}
