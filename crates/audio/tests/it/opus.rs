//! Opus files, taken apart and decoded again.

use partita_audio::{Error, Pcm, opus_bytes};

/// A file as its reader sees it.
struct Decoded {
    head: Vec<u8>,
    tags: Vec<u8>,
    /// Samples at 48 kHz, `[C][N]`, cut as the file says.
    channels: Vec<Vec<f32>>,
    bytes: usize,
    pages: usize,
}

fn decode(file: &[u8]) -> Decoded {
    let mut packets = ogg::PacketReader::new(std::io::Cursor::new(file));
    let mut next = || packets.read_packet().expect("whole pages");
    let (head, tags) = (next().expect("a head"), next().expect("tags"));
    assert!(head.first_in_stream() && head.last_in_page() && tags.last_in_page());
    assert_eq!((head.absgp_page(), tags.absgp_page()), (0, 0));
    let channels = usize::from(head.data[9]);
    let skip = usize::from(u16::from_le_bytes([head.data[10], head.data[11]]));
    let mut decoder = Box::new(opus_rs::OpusDecoder::new(48_000, channels).expect("a decoder"));
    let mut out: Vec<Vec<f32>> = vec![Vec::new(); channels];
    let mut frame = vec![0.0; 960 * channels];
    let (mut total, mut pages, mut bytes, mut ended) = (0, 0, 0, false);
    while let Some(packet) = next() {
        assert!(!ended, "a packet after the end");
        bytes += packet.data.len();
        let samples = decoder.decode(&packet.data, 960, &mut frame).expect("decodes");
        for (channel, samples) in out.iter_mut().enumerate().map(|(c, out)| (c, (out, samples))) {
            let (out, samples) = samples;
            out.extend(frame.iter().skip(channel).step_by(channels).take(samples));
        }
        ended = packet.last_in_stream();
        if packet.last_in_page() {
            pages += 1;
            total = packet.absgp_page() as usize;
            let decoded = out[0].len();
            assert!(if ended { total <= decoded && decoded - total < 960 } else { total == decoded });
        }
    }
    assert!(ended, "no last page");
    for channel in &mut out {
        channel.truncate(total);
        channel.drain(..skip);
    }
    Decoded { head: head.data, tags: tags.data, channels: out, bytes, pages }
}

/// A chord that breathes, with strokes of noise: something of everything.
fn music(sample_rate: u32, channels: usize, seconds: f64) -> Pcm {
    let frames = (seconds * f64::from(sample_rate)) as usize;
    let mut state = 1u64;
    let mut wave = |c: usize| {
        (0..frames)
            .map(|i| {
                let t = i as f64 / f64::from(sample_rate);
                let tone = |hz: f64| (std::f64::consts::TAU * hz * t).sin();
                let chord = tone(220.0) + tone(277.2 * (1.0 + c as f64)) + tone(329.6) + 0.3 * tone(3520.0);
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = (state >> 40) as f64 / 8_388_608.0 - 1.0;
                (0.1 * chord * (1.0 + tone(0.5)) + 0.05 * noise * (-(t % 0.5) * 20.0).exp()) as f32
            })
            .collect()
    };
    Pcm { sample_rate, channels: (0..channels).map(&mut wave).collect() }
}

/// Decibels by which `wanted` is above what differs from it.
fn signal_to_noise(wanted: &[f32], got: &[f32]) -> f64 {
    let power = |wave: &mut dyn Iterator<Item = f32>| wave.map(|x| f64::from(x * x)).sum::<f64>();
    let noise = power(&mut wanted.iter().zip(got).map(|(a, b)| a - b));
    10.0 * (power(&mut wanted.iter().copied()) / noise).log10()
}

#[test]
fn opus_gives_the_sound_back_at_its_place_and_length() {
    // One sample of shift would leave less than 20 dB of the higher tones; libopus at these rates leaves about as much.
    for (channels, kbits, least) in [(2, None, 20.0), (1, None, 20.0), (2, Some(256), 26.0)] {
        let pcm = music(48_000, channels, 3.0);
        let decoded = decode(&opus_bytes(&pcm, kbits).unwrap());
        assert_eq!(decoded.channels.len(), channels);
        for (wanted, got) in pcm.channels.iter().zip(&decoded.channels) {
            assert_eq!(wanted.len(), got.len());
            let db = signal_to_noise(wanted, got);
            assert!(db > least, "{channels} channels at {kbits:?}: {db} dB");
        }
    }
}

#[test]
fn the_bit_rate_is_about_what_was_asked_for() {
    for (channels, asked, kbits) in
        [(2, None, 128.0), (1, None, 96.0), (2, Some(64), 64.0), (1, Some(24), 24.0), (1, Some(320), 320.0)]
    {
        let decoded = decode(&opus_bytes(&music(48_000, channels, 4.0), asked).unwrap());
        let got = decoded.bytes as f64 * 8.0 / 4.0 / 1000.0;
        assert!((0.75..1.25).contains(&(got / kbits)), "{asked:?}: {got} kbit/s");
    }
}

#[test]
fn other_rates_are_resampled_and_every_length_comes_back() {
    for (rate, frames) in
        [(32_000, 1), (32_000, 640), (32_000, 432), (44_100, 44_100), (48_000, 648), (48_000, 649)]
    {
        let mut pcm = music(rate, 1, 1.0);
        pcm.channels[0].resize(frames, 0.0);
        let decoded = decode(&opus_bytes(&pcm, None).unwrap());
        let wanted = (frames as u64 * 48_000).div_ceil(u64::from(rate));
        assert_eq!(decoded.channels[0].len() as u64, wanted, "{frames} samples at {rate} Hz");
    }
}

#[test]
fn the_headers_are_those_of_rfc_7845() {
    let pcm = music(44_100, 2, 2.5);
    let file = opus_bytes(&pcm, None).unwrap();
    assert_eq!(file, opus_bytes(&pcm, None).unwrap(), "same samples, same bytes");
    let decoded = decode(&file);
    let mut head = b"OpusHead\x01\x02\x38\x01".to_vec();
    head.extend(44_100u32.to_le_bytes());
    head.extend([0, 0, 0]);
    assert_eq!(decoded.head, head);
    assert_eq!(decoded.tags, b"OpusTags\x07\0\0\0partita\0\0\0\0");
    // A page a second, the last with the rest.
    assert_eq!(decoded.pages, 3);
}

#[test]
fn sound_that_opus_cannot_hold_is_refused() {
    let error = |pcm: &Pcm, kbits| opus_bytes(pcm, kbits).unwrap_err().to_string();
    assert_eq!(error(&music(48_000, 3, 0.1), None), "opus channels must be 1 or 2, got 3");
    assert_eq!(error(&music(48_000, 1, 0.0), None), "opus length must be at least one sample, got none");
    assert_eq!(error(&music(48_000, 1, 0.1), Some(9)), "opus bit rate must be in 24..=320 kbit/s, got 9");
    let mut loud = music(48_000, 1, 0.1);
    loud.channels[0][7] = f32::NAN;
    loud.channels[0][8] = 1e30;
    assert!(decode(&opus_bytes(&loud, None).unwrap()).channels[0].iter().all(|x| x.abs() < 2.0));
    let stopped = partita_audio::opus_bytes_until(&loud, None, &|| true);
    assert!(matches!(stopped, Err(Error::Stopped)));
}
