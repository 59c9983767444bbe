//! Clips on their way from codes to samples.

use partita_kernels::Compute;

use super::codec::CodecStream;
use super::generate::{Audio, Generate, Prepared, Progress};
use super::stage::Frames;
use super::{Error, MusicGen};

/// Frames that are decoded together: half a second, so that the first sound comes soon and the products are large.
const CHUNK: usize = 25;

/// The clips of one request.
pub(super) struct Voices {
    compute: Compute,
    clips: Vec<Voice>,
    /// Samples of a channel to generate, without a start.
    new: usize,
    sample_rate: f64,
    seconds: f64,
}

/// A clip.
struct Voice {
    /// One a channel.
    streams: Vec<CodecStream>,
    /// `[K]`, not yet decoded.
    codes: Vec<Vec<u32>>,
    /// Samples of a channel still to be told.
    left: usize,
    ended: bool,
}

impl Voices {
    /// # Errors
    /// Those of loading the codec.
    pub fn new(
        model: &MusicGen,
        request: &Generate,
        prepared: &Prepared,
        compute: Compute,
    ) -> Result<Voices, Error> {
        let (config, codec) = (model.config(), model.codec()?);
        let sample_rate = f64::from(model.sample_rate());
        let started = prepared.started() * config.audio_encoder.hop();
        let new = (request.seconds * sample_rate).round() as usize;
        let voice = || Voice {
            streams: (0..config.decoder.audio_channels).map(|_| codec.stream()).collect(),
            codes: vec![Vec::new(); config.decoder.num_codebooks],
            left: started + new,
            ended: false,
        };
        let clips = (0..request.variations).map(|_| voice()).collect();
        Ok(Voices { compute, clips, new, sample_rate, seconds: request.seconds })
    }

    /// Takes frames of the variation that is their tag; gives samples when there are enough.
    ///
    /// # Errors
    /// Codes that the codec does not have.
    pub fn hear(&mut self, frames: Frames) -> Result<Option<Audio>, Error> {
        let Frames { tag, codes, last } = frames;
        let variation = tag as usize;
        let voice = &mut self.clips[variation];
        voice.codes.iter_mut().zip(codes).for_each(|(all, new)| all.extend(new));
        voice.ended |= last;
        if !voice.ended && voice.codes[0].len() < CHUNK {
            return Ok(None);
        }
        Ok(Some(Audio { variation, samples: voice.decode(&mut self.compute)? }))
    }

    /// Whether all frames of all clips have come.
    pub fn ended(&self) -> bool {
        self.clips.iter().all(|voice| voice.ended)
    }

    /// How far the slowest clip is; `new`: what has come since the last time.
    pub fn progress(&self, new: Vec<Audio>) -> Progress {
        let left = self.clips.iter().map(|voice| voice.left).max().unwrap_or(0);
        Progress { seconds: self.new.saturating_sub(left) as f64 / self.sample_rate, of: self.seconds, new }
    }
}

impl Voice {
    /// Samples `[C][N]` of the frames that have come.
    fn decode(&mut self, compute: &mut Compute) -> Result<Vec<Vec<f32>>, Error> {
        let channels = self.streams.len();
        let mut samples = Vec::with_capacity(channels);
        for (side, stream) in self.streams.iter_mut().enumerate() {
            let codes: Vec<&Vec<u32>> = self.codes.iter().skip(side).step_by(channels).collect();
            let mut new = stream.push(compute, &codes)?;
            if self.ended {
                new.extend(stream.finish(compute));
            }
            // The last frame may reach beyond the length asked for.
            new.truncate(self.left);
            samples.push(new);
        }
        self.codes.iter_mut().for_each(Vec::clear);
        self.left -= samples[0].len();
        Ok(samples)
    }
}
