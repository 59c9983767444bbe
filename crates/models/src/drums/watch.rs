//! What is told of a request while it is played: tokens, and each bar as soon as nothing can change it any more.
//!
//! **Rule:** the hits of a bar are those the finished take has in it, so a take is the sum of its streamed bars.
//! What shapes a hit (a profile's timing, limits) moves it by less than a bar and never to an earlier one; so a bar
//! is settled once its own tokens are written, and needs no more than its own hits and those of the bar before.

use std::ops::{ControlFlow, Range};

use partita_nn::Sampler;
use partita_score::Hit;
use partita_tokens::drums::{decode_hits, is_bar};

use super::Error;
use super::generate::sampler;
use super::request::{Common, Sampling};
use crate::stage::{self, Hear};

/// A bar that will not change any more.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBar {
    pub variation: usize,
    /// Counted from the start of the take's pattern, from 0.
    pub bar: u32,
    /// Exactly the hits the take will have in this bar, steps counted from the start of its pattern.
    pub hits: Vec<Hit>,
}

/// How far a request is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Tokens generated so far, of all variations.
    pub tokens: usize,
    /// Finished bars of the slowest variation.
    pub bars: u32,
    /// Bars each variation will have played in the end.
    pub total_bars: u32,
    /// Bars finished since the last call, of each variation in their order.
    pub new: Vec<NewBar>,
}

/// Follows a request, and may change or stop it. Called on the thread that made the request: after every step when
/// the model plays for it alone; a few times a second, and at every new bar, when the model's steps are shared.
pub trait Watch {
    /// `Break` stops the work at the next token with [`Error::Cancelled`].
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()>;

    /// New settings for all tokens from the next one on; asked for after every [`progress`](Self::progress).
    /// Settings out of range end the request with [`Error::Range`]; see [`Sampling::check`].
    fn sampling(&mut self) -> Option<Sampling> {
        None
    }
}

impl<F: FnMut(&Progress) -> ControlFlow<()>> Watch for F {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        self(progress)
    }
}

/// The final hits of a window of bars, from those generated in it; both with steps from the start of the pattern.
pub(crate) type Shape<'a> = &'a dyn Fn(Vec<Hit>, Range<u32>) -> Vec<Hit>;

/// Reads the tokens of a request's sequences back into bars and tells its watch.
pub struct Listener<'a> {
    watch: &'a mut dyn Watch,
    shape: Shape<'a>,
    sampling: Sampling,
    steps_per_bar: u32,
    total_bars: u32,
    /// Place of the section being played: its first bar in the pattern, and which of its bars are new.
    first_bar: u32,
    open: Vec<bool>,
    variations: Vec<Variation>,
    tokens: usize,
    new: Vec<NewBar>,
}

#[derive(Default)]
struct Variation {
    /// Generated hits of finished bars, as the model wrote them.
    hits: Vec<Hit>,
    /// Finished new bars.
    bars: u32,
    /// Bars begun in this section.
    begun: u32,
    /// Tokens of the bar being written, its own token first.
    ids: Vec<u32>,
}

impl<'a> Listener<'a> {
    /// `total_bars`: new bars of each variation.
    pub(crate) fn new(
        watch: &'a mut dyn Watch,
        shape: Shape<'a>,
        common: &Common,
        variations: usize,
        steps_per_bar: u32,
        total_bars: u32,
    ) -> Listener<'a> {
        Listener {
            watch,
            shape,
            sampling: common.sampling,
            steps_per_bar,
            total_bars,
            first_bar: 0,
            open: Vec::new(),
            variations: (0..variations).map(|_| Variation::default()).collect(),
            tokens: 0,
            new: Vec::new(),
        }
    }

    /// Sequence `i` from now on is variation `i` of these bars; `open` has one flag a bar.
    pub(crate) fn section(&mut self, first_bar: u32, open: Vec<bool>) {
        (self.first_bar, self.open) = (first_bar, open);
        for variation in &mut self.variations {
            variation.begun = 0;
            variation.ids.clear();
        }
    }

    /// A sampler with the newest settings.
    ///
    /// # Errors
    /// Settings out of range.
    pub(crate) fn sampler(&self) -> Result<Sampler, Error> {
        sampler(self.sampling)
    }

    /// A bar without any token: only what `shape` gives it sounds.
    pub(crate) fn pass(&mut self, bar: u32) {
        for index in 0..self.variations.len() {
            self.finish(index, bar);
        }
    }

    /// Ends the bar that variation `index` is in.
    fn close(&mut self, index: usize) {
        let variation = &mut self.variations[index];
        let ids = std::mem::take(&mut variation.ids);
        let Some(at) = variation.begun.checked_sub(1) else { return };
        if self.open.get(at as usize) != Some(&true) {
            return;
        }
        let bar = self.first_bar + at;
        let start = bar * self.steps_per_bar;
        let hits = decode_hits(self.steps_per_bar, &ids);
        variation.hits.extend(hits.into_iter().map(|hit| Hit { step: hit.step + start, ..hit }));
        self.finish(index, bar);
    }

    fn finish(&mut self, index: usize, bar: u32) {
        let variation = &mut self.variations[index];
        variation.bars += 1;
        let steps = self.steps_per_bar;
        let window = bar.saturating_sub(1)..bar + 1;
        let near = |hit: &&Hit| window.contains(&(hit.step / steps));
        let written = variation.hits.iter().filter(near).copied().collect();
        let mut hits = (self.shape)(written, window.clone());
        hits.retain(|hit| hit.step / steps == bar);
        self.new.push(NewBar { variation: index, bar, hits });
    }
}

impl Hear for Listener<'_> {
    fn hear(&mut self, index: usize, id: u32) {
        self.tokens += 1;
        if is_bar(id) {
            self.close(index);
            self.variations[index].begun += 1;
        }
        self.variations[index].ids.push(id);
    }

    fn end(&mut self, index: usize) {
        self.close(index);
    }

    fn report(&mut self) -> Result<(), stage::Error> {
        let mut new = std::mem::take(&mut self.new);
        new.sort_by_key(|bar| (bar.variation, bar.bar));
        let bars = self.variations.iter().map(|variation| variation.bars).min().unwrap_or(0);
        let progress = Progress { tokens: self.tokens, bars, total_bars: self.total_bars, new };
        if self.watch.progress(&progress).is_break() { Err(stage::Error::Cancelled) } else { Ok(()) }
    }

    fn changed(&mut self) -> Result<Option<Sampler>, stage::Error> {
        let Some(sampling) = self.watch.sampling() else { return Ok(None) };
        let sampler = sampling.check().and_then(|()| sampler(sampling)).map_err(|error| match error {
            Error::Range { field, allowed, got } => stage::Error::Range { field, allowed, got },
            other => stage::Error::Model(other.to_string()),
        })?;
        self.sampling = sampling;
        Ok(Some(sampler))
    }
}
