//! Takes as files: MIDI, sound and pictures.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use partita_audio::{Kit, RenderOptions, SoundFont, Stems, Voice, WavFormat};
use partita_score::notation::{self, Format};
use partita_score::picture::Drawing;
use partita_score::{Score, midi};

use crate::cancel;
use crate::error::{Error, Kind, Result};
use crate::options;
use crate::output::{Slot, Staging, Target, stdout_is_terminal};
use crate::report::CommandLine;

/// Built-in drum kits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sound {
    Acoustic,
    #[value(name = "808", alias = "analog808")]
    Analog808,
    #[value(name = "909", alias = "analog909")]
    Analog909,
}

impl Sound {
    fn kit(self) -> Kit {
        match self {
            Sound::Acoustic => Kit::Acoustic,
            Sound::Analog808 => Kit::Analog808,
            Sound::Analog909 => Kit::Analog909,
        }
    }

    /// The sound a style names.
    pub fn of_style(style: &partita_models::drums::Style) -> Sound {
        Sound::from_str(style.sound(), true).unwrap_or(Sound::Acoustic)
    }
}

/// How samples are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SampleFormat {
    #[value(name = "16")]
    Int16,
    #[value(name = "24")]
    Int24,
    Float,
}

impl SampleFormat {
    fn wav(self) -> WavFormat {
        match self {
            SampleFormat::Int16 => WavFormat::Int16,
            SampleFormat::Int24 => WavFormat::Int24,
            SampleFormat::Float => WavFormat::Float32,
        }
    }
}

/// How a score sounds.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sound")]
pub struct SoundOptions {
    /// Built-in drum kit; the style's own if left out
    #[arg(long, value_enum)]
    pub sound: Option<Sound>,
    /// Play with a SoundFont instead
    #[arg(long, value_name = "FILE.sf2", conflicts_with = "sound")]
    pub soundfont: Option<PathBuf>,
    /// Bits a sample
    #[arg(long, value_enum, default_value = "16")]
    pub wav_format: SampleFormat,
    /// Samples a second, 8000..=192000 Hz
    #[arg(long, default_value_t = 44_100, value_parser = options::sample_rate, allow_negative_numbers = true)]
    pub sample_rate: u32,
    /// Loudness in LUFS, [-60, 0]
    #[arg(long, default_value_t = -14.0, value_parser = options::loudness, allow_hyphen_values = true)]
    pub loudness: f64,
}

impl SoundOptions {
    /// Reads what the options name; `default` is the kit when none is asked for.
    ///
    /// # Errors
    /// A SoundFont that is not there or damaged.
    pub fn open(&self, default: Sound) -> Result<Renderer> {
        let voice = match &self.soundfont {
            Some(path) => Voice::SoundFont(SoundFont::open(path)?),
            None => Voice::Kit(self.sound.unwrap_or(default).kit()),
        };
        let options = RenderOptions {
            sample_rate: self.sample_rate,
            voice,
            loudness: Some(self.loudness),
            ..RenderOptions::default()
        };
        Ok(Renderer { options, format: self.wav_format.wav() })
    }

    /// These options, written out in full.
    pub fn echo(&self, default: Sound, line: &mut CommandLine) {
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map_or_else(String::new, |value| value.get_name().to_owned())
        };
        match &self.soundfont {
            Some(path) => line.option("soundfont", path.display()),
            None => line.option("sound", name(&|| self.sound.unwrap_or(default).to_possible_value())),
        }
        line.option("wav-format", name(&|| self.wav_format.to_possible_value()));
        line.option("sample-rate", self.sample_rate);
        line.option("loudness", self.loudness);
    }
}

/// Turns scores into WAV files.
pub struct Renderer {
    options: RenderOptions,
    format: WavFormat,
}

impl Renderer {
    /// The WAV file and its length in seconds.
    ///
    /// # Errors
    /// A score without notes, or one that is too long.
    pub fn wav(&self, score: &Score) -> Result<(Vec<u8>, f64)> {
        let pcm = partita_audio::render(score, &self.options)?;
        Ok((partita_audio::wav::wav_bytes(&pcm, self.format)?, pcm.duration()))
    }

