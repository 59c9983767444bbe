//! Decoding: branches in flight over one language model.
//!
//! A branch is a sequence of columns under one condition; guidance runs two of them, with and without the text. All
//! branches of all requests meet in a step, which reads the weights once. **Rule:** what a branch gets does not depend
//! on who else is in the step, nor on whether its columns came one by one or together.
//!
//! A branch without a text skips cross-attention: its keys would all be masked, and without a bias nothing remains.

use std::sync::Arc;

use partita_kernels::{After, Compute, KvCache, KvPrecision, layer_norm};
use partita_nn::Tap;

use super::lm::{Lm, Norm};

/// Attention below this many multiplications stays on the calling thread.
const FORK_ATTENTION_ABOVE: usize = 16_384;
/// Rows of one prefill pass.
const PREFILL_ROWS: usize = 64;

/// A branch of one [`Decoder`]. No longer valid once it has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchId(usize);

/// Branches over one model.
pub struct Decoder {
    lm: Arc<Lm>,
    compute: Compute,
    kv: KvPrecision,
    /// Positions a branch can take.
    capacity: usize,
    branches: Vec<Branch>,
    buffers: Buffers,
}

struct Branch {
    live: bool,
    position: usize,
    /// One a layer.
    own: Vec<KvCache>,
    /// One a layer; empty without a text.
    text: Vec<KvCache>,
}

/// One position of one branch.
#[derive(Clone, Copy)]
struct Row {
    branch: usize,
    position: usize,
}

/// `[rows, …]`
#[derive(Default)]
struct Buffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    logits: Vec<f32>,
}

impl Decoder {
    /// An empty decoder whose branches take up to `capacity` positions, prefix included.
    pub fn new(lm: &Arc<Lm>, compute: Compute, kv: KvPrecision, capacity: usize) -> Decoder {
        let capacity = capacity.min(KvCache::MAX_POSITIONS);
        Decoder {
            lm: Arc::clone(lm),
            compute,
            kv,
            capacity,
            branches: Vec::new(),
            buffers: Buffers::default(),
        }
    }

    /// Adds a branch under `text`, conditioning rows `[L, D]`; none for the branch without a text.
    ///
    /// # Panics
    /// If `text` is no whole number of rows.
    pub fn join(&mut self, text: Option<&[f32]>) -> BranchId {
        let lm = Arc::clone(&self.lm);
        let (heads, size) =
            (lm.config.num_attention_heads, lm.config.hidden_size / lm.config.num_attention_heads);
        let text = text.map_or_else(Vec::new, |rows| self.attend_to(rows));
        let own =
            |capacity| (0..lm.layers.len()).map(|_| KvCache::new(heads, size, capacity, self.kv)).collect();
        match self.branches.iter().position(|branch| !branch.live) {
            Some(slot) => {
                let branch = &mut self.branches[slot];
                branch.own.iter_mut().for_each(|cache| cache.truncate(0));
                (branch.live, branch.position, branch.text) = (true, 0, text);
                BranchId(slot)
            }
            None => {
                let own = own(self.capacity);
                self.branches.push(Branch { live: true, position: 0, own, text });
                BranchId(self.branches.len() - 1)
            }
        }
    }

    /// Removes a branch; its memory serves the next one.
    pub fn leave(&mut self, branch: BranchId) {
        self.branches[branch.0].live = false;
        self.branches[branch.0].text.clear();
    }

    /// Forgets all positions of a branch, not its text.
    pub fn restart(&mut self, branch: BranchId) {
        let branch = &mut self.branches[branch.0];
        branch.position = 0;
        branch.own.iter_mut().for_each(|cache| cache.truncate(0));
    }

    /// Whether a branch attends to a text.
    pub fn has_text(&self, branch: BranchId) -> bool {
        !self.branches[branch.0].text.is_empty()
    }

    /// The threads and kernels.
    pub fn compute(&mut self) -> &mut Compute {
        &mut self.compute
    }

