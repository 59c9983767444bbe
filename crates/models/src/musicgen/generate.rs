//! From a request to samples, which come while later ones are still generated.

use std::ops::ControlFlow;
use std::sync::Arc;

use partita_kernels::{Compute, Path, Pool};
use partita_nn::{Rng, Sampler, Sampling};

use super::stage::{Clip, Condition};
use super::voices::Voices;
use super::{Error, MusicGen};

/// The most characters of a prompt.
pub const MOST_CHARACTERS: usize = 2000;

/// A request for audio.
#[derive(Clone, Debug)]
pub struct Generate {
    /// What it should sound like, 1 to 2000 characters.
    pub prompt: String,
    /// Length of what is generated, [1, 300] seconds; a [`start`](Self::start) comes before it.
    pub seconds: f64,
    /// What it should not sound like: guidance leads away from it, instead of from playing without a prompt.
    pub negative: Option<String>,
    /// How far the prompt leads away from playing without one, [1, 20]; 1 is off, and half the work.
    pub guidance: f32,
    pub sampling: Sampling,
    pub seed: u64,
    /// Clips to generate together, 1..=16, each from its own random stream.
    pub variations: usize,
    /// Samples `[C][N]` at the model's rate that the clips begin with, as the codec makes them sound.
    pub start: Option<Vec<Vec<f32>>>,
    /// Pitch classes `[N, 12]` to follow, for melody models; see [`melody`](super::melody).
    pub melody: Option<Vec<f32>>,
}

impl Default for Generate {
    fn default() -> Generate {
        Generate {
            prompt: String::new(),
            seconds: 10.0,
            negative: None,
            guidance: 3.0,
            sampling: Sampling { top_k: 250, ..Sampling::default() },
            seed: 0,
            variations: 1,
            start: None,
            melody: None,
        }
    }
}

