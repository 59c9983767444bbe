//! Changes to a score that leave everything else exactly as it was.
//!
//! A model works on a [`DrumPattern`](crate::DrumPattern); these functions bring its answer back into the score the
//! pattern was read from. Other notes, tracks, controls, tempo, metre and keys are not touched.

use crate::{DrumClass, Hit, Meter, MeterMap, Note, QuantizedDrums, Score, Tick, Track, pattern};

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
    let mut new: Vec<Note> = added
        .iter()
        .map(|hit| {
            let onset = pattern::tick_in_step(hit.step, hit.position(), ticks_per_step);
            let length = (ticks_per_step as u32).max(1);
            let end = Tick(onset.0.saturating_add(length));
            Note { onset, end, pitch: hit.class.gm_pitch(), velocity: hit.velocity.clamp(1, 127) }
        })
        .collect();
    new.sort_by_key(|note| note.onset);
    // `(pitch, onset, end)` of the kept notes; each end becomes the latest of its pitch so far.
    let mut kept: Vec<(u8, Tick, Tick)> =
        notes.iter().map(|note| (note.pitch, note.onset, note.end)).collect();
    kept.sort_unstable();
    for index in 1..kept.len() {
        if kept[index - 1].0 == kept[index].0 {
            kept[index].2 = kept[index].2.max(kept[index - 1].2);
        }
    }
    // Per pitch: the earliest onset of the new notes seen so far and the next one after it.
    let mut later = [(Tick(u32::MAX), Tick(u32::MAX)); 128];
    for Note { onset, end, pitch, .. } in new.iter_mut().rev() {
        let (first, second) = &mut later[usize::from(*pitch)];
        if *first != *onset {
            (*first, *second) = (*onset, *first);
        }
        let place = kept.partition_point(|other| (other.0, other.1) <= (*pitch, *onset));
        let next = kept.get(place).filter(|other| other.0 == *pitch).map_or(*second, |other| other.1);
        // MIDI ends the oldest of two notes of one pitch first: a new note inside a kept one must not end before it.
        let before = kept[..place].last().filter(|other| other.0 == *pitch && other.2 > *onset);
        let held = before.map_or(Tick(0), |other| other.2);
        *end = (*end).min(next).min(*second).max(held);
    }
    notes.extend(new);
    notes.sort_by_key(|note| note.onset);
}

