//! Everything that reads bytes from outside, given any bytes: a value or an error, never a panic.
//!
//! Each function is one fuzz target; `cargo +nightly fuzz run midi_read fuzz/corpus/midi_read testdata/midi`
//! searches for inputs that break it (for the others the second folder is `fuzz/seeds/<target>`).
//! `tests/replay.rs` runs them all over the seeds on any compiler, and
//! `cargo run --manifest-path fuzz/Cargo.toml --bin midi_read -- FILE` over one file.
#![forbid(unsafe_code)]

use partita_audio::{WavFormat, read_wav, wav::wav_bytes};
use partita_nn::Tensors;
use partita_score::{DrumMap, NoteSequence, midi, quantize_drums};
use partita_tokens::drum_steps::{DrumsConverter, REDUCED};
use partita_tokens::drums::{MAX_STEPS_PER_BAR, decode_hits};
use partita_tokens::groove::{self, GrooveConverter};
use partita_tokens::melody::{MelodyConverter, check_monophonic, top_line};
use partita_tokens::trio;

/// What a target does with its bytes.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("midi_read", midi_read),
    ("note_sequence", note_sequence),
    ("wav_read", wav_read),
    ("safetensors", safetensors),
    ("torch_file", torch_file),
    ("torch_pickle", torch_pickle),
    ("table_block", table_block),
    ("mag_file", mag_file),
    ("archive_file", archive_file),
    ("tfjs_manifest", tfjs_manifest),
    ("drum_tokens", drum_tokens),
];

/// A score that is read survives writing and reading.
pub fn midi_read(bytes: &[u8]) {
    let Ok(score) = midi::read(bytes) else { return };
    assert_eq!(midi::read(&midi::write(&score)).as_ref(), Ok(&score));
    let _ = quantize_drums(&score, DrumMap::Gm);
    let _ = score.duration();
}

/// Bytes of a MIDI file or of JSON: a sequence that is read survives writing and reading, becomes a MIDI file, and every
/// converter says yes or no to it.
pub fn note_sequence(bytes: &[u8]) {
    let json = std::str::from_utf8(bytes).ok().and_then(|text| NoteSequence::from_json(text).ok());
    let Some(sequence) = json.or_else(|| NoteSequence::from_midi(bytes).ok()) else { return };
    assert_eq!(NoteSequence::from_json(&sequence.to_json()).as_ref(), Ok(&sequence));
    let score = midi::read(&midi::write(&sequence.to_score())).expect("our own file");
    assert_eq!(score.tracks.iter().map(|track| track.notes.len()).sum::<usize>(), sequence.notes.len());
    let _ = NoteSequence::from(&score);
    for converter in [MelodyConverter::two_bars(), MelodyConverter::sixteen_bars()] {
        let _ = (converter.all(&sequence), converter.one(&sequence), converter.one_with_chords(&sequence));
        let _ = check_monophonic(&sequence, &converter);
        let _ = converter.one(&top_line(&sequence, &converter));
    }
    let _ = (DrumsConverter::two_bars().one(&sequence), DrumsConverter::two_bars_full().all(&sequence));
    let _ = trio::one(&sequence);
    let drums = groove::drums_only(&sequence, REDUCED);
    let _ = (GrooveConverter::four_bars().all_padded(&drums), GrooveConverter::four_bars().one(&sequence));
}

/// Samples that are read are finite, and as floats survive writing and reading.
pub fn wav_read(bytes: &[u8]) {
    let Ok(pcm) = read_wav(bytes) else { return };
    assert!(pcm.channels.iter().flatten().all(|sample| sample.is_finite()));
    let written = wav_bytes(&pcm, WavFormat::Float32).expect("what was read can be written");
    let again = read_wav(&written).expect("what was written can be read");
    assert_eq!(again.channels, pcm.channels);
}

/// Every tensor that is listed can be asked for, and has as many values as its shape says.
pub fn safetensors(bytes: &[u8]) {
    weights(bytes.to_vec());
}

/// As [`safetensors`], for the zip of torch.
pub fn torch_file(bytes: &[u8]) {
    weights(bytes.to_vec());
}

/// As [`torch_file`], for a zip that is right, with these bytes as its pickle.
pub fn torch_pickle(bytes: &[u8]) {
    weights(torch_zip(bytes));
}

