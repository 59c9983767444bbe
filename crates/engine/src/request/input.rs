//! The music a request brings: checked, bounded, and read into a score.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_score::{
    Beat, DrumMap, Meter, MeterMap, Ppq, QuantizedDrums, Score, TempoMap, Tick, Track, midi, quantize_drums,
};

use super::problems::{Problems, number, text};
use super::{Input, fields};
use crate::{Code, Fault, Note};

/// Notes of one piece.
pub(crate) const MOST_NOTES: usize = 100_000;
/// Latest start and longest duration of a note, beats.
const LONGEST_BEATS: f64 = 100_000.0;
/// Tracks, and changes of tempo or metre: work grows with their product with the notes.
pub(crate) const MOST_TRACKS: usize = 1024;
const MOST_CHANGES: usize = 5000;
/// More strokes in one bar are more than any model can read.
const MOST_HITS_A_BAR: usize = 400;
/// Larger files are no music, whatever the configuration says.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Music that has been read.
pub(crate) struct Music {
    pub score: Score,
    /// The file it came in, if it came in one.
    pub bytes: Option<Vec<u8>>,
    /// Where in the request it came from: `input/midi`, or `file` of a form.
    pub field: &'static str,
}

impl Music {
    /// Its drums on the grid, in a metre and density that a model can read.
    ///
    /// # Errors
    /// `InvalidMidi` with a pointer.
    pub fn drums(&self) -> Result<QuantizedDrums, Fault> {
        let wrong = |detail: String| self.wrong(&detail);
        let drums = quantize_drums(&self.score, DrumMap::Gm)
            .map_err(|error| wrong(format!("cannot be used: {error}")))?;
        let meter = drums.pattern.meter;
        if !fields::is_drum_meter(meter) {
            return Err(wrong(format!("must have {}, got {meter}", fields::METERS)));
        }
        let steps = meter.steps_per_bar();
        // Sorted by step, so bars come in runs.
        for bar in drums.pattern.hits.chunk_by(|left, right| left.step / steps == right.step / steps) {
            if bar.len() > MOST_HITS_A_BAR {
                let number = bar[0].step / steps + 1;
                return Err(wrong(format!(
                    "must have at most {MOST_HITS_A_BAR} strokes in a bar, got {} in bar {number}",
                    bar.len()
                )));
            }
        }
        Ok(drums)
    }

    /// The score. Notes in JSON whose channel is left out come as drums; here they are a melody, and so are those of the
    /// only other channel.
    pub fn pitched(&self) -> Score {
        let mut score = self.score.clone();
        if self.bytes.is_some() {
            return score;
        }
        if score.tracks.iter().all(Track::is_drums) {
            score.tracks.iter_mut().for_each(|track| track.channel = 0);
        }
        let mut lines = score.tracks.iter_mut().filter(|track| !track.is_drums());
        if let (Some(line), None) = (lines.next(), lines.next()) {
            line.name = "melody".into();
        }
        score
    }

    fn wrong(&self, detail: &str) -> Fault {
        wrong(self.field, detail)
    }
}

fn wrong(field: &str, detail: &str) -> Fault {
    let mut problems = Problems::default();
    problems.say(Code::InvalidMidi, field, detail, None);
    problems.finish().expect_err("it holds a problem")
}

/// Checks an input, fills in what it leaves out, and reads it; `None` if it is a file elsewhere or wrong.
///
/// `most_bytes`: of a decoded MIDI file.
pub(crate) fn check(input: &mut Input, most_bytes: u64, problems: &mut Problems) -> Option<Music> {
    let given = [
        ("file_id", input.file_id.is_some()),
        ("midi", input.midi.is_some()),
        ("notes", input.notes.is_some()),
    ];
    let given: Vec<&str> =
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
    if given.len() != 1 {
        let got = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
        problems.add("input", "exactly one of file_id, midi and notes", got);
        return None;
    }
    if input.notes.is_none() {
        problems.useless("input/tempo", input.tempo.is_some(), "a MIDI file says its own");
        problems.useless("input/time_signature", input.time_signature.is_some(), "a MIDI file says its own");
    }
    if let Some(id) = &input.file_id {
        if !is_file_id(id) {
            problems.add("input/file_id", "fil_ and 26 letters or digits", text(id));
        }
        return None;
    }
    let read = match (&input.midi, &mut input.notes) {
        (Some(midi), _) => decode(midi, most_bytes.min(MOST_BYTES)),
        (None, Some(given)) => {
            let (tempo, time) =
                (*input.tempo.get_or_insert(120.0), *input.time_signature.get_or_insert([4, 4]));
            let found = problems.count();
            fields::tempo("input/tempo", Some(tempo), problems);
            fields::time_signature("input/time_signature", Some(time), problems);
            notes("input/notes", given, problems);
            if problems.count() > found {
                return None;
            }
            Ok(from_notes(given, tempo, fields::meter(time).unwrap_or(Meter::COMMON), "input/notes"))
        }
        (None, None) => return None,
    };
    match read {
        Ok(music) => Some(music),
        Err(fault) => {
            problems.merge(fault);
            None
        }
    }
}

/// Reads an input that [`check`] has seen. `files`: bytes by file id.
///
/// # Errors
/// `InvalidMidi`, `NotFound` for a file that is not among `files`.
pub(crate) fn read(input: &Input, files: &HashMap<String, Vec<u8>>) -> Result<Music, Fault> {
    if let Some(id) = &input.file_id {
        let missing = || {
            let mut problems = Problems::default();
            problems.say(Code::NotFound, "input/file_id", "is not there (any more)", None);
            problems.finish().expect_err("it holds a problem")
        };
        let bytes = files.get(id).ok_or_else(missing)?;
        return parse(bytes.clone(), "input/file_id");
    }
    let mut problems = Problems::default();
    let music = check(&mut input.clone(), MOST_BYTES, &mut problems);
    problems.finish()?;
    music.ok_or_else(|| Fault::internal("an input that was checked has no music"))
}

