//! Why no piece can be made: the smallest set of demands that conflict, named.

use super::{Demand, Demands, Plan, StrongBeats, cells_per_bar, names};
use crate::harmony::symbol;
use std::fmt;

/// Demands that can't be met, told before anything is generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// A value that no piece can have.
    #[error("{demand} must be {allowed}, got {got}")]
    OutOfRange { demand: Demand, allowed: String, got: String },
    /// The smallest set of demands that can't be met together; one alone, a pair, or more.
    #[error("{}", conflict(demands, why))]
    Conflict {
        /// Each with its value: `(Demand::Required, "required F#4")`. Of more required items or kept notes, those that
        /// take part.
        demands: Vec<(Demand, String)>,
        /// `F#4 is not in the scale`
        why: String,
    },
    /// The plan would not fit in [`Plan::MOST_BYTES`].
    #[error("a plan for these demands takes {} MiB, at most {} are allowed: ask for {relax}", bytes >> 20, Plan::MOST_BYTES >> 20)]
    TooLarge {
        bytes: usize,
        /// What to ask for instead, largest effect first.
        relax: String,
        demands: Vec<Demand>,
    },
}

impl Contradiction {
    /// The demands to blame, once each.
    pub fn demands(&self) -> Vec<Demand> {
        let mut demands = match self {
            Contradiction::OutOfRange { demand, .. } => vec![*demand],
            Contradiction::Conflict { demands, .. } => demands.iter().map(|(demand, _)| *demand).collect(),
            Contradiction::TooLarge { demands, .. } => demands.clone(),
        };
        demands.sort_unstable();
        demands.dedup();
        demands
    }
}

fn conflict(demands: &[(Demand, String)], why: &str) -> String {
    let (last, before) = match demands {
        [] => return why.to_owned(),
        [(_, one)] => return format!("{one} can't be met: {why}"),
        [before @ .., (_, last)] => (last, before),
    };
    let before = before.iter().map(|(_, named)| named.as_str()).collect::<Vec<_>>().join(", ");
    format!("{before} and {last} conflict: {why}")
}

/// One thing that was asked for beside metre, bars and tempo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Range,
    Scale,
    Forbidden,
    Required(usize),
    Cadence,
    MaxLeap,
    Grid,
    Density,
    /// With the chords, which alone demand nothing of a melody.
    StrongBeats,
    Locked,
}

/// Why the plan of these demands is empty.
pub(super) fn find(demands: &Demands) -> Contradiction {
    let items = items(demands);
    let mut found = smallest(demands, &items);
    // What is kept is one item for the search, but one note of it may be enough.
    let mut told = only(demands, &found);
    if found.contains(&Item::Locked) {
        // One after another is quick for the notes of a melody, not for any number.
        for note in demands.locked.iter().take(MOST_STATES / plan_states(&told).max(1)) {
            let mut one = told.clone();
            one.locked = vec![*note];
            if is_impossible(&one) {
                told = one;
                break;
            }
        }
    }
    found.sort_by_key(|item| items.iter().position(|it| it == item));
    let mut named: Vec<_> = found.iter().map(|item| name(&told, demands, *item)).collect();
    let mut whole = told.clone();
    whole.open.clear();
    if !told.open.is_empty() && !is_impossible(&whole) {
        named.push((Demand::Open, open(demands)));
    }
    let why = why(&told, demands, &found).unwrap_or_else(|| match named.len() {
        0 => "no piece can be made".to_owned(),
        1 => format!("no piece of {} bars of {} can meet it", demands.bars, demands.meter),
        2 => "no piece can meet both; widen one".to_owned(),
        _ => "no piece can meet these together; widen one".to_owned(),
    });
    Contradiction::Conflict { demands: named, why }
}

/// What a search may plan before it stops looking for the very smallest: states of plans, about half a second.
const MOST_STATES: usize = 1 << 23;

/// Tries sets of demands.
struct Search<'a> {
    demands: &'a Demands,
    states: usize,
}

