//! MIDI bytes to [`NoteSequence`], as pretty_midi and note-seq read them.
//!
//! They differ from [`crate::midi::read`] in what counts as a player and in when a note ends. A model's input has to
//! be what it was in training, so their ways are kept:
//!
//! - tempo, time and key signatures count in the first track only;
//! - a note-off ends all notes of its channel and pitch that began on an earlier tick. Those begun on the same tick
//!   sound on if there was an earlier one, and are lost if there was none;
//! - a player is (program, channel, track), numbered by its first finished note; the program is the one at its end.

use super::{KeySignature, NoteSequence, Tempo, TimeSignature, TimedNote, clock::Clock};
use crate::midi::chunks::{self, Division};
use crate::midi::events::{Meta, Sink, each_track, walk};
use crate::{ControlKind, Meter, Result, Tick};
use std::collections::HashMap;

impl NoteSequence {
    /// Reads a Standard MIDI File; tracks of every format sound together.
    ///
    /// Damage is forgiven as by [`crate::midi::read`]; memory is bounded by the input's length.
    ///
    /// # Errors
    /// [`crate::Error::NotMidi`], [`crate::Error::MidiHeader`] or [`crate::Error::MidiTrack`].
    pub fn from_midi(bytes: &[u8]) -> Result<NoteSequence> {
        let header = chunks::header(bytes)?;
        let mut file = File::default();
        each_track(bytes, header, |index, chunk| {
            let mut track = Track::new(index == 0, &mut file);
            walk(bytes, chunk, Tick(0), &mut track)
        })?;
        let (ppq, tempos) = match header.division {
            Division::Ppq(ppq) => (ppq, file.tempos),
            // Ticks of fixed length have one tempo, whatever the file says.
            Division::Smpte { ppq, tempo } => (ppq, vec![(Tick(0), tempo)]),
        };
        let clock = Clock::new(ppq.get(), &tempos);
        // Stable: within a player, notes stay in the order of their ends.
        file.notes.sort_by_key(|note| note.instrument);
        let notes: Vec<_> = file.notes.iter().map(|note| note.timed(&clock)).collect();
        let mut sequence = NoteSequence {
            ticks_per_quarter: u32::from(ppq.get()),
            tempos: clock.tempos().map(|(time, qpm)| Tempo { time, qpm }).collect(),
            time_signatures: file.meters.iter().map(|&(at, meter)| signature(&clock, at, meter)).collect(),
            key_signatures: file
                .keys
                .iter()
                .map(|&(at, sharps, minor)| key(&clock, at, sharps, minor))
                .collect(),
            notes,
            ..NoteSequence::default()
        };
        sequence.total_time = sequence.end();
        Ok(sequence)
    }
}

pub(super) fn signature(clock: &Clock, at: Tick, meter: Meter) -> TimeSignature {
    let (numerator, denominator) = (u32::from(meter.numerator), u32::from(meter.denominator));
    TimeSignature { time: clock.time(at), numerator, denominator }
}

pub(super) fn key(clock: &Clock, at: Tick, sharps: i8, minor: bool) -> KeySignature {
    // Every sharp is a fifth up; a minor key's tonic lies three semitones below its relative major's.
    let tonic = i32::from(sharps) * 7 + if minor { 9 } else { 0 };
    KeySignature { time: clock.time(at), key: tonic.rem_euclid(12) as u8, minor }
}

/// What was read so far, in ticks.
#[derive(Default)]
struct File {
    tempos: Vec<(Tick, u32)>,
    meters: Vec<(Tick, Meter)>,
    keys: Vec<(Tick, i8, bool)>,
    notes: Vec<Finished>,
    instruments: u32,
}

struct Finished {
    start: Tick,
    end: Tick,
    pitch: u8,
    velocity: u8,
    instrument: u32,
    program: u8,
    is_drum: bool,
}

impl Finished {
    fn timed(&self, clock: &Clock) -> TimedNote {
        TimedNote {
            start: clock.time(self.start),
            end: clock.time(self.end),
            pitch: self.pitch,
            velocity: self.velocity,
            instrument: self.instrument,
            program: self.program,
            is_drum: self.is_drum,
        }
    }
}

