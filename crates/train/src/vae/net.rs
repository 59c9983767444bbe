//! The autoencoder with its backward pass, over windows of equal length.
//!
//! ```text
//! encoder   steps -> two memories, one from each end -> mu, sigma
//! code      z = mu + sigma * noise
//! decoder   state = tanh(z W + b);   step t reads [output of step t - 1 | z], two memories, one projection
//! ```
//! What the decoder reads back is the true step, nothing, or its own choice, by [`Pass`]; nothing flows back
//! through a choice.
//!
//! Source: MusicVAE (Roberts et al. 2018), its flat configurations; GrooVAE (Gillick et al. 2019) for grooves.

use partita_kernels::train::{self as k};
use partita_kernels::{Path, sigmoid_slice, tanh_slice};
use partita_nn::Rng;

use super::head::{Choice, Groove, choose_class};
use super::layers::{
    Memory, Sparse, linear, linear_weights, product, product_input, product_weights, resize,
};
use super::weights::{Head, VaeShape, VaeWeights};

/// What the decoder is to give back.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// `[T]` a class a step.
    Classes(Vec<u32>),
    /// `[T, 27]` nine hits (0 or 1), velocities `[0, 1]`, offsets `[-1, 1]` (positive is early); zero where no hit is.
    Groove(Vec<f32>),
}

/// One training window.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What the encoder reads: T rows.
    pub input: Sparse,
    pub target: Target,
}

/// How a batch goes through the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pass {
    /// Share of the numbers between the layers left out.
    pub dropout: f32,
    /// Share of steps at which the decoder is told nothing of the step before.
    pub skip: f32,
    /// Share of steps at which it is told its own choice instead of the truth.
    pub own: f32,
    pub choice: Choice,
    /// Whether z is drawn from the posterior; its mean otherwise.
    pub noisy: bool,
    /// Weight of the divergence above `free`.
    pub beta: f32,
    /// Nats of divergence that cost nothing.
    pub free: f32,
    pub groove: Groove,
    pub seed: u64,
}

impl Pass {
    /// Without noise or dropout, told the truth.
    pub const TEACHER: Pass = Pass {
        dropout: 0.0,
        skip: 0.0,
        own: 0.0,
        choice: Choice::Best,
        noisy: false,
        beta: 1.0,
        free: 0.0,
        groove: Groove::PLAIN,
        seed: 0,
    };
    /// Without noise or dropout, told its own likeliest choices.
    pub const ALONE: Pass = Pass { own: 1.0, ..Pass::TEACHER };
}

/// Sum of gradients over windows, and what the loss was made of.
pub struct VaeGradients {
    pub values: Vec<f32>,
    pub sums: Sums,
}

/// Sums over windows, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    pub windows: usize,
    pub reconstruction: f64,
    pub divergence: f64,
    /// What was minimised: reconstruction + beta * max(divergence - free, 0).
    pub cost: f64,
}

impl Sums {
    pub fn add(&mut self, other: Sums) {
        self.windows += other.windows;
        self.reconstruction += other.reconstruction;
        self.divergence += other.divergence;
        self.cost += other.cost;
    }

    pub fn mean(self, value: f64) -> f64 {
        value / self.windows.max(1) as f64
    }
}

impl VaeGradients {
    pub fn zeros(weights: &VaeWeights) -> VaeGradients {
        VaeGradients { values: vec![0.0; weights.values.len()], sums: Sums::default() }
    }
}

/// The network with room for its activations; one per thread.
pub struct VaeNet {
    path: Path,
    shape: VaeShape,
    input: Sparse,
    sides: [Memory; 2],
    /// `[N, 2 E]`
    embedding: Vec<f32>,
    /// `[N, Z]` each.
    mu: Vec<f32>,
    sigma_sums: Vec<f32>,
    sigma: Vec<f32>,
    noise: Vec<f32>,
    z: Vec<f32>,
    /// `[N, 4 D]`: cells and outputs before the first step, layer after layer.
    state: Vec<f32>,
    /// `[N, 4 D]`: what z adds to the first layer's sums at every step.
    from_code: Vec<f32>,
    /// What the decoder read: `[T N]` rows.
    fed: Sparse,
    layers: [Memory; 2],
    /// `[T, N, D]`: what the second layer read.
    between: Vec<f32>,
    /// `[T, N, out]`, then their gradients; and the same bent by sigmoid and tanh for grooves.
    logits: Vec<f32>,
    bent: [Vec<f32>; 2],
    /// Nats of divergence, `[N]`.
    divergences: Vec<f32>,
    random: Vec<Rng>,
    wide: Vec<f32>,
    dstate: Vec<f32>,
    dz: Vec<f32>,
    dsigma: Vec<f32>,
    dembedding: Vec<f32>,
}

