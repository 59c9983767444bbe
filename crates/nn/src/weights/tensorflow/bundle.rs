//! What a `.mag` says of its model.

/// A Magenta bundle's own words (`GeneratorBundle`), beside its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Names the configuration: `attention_rnn`, `drum_kit`. Not always unique.
    pub id: String,
    pub description: String,
    /// Slots of the attention, as the bundle's graph has them; `None` where it has none or does not tell.
    pub attention_length: Option<usize>,
}
