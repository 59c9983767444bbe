//! The events of one track chunk to tracks of notes, in one pass.
//!
//! Speed matters here: open notes are queues threaded through one small arena, one `u32` per (channel, pitch);
//! no hashing, no event list in between.

use super::{
    chunks::Chunk,
    events::{Done, Fault, Meta, NEVER, Sink, walk},
    texts,
};
use crate::{
    ChordChange, Control, ControlKind, KeyChange, Meter, Note, Text, Tick, Track,
    harmony::{CHORDS_TRACK, parse_symbol},
};

/// What belongs to the whole file, whichever track says it.
#[derive(Default)]
pub(super) struct Shared {
    pub tempos: Vec<(Tick, u32)>,
    pub meters: Vec<(Tick, Meter)>,
    pub keys: Vec<KeyChange>,
    pub chords: Vec<ChordChange>,
    pub texts: Vec<Text>,
}

const NONE: u32 = u32::MAX;
/// `end` of a note that is still open; such a note is dropped at the end of the chunk.
const OPEN: Tick = NEVER;
/// The first track of a chunk gets room for a note per this many bytes (a note is 6 to 8 bytes in most files).
const BYTES_PER_NOTE: usize = 8;
/// ... but no more room than this many notes at once.
const MOST_ROOM: usize = 1 << 14;

/// Longest track name that is kept, bytes: every (channel, program) of a chunk gets its own copy.
const MOST_NAME: usize = 256;
/// Words of a file that are kept: each has a copy of its track's name.
const MOST_TEXTS: usize = 1 << 16;
/// Longer texts are no chord symbol, bytes.
const MOST_SYMBOL: usize = 160;

/// Reads chunks one after another, keeping its tables between them.
pub(super) struct TrackReader {
    tracks: Vec<Track>,
    name: Vec<u8>,
    channels: [Channel; 16],
    /// Per `channel * 128 + pitch`: the youngest open note's node, whose `next` is the oldest.
    open: Box<[u32; 2048]>,
    /// Per `channel * 128 + program`: the track that has it, `NONE` before its first note.
    by_program: Box<[u32; 2048]>,
    nodes: Vec<OpenNote>,
    free: u32,
    open_count: usize,
}

#[derive(Clone, Default)]
struct Channel {
    program: u8,
    /// Index of the track notes go to now, `NONE` until this program's first note.
    track: u32,
    /// Whether anything was said on this channel.
    used: bool,
    /// Controls that wait for the next track to be made.
    waiting: Vec<Control>,
}

/// A chunk being read.
struct Reading<'a> {
    reader: &'a mut TrackReader,
    shared: &'a mut Shared,
    /// Notes the first track gets room for.
    room: usize,
}

impl Sink for Reading<'_> {
    #[inline]
    fn note_on(&mut self, channel: usize, pitch: u8, velocity: u8, at: Tick) {
        self.reader.note_on(channel, pitch, velocity, at, self.room);
    }

    #[inline]
    fn note_off(&mut self, channel: usize, pitch: u8, at: Tick) {
        self.reader.note_off(channel, pitch, at);
    }

    #[inline]
    fn control(&mut self, channel: usize, at: Tick, kind: ControlKind) {
        match kind {
            ControlKind::ProgramChange { program } => self.reader.program(channel, at, program),
            _ => self.reader.control(channel, at, kind),
        }
    }

    fn meta(&mut self, kind: u8, data: &[u8], at: Tick) {
        match kind {
            0x03 => {
                self.reader.name.clear();
                self.reader.name.extend_from_slice(beginning(data));
            }
            0x01 if self.reader.name.eq_ignore_ascii_case(CHORDS_TRACK.as_bytes()) => {
                let symbol = std::str::from_utf8(data).ok().filter(|text| text.len() <= MOST_SYMBOL);
                match symbol.map(parse_symbol) {
                    Some(Ok(chord)) => self.shared.chords.push(ChordChange { at, chord }),
                    _ => self.text(kind, data, at),
                }
            }
            _ => match Meta::read(kind, data) {
                Some(Meta::Tempo(tempo)) => self.shared.tempos.push((at, tempo)),
                Some(Meta::Meter(meter)) => self.shared.meters.push((at, meter)),
                Some(Meta::Key { sharps, minor }) => self.shared.keys.push(KeyChange { at, sharps, minor }),
                None => self.text(kind, data, at),
            },
        }
    }
}

