//! One pass of a batch of rows through the network.
//!
//! A row is one token of one sequence. Rows of different sequences, or neighbouring tokens of one,
//! share each pass over the weights; they meet nowhere else, so a row gives the same bits in any
//! batch.

use partita_kernels::{After, Compute, KvCache, layer_norm};

use crate::gpt::{Activation, Gpt, Norm, Positions};
use crate::tap::Tap;

/// Attention below this many multiplications stays on the calling thread.
const FORK_ATTENTION_ABOVE: usize = 16_384;
/// Normalisation below this many values stays on the calling thread.
const FORK_NORM_ABOVE: usize = 16_384;

/// A token to process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Index of its sequence in the caches.
    pub slot: usize,
    pub token: u32,
    pub position: usize,
    /// First and past the last of its features, in those of the pass.
    pub features: (usize, usize),
}

/// What a pass needs of a sequence.
pub(crate) struct Memory {
    /// One per layer.
    pub layers: Vec<KvCache>,
    /// `[D]`, added to every input embedding; empty for none.
    pub added: Vec<f32>,
}

/// Buffers of a pass, `[rows, …]`, kept between steps.
#[derive(Default)]
pub(crate) struct Buffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
}

impl Buffers {
    fn resize(&mut self, rows: usize, gpt: &Gpt) {
        let width = gpt.config.width;
        self.x.resize(rows * width, 0.0);
        self.normed.resize(rows * width, 0.0);
        self.qkv.resize(rows * 3 * width, 0.0);
        self.attended.resize(rows * width, 0.0);
        self.inner.resize(rows * gpt.config.inner, 0.0);
    }
}

/// Runs `rows` through all layers, `features` beside them, appends to the caches, and returns the normalised hidden states
/// `[rows, D]`. Rows of one sequence are in order and follow its cache.
pub(crate) fn forward<'b>(
    gpt: &Gpt,
    compute: &mut Compute,
    memories: &mut [Memory],
    rows: &[Row],
    features: &[u32],
    buffers: &'b mut Buffers,
    tap: &mut Option<&mut Tap>,
) -> &'b [f32] {
    buffers.resize(rows.len(), gpt);
    embed(gpt, memories, rows, features, &mut buffers.x);
    let activation = match gpt.config.activation {
        Activation::GeluNew => After::GeluNew,
        Activation::Gelu => After::Gelu,
    };
    for (index, layer) in gpt.layers.iter().enumerate() {
        record(tap, index, &buffers.x);
        normalize(gpt, compute, &layer.norm_1, &buffers.x, &mut buffers.normed);
        compute.matmul(&layer.attention, &buffers.normed, After::Store, &mut buffers.qkv);
        turn(gpt, rows, &mut buffers.qkv);
        attend(gpt, compute, memories, rows, index, buffers, tap);
        compute.matmul(&layer.attention_out, &buffers.attended, After::Add, &mut buffers.x);
        normalize(gpt, compute, &layer.norm_2, &buffers.x, &mut buffers.normed);
        compute.matmul(&layer.inner, &buffers.normed, activation, &mut buffers.inner);
        compute.matmul(&layer.inner_out, &buffers.inner, After::Add, &mut buffers.x);
    }
    normalize(gpt, compute, &gpt.norm, &buffers.x, &mut buffers.normed);
    record(tap, gpt.layers.len(), &buffers.normed);
    &buffers.normed
}

fn embed(gpt: &Gpt, memories: &[Memory], rows: &[Row], features: &[u32], x: &mut [f32]) {
    let width = gpt.config.width;
    for (row, x) in rows.iter().zip(x.chunks_exact_mut(width)) {
        let token = &gpt.tokens[row.token as usize * width..][..width];
        x.copy_from_slice(token);
        if let Positions::Learned(positions) = &gpt.positions {
            add(x, &positions[row.position * width..][..width]);
        }
        for &feature in &features[row.features.0..row.features.1] {
            add(x, &gpt.features[feature as usize * width..][..width]);
        }
        add(x, &memories[row.slot].added);
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Turns queries and keys to their positions.
fn turn(gpt: &Gpt, rows: &[Row], qkv: &mut [f32]) {
    let Positions::Rotary(rotary) = &gpt.positions else { return };
    let width = gpt.config.width;
    for (row, qkv) in rows.iter().zip(qkv.chunks_exact_mut(3 * width)) {
        rotary.turn(row.position, &mut qkv[..2 * width]);
    }
}

fn normalize(gpt: &Gpt, compute: &Compute, norm: &Norm, x: &[f32], out: &mut [f32]) {
    let (width, epsilon, path) = (gpt.config.width, gpt.config.epsilon, compute.path());
    let one = |row: usize, out: &mut [f32]| {
        layer_norm(path, &x[row * width..][..width], &norm.scale, &norm.shift, epsilon, out);
    };
    if x.len() < FORK_NORM_ABOVE {
        out.chunks_exact_mut(width).enumerate().for_each(|(row, out)| one(row, out));
    } else {
        compute.pool().for_chunks(out, width, one);
    }
}

fn attend(
    gpt: &Gpt,
    compute: &Compute,
    memories: &mut [Memory],
    rows: &[Row],
    layer: usize,
    buffers: &mut Buffers,
    tap: &mut Option<&mut Tap>,
) {
    let (width, heads, size) = (gpt.config.width, gpt.config.heads, gpt.config.head_size());
    let path = compute.path();
    for (row, qkv) in rows.iter().zip(buffers.qkv.chunks_exact(3 * width)) {
        memories[row.slot].layers[layer].append(path, &qkv[width..2 * width], &qkv[2 * width..]);
    }
    let (memories, qkv) = (&*memories, &buffers.qkv);
    let one = |index: usize, weights: Option<&mut [f32]>, out: &mut [f32]| {
        let (row, head) = (index / heads, index % heads);
        let query = &qkv[row * 3 * width + head * size..][..size];
        let cache = &memories[rows[row].slot].layers[layer];
        cache.attend(path, head, query, rows[row].position + 1, weights, out);
    };
    let tapped = tap.as_deref_mut().filter(|tap| tap.wants_attention).map(|tap| &mut tap.attention[layer]);
    if let Some(weights) = tapped {
        // `[H, L, L]`
        let len = (weights.len() / heads).isqrt();
        for (index, out) in buffers.attended.chunks_exact_mut(size).enumerate() {
            let (position, head) = (rows[index / heads].position, index % heads);
            let weights = &mut weights[(head * len + position) * len..][..=position];
            one(index, Some(weights), out);
        }
        return;
    }
    let work: usize = rows.iter().map(|row| (row.position + 1) * width).sum();
    if work < FORK_ATTENTION_ABOVE {
        buffers.attended.chunks_exact_mut(size).enumerate().for_each(|(index, out)| one(index, None, out));
    } else {
        compute.pool().for_chunks(&mut buffers.attended, size, |index, out| one(index, None, out));
    }
}

fn record(tap: &mut Option<&mut Tap>, index: usize, x: &[f32]) {
    if let Some(tap) = tap {
        tap.hidden[index].extend_from_slice(x);
    }
}
