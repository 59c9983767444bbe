//! A piece of music: tracks of notes over maps of tempo, metre and key.
//!
//! Written and read by [`crate::midi`]. Ticks of all tracks count from the same start.

use crate::harmony::Chord;
use crate::{MeterMap, Ppq, Second, TempoMap, Tick};

/// A whole piece.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    pub ppq: Ppq,
    pub tempos: TempoMap,
    pub meters: MeterMap,
    /// Sorted by tick.
    pub keys: Vec<KeyChange>,
    /// Sorted by tick; each holds until the next.
    pub chords: Vec<ChordChange>,
    pub tracks: Vec<Track>,
    /// Sorted by tick.
    pub texts: Vec<Text>,
    /// Where silent last bars end; tick 0 if there are none. See [`Score::length`].
    pub silence: Tick,
}

/// Notes and controls of one channel and program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    pub name: String,
    /// `0..16`; 9 is drums.
    pub channel: u8,
    /// General MIDI program of all these notes, `0..128`.
    pub program: u8,
    /// In playing order: sorted by onset, ties in the order of the file.
    pub notes: Vec<Note>,
    /// Sorted by tick.
    pub controls: Vec<Control>,
}

/// One sounding note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    pub onset: Tick,
    /// Not before `onset`.
    pub end: Tick,
    /// `0..128`, 60 = middle C = C4.
    pub pitch: u8,
    /// `1..=127`
    pub velocity: u8,
}

/// A channel event that is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Control {
    pub at: Tick,
    pub kind: ControlKind,
}

/// All values are `0..128` but the bend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlKind {
    ControlChange {
        number: u8,
        value: u8,
    },
    ProgramChange {
        program: u8,
    },
    /// `-8192..=8191`, 0 = centre.
    PitchBend {
        value: i16,
    },
    ChannelPressure {
        value: u8,
    },
    PolyPressure {
        pitch: u8,
        value: u8,
    },
}

/// A key signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyChange {
    pub at: Tick,
    /// `-7..=7`; negative counts flats.
    pub sharps: i8,
    pub minor: bool,
}

/// Words that a piece holds and that no model reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    pub at: Tick,
    pub kind: TextKind,
    pub text: String,
    /// Name of the track it goes with; empty for the piece as a whole.
    pub track: String,
}

/// What words are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// Anything.
    Text,
    Copyright,
    /// Of a track.
    Instrument,
    /// A syllable that is sung, with a hyphen at its end if its word goes on.
    Lyric,
    /// The name of a place in the piece, as in `Verse 2`.
    Marker,
    CuePoint,
}

/// From here on the harmony is this chord, or none where it is `None` (`N.C.`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChordChange {
    pub at: Tick,
    pub chord: Option<Chord>,
}

impl Track {
    /// Whether this is the percussion channel, 9.
    pub fn is_drums(&self) -> bool {
        self.channel == 9
    }

    /// The last tick of any note or control.
    pub fn end(&self) -> Tick {
        let notes = self.notes.iter().map(|note| note.end);
        notes.chain(self.controls.iter().map(|control| control.at)).max().unwrap_or_default()
    }
}

impl Score {
    /// The end of the last note, tick 0 without notes.
    pub fn end(&self) -> Tick {
        self.tracks.iter().flat_map(|track| &track.notes).map(|note| note.end).max().unwrap_or_default()
    }

    /// The end of the last bar: that in which the last note ends and nothing changes any more, or of silent ones after it.
    pub fn length(&self) -> Tick {
        let tracks = self.tracks.iter().map(Track::end);
        let tempos = self.tempos.changes().iter().map(|(at, _)| *at);
        let meters = self.meters.changes().iter().map(|(at, _)| *at);
        let (keys, chords) = (self.keys.iter().map(|key| key.at), self.chords.iter().map(|change| change.at));
        let last = tracks.chain(tempos).chain(meters).chain(keys).chain(chords).max();
        self.meters.bar_line(last.unwrap_or_default(), self.ppq).max(self.silence)
    }

    /// This score with silent bars up to `end`, if it is shorter.
    #[must_use]
    pub fn until(mut self, end: Tick) -> Score {
        self.silence = Tick(0);
        if end > self.length() {
            self.silence = end;
        }
        self
    }

    /// `usual` if nobody plays on it, else the first free channel but the drums'; the last where there is none.
    pub fn free_channel(&self, usual: u8) -> u8 {
        let free = |channel: &u8| *channel != 9 && self.tracks.iter().all(|track| track.channel != *channel);
        std::iter::once(usual).chain(0..16).find(free).unwrap_or(15)
    }

    /// The chord in force at a tick; of several changes on one tick the last counts.
    pub fn chord_at(&self, at: Tick) -> Option<&Chord> {
        let after = self.chords.partition_point(|change| change.at <= at);
        self.chords.get(after.checked_sub(1)?)?.chord.as_ref()
    }

    /// Playing time up to the end of the last note.
    pub fn duration(&self) -> Second {
        self.tempos.seconds_at(self.end(), self.ppq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harmony::{ChordKind, NoteName};

    #[test]
    fn a_chord_holds_until_the_next() {
        let chord = Chord::new(NoteName::C, ChordKind::Minor);
        let change = |at, chord| ChordChange { at: Tick(at), chord };
        let chords = vec![change(10, Some(chord.clone())), change(20, None)];
        let score = Score { chords, ..Score::default() };
        let seen = [0, 9, 10, 19, 20, 999].map(|at| score.chord_at(Tick(at)).cloned());
        assert_eq!(seen, [None, None, Some(chord.clone()), Some(chord), None, None]);
    }

    #[test]
    fn bars_that_are_silent_count() {
        let note = Note { onset: Tick(0), end: Tick(1441), pitch: 60, velocity: 80 };
        let track = Track { notes: vec![note], ..Track::default() };
        let meters = MeterMap::constant(crate::Meter::new(3, 4).unwrap());
        let score = Score { ppq: Ppq::DEFAULT, meters, tracks: vec![track], ..Score::default() };
        let lengths = [0, 2880, 4320].map(|end| {
            let score = score.clone().until(Tick(end));
            (score.silence.0, score.length().0)
        });
        assert_eq!(lengths, [(0, 2880), (0, 2880), (4320, 4320)]);
        assert_eq!(Score::default().length(), Tick(0));
    }

    #[test]
    fn a_free_channel_is_nobodys_and_not_the_drums() {
        let on = |channels: std::ops::Range<u8>| Score {
            tracks: channels.map(|channel| Track { channel, ..Track::default() }).collect(),
            ..Score::default()
        };
        assert_eq!((on(0..2).free_channel(5), on(0..2).free_channel(1)), (5, 2));
        assert_eq!((on(0..9).free_channel(0), on(0..16).free_channel(0)), (10, 15));
    }

    #[test]
    fn duration_follows_the_tempo() {
        let note = Note { onset: Tick(0), end: Tick(960), pitch: 60, velocity: 90 };
        let track = Track { notes: vec![note], ..Track::default() };
        let score = Score { tempos: TempoMap::constant(60.0), tracks: vec![track], ..Score::default() };
        assert_eq!((score.end(), score.duration()), (Tick(960), Second(2.0)));
        assert_eq!(Score::default().duration(), Second(0.0));
    }
}
