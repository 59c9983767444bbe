//! Token ids to scores. Any sequence of ids gives a score: what makes no sense is left out, as MidiTok does.

mod midi_like;
mod names;
mod remi;
mod shift;
mod structured;

use partita_score::{Meter, MeterMap, Note, Ppq, Score, TempoMap, Tick, Track};

use super::config::{Config, TimeSignature, Tokenization};
use super::read;
use super::tables::{Tables, microseconds};
use super::token::Token;
use super::{Error, Result};

/// A score as MidiTok decodes it: overlapping, doubled and empty notes are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedScore {
    pub ticks_per_quarter: u32,
    /// Ticks and microseconds a quarter; the first is at 0.
    pub tempos: Vec<(u32, u32)>,
    /// By the place of their tokens; ill-formed sequences may go back in time.
    pub time_signatures: Vec<(u32, TimeSignature)>,
    /// In the order of their first notes, or one a sequence.
    pub tracks: Vec<DecodedTrack>,
}

/// A track of a [`DecodedScore`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedTrack {
    pub program: u8,
    pub is_drum: bool,
    pub name: String,
    pub notes: Vec<DecodedNote>,
}

/// Times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedNote {
    pub time: u32,
    pub duration: u32,
    pub pitch: u8,
    /// `1..=127`, and beyond it where the token after an ill-formed note's pitch is no velocity.
    pub velocity: i8,
}

/// Velocity of notes whose tokenizer has no velocities.
const COMMON_VELOCITY: i8 = 100;
const DRUMS: i16 = -1;
const DRUM_CHANNEL: u8 = 9;
/// No time is beyond the ticks of a MIDI file.
const LAST_TICK: i64 = i32::MAX as i64;

/// What a decoder needs to know.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'a> {
    pub config: &'a Config,
    pub tables: &'a Tables,
}

/// Decodes sequences: one of all tracks, or one a track with its program (-1 is drums too) and whether it is drums.
///
/// # Errors
/// [`Error::Shape`] for another number of sequences than the tokenizer or `programs` has, or a time too large.
pub(super) fn decode(
    decoder: Decoder,
    sequences: &[Vec<Token>],
    programs: Option<&[(i16, bool)]>,
) -> Result<DecodedScore> {
    let one = decoder.config.one_stream();
    if one && sequences.len() != 1 {
        let allowed = "1, as all tracks share it".into();
        return Err(Error::Shape { what: "token sequences", allowed, got: sequences.len().to_string() });
    }
    let programs = programs.filter(|_| !one);
    if let Some(programs) = programs {
        if programs.len() != sequences.len() {
            let allowed = format!("{} (one a sequence)", sequences.len());
            return Err(Error::Shape { what: "programs", allowed, got: programs.len().to_string() });
        }
        if let Some((program, _)) = programs.iter().find(|(program, _)| !(DRUMS..=127).contains(program)) {
            let allowed = "in -1..=127 (-1 is drums)".into();
            return Err(Error::Shape { what: "program", allowed, got: program.to_string() });
        }
    }
    let mut out = Out { one, ..Out::default() };
    match decoder.config.tokenization {
        Tokenization::Remi => remi::decode(decoder, sequences, programs, &mut out)?,
        Tokenization::Tsd => shift::decode(decoder, sequences, programs, &mut out)?,
        Tokenization::Structured => structured::decode(decoder, sequences, programs, &mut out)?,
        Tokenization::MidiLike => midi_like::decode(decoder, sequences, programs, &mut out)?,
    }
    Ok(out.finish(decoder))
}

/// The score being built.
#[derive(Default)]
struct Out {
    one: bool,
    tracks: Vec<DecodedTrack>,
    /// Program of each track where all share a sequence.
    programs: Vec<i16>,
    tempos: Vec<(u32, u32)>,
    signatures: Vec<(u32, TimeSignature)>,
}

impl Out {
    /// Begins a sequence; returns the program of its first notes.
    fn begin(
        &mut self,
        decoder: Decoder,
        tokens: &[Token],
        given: Option<(i16, bool)>,
        mut program: i16,
    ) -> i16 {
        if self.one {
            return program;
        }
        let mut is_drum = false;
        if let Some(given) = given {
            (program, is_drum) = given;
        } else if decoder.config.use_programs {
            let said = tokens.iter().find_map(|token| match token {
                Token::Program(program) => Some(*program),
                _ => None,
            });
            match said {
                Some(DRUMS) => (program, is_drum) = (0, true),
                Some(said) => program = said,
                None => {}
            }
        }
        self.tracks.push(new_track(program, is_drum));
        program
    }

    /// Ends a sequence: one without notes leaves no track.
    fn end(&mut self) {
        if !self.one && self.tracks.last().is_some_and(|track| track.notes.is_empty()) {
            self.tracks.pop();
        }
    }

    fn note(&mut self, program: i16, time: i64, duration: i64, pitch: u8, velocity: i8) -> Result<()> {
        let note = DecodedNote { time: tick(time)?, duration: tick(duration)?, pitch, velocity };
        if self.one && !self.programs.contains(&program) {
            self.programs.push(program);
            self.tracks.push(new_track(program, program == DRUMS));
        }
        let own = self.programs.iter().position(|own| *own == program).filter(|_| self.one);
        let track = match own {
            Some(index) => self.tracks.get_mut(index),
            None => self.tracks.last_mut(),
        };
        track.into_iter().for_each(|track| track.notes.push(note));
        Ok(())
    }

    /// A program token where every track has a sequence of its own.
    fn program_change(&mut self, decoder: Decoder, program: i16) {
        if self.one || !decoder.config.program_changes {
            return;
        }
        if let Some(track) = self.tracks.last_mut() {
            track.program = program.max(0) as u8;
            track.is_drum |= program == DRUMS;
        }
    }

