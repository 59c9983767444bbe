//! A [`Score`] as it is written: bars of note values, chords and rests in voices on staves.
//!
//! The shared middle of the notation formats. Time is cut into units, [`QUARTER`] to a quarter note, which hold 64th
//! notes and triplets of 32nds; what was played between them goes to the nearest written place. Every voice that has
//! notes in a bar fills it exactly.
//!
//! What notation has no words for is lost or changed: drums have no length, a fifth voice shortens others, key changes
//! move to bar lines, controls are left out.

mod bars;
mod beams;
mod drum_kit;
mod lyrics;
mod metre;
mod quantize;
mod spelling;
mod staff;
mod values;
mod voices;

pub use bars::{Bar, MAX_BARS};
pub use beams::Beam;
pub use drum_kit::{Sign, Stroke, pitch_at, stroke};
pub(super) use staff::signature;
pub use values::{Tuplet, Value};

use crate::harmony::{Chord, Key, NoteName};
use crate::{Error, Note, Result, Score, Tick, Track};
use bars::Bars;
use quantize::{Cells, Placed};

/// Units in a quarter note.
pub const QUARTER: u32 = metre::QUARTER;
/// The most notes, rests and bars of staves that are written: a note may be as long as the piece, tied over every bar.
const MAX_EVENTS: usize = 4_000_000;

/// A whole piece, written.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    pub bars: Vec<Bar>,
    /// At the start of a bar, in order.
    pub keys: Vec<Mark<KeySign>>,
    /// Quarter notes per minute.
    pub tempos: Vec<Mark<f64>>,
    /// `None`: no chord from here on.
    pub chords: Vec<Mark<Option<Chord>>>,
    /// At least one.
    pub parts: Vec<Part>,
}

/// Something that stands at a place of the piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark<T> {
    /// Index into [`Sheet::bars`].
    pub bar: usize,
    /// Units from the start of the bar.
    pub at: u32,
    pub what: T,
}

/// A key signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySign {
    /// `-7..=7`
    pub sharps: i8,
    pub minor: bool,
}

/// The music of a track.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: String,
    /// `0..16`
    pub channel: u8,
    /// `0..128`
    pub program: u8,
    pub drums: bool,
    /// One, or two for instruments that are played with two hands.
    pub staves: Vec<Staff>,
    /// Under notes that begin there, in order.
    pub lyrics: Vec<Mark<Syllable>>,
}

/// A syllable that is sung on a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syllable {
    pub text: String,
    /// Its word began before it.
    pub from: bool,
    /// Its word goes on after it.
    pub on: bool,
}

impl Part {
    /// What is sung on a note that begins at a place.
    pub fn lyric(&self, bar: usize, at: u32) -> Option<&Syllable> {
        let found = self.lyrics.binary_search_by_key(&(bar, at), |mark| (mark.bar, mark.at)).ok()?;
        Some(&self.lyrics[found].what)
    }
}

/// Five lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Staff {
    pub clef: Clef,
    /// Parallel to [`Sheet::bars`]: the voices that have something there, the first always.
    pub bars: Vec<Vec<VoiceBar>>,
}

/// What a voice has in a bar; its events fill the bar.
#[derive(Clone, Debug, PartialEq)]
pub struct VoiceBar {
    /// `0..4`
    pub voice: usize,
    pub events: Vec<Event>,
}

/// A chord, a note or a rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Units from the start of the bar.
    pub at: u32,
    /// Units.
    pub length: u32,
    pub value: Value,
    pub tuplet: Option<Tuplet>,
    /// High to low; none for a rest.
    pub heads: Vec<Head>,
    pub beams: Vec<Beam>,
}

impl Event {
    /// A rest for a whole bar, which has no value of its own.
    fn rest(length: u32) -> Event {
        let value = Value { log: 0, dots: 0 };
        Event { at: 0, length, value, tuplet: None, heads: Vec::new(), beams: Vec::new() }
    }

    pub fn is_rest(&self) -> bool {
        self.heads.is_empty()
    }
}

/// One note of a chord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// `0..128`, as it sounds.
    pub pitch: u8,
    /// `1..=127`
    pub velocity: u8,
    pub name: NoteName,
    /// Of the name: 4 for B sharp below middle C's D.
    pub octave: i32,
    /// The sign to print, as an alteration; 0 is a natural.
    pub accidental: Option<i8>,
    /// Goes on from the note before.
    pub tied_from: bool,
    /// Goes on in the next one.
    pub tied_to: bool,
}

/// Which pitches the lines mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clef {
    Treble,
    /// Sounds an octave below what is written: guitars.
    TrebleBelow,
    Bass,
    /// Sounds an octave below what is written: basses.
    BassBelow,
    Percussion,
}

