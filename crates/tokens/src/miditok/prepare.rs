//! A file's music on the tokenizer's grid: what MidiTok calls preprocessing.
//!
//! ```text
//! signatures it knows -> ticks a quarter -> signatures at bar lines -> tracks of a program joined -> notes, tempos on the grid
//! ```
//! A piece is counted in positions of its finest denominator. Where it has several denominators, every stretch of one
//! has a grid of its own, which starts with the stretch.

use super::config::{Config, TimeSignature, Tokenization};
use super::read::{Note, Part, Piece};
use super::tables::Tables;
use super::{Error, Result};

/// A piece on the grid.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub ticks_per_quarter: i64,
    pub parts: Vec<Part>,
    /// Token ids by time.
    pub tempos: Vec<(i64, u32)>,
    /// The first is at 0.
    pub signatures: Vec<(i64, TimeSignature)>,
    pub sections: Sections,
    /// Last onset, control, tempo, signature or marker.
    pub last: i64,
}

/// Stretches of one denominator.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections(Vec<Section>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub start: i64,
    /// Ticks a beat.
    pub beat: i64,
    /// Ticks between onsets.
    step: i64,
}

/// Ticks a beat of a denominator.
pub(super) fn beat(denominator: u32, ticks_per_quarter: i64) -> i64 {
    ticks_per_quarter * 4 / i64::from(denominator.max(1))
}

/// Ticks a bar, at least 1.
pub(super) fn bar(signature: TimeSignature, ticks_per_quarter: i64) -> i64 {
    (beat(signature.denominator, ticks_per_quarter) * i64::from(signature.numerator)).max(1)
}

/// Moves a piece onto the grid.
///
/// # Errors
/// [`Error::Grid`] for a tokenizer whose grid has no tick for the piece's denominators.
pub(super) fn prepare(mut piece: Piece, config: &Config, tables: &Tables) -> Result<Prepared> {
    let mut signatures =
        if config.use_time_signatures { std::mem::take(&mut piece.signatures) } else { Vec::new() };
    let known = config.time_signatures();
    signatures.retain(|(_, signature)| known.contains(signature));
    if signatures.first().is_none_or(|(at, _)| *at != 0) {
        signatures.insert(0, (0, TimeSignature::COMMON));
    }
    let finest = signatures.iter().map(|(_, signature)| signature.denominator).max().unwrap_or(4);
    let quarter = tables.positions_per_beat * i64::from(finest);
    if quarter % 4 != 0 {
        return Err(Error::Grid(4, finest));
    }
    let ticks_per_quarter = quarter / 4;
    if i64::from(piece.ticks_per_quarter) != ticks_per_quarter {
        resample(&mut piece, &mut signatures, ticks_per_quarter);
    }
    if config.use_time_signatures {
        to_bar_lines(&mut signatures, ticks_per_quarter);
    }
    let sections = Sections::new(&signatures, ticks_per_quarter, tables.positions_per_beat);
    if config.one_stream() {
        join_programs(&mut piece.parts);
    }
    piece.parts.retain(|part| {
        !part.notes.is_empty() && (!config.use_programs || config.programs.contains(&part.token_program()))
    });
    for part in &mut piece.parts {
        notes(part, &sections, config, tables);
    }
    piece.parts.retain(|part| !part.notes.is_empty());
    let raw_tempo = piece.tempos.last().map_or(0, |(at, _)| *at);
    let tempos =
        if config.use_tempos { self::tempos(&piece.tempos, &sections, config, tables) } else { Vec::new() };
    let ends =
        piece.parts.iter().map(|part| part.notes.last().map_or(0, |note| note.time).max(part.last_control));
    let last = ends.max().unwrap_or(0).max(piece.last_mark);
    let last = last.max(tempos.last().map_or(raw_tempo, |(at, _)| *at));
    let last = last.max(signatures.last().map_or(0, |(at, _)| *at));
    Ok(Prepared { ticks_per_quarter, parts: piece.parts, tempos, signatures, sections, last })
}

