//! The decoder of steps, for several points together.
//!
//! ```text
//! s = tanh(z_to_initial_state(z))                    c0 | h0 | c1 | h1 ...
//! each step:  LSTMs([step before | z | control])     zeros before the first step, z and control at every step
//!             output_projection(h of the last layer)
//! ```
//! What the first layer gets from z stays the same over all steps, so it is computed once.

use partita_kernels::{After, Compute, Matrix, Precision, tanh_slice};
use partita_nn::{LstmCell, LstmState, TensorSource, tensorflow_dense};

use super::config::{CoreShape, layer};
use super::encoder::{cell, named};
use super::{Error, Sequence};

/// The parts of the first layer's input.
const STEP: usize = 0;
const POINT: usize = 1;
const CONTROL: usize = 2;

/// A column of ids, as this decoder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Number in a [`Sequence`].
    pub index: usize,
    /// Its first class among the decoder's outputs, which is also that of its inputs.
    pub first: usize,
    pub classes: usize,
}

pub(super) struct Flat {
    /// None where steps are rows of values.
    pub columns: Vec<Column>,
    pub outputs: usize,
    initial: Matrix,
    cells: Vec<LstmCell>,
    projection: Matrix,
}

/// Pieces under way.
pub(super) struct Playing {
    /// Bias and what z adds, `[B, 4 H]`.
    fixed: Vec<f32>,
    states: Vec<LstmState>,
    gates: Vec<f32>,
    /// `[B, outputs]`
    outputs: Vec<f32>,
}

impl Flat {
    /// The layers in `precision`; the projection, which is small and gives the result, stays f32.
    pub fn load(
        source: &dyn TensorSource,
        shape: &CoreShape,
        columns: Vec<Column>,
        latent: usize,
        controls: usize,
        precision: Precision,
    ) -> Result<Flat, Error> {
        let dense = |name: &str, inputs: usize, outputs: usize, precision: Precision| {
            tensorflow_dense(source, &format!("{}/{name}", shape.scope), inputs, outputs, precision)
                .map_err(|error| named(source, error))
        };
        let states = 2 * shape.layers.iter().sum::<usize>();
        let top = shape.layers[shape.layers.len() - 1];
        let mut inputs = vec![shape.depth, latent];
        if controls > 0 {
            inputs.push(controls);
        }
        let mut cells = Vec::new();
        for (index, &width) in shape.layers.iter().enumerate() {
            cells.push(cell(source, &layer(&shape.scope, index), &inputs, width, precision)?);
            inputs = vec![width];
        }
        Ok(Flat {
            columns,
            outputs: shape.outputs,
            initial: dense("z_to_initial_state", latent, states, precision)?,
            cells,
            projection: dense("output_projection", top, shape.outputs, Precision::F32)?,
        })
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        self.initial.bytes() + self.cells.iter().map(LstmCell::bytes).sum::<usize>() + self.projection.bytes()
    }

    /// Bytes of the products of a step: neither what z adds, once, nor what is looked up.
    pub fn step_bytes(&self) -> usize {
        let looked_up = if self.columns.is_empty() { 0 } else { self.cells[0].part_bytes(STEP) };
        self.bytes() - self.initial.bytes() - self.cells[0].part_bytes(POINT) - looked_up
    }

    /// Begins at points `[B, latent]`.
    pub fn start(&self, compute: &mut Compute, points: &[f32]) -> Playing {
        let states = initial_states(compute, &self.initial, &self.cells, points);
        let rows = points.len() / self.initial.in_features();
        let mut fixed = Vec::new();
        self.cells[0].begin(rows, &mut fixed);
        self.cells[0].add(compute, POINT, points, &mut fixed);
        Playing { fixed, states, gates: Vec::new(), outputs: vec![0.0; rows * self.outputs] }
    }

    /// One step for all: outputs `[B, outputs]`. `before`: the step that is fed back, of each piece, if there is one;
    /// `control` `[C]` is the same for all pieces.
    pub fn step<'p>(
        &self,
        compute: &mut Compute,
        playing: &'p mut Playing,
        pieces: &[Sequence],
        before: Option<usize>,
        control: Option<&[f32]>,
    ) -> &'p [f32] {
        let Playing { fixed, states, gates, outputs } = playing;
        let (first, above) = self.cells.split_first().expect("a decoder has a layer");
        gates.clone_from(fixed);
        if let Some(before) = before {
            self.feed(compute, first, pieces, before, gates);
        }
        if let Some(control) = control {
            let x = control.repeat(pieces.len());
            first.add(compute, CONTROL, &x, gates);
        }
        first.advance(compute, gates, &mut states[0]);
        for (index, cell) in above.iter().enumerate() {
            cell.begin(pieces.len(), gates);
            let (below, states) = states.split_at_mut(index + 1);
            cell.add(compute, 0, &below[index].hidden, gates);
            cell.advance(compute, gates, &mut states[0]);
        }
        compute.matmul(&self.projection, &states[above.len()].hidden, After::Store, outputs);
        outputs
    }

    fn feed(
        &self,
        compute: &mut Compute,
        cell: &LstmCell,
        pieces: &[Sequence],
        at: usize,
        gates: &mut [f32],
    ) {
        let mut x = Vec::new();
        for (piece, gates) in pieces.iter().zip(gates.chunks_exact_mut(4 * cell.width())) {
            match piece {
                Sequence::Tokens { columns, ids } => {
                    for column in &self.columns {
                        let id = ids[at * columns + column.index] as usize;
                        cell.add_hot(STEP, column.first + id, gates);
                    }
                }
                Sequence::Rows { width, values } => x.extend_from_slice(&values[at * width..][..*width]),
            }
        }
        if !x.is_empty() {
            cell.add(compute, STEP, &x, gates);
        }
    }
}

/// `tanh(dense(points))`, cut into the layers' states: cell before hidden state, the first layer first.
pub(super) fn initial_states(
    compute: &mut Compute,
    dense: &Matrix,
    cells: &[LstmCell],
    points: &[f32],
) -> Vec<LstmState> {
    let rows = points.len() / dense.in_features();
    let mut all = vec![0.0; rows * dense.out_features()];
    compute.matmul(dense, points, After::Store, &mut all);
    tanh_slice(compute.path(), &mut all);
    let mut first = 0;
    cells
        .iter()
        .map(|layer| {
            let mut part = || {
                let rows = all.chunks_exact(dense.out_features());
                let part = rows.flat_map(|row| &row[first..][..layer.width()]).copied().collect();
                first += layer.width();
                part
            };
            LstmState { cell: part(), hidden: part() }
        })
        .collect()
}
