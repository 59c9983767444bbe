//! Voices that a score gives: which of its tracks they are, which of their notes stay, and what is missing.

use std::ops::Range;

use partita_score::{Meter, Note, Score, Tick};
use partita_tokens::chorale::demands::MAX_STEPS;
use partita_tokens::chorale::{Cell, STEPS_PER_BEAT, VOICES};

use super::score::NAMES;
use super::{Complete, Error};
use crate::melody::melody_track;

/// What of given voices is written anew, beside the voices that are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Bars, counted from 0; with no voices named, of all.
    pub bars: Option<Range<u32>>,
    /// Voices, 0 for the soprano; all of each if no bars are said.
    pub voices: Vec<usize>,
}

/// A score, and the voices of a chorale in it.
#[derive(Clone, Debug)]
pub struct Sung {
    pub score: Score,
    pub meter: Meter,
    /// For each voice its track, and the notes in it that stay.
    pub voices: [Option<(usize, Vec<Note>)>; VOICES],
    /// Its other notes.
    left_out: [Vec<Note>; VOICES],
    rewrite: Rewrite,
}

impl Rewrite {
    fn takes(&self, voice: usize, bar: u64) -> bool {
        match &self.bars {
            Some(bars) => {
                let inside = (u64::from(bars.start)..u64::from(bars.end)).contains(&bar);
                inside && (self.voices.is_empty() || self.voices.contains(&voice))
            }
            None => self.voices.contains(&voice),
        }
    }
}

impl Sung {
    /// Finds the voices of a score: the tracks that are called soprano, alto, tenor and bass. Where none is, or a `track`
    /// is said, that track or its melody is `voice`.
    ///
    /// # Errors
    /// [`Error::Range`] for no notes, a metre that changes or has no whole sixteenths, bars after the end.
    ///
    /// # Panics
    /// If there is no such voice.
    pub fn read(score: &Score, track: Option<usize>, voice: usize, rewrite: Rewrite) -> Result<Sung, Error> {
        let named = |v: usize| {
            let is = |name: &str| name.trim().eq_ignore_ascii_case(NAMES[v]);
            score.tracks.iter().position(|track| !track.notes.is_empty() && is(&track.name))
        };
        let mut tracks: [Option<usize>; VOICES] = std::array::from_fn(named);
        if track.is_some() || tracks == [None; VOICES] {
            let found = track.or_else(|| melody_track(score));
            let found = found.ok_or_else(|| Error::range("input", "a file with a melody", "none"))?;
            if score.tracks.get(found).is_none_or(|track| track.notes.is_empty()) {
                let allowed = format!("one of {} with notes", score.tracks.len());
                return Err(Error::range("track", allowed, found + 1));
            }
            tracks = [None; VOICES];
            tracks[voice] = Some(found);
        }
        let meter = score.meters.at(Tick(0));
        let ppq = u64::from(score.ppq.get());
        let bar = u64::from(meter.steps_per_bar()) * ppq / STEPS_PER_BEAT as u64;
        let other = score.meters.changes().iter().map(|(_, other)| *other).find(|other| *other != meter);
        if let Some(got) =
            other.map(|other| format!("{meter} and {other}")).or((bar == 0).then(|| meter.to_string()))
        {
            return Err(Error::range("input", "in one time signature, with bars of whole sixteenths", got));
        }
        let all = u64::from(score.end().0).div_ceil(bar);
        if let Some(bars) = rewrite.bars.as_ref().filter(|bars| u64::from(bars.end) > all) {
            let got = format!("{}-{}", u64::from(bars.start) + 1, bars.end);
            return Err(Error::range("rewrite-bars", format!("in 1-{all}"), got));
        }
        let mut left_out: [Vec<Note>; VOICES] = Default::default();
        let voices = std::array::from_fn(|v| {
            let track = tracks[v]?;
            let notes = score.tracks[track].notes.iter();
            let (out, kept) = notes.partition(|note| rewrite.takes(v, u64::from(note.onset.0) / bar));
            left_out[v] = out;
            Some((track, kept))
        });
        Ok(Sung { score: score.clone(), meter, voices, left_out, rewrite })
    }

    /// Bars of the whole score.
    pub fn bars(&self) -> u32 {
        let bar = self.meter.steps_per_bar() * u32::from(self.score.ppq.get()) / STEPS_PER_BEAT as u32;
        self.score.end().0.div_ceil(bar.max(1))
    }

    /// The request that writes what is missing, in the metre of the score.
    ///
    /// # Errors
    /// [`Error::Range`] for voices too long or nothing to write, [`Error::TwoNotes`] for a voice that is not one note at a time.
    pub fn complete(&self) -> Result<Complete, Error> {
        let ppq = u64::from(self.score.ppq.get());
        let step = |tick: Tick| (u64::from(tick.0) * STEPS_PER_BEAT as u64).div_ceil(ppq) as usize;
        let all = self.voices.iter().flatten().flat_map(|(track, _)| &self.score.tracks[*track].notes);
        let steps = all.map(|note| step(note.end)).max().unwrap_or(0);
        if steps > MAX_STEPS {
            return Err(Error::range("input", format!("at most {MAX_STEPS} sixteenths long"), steps));
        }
        let length = u64::from(self.meter.steps_per_bar());
        let mut request = Complete { meter: self.meter, ..Complete::new(steps) };
        for (v, voice) in self.voices.iter().enumerate() {
            let Some((_, kept)) = voice else { continue };
            request.give(v, kept, self.score.ppq)?;
            // What is left out leaves no hole behind, also where it rang on after the bars.
            let mut rang = vec![false; request.cells.len()];
            for note in &self.left_out[v] {
                let last = step(note.end).min(rang.len());
                rang[step(note.onset).min(last)..last].fill(true);
            }
            // A kept note may ring on into what is open.
            for (t, cells) in request.cells.iter_mut().enumerate() {
                let is_open = rang[t] || self.rewrite.takes(v, t as u64 / length);
                if is_open && cells[v] == Some(Cell::Rest) {
                    cells[v] = None;
                }
            }
        }
        if request.cells.iter().flatten().all(Option::is_some) {
            let message = "what to write, as all four voices are there";
            return Err(Error::range("rewrite-voices or rewrite-bars", message, "none"));
        }
        Ok(request)
    }
}
