//! Changes to a score that leave everything else exactly as it was.
//!
//! A model works on a [`DrumPattern`](crate::DrumPattern); these functions bring its answer back into the score the
//! pattern was read from. Other notes, tracks, controls, tempo, metre and keys are not touched.

use crate::{Hit, Note, QuantizedDrums, Score, Tick, Track};

/// How a note of a pattern is to be played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Touch {
    /// Rounded and held in `1..=127`.
    pub velocity: f64,
    /// New microtiming in steps, `[-0.5, 0.5)`.
    pub offset: f64,
}

/// Takes out the notes `removed`, `(track, note)` each, and adds `added` to the drum track with the most notes.
///
/// Added hits become General MIDI notes, a sixteenth long or until the next note of their pitch; without a drum track
/// one is made. Steps count from the start of the score.
pub fn replace_hits(score: &Score, removed: &[(usize, usize)], added: &[Hit]) -> Score {
    let mut edited = score.clone();
    for (index, track) in edited.tracks.iter_mut().enumerate() {
        let mut gone: Vec<usize> =
            removed.iter().filter(|place| place.0 == index).map(|place| place.1).collect();
        gone.sort_unstable();
        let mut note = 0;
        track.notes.retain(|_| {
            note += 1;
            gone.binary_search(&(note - 1)).is_err()
        });
    }
    if added.is_empty() {
        return edited;
    }
    let drums = edited.tracks.iter().enumerate().filter(|(_, track)| track.is_drums());
    // Of equals the first; the notes before the removal decide, so that an emptied track keeps its part.
    let most = drums.max_by_key(|(index, _)| (score.tracks[*index].notes.len(), usize::MAX - index));
    let index = most.map_or(edited.tracks.len(), |(index, _)| index);
    if index == edited.tracks.len() {
        edited.tracks.push(Track { name: "Drums".into(), channel: 9, ..Track::default() });
    }
    add(&mut edited.tracks[index].notes, added, f64::from(score.ppq.get()) / 4.0);
    edited
}

fn add(notes: &mut Vec<Note>, added: &[Hit], ticks_per_step: f64) {
    let kept = notes.len();
    let mut new: Vec<Note> = added
        .iter()
        .map(|hit| {
            let onset = Tick((hit.position() * ticks_per_step).round() as u32);
            let length = (ticks_per_step as u32).max(1);
            let end = Tick(onset.0.saturating_add(length));
            Note { onset, end, pitch: hit.class.gm_pitch(), velocity: hit.velocity.clamp(1, 127) }
        })
        .collect();
    new.sort_by_key(|note| note.onset);
    for index in 0..new.len() {
        let Note { onset, end, pitch, .. } = new[index];
        let others = notes[..kept].iter().chain(&new[index + 1..]).filter(|other| other.pitch == pitch);
        let next = others.clone().map(|other| other.onset).filter(|at| *at > onset).min();
        // MIDI ends the oldest of two notes of one pitch first: a new note inside a kept one must not end before it.
        let held = notes[..kept].iter().filter(|other| other.pitch == pitch && other.onset <= onset);
        let held = held.map(|other| other.end).filter(|end| *end > onset).max();
        new[index].end = end.min(next.unwrap_or(end)).max(held.unwrap_or(Tick(0)));
    }
    notes.extend(new);
    notes.sort_by_key(|note| note.onset);
}