    fn tempo(&mut self, time: i64, hundredths: u32) -> Result<()> {
        self.tempos.push((tick(time)?, microseconds(f64::from(hundredths.max(1)) / 100.0)));
        Ok(())
    }

    fn signature(&mut self, time: i64, signature: TimeSignature) -> Result<()> {
        self.signatures.push((tick(time)?, signature));
        Ok(())
    }

    fn finish(mut self, decoder: Decoder) -> DecodedScore {
        if self.tempos.first().is_none_or(|(at, _)| *at != 0) {
            self.tempos.insert(0, (0, microseconds(decoder.tables.tempos.default)));
        }
        if self.signatures.first().is_none_or(|(at, _)| *at != 0) {
            self.signatures.insert(0, (0, TimeSignature::COMMON));
        }
        DecodedScore {
            ticks_per_quarter: decoder.tables.ticks_per_quarter as u32,
            tempos: self.tempos,
            time_signatures: self.signatures,
            tracks: self.tracks,
        }
    }
}

fn new_track(program: i16, is_drum: bool) -> DecodedTrack {
    let name = if program == DRUMS { "Drums" } else { names::NAMES[(program & 127) as usize] };
    DecodedTrack { program: program.max(0) as u8, is_drum, name: name.into(), notes: Vec::new() }
}

fn tick(time: i64) -> Result<u32> {
    let fits = u32::try_from(time).ok().filter(|_| time <= LAST_TICK);
    fits.ok_or_else(|| Error::Shape {
        what: "a decoded time",
        allowed: format!("0..={LAST_TICK} ticks"),
        got: time.to_string(),
    })
}

impl Decoder<'_> {
    /// Velocity and length of the note whose pitch is `tokens[at]`, if the tokens after it say them.
    fn note_after(&self, tokens: &[Token], at: usize, program: i16, beat: i64) -> Option<(i8, i64)> {
        let mut next = at + 1;
        let mut velocity = COMMON_VELOCITY;
        if self.config.use_velocities {
            let Some(Token::Velocity(own)) = tokens.get(next) else { return None };
            velocity = *own as i8;
            next += 1;
        }
        if !self.tables.lasts(program) {
            return Some((velocity, self.common_duration(beat)));
        }
        let Some(Token::Duration(span)) = tokens.get(next) else { return None };
        Some((velocity, span.ticks(beat)))
    }

    fn common_duration(&self, beat: i64) -> i64 {
        (self.config.default_note_duration * beat as f64) as i64
    }

    fn in_range(&self, pitch: u8) -> bool {
        self.config.pitches().contains(&pitch)
    }
}

impl DecodedScore {
    /// The same music as a [`Score`]: notes get ends, velocities stay within `1..=127`, drums go to channel 9 and the
    /// other tracks to the channels around it.
    ///
    /// # Errors
    /// [`Error::Shape`] for ticks a quarter that MIDI can't say.
    pub fn to_score(&self) -> Result<Score> {
        let ppq = u16::try_from(self.ticks_per_quarter).ok().and_then(Ppq::new);
        let ppq = ppq.ok_or_else(|| Error::Shape {
            what: "ticks a quarter",
            allowed: "1..=32767".into(),
            got: self.ticks_per_quarter.to_string(),
        })?;
        let narrow = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let meters = self.time_signatures.iter().map(|(at, signature)| {
            let (numerator, denominator) = (narrow(signature.numerator), narrow(signature.denominator));
            (Tick(*at), Meter { numerator, denominator })
        });
        let tracks = self.tracks.iter().enumerate().map(|(index, track)| {
            let channel = (index % 15) as u8;
            let mut notes: Vec<Note> = track.notes.iter().copied().map(DecodedNote::to_note).collect();
            notes.sort_by_key(|note| note.onset);
            Track {
                name: track.name.clone(),
                channel: if track.is_drum {
                    DRUM_CHANNEL
                } else {
                    channel + u8::from(channel >= DRUM_CHANNEL)
                },
                program: track.program,
                notes,
                controls: Vec::new(),
            }
        });
        Ok(Score {
            ppq,
            tempos: TempoMap::new(self.tempos.iter().map(|&(at, tempo)| (Tick(at), tempo)).collect()),
            meters: MeterMap::new(meters.collect()),
            tracks: tracks.collect(),
            ..Score::default()
        })
    }
}

impl DecodedScore {
    /// As if it had been read from a file.
    pub(super) fn to_piece(&self) -> read::Piece {
        let part = |track: &DecodedTrack| read::Part {
            channel: if track.is_drum { DRUM_CHANNEL } else { 0 },
            program: track.program,
            notes: track.notes.iter().copied().map(DecodedNote::to_read).collect(),
            last_control: 0,
        };
        read::Piece {
            ticks_per_quarter: self.ticks_per_quarter.max(1),
            parts: self.tracks.iter().map(part).collect(),
            tempos: self.tempos.iter().map(|&(at, tempo)| (i64::from(at), tempo)).collect(),
            signatures: self.time_signatures.iter().map(|&(at, it)| (i64::from(at), it)).collect(),
            last_mark: 0,
        }
    }
}

impl DecodedNote {
    fn to_read(self) -> read::Note {
        read::Note {
            time: i64::from(self.time),
            duration: i64::from(self.duration),
            pitch: self.pitch & 127,
            velocity: self.velocity.max(0) as u8,
        }
    }

    fn to_note(self) -> Note {
        Note {
            onset: Tick(self.time),
            end: Tick(self.time + self.duration),
            pitch: self.pitch,
            velocity: self.velocity.max(1) as u8,
        }
    }
}
