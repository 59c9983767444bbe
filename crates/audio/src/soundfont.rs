//! SoundFont 2 files, played by `rustysynth`.
//!
//! `rustysynth` trusts sizes and indices in the file. Everything that decides how much is allocated or where
//! a table is read is checked here first, after the SoundFont 2.04 specification, sections 4 to 7.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use partita_score::{ControlKind, Tick};
use rustysynth::{Synthesizer, SynthesizerSettings};

use crate::Error;
use crate::render::Clock;
use crate::stop::Stop;

/// Largest file that is read, bytes: the largest General MIDI banks in use are about half of it.
pub const MAX_BYTES: usize = 1 << 30;

/// Frames rendered between two looks at the event list: onsets are exact to 0.7 ms at 44.1 kHz.
const BLOCK: usize = 32;

/// A checked SoundFont, cheap to clone.
#[derive(Clone)]
pub struct SoundFont(Arc<rustysynth::SoundFont>);

impl fmt::Debug for SoundFont {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SoundFont({:?})", self.name())
    }
}

impl SoundFont {
    /// Reads an `.sf2` file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::SoundFont`] if it is too large or broken.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { action: "read", name: path.display().to_string(), source };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        check_size(usize::try_from(size).unwrap_or(usize::MAX))?;
        Self::from_bytes(&std::fs::read(path).map_err(failed)?)
    }

    /// Reads the bytes of an `.sf2` file.
    ///
    /// # Errors
    /// [`Error::SoundFont`] naming what is broken. Compressed SoundFonts (`.sf3`) are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        check_size(bytes.len())?;
        check_structure(bytes)?;
        // The checks above cover what is known to go wrong; a panic on what they miss must not take
        // the caller down with it. Nothing is shared, so nothing is left half changed.
        let loaded = catch_unwind(AssertUnwindSafe(|| rustysynth::SoundFont::new(&mut &bytes[..])));
        match loaded {
            Ok(Ok(font)) => {
                let rates = font.get_sample_headers().iter().map(rustysynth::SampleHeader::get_sample_rate);
                if let Some(rate) = rates.into_iter().find(|rate| !(1..=400_000).contains(rate)) {
                    return Err(wrong("sample rate", "in 1..=400000 Hz", rate));
                }
                Ok(Self(Arc::new(font)))
            }
            Ok(Err(error)) => Err(wrong("file", "a valid SoundFont 2", error)),
            Err(_) => Err(wrong("file", "a valid SoundFont 2", "tables that contradict each other")),
        }
    }

    /// Name of the bank, as its maker wrote it.
    pub fn name(&self) -> &str {
        self.0.get_info().get_bank_name()
    }

    /// `(bank, program, name)` of every preset, in the order of the file. Bank 128 holds drum kits.
    pub fn presets(&self) -> impl Iterator<Item = (i32, i32, &str)> {
        self.0.get_presets().iter().map(|p| (p.get_bank_number(), p.get_patch_number(), p.get_name()))
    }
}

fn wrong(what: &'static str, allowed: &'static str, got: impl fmt::Display) -> Error {
    Error::SoundFont { what, allowed, got: got.to_string() }
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_BYTES {
        return Err(wrong("file", "at most 1073741824 bytes", format!("{bytes} bytes")));
    }
    Ok(())
}

/// Splits the first chunk off `bytes`: `[id, body, rest]`.
fn split_chunk(bytes: &[u8]) -> Result<[&[u8]; 3], Error> {
    if bytes.len() < 8 {
        return Err(wrong("chunk", "at least 8 bytes", bytes.len()));
    }
    let size = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    let body = &bytes[8..];
    if size > body.len() {
        let id = bytes[..4].escape_ascii();
        return Err(wrong(
            "chunk size",
            "inside the file",
            format!("{id} of {size} bytes with {} left", body.len()),
        ));
    }
    Ok([&bytes[..4], &body[..size], &body[size..]])
}

/// Walks all chunks and checks sizes, and that the tables of zones go upwards.
fn check_structure(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"sfbk" {
        let start = bytes[..bytes.len().min(12)].escape_ascii().to_string();
        return Err(wrong("header", "RIFF....sfbk", format!("\"{start}\"")));
    }
    let mut rest = &bytes[12..];
    for kind in [b"INFO", b"sdta", b"pdta"] {
        let [id, body, after] = split_chunk(rest)?;
        if id != b"LIST" || body.get(..4) != Some(kind.as_slice()) {
            let got = id.escape_ascii().to_string();
            return Err(wrong("lists", "INFO, sdta and pdta in this order", got));
        }
        rest = after;
        let mut inner = &body[4..];
        let mut tables: [&[u8]; 6] = [&[]; 6];
        while !inner.is_empty() {
            let [id, chunk, after] = split_chunk(inner)?;
            inner = after;
            if let Some(table) = TABLES.iter().position(|(name, _)| name.as_slice() == id) {
                let (_, size) = TABLES[table];
                // Zones and generators are counted with 16 bits.
                if chunk.is_empty() || chunk.len() % size != 0 || chunk.len() / size > 65_537 {
                    let id = id.escape_ascii();
                    let got = format!("{id} of {} bytes with records of {size}", chunk.len());
                    return Err(wrong("table", "1..=65537 whole records", got));
                }
                tables[table] = chunk;
            }
        }
        if kind == b"pdta" {
            let [presets, preset_zones, preset_generators, instruments, zones, generators] = tables;
            check_rising("preset zones", (presets, 38, 24), preset_zones.len() / 4)?;
            check_rising("preset generators", (preset_zones, 4, 0), preset_generators.len() / 4)?;
            check_rising("instrument zones", (instruments, 22, 20), zones.len() / 4)?;
            check_rising("instrument generators", (zones, 4, 0), generators.len() / 4)?;
        }
    }
    Ok(())
}

