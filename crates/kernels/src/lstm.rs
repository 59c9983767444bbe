//! The step of a long short-term memory after its products.

use crate::math::{sigmoid, tanh};
use crate::multiversion;

multiversion! {
    /// Takes one step: `gates` `[4 H]` are the sums for input, forget, candidate and output gate, one after
    /// the other; `cell` and `hidden`, each `[H]`, are replaced.
    ///
    /// ```text
    /// cell = sigmoid(forget) * cell + sigmoid(input) * tanh(candidate)
    /// hidden = sigmoid(output) * tanh(cell)
    /// ```
    ///
    /// # Panics
    /// If `gates` is shorter than four times `cell`, or `hidden` than `cell`.
    ///
    /// Source: Hochreiter and Schmidhuber 1997, with the gates in the order of `torch.nn.LSTM`.
    pub fn lstm_cell(gates: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
        let width = cell.len();
        let (input, rest) = gates.split_at(width);
        let (forget, rest) = rest.split_at(width);
        let (candidate, output) = rest.split_at(width);
        let (output, hidden) = (&output[..width], &mut hidden[..width]);
        for at in 0..width {
            let next = sigmoid(forget[at]).mul_add(cell[at], sigmoid(input[at]) * tanh(candidate[at]));
            cell[at] = next;
            hidden[at] = sigmoid(output[at]) * tanh(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;

    #[test]
    fn a_step_has_the_same_bits_on_every_path_and_is_close_to_the_exact_one() {
        let width = 37;
        let value = |i: usize| ((i * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0) * 4.0;
        let gates: Vec<f32> = (0..4 * width).map(value).collect();
        let before: Vec<f32> = (500..500 + width).map(value).collect();
        let mut expected = None;
        for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
            let (mut cell, mut hidden) = (before.clone(), vec![0.0; width]);
            lstm_cell(path, &gates, &mut cell, &mut hidden);
            for at in 0..width {
                let gate = |index: usize| f64::from(gates[index * width + at]);
                let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
                let exact = sigmoid(gate(1)) * f64::from(before[at]) + sigmoid(gate(0)) * gate(2).tanh();
                assert!((f64::from(cell[at]) - exact).abs() < 2e-6);
                assert!((f64::from(hidden[at]) - sigmoid(gate(3)) * exact.tanh()).abs() < 2e-6);
            }
            let bits: Vec<u32> = cell.iter().chain(&hidden).map(|value| value.to_bits()).collect();
            assert_eq!(*expected.get_or_insert_with(|| bits.clone()), bits, "{path:?}");
        }
    }
}
