//! The notes of a track on its staves: hands, clefs, spelling, accidentals.

use super::quantize::{Cells, Placed};
use super::spelling::Speller;
use super::voices::{Chord as Sound, allot};
use super::{Bars, Clef, Event, Head, KeySign, Mark, Part, Staff, VoiceBar, beams, key_at, too_long, values};
use crate::harmony::{Chord, Key, NoteName};
use crate::{Result, Track};
use std::collections::BTreeMap;

/// Instruments of two hands: pianos, tuned percussion with keys, organs, harp.
const TWO_HANDS: [std::ops::RangeInclusive<u8>; 3] = [0..=8, 16..=20, 46..=46];
/// Below middle C is the left hand.
const MIDDLE: u8 = 60;

pub(super) fn part(
    track: &Track,
    notes: &[Placed],
    bars: &Bars,
    cells: &Cells,
    keys: &[Mark<KeySign>],
    chords: &[Mark<Option<Chord>>],
    budget: &mut usize,
) -> Result<Part> {
    let drums = track.is_drums();
    let mut writer = Writer { bars, cells, keys, chords, drums, budget };
    let lowest = notes.iter().map(|note| note.pitch).min().unwrap_or(MIDDLE);
    let highest = notes.iter().map(|note| note.pitch).max().unwrap_or(MIDDLE);
    let wide = lowest < 55 && highest > 64;
    let staves = if !drums && two_hands(track) && wide && sounds_together(notes) {
        let (right, left): (Vec<_>, Vec<_>) =
            notes.iter().copied().partition(|note: &Placed| note.pitch >= MIDDLE);
        vec![writer.staff(&right, Clef::Treble)?, writer.staff(&left, Clef::Bass)?]
    } else {
        let clef = clef(track, notes);
        vec![writer.staff(notes, clef)?]
    };
    let name = track.name.chars().filter(|letter| !letter.is_control()).collect();
    let (channel, program) = (track.channel & 15, track.program.min(127));
    Ok(Part { name, channel, program, drums, staves, lyrics: Vec::new() })
}

fn two_hands(track: &Track) -> bool {
    TWO_HANDS.iter().any(|range| range.contains(&track.program))
}

/// Whether several notes at once are usual, not the odd one in ten of a single voice that divides.
fn sounds_together(notes: &[Placed]) -> bool {
    let (mut end, mut together) = (0, 0);
    for note in notes {
        together += usize::from(note.onset < end);
        end = end.max(note.end);
    }
    together > 0 && together * 10 >= notes.len()
}

/// For a staff of its own.
fn clef(track: &Track, notes: &[Placed]) -> Clef {
    if track.is_drums() {
        return Clef::Percussion;
    }
    let sum: usize = notes.iter().map(|note| usize::from(note.pitch)).sum();
    let mean = sum / notes.len().max(1);
    match track.program {
        24..=31 if mean < 65 => Clef::TrebleBelow,
        32..=39 | 43 if mean < 50 => Clef::BassBelow,
        // Files often leave voices at a piano's program.
        0 | 52..=54 => clef_of_voice(notes),
        _ if notes.is_empty() || mean >= 57 => Clef::Treble,
        _ => Clef::Bass,
    }
}

/// A tenor, from below the treble staff to around middle C, is written an octave higher.
fn clef_of_voice(notes: &[Placed]) -> Clef {
    let mut pitches: Vec<u8> = notes.iter().map(|note| note.pitch).collect();
    pitches.sort_unstable();
    match pitches.get(pitches.len() / 2) {
        Some(..55) => Clef::Bass,
        Some(55..62) if pitches[0] < 55 => Clef::TrebleBelow,
        _ => Clef::Treble,
    }
}

struct Writer<'a> {
    bars: &'a Bars,
    cells: &'a Cells,
    keys: &'a [Mark<KeySign>],
    chords: &'a [Mark<Option<Chord>>],
    drums: bool,
    budget: &'a mut usize,
}

