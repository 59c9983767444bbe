//! Two-bar melodies of lead sheets, song voices and chorale voices.
//!
//! Steps are MusicVAE's: 0 goes on (or rests), 1 ends the note, `2 + pitch - 21` starts one.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use partita_nn::Rng;
use serde::Deserialize;

use super::layers::Sparse;
use super::net::{Target, Window};
use super::source::{BAR, STEPS, Source};
use crate::checkpoint::hash;
use crate::groove::Split;

/// Ids of a step.
pub const CLASSES: usize = 90;
const HOLD: u8 = 0;
const OFF: u8 = 1;
const FIRST_ON: u8 = 2;
/// The first class that starts a note.
pub const LOWEST_PITCH_CLASS: u32 = FIRST_ON as u32;
const LOWEST: u8 = 21;
const HIGHEST: u8 = 108;

/// Ticks of a sixteenth in the data sets' files (48 a quarter).
const STEP_TICKS: u64 = 12;
/// A rest of a bar ends a melody.
const LONGEST_REST: usize = BAR;
/// Training windows are moved by up to an octave.
const MOST_MOVED: i32 = 12;
/// The longest piece that is read, in steps: hours of music.
const MOST_STEPS: u64 = 1 << 20;

/// One window: an id a step.
pub type Melody = [u8; STEPS];

/// Which collection a window comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    LeadSheets,
    SongVoices,
    ChoraleVoices,
}

impl Collection {
    pub const ALL: [Collection; 3] =
        [Collection::LeadSheets, Collection::SongVoices, Collection::ChoraleVoices];

    pub fn name(self) -> &'static str {
        match self {
            Collection::LeadSheets => "OpenEWLD lead sheets",
            Collection::SongVoices => "OpenScore Lieder voices",
            Collection::ChoraleVoices => "Bach chorale voices",
        }
    }
}

/// The windows of all collections.
#[derive(Clone, Debug, Default)]
pub struct Melodies {
    windows: HashMap<Split, Vec<(Collection, Melody)>>,
    split_hash: String,
}

/// Why the data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "data must be a folder with openewld/leadsheets.jsonl, openscore-lieder/lieder.jsonl or \
         jsb-chorales/Jsb16thSeparated.json, got {}", .0.display()
    )]
    Nothing(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} line {line}: {message}", path.display())]
    Line { path: PathBuf, line: usize, message: String },
}

/// `[onset, duration, pitch]` in ticks.
type Note = (u64, u64, u8);

#[derive(Deserialize)]
struct LeadSheet {
    src: String,
    time: Vec<(u64, String)>,
    bars: Vec<u64>,
    end: u64,
    notes: Vec<Note>,
}

#[derive(Deserialize)]
struct Song {
    src: String,
    time: Vec<(u64, String)>,
    bars: Vec<u64>,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    notes: Vec<Note>,
    end: u64,
}

#[derive(Deserialize)]
struct Chorales {
    train: Vec<Vec<[i16; 4]>>,
    valid: Vec<Vec<[i16; 4]>>,
    test: Vec<Vec<[i16; 4]>>,
}

/// What is gathered while reading.
#[derive(Default)]
struct Gathered {
    windows: HashMap<Split, Vec<(Collection, Melody)>>,
    lines: Vec<String>,
}

impl Gathered {
    fn piece(&mut self, name: &str, split: Split) {
        self.lines.push(format!("{name},{}\n", split.name()));
    }

    fn part(&mut self, collection: Collection, split: Split, windows: impl Iterator<Item = Melody>) {
        let mut seen = HashSet::new();
        let new = windows.filter(|window| seen.insert(*window)).map(|window| (collection, window));
        self.windows.entry(split).or_default().extend(new);
    }
}

impl Melodies {
    /// Reads the collections that `folder` holds, each in a folder of its own with its `splits.csv`.
    ///
    /// # Errors
    /// None of the three there; a file that cannot be read or a line that makes no sense, by name.
    pub fn load(folder: &Path) -> Result<Melodies, Error> {
        let mut gathered = Gathered::default();
        let sheets = folder.join("openewld/leadsheets.jsonl");
        if sheets.is_file() {
            read_lead_sheets(&sheets, &mut gathered)?;
        }
        let songs = folder.join("openscore-lieder/lieder.jsonl");
        if songs.is_file() {
            read_songs(&songs, &mut gathered)?;
        }
        let chorales = folder.join("jsb-chorales/Jsb16thSeparated.json");
        if chorales.is_file() {
            read_chorales(&chorales, &mut gathered)?;
        }
        if gathered.lines.is_empty() {
            return Err(Error::Nothing(folder.to_path_buf()));
        }
        gathered.lines.sort();
        Ok(Melodies { windows: gathered.windows, split_hash: hash(gathered.lines.concat().as_bytes()) })
    }

