//! The bass and the piano of a score: read for a request, and put back with all else note for note.
//!
//! A score's bass and piano are the tracks named so, in any case; what other tracks play is nobody's here.

use std::ops::Range;

use partita_score::harmony::Key;
use partita_score::{Control, ControlKind, Note, Ppq, Score, Tick, Track};
use partita_tokens::song::{CELLS, PITCHES, Part, Piece, PieceNote};

use super::score::{TRACKS, part_track};
use super::{Arrangement, Players, Request, Who};
use crate::melody::{Heard, Lead};

/// In the order in which they get tracks.
const MADE: [Part; 2] = [Part::Piano, Part::Bass];

/// The track that is a part's: named so, no drums, and not the melody's own.
fn track_of(score: &Score, heard: &Heard, part: Part) -> Option<usize> {
    let (name, ..) = TRACKS[part.index()];
    let fits = |(index, track): &(usize, &Track)| {
        *index != heard.track && !track.is_drums() && track.name.trim().eq_ignore_ascii_case(name)
    };
    score.tracks.iter().enumerate().find(fits).map(|(index, _)| index)
}

/// The melody and the chords that were heard, with the bass and the piano of the score. Onsets go to the nearest twelfth
/// of a quarter; of a bass one note sounds at a time; what begins after the melody's last bar is left out.
pub fn read_parts(score: &Score, heard: &Heard) -> Piece {
    let mut piece = heard.piece.clone();
    let end = piece.bars * piece.cells_per_bar();
    for part in MADE {
        let Some(track) = track_of(score, heard, part) else { continue };
        let mut notes: Vec<PieceNote> = score.tracks[track]
            .notes
            .iter()
            .map(|note| {
                let onset = cell(note.onset, score.ppq);
                PieceNote { onset, end: cell(note.end, score.ppq).max(onset + 1), pitch: note.pitch }
            })
            .filter(|note| PITCHES.contains(&note.pitch) && note.onset < end)
            .collect();
        notes.sort_by_key(|note| (note.onset, note.pitch));
        let line = part == Part::Bass;
        notes.dedup_by(|a, b| a.onset == b.onset && (line || a.pitch == b.pitch));
        let mut next = [u32::MAX; 128];
        for note in notes.iter_mut().rev() {
            let next = &mut next[if line { 0 } else { usize::from(note.pitch & 127) }];
            note.end = note.end.min(*next);
            *next = note.onset;
        }
        piece.parts[part.index()] = notes;
    }
    piece
}

/// Where the chords of a score come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It says them.
    Given,
    /// Its notes beside the melody's make them, by rule.
    Recognized,
}

/// Where the chords that were heard in a score come from; `None` where it has none, or a line alone, whose chords would
/// be a guess.
pub fn source(score: &Score, heard: &Heard) -> Option<Source> {
    if heard.chords.iter().all(|(_, chord)| chord.is_none()) {
        return None;
    }
    if score.chords.iter().any(|change| change.chord.is_some()) {
        return Some(Source::Given);
    }
    let pitched = score.tracks.iter().filter(|track| !track.is_drums());
    let notes: usize = pitched.map(|track| track.notes.len()).sum();
    (notes > heard.sources.len()).then_some(Source::Recognized)
}

impl Request {
    /// An accompaniment of some bars of a score: by `players` under the melody that was heard in it, with the chords of
    /// `lead`, whose variation is the stream of the seed.
    pub fn under(
        (score, heard): (&Score, &Heard),
        lead: &Lead,
        players: Players,
        bars: Range<u32>,
        key: Option<Key>,
        seed: u64,
    ) -> Request {
        let mut piece = read_parts(score, heard);
        let length = piece.cells_per_bar();
        let left = [(Part::Bass, players.bass == Who::Nobody), (Part::Piano, players.piano == Who::Nobody)];
        for (part, _) in left.into_iter().filter(|(_, nobody)| *nobody) {
            piece.parts[part.index()].retain(|note| !bars.contains(&(note.onset / length)));
        }
        piece.chords.clone_from(&lead.piece.chords);
        Request {
            symbols: lead.chords.clone(),
            bass: players.bass.make().unwrap_or_default(),
            piano: players.piano.make().unwrap_or_default(),
            bars,
            stream: lead.variation as u64,
            // The model hears of no tempo beyond these.
            ..Request::new(piece, key, heard.tempo.clamp(10.0, 400.0), seed)
        }
    }
}

