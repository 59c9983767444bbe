//! Rotary positions: pairs of values in a query or key turn by an angle that grows with the position.
//!
//! ```text
//! values i and i + Dh/2 of a head, at position p, turn by  p * 10000^(-2 i / Dh)
//! ```
//! The product of a query and a key then depends on how far apart they are. Sines come from additions and
//! multiplications, so they are the same on every machine.
//!
//! Source: RoFormer (Su et al. 2021), section 3.2.2, in GPT-NeoX's order of the pairs.

use std::f64::consts::FRAC_PI_2;

use partita_kernels::{exp_minus, sin};

const LN_10000: f64 = 9.210_340_371_976_184;

/// The angles of all positions of a context.
pub struct Rotary {
    /// `[context, Dh / 2]`: cosine and sine.
    turns: Vec<[f32; 2]>,
    half: usize,
}

impl Rotary {
    /// `head_size`: Dh, even.
    pub fn new(context: usize, head_size: usize) -> Rotary {
        let half = head_size / 2;
        let step = LN_10000 / half as f64;
        let frequencies: Vec<f64> = (0..half).map(|i| exp_minus(i as f64 * step)).collect();
        let turn = |position: usize, frequency: &f64| {
            let angle = position as f64 * frequency;
            [sin(angle + FRAC_PI_2) as f32, sin(angle) as f32]
        };
        let turns = (0..context).flat_map(|p| frequencies.iter().map(move |f| turn(p, f))).collect();
        Rotary { turns, half }
    }

    /// Turns the heads of a query or key, `[H, Dh]`, at `position`.
    ///
    /// # Panics
    /// If the position is outside the context.
    pub fn turn(&self, position: usize, heads: &mut [f32]) {
        self.apply(position, heads, 1.0);
    }

    /// Undoes [`turn`](Self::turn); gradients go back this way.
    ///
    /// # Panics
    /// If the position is outside the context.
    pub fn turn_back(&self, position: usize, heads: &mut [f32]) {
        self.apply(position, heads, -1.0);
    }

    fn apply(&self, position: usize, heads: &mut [f32], direction: f32) {
        let turns = &self.turns[position * self.half..][..self.half];
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for ((a, b), [cosine, sine]) in first.iter_mut().zip(second).zip(turns) {
                let sine = direction * sine;
                (*a, *b) = (*a * cosine - *b * sine, *a * sine + *b * cosine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_depend_on_the_distance_alone() {
        let rotary = Rotary::new(600, 8);
        let product = |p: usize, q: usize| {
            let (mut query, mut key) = ([0.3, -1.0, 0.5, 2.0, 1.5, 0.1, -0.7, 0.9], [1.0; 8]);
            rotary.turn(p, &mut query);
            rotary.turn(q, &mut key);
            query.iter().zip(key).map(|(a, b)| a * b).sum::<f32>()
        };
        for (p, q) in [(5, 3), (302, 300), (599, 597)] {
            assert!((product(p, q) - product(2, 0)).abs() < 1e-4);
        }
        assert!((product(9, 3) - product(2, 0)).abs() > 1e-2);
    }

    #[test]
    fn turning_back_undoes_a_turn() {
        let (rotary, start) = (Rotary::new(50, 4), [0.5f32, -2.0, 3.0, 0.25]);
        let mut head = start;
        rotary.turn(37, &mut head);
        assert!(head.iter().zip(start).any(|(a, b)| (a - b).abs() > 0.1));
        rotary.turn_back(37, &mut head);
        assert!(head.iter().zip(start).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
