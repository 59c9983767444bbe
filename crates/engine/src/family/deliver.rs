//! What was played as notes, tokens and files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_audio::wav::wav_bytes_until;
use partita_audio::{Kit, Pcm, RenderOptions, Stems, Voice, WavFormat, flac_bytes_until, opus_bytes_until};
use partita_models::song::file_stems;
use partita_score::notation::{abc, musicxml};
use partita_score::{DrumPattern, Score, midi, picture};
use serde_json::json;

use super::{Made, MadeFile, Report};
use crate::request::{FileFormat, OutputFormat};
use crate::{ChordAt, Code, Fault, Note, Outcome, Problem, Take};

/// Pixels per unit of a picture.
const PICTURE_SCALE: f64 = 2.0;
/// Part of the work that is done when files are made, if notes had to be played first.
pub(crate) const PLAYED: f64 = 0.9;

/// What a request wants to have back.
pub(crate) struct Wanted {
    pub format: Option<OutputFormat>,
    pub files: Vec<FileFormat>,
    pub kit: Kit,
    pub sample_rate: u32,
    /// LUFS
    pub loudness: f64,
    /// Also a WAV file of each track.
    pub stems: bool,
}

/// What all takes of a request share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Of the files, without what tells formats and takes apart.
    pub name: String,
    pub seed: Option<u64>,
    pub tempo: f64,
    pub time_signature: [u32; 2],
    pub bars: u32,
    pub seconds: f64,
    pub generate_ms: f64,
    pub tokens: u64,
    pub updated: bool,
}

/// One take, ready to be written.
#[derive(Default)]
pub(crate) struct Piece {
    pub score: Score,
    /// What a picture shows; a piano roll without it.
    pub drums: Option<DrumPattern>,
    /// The MIDI file, where it is not just the score's.
    pub midi: Option<Vec<u8>>,
    pub ids: Option<Vec<u32>>,
    pub nats: Option<f64>,
    pub chords: Option<Vec<ChordAt>>,
    /// What the demands cost, in nats.
    pub cost: Option<f64>,
    /// Parts, and who made them.
    pub made: Option<BTreeMap<String, String>>,
    /// What the model read before the first new token.
    pub prompt: Option<Vec<u32>>,
    /// Files that are there already: the ending of their names, their media types and bytes.
    pub extra: Vec<(&'static str, &'static str, Vec<u8>)>,
}

impl Wanted {
    pub fn new(format: Option<OutputFormat>, files: Option<&Vec<FileFormat>>, sound: Option<&str>) -> Wanted {
        let kit = match sound {
            Some("analog808") => Kit::Analog808,
            Some("analog909") => Kit::Analog909,
            _ => Kit::Acoustic,
        };
        let files = files.cloned().unwrap_or_default();
        Wanted { format, files, kit, sample_rate: 44_100, loudness: -14.0, stems: false }
    }

    fn render_options(&self) -> RenderOptions {
        RenderOptions {
            sample_rate: self.sample_rate,
            voice: Voice::Kit(self.kit),
            loudness: Some(self.loudness),
            ..RenderOptions::default()
        }
    }

    fn wants(&self, format: OutputFormat) -> bool {
        let holds_all = matches!(self.format, Some(OutputFormat::Full | OutputFormat::Research));
        self.format == Some(format) || holds_all
    }
}

