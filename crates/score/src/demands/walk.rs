//! Going through a piece note by note, always within what can still be completed.
//!
//! Why a walk never gets stuck: its state is always one from which the plan can complete the piece, at the start because
//! there is a plan, after each event because only such events are allowed. That the piece can be completed means that
//! from here either a note may begin at some later place of the bar, or nothing more has to come in it. Then the note is
//! offered, or the end of the bar is; or, where what sounds must end before, the rest, which changes nothing of the
//! state but the place. Chords that are told only add notes, on beats that the plan had left out.

use super::plan::{Ledger, Node, Rule};
use super::{PitchSet, Plan, StrongBeats, names};
use crate::harmony::Chord;
use std::sync::Arc;

/// A point in a piece that is being made.
///
/// Time goes forward by events: a note begins ([`Walk::onset`]), the note that sounds ends in a rest ([`Walk::rest`]), a
/// bar ends ([`Walk::next_bar`]). A note sounds until the next note or rest, over bar lines too, and at the end of the
/// piece until there. Kept notes are events like others: [`Walk::onsets`] at their onset is their pitch alone, nothing
/// can be asked for beyond it, and where they end a note or a rest must come; [`Walk::forced`] names what must come.
///
/// From [`Walk::start`] of a plan on, some event is always possible until [`Walk::is_done`], and the finished melody
/// meets every demand: each event is allowed only if the piece can be completed after it.
#[derive(Clone, Debug)]
pub struct Walk {
    plan: Arc<Plan>,
    /// The earliest cell of the next event.
    cell: u32,
    bar: u32,
    last: Option<u8>,
    at: Ledger,
    onsets_in_bar: u32,
    sounding: Option<Sounding>,
    /// Chords told so far, as pitches: from which cell on. `None` is no chord.
    chords: Vec<(u32, Option<PitchSet>)>,
    /// Bars whose chords were told, bit by bit.
    told: u64,
}

/// The note that sounds.
#[derive(Clone, Copy, Debug)]
struct Sounding {
    /// By here the next note or a rest must come.
    until: u32,
    /// It must come just here: the note is kept.
    kept: bool,
}

/// What can come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A note begins; one that sounds ends.
    Onset { cell: u32, pitch: u8 },
    /// The note that sounds ends.
    Rest { cell: u32 },
    /// The bar is over.
    NextBar,
}

/// An event that is not allowed, or chords that come at the wrong time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misstep(String);