impl Sheet {
    /// Writes a score down. Tracks without notes are left out where others have some.
    ///
    /// # Errors
    /// [`Error::TooManyBars`], [`Error::Notation`] for music too long to write.
    pub fn new(score: &Score) -> Result<Sheet> {
        let ends = score.tracks.iter().flat_map(|track| {
            // Strokes have no length: what rings over the last bar line asks for no bar.
            let ends = |note: &Note| if track.is_drums() { note.onset } else { note.end };
            track.notes.iter().map(move |note| ends(note).max(Tick(note.onset.0.saturating_add(1))))
        });
        let last = ends.max().unwrap_or_default();
        let marks = score.chords.iter().map(|it| Tick(it.at.0.saturating_add(1)));
        let end = marks.chain([last, score.silence]).max().unwrap_or_default();
        let mut bars = Bars::new(score, end)?;
        let cells = Cells::new(&bars);
        let sounding = score.tracks.iter().filter(|track| !track.notes.is_empty());
        let placed: Vec<(&Track, Vec<Placed>)> =
            sounding.map(|track| (track, quantize::place(track, &bars, &cells))).collect();
        let used = placed.iter().flat_map(|(_, notes)| notes).map(|note| note.onset).max();
        trim(&mut bars, used, end);
        let staves = placed.len().max(1) * 2;
        let mut budget = MAX_EVENTS.checked_sub(bars.list.len() * staves).ok_or_else(too_long)?;
        let keys = keys(score, &bars);
        let chords = chords(score, &bars);
        let mut parts = Vec::new();
        let lyrics = lyrics::lyrics(score, &placed, &bars);
        for ((track, notes), lyrics) in placed.into_iter().zip(lyrics) {
            let part = staff::part(track, &notes, &bars, &cells, &keys, &chords, &mut budget)?;
            parts.push(Part { lyrics, ..part });
        }
        if parts.is_empty() {
            let track = score.tracks.first().cloned().unwrap_or_default();
            parts.push(staff::part(&track, &[], &bars, &cells, &keys, &chords, &mut budget)?);
        }
        Ok(Sheet { keys, tempos: tempos(score, &bars), chords, parts, bars: bars.list })
    }

    /// The key signature that stands at the start of a bar.
    pub fn key_sign(&self, bar: usize) -> Option<KeySign> {
        self.keys.binary_search_by_key(&bar, |key| key.bar).ok().map(|index| self.keys[index].what)
    }

    /// The key in force in a bar; C major before the first.
    pub fn key_at(&self, bar: usize) -> Key {
        key_at(&self.keys, bar)
    }
}

fn too_long() -> Error {
    Error::Notation(format!("too long to write: more than {MAX_EVENTS} notes, rests and bars"))
}

fn key_at(keys: &[Mark<KeySign>], bar: usize) -> Key {
    let after = keys.partition_point(|key| key.bar <= bar);
    let found = after.checked_sub(1).map(|index| &keys[index]);
    found.map_or(Key::default(), |key| Key::from_signature(key.what.sharps, key.what.minor))
}

/// Takes away bars behind the end that nothing was rounded into.
fn trim(bars: &mut Bars, last_onset: Option<u32>, end: Tick) {
    let (last, _) = bars.locate(Tick(end.0.saturating_sub(1)));
    let used = last_onset.map_or(0, |unit| bars.at(unit));
    // Ends on a place in the first bar, so that no length would be lost.
    bars.list.truncate(last.max(used) + 1);
}

fn keys(score: &Score, bars: &Bars) -> Vec<Mark<KeySign>> {
    let mut keys: Vec<Mark<KeySign>> = Vec::new();
    for change in &score.keys {
        let (mut bar, inside) = bars.locate(change.at);
        if inside * 2.0 > f64::from(bars.list[bar].length) {
            bar += 1;
        }
        if bar >= bars.list.len() {
            continue;
        }
        keys.pop_if(|key| key.bar == bar);
        let what = KeySign { sharps: change.sharps.clamp(-7, 7), minor: change.minor };
        keys.push(Mark { bar, at: 0, what });
    }
    keys
}

fn tempos(score: &Score, bars: &Bars) -> Vec<Mark<f64>> {
    let changes = score.tempos.changes().iter();
    let marks = changes.filter_map(|&(tick, tempo)| {
        let (bar, at) = place(tick, bars)?;
        Some(Mark { bar, at, what: 60e6 / f64::from(tempo) })
    });
    marks.collect()
}

fn chords(score: &Score, bars: &Bars) -> Vec<Mark<Option<Chord>>> {
    let marks = score.chords.iter().filter_map(|change| {
        let (bar, at) = place(change.at, bars)?;
        Some(Mark { bar, at, what: change.chord.clone() })
    });
    let mut marks: Vec<_> = marks.collect();
    marks.dedup_by(|later, earlier| {
        let same = (later.bar, later.at) == (earlier.bar, earlier.at);
        if same {
            earlier.what = later.what.take();
        }
        same
    });
    marks
}

/// The written place nearest to a tick; `None` behind the last bar.
fn place(tick: Tick, bars: &Bars) -> Option<(usize, u32)> {
    let (bar, inside) = bars.locate(tick);
    let length = bars.list[bar].length;
    if inside >= f64::from(length) {
        return None;
    }
    let near = |grid: f64| (inside / grid).round() * grid;
    let at = [12.0, 16.0, 3.0, 4.0].into_iter().map(near).min_by(|a, b| {
        let far = |place: &f64| ((place - inside).abs() * 16.0).round();
        far(a).total_cmp(&far(b))
    })?;
    Some((bar, (at as u32).min(length - 1)))
}
