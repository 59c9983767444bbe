//! The events of a track chunk, one after another, told to whoever wants them.
//!
//! Generic over the listener, so that each reader gets its own loop: no event list in between.

use super::chunks::{self, Chunk, Division, Header, next_track};
use crate::{ControlKind, Error, Meter, Ppq, Result, Tick};

/// Hears the events of a track in the order of the file.
pub trait Sink {
    /// `velocity` is `1..=127`: a note-on of velocity 0 is a note-off. `channel` is `0..16`.
    fn note_on(&mut self, channel: usize, pitch: u8, velocity: u8, at: Tick);
    fn note_off(&mut self, channel: usize, pitch: u8, at: Tick);
    /// Program changes too.
    fn control(&mut self, channel: usize, at: Tick, kind: ControlKind);
    /// [`Meta::read`] says what the kinds about time and key mean; the name of a track is kind 3.
    fn meta(&mut self, kind: u8, data: &[u8], at: Tick);
}

/// Tells `sink` every event of a file, one track chunk after another; `begin` is called before each chunk.
///
/// For readers with rules of their own about what a track is: [`super::read`] groups events as most programs do. The
/// ticks of every chunk count from 0. Returns the ticks a quarter, `None` where ticks are parts of a second (SMPTE).
///
/// # Errors
/// As [`super::read`]; what came before the damage has been told.
pub fn hear<S: Sink>(bytes: &[u8], sink: &mut S, mut begin: impl FnMut(&mut S)) -> Result<Option<Ppq>> {
    let header = chunks::header(bytes)?;
    each_track(bytes, header, |_, chunk| {
        begin(sink);
        walk(bytes, chunk, Tick(0), sink)
    })?;
    Ok(match header.division {
        Division::Ppq(ppq) => Some(ppq),
        Division::Smpte { .. } => None,
    })
}

/// Where a track's events ended.
pub(crate) struct Done {
    /// Byte after the last event.
    pub at: usize,
    pub end: Tick,
}

/// Byte position and what is wrong there.
pub(crate) type Fault = (usize, &'static str);

/// A tick no event has.
pub(crate) const NEVER: Tick = Tick(u32::MAX);

/// A meta event that says something about time or key.
pub enum Meta {
    /// Microseconds per quarter note, never 0.
    Tempo(u32),
    Meter(Meter),
    /// `sharps` in `-7..=7`.
    Key {
        sharps: i8,
        minor: bool,
    },
}

impl Meta {
    /// `None` for other kinds (texts, ports) and for values nobody can count by.
    pub fn read(kind: u8, data: &[u8]) -> Option<Meta> {
        match (kind, data) {
            (0x51, &[a, b, c, ..]) if a | b | c != 0 => Some(Meta::Tempo(u32::from_be_bytes([0, a, b, c]))),
            (0x58, &[numerator @ 1..=255, power @ 0..=7, ..]) => {
                Some(Meta::Meter(Meter { numerator, denominator: 1 << power }))
            }
            (0x59, &[sharps, mode, ..]) if (-7..=7).contains(&sharps.cast_signed()) => {
                Some(Meta::Key { sharps: sharps.cast_signed(), minor: mode == 1 })
            }
            _ => None,
        }
    }
}

/// Calls `read` for every track chunk of a file with its number, counted from 0.
///
/// # Errors
/// [`Error::MidiTrack`] for what `read` finds, [`Error::NotMidi`] without any track.
pub(crate) fn each_track(
    bytes: &[u8],
    header: Header,
    mut read: impl FnMut(usize, Chunk) -> Result<Done, Fault>,
) -> Result<()> {
    let (mut at, mut index) = (header.end, 0);
    while let Some(chunk) = next_track(bytes, at) {
        let done = read(index, chunk);
        let done = done.map_err(|(at, message)| Error::MidiTrack { track: index + 1, at, message })?;
        at = chunk.next.unwrap_or(done.at);
        index += 1;
    }
    if index == 0 {
        return Err(Error::NotMidi("no track chunk (MTrk) after the header"));
    }
    Ok(())
}

/// Tells `sink` the events of one chunk; their ticks count from `start`.
///
/// # Errors
/// The first damage, as a [`Fault`]; what came before it has been told.
pub(crate) fn walk(bytes: &[u8], chunk: Chunk, start: Tick, sink: &mut impl Sink) -> Result<Done, Fault> {
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
            .filter(|&now| now < NEVER.0)
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
                    sink.meta(kind, data, Tick(now));
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
            0x9 if b > 0 => sink.note_on(channel, a, b, tick),
            0x8 | 0x9 => sink.note_off(channel, a, tick),
            0xa => sink.control(channel, tick, ControlKind::PolyPressure { pitch: a, value: b }),
            0xb => sink.control(channel, tick, ControlKind::ControlChange { number: a, value: b }),
            0xc => sink.control(channel, tick, ControlKind::ProgramChange { program: a }),
            0xd => sink.control(channel, tick, ControlKind::ChannelPressure { value: a }),
            _ => {
                let value = (i16::from(b) << 7 | i16::from(a)) - 8192;
                sink.control(channel, tick, ControlKind::PitchBend { value });
            }
        }
    }
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
