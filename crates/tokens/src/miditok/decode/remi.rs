//! REMI to scores: a bar token ends the bar before, a position counts from the bar's start.

use super::{Decoder, Out};
use crate::miditok::Result;
use crate::miditok::config::TimeSignature;
use crate::miditok::token::Token;

struct Clock {
    signature: TimeSignature,
    beat: i64,
    bar_ticks: i64,
    position: i64,
    tick: i64,
    /// Index and tick of the bar, and of the one with the last change of signature.
    bar: i64,
    bar_at: i64,
    changed_bar: i64,
    changed_at: i64,
    sounds_until: i64,
}

pub(super) fn decode(
    decoder: Decoder,
    sequences: &[Vec<Token>],
    programs: Option<&[(i16, bool)]>,
    out: &mut Out,
) -> Result<()> {
    for (index, tokens) in sequences.iter().enumerate() {
        let first = index == 0;
        if first {
            out.signature(0, first_signature(decoder, tokens))?;
        }
        // Later sequences begin with the last signature of the first one.
        let signature = out.signatures.last().map_or(TimeSignature::COMMON, |(_, signature)| *signature);
        let mut clock = Clock {
            signature,
            beat: 1,
            bar_ticks: 1,
            position: 1,
            tick: 0,
            bar: -1,
            bar_at: 0,
            changed_bar: 0,
            changed_at: 0,
            sounds_until: 0,
        };
        clock.set_signature(decoder, signature);
        let mut program = out.begin(decoder, tokens, programs.map(|programs| programs[index]), 0);
        for (at, &token) in tokens.iter().enumerate() {
            match token {
                Token::Bar => clock.next_bar(),
                Token::Rest(span) => clock.rest(span.ticks(clock.beat)),
                Token::Position(position) => {
                    clock.bar = clock.bar.max(0);
                    clock.tick = clock.bar_at + i64::from(position) * clock.position;
                }
                Token::Pitch(pitch) | Token::PitchDrum(pitch) if decoder.in_range(pitch) => {
                    if let Some((velocity, duration)) = decoder.note_after(tokens, at, program, clock.beat) {
                        out.note(program, clock.tick, duration, pitch, velocity)?;
                        clock.sounds_until = clock.sounds_until.max(clock.tick + duration);
                    }
                }
                Token::Program(own) => {
                    program = own;
                    out.program_change(decoder, own);
                }
                Token::Tempo(tempo) => {
                    if first {
                        out.tempo(clock.tick, tempo)?;
                    }
                    clock.sounds_until = clock.sounds_until.max(clock.tick);
                }
                Token::TimeSig(signature) if signature != clock.signature => {
                    if first {
                        out.signature(clock.tick, signature)?;
                    }
                    clock.changed_at = clock.bar_at;
                    clock.changed_bar = clock.bar;
                    clock.set_signature(decoder, signature);
                }
                _ => {}
            }
        }
        out.end();
    }
    Ok(())
}

/// The signature that the first sequence says before its first note, which holds from the start.
fn first_signature(decoder: Decoder, tokens: &[Token]) -> TimeSignature {
    let said = tokens.iter().find_map(|token| match token {
        Token::TimeSig(signature) => Some(Some(*signature)),
        Token::Pitch(_) | Token::PitchDrum(_) | Token::Velocity(_) | Token::Duration(_) => Some(None),
        _ => None,
    });
    said.flatten().filter(|_| decoder.config.use_time_signatures).unwrap_or(TimeSignature::COMMON)
}

impl Clock {
    fn set_signature(&mut self, decoder: Decoder, signature: TimeSignature) {
        self.signature = signature;
        self.beat = decoder.tables.decoded_beat(signature.denominator);
        self.bar_ticks = self.beat * i64::from(signature.numerator);
        self.position = self.beat / decoder.tables.positions_per_beat;
    }

    fn next_bar(&mut self) {
        self.bar += 1;
        if self.bar > 0 {
            self.tick = self.bar_at + self.bar_ticks;
        }
        self.bar_at = self.tick;
    }

    /// Silence from the end of the last note on; it may step over bar lines.
    fn rest(&mut self, ticks: i64) {
        self.tick = self.sounds_until.max(self.tick) + ticks;
        let real = self.changed_bar + (self.tick - self.changed_at).div_euclid(self.bar_ticks.max(1));
        if real > self.bar {
            self.bar = self.bar.max(0);
            self.bar_at += (real - self.bar) * self.bar_ticks;
            self.bar = real;
        }
    }
}
