//! Decoding many sequences together.
//!
//! Sequences join and leave between steps. A step takes one token for some of them and returns the
//! logits of what follows; the weights are read once for all. **Rule:** what a sequence gets does not
//! depend on who else is in the step, nor on whether its tokens came one by one or in a prefill.

use std::sync::Arc;

use partita_kernels::{After, Compute, KvCache, KvPrecision, Path, Pool};

use crate::forward::{Buffers, Memory, Row, forward};
use crate::{Error, Gpt, Result, Tap};

/// Rows of one prefill pass: enough to be bound by arithmetic, few enough for the second-level cache.
const PREFILL_ROWS: usize = 64;

/// A sequence of one [`Decoder`]. No longer valid once the sequence has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceId {
    slot: usize,
    generation: u64,
}

/// Scores `[rows, V]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    vocab: usize,
    values: Vec<f32>,
}

impl Logits {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab
    }

    /// V.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// Row `i`, `[V]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.vocab..][..self.vocab]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

struct Slot {
    generation: u64,
    live: bool,
    position: usize,
    /// Logits after the last token; empty when there are none.
    last: Vec<f32>,
}

/// Sequences in flight over one network.
pub struct Decoder {
    gpt: Arc<Gpt>,
    compute: Compute,
    kv: KvPrecision,
    /// Slots and memories have the same indices; a slot whose sequence left is used again.
    slots: Vec<Slot>,
    memories: Vec<Memory>,
    buffers: Buffers,
    picked: Vec<f32>,
}

impl Decoder {
    /// An empty decoder.
    ///
    /// # Panics
    /// If this CPU does not have `path`.
    pub fn new(gpt: &Arc<Gpt>, pool: Arc<Pool>, path: Path, kv: KvPrecision) -> Decoder {
        Decoder {
            gpt: Arc::clone(gpt),
            compute: Compute::new(pool, path),
            kv,
            slots: Vec::new(),
            memories: Vec::new(),
            buffers: Buffers::default(),
            picked: Vec::new(),
        }
    }

    /// The network.
    pub fn gpt(&self) -> &Arc<Gpt> {
        &self.gpt
    }

    /// Adds an empty sequence. `added`: `[D]`, added to the embedding of each of its tokens.
    ///
    /// # Panics
    /// If `added` does not have the network's width.
    pub fn join(&mut self, added: Option<&[f32]>) -> SequenceId {
        let config = &self.gpt.config;
        let added = added.unwrap_or_default();
        assert!(added.is_empty() || added.len() == config.width, "added must have {} values", config.width);
        let slot = match self.slots.iter().position(|slot| !slot.live) {
            Some(slot) => slot,
            None => {
                let cache = || KvCache::new(config.heads, config.head_size(), config.context, self.kv);
                let layers = (0..config.layers).map(|_| cache()).collect();
                self.memories.push(Memory { layers, added: Vec::new() });
                self.slots.push(Slot { generation: 0, live: false, position: 0, last: Vec::new() });
                self.slots.len() - 1
            }
        };
        let entry = &mut self.slots[slot];
        entry.generation += 1;
        entry.live = true;
        entry.position = 0;
        entry.last.clear();
        let memory = &mut self.memories[slot];
        memory.added.clear();
        memory.added.extend_from_slice(added);
        memory.layers.iter_mut().for_each(|cache| cache.truncate(0));
        SequenceId { slot, generation: entry.generation }
    }

    /// Removes a sequence; its memory serves the next one. Does nothing if it has left before.
    pub fn leave(&mut self, sequence: SequenceId) {
        if let Ok(slot) = self.find(sequence) {
            self.slots[slot].live = false;
        }
    }

    /// Sequences that have joined and not left.
    pub fn sequences(&self) -> usize {
        self.slots.iter().filter(|slot| slot.live).count()
    }

    /// Tokens a sequence has taken so far: the position of its next one.
    ///
    /// # Errors
    /// [`Error::UnknownSequence`] once it has left.
    pub fn position(&self, sequence: SequenceId) -> Result<usize> {
        Ok(self.slots[self.find(sequence)?].position)
    }

    /// Logits `[V]` after the last token a sequence took; none before the first, or after a
    /// [`truncate`](Self::truncate) that forgot it.
    ///
    /// # Errors
    /// [`Error::UnknownSequence`] once it has left.
    pub fn last_logits(&self, sequence: SequenceId) -> Result<Option<&[f32]>> {
        let last = &self.slots[self.find(sequence)?].last;
        Ok(if last.is_empty() { None } else { Some(last) })
    }

    /// Forgets all positions from `len` on, so that other tokens can take their place.
    ///
    /// # Errors
    /// [`Error::Truncate`] unless `len` is in `0..=position`, [`Error::UnknownSequence`].
    pub fn truncate(&mut self, sequence: SequenceId, len: usize) -> Result<()> {
        let slot = self.find(sequence)?;
        let entry = &mut self.slots[slot];
        if len > entry.position {
            return Err(Error::Truncate { position: entry.position, got: len });
        }
        if len < entry.position {
            entry.last.clear();
            entry.position = len;
            self.memories[slot].layers.iter_mut().for_each(|cache| cache.truncate(len));
        }
        Ok(())
    }

