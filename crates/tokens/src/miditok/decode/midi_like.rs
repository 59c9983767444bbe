//! MIDI-Like to scores: a note lasts from its on token to the next off token of its pitch and program.
//!
//! Notes without an end are lost. They wait beyond the end of a sequence that had no whole note: an off token in a later
//! sequence of the same program then ends them, as in MidiTok.

use std::collections::{BTreeMap, VecDeque};

use super::{COMMON_VELOCITY, Decoder, Out};
use crate::miditok::Result;
use crate::miditok::config::Config;
use crate::miditok::token::{Chord, Quality, Token};

/// Onset and velocity of open notes, oldest first, by program and pitch.
type Open = BTreeMap<(i16, u8), VecDeque<(i64, i8)>>;

pub(super) fn decode(
    decoder: Decoder,
    sequences: &[Vec<Token>],
    programs: Option<&[(i16, bool)]>,
    out: &mut Out,
) -> Result<()> {
    let config = decoder.config;
    let mut open = Open::new();
    for (index, tokens) in sequences.iter().enumerate() {
        let first = index == 0;
        let mut tick = 0;
        let mut beat = decoder.tables.ticks_per_quarter;
        let mut program = out.begin(decoder, tokens, programs.map(|programs| programs[index]), 0);
        for (at, &token) in tokens.iter().enumerate() {
            match token {
                Token::TimeShift(span) | Token::Rest(span) => tick += span.ticks(beat),
                Token::NoteOn(pitch) | Token::DrumOn(pitch) if decoder.in_range(pitch) => {
                    let velocity = match tokens.get(at + 1) {
                        _ if !config.use_velocities => Some(COMMON_VELOCITY),
                        // The sequence ends inside a note.
                        None => break,
                        Some(&next) => value(next, config),
                    };
                    let Some(velocity) = velocity else { continue };
                    if decoder.tables.lasts(program) {
                        open.entry((program, pitch)).or_default().push_back((tick, velocity));
                    } else {
                        out.note(program, tick, decoder.common_duration(beat), pitch, velocity)?;
                    }
                }
                Token::NoteOff(pitch) | Token::DrumOff(pitch) if decoder.in_range(pitch) => {
                    let begun = open.get_mut(&(program, pitch)).and_then(VecDeque::pop_front);
                    if let Some((onset, velocity)) = begun {
                        out.note(program, onset, (tick - onset).max(0), pitch, velocity)?;
                    }
                }
                Token::Program(own) => {
                    program = own;
                    out.program_change(decoder, own);
                }
                Token::Tempo(tempo) if first => out.tempo(tick, tempo)?,
                Token::TimeSig(signature) => {
                    beat = decoder.tables.decoded_beat(signature.denominator);
                    if first {
                        out.signature(tick, signature)?;
                    }
                }
                _ => {}
            }
        }
        if let Some(track) = out.tracks.last().filter(|track| !out.one && !track.notes.is_empty()) {
            let program = i16::from(track.program);
            open.retain(|(own, _), _| *own != program);
        }
        out.end();
    }
    Ok(())
}

/// The number a token holds: MidiTok takes whatever follows a pitch for its velocity if it reads as a whole number.
fn value(token: Token, config: &Config) -> Option<i8> {
    let number = match token {
        Token::NoteOn(value)
        | Token::NoteOff(value)
        | Token::DrumOn(value)
        | Token::DrumOff(value)
        | Token::Velocity(value) => i64::from(value),
        Token::Program(program) => i64::from(program),
        Token::Chord(Chord { root: None, quality: Quality::Unknown(notes) }) => i64::from(notes),
        Token::Special(_) => token.name(config).rsplit_once('_')?.1.parse().ok()?,
        _ => return None,
    };
    i8::try_from(number).ok()
}
