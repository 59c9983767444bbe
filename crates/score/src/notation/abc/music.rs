//! One voice of a tune as it is read: notes into measures.

use super::super::assemble::{FALLBACK, Measure, Tone, VELOCITY};
use super::field::KeyField;
use super::length::Length;
use super::words::{self, Step};
use crate::Meter;
use crate::harmony::{Chord, Letter, NoteName, parse_symbol};
use std::collections::BTreeMap;

/// How far an accidental reaches within its bar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    Note,
    Octave,
    /// The standard's default: the letter in all octaves.
    #[default]
    Letter,
}

/// The last note, chord or rest: broken rhythm changes it when it is over.
#[derive(Clone, Copy)]
struct Last {
    at: Length,
    length: Length,
    /// Its first tone.
    tones: usize,
}

/// A voice and what it carries along.
#[derive(Clone)]
pub(super) struct Voice {
    pub name: String,
    pub channel: Option<u8>,
    pub program: u8,
    pub percussion: bool,
    pub octave: i32,
    pub transpose: i32,
    /// Unit note length in quarters.
    pub unit: Length,
    pub meter: Option<Meter>,
    pub reach: Reach,
    alters: [i8; 7],
    pub measures: Vec<Measure>,
    pub current: Measure,
    at: Length,
    overlay: u32,
    said: BTreeMap<(usize, i32), i8>,
    tuplet: Option<(Length, u32)>,
    broken: Option<Length>,
    last: Option<Last>,
    /// Of the last line of music: its first bar, the bar and tick of each note or chord, and how many lines of words stand
    /// under it.
    line: (usize, Vec<(usize, f64)>, u32),
    /// By overlay: pitches of its last chord that go on, with their letter and octave.
    tied: BTreeMap<u32, Vec<(u8, usize, i32)>>,
}

/// A note as it stands in the text, without its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Written {
    pub letter: Letter,
    /// 0 for capitals without marks.
    pub octave: i32,
    pub accidental: Option<i8>,
    pub tied: bool,
}

impl Voice {
    pub fn new(unit: Length, meter: Option<Meter>) -> Voice {
        Voice {
            name: String::new(),
            channel: None,
            program: 0,
            percussion: false,
            octave: 0,
            transpose: 0,
            unit,
            meter,
            reach: Reach::default(),
            alters: [0; 7],
            measures: Vec::new(),
            current: Measure::default(),
            at: Length::ZERO,
            overlay: 0,
            said: BTreeMap::new(),
            tuplet: None,
            broken: None,
            last: None,
            line: (0, Vec::new(), 0),
            tied: BTreeMap::new(),
        }
    }

    fn ticks(length: Length) -> f64 {
        length.value() * f64::from(FALLBACK)
    }

    /// A key takes effect from here on.
    pub fn set_key(&mut self, field: &KeyField) {
        if let Some(alters) = field.alters {
            self.alters = alters;
        }
        if let Some(sign) = field.sign {
            let at = Voice::ticks(self.at);
            // At one place the last one counts.
            self.current.keys.pop_if(|key| key.0 >= at);
            self.current.keys.push((at, sign));
        }
        self.octave = field.octave.unwrap_or(self.octave);
        self.transpose = field.transpose.unwrap_or(self.transpose);
        self.percussion |= field.percussion;
    }

    pub fn set_meter(&mut self, meter: Option<Meter>) {
        self.meter = meter;
        self.current.meter = meter.or(self.current.meter);
    }

    pub fn set_tempo(&mut self, bpm: f64) {
        self.current.tempos.push((Voice::ticks(self.at), bpm));
    }

    /// A text in quotes: a chord symbol, unless it is an annotation or no chord.
    pub fn symbol(&mut self, text: &str) {
        if text.starts_with(['^', '_', '<', '>', '@']) {
            return;
        }
        let parsed = parse_symbol(text).ok().or_else(|| {
            // Some write the bass as a note: G/b.
            let (chord, bass) = text.rsplit_once('/')?;
            let bass: NoteName = bass.trim().parse().ok()?;
            Some(Some(chord.parse::<Chord>().ok()?.over(bass)))
        });
        if let Some(chord) = parsed {
            self.current.chords.push((Voice::ticks(self.at), chord));
        }
    }

    /// `(p:q:r`: the next `count` events last `normal / actual` of what is written.
    pub fn start_tuplet(&mut self, actual: u32, normal: Option<u32>, count: Option<u32>) {
        let compound = self.meter.is_some_and(|it| it.denominator >= 8 && it.numerator.is_multiple_of(3));
        let normal = normal.unwrap_or(match actual {
            2 | 4 | 8 => 3,
            3 | 6 => 2,
            _ if compound => 3,
            _ => 2,
        });
        let factor = Length::new(normal.into(), actual.into()).filter(|it| *it != Length::ZERO);
        self.tuplet = factor.map(|factor| (factor, count.unwrap_or(actual)));
    }

    /// `>` (`dots` > 0) or `<`: one of two notes takes from the other.
    ///
    /// `None` without a note before.
    pub fn break_rhythm(&mut self, dots: u32, longer_first: bool) -> Option<()> {
        let last = self.last?;
        let parts = 1u64 << dots.min(6);
        let (long, short) = (Length::new(2 * parts - 1, parts)?, Length::new(1, parts)?);
        let (first, second) = if longer_first { (long, short) } else { (short, long) };
        let length = last.length.times(first)?;
        self.at = last.at.plus(length)?;
        for tone in &mut self.current.tones[last.tones..] {
            tone.length = Voice::ticks(length);
        }
        self.last = Some(Last { length, ..last });
        self.broken = Some(second);
        Some(())
    }

