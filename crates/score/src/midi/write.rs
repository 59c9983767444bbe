//! [`Score`] to bytes. Plain and widely readable: no running status, explicit note-offs, UTF-8 names.
//!
//! Rule to keep: at one tick, ends come before controls and controls before onsets, so that repeated notes stay apart
//! and a program change is heard by the notes it is for.

use super::texts::{self, Places};
use crate::{
    ControlKind, Score, Text, Tick, Track,
    harmony::{CHORDS_TRACK, symbol},
};

/// Format 1: a conductor track with tempo, metre and key, then one chunk per track. All end with the last bar.
///
/// Chord symbols are texts of the first track named `chords`, or of a chunk of that name without notes.
/// Out-of-range values are clamped. A program change is written at tick 0 of each track unless its own controls
/// select the program before the first note.
pub fn write(score: &Score) -> Vec<u8> {
    let is_chords = |track: &Track| track.name.eq_ignore_ascii_case(CHORDS_TRACK);
    let place = score.tracks.iter().position(is_chords);
    let own = place.is_none() && !score.chords.is_empty();
    let mut bytes = header(1, score.tracks.len() + 1 + usize::from(own), score);
    let length = score.length();
    // Words go to the first track of their name.
    let places = Places::of(&score.tracks);
    let mut words: Vec<(Option<usize>, &Text)> =
        score.texts.iter().map(|text| (places.get(text), text)).collect();
    words.sort_by_key(|(place, _)| *place);
    let mut words = words.as_slice();
    let mut texts_of = |place: Option<usize>| {
        let (own, later) = words.split_at(words.partition_point(|(at, _)| *at <= place));
        words = later;
        own.iter().map(|(_, text)| *text)
    };
    let mut events = conductor(score);
    events.texts(texts_of(None));
    chunk(&mut bytes, events, length);
    for (index, track) in score.tracks.iter().enumerate() {
        let mut events = Events::default();
        events.meta(Tick(0), 0x03, track.name.as_bytes());
        events.texts(texts_of(Some(index)));
        if place == Some(index) {
            events.chords(score);
        }
        events.track(track);
        chunk(&mut bytes, events, length);
    }
    if own {
        let mut events = Events::default();
        events.meta(Tick(0), 0x03, CHORDS_TRACK.as_bytes());
        events.chords(score);
        chunk(&mut bytes, events, length);
    }
    bytes
}

/// Format 0: everything in one chunk. Track names and chord symbols are lost; tracks of one channel can't be told apart again unless
/// their programs differ in time.
pub fn write_format0(score: &Score) -> Vec<u8> {
    let mut bytes = header(0, 1, score);
    let mut events = conductor(score);
    events.texts(score.texts.iter());
    for track in &score.tracks {
        events.track(track);
    }
    chunk(&mut bytes, events, score.length());
    bytes
}

/// What comes first at one tick.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Meta,
    Off,
    Control,
    On,
}

/// Events of a chunk in any order; data of event `i` is `data[spans[i]]`.
#[derive(Default)]
struct Events {
    order: Vec<(Tick, Rank, u32, u32)>,
    data: Vec<u8>,
}

impl Events {
    fn push(&mut self, at: Tick, rank: Rank, data: &[u8]) {
        let start = self.data.len() as u32;
        self.data.extend_from_slice(data);
        self.order.push((at, rank, start, self.data.len() as u32));
    }

    fn meta(&mut self, at: Tick, kind: u8, data: &[u8]) {
        let mut event = vec![0xff, kind];
        variable(&mut event, data.len() as u32);
        event.extend_from_slice(data);
        self.push(at, Rank::Meta, &event);
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a Text>) {
        for text in texts {
            self.meta(text.at, texts::number(text.kind), text.text.as_bytes());
        }
    }

    fn chords(&mut self, score: &Score) {
        for change in &score.chords {
            self.meta(change.at, 0x01, symbol(change.chord.as_ref()).as_bytes());
        }
    }