    /// The WAV files of `stems`, one after another: tracks of `whole`, as long as it and in its balance.
    ///
    /// # Errors
    /// As [`Renderer::wav`]; Ctrl-C; what `write` says.
    pub fn stems<'a>(
        &self,
        whole: &Score,
        stems: impl Iterator<Item = &'a Score>,
        write: &mut dyn FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let told = |error| match error {
            partita_audio::Error::Stopped => Error::interrupted(),
            other => other.into(),
        };
        let measured = Stems::of(whole, &self.options, &cancel::requested).map_err(told)?;
        for stem in stems {
            let pcm = measured.render(stem, &cancel::requested).map_err(told)?;
            write(partita_audio::wav::wav_bytes(&pcm, self.format)?)?;
        }
        Ok(())
    }
}

/// Files a command can make of each take.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Files")]
pub struct Files {
    /// Music file to write, by its ending MIDI (.mid), MusicXML (.musicxml, .mxl), ABC (.abc), notes (.json) or
    /// note-seq's JSON (.noteseq.json); - writes MIDI to stdout. Can be given several times; several variations
    /// become NAME-1.mid, NAME-2.mid, ...
    #[arg(short, long, value_name = "FILE")]
    pub output: Vec<Target>,
    /// Sound file to write
    #[arg(long, value_name = "FILE.wav")]
    pub wav: Option<Target>,
    /// Picture to write
    #[arg(long, value_name = "FILE.svg|png")]
    pub picture: Option<Target>,
    /// Replace files that are already there
    #[arg(short, long)]
    pub force: bool,
    // Last, because what follows would stand under its heading.
    #[command(flatten)]
    pub sound: SoundOptions,
}

/// Pixels per unit of a picture.
const PICTURE_SCALE: f64 = 2.0;

/// How a picture is stored, by its name.
#[derive(Clone, Copy, Debug)]
pub enum PictureFormat {
    Svg,
    Png,
}

impl PictureFormat {
    /// # Errors
    /// A name that ends neither in `.svg` nor in `.png`.
    pub fn of(target: &Target) -> Result<PictureFormat> {
        let name = target.to_string().to_lowercase();
        match name.rsplit('.').next() {
            Some("svg") => Ok(PictureFormat::Svg),
            Some("png") => Ok(PictureFormat::Png),
            _ => Err(Error::usage("picture", format!("picture must end in .svg or .png, got {target}"))),
        }
    }

    /// # Errors
    /// A picture too large to paint.
    pub fn encode(self, drawing: &Drawing) -> Result<Vec<u8>> {
        match self {
            PictureFormat::Svg => Ok(drawing.to_svg().into_bytes()),
            PictureFormat::Png => Ok(drawing.to_png(PICTURE_SCALE)?),
        }
    }
}

/// The format of a music file, by its name.
fn music_format(target: &Target) -> Result<Format> {
    match target {
        Target::Stdout => Ok(Format::Midi),
        // Names without an ending, devices and pipes among them, have always got MIDI.
        Target::File(path) if path.extension().is_none() => Ok(Format::Midi),
        Target::File(path) => Format::from_path(path).ok_or_else(|| {
            let endings: Vec<_> = Format::ALL.into_iter().map(|it| format!(".{}", it.extension())).collect();
            Error::usage("output", format!("output must end in {}, got {target}", endings.join(", ")))
        }),
    }
}