impl Search<'_> {
    /// Whether a set can't be met. What is kept may help others (a required pitch that is kept need not be in the range),
    /// so it must not be possible with what is kept either.
    fn conflicts(&mut self, set: &[Item]) -> bool {
        let with_kept = self.demands.locked.is_empty() || set.contains(&Item::Locked);
        let kept = [set, &[Item::Locked]].concat();
        self.is_impossible(set) && (with_kept || self.is_impossible(&kept))
    }

    fn is_impossible(&mut self, set: &[Item]) -> bool {
        // Nothing is said of a set whose plan is too large.
        Plan::build(&only(self.demands, set)).is_ok_and(|plan| {
            self.states += plan.states();
            !plan.is_possible()
        })
    }

    /// The first set of `count` items that conflicts, if there is time to try them.
    fn first(&mut self, items: &[Item], chosen: &mut Vec<Item>, count: usize) -> bool {
        if count == 0 {
            return self.conflicts(chosen);
        }
        for (at, item) in items.iter().enumerate() {
            if self.states > MOST_STATES {
                return false;
            }
            chosen.push(*item);
            if self.first(&items[at + 1..], chosen, count - 1) {
                return true;
            }
            chosen.pop();
        }
        false
    }
}

/// One demand that can't be met alone, else a pair, else three, else a set of which nothing can be left out.
fn smallest(demands: &Demands, items: &[Item]) -> Vec<Item> {
    let mut search = Search { demands, states: 0 };
    for count in 1..=3 {
        let mut chosen = Vec::new();
        if search.first(items, &mut chosen, count) {
            return chosen;
        }
    }
    let mut left = items.to_vec();
    for item in items {
        let without: Vec<Item> = left.iter().copied().filter(|it| it != item).collect();
        if search.conflicts(&without) {
            left = without;
        }
    }
    left
}

fn is_impossible(demands: &Demands) -> bool {
    Plan::build(demands).is_ok_and(|plan| !plan.is_possible())
}

fn plan_states(demands: &Demands) -> usize {
    Plan::build(demands).map_or(0, |plan| plan.states())
}

/// In the order in which they are named.
fn items(demands: &Demands) -> Vec<Item> {
    let basic = Demands::new(demands.meter, demands.bars, demands.tempo);
    let mut items: Vec<Item> = (0..demands.required.len()).map(Item::Required).collect();
    let others = [
        (Item::Locked, demands.locked != basic.locked),
        (Item::Cadence, demands.cadence != basic.cadence),
        (Item::Density, demands.density != basic.density),
        (Item::StrongBeats, demands.strong_beats != basic.strong_beats),
        (Item::Scale, demands.scale != basic.scale),
        (Item::Range, demands.range != basic.range),
        (Item::Forbidden, demands.forbidden != basic.forbidden),
        (Item::MaxLeap, demands.max_leap != basic.max_leap),
        (Item::Grid, demands.grid != basic.grid),
    ];
    items.extend(others.into_iter().filter(|(_, asked)| *asked).map(|(item, _)| item));
    items
}

/// Only these, within the same bars and the same open stretches.
fn only(demands: &Demands, items: &[Item]) -> Demands {
    let mut some = Demands::new(demands.meter, demands.bars, demands.tempo);
    some.open.clone_from(&demands.open);
    for item in items {
        match *item {
            Item::Range => some.range = demands.range.clone(),
            Item::Scale => some.scale = demands.scale,
            Item::Forbidden => some.forbidden = demands.forbidden,
            Item::Required(at) => some.required.push(demands.required[at]),
            Item::Cadence => some.cadence = demands.cadence,
            Item::MaxLeap => some.max_leap = demands.max_leap,
            Item::Grid => some.grid = demands.grid,
            Item::Density => some.density.clone_from(&demands.density),
            Item::StrongBeats => {
                some.strong_beats = demands.strong_beats;
                some.chords.clone_from(&demands.chords);
            }
            Item::Locked => some.locked.clone_from(&demands.locked),
        }
    }
    some
}

fn name(told: &Demands, demands: &Demands, item: Item) -> (Demand, String) {
    match item {
        Item::Range => (Demand::Range, format!("range {}", range(demands))),
        Item::Scale => {
            let classes = names::classes(demands.scale.unwrap_or_default());
            (Demand::Scale, format!("scale {classes}"))
        }
        Item::Forbidden => (Demand::Forbidden, format!("forbidden {}", names::pitches(demands.forbidden))),
        Item::Required(at) => (Demand::Required, format!("required {}", demands.required[at])),
        Item::Cadence => {
            (Demand::Cadence, format!("cadence on {}", names::class(demands.cadence.unwrap_or_default())))
        }
        Item::MaxLeap => (Demand::MaxLeap, format!("max_leap {}", demands.max_leap.unwrap_or_default())),
        Item::Grid => (Demand::Grid, format!("grid {}", demands.grid)),
        Item::Density => {
            let (low, high) = demands.density.clone().unwrap_or(0..=0).into_inner();
            (Demand::Density, format!("notes_per_bar {low}-{high}"))
        }
        Item::StrongBeats => {
            let mut chords = demands.chords.iter().map(|(_, chord)| symbol(chord.as_ref()));
            let mut over = chords.by_ref().take(6).collect::<Vec<_>>().join(" ");
            if chords.next().is_some() {
                over += " ...";
            }
            let over = if over.is_empty() { String::new() } else { format!(" over {over}") };
            (Demand::StrongBeats, format!("strong_beats {}{over}", demands.strong_beats.name()))
        }
        Item::Locked => match told.locked.as_slice() {
            [_] => (Demand::Locked, format!("locked {}", locked(told))),
            notes => (Demand::Locked, format!("{} locked notes", notes.len())),
        },
    }
}

