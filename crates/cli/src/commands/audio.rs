//! `generate audio`: sound from words, and where asked from a melody or the beginning of a piece.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use partita_audio::{Limits, Pcm, WavFormat, WavWriter, read_audio_file, resample};
use partita_engine::store::catalogue;
use partita_models::musicgen::{Audio, Generate, MusicGen, Precisions, Progress, Section, melody};
use partita_nn::{Precision, Sampling};
use serde_json::{Value, json};

use super::models::place::Place;
use crate::error::{Error, Kind, Result};
use crate::options;
use crate::output::{Slot, Staging, Target};
use crate::report::{CommandLine, round};
use crate::session::{Clock, Session};
use crate::{cancel, model, progress};

mod encode;
mod prompt;

use encode::Encoding;
use prompt::Words;

/// The model that is played when none is named.
const USUAL: &str = "musicgen-small";
const USUAL_STEREO: &str = "musicgen-stereo-small";

#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    words: Words,
    /// Seconds to generate, 1..=300
    #[arg(long, default_value_t = 10.0, value_parser = options::seconds, allow_negative_numbers = true)]
    seconds: f64,
    /// What it should not sound like
    #[arg(long, value_name = "TEXT")]
    negative: Option<String>,
    /// How closely to follow the prompt, [1, 20]; 1 is off and twice as fast
    #[arg(long, default_value_t = 3.0, value_parser = options::guidance, allow_negative_numbers = true)]
    guidance: f32,
    /// Boldness, (0, 4]: below 1 safer, above 1 wilder
    #[arg(long, default_value_t = 1.0, value_parser = options::temperature, allow_negative_numbers = true)]
    temperature: f64,
    /// Draw from the k likeliest codes only; 0 for all
    #[arg(long, default_value_t = 250, value_parser = options::top_k, allow_negative_numbers = true)]
    top_k: usize,
    /// Draw from the likeliest codes that together reach this probability, (0, 1]
    #[arg(long, default_value_t = 1.0, value_parser = options::top_p, allow_negative_numbers = true)]
    top_p: f64,
    /// Number all randomness comes from; drawn and printed if left out
    #[arg(long, value_parser = options::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// How many variations to play together, 1..=16
    #[arg(short = 'n', long, default_value_t = 1, value_parser = options::clips, allow_negative_numbers = true)]
    variations: usize,
    /// Go on where this sound file ends; it comes first in the result
    #[arg(long = "continue", value_name = "FILE")]
    start: Option<PathBuf>,
    /// Follow the melody of this sound file (models called melody)
    #[arg(long, value_name = "FILE")]
    melody: Option<PathBuf>,
    /// Play in stereo (musicgen-stereo-small unless --model names another)
    #[arg(long)]
    stereo: bool,
    /// How the weights are kept in memory: q4 is faster and coarser, f32 exact and slow
    #[arg(long, value_enum, default_value = "int8")]
    precision: Weights,
    /// Print the prompt as the model would read it, and nothing else
    #[arg(long)]
    dry_run: bool,
    /// Sound file to write: .wav, .flac, .ogg (Opus), others through ffmpeg; - streams WAV while it is played
    #[arg(short, long, value_name = "FILE", default_value = "audio.wav")]
    output: Target,
    /// Replace files that are already there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Weights {
    F32,
    Int8,
    Q4,
}

