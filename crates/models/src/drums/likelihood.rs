//! How likely the network finds given tokens: what evaluation asks.

use partita_nn::{Logits, log_probability};

use super::Error;
use super::drummer::Drummer;
use crate::stage::Compute;

impl Drummer {
    /// Negative log-likelihood in nats of each target, given the inputs up to its place; both `[L]`, L within the context.
    ///
    /// `style` is an index into `config.styles`, or its length for "any". No grammar is applied.
    ///
    /// # Errors
    /// [`Error::Model`] for too many tokens or an unknown one.
    pub fn nats(
        &self,
        compute: &Compute,
        style: u32,
        inputs: &[u32],
        targets: &[u32],
    ) -> Result<Vec<f64>, Error> {
        let logits = self.logits(compute, style, inputs)?;
        Ok(targets.iter().enumerate().map(|(i, &id)| -log_probability(logits.row(i), id)).collect())
    }

    /// Logits at each of `inputs`.
    pub(crate) fn logits(&self, compute: &Compute, style: u32, inputs: &[u32]) -> Result<Logits, Error> {
        let width = self.config.width;
        let added = self.styles.get(style as usize * width..(style as usize + 1) * width);
        let error = |message: String| Error::Model { name: "drums".into(), message };
        let added = added.ok_or_else(|| {
            error(format!("style must be in 0..={}, got {style}", self.config.styles.len()))
        })?;
        let mut decoder = self.decoder(compute);
        decoder.forward_all(Some(added), inputs).map_err(|e| error(e.to_string()))
    }
}