/// Writes all takes; `from` is how far the work is, `[0, 1]`.
///
/// # Errors
/// `Cancelled` between two files and in the middle of a sound; `InvalidRequest` for a piece that is too long for a sound or a picture.
pub(crate) fn deliver(
    pieces: Vec<Piece>,
    frame: &Frame,
    wanted: &Wanted,
    from: f64,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let steps = (pieces.len() * wanted.files.len()) as u64;
    let mut step = 0;
    let mut files = Vec::new();
    let mut takes = Vec::with_capacity(pieces.len());
    let count = pieces.len();
    let file = |variation: usize, ending: &str, media_type: &str, bytes: Vec<u8>| {
        let number = if count > 1 { format!("-v{}", variation + 1) } else { String::new() };
        let name = format!("{}{number}{ending}", frame.name);
        MadeFile { take: Some(variation), item: None, name, media_type: media_type.into(), bytes }
    };
    for (variation, piece) in pieces.into_iter().enumerate() {
        let notes = notes_of(&piece.score);
        for format in &wanted.files {
            let stage = if format.is_sound() { "render" } else { "export" };
            let fraction = from + (1.0 - from) * step as f64 / steps.max(1) as f64;
            let mut ask = || report.progress(stage, fraction, step, steps).is_break();
            if ask() {
                return Err(cancelled());
            }
            let (ending, media_type, bytes) = encode(*format, &piece, &notes, frame, wanted, &mut ask)?;
            files.push(file(variation, &format!(".{ending}"), media_type, bytes));
            step += 1;
        }
        if wanted.stems {
            let fraction = from + (1.0 - from) * step as f64 / steps.max(1) as f64;
            let mut ask = || report.progress("render", fraction, step, steps).is_break();
            for (stem, bytes) in stems(&piece.score, wanted, &mut ask)? {
                files.push(file(variation, &format!("-{stem}.wav"), "audio/wav", bytes));
            }
        }
        let midi = wanted.wants(OutputFormat::Midi).then(|| STANDARD.encode(midi_bytes(&piece)));
        for (ending, media_type, bytes) in piece.extra {
            files.push(file(variation, &format!(".{ending}"), media_type, bytes));
        }
        takes.push(Take {
            variation,
            notes: wanted.wants(OutputFormat::Notes).then_some(notes),
            midi,
            tokens: piece.ids.filter(|_| wanted.wants(OutputFormat::Tokens)),
            nats: piece.nats,
            chords: piece.chords.filter(|_| wanted.wants(OutputFormat::Notes)),
            made: piece.made,
            cost_nats: piece.cost.filter(|_| wanted.format == Some(OutputFormat::Research)),
            prompt: piece.prompt.filter(|_| wanted.format == Some(OutputFormat::Research)),
            files: vec![],
        });
    }
    if report.progress("export", 1.0, steps, steps).is_break() {
        return Err(cancelled());
    }
    let mut outcome = Outcome {
        seed: frame.seed,
        tempo: Some(round(frame.tempo, 3)),
        time_signature: Some(frame.time_signature),
        bars: Some(frame.bars),
        duration_seconds: Some(round(frame.seconds, 3)),
        notes: takes.first().and_then(|take| take.notes.clone()),
        chords: takes.first().and_then(|take| take.chords.clone()),
        takes,
        updated: frame.updated,
        ..Outcome::default()
    };
    outcome.metrics.generate_ms = round(frame.generate_ms, 3);
    outcome.metrics.tokens = frame.tokens;
    let music = frame.seconds * count as f64;
    outcome.metrics.realtime_factor =
        (frame.generate_ms > 0.0).then(|| round(music * 1000.0 / frame.generate_ms, 2));
    Ok(Made { outcome, files })
}

fn cancelled() -> Fault {
    Fault::new(Code::Cancelled, "cancelled")
}

fn midi_bytes(piece: &Piece) -> Vec<u8> {
    piece.midi.clone().unwrap_or_else(|| midi::write(&piece.score))
}

/// A file: the ending of its name, its media type and its bytes. `stop` is asked every few milliseconds of a sound.
fn encode(
    format: FileFormat,
    piece: &Piece,
    notes: &[Note],
    frame: &Frame,
    wanted: &Wanted,
    stop: &mut dyn FnMut() -> bool,
) -> Result<(&'static str, &'static str, Vec<u8>), Fault> {
    let drawing = || match &piece.drums {
        Some(pattern) => picture::drum_grid(pattern),
        None => picture::piano_roll(&piece.score),
    };
    Ok(match format {
        FileFormat::Mid => ("mid", "audio/midi", midi_bytes(piece)),
        FileFormat::Wav => ("wav", "audio/wav", sound(&piece.score, wanted, stop, &wav)?),
        FileFormat::Flac => ("flac", "audio/flac", sound(&piece.score, wanted, stop, &flac_bytes_until)?),
        FileFormat::Ogg => ("ogg", "audio/ogg", sound(&piece.score, wanted, stop, &ogg)?),
        FileFormat::Json => {
            let mut object = json!({
                "seed": frame.seed,
                "tempo": round(frame.tempo, 3),
                "time_signature": frame.time_signature,
                "bars": frame.bars,
                "notes": notes,
            });
            if let Some(chords) = &piece.chords {
                object["chords"] = json!(chords);
            }
            ("json", "application/json", object.to_string().into_bytes())
        }
        FileFormat::MusicXml => {
            let text = musicxml::write(&piece.score).map_err(|error| unfit("files", &error))?;
            ("musicxml", "application/vnd.recordare.musicxml+xml", text.into_bytes())
        }
        FileFormat::Abc => {
            let text = abc::write(&piece.score).map_err(|error| unfit("files", &error))?;
            ("abc", "text/vnd.abc", text.into_bytes())
        }
        FileFormat::Svg => ("svg", "image/svg+xml", drawing().to_svg().into_bytes()),
        FileFormat::Png => {
            let painted = drawing().to_png(PICTURE_SCALE);
            ("png", "image/png", painted.map_err(|error| unfit("files", &error))?)
        }
    })
}

