//! Our reader against `midly`, on generated files, on real ones, and on a whole data set if `PARTITA_GROOVE` names it.
//!
//! Known difference: `midly` drops running status at meta and system exclusive events, as the standard asks, and so
//! loses the rest of such a track; we keep it, because many real files count on it.

use crate::test_files;
use midly::{MetaMessage, MidiMessage, Smf, Timing, TrackEventKind};
use partita_score::{ControlKind, Score, Tick, midi};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    path::Path,
};

/// Onset, end, pitch, velocity.
type PlainNote = (u32, u32, u8, u8);

/// What both readers must agree on.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    ppq: u16,
    /// By tick: microseconds per quarter.
    tempos: BTreeMap<u32, u32>,
    meters: BTreeMap<u32, (u8, u8)>,
    keys: Vec<(u32, i8, bool)>,
    /// Per track: channel, program, notes. Tracks without notes are left out.
    tracks: Vec<(u8, u8, Vec<PlainNote>)>,
    /// `(channel, tick, event bytes)`, sorted; without program changes, of which only some are kept.
    controls: Vec<(u8, u32, [u8; 3])>,
}

fn ours(score: &Score) -> Summary {
    let mut controls = Vec::new();
    for track in &score.tracks {
        for control in &track.controls {
            let bytes = match control.kind {
                ControlKind::ControlChange { number, value } => [0xb0, number, value],
                ControlKind::ProgramChange { .. } => continue,
                ControlKind::PitchBend { value } => {
                    let value = value + 8192;
                    [0xe0, (value & 127) as u8, (value >> 7) as u8]
                }
                ControlKind::ChannelPressure { value } => [0xd0, value, 0],
                ControlKind::PolyPressure { pitch, value } => [0xa0, pitch, value],
            };
            controls.push((track.channel, control.at.0, bytes));
        }
    }
    controls.sort_unstable();
    let note = |n: &partita_score::Note| (n.onset.0, n.end.0, n.pitch, n.velocity);
    let tracks =
        score.tracks.iter().map(|t| (t.channel, t.program, t.notes.iter().map(note).collect::<Vec<_>>()));
    Summary {
        ppq: score.ppq.get(),
        tempos: score.tempos.changes().iter().map(|(at, tempo)| (at.0, *tempo)).collect(),
        meters: score.meters.changes().iter().map(|(at, m)| (at.0, (m.numerator, m.denominator))).collect(),
        keys: score.keys.iter().map(|key| (key.at.0, key.sharps, key.minor)).collect(),
        tracks: tracks.filter(|(.., notes)| !notes.is_empty()).collect(),
        controls,
    }
}

fn theirs(smf: &Smf) -> Summary {
    let mut summary = Summary::default();
    if let Timing::Metrical(ppq) = smf.header.timing {
        summary.ppq = ppq.as_int();
    }
    for track in &smf.tracks {
        let mut now = 0;
        let mut programs = [0; 16];
        let mut open: HashMap<(u8, u8), VecDeque<usize>> = HashMap::new();
        // `(channel, program, onset, end, pitch, velocity)` in the order of note-ons.
        let mut notes: Vec<(u8, u8, u32, Option<u32>, u8, u8)> = Vec::new();
        for event in track {
            now += event.delta.as_int();
            match event.kind {
                TrackEventKind::Midi { channel, message } => {
                    let channel = channel.as_int();
                    let mut control =
                        |status, a: u8, b: u8| summary.controls.push((channel, now, [status, a, b]));
                    match message {
                        MidiMessage::NoteOn { key, vel } if vel > 0 => {
                            let program = programs[usize::from(channel)];
                            open.entry((channel, key.as_int())).or_default().push_back(notes.len());
                            notes.push((channel, program, now, None, key.as_int(), vel.as_int()));
                        }
                        MidiMessage::NoteOn { key, .. } | MidiMessage::NoteOff { key, .. } => {
                            let queue = open.entry((channel, key.as_int())).or_default();
                            if let Some(oldest) = queue.pop_front() {
                                notes[oldest].3 = Some(now);
                            }
                        }
                        MidiMessage::ProgramChange { program } => {
                            programs[usize::from(channel)] = program.as_int();
                        }
                        MidiMessage::Controller { controller, value } => {
                            control(0xb0, controller.as_int(), value.as_int());
                        }
                        MidiMessage::Aftertouch { key, vel } => control(0xa0, key.as_int(), vel.as_int()),
                        MidiMessage::ChannelAftertouch { vel } => control(0xd0, vel.as_int(), 0),
                        MidiMessage::PitchBend { bend } => {
                            let value = bend.0.as_int();
                            control(0xe0, (value & 127) as u8, (value >> 7) as u8);
                        }
                    }
                }
                TrackEventKind::Meta(MetaMessage::Tempo(tempo)) if tempo > 0 => {
                    summary.tempos.insert(now, tempo.as_int());
                }
                TrackEventKind::Meta(MetaMessage::TimeSignature(numerator @ 1.., power @ 0..=7, ..)) => {
                    summary.meters.insert(now, (numerator, 1 << power));
                }
                TrackEventKind::Meta(MetaMessage::KeySignature(sharps @ -7..=7, minor)) => {
                    summary.keys.push((now, sharps, minor));
                }
                TrackEventKind::Meta(MetaMessage::EndOfTrack) => break,
                _ => {}
            }
        }
        let mut grouped: BTreeMap<(u8, u8), Vec<_>> = BTreeMap::new();
        for (channel, program, onset, end, pitch, velocity) in notes {
            if let Some(end) = end {
                grouped.entry((channel, program)).or_default().push((onset, end, pitch, velocity));
            }
        }
        summary
            .tracks
            .extend(grouped.into_iter().map(|((channel, program), notes)| (channel, program, notes)));
    }
    summary.keys.sort_by_key(|key| key.0);
    summary.controls.sort_unstable();
    summary
}

