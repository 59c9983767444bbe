//! FLAC files, 16 bit: the integers of the 16-bit WAV in about half the bytes.
//!
//! The encoder's predictor is fitted with the platform's maths: on another platform the same integers may be packed
//! in other bytes.

use std::io::Cursor;

use flac_codec::encode::{FlacSampleWriter, Options};

use crate::stop::{STEP, Stop};
use crate::{Error, Pcm, quantize};

/// Highest rate whose frames every FLAC reader takes, Hz.
const MAX_RATE: u32 = 655_350;

/// The whole FLAC file as bytes: 16 bit, with the same rounding and dither as
/// [`WavFormat::Int16`](crate::WavFormat::Int16), so that both files decode to the same samples.
///
/// # Errors
/// [`Error::Channels`] for uneven channels, [`Error::SampleRate`] for a rate outside 1..=655350 Hz,
/// [`Error::Format`] if there is no sample.
pub fn flac_bytes(pcm: &Pcm) -> Result<Vec<u8>, Error> {
    encode(pcm, Stop::NEVER)
}

/// As [`flac_bytes`], asking `stop` every few milliseconds whether to break off.
///
/// # Errors
/// [`Error::Stopped`] once `stop` says `true`; else those of [`flac_bytes`].
pub fn flac_bytes_until(pcm: &Pcm, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, Error> {
    encode(pcm, Stop::when(stop))
}

fn encode(pcm: &Pcm, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    pcm.check_channels()?;
    if !(1..=MAX_RATE).contains(&pcm.sample_rate) {
        return Err(Error::SampleRate { min: 1, max: MAX_RATE, got: pcm.sample_rate });
    }
    if pcm.frames() == 0 {
        let (what, allowed) = ("length", "at least one sample");
        return Err(Error::Format { format: "flac", what, allowed, got: "none".into() });
    }
    let channels = pcm.channels.len();
    let mut file = Cursor::new(Vec::new());
    let options = Options::default().no_padding();
    let total = Some((pcm.frames() * channels) as u64);
    let mut writer = FlacSampleWriter::new(&mut file, options, pcm.sample_rate, 16, channels as u8, total)
        .map_err(failed)?;
    let mut dither = quantize::Int16::new();
    let mut steps = Vec::new();
    for start in (0..pcm.frames()).step_by(STEP / 2) {
        stop.check()?;
        steps.clear();
        for frame in start..(start + STEP / 2).min(pcm.frames()) {
            steps.extend(pcm.channels.iter().map(|channel| i32::from(dither.step(channel[frame]))));
        }
        writer.write(&steps).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(file.into_inner())
}

// By value: it is what `map_err` gives.
#[allow(clippy::needless_pass_by_value)]
fn failed(error: flac_codec::Error) -> Error {
    Error::Encoder { format: "flac", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use crate::{Limits, WavFormat, read_audio, read_wav, wav::wav_bytes};

    fn sound(channels: usize, frames: usize) -> Pcm {
        let mut noise = Noise::new(9);
        let at = |c: usize, i: usize| crate::math::sin_turns(i as f64 * 0.01 * (c + 1) as f64) as f32;
        let wave = |c| (0..frames).map(|i| 0.4 * at(c, i)).collect();
        let mut pcm = Pcm { sample_rate: 32_000, channels: (0..channels).map(wave).collect() };
        for sample in pcm.channels.iter_mut().flatten() {
            *sample += 0.01 * noise.white();
        }
        pcm
    }

    #[test]
    fn flac_and_16_bit_wav_hold_the_same_samples_and_flac_is_smaller() {
        for (channels, frames) in [(1, 1), (1, 4096), (2, 10_000), (8, 5000)] {
            let pcm = sound(channels, frames);
            let flac = flac_bytes(&pcm).unwrap();
            let wav = wav_bytes(&pcm, WavFormat::Int16).unwrap();
            let back = read_audio("a.flac", &flac, &Limits::default()).unwrap();
            assert_eq!(back, read_wav(&wav).unwrap(), "{channels} channels of {frames}");
            assert!(frames < 5000 || flac.len() * 5 < wav.len() * 4, "{} of {}", flac.len(), wav.len());
            assert_eq!(flac_bytes(&pcm).unwrap(), flac, "same samples, same bytes");
        }
    }

    #[test]
    fn nothing_and_stopped_are_errors() {
        let error = flac_bytes(&sound(2, 0)).unwrap_err().to_string();
        assert_eq!(error, "flac length must be at least one sample, got none");
        assert!(matches!(flac_bytes_until(&sound(2, 10), &|| true), Err(Error::Stopped)));
    }
}
