//! The events of one track chunk, in one pass.
//!
//! Speed matters here: open notes are queues threaded through one small arena, one `u32` per (channel, pitch);
//! no hashing, no event list in between.

use super::chunks::Chunk;
use crate::{Control, ControlKind, KeyChange, Meter, Note, Tick, Track};

/// What belongs to the whole file, whichever track says it.
#[derive(Default)]
pub(super) struct Shared {
    pub tempos: Vec<(Tick, u32)>,
    pub meters: Vec<(Tick, Meter)>,
    pub keys: Vec<KeyChange>,
}

/// Where a track's events ended.
pub(super) struct Done {
    /// Byte after the last event.
    pub at: usize,
    pub end: Tick,
}

/// Byte position and what is wrong there.
type Fault = (usize, &'static str);

const NONE: u32 = u32::MAX;
/// `end` of a note that is still open; such a note is dropped at the end of the chunk.
const OPEN: Tick = Tick(u32::MAX);
/// The first track of a chunk gets room for a note per this many bytes (a note is 6 to 8 bytes in most files).
const BYTES_PER_NOTE: usize = 8;
/// ... but no more room than this many notes at once.
const MOST_ROOM: usize = 1 << 14;

/// Longest track name that is kept, bytes: every (channel, program) of a chunk gets its own copy.
const MOST_NAME: usize = 256;

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
        let bytes = &bytes[..chunk.limit];
        let mut at = chunk.start;
        let mut now = start.0;
        let mut running = 0u8;
        loop {
            if at >= bytes.len() {
                return Ok(Done { at, end: Tick(now) });
            }
            let event = at;
            let delta = variable(bytes, &mut at)?;
            now = now
                .checked_add(delta)
                .filter(|&now| now < OPEN.0)
                .ok_or((event, "time runs past the last tick, 4294967294"))?;
            let first = *bytes.get(at).ok_or((event, "the track ends inside an event"))?;
            let status = if first < 0x80 {
                if running == 0 {
                    return Err((at, "a data byte comes before any status byte"));
                }
                running
            } else {
                at += 1;
                first
            };
            if status >= 0xf0 {
                match status {
                    0xff => {
                        let kind = *bytes.get(at).ok_or((event, "the track ends inside an event"))?;
                        at += 1;
                        let data = payload(bytes, &mut at, event)?;
                        if kind == 0x2f {
                            return Ok(Done { at, end: Tick(now) });
                        }
                        self.meta(kind, data, Tick(now), shared);
                    }
                    0xf0 | 0xf7 => {
                        payload(bytes, &mut at, event)?;
                    }
                    // System common and real-time messages have no place in a file, yet some have them.
                    0xf1 | 0xf3 => at += 1,
                    0xf2 => at += 2,
                    _ => {}
                }
                continue;
            }
            running = status;
            let channel = usize::from(status & 15);
            let two = !matches!(status >> 4, 0xc | 0xd);
            let second = if two { bytes.get(at + 1) } else { Some(&0) };
            let (Some(&a), Some(&b)) = (bytes.get(at), second) else {
                return Err((event, "the track ends inside an event"));
            };
            if (a | b) & 0x80 != 0 {
                return Err((at, "a data byte must be in 0..=127"));
            }
            at += 1 + usize::from(two);
            let tick = Tick(now);
            match status >> 4 {
                0x9 if b > 0 => self.note_on(channel, a, b, tick, room),
                0x8 | 0x9 => self.note_off(channel, a, tick),
                0xa => self.control(channel, tick, ControlKind::PolyPressure { pitch: a, value: b }),
                0xb => self.control(channel, tick, ControlKind::ControlChange { number: a, value: b }),
                0xc => self.program(channel, tick, a),
                0xd => self.control(channel, tick, ControlKind::ChannelPressure { value: a }),
                _ => {
                    let value = (i16::from(b) << 7 | i16::from(a)) - 8192;
                    self.control(channel, tick, ControlKind::PitchBend { value });
                }
            }
        }
    }

    /// Hands over the tracks of the chunk, by channel and program.
    pub fn finish(&mut self, into: &mut Vec<Track>) {
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
        let name = text(&self.name);
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

    fn meta(&mut self, kind: u8, data: &[u8], at: Tick, shared: &mut Shared) {
        match (kind, data) {
            (0x03, name) => {
                self.name.clear();
                self.name.extend_from_slice(beginning(name));
            }
            (0x51, &[a, b, c, ..]) if a | b | c != 0 => {
                shared.tempos.push((at, u32::from_be_bytes([0, a, b, c])));
            }
            (0x58, &[numerator @ 1..=255, power @ 0..=7, ..]) => {
                shared.meters.push((at, Meter { numerator, denominator: 1 << power }));
            }
            (0x59, &[sharps, mode, ..]) if (-7..=7).contains(&sharps.cast_signed()) => {
                shared.keys.push(KeyChange { at, sharps: sharps.cast_signed(), minor: mode == 1 });
            }
            // Meters nobody can count, texts, ports and what else there is.
            _ => {}
        }
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

/// UTF-8, or else Latin-1 as older programs wrote; at most [`MOST_NAME`] bytes, so that it reads back the same.
fn text(bytes: &[u8]) -> String {
    let mut text: String = match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    // Latin-1 takes up to two bytes a character here.
    while text.len() > MOST_NAME {
        text.pop();
    }
    text
}

/// A variable-length quantity: up to four bytes, seven bits each.
#[inline]
fn variable(bytes: &[u8], at: &mut usize) -> Result<u32, Fault> {
    let start = *at;
    let mut value = 0u32;
    for _ in 0..4 {
        let byte = *bytes.get(*at).ok_or((start, "the track ends inside an event"))?;
        *at += 1;
        value = value << 7 | u32::from(byte & 0x7f);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err((start, "a variable-length number must have at most 4 bytes"))
}

/// The bytes of a meta or system exclusive event.
fn payload<'a>(bytes: &'a [u8], at: &mut usize, event: usize) -> Result<&'a [u8], Fault> {
    let length = variable(bytes, at)? as usize;
    let data = at.checked_add(length).and_then(|end| bytes.get(*at..end));
    let data = data.ok_or((event, "an event's length runs past the end of the track"))?;
    *at += length;
    Ok(data)
}