/// Tables that hold indices into the next one, with the size of their records.
const TABLES: [(&[u8; 4], usize); 6] =
    [(b"phdr", 38), (b"pbag", 4), (b"pgen", 4), (b"inst", 22), (b"ibag", 4), (b"igen", 4)];

/// Checks that the 16-bit index at `offset` in each record never falls and stays below `limit`.
///
/// Falling indices would let a small file name the same zones over and over, and fill the memory.
fn check_rising(
    what: &'static str,
    (table, size, offset): (&[u8], usize, usize),
    limit: usize,
) -> Result<(), Error> {
    let mut last = 0;
    for record in table.chunks_exact(size) {
        let index = usize::from(u16::from_le_bytes([record[offset], record[offset + 1]]));
        if index < last || index >= limit {
            return Err(wrong(
                what,
                "rising indices inside their table",
                format!("{index} after {last} of {limit}"),
            ));
        }
        last = index;
    }
    Ok(())
}

/// What happens at one frame, in the order it happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Off { channel: i32, pitch: i32 },
    Message { channel: i32, command: i32, data: [i32; 2] },
    On { channel: i32, program: i32, pitch: i32, velocity: i32 },
}

impl Event {
    /// At one moment notes end before controls change before notes start.
    fn rank(self) -> u8 {
        match self {
            Self::Off { .. } => 0,
            Self::Message { .. } => 1,
            Self::On { .. } => 2,
        }
    }
}

fn events(clock: &Clock) -> Vec<(usize, Event)> {
    let mut events: Vec<(usize, Event)> = Vec::new();
    for track in &clock.score.tracks {
        let channel = i32::from(track.channel & 15);
        for note in &track.notes {
            let (pitch, velocity) = (i32::from(note.pitch & 127), i32::from(note.velocity.clamp(1, 127)));
            let program = i32::from(track.program & 127);
            events.push((clock.frame(note.onset), Event::On { channel, program, pitch, velocity }));
            // A note of no length would be ended before it starts.
            let end = note.end.max(Tick(note.onset.0.saturating_add(1)));
            events.push((clock.frame(end).max(clock.frame(note.onset) + 1), Event::Off { channel, pitch }));
        }
        for control in &track.controls {
            let (command, data) = match control.kind {
                ControlKind::ControlChange { number, value } => {
                    (0xb0, [number & 127, value & 127].map(i32::from))
                }
                ControlKind::PitchBend { value } => {
                    let value = (i32::from(value) + 8192).clamp(0, 16_383);
                    (0xe0, [value & 127, value >> 7])
                }
                // The track's own program is sent with its notes; the synthesizer knows no pressure.
                ControlKind::ProgramChange { .. }
                | ControlKind::ChannelPressure { .. }
                | ControlKind::PolyPressure { .. } => continue,
            };
            events.push((clock.frame(control.at), Event::Message { channel, command, data }));
        }
    }
    // Stable: controls of one moment keep their order.
    events.sort_by_key(|(frame, event)| (*frame, event.rank()));
    events
}

/// Plays the score: `[left, right]` of `frames` samples.
pub(crate) fn play(
    font: &SoundFont,
    clock: &Clock,
    frames: usize,
    rate: u32,
    stop: Stop<'_>,
) -> Result<[Vec<f32>; 2], Error> {
    let events = events(clock);
    // Sample positions come from the file and the pitch; the loader's checks leave corners open.
    catch_unwind(AssertUnwindSafe(|| play_events(font, &events, frames, rate, stop)))
        .unwrap_or_else(|_| Err(wrong("samples", "inside the sample data", "a position outside of it")))
}

fn play_events(
    font: &SoundFont,
    events: &[(usize, Event)],
    frames: usize,
    rate: u32,
    stop: Stop<'_>,
) -> Result<[Vec<f32>; 2], Error> {
    let mut settings = SynthesizerSettings::new(rate as i32);
    settings.block_size = BLOCK;
    settings.maximum_polyphony = 128;
    let mut synthesizer = Synthesizer::new(&font.0, &settings).map_err(|_| Error::SampleRate {
        min: 16_000,
        max: 192_000,
        got: rate,
    })?;
    let mut programs = [-1; 16];
    let (mut left, mut right) = (vec![0.0; frames], vec![0.0; frames]);
    let mut next = events.iter().peekable();
    for start in (0..frames).step_by(BLOCK) {
        // A block of many voices takes as long as many samples elsewhere.
        if start.is_multiple_of(64 * BLOCK) {
            stop.check()?;
        }
        let end = (start + BLOCK).min(frames);
        while let Some((_, event)) = next.next_if(|(frame, _)| *frame < end) {
            match *event {
                Event::Off { channel, pitch } => synthesizer.note_off(channel, pitch),
                Event::Message { channel, command, data } => {
                    synthesizer.process_midi_message(channel, command, data[0], data[1]);
                }
                Event::On { channel, program, pitch, velocity } => {
                    if programs[channel as usize] != program {
                        programs[channel as usize] = program;
                        synthesizer.process_midi_message(channel, 0xc0, program, 0);
                    }
                    synthesizer.note_on(channel, pitch, velocity);
                }
            }
        }
        synthesizer.render(&mut left[start..end], &mut right[start..end]);
    }
    // A filter driven wild by odd parameters can leave numbers that are none.
    for sample in left.iter_mut().chain(&mut right) {
        if !sample.is_finite() {
            *sample = 0.0;
        }
    }
    Ok([left, right])
}
