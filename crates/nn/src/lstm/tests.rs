use std::ops::Range;
use std::sync::Arc;

use partita_kernels::{Compute, Path, Pool, Precision};

use super::{BiLstm, LstmCell, LstmFrame, LstmState, TensorflowLstm};
use crate::{Error, Result, TensorSource};

/// Parts of the input and hidden size of the layer that most tests use.
const INPUTS: [usize; 3] = [7, 5, 3];
const WIDTH: usize = 18;

/// Sums of a few dozen products, and the functions' own errors.
const CLOSE: f64 = 3e-6;

fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| (((i + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0) * 0.5).collect()
}

/// Tensors made up from their names, except the missing ones.
struct Made {
    missing: &'static str,
    infinite: &'static str,
}

const MADE: Made = Made { missing: "-", infinite: "-" };

impl TensorSource for Made {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }

    fn rows(&self, name: &str, shape: &[usize], range: Range<usize>) -> Result<Vec<f32>> {
        if name.ends_with(self.missing) {
            return Err(Error::MissingTensor(name.to_owned()));
        }
        let row: usize = shape[1..].iter().product();
        let seed = name.bytes().fold(0, |seed, byte| seed * 31 % 9973 + usize::from(byte));
        let mut all = values(shape[0] * row, seed);
        if name.ends_with(self.infinite) {
            all[0] = f32::INFINITY;
        }
        Ok(all[range.start * row..range.end * row].to_vec())
    }
}

fn cell(source: &dyn TensorSource, scope: &str, inputs: &[usize], width: usize) -> Result<LstmCell> {
    precise(source, scope, inputs, width, Precision::F32)
}

fn precise(
    source: &dyn TensorSource,
    scope: &str,
    inputs: &[usize],
    width: usize,
    precision: Precision,
) -> Result<LstmCell> {
    let (kernel, bias) = (format!("{scope}/kernel"), format!("{scope}/bias"));
    TensorflowLstm { kernel: &kernel, bias: &bias, inputs, width, precision }.load(source)
}

fn compute(path: Path, threads: usize) -> Compute {
    Compute::new(Arc::new(Pool::new(threads).unwrap()), path)
}

fn paths() -> impl Iterator<Item = Path> {
    Path::ALL.into_iter().filter(|path| path.is_supported())
}

/// A step by the definition: `x` `[in]`, returns the next cell and hidden state.
fn plainly(
    scope: &str,
    inputs: usize,
    width: usize,
    x: &[f64],
    cell: &[f64],
    hidden: &[f64],
) -> [Vec<f64>; 2] {
    let shape = [inputs + width, 4 * width];
    let kernel = MADE.floats(&format!("{scope}/kernel"), &shape).unwrap();
    let bias = MADE.floats(&format!("{scope}/bias"), &[4 * width]).unwrap();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let gate = |column: usize| {
        let products = x.iter().chain(hidden).enumerate();
        let sum: f64 = products.map(|(row, value)| f64::from(kernel[row * 4 * width + column]) * value).sum();
        sum + f64::from(bias[column])
    };
    let next: Vec<f64> = (0..width)
        .map(|at| {
            let (i, j, f) = (gate(at), gate(width + at), gate(2 * width + at));
            sigmoid(f + 1.0) * cell[at] + sigmoid(i) * j.tanh()
        })
        .collect();
    let hidden = (0..width).map(|at| sigmoid(gate(3 * width + at)) * next[at].tanh()).collect();
    [next, hidden]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn assert_close(got: &[f32], expected: &[f64], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() < CLOSE, "{what}: {got} is not {expected}");
    }
}