impl Generate {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Range`] naming the first field out of range.
    pub fn check(&self) -> Result<(), Error> {
        check_words("prompt", &self.prompt)?;
        if let Some(negative) = &self.negative {
            check_words("negative", negative)?;
            if self.guidance == 1.0 {
                return Err(Error::range("guidance", "(1, 20] with a negative prompt", self.guidance));
            }
        }
        if !(1.0..=300.0).contains(&self.seconds) {
            return Err(Error::range("seconds", "[1, 300]", self.seconds));
        }
        if !(1.0..=20.0).contains(&self.guidance) {
            return Err(Error::range("guidance", "[1, 20]", self.guidance));
        }
        if !(1..=16).contains(&self.variations) {
            return Err(Error::range("variations", "1..=16", self.variations));
        }
        Ok(self.sampling.check()?)
    }
}

/// Checks a text for the model: 1 to [`MOST_CHARACTERS`] characters that can be seen.
///
/// # Errors
/// [`Error::Range`] naming `field`.
pub fn check_words(field: &'static str, text: &str) -> Result<(), Error> {
    let characters = text.chars().count();
    if text.trim().is_empty() || characters > MOST_CHARACTERS {
        let got = match characters {
            0 => "none".to_owned(),
            1..=MOST_CHARACTERS => "only spaces".to_owned(),
            more => more.to_string(),
        };
        return Err(Error::range(field, format!("1..={MOST_CHARACTERS} characters"), got));
    }
    if let Some(control) = text.chars().find(|c| c.is_control() && !c.is_whitespace()) {
        return Err(Error::range(field, "printable characters", format!("{control:?}")));
    }
    Ok(())
}

/// News of a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    pub variation: usize,
    /// `[C][N]`: the samples that follow those told before, about `[-1, 1]` (not clipped).
    pub samples: Vec<Vec<f32>>,
}

/// How far a request is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Seconds generated of the slowest clip, its start left out.
    pub seconds: f64,
    pub of: f64,
    /// Since the last call.
    pub new: Vec<Audio>,
}

/// What a request is to a model: ready to be played.
pub struct Prepared {
    condition: Condition,
    guidance: Option<(Condition, f32)>,
    /// `[K][P]`
    start: Vec<Vec<u32>>,
    frames: usize,
}

impl Prepared {
    /// Of a clip without a start.
    pub(super) fn new(condition: Condition, guidance: Option<(Condition, f32)>, frames: usize) -> Prepared {
        Prepared { condition, guidance, start: Vec::new(), frames }
    }

    /// Variation `variation` of the request.
    ///
    /// # Errors
    /// [`Error::Range`] for sampling out of range.
    pub(super) fn clip(&self, request: &Generate, variation: usize) -> Result<Clip, Error> {
        Ok(Clip {
            condition: self.condition.clone(),
            guidance: self.guidance.clone(),
            sampler: Sampler::new(request.sampling.clone())?,
            rng: Rng::new(request.seed, variation as u64),
            prompt: self.start.clone(),
            frames: self.frames,
        })
    }

    /// Frames of the start.
    pub(super) fn started(&self) -> usize {
        self.start.first().map_or(0, Vec::len)
    }
}

impl MusicGen {
    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.config().audio_encoder.sampling_rate as u32
    }

    /// Reads the prompt, the start and the melody. The text encoder and the encoder may be released after it.
    ///
    /// # Errors
    /// [`Error::Range`] for a field out of range, [`Error::NoMelody`], and those of loading.
    pub fn prepare(&self, compute: &mut Compute, request: &Generate) -> Result<Prepared, Error> {
        request.check()?;
        let condition = self.condition(compute, &request.prompt, request.melody.as_deref())?;
        let away = match &request.negative {
            _ if request.guidance == 1.0 => None,
            Some(negative) => Some(self.condition(compute, negative, None)?),
            None => Some(self.null_condition(compute, &condition)),
        };
        let start = match &request.start {
            None => Vec::new(),
            Some(channels) => self.encode(compute, channels)?,
        };
        let rate = self.config().audio_encoder.frame_rate() as f64;
        let frames = start.first().map_or(0, Vec::len) + (request.seconds * rate).ceil() as usize;
        Ok(Prepared { condition, guidance: away.map(|away| (away, request.guidance)), start, frames })
    }

    /// Codes `[K][T]` of samples `[C][N]`; in stereo, codebooks of left and right alternate.
    fn encode(&self, compute: &mut Compute, channels: &[Vec<f32>]) -> Result<Vec<Vec<u32>>, Error> {
        let allowed = self.config().decoder.audio_channels;
        if channels.len() != allowed || channels.iter().any(|samples| samples.len() != channels[0].len()) {
            return Err(Error::range("channels of the start", allowed, channels.len()));
        }
        if channels[0].is_empty() {
            return Err(Error::range("start", "1 sample and more", "none"));
        }
        let encoder = self.encoder()?;
        let sides: Result<Vec<_>, Error> =
            channels.iter().map(|samples| encoder.encode(compute, samples)).collect();
        let sides = sides?;
        Ok((0..self.config().decoder.num_codebooks)
            .map(|k| sides[k % allowed][k / allowed].clone())
            .collect())
    }

    /// Plays what was prepared; `watch` gets the samples as they come and may break it off.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `watch` breaks, and those of loading.
    pub fn play(
        &self,
        pool: &Arc<Pool>,
        path: Path,
        request: &Generate,
        prepared: &Prepared,
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut voices = Voices::new(self, request, prepared, Compute::new(Arc::clone(pool), path))?;
        let mut stage = self.stage(Compute::new(Arc::clone(pool), path))?;
        for variation in 0..request.variations {
            stage.join(variation as u64, prepared.clip(request, variation)?)?;
        }
        let mut heard = Vec::new();
        while stage.clips() > 0 {
            stage.step(&mut heard)?;
            let mut new = Vec::new();
            for frames in heard.drain(..) {
                new.extend(voices.hear(frames)?);
            }
            if watch(voices.progress(new)).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }

    /// Prepares and plays a request; samples `[variation][C][N]`.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`play`](Self::play).
    pub fn generate(
        &self,
        pool: &Arc<Pool>,
        path: Path,
        request: &Generate,
    ) -> Result<Vec<Vec<Vec<f32>>>, Error> {
        let prepared = self.prepare(&mut Compute::new(Arc::clone(pool), path), request)?;
        let channels = self.config().decoder.audio_channels;
        let mut clips = vec![vec![Vec::new(); channels]; request.variations];
        self.play(pool, path, request, &prepared, &mut |progress| {
            for Audio { variation, samples } in progress.new {
                clips[variation].iter_mut().zip(samples).for_each(|(all, new)| all.extend(new));
            }
            ControlFlow::Continue(())
        })?;
        Ok(clips)
    }
}