fn dropped(path: Path, x: &mut [f32], pass: &Pass, site: u32) {
    if pass.dropout > 0.0 {
        let seed = (pass.seed ^ pass.seed >> 32) as u32 ^ (site + 1).wrapping_mul(0x9e37_79b1);
        k::dropout(path, x, pass.dropout, seed);
    }
}

impl VaeNet {
    pub fn new(shape: VaeShape, path: Path) -> VaeNet {
        VaeNet {
            path,
            shape,
            input: Sparse::default(),
            sides: Default::default(),
            embedding: vec![],
            mu: vec![],
            sigma_sums: vec![],
            sigma: vec![],
            noise: vec![],
            z: vec![],
            state: vec![],
            from_code: vec![],
            fed: Sparse::default(),
            layers: Default::default(),
            between: vec![],
            logits: vec![],
            bent: Default::default(),
            divergences: vec![],
            random: vec![],
            wide: vec![],
            dstate: vec![],
            dz: vec![],
            dsigma: vec![],
            dembedding: vec![],
        }
    }

    /// Encodes and decodes; returns nats of reconstruction `[N]` and of divergence `[N]`.
    ///
    /// `first` numbers the windows: noise and choices depend on the pass's seed and a window's number alone.
    pub fn losses(
        &mut self,
        weights: &VaeWeights,
        windows: &[Window],
        first: u64,
        pass: &Pass,
    ) -> (Vec<f32>, Vec<f32>) {
        self.forward(weights, windows, first, pass);
        let outputs = self.logits.clone();
        let losses = self.reconstruction(windows, pass);
        self.logits = outputs;
        (losses, self.divergences.clone())
    }

    /// Decodes given codes `[N, Z]`, one for each of `windows`; returns nats of reconstruction `[N]`.
    ///
    /// `first` numbers the windows as in [`VaeNet::losses`].
    pub fn decode_codes(
        &mut self,
        weights: &VaeWeights,
        codes: &[f32],
        windows: &[Window],
        first: u64,
        pass: &Pass,
    ) -> Vec<f32> {
        assert_eq!(codes.len(), windows.len() * self.shape.latent, "one code for each window");
        self.random = (0..windows.len() as u64).map(|i| Rng::new(pass.seed, first + i + 1)).collect();
        self.z.clear();
        self.z.extend_from_slice(codes);
        self.decode(weights, windows, pass);
        let outputs = self.logits.clone();
        let losses = self.reconstruction(windows, pass);
        self.logits = outputs;
        losses
    }

    /// Plays codes `[N, Z]` with the decoder's own choices; returns the outputs `[T, N, out]`.
    pub fn play(&mut self, weights: &VaeWeights, codes: &[f32], first: u64, pass: &Pass) -> &[f32] {
        let nothing = match self.shape.head {
            Head::Categorical => Target::Classes(vec![0; self.shape.steps]),
            Head::Groove => Target::Groove(vec![0.0; self.shape.steps * self.shape.output]),
        };
        let rows = codes.len() / self.shape.latent;
        let windows = vec![Window { input: Sparse::default(), target: nothing }; rows];
        self.decode_codes(weights, codes, &windows, first, pass);
        &self.logits
    }

    /// What the decoder read at step `step` of window `row` in the last pass.
    pub fn read_at(&self, step: usize, row: usize, rows: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.fed.row(step * rows + row)
    }

    /// The last pass's outputs `[T, N, out]`, before softmax, sigmoid or tanh.
    pub fn outputs(&self) -> &[f32] {
        &self.logits
    }

    /// The last pass's codes: mu and sigma, `[N, Z]` each.
    pub fn posterior(&self) -> (&[f32], &[f32]) {
        (&self.mu, &self.sigma)
    }