impl Walk {
    /// At the start of the piece.
    pub fn start(plan: &Arc<Plan>) -> Walk {
        Walk {
            plan: Arc::clone(plan),
            cell: 0,
            bar: 0,
            last: None,
            at: Ledger { count: 0, unmet: plan.all_required(), pending: false },
            onsets_in_bar: 0,
            sounding: None,
            chords: Vec::new(),
            told: 0,
        }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The earliest cell at which the next event may come.
    pub fn cell(&self) -> u32 {
        self.cell
    }

    /// From 0; the number of bars when done.
    pub fn bar(&self) -> u32 {
        self.bar
    }

    /// The pitch of the last note.
    pub fn last(&self) -> Option<u8> {
        self.last
    }

    /// Whether a note sounds.
    pub fn is_sounding(&self) -> bool {
        self.sounding.is_some()
    }

    pub fn onsets_in_bar(&self) -> u32 {
        self.onsets_in_bar
    }

    /// Which of the required items have not sounded, bit by bit in their order.
    pub fn unmet(&self) -> u8 {
        self.at.unmet
    }

    /// Whether the last note is a foreign tone on a strong beat that must be left by step.
    pub fn is_pending(&self) -> bool {
        self.at.pending
    }

    /// Whether the piece is complete.
    pub fn is_done(&self) -> bool {
        self.bar as usize >= self.plan.bars.len()
    }

    /// Tells the chords of a bar, where the plan was given none; the chord before it goes on until the first of them, so
    /// an empty list means that nothing changes. Until a bar's chords are told, no note may begin on its strong beats
    /// (with [`StrongBeats::Free`] that does not matter, and need not be called).
    ///
    /// # Errors
    /// [`Misstep`] where the harmony was given with the demands, for bars that are past or told already or come before
    /// one that was, and for cells outside the bar or not rising.
    pub fn set_chords(&mut self, bar: u32, chords: &[(u32, Option<Chord>)]) -> Result<(), Misstep> {
        if !self.plan.demands().chords.is_empty() {
            return Err(Misstep("chords must not be told where the harmony is given".to_owned()));
        }
        let bars = self.plan.bars.len() as u32;
        if bar < self.bar || bar >= bars || self.told >> bar != 0 {
            let allowed = format!("{}..{bars} and come in order", self.bar);
            return Err(Misstep(format!("bar of chords must be in {allowed}, got {bar}")));
        }
        let start = bar * self.plan.cells_per_bar();
        let mut from = start;
        for (cell, _) in chords {
            if !(from..start + self.plan.cells_per_bar()).contains(cell) {
                let allowed = format!("in {from}..{}", start + self.plan.cells_per_bar());
                return Err(Misstep(format!("cell of a chord must be {allowed}, got {cell}")));
            }
            from = cell + 1;
        }
        let tones = |chord: &Chord| PitchSet::of_classes(chord.pitch_classes());
        self.chords.extend(chords.iter().map(|(cell, chord)| (*cell, chord.as_ref().map(tones))));
        self.told |= 1 << bar;
        Ok(())
    }

    /// The pitches with which a note may begin at a cell so that the piece can be completed. Empty for cells that are
    /// past, or that can't be reached without an event before: a kept note begins or ends, what sounds must end, or a
    /// bar must have more notes.
    pub fn onsets(&self, cell: u32) -> PitchSet {
        self.begin(cell).map_or(PitchSet::EMPTY, |begin| begin.all())
    }

    /// The cells of a bar at which some note may begin next.
    pub fn onset_cells(&self, bar: u32) -> Vec<u32> {
        let nodes = self.plan.bars.get(bar as usize).map_or(0..0, |bar| bar.nodes.clone());
        let cells = nodes.map(|node| self.plan.nodes[node].cell);
        cells.filter(|cell| !self.onsets(*cell).is_empty()).collect()
    }

    /// Whether the note that sounds may end in a rest at this cell.
    pub fn may_rest(&self, cell: u32) -> bool {
        let Some((bar, count)) = self.ahead(cell).filter(|_| self.sounding.is_some()) else { return false };
        // The rest takes the cell: what begins, begins later.
        !self.is_kept_between(cell, cell + 1)
            && self.can_go_on(bar, self.plan.node_from(cell + 1), Ledger { count, ..self.at })
    }

    /// Whether the bar may end here: nothing more has to come in it.
    pub fn may_end_bar(&self) -> bool {
        let Some(plan) = self.plan.bars.get(self.bar as usize) else { return false };
        let end = self.bar_end();
        !self.is_kept_between(self.cell, end)
            && self.sounding.is_none_or(|sounding| sounding.until >= end)
            && self.at.count >= plan.fewest
            && self.can_go_on(self.bar as usize + 1, plan.nodes.end, Ledger { count: 0, ..self.at })
    }

    /// By which cell the note that sounds must have ended at the latest; just there for kept notes.
    pub fn hold_limit(&self) -> Option<u32> {
        self.sounding.map(|sounding| sounding.until)
    }

    /// Whether the note that sounds may be held up to this cell, whatever comes there; false without one.
    pub fn may_hold_until(&self, cell: u32) -> bool {
        self.sounding.is_some_and(|sounding| cell <= sounding.until) && cell >= self.cell
    }

    /// Begins a note.
    ///
    /// # Errors
    /// [`Misstep`] unless [`Walk::onsets`] has it; nothing is changed then.
    pub fn onset(&mut self, cell: u32, pitch: u8) -> Result<(), Misstep> {
        let begin = self.begin(cell).filter(|begin| begin.all().contains(pitch));
        let Some(begin) = begin else {
            let (note, bar) = (names::pitch(pitch), self.plan.cells_per_bar());
            return Err(Misstep(format!("{note} may not begin at {}", names::place(cell, bar))));
        };
        self.enter(begin.bar as u32);
        let counted = self.plan.bars[begin.bar].counted(begin.count);
        self.at.count = counted.expect("a bar with enough notes allows no onset");
        self.at.unmet &= !self.plan.met_by(pitch);
        self.at.pending = !begin.settled.contains(pitch);
        self.last = Some(pitch);
        self.onsets_in_bar += 1;
        self.sounding = Some(self.sound(cell));
        self.cell = cell + 1;
        Ok(())
    }

    /// Ends the note that sounds.
    ///
    /// # Errors
    /// [`Misstep`] unless [`Walk::may_rest`]; nothing is changed then.
    pub fn rest(&mut self, cell: u32) -> Result<(), Misstep> {
        let ahead = self.ahead(cell).filter(|_| self.may_rest(cell));
        let Some((bar, count)) = ahead else {
            let place = names::place(cell, self.plan.cells_per_bar());
            return Err(Misstep(format!("no rest may begin at {place}")));
        };
        self.enter(bar as u32);
        self.at.count = count;
        self.sounding = None;
        self.cell = cell + 1;
        Ok(())
    }

    /// Ends the bar; after the last the piece is done.
    ///
    /// # Errors
    /// [`Misstep`] unless [`Walk::may_end_bar`]; nothing is changed then.
    pub fn next_bar(&mut self) -> Result<(), Misstep> {
        if !self.may_end_bar() {
            return Err(Misstep(format!("bar {} may not end yet", self.bar + 1)));
        }
        self.enter(self.bar + 1);
        self.at.count = 0;
        self.cell = self.cell.max(self.bar * self.plan.cells_per_bar());
        Ok(())
    }

    /// Takes any step.
    ///
    /// # Errors
    /// [`Misstep`] where it is not allowed.
    pub fn take(&mut self, step: Step) -> Result<(), Misstep> {
        match step {
            Step::Onset { cell, pitch } => self.onset(cell, pitch),
            Step::Rest { cell } => self.rest(cell),
            Step::NextBar => self.next_bar(),
        }
    }

    /// All that can come next in this bar: notes by cell and pitch, rests by cell, the end of the bar. Never empty
    /// before the end.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        let nodes = self.plan.bars.get(self.bar as usize).map_or(0..0, |bar| bar.nodes.clone());
        let onsets = nodes.flat_map(|node| {
            let cell = self.plan.nodes[node].cell;
            self.onsets(cell).iter().map(move |pitch| Step::Onset { cell, pitch })
        });
        let rests = (self.cell..self.bar_end()).filter(|cell| self.may_rest(*cell));
        let rests = rests.map(|cell| Step::Rest { cell });
        onsets.chain(rests).chain(self.may_end_bar().then_some(Step::NextBar))
    }

