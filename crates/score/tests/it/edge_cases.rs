//! Files that bend the standard, and what is made of them.

use crate::test_files;
use partita_score::{Control, ControlKind, Score, Second, Tick, midi};

fn read(name: &str) -> Score {
    let files = test_files(name);
    midi::read(&files[0].1).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `channel/program: onset-end pitch velocity, ...` per track.
fn notes(score: &Score) -> Vec<String> {
    let track = |track: &partita_score::Track| {
        let note = |n: &partita_score::Note| format!("{}-{} {} {}", n.onset.0, n.end.0, n.pitch, n.velocity);
        let list: Vec<_> = track.notes.iter().map(note).collect();
        format!("{}/{}: {}", track.channel, track.program, list.join(", "))
    };
    score.tracks.iter().map(track).collect()
}

const TWO: &str = "0/0: 0-96 60 100, 96-192 64 100";

#[test]
fn running_status_survives_meta_and_system_exclusive_events() {
    let score = read("edge-running-status-after-meta");
    assert_eq!(notes(&score), ["0/0: 0-48 60 100, 48-96 62 90, 96-144 64 80"]);
}

#[test]
fn wrong_counts_and_lengths_lose_nothing() {
    let score = read("edge-wrong-counts");
    assert_eq!(notes(&score), [TWO, TWO]);
    assert_eq!(score.tracks.iter().map(|track| track.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(notes(&read("edge-no-end-of-track")), [TWO]);
}

#[test]
fn junk_unknown_chunks_and_wrappers_are_skipped() {
    assert_eq!(notes(&read("edge-junk-between")), [TWO, TWO]);
    assert_eq!(notes(&read("edge-riff")), [TWO]);
}

#[test]
fn smpte_ticks_keep_their_seconds() {
    assert_eq!(read("edge-smpte-25").duration(), Second(1.0));
    assert_eq!(read("edge-smpte-2997").duration(), Second(1.001));
}

#[test]
fn patterns_of_format_2_follow_each_other() {
    let score = read("edge-format-2");
    assert_eq!(notes(&score), [TWO, "0/0: 192-288 60 100, 288-384 64 100"]);
}

#[test]
fn offs_close_the_oldest_note_and_orphans_are_dropped() {
    assert_eq!(notes(&read("edge-orphans")), ["0/0: 0-10 60 10, 5-15 60 20, 15-15 62 50"]);
}

#[test]
fn programs_of_a_channel_become_tracks_with_their_controls() {
    let score = read("edge-programs");
    let expected = ["0/5: 0-10 60 100, 20-30 64 100", "0/8: 10-20 62 100", "3/0: ", "9/0: 30-35 36 99"];
    assert_eq!(notes(&score), expected);
    let change =
        |at, number, value| Control { at: Tick(at), kind: ControlKind::ControlChange { number, value } };
    let program = |at, program| Control { at: Tick(at), kind: ControlKind::ProgramChange { program } };
    assert_eq!(score.tracks[0].controls, [change(0, 7, 100), program(20, 5)]);
    assert_eq!(score.tracks[1].controls, [program(10, 8), change(10, 64, 127)]);
    assert_eq!(score.tracks[2].controls, [change(35, 1, 2)]);
}

#[test]
fn a_program_behind_a_note_at_the_start_is_said_once() {
    let lost = *b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\0\0\0\x0b\0\x90\x3c\x40\0\xc0\x05\0\xff\x2f\0";
    let after =
        *b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\0\0\0\x0f\0\x90\x3c\x40\0\xc0\0\x20\x80\x3c\0\0\xff\x2f\0";
    for bytes in [&lost[..], &after[..]] {
        let score = midi::read(bytes).expect("reads");
        assert_eq!(midi::read(&midi::write(&score)).expect("reads back"), score);
    }
}

fn fails(bytes: &[u8], expected: &str) {
    let error = midi::read(bytes).expect_err("not a proper file").to_string();
    assert_eq!(error, expected);
}

#[test]
fn errors_name_the_track_and_the_byte() {
    let file = |division: [u8; 2], events: &[u8]| {
        let length = (events.len() as u32).to_be_bytes();
        [b"MThd\0\0\0\x06\0\x01\0\x01", &division[..], b"MTrk", &length, events].concat()
    };
    let track = |events: &[u8]| file([0, 96], events);
    fails(b"", "not a MIDI file: the input is empty");
    fails(b"ID3 some other file", "not a MIDI file: no MThd header found");
    fails(b"MThd\0\0\0\x06\0", "midi header at byte 0: header must be 14 bytes, got 9");
    fails(&track(b"")[..14], "not a MIDI file: no track chunk (MTrk) after the header");
    fails(&file([0, 0], b""), "midi header at byte 12: ticks per quarter must be in 1..=32767, got 0");
    fails(
        &file([0x90, 4], b""),
        "midi header at byte 12: smpte frames per second must be 24, 25, 29 or 30, got 112",
    );
    fails(&file([0xe7, 0], b""), "midi header at byte 13: smpte ticks per frame must be in 1..=255, got 0");
    fails(&track(&[0, 60]), "track 1 at byte 23: a data byte comes before any status byte");
    fails(&track(&[0, 0x90, 60]), "track 1 at byte 22: the track ends inside an event");
    fails(&track(&[0, 0x90, 60, 200]), "track 1 at byte 24: a data byte must be in 0..=127");
    fails(&track(&[0xff; 9]), "track 1 at byte 22: a variable-length number must have at most 4 bytes");
    fails(
        &track(&[0, 0xff, 1, 0x7f, 0]),
        "track 1 at byte 22: an event's length runs past the end of the track",
    );
    let day = [0xff, 0xff, 0xff, 0x7f, 0xff, 1, 0];
    fails(&track(&day.repeat(17)), "track 1 at byte 134: time runs past the last tick, 4294967294");
}
