//! Another sample rate for the same sound.
//!
//! A windowed sinc as a bank of filters, one for each place an output sample can have between two input samples.
//! Rule: every sum has one order and every function is the crate's own, so the result has the same bits on
//! every machine. (A library that picks its instructions at run time would not give that.)
//!
//! Source: Smith, "Digital Audio Resampling Home Page"; Kaiser window after Kaiser and Schafer 1980.

use crate::quantize::finite;
use crate::stop::{STEP, Stop};
use crate::{Error, Pcm, math};

/// Rates that can be read, resampled and written, Hz.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 8000..=192_000;

/// Zero crossings of the sinc on each side: with this window the way from pass to stop takes a tenth of the band.
const CROSSINGS: f64 = 64.0;
/// Middle of that way, in parts of the lower of the two Nyquist frequencies: nothing above it is left to fold.
const CUTOFF: f64 = 0.95;
/// Shape of the Kaiser window: side lobes 95 dB down.
const BETA: f64 = 9.5;
/// Filters in a bank at most; places between two of them are blended, with an error 115 dB down.
const MAX_PHASES: u64 = 1024;
/// Running sums of a filter, added at the end in order.
const LANES: usize = 8;

/// `pcm` at `sample_rate`, with the length rounded up to a whole sample.
///
/// Samples that are not numbers count as 0. The same samples give the same bits on every machine.
///
/// # Errors
/// [`Error::SampleRate`] if either rate is outside 8000..=192000 Hz, [`Error::Channels`] for uneven channels.
pub fn resample(pcm: &Pcm, sample_rate: u32) -> Result<Pcm, Error> {
    resample_until(pcm, sample_rate, Stop::NEVER)
}

/// As [`resample`], but can be stopped.
pub(crate) fn resample_until(pcm: &Pcm, sample_rate: u32, stop: Stop<'_>) -> Result<Pcm, Error> {
    pcm.check_channels()?;
    for rate in [pcm.sample_rate, sample_rate] {
        if !RATES.contains(&rate) {
            return Err(Error::SampleRate { min: *RATES.start(), max: *RATES.end(), got: rate });
        }
    }
    if pcm.sample_rate == sample_rate {
        return Ok(pcm.clone());
    }
    let bank = Bank::new(pcm.sample_rate, sample_rate, stop)?;
    let channels: Result<_, _> = pcm.channels.iter().map(|channel| bank.run(channel, stop)).collect();
    Ok(Pcm { sample_rate, channels: channels? })
}

/// Filters for one ratio of rates.
struct Bank {
    /// The ratio in lowest terms: output sample `i` lies at input sample `i * down / up`.
    up: u64,
    down: u64,
    /// Filters, not counting the last, which is the first moved by one sample.
    phases: u64,
    /// Taps of a filter, a multiple of [`LANES`].
    taps: usize,
    /// `[phases + 1, taps]`, the sum of each row is 1.
    rows: Vec<f32>,
}

impl Bank {
    fn new(from: u32, to: u32, stop: Stop<'_>) -> Result<Self, Error> {
        let shared = gcd(from, to);
        let (up, down) = (u64::from(to / shared), u64::from(from / shared));
        let phases = up.min(MAX_PHASES);
        // In parts of the input's Nyquist frequency.
        let cutoff = CUTOFF * (f64::from(to) / f64::from(from)).min(1.0);
        let half = (CROSSINGS / cutoff).ceil() as usize;
        let taps = (2 * half).next_multiple_of(LANES);
        let mut rows = Vec::with_capacity((phases as usize + 1) * taps);
        let mut row = vec![0.0f64; taps];
        for phase in 0..=phases {
            stop.check()?;
            let between = phase as f64 / phases as f64;
            for (tap, value) in row.iter_mut().enumerate() {
                // From the tap's input sample to the output sample, in input samples.
                let distance = (taps / 2 - 1) as f64 + between - tap as f64;
                *value = kernel(distance, cutoff, half as f64);
            }
            let sum: f64 = row.iter().sum();
            rows.extend(row.iter().map(|value| (value / sum) as f32));
        }
        Ok(Self { up, down, phases, taps, rows })
    }

    fn run(&self, input: &[f32], stop: Stop<'_>) -> Result<Vec<f32>, Error> {
        // Silence before and after, so that every filter has all its input.
        let mut padded = vec![0.0f32; self.taps / 2 - 1];
        padded.extend(input.iter().map(|&sample| finite(sample)));
        padded.resize(padded.len() + self.taps / 2 + 1, 0.0);

        let frames = (input.len() as u64 * self.up).div_ceil(self.down) as usize;
        let mut out = Vec::with_capacity(frames);
        let (mut whole, mut part) = (0usize, 0u64);
        for frame in 0..frames {
            if frame.is_multiple_of(STEP / 16) {
                stop.check()?;
            }
            let window = &padded[whole..whole + self.taps];
            // In `up`ths of a filter.
            let place = part * self.phases;
            let (phase, rest) = ((place / self.up) as usize, place % self.up);
            let mut sample = dot(window, self.row(phase));
            if rest > 0 {
                let weight = rest as f32 / self.up as f32;
                sample += weight * (dot(window, self.row(phase + 1)) - sample);
            }
            out.push(sample);
            part += self.down;
            whole += (part / self.up) as usize;
            part %= self.up;
        }
        Ok(out)
    }

