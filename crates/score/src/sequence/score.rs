//! [`NoteSequence`] from and to [`Score`], so that one reader and one writer of MIDI files serve both.

use super::clock::Clock;
use super::midi::{key, signature};
use super::{NoteSequence, Tempo, TimedNote};
use crate::{KeyChange, Meter, MeterMap, Note, Ppq, Score, Second, TempoMap, Tick, Track};
use std::collections::BTreeMap;

impl From<&Score> for NoteSequence {
    /// A track with notes is a player; its notes come in order of their ends, as from a file.
    fn from(score: &Score) -> NoteSequence {
        let clock = Clock::new(score.ppq.get(), score.tempos.changes());
        let mut notes = Vec::new();
        let players = score.tracks.iter().filter(|track| !track.notes.is_empty());
        for (instrument, track) in (0..).zip(players) {
            let mut played = track.notes.clone();
            played.sort_by_key(|note| note.end);
            notes.extend(played.iter().map(|note| TimedNote {
                start: clock.time(note.onset),
                end: clock.time(note.end.max(note.onset)),
                pitch: note.pitch.min(127),
                velocity: note.velocity.min(127),
                instrument,
                program: track.program.min(127),
                is_drum: track.is_drums(),
            }));
        }
        let mut sequence = NoteSequence {
            ticks_per_quarter: u32::from(score.ppq.get()),
            tempos: clock.tempos().map(|(time, qpm)| Tempo { time, qpm }).collect(),
            time_signatures: score
                .meters
                .changes()
                .iter()
                .map(|&(at, meter)| signature(&clock, at, meter))
                .collect(),
            key_signatures: score.keys.iter().map(|it| key(&clock, it.at, it.sharps, it.minor)).collect(),
            notes,
            ..NoteSequence::default()
        };
        sequence.total_time = sequence.end();
        sequence
    }
}

impl NoteSequence {
    /// The same music in ticks, to be written as MIDI.
    ///
    /// A track per (instrument, program, drums or not). Times become the nearest ticks of `ticks_per_quarter` (480
    /// where that is 0 or more than a file can hold), tempos whole microseconds per quarter, times before 0 tick 0.
    /// Velocity 0 would end a note, so it becomes 1. Chord symbols and what MIDI cannot say are left out.
    pub fn to_score(&self) -> Score {
        let ppq = u16::try_from(self.ticks_per_quarter).ok().and_then(Ppq::new).unwrap_or_default();
        let ticks = Ticks::new(&self.tempos, ppq);
        let mut tracks: BTreeMap<(u32, u8, bool), Vec<Note>> = BTreeMap::new();
        for note in &self.notes {
            let onset = ticks.at(note.start);
            tracks.entry((note.instrument, note.program, note.is_drum)).or_default().push(Note {
                onset,
                // A length that is lost between two ticks would be a note that never ends.
                end: ticks.at(note.end).max(Tick(onset.0.saturating_add(1))),
                pitch: note.pitch.min(127),
                velocity: note.velocity.clamp(1, 127),
            });
        }
        let mut channels = (0..16u8).filter(|&channel| channel != 9).cycle();
        let tracks = tracks.into_iter().map(|((_, program, is_drum), mut notes)| {
            notes.sort_by_key(|note| note.onset);
            let channel = if is_drum { 9 } else { channels.next().unwrap_or(0) };
            Track { channel, program: program.min(127), notes, ..Track::default() }
        });
        Score {
            ppq,
            tracks: tracks.collect(),
            meters: MeterMap::new(
                self.time_signatures.iter().filter_map(|it| Some((ticks.at(it.time), meter(it)?))).collect(),
            ),
            keys: self.key_signatures.iter().map(|it| key_change(it, ticks.at(it.time))).collect(),
            tempos: ticks.tempos,
            ..Score::default()
        }
    }
}

/// `None` for one that a MIDI file cannot hold.
fn meter(it: &super::TimeSignature) -> Option<Meter> {
    let (numerator, denominator) = (u8::try_from(it.numerator).ok()?, u8::try_from(it.denominator).ok()?);
    (numerator > 0 && denominator.is_power_of_two()).then_some(Meter { numerator, denominator })
}