    /// Takes rows `[N, D]` that are not codes (melody and text before them). Nothing is predicted from them.
    pub fn prefix(&mut self, branch: BranchId, rows: &[f32]) {
        let width = self.lm.config.hidden_size;
        for rows in rows.chunks(PREFILL_ROWS * width) {
            let first = self.branches[branch.0].position;
            self.buffers.x.clear();
            self.buffers.x.extend_from_slice(rows);
            for (at, row) in self.buffers.x.chunks_exact_mut(width).enumerate() {
                self.lm.positions.add(first + at, row);
            }
            let count = rows.len() / width;
            let rows: Vec<Row> =
                (0..count).map(|at| Row { branch: branch.0, position: first + at }).collect();
            self.forward(&rows, None);
            self.branches[branch.0].position += count;
        }
    }

    /// Takes columns `[N][K]` of one branch, of which only the last needs an answer: logits `[K, V]`.
    pub fn prefill(&mut self, branch: BranchId, columns: &[Vec<u32>]) -> &[f32] {
        let width = self.lm.config.hidden_size;
        let mut last = 0;
        for columns in columns.chunks(PREFILL_ROWS) {
            let first = self.branches[branch.0].position;
            let rows: Vec<Row> =
                (first..first + columns.len()).map(|position| Row { branch: branch.0, position }).collect();
            self.buffers.x.clear();
            for (column, row) in columns.iter().zip(&rows) {
                self.lm.embed(column, row.position, &mut self.buffers.x);
            }
            self.forward(&rows, None);
            self.branches[branch.0].position += columns.len();
            last = columns.len() - 1;
        }
        let hidden = &self.buffers.normed[last * width..][..width];
        self.buffers.logits.resize(self.lm.heads.out_features(), 0.0);
        self.compute.matmul(&self.lm.heads, hidden, After::Store, &mut self.buffers.logits);
        &self.buffers.logits
    }

    /// Takes a column `[K]` for each of several branches and returns logits `[branch][K, V]` in their order. Branches
    /// with a text come first.
    ///
    /// # Panics
    /// If a branch without a text comes before one with, or a branch comes twice.
    pub fn step(&mut self, columns: &[(BranchId, &[u32])]) -> &[f32] {
        self.step_tapped(columns, None)
    }

    /// As [`step`](Self::step); `tap` gets the hidden states of all rows, after those it has. Attention weights are not
    /// recorded.
    ///
    /// # Panics
    /// As `step`.
    pub fn step_tapped(&mut self, columns: &[(BranchId, &[u32])], tap: Option<&mut Tap>) -> &[f32] {
        assert!(
            columns.is_sorted_by_key(|(branch, _)| !self.has_text(*branch)),
            "branches with a text come first"
        );
        let mut rows = Vec::with_capacity(columns.len());
        self.buffers.x.clear();
        for (branch, column) in columns {
            assert!(rows.iter().all(|row: &Row| row.branch != branch.0), "a branch comes once a step");
            let position = self.branches[branch.0].position;
            rows.push(Row { branch: branch.0, position });
            self.lm.embed(column, position, &mut self.buffers.x);
        }
        self.forward(&rows, tap);
        rows.iter().for_each(|row| self.branches[row.branch].position += 1);
        self.buffers.logits.resize(rows.len() * self.lm.heads.out_features(), 0.0);
        self.compute.matmul(&self.lm.heads, &self.buffers.normed, After::Store, &mut self.buffers.logits);
        &self.buffers.logits
    }

    /// Keys and values of conditioning rows, a cache a layer: computed once, not at every step.
    fn attend_to(&mut self, rows: &[f32]) -> Vec<KvCache> {
        let lm = Arc::clone(&self.lm);
        let (width, heads) = (lm.config.hidden_size, lm.config.num_attention_heads);
        assert!(
            !rows.is_empty() && rows.len().is_multiple_of(width),
            "conditioning has rows of {width} values"
        );
        let (mut keys, mut values) = (vec![0.0; rows.len()], vec![0.0; rows.len()]);
        lm.layers
            .iter()
            .filter_map(|layer| layer.cross.as_ref())
            .map(|cross| {
                self.compute.matmul(&cross.key, rows, After::Store, &mut keys);
                self.compute.matmul(&cross.value, rows, After::Store, &mut values);
                let mut cache = KvCache::new(heads, width / heads, rows.len() / width, self.kv);
                for (key, value) in keys.chunks_exact(width).zip(values.chunks_exact(width)) {
                    cache.append(self.compute.path(), key, value);
                }
                cache
            })
            .collect()
    }

