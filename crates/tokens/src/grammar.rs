//! What every grammar of a token format can be asked.

/// A token that may not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token {0} may not follow here")]
pub struct NotAllowed(pub u32);

/// Walks one generated section token by token, and says before each which may follow.
///
/// **Rule:** until the end there is always one that may, so that whoever follows the mask reaches the end.
pub trait Grammar: Send {
    /// Marks the tokens that may come next; `mask: [V]`. At least one is marked until the end.
    fn mask(&self, mask: &mut [bool]);

    /// The logits `[V]` with what is wished for, not demanded, of the tokens in the mask; `None` if that is nothing.
    fn lean(&self, _logits: &[f32]) -> Option<Vec<f32>> {
        None
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// [`NotAllowed`] for a token outside the mask; the grammar is unchanged.
    fn advance(&mut self, id: u32) -> Result<(), NotAllowed>;

    /// Whether the section is complete; its last token has been taken then.
    fn is_done(&self) -> bool;

    /// Whether the next token is told rather than chosen: it counts in no likelihood.
    fn is_given(&self) -> bool {
        false
    }

    /// Whether a token begins a bar.
    fn is_bar(&self, id: u32) -> bool;

    /// Whether a token begins a note or another time inside a bar: where one bar is longer than a context, these are left
    /// to cut it at.
    fn is_event(&self, id: u32) -> bool {
        self.is_bar(id)
    }

    /// Whether the last token ended a bar: the place to cut a long piece.
    fn at_bar_line(&self) -> bool;

    /// Bars begun so far.
    fn bars(&self) -> u32;

    /// Whether a repetition penalty counts this token.
    fn repeats(&self, id: u32) -> bool;
}
