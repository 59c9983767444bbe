//! Sequences of many requests over one decoder, a token each a step, each under its own grammar.
//!
//! A sequence joins between any two steps. Its prompt is read in pieces ([`PREFILL_TOKENS`] a step) as long as others
//! wait for their next token, so a long prompt does not hold them up; the same goes for a context that is rebuilt.
//! **Rule:** what a sequence becomes does not depend on who else is on the stage, and its failure, even a panic, ends
//! no other. Only a fault inside the network's own step, which serves all, ends all that were in it.

use partita_nn::{Sampler, log_probability_under};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::network::{Decoders, Ids};
use super::{Compute, Error, Network, Played, Sequence};

/// Room that any usual bar needs.
const BAR_TOKENS: usize = 160;
/// Tokens of prompts read between two steps while somebody waits: one pass over the weights.
const PREFILL_TOKENS: usize = 64;
/// From this many sequences on, all cores choose tokens: masks, sorting and logarithms take some 10 us each.
const FORK_CHOICES: usize = 4;

/// Whose sequence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub request: u64,
    pub sequence: usize,
}

/// What a step brought for a sequence.
pub(crate) enum Heard {
    Token {
        id: u32,
        /// Whether it begins a bar.
        bar: bool,
    },
    /// It has left the stage.
    Ended(Result<Box<Played>, Error>),
}

/// The sequences in flight.
pub(crate) struct Stage {
    network: Network,
    compute: Compute,
    context: usize,
    decoder: Decoders,
    lanes: Vec<Lane>,
}

struct Lane {
    tag: Tag,
    id: Ids,
    job: Sequence,
    played: Played,
    /// Tokens to read before the next one is fed or chosen, the first `read` of them done.
    pending: Vec<u32>,
    read: usize,
    /// Chosen, not yet fed.
    next: Option<u32>,
    /// Whether this step fed it a token.
    stepped: bool,
    /// What the last choice brought.
    outcome: Option<Result<u32, Error>>,
}

impl Stage {
    pub fn new(network: &Network, compute: Compute) -> Stage {
        let decoder = Decoders::new(network, &compute);
        Stage { network: network.clone(), compute, context: network.context(), decoder, lanes: Vec::new() }
    }

    /// Sequences that have joined and not ended.
    pub fn live(&self) -> usize {
        self.lanes.len()
    }

    /// Adds a sequence; the next steps read its prompt. `added`: `[D]`, added to every
    /// input embedding; empty for none.
    ///
    /// # Errors
    /// [`Error::Crowded`] for a prompt that leaves no room.
    pub fn join(&mut self, tag: Tag, added: &[f32], job: Sequence) -> Result<(), Error> {
        let played = Played { ids: vec![], rng: job.rng.clone(), nats: 0.0, cost: 0.0 };
        let pending = tail(&job, &[], self.context)?;
        let id = self.decoder.join(added);
        self.lanes.push(Lane {
            tag,
            id,
            job,
            played,
            pending,
            read: 0,
            next: None,
            stepped: false,
            outcome: None,
        });
        Ok(())
    }

    /// Removes all sequences of a request.
    pub fn leave(&mut self, request: u64) {
        let decoder = &mut self.decoder;
        self.lanes.retain(|lane| {
            let stays = lane.tag.request != request;
            if !stays {
                decoder.leave(&lane.id);
            }
            stays
        });
    }