impl Weights {
    fn precision(self) -> Precision {
        match self {
            Weights::F32 => Precision::F32,
            Weights::Int8 => Precision::Int8,
            Weights::Q4 => Precision::Q4,
        }
    }
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let prompt = options.words.prompt();
    if options.dry_run {
        let json = json!({ "prompt": prompt });
        return session.answer(&json, &format!("{prompt}\n"), false);
    }
    let mut clock = Clock::start();
    let request = Generate {
        prompt,
        negative: options.negative.clone(),
        seconds: options.seconds,
        guidance: options.guidance,
        sampling: Sampling {
            temperature: options.temperature as f32,
            top_k: options.top_k,
            top_p: options.top_p as f32,
            ..Sampling::default()
        },
        seed: options.seed.unwrap_or_else(options::random_seed),
        variations: options.variations,
        start: None,
        melody: None,
    };
    request.check()?;
    if options.output == Target::Stdout && options.variations > 1 {
        return Err(Error::usage("output", "output must be a file when there are several variations, got -"));
    }
    let sink = Sink::open(options, session)?;
    let (folder, cache) = folder(options, session)?;
    let precisions = Precisions { weights: options.precision.precision(), ..Precisions::default() };
    let mut model = MusicGen::open(&folder, precisions)?;
    if let Some(cache) = cache {
        model = model.with_cache(cache);
    }
    let request = Generate {
        start: options.start.as_deref().map(|path| start(path, &model)).transpose()?,
        melody: options.melody.as_deref().map(|path| melody_of(path, &model)).transpose()?,
        ..request
    };
    let compute = model::compute()?;
    cancel::listen();
    let prepared = model
        .prepare(&mut partita_kernels::Compute::new(Arc::clone(&compute.pool), compute.path), &request)?;
    // Nobody needs them any more, and they are half of what is in memory.
    model.release(Section::Text);
    model.release(Section::Encoder);
    clock.lap("prepare");
    model.lm()?;
    model.codec()?;
    clock.lap("load");
    let mut player = Player::new(sink, &model, &request, session);
    let played =
        model.play(&compute.pool, compute.path, &request, &prepared, &mut |progress| player.hear(progress));
    player.bar.finish_and_clear();
    if let Some(error) = player.failed {
        return Err(error);
    }
    played?;
    clock.lap("play");
    let elapsed = player.started.elapsed();
    let files = player.sink.finish(player.clips)?;
    clock.lap("write");
    report(options, session, &request, &folder, elapsed, &files, &clock)
}

/// The folder of the model that was asked for, and where its packed weights are kept.
fn folder(options: &Options, session: &Session) -> Result<(PathBuf, Option<PathBuf>)> {
    match &session.model {
        Some(path) if path.is_dir() => Ok((path.clone(), None)),
        named => {
            let usual = if options.stereo { USUAL_STEREO } else { USUAL };
            let name = named.as_ref().map_or_else(|| usual.into(), |path| path.to_string_lossy());
            let installed = options.place.find(session, &name)?;
            let packed = options.place.store()?.packed(&installed.name);
            Ok((installed.folder, Some(packed)))
        }
    }
}

/// Samples `[C][N]` that a clip begins with, at the model's rate and with its channels.
fn start(path: &Path, model: &MusicGen) -> Result<Vec<Vec<f32>>> {
    let pcm = resample(&read_audio_file(path, &Limits::default())?, model.sample_rate())?;
    Ok(match model.config().decoder.audio_channels {
        1 => pcm.to_mono().channels,
        _ => match pcm.channels.as_slice() {
            [left, right] => vec![left.clone(), right.clone()],
            _ => vec![pcm.to_mono().channels.remove(0); 2],
        },
    })
}

fn melody_of(path: &Path, model: &MusicGen) -> Result<Vec<f32>> {
    let pcm = resample(&read_audio_file(path, &Limits::default())?, model.sample_rate())?;
    Ok(melody::features(&pcm.to_mono().channels[0]))
}

/// Where the sound goes.
enum Sink {
    /// While it is played.
    Stdout(Option<WavWriter<std::io::Stdout>>),
    /// When it is whole.
    Files { staging: Staging, slots: Vec<(Slot, Target, Encoding)> },
}

impl Sink {
    fn open(options: &Options, session: &Session) -> Result<Sink> {
        if options.output == Target::Stdout {
            if session.json {
                return Err(Error::usage("output", "output must be a file with --json, got -"));
            }
            return Ok(Sink::Stdout(None));
        }
        let mut staging = Staging::new(options.force);
        let mut slots = Vec::new();
        for index in 0..options.variations {
            let target = options.output.numbered(index, options.variations);
            let encoding = Encoding::of(&target)?;
            slots.push((staging.add("output", &target)?, target, encoding));
        }
        Ok(Sink::Files { staging, slots })
    }

    /// Encodes and names the files; what was written, with its length in bytes.
    fn finish(self, clips: Vec<Pcm>) -> Result<Vec<(Target, usize)>> {
        match self {
            Sink::Stdout(writer) => {
                if let Some(writer) = writer {
                    writer.finish()?;
                }
                Ok(Vec::new())
            }
            Sink::Files { mut staging, slots } => {
                let mut written = Vec::new();
                for ((slot, target, encoding), clip) in slots.into_iter().zip(clips) {
                    let bytes = encoding.encode(clip)?;
                    staging.write(slot, &bytes)?;
                    written.push((target, bytes.len()));
                }
                staging.commit()?;
                Ok(written)
            }
        }
    }
}