fn check(name: &str, bytes: &[u8]) {
    let score = midi::read(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let smf = Smf::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(ours(&score), theirs(&smf), "{name}");
}

#[test]
fn real_files_read_as_midly_reads_them() {
    for (name, bytes) in test_files("drummer") {
        check(&name, &bytes);
    }
    for name in ["edge-orphans", "edge-programs", "edge-no-end-of-track"] {
        check(name, &test_files(name)[0].1);
    }
}

#[test]
fn midly_loses_running_status_at_meta_events_and_we_do_not() {
    let bytes = &test_files("edge-running-status-after-meta")[0].1;
    let notes = |summary: Summary| summary.tracks.iter().map(|(.., notes)| notes.len()).sum::<usize>();
    assert_eq!(notes(ours(&midi::read(bytes).expect("readable"))), 3);
    assert!(Smf::parse(bytes).map_or(0, |smf| notes(theirs(&smf))) < 3);
}

#[test]
fn the_whole_groove_set_reads_as_midly_reads_it() {
    let Some(root) = std::env::var_os("PARTITA_GROOVE") else { return };
    let mut folders = vec![Path::new(&root).to_path_buf()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("PARTITA_GROOVE names a folder") {
            let path = entry.expect("readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mid") {
                let bytes = fs::read(&path).expect("readable file");
                check(&path.display().to_string(), &bytes);
                let score = midi::read(&bytes).expect("just read");
                assert_eq!(midi::read(&midi::write(&score)).as_ref(), Ok(&score), "{}", path.display());
                crate::drums::check_round_trip(&path.display().to_string(), &score);
                count += 1;
            }
        }
    }
    assert!(count > 0, "no .mid files in PARTITA_GROOVE");
}

/// Events as bytes with their deltas: mostly notes of few pitches, so that they meet.
fn event() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let byte = 0..128u8;
    let kind = prop_oneof![
        6 => (0x90..=0x91u8, 60..63u8, 0..3u8).prop_map(|(status, pitch, velocity)| vec![status, pitch, velocity]),
        4 => (0x80..=0x81u8, 60..63u8, byte.clone()).prop_map(|(status, pitch, v)| vec![status, pitch, v]),
        2 => (0xc0..=0xc1u8, 0..3u8).prop_map(|(status, program)| vec![status, program]),
        1 => (0xd0..=0xdfu8, byte.clone()).prop_map(|(status, value)| vec![status, value]),
        2 => (prop_oneof![0xa0..=0xbfu8, 0xe0..=0xefu8], byte.clone(), byte).prop_map(|(s, a, b)| vec![s, a, b]),
        1 => any::<[u8; 3]>().prop_map(|[a, b, c]| vec![0xff, 0x51, 3, a, b, c]),
        1 => (any::<u8>(), 0..10u8).prop_map(|(numerator, power)| vec![0xff, 0x58, 4, numerator, power, 24, 8]),
        1 => (-8..9i8, 0..2u8).prop_map(|(sharps, minor)| vec![0xff, 0x59, 2, sharps.cast_unsigned(), minor]),
        1 => vec(any::<u8>(), 0..9).prop_map(|text| [&[0xff, 1, text.len() as u8], &text[..]].concat()),
        1 => vec(0..128u8, 0..9).prop_map(|data| [&[0xf0, data.len() as u8], &data[..]].concat()),
    ];
    (prop_oneof![4 => Just(0), 4 => 0..200u32, 1 => 0..0x10_0000u32], kind)
}

fn file(ppq: u16, format: u16, tracks: &[Vec<(u32, Vec<u8>)>]) -> Vec<u8> {
    let mut bytes = b"MThd\0\0\0\x06".to_vec();
    for value in [format, tracks.len() as u16, ppq] {
        bytes.extend(value.to_be_bytes());
    }
    for events in tracks {
        let mut body = Vec::new();
        let mut running = 0;
        for (delta, event) in events {
            body.extend([(delta >> 14) as u8 | 0x80, (delta >> 7) as u8 | 0x80, *delta as u8 & 0x7f]);
            // Running status wherever the standard allows it.
            let skip = usize::from(event[0] == running);
            body.extend_from_slice(&event[skip..]);
            running = if event[0] < 0xf0 { event[0] } else { 0 };
        }
        body.extend([0, 0xff, 0x2f, 0]);
        bytes.extend(b"MTrk");
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
    }
    bytes
}

proptest! {
    #[test]
    fn generated_files_read_as_midly_reads_them(
        ppq in 1..=32767u16,
        format in 0..2u16,
        tracks in vec(vec(event(), 0..60), 1..4),
    ) {
        let tracks = if format == 0 { &tracks[..1] } else { &tracks[..] };
        check("generated", &file(ppq, format, tracks));
    }
}

#[test]
fn notes_of_a_real_file_stand_where_they_should() {
    let score = midi::read(&test_files("drummer7")[0].1).expect("readable");
    let track = &score.tracks[0];
    assert_eq!((track.name.as_str(), track.channel, score.ppq.get()), ("Midi Drums", 9, 480));
    assert_eq!((track.notes[0].onset, track.notes[0].pitch, track.notes[0].velocity), (Tick(75), 38, 35));
    assert_eq!(score.tempos.bpm_at(Tick(0)).round(), 100.0);
}
