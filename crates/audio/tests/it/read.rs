//! Files made by other programs (`testdata/audio`), whole, cut and broken.

use std::path::{Path, PathBuf};

use partita_audio::wav::wav_bytes;
use partita_audio::{
    Error, Limits, Pcm, WavFormat, flac_bytes, opus_bytes, read_audio, read_audio_file, read_wav,
};

/// Samples of the files with two tones.
const FRAMES: usize = 6615;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/audio").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("is there")
}

fn read(bytes: &[u8]) -> Result<Pcm, Error> {
    read_audio("the file", bytes, &Limits::default())
}

fn reason(bytes: &[u8]) -> String {
    read(bytes).map(|pcm| pcm.frames()).expect_err("must be refused").to_string()
}

/// Likeness of `wave` and a sine of `hz` of any phase, 1 for the sine itself, without the ends.
fn likeness(wave: &[f32], hz: f64, rate: u32) -> f64 {
    let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
    let ends = wave.len() / 8..wave.len() * 7 / 8;
    let frames = ends.len() as f64;
    for i in ends {
        let angle = std::f64::consts::TAU * hz * i as f64 / f64::from(rate);
        let sample = f64::from(wave[i]);
        sine += sample * angle.sin();
        cosine += sample * angle.cos();
        power += sample * sample;
    }
    (sine * sine + cosine * cosine).sqrt() / (power * frames / 2.0).sqrt()
}

fn noise() -> impl FnMut(usize) -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    }
}

#[test]
fn flac_mp3_and_vorbis_give_the_tones_that_went_in_at_their_length() {
    // Lossy coders smear; the likeness of the wrong tone is below 0.1.
    for (name, least) in [("tones.flac", 0.9999), ("tones.mp3", 0.99), ("tones.ogg", 0.99)] {
        let pcm = read_audio_file(&path(name), &Limits::default()).expect(name);
        assert_eq!((pcm.sample_rate, pcm.channels.len(), pcm.frames()), (22_050, 2, FRAMES), "{name}");
        for (channel, hz) in pcm.channels.iter().zip([440.0, 660.0]) {
            let like = likeness(channel, hz, 22_050);
            assert!(like > least, "{name}: {hz} Hz: {like}");
            assert!(likeness(channel, 1100.0 - hz, 22_050) < 0.1, "{name}: the other channel's tone");
            let peak = channel.iter().fold(0.0f32, |peak, x| peak.max(x.abs()));
            assert!((0.11..0.14).contains(&peak), "{name}: {peak}");
        }
    }
}

#[test]
fn gapless_mp3_lines_up_with_the_lossless_file() {
    let (mp3, flac) = (read(&bytes("tones.mp3")).unwrap(), read(&bytes("tones.flac")).unwrap());
    for (lossy, exact) in mp3.channels.iter().zip(&flac.channels) {
        let middle = 1000..FRAMES - 1000;
        let error: f32 = middle.clone().map(|i| (lossy[i] - exact[i]).powi(2)).sum();
        let power: f32 = middle.map(|i| exact[i].powi(2)).sum();
        assert!(error < 0.01 * power, "{error} of {power}: shifted by the encoder's delay?");
    }
}

#[test]
fn a_24_bit_flac_keeps_its_steps() {
    let pcm = read(&bytes("tone-24-bit.flac")).unwrap();
    assert_eq!((pcm.sample_rate, pcm.channels.len(), pcm.frames()), (96_000, 1, 4800));
    assert!(likeness(&pcm.channels[0], 1000.0, 96_000) > 0.9999);
    let steps = pcm.channels[0].iter().map(|x| f64::from(*x) * 8_388_607.0);
    let (mut largest, mut worst) = (0.0f64, 0.0f64);
    for step in steps {
        largest = largest.max(step);
        worst = worst.max((step - step.round()).abs());
    }
    // A float holds 24 bits, so a step is exact to a fraction of the number.
    assert!(largest > 1e6 && worst < 0.1, "{largest} {worst}");
}

