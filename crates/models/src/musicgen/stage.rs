//! Clips in progress: all of them meet in each step.
//!
//! A clip longer than the model's 30 seconds is played in windows: the codes of the last 12 seconds of one are the
//! prompt of the next, so nothing is heard of the seam. What a clip gets depends on its own request and seed alone.
//!
//! Source: MusicGen's `generate_continuation` for the windows.

use partita_nn::{Rng, Sampler, guide};

use super::Error;
use super::decoder::{BranchId, Decoder};
use super::pattern::Pattern;

/// Frames of a window, 30 seconds, and how far the next one begins after it, 18 seconds.
const WINDOW: usize = 1500;
const STRIDE: usize = 900;

/// What a branch is told before its codes.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// `[L, D]`: rows that every layer attends to; empty for none.
    pub text: Vec<f32>,
    /// `[N, D]`: rows before the codes; empty for none.
    pub prefix: Vec<f32>,
}

/// A clip to play.
pub struct Clip {
    pub condition: Condition,
    /// What guidance leads away from, and how far; without it `condition` alone is played.
    pub guidance: Option<(Condition, f32)>,
    pub sampler: Sampler,
    pub rng: Rng,
    /// `[K][P]`: codes the clip begins with.
    pub prompt: Vec<Vec<u32>>,
    /// Frames in all, the prompt included.
    pub frames: usize,
}

/// Clips over one decoder.
pub struct Stage {
    decoder: Decoder,
    codebooks: usize,
    channels: usize,
    start: u32,
    playing: Vec<Playing>,
}

struct Playing {
    tag: u64,
    clip: Clip,
    /// `[K]`, codes known so far; later codebooks lag.
    codes: Vec<Vec<u32>>,
    /// First frame of the window.
    from: usize,
    pattern: Pattern,
    with: BranchId,
    without: Option<BranchId>,
    /// Columns of the window that are known.
    columns: usize,
    /// Frames that have been told.
    told: usize,
}

/// News of a clip: frames `from..` of all codebooks, `[K][N]`, that will not change any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    pub tag: u64,
    pub codes: Vec<Vec<u32>>,
    /// Whether the clip has ended.
    pub last: bool,
}

impl Stage {
    /// An empty stage. `channels`: of the model.
    pub fn new(decoder: Decoder, codebooks: usize, channels: usize, start: u32) -> Stage {
        Stage { decoder, codebooks, channels, start, playing: Vec::new() }
    }