fn range(demands: &Demands) -> String {
    let (low, high) = (*demands.range.start(), *demands.range.end());
    format!("{low}-{high} ({}-{})", names::pitch(low), names::pitch(high))
}

/// The one kept note that is left.
fn locked(told: &Demands) -> String {
    let place = |cell| names::place(cell, cells_per_bar(told.meter));
    let named = |note: &crate::Note| format!("{} at {}", names::pitch(note.pitch), place(note.onset.0));
    told.locked.first().map(named).unwrap_or_default()
}

fn open(demands: &Demands) -> String {
    let place = |cell| names::place(cell, cells_per_bar(demands.meter));
    let stretches = demands.open.iter().take(3);
    let told: Vec<_> =
        stretches.map(|it| format!("from {} up to {}", place(it.start), place(it.end))).collect();
    let more = if demands.open.len() > told.len() { ", ..." } else { "" };
    format!("open {}{more}", told.join(", "))
}

/// The reason in words where it is one of the plain ones.
fn why(told: &Demands, demands: &Demands, found: &[Item]) -> Option<String> {
    let has = |item: Item| found.contains(&item);
    let lacking = || {
        if has(Item::Scale) {
            Some("not in the scale")
        } else if has(Item::Range) {
            Some("outside the range")
        } else if has(Item::Forbidden) {
            Some("forbidden")
        } else {
            None
        }
    };
    if let [first, second] = found {
        let wanted = match *first {
            Item::Required(at) => Some((demands.required[at].to_string(), demands.required[at].pitches())),
            Item::Cadence => {
                let tonic = super::Required::Class(demands.cadence?);
                Some((tonic.to_string(), tonic.pitches()))
            }
            _ => None,
        };
        if let (Some((wanted, pitches)), Some(lacking)) = (wanted, lacking())
            && (pitches & told.pitches()).is_empty()
        {
            return Some(format!("{wanted} is {lacking}"));
        }
        if let (Item::Locked, [note]) = (*first, told.locked.as_slice()) {
            if let Some(lacking) = lacking() {
                return Some(format!("{} is {lacking}", names::pitch(note.pitch)));
            }
            if *second == Item::Grid {
                return Some("it does not begin on the grid".to_owned());
            }
        }
        if (*first, *second) == (Item::Density, Item::Grid) && demands.open.is_empty() {
            let cells = cells_per_bar(demands.meter);
            let places = (0..cells).filter(|cell| demands.grid.has(*cell)).count();
            return Some(format!("a bar of {} has {places} places on this grid", demands.meter));
        }
    }
    if found == [Item::Density] && demands.open.is_empty() {
        let cells = cells_per_bar(demands.meter);
        return Some(format!("a bar of {} has {cells} places for a note", demands.meter));
    }
    if has(Item::StrongBeats) && demands.chords.is_empty() {
        let known = demands.strong_beats != StrongBeats::Free;
        return known
            .then(|| "no note can be promised for a strong beat before its chord is known".to_owned());
    }
    (told.pitches().is_empty()).then(|| "no pitch is left".to_owned())
}

/// What to ask for instead of a plan that is too large.
pub(super) fn too_large(demands: &Demands, bytes: usize) -> Contradiction {
    let mut relax = Vec::new();
    let mut tell = |demand, text: &dyn fmt::Display| relax.push((demand, text.to_string()));
    if !demands.required.is_empty() {
        tell(Demand::Required, &format_args!("fewer required pitches than {}", demands.required.len()));
    }
    if let Some(density) = &demands.density {
        let (low, high) = (density.start(), density.end());
        tell(Demand::Density, &format_args!("no notes_per_bar or fewer than {low}-{high}"));
    }
    tell(Demand::Grid, &format_args!("a coarser grid than {}", demands.grid));
    tell(Demand::Bars, &format_args!("fewer bars than {}", demands.bars));
    let (demands, relax): (Vec<_>, Vec<_>) = relax.into_iter().unzip();
    Contradiction::TooLarge { bytes, relax: relax.join(", or "), demands }
}
