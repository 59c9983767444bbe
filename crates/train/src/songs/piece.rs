//! From what is written down to pieces on the song format's grid.

use std::str::FromStr;

use partita_score::harmony::{Unit, parse_harte, recognize};
use partita_score::{Meter, MeterMap, Note, Ppq, Score, Tick, Track};
use partita_tokens::song::{
    CELLS, CHORD_GRID, ChordClass, MAX_CELLS_PER_BAR, PITCHES, Part, Piece, PieceNote,
};

use super::collection::{STYLES, Song, Written};
use super::key::key_of_signature;
use crate::groove::Split;

/// Ticks of a cell, at 48 ticks a quarter note.
const TICKS: u32 = 48 / CELLS;
/// Shorter stretches between two changes of metre are left out.
const FEWEST_BARS: u32 = 4;

/// Bars of one metre: their first and past their last tick, and where in the bar the first tick lies.
struct Bar {
    ticks: std::ops::Range<u32>,
    /// Cells before it: the silence before an upbeat.
    lead: u32,
}

/// The stretches of a song that stay in one metre.
pub(super) fn pieces(song: &Written, split: Split) -> Vec<Song> {
    let style = style(song);
    let mut songs: Vec<Song> = Vec::new();
    let end = song_end(song);
    let meters: Vec<(u32, Meter)> =
        song.time.iter().filter_map(|(at, text)| Some((*at, Meter::from_str(text).ok()?))).collect();
    for (index, &(from, meter)) in meters.iter().enumerate() {
        let to = meters.get(index + 1).map_or(end, |(at, _)| *at);
        let cells = u32::from(meter.numerator) * 4 * CELLS / u32::from(meter.denominator);
        if !(CELLS..=MAX_CELLS_PER_BAR).contains(&cells) {
            continue;
        }
        let bars = bars(&song.bars, from, to, cells);
        if (bars.len() as u32) < FEWEST_BARS {
            continue;
        }
        let Some(piece) = sung(&piece(song, meter, cells, &bars)) else { continue };
        songs.push(Song {
            name: song.src.clone(),
            split,
            key: key(song, from, &piece),
            tempo: song.tempo.iter().rfind(|(at, _)| *at <= from).map(|(_, bpm)| *bpm),
            style,
            has_chords: !piece.chords.is_empty(),
            opening: from == 0,
            closing: to == end,
            piece,
        });
    }
    songs
}

/// The bars from the first in which the melody begins a note to the last: what an accompaniment plays before and after
/// is no lead sheet. `None` without a melody, or with too short a one.
fn sung(piece: &Piece) -> Option<Piece> {
    let length = piece.cells_per_bar();
    let melody = piece.part(Part::Melody);
    let first = melody.first()?.onset / length;
    let end = melody.iter().map(|note| note.end).max()?.div_ceil(length).min(piece.bars);
    (end >= first + FEWEST_BARS).then(|| piece.window(first, end - first))
}

fn song_end(song: &Written) -> u32 {
    let parts = song.parts.iter().flat_map(|part| &part.notes);
    let notes = song.notes.iter().chain(parts).map(|(onset, duration, _)| onset.saturating_add(*duration));
    notes.chain(song.end).chain(song.bars.last().map(|bar| bar + 1)).max().unwrap_or(0)
}

fn style(song: &Written) -> Option<u32> {
    let names: &[(&str, &str)] = &[
        ("Pop", "pop"),
        ("Jazz", "jazz"),
        ("Rock", "rock"),
        ("Stage & Screen", "stage"),
        ("Folk, World, & Country", "folk"),
        ("Funk / Soul", "soul"),
        ("Latin", "latin"),
        ("Classical", "classical"),
        ("Blues", "blues"),
    ];
    let genre = song.genres.iter().flatten().find_map(|genre| names.iter().find(|(name, _)| name == genre));
    let style = genre.map(|(_, style)| *style).or_else(|| (!song.parts.is_empty()).then_some("lied"))?;
    STYLES.iter().position(|it| *it == style).map(|index| index as u32)
}

/// The bars between two ticks. A first bar that is short is an upbeat; two short neighbours that make a whole bar, as
/// at a repeat sign, are one.
fn bars(starts: &[u32], from: u32, to: u32, cells: u32) -> Vec<Bar> {
    let starts: Vec<u32> = starts.iter().copied().filter(|at| (from..to).contains(at)).collect();
    let ends = starts.iter().skip(1).copied().chain([to]);
    let spans: Vec<(u32, u32)> = starts.iter().copied().zip(ends).collect();
    let length = |span: (u32, u32)| (span.1 - span.0) / TICKS;
    let mut bars: Vec<Bar> = Vec::new();
    let mut index = 0;
    while index < spans.len() {
        let span = spans[index];
        let next = spans.get(index + 1).copied();
        let joined = next.filter(|next| !bars.is_empty() && length(span) + length(*next) == cells);
        let end = joined.unwrap_or(span).1;
        let lead = if bars.is_empty() { cells.saturating_sub(length(span)) } else { 0 };
        // A bar that is too long (a cadenza) loses its end.
        bars.push(Bar { ticks: span.0..end.min(span.0 + cells * TICKS), lead });
        index += if joined.is_some() { 2 } else { 1 };
    }
    bars
}

