//! Damaged files: an error or a score, never a panic; and every score read is one we can write.

use crate::test_files;
use partita_score::{DrumMap, NoteSequence, midi, quantize_drums};

/// Damaged copies per file.
const CASES: u64 = 2000;

/// A small deterministic generator (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len());
        let (value, count) = (random.next() as u8, random.below(9));
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, value),
            2 => drop(bytes.drain(at..(at + count).min(bytes.len()))),
            3 => bytes.extend_from_within(at..(at + count).min(bytes.len())),
            4 if !bytes.is_empty() => bytes[at] ^= 1 << (value & 7),
            5 if !bytes.is_empty() => bytes[at] = [0, 0x7f, 0x80, 0xff, 0x90, 0xf0][count % 6],
            _ if !bytes.is_empty() => bytes[at] = value,
            _ => {}
        }
    }
}

#[test]
fn damaged_files_never_panic_and_what_is_read_can_be_written() {
    let (mut good, mut bad) = (0, 0);
    for (index, (name, original)) in test_files("").into_iter().enumerate() {
        let mut random = Random(index as u64);
        for case in 0..CASES {
            let mut bytes = original.clone();
            damage(&mut bytes, &mut random);
            let sequence = NoteSequence::from_midi(&bytes);
            let Ok(score) = midi::read(&bytes) else {
                assert!(sequence.is_err(), "{name}, case {case}");
                bad += 1;
                continue;
            };
            good += 1;
            assert_eq!(midi::read(&midi::write(&score)).as_ref(), Ok(&score), "{name}, case {case}");
            assert!(midi::read(&midi::write_format0(&score)).is_ok(), "{name}, case {case}");
            let _ = quantize_drums(&score, DrumMap::Td11);
            assert!(score.duration().0.is_finite());
            let sequence = sequence.expect("what reads as a score reads as a sequence");
            assert!(sequence.notes.iter().all(|note| note.start.0 <= note.end.0 && note.end.0.is_finite()));
            for piece in sequence.split_on_time_changes() {
                let _ = piece.sequence.quantize(4);
            }
            assert!(midi::read(&midi::write(&sequence.to_score())).is_ok(), "{name}, case {case}");
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad: the damage is one-sided");
}

#[test]
fn every_beginning_of_a_file_is_read_or_refused() {
    for (_, bytes) in test_files("") {
        for length in 0..bytes.len() {
            let _ = midi::read(&bytes[..length]);
        }
    }
}

#[test]
fn many_open_notes_of_one_pitch_take_linear_time() {
    let count = 200_000;
    let mut events = [0, 0x90, 60, 100].to_vec();
    events.extend([0, 60, 100].repeat(count - 1));
    events.extend([0, 60, 0].repeat(count));
    let length = (events.len() as u32).to_be_bytes();
    let bytes = [b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk".as_slice(), &length, &events].concat();
    assert_eq!(midi::read(&bytes).expect("valid").tracks[0].notes.len(), count);
}

/// A file with one track that has a name and then these events.
fn named(name: &[u8], events: &[u8]) -> Vec<u8> {
    // A variable-length number of four bytes.
    let length = name.len() as u32;
    let sizes = [21, 14, 7, 0].map(|shift| (length >> shift) as u8 & 0x7f | if shift > 0 { 0x80 } else { 0 });
    let track = [b"\0\xff\x03".as_slice(), &sizes, name, events].concat();
    let length = (track.len() as u32).to_be_bytes();
    [b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk".as_slice(), &length, &track].concat()
}

#[test]
fn a_long_name_is_cut_before_every_program_gets_its_copy() {
    let mut events = Vec::new();
    for channel in 0..16 {
        for program in 0..128 {
            events.extend([0, 0xc0 | channel, program, 0, 0x90 | channel, 60, 1, 0, 60, 0]);
        }
    }
    let score = midi::read(&named(&[b'x'; 100_000], &events)).expect("valid");
    assert_eq!(score.tracks.len(), 2048);
    assert!(score.tracks.iter().all(|track| track.name == "x".repeat(256)));
    let programs: Vec<_> = score.tracks.iter().map(|track| (track.channel, track.program)).collect();
    assert!(programs.is_sorted() && programs.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_cut_name_splits_no_character_and_reads_back_the_same() {
    let note = [0, 0x90, 60, 1, 0, 60, 0];
    // UTF-8 of two bytes behind one of one, then Latin-1, which grows when it is read.
    let names = [["a", &"é".repeat(200)].concat().into_bytes(), vec![0xe9; 300], vec![0xe9; 200]];
    for (name, expected) in
        names.iter().zip([["a", &"é".repeat(127)].concat(), "é".repeat(128), "é".repeat(128)])
    {
        let score = midi::read(&named(name, &note)).expect("valid");
        assert_eq!(score.tracks[0].name, expected);
        assert_eq!(midi::read(&midi::write(&score)), Ok(score));
    }
}

#[test]
fn many_program_changes_among_many_tracks_find_the_right_track() {
    let mut events = Vec::new();
    let rounds = 40;
    for _ in 0..rounds {
        for program in 0..128 {
            for channel in 0..16 {
                events.extend([0, 0xc0 | channel, program, 0, 0x90 | channel, 60, 1, 0, 60, 0]);
            }
        }
    }
    let score = midi::read(&named(b"", &events)).expect("valid");
    assert_eq!(score.tracks.len(), 2048);
    assert!(score.tracks.iter().all(|track| track.notes.len() == rounds));
}
