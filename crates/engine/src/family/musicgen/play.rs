//! Requests for MusicGen, played.

use std::cell::RefCell;
use std::io::Write;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use partita_audio::wav::wav_bytes_until;
use partita_audio::{Pcm, WavFormat, WavWriter, flac_bytes_until, opus_bytes_until};
use partita_models::musicgen::{self as model, Error, Progress};
use partita_nn::Sampling;

use super::Model;
use super::check::words;
use crate::family::deliver::{PLAYED, round};
use crate::family::{Made, MadeFile, Report, Sound};
use crate::request::{FileFormat, Generate};
use crate::{Code, Fault, Outcome, Problem, Take};

/// Bytes before the samples of a WAV file that is written as it comes.
const HEADER: usize = 44;

/// New sound.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn generate(model: &Model, request: &Generate, report: &mut dyn Report) -> Result<Made, Fault> {
    let asked = asked(request);
    let clock = Instant::now();
    if report.progress("prompt", 0.0, 0, 0).is_break() {
        return Err(cancelled());
    }
    let player = model.player();
    let prepared = player.model().prepare(&mut player.compute(), &asked).map_err(fault)?;
    let mut ear = Ear::new(player.model(), &asked, request.stream == Some(true), report);
    let played = player.play(&asked, &prepared, &mut |progress| ear.hear(progress));
    if let Some(fault) = ear.failed {
        return Err(fault);
    }
    played.map_err(fault)?;
    let (clips, generate_ms) = (ear.clips, clock.elapsed().as_secs_f64() * 1000.0);
    let seconds = clips.first().map_or(0.0, Pcm::duration);
    let files = request.files.as_deref().unwrap_or_default();
    let mut made = Made { files: encode(clips, files, &file_name(request), report)?, ..Made::default() };
    let takes = (0..asked.variations).map(|variation| Take { variation, ..Take::default() });
    made.outcome = Outcome {
        seed: Some(asked.seed),
        duration_seconds: Some(round(seconds, 3)),
        takes: takes.collect(),
        ..Outcome::default()
    };
    made.outcome.metrics.generate_ms = round(generate_ms, 3);
    let rate = player.model().config().audio_encoder.frame_rate() as f64;
    made.outcome.metrics.tokens =
        (asked.seconds * rate).ceil() as u64 * model.codebooks() * asked.variations as u64;
    Ok(made)
}

fn asked(request: &Generate) -> model::Generate {
    let usual = model::Generate::default();
    let sampling = Sampling {
        temperature: request.temperature.map_or(usual.sampling.temperature, |value| value as f32),
        top_k: request.top_k.unwrap_or(usual.sampling.top_k),
        top_p: request.top_p.map_or(usual.sampling.top_p, |value| value as f32),
        ..Sampling::default()
    };
    model::Generate {
        prompt: words(request).prompt(),
        seconds: request.seconds.unwrap_or(usual.seconds),
        negative: request.negative.clone(),
        guidance: request.guidance.map_or(usual.guidance, |value| value as f32),
        sampling,
        seed: request.seed.unwrap_or(0),
        variations: request.variations.unwrap_or(1),
        start: None,
        melody: None,
    }
}

/// What hears the clips: it keeps their samples, and tells them on where somebody listens.
struct Ear<'a> {
    report: &'a mut dyn Report,
    clips: Vec<Pcm>,
    /// One a clip; none where nobody listens.
    outlets: Vec<Outlet>,
    failed: Option<Fault>,
}

impl<'a> Ear<'a> {
    fn new(
        model: &model::MusicGen,
        asked: &model::Generate,
        tells: bool,
        report: &'a mut dyn Report,
    ) -> Ear<'a> {
        let (rate, channels) = (model.sample_rate(), model.config().decoder.audio_channels);
        let outlets = if tells { asked.variations } else { 0 };
        Ear {
            report,
            clips: vec![Pcm::silence(rate, channels, 0); asked.variations],
            outlets: (0..outlets).map(|_| Outlet::default()).collect(),
            failed: None,
        }
    }

    fn hear(&mut self, progress: Progress) -> ControlFlow<()> {
        for model::Audio { variation, samples } in progress.new {
            let clip = &mut self.clips[variation];
            if let Some(outlet) = self.outlets.get_mut(variation) {
                match outlet.sound(variation, clip, &samples) {
                    Ok(sound) => self.report.sound(sound),
                    Err(error) => {
                        self.failed = Some(Fault::internal(error));
                        return ControlFlow::Break(());
                    }
                }
            }
            clip.channels.iter_mut().zip(samples).for_each(|(all, new)| all.extend(new));
        }
        let fraction = PLAYED * (progress.seconds / progress.of.max(1e-9)).min(1.0);
        let (done, all) = (progress.seconds.floor() as u64, progress.of.ceil() as u64);
        self.report.progress("generate", fraction, done, all)
    }
}