impl Files {
    /// Reserves every file for `count` takes.
    ///
    /// # Errors
    /// Targets that cannot be written, options that contradict each other.
    pub fn plan(&self, count: usize, default: Sound, json: bool) -> Result<Delivery> {
        let music = self.output.iter().map(|target| ("output", target));
        let others = [("wav", &self.wav), ("picture", &self.picture)];
        let others = others.into_iter().filter_map(|(field, target)| Some((field, target.as_ref()?)));
        for (field, _) in music.chain(others).filter(|(_, target)| **target == Target::Stdout) {
            let conflict = match () {
                () if json => "cannot go with --json, which needs stdout".to_owned(),
                () if count > 1 => format!("takes one variation, got {count}"),
                () if stdout_is_terminal() => "needs a pipe, got a terminal".to_owned(),
                () => continue,
            };
            return Err(Error::usage(field, format!("{field} - {conflict}")));
        }
        let formats = self.output.iter().map(music_format).collect::<Result<Vec<_>>>()?;
        let picture_format = self.picture.as_ref().map(PictureFormat::of).transpose()?;
        let renderer = self.wav.as_ref().map(|_| self.sound.open(default)).transpose()?;
        let mut staging = Staging::new(self.force);
        let mut takes = Vec::with_capacity(count);
        for index in 0..count {
            let mut files = Vec::new();
            let mut add = |field: &str, target: &Target| -> Result<Slot> {
                let target = target.numbered(index, count);
                let slot = staging.add(field, &target)?;
                files.push(target.to_string());
                Ok(slot)
            };
            let music = self.output.iter().zip(&formats);
            let music = music.map(|(target, format)| Ok((add("output", target)?, *format)));
            let music = music.collect::<Result<Vec<_>>>()?;
            let wav = self.wav.as_ref().map(|target| add("wav", target)).transpose()?;
            let picture = self.picture.as_ref().map(|target| add("picture", target)).transpose()?;
            takes.push(TakeFiles { music, wav, picture, names: files });
        }
        Ok(Delivery { staging, takes, renderer, picture_format, folders: Folders::default() })
    }

    /// These options, written out in full.
    pub fn echo(&self, default: Sound, line: &mut CommandLine) {
        self.echo_with_stems(default, None, line);
    }

    /// These options and a folder for stems, which sound as the options say.
    pub fn echo_with_stems(&self, default: Sound, stems: Option<&Path>, line: &mut CommandLine) {
        self.output.iter().for_each(|target| line.option("output", target));
        line.maybe("picture", self.picture.as_ref());
        line.maybe("wav", self.wav.as_ref());
        line.maybe("stems", stems.map(Path::display));
        if self.wav.is_some() || stems.is_some() {
            self.sound.echo(default, line);
        }
        line.flag("force", self.force);
    }
}

struct TakeFiles {
    music: Vec<(Slot, Format)>,
    wav: Option<Slot>,
    picture: Option<Slot>,
    names: Vec<String>,
}

/// Reserved files and what is needed to fill them.
pub struct Delivery {
    staging: Staging,
    takes: Vec<TakeFiles>,
    renderer: Option<Renderer>,
    picture_format: Option<PictureFormat>,
    /// After the files in them, so that it is dropped after these.
    folders: Folders,
}

/// Folders that were made for files, outer ones first; those that stay empty go again.
#[derive(Default)]
struct Folders(Vec<PathBuf>);

impl Drop for Folders {
    fn drop(&mut self) {
        self.0.iter().rev().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}

impl Delivery {
    /// Fills the files of take `index`; `picture` draws it if somebody asked for that, `midi` overrides the bytes of the
    /// score.
    ///
    /// # Errors
    /// A score that cannot be rendered, a disk that is full.
    pub fn write(
        &mut self,
        index: usize,
        score: &Score,
        picture: impl FnOnce() -> Drawing,
        midi: Option<&[u8]>,
    ) -> Result<()> {
        if crate::cancel::requested() {
            return Err(Error::interrupted());
        }
        let take = &self.takes[index];
        let (wav_slot, picture_slot) = (take.wav, take.picture);
        for (slot, format) in take.music.clone() {
            match midi.filter(|_| format == Format::Midi) {
                Some(bytes) => self.staging.write(slot, bytes)?,
                None => self.staging.write(slot, &notation::write(score, format)?)?,
            }
        }
        if let Some((slot, renderer)) = wav_slot.zip(self.renderer.as_ref()) {
            let (bytes, _) = renderer.wav(score)?;
            self.staging.write(slot, &bytes)?;
        }
        if let Some((slot, format)) = picture_slot.zip(self.picture_format) {
            self.staging.write(slot, &format.encode(&picture())?)?;
        }
        Ok(())
    }

    /// Makes a folder and those it lies in. What is still empty at the end goes again.
    ///
    /// # Errors
    /// A place where none can be made.
    pub fn folder(&mut self, field: &'static str, folder: &Path) -> Result<()> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made: Vec<PathBuf> = folder.ancestors().take_while(missing).map(Path::to_path_buf).collect();
        self.folders.0.extend(made.into_iter().rev());
        std::fs::create_dir_all(folder).map_err(|e| Error::file(field, "make", folder, &e))
    }

