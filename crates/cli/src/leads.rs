//! The answer of a command that wrote lead sheets: files first, then what is told of them.

use std::fmt::Write;

use partita_models::melody::{Lead, Writer};
use partita_score::harmony::{Key, symbol};
use partita_score::{Score, notation};
use partita_tokens::song::{CELLS, Part};
use serde_json::{Value, json};

use crate::deliver::Delivery;
use crate::error::{Error, Result};
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};

/// All there is to tell.
pub struct Written<'a> {
    pub session: &'a Session,
    pub writer: &'a Writer,
    pub seed: u64,
    pub key: Option<Key>,
    pub leads: &'a [Lead],
    /// The bar of the piece, counted from 0, that the lead sheets begin with; the bars of the whole piece.
    pub first: u32,
    pub bars: u32,
    /// What was written to files, one a lead sheet.
    pub scores: &'a [Score],
    /// Bars written anew, counted from 1, where a command chose them.
    pub anew: Option<Vec<u32>>,
    pub command: CommandLine,
    pub delivery: Delivery,
    pub clock: Clock,
}

/// Gives the files their names and tells what they are.
///
/// # Errors
/// When a file cannot be named or nobody reads the answer.
pub fn finish(written: Written) -> Result<()> {
    let Written { session, writer, seed, key, leads, first, bars, scores, anew, .. } = written;
    let Written { command, delivery, mut clock, .. } = written;
    let (files, has_stdout) = delivery.summary();
    let names: Vec<Vec<String>> = (0..leads.len()).map(|index| delivery.names(index).to_vec()).collect();
    delivery.commit()?;
    clock.lap("write");
    let takes = leads.iter().zip(scores).zip(&names);
    let timing = clock.to_json();
    let mut object = json!({
        "command": command.to_string(),
        "seed": seed,
        "key": key.map(|key| key.to_string()),
        "tempo": report::round(scores[0].tempos.bpm_at(partita_score::Tick(0)), 3),
        "time": leads[0].piece.meter.to_string(),
        "bars": bars,
        "takes": takes.map(|((lead, score), files)| take(lead, score, files)).collect::<Result<Vec<_>>>()?,
        "files": files,
        "model": told(writer),
        "timing_ms": timing,
    });
    let seed = seed.to_string();
    let mut facts = vec![("seed", seed.as_str())];
    let mut listed = String::new();
    if let Some(bars) = anew {
        listed = bars.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        object["anew"] = json!(bars);
    }
    if !listed.is_empty() {
        listed.insert_str(0, "bars ");
        facts.push(("anew", &listed));
    }
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (index, lead) in leads.iter().enumerate() {
            if leads.len() > 1 {
                let _ = writeln!(text, "take {} of {}", index + 1, leads.len());
            }
            text += &sheet_from(lead, key, first);
        }
    }
    text += &report::ending(session, &files, &facts, &command);
    let written: usize = leads.iter().map(|lead| lead.ids.len()).sum();
    let (nats, cost) = leads.iter().fold((0.0, 0.0), |(n, c), lead| (n + lead.nats, c + lead.cost));
    session.remark(&format!(
        "{written} tokens, {nats:.1} nats, demands cost {cost:.1} nats, milliseconds {timing}"
    ));
    session.answer(&object, &text, has_stdout)
}

fn take(lead: &Lead, score: &Score, files: &[String]) -> Result<Value> {
    Ok(json!({
        "variation": lead.variation,
        "notes": notes(score)?,
        "nats": report::round(lead.nats, 3),
        "cost_nats": report::round(lead.cost, 3),
        "tokens": lead.ids.len(),
        "files": files,
    }))
}

/// Notes in beats, as in files that end in .json.
///
/// # Errors
/// None for scores of our own.
pub fn notes(score: &Score) -> Result<Value> {
    serde_json::from_str(&notation::notes::write(score))
        .map_err(|error| Error::failed(format!("notes: {error}")))
}

/// Which weights wrote.
pub fn told(writer: &Writer) -> Value {
    json!({ "family": writer.config.family, "sha256": writer.config.sha256 })
}

/// A line a bar: its chords, and its notes by name; a dot is half a beat that a note rings on, a dash one of silence.
pub fn sheet(lead: &Lead, key: Option<Key>) -> String {
    sheet_from(lead, key, 0)
}

/// As [`sheet`], of bars of a longer piece; `first` is counted from 0.
fn sheet_from(lead: &Lead, key: Option<Key>, first: u32) -> String {
    let piece = &lead.piece;
    let (length, half) = (piece.cells_per_bar(), CELLS / 2);
    let melody = piece.part(Part::Melody);
    let chord_of = |bar: u32| {
        let inside = lead.chords.iter().filter(|(cell, _)| cell / length == bar);
        inside.map(|(_, chord)| symbol(chord.as_ref())).collect::<Vec<_>>().join(" ")
    };
    let width = (0..piece.bars).map(|bar| chord_of(bar).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for bar in 0..piece.bars {
        let _ = write!(text, "{:>3} | {:width$} |", first + bar + 1, chord_of(bar));
        for slot in (bar * length..(bar + 1) * length).step_by(half as usize) {
            let inside = |cell: u32| (slot..slot + half).contains(&cell);
            let begun: Vec<_> = melody.iter().filter(|note| inside(note.onset)).collect();
            for note in &begun {
                let name = key.unwrap_or_default().spell(note.pitch);
                let _ = write!(text, " {name}{}", name.octave(note.pitch));
            }
            if begun.is_empty() {
                let rings = melody.iter().any(|note| note.onset < slot && note.end > slot);
                text += if rings { " ." } else { " -" };
            }
        }
        text.push('\n');
    }
    text
}
