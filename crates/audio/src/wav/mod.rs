//! WAV files: written whole or chunk by chunk as 16-bit, 24-bit or float, read in every plain format.
//!
//! Source: Microsoft "Multiple Channel Audio Data and WAVE Files"; RIFF sizes are 32 bits, so a file stays below 4 GiB.

mod read;
mod write;

pub(crate) use read::find_samples;
pub use read::read_wav;
pub use write::{WavWriter, wav_bytes, wav_bytes_until, write_wav};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pcm, noise::Noise};

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

    #[test]
    fn a_wav_written_in_chunks_is_the_wav_written_whole() {
        let pcm = ramp();
        for format in [WavFormat::Int16, WavFormat::Int24, WavFormat::Float32] {
            let whole = wav_bytes(&pcm, format).unwrap();
            for step in [1, 7, 1000, 5000] {
                let mut writer = WavWriter::new(Vec::new(), 48_000, 2, format, Some(1001)).unwrap();
                for start in (0..1001).step_by(step) {
                    let part = start..(start + step).min(1001);
                    writer.write(&[&pcm.channels[0][part.clone()], &pcm.channels[1][part]]).unwrap();
                }
                assert_eq!(writer.finish().unwrap(), whole, "{format:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn a_wav_of_unknown_length_says_so_and_reads_back() {
        let pcm = ramp();
        for format in [WavFormat::Int16, WavFormat::Int24, WavFormat::Float32] {
            let mut writer = WavWriter::new(Vec::new(), 48_000, 2, format, None).unwrap();
            writer.write(&[&pcm.channels[0], &pcm.channels[1]]).unwrap();
            let bytes = writer.finish().unwrap();
            assert_eq!(bytes[4..8], [0xff; 4]);
            let whole = read_wav(&wav_bytes(&pcm, format).unwrap()).unwrap();
            assert_eq!(read_wav(&bytes).unwrap(), whole);
        }
    }

    #[test]
    fn a_chunk_of_the_wrong_shape_and_a_broken_promise_are_errors() {
        let mut writer = WavWriter::new(Vec::new(), 8000, 2, WavFormat::Int16, Some(2)).unwrap();
        assert!(writer.write(&[&[0.0]]).is_err(), "one channel of two");
        assert!(writer.write(&[&[0.0], &[0.0, 0.0]]).is_err(), "uneven");
        writer.write(&[&[0.0], &[0.0]]).unwrap();
        let error = writer.finish().unwrap_err().to_string();
        assert_eq!(error, "wav frames must be 2, as the header says, got 1");
        let mut writer = WavWriter::new(Vec::new(), 8000, 1, WavFormat::Int16, Some(1)).unwrap();
        assert!(writer.write(&[&[0.0, 0.0]]).is_err(), "more than promised");
    }
}
