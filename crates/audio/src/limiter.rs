//! A look-ahead limiter: no sample passes the ceiling, and the gain moves smoothly.

use crate::stop::Stop;
use crate::{Error, Pcm, math};

/// Time the gain has to fall before a peak, seconds.
const LOOK_AHEAD: f64 = 0.0025;
/// Time constant of the gain's way back, seconds.
const RELEASE: f64 = 0.06;

/// Lowers the gain around peaks so that no sample of `pcm` is above `ceiling` (linear, > 0).
///
/// All channels share one gain, so the stereo image stays.
///
/// # Errors
/// [`Error::Stopped`], with some of the samples done.
pub fn limit(pcm: &mut Pcm, ceiling: f32, stop: Stop<'_>) -> Result<(), Error> {
    let frames = pcm.frames();
    let rate = f64::from(pcm.sample_rate);
    let window = ((LOOK_AHEAD * rate) as usize).max(1);
    let mut peaks = vec![0.0f32; frames];
    for channel in &pcm.channels {
        mark_peaks(channel, ceiling, &mut peaks, stop)?;
    }
    if peaks.iter().all(|&peak| peak <= ceiling) {
        return Ok(());
    }
    let needed: Vec<f32> = peaks.iter().map(|&peak| (ceiling / peak.max(1e-9)).min(1.0)).collect();
    // Lowest gain needed from now to `window` samples ahead: a sliding minimum, kept as rising indices
    // of the samples that need any.
    let mut ahead = std::collections::VecDeque::new();
    let mut floor = vec![1.0f32; frames];
    for i in 0..frames + window {
        stop.at(i)?;
        if let Some(&gain) = needed.get(i).filter(|&&gain| gain < 1.0) {
            while ahead.back().is_some_and(|&j: &usize| needed[j] >= gain) {
                ahead.pop_back();
            }
            ahead.push_back(i);
        }
        if i >= window {
            let now = i - window;
            while ahead.front().is_some_and(|&j| j < now) {
                ahead.pop_front();
            }
            floor[now] = ahead.front().map_or(1.0, |&j| needed[j]);
        }
    }
    // Fall at once, rise slowly; then the mean over the look-ahead turns the fall into a ramp
    // that has arrived when the peak comes, because every value averaged is already low enough for it.
    let rise = 1.0 - math::exp(-1.0 / (RELEASE * rate)) as f32;
    let mut gain = 1.0f32;
    stop.check()?;
    for value in &mut floor {
        gain = if *value < gain { *value } else { gain + (*value - gain) * rise };
        *value = gain;
    }
    let first = floor[0];
    let mut sum = f64::from(first) * (window + 1) as f64;
    for i in 0..frames {
        stop.at(i)?;
        let leaving = if i > window { floor[i - window - 1] } else { first };
        sum += f64::from(floor[i]) - f64::from(leaving);
        let gain = (sum / (window + 1) as f64) as f32;
        for channel in &mut pcm.channels {
            // The clamp only takes off rounding of the running sum.
            channel[i] = (channel[i] * gain).clamp(-ceiling, ceiling);
        }
    }
    Ok(())
}

/// Half-way between two samples from four on each side: sinc times a raised cosine, sum 1.
const HALF_WAY: [f32; 4] = [0.6105, -0.1462, 0.0392, -0.0035];

/// Raises `peaks` to the height of each sample and of the wave half-way to its neighbours.
///
/// Bright sound stands up to some 2 dB higher there; samples far below the ceiling are not looked at.
fn mark_peaks(wave: &[f32], ceiling: f32, peaks: &mut [f32], stop: Stop<'_>) -> Result<(), Error> {
    for (peak, sample) in peaks.iter_mut().zip(wave) {
        *peak = peak.max(sample.abs());
    }
    let near = 0.6 * ceiling;
    for i in 3..wave.len().saturating_sub(4) {
        stop.at(i)?;
        if wave[i].abs() > near || wave[i + 1].abs() > near {
            let pairs = HALF_WAY.iter().enumerate();
            let between = pairs.map(|(k, tap)| tap * (wave[i - k] + wave[i + 1 + k])).sum::<f32>().abs();
            peaks[i] = peaks[i].max(between);
            peaks[i + 1] = peaks[i + 1].max(between);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    #[test]
    fn no_sample_passes_the_ceiling_and_quiet_parts_stay() {
        let mut noise = Noise::new(3);
        let mut wave: Vec<f32> = (0..20_000).map(|_| noise.white() * 0.3).collect();
        for peak in [5000, 5003, 12_000, 19_999] {
            wave[peak] = 4.0;
        }
        let before = wave.clone();
        let mut pcm = Pcm { sample_rate: 44_100, channels: vec![wave] };
        limit(&mut pcm, 0.8, Stop::NEVER).unwrap();
        assert!(pcm.peak() <= 0.8);
        assert_eq!(pcm.channels[0][..4000], before[..4000]);
        // The peak keeps nearly all of its allowed height: the clamp did not do the work.
        assert!(pcm.channels[0][12_000] > 0.79);
    }
}