    /// Other settings for all tokens of a request that are not chosen yet.
    pub fn set_sampler(&mut self, request: u64, sampler: &Sampler) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.tag.request == request) {
            lane.job.sampler = sampler.clone();
        }
    }

    /// Gives back the memory of sequences that have left.
    pub fn trim(&mut self) {
        if self.lanes.is_empty() {
            self.decoder = Decoders::new(&self.network, &self.compute);
        }
    }

    /// One token for every sequence whose prompt is read. Returns how many the network stepped together.
    pub fn step(&mut self, heard: &mut Vec<(Tag, Heard)>) -> usize {
        self.read_prompts();
        let rows: Vec<(Ids, u32)> = self.lanes.iter_mut().filter_map(Lane::feed).collect();
        if !rows.is_empty() {
            let decoder = &mut self.decoder;
            if let Err(message) = guarded(|| decoder.advance(&rows)) {
                // The caches may hold half a step: nobody in it can go on.
                let all = self.lanes.drain(..);
                heard.extend(all.map(|lane| (lane.tag, Heard::Ended(Err(Error::Model(message.clone()))))));
                self.decoder = Decoders::new(&self.network, &self.compute);
                return rows.len();
            }
        }
        self.choose();
        self.settle(heard);
        rows.len()
    }

    /// Reads prompts: the shortest first, all of them if nobody waits for a token.
    fn read_prompts(&mut self) {
        let mut reading: Vec<usize> = (0..self.lanes.len()).filter(|&i| self.lanes[i].is_reading()).collect();
        reading.sort_by_key(|&i| self.lanes[i].pending.len() - self.lanes[i].read);
        let mut budget = if reading.len() < self.lanes.len() { PREFILL_TOKENS } else { usize::MAX };
        for i in reading {
            let (lane, decoder) = (&mut self.lanes[i], &mut self.decoder);
            let count = budget.min(lane.pending.len() - lane.read);
            if count == 0 {
                break;
            }
            budget -= count;
            let ids = &lane.pending[lane.read..][..count];
            match guarded(|| decoder.prefill(&lane.id, ids)) {
                Ok(()) => lane.read += count,
                Err(message) => lane.outcome = Some(Err(Error::Model(message))),
            }
        }
    }

    /// Chooses the next token of every lane that has none and has read everything.
    fn choose(&mut self) {
        let decoder = &self.decoder;
        let choose = |lane: &mut Lane| {
            if lane.is_reading() || lane.next.is_some() || lane.outcome.is_some() {
                return;
            }
            let choice = catch_unwind(AssertUnwindSafe(|| {
                let mut mixed = Vec::new();
                lane.choose(decoder.logits(&lane.id, &mut mixed)?)
            }));
            lane.outcome = Some(
                choice.unwrap_or_else(|_| Err(Error::Model("a fault while choosing a token".to_owned()))),
            );
        };
        if self.lanes.len() < FORK_CHOICES {
            self.lanes.iter_mut().for_each(choose);
        } else {
            self.compute.pool.for_chunks(&mut self.lanes, 1, |_, lanes| lanes.iter_mut().for_each(choose));
        }
    }

    /// Tells what was chosen, lets go of who has ended and makes room for who goes on.
    fn settle(&mut self, heard: &mut Vec<(Tag, Heard)>) {
        let mut i = 0;
        while i < self.lanes.len() {
            let lane = &mut self.lanes[i];
            let stepped = std::mem::take(&mut lane.stepped);
            let result = match lane.outcome.take() {
                None => Ok(()),
                Some(Err(error)) => Err(error),
                Some(Ok(_)) if lane.job.grammar.is_done() => Ok(()),
                Some(Ok(id)) => {
                    lane.next = Some(id);
                    heard.push((lane.tag, Heard::Token { id, bar: lane.job.grammar.is_bar(id) }));
                    if stepped { lane.make_room(&mut self.decoder, self.context) } else { Ok(()) }
                }
            };
            if result.is_ok() && !lane.job.grammar.is_done() {
                i += 1;
                continue;
            }
            // In order, so that requests hear their sequences in order.
            let lane = self.lanes.remove(i);
            self.decoder.leave(&lane.id);
            let played = result.map(|()| Box::new(Played { rng: lane.job.rng, ..lane.played }));
            heard.push((lane.tag, Heard::Ended(played)));
        }
    }
}

impl Lane {
    fn is_reading(&self) -> bool {
        self.read < self.pending.len()
    }

    /// Its next token, if it is ready for one.
    fn feed(&mut self) -> Option<(Ids, u32)> {
        if self.is_reading() || self.outcome.is_some() {
            return None;
        }
        let id = self.next.take()?;
        self.stepped = true;
        Some((self.id.clone(), id))
    }

    /// Chooses the next token from the logits that follow everything fed so far.
    fn choose(&mut self, logits: &[f32]) -> Result<u32, Error> {
        let Sequence { grammar, sampler, rng, .. } = &mut self.job;
        let mut mask = vec![false; logits.len()];
        grammar.mask(&mut mask);
        let penalised = sampler.sampling().repetition_penalty != 1.0;
        let repeats = |id: &&u32| penalised && grammar.repeats(**id);
        let history: Vec<u32> = self.played.ids.iter().filter(repeats).copied().collect();
        let leaning = grammar.lean(logits);
        let id = sampler.sample(leaning.as_deref().unwrap_or(logits), &history, Some(&mask), rng)?;
        let told = grammar.is_given();
        grammar.advance(id).map_err(|error| Error::Model(error.to_string()))?;
        if !grammar.is_done() {
            self.played.ids.push(id);
        }
        if !told {
            let (chosen, allowed) = log_probability_under(logits, id, &mask);
            self.played.nats -= chosen;
            self.played.cost -= allowed;
        }
        Ok(id)
    }