/// Reads the bytes of the file that an input names. `field`: where in the request they came from.
///
/// # Errors
/// `InvalidMidi`.
pub(crate) fn given(bytes: &[u8], field: &'static str) -> Result<Music, Fault> {
    parse(bytes.to_vec(), field)
}

/// `fil_` and 26 letters or digits.
fn is_file_id(id: &str) -> bool {
    let rest = id.strip_prefix("fil_");
    rest.is_some_and(|rest| rest.len() == 26 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Checks that bytes are a MIDI file that can be worked on, as for an upload.
///
/// # Errors
/// `InvalidMidi` with the pointer `#/file`.
pub(crate) fn check_file(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(wrong("file", &format!("must be at most {MOST_BYTES} bytes, got {}", bytes.len())));
    }
    let score = midi::read(bytes).map_err(|error| wrong("file", &format!("cannot be read: {error}")))?;
    bounded(&score, "file")
}

fn decode(base64: &str, most_bytes: u64) -> Result<Music, Fault> {
    const FIELD: &str = "input/midi";
    // Four characters hold three bytes.
    if base64.len() as u64 / 4 * 3 > most_bytes.saturating_add(3) {
        let got = base64.len() as u64 / 4 * 3;
        return Err(wrong(FIELD, &format!("must be at most {most_bytes} bytes, got about {got}")));
    }
    let bytes = STANDARD.decode(base64.trim_end()).map_err(|error| {
        let error = error.to_string();
        wrong(FIELD, &format!("must be a MIDI file in base64, got something else: {}", error.to_lowercase()))
    })?;
    parse(bytes, FIELD)
}

fn parse(bytes: Vec<u8>, field: &'static str) -> Result<Music, Fault> {
    let score = midi::read(&bytes).map_err(|error| wrong(field, &format!("cannot be read: {error}")))?;
    bounded(&score, field)?;
    Ok(Music { score, bytes: Some(bytes), field })
}

/// Whether a score is small enough to work on.
fn bounded(score: &Score, field: &str) -> Result<(), Fault> {
    let notes: usize = score.tracks.iter().map(|track| track.notes.len()).sum();
    let limits = [
        ("notes", notes, MOST_NOTES),
        ("tracks", score.tracks.len(), MOST_TRACKS),
        ("changes of tempo", score.tempos.changes().len(), MOST_CHANGES),
        ("changes of metre", score.meters.changes().len(), MOST_CHANGES),
    ];
    match limits.into_iter().find(|(_, got, most)| got > most) {
        Some((what, got, most)) => Err(wrong(field, &format!("must have at most {most} {what}, got {got}"))),
        None => Ok(()),
    }
}

/// Checks notes given as JSON; `field` is where they stand.
pub(crate) fn notes(field: &str, notes: &[Note], problems: &mut Problems) {
    if !(1..=MOST_NOTES).contains(&notes.len()) {
        problems.add(field, &format!("1..={MOST_NOTES} notes"), notes.len());
        return;
    }
    for (index, note) in notes.iter().enumerate() {
        let fine = note.pitch <= 127
            && (1..=127).contains(&note.velocity)
            && note.channel <= 15
            && (0.0..=LONGEST_BEATS).contains(&note.start)
            && note.duration > 0.0
            && note.duration <= LONGEST_BEATS;
        if fine {
            continue;
        }
        let at = |name: &str| format!("{field}/{index}/{name}");
        problems.whole(&at("pitch"), 0..=127, Some(note.pitch));
        problems.whole(&at("velocity"), 1..=127, Some(note.velocity));
        problems.whole(&at("channel"), 0..=15, Some(note.channel));
        let start = |start| (0.0..=LONGEST_BEATS).contains(&start);
        problems.real(&at("start"), &format!("0..={}", number(LONGEST_BEATS)), start, Some(note.start));
        let duration = |duration| duration > 0.0 && duration <= LONGEST_BEATS;
        problems.real(
            &at("duration"),
            &format!("(0, {}]", number(LONGEST_BEATS)),
            duration,
            Some(note.duration),
        );
    }
}

/// A score of notes that have been checked: a track a channel, 480 ticks a quarter.
pub(crate) fn from_notes(notes: &[Note], tempo: f64, meter: Meter, field: &'static str) -> Music {
    let ppq = Ppq::DEFAULT;
    let mut channels: BTreeMap<u8, Vec<partita_score::Note>> = BTreeMap::new();
    for note in notes {
        let onset = Beat(note.start).ticks(ppq);
        let end = Beat(note.start + note.duration).ticks(ppq).max(Tick(onset.0.saturating_add(1)));
        let (pitch, velocity) = (note.pitch, note.velocity);
        let played = partita_score::Note { onset, end, pitch, velocity };
        channels.entry(note.channel).or_default().push(played);
    }
    let tracks = channels.into_iter().map(|(channel, mut notes)| {
        notes.sort_by_key(|note| note.onset);
        let name = if channel == 9 { "Drums".to_owned() } else { String::new() };
        Track { name, channel, program: 0, notes, controls: Vec::new() }
    });
    let score = Score {
        ppq,
        tempos: TempoMap::constant(tempo),
        meters: MeterMap::constant(meter),
        tracks: tracks.collect(),
        ..Score::default()
    };
    Music { score, bytes: None, field }
}
