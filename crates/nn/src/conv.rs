//! Convolutions over a sequence of frames that comes whole or in pieces.
//!
//! Frames lie one after the other, `[T, C]`, so the window of a convolution is one run of memory and a
//! transposed one is a convolution as well: every input frame and the few before it make one row of `stride`
//! output frames.
//!
//! ```text
//! kernel 3              kernel 4, stride 2, transposed
//! x   | a b c d e |     x      0 | a b c |  0
//! row 0 [r a b]         row 0 [0 a]            -> frames 0, 1 of the full output
//! row 1   [a b c]       row 1   [a b]          -> frames 2, 3
//! ```
//!
//! **Rule:** an output is computed from its window alone, by one chain of sums. So the pieces in which the
//! input came never show: whole and piece by piece are equal bit for bit.

use partita_kernels::{After, Compute, Matrix, Order, Precision, elu_slice};

use crate::{Error, Result};

/// Activations below this many values stay on the calling thread.
const FORK_ABOVE: usize = 16_384;
/// Outputs that a product computes at once whether they are needed or not.
const LANES: usize = 16;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Frames of a window; not fewer than `stride`.
    pub kernel: usize,
    /// Frames from one window to the next (transposed: output frames for each input frame).
    pub stride: usize,
}

impl ConvShape {
    fn check(&self, name: &str, weights: &[f32]) -> Result<()> {
        let ConvShape { inputs, outputs, kernel, stride } = *self;
        assert!(
            stride > 0 && kernel >= stride,
            "kernel {kernel} must be at least stride {stride}, from 1 on"
        );
        let expected = inputs * outputs * kernel;
        if weights.len() == expected {
            return Ok(());
        }
        let source = partita_kernels::Error::MatrixLength {
            out_features: outputs,
            in_features: inputs * kernel,
            expected,
            got: weights.len(),
        };
        Err(Error::Tensor { name: name.to_owned(), source })
    }

    /// Frames of padding, or of output cut off, on both sides together: one frame comes out for each `stride`
    /// ones.
    fn padding(&self) -> usize {
        self.kernel - self.stride
    }
}

fn pack(name: &str, dense: &[f32], inputs: usize, bias: &[f32]) -> Result<Matrix> {
    Matrix::pack(dense, bias.len(), inputs, Order::OutIn, Precision::F32)
        .and_then(|matrix| matrix.with_bias(bias))
        .map_err(|source| Error::Tensor { name: name.to_owned(), source })
}

fn activate(compute: &Compute, values: &mut [f32]) {
    let path = compute.path();
    if values.len() < FORK_ABOVE {
        elu_slice(path, values);
    } else {
        compute.pool().for_chunks(values, FORK_ABOVE / 4, |_, values| elu_slice(path, values));
    }
}

/// The first `len` values of a buffer that only ever grows, so that it is not cleared for every piece.
fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// A convolution with reflected ends: `ceil(T / stride)` frames for `T`.
///
/// The padding is `kernel - stride` frames, the larger half on the left, and on the right what the last
/// window lacks.
pub struct Conv {
    shape: ConvShape,
    /// Output frames of a row: with few outputs most lanes of a product would be idle.
    group: usize,
    matrix: Matrix,
    /// Whether ELU is applied to the input.
    elu: bool,
}

/// The input of a [`Conv`] that later windows need.
#[derive(Default)]
pub struct ConvStream {
    /// Padded frames; until there are enough of them for the left padding, the input alone.
    frames: Vec<f32>,
    padded: bool,
    /// The frame in `frames` where the next window starts.
    next: usize,
    /// Frames that came in.
    seen: usize,
    /// Frames that went out.
    made: usize,
}