    /// Takes many tokens of one sequence at once. The logits after the last one are in
    /// [`last_logits`](Self::last_logits).
    ///
    /// # Errors
    /// As [`step`](Self::step); the sequence is then unchanged.
    pub fn prefill(&mut self, sequence: SequenceId, tokens: &[u32]) -> Result<()> {
        let slot = self.find(sequence)?;
        self.check_tokens(slot, tokens)?;
        self.run(slot, tokens, None, &mut None);
        Ok(())
    }

    /// Takes one token for each of these sequences and returns their logits, in the same order.
    ///
    /// # Errors
    /// [`Error::UnknownSequence`], [`Error::RepeatedSequence`], [`Error::Token`] out of range,
    /// [`Error::ContextFull`]; all sequences are then unchanged.
    pub fn step(&mut self, tokens: &[(SequenceId, u32)]) -> Result<Logits> {
        let mut rows = Vec::with_capacity(tokens.len());
        for (index, &(sequence, token)) in tokens.iter().enumerate() {
            let slot = self.find(sequence)?;
            self.check_tokens(slot, &[token])?;
            if tokens[..index].iter().any(|(other, _)| *other == sequence) {
                return Err(Error::RepeatedSequence);
            }
            rows.push(Row { slot, token, position: self.slots[slot].position });
        }
        let vocab = self.gpt.config.vocab;
        let mut logits = Logits { vocab, values: vec![0.0; rows.len() * vocab] };
        if rows.is_empty() {
            return Ok(logits);
        }
        let gpt = &*self.gpt;
        let hidden = forward(gpt, &mut self.compute, &mut self.memories, &rows, &mut self.buffers, &mut None);
        self.compute.matmul(&gpt.head, hidden, After::Store, &mut logits.values);
        for (row, values) in rows.iter().zip(logits.values.chunks_exact(vocab)) {
            let slot = &mut self.slots[row.slot];
            slot.position += 1;
            slot.last.clear();
            slot.last.extend_from_slice(values);
        }
        Ok(logits)
    }

    /// The logits `[L, V]` of every position of a sequence of its own, which does not stay.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn forward_all(&mut self, added: Option<&[f32]>, tokens: &[u32]) -> Result<Logits> {
        self.forward_whole(added, tokens, None)
    }

    /// [`forward_all`](Self::forward_all), recording hidden states (and attention) in `tap`.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn forward_tapped(&mut self, added: Option<&[f32]>, tokens: &[u32], tap: &mut Tap) -> Result<Logits> {
        self.forward_whole(added, tokens, Some(tap))
    }

    fn forward_whole(
        &mut self,
        added: Option<&[f32]>,
        tokens: &[u32],
        mut tap: Option<&mut Tap>,
    ) -> Result<Logits> {
        let sequence = self.join(added);
        let result = self.check_tokens(sequence.slot, tokens).map(|()| {
            let config = &self.gpt.config;
            if let Some(tap) = &mut tap {
                tap.hidden = vec![Vec::new(); config.layers + 1];
                let len = if tap.wants_attention { tokens.len() } else { 0 };
                tap.attention =
                    vec![vec![0.0; config.heads * len * len]; if len > 0 { config.layers } else { 0 }];
            }
            let mut logits = Logits { vocab: config.vocab, values: vec![0.0; tokens.len() * config.vocab] };
            self.run(sequence.slot, tokens, Some(&mut logits.values), &mut tap);
            logits
        });
        self.leave(sequence);
        result
    }

    /// Runs checked tokens through, with logits for all of them or for the last.
    fn run(&mut self, slot: usize, tokens: &[u32], all: Option<&mut [f32]>, tap: &mut Option<&mut Tap>) {
        let gpt = &*self.gpt;
        let (width, vocab) = (gpt.config.width, gpt.config.vocab);
        let mut all = all.map(|values| values.chunks_mut(PREFILL_ROWS * vocab));
        let chunks = tokens.chunks(PREFILL_ROWS);
        let last_chunk = chunks.len().saturating_sub(1);
        for (index, chunk) in chunks.enumerate() {
            let first = self.slots[slot].position;
            let rows: Vec<Row> = chunk
                .iter()
                .enumerate()
                .map(|(at, &token)| Row { slot, token, position: first + at })
                .collect();
            let hidden = forward(gpt, &mut self.compute, &mut self.memories, &rows, &mut self.buffers, tap);
            let entry = &mut self.slots[slot];
            entry.position += chunk.len();
            if let Some(values) = all.as_mut().and_then(Iterator::next) {
                self.compute.matmul(&gpt.head, hidden, After::Store, values);
            } else if index == last_chunk {
                self.picked.clear();
                self.picked.extend_from_slice(&hidden[(chunk.len() - 1) * width..]);
                entry.last.resize(vocab, 0.0);
                self.compute.matmul(&gpt.head, &self.picked, After::Store, &mut entry.last);
            }
        }
    }

    fn find(&self, sequence: SequenceId) -> Result<usize> {
        match self.slots.get(sequence.slot) {
            Some(slot) if slot.live && slot.generation == sequence.generation => Ok(sequence.slot),
            _ => Err(Error::UnknownSequence),
        }
    }

    fn check_tokens(&self, slot: usize, tokens: &[u32]) -> Result<()> {
        let config = &self.gpt.config;
        let got = self.slots[slot].position + tokens.len();
        if got > config.context {
            return Err(Error::ContextFull { context: config.context, got });
        }
        match tokens.iter().find(|&&token| token as usize >= config.vocab) {
            Some(&got) => Err(Error::Token { vocab: config.vocab, got }),
            None => Ok(()),
        }
    }
}