impl Writer<'_> {
    fn staff(&mut self, notes: &[Placed], clef: Clef) -> Result<Staff> {
        let lines = allot(notes, self.cells);
        let named: Vec<Vec<Vec<NoteName>>> = lines.iter().map(|line| self.spell(line)).collect();
        let mut next = vec![0; lines.len()];
        let mut bars = Vec::with_capacity(self.bars.list.len());
        for index in 0..self.bars.list.len() {
            let mut voices = Vec::new();
            for (voice, line) in lines.iter().enumerate() {
                let events = self.voice_bar(index, line, &named[voice], &mut next[voice])?;
                // Voices but the first are written where they have notes.
                if voice == 0 || events.iter().any(|event| !event.heads.is_empty()) {
                    voices.push(VoiceBar { voice, events });
                }
            }
            if lines.is_empty() {
                voices.push(VoiceBar { voice: 0, events: self.voice_bar(index, &[], &[], &mut 0)? });
            }
            if !self.drums {
                accidentals(&mut voices, key_at(self.keys, index));
            }
            bars.push(voices);
        }
        Ok(Staff { clef, bars })
    }

    /// Names for the notes of a voice.
    fn spell(&self, line: &[Sound]) -> Vec<Vec<NoteName>> {
        let mut speller = Speller::new(line);
        let (mut mark, mut tones): (usize, Vec<NoteName>) = (0, Vec::new());
        let place = |mark: &Mark<_>| self.bars.list[mark.bar].start + mark.at;
        for sound in line {
            while let Some(next) = self.chords.get(mark).filter(|next| place(next) <= sound.onset) {
                tones = next.what.as_ref().map_or(Vec::new(), Chord::tones);
                tones.retain(|name| (-1..=1).contains(&name.alter));
                mark += 1;
            }
            speller.next(key_at(self.keys, self.bars.at(sound.onset)), &tones);
        }
        speller.names
    }

    /// `next`: the first sound of the line that does not end before this bar.
    fn voice_bar(
        &mut self,
        index: usize,
        line: &[Sound],
        names: &[Vec<NoteName>],
        next: &mut usize,
    ) -> Result<Vec<Event>> {
        let bar = &self.bars.list[index];
        let (start, end) = (bar.start, bar.start + bar.length);
        while line.get(*next).is_some_and(|sound| sound.end <= start) {
            *next += 1;
        }
        let inside = line[*next..].iter().take_while(|sound| sound.onset < end);
        let spans: Vec<(u32, u32)> = inside
            .filter(|sound| sound.end > sound.onset)
            .map(|sound| (sound.onset.max(start) - start, sound.end.min(end) - start))
            .collect();
        // The rest of a whole bar stands for what the metre says, which a cut bar has not.
        if spans.is_empty() && !bar.cut {
            *self.budget = self.budget.checked_sub(1).ok_or_else(too_long)?;
            return Ok(vec![Event::rest(bar.length)]);
        }
        let pieces = values::write(&bar.metre, &spans);
        let beams = beams::beams(&bar.metre, &pieces);
        let heads = |piece: &values::Piece| {
            let Some(span) = piece.span else { return Vec::new() };
            let sound = &line[*next + span];
            let (tied_from, tied_to) =
                (start + piece.at > sound.onset, start + piece.at + piece.length < sound.end);
            let named = sound.notes.iter().zip(&names[*next + span]);
            let head = |(note, name): (&Placed, &NoteName)| Head {
                pitch: note.pitch,
                velocity: note.velocity,
                name: *name,
                octave: name.octave(note.pitch),
                accidental: None,
                tied_from,
                tied_to,
            };
            named.map(head).collect()
        };
        let mut events = Vec::with_capacity(pieces.len());
        for (piece, beams) in pieces.iter().zip(beams) {
            let heads = heads(piece);
            *self.budget = self.budget.checked_sub(1 + heads.len()).ok_or_else(too_long)?;
            let values::Piece { at, length, value, tuplet, .. } = *piece;
            events.push(Event { at, length, value, tuplet, heads, beams });
        }
        Ok(events)
    }
}

/// Decides which signs are printed in a bar: those that differ from what the key and the signs before them say.
fn accidentals(voices: &mut [VoiceBar], key: Key) {
    let signature = signature(key.signature());
    let mut said: BTreeMap<(usize, i32), i8> = BTreeMap::new();
    let mut order: Vec<(u32, usize, usize)> = Vec::new();
    for (voice, bar) in voices.iter().enumerate() {
        order.extend(bar.events.iter().enumerate().map(|(event, it)| (it.at, voice, event)));
    }
    order.sort_unstable();
    for (_, voice, event) in order {
        for head in voices[voice].events[event].heads.iter_mut().filter(|head| !head.tied_from) {
            let letter = head.name.letter.index();
            let known = said.get(&(letter, head.octave)).copied();
            let known = known.unwrap_or(signature[letter]);
            if known != head.name.alter {
                head.accidental = Some(head.name.alter);
                said.insert((letter, head.octave), head.name.alter);
            }
        }
    }
}

/// What a key signature does to each letter, by [`crate::harmony::Letter::index`]; `-7..=7` sharps.
pub(crate) fn signature(sharps: i8) -> [i8; 7] {
    let sharps = i32::from(sharps);
    crate::harmony::Letter::ALL.map(|letter| {
        // F C G D A E B are -1..=5 on the line of fifths.
        let place = letter.fifths() + 1;
        if place < sharps {
            1
        } else if 6 - place < -sharps {
            -1
        } else {
            0
        }
    })
}
