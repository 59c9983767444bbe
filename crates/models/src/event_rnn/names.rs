//! What the tensors of a bundle are called: where attention is wrapped around, and by which TensorFlow.
//!
//! ```text
//! layouts      no attention   rnn/multi_rnn_cell/cell_{l}/basic_lstm_cell/...
//!              inner          rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/{..., basic_lstm_cell/...}
//!                             rnn/multi_rnn_cell/cell_{1..}/basic_lstm_cell/...
//!              outer          rnn/attention_cell_wrapper/{..., multi_rnn_cell/cell_{l}/basic_lstm_cell/...}
//! generations  since 1.2      .../kernel, .../bias
//!              1.0, 1.1       .../weights, .../biases
//!              0.12           RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Matrix, .../Linear/Bias
//! ```
//!
//! Names are written as since 1.2 here and turned into those of the generation when they are asked for.

use partita_nn::TensorSource;

/// Around what attention is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Plain,
    /// The first layer.
    Inner,
    /// All layers together: networks before May 2017, which the well-known bundles are.
    Outer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Kernel,
    Weights,
    Linear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    generation: Generation,
    pub(super) layout: Layout,
}

const INNER: &str = "rnn/multi_rnn_cell/cell_0/attention_cell_wrapper";
const OUTER: &str = "rnn/attention_cell_wrapper";

impl Names {
    /// Reads generation and layout off the names that are there. Where nothing fits, the newest generation without
    /// attention is taken, so that loading tells what is missing.
    pub(super) fn of(source: &dyn TensorSource) -> Names {
        let names = source.names();
        let any = |fits: &dyn Fn(&str) -> bool| names.iter().any(|name| fits(name));
        let generation = if any(&|name| name.starts_with("RNN/")) {
            Generation::Linear
        } else if any(&|name| name.starts_with("rnn/") && name.ends_with("/weights")) {
            Generation::Weights
        } else {
            Generation::Kernel
        };
        let within = |scope: &str| {
            let scope = generation.name(scope) + "/";
            any(&|name| name.starts_with(&scope))
        };
        let layout = match (within(OUTER), within(INNER)) {
            (true, _) => Layout::Outer,
            (_, true) => Layout::Inner,
            _ => Layout::Plain,
        };
        Names { generation, layout }
    }

    /// `part`, `kernel` or `bias`, of layer `layer`.
    pub(super) fn layer(&self, layer: usize, part: &str) -> String {
        let scope = match (self.layout, layer) {
            (Layout::Outer, _) => format!("{OUTER}/multi_rnn_cell/cell_{layer}"),
            (Layout::Inner, 0) => INNER.to_owned(),
            _ => format!("rnn/multi_rnn_cell/cell_{layer}"),
        };
        self.generation.name(&format!("{scope}/basic_lstm_cell/{part}"))
    }

    /// `part` of the attention wrapper: `kernel`, `attention/attn_v`, `attn_output_projection/bias` and so on.
    pub(super) fn attention(&self, part: &str) -> String {
        let scope = if self.layout == Layout::Outer { OUTER } else { INNER };
        self.generation.name(&format!("{scope}/{part}"))
    }
}

impl Generation {
    fn name(self, name: &str) -> String {
        let segments: Vec<String> = name.split('/').map(|segment| self.segment(segment)).collect();
        segments.join("/")
    }

    fn segment(self, segment: &str) -> String {
        let turned = match (self, segment) {
            (Generation::Weights, "kernel") => "weights",
            (Generation::Weights, "bias") => "biases",
            (Generation::Linear, "kernel") => "Linear/Matrix",
            (Generation::Linear, "bias") => "Linear/Bias",
            (Generation::Linear, "rnn") => "RNN",
            (Generation::Linear, "multi_rnn_cell") => "MultiRNNCell",
            (Generation::Linear, "basic_lstm_cell") => "BasicLSTMCell",
            (Generation::Linear, "attention_cell_wrapper") => "AttentionCellWrapper",
            (Generation::Linear, "attention") => "Attention",
            (Generation::Linear, "attn_w") => "AttnW",
            (Generation::Linear, "attn_v") => "AttnV",
            (Generation::Linear, "attn_output_projection") => "AttnOutputProjection",
            (Generation::Linear, _) => return segment.replace("cell_", "Cell"),
            _ => segment,
        };
        turned.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magenta_names_of_every_generation_are_those_of_its_tensorflow() {
        let names = |generation, layout| Names { generation, layout };
        let linear = names(Generation::Linear, Layout::Outer);
        assert_eq!(
            linear.layer(1, "kernel"),
            "RNN/AttentionCellWrapper/MultiRNNCell/Cell1/BasicLSTMCell/Linear/Matrix"
        );
        assert_eq!(linear.attention("bias"), "RNN/AttentionCellWrapper/Linear/Bias");
        assert_eq!(linear.attention("attention/attn_w"), "RNN/AttentionCellWrapper/Attention/AttnW");
        assert_eq!(
            linear.attention("attn_output_projection/kernel"),
            "RNN/AttentionCellWrapper/AttnOutputProjection/Linear/Matrix"
        );
        let plain = names(Generation::Linear, Layout::Plain);
        assert_eq!(plain.layer(0, "bias"), "RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Bias");
        let weights = names(Generation::Weights, Layout::Outer);
        assert_eq!(weights.attention("attention/bias"), "rnn/attention_cell_wrapper/attention/biases");
        assert_eq!(weights.attention("attention/attn_v"), "rnn/attention_cell_wrapper/attention/attn_v");
        let inner = names(Generation::Kernel, Layout::Inner);
        assert_eq!(
            inner.layer(0, "kernel"),
            "rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/basic_lstm_cell/kernel"
        );
        assert_eq!(inner.layer(1, "bias"), "rnn/multi_rnn_cell/cell_1/basic_lstm_cell/bias");
        assert_eq!(inner.attention("kernel"), "rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/kernel");
    }
}