    /// Adds the gradient of the summed costs of `windows`.
    pub fn accumulate(
        &mut self,
        weights: &VaeWeights,
        windows: &[Window],
        first: u64,
        pass: &Pass,
        gradients: &mut VaeGradients,
    ) {
        self.forward(weights, windows, first, pass);
        let losses = self.reconstruction(windows, pass);
        for (loss, divergence) in losses.iter().zip(&self.divergences) {
            let priced = pass.beta * (divergence - pass.free).max(0.0);
            gradients.sums.add(Sums {
                windows: 1,
                reconstruction: f64::from(*loss),
                divergence: f64::from(*divergence),
                cost: f64::from(loss + priced),
            });
        }
        self.backward(weights, windows.len(), pass, &mut gradients.values);
    }

    fn forward(&mut self, weights: &VaeWeights, windows: &[Window], first: u64, pass: &Pass) {
        let rows = windows.len();
        self.random = (0..rows as u64).map(|i| Rng::new(pass.seed, first + i + 1)).collect();
        self.encode(weights, windows, pass);
        self.draw_codes(weights, rows, pass);
        self.decode(weights, windows, pass);
    }

    fn encode(&mut self, weights: &VaeWeights, windows: &[Window], pass: &Pass) {
        let (path, p, rows) = (self.path, &weights.values, windows.len());
        let VaeShape { steps, input, encoder: width, .. } = self.shape;
        self.input.clear();
        for step in 0..steps {
            for window in windows {
                self.input.push(window.input.row(step));
            }
        }
        let embedding = resize(&mut self.embedding, rows * 2 * width);
        for (side, (memory, cell)) in self.sides.iter_mut().zip(&weights.encoder).enumerate() {
            memory.begin(width, steps, rows);
            for step in 0..steps {
                let time = if side == 0 { step } else { steps - 1 - step };
                let sums = memory.sums(width, step, rows);
                for row in sums.chunks_exact_mut(4 * width) {
                    row.copy_from_slice(&p[cell.bias.clone()]);
                }
                let from_input = &p[cell.rows(0..input)];
                self.input.add_product(path, time * rows..(time + 1) * rows, from_input, 4 * width, sums);
                memory.advance(path, p, cell, step, rows);
            }
            let last = memory.output(width, Some(steps - 1), rows);
            for (embedding, last) in embedding.chunks_exact_mut(2 * width).zip(last.chunks_exact(width)) {
                embedding[side * width..][..width].copy_from_slice(last);
            }
        }
        dropped(path, &mut self.embedding, pass, 0);
    }

    fn draw_codes(&mut self, weights: &VaeWeights, rows: usize, pass: &Pass) {
        let (path, p, latent) = (self.path, &weights.values, self.shape.latent);
        linear(path, resize(&mut self.mu, rows * latent), p, &weights.mu, &self.embedding, rows);
        let sums = resize(&mut self.sigma_sums, rows * latent);
        linear(path, sums, p, &weights.sigma, &self.embedding, rows);
        for buffer in [&mut self.sigma, &mut self.noise, &mut self.z] {
            resize(buffer, rows * latent);
        }
        self.divergences.clear();
        for row in 0..rows {
            let mut divergence = 0.0;
            for column in 0..latent {
                let at = row * latent + column;
                let (mu, sum) = (self.mu[at], sums[at]);
                // softplus, without overflow for large sums and never zero for very negative ones
                let sigma = (sum.max(0.0) + (-sum.abs()).exp().ln_1p()).max(1e-6);
                let noise = if pass.noisy { normal(&mut self.random[row]) } else { 0.0 };
                (self.sigma[at], self.noise[at], self.z[at]) = (sigma, noise, mu + sigma * noise);
                divergence += 0.5 * (sigma * sigma + mu * mu - 1.0) - sigma.ln();
            }
            self.divergences.push(divergence);
        }
    }

