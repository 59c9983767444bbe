//! What stands over the notes: tempos and chord symbols; and the words of MusicXML for them.

use super::super::layout::{Beam, Sheet};
use super::xml::Xml;
use crate::harmony::{Chord, DegreeOp, NoteName};

/// The tempos and chords of one bar.
pub(super) struct Marks<'a> {
    tempos: Vec<(u32, f64)>,
    chords: Vec<(u32, &'a Option<Chord>)>,
}

impl<'a> Marks<'a> {
    pub fn of(sheet: &'a Sheet, bar: usize) -> Marks<'a> {
        let from = sheet.tempos.partition_point(|mark| mark.bar < bar);
        let tempos = sheet.tempos[from..].iter().take_while(|mark| mark.bar == bar);
        let from = sheet.chords.partition_point(|mark| mark.bar < bar);
        let chords = sheet.chords[from..].iter().take_while(|mark| mark.bar == bar);
        Marks {
            tempos: tempos.map(|mark| (mark.at, mark.what)).collect(),
            chords: chords.map(|mark| (mark.at, &mark.what)).collect(),
        }
    }

    /// Those from `at` on, before the event that lasts for `length` from there.
    pub fn write(&self, xml: &mut Xml, at: u32, length: u32) {
        let here = |place: u32| (at..at + length).contains(&place);
        for &(place, bpm) in self.tempos.iter().filter(|(place, _)| here(*place)) {
            tempo(xml, place - at, bpm);
        }
        for &(place, chord) in self.chords.iter().filter(|(place, _)| here(*place)) {
            harmony(xml, place - at, chord.as_ref());
        }
    }
}

fn tempo(xml: &mut Xml, offset: u32, bpm: f64) {
    xml.element("direction", &[("placement", "above")], |xml| {
        xml.element("direction-type", &[], |xml| {
            xml.element("metronome", &[], |xml| {
                xml.text("beat-unit", "quarter");
                xml.number("per-minute", (bpm * 100.0).round() / 100.0);
            });
        });
        if offset > 0 {
            xml.text_with("offset", &[("sound", "yes")], &offset.to_string());
        }
        xml.empty("sound", &[("tempo", &bpm.to_string())]);
    });
}

fn harmony(xml: &mut Xml, offset: u32, chord: Option<&Chord>) {
    xml.element("harmony", &[], |xml| {
        let Some(chord) = chord else {
            // The schema wants a root for no chord too.
            xml.element("root", &[], |xml| xml.text_with("root-step", &[("text", "")], "C"));
            xml.text_with("kind", &[("text", "N.C.")], "none");
            if offset > 0 {
                xml.number("offset", offset);
            }
            return;
        };
        named(xml, ["root", "root-step", "root-alter"], chord.root);
        xml.text_with("kind", &[("text", chord.kind.symbol())], chord.kind.music_xml());
        if let Some(bass) = chord.bass {
            named(xml, ["bass", "bass-step", "bass-alter"], bass);
        }
        for degree in &chord.changes {
            xml.element("degree", &[], |xml| {
                xml.number("degree-value", degree.value);
                xml.number("degree-alter", degree.alter);
                xml.text("degree-type", degree_type(degree.op));
            });
        }
        if offset > 0 {
            xml.number("offset", offset);
        }
    });
}

fn named(xml: &mut Xml, [outer, step, alter]: [&'static str; 3], name: NoteName) {
    xml.element(outer, &[], |xml| {
        xml.number(step, name.letter.as_char());
        if name.alter != 0 {
            xml.number(alter, name.alter);
        }
    });
}

fn degree_type(op: DegreeOp) -> &'static str {
    match op {
        DegreeOp::Alter => "alter",
        DegreeOp::Add => "add",
        DegreeOp::Omit => "subtract",
    }
}

pub(super) fn beam(beam: Beam) -> &'static str {
    match beam {
        Beam::Begin => "begin",
        Beam::Continue => "continue",
        Beam::End => "end",
        Beam::ForwardHook => "forward hook",
        Beam::BackwardHook => "backward hook",
    }
}