    fn track(&mut self, track: &Track) {
        let channel = track.channel & 15;
        let low = |value: u8| value.min(127);
        if program_before_first_note(track) != Some(track.program) {
            self.push(Tick(0), Rank::Control, &[0xc0 | channel, low(track.program)]);
        }
        for control in &track.controls {
            let at = control.at;
            match control.kind {
                ControlKind::ControlChange { number, value } => {
                    self.push(at, Rank::Control, &[0xb0 | channel, low(number), low(value)]);
                }
                ControlKind::ProgramChange { program } => {
                    self.push(at, Rank::Control, &[0xc0 | channel, low(program)]);
                }
                ControlKind::PitchBend { value } => {
                    let value = (i32::from(value) + 8192).clamp(0, 16383);
                    self.push(at, Rank::Control, &[0xe0 | channel, (value & 127) as u8, (value >> 7) as u8]);
                }
                ControlKind::ChannelPressure { value } => {
                    self.push(at, Rank::Control, &[0xd0 | channel, low(value)]);
                }
                ControlKind::PolyPressure { pitch, value } => {
                    self.push(at, Rank::Control, &[0xa0 | channel, low(pitch), low(value)]);
                }
            }
        }
        for note in &track.notes {
            let pitch = low(note.pitch);
            self.push(note.onset, Rank::On, &[0x90 | channel, pitch, note.velocity.clamp(1, 127)]);
            let off = [0x80 | channel, pitch, 64];
            // A note without length must end after its own onset.
            let rank = if note.end > note.onset { Rank::Off } else { Rank::On };
            self.push(note.end.max(note.onset), rank, &off);
        }
    }
}

/// The program the track's own controls have set when its first note sounds.
fn program_before_first_note(track: &Track) -> Option<u8> {
    let first = track.notes.iter().map(|note| note.onset).min().unwrap_or(Tick(u32::MAX));
    let before = track.controls.iter().filter(|control| control.at <= first);
    let programs = before.filter_map(|control| match control.kind {
        ControlKind::ProgramChange { program } => Some((control.at, program)),
        _ => None,
    });
    programs.max_by_key(|(at, _)| *at).map(|(_, program)| program)
}

fn conductor(score: &Score) -> Events {
    let mut events = Events::default();
    for &(at, tempo) in score.tempos.changes() {
        events.meta(at, 0x51, &tempo.to_be_bytes()[1..]);
    }
    for &(at, meter) in score.meters.changes() {
        let power = meter.denominator.max(1).ilog2() as u8;
        // Metronome click in MIDI clocks (24 a quarter): one denominator unit. 8 = 32nds in a quarter.
        events.meta(at, 0x58, &[meter.numerator.max(1), power, 96 >> power, 8]);
    }
    for key in &score.keys {
        events.meta(key.at, 0x59, &[key.sharps.clamp(-7, 7).cast_unsigned(), u8::from(key.minor)]);
    }
    events
}

fn header(format: u16, chunks: usize, score: &Score) -> Vec<u8> {
    let mut bytes = b"MThd\0\0\0\x06".to_vec();
    bytes.extend(format.to_be_bytes());
    bytes.extend(u16::try_from(chunks).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend(score.ppq.get().to_be_bytes());
    bytes
}

/// A chunk that lasts until `end`, or its last event.
fn chunk(bytes: &mut Vec<u8>, mut events: Events, end: Tick) {
    events.order.sort_by_key(|(at, rank, ..)| (*at, *rank));
    bytes.extend(b"MTrk\0\0\0\0");
    let start = bytes.len();
    let mut now = 0;
    for &(at, _, from, to) in &events.order {
        delta(bytes, at.0 - now);
        bytes.extend_from_slice(&events.data[from as usize..to as usize]);
        now = at.0;
    }
    delta(bytes, end.0.saturating_sub(now));
    bytes.extend([0xff, 0x2f, 0]);
    let length = (bytes.len() - start) as u32;
    bytes[start - 4..start].copy_from_slice(&length.to_be_bytes());
}

/// Longest time between two events that four bytes can hold.
const LONGEST: u32 = 0x0fff_ffff;

/// A delta time; longer ones are bridged with empty text events.
fn delta(bytes: &mut Vec<u8>, mut ticks: u32) {
    while ticks > LONGEST {
        variable(bytes, LONGEST);
        bytes.extend([0xff, 0x01, 0]);
        ticks -= LONGEST;
    }
    variable(bytes, ticks);
}

fn variable(bytes: &mut Vec<u8>, value: u32) {
    let value = value.min(LONGEST);
    for shift in [21, 14, 7] {
        if value >> shift != 0 {
            bytes.push((value >> shift) as u8 & 0x7f | 0x80);
        }
    }
    bytes.push(value as u8 & 0x7f);
}