/// Makes a file of samples.
type Encode<'a> = &'a dyn Fn(&Pcm, &dyn Fn() -> bool) -> Result<Vec<u8>, partita_audio::Error>;

fn wav(pcm: &Pcm, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, partita_audio::Error> {
    wav_bytes_until(pcm, WavFormat::Int16, stop)
}

fn ogg(pcm: &Pcm, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, partita_audio::Error> {
    opus_bytes_until(pcm, None, stop)
}

fn sound(
    score: &Score,
    wanted: &Wanted,
    stop: &mut dyn FnMut() -> bool,
    encode: Encode,
) -> Result<Vec<u8>, Fault> {
    let stop = RefCell::new(stop);
    let stop = || (*stop.borrow_mut())();
    let pcm = partita_audio::render_until(score, &wanted.render_options(), &stop)
        .map_err(|error| silent(&error))?;
    encode(&pcm, &stop).map_err(|error| silent(&error))
}

/// A WAV file of each track that has notes, with its name.
fn stems(
    score: &Score,
    wanted: &Wanted,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let stop = RefCell::new(stop);
    let stop = || (*stop.borrow_mut())();
    let options = wanted.render_options();
    let measured = Stems::of(score, &options, &stop).map_err(|error| silent(&error))?;
    let file = |(name, stem): (String, Score)| {
        let pcm = measured.render(&stem, &stop).map_err(|error| silent(&error))?;
        Ok((name, wav(&pcm, &stop).map_err(|error| silent(&error))?))
    };
    file_stems(score).into_iter().map(file).collect()
}

/// Why there is no sound.
fn silent(error: &partita_audio::Error) -> Fault {
    match error {
        partita_audio::Error::Stopped => cancelled(),
        partita_audio::Error::EmptyScore => unfit("input", error),
        _ => unfit("files", error),
    }
}

/// Something about one field that came to light only while it was worked on.
fn unfit(field: &str, error: &dyn std::fmt::Display) -> Fault {
    let mut fault = Fault::new(Code::InvalidRequest, format!("{field}: {error}"));
    fault.errors.push(Problem { pointer: format!("#/{field}"), detail: error.to_string(), allowed: None });
    fault
}

/// Every note of a score, in order of time.
pub(crate) fn notes_of(score: &Score) -> Vec<Note> {
    let mut notes: Vec<(u32, u32, Note)> = Vec::new();
    for track in &score.tracks {
        notes.extend(track.notes.iter().map(|note| {
            let note = as_note(note, track.channel, score.ppq);
            (note.1, note.2, note.0)
        }));
    }
    notes.sort_by_key(|(onset, end, note)| (*onset, note.channel, note.pitch, *end));
    notes.into_iter().map(|(_, _, note)| note).collect()
}

/// Tells all bars of a score at once. `length`: of a bar, in beats.
pub(crate) fn tell_bars(score: &Score, variation: usize, bars: u32, length: f64, report: &mut dyn Report) {
    let notes = notes_of(score);
    let mut rest = notes.as_slice();
    for bar in 0..bars {
        let (from, until) = (f64::from(bar) * length, f64::from(bar + 1) * length);
        let (inside, later) = rest.split_at(rest.partition_point(|note| note.start < until));
        report.notes(None, variation, bar, from, inside.to_vec());
        rest = later;
    }
}

/// A note in beats, with its onset and end in ticks. One without length lasts a tick, as it must not be silent.
pub(crate) fn as_note(note: &partita_score::Note, channel: u8, ppq: partita_score::Ppq) -> (Note, u32, u32) {
    let end = note.end.max(partita_score::Tick(note.onset.0.saturating_add(1)));
    let length = partita_score::Tick(end.0 - note.onset.0);
    let start = note.onset.beats(ppq).0;
    let played =
        Note { pitch: note.pitch, start, duration: length.beats(ppq).0, velocity: note.velocity, channel };
    (played, note.onset.0, end.0)
}

/// `value` with so many decimals.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded + 0.0 } else { value }
}

/// The name of files: `funk-96bpm-4bars-s1234`.
pub(crate) fn file_name(what: &str, tempo: f64, bars: u32, seed: Option<u64>) -> String {
    let mut name: String = what
        .chars()
        .take(40)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let _ = write!(name, "-{}bpm-{bars}bars", round(tempo, 2));
    if let Some(seed) = seed {
        let _ = write!(name, "-s{seed}");
    }
    name
}
