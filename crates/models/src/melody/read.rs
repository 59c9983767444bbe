//! Lead sheets out of any score: a melody line and its chords, on the format's grid.

use partita_score::demands::cells_per_bar;
use partita_score::harmony::{Key, Unit, find_key, recognize};
use partita_score::{ChordChange, Meter, Note, Ppq, Score, Text, Tick};
use partita_tokens::song::{
    CELLS, CHORD_GRID, ChordClass, MAX_CELLS_PER_BAR, PITCHES, Part, Piece, PieceNote,
};

use super::Error;

/// A melody as it was found in a score.
#[derive(Clone, Debug)]
pub struct Heard {
    pub piece: Piece,
    /// The chords in their own words, in cells: those of the score, or what was recognized in its notes.
    pub chords: Vec<(u32, Option<partita_score::harmony::Chord>)>,
    /// The track it is in.
    pub track: usize,
    /// The notes of that track that make the line, by index, in the order of the piece's.
    pub sources: Vec<usize>,
    /// Quarter notes a minute where it begins.
    pub tempo: f64,
    /// The key of the score's first signature, or the one its notes have.
    pub key: Option<Key>,
}

/// Reads the melody of `track`, or of the track that is most like one: named so, else the highest that is no drums. Of
/// notes that sound together the highest counts; onsets go to the nearest twelfth of a quarter.
///
/// # Errors
/// No such track or no notes in it, a change of metre, bars too long for the format.
pub fn read(score: &Score, track: Option<usize>) -> Result<Heard, Error> {
    let track = match track {
        Some(track) => track,
        None => melody_track(score).ok_or_else(|| Error::range("input", "a file with a melody", "none"))?,
    };
    let notes = score.tracks.get(track).map(|track| &track.notes[..]).unwrap_or_default();
    if notes.is_empty() {
        let allowed = format!("one of {} with notes", score.tracks.len());
        return Err(Error::range("track", allowed, track + 1));
    }
    let meter = constant_meter(score)?;
    let length = cells_per_bar(meter);
    if !(CHORD_GRID..=MAX_CELLS_PER_BAR).contains(&length) {
        return Err(Error::range("time", "bars of 1/8 to 8/4", meter));
    }
    let ppq = u64::from(score.ppq.get());
    let cell = |tick: Tick| ((u64::from(tick.0) * u64::from(CELLS) + ppq / 2) / ppq).min(1 << 24) as u32;
    let (line, sources) = line(notes, cell);
    let end = line.last().map_or(1, |note| note.end);
    let bars = end.div_ceil(length).max(1);
    if bars > 1024 {
        return Err(Error::range("input", "at most 1024 bars", bars));
    }
    let changes =
        if score.chords.is_empty() { recognize(score, Unit::HalfBar) } else { score.chords.clone() };
    let place = |change: &ChordChange| cell(change.at) / CHORD_GRID * CHORD_GRID;
    let mut chords: Vec<_> = changes.iter().map(|change| (place(change), change.chord.clone())).collect();
    chords.retain(|(at, _)| *at < bars * length);
    chords.dedup_by_key(|(at, _)| *at);
    let classes = chords.iter().map(|(at, chord)| (*at, ChordClass::of(chord.as_ref()))).collect();
    Ok(Heard {
        piece: Piece { meter, bars, chords: classes, parts: [line, Vec::new(), Vec::new()] },
        chords,
        track,
        sources,
        tempo: score.tempos.bpm_at(Tick(0)),
        key: score.keys.first().map(|change| Key::from(*change)).or_else(|| find_key(score).map(|it| it.key)),
    })
}

/// The track that is most like a melody: one that is called so, else the highest; `None` if all are drums or empty.
pub fn melody_track(score: &Score) -> Option<usize> {
    let sung = |index: &usize| !score.tracks[*index].is_drums() && !score.tracks[*index].notes.is_empty();
    let named = |index: &usize| {
        let name = score.tracks[*index].name.to_lowercase();
        ["melody", "lead", "vocal", "voice", "soprano", "theme"].iter().any(|word| name.contains(word))
    };
    let all = || (0..score.tracks.len()).filter(sung);
    let mean = |index: &usize| {
        let notes = &score.tracks[*index].notes;
        let sum: u64 = notes.iter().map(|note| u64::from(note.pitch)).sum();
        sum * 1000 / notes.len() as u64
    };
    all().find(named).or_else(|| all().rev().max_by_key(mean))
}

