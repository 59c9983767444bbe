//! From logits to a token.
//!
//! The order is that of the published `transformers` library: repetition penalty, mask, temperature,
//! top-k, top-p, then a draw. All of it is exact or uses our own `exp`, so a seed gives the same token
//! on every machine. **Rule:** only tokens the mask allows are ever candidates, so no setting can
//! bring another one back.

use partita_kernels::{Path, exp_slice, ln};

use crate::{Error, Result, Rng};

/// How to choose a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// `[0, 100]`; divides the logits. 0 takes the most likely token.
    pub temperature: f32,
    /// Keeps the `top_k` most likely tokens, and those tied with the last of them; 0 keeps all.
    pub top_k: usize,
    /// `(0, 1]`; keeps the most likely tokens that together reach this probability.
    pub top_p: f32,
    /// `(0, 100]`; divides positive and multiplies negative logits of tokens seen before. 1 is off.
    pub repetition_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 }
    }
}

impl Sampling {
    /// The most likely token, always.
    pub fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Sampling`] naming the first setting out of range.
    pub fn check(&self) -> Result<()> {
        let error = |field, allowed, got: f32| Err(Error::Sampling { field, allowed, got: got.to_string() });
        if !(0.0..=100.0).contains(&self.temperature) {
            return error("temperature", "[0, 100]", self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return error("top_p", "(0, 1]", self.top_p);
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty <= 100.0) {
            return error("repetition_penalty", "(0, 100]", self.repetition_penalty);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    score: f32,
}

/// Chooses tokens with one [`Sampling`]; keeps its scratch memory between calls.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    path: Path,
    candidates: Vec<Candidate>,
    scores: Vec<f32>,
    seen: Vec<bool>,
    /// `e^score` of each candidate.
    weights: Vec<f32>,
}

impl Sampler {
    /// # Errors
    /// [`Error::Sampling`] for a setting out of range.
    pub fn new(sampling: Sampling) -> Result<Sampler> {
        sampling.check()?;
        // Any path gives the same bits; a wrong `PARTITA_KERNELS` is reported where it is used.
        let path = Path::from_env().unwrap_or(Path::Generic);
        Ok(Sampler {
            sampling,
            path,
            candidates: Vec::new(),
            scores: Vec::new(),
            seen: Vec::new(),
            weights: Vec::new(),
        })
    }

    /// The settings.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Draws a token.
    ///
    /// `logits`: `[V]`. `history`: the tokens before, for the repetition penalty. `mask`: `[V]`, true
    /// where a token is allowed. One number is drawn from `rng`, none when `temperature` is 0.
    ///
    /// # Errors
    /// [`Error::MaskLength`], [`Error::EmptyMask`], [`Error::NoLogits`].
    pub fn sample(
        &mut self,
        logits: &[f32],
        history: &[u32],
        mask: Option<&[bool]>,
        rng: &mut Rng,
    ) -> Result<u32> {
        let best = self.prepare(logits, history, mask)?;
        if self.sampling.temperature == 0.0 {
            return Ok(best);
        }
        let total: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        let mut left = rng.f64() * total;
        for (candidate, &weight) in self.candidates.iter().zip(&self.weights) {
            left -= f64::from(weight);
            if left < 0.0 {
                return Ok(candidate.token);
            }
        }
        // Rounding can leave a crumb after the last weight.
        Ok(best)
    }

    /// The probabilities `[V]` that [`sample`](Self::sample) draws from; 0 where a token is dropped.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn probabilities(
        &mut self,
        logits: &[f32],
        history: &[u32],
        mask: Option<&[bool]>,
    ) -> Result<Vec<f32>> {
        let best = self.prepare(logits, history, mask)?;
        let mut out = vec![0.0; logits.len()];
        if self.sampling.temperature == 0.0 {
            out[best as usize] = 1.0;
            return Ok(out);
        }
        let total: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        for (candidate, &weight) in self.candidates.iter().zip(&self.weights) {
            out[candidate.token as usize] = (f64::from(weight) / total) as f32;
        }
        Ok(out)
    }

    /// Fills `candidates` (ascending by token) and `weights`, and returns the most likely token, the
    /// lowest of several.
    fn prepare(&mut self, logits: &[f32], history: &[u32], mask: Option<&[bool]>) -> Result<u32> {
        let best = self.collect(logits, history, mask)?;
        if self.sampling.temperature == 0.0 {
            return Ok(best.token);
        }
        for candidate in &mut self.candidates {
            // Relative to the best, so that a tiny temperature cannot overflow.
            candidate.score = (candidate.score - best.score) / self.sampling.temperature;
        }
        self.keep_top_k();
        self.weigh();
        if self.sampling.top_p < 1.0 {
            self.keep_top_p();
            self.weigh();
        }
        Ok(best.token)
    }

    fn collect(&mut self, logits: &[f32], history: &[u32], mask: Option<&[bool]>) -> Result<Candidate> {
        let vocab = logits.len();
        if let Some(mask) = mask {
            if mask.len() != vocab {
                return Err(Error::MaskLength { vocab, got: mask.len() });
            }
            if !mask.contains(&true) {
                return Err(Error::EmptyMask { vocab });
            }
        }
        let penalty = self.sampling.repetition_penalty;
        self.seen.clear();
        if penalty != 1.0 {
            self.seen.resize(vocab, false);
            for &token in history {
                if let Some(seen) = self.seen.get_mut(token as usize) {
                    *seen = true;
                }
            }
        }
        self.candidates.clear();
        let mut best: Option<Candidate> = None;
        for (token, &logit) in logits.iter().enumerate() {
            if logit.is_nan() || mask.is_some_and(|mask| !mask[token]) {
                continue;
            }
            let mut score = logit.clamp(f32::MIN, f32::MAX);
            if self.seen.get(token) == Some(&true) {
                score = if score < 0.0 { score * penalty } else { score / penalty };
            }
            let candidate = Candidate { token: token as u32, score: score.clamp(f32::MIN, f32::MAX) };
            if best.is_none_or(|best| candidate.score > best.score) {
                best = Some(candidate);
            }
            self.candidates.push(candidate);
        }
        best.ok_or(Error::NoLogits)
    }

    fn keep_top_k(&mut self) {
        let k = self.sampling.top_k;
        if k == 0 || k >= self.candidates.len() {
            return;
        }
        self.scores.clear();
        self.scores.extend(self.candidates.iter().map(|candidate| candidate.score));
        let (_, lowest, _) = self.scores.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        let lowest = *lowest;
        self.candidates.retain(|candidate| candidate.score >= lowest);
    }

    /// Drops the least likely tokens as long as they sum to at most `1 - top_p`, but not the last.
    fn keep_top_p(&mut self) {
        let total: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        let droppable = (1.0 - f64::from(self.sampling.top_p)) * total;
        let mut order: Vec<(f32, u32)> =
            self.weights.iter().zip(&self.candidates).map(|(&weight, c)| (weight, c.token)).collect();
        // Of equally likely tokens the highest goes first.
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let mut sum = 0.0;
        let dropped = order[..order.len() - 1]
            .iter()
            .take_while(|(weight, _)| {
                sum += f64::from(*weight);
                sum <= droppable
            })
            .count();
        let mut kept: Vec<u32> = order[dropped..].iter().map(|(_, token)| *token).collect();
        kept.sort_unstable();
        self.candidates.retain(|candidate| kept.binary_search(&candidate.token).is_ok());
    }

    fn weigh(&mut self) {
        self.weights.clear();
        self.weights.extend(self.candidates.iter().map(|candidate| candidate.score));
        exp_slice(self.path, &mut self.weights);
    }
}

/// Classifier-free guidance: `out = uncond + scale (cond - uncond)`, element by element.
pub fn guide(cond: &[f32], uncond: &[f32], scale: f32) -> Vec<f32> {
    cond.iter().zip(uncond).map(|(cond, uncond)| uncond + scale * (cond - uncond)).collect()
}

/// `ln softmax(logits)[token]`, in nats; 0 is certain. The same bits on every machine.
///
/// # Panics
/// If `token` is not in `0..V`.
pub fn log_probability(logits: &[f32], token: u32) -> f64 {
    let (chosen, weights) = weights(logits, token);
    chosen - ln(weights.iter().map(|&weight| f64::from(weight)).sum())
}

/// [`log_probability`] of `token`, and the logarithm of the probability of all tokens that `mask: [V]` allows: how far
/// it is below 0 is what the mask costs.
///
/// # Panics
/// If `token` is not in `0..V`.
pub fn log_probability_under(logits: &[f32], token: u32, mask: &[bool]) -> (f64, f64) {
    let (chosen, weights) = weights(logits, token);
    let total = ln(weights.iter().map(|&weight| f64::from(weight)).sum());
    let allowed = weights.iter().zip(mask).filter(|(_, allowed)| **allowed);
    (chosen - total, ln(allowed.map(|(&weight, _)| f64::from(weight)).sum()) - total)
}

/// `logits[token]` and `e^logits`, both relative to the highest logit.
fn weights(logits: &[f32], token: u32) -> (f64, Vec<f32>) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<f32> = logits.iter().map(|logit| logit - top).collect();
    let chosen = f64::from(weights[token as usize]);
    exp_slice(Path::from_env().unwrap_or(Path::Generic), &mut weights);
    (chosen, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits() -> Vec<f32> {
        (0..40).map(|i| ((i * 37 % 40) as f32 - 20.0) * 0.3).collect()
    }

    fn sampler(temperature: f32, top_k: usize, top_p: f32) -> Sampler {
        Sampler::new(Sampling { temperature, top_k, top_p, ..Sampling::default() }).unwrap()
    }

    #[test]
    fn a_masked_token_is_never_drawn() {
        let mut rng = Rng::new(1, 0);
        let mask: Vec<bool> = (0..40).map(|i| i % 7 == 3).collect();
        for temperature in [0.0, 1e-30, 1e-3, 1.0, 100.0] {
            for (top_k, top_p) in [(0, 1.0), (1, 1.0), (50, 0.01), (3, 0.999)] {
                let mut sampler = sampler(temperature, top_k, top_p);
                for extreme in [0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 3e38] {
                    let mut logits = logits();
                    logits[4] = extreme;
                    logits[10] = extreme;
                    for _ in 0..20 {
                        let token = sampler.sample(&logits, &[], Some(&mask), &mut rng).unwrap();
                        assert!(mask[token as usize], "{token} at temperature {temperature}");
                    }
                }
            }
        }
    }

    #[test]
    fn impossible_requests_are_errors() {
        let mut rng = Rng::new(1, 0);
        let mut sampler = sampler(1.0, 0, 1.0);
        let mut message = |logits: &[f32], mask: &[bool]| {
            sampler.sample(logits, &[], Some(mask), &mut rng).unwrap_err().to_string()
        };
        assert_eq!(
            message(&[0.0; 2], &[false; 2]),
            "the mask must allow at least one of the 2 tokens, got none"
        );
        assert_eq!(message(&[0.0; 2], &[true; 3]), "the mask must have 2 entries, got 3");
        assert_eq!(message(&[f32::NAN], &[true]), "at least one allowed logit must be a number, got none");
        let range = |sampling| Sampler::new(sampling).unwrap_err().to_string();
        let default = Sampling::default;
        assert_eq!(
            range(Sampling { temperature: -1.0, ..default() }),
            "temperature must be in [0, 100], got -1"
        );
        assert_eq!(range(Sampling { top_p: 0.0, ..default() }), "top_p must be in (0, 1], got 0");
        assert_eq!(
            range(Sampling { repetition_penalty: f32::NAN, ..default() }),
            "repetition_penalty must be in (0, 100], got NaN"
        );
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let (logits, mut rng) = (logits(), Rng::new(5, 5));
        let mut sampler = sampler(2.0, 10, 0.9);
        let expected = sampler.probabilities(&logits, &[], None).unwrap();
        assert!((expected.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.sample(&logits, &[], None, &mut rng).unwrap() as usize] += 1.0 / 20_000.0;
        }
        for (count, expected) in counts.iter().zip(expected) {
            assert!((count - expected).abs() < 0.015);
            assert_eq!(*count == 0.0, expected == 0.0);
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let draw = || {
            let (mut sampler, mut rng) = (sampler(1.0, 20, 0.95), Rng::new(42, 7));
            (0..12).map(|_| sampler.sample(&logits(), &[], None, &mut rng).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let total: f64 = (0..40).map(|token| log_probability(&logits(), token).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }
}
