//! [`Score`] to MusicXML 4.0, a part for each track, the score's bars in each.

use super::super::layout::{Clef, Event, Head, Part, QUARTER, Sheet, Sign, Syllable, Value, stroke};
use super::direction;
use super::xml::Xml;
use crate::{Result, Score};
use std::collections::BTreeSet;

const DOCTYPE: &str = "<!DOCTYPE score-partwise PUBLIC \"-//Recordare//DTD MusicXML 4.0 Partwise//EN\" \
                       \"http://www.musicxml.org/dtds/partwise.dtd\">";
/// MusicXML's note velocities are in hundredths of this.
pub(super) const FORTE: f64 = 90.0;
/// Voices are numbered over the staves of a part.
const VOICES: usize = 4;

/// Writes a score as an XML document.
///
/// Times are those of [`Sheet`]; velocities are kept as `dynamics` of the notes, chords stand over the first part,
/// lyrics under the notes they are sung on, drums are unpitched notes of General MIDI's sounds.
///
/// # Errors
/// [`Error::TooManyBars`](crate::Error), [`Error::Notation`](crate::Error) for music too long to write.
pub fn write(score: &Score) -> Result<String> {
    let sheet = Sheet::new(score)?;
    let mut xml = Xml::new(DOCTYPE);
    xml.element("score-partwise", &[("version", "4.0")], |xml| {
        xml.element("identification", &[], |xml| {
            xml.element("encoding", &[], |xml| {
                xml.text("software", "Partita");
                for element in ["accidental", "beam"] {
                    xml.empty("supports", &[("element", element), ("type", "yes")]);
                }
            });
        });
        xml.element("part-list", &[], |xml| {
            for (index, part) in sheet.parts.iter().enumerate() {
                list_part(xml, index, part);
            }
        });
        for (index, part) in sheet.parts.iter().enumerate() {
            xml.element("part", &[("id", &part_id(index))], |xml| write_part(xml, &sheet, index, part));
        }
    });
    Ok(xml.finish())
}

fn part_id(index: usize) -> String {
    format!("P{}", index + 1)
}

/// Of a pitched part, or of one sound of a drum part.
fn instrument_id(index: usize, pitch: Option<u8>) -> String {
    format!("P{}-I{}", index + 1, pitch.map_or(1, |pitch| usize::from(pitch) + 1))
}

fn list_part(xml: &mut Xml, index: usize, part: &Part) {
    xml.element("score-part", &[("id", &part_id(index))], |xml| {
        xml.text("part-name", &part.name);
        let sounds: Vec<(String, &str, Option<u8>)> = if part.drums {
            let events =
                part.staves.iter().flat_map(|staff| &staff.bars).flatten().flat_map(|bar| &bar.events);
            let used: BTreeSet<u8> = events.flat_map(|event| &event.heads).map(|head| head.pitch).collect();
            let named = used
                .into_iter()
                .map(|pitch| (instrument_id(index, Some(pitch)), stroke(pitch).name, Some(pitch)));
            named.collect()
        } else {
            vec![(instrument_id(index, None), part.name.as_str(), None)]
        };
        for (id, name, _) in &sounds {
            xml.element("score-instrument", &[("id", id)], |xml| xml.text("instrument-name", name));
        }
        for (id, _, pitch) in &sounds {
            xml.element("midi-instrument", &[("id", id)], |xml| {
                xml.number("midi-channel", part.channel + 1);
                xml.number("midi-program", u16::from(part.program) + 1);
                if let Some(pitch) = pitch {
                    xml.number("midi-unpitched", u16::from(*pitch) + 1);
                }
            });
        }
    });
}

