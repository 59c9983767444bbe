//! [`Score`] to one ABC tune: a voice for each staff, its further voices as overlays.
//!
//! Velocities are lost. Accidentals are written again for every octave of a letter that had one in the bar, and on notes
//! tied over the bar line, because programs disagree on how far they reach.

use super::super::layout::{Clef, Event, Head, KeySign, Mark, Part, Sheet, VoiceBar};
use super::super::layout::{QUARTER, signature};
use super::words;
use crate::harmony::Key;
use crate::{Result, Score};
use std::fmt::Write;

/// The unit note length, an eighth.
const UNIT: u32 = QUARTER / 2;
const BARS_A_LINE: usize = 4;

/// Writes a score as ABC.
///
/// # Errors
/// [`Error::TooManyBars`](crate::Error), [`Error::Notation`](crate::Error) for music too long to write.
pub fn write(score: &Score) -> Result<String> {
    let sheet = Sheet::new(score)?;
    let mut text = String::from("%abc-2.1\nX:1\nT:Untitled\n");
    let meter = sheet.bars[0].meter;
    _ = write!(text, "M:{meter}\nL:1/8\n");
    if let Some(first) = sheet.tempos.iter().find(|mark| (mark.bar, mark.at) == (0, 0)) {
        _ = writeln!(text, "Q:1/4={}", tempo(first.what));
    }
    let voices = voices(&sheet);
    _ = writeln!(text, "%%score {}", groups(&sheet));
    for (number, (part, staff)) in voices.iter().enumerate() {
        let clef = match part.staves[*staff].clef {
            Clef::Treble | Clef::TrebleBelow => "treble",
            Clef::Bass | Clef::BassBelow => "bass",
            Clef::Percussion => "perc",
        };
        let name = part.name.replace(['"', '\\', '%', ']'], "'");
        _ = writeln!(text, "V:{} clef={clef} name=\"{name}\"", number + 1);
    }
    _ = writeln!(text, "K:{}", sheet.key_sign(0).map_or("none".into(), name));
    for (number, (part, staff)) in voices.iter().enumerate() {
        _ = writeln!(text, "V:{}", number + 1);
        _ = writeln!(text, "%%MIDI channel {}\n%%MIDI program {}", part.channel + 1, part.program);
        let (mut words, mut sings) = (String::new(), false);
        for index in 0..sheet.bars.len() {
            let marks = if number == 0 { marks(&sheet, index) } else { Vec::new() };
            bar(&mut text, &sheet, index, &part.staves[*staff].bars[index], &marks);
            let last = index + 1 == sheet.bars.len();
            text.push_str(if last { " |]" } else { " |" });
            if *staff == 0 {
                sings |= sing(&mut words, part, index);
            }
            let ends = last || (index + 1) % BARS_A_LINE == 0;
            text.push(if ends { '\n' } else { ' ' });
            if ends && sings {
                _ = writeln!(text, "w: {}", words.trim_end_matches(['*', '|', ' ']));
            }
            if ends {
                (words, sings) = (String::new(), false);
            }
        }
    }
    Ok(text)
}

/// Writes what is sung in a bar, note for note; whether anything is.
fn sing(words: &mut String, part: &Part, bar: usize) -> bool {
    let notes = part.staves[0].bars[bar][0].events.iter().filter(|event| !event.is_rest());
    let mut sings = false;
    for event in notes {
        let begins = event.heads.first().is_some_and(|head| !head.tied_from);
        match part.lyric(bar, event.at).filter(|_| begins) {
            Some(syllable) => {
                words.push_str(&words::write(&syllable.text, syllable.on));
                sings = true;
            }
            None => words.push_str("* "),
        }
    }
    words.push_str("| ");
    sings
}

/// Each staff with its part.
fn voices(sheet: &Sheet) -> Vec<(&Part, usize)> {
    sheet.parts.iter().flat_map(|part| (0..part.staves.len()).map(move |staff| (part, staff))).collect()
}

/// Which voices are one instrument: `1 {2 3}`.
fn groups(sheet: &Sheet) -> String {
    let mut number = 0;
    let groups = sheet.parts.iter().map(|part| {
        let ids: Vec<String> = part
            .staves
            .iter()
            .map(|_| {
                number += 1;
                number.to_string()
            })
            .collect();
        if ids.len() > 1 { format!("{{{}}}", ids.join(" ")) } else { ids.concat() }
    });
    groups.collect::<Vec<_>>().join(" ")
}

/// Quarters a minute, whole where that is meant.
fn tempo(bpm: f64) -> f64 {
    (bpm * 1000.0).round() / 1000.0
}

fn name(key: KeySign) -> String {
    let tonic = Key::from_signature(key.sharps, key.minor).tonic;
    format!("{tonic}{}", if key.minor { "m" } else { "" })
}

/// Tempos and chords of a bar as text, by place; those of its start that the header says are not among them.
fn marks(sheet: &Sheet, bar: usize) -> Vec<(u32, String)> {
    let from = sheet.tempos.partition_point(|mark| mark.bar < bar);
    let tempos = sheet.tempos[from..].iter().take_while(|mark| mark.bar == bar);
    let tempos = tempos.filter(|mark| (mark.bar, mark.at) != (0, 0));
    let mut marks: Vec<(u32, String)> =
        tempos.map(|mark| (mark.at, format!("[Q:1/4={}]", tempo(mark.what)))).collect();
    let from = sheet.chords.partition_point(|mark| mark.bar < bar);
    let chords = sheet.chords[from..].iter().take_while(|mark| mark.bar == bar);
    marks.extend(chords.map(|mark: &Mark<_>| {
        let symbol = mark.what.as_ref().map_or("N.C.".into(), ToString::to_string);
        (mark.at, format!("\"{symbol}\""))
    }));
    marks.sort_by_key(|(at, _)| *at);
    marks
}

