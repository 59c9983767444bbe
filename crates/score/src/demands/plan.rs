//! Which melodies can still be completed: an exact table, computed backwards over the places where notes may begin.
//!
//! A *node* is such a place: a cell of the grid that is open and on which no kept note sounds, or the onset of a kept
//! note. What matters of a melody so far is its state at a node: the last pitch, how many notes began in this bar, which
//! required pitches are unmet, and whether the last note is *pending*, a foreign tone on a strong beat that was not
//! reached by step and so must be left by step. For each node and the rest of the state the table holds the set of last
//! pitches (bits of a `u128`) from which the piece can be completed. A node is passed over or takes a note `q`:
//!
//! ```text
//! F(node, count, unmet, pending) = F(node + 1, count, unmet, pending)             unless a kept note begins here
//!      ∪ within a leap of { q allowed here : q ∈ F(node + 1, count + 1, unmet \ q, whether q is pending) }
//! ```
//!
//! So one dilation of a bit set stands for all pairs of pitches. Counts stop at the largest number that makes a
//! difference. Memory: 16 bytes for each node, count, set of unmet pitches, and (licensed only) pending or not; more
//! than [`Plan::MOST_BYTES`] is refused.
//!
//! Where harmony matters and is not given, no new note is relied on for a strong beat: whatever chords come, the piece
//! can be completed. [`super::Walk`] allows such notes once it knows the chords, if they can be completed.

use super::{Contradiction, Demands, PitchSet, StrongBeats, contradiction, strong_cells};
use crate::Note;
use std::ops::Range;

/// What can still be met, for every point of a melody. Walk it with [`super::Walk`].
#[derive(Clone, Debug)]
pub struct Plan {
    demands: Demands,
    cells_per_bar: u32,
    pub(super) bars: Vec<BarPlan>,
    pub(super) nodes: Vec<Node>,
    /// Kept notes by onset.
    pub(super) locked: Vec<Note>,
    /// Where new notes may sound: rising, apart from each other.
    pub(super) open: Vec<Range<u32>>,
    /// Pitches by the required items they meet (bits); together all pitches.
    pub(super) classes: Vec<(u8, PitchSet)>,
    /// 1, or 2 where a note can be pending.
    pendings: usize,
    table: Vec<PitchSet>,
    /// For each node: whether the piece can be completed from there if no note came before.
    silence: Vec<bool>,
    /// Last pitches a piece may have.
    end: PitchSet,
}

/// One bar's nodes and counts.
#[derive(Clone, Debug)]
pub(super) struct BarPlan {
    pub nodes: Range<usize>,
    /// Fewest onsets.
    pub fewest: u32,
    /// The largest count that is told apart.
    cap: u32,
    /// Whether no more than `cap` notes may begin; else counts beyond it are all alike.
    bounded: bool,
    /// Of the bar's first state in the table.
    offset: usize,
}

impl BarPlan {
    /// The count after one more onset; `None` where there are enough.
    pub fn counted(&self, count: u32) -> Option<u32> {
        if count < self.cap { Some(count + 1) } else { (!self.bounded).then_some(count) }
    }

    fn counts(&self) -> usize {
        self.cap as usize + 1
    }
}

/// A place where a note may begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub cell: u32,
    /// The pitches of a note here but for the rule.
    pub allowed: PitchSet,
    pub rule: Rule,
    /// A kept note begins here.
    pub kept: bool,
    /// Any leap may lead here: between kept notes with nothing open between them.
    pub free_leap: bool,
}

/// What the harmony says to a note.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Nothing.
    Any,
    /// A strong beat whose chord is not known: no note can be relied on.
    Unknown,
    /// These are tones of the chord; others must be reached or left by step.
    Licensed(PitchSet),
}

/// The part of a state that picks a set of last pitches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ledger {
    pub count: u32,
    /// Bit by bit, in the order of [`Demands::required`].
    pub unmet: u8,
    pub pending: bool,
}

impl Plan {
    /// The largest table: 64 MiB.
    pub const MOST_BYTES: usize = 64 << 20;

    /// Plans a piece.
    ///
    /// # Errors
    /// [`Contradiction`]: a value outside its range, demands that no piece can meet (the smallest set of them, named),
    /// or more states than [`Plan::MOST_BYTES`] hold.
    pub fn new(demands: &Demands) -> Result<Plan, Contradiction> {
        let plan = Plan::build(demands)?;
        if plan.is_possible() { Ok(plan) } else { Err(contradiction::find(demands)) }
    }