    fn decode(&mut self, weights: &VaeWeights, windows: &[Window], pass: &Pass) {
        let (path, p, rows) = (self.path, &weights.values, windows.len());
        let VaeShape { steps, output, decoder: width, latent, .. } = self.shape;
        let size = rows * width;
        linear(path, resize(&mut self.state, 4 * size), p, &weights.initial, &self.z, rows);
        tanh_slice(path, &mut self.state);
        for (i, memory) in self.layers.iter_mut().enumerate() {
            memory.begin(width, steps, rows);
            for (row, state) in self.state.chunks_exact(4 * width).enumerate() {
                let at = row * width..(row + 1) * width;
                memory.cells[at.clone()].copy_from_slice(&state[2 * i * width..][..width]);
                memory.hidden[at].copy_from_slice(&state[(2 * i + 1) * width..][..width]);
            }
        }
        let [lower, upper] = &weights.decoder;
        let from_code = resize(&mut self.from_code, 4 * size);
        product(from_code, 0.0, &self.z, &p[lower.rows(output..output + latent)], rows);
        k::add_bias(path, from_code, &p[lower.bias.clone()]);
        resize(&mut self.between, steps * size);
        resize(&mut self.logits, steps * rows * output);
        self.fed.clear();
        for step in 0..steps {
            self.feed(windows, step, pass);
            let [first, second] = &mut self.layers;
            let sums = first.sums(width, step, rows);
            sums.copy_from_slice(&self.from_code);
            let from_output = &p[lower.rows(0..output)];
            self.fed.add_product(path, step * rows..(step + 1) * rows, from_output, 4 * width, sums);
            first.advance(path, p, lower, step, rows);

            let between = &mut self.between[step * size..][..size];
            between.copy_from_slice(first.output(width, Some(step), rows));
            dropped(path, between, pass, 1 + step as u32);
            let sums = second.sums(width, step, rows);
            for row in sums.chunks_exact_mut(4 * width) {
                row.copy_from_slice(&p[upper.bias.clone()]);
            }
            product(sums, 1.0, between, &p[upper.rows(0..width)], rows);
            second.advance(path, p, upper, step, rows);

            let logits = &mut self.logits[step * rows * output..][..rows * output];
            linear(path, logits, p, &weights.output, second.output(width, Some(step), rows), rows);
        }
    }

    /// Decides what the decoder reads at `step`: one row a window.
    fn feed(&mut self, windows: &[Window], step: usize, pass: &Pass) {
        let (rows, output) = (windows.len(), self.shape.output);
        if step == 0 {
            windows.iter().for_each(|_| self.fed.push([]));
            return;
        }
        let last = &self.logits[(step - 1) * rows * output..][..rows * output];
        if self.shape.head == Head::Groove && pass.own > 0.0 {
            for (bent, function) in self.bent.iter_mut().zip([sigmoid_slice, tanh_slice]) {
                bent.clear();
                bent.extend_from_slice(last);
                function(self.path, bent);
            }
        }
        for (row, (window, random)) in windows.iter().zip(&mut self.random).enumerate() {
            let (left_out, own) = (random.f32() < pass.skip, random.f32() < pass.own);
            if left_out {
                self.fed.push([]);
                continue;
            }
            let at = row * output..(row + 1) * output;
            match &window.target {
                Target::Classes(classes) => {
                    let class =
                        if own { choose_class(&last[at], pass.choice, random) } else { classes[step - 1] };
                    self.fed.push([(class, 1.0)]);
                }
                Target::Groove(truth) => {
                    let truth = &truth[(step - 1) * output..][..output];
                    if own {
                        let [sigmoids, tanhs] = &self.bent;
                        let own =
                            pass.groove.feed(&sigmoids[at.clone()], &tanhs[at], truth, pass.choice, random);
                        self.fed.push(own);
                    } else {
                        let entries = truth.iter().enumerate().filter(|(_, value)| **value != 0.0);
                        self.fed.push(entries.map(|(i, value)| (i as u32, *value)));
                    }
                }
            }
        }
    }