/// Onsets and lengths round each by itself, half up; signatures are cut.
fn resample(piece: &mut Piece, signatures: &mut [(i64, TimeSignature)], ticks_per_quarter: i64) {
    let factor = ticks_per_quarter as f64 / f64::from(piece.ticks_per_quarter);
    let round = |time: i64| (factor * time as f64).round() as i64;
    for part in &mut piece.parts {
        for note in &mut part.notes {
            note.time = round(note.time);
            note.duration = round(note.duration).max(1);
        }
        part.last_control = round(part.last_control);
    }
    piece.tempos.iter_mut().for_each(|(at, _)| *at = round(*at));
    piece.last_mark = round(piece.last_mark);
    signatures.iter_mut().for_each(|(at, _)| *at = (*at as f64 * factor) as i64);
}

/// Signatures wait for the next bar line; what repeats the one before, or is replaced at once, goes.
fn to_bar_lines(signatures: &mut Vec<(i64, TimeSignature)>, ticks_per_quarter: i64) {
    let mut kept: Vec<(i64, TimeSignature)> = Vec::with_capacity(signatures.len());
    let Some(&(_, first)) = signatures.first() else { return };
    let mut length = bar(first, ticks_per_quarter);
    let mut previous = 0;
    for &(at, signature) in signatures.iter() {
        if let Some(&(_, last)) = kept.last()
            && last == signature
        {
            continue;
        }
        let at = at.max(kept.last().map_or(0, |(at, _)| *at));
        let bars = (at - previous + length - 1).div_euclid(length);
        let at = previous + bars * length;
        length = bar(signature, ticks_per_quarter);
        previous = at;
        if kept.last().is_some_and(|(before, _)| *before == at) {
            kept.pop();
            if let Some(&(before, last)) = kept.last()
                && last == signature
            {
                length = bar(last, ticks_per_quarter);
                previous = before;
                continue;
            }
        }
        kept.push((at, signature));
    }
    *signatures = kept;
}

impl Sections {
    fn new(signatures: &[(i64, TimeSignature)], ticks_per_quarter: i64, positions: i64) -> Sections {
        let mut sections: Vec<Section> = Vec::new();
        for &(start, TimeSignature { denominator, .. }) in signatures {
            let beat = beat(denominator, ticks_per_quarter);
            if sections.last().is_none_or(|last| last.beat != beat) {
                // A position of its own denominator; 1 for the finest the file had, which may be gone by now.
                sections.push(Section { start, beat, step: (beat / positions).max(1) });
            }
        }
        Sections(sections)
    }

    /// One grid for all.
    pub fn is_even(&self) -> bool {
        self.0.len() <= 1
    }

    /// The section of a time; `from` is where the last search left off.
    pub fn at(&self, time: i64, from: &mut usize) -> Section {
        if self.0.get(*from).is_some_and(|section| time < section.start) {
            *from = 0;
        }
        while self.0.get(*from + 1).is_some_and(|next| next.start <= time) {
            *from += 1;
        }
        self.0.get(*from).copied().unwrap_or(Section { start: 0, beat: 1, step: 1 })
    }

    pub fn first(&self) -> Section {
        self.at(i64::MIN, &mut 0)
    }

