//! Bars told while others are still being played.
//!
//! A note lasts until the next one of its drum, so a bar is told once no note of the bar after it can cut it short:
//! with that bar, or at once where nothing sounds to its end.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use partita_models::drums::{NewBar, Progress, Sampling, Watch};
use partita_score::{DrumPattern, Hit, Ppq, Tick};

use crate::Note;
use crate::family::deliver::{PLAYED, as_note};
use crate::family::{Change, Report};

/// What is done to a pattern after it was played. **Rule:** it moves each hit by itself, so that the hits of one bar
/// come out the same in a pattern that has no others.
pub(crate) type Finish<'a> = &'a (dyn Fn(&mut DrumPattern) + Sync);

/// Where and how the new bars lie in the piece.
pub(crate) struct Place<'a> {
    /// Metre, tempo and bars of the takes; its hits are left out.
    pub frame: DrumPattern,
    pub ppq: Ppq,
    /// Where the answer ends, if it is the pattern alone: as in [`DrumPattern::to_score`] nothing rings past it, and of
    /// strokes of one drum on one tick the loudest sounds.
    pub end: Option<Tick>,
    /// Bar of the piece where the takes begin.
    pub first_bar: u32,
    pub variations: usize,
    /// What the request begins with.
    pub sampling: Sampling,
    pub finish: Finish<'a>,
}

/// Passes on what a model tells of its work.
pub(crate) struct Listener<'a> {
    report: &'a mut dyn Report,
    place: Place<'a>,
    told: Vec<Told>,
    bars: u64,
    updated: bool,
}

/// The bars of one variation that came last.
#[derive(Default)]
struct Told {
    /// Those already told that can still matter, then those that wait.
    bars: Vec<(u32, Vec<Hit>)>,
    waiting: usize,
}

impl<'a> Listener<'a> {
    pub fn new(report: &'a mut dyn Report, place: Place<'a>) -> Listener<'a> {
        let told = (0..place.variations).map(|_| Told::default()).collect();
        Listener { report, place, told, bars: 0, updated: false }
    }

    /// Tells the bars that waited for one that never came. Returns whether parameters were changed on the way.
    pub fn end(mut self) -> bool {
        for variation in 0..self.told.len() {
            self.tell(variation, true);
        }
        self.updated
    }

    fn hear(&mut self, new: &NewBar) {
        let mut alone = DrumPattern { hits: new.hits.clone(), ..self.place.frame };
        (self.place.finish)(&mut alone);
        let Some(told) = self.told.get_mut(new.variation) else { return };
        // As steps of the piece, so that ticks are rounded as in the finished one.
        let start = self.place.first_bar * self.place.frame.meter.steps_per_bar();
        let hits = alone.hits.into_iter().map(|hit| Hit { step: hit.step + start, ..hit });
        told.bars.push((new.bar + self.place.first_bar, hits.collect()));
        told.waiting += 1;
        self.tell(new.variation, false);
    }

    /// Tells what no coming bar can change; `last`: none will come.
    fn tell(&mut self, variation: usize, last: bool) {
        let Place { frame, ppq, end, .. } = &self.place;
        let told = &mut self.told[variation];
        while told.waiting > 0 {
            let at = told.bars.len() - told.waiting;
            let bar = told.bars[at].0;
            let hits: Vec<(usize, Hit)> =
                (0..told.bars.len()).flat_map(|i| told.bars[i].1.iter().map(move |hit| (i, *hit))).collect();
            let notes = sounding(&hits, *ppq, *end);
            let own =
                || notes.iter().zip(&hits).filter(|(_, (from, _))| *from == at).filter_map(|(note, _)| *note);
            let steps = frame.meter.steps_per_bar();
            // Half a step early is as early as the next bar can begin.
            let next = (f64::from((bar + 1) * steps) - 0.5) * f64::from(ppq.get()) / 4.0;
            let open = own().any(|note| f64::from(note.end.0) > next);
            if open && told.waiting == 1 && !last {
                return;
            }
            let mut notes: Vec<Note> = own().map(|note| as_note(&note, 9, *ppq).0).collect();
            notes
                .sort_by(|left, right| left.start.total_cmp(&right.start).then(left.pitch.cmp(&right.pitch)));
            let from_beat = f64::from(bar) * frame.meter.beats_per_bar();
            self.report.notes(None, variation, bar, from_beat, notes);
            told.waiting -= 1;
            // The bar just told can still cut notes of those that wait, no earlier one can.
            let done = told.bars.len() - told.waiting;
            told.bars.drain(..done.saturating_sub(1));
        }
    }
}

impl Watch for Listener<'_> {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        for new in &progress.new {
            self.hear(new);
        }
        let all = u64::from(progress.total_bars) * self.place.variations.max(1) as u64;
        // A performance has no new bars; it counts those it is through with.
        self.bars = (self.bars + progress.new.len() as u64).max(u64::from(progress.bars)).min(all);
        let fraction = PLAYED * self.bars as f64 / all.max(1) as f64;
        self.report.progress("generate", fraction, self.bars, all)
    }

    fn sampling(&mut self) -> Option<Sampling> {
        let change: Change = self.report.sampling()?;
        self.updated = true;
        self.place.sampling = change.of(self.place.sampling);
        Some(self.place.sampling)
    }
}

