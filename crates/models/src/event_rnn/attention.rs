//! Attention over the last outputs of a stack of layers.
//!
//! ```text
//! x'    = project [x | attns]                                  what the layers get
//! s_n   = v . tanh(buffer_n W + [c0 | h0 | c1 | h1 ...] K + b)  a score a slot, of the layers' new states
//! attns = sum of softmax(s)_n buffer_n                         over all slots, also those still empty
//! y     = combine [output of the layers | attns]               the output; takes the oldest slot's place
//! ```
//!
//! Slots are a ring here: `keys`, their products with W, are kept beside them, since they change with their slot alone.
//!
//! Source: `AttentionCellWrapper` of TensorFlow 1 (after Bahdanau et al. 2014).

use partita_kernels::{After, Compute, Matrix, Order, Precision, add, softmax, tanh_slice};
use partita_nn::{LstmState, TensorSource};

use super::Error;
use super::names::Names;
use super::net::dense;

/// The weights.
pub(super) struct Attention {
    /// Slots N.
    length: usize,
    /// Width A of an output.
    size: usize,
    /// `[in, in + A]`
    project: Matrix,
    /// W, `[A, A]`
    keys: Matrix,
    /// K and b, `[A, states]`
    query: Matrix,
    /// v, `[1, A]`
    score: Matrix,
    /// `[A, 2 A]`
    combine: Matrix,
}

/// What it remembers of each sequence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Memory {
    /// `[B, A]`
    attns: Vec<f32>,
    /// `[B, N, A]`
    buffer: Vec<f32>,
    /// `[B, N, A]`
    keys: Vec<f32>,
    /// The oldest slot.
    oldest: usize,
}

/// The most slots: a sequence keeps two vectors for each.
pub(super) const MOST_SLOTS: usize = 4096;

impl Attention {
    /// Around layers of widths `layers`; `length` in `1..=MOST_SLOTS`.
    pub(super) fn load(
        source: &dyn TensorSource,
        names: &Names,
        layers: &[usize],
        length: usize,
        precision: Precision,
    ) -> Result<Attention, Error> {
        let size = layers.last().copied().unwrap_or(0);
        let states = 2 * layers.iter().sum::<usize>();
        let kernel = names.attention("kernel");
        let inputs = match source.shape(&kernel).as_deref() {
            Some(&[_, inputs]) => inputs,
            Some(shape) => {
                return Err(Error::Shape {
                    name: kernel,
                    allowed: "[in + attention, in]",
                    got: shape.to_vec(),
                });
            }
            None => return Err(partita_nn::Error::MissingTensor(kernel).into()),
        };
        let layer = |scope: &str, inputs: usize, outputs: usize| {
            let (kernel, bias) = (format!("{scope}kernel"), format!("{scope}bias"));
            let (kernel, bias) = (names.attention(&kernel), names.attention(&bias));
            dense(source, &kernel, Some(&bias), inputs, outputs, precision)
        };
        // magenta-js renamed this one when it converted the drum kit.
        let renamed = "attention_output_projection/";
        let renamed_there = source.shape(&names.attention(&format!("{renamed}kernel"))).is_some();
        let (w, v) = (names.attention("attention/attn_w"), names.attention("attention/attn_v"));
        let keys = source.floats(&w, &[1, 1, size, size])?;
        let score = source.floats(&v, &[size])?;
        let pack = |name: String, values: &[f32], outputs, precision| {
            Matrix::pack(values, outputs, size, Order::InOut, precision)
                .map_err(|source| partita_nn::Error::Tensor { name, source })
        };
        Ok(Attention {
            length,
            size,
            project: layer("", inputs.saturating_add(size), inputs)?,
            keys: pack(w, &keys, size, precision)?,
            query: layer("attention/", states, size)?,
            // A single row: nothing is won by fewer bits.
            score: pack(v, &score, 1, Precision::F32)?,
            combine: layer(if renamed_there { renamed } else { "attn_output_projection/" }, 2 * size, size)?,
        })
    }

    /// Inputs of the layers inside, and of the whole.
    pub(super) fn inputs(&self) -> usize {
        self.project.out_features()
    }

