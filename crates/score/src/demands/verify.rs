//! Which demands a finished score breaks. Works on the score's own ticks and knows nothing of plans.

use super::{Demand, Demands, StrongBeats, names, strong_cells};
use crate::harmony::{Chord, symbol};
use crate::{Note, Score};
use std::{fmt, ops::Range};

/// A demand that a score does not meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub demand: Demand,
    /// From 0.
    pub bar: u32,
    /// Quarter notes after the bar line.
    pub beat: f64,
    /// What was found and what was demanded: `F#4 is not in the scale C D E F G A B`.
    pub found: String,
}

/// `scale: bar 3, beat 2.5: F#4 is not in ...`; bars and beats counted from 1.
impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beat = (self.beat * 100.0).round() / 100.0 + 1.0;
        write!(out, "{}: bar {}, beat {beat}: {}", self.demand, self.bar + 1, self.found)
    }
}

/// All that a score breaks of its demands, by demand and time; empty if it obeys.
///
/// `track`: the melody's place in [`Score::tracks`]. Metre, tempo and chords are those of the score; its ticks may be
/// of any size. Of the other tracks nothing is asked.
pub fn violations(score: &Score, track: usize, demands: &Demands) -> Vec<Violation> {
    let Some(melody) = score.tracks.get(track) else {
        let found = format!("no track {track} in a score of {} tracks", score.tracks.len());
        return vec![Violation { demand: Demand::Bars, bar: 0, beat: 0.0, found }];
    };
    let mut verifier = Verifier::new(score, &melody.notes, demands);
    verifier.frame();
    verifier.pitches();
    verifier.required();
    verifier.harmony();
    verifier.strong_beats();
    verifier.leaps();
    verifier.onsets();
    verifier.cadence();
    verifier.voices();
    verifier.kept();
    verifier.found
}

/// A note in fine time: twelfths of a tick's share of a quarter, in which cells and ticks are both whole numbers.
#[derive(Clone, Copy)]
struct Fine {
    onset: u64,
    end: u64,
    note: Note,
}

struct Verifier<'a> {
    score: &'a Score,
    demands: &'a Demands,
    /// By onset, then pitch.
    notes: Vec<Fine>,
    /// Fine time of a cell: ticks a quarter. Fine time of a tick: 12.
    cell: u64,
    /// Fine time of a bar.
    bar: u64,
    /// What is open, in fine time: rising and apart.
    open: Vec<Range<u64>>,
    found: Vec<Violation>,
}