    /// A note, a chord, or a rest without notes, `length` units long. `None` for lengths beyond counting.
    pub fn event(&mut self, notes: &[Written], length: Length) -> Option<()> {
        let mut length = length.times(self.unit)?;
        if let Some((factor, left)) = self.tuplet {
            length = length.times(factor)?;
            self.tuplet = (left > 1).then(|| (factor, left - 1));
        }
        if let Some(factor) = self.broken.take() {
            length = length.times(factor)?;
        }
        if !notes.is_empty() && self.overlay == 0 {
            self.line.1.push((self.measures.len(), Voice::ticks(self.at)));
        }
        let first = self.current.tones.len();
        let tied = self.tied.remove(&self.overlay).unwrap_or_default();
        for note in notes {
            let Some((pitch, alter_octave)) = self.pitch(note, &tied) else { continue };
            let stop = tied.iter().any(|it| it.0 == pitch);
            if note.tied {
                self.tied.entry(self.overlay).or_default().push((pitch, note.letter.index(), alter_octave));
            }
            self.current.tones.push(Tone {
                onset: Voice::ticks(self.at),
                length: Voice::ticks(length),
                pitch,
                velocity: VELOCITY,
                voice: self.overlay,
                stop,
                start: note.tied,
                unpitched: self.percussion,
            });
        }
        self.last = Some(Last { at: self.at, length, tones: first });
        self.at = self.at.plus(length)?;
        Some(())
    }

    /// A line of music begins.
    pub fn start_line(&mut self) {
        self.line = (self.measures.len(), Vec::new(), 0);
    }

    /// A line of words under the last line of music, each the next verse.
    pub fn sing(&mut self, words: &str) {
        self.line.2 += 1;
        let (mut bar, verse) = (self.line.0, self.line.2);
        let mut places = self.line.1.iter().peekable();
        for step in words::read(words) {
            match step {
                Step::Bar => {
                    bar += 1;
                    while places.next_if(|(at, _)| *at < bar).is_some() {}
                }
                Step::Note => _ = places.next(),
                Step::Syllable(text) => {
                    let Some(&(bar, at)) = places.next() else { return };
                    let measure = self.measures.get_mut(bar).unwrap_or(&mut self.current);
                    measure.lyrics.push((at, (verse, text)));
                }
            }
        }
    }

    /// `-` behind a chord, or apart from its note.
    pub fn tie_last(&mut self) {
        let Some(last) = self.last else { return };
        for tone in &mut self.current.tones[last.tones..] {
            tone.start = true;
            let tied = self.tied.entry(self.overlay).or_default();
            if !tied.iter().any(|it| it.0 == tone.pitch) {
                tied.push((tone.pitch, usize::MAX, 0));
            }
        }
    }

    /// The pitch that sounds, `None` outside MIDI's; and the octave it was written in.
    fn pitch(&mut self, note: &Written, tied: &[(u8, usize, i32)]) -> Option<(u8, i32)> {
        let letter = note.letter.index();
        let place = |octave| match self.reach {
            Reach::Letter => (letter, 0),
            _ => (letter, octave),
        };
        let key = place(note.octave);
        let alter = match note.accidental {
            Some(alter) => {
                if self.reach != Reach::Note {
                    self.said.insert(key, alter);
                }
                alter
            }
            None => {
                // What a tie brings over the bar line keeps its pitch.
                let held = tied.iter().find(|it| it.1 == letter && it.2 == note.octave);
                if let Some(held) = held {
                    return Some((held.0, note.octave));
                }
                self.said.get(&key).copied().unwrap_or(self.alters[letter])
            }
        };
        let natural = 60 + 12 * (note.octave + self.octave) + i32::from(note.letter.pitch_class());
        let pitch = natural + i32::from(alter) + self.transpose;
        Some((u8::try_from(pitch).ok().filter(|pitch| *pitch < 128)?, note.octave))
    }

    /// `&`: what follows sounds together with the bar so far.
    pub fn overlay(&mut self) {
        self.current.length = self.current.length.max(Voice::ticks(self.at));
        self.at = Length::ZERO;
        self.overlay += 1;
        (self.last, self.broken, self.tuplet) = (None, None, None);
    }

    /// Whether the bar has anything in it yet.
    pub fn has_content(&self) -> bool {
        self.overlay > 0 || self.at != Length::ZERO || !self.current.tones.is_empty()
    }

    /// Ends the bar.
    pub fn close(&mut self) {
        self.said.clear();
        (self.last, self.broken) = (None, None);
        if !self.has_content() {
            return;
        }
        self.current.length = self.current.length.max(Voice::ticks(self.at));
        self.current.percussion = self.percussion;
        self.measures.push(std::mem::take(&mut self.current));
        (self.at, self.overlay) = (Length::ZERO, 0);
    }

    /// A bar of rest.
    pub fn empty_bar(&mut self) {
        self.close();
        let quarters = self.meter.unwrap_or_default().beats_per_bar();
        self.current.length = quarters * f64::from(FALLBACK);
        self.current.percussion = self.percussion;
        self.measures.push(std::mem::take(&mut self.current));
    }
}