    /// Runs the rows in `buffers.x` through all layers; the normalised result `[rows, D]` is in `buffers.normed`.
    fn forward(&mut self, rows: &[Row], mut tap: Option<&mut Tap>) {
        let lm = Arc::clone(&self.lm);
        let width = lm.config.hidden_size;
        let with_text = rows.iter().take_while(|row| !self.branches[row.branch].text.is_empty()).count();
        let Buffers { x, normed, qkv, attended, inner, .. } = &mut self.buffers;
        let compute = &mut self.compute;
        normed.resize(rows.len() * width, 0.0);
        attended.resize(rows.len() * width, 0.0);
        qkv.resize(rows.len() * 3 * width, 0.0);
        inner.resize(rows.len() * lm.config.ffn_dim, 0.0);
        if let Some(tap) = &mut tap {
            tap.hidden.resize(lm.layers.len() + 1, Vec::new());
        }
        for (index, layer) in lm.layers.iter().enumerate() {
            record(&mut tap, index, x);
            normalize(compute, &layer.norm_1, x, normed);
            compute.matmul(&layer.qkv, normed, After::Store, qkv);
            for (row, qkv) in rows.iter().zip(qkv.chunks_exact(3 * width)) {
                let cache = &mut self.branches[row.branch].own[index];
                cache.append(compute.path(), &qkv[width..2 * width], &qkv[2 * width..]);
            }
            let branches = &self.branches;
            attend(
                compute,
                rows,
                attended,
                lm.config.num_attention_heads,
                |row| (&branches[row.branch].own[index], row.position + 1),
                |at| &qkv[at * 3 * width..][..width],
            );
            compute.matmul(&layer.out, attended, After::Add, x);
            if let Some(cross) = layer.cross.as_ref().filter(|_| with_text > 0) {
                let part = with_text * width;
                normalize(compute, &cross.norm, &x[..part], &mut normed[..part]);
                let queries = &mut qkv[..part];
                compute.matmul(&cross.query, &normed[..part], After::Store, queries);
                attend(
                    compute,
                    &rows[..with_text],
                    &mut attended[..part],
                    lm.config.num_attention_heads,
                    |row| {
                        let cache = &branches[row.branch].text[index];
                        (cache, cache.len())
                    },
                    |at| &queries[at * width..][..width],
                );
                compute.matmul(&cross.out, &attended[..part], After::Add, &mut x[..part]);
            }
            normalize(compute, &layer.norm_2, x, normed);
            compute.matmul(&layer.inner, normed, After::Gelu, inner);
            compute.matmul(&layer.inner_out, inner, After::Add, x);
        }
        normalize(compute, &lm.norm, x, normed);
        record(&mut tap, lm.layers.len(), normed);
    }
}

fn record(tap: &mut Option<&mut Tap>, index: usize, x: &[f32]) {
    if let Some(tap) = tap {
        tap.hidden[index].extend_from_slice(x);
    }
}

fn normalize(compute: &Compute, norm: &Norm, x: &[f32], out: &mut [f32]) {
    let width = norm.scale.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        layer_norm(compute.path(), x, &norm.scale, &norm.shift, Lm::EPSILON, out);
    }
}

/// Attention of every row and head. `memory`: what a row attends to, and how many positions of it; `query`: `[D]` of a
/// row.
fn attend<'a>(
    compute: &Compute,
    rows: &[Row],
    out: &mut [f32],
    heads: usize,
    memory: impl Fn(&Row) -> (&'a KvCache, usize) + Sync,
    query: impl Fn(usize) -> &'a [f32] + Sync,
) {
    let width = out.len() / rows.len();
    let size = width / heads;
    let one = |index: usize, out: &mut [f32]| {
        let (row, head) = (index / heads, index % heads);
        let (cache, len) = memory(&rows[row]);
        cache.attend(compute.path(), head, &query(row)[head * size..][..size], len, None, out);
    };
    let work: usize = rows.iter().map(|row| memory(row).1 * width).sum();
    if work < FORK_ATTENTION_ABOVE {
        out.chunks_exact_mut(size).enumerate().for_each(|(index, out)| one(index, out));
    } else {
        compute.pool().for_chunks(out, size, one);
    }
}
