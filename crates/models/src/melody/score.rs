//! Lead sheets as scores: a track `melody` and a track `chords`.

use std::ops::Range;

use partita_score::demands::strong_cells;
use partita_score::harmony::{CHORDS_TRACK, Chord, Key, chords_track};
use partita_score::{ChordChange, MeterMap, Note, Ppq, Score, TempoMap, Tick, Track};
use partita_tokens::song::{CELLS, ChordClass, Part, PieceNote};

use super::{Heard, Lead};

/// Channels and General MIDI programs: a flute sings, a piano plays the chords.
const MELODY: (u8, u8) = (0, 73);
const CHORDS: (u8, u8) = (1, 0);
/// Velocities on strong beats, on other quarters, and between: what a plain reading sounds like.
const VELOCITIES: [u8; 3] = [96, 88, 80];

/// Chords of a piece by cell.
type Chords = Vec<(u32, Option<Chord>)>;

/// `own` chords with `asked` ones in `cells`; what sounded at their end goes on there, if it is before `end`.
pub fn replace_chords(own: Chords, asked: Chords, cells: Range<u32>, end: u32) -> Chords {
    let back = own.iter().rfind(|(at, _)| *at <= cells.end).map(|(_, chord)| (cells.end, chord.clone()));
    let (mut chords, later): (Chords, Chords) = own
        .into_iter()
        .filter(|(at, _)| !cells.contains(at) && *at != cells.end)
        .partition(|(at, _)| *at < cells.start);
    chords.extend(asked);
    chords.extend(back.filter(|(at, _)| *at < end));
    chords.extend(later);
    chords
}

impl From<Heard> for Lead {
    /// As it was heard, nothing written.
    fn from(heard: Heard) -> Lead {
        Lead {
            piece: heard.piece,
            chords: heard.chords,
            kept: Vec::new(),
            variation: 0,
            nats: 0.0,
            cost: 0.0,
            prompt: Vec::new(),
            ids: Vec::new(),
        }
    }
}

impl Lead {
    /// The same melody under other chords: the cells where they begin, and what.
    #[must_use]
    pub fn under(mut self, chords: Vec<(u32, Option<Chord>)>) -> Lead {
        self.piece.chords = chords.iter().map(|(at, chord)| (*at, ChordClass::of(chord.as_ref()))).collect();
        Lead { chords, ..self }
    }

    /// Its chord symbols in a score of `ppq` ticks a quarter.
    pub fn changes(&self, ppq: Ppq) -> Vec<ChordChange> {
        let tick = |cell: u32| Tick(cell * u32::from(ppq.get()) / CELLS);
        let change = |(cell, chord): &(u32, _)| ChordChange { at: tick(*cell), chord: Option::clone(chord) };
        self.chords.iter().map(change).collect()
    }

    /// `score` with these chords in place of those it had: its track `chords` and its symbols.
    pub fn harmonize(&self, score: &Score) -> Score {
        let mut score = score.clone();
        let end = score.end();
        score.chords = self.changes(score.ppq);
        let own = score.tracks.iter().position(|track| track.name == CHORDS_TRACK && !track.is_drums());
        let channel = own.map_or_else(|| score.free_channel(0), |at| score.tracks[at].channel);
        let track = chords_track(&score.chords, end, channel);
        match own {
            Some(at) => score.tracks[at] = track,
            None => score.tracks.push(track),
        }
        score
    }

    /// `score` with these chord symbols in some bars in place of those it had there; a track `chords` that it has plays
    /// them, and none is added.
    pub fn rename_chords(&self, mut score: Score, bars: &Range<u32>) -> Score {
        let (ppq, end) = (u64::from(score.ppq.get()), score.end());
        let tick = |bar: u32| {
            Tick((u64::from(bar) * u64::from(self.piece.cells_per_bar()) * ppq / u64::from(CELLS)) as u32)
        };
        let (from, to) = (tick(bars.start), tick(bars.end));
        let inside = |at: Tick| (from..to).contains(&at);
        let back = score.chords.iter().rfind(|change| change.at <= to).cloned();
        score.chords.retain(|change| !inside(change.at));
        if let Some(back) = back.filter(|back| back.at < to && to < end) {
            score.chords.push(ChordChange { at: to, ..back });
        }
        score.chords.extend(self.changes(score.ppq).into_iter().filter(|change| inside(change.at)));
        score.chords.sort_by_key(|change| change.at);
        let played = chords_track(&score.chords, end, 0).notes;
        let plays = |track: &&mut Track| track.name == CHORDS_TRACK && !track.is_drums();
        if let Some(track) = score.tracks.iter_mut().find(plays) {
            track.notes.retain(|note| !inside(note.onset));
            let before = track.notes.iter_mut().filter(|note| note.onset < from);
            before.for_each(|note| note.end = note.end.min(from));
            let new = played.into_iter().filter(|note| inside(note.onset));
            track.notes.extend(new.map(|note| Note { end: note.end.min(to), ..note }));
            track.notes.sort_by_key(|note| note.onset);
        }
        score
    }

    /// As a score at 480 ticks a quarter. Chords are voiced by rule; without any there is no such track.
    pub fn score(&self, key: Option<Key>, tempo: f64) -> Score {
        let piece = &self.piece;
        let ppq = Ppq::DEFAULT;
        let tick = |cell: u32| Tick(cell * u32::from(ppq.get()) / CELLS);
        let strong = strong_cells(piece.meter);
        let note = |note: &PieceNote| {
            let inside = note.onset % piece.cells_per_bar();
            let weight =
                if strong.contains(&inside) { 0 } else { 2 - usize::from(inside.is_multiple_of(CELLS)) };
            let given = |kept: &&Note| kept.onset.0 == note.onset && kept.pitch == note.pitch;
            let given = self.kept.iter().find(given).map(|kept| kept.velocity);
            Note {
                onset: tick(note.onset),
                end: tick(note.end),
                pitch: note.pitch,
                velocity: given.unwrap_or(VELOCITIES[weight]),
            }
        };
        let melody = Track {
            name: "melody".into(),
            channel: MELODY.0,
            program: MELODY.1,
            notes: piece.part(Part::Melody).iter().map(note).collect(),
            controls: Vec::new(),
        };
        let chords = self.changes(ppq);
        let end = tick(piece.bars * piece.cells_per_bar());
        let mut tracks = vec![melody];
        if chords.iter().any(|change| change.chord.is_some()) {
            let track = chords_track(&chords, end, CHORDS.0);
            tracks.push(Track { name: "chords".into(), program: CHORDS.1, ..track });
        }
        Score {
            ppq,
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