fn write_part(xml: &mut Xml, sheet: &Sheet, index: usize, part: &Part) {
    let first = u32::from(!sheet.bars[0].cut);
    for (number, bar) in sheet.bars.iter().enumerate() {
        let name = (number as u32 + first).to_string();
        let mut attributes = vec![("number", name.as_str())];
        if bar.cut {
            attributes.push(("implicit", "yes"));
        }
        xml.element("measure", &attributes, |xml| {
            write_attributes(xml, sheet, part, number);
            // A syllable stands under one voice alone.
            let mut sung = BTreeSet::new();
            let marks = (index == 0).then(|| direction::Marks::of(sheet, number));
            for (staff_index, staff) in part.staves.iter().enumerate() {
                for (order, voice) in staff.bars[number].iter().enumerate() {
                    let first = staff_index == 0 && order == 0;
                    if !first {
                        xml.element("backup", &[], |xml| xml.number("duration", bar.length));
                    }
                    let place = Place {
                        part: index,
                        drums: part.drums,
                        voice: staff_index * VOICES + voice.voice + 1,
                        staff: (part.staves.len() > 1).then_some(staff_index + 1),
                    };
                    for event in &voice.events {
                        if let Some(marks) = marks.as_ref().filter(|_| first) {
                            marks.write(xml, event.at, event.length);
                        }
                        let whole = event.length == bar.length && !bar.cut;
                        let begins = event.heads.first().is_some_and(|head| !head.tied_from);
                        let lyric = part.lyric(number, event.at).filter(|_| begins && sung.insert(event.at));
                        write_event(xml, event, whole, &place, lyric);
                    }
                }
            }
            if number + 1 == sheet.bars.len() {
                xml.element("barline", &[("location", "right")], |xml| xml.text("bar-style", "light-heavy"));
            }
        });
    }
}

fn write_attributes(xml: &mut Xml, sheet: &Sheet, part: &Part, number: usize) {
    let bar = &sheet.bars[number];
    let key = sheet.key_sign(number).filter(|_| !part.drums);
    if number > 0 && key.is_none() && !bar.new_meter {
        return;
    }
    xml.element("attributes", &[], |xml| {
        if number == 0 {
            xml.number("divisions", QUARTER);
        }
        if let Some(key) = key {
            xml.element("key", &[], |xml| {
                xml.number("fifths", key.sharps);
                xml.text("mode", if key.minor { "minor" } else { "major" });
            });
        }
        if bar.new_meter {
            xml.element("time", &[], |xml| {
                xml.number("beats", bar.meter.numerator.max(1));
                xml.number("beat-type", bar.meter.denominator.max(1));
            });
        }
        if number > 0 {
            return;
        }
        if part.staves.len() > 1 {
            xml.number("staves", part.staves.len());
        }
        for (staff, it) in part.staves.iter().enumerate() {
            let number = (staff + 1).to_string();
            let attributes: &[_] = if part.staves.len() > 1 { &[("number", number.as_str())] } else { &[] };
            xml.element("clef", attributes, |xml| {
                let (sign, line) = match it.clef {
                    Clef::Treble | Clef::TrebleBelow => ("G", Some(2)),
                    Clef::Bass | Clef::BassBelow => ("F", Some(4)),
                    Clef::Percussion => ("percussion", None),
                };
                xml.text("sign", sign);
                if let Some(line) = line {
                    xml.number("line", line);
                }
                if matches!(it.clef, Clef::TrebleBelow | Clef::BassBelow) {
                    xml.number("clef-octave-change", -1);
                }
            });
        }
    });
}

/// Where notes are written.
struct Place {
    part: usize,
    drums: bool,
    voice: usize,
    staff: Option<usize>,
}

/// `whole`: it fills a whole bar.
fn write_event(xml: &mut Xml, event: &Event, whole: bool, place: &Place, lyric: Option<&Syllable>) {
    if event.is_rest() {
        xml.element("note", &[], |xml| {
            xml.empty("rest", if whole { &[("measure", "yes")] } else { &[] });
            xml.number("duration", event.length);
            xml.number("voice", place.voice);
            if !whole {
                write_value(xml, event, |_| ());
            }
            if let Some(staff) = place.staff {
                xml.number("staff", staff);
            }
            write_notations(xml, event, None);
        });
    }
    for (index, head) in event.heads.iter().enumerate() {
        let dynamics = format!("{:.2}", f64::from(head.velocity) * 100.0 / FORTE);
        xml.element("note", &[("dynamics", &dynamics)], |xml| {
            write_head(xml, event, index, head, place);
            if let Some(syllable) = lyric.filter(|_| index == 0) {
                write_lyric(xml, syllable);
            }
        });
    }
}

