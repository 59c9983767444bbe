//! Loudness after ITU-R BS.1770-4: measuring, and bringing audio to a target without clipping.

use crate::stop::{STEP, Stop};
use crate::{Error, Pcm, limiter, math};
use ebur128::{EbuR128, Mode};

/// Integrated loudness in LUFS: K-weighted, gated at -70 LUFS and 10 LU below the mean.
///
/// 1 or 2 channels count as mono and stereo; more are mapped as left, right, centre, (unused), surrounds.
///
/// # Errors
/// [`Error::Silence`] if nothing passes the gate, [`Error::Channels`] and [`Error::SampleRate`] for bad input.
///
/// Source: ITU-R BS.1770-4; a 997 Hz sine at 0 dBFS in one channel reads -3.01 LUFS.
pub fn integrated_loudness(pcm: &Pcm) -> Result<f64, Error> {
    loudness(pcm, Stop::NEVER)
}

fn loudness(pcm: &Pcm, stop: Stop<'_>) -> Result<f64, Error> {
    let meter = measure(pcm, Mode::I, stop)?;
    match meter.loudness_global() {
        Ok(loudness) if loudness.is_finite() => Ok(loudness),
        _ => Err(Error::Silence),
    }
}

/// Highest true peak over all channels as a linear value: 4 times oversampled (2 times from 96 kHz).
///
/// # Errors
/// [`Error::Channels`] and [`Error::SampleRate`] for bad input.
pub fn true_peak(pcm: &Pcm) -> Result<f64, Error> {
    peak(pcm, Stop::NEVER)
}

fn peak(pcm: &Pcm, stop: Stop<'_>) -> Result<f64, Error> {
    let meter = measure(pcm, Mode::TRUE_PEAK, stop)?;
    Ok((0..pcm.channels.len() as u32).filter_map(|c| meter.true_peak(c).ok()).fold(0.0, f64::max))
}

fn measure(pcm: &Pcm, mode: Mode, stop: Stop<'_>) -> Result<EbuR128, Error> {
    pcm.check_channels()?;
    let bad_rate = |_| Error::SampleRate { min: 8000, max: 192_000, got: pcm.sample_rate };
    if !(8000..=192_000).contains(&pcm.sample_rate) {
        return Err(bad_rate(()));
    }
    let mut meter =
        EbuR128::new(pcm.channels.len() as u32, pcm.sample_rate, mode).map_err(|_| bad_rate(()))?;
    for start in (0..pcm.frames()).step_by(STEP) {
        stop.check()?;
        let part = start..(start + STEP).min(pcm.frames());
        let planes: Vec<&[f32]> = pcm.channels.iter().map(|channel| &channel[part.clone()]).collect();
        meter.add_frames_planar_f32(&planes).map_err(|_| bad_rate(()))?;
    }
    Ok(meter)
}

/// Brings `pcm` to `target` LUFS (`-60..=0`) with no true peak above `ceiling` dBFS (`-40..=0`).
///
/// Peaks that would pass the ceiling go through a look-ahead limiter. Sound with very high peaks may
/// end below the target: the ceiling wins. Returns the loudness reached, in LUFS.
///
/// # Errors
/// [`Error::Silence`] if there is nothing to measure; [`Error::Loudness`], [`Error::Ceiling`],
/// [`Error::Channels`], [`Error::SampleRate`] for values out of range.
pub fn normalize(pcm: &mut Pcm, target: f64, ceiling: f64) -> Result<f64, Error> {
    normalize_until(pcm, target, ceiling, Stop::NEVER)
}