    /// Whether there is a plan: [`Plan::new`] without the reason why not.
    pub fn exists(demands: &Demands) -> bool {
        Plan::build(demands).is_ok_and(|plan| plan.is_possible())
    }

    /// The plan without the question whether there is a melody at all.
    pub(super) fn build(demands: &Demands) -> Result<Plan, Contradiction> {
        demands.check()?;
        let locked = demands.locked_in_order();
        let open = merged(demands);
        let nodes = nodes(demands, &locked, &open);
        let bars = bars(demands, &nodes, &open);
        let last = demands.cadence.map(|tonic| super::Required::Class(tonic).pitches());
        let mut plan = Plan {
            demands: demands.clone(),
            cells_per_bar: demands.cells_per_bar(),
            bars,
            nodes,
            locked,
            open,
            classes: classes(demands),
            pendings: if demands.strong_beats == StrongBeats::Licensed { 2 } else { 1 },
            table: Vec::new(),
            silence: Vec::new(),
            end: last.unwrap_or(PitchSet::ALL),
        };
        plan.fill()?;
        Ok(plan)
    }

    pub fn demands(&self) -> &Demands {
        &self.demands
    }

    pub fn cells_per_bar(&self) -> u32 {
        self.cells_per_bar
    }

    /// Cells of the piece.
    pub fn cells(&self) -> u32 {
        self.demands.cells()
    }

    /// What the table takes.
    pub fn bytes(&self) -> usize {
        self.table.len() * size_of::<PitchSet>()
    }

    /// States told apart, each with its set of last pitches; at least the places where notes may begin.
    pub(super) fn states(&self) -> usize {
        self.table.len() + self.nodes.len()
    }

    /// Silence beside kept notes may be meant; a piece for which no pitch is left is not.
    pub(super) fn is_possible(&self) -> bool {
        let has_notes = !self.demands.locked.is_empty() || !self.demands.pitches().is_empty();
        has_notes && self.silence_from(0, 0)
    }

    /// All required items, unmet.
    pub(super) fn all_required(&self) -> u8 {
        ((1u16 << self.demands.required.len()) - 1) as u8
    }

    /// Which required items a pitch meets.
    pub(super) fn met_by(&self, pitch: u8) -> u8 {
        self.classes.iter().find(|(_, class)| class.contains(pitch)).map_or(0, |(met, _)| *met)
    }

    /// The first node at a cell or after it.
    pub(super) fn node_from(&self, cell: u32) -> usize {
        self.nodes.partition_point(|node| node.cell < cell)
    }

    /// The pitches at most a leap away.
    pub(super) fn leap(&self, from: PitchSet) -> PitchSet {
        match self.demands.max_leap {
            Some(leap) => from.dilate(leap),
            None if from.is_empty() => from,
            None => PitchSet::ALL,
        }
    }

    /// The pitches a step away: one or two semitones, less where leaps are smaller.
    pub(super) fn step(&self, from: PitchSet) -> PitchSet {
        from.steps(self.demands.max_leap.map_or(2, |leap| leap.min(2)))
    }

    /// The last pitches from which the piece can be completed, before `node` (or the end of its bar) in `bar`.
    pub(super) fn rest(&self, mut bar: usize, node: usize, mut at: Ledger) -> PitchSet {
        while let Some(plan) = self.bars.get(bar) {
            if node < plan.nodes.end {
                return self.table[self.index(plan, node, at)];
            }
            if at.count < plan.fewest {
                return PitchSet::EMPTY;
            }
            bar += 1;
            at.count = 0;
        }
        if at.unmet == 0 && !at.pending { self.end } else { PitchSet::EMPTY }
    }

    /// [`Plan::rest`] if no note came before.
    pub(super) fn silence_from(&self, mut bar: usize, node: usize) -> bool {
        while let Some(plan) = self.bars.get(bar) {
            if node < plan.nodes.end {
                return self.silence[node];
            }
            if plan.fewest > 0 {
                return false;
            }
            bar += 1;
        }
        self.demands.required.is_empty()
    }

    /// Notes that may begin at a node: those of the chord (or where no chord counts) and those that need a license.
    pub(super) fn split(node: &Node, pitches: PitchSet) -> (PitchSet, PitchSet) {
        match node.rule {
            Rule::Any => (pitches, PitchSet::EMPTY),
            Rule::Unknown => (PitchSet::EMPTY, PitchSet::EMPTY),
            Rule::Licensed(tones) => (pitches & tones, pitches & !tones),
        }
    }

