//! Structured to scores: a shift before every note.

use super::{Decoder, Out};
use crate::miditok::Result;
use crate::miditok::bins::Span;
use crate::miditok::token::Token;

pub(super) fn decode(
    decoder: Decoder,
    sequences: &[Vec<Token>],
    programs: Option<&[(i16, bool)]>,
    out: &mut Out,
) -> Result<()> {
    let beat = decoder.tables.ticks_per_quarter;
    let mut program = 0;
    for (index, tokens) in sequences.iter().enumerate() {
        let mut tick = 0;
        program = out.begin(decoder, tokens, programs.map(|programs| programs[index]), program);
        for (at, &token) in tokens.iter().enumerate() {
            match token {
                Token::TimeShift(span) if span != Span::ZERO => tick += span.ticks(beat),
                // Unlike the others, without a look at the range of pitches.
                Token::Pitch(pitch) | Token::PitchDrum(pitch) => {
                    if let Some((velocity, duration)) = decoder.note_after(tokens, at, program, beat) {
                        out.note(program, tick, duration, pitch, velocity)?;
                    }
                }
                Token::Program(own) => program = own,
                _ => {}
            }
        }
        out.end();
    }
    Ok(())
}