/// As [`normalize`]; a stopped one leaves `pcm` as it was.
pub(crate) fn normalize_until(
    pcm: &mut Pcm,
    target: f64,
    ceiling: f64,
    stop: Stop<'_>,
) -> Result<f64, Error> {
    if !(-60.0..=0.0).contains(&target) {
        return Err(Error::Loudness { got: target });
    }
    if !(-40.0..=0.0).contains(&ceiling) {
        return Err(Error::Ceiling { got: ceiling });
    }
    let ceiling_gain = math::db_to_gain(ceiling);
    let mut gain_db = target - round(loudness(pcm, stop)?);
    // Peaks between samples stand above the samples: start a little lower, and lower still where it shows.
    let mut lid_db = ceiling - 0.2;
    let mut out = pcm.clone();
    let mut last: Option<(f64, f64)> = None;
    let mut yield_per_db = 0.8;
    // Limiting takes some loudness away, so the gain is corrected with what was measured after it.
    for round_left in (0..6).rev() {
        for (to, from) in out.channels.iter_mut().zip(&pcm.channels) {
            to.copy_from_slice(from);
            stop.check()?;
        }
        out.scale(math::db_to_gain(gain_db) as f32);
        limiter::limit(&mut out, math::db_to_gain(lid_db) as f32, stop)?;
        let missing = target - round(loudness(&out, stop)?);
        if missing.abs() < 0.2 || round_left == 0 {
            let peak = peak(&out, stop)?;
            let over_db = round(20.0 * math::log2(peak.max(1e-9) / ceiling_gain) / std::f64::consts::LOG2_10);
            if over_db <= 0.1 || round_left == 0 {
                if peak > ceiling_gain {
                    out.scale(math::db_to_gain(-over_db.max(0.0) - 0.01) as f32);
                }
                break;
            }
            lid_db -= over_db + 0.05;
            last = None;
            continue;
        }
        // What is added is limited again, so more is needed than is missing: as the last step showed.
        if let Some((last_gain, last_missing)) = last {
            let slope: f64 = (last_missing - missing) / (gain_db - last_gain);
            yield_per_db = if slope.is_finite() { slope.clamp(0.2, 1.0) } else { yield_per_db };
        }
        last = Some((gain_db, missing));
        gain_db += (missing / yield_per_db).clamp(-12.0, 12.0);
    }
    let reached = loudness(&out, stop)?;
    *pcm = out;
    Ok(reached)
}

/// What brings `pcm` to `target` LUFS, peaks unheeded; one too short to be measured to a peak of `ceiling` dBFS.
pub(crate) fn gain_to(pcm: &Pcm, target: f64, ceiling: f64, stop: Stop<'_>) -> Result<f32, Error> {
    match loudness(pcm, stop) {
        Ok(loudness) => Ok(math::db_to_gain(target - round(loudness)) as f32),
        Err(Error::Silence) => Ok(peak_gain(pcm, ceiling)),
        Err(other) => Err(other),
    }
}

/// What brings the highest sample to `ceiling` dBFS; 1 for silence.
fn peak_gain(pcm: &Pcm, ceiling: f64) -> f32 {
    let peak = pcm.peak();
    if peak > 0.0 { math::db_to_gain(ceiling) as f32 / peak } else { 1.0 }
}

/// Brings the highest sample to `ceiling` dBFS; silence stays silence.
pub(crate) fn normalize_peak(pcm: &mut Pcm, ceiling: f64) {
    pcm.scale(peak_gain(pcm, ceiling));
}

/// To a hundredth: the meter's filters use the platform's maths, whose last bits may differ.
fn round(lufs: f64) -> f64 {
    (lufs * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, frequency: f64, gain: f64, channels: usize) -> Pcm {
        let wave: Vec<f32> = (0..rate * 5)
            .map(|i| (gain * math::sin_turns(f64::from(i) * frequency / f64::from(rate))) as f32)
            .collect();
        Pcm { sample_rate: rate, channels: vec![wave; channels] }
    }

    #[test]
    fn full_scale_997_hz_in_one_channel_reads_minus_3_01() {
        for rate in [8000, 44_100, 48_000, 96_000, 192_000] {
            let loudness = integrated_loudness(&sine(rate, 997.0, 1.0, 1)).unwrap();
            assert!((loudness + 3.01).abs() < 0.1, "{rate} Hz: {loudness}");
        }
    }

    #[test]
    fn two_equal_channels_are_3_lu_louder_than_one() {
        let one = integrated_loudness(&sine(48_000, 997.0, 0.1, 1)).unwrap();
        let two = integrated_loudness(&sine(48_000, 997.0, 0.1, 2)).unwrap();
        assert!((one + 23.01).abs() < 0.05 && (two - one - 3.01).abs() < 0.02);
    }

    #[test]
    fn normalize_reaches_the_target_without_passing_the_ceiling() {
        let mut pcm = sine(44_100, 220.0, 0.01, 2);
        // Spikes that scaling alone would push far over full scale.
        for i in (5000..200_000).step_by(11_025) {
            pcm.channels[0][i] = 0.2;
            pcm.channels[1][i + 1] = -0.2;
        }
        let reached = normalize(&mut pcm, -14.0, -1.0).unwrap();
        assert!((reached + 14.0).abs() < 0.5, "{reached}");
        assert!(true_peak(&pcm).unwrap() <= math::db_to_gain(-1.0) + 1e-4);
    }

    #[test]
    fn silence_has_no_loudness() {
        let mut pcm = Pcm::silence(44_100, 2, 44_100);
        assert!(matches!(normalize(&mut pcm, -14.0, -1.0), Err(Error::Silence)));
    }
}