    /// Room the next bar should have: a quarter more than the longest so far took. Reading a context again costs as
    /// much as some bars do, and forgets others.
    fn next_bar(&self) -> usize {
        let section = self.job.given.iter().chain(&self.played.ids);
        let (mut longest, mut length) = (0, 0);
        for &id in section {
            length = if self.job.grammar.is_bar(id) { 1 } else { length + 1 };
            longest = longest.max(length);
        }
        (longest + longest / 4 + 8).min(BAR_TOKENS)
    }

    /// Starts a new context from the newest bars when the old one is nearly full.
    fn make_room(&mut self, decoder: &mut Decoders, context: usize) -> Result<(), Error> {
        let room = context - decoder.position(&self.id)?;
        if room == 1 || (room < BAR_TOKENS && self.job.grammar.at_bar_line() && room < self.next_bar()) {
            // The chosen token is fed next, so everything before it is the new context.
            let fed = self.played.ids.len() - 1;
            self.pending = tail(&self.job, &self.played.ids[..fed], context)?;
            self.read = 0;
            decoder.truncate(&self.id, 0)?;
        }
        Ok(())
    }
}

/// Prompt and the newest whole bars that leave half of the context free; of a bar that is too long alone, its newest
/// notes. `fed`: generated before.
fn tail(job: &Sequence, fed: &[u32], context: usize) -> Result<Vec<u32>, Error> {
    let section: Vec<u32> = job.given.iter().chain(fed).copied().collect();
    let room = context.saturating_sub(job.prompt.len() + BAR_TOKENS);
    let keep = if section.len() <= room {
        0
    } else {
        let mut starts = (0..section.len()).filter(|&i| job.grammar.is_bar(section[i]));
        let last = starts.clone().next_back().unwrap_or(0);
        starts.find(|start| section.len() - start <= room / 2).unwrap_or(last)
    };
    let most = context.saturating_sub(job.prompt.len() + 8);
    let mut events = (keep..section.len()).filter(|&i| job.grammar.is_event(section[i]));
    let late = events.find(|start| section.len() - start <= most / 2);
    let keep = if section.len() - keep > most { late.unwrap_or(keep) } else { keep };
    let ids: Vec<u32> = job.prompt.iter().chain(&section[keep..]).copied().collect();
    if ids.len() + 8 > context {
        return Err(Error::Crowded { bar: job.grammar.bars(), tokens: ids.len(), context });
    }
    Ok(ids)
}