    /// Nats of reconstruction `[N]`; the logits become the loss's gradient.
    fn reconstruction(&mut self, windows: &[Window], pass: &Pass) -> Vec<f32> {
        let (rows, output, steps) = (windows.len(), self.shape.output, self.shape.steps);
        let mut nats = vec![0.0; rows];
        match self.shape.head {
            Head::Categorical => {
                let mut targets = Vec::with_capacity(steps * rows);
                for step in 0..steps {
                    for window in windows {
                        let Target::Classes(classes) = &window.target else {
                            panic!("a categorical network is given classes");
                        };
                        targets.push(classes[step]);
                    }
                }
                let (ones, mut losses) = (vec![1.0; targets.len()], vec![0.0; targets.len()]);
                k::cross_entropy(self.path, &mut self.logits, &targets, &ones, &mut losses);
                for losses in losses.chunks_exact(rows) {
                    nats.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
                }
            }
            Head::Groove => {
                for (bent, function) in self.bent.iter_mut().zip([sigmoid_slice, tanh_slice]) {
                    bent.clone_from(&self.logits);
                    function(self.path, bent);
                }
                let [sigmoids, tanhs] = &self.bent;
                for step in 0..steps {
                    for (row, window) in windows.iter().enumerate() {
                        let Target::Groove(truth) = &window.target else {
                            panic!("a groove network is given grooves");
                        };
                        let at = (step * rows + row) * output;
                        let truth = &truth[step * output..][..output];
                        let gradient = &mut self.logits[at..][..output];
                        let bent = (&sigmoids[at..][..output], &tanhs[at..][..output]);
                        nats[row] += pass.groove.loss(bent, truth, gradient);
                    }
                }
            }
        }
        nats
    }

    /// Expects `logits` to hold the loss's gradient; adds to `g`.
    fn backward(&mut self, weights: &VaeWeights, rows: usize, pass: &Pass, g: &mut [f32]) {
        self.decoder_backward(weights, rows, pass, g);
        self.code_backward(weights, rows, pass, g);
        self.encoder_backward(weights, rows, g);
    }

    fn decoder_backward(&mut self, weights: &VaeWeights, rows: usize, pass: &Pass, g: &mut [f32]) {
        let (path, p) = (self.path, &weights.values);
        let VaeShape { steps, output, decoder: width, latent, .. } = self.shape;
        let (size, all) = (rows * width, steps * rows);
        let [lower, upper] = &weights.decoder;
        let [first, second] = &mut self.layers;
        linear_weights(path, g, &weights.output, &second.hidden[size..], &self.logits, all);
        let wide = resize(&mut self.wide, steps * size);
        product_input(wide, 0.0, &self.logits, &p[weights.output[0].clone()], all);

        let dstate = resize(&mut self.dstate, 4 * size);
        let mut keep_state = |layer: usize, dhidden: &[f32], dcell: &[f32]| {
            for (row, state) in dstate.chunks_exact_mut(4 * width).enumerate() {
                let at = row * width..(row + 1) * width;
                state[2 * layer * width..][..width].copy_from_slice(&dcell[at.clone()]);
                state[(2 * layer + 1) * width..][..width].copy_from_slice(&dhidden[at]);
            }
        };
        let above = |step: usize| Some(&wide[step * size..][..size]);
        second.backward(path, p, upper, (steps, rows), above, g);
        keep_state(1, &second.dhidden, &second.dcell);
        let from_below = upper.rows(0..width);
        product_weights(&mut g[from_below.clone()], &self.between, &second.gates, all);
        product_input(wide, 0.0, &second.gates, &p[from_below], all);
        for (step, part) in wide.chunks_exact_mut(size).enumerate() {
            dropped(path, part, pass, 1 + step as u32);
        }
        let above = |step: usize| Some(&wide[step * size..][..size]);
        first.backward(path, p, lower, (steps, rows), above, g);
        keep_state(0, &first.dhidden, &first.dcell);

        let from_output = lower.rows(0..output);
        self.fed.add_gradient(path, 0..all, &first.gates, 4 * width, &mut g[from_output]);
        let dcode = &mut self.from_code;
        dcode.fill(0.0);
        for gates in first.gates.chunks_exact(4 * size) {
            k::add(path, dcode, gates);
        }
        let from_code = lower.rows(output..output + latent);
        product_weights(&mut g[from_code.clone()], &self.z, dcode, rows);
        let dz = resize(&mut self.dz, rows * latent);
        product_input(dz, 0.0, dcode, &p[from_code], rows);
        for (d, state) in dstate.iter_mut().zip(&self.state) {
            *d *= 1.0 - state * state;
        }
        linear_weights(path, g, &weights.initial, &self.z, dstate, rows);
        product_input(dz, 1.0, dstate, &p[weights.initial[0].clone()], rows);
    }

