//! From a request to lead sheets: checking, prompts, grammars, and reading the tokens back.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use partita_nn::{Rng, Sampler};
use partita_score::demands::{Demands, Plan};
use partita_score::harmony::{Chord, Key, NoteName};
use partita_score::{Note, Tick};
use partita_tokens::song::{
    CHORD_GRID, ChordClass, Constraints, Excerpt, Hidden, LeadGrammar, MAX_CELLS_PER_BAR, PITCHES, Part,
    Piece, PieceNote, Prompt, Reader, Token, density_value, encode_bars, encode_prompt,
};

use super::request::{Given, Harmony, Request};
use super::{Error, Writer, promise};
use crate::stage::{Hear, Player, Sequence};

/// A finished lead sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    /// All bars, given ones too.
    pub piece: Piece,
    /// As chord symbols: where they begin, in cells, and what; in the words they were given in.
    pub chords: Vec<(u32, Option<Chord>)>,
    /// Notes that were given, at 12 ticks a quarter: with the velocities they had.
    pub kept: Vec<Note>,
    /// Which of the variations this is; also the stream of the seed.
    pub variation: usize,
    /// Negative log-likelihood of the new tokens under the unconstrained model, in nats.
    pub nats: f64,
    /// What the demands cost: minus the logarithm of the probability they left, in nats.
    pub cost: f64,
    /// Tokens the model read before the first new one, and the new ones, the end left out.
    pub prompt: Vec<u32>,
    pub ids: Vec<u32>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tokens written so far, of all variations.
    pub tokens: usize,
    /// Bars begun by the slowest variation, and how many each will have begun in the end.
    pub bars: u32,
    pub total_bars: u32,
}

/// Follows a request; `Break` stops it with [`Error::Cancelled`].
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// A request, checked and cut.
pub(super) struct Task {
    pub demands: Demands,
    pub given: Piece,
    pub open: Vec<Hidden>,
    /// Bars to be written or gone through, and whether holes are filled.
    bars: Range<u32>,
    fill: bool,
    chords: bool,
}

impl Task {
    /// Whether holes are filled.
    pub fn is_filled(&self) -> bool {
        self.fill
    }

    /// Bars that are written, in their order.
    pub fn written(&self) -> Vec<u32> {
        self.bars.clone().filter(|bar| !self.fill || self.open[*bar as usize].any()).collect()
    }
}

impl Writer {
    /// Writes `request.variations` lead sheets, side by side.
    ///
    /// # Errors
    /// A field out of its range, demands that contradict each other, [`Error::Cancelled`] when `watch` breaks.
    pub fn write(
        &self,
        player: &dyn Player,
        request: &Request,
        watch: &mut Watch,
    ) -> Result<Vec<Lead>, Error> {
        check(request)?;
        let task = task(request)?;
        let plan = Arc::new(Plan::new(&task.demands)?);
        let style = request.style.as_deref().map(|name| self.style(name)).transpose()?;
        let prompt = encode_prompt(&prompt(request, &task, style));
        let parts = vec![Part::Melody];
        let all = Excerpt {
            bars: 0..request.demands.bars,
            total: request.demands.bars,
            chords: task.chords,
            parts,
        };
        let mut given = Vec::new();
        if task.fill {
            given.extend(encode_bars(&task.given, &all, &task.open));
            given.push(Token::Perform.id());
        } else if task.bars.start > 0 {
            given.extend(encode_bars(&task.given, &Excerpt { bars: 0..task.bars.start, ..all.clone() }, &[]));
        }
        let grammar = LeadGrammar::new(Constraints {
            excerpt: Excerpt { bars: task.bars.clone(), ..all },
            open: task.open.clone(),
            fill: task.fill,
            given: task.given.clone(),
            plan,
            chord_tones: request.chord_tones,
            last_root: task.demands.cadence,
            chords_per_bar: request.chords_per_bar,
        });
        let sampler =
            Sampler::new(request.sampling.clone()).map_err(|e| Error::range("sampling", "valid", e))?;
        // Holes are filled with all that is given in view; a continuation may forget its oldest bars.
        let (fixed, earlier) = if task.fill {
            ([prompt.clone(), given.clone()].concat(), vec![])
        } else {
            (prompt.clone(), given.clone())
        };
        let sequences = (0..request.variations)
            .map(|variation| Sequence {
                prompt: fixed.clone(),
                given: earlier.clone(),
                grammar: Box::new(grammar.clone()),
                rng: Rng::new(request.seed, variation as u64),
                sampler: sampler.clone(),
            })
            .collect();
        let written = task.written();
        let mut listener = Listener::new(watch, request.variations, written.len() as u32);
        let played = player.decode(&self.network(), &[], sequences, &mut listener)?;
        let context = [prompt, given].concat();
        let lead = |(variation, played): (usize, crate::stage::Played)| {
            let mut reader = Reader::new(task.given.cells_per_bar(), written.iter().copied());
            played.ids.iter().for_each(|id| reader.read(*id));
            let piece = join(&task, &written, reader);
            let chords = name_chords(&piece, request);
            let (nats, cost) = (played.nats, played.cost);
            let (kept, prompt) = (task.demands.locked.clone(), context.clone());
            Lead { piece, chords, kept, variation, nats, cost, prompt, ids: played.ids }
        };
        Ok(played.into_iter().enumerate().map(lead).collect())
    }
}

