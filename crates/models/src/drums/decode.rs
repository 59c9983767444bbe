//! Tokens from the network, several sequences a pass, each under its own grammar.

use std::ops::ControlFlow;

use partita_nn::{Decoder, KvPrecision, Rng, Sampler, SequenceId, log_probability};
use partita_tokens::drums::{Grammar, Token, VOCAB};

use super::drummer::{Compute, Drummer};
use super::{Error, Style};

/// One sequence to be continued until its grammar is done.
pub(crate) struct Job {
    /// Tokens that always stay in the context.
    pub prompt: Vec<u32>,
    /// Tokens of the same section that came before; the oldest bars go when the context is full.
    pub given: Vec<u32>,
    pub grammar: Grammar,
    pub rng: Rng,
    pub sampler: Sampler,
}

/// What a job became.
pub(crate) struct Output {
    /// Generated tokens, the end left out.
    pub ids: Vec<u32>,
    pub rng: Rng,
    /// Negative log-likelihood of the generated tokens under the unconstrained model, in nats.
    pub nats: f64,
}

/// Progress of a call: tokens so far, and bars begun of the slowest sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub tokens: usize,
    pub bars: u32,
    pub total_bars: u32,
}

/// Told after every step; `Break` stops the work with [`Error::Cancelled`].
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Room a bar usually needs: below this the context is rebuilt at the bar line.
const BAR_TOKENS: usize = 160;

struct Lane {
    job: Job,
    sequence: SequenceId,
    output: Output,
    /// Chosen, not yet fed.
    next: u32,
}

/// Runs all jobs side by side.
pub(crate) fn decode(
    drummer: &Drummer,
    compute: &Compute,
    style: &Style,
    jobs: Vec<Job>,
    watch: Watch,
) -> Result<Vec<Output>, Error> {
    let model = |e: partita_nn::Error| Error::Model { name: "drums".into(), message: e.to_string() };
    let added = drummer.style_vector(style);
    let context = drummer.config.context;
    let mut decoder = Decoder::new(&drummer.gpt, compute.pool.clone(), compute.path, KvPrecision::F32);
    let total_bars = jobs.iter().map(|job| job.grammar.total_bars()).max().unwrap_or(0);
    let mut lanes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let sequence = decoder.join(Some(added));
        let output = Output { ids: vec![], rng: job.rng.clone(), nats: 0.0 };
        let mut lane = Lane { job, sequence, output, next: 0 };
        decoder.prefill(sequence, &lane.tail(context)?).map_err(model)?;
        let logits = decoder.last_logits(sequence).map_err(model)?.expect("the prompt is never empty");
        lane.choose(logits)?;
        lanes.push(lane);
    }
    let mut tokens = 0;
    loop {
        let steps: Vec<_> =
            lanes.iter().filter(|l| !l.job.grammar.is_done()).map(|l| (l.sequence, l.next)).collect();
        if steps.is_empty() {
            break;
        }
        tokens += steps.len();
        let bars = lanes.iter().map(|lane| lane.job.grammar.bars()).min().unwrap_or(0);
        if watch(Progress { tokens, bars, total_bars }).is_break() {
            return Err(Error::Cancelled);
        }
        let logits = decoder.step(&steps).map_err(model)?;
        for (i, lane) in lanes.iter_mut().filter(|lane| !lane.job.grammar.is_done()).enumerate() {
            lane.choose(logits.row(i))?;
            let room = context - decoder.position(lane.sequence).map_err(model)?;
            if lane.job.grammar.is_done() {
                continue;
            }
            if room == 1 || (room < BAR_TOKENS && lane.job.grammar.at_bar_line()) {
                // The chosen token is fed next, so everything before it is the new context.
                decoder.truncate(lane.sequence, 0).map_err(model)?;
                decoder.prefill(lane.sequence, &lane.tail(context)?).map_err(model)?;
            }
        }
    }
    Ok(lanes.into_iter().map(|lane| Output { rng: lane.job.rng, ..lane.output }).collect())
}

impl Lane {
    /// Prompt and the newest whole bars that leave half of the context free.
    fn tail(&self, context: usize) -> Result<Vec<u32>, Error> {
        let fed = self.output.ids.len().saturating_sub(1);
        let section: Vec<u32> = self.job.given.iter().chain(&self.output.ids[..fed]).copied().collect();
        let is_bar = |id: u32| matches!(Token::from_id(id), Some(Token::Bar(_) | Token::FillBar(_)));
        let room = context.saturating_sub(self.job.prompt.len() + BAR_TOKENS);
        let keep = if section.len() <= room {
            0
        } else {
            let mut starts = (0..section.len()).filter(|&i| is_bar(section[i]));
            let last = starts.clone().next_back().unwrap_or(0);
            starts.find(|start| section.len() - start <= room / 2).unwrap_or(last)
        };
        let ids: Vec<u32> = self.job.prompt.iter().chain(&section[keep..]).copied().collect();
        if ids.len() + 8 > context {
            return Err(Error::Crowded { bar: self.job.grammar.bars(), hits: ids.len() / 4 });
        }
        Ok(ids)
    }

    /// Chooses the next token from the logits that follow everything fed so far.
    fn choose(&mut self, logits: &[f32]) -> Result<(), Error> {
        let mut mask = [false; VOCAB as usize];
        self.job.grammar.mask(&mut mask);
        let error = |e: partita_nn::Error| Error::Model { name: "drums".into(), message: e.to_string() };
        let id = self.job.sampler.sample(logits, &[], Some(&mask), &mut self.job.rng).map_err(error)?;
        self.job.grammar.advance(id)?;
        if !self.job.grammar.is_done() {
            self.output.ids.push(id);
        }
        self.output.nats -= log_probability(logits, id);
        self.next = id;
        Ok(())
    }
}
