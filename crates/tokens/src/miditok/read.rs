//! MIDI bytes to tracks, as symusic groups them. Ids depend on this order.
//!
//! - Each chunk begins with program 0 on all channels. A track is a (channel, program) of a chunk; the tracks of a chunk
//!   come by channel and program, chunks in the order of the file.
//! - A track begins with its first note-on. A note-off closes the oldest open note of its channel and pitch; notes that
//!   are never closed are lost.
//! - Notes keep the order of their note-ons.
//! - Channel 9 is drums, whatever its program.

use partita_score::midi::{Meta, Sink, hear};
use partita_score::{ControlKind, Tick};

use super::config::TimeSignature;
use super::{Error, Result};

/// A file's music, in its own ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    pub ticks_per_quarter: u32,
    pub parts: Vec<Part>,
    /// Microseconds a quarter, by time.
    pub tempos: Vec<(i64, u32)>,
    pub signatures: Vec<(i64, TimeSignature)>,
    /// Last key signature or marker: bars are counted up to there.
    pub last_mark: i64,
}

/// One track.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub channel: u8,
    pub program: u8,
    pub notes: Vec<Note>,
    /// Last controller or pitch bend.
    pub last_control: i64,
}

/// Times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub time: i64,
    pub duration: i64,
    pub pitch: u8,
    pub velocity: u8,
}

const DRUMS: u8 = 9;

impl Part {
    pub fn is_drum(&self) -> bool {
        self.channel == DRUMS
    }

    /// As tokens say it: -1 for drums.
    pub fn token_program(&self) -> i16 {
        if self.is_drum() { -1 } else { i16::from(self.program) }
    }
}

/// Reads a Standard MIDI File.
///
/// # Errors
/// Damage, and ticks that are parts of a second.
pub(super) fn read(bytes: &[u8]) -> Result<Piece> {
    let mut reader = Reader::new();
    let ppq = hear(bytes, &mut reader, Reader::next_chunk)?;
    reader.next_chunk();
    let mut piece = reader.piece;
    piece.ticks_per_quarter = u32::from(ppq.ok_or(Error::Smpte)?.get());
    piece.tempos.sort_by_key(|(at, _)| *at);
    piece.signatures.sort_by_key(|(at, _)| *at);
    Ok(piece)
}

const NONE: u32 = u32::MAX;
/// Length of a note that still sounds.
const OPEN: i64 = -1;

/// A note waiting for its end.
struct Waiting {
    part: u32,
    note: u32,
    /// Next younger one of the same channel and pitch.
    next: u32,
}

struct Reader {
    piece: Piece,
    /// Parts of this chunk begin here.
    first: usize,
    programs: [u8; 16],
    /// Part of each channel's present program.
    current: [u32; 16],
    /// Last control of a channel before it had a part.
    waiting_control: [i64; 16],
    waiting: Vec<Waiting>,
    /// Oldest and youngest open note by `channel * 128 + pitch`.
    open: Box<[(u32, u32)]>,
    any_open: bool,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            piece: Piece::default(),
            first: 0,
            programs: [0; 16],
            current: [NONE; 16],
            waiting_control: [0; 16],
            waiting: Vec::new(),
            open: vec![(NONE, NONE); 16 * 128].into(),
            any_open: false,
        }
    }

    /// Ends a chunk, so that another may begin.
    fn next_chunk(&mut self) {
        let parts = &mut self.piece.parts[self.first..];
        parts.sort_by_key(|part| (part.channel, part.program));
        if self.any_open {
            self.open.fill((NONE, NONE));
            parts.iter_mut().for_each(|part| part.notes.retain(|note| note.duration != OPEN));
        }
        self.any_open = false;
        self.waiting.clear();
        self.first = self.piece.parts.len();
        self.programs = [0; 16];
        self.current = [NONE; 16];
        self.waiting_control = [0; 16];
    }

    #[cold]
    fn new_part(&mut self, channel: usize) -> u32 {
        let index = self.piece.parts.len() as u32;
        let last_control = std::mem::take(&mut self.waiting_control[channel]);
        let program = self.programs[channel];
        self.piece.parts.push(Part { channel: channel as u8, program, notes: Vec::new(), last_control });
        self.current[channel] = index;
        index
    }
}

impl Sink for Reader {
    fn note_on(&mut self, channel: usize, pitch: u8, velocity: u8, at: Tick) {
        let mut part = self.current[channel];
        if part == NONE {
            part = self.new_part(channel);
        }
        let notes = &mut self.piece.parts[part as usize].notes;
        let (note, new) = (notes.len() as u32, self.waiting.len() as u32);
        notes.push(Note { time: i64::from(at.0), duration: OPEN, pitch, velocity });
        self.waiting.push(Waiting { part, note, next: NONE });
        let (oldest, youngest) = &mut self.open[channel * 128 + usize::from(pitch)];
        if *oldest == NONE {
            *oldest = new;
        } else {
            self.waiting[*youngest as usize].next = new;
        }
        *youngest = new;
        self.any_open = true;
    }

    fn note_off(&mut self, channel: usize, pitch: u8, at: Tick) {
        let (oldest, _) = &mut self.open[channel * 128 + usize::from(pitch)];
        if *oldest == NONE {
            return;
        }
        let Waiting { part, note, next } = self.waiting[*oldest as usize];
        let note = &mut self.piece.parts[part as usize].notes[note as usize];
        note.duration = i64::from(at.0) - note.time;
        *oldest = next;
    }

    fn control(&mut self, channel: usize, at: Tick, kind: ControlKind) {
        match kind {
            ControlKind::ProgramChange { program } => {
                self.programs[channel] = program;
                let mut parts = self.piece.parts[self.first..].iter();
                let found =
                    parts.position(|part| usize::from(part.channel) == channel && part.program == program);
                self.current[channel] = found.map_or(NONE, |index| (self.first + index) as u32);
            }
            ControlKind::ControlChange { .. } | ControlKind::PitchBend { .. } => {
                let part = self.piece.parts.get_mut(self.current[channel] as usize);
                *part.map_or(&mut self.waiting_control[channel], |part| &mut part.last_control) =
                    i64::from(at.0);
            }
            _ => {}
        }
    }

    fn meta(&mut self, kind: u8, data: &[u8], at: Tick) {
        const MARKER: u8 = 6;
        let at = i64::from(at.0);
        match Meta::read(kind, data) {
            Some(Meta::Tempo(tempo)) => self.piece.tempos.push((at, tempo)),
            Some(Meta::Meter(meter)) => {
                let (numerator, denominator) = (u32::from(meter.numerator), u32::from(meter.denominator));
                self.piece.signatures.push((at, TimeSignature { numerator, denominator }));
            }
            Some(Meta::Key { .. }) => self.piece.last_mark = self.piece.last_mark.max(at),
            None if kind == MARKER => self.piece.last_mark = self.piece.last_mark.max(at),
            None => {}
        }
    }
}
