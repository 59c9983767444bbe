//! Note sequences against pretty_midi and note-seq. `PARTITA_VECTORS` names a directory with `magenta/midi` and
//! `magenta/notesequences`; without it, the repository's own copy is used.

use partita_score::sequence::{KeySignature, Tempo, TimeSignature, TimedNote};
use partita_score::{NoteSequence, Score, Second, midi};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// Name, MIDI bytes and what note-seq reads there.
fn files() -> Vec<(String, Vec<u8>, NoteSequence)> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    let root = std::env::var_os("PARTITA_VECTORS").map_or(own, PathBuf::from).join("magenta");
    let entries = fs::read_dir(root.join("notesequences")).expect("reference sequences");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let bytes = fs::read(root.join("midi").join(format!("{name}.mid"))).expect("its MIDI file");
        let json = serde_json::from_str(&fs::read_to_string(path).expect("readable")).expect("JSON");
        (name, bytes, expected(&json))
    };
    let files: Vec<_> = paths.into_iter().map(read).collect();
    assert!(files.len() >= 18, "{} files", files.len());
    files
}

/// The vectors' own layout: lists of numbers.
fn expected(json: &Value) -> NoteSequence {
    let rows = |key: &str| -> Vec<Vec<f64>> {
        let rows = json[key].as_array().expect("a list").iter();
        rows.map(|row| row.as_array().expect("a row").iter().map(|x| x.as_f64().expect("a number")).collect())
            .collect()
    };
    NoteSequence {
        ticks_per_quarter: json["ticks_per_quarter"].as_u64().expect("a number") as u32,
        tempos: rows("tempos").iter().map(|row| Tempo { time: Second(row[0]), qpm: row[1] }).collect(),
        time_signatures: rows("time_signatures")
            .iter()
            .map(|row| TimeSignature {
                time: Second(row[0]),
                numerator: row[1] as u32,
                denominator: row[2] as u32,
            })
            .collect(),
        key_signatures: rows("key_signatures")
            .iter()
            .map(|row| KeySignature { time: Second(row[0]), key: row[1] as u8, minor: row[2] == 1.0 })
            .collect(),
        notes: rows("notes")
            .iter()
            .map(|row| TimedNote {
                start: Second(row[0]),
                end: Second(row[1]),
                pitch: row[2] as u8,
                velocity: row[3] as u8,
                instrument: row[4] as u32,
                program: row[5] as u8,
                is_drum: row[6] == 1.0,
            })
            .collect(),
        chords: Vec::new(),
        total_time: Second(json["total_time"].as_f64().expect("a number")),
    }
}

#[test]
fn magenta_midi_files_give_the_same_sequences_to_the_bit() {
    for (name, bytes, expected) in files() {
        // `==` on f64: every time and tempo has the same bits.
        assert!(NoteSequence::from_midi(&bytes).expect("a good file") == expected, "{name}");
    }
}

#[test]
fn magenta_sequences_survive_json_to_the_bit() {
    for (name, _, sequence) in files() {
        assert!(NoteSequence::from_json(&sequence.to_json()).expect("our own JSON") == sequence, "{name}");
    }
}

/// Starts, ends, pitches and velocities, sorted; players may be numbered otherwise.
fn sounding(sequence: &NoteSequence) -> Vec<(f64, f64, u8, u8, u8, bool)> {
    let row = |it: &TimedNote| (it.start.0, it.end.0, it.pitch, it.velocity, it.program, it.is_drum);
    let mut rows: Vec<_> = sequence.notes.iter().map(row).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    rows
}

#[test]
fn magenta_sequences_become_the_same_midi_music_again() {
    for (name, _, sequence) in files() {
        let score: Score = sequence.to_score();
        let again = NoteSequence::from_midi(&midi::write(&score)).expect("our own file");
        // The tempo map restarts from whole microseconds, so times may differ in their last bits.
        let pairs = sounding(&sequence).into_iter().zip(sounding(&again));
        assert_eq!(again.notes.len(), sequence.notes.len(), "{name}");
        for (was, is) in pairs {
            assert!((was.0 - is.0).abs() < 1e-9 && (was.1 - is.1).abs() < 1e-9, "{name}: {was:?} {is:?}");
            assert_eq!((was.2, was.3, was.4, was.5), (is.2, is.3, is.4, is.5), "{name}");
        }
        assert_eq!(again.time_signatures, sequence.time_signatures, "{name}");
        assert_eq!(again.key_signatures, sequence.key_signatures, "{name}");
    }
}

#[test]
fn magenta_sequences_of_a_score_have_the_onsets_of_its_file() {
    // Not the ends: an off in a file closes all notes of its pitch, a score lets the younger one sound on.
    let onsets = |sequence: &NoteSequence| -> Vec<_> {
        sounding(sequence).iter().map(|it| (it.0, it.2, it.3, it.4, it.5)).collect()
    };
    for (name, bytes, sequence) in files() {
        let direct = NoteSequence::from(&midi::read(&bytes).expect("a good file"));
        let (mut ours, mut theirs) = (onsets(&direct), onsets(&sequence));
        ours.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        theirs.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
        assert!(ours == theirs, "{name}");
        assert_eq!(
            (direct.tempos, direct.time_signatures),
            (sequence.tempos, sequence.time_signatures),
            "{name}"
        );
        assert_eq!(direct.key_signatures, sequence.key_signatures, "{name}");
    }
}

#[test]
fn magenta_parts_between_changes_have_one_tempo_and_one_meter() {
    for (name, _, sequence) in files() {
        let pieces = sequence.split_on_time_changes();
        assert!(!pieces.is_empty(), "{name}");
        for piece in &pieces {
            assert!(piece.sequence.quantize(4).is_ok(), "{name} at {}", piece.start.0);
        }
        assert_eq!(
            pieces.iter().map(|it| it.sequence.notes.len()).sum::<usize>(),
            sequence.notes.len(),
            "{name}"
        );
    }
}
