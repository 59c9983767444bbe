//! TSD to scores: time goes on with every shift, in beats of the signature before it.

use super::{Decoder, Out};
use crate::miditok::Result;
use crate::miditok::token::Token;

pub(super) fn decode(
    decoder: Decoder,
    sequences: &[Vec<Token>],
    programs: Option<&[(i16, bool)]>,
    out: &mut Out,
) -> Result<()> {
    for (index, tokens) in sequences.iter().enumerate() {
        let first = index == 0;
        let (mut tick, mut sounds_until) = (0, 0);
        let mut beat = decoder.tables.ticks_per_quarter;
        let mut program = out.begin(decoder, tokens, programs.map(|programs| programs[index]), 0);
        for (at, &token) in tokens.iter().enumerate() {
            match token {
                Token::TimeShift(span) => tick += span.ticks(beat),
                Token::Rest(span) => tick = sounds_until.max(tick) + span.ticks(beat),
                Token::Pitch(pitch) | Token::PitchDrum(pitch) if decoder.in_range(pitch) => {
                    if let Some((velocity, duration)) = decoder.note_after(tokens, at, program, beat) {
                        out.note(program, tick, duration, pitch, velocity)?;
                        sounds_until = sounds_until.max(tick + duration);
                    }
                }
                Token::Program(own) => {
                    program = own;
                    out.program_change(decoder, own);
                }
                Token::Tempo(tempo) if first => out.tempo(tick, tempo)?,
                Token::TimeSig(signature) => {
                    if first {
                        out.signature(tick, signature)?;
                    }
                    beat = decoder.tables.decoded_beat(signature.denominator);
                }
                _ => {}
            }
            if matches!(token, Token::Program(_) | Token::Tempo(_) | Token::TimeSig(_) | Token::Chord(_)) {
                sounds_until = sounds_until.max(tick);
            }
        }
        out.end();
    }
    Ok(())
}