impl Request {
    /// Whether it can be written at all: every field in its range, demands without a contradiction. What
    /// [`Writer::write`] would refuse before the first token, its style aside.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn check(&self) -> Result<(), Error> {
        check(self)?;
        Plan::new(&task(self)?.demands)?;
        Ok(())
    }
}

fn check(request: &Request) -> Result<(), Error> {
    let cells = partita_score::demands::cells_per_bar(request.demands.meter);
    if !(CHORD_GRID..=MAX_CELLS_PER_BAR).contains(&cells) {
        return Err(Error::range("time", "bars of 1/8 to 8/4", request.demands.meter));
    }
    let (low, high) = (*request.demands.range.start(), *request.demands.range.end());
    if !(PITCHES.contains(&low) && PITCHES.contains(&high)) {
        let allowed = format!("within {}-{}", PITCHES.start(), PITCHES.end());
        return Err(Error::range("range", allowed, format!("{low}-{high}")));
    }
    if let Some(note) = request.demands.locked.iter().find(|note| !PITCHES.contains(&note.pitch)) {
        let allowed = format!("of pitches in {}-{}", PITCHES.start(), PITCHES.end());
        return Err(Error::range("locked", allowed, note.pitch));
    }
    if !(1..=64).contains(&request.variations) {
        return Err(Error::range("variations", "in 1..=64", request.variations));
    }
    if !(1..=8).contains(&request.chords_per_bar) {
        return Err(Error::range("chords_per_bar", "in 1..=8", request.chords_per_bar));
    }
    if let Some(density) = request.density.filter(|density| !(0.0..=1.0).contains(density)) {
        return Err(Error::range("density", "in [0, 1]", density));
    }
    request.sampling.check().map_err(|error| match error {
        partita_nn::Error::Sampling { field, allowed, got } => {
            Error::range(field, format!("in {allowed}"), got)
        }
        other => Error::Model { name: "melody".into(), message: other.to_string() },
    })
}

/// Cuts a request, with chords where its demands need them.
pub(super) fn task(request: &Request) -> Result<Task, Error> {
    let mut task = cut(request)?;
    promise::settle(request, &mut task);
    Ok(task)
}