    fn code_backward(&mut self, weights: &VaeWeights, rows: usize, pass: &Pass, g: &mut [f32]) {
        let (path, p, latent) = (self.path, &weights.values, self.shape.latent);
        let dsigma = resize(&mut self.dsigma, rows * latent);
        for row in 0..rows {
            let price = if self.divergences[row] > pass.free { pass.beta } else { 0.0 };
            for column in 0..latent {
                let at = row * latent + column;
                let (mu, sigma) = (self.mu[at], self.sigma[at]);
                let d = self.dz[at] * self.noise[at] + price * (sigma - 1.0 / sigma);
                dsigma[at] = d / (1.0 + (-self.sigma_sums[at]).exp());
                self.dz[at] += price * mu;
            }
        }
        let dmu = &self.dz;
        linear_weights(path, g, &weights.mu, &self.embedding, dmu, rows);
        linear_weights(path, g, &weights.sigma, &self.embedding, dsigma, rows);
        let d = resize(&mut self.dembedding, rows * 2 * self.shape.encoder);
        product_input(d, 0.0, dmu, &p[weights.mu[0].clone()], rows);
        product_input(d, 1.0, dsigma, &p[weights.sigma[0].clone()], rows);
        dropped(path, d, pass, 0);
    }

    fn encoder_backward(&mut self, weights: &VaeWeights, rows: usize, g: &mut [f32]) {
        let (path, p) = (self.path, &weights.values);
        let VaeShape { steps, input, encoder: width, .. } = self.shape;
        for (side, (memory, cell)) in self.sides.iter_mut().zip(&weights.encoder).enumerate() {
            let last = resize(&mut self.wide, rows * width);
            for (last, d) in last.chunks_exact_mut(width).zip(self.dembedding.chunks_exact(2 * width)) {
                last.copy_from_slice(&d[side * width..][..width]);
            }
            memory.backward(path, p, cell, (steps, rows), |step| (step == steps - 1).then_some(&*last), g);
            let from_input = cell.rows(0..input);
            for (step, gates) in memory.gates.chunks_exact(rows * 4 * width).enumerate() {
                let time = if side == 0 { step } else { steps - 1 - step };
                let dw = &mut g[from_input.clone()];
                self.input.add_gradient(path, time * rows..(time + 1) * rows, gates, 4 * width, dw);
            }
        }
    }
}

