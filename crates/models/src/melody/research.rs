//! What a writer looked at while it wrote: the attention of every layer and head.

use std::io::{self, Write};

use partita_nn::{Decoder, KvPrecision, Tap};
use partita_score::picture::{Drawing, HeatMap, heat_map};

use super::{Error, Lead, Writer};
use crate::stage::Compute;

/// Attention weights of the tokens that were written.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Prompt and written tokens, L of them.
    pub tokens: Vec<u32>,
    /// The first written one.
    pub first: usize,
    pub heads: usize,
    /// A layer each: `[H, L - first, L]`, row-major; a row is what led to one written token, and sums to 1.
    pub layers: Vec<Vec<f32>>,
}

impl Writer {
    /// Reads a lead sheet's tokens again and keeps what was attended to. Memory: layers x heads x L x L numbers, with L
    /// within the context.
    ///
    /// # Errors
    /// [`Error::Crowded`] for a lead sheet that was longer than the context.
    pub fn attention(&self, compute: &Compute, lead: &Lead) -> Result<Attention, Error> {
        let tokens: Vec<u32> = lead.prompt.iter().chain(&lead.ids).copied().collect();
        let config = self.gpt.config();
        if tokens.len() > config.context {
            let (tokens, context) = (tokens.len(), config.context);
            return Err(Error::Crowded { bar: lead.piece.bars, tokens, context });
        }
        let pool = std::sync::Arc::clone(&compute.pool);
        // In f32, so that what is told does not depend on how keys are packed.
        let mut decoder = Decoder::new(&self.gpt, pool, compute.path, KvPrecision::F32);
        let mut tap = Tap::with_attention();
        let error = |e: partita_nn::Error| Error::Model { name: "melody".into(), message: e.to_string() };
        decoder.forward_tapped(None, &tokens, &mut tap).map_err(error)?;
        // A token is the answer to all before it: the row of the one before is what led to it.
        let (length, first) = (tokens.len(), lead.prompt.len());
        let rows = first - 1..length - 1;
        let cut = |layer: Vec<f32>| {
            let heads = layer.chunks_exact(length * length);
            heads.flat_map(|head| head[rows.start * length..rows.end * length].to_vec()).collect()
        };
        let layers = tap.attention.into_iter().map(cut).collect();
        Ok(Attention { tokens, first, heads: config.heads, layers })
    }
}

impl Attention {
    /// Tokens in all, and those that were written.
    fn sizes(&self) -> (usize, usize) {
        (self.tokens.len(), self.tokens.len() - self.first)
    }

    /// As a safetensors file: `tokens` (u32, `[L]`) and `attention.0`, `attention.1`, ... (f32, `[H, L - first, L]`),
    /// a layer at a time.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let (length, written) = self.sizes();
        let mut header = format!(
            r#"{{"__metadata__":{{"first":"{}"}},"tokens":{{"dtype":"U32","shape":[{length}],"data_offsets":[0,{}]}}"#,
            self.first,
            4 * length
        );
        let bytes = 4 * self.heads * written * length;
        for layer in 0..self.layers.len() {
            let start = 4 * length + layer * bytes;
            let shape = format!("[{},{written},{length}]", self.heads);
            header += &format!(
                r#","attention.{layer}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{}]}}"#,
                start + bytes
            );
        }
        header.push('}');
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        let tokens: Vec<u8> = self.tokens.iter().flat_map(|id| id.to_le_bytes()).collect();
        out.write_all(&tokens)?;
        for layer in &self.layers {
            let bytes: Vec<u8> = layer.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
        Ok(())
    }

    /// The mean over layers and heads: written tokens down, tokens looked at to the right.
    pub fn heat_map(&self) -> Drawing {
        let (length, written) = self.sizes();
        let mut values = vec![0.0f32; written * length];
        for head in self.layers.iter().flat_map(|layer| layer.chunks_exact(written * length)) {
            values.iter_mut().zip(head).for_each(|(sum, weight)| *sum += weight);
        }
        let title = format!("Attention, mean of {} layers and {} heads", self.layers.len(), self.heads);
        let (rows, columns) = ("written tokens".into(), "tokens looked at".into());
        heat_map(&HeatMap { title, rows, columns, values, width: length })
    }
}