    /// Windows of a split with where they come from.
    pub fn melodies(&self, split: Split) -> &[(Collection, Melody)] {
        self.windows.get(&split).map_or(&[], Vec::as_slice)
    }
}

impl Source for Melodies {
    fn draw(&self, rng: &mut Rng) -> Window {
        let melodies = self.melodies(Split::Train);
        let (_, melody) = melodies[rng.below(melodies.len() as u64) as usize];
        let ons = || melody.iter().filter(|id| **id >= FIRST_ON).map(|id| i32::from(*id));
        let (low, high) = (ons().min().unwrap_or(2), ons().max().unwrap_or(2));
        let down = (i32::from(FIRST_ON) - low).max(-MOST_MOVED);
        let up = (CLASSES as i32 - 1 - high).min(MOST_MOVED);
        let by = down + rng.below((up - down + 1) as u64) as i32;
        window(&melody.map(|id| if id >= FIRST_ON { (i32::from(id) + by) as u8 } else { id }))
    }

    fn windows(&self, split: Split) -> Vec<Window> {
        self.melodies(split).iter().map(|(_, melody)| window(melody)).collect()
    }

    fn split_hash(&self) -> &str {
        &self.split_hash
    }
}

fn window(melody: &Melody) -> Window {
    let mut input = Sparse::default();
    melody.iter().for_each(|id| input.push([(u32::from(*id), 1.0)]));
    Window { input, target: Target::Classes(melody.iter().map(|id| u32::from(*id)).collect()) }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })
}

/// One JSON object a line.
fn lines<'a, T: Deserialize<'a>>(
    path: &'a Path,
    text: &'a str,
) -> impl Iterator<Item = Result<T, Error>> + 'a {
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(move |(i, line)| {
        serde_json::from_str(line).map_err(|e| Error::Line {
            path: path.into(),
            line: i + 1,
            message: e.to_string(),
        })
    })
}

/// `splits.csv` beside a collection: the columns `src` and `split`.
fn read_splits(beside: &Path) -> Result<HashMap<String, Split>, Error> {
    let path = beside.with_file_name("splits.csv");
    let text = read(&path)?;
    let mut rows = text.lines().enumerate();
    let error = |line: usize, message: &str| Error::Line {
        path: path.clone(),
        line: line + 1,
        message: message.to_owned(),
    };
    let header = rows.next().map(|(_, line)| fields(line)).unwrap_or_default();
    let column = |name: &str| header.iter().position(|field| field == name);
    let (Some(src), Some(split)) = (column("src"), column("split")) else {
        return Err(error(0, "columns must include src and split"));
    };
    let mut splits = HashMap::new();
    for (line, text) in rows.filter(|(_, text)| !text.trim().is_empty()) {
        let fields = fields(text);
        let (Some(src), Some(name)) = (fields.get(src), fields.get(split)) else {
            return Err(error(line, "a row must have a src and a split"));
        };
        let split = Split::ALL.into_iter().find(|split| split.name() == name);
        let split = split.ok_or_else(|| error(line, "split must be train, validation or test"))?;
        splits.insert(src.clone(), split);
    }
    Ok(splits)
}

/// Fields of a line of comma-separated values; quotes inside quotes are doubled.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut letters) = (false, line.trim_end_matches('\r').chars().peekable());
    while let Some(letter) = letters.next() {
        let last = fields.last_mut().expect("there is always a field");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => last.push(letter),
        }
    }
    fields
}

fn split_of(splits: &HashMap<String, Split>, path: &Path, line: usize, src: &str) -> Result<Split, Error> {
    splits.get(src).copied().ok_or_else(|| Error::Line {
        path: path.into(),
        line,
        message: format!("splits.csv must name {src:?}"),
    })
}

fn read_lead_sheets(path: &Path, gathered: &mut Gathered) -> Result<(), Error> {
    let (text, splits) = (read(path)?, read_splits(path)?);
    for (i, sheet) in lines::<LeadSheet>(path, &text).enumerate() {
        let sheet = sheet?;
        let split = split_of(&splits, path, i + 1, &sheet.src)?;
        let starts = common_bars(&sheet.time, &sheet.bars, sheet.end);
        let steps = steps_of(&sheet.notes, sheet.end);
        gathered.part(Collection::LeadSheets, split, windows(&steps, &starts));
        gathered.piece(&format!("openewld/{}", sheet.src), split);
    }
    Ok(())
}