    fn index(&self, bar: &BarPlan, node: usize, at: Ledger) -> usize {
        let counts = (node - bar.nodes.start) * bar.counts() + at.count as usize;
        let unmet = (counts << self.demands.required.len()) + usize::from(at.unmet);
        bar.offset + unmet * self.pendings + usize::from(at.pending)
    }

    fn fill(&mut self) -> Result<(), Contradiction> {
        let mut states = 0usize;
        for bar in &mut self.bars {
            bar.offset = states;
            states += ((bar.nodes.len() * bar.counts()) << self.demands.required.len()) * self.pendings;
        }
        let bytes = states * size_of::<PitchSet>();
        if bytes > Plan::MOST_BYTES {
            return Err(contradiction::too_large(&self.demands, bytes));
        }
        self.table = vec![PitchSet::EMPTY; states];
        self.silence = vec![false; self.nodes.len()];
        for bar in (0..self.bars.len()).rev() {
            let plan = self.bars[bar].clone();
            for node in plan.nodes.clone().rev() {
                for count in 0..=plan.cap {
                    for unmet in 0..=self.all_required() {
                        for pending in [false, true].into_iter().take(self.pendings) {
                            let at = Ledger { count, unmet, pending };
                            let set = self.before(bar, node, at);
                            let index = self.index(&plan, node, at);
                            self.table[index] = set;
                        }
                    }
                }
                self.silence[node] = self.silence_before(bar, node);
            }
        }
        Ok(())
    }

    /// The last pitches from which `node` can be passed.
    fn before(&self, bar: usize, node: usize, at: Ledger) -> PitchSet {
        let here = &self.nodes[node];
        let mut before = if here.kept { PitchSet::EMPTY } else { self.rest(bar, node + 1, at) };
        let Some(notes) = self.notes(bar, node, at) else { return before };
        if at.pending {
            return before | self.step(notes.settled | notes.by_step);
        }
        if here.free_leap && !notes.settled.is_empty() {
            return PitchSet::ALL;
        }
        before |= self.leap(notes.settled | notes.to_leave);
        before | self.step(notes.by_step)
    }

    fn silence_before(&self, bar: usize, node: usize) -> bool {
        let at = Ledger { count: 0, unmet: self.all_required(), pending: false };
        let passed = !self.nodes[node].kept && self.silence_from(bar, node + 1);
        let first =
            self.notes(bar, node, at).is_some_and(|notes| !(notes.settled | notes.to_leave).is_empty());
        passed || first
    }

    /// The notes that may begin at a node so that the piece can be completed; `None` if the bar has enough.
    pub(super) fn notes(&self, bar: usize, node: usize, at: Ledger) -> Option<Notes> {
        self.notes_under(bar, node, &self.nodes[node], at)
    }

    /// [`Plan::notes`] with `here` in the place of the node's own demands.
    pub(super) fn notes_under(&self, bar: usize, node: usize, here: &Node, at: Ledger) -> Option<Notes> {
        let count = self.bars[bar].counted(at.count)?;
        let mut notes = Notes::default();
        for (met, class) in &self.classes {
            let (tones, foreign) = Plan::split(here, here.allowed & *class);
            let unmet = at.unmet & !met;
            if !(tones | foreign).is_empty() {
                let settled = self.rest(bar, node + 1, Ledger { count, unmet, pending: false });
                notes.settled |= tones & settled;
                notes.by_step |= foreign & settled;
            }
            if !foreign.is_empty() {
                notes.to_leave |= foreign & self.rest(bar, node + 1, Ledger { count, unmet, pending: true });
            }
        }
        Some(notes)
    }
}

/// Notes that may begin somewhere, by what they need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    /// Nothing.
    pub settled: PitchSet,
    /// Foreign tones that must be reached by step.
    pub by_step: PitchSet,
    /// Foreign tones that are not, and will be left by step.
    pub to_leave: PitchSet,
}

/// The open stretches, rising, those that touch joined.
fn merged(demands: &Demands) -> Vec<Range<u32>> {
    if demands.open.is_empty() {
        let whole = 0..demands.cells();
        return vec![whole];
    }
    let mut open = demands.open.clone();
    open.retain(|it| !it.is_empty());
    open.sort_by_key(|it| it.start);
    let mut joined: Vec<Range<u32>> = Vec::new();
    for next in open {
        match joined.last_mut() {
            Some(last) if next.start <= last.end => last.end = last.end.max(next.end),
            _ => joined.push(next),
        }
    }
    joined
}