fn piece(song: &Written, meter: Meter, cells: u32, bars: &[Bar]) -> Piece {
    let place = |tick: u32| -> Option<u32> {
        let after = bars.partition_point(|bar| bar.ticks.start <= tick);
        let index = after.checked_sub(1)?;
        let bar = &bars[index];
        let inside = (tick - bar.ticks.start).min(bar.ticks.len() as u32);
        Some(index as u32 * cells * TICKS + bar.lead * TICKS + inside)
    };
    let until = bars.last().map_or(0, |bar| bar.ticks.end);
    let from = bars.first().map_or(0, |bar| bar.ticks.start);
    let on_grid = |notes: &[(u32, u32, u8)]| -> Vec<PieceNote> {
        let inside = notes.iter().filter(|(onset, ..)| (from..until).contains(onset));
        let mut notes: Vec<PieceNote> = inside
            .filter(|(_, _, pitch)| PITCHES.contains(pitch))
            .filter_map(|&(onset, duration, pitch)| {
                let end = place(onset.saturating_add(duration))?;
                let (onset, end) = (snap(place(onset)?), snap(end));
                (end > onset).then_some(PieceNote { onset, end, pitch })
            })
            .collect();
        notes.sort();
        notes.dedup();
        notes
    };
    let [melody, piano] = voices(song);
    let mut chords: Vec<(u32, ChordClass)> = Vec::new();
    for (at, text) in song.chords.iter().filter(|(at, _)| (from..until).contains(at)) {
        let Some(cell) = place(*at).map(|tick| tick / TICKS / CHORD_GRID * CHORD_GRID) else { continue };
        let class = parse_harte(text).map_or(ChordClass::NONE, |chord| ChordClass::of(chord.as_ref()));
        chords.retain(|(other, _)| *other != cell);
        chords.push((cell, class));
    }
    chords.sort_by_key(|(at, _)| *at);
    let parts = [single(on_grid(&melody)), Vec::new(), on_grid(&piano)];
    let piece = Piece { meter, bars: bars.len() as u32, chords, parts };
    if piece.chords.is_empty() { Piece { chords: recognized(&piece), ..piece } } else { piece }
}

/// The nearest sixteenth or triplet eighth to a tick, in cells.
fn snap(tick: u32) -> u32 {
    const GRID: [u32; 7] = [0, 3, 4, 6, 8, 9, 12];
    let (quarter, inside) = (tick / 48, tick % 48);
    let nearest = GRID.iter().min_by_key(|cell| (*cell * TICKS).abs_diff(inside));
    quarter * CELLS + nearest.expect("the grid is not empty")
}

/// Melody and piano: of a lead sheet its notes, of a song the first part that is no piano, and the pianos.
fn voices(song: &Written) -> [Vec<(u32, u32, u8)>; 2] {
    const PIANOS: [&str; 6] = ["piano", "klavier", "pianoforte", "harpsichord", "accompan", "clavier"];
    let is_piano = |name: &str| {
        let name = name.to_lowercase();
        PIANOS.iter().any(|piano| name.contains(piano))
    };
    let voice = song.parts.iter().find(|part| !is_piano(&part.name));
    let melody = voice.map_or_else(|| song.notes.clone(), |part| part.notes.clone());
    let pianos = song.parts.iter().filter(|part| is_piano(&part.name) && !part.name.contains("practice"));
    [melody, pianos.flat_map(|part| part.notes.iter().copied()).collect()]
}

/// One note at a time: the highest of a chord, cut where the next begins.
fn single(notes: Vec<PieceNote>) -> Vec<PieceNote> {
    let mut line: Vec<PieceNote> = Vec::new();
    for note in notes {
        match line.last_mut() {
            // Sorted by pitch within an onset, so the later one is higher.
            Some(last) if last.onset == note.onset => *last = note,
            Some(last) => {
                last.end = last.end.min(note.onset);
                line.push(note);
            }
            None => line.push(note),
        }
    }
    line
}

fn key(song: &Written, at: u32, piece: &Piece) -> (u8, bool) {
    let sharps = song.key.iter().rfind(|(tick, ..)| *tick <= at).or(song.key.first());
    let mut weights = [0.0; 12];
    for note in piece.parts.iter().flatten() {
        weights[usize::from(note.pitch % 12)] += f64::from(note.end - note.onset);
    }
    let cells = piece.bars * piece.cells_per_bar();
    for (index, (at, chord)) in piece.chords.iter().enumerate() {
        let end = piece.chords.get(index + 1).map_or(cells, |(next, _)| *next);
        chord
            .pitch_classes()
            .iter()
            .for_each(|class| weights[usize::from(class)] += f64::from(end.saturating_sub(*at)) / 2.0);
    }
    let root = piece.chords.last().and_then(|(_, chord)| Some(chord.parts()?.0));
    let lowest =
        piece.part(Part::Piano).iter().max_by_key(|note| (note.end, 255 - note.pitch)).map(|n| n.pitch);
    let last: Vec<u8> =
        root.or(lowest).into_iter().chain(piece.part(Part::Melody).last().map(|n| n.pitch)).collect();
    key_of_signature(sharps.map_or(0, |(_, sharps, _)| *sharps), &weights, &last)
}

/// The chords of what is played, where no symbols say them.
fn recognized(piece: &Piece) -> Vec<(u32, ChordClass)> {
    let note = |note: &PieceNote| Note {
        onset: Tick(note.onset),
        end: Tick(note.end),
        pitch: note.pitch,
        velocity: 80,
    };
    let notes = piece.parts.iter().flatten().map(note).collect();
    let score = Score {
        ppq: Ppq::new(CELLS as u16).expect("a valid resolution"),
        meters: MeterMap::constant(piece.meter),
        tracks: vec![Track { notes, ..Track::default() }],
        ..Score::default()
    };
    let changes = recognize(&score, Unit::HalfBar).into_iter();
    let on_grid = |cell: u32| cell / CHORD_GRID * CHORD_GRID;
    changes.map(|change| (on_grid(change.at.0), ChordClass::of(change.chord.as_ref()))).collect()
}