impl Reading<'_> {
    /// Keeps words, the first [`MOST_TEXTS`]; other meta events and empty words are dropped.
    #[cold]
    fn text(&mut self, kind: u8, data: &[u8], at: Tick) {
        let room = self.shared.texts.len() < MOST_TEXTS;
        if let Some(kind) = texts::kind(kind).filter(|_| room && !data.is_empty()) {
            let text = Text { at, kind, text: text(data), track: String::new() };
            self.shared.texts.push(text);
        }
    }
}

struct OpenNote {
    track: u32,
    note: u32,
    next: u32,
}

impl TrackReader {
    pub fn new() -> TrackReader {
        TrackReader {
            tracks: Vec::new(),
            name: Vec::new(),
            channels: Default::default(),
            open: Box::new([NONE; 2048]),
            by_program: Box::new([NONE; 2048]),
            nodes: Vec::new(),
            free: NONE,
            open_count: 0,
        }
    }

    /// Reads one chunk; its tracks wait for [`TrackReader::finish`].
    pub fn read(
        &mut self,
        bytes: &[u8],
        chunk: Chunk,
        start: Tick,
        shared: &mut Shared,
    ) -> Result<Done, Fault> {
        self.reset();
        let room = ((chunk.limit - chunk.start) / BYTES_PER_NOTE).min(MOST_ROOM);
        walk(bytes, chunk, start, &mut Reading { reader: self, shared, room })
    }