/// Plays the notes a pattern was read from as `touches` say, one for each of `drums.pattern.hits`.
///
/// Notes keep their pitch and length and move by the difference of offsets, so a touch equal to the hit changes
/// nothing. No note moves before the start or out of its step.
pub fn perform(score: &Score, drums: &QuantizedDrums, touches: &[Touch]) -> Score {
    let mut edited = score.clone();
    let ticks_per_step = f64::from(score.ppq.get()) / 4.0;
    for ((&(track, note), hit), touch) in drums.sources.iter().zip(&drums.pattern.hits).zip(touches) {
        let note = &mut edited.tracks[track].notes[note];
        let length = note.end.0.saturating_sub(note.onset.0);
        let moved = ((touch.offset - f64::from(hit.offset)) * ticks_per_step).round();
        let (step, _) = pattern::split_position(f64::from(note.onset.0) / ticks_per_step);
        let position = (f64::from(note.onset.0) + moved) / ticks_per_step;
        note.onset = pattern::tick_in_step(step, position, ticks_per_step);
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

/// Lets the drums' `meter` hold until `until`, the end of the new bars. What the score says from there on stays.
///
/// Drums are read in one metre, so a change under the new bars would make the file unreadable to every command.
pub fn hold_meter(score: &mut Score, meter: Meter, until: Tick) {
    let drums = score.tracks.iter().filter(|track| track.is_drums());
    let notes = drums.flat_map(|track| &track.notes);
    let strokes = notes.filter(|note| DrumClass::from_gm(note.pitch).is_some());
    let last = strokes.map(|note| note.onset).max().unwrap_or_default();
    // Rounding to coarse ticks can bring the last stroke onto the end.
    let until = until.max(Tick(last.0.saturating_add(1)));
    let changes = score.meters.changes();
    if changes.iter().all(|(at, to)| *at >= until || *to == meter) {
        return;
    }
    let after = score.meters.at(until);
    let mut held: Vec<_> = changes.iter().copied().filter(|(at, to)| *at >= until || *to == meter).collect();
    if !held.iter().any(|(at, _)| *at == until) {
        held.push((until, after));
    }
    score.meters = MeterMap::new(held);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Control, ControlKind, DrumClass, DrumMap, DrumPattern, Meter, TempoMap, midi, quantize_drums,
    };
    use proptest::{collection::vec, prelude::*};

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

    /// Where each new note ends, said note by note: what the sweep of `add` must come to.
    fn ends_by_definition(kept: &[Note], new: &[Note]) -> Vec<Tick> {
        let end = |index: usize| {
            let Note { onset, end, pitch, .. } = new[index];
            let kept = kept.iter().filter(|other| other.pitch == pitch);
            let others = kept.clone().chain(new.iter().filter(|other| other.pitch == pitch));
            let next = others.map(|other| other.onset).filter(|at| *at > onset).min();
            let held = kept.filter(|other| other.onset <= onset && other.end > onset).map(|other| other.end);
            end.min(next.unwrap_or(end)).max(held.max().unwrap_or(Tick(0)))
        };
        (0..new.len()).map(end).collect()
    }

    proptest! {
        #[test]
        fn new_notes_end_where_the_definition_says(
            kept in vec((0..1000u32, 0..300u32, 0..3usize), 0..20),
            added in vec((0..9u32, 0..3usize, -0.5..0.5f32), 1..20),
        ) {
            let class = |index| DrumClass::from_index(index).expect("below 9");
            let kept: Vec<Note> = kept
                .into_iter()
                .map(|(onset, length, index)| Note {
                    onset: Tick(onset),
                    end: Tick(onset + length),
                    pitch: class(index).gm_pitch(),
                    velocity: 1,
                })
                .collect();
            let hits: Vec<Hit> =
                added.into_iter().map(|(step, index, offset)| hit(step, class(index), offset)).collect();
            let mut notes = kept.clone();
            add(&mut notes, &hits, 120.0);
            // Kept notes have another velocity.
            let new: Vec<Note> = notes.iter().filter(|note| note.velocity == 90).copied().collect();
            let whole: Vec<Note> =
                new.iter().map(|note| Note { end: Tick(note.onset.0 + 120), ..*note }).collect();
            let ends: Vec<Tick> = new.iter().map(|note| note.end).collect();
            prop_assert_eq!(new.len(), hits.len());
            prop_assert_eq!(ends, ends_by_definition(&kept, &whole));
        }
    }

    #[test]
    fn adding_many_hits_takes_near_linear_time() {
        let count = 200_000;
        let at = |step: u32| Tick(step * 120 + 60);
        let note = |step| Note { onset: at(step), end: Tick(at(step).0 + 1), pitch: 36, velocity: 70 };
        let mut notes: Vec<Note> = (0..count).map(note).collect();
        let hits: Vec<Hit> = (0..count).map(|step| hit(step, DrumClass::Kick, 0.0)).collect();
        add(&mut notes, &hits, 120.0);
        assert_eq!(notes.len(), 2 * count as usize);
        assert!(notes.iter().step_by(2).all(|note| note.end.0 - note.onset.0 == 60));
    }

    #[test]
    fn late_hits_stay_in_their_step() {
        let late = hit(15, DrumClass::Kick, 0.499);
        let score = replace_hits(&Score::default(), &[], &[late]);
        assert_eq!(score.tracks[0].notes[0].onset, Tick(1859));
        let drums = quantize_drums(&score, DrumMap::Gm).expect("has drums");
        assert_eq!((drums.pattern.bars, drums.pattern.hits[0].step), (1, 15));
        let touch = Touch { velocity: 90.0, offset: 0.4999 };
        assert_eq!(perform(&score, &drums, &[touch]).tracks[0].notes[0].onset, Tick(1859));
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
