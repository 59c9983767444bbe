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

/// From this many rows a thread on, each thread takes rows of its own through the whole network instead of its part of
/// every product: one join a step, not one a product.
const ROWS_APART: usize = 2;
/// Then every thread reads all weights, so this is only done with weights, in bytes, that stay in a shared cache.
const WEIGHTS_APART: usize = 16 << 20;
/// Positions whose attention takes as long as the products of a row.
const POSITIONS_A_ROW: usize = 512;

/// A sequence of one [`Decoder`]. No longer valid once the sequence has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceId {
    slot: usize,
    generation: u64,
}

/// What a sequence reads at a position: a token, and rows of the table of features.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub token: u32,
    /// Each in `0..F`; their rows are added to the token's.
    pub features: &'a [u32],
}

impl From<u32> for Input<'_> {
    fn from(token: u32) -> Self {
        Input { token, features: &[] }
    }
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
    /// One for each thread, once a step is large enough to be cut.
    crews: Vec<Crew>,
}

/// What a thread needs to take rows through the network by itself.
struct Crew {
    compute: Compute,
    buffers: Buffers,
    logits: Vec<f32>,
}

/// Rows of neighbouring slots, and those slots.
struct Part<'a> {
    crew: &'a mut Crew,
    /// Their slots are counted from the first of `slots`.
    rows: &'a [Row],
    slots: &'a mut [Slot],
    memories: &'a mut [Memory],
    features: &'a [u32],
}

impl Part<'_> {
    fn run(&mut self, gpt: &Gpt) {
        let Crew { compute, buffers, logits } = &mut *self.crew;
        let vocab = gpt.config.vocab;
        let hidden = forward(gpt, compute, self.memories, self.rows, self.features, buffers, &mut None);
        logits.resize(self.rows.len() * vocab, 0.0);
        compute.matmul(&gpt.head, hidden, After::Store, logits);
        for (row, logits) in self.rows.iter().zip(logits.chunks_exact(vocab)) {
            self.slots[row.slot].take(logits);
        }
    }
}

impl Slot {
    /// Notes that a token was taken, and what follows it.
    fn take(&mut self, logits: &[f32]) {
        self.position += 1;
        self.last.clear();
        self.last.extend_from_slice(logits);
    }
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
            crews: Vec::new(),
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
    pub fn prefill<'a, I>(&mut self, sequence: SequenceId, inputs: &[I]) -> Result<()>
    where
        I: Into<Input<'a>> + Copy,
    {
        let slot = self.find(sequence)?;
        self.check_inputs(slot, inputs)?;
        self.run(slot, inputs, None, &mut None);
        Ok(())
    }

    /// Takes one token for each of these sequences and returns their logits, in the same order.
    ///
    /// # Errors
    /// [`Error::UnknownSequence`], [`Error::RepeatedSequence`], [`Error::Token`] out of range,
    /// [`Error::ContextFull`]; all sequences are then unchanged.
    pub fn step<'a, I>(&mut self, inputs: &[(SequenceId, I)]) -> Result<Logits>
    where
        I: Into<Input<'a>> + Copy,
    {
        self.advance(inputs)?;
        let vocab = self.gpt.config.vocab;
        let mut values = Vec::with_capacity(inputs.len() * vocab);
        for (sequence, _) in inputs {
            values.extend_from_slice(&self.slots[sequence.slot].last);
        }
        Ok(Logits { vocab, values })
    }

    /// [`step`](Self::step) without a copy of the logits, which are in [`last_logits`](Self::last_logits).
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn advance<'a, I>(&mut self, inputs: &[(SequenceId, I)]) -> Result<()>
    where
        I: Into<Input<'a>> + Copy,
    {
        let (mut rows, mut features) = (Vec::with_capacity(inputs.len()), Vec::new());
        for &(sequence, input) in inputs {
            let slot = self.find(sequence)?;
            self.check_inputs(slot, &[input])?;
            rows.push(row(slot, self.slots[slot].position, input, &mut features));
        }
        rows.sort_unstable_by_key(|row| row.slot);
        if rows.windows(2).any(|pair| pair[0].slot == pair[1].slot) {
            return Err(Error::RepeatedSequence);
        }
        let threads = self.compute.pool().threads();
        let cached = self.gpt.bytes_per_step() <= WEIGHTS_APART;
        if threads > 1 && cached && rows.len() >= ROWS_APART * threads {
            self.advance_apart(&mut rows, &features, threads);
        } else if !rows.is_empty() {
            self.advance_together(&rows, &features);
        }
        Ok(())
    }

    /// All threads share each product.
    fn advance_together(&mut self, rows: &[Row], features: &[u32]) {
        let gpt = &*self.gpt;
        let vocab = gpt.config.vocab;
        let (memories, buffers) = (&mut self.memories, &mut self.buffers);
        let hidden = forward(gpt, &mut self.compute, memories, rows, features, buffers, &mut None);
        self.picked.resize(rows.len() * vocab, 0.0);
        self.compute.matmul(&gpt.head, hidden, After::Store, &mut self.picked);
        for (row, logits) in rows.iter().zip(self.picked.chunks_exact(vocab)) {
            self.slots[row.slot].take(logits);
        }
    }

