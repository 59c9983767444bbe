//! WAV files: write and read 16-bit, 24-bit and 32-bit float.
//!
//! Source: Microsoft "Multiple Channel Audio Data and WAVE Files"; RIFF sizes are 32 bits, so a file stays below 4 GiB.

use std::io::Write;

use crate::stop::Stop;
use crate::{Error, Pcm, noise::Noise};

/// How samples are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WavFormat {
    /// 16-bit integers with triangular dither of one step, from a fixed seed: same samples, same bytes.
    #[default]
    Int16,
    /// 24-bit integers, no dither.
    Int24,
    /// 32-bit IEEE floats: the samples exactly as they are.
    Float32,
}

impl WavFormat {
    fn bytes(self) -> usize {
        match self {
            Self::Int16 => 2,
            Self::Int24 => 3,
            Self::Float32 => 4,
        }
    }
}

const DITHER_SEED: u64 = 0x5eed;

/// The whole WAV file as bytes.
///
/// Integer formats clip at full scale; samples that are not numbers become 0.
///
/// # Errors
/// [`Error::Channels`] for uneven channels, [`Error::Wav`] if the file would pass 4 GiB,
/// [`Error::SampleRate`] for a rate outside 1..=384000 Hz.
pub fn wav_bytes(pcm: &Pcm, format: WavFormat) -> Result<Vec<u8>, Error> {
    encode(pcm, format, Stop::NEVER)
}