    fn row(&self, phase: usize) -> &[f32] {
        &self.rows[phase * self.taps..][..self.taps]
    }
}

/// Low-pass at `cutoff` (parts of Nyquist) around 0, nothing from `half` on.
fn kernel(distance: f64, cutoff: f64, half: f64) -> f64 {
    let x = distance / half;
    if x.abs() >= 1.0 {
        return 0.0;
    }
    let window = bessel_i0(BETA * (1.0 - x * x).sqrt()) / bessel_i0(BETA);
    let half_turns = cutoff * distance;
    let sinc = if half_turns.abs() < 1e-9 {
        1.0
    } else {
        math::sin_turns(0.5 * half_turns) / (std::f64::consts::PI * half_turns)
    };
    cutoff * sinc * window
}

/// Modified Bessel function of order 0, for `|x|` up to some 20.
fn bessel_i0(x: f64) -> f64 {
    let quarter = 0.25 * x * x;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, frames: usize) -> Pcm {
        let at = |i: usize| (0.5 * (std::f64::consts::TAU * hz * i as f64 / f64::from(rate)).sin()) as f32;
        Pcm { sample_rate: rate, channels: vec![(0..frames).map(at).collect()] }
    }

    /// Decibels of `wave` against a sine of amplitude 0.5, without the ends.
    fn level(wave: &[f32]) -> f64 {
        let middle = &wave[wave.len() / 4..wave.len() * 3 / 4];
        let power = middle.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / middle.len() as f64;
        10.0 * (power / 0.125).log10()
    }

    #[test]
    fn a_tone_of_the_pass_band_stays_the_same_tone() {
        for (from, to) in
            [(44_100, 32_000), (32_000, 48_000), (48_000, 32_000), (44_101, 31_999), (8000, 192_000)]
        {
            let hz = 0.42 * f64::from(from.min(to));
            for hz in [0.0937 * hz, hz] {
                let out = resample(&sine(from, hz, 8000), to).unwrap();
                let wanted = sine(to, hz, out.frames());
                let ends = out.frames() / 4..out.frames() * 3 / 4;
                let error: Vec<f32> = ends.map(|i| out.channels[0][i] - wanted.channels[0][i]).collect();
                let db = level(&error);
                assert!(db < -85.0, "{from} -> {to}, {hz} Hz: {db} dB");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        for (from, to, hz) in
            [(48_000, 32_000, 16_050.0), (44_100, 8000, 4020.0), (192_000, 32_000, 40_000.0)]
        {
            let db = level(&resample(&sine(from, hz, 20_000), to).unwrap().channels[0]);
            assert!(db < -80.0, "{from} -> {to}: {hz} Hz at {db} dB");
        }
    }

    #[test]
    fn the_length_is_rounded_up_and_the_same_rate_changes_nothing() {
        let pcm = sine(44_100, 440.0, 441);
        assert_eq!(resample(&pcm, 32_000).unwrap().frames(), 320);
        assert_eq!(resample(&sine(44_100, 440.0, 442), 32_000).unwrap().frames(), 321);
        assert_eq!(resample(&pcm, 44_100).unwrap(), pcm);
        let empty = Pcm { sample_rate: 8000, channels: vec![vec![], vec![]] };
        assert_eq!(resample(&empty, 9000).unwrap().channels, vec![vec![0.0f32; 0]; 2]);
    }

    #[test]
    fn channels_do_not_touch_and_nonsense_counts_as_silence() {
        let mut pcm = sine(44_100, 440.0, 1000);
        pcm.channels.push(vec![f32::NAN; 1000]);
        let out = resample(&pcm, 48_000).unwrap();
        assert!(out.channels[1].iter().all(|&x| x == 0.0));
        assert_eq!(out.channels[0], resample(&sine(44_100, 440.0, 1000), 48_000).unwrap().channels[0]);
    }

    #[test]
    fn the_bits_are_those_of_every_other_machine() {
        let mut noise = crate::noise::Noise::new(5);
        let wave = (0..3000).map(|_| noise.white()).collect();
        let pcm = Pcm { sample_rate: 44_100, channels: vec![wave] };
        let hash = |to| {
            let out = resample(&pcm, to).unwrap();
            let fold = |hash: u64, x: &f32| (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3);
            out.channels[0].iter().fold(0xcbf2_9ce4_8422_2325, fold)
        };
        let wanted = [0x79be_c170_ade8_e787, 0x8fbe_2ed0_168c_a5ac, 0x5e58_5b0f_dfad_58c1];
        assert_eq!([32_000, 48_000, 31_999].map(hash), wanted);
    }

    #[test]
    fn rates_out_of_range_are_named() {
        let error = resample(&sine(44_100, 440.0, 10), 4000).unwrap_err().to_string();
        assert_eq!(error, "sample_rate must be in 8000..=192000 Hz, got 4000");
        let stopped = resample_until(&sine(44_100, 440.0, 10), 8000, Stop::when(&|| true));
        assert!(matches!(stopped, Err(Error::Stopped)));
    }
}
