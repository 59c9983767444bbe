//! Decoding a clip whose codes come in pieces.

use std::sync::Arc;

use partita_kernels::Compute;

use super::decoder::{Decoder, DecoderStream, FRAMES};
use crate::musicgen::Error;

/// A clip that is being decoded.
///
/// Convolutions look ahead, so the samples of a frame are final when some later frames are known: for the
/// codec of MusicGen, all samples before `640 (t - 4)` once t frames have come.
pub struct CodecStream {
    decoder: Arc<Decoder>,
    state: DecoderStream,
    latent: Vec<f32>,
}

impl CodecStream {
    pub(super) fn new(decoder: Arc<Decoder>) -> CodecStream {
        CodecStream { decoder, state: DecoderStream::default(), latent: Vec::new() }
    }

    /// Takes the next frames, K rows of any one number of codes, and returns the samples that are now final:
    /// those that follow the ones returned before.
    ///
    /// # Errors
    /// [`Error::Range`] for another number of rows, rows of different lengths or a code that is not in the
    /// codebook; the clip is then as it was.
    pub fn push<C: AsRef<[u32]>>(&mut self, compute: &mut Compute, codes: &[C]) -> Result<Vec<f32>, Error> {
        let decoder = &*self.decoder;
        let frames = decoder.codebooks.check(codes)?;
        for first in (0..frames).step_by(FRAMES) {
            decoder.codebooks.sum(codes, first..frames.min(first + FRAMES), &mut self.latent);
            decoder.push(compute, &mut self.state, &self.latent);
        }
        Ok(self.state.take())
    }

    /// Ends the clip and returns the rest of its samples: with those returned before, `hop` for each frame.
    /// The next push begins a new clip.
    pub fn finish(&mut self, compute: &mut Compute) -> Vec<f32> {
        self.decoder.finish(compute, &mut self.state)
    }
}
