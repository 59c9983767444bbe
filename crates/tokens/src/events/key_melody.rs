//! Features of a melody as a listener would tell them: pitch, attack, direction, repeats, place, and key.

use super::lookback::{back, repeated};
use super::one_hot::{check, class_of};
use super::squash::key_histogram;
use super::{BAR, Codec, Error, MelodyEvent, MelodyRange, repeats, write_counter};

/// With 36 pitches:
///
/// ```text
/// input   0..36   the pitch that sounds        40, 41  the event repeats the one a bar, two bars ago
///         36      a note sounds                42..49  counter of p + 1
///         37      silence                      49      the next event begins a bar
///         38      the note begins here         50..62  major keys that most notes so far fit
///         39      up 1, down -1                62..74  major keys that most of the last three pitches fit
/// class   0..36 the pitch, 36 no event, 37 note-off, 38 and 39 as one and two bars ago
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMelody(pub MelodyRange);

const DISTANCES: [usize; 2] = [BAR, 2 * BAR];
const COUNTER: usize = 7;
const KEYS: usize = 12;

/// What has been heard of a melody.
#[derive(Default)]
struct Heard {
    sounding: Option<u8>,
    attack: bool,
    direction: f32,
    /// The last three different pitches, the newest last.
    recent: Vec<u8>,
}

impl Heard {
    fn of(events: &[MelodyEvent]) -> Heard {
        let mut heard = Heard::default();
        for event in events {
            match *event {
                MelodyEvent::NoEvent => heard.attack = false,
                // The attack stays as it was: a note-off right after a note-on leaves it set, as in Magenta.
                MelodyEvent::NoteOff => heard.sounding = None,
                MelodyEvent::NoteOn(pitch) => heard.note(pitch),
            }
        }
        heard
    }

    fn note(&mut self, pitch: u8) {
        self.attack = true;
        self.sounding = Some(pitch);
        match self.recent.last() {
            Some(&last) if pitch > last => self.direction = 1.0,
            Some(&last) if pitch < last => self.direction = -1.0,
            _ => {}
        }
        self.recent.retain(|&other| other != pitch);
        if self.recent.len() == 3 {
            self.recent.remove(0);
        }
        self.recent.push(pitch);
    }
}

fn write_keys(pitches: impl Iterator<Item = u8>, out: &mut [f32]) {
    let keys = key_histogram(pitches);
    let most = keys.iter().max().copied().unwrap_or(0);
    for (out, count) in out.iter_mut().zip(keys) {
        *out = f32::from(u8::from(count == most));
    }
}

impl Codec for KeyMelody {
    type Event = MelodyEvent;

    fn inputs(&self) -> usize {
        self.0.pitches() + 2 + 1 + 1 + DISTANCES.len() + COUNTER + 1 + KEYS + KEYS
    }

    fn classes(&self) -> usize {
        self.0.pitches() + 2 + DISTANCES.len()
    }

    fn check(&self, events: &[MelodyEvent]) -> Result<(), Error> {
        check(&self.0, events)
    }

    fn input(&self, events: &[MelodyEvent], position: usize, out: &mut [f32]) {
        let events = &events[..=position];
        let heard = Heard::of(events);
        out.fill(0.0);
        let (pitch, rest) = out.split_at_mut(self.0.pitches());
        let (state, rest) = rest.split_at_mut(4);
        match heard.sounding {
            Some(sounding) => {
                pitch[usize::from(sounding - self.0.low)] = 1.0;
                state[0] = 1.0;
            }
            None => state[1] = 1.0,
        }
        state[2] = f32::from(u8::from(heard.attack));
        state[3] = heard.direction;
        let (repeating, rest) = rest.split_at_mut(DISTANCES.len());
        for (out, distance) in repeating.iter_mut().zip(DISTANCES) {
            *out = f32::from(u8::from(repeats(events, position, distance)));
        }
        let (counter, rest) = rest.split_at_mut(COUNTER);
        write_counter(position + 1, counter);
        let (bar, rest) = rest.split_at_mut(1);
        bar[0] = f32::from(u8::from((position + 1).is_multiple_of(BAR)));
        let (keys, recent) = rest.split_at_mut(KEYS);
        write_keys(events.iter().filter_map(|event| event.pitch()), keys);
        write_keys(heard.recent.iter().copied(), recent);
    }

    fn label(&self, events: &[MelodyEvent], position: usize) -> usize {
        let (event, pitches) = (events[position], self.0.pitches());
        match (repeated(&DISTANCES, events, position, event == MelodyEvent::NoEvent), event) {
            (Some(which), _) => pitches + 2 + which,
            (None, MelodyEvent::NoEvent) => pitches,
            (None, MelodyEvent::NoteOff) => pitches + 1,
            // The range numbers its pitches from 2.
            (None, MelodyEvent::NoteOn(_)) => class_of(&self.0, event) - 2,
        }
    }

    fn event(&self, class: usize, events: &[MelodyEvent]) -> MelodyEvent {
        let pitches = self.0.pitches();
        match class.checked_sub(pitches) {
            None => MelodyEvent::NoteOn(self.0.low + class as u8),
            Some(0) => MelodyEvent::NoEvent,
            Some(1) => MelodyEvent::NoteOff,
            Some(which) => back(events, DISTANCES[which - 2]).unwrap_or(MelodyEvent::NoEvent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODEC: KeyMelody = KeyMelody(MelodyRange { low: 48, high: 84 });

    fn melody(codes: impl IntoIterator<Item = i64>) -> Vec<MelodyEvent> {
        codes.into_iter().map(|code| MelodyEvent::from_code(code).unwrap()).collect()
    }

    fn features(codes: &[i64]) -> Vec<f32> {
        let events = melody(codes.iter().copied());
        let mut out = vec![9.0; CODEC.inputs()];
        CODEC.input(&events, events.len() - 1, &mut out);
        out
    }

    #[test]
    fn sizes_are_those_of_the_published_network() {
        assert_eq!((CODEC.inputs(), CODEC.classes()), (74, 40));
    }

    #[test]
    fn a_note_off_ends_the_pitch_but_not_the_attack() {
        let after = features(&[60, -1]);
        assert_eq!((after[36], after[37], after[38]), (0.0, 1.0, 1.0));
        assert_eq!(features(&[60, -2])[38], 0.0);
    }

    #[test]
    fn direction_follows_pitches_and_survives_a_repeated_one() {
        for (codes, direction) in
            [(&[60][..], 0.0), (&[60, 62], 1.0), (&[60, 62, 62], 1.0), (&[60, 62, -1, 55], -1.0)]
        {
            assert_eq!(features(codes)[39], direction, "{codes:?}");
        }
    }

    #[test]
    fn without_notes_every_key_fits() {
        assert!(features(&[-2, -1])[50..].iter().all(|&key| key == 1.0));
    }

    #[test]
    fn only_the_last_three_pitches_make_the_recent_keys() {
        assert_eq!(features(&[61, 60, 64, 67])[62..], features(&[60, 64, 67])[62..]);
        assert_ne!(features(&[61, 60, 64, 67])[50..62], features(&[60, 64, 67])[50..62]);
    }

    #[test]
    fn a_label_means_its_event_again() {
        let events = melody((0..90).map(|at| [60, -2, -2, -1, 62, 62, -2, 83][at as usize * 5 / 3 % 8]));
        for at in 0..events.len() {
            assert_eq!(CODEC.event(CODEC.label(&events, at), &events[..at]), events[at], "{at}");
        }
    }
}
