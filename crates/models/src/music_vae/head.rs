//! From the outputs of a step to the step, and how likely a given step was.

use partita_kernels::{Path, exp, ln, sigmoid, sigmoid_slice, tanh};
use partita_nn::{Rng, Sampler, Sampling, TensorSource};

use super::config::CoreShape;
use super::encoder::named;
use super::flat::Column;
use super::{Error, Sequence};

/// What Magenta adds to a probability before its logarithm: for the hits of a groove, and in NADE.
const GROOVE_FLOOR: f64 = 1e-7;
const NADE_FLOOR: f64 = 1e-6;

/// Draws steps at one temperature.
pub(super) struct Drawing {
    sampler: Sampler,
    temperature: f32,
}

impl Drawing {
    /// `temperature` in `[0, 100]`; 0 takes what is most likely, the first of several.
    pub fn new(temperature: f32) -> Result<Drawing, Error> {
        let sampler = Sampler::new(Sampling { temperature, ..Sampling::default() })?;
        Ok(Drawing { sampler, temperature })
    }

    /// A class among `logits`.
    pub fn class(&mut self, logits: &[f32], rng: &mut Rng) -> Result<u32, Error> {
        Ok(self.sampler.sample(logits, &[], None, rng)?)
    }

    /// Yes or no.
    fn yes(&self, logit: f32, rng: &mut Rng) -> bool {
        if self.temperature == 0.0 { logit > 0.0 } else { rng.f32() < sigmoid(logit / self.temperature) }
    }
}

/// Hits, velocities and offsets from outputs of three equal parts, into a row.
pub(super) fn draw_groove(outputs: &[f32], drawing: &Drawing, rng: &mut Rng, row: &mut [f32]) {
    let drums = outputs.len() / 3;
    for (at, (value, &output)) in row.iter_mut().zip(outputs).enumerate() {
        *value = match at / drums {
            0 => f32::from(u8::from(drawing.yes(output, rng))),
            1 => sigmoid(output),
            _ => tanh(output),
        };
    }
}

/// `-log` of the classes of a step, all columns together.
pub(super) fn class_loss(outputs: &[f32], columns: &[Column], ids: &[u32]) -> f64 {
    let one = |column: &Column| {
        let logits = &outputs[column.first..][..column.classes];
        let top = logits.iter().fold(f32::NEG_INFINITY, |top, &logit| top.max(logit));
        let sum: f64 = logits.iter().map(|&logit| f64::from(exp(logit - top))).sum();
        ln(sum) - f64::from(logits[ids[column.index] as usize] - top)
    };
    columns.iter().map(one).sum()
}

/// Log loss of the hits and squared errors of velocities and offsets.
pub(super) fn groove_loss(outputs: &[f32], row: &[f32]) -> f64 {
    let drums = outputs.len() / 3;
    let one = |(at, (&output, &target)): (usize, (&f32, &f32))| {
        let target = f64::from(target);
        match at / drums {
            0 => log_loss(f64::from(sigmoid(output)), target, GROOVE_FLOOR),
            1 => (f64::from(sigmoid(output)) - target).powi(2),
            _ => (f64::from(tanh(output)) - target).powi(2),
        }
    };
    outputs.iter().zip(row).enumerate().map(one).sum()
}

fn log_loss(p: f64, target: f64, floor: f64) -> f64 {
    -target * ln(p + floor) - (1.0 - target) * ln(1.0 - p + floor)
}

/// The neural autoregressive distribution over the drums of a step: each knows those before it.
///
/// ```text
/// outputs = [b_enc [hidden] | b_dec [D]]      a = b_enc
/// each d:  p = sigmoid(b_dec[d] + sigmoid(a) . w_dec_t[d]),  v_d drawn,  a += v_d w_enc[d]
/// ```
/// Source: Larochelle and Murray 2011.
pub(super) struct Nade {
    hidden: usize,
    /// `[D, hidden]` both.
    encode: Vec<f32>,
    decode: Vec<f32>,
}

impl Nade {
    pub fn load(source: &dyn TensorSource, core: &CoreShape) -> Result<Nade, Error> {
        let hidden = core.outputs - core.depth;
        let read = |name: &str, shape: [usize; 3]| {
            let name = format!("{}/nade/{name}", core.scope);
            source.floats(&name, &shape).map_err(|error| named(source, error))
        };
        let encode = read("w_enc", [core.depth, 1, hidden])?;
        let decode = read("w_dec_t", [core.depth, hidden, 1])?;
        Ok(Nade { hidden, encode, decode })
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        4 * (self.encode.len() + self.decode.len())
    }

    /// Draws a row.
    pub fn draw(&self, path: Path, outputs: &[f32], drawing: &Drawing, rng: &mut Rng, row: &mut [f32]) {
        self.walk(path, outputs, |drum, logit| {
            let yes = drawing.yes(logit, rng);
            row[drum] = f32::from(u8::from(yes));
            yes
        });
    }

    /// `-log` of a row.
    pub fn loss(&self, path: Path, outputs: &[f32], row: &[f32]) -> f64 {
        let mut loss = 0.0;
        self.walk(path, outputs, |drum, logit| {
            loss += log_loss(f64::from(sigmoid(logit)), f64::from(row[drum]), NADE_FLOOR);
            row[drum] > 0.5
        });
        loss
    }

    /// Asks `hit(drum, logit)` for one drum after the other.
    fn walk(&self, path: Path, outputs: &[f32], mut hit: impl FnMut(usize, f32) -> bool) {
        let (start, biases) = outputs.split_at(self.hidden);
        let mut sums = start.to_vec();
        let mut active = sums.clone();
        sigmoid_slice(path, &mut active);
        for (drum, &bias) in biases.iter().enumerate() {
            let weights = &self.decode[drum * self.hidden..][..self.hidden];
            let products = active.iter().zip(weights).map(|(&a, &w)| f64::from(a) * f64::from(w));
            if hit(drum, (f64::from(bias) + products.sum::<f64>()) as f32) {
                let weights = &self.encode[drum * self.hidden..][..self.hidden];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
                active.clone_from(&sums);
                sigmoid_slice(path, &mut active);
            }
        }
    }
}

/// The row of a step.
///
/// # Panics
/// If the sequence has ids.
pub(super) fn row_mut(piece: &mut Sequence, step: usize) -> &mut [f32] {
    match piece {
        Sequence::Rows { width, values } => &mut values[step * *width..][..*width],
        Sequence::Tokens { .. } => unreachable!("a decoder of rows writes rows"),
    }
}