/// Normally distributed, by Box and Muller.
pub(super) fn normal(rng: &mut Rng) -> f32 {
    let (u, v) = (rng.f64().max(1e-12), rng.f64());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::super::weights::Heard;
    use super::*;

    fn tiny(head: Head) -> (VaeWeights, Vec<Window>) {
        let groove = head == Head::Groove;
        let output = if groove { 27 } else { 7 };
        let shape = VaeShape {
            head,
            heard: Heard::Hits,
            steps: 5,
            input: 6,
            output,
            encoder: 8,
            decoder: 6,
            latent: 4,
        };
        let mut weights = VaeWeights::new(shape, 5);
        // Larger codes than at the start of training, and biases, so that every part of the loss counts.
        for tensor in weights.tensors.clone() {
            let values = &mut weights.values[tensor.range.clone()];
            if tensor.name.starts_with("encoder/sigma/k") {
                values.iter_mut().for_each(|x| *x *= 500.0);
            } else if !tensor.decays {
                values.iter_mut().enumerate().for_each(|(i, x)| *x = 0.1 * ((i * 7 % 5) as f32 - 2.0));
            }
        }
        let mut rng = Rng::new(11, 0);
        let windows = (0..3)
            .map(|_| {
                let mut input = Sparse::default();
                for _ in 0..shape.steps {
                    let (a, b) = (rng.below(6) as u32, rng.f32());
                    input.push([(a, 1.0), ((a + 2) % 6, b)]);
                }
                let target = if groove {
                    let mut truth = vec![0.0; shape.steps * 27];
                    for row in truth.chunks_exact_mut(27) {
                        for drum in 0..9 {
                            if rng.f32() < 0.4 {
                                (row[drum], row[9 + drum], row[18 + drum]) =
                                    (1.0, rng.f32(), rng.f32() - 0.5);
                            }
                        }
                    }
                    Target::Groove(truth)
                } else {
                    Target::Classes((0..shape.steps).map(|_| rng.below(7) as u32).collect())
                };
                Window { input, target }
            })
            .collect();
        (weights, windows)
    }

    fn path() -> Path {
        Path::from_env().expect("a path")
    }

    /// Largest difference between the gradient and central differences, over numbers of every tensor.
    fn check_gradient(head: Head, pass: Pass) {
        let (mut weights, windows) = tiny(head);
        let mut net = VaeNet::new(weights.shape, path());
        let mut gradients = VaeGradients::zeros(&weights);
        net.accumulate(&weights, &windows, 0, &pass, &mut gradients);
        let mut cost = |weights: &VaeWeights| {
            let mut gradients = VaeGradients::zeros(weights);
            net.accumulate(weights, &windows, 0, &pass, &mut gradients);
            gradients.sums.cost
        };
        for tensor in weights.tensors.clone() {
            for index in tensor.range.clone().step_by((tensor.range.len() / 12).max(1)) {
                let step = 5e-3f32;
                let value = weights.values[index];
                weights.values[index] = value + step;
                let above = cost(&weights);
                weights.values[index] = value - step;
                let below = cost(&weights);
                weights.values[index] = value;
                let expected = (above - below) / f64::from(2.0 * step);
                let got = f64::from(gradients.values[index]);
                assert!(
                    (expected - got).abs() < 1e-2 * (1.0 + expected.abs()),
                    "{}[{}]: {got} but differences say {expected}",
                    tensor.name,
                    index - tensor.range.start
                );
            }
        }
    }

    /// Noise, dropout, steps left out: all that is random stays the same for a seed. Own choices would jump.
    const TRAINING: Pass =
        Pass { dropout: 0.3, skip: 0.3, noisy: true, beta: 0.7, free: 0.01, seed: 9, ..Pass::TEACHER };

    #[test]
    fn gradient_of_classes_equals_finite_differences() {
        check_gradient(Head::Categorical, Pass::TEACHER);
        check_gradient(Head::Categorical, TRAINING);
    }

    #[test]
    fn gradient_of_grooves_equals_finite_differences() {
        let groove = Groove { struck: 4.0, silent: 0.5, keep_hits: 1.0 };
        check_gradient(Head::Groove, Pass { groove, ..Pass::TEACHER });
        check_gradient(Head::Groove, Pass { groove, ..TRAINING });
    }

    #[test]
    fn divergence_below_what_is_free_has_no_gradient() {
        check_gradient(Head::Categorical, Pass { noisy: true, free: 1e6, ..Pass::TEACHER });
    }

    #[test]
    fn gradient_of_a_batch_is_the_sum_over_its_windows() {
        for (head, own) in [(Head::Categorical, 0.5), (Head::Groove, 0.5)] {
            let (weights, windows) = tiny(head);
            let mut net = VaeNet::new(weights.shape, path());
            let pass = Pass { own, choice: Choice::Drawn, dropout: 0.0, ..TRAINING };
            let mut whole = VaeGradients::zeros(&weights);
            net.accumulate(&weights, &windows, 0, &pass, &mut whole);
            let mut parts = VaeGradients::zeros(&weights);
            for (i, window) in windows.iter().enumerate() {
                net.accumulate(&weights, std::slice::from_ref(window), i as u64, &pass, &mut parts);
            }
            for (a, b) in whole.values.iter().zip(&parts.values) {
                assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_window_decoded_alone_reads_its_own_likeliest_steps() {
        let (weights, windows) = tiny(Head::Categorical);
        let mut net = VaeNet::new(weights.shape, path());
        net.losses(&weights, &windows[..1], 0, &Pass::ALONE);
        let alone = net.outputs().to_vec();
        // Told these choices as if they were the truth, it says the same again.
        let classes =
            alone.chunks_exact(7).map(|logits| choose_class(logits, Choice::Best, &mut Rng::new(0, 0)));
        let told = Window { target: Target::Classes(classes.collect()), ..windows[0].clone() };
        net.losses(&weights, &[told], 0, &Pass::TEACHER);
        assert_eq!(net.outputs(), alone);
    }
}