fn nodes(demands: &Demands, locked: &[Note], open: &[Range<u32>]) -> Vec<Node> {
    let bar = demands.cells_per_bar();
    let strong = strong_cells(demands.meter);
    let pitches = demands.pitches();
    let given = !demands.chords.is_empty();
    let rule = |cell: u32, kept: bool| {
        let counts = demands.strong_beats != StrongBeats::Free && strong.contains(&(cell % bar));
        match demands.chord_at(cell) {
            _ if !counts => (PitchSet::ALL, Rule::Any),
            // Chords that are made later are made around what is kept.
            _ if !given => (PitchSet::ALL, if kept { Rule::Any } else { Rule::Unknown }),
            None => (PitchSet::ALL, Rule::Any),
            Some(chord) => {
                let tones = PitchSet::of_classes(chord.pitch_classes());
                match demands.strong_beats {
                    StrongBeats::Strict => (tones, Rule::Any),
                    _ => (PitchSet::ALL, Rule::Licensed(tones)),
                }
            }
        }
    };
    let mut nodes = Vec::new();
    for stretch in open {
        for cell in stretch.clone().filter(|cell| demands.grid.has(cell % bar)) {
            let covered = locked.partition_point(|note| note.onset.0 <= cell);
            if covered > 0 && locked[covered - 1].end.0 > cell {
                continue;
            }
            let (tones, rule) = rule(cell, false);
            nodes.push(Node { cell, allowed: pitches & tones, rule, kept: false, free_leap: false });
        }
    }
    let stretch = |cell: u32| open.partition_point(|it| it.start <= cell).checked_sub(1).map(|at| &open[at]);
    let is_open = |cell: u32| stretch(cell).is_some_and(|it| it.contains(&cell));
    for (at, note) in locked.iter().enumerate() {
        let cell = note.onset.0;
        let (mut allowed, mut node_rule, mut free_leap) = (PitchSet::of(note.pitch), Rule::Any, false);
        if is_open(cell) {
            let (tones, rule) = rule(cell, true);
            node_rule = rule;
            allowed = allowed & pitches & tones;
            if !demands.grid.has(cell % bar) {
                allowed = PitchSet::EMPTY;
            }
        } else {
            let from = at.checked_sub(1).map(|before| locked[before].onset.0);
            let last_open = |before| stretch(before).map_or(0, |it| it.end);
            free_leap = from.is_some_and(|from| last_open(cell) <= from);
        }
        nodes.push(Node { cell, allowed, rule: node_rule, kept: true, free_leap });
    }
    nodes.sort_by_key(|node| node.cell);
    nodes
}

fn bars(demands: &Demands, nodes: &[Node], open: &[Range<u32>]) -> Vec<BarPlan> {
    let cells = demands.cells_per_bar();
    let bar = |bar: u32| {
        let (start, end) = (bar * cells, (bar + 1) * cells);
        let first = nodes.partition_point(|node| node.cell < start);
        let last = nodes.partition_point(|node| node.cell < end);
        let places = (last - first) as u32;
        let counts = open.iter().any(|it| it.start < end && it.end > start);
        let density = demands.density.clone().filter(|_| counts).unwrap_or(0..=u32::MAX);
        let (mut fewest, most) = (*density.start(), *density.end());
        if demands.cadence.is_some() && bar + 1 == demands.bars {
            fewest = fewest.max(1);
        }
        let bounded = most < places;
        let cap = if bounded { most } else { fewest.min(places) };
        BarPlan { nodes: first..last, fewest, cap, bounded, offset: 0 }
    };
    (0..demands.bars).map(bar).collect()
}

fn classes(demands: &Demands) -> Vec<(u8, PitchSet)> {
    let mut classes: Vec<(u8, PitchSet)> = vec![(0, PitchSet::ALL)];
    for (bit, required) in demands.required.iter().enumerate() {
        let meets = required.pitches();
        let split = |(met, set): (u8, PitchSet)| [(met, set & !meets), (met | 1 << bit, set & meets)];
        classes = classes.into_iter().flat_map(split).filter(|(_, set)| !set.is_empty()).collect();
    }
    classes
}