fn constant_meter(score: &Score) -> Result<Meter, Error> {
    let first = score.meters.at(Tick(0));
    let end = score.end();
    match score.meters.changes().iter().find(|(at, meter)| *at < end && *meter != first) {
        None => Ok(first),
        Some((_, other)) => {
            Err(Error::range("input", "in one time signature", format!("{first} and {other}")))
        }
    }
}

/// One note at a time, and where each comes from.
fn line(notes: &[Note], cell: impl Fn(Tick) -> u32) -> (Vec<PieceNote>, Vec<usize>) {
    let mut all: Vec<(PieceNote, usize)> = notes
        .iter()
        .enumerate()
        .filter(|(_, note)| PITCHES.contains(&note.pitch))
        .map(|(index, note)| {
            let onset = cell(note.onset);
            (PieceNote { onset, end: cell(note.end).max(onset + 1), pitch: note.pitch }, index)
        })
        .collect();
    all.sort();
    let mut line: Vec<(PieceNote, usize)> = Vec::new();
    for (note, index) in all {
        match line.last_mut() {
            // Sorted by end and pitch within an onset; the highest counts.
            Some(last) if last.0.onset == note.onset => {
                if note.pitch > last.0.pitch {
                    *last = (note, index);
                }
            }
            Some(last) => {
                last.0.end = last.0.end.min(note.onset);
                line.push((note, index));
            }
            None => line.push((note, index)),
        }
    }
    line.into_iter().unzip()
}

impl Heard {
    /// What is said of the whole score and sung to the melody, for one of `ppq` ticks a quarter in which the melody's track
    /// is called `name`.
    pub fn words(&self, score: &Score, ppq: Ppq, name: &str) -> Vec<Text> {
        let own = &score.tracks[self.track].name;
        let tick = |at: Tick| at.beats(score.ppq).ticks(ppq);
        let kept = score.texts.iter().filter(|text| text.track.is_empty() || text.track == *own);
        let word = |text: &Text| Text {
            at: tick(text.at),
            track: if text.track.is_empty() { String::new() } else { name.to_owned() },
            ..text.clone()
        };
        kept.map(word).collect()
    }

    /// The score with the melody's notes in `replaced` (which of them, one flag each) taken out and `new` notes put in;
    /// all else stays as it is, tick for tick. A new note gives way to kept ones that ring a little past their cell.
    pub fn splice(&self, score: &Score, replaced: &[bool], new: &[PieceNote], velocity: u8) -> Score {
        let mut score = score.clone();
        let ppq = u64::from(score.ppq.get());
        let tick = |cell: u32| Tick((u64::from(cell) * ppq / u64::from(CELLS)) as u32);
        let (out, kept): (Vec<_>, Vec<_>) = self.sources.iter().zip(replaced).partition(|(_, out)| **out);
        let out: Vec<usize> = out.into_iter().map(|(source, _)| *source).collect();
        let kept: Vec<Note> =
            kept.into_iter().map(|(source, _)| score.tracks[self.track].notes[*source]).collect();
        let most = tick(1).0;
        let track = &mut score.tracks[self.track];
        let mut index = 0;
        track.notes.retain(|_| {
            index += 1;
            !out.contains(&(index - 1))
        });
        let written = new.iter().filter_map(|note| {
            let (mut onset, mut end) = (tick(note.onset), tick(note.end));
            for other in &kept {
                let before = other.onset < onset && other.end > onset;
                if before && (other.end.0 - onset.0 <= most || other.pitch == note.pitch) {
                    onset = other.end;
                }
                if (onset..end).contains(&other.onset) && end.0 - other.onset.0 <= most {
                    end = other.onset;
                }
            }
            // Under a kept note of its own pitch there is nothing to hear of it.
            (onset < end).then_some(Note { onset, end, pitch: note.pitch, velocity })
        });
        track.notes.extend(written);
        track.notes.sort_by_key(|note| note.onset);
        score
    }

    /// Which of the melody's notes lie in bars of this range and have pitches of that one.
    pub fn inside(&self, bars: std::ops::Range<u32>, pitches: &std::ops::RangeInclusive<u8>) -> Vec<bool> {
        let length = self.piece.cells_per_bar();
        let inside =
            |note: &PieceNote| bars.contains(&(note.onset / length)) && pitches.contains(&note.pitch);
        self.piece.part(Part::Melody).iter().map(inside).collect()
    }

    /// Mean velocity of the line, at least 1.
    pub fn velocity(&self, score: &Score) -> u8 {
        let notes = &score.tracks[self.track].notes;
        let sum: u32 = self.sources.iter().map(|source| u32::from(notes[*source].velocity)).sum();
        (sum / (self.sources.len() as u32).max(1)).clamp(1, 127) as u8
    }
}