fn read_songs(path: &Path, gathered: &mut Gathered) -> Result<(), Error> {
    let (text, splits) = (read(path)?, read_splits(path)?);
    for (i, song) in lines::<Song>(path, &text).enumerate() {
        let song = song?;
        let split = split_of(&splits, path, i + 1, &song.src)?;
        for part in song.parts.iter().filter(|part| is_sung(&part.name)) {
            let starts = common_bars(&song.time, &song.bars, part.end);
            let steps = steps_of(&part.notes, part.end);
            gathered.part(Collection::SongVoices, split, windows(&steps, &starts));
        }
        gathered.piece(&format!("openscore-lieder/{}", song.src), split);
    }
    Ok(())
}

fn read_chorales(path: &Path, gathered: &mut Gathered) -> Result<(), Error> {
    let text = read(path)?;
    let chorales: Chorales = serde_json::from_str(&text).map_err(|e| Error::Line {
        path: path.into(),
        line: e.line(),
        message: e.to_string(),
    })?;
    let all =
        [(Split::Train, chorales.train), (Split::Validation, chorales.valid), (Split::Test, chorales.test)];
    for (split, chorales) in all {
        for (i, chorale) in chorales.iter().enumerate() {
            for voice in 0..4 {
                let pitches: Vec<i16> = chorale.iter().map(|step| step[voice]).collect();
                let steps = steps_of_pitches(&pitches);
                // The file has no bar lines: windows are cut from the beginning.
                let starts: Vec<usize> = (0..steps.len() / BAR).map(|bar| bar * BAR).collect();
                gathered.part(Collection::ChoraleVoices, split, windows(&steps, &starts));
            }
            gathered.piece(&format!("jsb-chorales/{}/{i}", split.name()), split);
        }
    }
    Ok(())
}

/// Whether a part is sung, by the words of its name in the usual languages.
fn is_sung(name: &str) -> bool {
    const WORDS: [&str; 17] = [
        "voice",
        "singstimme",
        "stimme",
        "gesang",
        "chant",
        "canto",
        "soprano",
        "mezzo",
        "alto",
        "contralto",
        "tenor",
        "baritone",
        "bass",
        "s",
        "a",
        "t",
        "b",
    ];
    let name = name.to_lowercase();
    name.split(|c: char| !c.is_alphabetic()).any(|word| WORDS.contains(&word)) && !name.contains("piano")
}

/// First steps of the bars of sixteen sixteenths, written as 4/4 or 2/2.
fn common_bars(time: &[(u64, String)], bars: &[u64], end: u64) -> Vec<usize> {
    let ends = bars.iter().skip(1).copied().chain([end]);
    let is_common = |start: u64| {
        let signature = time.iter().rev().find(|(at, _)| *at <= start);
        signature.is_some_and(|(_, text)| text == "4/4" || text == "2/2")
    };
    bars.iter()
        .zip(ends)
        .filter(|(start, end)| {
            end.checked_sub(**start) == Some(BAR as u64 * STEP_TICKS) && **start % STEP_TICKS == 0
        })
        .filter(|(start, end)| is_common(**start) && *end <= MOST_STEPS * STEP_TICKS)
        .map(|(start, _)| (start / STEP_TICKS) as usize)
        .collect()
}

/// Ids of a whole part, as MusicVAE's converter extracts them: the highest of notes that start together, and a new
/// note ends the one before.
fn steps_of(notes: &[Note], end: u64) -> Vec<u8> {
    let step = |ticks: u64| ((2 * ticks + STEP_TICKS) / (2 * STEP_TICKS)) as usize;
    let end = end.min(MOST_STEPS * STEP_TICKS);
    let mut notes: Vec<(usize, u8, usize)> = notes
        .iter()
        .filter(|(onset, duration, pitch)| {
            (LOWEST..=HIGHEST).contains(pitch) && onset.checked_add(*duration).is_some_and(|stop| stop <= end)
        })
        .map(|&(onset, duration, pitch)| {
            let start = step(onset);
            (start, pitch, step(onset + duration).max(start + 1))
        })
        .collect();
    notes.sort_by_key(|&(start, pitch, _)| (start, std::cmp::Reverse(pitch)));
    let mut ids = vec![HOLD; step(end) + 2];
    let mut last: Option<(usize, usize)> = None;
    for (start, pitch, stop) in notes {
        if last.is_some_and(|(before, _)| before == start) {
            continue;
        }
        if let Some((_, sounding)) = last.filter(|(_, sounding)| *sounding > start) {
            ids[sounding] = HOLD;
        }
        (ids[start], ids[stop]) = (FIRST_ON + pitch - LOWEST, OFF);
        last = Some((start, stop));
    }
    ids
}