/// Plays the notes a pattern was read from as `touches` say, one for each of `drums.pattern.hits`.
///
/// Notes keep their pitch and length and move by the difference of offsets, so a touch equal to the hit changes
/// nothing. No note moves before the start.
pub fn perform(score: &Score, drums: &QuantizedDrums, touches: &[Touch]) -> Score {
    let mut edited = score.clone();
    let ticks_per_step = f64::from(score.ppq.get()) / 4.0;
    for ((&(track, note), hit), touch) in drums.sources.iter().zip(&drums.pattern.hits).zip(touches) {
        let note = &mut edited.tracks[track].notes[note];
        let length = note.end.0.saturating_sub(note.onset.0);
        let moved = ((touch.offset - f64::from(hit.offset)) * ticks_per_step).round();
        note.onset = Tick((f64::from(note.onset.0) + moved) as u32);
        note.end = Tick(note.onset.0.saturating_add(length));
        if touch.velocity != f64::from(hit.velocity) {
            note.velocity = touch.velocity.round().clamp(1.0, 127.0) as u8;
        }
    }
    for track in &mut edited.tracks {
        track.notes.sort_by_key(|note| note.onset);
    }
    edited
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Control, ControlKind, DrumClass, DrumMap, DrumPattern, Meter, TempoMap, midi, quantize_drums,
    };

    fn hit(step: u32, class: DrumClass, offset: f32) -> Hit {
        Hit { step, class, velocity: 90, offset }
    }

    /// A bass, two drum tracks with a note no class knows, controls and tempo changes.
    fn song() -> Score {
        let note = |onset, end, pitch| Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 70 };
        let control = Control { at: Tick(5), kind: ControlKind::PitchBend { value: -9 } };
        let bass = Track {
            name: "Bass".into(),
            notes: vec![note(3, 900, 40)],
            controls: vec![control],
            ..Track::default()
        };
        let notes = vec![note(0, 50, 36), note(121, 400, 42), note(240, 300, 38), note(480, 500, 99)];
        let drums =
            Track { channel: 9, name: "Kit".into(), notes, controls: vec![control], ..Track::default() };
        let more = Track { channel: 9, notes: vec![note(240, 241, 56)], ..Track::default() };
        let tempos = TempoMap::new(vec![(Tick(0), 600_000), (Tick(960), 500_000)]);
        Score { tempos, tracks: vec![bass, more, drums], ..Score::default() }
    }

    #[test]
    fn what_is_not_replaced_stays_note_for_note() {
        let score = song();
        let edited =
            replace_hits(&score, &[(2, 0)], &[hit(2, DrumClass::Kick, 0.25), hit(8, DrumClass::Kick, -0.5)]);
        assert_eq!(edited.tracks[..2], score.tracks[..2]);
        assert_eq!(edited.tempos, score.tempos);
        let kicks: Vec<_> = edited.tracks[2].notes.iter().filter(|note| note.pitch == 36).collect();
        assert_eq!(kicks.iter().map(|n| (n.onset.0, n.end.0)).collect::<Vec<_>>(), [(270, 390), (900, 1020)]);
        let rest: Vec<_> = edited.tracks[2].notes.iter().filter(|note| note.pitch != 36).copied().collect();
        assert_eq!(rest, score.tracks[2].notes[1..]);
        assert_eq!(replace_hits(&score, &[], &[]), score);
    }

    #[test]
    fn new_notes_under_kept_ones_leave_them_whole_in_the_file() {
        let score = song();
        // The kept closed hat sounds from 121 to 400.
        let edited = replace_hits(
            &score,
            &[],
            &[hit(2, DrumClass::ClosedHat, 0.0), hit(0, DrumClass::ClosedHat, 0.25)],
        );
        let read = midi::read(&midi::write(&edited)).expect("written by us");
        assert_eq!(read.tracks[2].notes, edited.tracks[2].notes);
        assert!(read.tracks[2].notes.contains(&score.tracks[2].notes[1]));
    }

    #[test]
    fn a_score_without_drums_gets_a_drum_track() {
        let edited = replace_hits(&Score::default(), &[], &[hit(0, DrumClass::Snare, -0.2)]);
        assert!(edited.tracks[0].is_drums());
        assert_eq!(edited.tracks[0].notes[0].onset, Tick(0));
    }

    #[test]
    fn performing_as_played_changes_nothing() {
        let score = song();
        let drums = quantize_drums(&score, DrumMap::Gm).expect("has drums");
        let touch = |hit: &Hit| Touch { velocity: f64::from(hit.velocity), offset: f64::from(hit.offset) };
        let same: Vec<Touch> = drums.pattern.hits.iter().map(touch).collect();
        assert_eq!(perform(&score, &drums, &same), score);
    }

    #[test]
    fn performing_moves_time_and_velocity_only() {
        let mut pattern = DrumPattern::empty(Meter::COMMON, 100.0, 1);
        pattern.hits = vec![hit(0, DrumClass::Kick, 0.0), hit(4, DrumClass::Snare, 0.0)];
        let score = pattern.to_score();
        let drums = quantize_drums(&score, DrumMap::Gm).expect("has drums");
        let touches = [Touch { velocity: 140.0, offset: -0.3 }, Touch { velocity: 60.4, offset: 0.1 }];
        let notes = perform(&score, &drums, &touches).tracks.remove(0).notes;
        let seen: Vec<_> = notes.iter().map(|n| (n.onset.0, n.end.0, n.pitch, n.velocity)).collect();
        assert_eq!(seen, [(0, 120, 36, 127), (492, 612, 38, 60)]);
    }
}