#[test]
fn wav_reads_as_read_wav_does_and_the_name_says_nothing() {
    let pcm = read(&bytes("tones.flac")).unwrap();
    for format in [WavFormat::Int16, WavFormat::Int24, WavFormat::Float32] {
        let wav = wav_bytes(&pcm, format).unwrap();
        assert!(read_audio("a.mp3", &wav, &Limits::default()).unwrap() == read_wav(&wav).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let disguised = folder.path().join("song.wav");
    std::fs::write(&disguised, bytes("tones.ogg")).unwrap();
    assert_eq!(read_audio_file(&disguised, &Limits::default()).unwrap().frames(), FRAMES);
}

#[test]
fn wav_of_8_and_32_bits_and_doubles_are_read() {
    let header = |tag: u16, bits: u16, data: &[u8]| {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        wav.extend(tag.to_le_bytes());
        wav.extend([1, 0]);
        wav.extend(8000u32.to_le_bytes());
        wav.extend([0; 6]);
        wav.extend(bits.to_le_bytes());
        wav.extend(b"data");
        wav.extend((data.len() as u32).to_le_bytes());
        wav.extend(data);
        wav
    };
    let first = |wav: &[u8]| read(wav).unwrap().channels.remove(0);
    assert_eq!(first(&header(1, 8, &[255, 128, 1])), [1.0, 0.0, -1.0]);
    assert_eq!(first(&header(1, 32, &i32::MAX.to_le_bytes())), [1.0]);
    let doubles: Vec<u8> = [0.25f64, f64::INFINITY].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(first(&header(3, 64, &doubles)), [0.25, 0.0]);
    let error = reason(&header(7, 8, &[0; 8]));
    assert!(error.starts_with("cannot read the file as audio: wav format must be 8-, 16-"), "{error}");
    assert!(error.ends_with("got tag 7 with 8 bits"), "{error}");
}

#[test]
fn an_mp3_may_have_a_tag_in_front_and_no_length() {
    let plain = bytes("tones.mp3");
    let wanted = read(&plain).unwrap();
    let mut tagged = b"ID3\x04\0\0\0\0\x02\x00".to_vec();
    // 256 bytes of tag, of which none looks like the end of it.
    tagged.extend(b"TIT2\0\0\0\x05\0\0\0Song");
    tagged.resize(10 + 256, 0);
    tagged.extend(&plain);
    assert!(read(&tagged).unwrap() == wanted);
    // The first frame holds the length and nothing to hear.
    let second = (4..plain.len()).find(|&at| plain[at..].starts_with(&plain[..2])).expect("a second frame");
    let pcm = read(&plain[second..]).unwrap();
    assert!(pcm.frames() >= FRAMES && pcm.frames() < FRAMES + 3 * 1152, "{}", pcm.frames());
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let pcm = read(&bytes("tones.flac")).unwrap();
    let short = Pcm { sample_rate: 22_050, channels: vec![pcm.channels[0][..500].to_vec()] };
    let wav = wav_bytes(&short, WavFormat::Int16).unwrap();
    // An MP3 may lack a frame, here the 105 bytes of 24 ms: some encoders count one too many.
    let files = [
        ("wav", wav, 0),
        ("flac", bytes("tones.flac"), 0),
        ("ogg", bytes("tones.ogg"), 0),
        ("mp3", bytes("tones.mp3"), 110),
    ];
    for (name, whole, slack) in files {
        read(&whole).expect(name);
        for end in 0..whole.len() - slack {
            let error = read(&whole[..end]).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{name} cut at {end} was read"));
            assert!(error.starts_with("cannot read the file as audio: "), "{name} cut at {end}: {error}");
        }
    }
}

#[test]
fn a_flipped_bit_in_flac_or_vorbis_is_seen_and_in_mp3_does_no_harm() {
    let mut random = noise();
    for (name, checked) in [("tones.flac", true), ("tones.ogg", true), ("tones.mp3", false)] {
        let whole = bytes(name);
        let wanted = read(&whole).unwrap();
        // Before it come the names of the format and, in FLAC, fields nothing depends on.
        for round in 0..600 {
            let mut broken = whole.clone();
            let at = random(whole.len());
            broken[at] ^= 1 << random(8);
            match read(&broken) {
                Ok(pcm) if checked => assert!(pcm == wanted, "{name}: round {round}, byte {at}"),
                Ok(pcm) => assert!(pcm.frames() < 10 * FRAMES, "{name}: round {round}, byte {at}"),
                Err(Error::Unreadable { .. } | Error::TooMuch { .. }) => {}
                Err(error) => panic!("{name}: round {round}, byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn nonsense_behind_a_true_beginning_is_refused_or_read_without_panic() {
    let mut random = noise();
    for name in ["tones.flac", "tones.ogg", "tones.mp3", "tone-24-bit.flac"] {
        let whole = bytes(name);
        for _ in 0..300 {
            let mut broken = whole.clone();
            for _ in 0..1 + random(20) {
                let at = 4 + random(broken.len().min(600) - 4);
                broken[at] = random(256) as u8;
            }
            if random(3) == 0 {
                let at = random(broken.len());
                let part = broken[at..].to_vec();
                broken.truncate(random(whole.len()));
                broken.extend(part);
            }
            let _ = read(&broken);
        }
        for _ in 0..100 {
            let mut noise = whole[..4 + random(40)].to_vec();
            noise.extend((0..2000).map(|_| random(256) as u8));
            let _ = read(&noise);
        }
    }
}

#[test]
fn an_ogg_file_without_one_of_its_pages_is_refused() {
    let whole = bytes("tones.ogg");
    let pages: Vec<usize> = (0..whole.len()).filter(|&at| whole[at..].starts_with(b"OggS")).collect();
    assert!(pages.len() > 5, "{pages:?}");
    for pair in pages.windows(2) {
        let mut broken = whole.clone();
        broken.drain(pair[0]..pair[1]);
        let error = reason(&broken);
        assert!(error.starts_with("cannot read the file as audio: "), "{pair:?}: {error}");
    }
}

#[test]
fn a_vorbis_code_book_that_stops_the_decoder_is_an_error() {
    let error = reason(&bytes("broken-codebook.ogg"));
    assert_eq!(error, "cannot read the file as audio: it is broken where no file may be");
}

#[test]
fn what_is_no_sound_is_named() {
    let message = |text: &[u8]| reason(text);
    let other = "cannot read the file as audio: it must be WAV, FLAC, MP3 or Ogg Vorbis, and starts with";
    assert_eq!(message(b"Hello, world"), format!("{other} \"Hello, w\""));
    assert_eq!(message(b""), format!("{other} \"\""));
    let pcm = read(&bytes("tones.flac")).unwrap();
    let opus = message(&opus_bytes(&pcm, None).unwrap());
    assert_eq!(opus, "cannot read the file as audio: it is Opus: of Ogg files, Vorbis is read");
    let empty = Pcm::silence(8000, 1, 0);
    let error = message(&wav_bytes(&empty, WavFormat::Int16).unwrap());
    assert_eq!(error, "cannot read the file as audio: it holds no sound");
    let missing = read_audio_file(Path::new("no-such-file.wav"), &Limits::default()).unwrap_err();
    assert!(matches!(missing, Error::Io { action: "read", .. }));
    let odd = wav_bytes(&Pcm::silence(4000, 1, 10), WavFormat::Int16).unwrap();
    assert!(message(&odd).ends_with("the sample rate must be in 8000..=192000 Hz, got 4000"));
}

#[test]
fn more_than_the_limits_is_refused_before_it_is_decoded() {
    let pcm = Pcm::silence(8000, 2, 8000 * 11);
    let files = [
        wav_bytes(&pcm, WavFormat::Int16).unwrap(),
        flac_bytes(&pcm).unwrap(),
        bytes("tones.mp3"),
        bytes("tones.ogg"),
    ];
    let error = |file: &[u8], limits: Limits| {
        read_audio("it", file, &limits).map(|pcm| pcm.frames()).unwrap_err().to_string()
    };
    for file in &files[..2] {
        let error = error(file, Limits { seconds: 10, ..Limits::default() });
        assert_eq!(error, "it must hold at most 10 seconds of sound, got at least 11");
    }
    for file in &files {
        let error = error(file, Limits { samples: 10_000, ..Limits::default() });
        assert!(
            error.starts_with("it must hold at most 10000 samples, got more in 2 channels at"),
            "{error}"
        );
        read_audio("it", file, &Limits::default()).unwrap();
    }
}