/// With the fewest sharps or flats: F sharp rather than G flat.
fn key_change(it: &super::KeySignature, at: Tick) -> KeyChange {
    let major = (i32::from(it.key % 12) + if it.minor { 3 } else { 0 }) % 12;
    // Fifths from C; 7 is its own inverse modulo 12.
    let fifths = major * 7 % 12;
    KeyChange { at, sharps: (if fifths > 6 { fifths - 12 } else { fifths }) as i8, minor: it.minor }
}

/// Seconds to ticks under tempos of whole microseconds.
struct Ticks {
    tempos: TempoMap,
    /// (start, its tick, ticks per second), sorted.
    segments: Vec<(f64, f64, f64)>,
}

impl Ticks {
    fn new(tempos: &[Tempo], ppq: Ppq) -> Ticks {
        let rate = |tempo: u32| 1e6 * f64::from(ppq.get()) / f64::from(tempo);
        let mut sorted: Vec<_> = tempos.iter().filter(|it| it.time.0.is_finite()).collect();
        sorted.sort_by(|a, b| a.time.0.total_cmp(&b.time.0));
        let mut segments = vec![(0.0, 0.0, rate(500_000))];
        let mut changes = Vec::with_capacity(sorted.len());
        for it in sorted {
            // As `TempoMap::constant`: a tempo out of range becomes the nearest.
            let tempo = ((60e6 / it.qpm).round() as u32).clamp(1, 0xff_ffff);
            let &(start, from, per_second) = segments.last().expect("there is always a segment");
            let tick = (from + (it.time.0.max(0.0) - start) * per_second).round();
            // Past the last tick no tempo counts.
            let Some(tick) = Some(tick).filter(|&tick| tick < f64::from(u32::MAX)) else { break };
            changes.push((Tick(tick as u32), tempo));
            // The time of the tick, not the tempo's own: sums of rounded ticks would drift.
            segments.push((start + (tick - from) / per_second, tick, rate(tempo)));
        }
        Ticks { tempos: TempoMap::new(changes), segments }
    }

    fn at(&self, time: Second) -> Tick {
        let after = self.segments.partition_point(|&(start, ..)| start <= time.0);
        let (start, tick, per_second) = self.segments[after.saturating_sub(1)];
        // The cast saturates; the last tick but one leaves room for an end.
        Tick(((tick + (time.0 - start) * per_second).round() as u32).min(u32::MAX - 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{midi, sequence::KeySignature};

    #[test]
    fn every_key_survives_the_way_to_ticks_and_back() {
        for (key, minor) in (0..12).flat_map(|key| [(key, false), (key, true)]) {
            let given = KeySignature { time: Second(0.0), key, minor };
            let sequence = NoteSequence { key_signatures: vec![given], ..NoteSequence::default() };
            assert_eq!(NoteSequence::from(&sequence.to_score()).key_signatures, [given]);
        }
    }

    #[test]
    fn a_note_before_the_start_or_without_length_is_written_all_the_same() {
        let note = |start, end| TimedNote {
            start: Second(start),
            end: Second(end),
            pitch: 38,
            ..TimedNote::default()
        };
        let sequence =
            NoteSequence { notes: vec![note(-0.05, 0.0), note(1.0, 1.0)], ..NoteSequence::default() };
        let again = midi::read(&midi::write(&sequence.to_score())).expect("our own file");
        let notes: Vec<_> = again.tracks[0].notes.iter().map(|n| (n.onset.0, n.end.0, n.velocity)).collect();
        assert_eq!(notes, [(0, 1, 1), (960, 961, 1)]);
    }

    #[test]
    fn tempo_changes_keep_every_note_in_its_place() {
        let tempos = [(0.0, 133.3), (2.0, 77.7), (5.5, 180.0)];
        let tempos = tempos.map(|(time, qpm)| Tempo { time: Second(time), qpm }).to_vec();
        let notes = (0..80).map(|n| TimedNote {
            start: Second(f64::from(n) * 0.1),
            end: Second(f64::from(n) * 0.1 + 0.05),
            pitch: 60,
            velocity: 90,
            ..TimedNote::default()
        });
        let sequence = NoteSequence { tempos, notes: notes.collect(), ..NoteSequence::default() };
        let again = NoteSequence::from(&sequence.to_score());
        assert_eq!(again.notes.len(), 80);
        for (was, is) in sequence.notes.iter().zip(&again.notes) {
            assert!((was.start.0 - is.start.0).abs() < 2e-3 && (was.end.0 - is.end.0).abs() < 2e-3);
        }
    }
}