    /// The next step where only one is possible, as within what is kept.
    pub fn forced(&self) -> Option<Step> {
        let mut steps = self.steps();
        let only = steps.next()?;
        steps.next().is_none().then_some(only)
    }

    fn bar_end(&self) -> u32 {
        (self.bar + 1) * self.plan.cells_per_bar()
    }

    fn enter(&mut self, bar: u32) {
        if bar != self.bar {
            (self.bar, self.onsets_in_bar) = (bar, 0);
        }
    }

    fn is_kept_between(&self, from: u32, to: u32) -> bool {
        let next = self.plan.locked.partition_point(|note| note.onset.0 < from);
        self.plan.locked.get(next).is_some_and(|note| note.onset.0 < to)
    }

    /// The bar of a cell, and the notes counted in it so far, if nothing must come before that cell.
    fn ahead(&self, cell: u32) -> Option<(usize, u32)> {
        let within = (self.cell..self.plan.cells()).contains(&cell);
        if !within || self.is_done() || self.is_kept_between(self.cell, cell) {
            return None;
        }
        if let Some(Sounding { until, kept }) = self.sounding
            && (cell > until || kept && cell < until)
        {
            return None;
        }
        let (target, mut bar, mut count) =
            ((cell / self.plan.cells_per_bar()) as usize, self.bar as usize, self.at.count);
        while bar < target {
            if count < self.plan.bars[bar].fewest {
                return None;
            }
            (bar, count) = (bar + 1, 0);
        }
        Some((bar, count))
    }