impl Conv {
    /// `weights`: `[outputs, inputs, kernel]`; `bias`: `[outputs]`; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a wrong length, too many inputs or a weight that is not finite.
    ///
    /// # Panics
    /// If the stride is 0 or above the kernel.
    pub fn new(name: &str, shape: ConvShape, weights: &[f32], bias: &[f32]) -> Result<Conv> {
        shape.check(name, weights)?;
        let ConvShape { inputs, outputs, kernel, stride } = shape;
        let group = (LANES / outputs.max(1)).max(1);
        let width = (kernel + (group - 1) * stride) * inputs;
        let mut dense = vec![0.0; group * outputs * width];
        for (row, dense) in dense.chunks_exact_mut(width).enumerate() {
            let (first, output) = (row / outputs * stride, row % outputs);
            for (at, weight) in weights[output * inputs * kernel..][..inputs * kernel].iter().enumerate() {
                dense[(first + at % kernel) * inputs + at / kernel] = *weight;
            }
        }
        let matrix = pack(name, &dense, width, &bias.repeat(group))?;
        Ok(Conv { shape, group, matrix, elu: false })
    }

    /// The same convolution of `elu(x)`.
    #[must_use]
    pub fn after_elu(self) -> Conv {
        Conv { elu: true, ..self }
    }

    fn left(&self) -> usize {
        self.shape.padding() - self.shape.padding() / 2
    }

    fn right(&self) -> usize {
        self.shape.padding() / 2
    }

    /// Takes frames `x` `[t, inputs]`, writes those that are now known to the start of `out`, which grows
    /// where needed, and returns them.
    pub fn push<'o>(
        &self,
        compute: &Compute,
        stream: &mut ConvStream,
        x: &[f32],
        after: After,
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let inputs = self.shape.inputs;
        let before = stream.frames.len();
        stream.frames.extend_from_slice(x);
        if self.elu {
            activate(compute, &mut stream.frames[before..]);
        }
        stream.seen += x.len() / inputs;
        if !stream.padded {
            if stream.seen <= self.left() {
                return &mut [];
            }
            self.pad_left(stream);
        }
        let stride = self.shape.stride;
        let (step, window) = (self.group * stride, self.shape.kernel + (self.group - 1) * stride);
        let ready = stream.frames.len() / inputs - stream.next;
        let rows = if ready < window { 0 } else { (ready - window) / step + 1 };
        let done = self.run(compute, stream, rows, after, out);
        // Reflection at the end may go back this far.
        let kept = stream.next.min((stream.frames.len() / inputs).saturating_sub(self.right() + stride));
        stream.frames.drain(..kept * inputs);
        stream.next -= kept;
        done
    }

    /// Ends the sequence: as [`push`](Self::push), for the frames that waited for more. The stream is new
    /// afterwards.
    pub fn finish<'o>(
        &self,
        compute: &Compute,
        stream: &mut ConvStream,
        after: After,
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let mut stream = std::mem::take(stream);
        let ConvShape { inputs, outputs, stride, .. } = self.shape;
        let len = stream.seen;
        if len == 0 {
            return &mut [];
        }
        if !stream.padded {
            self.pad_left(&mut stream);
        }
        let right = self.right() + len.next_multiple_of(stride) - len;
        // What is too short to be reflected is continued with zeros first; they are cut from the end again.
        let zeros = (self.left().max(right) + 1).saturating_sub(len);
        let end = stream.frames.len() / inputs;
        for at in 0..right {
            let mirrored = if at < zeros { len } else { len + 2 * zeros - 2 - at };
            if mirrored < len {
                let from = (end + mirrored - len) * inputs;
                stream.frames.extend_from_within(from..from + inputs);
            } else {
                stream.frames.resize(stream.frames.len() + inputs, 0.0);
            }
        }
        let left = len.div_ceil(stride) - stream.made;
        let rows = left.div_ceil(self.group);
        // Windows of outputs that are not needed may reach beyond the end.
        let needed = (stream.next + rows * self.group * stride + self.shape.kernel) * inputs;
        stream.frames.resize(needed.max(stream.frames.len()), 0.0);
        &mut self.run(compute, &mut stream, rows, after, out)[..left * outputs]
    }

    fn pad_left(&self, stream: &mut ConvStream) {
        let inputs = self.shape.inputs;
        let mut padding = vec![0.0; self.left() * inputs];
        for (at, frame) in padding.chunks_exact_mut(inputs).enumerate() {
            let mirrored = self.left() - at;
            if mirrored < stream.seen {
                frame.copy_from_slice(&stream.frames[mirrored * inputs..][..inputs]);
            }
        }
        stream.frames.splice(0..0, padding);
        stream.padded = true;
    }

    fn run<'o>(
        &self,
        compute: &Compute,
        stream: &mut ConvStream,
        rows: usize,
        after: After,
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let ConvShape { inputs, outputs, stride, .. } = self.shape;
        let frames = rows * self.group;
        let out = room(out, frames * outputs);
        let x = &stream.frames[stream.next * inputs..];
        compute.windows(&self.matrix, x, self.group * stride * inputs, after, out);
        stream.next += frames * stride;
        stream.made += frames;
        out
    }
}