fn write_head(xml: &mut Xml, event: &Event, index: usize, head: &Head, place: &Place) {
    if index > 0 {
        xml.empty("chord", &[]);
    }
    if place.drums {
        let stroke = stroke(head.pitch);
        xml.element("unpitched", &[], |xml| {
            xml.number("display-step", stroke.step);
            xml.number("display-octave", stroke.octave);
        });
    } else {
        xml.element("pitch", &[], |xml| {
            xml.number("step", head.name.letter.as_char());
            if head.name.alter != 0 {
                xml.number("alter", head.name.alter);
            }
            // The schema has no octaves below 0, and nothing sounds there.
            xml.number("octave", head.octave.max(0));
        });
    }
    xml.number("duration", event.length);
    for (on, kind) in [(head.tied_from, "stop"), (head.tied_to, "start")] {
        if on {
            xml.empty("tie", &[("type", kind)]);
        }
    }
    if place.drums {
        xml.empty("instrument", &[("id", &instrument_id(place.part, Some(head.pitch)))]);
    }
    xml.number("voice", place.voice);
    write_value(xml, event, |xml| {
        if let Some(alter) = head.accidental {
            xml.text("accidental", accidental(alter));
        }
    });
    if place.drums {
        let sign = match stroke(head.pitch).sign {
            Sign::Normal => None,
            Sign::Cross => Some("x"),
            Sign::CircledCross => Some("circle-x"),
            Sign::Triangle => Some("triangle"),
            Sign::Diamond => Some("diamond"),
        };
        if let Some(sign) = sign {
            xml.text("notehead", sign);
        }
    }
    if let Some(staff) = place.staff {
        xml.number("staff", staff);
    }
    if index == 0 {
        for (level, beam) in event.beams.iter().enumerate() {
            let number = (level + 1).to_string();
            xml.text_with("beam", &[("number", &number)], direction::beam(*beam));
        }
    }
    write_notations(xml, event, Some((index, head)));
}

fn write_lyric(xml: &mut Xml, syllable: &Syllable) {
    xml.element("lyric", &[("number", "1")], |xml| {
        let syllabic = match (syllable.from, syllable.on) {
            (false, false) => "single",
            (false, true) => "begin",
            (true, true) => "middle",
            (true, false) => "end",
        };
        xml.text("syllabic", syllabic);
        xml.text("text", &syllable.text);
    });
}

/// Type, dots, what `between` writes, and the time of a tuplet.
fn write_value(xml: &mut Xml, event: &Event, between: impl FnOnce(&mut Xml)) {
    let Value { log, dots } = event.value;
    xml.text("type", value_name(log));
    for _ in 0..dots {
        xml.empty("dot", &[]);
    }
    between(xml);
    if let Some(tuplet) = event.tuplet {
        xml.element("time-modification", &[], |xml| {
            xml.number("actual-notes", tuplet.actual);
            xml.number("normal-notes", tuplet.normal);
            if tuplet.log != log || dots > 0 {
                xml.text("normal-type", value_name(tuplet.log));
            }
        });
    }
}

/// Ties and, at the first head of a chord or at a rest, the ends of a tuplet.
fn write_notations(xml: &mut Xml, event: &Event, head: Option<(usize, &Head)>) {
    let (from, to) = head.map_or((false, false), |(_, head)| (head.tied_from, head.tied_to));
    let tuplet = event.tuplet.filter(|_| head.is_none_or(|(index, _)| index == 0));
    // A tuplet of one note or rest would be one that starts and stops at once.
    let ends = tuplet.map_or((false, false), |tuplet| (tuplet.first, tuplet.last));
    if !(from || to || ends.0 || ends.1) {
        return;
    }
    xml.element("notations", &[], |xml| {
        for (on, kind) in [(from, "stop"), (to, "start")] {
            if on {
                xml.empty("tied", &[("type", kind)]);
            }
        }
        for (on, kind) in [(ends.1, "stop"), (ends.0, "start")] {
            if on {
                xml.empty("tuplet", &[("type", kind), ("number", "1")]);
            }
        }
    });
}

pub(super) const VALUES: [&str; 8] = ["breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th"];

fn value_name(log: i8) -> &'static str {
    VALUES[usize::try_from(log + 1).unwrap_or(0).min(VALUES.len() - 1)]
}

fn accidental(alter: i8) -> &'static str {
    match alter {
        ..=-2 => "flat-flat",
        -1 => "flat",
        0 => "natural",
        1 => "sharp",
        2.. => "double-sharp",
    }
}
