//! The decoder with its backward pass, over sequences of any lengths laid end to end (no padding).

use std::ops::Range;

use partita_kernels::Path;
use partita_kernels::train::{self as k, Mat, MatMut, matmul};
use partita_nn::Rotary;

use crate::parameters::{LayerRanges, Parameters, Shape};

/// One training sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// `[L]` token ids the network reads.
    pub inputs: Vec<u32>,
    /// `[L]` token ids it is to predict, one at each input.
    pub targets: Vec<u32>,
    /// `[L]` weight of each prediction in the loss.
    pub weights: Vec<f32>,
    /// Ignored by a network without styles.
    pub style: u32,
    /// `[L, k]` rows of features of each input, k the same for all; empty for none.
    pub features: Vec<u32>,
}

impl Example {
    /// A sequence in which every token predicts the next one; `weights: [L]` for `ids: [L + 1]`.
    pub fn next_tokens(ids: &[u32], weights: Vec<f32>, style: u32) -> Example {
        let length = ids.len() - 1;
        Example {
            inputs: ids[..length].to_vec(),
            targets: ids[1..].to_vec(),
            weights,
            style,
            features: vec![],
        }
    }

    /// The first `length` tokens.
    pub fn cut(mut self, length: usize) -> Example {
        self.features.truncate(length * self.features_each());
        self.inputs.truncate(length);
        self.targets.truncate(length);
        self.weights.truncate(length);
        self
    }

    /// Tokens read, L.
    pub fn length(&self) -> usize {
        self.inputs.len()
    }

    /// Rows of features at an input, k.
    fn features_each(&self) -> usize {
        self.features.len() / self.inputs.len().max(1)
    }

    /// Rows of features of input `pos`.
    fn features_at(&self, pos: usize) -> &[u32] {
        let each = self.features_each();
        &self.features[pos * each..][..each]
    }
}

/// Sum of gradients over examples, and the loss that made them.
pub struct Gradients {
    pub values: Vec<f32>,
    /// Weighted sum of the losses, in nats.
    pub nats: f64,
    /// Sum of the weights.
    pub weight: f64,
}

impl Gradients {
    pub fn zeros(parameters: &Parameters) -> Gradients {
        Gradients { values: vec![0.0; parameters.values.len()], nats: 0.0, weight: 0.0 }
    }
}

/// Activations of one layer that its backward pass reads; `[N, ..]` row-major.
#[derive(Default)]
struct Saved {
    input: Vec<f32>,
    stats1: Vec<f32>,
    normed1: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    middle: Vec<f32>,
    stats2: Vec<f32>,
    normed2: Vec<f32>,
    inner: Vec<f32>,
    active: Vec<f32>,
}

/// The decoder with room for its activations; one per thread, reused from batch to batch.
pub struct Gpt {
    path: Path,
    shape: Shape,
    rotary: Option<Rotary>,
    saved: Vec<Saved>,
    /// Residual stream after the last layer, its norm, and logits.
    x: Vec<f32>,
    stats: Vec<f32>,
    normed: Vec<f32>,
    logits: Vec<f32>,
    /// Scratch: gradients of the streams, and one head's attention matrices.
    dx: Vec<f32>,
    branch: Vec<f32>,
    wide: Vec<f32>,
    scores: Vec<f32>,
    dscores: Vec<f32>,
}

/// Where the sequences of a batch lie among its `N` rows.
struct Rows {
    spans: Vec<Range<usize>>,
    total: usize,
}

impl Rows {
    fn new(examples: &[Example]) -> Rows {
        let mut total = 0;
        let spans = examples
            .iter()
            .map(|example| {
                let start = total;
                total += example.length();
                start..total
            })
            .collect();
        Rows { spans, total }
    }
}

/// Dropout of one pass: its rate and the seed that every site's seed comes from.
#[derive(Clone, Copy)]
struct Dropout {
    rate: f32,
    seed: u32,
}

impl Dropout {
    fn apply(self, path: Path, x: &mut [f32], site: usize) {
        if self.rate > 0.0 {
            k::dropout(path, x, self.rate, self.seed ^ (site as u32 + 1).wrapping_mul(0x9e37_79b1));
        }
    }
}