/// A transposed convolution: `T * stride` frames for `T`.
///
/// The full output is `kernel - stride` frames longer; the larger half of these is cut off on the left.
pub struct ConvTranspose {
    shape: ConvShape,
    /// Input frames that meet in an output frame.
    taps: usize,
    /// `[stride * outputs, taps * inputs]`
    matrix: Matrix,
    elu: bool,
}

/// The input of a [`ConvTranspose`] that later frames need.
#[derive(Default)]
pub struct ConvTransposeStream {
    frames: Vec<f32>,
    seen: usize,
    /// Frames that went out, those cut off included.
    made: usize,
}

impl ConvTranspose {
    /// `weights`: `[inputs, outputs, kernel]`; `bias`: `[outputs]`; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a wrong length, too many inputs or a weight that is not finite.
    ///
    /// # Panics
    /// If the stride is 0 or above the kernel.
    pub fn new(name: &str, shape: ConvShape, weights: &[f32], bias: &[f32]) -> Result<ConvTranspose> {
        shape.check(name, weights)?;
        let ConvShape { inputs, outputs, kernel, stride } = shape;
        let taps = kernel.div_ceil(stride);
        let width = taps * inputs;
        let mut dense = vec![0.0; stride * outputs * width];
        for (input, weights) in weights.chunks_exact((outputs * kernel).max(1)).enumerate() {
            for (output, weights) in weights.chunks_exact(kernel).enumerate() {
                for (at, weight) in weights.iter().enumerate() {
                    let (tap, phase) = (taps - 1 - at / stride, at % stride);
                    dense[(phase * outputs + output) * width + tap * inputs + input] = *weight;
                }
            }
        }
        let matrix = pack(name, &dense, width, &bias.repeat(stride))?;
        Ok(ConvTranspose { shape, taps, matrix, elu: false })
    }

    /// The same convolution of `elu(x)`.
    #[must_use]
    pub fn after_elu(self) -> ConvTranspose {
        ConvTranspose { elu: true, ..self }
    }

