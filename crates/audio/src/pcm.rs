//! Samples in memory.

use crate::Error;

/// Audio samples, one vector per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// Frames per second, Hz.
    pub sample_rate: u32,
    /// `[C][N]` samples, full scale is `[-1, 1]`. Channel 0 is left, 1 is right.
    pub channels: Vec<Vec<f32>>,
}

impl Pcm {
    /// Silence of `frames` samples in each of `channels`.
    pub fn silence(sample_rate: u32, channels: usize, frames: usize) -> Self {
        Self { sample_rate, channels: vec![vec![0.0; frames]; channels] }
    }

    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Length in seconds.
    pub fn duration(&self) -> f64 {
        if self.sample_rate == 0 { 0.0 } else { self.frames() as f64 / f64::from(self.sample_rate) }
    }

    /// Largest absolute sample over all channels, 0 for silence.
    pub fn peak(&self) -> f32 {
        self.channels.iter().flatten().fold(0.0, |peak, sample| peak.max(sample.abs()))
    }

    /// The mean of the channels, at the same rate. Channels of different lengths end with the shortest.
    pub fn to_mono(&self) -> Self {
        let frames = self.channels.iter().map(Vec::len).min().unwrap_or(0);
        let share = 1.0 / self.channels.len().max(1) as f32;
        let mean = |frame: usize| self.channels.iter().map(|channel| channel[frame]).sum::<f32>() * share;
        Self { sample_rate: self.sample_rate, channels: vec![(0..frames).map(mean).collect()] }
    }

    /// Turns a sound that goes beyond full scale down as a whole, so that nothing of it is cut off.
    pub fn fit(&mut self) {
        let peak = self.peak();
        if peak > 1.0 {
            self.scale(1.0 / peak);
        }
    }

    /// Multiplies every sample by `gain`.
    pub fn scale(&mut self, gain: f32) {
        for sample in self.channels.iter_mut().flatten() {
            *sample *= gain;
        }
    }

    /// Checks that there are 1..=8 channels of one length.
    pub(crate) fn check_channels(&self) -> Result<(), Error> {
        let frames = self.frames();
        let even = self.channels.iter().all(|channel| channel.len() == frames);
        if even && (1..=8).contains(&self.channels.len()) {
            Ok(())
        } else {
            let lengths = self.channels.iter().map(Vec::len).take(9).collect();
            Err(Error::Channels { lengths })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_frames_over_rate() {
        assert_eq!(Pcm::silence(8000, 2, 4000).duration(), 0.5);
        assert_eq!(Pcm { sample_rate: 0, channels: vec![] }.duration(), 0.0);
    }

    #[test]
    fn peak_sees_every_channel_and_both_signs() {
        let pcm = Pcm { sample_rate: 8000, channels: vec![vec![0.1, 0.2], vec![-0.7, 0.0]] };
        assert_eq!(pcm.peak(), 0.7);
    }

    #[test]
    fn mono_is_the_mean_of_the_channels() {
        let pcm = Pcm { sample_rate: 8000, channels: vec![vec![0.5, 1.0], vec![-0.5, 0.5]] };
        assert_eq!(pcm.to_mono(), Pcm { sample_rate: 8000, channels: vec![vec![0.0, 0.75]] });
        assert_eq!(pcm.to_mono().to_mono(), pcm.to_mono());
        assert_eq!(Pcm { sample_rate: 8000, channels: vec![] }.to_mono(), Pcm::silence(8000, 1, 0));
    }

    #[test]
    fn uneven_channels_are_refused() {
        let pcm = Pcm { sample_rate: 8000, channels: vec![vec![0.0], vec![]] };
        assert!(matches!(pcm.check_channels(), Err(Error::Channels { .. })));
    }
}