/// As [`wav_bytes`], asking `stop` every few milliseconds whether to break off.
///
/// # Errors
/// [`Error::Stopped`] once `stop` says `true`; else those of [`wav_bytes`].
pub fn wav_bytes_until(pcm: &Pcm, format: WavFormat, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, Error> {
    encode(pcm, format, Stop::when(stop))
}

fn encode(pcm: &Pcm, format: WavFormat, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    pcm.check_channels()?;
    if !(1..=384_000).contains(&pcm.sample_rate) {
        return Err(Error::SampleRate { min: 1, max: 384_000, got: pcm.sample_rate });
    }
    let channels = pcm.channels.len();
    let frame_bytes = channels * format.bytes();
    let data_bytes = pcm.frames() as u64 * frame_bytes as u64;
    let too_big = || Error::Wav {
        what: "data size",
        allowed: "below 4294967000 bytes",
        got: format!("{data_bytes} bytes"),
    };
    let data_size =
        u32::try_from(data_bytes).ok().filter(|&size| size < 4_294_967_000).ok_or_else(too_big)?;
    let (tag, extra): (u16, u32) = if format == WavFormat::Float32 { (3, 12) } else { (1, 0) };
    let pad = data_size & 1;

    let mut out = Vec::with_capacity(56 + data_size as usize + 1);
    out.extend(b"RIFF");
    out.extend((36 + extra + data_size + pad).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16u32.to_le_bytes());
    out.extend(tag.to_le_bytes());
    out.extend((channels as u16).to_le_bytes());
    out.extend(pcm.sample_rate.to_le_bytes());
    out.extend((pcm.sample_rate * frame_bytes as u32).to_le_bytes());
    out.extend((frame_bytes as u16).to_le_bytes());
    out.extend((format.bytes() as u16 * 8).to_le_bytes());
    if format == WavFormat::Float32 {
        // Required for formats other than integer PCM: frames in the file.
        out.extend(b"fact");
        out.extend(4u32.to_le_bytes());
        out.extend((pcm.frames() as u32).to_le_bytes());
    }
    out.extend(b"data");
    out.extend(data_size.to_le_bytes());
    let mut noise = Noise::new(DITHER_SEED);
    for frame in 0..pcm.frames() {
        stop.at(frame)?;
        for channel in &pcm.channels {
            let sample = if channel[frame].is_finite() { channel[frame] } else { 0.0 };
            match format {
                WavFormat::Int16 => {
                    // Digital silence stays silent.
                    let dither = if sample == 0.0 { 0.0 } else { noise.triangular() };
                    let step = (sample * 32767.0 + dither + 0.5).floor().clamp(-32768.0, 32767.0);
                    out.extend((step as i16).to_le_bytes());
                }
                WavFormat::Int24 => {
                    let step = (f64::from(sample) * 8_388_607.0 + 0.5).floor();
                    let step = step.clamp(-8_388_608.0, 8_388_607.0) as i32;
                    out.extend(&step.to_le_bytes()[..3]);
                }
                WavFormat::Float32 => out.extend(sample.to_le_bytes()),
            }
        }
    }
    if pad == 1 {
        out.push(0);
    }
    Ok(out)
}

/// Writes a WAV file to `sink`. See [`wav_bytes`].
///
/// # Errors
/// As [`wav_bytes`], and [`Error::Io`] when writing fails.
pub fn write_wav<W: Write>(sink: &mut W, pcm: &Pcm, format: WavFormat) -> Result<(), Error> {
    let bytes = wav_bytes(pcm, format)?;
    sink.write_all(&bytes).map_err(|source| Error::Io { action: "write", name: "wav".into(), source })
}

/// Reads a WAV file of 16- or 24-bit integers or 32-bit floats, plain or extensible header, 1..=8 channels.
///
/// A data chunk that claims more than the file holds is read as far as it goes. Samples that are not numbers become 0.
///
/// # Errors
/// [`Error::Wav`] naming the field that is broken or not supported.
pub fn read_wav(bytes: &[u8]) -> Result<Pcm, Error> {
    let wrong = |what, allowed, got: String| Error::Wav { what, allowed, got };
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
        let start = bytes[..bytes.len().min(12)].escape_ascii().to_string();
        return Err(wrong("header", "RIFF....WAVE", format!("\"{start}\"")));
    }
    let mut rest = &bytes[12..];
    let mut format: Option<(u16, u16, u32, u16)> = None;
    while rest.len() >= 8 {
        let (head, body) = rest.split_at(8);
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let chunk = &body[..size.min(body.len())];
        match &head[..4] {
            b"fmt " => {
                if chunk.len() < 16 {
                    return Err(wrong("fmt chunk", "at least 16 bytes", format!("{}", chunk.len())));
                }
                let u16_at = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
                let rate = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
                // 0xfffe: extensible, the real tag starts the sub-format id.
                let tag = if u16_at(0) == 0xfffe && chunk.len() >= 26 { u16_at(24) } else { u16_at(0) };
                format = Some((tag, u16_at(2), rate, u16_at(14)));
            }
            b"data" => {
                let (tag, channels, rate, bits) =
                    format.ok_or_else(|| wrong("fmt chunk", "before the data chunk", "none".into()))?;
                if !(1..=8).contains(&channels) {
                    return Err(wrong("channels", "in 1..=8", channels.to_string()));
                }
                if !(1..=384_000).contains(&rate) {
                    return Err(wrong("sample rate", "in 1..=384000 Hz", rate.to_string()));
                }
                let sample: fn(&[u8]) -> f32 = match (tag, bits) {
                    (1, 16) => |b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32767.0,
                    (1, 24) => |b| (i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8) as f32 / 8_388_607.0,
                    (3, 32) => |b| {
                        let value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                        if value.is_finite() { value } else { 0.0 }
                    },
                    _ => {
                        let got = format!("tag {tag} with {bits} bits");
                        return Err(wrong("format", "16- or 24-bit integer or 32-bit float", got));
                    }
                };
                let width = usize::from(bits / 8);
                let frame = width * usize::from(channels);
                let decode = |c| chunk.chunks_exact(frame).map(|f| sample(&f[c * width..])).collect();
                return Ok(Pcm {
                    sample_rate: rate,
                    channels: (0..usize::from(channels)).map(decode).collect(),
                });
            }
            _ => {}
        }
        // Chunks are padded to even sizes.
        rest = body.get(size + (size & 1)..).unwrap_or(&[]);
    }
    Err(wrong("data chunk", "present", "none".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Pcm {
        let left: Vec<f32> = (0..1001).map(|i| (i - 500) as f32 / 500.0).collect();
        let right = left.iter().map(|x| -0.5 * x).collect();
        Pcm { sample_rate: 48_000, channels: vec![left, right] }
    }

    #[test]
    fn wav_round_trip_keeps_samples_to_one_step() {
        let pcm = ramp();
        // One step of rounding plus one of dither at 16 bits; half a step at 24; nothing in float.
        for (format, tolerance) in [
            (WavFormat::Int16, 1.6 / 32767.0),
            (WavFormat::Int24, 1.0 / 8_388_607.0),
            (WavFormat::Float32, 0.0),
        ] {
            let back = read_wav(&wav_bytes(&pcm, format).unwrap()).unwrap();
            assert_eq!(back.sample_rate, 48_000);
            assert_eq!(back.frames(), pcm.frames());
            for (a, b) in pcm.channels.iter().flatten().zip(back.channels.iter().flatten()) {
                assert!((a - b).abs() <= tolerance, "{format:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn sizes_in_the_header_match_the_file() {
        let pcm = Pcm { sample_rate: 44_100, channels: vec![vec![0.1; 3]] };
        for format in [WavFormat::Int16, WavFormat::Int24, WavFormat::Float32] {
            let bytes = wav_bytes(&pcm, format).unwrap();
            let riff = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
            assert_eq!(riff as usize + 8, bytes.len(), "{format:?}");
            assert_eq!(bytes.len() % 2, 0);
        }
    }

    #[test]
    fn any_truncation_of_a_wav_is_read_or_refused_without_panic() {
        let bytes = wav_bytes(&ramp(), WavFormat::Int24).unwrap();
        for end in 0..bytes.len().min(200) {
            let _ = read_wav(&bytes[..end]);
        }
        let mut noise = Noise::new(1);
        for _ in 0..2000 {
            let mut hostile = bytes[..120].to_vec();
            for _ in 0..4 {
                let at = noise.between(12.0, 60.0) as usize;
                hostile[at] = noise.between(0.0, 256.0) as u8;
            }
            let _ = read_wav(&hostile);
        }
    }

    #[test]
    fn full_scale_and_nonsense_samples_clip_instead_of_wrapping() {
        let pcm = Pcm { sample_rate: 8000, channels: vec![vec![3.0, -3.0, f32::NAN]] };
        let back = read_wav(&wav_bytes(&pcm, WavFormat::Int16).unwrap()).unwrap();
        assert!(back.channels[0][0] > 0.999 && back.channels[0][1] < -0.999);
        assert_eq!(back.channels[0][2], 0.0);
    }
}
