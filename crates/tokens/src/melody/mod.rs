//! Melodies on a grid of sixteenths, and their ids.
//!
//! An id a step: 0 nothing new, 1 the note ends, `2 + pitch - lowest` a note begins. A note sounds until the next
//! begins, or until its end is said; a melody says no end at its last step.
//!
//! Source: note-seq, `melodies_lib`; Magenta, `OneHotMelodyConverter`.

mod check;
mod converter;
mod extract;

pub use check::{check_monophonic, top_line};
pub use converter::{ChordedIds, MelodyConverter};
pub use extract::{Extraction, extract};

use crate::excerpt::{ConvertError, Result, VELOCITY, empty_sequence, seconds_per_step};
use partita_score::{NoteSequence, Second, sequence::TimedNote};
use std::ops::RangeInclusive;

/// The keys of a piano, what the melody VAEs know.
pub const PIANO: RangeInclusive<u8> = 21..=108;

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MelodyEvent {
    /// A note is held, or a rest goes on.
    NoEvent,
    NoteOff,
    NoteOn(u8),
}

impl MelodyEvent {
    /// Magenta's number: -2 for no event, -1 for a note-off, else the pitch.
    pub fn code(self) -> i16 {
        match self {
            MelodyEvent::NoEvent => -2,
            MelodyEvent::NoteOff => -1,
            MelodyEvent::NoteOn(pitch) => i16::from(pitch),
        }
    }

    /// The event with this [`code`](Self::code), which is in `-2..=127`.
    pub fn from_code(code: i64) -> Option<MelodyEvent> {
        match code {
            -2 => Some(MelodyEvent::NoEvent),
            -1 => Some(MelodyEvent::NoteOff),
            _ => u8::try_from(code).ok().filter(|&pitch| pitch < 128).map(MelodyEvent::NoteOn),
        }
    }

    /// The pitch of a note-on.
    pub fn pitch(self) -> Option<u8> {
        match self {
            MelodyEvent::NoteOn(pitch) => Some(pitch),
            _ => None,
        }
    }

    /// `2 + pitch - lowest` for a note; it must be in range.
    ///
    /// # Errors
    /// [`ConvertError::BadToken`] for a pitch outside.
    pub fn id(self, pitches: &RangeInclusive<u8>) -> Result<u32> {
        match self {
            MelodyEvent::NoEvent => Ok(0),
            MelodyEvent::NoteOff => Ok(1),
            MelodyEvent::NoteOn(pitch) if pitches.contains(&pitch) => {
                Ok(2 + u32::from(pitch - pitches.start()))
            }
            MelodyEvent::NoteOn(pitch) => {
                Err(bad("pitch", format!("in {}..={}", pitches.start(), pitches.end()), &pitch))
            }
        }
    }

    /// # Errors
    /// [`ConvertError::BadToken`] for an id past the highest pitch.
    pub fn from_id(id: u32, pitches: &RangeInclusive<u8>) -> Result<MelodyEvent> {
        match id {
            0 => Ok(MelodyEvent::NoEvent),
            1 => Ok(MelodyEvent::NoteOff),
            _ => {
                let pitch = u32::from(*pitches.start()).saturating_add(id - 2);
                let pitch = u8::try_from(pitch).ok().filter(|pitch| pitches.contains(pitch));
                let pitch =
                    pitch.ok_or_else(|| bad("melody id", format!("below {}", classes(pitches)), &id))?;
                Ok(MelodyEvent::NoteOn(pitch))
            }
        }
    }
}

/// Ids of a vocabulary with these pitches; 90 for a piano.
pub fn classes(pitches: &RangeInclusive<u8>) -> u32 {
    2 + u32::from(*pitches.end()) + 1 - u32::from(*pitches.start())
}

pub(crate) fn bad(name: &'static str, allowed: String, got: &impl ToString) -> ConvertError {
    ConvertError::BadToken { name, allowed, got: got.to_string() }
}

/// Events from a step of the grid on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Melody {
    /// The step of the first event, the beginning of a bar.
    pub start_step: u32,
    pub events: Vec<MelodyEvent>,
}

impl Melody {
    /// Cuts or extends. What still sounds at the old end ends there; the rest is silence.
    pub fn set_length(&mut self, steps: usize) {
        let old = self.events.len();
        self.events.resize(steps, MelodyEvent::NoEvent);
        if steps > old {
            let last = self.events[..old].iter().rev().find(|event| **event != MelodyEvent::NoEvent);
            if matches!(last, Some(MelodyEvent::NoteOn(_))) {
                self.events[old] = MelodyEvent::NoteOff;
            }
        }
    }

