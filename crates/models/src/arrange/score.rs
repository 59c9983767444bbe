//! Arrangements as scores: tracks `melody`, `chords`, `bass` and `piano`.

use partita_score::demands::strong_cells;
use partita_score::harmony::{Key, chords_track};
use partita_score::{ChordChange, MeterMap, Note, Ppq, Score, TempoMap, Tick, Track};
use partita_tokens::song::{CELLS, Part, Piece};

use super::Arrangement;

/// Name, channel and General MIDI program by [`Part::index`]: a flute, a fingered bass, a piano.
pub(super) const TRACKS: [(&str, u8, u8); 3] = [("melody", 0, 73), ("bass", 2, 33), ("piano", 3, 0)];
const CHORDS_CHANNEL: u8 = 1;
/// Velocities on strong beats, on other quarters, and between, by [`Part::index`]: the melody is in front.
const VELOCITIES: [[u8; 3]; 3] = [[96, 88, 80], [92, 86, 80], [76, 70, 64]];

/// A cell as a tick of [`Ppq::DEFAULT`].
pub(crate) fn tick(cell: u32) -> Tick {
    Tick(cell * u32::from(Ppq::DEFAULT.get()) / CELLS)
}

/// A part of a piece as a track at 480 ticks a quarter; nothing rings past the piece, and no key twice at once.
pub(crate) fn part_track(piece: &Piece, part: Part) -> Track {
    let (name, channel, program) = TRACKS[part.index()];
    let (length, strong) = (piece.cells_per_bar(), strong_cells(piece.meter));
    let mut notes: Vec<Note> = Vec::new();
    let mut next = [Tick(u32::MAX); 128];
    for note in piece.part(part).iter().rev() {
        let inside = note.onset % length;
        let weight = if strong.contains(&inside) { 0 } else { 2 - usize::from(inside.is_multiple_of(CELLS)) };
        let next = &mut next[usize::from(note.pitch & 127)];
        let end = tick(note.end.min(piece.bars * length)).min(*next);
        let onset = tick(note.onset);
        if end > onset {
            let velocity = VELOCITIES[part.index()][weight];
            notes.push(Note { onset, end, pitch: note.pitch, velocity });
            *next = onset;
        }
    }
    notes.reverse();
    Track { name: name.into(), channel, program, notes, controls: Vec::new() }
}

impl Arrangement {
    /// As a score at 480 ticks a quarter. The chords are voiced by rule; a part without notes has no track.
    pub fn score(&self, key: Option<Key>, tempo: f64) -> Score {
        let piece = &self.piece;
        let change = |(cell, chord): &(u32, _)| ChordChange { at: tick(*cell), chord: Option::clone(chord) };
        let chords: Vec<ChordChange> = self.chords.iter().map(change).collect();
        let end = tick(piece.bars * piece.cells_per_bar());
        let mut tracks = vec![part_track(piece, Part::Melody)];
        if chords.iter().any(|change| change.chord.is_some()) {
            tracks.push(chords_track(&chords, end, CHORDS_CHANNEL));
        }
        tracks.extend([Part::Bass, Part::Piano].map(|part| part_track(piece, part)));
        tracks.retain(|track| !track.notes.is_empty());
        Score {
            ppq: Ppq::DEFAULT,
            tempos: TempoMap::constant(tempo),
            meters: MeterMap::constant(piece.meter),
            keys: key.map(|key| key.change(Tick(0))).into_iter().collect(),
            chords,
            tracks,
            ..Score::default()
        }
        .until(end)
    }
}