    /// Positions that a branch needs for any window, with a prefix of `prefix` rows.
    pub fn capacity(prefix: usize, codebooks: usize) -> usize {
        prefix + WINDOW + codebooks
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Clips in progress.
    pub fn clips(&self) -> usize {
        self.playing.len()
    }

    /// Begins a clip; the prompt is read at once.
    ///
    /// # Errors
    /// [`Error::Range`] for a prompt that does not fit the clip or the model.
    pub fn join(&mut self, tag: u64, clip: Clip) -> Result<(), Error> {
        let prompt = clip.prompt.first().map_or(0, Vec::len);
        let even = clip.prompt.iter().all(|codes| codes.len() == prompt);
        if prompt > 0 && (clip.prompt.len() != self.codebooks || !even) {
            return Err(Error::range("codebooks of the prompt", self.codebooks, clip.prompt.len()));
        }
        if let Some(code) = clip.prompt.iter().flatten().find(|&&code| code >= self.start) {
            return Err(Error::range("code of the prompt", format!("0..{}", self.start), code));
        }
        if clip.frames <= prompt {
            return Err(Error::range("frames", format!("{} and more", prompt + 1), clip.frames));
        }
        let codes = if prompt == 0 { vec![Vec::new(); self.codebooks] } else { clip.prompt.clone() };
        let with =
            self.decoder.join(Some(&clip.condition.text).filter(|rows| !rows.is_empty()).map(Vec::as_slice));
        let without = clip.guidance.as_ref().map(|(condition, _)| {
            let text = Some(&condition.text).filter(|rows| !rows.is_empty());
            self.decoder.join(text.map(Vec::as_slice))
        });
        let from = if prompt > STRIDE { prompt - (WINDOW - STRIDE) } else { 0 };
        let pattern = Pattern { codebooks: self.codebooks, channels: self.channels, frames: 0 };
        let mut playing = Playing { tag, clip, codes, from, pattern, with, without, columns: 0, told: 0 };
        self.open_window(&mut playing)?;
        self.playing.push(playing);
        Ok(())
    }

    /// Ends a clip early.
    pub fn leave(&mut self, tag: u64) {
        if let Some(at) = self.playing.iter().position(|playing| playing.tag == tag) {
            let playing = self.playing.remove(at);
            self.decoder.leave(playing.with);
            playing.without.into_iter().for_each(|branch| self.decoder.leave(branch));
        }
    }

    /// One column for every clip; `heard` gets the frames that are complete now.
    ///
    /// # Errors
    /// Logits that are no numbers.
    pub fn step(&mut self, heard: &mut Vec<Frames>) -> Result<(), Error> {
        let columns: Vec<Vec<u32>> =
            self.playing.iter().map(|clip| clip.column(clip.columns - 1, self.start)).collect();
        let mut rows: Vec<(BranchId, &[u32])> = Vec::new();
        for (clip, column) in self.playing.iter().zip(&columns) {
            rows.push((clip.with, column));
        }
        for (clip, column) in self.playing.iter().zip(&columns) {
            rows.extend(clip.without.map(|branch| (branch, column.as_slice())));
        }
        // Branches with a text have to come first.
        rows.sort_by_key(|(branch, _)| !self.decoder.has_text(*branch));
        let place = |branch: BranchId| rows.iter().position(|(other, _)| *other == branch);
        let places: Vec<_> =
            self.playing.iter().map(|clip| (place(clip.with), clip.without.and_then(place))).collect();
        let logits = self.decoder.step(&rows);
        let width = logits.len() / rows.len().max(1);
        for (clip, (with, without)) in self.playing.iter_mut().zip(places) {
            let row = |at: usize| &logits[at * width..][..width];
            clip.choose(row(with.expect("every clip is in the step")), without.map(row))?;
        }
        for at in (0..self.playing.len()).rev() {
            let ended = self.playing[at].columns == self.playing[at].pattern.columns();
            heard.extend(self.playing[at].news());
            if ended && self.playing[at].told == self.playing[at].clip.frames {
                let tag = self.playing[at].tag;
                self.leave(tag);
            } else if ended {
                let mut playing = self.playing.remove(at);
                playing.from += STRIDE;
                self.open_window(&mut playing)?;
                self.playing.insert(at, playing);
            }
        }
        Ok(())
    }

    /// Begins a window at `from`: what is known of it is read, and the first new column drawn.
    fn open_window(&mut self, playing: &mut Playing) -> Result<(), Error> {
        playing.pattern.frames = (playing.clip.frames - playing.from).min(WINDOW);
        let known = playing.codes[0].len() - playing.from;
        // The lagging codebooks of the prompt are known beyond this column; they are taken from the prompt then.
        playing.columns = known + 1;
        let columns: Vec<Vec<u32>> = (0..=known).map(|column| playing.column(column, self.start)).collect();
        let mut read = |branch: BranchId, condition: &Condition| {
            self.decoder.restart(branch);
            self.decoder.prefix(branch, &condition.prefix);
            self.decoder.prefill(branch, &columns).to_vec()
        };
        let with = read(playing.with, &playing.clip.condition);
        let without = match (&playing.clip.guidance, playing.without) {
            (Some((condition, _)), Some(branch)) => Some(read(branch, condition)),
            _ => None,
        };
        playing.choose(&with, without.as_deref())
    }
}

impl Playing {
    /// Column `column` of the window, `[K]`, as far as it is known.
    fn column(&self, column: usize, start: u32) -> Vec<u32> {
        let code =
            |k: usize| self.pattern.frame(k, column).map_or(start, |frame| self.codes[k][self.from + frame]);
        (0..self.pattern.codebooks).map(code).collect()
    }

    /// Draws what is free of the next column from logits `[K, V]`, with and without the condition.
    fn choose(&mut self, with: &[f32], without: Option<&[f32]>) -> Result<(), Error> {
        let guided = match (without, &self.clip.guidance) {
            (Some(without), Some((_, scale))) => Some(guide(with, without, *scale)),
            _ => None,
        };
        let logits = guided.as_deref().unwrap_or(with);
        let vocab = logits.len() / self.pattern.codebooks;
        for (k, logits) in logits.chunks_exact(vocab).enumerate() {
            let free = self.pattern.frame(k, self.columns).map(|frame| self.from + frame);
            if free == Some(self.codes[k].len()) {
                self.codes[k].push(self.clip.sampler.sample(logits, &[], None, &mut self.clip.rng)?);
            }
        }
        self.columns += 1;
        Ok(())
    }

    fn news(&mut self) -> Option<Frames> {
        let complete = self.from + self.pattern.complete(self.columns);
        let from = self.told;
        if complete <= from {
            return None;
        }
        self.told = complete;
        let codes = self.codes.iter().map(|codes| codes[from..complete].to_vec()).collect();
        Some(Frames { tag: self.tag, codes, last: complete == self.clip.frames })
    }
}