fn bar(text: &mut String, sheet: &Sheet, index: usize, voices: &[VoiceBar], marks: &[(u32, String)]) {
    let bar = &sheet.bars[index];
    if index > 0 && bar.new_meter {
        _ = write!(text, "[M:{}] ", bar.meter);
    }
    if let Some(key) = sheet.key_sign(index).filter(|_| index > 0) {
        _ = write!(text, "[K:{}] ", name(key));
    }
    let mut signs = Signs { key: signature(sheet.key_at(index).signature()), said: [false; 7] };
    let fits = |at: &u32| takes(&voices[0].events, *at);
    let (own, apart): (Vec<&(u32, String)>, Vec<_>) = marks.iter().partition(|(at, _)| fits(at));
    let mut overlays = 0;
    for voice in voices {
        // A tie goes on in the overlay of the same number, so that none may be left out.
        while overlays < voice.voice {
            overlays += 1;
            text.push_str(" & ");
            if overlays < voice.voice {
                _ = write!(text, "x{}", length(bar.length, 1, 1));
            }
        }
        let marks: &[_] = if voice.voice == 0 { &own } else { &[] };
        line(text, voice, &mut signs, marks);
    }
    if !apart.is_empty() {
        // Marks between the notes stand over rests that nobody sees.
        text.push_str(" & ");
        let mut at = 0;
        for (place, mark) in apart {
            if *place > at {
                _ = write!(text, "x{} ", length(place - at, 1, 1));
            }
            text.push_str(mark);
            at = *place;
        }
        _ = write!(text, "x{}", length(bar.length - at, 1, 1));
    }
}

/// Whether a mark can stand at a place among events: where one begins, or within a rest, which is written in parts.
fn takes(events: &[Event], at: u32) -> bool {
    let after = events.partition_point(|event| event.at <= at);
    let found = after.checked_sub(1).map(|index| &events[index]);
    found.is_some_and(|event| event.at == at || event.is_rest() && event.tuplet.is_none())
}

/// The accidentals of a bar.
struct Signs {
    key: [i8; 7],
    /// Letters that had a sign, in any octave.
    said: [bool; 7],
}

fn line(text: &mut String, voice: &VoiceBar, signs: &mut Signs, marks: &[&(u32, String)]) {
    for (index, event) in voice.events.iter().enumerate() {
        if index > 0 && !joined(&voice.events[index - 1], event) {
            text.push(' ');
        }
        let from = marks.partition_point(|(at, _)| *at < event.at);
        for (_, mark) in marks[from..].iter().take_while(|(at, _)| *at == event.at) {
            text.push_str(mark);
        }
        let (mut at, end) = (event.at, event.at + event.length);
        let (mut actual, mut normal) = (1, 1);
        if let Some(tuplet) = event.tuplet {
            (actual, normal) = (u32::from(tuplet.actual), u32::from(tuplet.normal));
            if tuplet.first {
                let rest = &voice.events[index..];
                let count = rest
                    .iter()
                    .position(|event| event.tuplet.is_some_and(|it| it.last))
                    .map_or(1, |it| it + 1);
                _ = write!(text, "({actual}:{normal}:{count}");
            }
        }
        match event.heads.as_slice() {
            [] => {
                let sign = if voice.voice == 0 { 'z' } else { 'x' };
                let from = marks.partition_point(|(place, _)| *place <= at);
                for (place, mark) in marks[from..].iter().take_while(|(place, _)| *place < end) {
                    if *place > at {
                        _ = write!(text, "{sign}{} ", length(place - at, 1, 1));
                        at = *place;
                    }
                    text.push_str(mark);
                }
                text.push(sign);
            }
            [head] => note(text, head, signs),
            heads => {
                text.push('[');
                for head in heads {
                    note(text, head, signs);
                    if head.tied_to {
                        text.push('-');
                    }
                }
                text.push(']');
            }
        }
        text.push_str(&length(end - at, actual, normal));
        if matches!(event.heads.as_slice(), [head] if head.tied_to) {
            text.push('-');
        }
    }
}

/// Notes of a beam stand together.
fn joined(before: &Event, event: &Event) -> bool {
    use super::super::layout::Beam;
    let goes_on = |beam: &Beam| matches!(beam, Beam::Continue | Beam::End);
    !before.beams.is_empty() && event.beams.first().is_some_and(goes_on)
}

fn note(text: &mut String, head: &Head, signs: &mut Signs) {
    let letter = head.name.letter.index();
    if head.name.alter != signs.key[letter] || signs.said[letter] {
        text.push_str(match head.name.alter {
            ..=-2 => "__",
            -1 => "_",
            0 => "=",
            1 => "^",
            2.. => "^^",
        });
        signs.said[letter] = true;
    }
    let name = head.name.letter.as_char();
    if head.octave >= 5 {
        text.push(name.to_ascii_lowercase());
        text.extend(std::iter::repeat_n('\'', (head.octave - 5) as usize));
    } else {
        text.push(name);
        text.extend(std::iter::repeat_n(',', (4 - head.octave) as usize));
    }
}

/// A length in units of an eighth, as it is written within a tuplet.
fn length(units: u32, actual: u32, normal: u32) -> String {
    let (mut above, mut below) = (units * actual, UNIT * normal);
    let (mut a, mut b) = (above, below);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    (above, below) = (above / a.max(1), below / a.max(1));
    match (above, below) {
        (1, 1) => String::new(),
        (_, 1) => above.to_string(),
        (1, _) => format!("/{below}"),
        _ => format!("{above}/{below}"),
    }
}