    /// Moves the onsets of a track to the grids of their sections.
    ///
    /// Where a section ends is found by halving, on from the end of the one before. MidiTok does so whether or not the
    /// onsets rise, so for unsorted notes (those it decodes from MIDI-Like) the place depends on the way of searching.
    fn snap_onsets(&self, notes: &mut [Note]) {
        let mut first = 0;
        for (index, &section) in self.0.iter().enumerate() {
            let (mut low, mut high) = (first, notes.len());
            let Some(end) = self.0.get(index + 1).map(|next| next.start) else {
                notes[first..].iter_mut().for_each(|note| note.time = Sections::snap(section, note.time));
                return;
            };
            while low < high {
                let middle = low + (high - low) / 2;
                if notes[middle].time < end {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            // The ends of all sections are found before any onset moves: an onset may move to an end, never over it.
            notes[first..low].iter_mut().for_each(|note| note.time = Sections::snap(section, note.time));
            first = low;
        }
    }

    /// The nearest step of a section's grid, half to even.
    fn snap(section: Section, time: i64) -> i64 {
        if section.step == 1 {
            return time;
        }
        let steps = (time - section.start) as f64 / section.step as f64;
        steps.round_ties_even() as i64 * section.step + section.start
    }
}

/// Tracks of one program become the first of them; what was joined is sorted.
fn join_programs(parts: &mut Vec<Part>) {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    let mut mixed = Vec::new();
    for mut part in parts.drain(..) {
        let program = part.token_program();
        match joined.iter().position(|own| own.token_program() == program) {
            Some(index) => {
                joined[index].notes.append(&mut part.notes);
                joined[index].last_control = joined[index].last_control.max(part.last_control);
                mixed.push(index);
            }
            None => joined.push(part),
        }
    }
    mixed.dedup();
    for index in mixed {
        joined[index].notes.sort_by_key(|note| (note.time, note.duration, note.pitch, note.velocity));
    }
    *parts = joined;
}

fn notes(part: &mut Part, sections: &Sections, config: &Config, tables: &Tables) {
    let drum = part.is_drum();
    let range = if drum && config.use_pitchdrum_tokens { config.drum_pitches() } else { config.pitches() };
    let lasts = tables.lasts(part.token_program());
    let on_off = config.tokenization == Tokenization::MidiLike;
    part.notes.retain(|note| range.contains(&note.pitch));
    for note in &mut part.notes {
        note.velocity = tables.velocities[usize::from(note.velocity & 127)];
    }
    if !sections.is_even() {
        if on_off && lasts {
            // Ends for now; both ends of a note are moved, not its length.
            part.notes.iter_mut().for_each(|note| note.duration += note.time);
        }
        sections.snap_onsets(&mut part.notes);
        if on_off && lasts {
            let mut from = 0;
            for note in &mut part.notes {
                let end = Sections::snap(sections.at(note.duration, &mut from), note.duration);
                let shortest = sections.at(note.time, &mut from).step;
                note.duration = if end > note.time { end - note.time } else { shortest };
            }
        }
    }
    if lasts && !on_off {
        let mut from = 0;
        let mut section = sections.first();
        let mut ruler = &tables.rulers(section.beat).durations;
        for note in &mut part.notes {
            let own = sections.at(note.time, &mut from);
            if own.beat != section.beat {
                section = own;
                ruler = &tables.rulers(section.beat).durations;
            }
            note.duration = ruler.ticks(ruler.nearest(note.duration));
        }
    }
    if config.remove_duplicated_notes {
        part.notes.sort_by_key(|note| (note.time, note.pitch, note.duration, note.velocity));
        part.notes.dedup_by_key(|note| (note.time, note.pitch));
    }
}

/// Tempo tokens: the nearest ones, the last of each tick, one at 0.
fn tempos(raw: &[(i64, u32)], sections: &Sections, config: &Config, tables: &Tables) -> Vec<(i64, u32)> {
    let table = &tables.tempos;
    if raw.is_empty() {
        return vec![(0, table.default_id)];
    }
    let mut from = 0;
    let mut changes: Vec<(i64, usize)> = Vec::with_capacity(raw.len());
    for &(at, tempo) in raw {
        let section = sections.at(at, &mut from);
        let at = if sections.is_even() { at } else { Sections::snap(section, at) };
        let tempo = table.nearest(tempo);
        match changes.last_mut() {
            Some(last) if last.0 == at => last.1 = tempo,
            _ => changes.push((at, tempo)),
        }
    }
    if config.delete_equal_successive_tempo_changes {
        changes.dedup_by_key(|(_, tempo)| *tempo);
    }
    let mut ids: Vec<(i64, u32)> = changes.iter().map(|&(at, tempo)| (at, table.id(tempo))).collect();
    if config.delete_equal_successive_tempo_changes && table.is_default(changes[0].1) {
        ids[0].0 = 0;
    } else if ids[0].0 != 0 {
        ids.insert(0, (0, table.default_id));
    }
    ids
}

/// Sorts a track's notes as symusic did until 0.5.6.
pub(super) fn sort_notes(notes: &mut [Note]) {
    notes.sort_by_key(|note| (note.time, note.pitch, note.duration, note.velocity));
}
