//! The tracks of a score as sounds of their own that go together: one length, one gain.

use partita_score::Score;

use crate::limiter::limit;
use crate::loudness::gain_to;
use crate::render::{CEILING_DBFS, whole};
use crate::stop::Stop;
use crate::{Error, Pcm, RenderOptions, math};

/// What all stems of a score share, so that together they sound as the whole does before its limiter.
#[derive(Clone, Debug)]
pub struct Stems<'a> {
    options: &'a RenderOptions,
    gain: f32,
    frames: usize,
}

impl<'a> Stems<'a> {
    /// Measures the whole. `stop` is asked every few milliseconds whether to break off.
    ///
    /// # Errors
    /// As [`render_until`](crate::render_until).
    pub fn of(
        score: &Score,
        options: &'a RenderOptions,
        stop: &dyn Fn() -> bool,
    ) -> Result<Stems<'a>, Error> {
        let stop = Stop::when(stop);
        options.check()?;
        let pcm = whole(score, &options.as_played(), stop)?;
        let gain = match options.loudness {
            None => 1.0,
            Some(target) => gain_to(&pcm, target, CEILING_DBFS, stop)?,
        };
        Ok(Stems { options, gain, frames: pcm.frames() })
    }

    /// Some tracks of the score that was measured, as long as all of it. A stem that alone passes
    /// [`CEILING_DBFS`] goes through a limiter, unless levels are left as played.
    ///
    /// # Errors
    /// As [`render_until`](crate::render_until).
    pub fn render(&self, stem: &Score, stop: &dyn Fn() -> bool) -> Result<Pcm, Error> {
        let stop = Stop::when(stop);
        let mut pcm = whole(stem, &self.options.as_played(), stop)?;
        pcm.channels.iter_mut().for_each(|channel| channel.resize(self.frames, 0.0));
        pcm.scale(self.gain);
        let ceiling = math::db_to_gain(CEILING_DBFS) as f32;
        if self.options.loudness.is_some() && pcm.peak() > ceiling {
            limit(&mut pcm, ceiling, stop)?;
        }
        Ok(pcm)
    }
}

#[cfg(test)]
mod tests {
    use partita_score::{Note, Tick, Track};

    use super::*;
    use crate::{integrated_loudness, render};

    const GO: &dyn Fn() -> bool = &|| false;

    fn track(channel: u8, pitch: u8, velocity: u8, ends: u32) -> Track {
        let note = |at| Note { onset: Tick(at), end: Tick(at + 200), pitch, velocity };
        Track { channel, notes: (0..ends).step_by(240).map(note).collect(), ..Track::default() }
    }

    fn only(score: &Score, index: usize) -> Score {
        Score { tracks: vec![score.tracks[index].clone()], ..score.clone() }
    }

    #[test]
    fn stems_add_up_to_the_whole_and_keep_its_balance() {
        let score =
            Score { tracks: vec![track(0, 72, 100, 7680), track(1, 40, 60, 3840)], ..Score::default() };
        let quiet = RenderOptions { loudness: Some(-30.0), ..RenderOptions::default() };
        let mix = render(&score, &quiet).expect("rendered");
        let stems = Stems::of(&score, &quiet, GO).expect("measured");
        let parts = [0, 1].map(|index| stems.render(&only(&score, index), GO).expect("rendered"));
        for (channel, whole) in mix.channels.iter().enumerate() {
            assert_eq!(parts[1].channels[channel].len(), whole.len());
            for (at, sample) in whole.iter().enumerate() {
                let sum = parts[0].channels[channel][at] + parts[1].channels[channel][at];
                assert!((sum - sample).abs() < 1e-3, "{at}: {sum} {sample}");
            }
        }
        let [loud, soft] = parts.map(|pcm| integrated_loudness(&pcm).expect("sound"));
        assert!(loud - soft > 3.0, "{loud} {soft}");
    }

    #[test]
    fn a_stem_never_passes_the_ceiling_unless_levels_are_as_played() {
        let score = Score { tracks: vec![track(9, 36, 127, 3840)], ..Score::default() };
        let loud = RenderOptions { loudness: Some(0.0), ..RenderOptions::default() };
        let pcm = Stems::of(&score, &loud, GO).expect("measured").render(&score, GO).expect("rendered");
        assert!(pcm.peak() <= math::db_to_gain(CEILING_DBFS) as f32 * 1.0001, "{}", pcm.peak());
        let played = RenderOptions { loudness: None, ..RenderOptions::default() };
        let stems = Stems::of(&score, &played, GO).expect("measured");
        assert_eq!(stems.render(&score, GO).expect("rendered"), render(&score, &played).expect("rendered"));
        let wrong = RenderOptions { loudness: Some(7.0), ..RenderOptions::default() };
        assert!(matches!(Stems::of(&score, &wrong, GO), Err(Error::Loudness { .. })));
    }
}
