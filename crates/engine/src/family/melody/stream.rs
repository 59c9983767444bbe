//! Bars of a melody told while later ones are still being written.
//!
//! A note that rings over a bar line gets its end in the next bar, and a chord lasts until the next one: a bar is told
//! once none of its notes can change any more, with the notes it has in the finished piece.

use partita_models::melody::Draft;

use super::ask::{Ask, Into};
use super::play::score;
use crate::family::Report;
use crate::family::deliver::notes_of;
use crate::{Fault, Note};

/// Follows the tokens of all variations of a request.
pub(crate) struct Stream<'a> {
    ask: &'a Ask,
    only_new: bool,
    /// Of the given music what sounds in new bars: copied for every bar that is told.
    music: Option<super::line::Tune>,
    /// By variation, with the next bar to tell.
    drafts: Vec<(Draft, u32)>,
}

impl<'a> Stream<'a> {
    /// # Errors
    /// `Internal` for a request that cannot be written: it was checked.
    pub fn new(ask: &'a Ask, only_new: bool) -> Result<Stream<'a>, Fault> {
        let draft = Draft::new(&ask.request).map_err(Fault::internal)?;
        let music = ask.music.as_ref();
        let music =
            music.map(|music| if ask.into == Into::Chords { music.clone() } else { ask.around(music) });
        Ok(Stream { ask, only_new, music, drafts: vec![(draft, ask.new.start); ask.request.variations] })
    }

    /// Takes a token, and tells the bars that it settles.
    pub fn hear(&mut self, variation: usize, id: u32, report: &mut dyn Report) {
        let draft = &mut self.drafts[variation].0;
        draft.read(id);
        let settled = draft.settled(self.ask.into != Into::Melody);
        self.tell(variation, settled, report);
    }

    /// After its last token, all bars are settled.
    pub fn end(&mut self, variation: usize, report: &mut dyn Report) {
        self.tell(variation, self.ask.new.end, report);
    }

    /// New bars that each variation will have in the end.
    pub fn bars(&self) -> u32 {
        self.ask.new.end - self.ask.new.start
    }

    /// New bars that a variation has begun.
    pub fn begun(&self, variation: usize) -> u32 {
        self.drafts[variation].0.begun()
    }

    /// Tells all bars before `settled`, a bar of the piece that the writer sees.
    fn tell(&mut self, variation: usize, settled: u32, report: &mut dyn Report) {
        let (draft, next) = &mut self.drafts[variation];
        let bars = *next..settled.min(self.ask.new.end);
        if bars.is_empty() {
            return;
        }
        *next = bars.end;
        let notes = notes_of(&score(self.ask, self.music.as_ref(), self.only_new, &draft.lead(variation)));
        let length = self.ask.meter().beats_per_bar();
        for bar in bars {
            let bar = if self.only_new { bar - self.ask.new.start } else { bar + self.ask.first };
            let from = f64::from(bar) * length;
            let inside = |note: &&Note| note.start >= from && note.start < from + length;
            report.notes(None, variation, bar, from, notes.iter().filter(inside).cloned().collect());
        }
    }
}