    /// Takes frames `x` `[t, inputs]`, writes those that are now known to the start of `out`, which grows
    /// where needed, and returns them.
    pub fn push<'o>(
        &self,
        compute: &Compute,
        stream: &mut ConvTransposeStream,
        x: &[f32],
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let ConvShape { inputs, outputs, stride, .. } = self.shape;
        if stream.seen == 0 {
            stream.frames.resize((self.taps - 1) * inputs, 0.0);
        }
        let before = stream.frames.len();
        stream.frames.extend_from_slice(x);
        if self.elu {
            activate(compute, &mut stream.frames[before..]);
        }
        let rows = x.len() / inputs;
        stream.seen += rows;
        let cut = self.cut().saturating_sub(stream.made).min(rows * stride);
        &mut self.run(compute, stream, rows, out)[cut * outputs..]
    }

    /// Ends the sequence: as [`push`](Self::push), for the frames that waited for more. The stream is new
    /// afterwards.
    pub fn finish<'o>(
        &self,
        compute: &Compute,
        stream: &mut ConvTransposeStream,
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let mut stream = std::mem::take(stream);
        let ConvShape { inputs, outputs, stride, .. } = self.shape;
        if stream.seen == 0 {
            return &mut [];
        }
        let rows = self.taps - 1;
        stream.frames.resize(stream.frames.len() + rows * inputs, 0.0);
        let first = stream.made;
        let (from, to) = (self.cut().max(first), self.cut() + stream.seen * stride);
        &mut self.run(compute, &mut stream, rows, out)[(from - first) * outputs..(to - first) * outputs]
    }

    fn cut(&self) -> usize {
        self.shape.padding() - self.shape.padding() / 2
    }

    fn run<'o>(
        &self,
        compute: &Compute,
        stream: &mut ConvTransposeStream,
        rows: usize,
        out: &'o mut Vec<f32>,
    ) -> &'o mut [f32] {
        let ConvShape { inputs, outputs, stride, .. } = self.shape;
        let out = room(out, rows * stride * outputs);
        compute.windows(&self.matrix, &stream.frames, inputs, After::Store, out);
        stream.frames.drain(..rows * inputs);
        stream.made += rows * stride;
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use partita_kernels::{Path, Pool};

    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0) * 0.5).collect()
    }

    fn compute(path: Path) -> Compute {
        Compute::new(Arc::new(Pool::new(2).unwrap()), path)
    }

    fn shape(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> ConvShape {
        ConvShape { inputs, outputs, kernel, stride }
    }

    /// The padded sequence as a list of frame numbers; none for zeros.
    fn padded(len: usize, left: usize, right: usize) -> Vec<Option<usize>> {
        let zeros = (left.max(right) + 1).saturating_sub(len);
        let total = len + zeros;
        let mut all: Vec<usize> = (1..=left).rev().collect();
        all.extend(0..total);
        all.extend((0..right).map(|at| total - 2 - at));
        all.truncate(left + len + right);
        all.into_iter().map(|at| (at < len).then_some(at)).collect()
    }

    fn convolve_plainly(shape: ConvShape, weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
        let ConvShape { inputs, outputs, kernel, stride } = shape;
        let (len, total) = (x.len() / inputs, kernel - stride);
        let extra = len.div_ceil(stride) * stride - len;
        let frames = padded(len, total - total / 2, total / 2 + extra);
        let mut out = Vec::new();
        for frame in 0..len.div_ceil(stride) {
            for output in 0..outputs {
                let mut sum = f64::from(bias[output]);
                for at in 0..kernel {
                    let Some(from) = frames[frame * stride + at] else { continue };
                    for input in 0..inputs {
                        let weight = weights[(output * inputs + input) * kernel + at];
                        sum += f64::from(weight) * f64::from(x[from * inputs + input]);
                    }
                }
                out.push(sum as f32);
            }
        }
        out
    }

    fn transpose_plainly(shape: ConvShape, weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
        let ConvShape { inputs, outputs, kernel, stride } = shape;
        let (len, total) = (x.len() / inputs, kernel - stride);
        let mut full = vec![0.0; ((len - 1) * stride + kernel) * outputs];
        for frame in 0..len {
            for at in 0..kernel {
                for output in 0..outputs {
                    for input in 0..inputs {
                        full[(frame * stride + at) * outputs + output] +=
                            x[frame * inputs + input] * weights[(input * outputs + output) * kernel + at];
                    }
                }
            }
        }
        let cut = &full[(total - total / 2) * outputs..][..len * stride * outputs];
        cut.iter().enumerate().map(|(at, value)| value + bias[at % outputs]).collect()
    }

    fn pieces(len: usize) -> Vec<Vec<usize>> {
        let mut all = vec![vec![len], vec![1; len]];
        if len > 5 {
            all.push(vec![2, len - 5, 0, 3]);
        }
        all
    }

    fn assert_close(got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
        }
    }

    #[test]
    fn a_convolution_is_the_sum_over_its_windows_however_the_input_is_cut() {
        for shape in [
            shape(3, 5, 7, 1),
            shape(4, 20, 3, 1),
            shape(2, 1, 7, 1),
            shape(1, 16, 7, 1),
            shape(3, 2, 8, 4),
            shape(2, 17, 10, 5),
            shape(2, 3, 16, 8),
            shape(5, 4, 1, 1),
        ] {
            let weights = values(shape.inputs * shape.outputs * shape.kernel, 1);
            let bias = values(shape.outputs, 2);
            let conv = Conv::new("conv", shape, &weights, &bias).unwrap();
            for len in (1..30).chain([64, 100]) {
                let x = values(len * shape.inputs, 3);
                let expected = convolve_plainly(shape, &weights, &bias, &x);
                let mut first: Option<Vec<f32>> = None;
                for (pieces, path) in pieces(len).into_iter().zip([Path::Generic, Path::Generic, best()]) {
                    let compute = compute(path);
                    let (mut stream, mut out, mut got) = (ConvStream::default(), Vec::new(), Vec::new());
                    let mut rest = &x[..];
                    for piece in pieces {
                        let (part, after) = rest.split_at(piece * shape.inputs);
                        got.extend_from_slice(conv.push(&compute, &mut stream, part, After::Store, &mut out));
                        rest = after;
                    }
                    got.extend_from_slice(conv.finish(&compute, &mut stream, After::Store, &mut out));
                    assert_close(&got, &expected);
                    assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{shape:?} {len}");
                }
            }
        }
    }

    #[test]
    fn a_transposed_convolution_is_the_sum_of_its_overlaps_however_the_input_is_cut() {
        for shape in
            [shape(3, 5, 4, 2), shape(4, 2, 10, 5), shape(2, 16, 16, 8), shape(3, 3, 7, 3), shape(2, 2, 2, 2)]
        {
            let weights = values(shape.inputs * shape.outputs * shape.kernel, 1);
            let bias = values(shape.outputs, 2);
            let conv = ConvTranspose::new("conv", shape, &weights, &bias).unwrap();
            for len in 1..20 {
                let x = values(len * shape.inputs, 3);
                let expected = transpose_plainly(shape, &weights, &bias, &x);
                let mut first: Option<Vec<f32>> = None;
                for (pieces, path) in pieces(len).into_iter().zip([Path::Generic, Path::Generic, best()]) {
                    let compute = compute(path);
                    let (mut stream, mut out) = (ConvTransposeStream::default(), Vec::new());
                    let (mut got, mut rest) = (Vec::new(), &x[..]);
                    for piece in pieces {
                        let (part, after) = rest.split_at(piece * shape.inputs);
                        got.extend_from_slice(conv.push(&compute, &mut stream, part, &mut out));
                        rest = after;
                    }
                    got.extend_from_slice(conv.finish(&compute, &mut stream, &mut out));
                    assert_close(&got, &expected);
                    assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{shape:?} {len}");
                }
            }
        }
    }

    fn best() -> Path {
        *Path::ALL.iter().rev().find(|path| path.is_supported()).expect("generic is supported")
    }

    #[test]
    fn an_activation_comes_before_the_padding() {
        let shape = shape(1, 1, 3, 1);
        let conv = Conv::new("conv", shape, &[1.0, 2.0, 4.0], &[0.5]).unwrap().after_elu();
        let (mut stream, mut out) = (ConvStream::default(), Vec::new());
        let compute = compute(Path::Generic);
        assert!(conv.push(&compute, &mut stream, &[-1.0], After::Store, &mut out).is_empty());
        let got = conv.finish(&compute, &mut stream, After::Store, &mut out);
        let expected = 0.5 + 2.0 * (f32::exp(-1.0) - 1.0);
        assert!((got[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn wrong_weights_are_named() {
        let error = Conv::new("c", shape(2, 1, 3, 1), &[0.0; 5], &[0.0]).err().unwrap().to_string();
        assert_eq!(error, "tensor \"c\": a 1 x 6 matrix needs 6 values, got 5");
        let error =
            ConvTranspose::new("c", shape(2, 1, 2, 1), &[f32::NAN; 4], &[0.0]).err().unwrap().to_string();
        assert!(error.starts_with("tensor \"c\": weight 0 must be finite"), "{error}");
    }
}