fn cut(request: &Request) -> Result<Task, Error> {
    let bars = request.demands.bars;
    let chords = request.harmony != Harmony::None;
    let mut demands = request.demands.clone();
    let written = Hidden { chords: request.harmony == Harmony::Written, parts: [true, false, false] };
    let empty = Piece {
        meter: demands.meter,
        bars,
        chords: demands.chords.iter().map(|(at, chord)| (*at, ChordClass::of(chord.as_ref()))).collect(),
        ..Piece::default()
    };
    let matches = |piece: &Piece, allowed: &dyn Fn(u32) -> bool, what: &str| {
        if piece.meter != request.demands.meter {
            return Err(Error::range(
                "time",
                format!("that of what is given, {}", piece.meter),
                request.demands.meter,
            ));
        }
        if allowed(piece.bars) { Ok(()) } else { Err(Error::range("bars", what, bars)) }
    };
    let length = empty.cells_per_bar();
    match &request.given {
        Given::Nothing => {
            let open = vec![written; bars as usize];
            Ok(Task { demands, given: empty, open, bars: 0..bars, fill: false, chords })
        }
        Given::Before(piece) => {
            matches(piece, &|own| own < bars, "more than are given")?;
            let start = piece.bars * length;
            demands.locked = piece.part(Part::Melody).iter().map(note).collect();
            demands.open = std::iter::once(start..bars * length).collect();
            let mut given = piece.clone();
            given.bars = bars;
            given.chords.extend(empty.chords.iter().filter(|(at, _)| *at >= start));
            Ok(Task {
                demands,
                given,
                open: vec![written; bars as usize],
                bars: piece.bars..bars,
                fill: false,
                chords,
            })
        }
        Given::Around { piece, open, pitches } => {
            matches(piece, &|own| own == bars, "as many as are given")?;
            if open.len() != bars as usize || !open.iter().any(|hidden| hidden.any()) {
                return Err(Error::range("region", "a part of what is given", "nothing"));
            }
            let anew = |note: &PieceNote| {
                open[(note.onset / length) as usize].parts[Part::Melody.index()]
                    && pitches.contains(&note.pitch)
            };
            let mut given = piece.clone();
            given.parts[Part::Melody.index()].retain(|note| !anew(note));
            demands.locked = given.part(Part::Melody).iter().map(note).collect();
            let melody_stays = !open.iter().any(|hidden| hidden.parts[Part::Melody.index()]);
            // Kept notes are nobody's business but the user's: where they sound, nothing is open.
            demands.open = stretches(open, length);
            for note in &demands.locked {
                demands.open = without(&demands.open, note.onset.0..note.end.0);
            }
            if melody_stays {
                // Only chords are written; the plan is followed by nothing.
                demands = Demands::new(demands.meter, bars, demands.tempo);
            }
            if open.iter().all(|hidden| !hidden.chords) {
                demands.chords = name_chords(&given, request);
            }
            let (low, high) =
                (*demands.range.start().max(pitches.start()), *demands.range.end().min(pitches.end()));
            if low > high {
                let (low, high) = (request.demands.range.start(), request.demands.range.end());
                let got = format!("{}-{}", pitches.start(), pitches.end());
                return Err(Error::range("pitches", format!("some of the range, {low}-{high}"), got));
            }
            demands.range = low..=high;
            Ok(Task { demands, given, open: open.clone(), bars: 0..bars, fill: true, chords })
        }
    }
}

fn note(note: &PieceNote) -> Note {
    Note { onset: Tick(note.onset), end: Tick(note.end), pitch: note.pitch, velocity: 80 }
}

/// Neighbouring bars whose melody is open, in cells.
fn stretches(open: &[Hidden], length: u32) -> Vec<Range<u32>> {
    let mut stretches: Vec<Range<u32>> = Vec::new();
    for (bar, hidden) in (0..).zip(open) {
        if hidden.parts[Part::Melody.index()] {
            let start = bar * length;
            match stretches.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end += length,
                None => stretches.push(start..start + length),
            }
        }
    }
    stretches
}

/// Stretches without one.
fn without(stretches: &[Range<u32>], taken: Range<u32>) -> Vec<Range<u32>> {
    let parts = |stretch: &Range<u32>| {
        let before = stretch.start..stretch.end.min(taken.start);
        let after = stretch.start.max(taken.end)..stretch.end;
        [before, after].into_iter().filter(|part| !part.is_empty())
    };
    stretches.iter().flat_map(parts).collect()
}