impl<'a> Verifier<'a> {
    fn new(score: &'a Score, notes: &[Note], demands: &'a Demands) -> Verifier<'a> {
        let tick = u64::from(Demands::PPQ.get());
        let fine = |note: &Note| Fine {
            onset: u64::from(note.onset.0) * tick,
            end: u64::from(note.end.0) * tick,
            note: *note,
        };
        let mut notes: Vec<Fine> = notes.iter().map(fine).collect();
        notes.sort_by_key(|note| (note.onset, note.note.pitch, note.end));
        let cell = u64::from(score.ppq.get());
        let meter = demands.meter;
        // A whole number, since every metre has whole cells in a bar.
        let bar = (u64::from(meter.numerator) * 48 / u64::from(meter.denominator.max(1)) * cell).max(1);
        let everywhere = 0..u64::MAX;
        let open = if demands.open.is_empty() { vec![everywhere] } else { joined(&demands.open, cell) };
        Verifier { score, demands, notes, cell, bar, open, found: Vec::new() }
    }

    fn tell(&mut self, demand: Demand, at: u64, found: String) {
        let beat = (at % self.bar) as f64 / (self.cell * 12) as f64;
        let bar = u32::try_from(at / self.bar).unwrap_or(u32::MAX);
        self.found.push(Violation { demand, bar, beat, found });
    }

    fn end(&self) -> u64 {
        self.bar * u64::from(self.demands.bars)
    }

    /// Whether fine time `at` is open.
    fn is_open(&self, at: u64) -> bool {
        self.open.iter().any(|open| open.contains(&at))
    }

    /// Notes that begin where it is open.
    fn open_notes(&self) -> Vec<Fine> {
        self.notes.iter().copied().filter(|note| self.is_open(note.onset)).collect()
    }

    fn fine(&self, cells: &Range<u32>) -> Range<u64> {
        u64::from(cells.start) * self.cell..u64::from(cells.end) * self.cell
    }

    /// Whether a note is one of those to keep.
    fn is_kept(&self, note: &Fine) -> bool {
        self.demands.locked.iter().any(|kept| self.is_same(note, kept))
    }

    fn is_same(&self, note: &Fine, kept: &Note) -> bool {
        let fine = self.fine(&(kept.onset.0..kept.end.0));
        (note.onset, note.end) == (fine.start, fine.end)
            && (note.note.pitch, note.note.velocity) == (kept.pitch, kept.velocity)
    }

    /// Metre, bars, tempo.
    fn frame(&mut self) {
        let demands = self.demands;
        let first = self.score.meters.at(crate::Tick(0));
        if first != demands.meter {
            self.tell(Demand::Meter, 0, format!("{first} where {} was demanded", demands.meter));
        }
        for (at, meter) in self.score.meters.changes().iter().skip_while(|(at, _)| at.0 == 0) {
            if *meter != demands.meter || !(u64::from(at.0) * 12).is_multiple_of(self.bar) {
                self.tell(Demand::Meter, u64::from(at.0) * 12, format!("{meter} begins"));
            }
        }
        let micros = |bpm: f64| (60e6 / bpm).round();
        let asked = micros(demands.tempo);
        if micros(self.score.tempos.bpm_at(crate::Tick(0))) != asked {
            let bpm = self.score.tempos.bpm_at(crate::Tick(0));
            self.tell(Demand::Tempo, 0, format!("{bpm} bpm where {} were demanded", demands.tempo));
        }
        for (at, tempo) in self.score.tempos.changes() {
            if at.0 > 0 && f64::from(*tempo) != asked {
                self.tell(Demand::Tempo, u64::from(at.0) * 12, "the tempo changes".to_owned());
            }
        }
        for note in self.notes.clone() {
            if note.end > self.end() {
                let found = format!("{} sounds beyond bar {}", names::pitch(note.note.pitch), demands.bars);
                self.tell(Demand::Bars, note.onset, found);
            }
        }
    }

    /// Scale, range, forbidden pitches.
    fn pitches(&mut self) {
        let demands = self.demands;
        for note in self.open_notes() {
            let pitch = note.note.pitch;
            let name = names::pitch(pitch);
            if let Some(scale) = demands.scale.filter(|scale| !scale.contains(pitch)) {
                let found = format!("{name} is not in the scale {}", names::classes(scale));
                self.tell(Demand::Scale, note.onset, found);
            }
            let (low, high) = (*demands.range.start(), *demands.range.end());
            if pitch < low || pitch > high {
                self.tell(Demand::Range, note.onset, format!("{name} ({pitch}) is outside {low}-{high}"));
            }
            if demands.forbidden.contains(pitch) {
                self.tell(Demand::Forbidden, note.onset, format!("{name} is forbidden"));
            }
        }
    }

    fn required(&mut self) {
        for required in &self.demands.required {
            let sounds = self.notes.iter().any(|note| match *required {
                super::Required::Pitch(pitch) => note.note.pitch == pitch,
                super::Required::Class(class) => note.note.pitch % 12 == class,
            });
            if !sounds {
                self.tell(Demand::Required, 0, format!("{required} never sounds"));
            }
        }
    }

    /// The chord of the score at fine time `at`.
    fn chord_at(&self, at: u64) -> Option<&'a Chord> {
        let before = self.score.chords.iter().take_while(|change| u64::from(change.at.0) * 12 <= at);
        before.last()?.chord.as_ref()
    }

    /// The given chords against those of the score.
    fn harmony(&mut self) {
        let given = &self.demands.chords;
        if given.is_empty() {
            return;
        }
        let asked_at = |at: u64| {
            let before = given.iter().take_while(|(cell, _)| u64::from(*cell) * self.cell <= at);
            before.last().and_then(|(_, chord)| chord.as_ref())
        };
        let of_given = given.iter().map(|(cell, _)| u64::from(*cell) * self.cell);
        let of_score = self.score.chords.iter().map(|change| u64::from(change.at.0) * 12);
        let mut places: Vec<u64> =
            of_given.chain(of_score).chain([0]).filter(|at| *at < self.end()).collect();
        places.sort_unstable();
        places.dedup();
        let wrong = |at: &u64| self.chord_at(*at) != asked_at(*at);
        let told = |at: u64| {
            let (has, asked) = (symbol(self.chord_at(at)), symbol(asked_at(at)));
            (at, format!("{has} where {asked} was demanded"))
        };
        let wrong: Vec<_> = places.into_iter().filter(wrong).map(told).collect();
        for (at, found) in wrong {
            self.tell(Demand::Chords, at, found);
        }
    }

    fn strong_beats(&mut self) {
        let rule = self.demands.strong_beats;
        if rule == StrongBeats::Free {
            return;
        }
        let strong: Vec<u64> =
            strong_cells(self.demands.meter).into_iter().map(|cell| u64::from(cell) * self.cell).collect();
        let notes = self.notes.clone();
        let step = |one: &Fine, other: &Fine| matches!(one.note.pitch.abs_diff(other.note.pitch), 1 | 2);
        for (at, note) in notes.iter().enumerate() {
            // Chords that are not given are made around what is kept.
            let exempt = !self.is_open(note.onset) || self.demands.chords.is_empty() && self.is_kept(note);
            if exempt || !strong.contains(&(note.onset % self.bar)) {
                continue;
            }
            let Some(chord) = self.chord_at(note.onset) else { continue };
            let reached = at.checked_sub(1).is_some_and(|before| step(&notes[before], note));
            let left = notes.get(at + 1).is_some_and(|next| step(note, next));
            let licensed = rule == StrongBeats::Licensed && (reached || left);
            if !chord.contains(note.note.pitch) && !licensed {
                let (name, chord) = (names::pitch(note.note.pitch), symbol(Some(chord)));
                self.tell(Demand::StrongBeats, note.onset, format!("{name} is not in {chord}"));
            }
        }
    }

    fn leaps(&mut self) {
        let Some(most) = self.demands.max_leap else { return };
        for pair in self.notes.clone().windows(2) {
            let (from, to) = (&pair[0], &pair[1]);
            let leap = from.note.pitch.abs_diff(to.note.pitch);
            if leap <= most || self.is_closed_between(from.onset, to.onset) {
                continue;
            }
            let (from, to_name) = (names::pitch(from.note.pitch), names::pitch(to.note.pitch));
            let found = format!("{from} to {to_name} are {leap} semitones, more than {most}");
            self.tell(Demand::MaxLeap, to.onset, found);
        }
    }

    /// Whether nothing from the first onset to the second, both included, is open.
    fn is_closed_between(&self, from: u64, to: u64) -> bool {
        !self.open.iter().any(|open| open.start <= to && open.end > from)
    }

    /// Rhythm grid and density.
    fn onsets(&mut self) {
        let demands = self.demands;
        let notes = self.notes.clone();
        for note in self.open_notes() {
            let in_bar = note.onset % self.bar;
            let on_grid = demands.grid == super::RhythmGrid::Free
                || demands.grid.strides().iter().any(|it| in_bar.is_multiple_of(u64::from(*it) * self.cell));
            if !on_grid {
                let found =
                    format!("{} does not begin on the {} grid", names::pitch(note.note.pitch), demands.grid);
                self.tell(Demand::Grid, note.onset, found);
            }
        }
        let Some(density) = &demands.density else { return };
        for bar in 0..u64::from(demands.bars) {
            let (start, end) = (bar * self.bar, (bar + 1) * self.bar);
            if !self.open.iter().any(|open| open.start < end && open.end > start) {
                continue;
            }
            let count = notes.iter().filter(|note| (start..end).contains(&note.onset)).count();
            if !density.contains(&(count as u32)) {
                let (low, high) = (density.start(), density.end());
                self.tell(
                    Demand::Density,
                    start,
                    format!("{count} notes begin where {low}-{high} were demanded"),
                );
            }
        }
    }

    fn cadence(&mut self) {
        let Some(tonic) = self.demands.cadence else { return };
        let last_bar = self.end() - self.bar;
        let tonic_name = names::class(tonic);
        match self.notes.last().copied() {
            None => self.tell(
                Demand::Cadence,
                last_bar,
                format!("no note, where {tonic_name} should end the piece"),
            ),
            Some(last) if last.onset < last_bar || last.onset >= self.end() => {
                self.tell(
                    Demand::Cadence,
                    last.onset,
                    "the last note does not begin in the last bar".to_owned(),
                );
            }
            Some(last) if last.note.pitch % 12 != tonic => {
                let found = format!("the last note is {}, not {tonic_name}", names::pitch(last.note.pitch));
                self.tell(Demand::Cadence, last.onset, found);
            }
            Some(_) => {}
        }
    }

    /// Notes that sound at once.
    fn voices(&mut self) {
        let most = usize::from(self.demands.polyphony);
        let notes = self.notes.clone();
        for (at, note) in notes.iter().enumerate() {
            // A note without length takes no time from others, but is heard where it begins.
            let sounds = |other: &&Fine| other.onset == note.onset || other.end > note.onset;
            let sounding = notes[..=at].iter().filter(sounds).count();
            if sounding > most {
                self.tell(
                    Demand::Polyphony,
                    note.onset,
                    format!("{sounding} notes at once, at most {most} were demanded"),
                );
            }
        }
    }

    /// What is kept, and what is open.
    fn kept(&mut self) {
        let (demands, notes) = (self.demands, self.notes.clone());
        let mut taken = vec![false; notes.len()];
        for kept in &demands.locked {
            let place = (0..notes.len()).find(|at| !taken[*at] && self.is_same(&notes[*at], kept));
            let fine = self.fine(&(kept.onset.0..kept.end.0));
            let name = names::pitch(kept.pitch);
            let Some(place) = place else {
                self.tell(Demand::Locked, fine.start, format!("{name} was not kept as it was"));
                continue;
            };
            taken[place] = true;
            for (at, other) in notes.iter().enumerate() {
                let overlaps = other.onset < fine.end && other.end.max(other.onset + 1) > fine.start;
                if at != place && overlaps {
                    let found = format!("{} sounds while {name} is kept", names::pitch(other.note.pitch));
                    self.tell(Demand::Locked, other.onset, found);
                }
            }
        }
        for (note, kept) in notes.iter().zip(taken) {
            let inside = self.open.iter().any(|open| open.start <= note.onset && note.end <= open.end);
            if !kept && !inside {
                let found = format!("a new {} sounds outside the open region", names::pitch(note.note.pitch));
                self.tell(Demand::Open, note.onset, found);
            }
        }
    }
}

/// Stretches of cells in fine time, those that touch joined.
fn joined(open: &[Range<u32>], cell: u64) -> Vec<Range<u64>> {
    let mut rising: Vec<_> = open.iter().filter(|it| it.start < it.end).cloned().collect();
    rising.sort_by_key(|it| (it.start, it.end));
    let mut joined: Vec<Range<u64>> = Vec::new();
    for it in rising {
        let (start, end) = (u64::from(it.start) * cell, u64::from(it.end) * cell);
        if let Some(last) = joined.last_mut().filter(|last| last.end >= start) {
            last.end = last.end.max(end);
        } else {
            joined.push(start..end);
        }
    }
    joined
}