    /// A part as a melody of its own: ends of notes that began before it are forgotten.
    pub fn slice(&self, steps: std::ops::Range<usize>) -> Melody {
        let mut events = self.events[steps.clone()].to_vec();
        for event in events.iter_mut().take_while(|event| !matches!(event, MelodyEvent::NoteOn(_))) {
            *event = MelodyEvent::NoEvent;
        }
        Melody { start_step: self.start_step + steps.start as u32, events }
    }

    /// The notes, from time 0 at `start_step` 0.
    pub fn to_sequence(&self, voice: Voice, qpm: f64) -> NoteSequence {
        let mut sequence = empty_sequence(qpm);
        let step = seconds_per_step(qpm);
        let offset = f64::from(self.start_step) * step;
        let time = |at: usize| Second(at as f64 * step + offset);
        let mut sounding = false;
        for (at, &event) in self.events.iter().enumerate() {
            if event == MelodyEvent::NoEvent {
                continue;
            }
            if let Some(last) = sequence.notes.last_mut().filter(|_| sounding) {
                last.end = time(at);
            }
            sounding = false;
            if let MelodyEvent::NoteOn(pitch) = event {
                let Voice { velocity, instrument, program } = voice;
                let (start, end) = (time(at), time(at + 1));
                let is_drum = false;
                sequence.notes.push(TimedNote { start, end, pitch, velocity, instrument, program, is_drum });
                sounding = true;
            }
        }
        if let Some(last) = sequence.notes.last_mut() {
            if sounding {
                last.end = time(self.events.len());
            }
            sequence.total_time = last.end;
        }
        sequence
    }
}

/// What the notes of a melody have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    pub velocity: u8,
    pub instrument: u32,
    pub program: u8,
}

impl Default for Voice {
    /// A piano, as the VAEs answer.
    fn default() -> Voice {
        Voice { velocity: VELOCITY, instrument: 0, program: 0 }
    }
}

/// Notes from ids over `pitches`; [`crate::MAGENTA_QPM`] is the tempo of the original.
///
/// # Errors
/// [`ConvertError::BadToken`] for an id that is no event.
pub fn ids_to_sequence(
    ids: &[u32],
    pitches: &RangeInclusive<u8>,
    voice: Voice,
    qpm: f64,
) -> Result<NoteSequence> {
    let events = ids.iter().map(|&id| MelodyEvent::from_id(id, pitches)).collect::<Result<_>>()?;
    Ok(Melody { start_step: 0, events }.to_sequence(voice, qpm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use MelodyEvent::{NoEvent, NoteOff, NoteOn};

    #[test]
    fn a_longer_length_ends_what_sounds() {
        let mut melody = Melody { start_step: 0, events: vec![NoteOn(60), NoEvent] };
        melody.set_length(4);
        assert_eq!(melody.events, [NoteOn(60), NoEvent, NoteOff, NoEvent]);
        melody.set_length(6);
        assert_eq!(melody.events[4..], [NoEvent, NoEvent]);
    }

    #[test]
    fn a_slice_forgets_the_end_of_what_began_before_it() {
        let events = vec![NoteOn(60), NoEvent, NoteOff, NoEvent, NoteOn(62), NoteOff];
        let slice = Melody { start_step: 16, events }.slice(1..6);
        assert_eq!(
            slice,
            Melody { start_step: 17, events: vec![NoEvent, NoEvent, NoEvent, NoteOn(62), NoteOff] }
        );
    }

    #[test]
    fn ids_past_the_vocabulary_are_refused() {
        assert_eq!(MelodyEvent::from_id(89, &PIANO), Ok(NoteOn(108)));
        for id in [90, 300, u32::MAX] {
            assert!(MelodyEvent::from_id(id, &PIANO).is_err(), "{id}");
        }
        assert!(NoteOn(109).id(&PIANO).is_err());
    }

    #[test]
    fn a_rest_has_no_notes_and_no_length() {
        let sequence = ids_to_sequence(&[0, 1, 0], &PIANO, Voice::default(), 120.0).expect("good ids");
        assert_eq!((sequence.notes.len(), sequence.total_time), (0, Second(0.0)));
    }
}