/// Samples as the bytes of a WAV file that is written as it comes: what a pipe of the command line gets.
#[derive(Default)]
struct Outlet {
    written: Rc<RefCell<Vec<u8>>>,
    writer: Option<WavWriter<Tap>>,
    sequence: u64,
}

/// What [`Outlet`] reads from again.
struct Tap(Rc<RefCell<Vec<u8>>>);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Outlet {
    /// `clip`: of which they are; `samples`: `[C][N]`.
    fn sound(
        &mut self,
        variation: usize,
        clip: &Pcm,
        samples: &[Vec<f32>],
    ) -> Result<Sound, partita_audio::Error> {
        let (sample_rate, channels) = (clip.sample_rate, clip.channels.len());
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let tap = Tap(Rc::clone(&self.written));
                let opened = WavWriter::new(tap, sample_rate, channels, WavFormat::Int16, None)?;
                self.written.borrow_mut().drain(..HEADER);
                self.writer.insert(opened)
            }
        };
        let samples: Vec<&[f32]> = samples.iter().map(Vec::as_slice).collect();
        writer.write(&samples)?;
        let sequence = self.sequence;
        self.sequence += 1;
        let samples = std::mem::take(&mut *self.written.borrow_mut());
        Ok(Sound { variation, sequence, sample_rate, channels, samples })
    }
}

/// The files of all clips, one clip after the other.
///
/// # Errors
/// `Cancelled`.
fn encode(
    clips: Vec<Pcm>,
    formats: &[FileFormat],
    name: &str,
    report: &mut dyn Report,
) -> Result<Vec<MadeFile>, Fault> {
    let (count, steps) = (clips.len(), (clips.len() * formats.len()) as u64);
    let mut files = Vec::new();
    for (variation, mut clip) in clips.into_iter().enumerate() {
        clip.fit();
        for format in formats {
            let step = files.len() as u64;
            let fraction = PLAYED + (1.0 - PLAYED) * step as f64 / steps.max(1) as f64;
            let asks = RefCell::new(&mut *report);
            let stop = || asks.borrow_mut().progress("export", fraction, step, steps).is_break();
            if stop() {
                return Err(cancelled());
            }
            let encoded = match format {
                FileFormat::Flac => flac_bytes_until(&clip, &stop),
                FileFormat::Ogg => opus_bytes_until(&clip, None, &stop),
                _ => wav_bytes_until(&clip, WavFormat::Int16, &stop),
            };
            let bytes = encoded.map_err(|error| match error {
                partita_audio::Error::Stopped => cancelled(),
                error => Fault::internal(error),
            })?;
            let (ending, media_type) = match format {
                FileFormat::Flac => ("flac", "audio/flac"),
                FileFormat::Ogg => ("ogg", "audio/ogg"),
                _ => ("wav", "audio/wav"),
            };
            let number = if count > 1 { format!("-v{}", variation + 1) } else { String::new() };
            files.push(MadeFile {
                take: Some(variation),
                item: None,
                name: format!("{name}{number}.{ending}"),
                media_type: media_type.into(),
                bytes,
            });
        }
    }
    if report.progress("export", 1.0, steps, steps).is_break() {
        return Err(cancelled());
    }
    Ok(files)
}

/// `musicgen-small-10s-s1234`
fn file_name(request: &Generate) -> String {
    let model = request.model.as_deref().unwrap_or(super::FAMILY);
    let model = model.split('@').next().unwrap_or_default();
    let (seconds, seed) = (round(request.seconds.unwrap_or(0.0), 2), request.seed.unwrap_or(0));
    format!("{model}-{seconds}s-s{seed}")
}

fn cancelled() -> Fault {
    Fault::new(Code::Cancelled, "cancelled")
}

/// What an error of the model means to whoever asked.
fn fault(error: Error) -> Fault {
    let field = match &error {
        Error::Cancelled => return cancelled(),
        // Only now are the tokens of a prompt counted.
        Error::Range { field: "prompt tokens", .. } => "prompt",
        Error::Range { field, .. } => field,
        _ => return Fault::internal(error),
    };
    let problem = Problem { pointer: format!("#/{field}"), detail: error.to_string(), allowed: None };
    Fault { errors: vec![problem], ..Fault::new(Code::InvalidRequest, error) }
}