    /// Hands over the tracks of the chunk, by channel and program. `words`: those of the chunk, which go with them.
    pub fn finish(&mut self, into: &mut Vec<Track>, words: &mut [Text]) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if !channel.used || channel.track != NONE {
                continue;
            }
            // No note followed the last events here: they end the channel's latest track, or make one of their own.
            let of_channel = |track: &&mut Track| usize::from(track.channel) == index;
            match self.tracks.iter_mut().rev().find(of_channel) {
                Some(track) => {
                    let keep = channel.waiting.drain(..);
                    track
                        .controls
                        .extend(keep.filter(|c| !matches!(c.kind, ControlKind::ProgramChange { .. })));
                }
                None => self.tracks.push(Track {
                    channel: index as u8,
                    program: channel.program,
                    controls: absorb(std::mem::take(&mut channel.waiting), channel.program),
                    ..Track::default()
                }),
            }
        }
        self.tracks.sort_by_key(|track| (track.channel, track.program));
        let name = short(text(&self.name));
        if !self.tracks.is_empty() {
            texts::give(words, &name);
        }
        for track in &mut self.tracks {
            track.name.clone_from(&name);
            if self.open_count > 0 {
                track.notes.retain(|note| note.end != OPEN);
            }
            // Also one that came after a note at the start.
            track.controls = absorb(std::mem::take(&mut track.controls), track.program);
        }
        into.append(&mut self.tracks);
    }

    fn reset(&mut self) {
        self.tracks.clear();
        self.name.clear();
        for channel in &mut self.channels {
            channel.waiting.clear();
            (channel.program, channel.track, channel.used) = (0, NONE, false);
        }
        self.open.fill(NONE);
        self.by_program.fill(NONE);
        self.nodes.clear();
        self.free = NONE;
        self.open_count = 0;
    }

    #[inline]
    fn note_on(&mut self, channel: usize, pitch: u8, velocity: u8, onset: Tick, room: usize) {
        let mut track = self.channels[channel].track;
        if track == NONE {
            track = self.new_track(channel, room);
        }
        let notes = &mut self.tracks[track as usize].notes;
        let node = OpenNote { track, note: notes.len() as u32, next: NONE };
        notes.push(Note { onset, end: OPEN, pitch, velocity });
        let index = if self.free == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = std::mem::replace(&mut self.nodes[index as usize], node).next;
            index
        };
        let youngest = &mut self.open[channel * 128 + usize::from(pitch)];
        let oldest = if *youngest == NONE {
            index
        } else {
            std::mem::replace(&mut self.nodes[*youngest as usize].next, index)
        };
        self.nodes[index as usize].next = oldest;
        *youngest = index;
        self.open_count += 1;
    }

    #[inline]
    fn note_off(&mut self, channel: usize, pitch: u8, end: Tick) {
        let youngest = &mut self.open[channel * 128 + usize::from(pitch)];
        if *youngest == NONE {
            return;
        }
        let oldest = self.nodes[*youngest as usize].next;
        let OpenNote { track, note, next } = self.nodes[oldest as usize];
        self.tracks[track as usize].notes[note as usize].end = end;
        if oldest == *youngest {
            *youngest = NONE;
        } else {
            self.nodes[*youngest as usize].next = next;
        }
        self.nodes[oldest as usize].next = self.free;
        self.free = oldest;
        self.open_count -= 1;
    }

    #[cold]
    fn new_track(&mut self, channel: usize, room: usize) -> u32 {
        let state = &mut self.channels[channel];
        state.used = true;
        state.track = self.tracks.len() as u32;
        self.by_program[channel * 128 + usize::from(state.program)] = state.track;
        let room = if self.tracks.is_empty() { room } else { 0 };
        self.tracks.push(Track {
            name: String::new(),
            channel: channel as u8,
            program: state.program,
            notes: Vec::with_capacity(room),
            controls: absorb(std::mem::take(&mut state.waiting), state.program),
        });
        state.track
    }

    fn control(&mut self, channel: usize, at: Tick, kind: ControlKind) {
        let state = &mut self.channels[channel];
        state.used = true;
        let controls = match self.tracks.get_mut(state.track as usize) {
            Some(track) => &mut track.controls,
            None => &mut state.waiting,
        };
        controls.push(Control { at, kind });
    }

    fn program(&mut self, channel: usize, at: Tick, program: u8) {
        let state = &mut self.channels[channel];
        state.used = true;
        if state.program != program {
            // A program nobody played with leaves no trace.
            state.waiting.retain(|control| !matches!(control.kind, ControlKind::ProgramChange { .. }));
            state.program = program;
            state.track = self.by_program[channel * 128 + usize::from(program)];
            if let Some(track) = self.tracks.get_mut(state.track as usize) {
                track.controls.append(&mut state.waiting);
            }
        }
        self.control(channel, at, ControlKind::ProgramChange { program });
    }
}

/// Takes out a program change at tick 0: `Track::program` says it already, and the writer writes it there.
fn absorb(mut controls: Vec<Control>, program: u8) -> Vec<Control> {
    let said = Control { at: Tick(0), kind: ControlKind::ProgramChange { program } };
    controls.retain(|control| *control != said);
    controls
}

/// The first [`MOST_NAME`] bytes, less a UTF-8 character that the cut would split.
fn beginning(name: &[u8]) -> &[u8] {
    let Some(cut) = name.get(..MOST_NAME) else { return name };
    match std::str::from_utf8(cut) {
        Err(error) if name.len() > MOST_NAME && error.error_len().is_none() => &cut[..error.valid_up_to()],
        _ => cut,
    }
}

/// UTF-8, or else Latin-1 as older programs wrote.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// At most [`MOST_NAME`] bytes, so that it reads back the same: Latin-1 takes up to two bytes a character here.
fn short(mut text: String) -> String {
    while text.len() > MOST_NAME {
        text.pop();
    }
    text
}
