//! Layers in both directions over whole sequences.
//!
//! ```text
//! layer l:  forward over t = 0 .. L-1, backward over t = L-1 .. 0     L: the sequence's own length
//! layer l + 1 reads [forward h(t) | backward h(t)]
//! result:   [forward h after t = L-1 | backward h after t = 0] of the last layer
//! ```
//! Sequences of several lengths run together, the longest first: those that have ended are left out of a step.
//!
//! Source: the bidirectional encoders of MusicVAE (Roberts et al. 2018).

use partita_kernels::Compute;

use super::{LstmCell, LstmState};

/// Frames whose products with the input are taken together: enough to be worth a pass over the weights, few enough
/// that their gates take little memory.
const TOGETHER: usize = 256;

/// Stacked bidirectional layers.
pub struct BiLstm {
    /// Forward, backward.
    layers: Vec<[LstmCell; 2]>,
}

/// One step of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmFrame {
    pub sequence: usize,
    pub step: usize,
}

impl BiLstm {
    /// Layers of pairs, forward and backward. A layer above the first reads one part, as wide as both directions below.
    ///
    /// # Panics
    /// If there is no layer, or one does not fit the one below.
    pub fn new(layers: Vec<[LstmCell; 2]>) -> BiLstm {
        assert!(!layers.is_empty(), "there is a layer");
        for pair in layers.windows(2) {
            let below = pair[0][0].width() + pair[0][1].width();
            assert!(
                pair[1].iter().all(|cell| cell.inputs(0) == below),
                "a layer reads both directions below"
            );
        }
        BiLstm { layers }
    }

    /// Values of the result: both directions of the last layer.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |[forward, backward]| forward.width() + backward.width())
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        self.layers.iter().flatten().map(LstmCell::bytes).sum()
    }

    /// The last states of sequences of these lengths, `[B, outputs]`. A sequence of length 0 gives zeros.
    ///
    /// `input(compute, cell, frames, gates)` adds the products of the first layer's cell with its input at `frames` to
    /// `gates`, a row `[4 H]` each.
    pub fn run(
        &self,
        compute: &mut Compute,
        lengths: &[usize],
        mut input: impl FnMut(&mut Compute, &LstmCell, &[LstmFrame], &mut [f32]),
    ) -> Vec<f32> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&sequence| std::cmp::Reverse(lengths[sequence]));
        let mut below: Vec<Vec<f32>> = Vec::new();
        let mut last = Vec::new();
        for (index, pair) in self.layers.iter().enumerate() {
            let width = pair[0].width() + pair[1].width();
            let keep = index + 1 < self.layers.len();
            let mut outputs: Vec<Vec<f32>> =
                lengths.iter().map(|&length| vec![0.0; if keep { length * width } else { 0 }]).collect();
            last = vec![0.0; lengths.len() * width];
            for (direction, cell) in pair.iter().enumerate() {
                let offset = direction * pair[0].width();
                let mut pass = Pass { cell, lengths, order: &order, backward: direction == 1 };
                let state = pass.run(
                    compute,
                    |compute, frames, gates| {
                        if index == 0 {
                            input(compute, cell, frames, gates);
                        } else {
                            let inputs = cell.inputs(0);
                            let rows = frames.iter();
                            let rows = rows.flat_map(|at| &below[at.sequence][at.step * inputs..][..inputs]);
                            let x: Vec<f32> = rows.copied().collect();
                            cell.add(compute, 0, &x, gates);
                        }
                    },
                    |frame, hidden| {
                        if keep {
                            outputs[frame.sequence][frame.step * width + offset..][..hidden.len()]
                                .copy_from_slice(hidden);
                        }
                    },
                );
                for (hidden, &sequence) in state.hidden.chunks_exact(cell.width()).zip(&order) {
                    last[sequence * width + offset..][..hidden.len()].copy_from_slice(hidden);
                }
            }
            below = outputs;
        }
        last
    }
}

/// One direction of one layer.
struct Pass<'a> {
    cell: &'a LstmCell,
    lengths: &'a [usize],
    /// Sequences, the longest first.
    order: &'a [usize],
    backward: bool,
}

impl Pass<'_> {
    /// The state after all steps, rows in `order`. `input` adds what frames bring, `output` is told each hidden state.
    fn run(
        &mut self,
        compute: &mut Compute,
        mut input: impl FnMut(&mut Compute, &[LstmFrame], &mut [f32]),
        mut output: impl FnMut(LstmFrame, &[f32]),
    ) -> LstmState {
        let width = self.cell.width();
        let mut state = LstmState::zeros(self.order.len(), width);
        let steps = self.order.first().map_or(0, |&longest| self.lengths[longest]);
        let (mut gates, mut frames) = (Vec::new(), Vec::new());
        let mut step = 0;
        while step < steps {
            frames.clear();
            let first = step;
            while step < steps && (step == first || frames.len() < TOGETHER) {
                self.frames(step, &mut frames);
                step += 1;
            }
            self.cell.begin(frames.len(), &mut gates);
            input(compute, &frames, &mut gates);
            let mut row = 0;
            for step in first..step {
                let rows = self.running(step);
                self.cell.advance(compute, &mut gates[row * 4 * width..][..rows * 4 * width], &mut state);
                for (frame, hidden) in frames[row..].iter().zip(state.hidden.chunks_exact(width)).take(rows) {
                    output(*frame, hidden);
                }
                row += rows;
            }
        }
        state
    }

    /// Sequences that have a step number `step`.
    fn running(&self, step: usize) -> usize {
        self.order.partition_point(|&sequence| self.lengths[sequence] > step)
    }

    fn frames(&self, step: usize, frames: &mut Vec<LstmFrame>) {
        frames.extend(self.order[..self.running(step)].iter().map(|&sequence| {
            let step = if self.backward { self.lengths[sequence] - 1 - step } else { step };
            LstmFrame { sequence, step }
        }));
    }
}