    /// Each thread takes some of the rows, which are in the order of their slots.
    fn advance_apart(&mut self, rows: &mut [Row], features: &[u32], threads: usize) {
        let path = self.compute.path();
        while self.crews.len() < threads {
            // No threads of its own: it runs inside a task.
            let alone = Pool::new(1).expect("one thread is always allowed, and starts none");
            let compute = Compute::new(Arc::new(alone), path);
            self.crews.push(Crew { compute, buffers: Buffers::default(), logits: Vec::new() });
        }
        let gpt = &*self.gpt;
        let cost = |row: &Row| POSITIONS_A_ROW + row.position;
        let mut left: usize = rows.iter().map(cost).sum();
        let (mut rows, mut slots, mut memories) = (rows, &mut self.slots[..], &mut self.memories[..]);
        let mut parts = Vec::with_capacity(threads);
        let mut first = 0;
        for (index, crew) in self.crews.iter_mut().enumerate() {
            let others = threads - index - 1;
            // An equal share of what is left, and a row at least for each.
            let (mut count, mut mine) = (0, 0);
            while count < rows.len() - others && (count == 0 || others == 0 || mine * (others + 1) < left) {
                mine += cost(&rows[count]);
                count += 1;
            }
            left -= mine;
            let (mine, other_rows) = rows.split_at_mut(count);
            let end = mine[count - 1].slot + 1;
            let (my_slots, other_slots) = slots.split_at_mut(end - first);
            let (my_memories, other_memories) = memories.split_at_mut(end - first);
            mine.iter_mut().for_each(|row| row.slot -= first);
            parts.push(Part { crew, rows: mine, slots: my_slots, memories: my_memories, features });
            (rows, slots, memories, first) = (other_rows, other_slots, other_memories, end);
        }
        self.compute
            .pool()
            .for_chunks(&mut parts, 1, |_, part| part.iter_mut().for_each(|part| part.run(gpt)));
    }

    /// The logits `[L, V]` of every position of a sequence of its own, which does not stay.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn forward_all<'a, I>(&mut self, added: Option<&[f32]>, inputs: &[I]) -> Result<Logits>
    where
        I: Into<Input<'a>> + Copy,
    {
        self.forward_whole(added, inputs, None)
    }

    /// [`forward_all`](Self::forward_all), recording hidden states (and attention) in `tap`.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn forward_tapped<'a, I>(
        &mut self,
        added: Option<&[f32]>,
        inputs: &[I],
        tap: &mut Tap,
    ) -> Result<Logits>
    where
        I: Into<Input<'a>> + Copy,
    {
        self.forward_whole(added, inputs, Some(tap))
    }

    fn forward_whole<'a, I>(
        &mut self,
        added: Option<&[f32]>,
        inputs: &[I],
        mut tap: Option<&mut Tap>,
    ) -> Result<Logits>
    where
        I: Into<Input<'a>> + Copy,
    {
        let sequence = self.join(added);
        let result = self.check_inputs(sequence.slot, inputs).map(|()| {
            let config = &self.gpt.config;
            if let Some(tap) = &mut tap {
                tap.hidden = vec![Vec::new(); config.layers + 1];
                let len = if tap.wants_attention { inputs.len() } else { 0 };
                tap.attention =
                    vec![vec![0.0; config.heads * len * len]; if len > 0 { config.layers } else { 0 }];
            }
            let mut logits = Logits { vocab: config.vocab, values: vec![0.0; inputs.len() * config.vocab] };
            self.run(sequence.slot, inputs, Some(&mut logits.values), &mut tap);
            logits
        });
        self.leave(sequence);
        result
    }

    /// Runs checked tokens through, with logits for all of them or for the last.
    fn run<'a, I>(&mut self, slot: usize, inputs: &[I], all: Option<&mut [f32]>, tap: &mut Option<&mut Tap>)
    where
        I: Into<Input<'a>> + Copy,
    {
        let gpt = &*self.gpt;
        let (width, vocab) = (gpt.config.width, gpt.config.vocab);
        let mut all = all.map(|values| values.chunks_mut(PREFILL_ROWS * vocab));
        let chunks = inputs.chunks(PREFILL_ROWS);
        let mut features = Vec::new();
        let last_chunk = chunks.len().saturating_sub(1);
        for (index, chunk) in chunks.enumerate() {
            let first = self.slots[slot].position;
            features.clear();
            let rows: Vec<Row> = chunk
                .iter()
                .enumerate()
                .map(|(at, &input)| row(slot, first + at, input, &mut features))
                .collect();
            let (memories, buffers) = (&mut self.memories, &mut self.buffers);
            let hidden = forward(gpt, &mut self.compute, memories, &rows, &features, buffers, tap);
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

    fn check_inputs<'a, I>(&self, slot: usize, inputs: &[I]) -> Result<()>
    where
        I: Into<Input<'a>> + Copy,
    {
        let config = &self.gpt.config;
        let got = self.slots[slot].position + inputs.len();
        if got > config.context {
            return Err(Error::ContextFull { context: config.context, got });
        }
        for &input in inputs {
            let Input { token, features } = input.into();
            if token as usize >= config.vocab {
                return Err(Error::Token { vocab: config.vocab, got: token });
            }
            if let Some(&got) = features.iter().find(|&&feature| feature as usize >= config.features) {
                return Err(Error::Feature { features: config.features, got });
            }
        }
        Ok(())
    }
}

/// The row of an input; its features go to the end of `features`.
fn row<'a>(slot: usize, position: usize, input: impl Into<Input<'a>>, features: &mut Vec<u32>) -> Row {
    let input = input.into();
    let start = features.len();
    features.extend_from_slice(input.features);
    Row { slot, token: input.token, position, features: (start, features.len()) }
}
