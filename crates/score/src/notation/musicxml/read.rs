//! MusicXML to [`Score`]: a track for each part, its repeats played.
//!
//! Ties are merged, grace and cue notes left out, transposing instruments sound. Repeat signs and endings are played as
//! they are heard; jumps by words (da capo, coda) are not followed. Layout and articulations are left out.

use super::super::assemble::{self, FALLBACK};
use super::document::{child, finite, parse, text, whole};
use super::measure::{self, State};
use crate::{Error, Ppq, Result, Score};
use roxmltree::Node;
use std::collections::BTreeMap;

/// The most parts of a score.
const MAX_PARTS: usize = 512;
/// The most measures of all parts together.
const MAX_MEASURES: usize = 400_000;

/// What the part list says of a part.
struct Listed {
    name: String,
    channel: Option<u8>,
    program: u8,
    sounds: BTreeMap<String, u8>,
}

/// A part with its measures in order.
struct Part<'a> {
    listed: Listed,
    measures: Vec<Node<'a, 'a>>,
}

/// Reads a document, partwise or timewise.
///
/// # Errors
/// [`Error::MusicXml`] for what is no such document, and for durations that nothing can last.
pub fn read(text: &str) -> Result<Score> {
    let document = parse(text)?;
    let parts = parts(document.root_element())?;
    let ppq = resolution(document.root_element());
    let mut read = Vec::with_capacity(parts.len());
    for Part { listed, measures } in parts {
        let mut state = State::new(f64::from(ppq.get()), &listed.sounds);
        let line = measures.into_iter().enumerate().map(|(index, node)| {
            measure::read(node, &mut state).map_err(|why| {
                let number = node.attribute("number").map(|it| it.chars().take(20).collect());
                let number: String = number.unwrap_or_else(|| (index + 1).to_string());
                Error::MusicXml(format!("measure {number}: {why}"))
            })
        });
        let line = line.collect::<Result<_>>()?;
        let Listed { name, channel, program, .. } = listed;
        read.push(assemble::Part { name, channel, program, lines: vec![line] });
    }
    assemble::score(&read, ppq)
}

/// The parts of either form, those of the list first.
fn parts<'a>(root: Node<'a, 'a>) -> Result<Vec<Part<'a>>> {
    let mut measures: BTreeMap<&str, Vec<Node<'a, 'a>>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let of = |node: Node<'a, 'a>, name: &'static str| node.children().filter(move |it| it.has_tag_name(name));
    let timewise = match root.tag_name().name() {
        "score-partwise" => false,
        "score-timewise" => true,
        other => {
            let got = other.chars().take(40).collect::<String>();
            return Err(Error::MusicXml(format!(
                "the document must be score-partwise or score-timewise, got {got:?}"
            )));
        }
    };
    for outer in of(root, if timewise { "measure" } else { "part" }) {
        for inner in of(outer, if timewise { "part" } else { "measure" }) {
            let id = if timewise { inner } else { outer }.attribute("id").unwrap_or("");
            let list = measures.entry(id).or_default();
            if list.is_empty() {
                order.push(id);
            }
            list.push(inner);
        }
    }
    let count: usize = measures.values().map(Vec::len).sum();
    if count > MAX_MEASURES {
        return Err(Error::MusicXml(format!(
            "a score must have at most {MAX_MEASURES} measures in all parts, got {count}"
        )));
    }
    if order.is_empty() || order.len() > MAX_PARTS {
        return Err(Error::MusicXml(format!("a score must have 1..={MAX_PARTS} parts, got {}", order.len())));
    }
    let list = child(root, "part-list");
    let entries: BTreeMap<&str, Node<'_, '_>> = list
        .iter()
        .flat_map(|list| of(*list, "score-part"))
        .filter_map(|entry| Some((entry.attribute("id")?, entry)))
        .collect();
    Ok(order
        .into_iter()
        .map(|id| Part {
            listed: listed(entries.get(id).copied()),
            measures: measures.remove(id).unwrap_or_default(),
        })
        .collect())
}

fn listed(entry: Option<Node<'_, '_>>) -> Listed {
    let mut listed = Listed { name: String::new(), channel: None, program: 0, sounds: BTreeMap::new() };
    let Some(entry) = entry else { return listed };
    listed.name = text(entry, "part-name").unwrap_or("").chars().take(256).collect();
    for (index, midi) in entry.children().filter(|it| it.has_tag_name("midi-instrument")).enumerate() {
        if index == 0 {
            listed.channel = whole(midi, "midi-channel", 1..=16).map(|channel| channel as u8 - 1);
            listed.program = whole(midi, "midi-program", 1..=128).map_or(0, |program| program as u8 - 1);
        }
        if let (Some(id), Some(sound)) = (midi.attribute("id"), whole(midi, "midi-unpitched", 1..=128)) {
            listed.sounds.insert(id.to_owned(), sound as u8 - 1);
        }
    }
    listed
}

/// Ticks in which every duration of the document is whole, if there are such.
fn resolution(root: Node<'_, '_>) -> Ppq {
    let all =
        root.descendants().filter(|it| it.has_tag_name("divisions")).filter_map(|it| finite(it.text()?));
    let mut common: u64 = 1;
    for divisions in all {
        let whole = divisions as u64;
        if divisions.fract() != 0.0 || !(1..=0x7fff).contains(&whole) {
            common = u64::MAX;
            break;
        }
        common = common / greatest(common, whole) * whole;
        if common > 0x7fff {
            break;
        }
    }
    let default = u64::from(Ppq::DEFAULT.get());
    let ticks = if default.is_multiple_of(common) { default } else { common };
    u16::try_from(ticks).ok().and_then(Ppq::new).or(Ppq::new(FALLBACK)).unwrap_or_default()
}

fn greatest(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