/// Some steps of sequences together: the first part is hot at `step + row`, the second stays, the third changes.
fn steps(compute: &mut Compute, cell: &LstmCell, rows: Range<usize>, steps: usize) -> LstmState {
    let mut state = LstmState::zeros(rows.len(), WIDTH);
    let (mut fixed, mut gates) = (Vec::new(), Vec::new());
    let [_, second, third] = INPUTS;
    cell.begin(rows.len(), &mut fixed);
    let stays: Vec<f32> = rows.clone().flat_map(|row| values(second, 10 * row)).collect();
    cell.add(compute, 1, &stays, &mut fixed);
    for step in 0..steps {
        gates.clone_from(&fixed);
        for (row, gates) in rows.clone().zip(gates.chunks_exact_mut(4 * WIDTH)) {
            cell.add_hot(0, (step + row) % INPUTS[0], gates);
        }
        let x: Vec<f32> = rows.clone().flat_map(|row| values(third, 100 * row + step)).collect();
        cell.add(compute, 2, &x, &mut gates);
        cell.advance(compute, &mut gates, &mut state);
    }
    state
}

#[test]
fn a_tensorflow_layer_computes_its_definition() {
    let [first, second, third] = INPUTS;
    let layer = cell(&MADE, "a", &INPUTS, WIDTH).unwrap();
    let got = steps(&mut compute(Path::Generic, 1), &layer, 0..2, 5);
    for row in 0..2 {
        let mut state = [vec![0.0; WIDTH], vec![0.0; WIDTH]];
        for step in 0..5 {
            let mut x = vec![0.0; first];
            x[(step + row) % first] = 1.0;
            x.extend(wide(&values(second, 10 * row)));
            x.extend(wide(&values(third, 100 * row + step)));
            state = plainly("a", first + second + third, WIDTH, &x, &state[0], &state[1]);
        }
        assert_close(&got.cell[row * WIDTH..][..WIDTH], &state[0], "cell");
        assert_close(&got.hidden[row * WIDTH..][..WIDTH], &state[1], "hidden");
    }
}

#[test]
fn sequences_together_have_the_bits_of_each_alone_on_every_path() {
    for precision in Precision::ALL {
        let layer = precise(&MADE, "a", &INPUTS, WIDTH, precision).unwrap();
        let alone: Vec<LstmState> =
            (0..5).map(|row| steps(&mut compute(Path::Generic, 1), &layer, row..row + 1, 6)).collect();
        for path in paths() {
            for threads in [1, 2] {
                let together = steps(&mut compute(path, threads), &layer, 0..5, 6);
                let cells: Vec<f32> = alone.iter().flat_map(|state| state.cell.clone()).collect();
                let hidden: Vec<f32> = alone.iter().flat_map(|state| state.hidden.clone()).collect();
                assert!(together == LstmState { cell: cells, hidden }, "{path:?} {precision:?} {threads}");
            }
        }
    }
}

/// int8 rounds a weight by half of 0.5 / 127 and a state likewise, q4 by half of 0.5 / 7: over 33 inputs, five steps.
#[test]
fn packed_layers_stay_near_the_exact_one() {
    let state = |precision| {
        let layer = precise(&MADE, "a", &INPUTS, WIDTH, precision).unwrap();
        steps(&mut compute(Path::Generic, 1), &layer, 0..4, 5).hidden
    };
    let exact = state(Precision::F32);
    for (precision, worst) in [(Precision::Int8, 0.01), (Precision::Q4, 0.15)] {
        for (got, exact) in state(precision).iter().zip(&exact) {
            assert!((got - exact).abs() < worst, "{precision:?}: {got} is not {exact}");
        }
    }
}

#[test]
fn a_look_up_has_the_bits_of_the_product_with_a_one() {
    let layer = cell(&MADE, "a", &INPUTS, WIDTH).unwrap();
    for path in paths() {
        let (mut looked_up, mut product) = (Vec::new(), Vec::new());
        layer.begin(1, &mut looked_up);
        layer.begin(1, &mut product);
        layer.add_hot(0, 4, &mut looked_up);
        layer.add(&mut compute(path, 1), 0, &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], &mut product);
        assert_eq!(looked_up, product);
    }
}