    /// Reserves one more file, of the first take.
    ///
    /// # Errors
    /// A target that cannot be written.
    pub fn add(&mut self, field: &str, target: &Target) -> Result<Slot> {
        let slot = self.staging.add(field, target)?;
        self.takes[0].names.push(target.to_string());
        Ok(slot)
    }

    /// Fills a file of [`add`](Self::add) piece by piece.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn stream(
        &mut self,
        slot: Slot,
        write: &mut dyn FnMut(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut out = Pieces { staging: &mut self.staging, slot, failed: None };
        let written = write(&mut out);
        match (out.failed.take(), written) {
            (Some(error), _) => Err(error),
            (None, written) => written.map_err(|e| Error::failed(e.to_string())),
        }
    }

    /// Names of the files of take `index`.
    pub fn names(&self, index: usize) -> &[String] {
        &self.takes[index].names
    }

    /// Names of all files, and whether bytes of one go to stdout.
    pub fn summary(&self) -> (Vec<String>, bool) {
        let names = self.takes.iter().flat_map(|take| &take.names).filter(|name| *name != "-").cloned();
        (names.collect(), self.staging.has_stdout())
    }

    /// Gives all files their names.
    ///
    /// # Errors
    /// See [`Staging::commit`].
    pub fn commit(self) -> Result<()> {
        self.staging.commit()
    }
}

/// A file being staged as something to write to.
struct Pieces<'a> {
    staging: &'a mut Staging,
    slot: Slot,
    failed: Option<Error>,
}

impl std::io::Write for Pieces<'_> {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        match self.staging.write(self.slot, piece) {
            Ok(()) => Ok(piece.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(std::io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The largest file read as music.
const MAX_INPUT: u64 = 64 << 20;

/// A piece to work on.
pub struct Input {
    pub name: String,
    /// As MIDI.
    pub bytes: Vec<u8>,
    pub score: Score,
}

impl Input {
    /// Reads a music file of any format, `-` for stdin.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a file that is not there, [`Kind::Failed`] for one that is no music.
    pub fn read(target: &Target) -> Result<Input> {
        use std::io::Read;
        let name = match target {
            Target::Stdout => "stdin".to_owned(),
            Target::File(path) => path.display().to_string(),
        };
        let path = PathBuf::from(&name);
        let mut bytes = Vec::new();
        let read = match target {
            Target::Stdout => std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes),
            Target::File(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut bytes))
            }
        };
        read.map_err(|e| Error::file("input", "read", &path, &e))?;
        if bytes.len() as u64 > MAX_INPUT {
            let message = format!("{name} must be at most {} MiB, got more", MAX_INPUT >> 20);
            return Err(Error::new(Kind::Failed, "input", message));
        }
        let promised = Format::from_path(&path);
        if bytes.is_empty() {
            let kind = promised.unwrap_or(Format::Midi).title();
            return Err(Error::new(Kind::Failed, "input", format!("{name} must be {kind}, got 0 bytes")));
        }
        let fail = |e: partita_score::Error| Error::new(Kind::Failed, "input", format!("{name}: {e}"));
        match Format::sniff(&bytes).or(promised) {
            None | Some(Format::Midi) => {
                let score = midi::read(&bytes).map_err(fail)?;
                Ok(Input { name, bytes, score })
            }
            Some(format) => {
                let score = notation::read(&bytes, format).map_err(fail)?;
                Ok(Input { bytes: midi::write(&score), score, name })
            }
        }
    }

    /// Its notes in seconds, as models of Magenta's read them.
    ///
    /// # Errors
    /// What such a sequence cannot hold.
    pub fn sequence(&self) -> Result<partita_score::NoteSequence> {
        let sequence = partita_score::NoteSequence::from_midi(&self.bytes);
        sequence.map_err(|e| Error::new(Kind::Failed, "input", format!("{}: {e}", self.name)))
    }

    /// Its drums on the grid.
    ///
    /// # Errors
    /// No drums, or drums under several metres.
    pub fn drums(&self) -> Result<partita_score::QuantizedDrums> {
        let quantized = partita_score::quantize_drums(&self.score, partita_score::DrumMap::Gm);
        quantized.map_err(|e| Error::new(Kind::Failed, "input", format!("{}: {e}", self.name)))
    }
}