/// The score with `parts` of an arrangement in `bars`, in place of what these parts played there. All else stays as it
/// is, tick for tick: other tracks, and the notes of these parts that begin in other bars. A part that has no track gets
/// one, a track that is left without notes goes.
pub fn splice(
    score: &Score,
    heard: &Heard,
    arrangement: &Arrangement,
    bars: &Range<u32>,
    parts: &[Part],
) -> Score {
    let mut score = score.clone();
    let (ppq, length) = (score.ppq, heard.piece.cells_per_bar());
    let inside = |at: Tick| bars.contains(&(cell(at, ppq) / length));
    let mut empty = Vec::new();
    for part in MADE.into_iter().filter(|part| parts.contains(part)) {
        let made = part_track(&arrangement.piece, part);
        let new = made.notes.iter().map(|note| Note {
            onset: retimed(note.onset, ppq),
            end: retimed(note.end, ppq).max(Tick(retimed(note.onset, ppq).0 + 1)),
            ..*note
        });
        let new: Vec<Note> = new.filter(|note| inside(note.onset)).collect();
        let Some(index) = track_of(&score, heard, part) else {
            if !new.is_empty() {
                let channel = score.free_channel(made.channel);
                score.tracks.push(Track { notes: new, channel, ..made });
            }
            continue;
        };
        let track = &mut score.tracks[index];
        track.notes.retain(|note| !inside(note.onset));
        if track.notes.is_empty() {
            track.controls.clear();
        } else {
            track.controls.retain(|control| !inside(control.at) || lets_go(control));
        }
        let fitted = fit(new, &track.notes, part == Part::Bass);
        track.notes.extend(fitted);
        track.notes.sort_by_key(|note| note.onset);
        if track.notes.is_empty() {
            empty.push(index);
        }
    }
    let mut index = 0;
    score.tracks.retain(|_| {
        index += 1;
        !empty.contains(&(index - 1))
    });
    score
}

/// New notes beside kept ones: no key is struck while it sounds, and a bass ends where a kept note of it begins.
fn fit(new: Vec<Note>, kept: &[Note], line: bool) -> Vec<Note> {
    let fitted = new.into_iter().filter_map(|mut note| {
        for other in kept {
            if other.pitch == note.pitch && other.onset <= note.onset && other.end > note.onset {
                note.onset = other.end;
            }
            if (line || other.pitch == note.pitch) && other.onset > note.onset && other.onset < note.end {
                note.end = other.onset;
            }
        }
        (note.onset < note.end).then_some(note)
    });
    fitted.collect()
}

/// Whether a control only ends what an earlier one began, so that it is not to be lost with the notes around it.
fn lets_go(control: &Control) -> bool {
    match control.kind {
        // The pedals are 64 to 69.
        ControlKind::ControlChange { number, value } => (64..70).contains(&number) && value < 64,
        ControlKind::PitchBend { value } => value == 0,
        _ => false,
    }
}

/// The nearest cell, as [`crate::melody::read`] reads.
fn cell(tick: Tick, ppq: Ppq) -> u32 {
    let ppq = u64::from(ppq.get());
    ((u64::from(tick.0) * u64::from(CELLS) + ppq / 2) / ppq).min(1 << 24) as u32
}