/// What hears the music: the sink and the bar.
struct Player {
    sink: Sink,
    clips: Vec<Pcm>,
    sample_rate: u32,
    channels: usize,
    started: Instant,
    bar: ProgressBar,
    failed: Option<Error>,
}

impl Player {
    fn new(sink: Sink, model: &MusicGen, request: &Generate, session: &Session) -> Player {
        let (sample_rate, channels) = (model.sample_rate(), model.config().decoder.audio_channels);
        Player {
            sink,
            clips: vec![Pcm::silence(sample_rate, channels, 0); request.variations],
            sample_rate,
            channels,
            started: Instant::now(),
            bar: progress::bar(session, (request.seconds * 1000.0) as u64, "{bar:30} {msg}"),
            failed: None,
        }
    }

    fn hear(&mut self, progress: Progress) -> ControlFlow<()> {
        let elapsed = self.started.elapsed().as_secs_f64();
        if progress.seconds > 0.0 {
            let per_second = elapsed / progress.seconds;
            let left = Duration::from_secs_f64((progress.of - progress.seconds) * per_second);
            let message = format!(
                "{:.1} of {:.0} s, {per_second:.2} s a second, {} s left",
                progress.seconds,
                progress.of,
                left.as_secs()
            );
            self.bar.set_message(message);
        }
        self.bar.set_position((progress.seconds * 1000.0) as u64);
        for audio in progress.new {
            if let Err(error) = self.take(audio) {
                self.failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        cancel::flow()
    }

    fn take(&mut self, audio: Audio) -> Result<()> {
        if let Sink::Stdout(writer) = &mut self.sink {
            let writer = match writer {
                Some(writer) => writer,
                None => {
                    let opened = WavWriter::new(
                        std::io::stdout(),
                        self.sample_rate,
                        self.channels,
                        WavFormat::Int16,
                        None,
                    );
                    writer.insert(opened?)
                }
            };
            let channels: Vec<&[f32]> = audio.samples.iter().map(Vec::as_slice).collect();
            return Ok(writer.write(&channels)?);
        }
        let clip = &mut self.clips[audio.variation];
        clip.channels.iter_mut().zip(audio.samples).for_each(|(all, new)| all.extend(new));
        Ok(())
    }
}

fn report(
    options: &Options,
    session: &Session,
    request: &Generate,
    folder: &Path,
    elapsed: Duration,
    files: &[(Target, usize)],
    clock: &Clock,
) -> Result<()> {
    let seconds = request.seconds * request.variations as f64;
    let rtf = round(elapsed.as_secs_f64() / seconds, 3);
    let mut command = CommandLine::new(&["generate", "audio"]);
    command.session(session);
    command.option("prompt", &request.prompt);
    command.maybe("negative", request.negative.as_ref());
    command.option("seconds", request.seconds);
    command.option("guidance", request.guidance);
    command.option("temperature", options.temperature);
    command.option("top-k", options.top_k);
    command.option("top-p", options.top_p);
    command.option("seed", request.seed);
    command.option("variations", request.variations);
    command.maybe("continue", options.start.as_ref().map(|path| path.display()));
    command.maybe("melody", options.melody.as_ref().map(|path| path.display()));
    command.flag("stereo", options.stereo);
    command.option("precision", options.precision.precision().name());
    command.option("output", &options.output);
    let command = command.to_string();
    let list: Vec<Value> =
        files.iter().map(|(target, bytes)| json!({ "path": target.to_string(), "bytes": bytes })).collect();
    let json = json!({
        "prompt": request.prompt,
        "seed": request.seed,
        "seconds": request.seconds,
        "model": folder,
        "precision": options.precision.precision().name(),
        "real_time_factor": rtf,
        "files": list,
        "command": command,
        "ms": clock.to_json(),
    });
    let mut text = String::new();
    for (target, bytes) in files {
        let _ = writeln!(text, "{target}  {}", catalogue::readable(*bytes as u64));
    }
    let _ = writeln!(text, "seed {}, {rtf} s for a second of sound", request.seed);
    let _ = writeln!(text, "again: {command}");
    session.answer(&json, &text, options.output == Target::Stdout)
}

impl From<partita_models::musicgen::Error> for Error {
    fn from(error: partita_models::musicgen::Error) -> Error {
        use partita_models::musicgen::Error as Music;
        match error {
            Music::Range { field, .. } => Error::usage(field, &error),
            Music::NoMelody => Error::usage("melody", &error),
            Music::Cancelled if cancel::requested() => Error::interrupted(),
            Music::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            _ => Error::new(Kind::Failed, "model", &error),
        }
    }
}