fn both(precision: Precision) -> BiLstm {
    let pair = |scope: &str, inputs: usize, width: usize| {
        ["fw", "bw"]
            .map(|side| precise(&MADE, &format!("{scope}/{side}"), &[inputs], width, precision).unwrap())
    };
    BiLstm::new(vec![pair("low", 4, 6), pair("high", 12, 10)])
}

fn run(compute: &mut Compute, layers: &BiLstm, sequences: &[Vec<f32>]) -> Vec<f32> {
    let lengths: Vec<usize> = sequences.iter().map(|x| x.len() / 4).collect();
    layers.run(compute, &lengths, |compute, cell, frames, gates| {
        let x = frames.iter().flat_map(|&LstmFrame { sequence, step }| &sequences[sequence][4 * step..][..4]);
        let x: Vec<f32> = x.copied().collect();
        cell.add(compute, 0, &x, gates);
    })
}

#[test]
fn both_directions_begin_where_the_sequence_does() {
    let x = values(4 * 9, 3);
    let got = run(&mut compute(Path::Generic, 1), &both(Precision::F32), std::slice::from_ref(&x));
    let layer = |scope: &str, width: usize, rows: &[Vec<f64>]| -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut sides = Vec::new();
        for side in ["fw", "bw"] {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            if side == "bw" {
                order.reverse();
            }
            let mut outputs = vec![Vec::new(); rows.len()];
            let mut state = [vec![0.0; width], vec![0.0; width]];
            for at in order {
                let scope = format!("{scope}/{side}");
                state = plainly(&scope, rows[at].len(), width, &rows[at], &state[0], &state[1]);
                outputs[at].clone_from(&state[1]);
            }
            sides.push((outputs, state[1].clone()));
        }
        let [(forward, last), (backward, first)] = sides.try_into().expect("two sides");
        let outputs = forward.into_iter().zip(backward).map(|(a, b)| [a, b].concat()).collect();
        (outputs, [last, first].concat())
    };
    let rows: Vec<Vec<f64>> = x.chunks_exact(4).map(wide).collect();
    let (rows, _) = layer("low", 6, &rows);
    let (_, expected) = layer("high", 10, &rows);
    assert_close(&got, &expected, "last states");
}

#[test]
fn sequences_of_several_lengths_have_the_bits_of_each_alone() {
    // The long ones take more than one pass over the weights.
    let sequences: Vec<Vec<f32>> =
        [3, 0, 300, 1, 90, 299].iter().map(|&length| values(4 * length, length)).collect();
    for precision in [Precision::F32, Precision::Int8] {
        let layers = both(precision);
        let alone: Vec<f32> = sequences
            .iter()
            .flat_map(|x| run(&mut compute(Path::Generic, 1), &layers, std::slice::from_ref(x)))
            .collect();
        assert_eq!(alone[layers.outputs()..2 * layers.outputs()], vec![0.0; layers.outputs()]);
        for path in paths() {
            let together = run(&mut compute(path, 2), &layers, &sequences);
            assert!(together == alone, "{path:?} {precision:?}");
        }
    }
}

#[test]
fn a_tensor_that_is_missing_or_not_finite_is_named() {
    let error = |missing, infinite| {
        let source = Made { missing, infinite };
        cell(&source, "a", &INPUTS, WIDTH).err().unwrap().to_string()
    };
    assert_eq!(error("kernel", "-"), "tensor \"a/kernel\" is missing");
    assert_eq!(error("bias", "-"), "tensor \"a/bias\" is missing");
    assert_eq!(error("-", "kernel"), "tensor \"a/kernel\": weight 0 must be finite, got inf");
    assert_eq!(error("-", "bias"), "tensor \"a/bias\": weight 0 must be finite, got inf");
    let none = precise(&MADE, "a", &[0], WIDTH, Precision::F32).err().unwrap().to_string();
    assert_eq!(none, "tensor \"a/kernel\": inputs must be in 1..=65536, got 0");
}