/// A tick of [`Ppq::DEFAULT`] in other ticks.
fn retimed(tick: Tick, ppq: Ppq) -> Tick {
    Tick((u64::from(tick.0) * u64::from(ppq.get()) / u64::from(Ppq::DEFAULT.get())) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::{BassRule, CompRule, Make, Request, arrange_by_rule};
    use crate::melody::read;
    use partita_score::harmony::parse_symbol;
    use partita_score::{ChordChange, MeterMap, TempoMap};

    fn note(onset: u32, end: u32, pitch: u8) -> Note {
        Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 77 }
    }

    /// Four bars of 4/4 at 96 ticks a quarter with C, and a bass that is played a little late.
    fn score() -> Score {
        let named = |name: &str, notes: Vec<Note>, channel| Track {
            name: name.into(),
            notes,
            channel,
            ..Track::default()
        };
        let melody = (0..16).map(|beat| note(beat * 96, beat * 96 + 90, 72)).collect();
        let bass = (0..8).map(|half| note(half * 192 + 3, half * 192 + 150, 36)).collect();
        let mut bass = named("Bass", bass, 5);
        let pedal =
            |at, value| Control { at: Tick(at), kind: ControlKind::ControlChange { number: 64, value } };
        bass.controls = vec![pedal(0, 127), pedal(400, 0), pedal(500, 127), pedal(1400, 1)];
        Score {
            ppq: Ppq::new(96).expect("valid"),
            tempos: TempoMap::constant(90.0),
            meters: MeterMap::default(),
            chords: vec![ChordChange { at: Tick(0), chord: parse_symbol("C").expect("a chord") }],
            tracks: vec![named("tune", melody, 0), bass],
            ..Score::default()
        }
    }

    fn arranged(score: &Score, bars: Range<u32>) -> Score {
        let heard = read(score, Some(0)).expect("a melody");
        let piece = read_parts(score, &heard);
        assert_eq!(piece.part(Part::Bass).len(), score.tracks.get(1).map_or(0, |track| track.notes.len()));
        let request = Request {
            bass: Make::Rule(BassRule::Eighths),
            piano: Make::Rule(CompRule::Beats),
            bars: bars.clone(),
            ..Request::new(piece, None, 90.0, 1)
        };
        let arrangement = arrange_by_rule(&request).expect("playable").remove(0);
        splice(score, &heard, &arrangement, &bars, &[Part::Bass, Part::Piano])
    }

    #[test]
    fn other_bars_and_tracks_stay_tick_for_tick() {
        let before = score();
        let after = arranged(&before, 1..2);
        assert_eq!(after.tracks[0], before.tracks[0]);
        let names: Vec<&str> = after.tracks.iter().map(|track| track.name.as_str()).collect();
        assert_eq!(names, ["tune", "Bass", "piano"]);
        let outside = |track: &Track| -> Vec<Note> {
            let kept = |note: &&Note| !(384..768).contains(&note.onset.0);
            track.notes.iter().filter(kept).copied().collect()
        };
        assert_eq!(outside(&after.tracks[1]), outside(&before.tracks[1]));
        assert_eq!(after.tracks[1].notes.len(), 2 + 8 + 4);
        assert_eq!((after.tracks[1].channel, after.tracks[2].channel), (5, 3));
        assert!(after.tracks[2].notes.iter().all(|note| (384..768).contains(&note.onset.0)));
        // The pedal that is let go in the bar stays so, the one that is pressed there is not.
        let pedals: Vec<u32> = after.tracks[1].controls.iter().map(|control| control.at.0).collect();
        assert_eq!(pedals, [0, 400, 1400]);
    }

    #[test]
    fn a_whole_part_is_replaced_with_its_controls_and_a_new_one_gets_a_channel_of_its_own() {
        let before = score();
        let after = arranged(&before, 0..4);
        assert_eq!(after.tracks[1].notes.len(), 32);
        assert!(after.tracks[1].controls.is_empty());
        assert_eq!(after.tracks[1].notes[1], Note { velocity: 80, ..note(48, 96, 36) });
        let alone = Score { tracks: before.tracks[..1].to_vec(), ..before };
        let channels: Vec<u8> = arranged(&alone, 0..4).tracks.iter().map(|track| track.channel).collect();
        assert_eq!(channels, [0, 3, 2]);
    }

    #[test]
    fn no_key_is_struck_while_it_sounds() {
        let kept = [note(0, 100, 40), note(300, 400, 41)];
        let new = vec![note(96, 200, 40), note(200, 350, 43), note(20, 90, 40)];
        assert_eq!(fit(new.clone(), &kept, true), [note(100, 200, 40), note(200, 300, 43)]);
        assert_eq!(fit(new, &kept, false)[1], note(200, 350, 43));
    }
}