/// A torch file with this pickle and a storage "0" of 16 bytes.
pub fn torch_zip(pickle: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in [("m/data.pkl", pickle), ("m/data/0", &[0; 16])] {
        let short = |number: usize| (number as u16).to_le_bytes();
        let long = |number: usize| (number as u32).to_le_bytes();
        let described =
            [[0; 6].as_slice(), &[0; 8], &long(data.len()), &long(data.len()), &short(name.len())];
        let described = described.concat();
        directory.extend([b"PK\x01\x02\0\0", described.as_slice(), &[0; 12], &long(file.len())].concat());
        directory.extend(name.as_bytes());
        file.extend([b"PK\x03\x04", described.as_slice(), &[0; 2], name.as_bytes(), data].concat());
    }
    let (at, length) = ((file.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0\x02\0\x02\0".as_slice(), &length, &at, &[0; 2]].concat());
    file
}

/// As [`safetensors`], for a table of TensorFlow that is right, with these bytes as its only block: the index of a
/// checkpoint in two files, or all of one in one.
pub fn table_block(bytes: &[u8]) {
    weights(table_archive(bytes));
}

/// As [`safetensors`], for a bundle of Magenta.
pub fn mag_file(bytes: &[u8]) {
    weights(bytes.to_vec());
}

/// As [`safetensors`], for a tar, packed or not.
pub fn archive_file(bytes: &[u8]) {
    weights(bytes.to_vec());
}

/// As [`safetensors`], for a manifest of magenta-js, whose only file is `s` with 64 bytes.
pub fn tfjs_manifest(bytes: &[u8]) {
    weights(manifest_archive(bytes));
}

/// A table with this block, beside 64 bytes of data.
pub fn table_archive(block: &[u8]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut put = |content: &[u8]| {
        let at = table.len();
        table.extend([content, &[0]].concat());
        let checksum = masked_crc32c(&table[at..]);
        table.extend(checksum.to_le_bytes());
        [varint(at), varint(content.len())].concat()
    };
    let handle = put(block);
    let index = put(&[&[0, 1, handle.len() as u8, b'z'], handle.as_slice(), &[0; 4]].concat());
    let metaindex = put(&[0; 4]);
    let mut footer = [metaindex, index].concat();
    footer.resize(40, 0);
    table.extend(footer);
    table.extend(0xdb47_7524_8b80_fb57_u64.to_le_bytes());
    tar(&[("m.index", &table), ("m.data-00000-of-00001", &[7; 64])])
}

/// A manifest beside its file.
pub fn manifest_archive(manifest: &[u8]) -> Vec<u8> {
    tar(&[("weights_manifest.json", manifest), ("s", &[7; 64])])
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn masked_crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![];
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend(header);
        out.extend(*content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn weights(bytes: Vec<u8>) {
    let Ok(tensors) = Tensors::from_bytes(bytes) else { return };
    for name in tensors.names() {
        let shape = tensors.shape(name).expect("listed names have a shape");
        if let Ok(values) = tensors.f32(name, shape) {
            assert_eq!(values.len(), shape.iter().product::<usize>());
            let Some(&rows) = shape.first() else { continue };
            let halves = [0..rows / 2, rows / 2..rows].map(|half| tensors.rows(name, shape, half));
            let halves = halves.into_iter().flat_map(|half| half.expect("rows of a tensor that is there"));
            assert!(values.iter().map(|value| value.to_bits()).eq(halves.map(f32::to_bits)));
        }
        let _ = tensors.integers(name);
    }
}

/// Hits have velocities and offsets of their ranges. The first byte chooses the metre, each pair after it is an id.
pub fn drum_tokens(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let steps_per_bar = 1 + u32::from(first) % MAX_STEPS_PER_BAR;
    let ids: Vec<u32> = rest.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect();
    let hits = decode_hits(steps_per_bar, &ids);
    assert!(hits.len() <= ids.len());
    for hit in hits {
        assert!((1..=127).contains(&hit.velocity), "velocity {}", hit.velocity);
        assert!((-0.5..0.5).contains(&hit.offset), "offset {}", hit.offset);
    }
}

/// Runs a target over the files named on the command line.
///
/// # Errors
/// A file that cannot be read.
pub fn replay_arguments(target: Target) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        target(&std::fs::read(path)?);
    }
    Ok(())
}