/// The notes of hits, in their order: a sixteenth long or until the next of their drum or the `end`; `None` for a stroke
/// that another one on its tick outsounds.
fn sounding(hits: &[(usize, Hit)], ppq: Ppq, end: Option<Tick>) -> Vec<Option<partita_score::Note>> {
    let length = (f64::from(ppq.get()) / 4.0) as u32;
    let mut notes: Vec<partita_score::Note> = hits
        .iter()
        .map(|(_, hit)| {
            let onset = hit.onset(ppq);
            let last = end.map_or(u32::MAX, |end| end.0.max(onset.0.saturating_add(1)));
            let end = Tick(onset.0.saturating_add(length.max(1)).min(last));
            let velocity = hit.velocity.clamp(1, 127);
            partita_score::Note { onset, end, pitch: hit.class.gm_pitch(), velocity }
        })
        .collect();
    let mut order: Vec<usize> = (0..notes.len()).collect();
    order.sort_by_key(|index| (notes[*index].onset, notes[*index].pitch, Reverse(notes[*index].velocity)));
    if end.is_some() {
        order.dedup_by_key(|index| (notes[*index].onset, notes[*index].pitch));
    }
    let mut sounds = vec![None; notes.len()];
    let mut next = [Tick(u32::MAX); 128];
    for index in order.into_iter().rev() {
        let note = &mut notes[index];
        let later = &mut next[usize::from(note.pitch)];
        note.end = note.end.min(*later);
        *later = note.onset;
        sounds[index] = Some(*note);
    }
    sounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_score::{DrumClass, Meter};

    fn hit(step: u32, class: DrumClass, offset: f32) -> Hit {
        Hit { step, class, velocity: 90, offset }
    }

    #[derive(Default)]
    struct Heard(Vec<(u32, f64, Vec<Note>)>);

    impl Report for Heard {
        fn progress(&mut self, _: &str, _: f64, _: u64, _: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn notes(&mut self, _: Option<usize>, _: usize, bar: u32, from: f64, notes: Vec<Note>) {
            self.0.push((bar, from, notes));
        }

        fn sampling(&mut self) -> Option<Change> {
            None
        }
    }

    fn told(bars: &[Vec<Hit>], finish: Finish) -> (Vec<(u32, usize)>, Vec<Note>, Vec<Note>) {
        let mut heard = Heard::default();
        let frame = DrumPattern::empty(Meter::COMMON, 96.0, bars.len() as u32);
        let place = Place {
            frame: frame.clone(),
            ppq: DrumPattern::PPQ,
            end: Some(frame.to_score().length()),
            first_bar: 0,
            variations: 1,
            sampling: Sampling::default(),
            finish,
        };
        let mut listener = Listener::new(&mut heard, place);
        for (bar, hits) in bars.iter().enumerate() {
            listener.hear(&NewBar { variation: 0, bar: bar as u32, hits: hits.clone() });
        }
        assert!(!listener.end());
        let mut whole = DrumPattern { hits: bars.concat(), ..frame };
        finish(&mut whole);
        let order = heard.0.iter().map(|(bar, _, notes)| (*bar, notes.len())).collect();
        let mut streamed: Vec<Note> = heard.0.into_iter().flat_map(|(_, _, notes)| notes).collect();
        streamed.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.pitch.cmp(&b.pitch)));
        (order, streamed, crate::family::deliver::notes_of(&whole.to_score()))
    }

    #[test]
    fn a_note_cut_by_the_next_bar_is_told_with_its_length_in_the_end() {
        use DrumClass::{Kick, Snare};
        let bars = vec![
            vec![hit(0, Kick, 0.0), hit(15, Snare, 0.4)],
            vec![hit(16, Snare, -0.4), hit(20, Kick, 0.1)],
            vec![hit(32, Kick, 0.0)],
        ];
        let (order, streamed, finished) = told(&bars, &|_| {});
        assert_eq!(order, [(0, 2), (1, 2), (2, 1)]);
        assert_eq!(streamed, finished);
        assert!(streamed.iter().any(|note| note.duration < 0.25), "{streamed:?}");
    }

    #[test]
    fn swing_that_crosses_bar_lines_streams_as_it_ends() {
        let classes = [DrumClass::ClosedHat, DrumClass::Snare];
        let bar = |bar: u32| {
            let step = |step: u32| classes.map(|class| hit(bar * 16 + step, class, 0.3 - 0.01 * step as f32));
            (0..16).flat_map(step).collect::<Vec<_>>()
        };
        let swung = |pattern: &mut DrumPattern| {
            let unit = partita_score::swing::SwingUnit::Sixteenth;
            partita_score::swing::apply(pattern, unit, 0.75).expect("in range");
        };
        let (_, streamed, finished) = told(&[bar(0), bar(1), bar(2)], &swung);
        assert_eq!(streamed, finished);
    }
}
