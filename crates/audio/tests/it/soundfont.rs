//! SoundFonts: a small one made here, and broken ones.

use crate::helpers::*;
use partita_audio::{RenderOptions, SoundFont, Voice, render};

fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [id.as_slice(), &(body.len() as u32).to_le_bytes(), body].concat()
}

fn list(kind: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"LIST", &[kind.as_slice(), &chunks.concat()].concat())
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn name(text: &str) -> Vec<u8> {
    let mut name = text.as_bytes().to_vec();
    name.resize(20, 0);
    name
}

/// A looped 441 Hz sine at pitch 69: bank 0 program 0 as it is, bank 128 program 0 an octave up.
fn tiny_sf2() -> Vec<u8> {
    let sine = |i: u32| (f64::from(i) * std::f64::consts::TAU / 100.0).sin() * 20_000.0;
    let mut samples: Vec<u8> = (0..1000).flat_map(|i| (sine(i) as i16).to_le_bytes()).collect();
    samples.resize(samples.len() + 92, 0);
    let preset =
        |text, program, bank, zone| [name(text), words(&[program, bank, zone]), vec![0; 12]].concat();
    let presets = [preset("tone", 0, 0, 0), preset("drums", 0, 128, 1), preset("EOP", 0, 0, 2)].concat();
    let instruments =
        [name("sine"), words(&[0]), name("high"), words(&[1]), name("EOI"), words(&[2])].concat();
    let sample = [
        name("sine"),
        [0u32, 1000, 100, 900, 44_100].iter().flat_map(|v| v.to_le_bytes()).collect(),
        vec![69, 0],
        words(&[0, 1]),
    ]
    .concat();
    let pdta = [
        chunk(b"phdr", &presets),
        chunk(b"pbag", &words(&[0, 0, 1, 0, 2, 0])),
        chunk(b"pmod", &[0; 10]),
        // 41: instrument.
        chunk(b"pgen", &words(&[41, 0, 41, 1, 0, 0])),
        chunk(b"inst", &instruments),
        chunk(b"ibag", &words(&[0, 0, 2, 0, 5, 0])),
        chunk(b"imod", &[0; 10]),
        // 54: loop mode, 51: coarse tune, 53: sample.
        chunk(b"igen", &words(&[54, 1, 53, 0, 54, 1, 51, 12, 53, 0, 0, 0])),
        chunk(b"shdr", &[sample, vec![0; 46]].concat()),
    ];
    let info = [chunk(b"ifil", &words(&[2, 1])), chunk(b"INAM", b"tiny\0\0")];
    let lists =
        [list(b"INFO", &info), list(b"sdta", &[chunk(b"smpl", &samples)]), list(b"pdta", &pdta)].concat();
    chunk(b"RIFF", &[b"sfbk".as_slice(), &lists].concat())
}

fn options() -> RenderOptions {
    let font = SoundFont::from_bytes(&tiny_sf2()).unwrap();
    RenderOptions { voice: Voice::SoundFont(font), loudness: None, ..RenderOptions::default() }
}

#[test]
fn presets_are_listed_as_in_the_file() {
    let font = SoundFont::from_bytes(&tiny_sf2()).unwrap();
    assert_eq!(font.presets().collect::<Vec<_>>(), [(0, 0, "tone"), (128, 0, "drums")]);
    assert_eq!(font.name(), "tiny");
}

#[test]
fn channel_9_plays_bank_128_and_others_bank_0() {
    for (channel, expected) in [(0, 441.0), (9, 882.0)] {
        let wave = mix(&render(&score(channel, 0, &[(0.0, 69, 100)]), &options()).unwrap());
        let tone = strongest(&wave);
        assert!((tone / expected - 1.0).abs() < 0.02, "{channel}: {tone}");
    }
}

#[test]
fn soundfont_notes_start_and_stop_where_written() {
    let wave = mix(&render(&score(0, 0, &[(0.5, 69, 100)]), &options()).unwrap());
    assert_eq!(energy(part(&wave, 0.0, 0.499)), 0.0);
    assert!(energy(part(&wave, 0.5, 0.6)) > 50.0 * energy(part(&wave, 0.9, 1.0)));
}

#[test]
fn soundfont_renders_are_repeatable_and_reach_the_loudness() {
    let options = RenderOptions { loudness: Some(-20.0), ..options() };
    let tune = score(0, 0, &[(0.0, 60, 100), (0.3, 64, 80), (0.6, 67, 120)]);
    let pcm = render(&tune, &options).unwrap();
    assert_eq!(pcm, render(&tune, &options).unwrap());
    assert!((partita_audio::integrated_loudness(&pcm).unwrap() + 20.0).abs() < 0.5);
}

#[test]
fn soundfont_needs_16_khz() {
    let options = RenderOptions { sample_rate: 8000, ..options() };
    let message = render(&score(0, 0, &[(0.0, 60, 100)]), &options).unwrap_err().to_string();
    assert_eq!(message, "sample_rate must be in 16000..=192000 Hz, got 8000");
}

#[test]
fn files_that_are_no_soundfont_say_so() {
    let message = |bytes: &[u8]| SoundFont::from_bytes(bytes).unwrap_err().to_string();
    assert_eq!(message(b""), "soundfont header must be RIFF....sfbk, got \"\"");
    assert!(message(b"RIFF\0\0\0\0WAVEfmt ").contains("RIFF....sfbk"));
    // A chunk of 4 GiB must not be allocated.
    let mut huge = tiny_sf2();
    huge[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(message(&huge).contains("chunk size must be inside the file"));
}

#[test]
fn zone_tables_that_turn_back_are_refused() {
    let mut bytes = tiny_sf2();
    let at = bytes.windows(4).position(|w| w == b"inst").unwrap() + 8 + 20;
    bytes[at] = 2;
    let message = SoundFont::from_bytes(&bytes).unwrap_err().to_string();
    assert!(message.contains("rising indices"), "{message}");
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = tiny_sf2();
    for end in 0..bytes.len() {
        assert!(SoundFont::from_bytes(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn no_single_wrong_byte_panics() {
    let good = tiny_sf2();
    let tune = score(0, 0, &[(0.0, 69, 100), (0.05, 127, 100)]);
    let tables = good.windows(4).position(|w| w == b"phdr").unwrap();
    for at in (0..60).chain(tables..good.len()) {
        for value in [0, 1, 127, 128, 255] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(font) = SoundFont::from_bytes(&bytes) {
                let options = RenderOptions {
                    voice: Voice::SoundFont(font),
                    tail: partita_score::Second(0.0),
                    loudness: None,
                    sample_rate: 16_000,
                };
                if let Ok(pcm) = render(&tune, &options) {
                    assert!(pcm.channels.iter().flatten().all(|x| x.is_finite()));
                }
            }
        }
    }
}