    /// Whether the piece can be completed before this node with the last note as it is.
    fn can_go_on(&self, bar: usize, node: usize, at: Ledger) -> bool {
        match self.last {
            Some(last) => self.plan.rest(bar, node, at).contains(last),
            None => self.plan.silence_from(bar, node),
        }
    }

    /// The notes that may begin at a cell.
    fn begin(&self, cell: u32) -> Option<Begin> {
        let (bar, count) = self.ahead(cell)?;
        let node = self.plan.node_from(cell);
        let mut here = *self.plan.nodes.get(node).filter(|node| node.cell == cell)?;
        if let Rule::Unknown = here.rule {
            self.tell(&mut here);
        }
        let notes = self.plan.notes_under(bar, node, &here, Ledger { count, ..self.at })?;
        let (mut settled, mut to_leave) = (notes.settled, notes.to_leave);
        if let Some(last) = self.last {
            let last = PitchSet::of(last);
            let (leap, step) = (self.plan.leap(last), self.plan.step(last));
            let near = if here.free_leap { PitchSet::ALL } else { leap };
            let near = if self.at.pending { step } else { near };
            settled = settled & near | notes.by_step & step;
            to_leave = to_leave & near & !step;
        }
        Some(Begin { bar, count, settled, to_leave })
    }

    /// Puts the chord that was told into a strong beat's node.
    fn tell(&self, node: &mut Node) {
        if self.told >> (node.cell / self.plan.cells_per_bar()) & 1 == 0 {
            return;
        }
        let after = self.chords.partition_point(|(at, _)| *at <= node.cell);
        let chord = after.checked_sub(1).and_then(|at| self.chords[at].1);
        node.rule = match (chord, self.plan.demands().strong_beats) {
            (Some(tones), StrongBeats::Licensed) => Rule::Licensed(tones),
            _ => Rule::Any,
        };
        if let (Some(tones), StrongBeats::Strict) = (chord, self.plan.demands().strong_beats) {
            node.allowed = node.allowed & tones;
        }
    }

    /// How long the note that begins here may sound.
    fn sound(&self, cell: u32) -> Sounding {
        let next = self.plan.locked.partition_point(|note| note.onset.0 <= cell);
        if let Some(kept) = next.checked_sub(1).map(|at| self.plan.locked[at]).filter(|it| it.onset.0 == cell)
        {
            return Sounding { until: kept.end.0, kept: true };
        }
        let open = self.plan.open.iter().find(|open| open.contains(&cell));
        let close = open.map_or(cell + 1, |open| open.end);
        let until = self.plan.locked.get(next).map_or(close, |note| close.min(note.onset.0));
        Sounding { until, kept: false }
    }
}

/// Notes that may begin.
struct Begin {
    bar: usize,
    /// Notes counted in the bar before it.
    count: u32,
    settled: PitchSet,
    /// Foreign tones that will have to be left by step.
    to_leave: PitchSet,
}

impl Begin {
    fn all(&self) -> PitchSet {
        self.settled | self.to_leave
    }
}