fn resize(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

/// `out = x w + b`, with `x: [N, in]`, `w: [in, out]`.
fn linear(path: Path, out: &mut Vec<f32>, x: &[f32], w: &[f32], b: &[f32], rows: usize) {
    let (inputs, outputs) = (w.len() / b.len(), b.len());
    let out = resize(out, rows * outputs);
    matmul(
        MatMut::new(out, rows, outputs, outputs),
        0.0,
        1.0,
        Mat::new(x, rows, inputs, inputs),
        Mat::new(w, inputs, outputs, outputs),
    );
    k::add_bias(path, out, b);
}

impl Gpt {
    pub fn new(shape: Shape, path: Path) -> Gpt {
        Gpt {
            path,
            shape,
            rotary: shape.rotary.then(|| Rotary::new(shape.context, shape.width / shape.heads)),
            saved: (0..shape.layers).map(|_| Saved::default()).collect(),
            x: vec![],
            stats: vec![],
            normed: vec![],
            logits: vec![],
            dx: vec![],
            branch: vec![],
            wide: vec![],
            scores: vec![],
            dscores: vec![],
        }
    }

    /// Loss of each prediction, in nats, example after example; no gradient, no dropout.
    pub fn losses(&mut self, parameters: &Parameters, examples: &[Example]) -> Vec<f32> {
        let rows = Rows::new(examples);
        self.forward(parameters, examples, &rows, Dropout { rate: 0.0, seed: 0 });
        self.cross_entropy(examples, &rows)
    }

    /// Logits `[N, V]` of the examples' rows, without dropout.
    pub fn logits(&mut self, parameters: &Parameters, examples: &[Example]) -> &[f32] {
        let rows = Rows::new(examples);
        self.forward(parameters, examples, &rows, Dropout { rate: 0.0, seed: 0 });
        &self.logits
    }

    /// Adds the gradient of the weighted loss sum over `examples` to `gradients`.
    ///
    /// `dropout` in `[0, 1)`; `seed` decides what is dropped.
    pub fn accumulate(
        &mut self,
        parameters: &Parameters,
        examples: &[Example],
        dropout: f32,
        seed: u32,
        gradients: &mut Gradients,
    ) {
        let rows = Rows::new(examples);
        let dropout = Dropout { rate: dropout, seed };
        self.forward(parameters, examples, &rows, dropout);
        let losses = self.cross_entropy(examples, &rows);
        let weights = examples.iter().flat_map(|e| &e.weights);
        for (loss, weight) in losses.iter().zip(weights) {
            gradients.nats += f64::from(loss * weight);
            gradients.weight += f64::from(*weight);
        }
        self.backward(parameters, examples, &rows, dropout, &mut gradients.values);
    }

    fn cross_entropy(&mut self, examples: &[Example], rows: &Rows) -> Vec<f32> {
        let targets: Vec<u32> = examples.iter().flat_map(|e| e.targets.iter().copied()).collect();
        let weights: Vec<f32> = examples.iter().flat_map(|e| e.weights.iter().copied()).collect();
        let mut losses = vec![0.0; rows.total];
        k::cross_entropy(self.path, &mut self.logits, &targets, &weights, &mut losses);
        losses
    }

    fn forward(&mut self, parameters: &Parameters, examples: &[Example], rows: &Rows, dropout: Dropout) {
        let (path, width, n) = (self.path, self.shape.width, rows.total);
        let p = &parameters.values;
        self.embed(parameters, examples, rows);
        dropout.apply(path, &mut self.x, 0);
        for (i, layer) in parameters.layers.iter().enumerate() {
            let weights = |pair: &[Range<usize>; 2]| (&p[pair[0].clone()], &p[pair[1].clone()]);
            let saved = &mut self.saved[i];
            saved.input.clear();
            saved.input.extend_from_slice(&self.x);
            let (w, b) = weights(&layer.norm1);
            k::layer_norm(
                path,
                &self.x,
                w,
                b,
                resize(&mut saved.normed1, n * width),
                resize(&mut saved.stats1, n * 2),
            );
            let (w, b) = weights(&layer.qkv);
            linear(path, &mut saved.qkv, &saved.normed1, w, b, n);
            turn(self.rotary.as_ref(), &mut saved.qkv, width, rows, Rotary::turn);
            resize(&mut saved.attended, n * width);
            for span in &rows.spans {
                attend(path, self.shape, span, &saved.qkv, &mut saved.attended, &mut self.scores);
            }
            let (w, b) = weights(&layer.projection);
            linear(path, &mut self.branch, &saved.attended, w, b, n);
            dropout.apply(path, &mut self.branch, 2 * i + 1);
            k::add(path, &mut self.x, &self.branch);

            saved.middle.clear();
            saved.middle.extend_from_slice(&self.x);
            let (w, b) = weights(&layer.norm2);
            k::layer_norm(
                path,
                &self.x,
                w,
                b,
                resize(&mut saved.normed2, n * width),
                resize(&mut saved.stats2, n * 2),
            );
            let (w, b) = weights(&layer.inner);
            linear(path, &mut saved.inner, &saved.normed2, w, b, n);
            k::gelu(path, &saved.inner, resize(&mut saved.active, n * 4 * width));
            let (w, b) = weights(&layer.outer);
            linear(path, &mut self.branch, &saved.active, w, b, n);
            dropout.apply(path, &mut self.branch, 2 * i + 2);
            k::add(path, &mut self.x, &self.branch);
        }
        let [w, b] = &parameters.final_norm;
        let normed = resize(&mut self.normed, n * width);
        k::layer_norm(path, &self.x, &p[w.clone()], &p[b.clone()], normed, resize(&mut self.stats, n * 2));
        let vocab = self.shape.vocab;
        let tokens = Mat::new(&p[parameters.tokens.clone()], vocab, width, width);
        let logits = resize(&mut self.logits, n * vocab);
        matmul(
            MatMut::new(logits, n, vocab, vocab),
            0.0,
            1.0,
            Mat::new(&self.normed, n, width, width),
            tokens.t(),
        );
    }

    /// Token + position + style + features.
    fn embed(&mut self, parameters: &Parameters, examples: &[Example], rows: &Rows) {
        let width = self.shape.width;
        let p = &parameters.values;
        let row_of = |range: &Range<usize>, index: usize| &p[range.start + index * width..][..width];
        resize(&mut self.x, rows.total * width);
        for (example, span) in examples.iter().zip(&rows.spans) {
            assert!(span.len() <= self.shape.context, "sequence must fit the context");
            for (pos, row) in self.x[span.start * width..span.end * width].chunks_exact_mut(width).enumerate()
            {
                row.copy_from_slice(row_of(&parameters.tokens, example.inputs[pos] as usize));
                if !parameters.positions.is_empty() {
                    k::add(self.path, row, row_of(&parameters.positions, pos));
                }
                if !parameters.styles.is_empty() {
                    k::add(self.path, row, row_of(&parameters.styles, example.style as usize));
                }
                for &feature in example.features_at(pos) {
                    k::add(self.path, row, row_of(&parameters.features, feature as usize));
                }
            }
        }
    }

    /// Expects `logits` to hold the loss's gradient.
    fn backward(
        &mut self,
        parameters: &Parameters,
        examples: &[Example],
        rows: &Rows,
        dropout: Dropout,
        g: &mut [f32],
    ) {
        let (path, width, vocab, n) = (self.path, self.shape.width, self.shape.vocab, rows.total);
        let p = &parameters.values;
        let dlogits = Mat::new(&self.logits, n, vocab, vocab);
        let tokens = parameters.tokens.clone();
        matmul(
            MatMut::new(&mut g[tokens.clone()], vocab, width, width),
            1.0,
            1.0,
            dlogits.t(),
            Mat::new(&self.normed, n, width, width),
        );
        let dnormed = resize(&mut self.branch, n * width);
        matmul(
            MatMut::new(dnormed, n, width, width),
            0.0,
            1.0,
            dlogits,
            Mat::new(&p[tokens], vocab, width, width),
        );
        let dx = resize(&mut self.dx, n * width);
        dx.fill(0.0);
        norm_backward(path, p, &parameters.final_norm, &self.x, &self.stats, &self.branch, dx, g);
        for (i, layer) in parameters.layers.iter().enumerate().rev() {
            self.mlp_backward(p, layer, i, n, dropout, g);
            self.attention_backward(p, layer, i, rows, dropout, g);
        }
        dropout.apply(path, &mut self.dx, 0);
        for (example, span) in examples.iter().zip(&rows.spans) {
            for (pos, dx) in self.dx[span.start * width..span.end * width].chunks_exact(width).enumerate() {
                let mut add = |table: &Range<usize>, row: usize| {
                    if !table.is_empty() {
                        let start = table.start + row * width;
                        k::add(path, &mut g[start..start + width], dx);
                    }
                };
                add(&parameters.tokens, example.inputs[pos] as usize);
                add(&parameters.positions, pos);
                add(&parameters.styles, example.style as usize);
                example.features_at(pos).iter().for_each(|&row| add(&parameters.features, row as usize));
            }
        }
    }

    fn mlp_backward(
        &mut self,
        p: &[f32],
        layer: &LayerRanges,
        i: usize,
        n: usize,
        dropout: Dropout,
        g: &mut [f32],
    ) {
        let (path, saved) = (self.path, &self.saved[i]);
        self.branch.clear();
        self.branch.extend_from_slice(&self.dx);
        dropout.apply(path, &mut self.branch, 2 * i + 2);
        linear_backward(path, p, &layer.outer, &saved.active, &self.branch, &mut self.wide, n, g);
        k::gelu_backward(path, &saved.inner, &mut self.wide);
        linear_backward(path, p, &layer.inner, &saved.normed2, &self.wide, &mut self.branch, n, g);
        norm_backward(path, p, &layer.norm2, &saved.middle, &saved.stats2, &self.branch, &mut self.dx, g);
    }

    fn attention_backward(
        &mut self,
        p: &[f32],
        layer: &LayerRanges,
        i: usize,
        rows: &Rows,
        dropout: Dropout,
        g: &mut [f32],
    ) {
        let (path, width, n, saved) = (self.path, self.shape.width, rows.total, &self.saved[i]);
        self.branch.clear();
        self.branch.extend_from_slice(&self.dx);
        dropout.apply(path, &mut self.branch, 2 * i + 1);
        let mut dattended = std::mem::take(&mut self.normed);
        linear_backward(path, p, &layer.projection, &saved.attended, &self.branch, &mut dattended, n, g);
        let dqkv = resize(&mut self.wide, n * 3 * width);
        for span in &rows.spans {
            attend_backward(
                path,
                self.shape,
                span,
                &saved.qkv,
                &dattended,
                dqkv,
                &mut self.scores,
                &mut self.dscores,
            );
        }
        self.normed = dattended;
        turn(self.rotary.as_ref(), &mut self.wide, width, rows, Rotary::turn_back);
        linear_backward(path, p, &layer.qkv, &saved.normed1, &self.wide, &mut self.branch, n, g);
        norm_backward(path, p, &layer.norm1, &saved.input, &saved.stats1, &self.branch, &mut self.dx, g);
    }
}

/// Gradient of [`linear`]: writes `dx: [N, in]`, adds to the weights' gradients.
#[allow(clippy::too_many_arguments)]
fn linear_backward(
    path: Path,
    p: &[f32],
    pair: &[Range<usize>; 2],
    x: &[f32],
    dy: &[f32],
    dx: &mut Vec<f32>,
    rows: usize,
    g: &mut [f32],
) {
    let [weight, bias] = pair;
    let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
    let dy_view = Mat::new(dy, rows, outputs, outputs);
    matmul(
        MatMut::new(&mut g[weight.clone()], inputs, outputs, outputs),
        1.0,
        1.0,
        Mat::new(x, rows, inputs, inputs).t(),
        dy_view,
    );
    k::bias_backward(path, dy, &mut g[bias.clone()]);
    let dx = resize(dx, rows * inputs);
    let w = Mat::new(&p[weight.clone()], inputs, outputs, outputs);
    matmul(MatMut::new(dx, rows, inputs, inputs), 0.0, 1.0, dy_view, w.t());
}

#[allow(clippy::too_many_arguments)]
fn norm_backward(
    path: Path,
    p: &[f32],
    pair: &[Range<usize>; 2],
    x: &[f32],
    stats: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    g: &mut [f32],
) {
    let [weight, bias] = pair;
    // Weight and bias lie next to each other in the flat vector.
    let (dweight, dbias) = g[weight.start..bias.end].split_at_mut(weight.len());
    k::layer_norm_backward(path, x, &p[weight.clone()], stats, dy, dx, dweight, dbias);
}

/// Turns the queries and keys of `qkv: [N, 3 W]` to their positions, or back.
fn turn(
    rotary: Option<&Rotary>,
    qkv: &mut [f32],
    width: usize,
    rows: &Rows,
    turn: impl Fn(&Rotary, usize, &mut [f32]),
) {
    let Some(rotary) = rotary else { return };
    for span in &rows.spans {
        let rows = qkv[span.start * 3 * width..span.end * 3 * width].chunks_exact_mut(3 * width);
        rows.enumerate().for_each(|(pos, row)| turn(rotary, pos, &mut row[..2 * width]));
    }
}

/// Rows of one head's queries, keys and values inside `qkv: [N, 3 W]`.
fn heads(shape: Shape, span: &Range<usize>) -> impl Iterator<Item = ([usize; 3], usize)> + use<> {
    let (width, size) = (shape.width, shape.width / shape.heads);
    let start = span.start * 3 * width;
    (0..shape.heads).map(move |h| ([0, 1, 2].map(|part| start + part * width + h * size), h * size))
}

/// Causal attention of one sequence.
fn attend(
    path: Path,
    shape: Shape,
    span: &Range<usize>,
    qkv: &[f32],
    out: &mut [f32],
    scores: &mut Vec<f32>,
) {
    let (width, size, l) = (shape.width, shape.width / shape.heads, span.len());
    let scores = resize(scores, l * l);
    let scale = 1.0 / (size as f32).sqrt();
    for ([q, key, v], column) in heads(shape, span) {
        let part = |at: usize| Mat::new(&qkv[at..], l, size, 3 * width);
        matmul(MatMut::new(scores, l, l, l), 0.0, scale, part(q), part(key).t());
        k::causal_softmax(path, scores, l);
        let out = MatMut::new(&mut out[span.start * width + column..], l, size, width);
        matmul(out, 0.0, 1.0, Mat::new(scores, l, l, l), part(v));
    }
}

/// Gradient of [`attend`]: writes this sequence's rows of `dqkv`. The probabilities are computed again,
/// which costs less than keeping them.
#[allow(clippy::too_many_arguments)]
fn attend_backward(
    path: Path,
    shape: Shape,
    span: &Range<usize>,
    qkv: &[f32],
    dout: &[f32],
    dqkv: &mut [f32],
    scores: &mut Vec<f32>,
    dscores: &mut Vec<f32>,
) {
    let (width, size, l) = (shape.width, shape.width / shape.heads, span.len());
    let (scores, dscores) = (resize(scores, l * l), resize(dscores, l * l));
    let scale = 1.0 / (size as f32).sqrt();
    for ([q, key, v], column) in heads(shape, span) {
        let part = |at: usize| Mat::new(&qkv[at..], l, size, 3 * width);
        let dout = Mat::new(&dout[span.start * width + column..], l, size, width);
        matmul(MatMut::new(scores, l, l, l), 0.0, scale, part(q), part(key).t());
        k::causal_softmax(path, scores, l);
        let p = Mat::new(scores, l, l, l);
        matmul(MatMut::new(&mut dqkv[v..], l, size, 3 * width), 0.0, 1.0, p.t(), dout);
        matmul(MatMut::new(dscores, l, l, l), 0.0, 1.0, dout, part(v).t());
        k::causal_softmax_backward(path, scores, dscores, l);
        let d = Mat::new(dscores, l, l, l);
        matmul(MatMut::new(&mut dqkv[q..], l, size, 3 * width), 0.0, scale, d, part(key));
        matmul(MatMut::new(&mut dqkv[key..], l, size, 3 * width), 0.0, scale, d.t(), part(q));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With styles and learned positions, or with features and rotary ones.
    fn tiny(rotary: bool) -> (Parameters, Vec<Example>) {
        let (styles, features) = if rotary { (0, 7) } else { (3, 0) };
        let shape =
            Shape { vocab: 13, context: 12, styles, width: 32, layers: 2, heads: 2, rotary, features };
        let mut parameters = Parameters::new(shape, 5);
        // Larger weights than at the start of training, so that every nonlinearity bends.
        for tensor in parameters.tensors.iter().filter(|t| t.decays) {
            parameters.values[tensor.range.clone()].iter_mut().for_each(|x| *x *= 6.0);
        }
        let example = |ids: &[u32], style| {
            let weights = (1..ids.len()).map(|i| [1.0, 0.0, 0.7][i % 3]).collect();
            let example = Example::next_tokens(ids, weights, style);
            let each = if rotary { 2 } else { 0 };
            let features = (0..each * example.length()).map(|i| (i * i % 7) as u32).collect();
            Example { features, ..example }
        };
        (
            parameters,
            vec![
                example(&[1, 5, 5, 2, 12, 0, 3], 0),
                example(&[4, 4, 9], 2),
                example(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 1),
            ],
        )
    }

    fn loss(net: &mut Gpt, parameters: &Parameters, examples: &[Example], dropout: f32) -> f64 {
        let mut gradients = Gradients::zeros(parameters);
        net.accumulate(parameters, examples, dropout, 9, &mut gradients);
        gradients.nats
    }

    /// Largest difference between the gradient and central differences, over numbers of every tensor.
    fn check_gradient(dropout: f32, rotary: bool) {
        let (mut parameters, examples) = tiny(rotary);
        let mut net = Gpt::new(parameters.shape, Path::from_env().expect("a path"));
        let mut gradients = Gradients::zeros(&parameters);
        net.accumulate(&parameters, &examples, dropout, 9, &mut gradients);
        let tensors = parameters.tensors.clone();
        for tensor in &tensors {
            for index in tensor.range.clone().step_by((tensor.range.len() / 12).max(1)) {
                let step = 5e-3f32;
                let value = parameters.values[index];
                parameters.values[index] = value + step;
                let above = loss(&mut net, &parameters, &examples, dropout);
                parameters.values[index] = value - step;
                let below = loss(&mut net, &parameters, &examples, dropout);
                parameters.values[index] = value;
                let expected = (above - below) / f64::from(2.0 * step);
                let got = f64::from(gradients.values[index]);
                let tolerance = 2e-2 * (1.0 + expected.abs());
                assert!(
                    (expected - got).abs() < tolerance,
                    "{}[{}]: {got} but differences say {expected}",
                    tensor.name,
                    index - tensor.range.start
                );
            }
        }
    }

    #[test]
    fn gradient_equals_finite_differences() {
        check_gradient(0.0, false);
        check_gradient(0.0, true);
    }

    #[test]
    fn gradient_equals_finite_differences_under_dropout() {
        check_gradient(0.3, false);
        check_gradient(0.3, true);
    }

    #[test]
    fn gradient_of_a_batch_is_the_sum_over_its_examples() {
        let (parameters, examples) = tiny(true);
        let mut net = Gpt::new(parameters.shape, Path::from_env().expect("a path"));
        let mut whole = Gradients::zeros(&parameters);
        net.accumulate(&parameters, &examples, 0.0, 0, &mut whole);
        let mut parts = Gradients::zeros(&parameters);
        for example in &examples {
            net.accumulate(&parameters, std::slice::from_ref(example), 0.0, 0, &mut parts);
        }
        for (a, b) in whole.values.iter().zip(&parts.values) {
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a} {b}");
        }
    }
}