fn prompt(request: &Request, task: &Task, style: Option<u32>) -> Prompt {
    let demands = &request.demands;
    let asked = request.density.map(|density| density_value((density * 7.0).round() as u32));
    let quarters = demands.meter.beats_per_bar();
    let counted =
        demands.density.as_ref().map(|range| f64::from(range.start() + range.end()) / 2.0 / quarters);
    let (low, high) = (f64::from(*demands.range.start()), f64::from(*demands.range.end()));
    // A range of more than two octaves says little about where a melody lies.
    let register = (high - low <= 24.0).then_some((low + high) / 2.0);
    Prompt {
        fill: task.fill,
        key: request.key.map(|key| (key.tonic.pitch_class(), key.is_minor())),
        meter: Some(demands.meter),
        tempo: Some(demands.tempo),
        style,
        density: asked.or(counted),
        register,
        opening: true,
        no_chords: !task.chords,
    }
}

/// What was given and what was written, as one piece.
pub(super) fn join(task: &Task, written: &[u32], reader: Reader) -> Piece {
    let reader = reader.finish();
    let length = task.given.cells_per_bar();
    let mut piece = task.given.clone();
    let melody = Part::Melody.index();
    // Kept notes inside open bars were written again; they stay as they were given, also over the end of their bar.
    let locked = task.demands.locked.iter();
    let locked = locked.map(|note| PieceNote { onset: note.onset.0, end: note.end.0, pitch: note.pitch });
    piece.parts[melody].extend(locked);
    piece.parts[melody].sort();
    piece.parts[melody].dedup();
    let kept: Vec<u32> = piece.parts[melody].iter().map(|note| note.onset).collect();
    piece.parts[melody].extend(reader.parts[melody].iter().filter(|note| !kept.contains(&note.onset)));
    piece.parts[melody].sort();
    let told = |cell: u32| written.contains(&(cell / length)) && task.open[(cell / length) as usize].chords;
    piece.chords.retain(|(at, _)| !told(*at));
    let fresh = reader.chords.iter().filter(|(at, _)| told(*at));
    piece.chords.extend(fresh);
    piece.chords.sort();
    // The same chord at a bar line is told again to the model, not to people.
    piece.chords.dedup_by_key(|(_, class)| *class);
    piece
}

/// The chords of a piece as symbols: as they were given where that is what was played, else named in the key.
pub(super) fn name_chords(piece: &Piece, request: &Request) -> Vec<(u32, Option<Chord>)> {
    let signature = i32::from(request.key.map_or(0, Key::signature));
    let name = |class: u8| NoteName::in_window(class, signature - 5);
    let given = &request.demands.chords;
    let named = |&(at, class): &(u32, ChordClass)| {
        let before = given.partition_point(|(cell, _)| *cell <= at);
        let same = before.checked_sub(1).map(|index| &given[index].1);
        let same = same.filter(|chord| ChordClass::of(chord.as_ref()) == class);
        (at, same.cloned().unwrap_or_else(|| class.chord(name)))
    };
    if request.harmony == Harmony::Given && !given.is_empty() {
        return given.clone();
    }
    piece.chords.iter().map(named).collect()
}

struct Listener<'a, 'b> {
    watch: &'a mut Watch<'b>,
    begun: Vec<u32>,
    tokens: usize,
    total: u32,
}

impl<'a, 'b> Listener<'a, 'b> {
    fn new(watch: &'a mut Watch<'b>, variations: usize, total: u32) -> Listener<'a, 'b> {
        Listener { watch, begun: vec![0; variations], tokens: 0, total }
    }
}

impl Hear for Listener<'_, '_> {
    fn hear(&mut self, index: usize, id: u32) {
        self.tokens += 1;
        self.begun[index] += u32::from(matches!(Token::from_id(id), Some(Token::Bar(_))));
    }

    fn end(&mut self, index: usize) {
        self.begun[index] = self.total;
    }

    fn report(&mut self) -> Result<(), crate::stage::Error> {
        let bars = self.begun.iter().min().copied().unwrap_or(0);
        let progress = Progress { tokens: self.tokens, bars, total_bars: self.total };
        if (self.watch)(&progress).is_break() { Err(crate::stage::Error::Cancelled) } else { Ok(()) }
    }
}