/// An error of the network, or its panic, in words.
fn guarded(work: impl FnOnce() -> partita_nn::Result<()>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("a fault inside the network".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use partita_nn::{Path, Pool, Precision, Rng, Sampling};
    use partita_tokens::drums::{Constraints, Excerpt, Grammar, Prompt, Task, encode_prompt};

    use super::*;
    use crate::drums::Drummer;

    fn stage() -> (Drummer, Stage) {
        let drummer = Drummer::bundled(Precision::Int8).unwrap();
        let pool = Arc::new(Pool::new(2).unwrap());
        let stage = Stage::new(&drummer.network(), Compute { pool, path: Path::from_env().unwrap() });
        (drummer, stage)
    }

    fn sequence(seed: u64, bars: usize) -> Sequence {
        let grammar = Grammar::new(Constraints {
            excerpt: Excerpt { first_bar: 0, steps_per_bar: 16, fills: vec![false; bars] },
            open: vec![true; bars],
            lanes: [true; 9],
            velocities: 1..=127,
            hits_per_bar: 100,
            sounding: true,
        });
        let prompt = Prompt { task: Task::Generate, steps_per_bar: 16, tempo: 100.0, density: None };
        Sequence {
            prompt: encode_prompt(&prompt),
            given: vec![],
            grammar: Box::new(grammar.unwrap()),
            rng: Rng::new(seed, 0),
            sampler: Sampler::new(Sampling::default()).unwrap(),
        }
    }

    fn tag(request: u64) -> Tag {
        Tag { request, sequence: 0 }
    }

    /// Steps to the end; what each request came to.
    fn finish(stage: &mut Stage) -> Vec<(u64, Result<Vec<u32>, String>)> {
        let (mut heard, mut ended) = (Vec::new(), Vec::new());
        while stage.live() > 0 {
            stage.step(&mut heard);
            for (tag, event) in heard.drain(..) {
                if let Heard::Ended(result) = event {
                    ended.push((tag.request, result.map(|played| played.ids).map_err(|e| e.to_string())));
                }
            }
        }
        ended.sort_by_key(|(request, _)| *request);
        ended
    }

    fn alone(seed: u64, bars: usize) -> Vec<u32> {
        let (drummer, mut stage) = stage();
        stage.join(tag(0), drummer.style_vector(&drummer.any_style()), sequence(seed, bars)).unwrap();
        finish(&mut stage).remove(0).1.unwrap()
    }

    #[test]
    fn a_panic_or_an_error_in_one_sequence_ends_no_other() {
        let (drummer, mut stage) = stage();
        let added = drummer.style_vector(&drummer.any_style()).to_vec();
        // Without a prompt there are no logits to choose from, and the choice panics.
        let empty = Sequence { prompt: vec![], ..sequence(1, 2) };
        let unknown = Sequence { prompt: vec![5000], ..sequence(2, 2) };
        // As many as make the choices fork.
        for (request, job) in [(0, sequence(7, 2)), (1, empty), (2, unknown), (3, sequence(8, 2))] {
            stage.join(tag(request), &added, job).unwrap();
        }
        stage.join(tag(4), &added, sequence(9, 1)).unwrap();
        let ended = finish(&mut stage);
        assert_eq!(ended[0].1, Ok(alone(7, 2)));
        assert_eq!(ended[1].1, Err("a fault while choosing a token".to_owned()));
        assert_eq!(ended[2].1, Err("token must be in 0..183, got 5000".to_owned()));
        assert_eq!(ended[3].1, Ok(alone(8, 2)));
        assert_eq!(ended[4].1, Ok(alone(9, 1)));
    }

    #[test]
    fn sequences_join_and_leave_between_any_two_steps() {
        let (drummer, mut stage) = stage();
        let added = drummer.style_vector(&drummer.any_style()).to_vec();
        let mut heard = Vec::new();
        for request in 0..6 {
            stage.join(tag(request), &added, sequence(request, 1)).unwrap();
            (0..3).for_each(|_| _ = stage.step(&mut heard));
        }
        stage.leave(1);
        stage.leave(1);
        stage.join(tag(9), &added, sequence(1, 1)).unwrap();
        let ended = finish(&mut stage);
        let requests: Vec<u64> = ended.iter().map(|(request, _)| *request).collect();
        assert_eq!(requests, [0, 2, 3, 4, 5, 9]);
        for (request, result) in ended {
            let seed = if request == 9 { 1 } else { request };
            assert_eq!(result, Ok(alone(seed, 1)), "request {request}");
        }
        stage.trim();
        stage.join(tag(0), &added, sequence(3, 1)).unwrap();
        assert_eq!(finish(&mut stage)[0].1, Ok(alone(3, 1)));
    }

    #[test]
    fn a_long_prompt_is_read_in_pieces_while_others_play() {
        let (drummer, mut stage) = stage();
        let added = drummer.style_vector(&drummer.any_style()).to_vec();
        let long = || Sequence { given: alone(4, 5), ..sequence(5, 1) };
        let tokens = long().given.len();
        assert!(tokens > 2 * PREFILL_TOKENS, "{tokens} tokens are not long");
        let (_, mut other) = self::stage();
        other.join(tag(0), &added, long()).unwrap();
        let mut heard = Vec::new();
        other.step(&mut heard);
        assert_eq!(heard.len(), 1, "alone, it is read at once");
        let expected = finish(&mut other).remove(0).1;

        stage.join(tag(0), &added, sequence(6, 4)).unwrap();
        stage.step(&mut heard);
        stage.join(tag(1), &added, long()).unwrap();
        heard.clear();
        let mut steps = 0;
        while !heard.iter().any(|(tag, _)| tag.request == 1) {
            stage.step(&mut heard);
            steps += 1;
        }
        assert!(steps >= tokens.div_ceil(PREFILL_TOKENS), "{tokens} tokens in {steps} steps");
        assert_eq!(heard.len(), steps + 1, "the other one had a token in every step");
        let ended = finish(&mut stage);
        assert_eq!((&ended[0].1, &ended[1].1), (&Ok(alone(6, 4)), &expected));
    }
}
