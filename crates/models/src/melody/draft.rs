//! A lead sheet while it is written: what its tokens so far say, and which of its bars are settled.

use std::sync::Arc;

use partita_tokens::song::{Part, Reader, Token};

use super::write::{Task, join, name_chords, task};
use super::{Error, Harmony, Lead, Request};

/// One variation of a request, as far as its tokens have been heard.
#[derive(Clone)]
pub struct Draft {
    request: Arc<Request>,
    task: Arc<Task>,
    /// Bars that are written, in their order, and how many of them have begun.
    bars: Arc<[u32]>,
    begun: usize,
    reader: Reader,
    ids: Vec<u32>,
}

impl Draft {
    /// Before the first token of `request`.
    ///
    /// # Errors
    /// As [`Writer::write`](super::Writer::write), before anything is written.
    pub fn new(request: &Request) -> Result<Draft, Error> {
        let task = task(request)?;
        let bars = task.written();
        let reader = Reader::new(task.given.cells_per_bar(), bars.iter().copied());
        Ok(Draft {
            request: Arc::new(request.clone()),
            task: Arc::new(task),
            bars: bars.into(),
            begun: 0,
            reader,
            ids: Vec::new(),
        })
    }

    /// Takes the next token.
    pub fn read(&mut self, id: u32) {
        self.begun += usize::from(matches!(Token::from_id(id), Some(Token::Bar(_))));
        self.reader.read(id);
        self.ids.push(id);
    }

    /// Bars that have begun.
    pub fn begun(&self) -> u32 {
        self.begun as u32
    }

    /// How many bars of the piece no later token can change: all before the one being written, but not one in which a
    /// note begins that still sounds, nor, if `chords` count, one whose last chord may go on.
    pub fn settled(&self, chords: bool) -> u32 {
        let Some(&bar) = self.begun.checked_sub(1).and_then(|index| self.bars.get(index)) else { return 0 };
        let length = self.task.given.cells_per_bar();
        let note = self.reader.ringing(Part::Melody).map(|(onset, _)| onset / length);
        let chord = if chords && self.writes_chords() { self.sounding() } else { None };
        bar.min(note.unwrap_or(bar)).min(chord.map_or(bar, |onset| onset / length))
    }

    /// As a lead sheet, with the bars that are still to come empty. Likelihoods and the prompt are left out.
    pub fn lead(&self, variation: usize) -> Lead {
        let piece = join(&self.task, &self.bars, self.reader.clone());
        let chords = name_chords(&piece, &self.request);
        let kept = self.task.demands.locked.clone();
        let (prompt, ids) = (Vec::new(), self.ids.clone());
        Lead { piece, chords, kept, variation, nats: 0.0, cost: 0.0, prompt, ids }
    }

    fn writes_chords(&self) -> bool {
        self.request.harmony == Harmony::Written && self.task.open.iter().any(|hidden| hidden.chords)
    }

    /// Where the chord began that sounds last, given or written: told again at bar lines, it is still the same one.
    fn sounding(&self) -> Option<u32> {
        let length = self.task.given.cells_per_bar();
        let written = |bar: u32| self.bars.contains(&bar) && self.task.open[bar as usize].chords;
        let begun = &self.bars[..self.begun.min(self.bars.len())];
        let end = begun.last().map_or(0, |bar| (bar + 1) * length);
        let given = self.task.given.chords.iter().filter(|(at, _)| *at < end && !written(at / length));
        let mut chords: Vec<_> = given.chain(&self.reader.chords).collect();
        chords.sort_by_key(|(at, _)| *at);
        chords.dedup_by_key(|(_, class)| *class);
        chords.last().map(|(at, _)| *at)
    }
}