/// A track being read.
struct Track<'a> {
    first: bool,
    file: &'a mut File,
    programs: [u8; 16],
    /// (onset, velocity) by (channel, pitch).
    open: HashMap<(usize, u8), Vec<(Tick, u8)>>,
    /// Number by (channel, program).
    instruments: HashMap<(usize, u8), u32>,
}

impl<'a> Track<'a> {
    fn new(first: bool, file: &'a mut File) -> Track<'a> {
        Track { first, file, programs: [0; 16], open: HashMap::new(), instruments: HashMap::new() }
    }
}

impl Sink for Track<'_> {
    fn note_on(&mut self, channel: usize, pitch: u8, velocity: u8, at: Tick) {
        self.open.entry((channel, pitch)).or_default().push((at, velocity));
    }

    fn note_off(&mut self, channel: usize, pitch: u8, at: Tick) {
        let Some(mut open) = self.open.remove(&(channel, pitch)) else { return };
        // Onsets are sorted, so those of this tick come last.
        let begun_now = open.split_off(open.partition_point(|&(onset, _)| onset < at));
        if open.is_empty() {
            return;
        }
        let program = self.programs[channel];
        let next = &mut self.file.instruments;
        let instrument = *self.instruments.entry((channel, program)).or_insert_with(|| {
            *next += 1;
            *next - 1
        });
        self.file.notes.extend(open.iter().map(|&(start, velocity)| Finished {
            start,
            end: at,
            pitch,
            velocity,
            instrument,
            program,
            is_drum: channel == 9,
        }));
        if !begun_now.is_empty() {
            self.open.insert((channel, pitch), begun_now);
        }
    }

    fn control(&mut self, channel: usize, _: Tick, kind: ControlKind) {
        if let ControlKind::ProgramChange { program } = kind {
            self.programs[channel] = program;
        }
    }

    fn meta(&mut self, kind: u8, data: &[u8], at: Tick) {
        if !self.first {
            return;
        }
        match Meta::read(kind, data) {
            Some(Meta::Tempo(tempo)) => self.file.tempos.push((at, tempo)),
            Some(Meta::Meter(meter)) => self.file.meters.push((at, meter)),
            Some(Meta::Key { sharps, minor }) => self.file.keys.push((at, sharps, minor)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A format 0 file of 96 ticks a quarter with these events.
    fn file(events: &[u8]) -> Vec<u8> {
        let mut bytes = b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk".to_vec();
        bytes.extend((events.len() as u32 + 4).to_be_bytes());
        bytes.extend(events);
        bytes.extend([0, 0xff, 0x2f, 0]);
        bytes
    }

    fn times(events: &[u8]) -> Vec<(f64, f64, u8)> {
        let sequence = NoteSequence::from_midi(&file(events)).expect("a good file");
        sequence.notes.iter().map(|note| (note.start.0, note.end.0, note.velocity)).collect()
    }

    #[test]
    fn an_off_ends_every_earlier_note_of_its_pitch() {
        // on 1, 48 ticks, on 2, 48 ticks, off
        assert_eq!(times(&[0, 0x90, 60, 1, 48, 60, 2, 48, 60, 0]), [(0.0, 0.5, 1), (0.25, 0.5, 2)]);
    }

    #[test]
    fn a_note_begun_on_the_tick_of_an_off_sounds_on_only_behind_an_earlier_note() {
        // on 1, 48 ticks: on 2, off; 48 ticks: off
        assert_eq!(
            times(&[0, 0x90, 60, 1, 48, 60, 2, 0, 60, 0, 48, 60, 0]),
            [(0.0, 0.25, 1), (0.25, 0.5, 2)]
        );
        // on 2, off on the same tick: lost
        assert_eq!(times(&[48, 0x90, 60, 2, 0, 60, 0, 48, 60, 0]), []);
    }

    #[test]
    fn the_program_at_the_end_counts() {
        let bytes = file(&[0, 0x90, 60, 1, 48, 0xc0, 33, 48, 0x80, 60, 0]);
        let sequence = NoteSequence::from_midi(&bytes).expect("a good file");
        assert_eq!(sequence.notes[0].program, 33);
    }
}