    pub(super) fn bytes(&self) -> usize {
        [&self.project, &self.keys, &self.query, &self.score, &self.combine].map(Matrix::bytes).iter().sum()
    }

    pub(super) fn memory(&self, rows: usize) -> Memory {
        let slots = rows * self.length * self.size;
        Memory {
            attns: vec![0.0; rows * self.size],
            buffer: vec![0.0; slots],
            keys: vec![0.0; slots],
            oldest: 0,
        }
    }

    /// What the layers inside get for `x` `[B, in]`: `[B, in]`.
    pub(super) fn before(&self, compute: &mut Compute, memory: &Memory, x: &[f32]) -> Vec<f32> {
        let joined = join(x, self.inputs(), &memory.attns, self.size);
        product(compute, &self.project, &joined)
    }

    /// The output `[B, A]` for that of the layers inside, `output` `[B, A]`, and their new `states`.
    pub(super) fn after(
        &self,
        compute: &mut Compute,
        memory: &mut Memory,
        states: &[LstmState],
        output: &[f32],
    ) -> Vec<f32> {
        let (length, size) = (self.length, self.size);
        let rows = output.len() / size;
        let mut queries = Vec::with_capacity(rows * self.query.in_features());
        for row in 0..rows {
            for state in states {
                let width = state.cell.len() / rows;
                queries.extend_from_slice(&state.cell[row * width..][..width]);
                queries.extend_from_slice(&state.hidden[row * width..][..width]);
            }
        }
        let queries = product(compute, &self.query, &queries);
        let path = compute.path();
        let mut scores = vec![0.0; length];
        for (row, query) in queries.chunks_exact(size).enumerate() {
            let slots = row * length * size..(row + 1) * length * size;
            let mut hidden = memory.keys[slots.clone()].to_vec();
            hidden.chunks_exact_mut(size).for_each(|key| add(path, key, query));
            tanh_slice(path, &mut hidden);
            compute.matmul(&self.score, &hidden, After::Store, &mut scores);
            softmax(path, &mut scores);
            let attns = &mut memory.attns[row * size..][..size];
            attns.fill(0.0);
            for (slot, score) in memory.buffer[slots].chunks_exact(size).zip(&scores) {
                for (sum, value) in attns.iter_mut().zip(slot) {
                    *sum += score * value;
                }
            }
        }
        let joined = join(output, size, &memory.attns, size);
        let output = product(compute, &self.combine, &joined);
        let keys = product(compute, &self.keys, &output);
        for row in 0..rows {
            let slot = (row * length + memory.oldest) * size;
            memory.buffer[slot..][..size].copy_from_slice(&output[row * size..][..size]);
            memory.keys[slot..][..size].copy_from_slice(&keys[row * size..][..size]);
        }
        memory.oldest = (memory.oldest + 1) % length;
        output
    }
}

impl Memory {
    /// The memory of sequences `rows` of these `of`, in that order; one may come more than once.
    pub(super) fn pick(&self, rows: &[usize], of: usize) -> Memory {
        Memory {
            attns: pick(&self.attns, rows, of),
            buffer: pick(&self.buffer, rows, of),
            keys: pick(&self.keys, rows, of),
            oldest: self.oldest,
        }
    }
}

/// Rows `rows` of `values`, which has `of`.
pub(super) fn pick(values: &[f32], rows: &[usize], of: usize) -> Vec<f32> {
    let width = values.len() / of.max(1);
    rows.iter().flat_map(|&row| &values[row * width..][..width]).copied().collect()
}

/// `weights` times each row of `x`.
pub(super) fn product(compute: &mut Compute, weights: &Matrix, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / weights.in_features() * weights.out_features()];
    compute.matmul(weights, x, After::Store, &mut out);
    out
}

/// Rows of `a` and rows of `b` side by side.
fn join(a: &[f32], a_width: usize, b: &[f32], b_width: usize) -> Vec<f32> {
    let rows = a.chunks_exact(a_width).zip(b.chunks_exact(b_width));
    rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect()
}