/// Ids of a voice given by its pitch at every step, below zero for a rest; equal neighbours are one note.
fn steps_of_pitches(pitches: &[i16]) -> Vec<u8> {
    let mut before = None;
    let id = |&pitch: &i16| {
        let pitch = u8::try_from(pitch).ok().filter(|pitch| (LOWEST..=HIGHEST).contains(pitch));
        let id = match (before, pitch) {
            (was, now) if was == now => HOLD,
            (_, Some(pitch)) => FIRST_ON + pitch - LOWEST,
            (_, None) => OFF,
        };
        before = pitch;
        id
    };
    pitches.iter().map(id).collect()
}

/// The windows that start at one of `starts` and go on into the next bar, which must be of common time too.
fn windows<'a>(steps: &'a [u8], starts: &'a [usize]) -> impl Iterator<Item = Melody> + 'a {
    starts
        .windows(2)
        .filter(|pair| pair[1] == pair[0] + BAR)
        .filter_map(|pair| steps.get(pair[0]..pair[0] + STEPS))
        .filter_map(|steps| clean(steps.try_into().expect("as long as a window")))
}

/// Forgets what sounded before the window; `None` for one without notes or with a rest of a bar.
fn clean(mut melody: Melody) -> Option<Melody> {
    let first = melody.iter().position(|id| *id >= FIRST_ON)?;
    melody[..first].fill(HOLD);
    let (mut sounding, mut rest) = (false, 0);
    for id in melody {
        sounding = id >= FIRST_ON || (sounding && id == HOLD);
        rest = if sounding { 0 } else { rest + 1 };
        if rest >= LONGEST_REST {
            return None;
        }
    }
    Some(melody)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(pitch: u8) -> u8 {
        FIRST_ON + pitch - LOWEST
    }

    #[test]
    fn a_new_note_ends_the_old_one_and_the_highest_of_a_chord_stays() {
        let notes = [(0, 48, 60), (0, 48, 64), (24, 12, 67), (60, 12, 62)];
        let steps = steps_of(&notes, 96);
        assert_eq!(steps[..8], [on(64), HOLD, on(67), OFF, HOLD, on(62), OFF, HOLD]);
    }

    #[test]
    fn equal_neighbours_of_a_voice_are_one_note_and_a_rest_ends_it() {
        assert_eq!(steps_of_pitches(&[60, 60, 62, -1, -1, 62]), [on(60), HOLD, on(62), OFF, HOLD, on(62)]);
    }

    #[test]
    fn only_whole_bars_of_common_time_count() {
        let time = [(0, "4/4".to_owned()), (432, "3/4".to_owned()), (576, "2/2".to_owned())];
        // An upbeat, two bars of 4/4, one of 3/4, one of 2/2.
        assert_eq!(common_bars(&time, &[0, 48, 240, 432, 576], 768), [4, 20, 48]);
    }

    #[test]
    fn a_window_forgets_what_sounded_before_and_a_bar_of_rest_is_no_melody() {
        let mut steps = [HOLD; STEPS];
        (steps[2], steps[5], steps[9]) = (OFF, on(60), OFF);
        assert!(clean(steps).is_none(), "the rest is longer than a bar");
        steps[20] = on(62);
        let cleaned = clean(steps).expect("a melody");
        assert_eq!((cleaned[2], cleaned[5], cleaned[9]), (HOLD, on(60), OFF));
        assert!(clean([HOLD; STEPS]).is_none());
    }

    #[test]
    fn fields_keep_commas_and_quotes_inside_quotes() {
        assert_eq!(fields("\"a, \"\"b\"\"\",c,,d\r"), ["a, \"b\"", "c", "", "d"]);
    }

    #[test]
    fn sung_parts_are_known_by_their_names() {
        for name in ["Voice", "Singstimme\nVoice", "Soprano II.", "CHANT.", "B"] {
            assert!(is_sung(name), "{name}");
        }
        for name in ["Piano", "Pianoforte", "Bassoon", "Piano\n(for practice)", "Flute"] {
            assert!(!is_sung(name), "{name}");
        }
    }
}
