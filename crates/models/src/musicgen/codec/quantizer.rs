//! Codebooks: a frame is the sum of one row of each.

use std::ops::Range;

use partita_kernels::{After, Compute, Matrix, Order, Precision};
use partita_nn::Result;

use super::CodecConfig;
use super::weights::Read;
use crate::musicgen::Error;

pub(super) struct Codebooks {
    size: usize,
    width: usize,
    /// `[K][codebook_size, width]`
    rows: Vec<Vec<f32>>,
}

impl Codebooks {
    pub fn build(config: &CodecConfig, read: &mut Read<'_>) -> Result<Codebooks> {
        let (size, width) = (config.codebook_size, config.hidden_size);
        let book = |k| read(&format!("quantizer.layers.{k}.codebook.embed"), &[size, width]);
        Ok(Codebooks { size, width, rows: (0..config.codebooks()).map(book).collect::<Result<_>>()? })
    }

    /// The number of frames, if there is a row for each codebook and all are equally long and hold codes.
    pub fn check<C: AsRef<[u32]>>(&self, codes: &[C]) -> Result<usize, Error> {
        if codes.len() != self.rows.len() {
            let wanted = self.rows.len();
            return Err(Error::range("rows of codes", format!("{wanted}..={wanted}"), codes.len()));
        }
        let frames = codes[0].as_ref().len();
        for codes in codes {
            let codes = codes.as_ref();
            if codes.len() != frames {
                let allowed = format!("{frames}..={frames}, as the first row has");
                return Err(Error::range("codes of a row", allowed, codes.len()));
            }
            if let Some(code) = codes.iter().find(|&&code| code as usize >= self.size) {
                return Err(Error::range("code", format!("0..{}", self.size), code));
            }
        }
        Ok(frames)
    }

    /// Replaces `latent` by the frames in `range`, `[t, width]`. The codes have been [checked](Self::check).
    pub fn sum<C: AsRef<[u32]>>(&self, codes: &[C], range: Range<usize>, latent: &mut Vec<f32>) {
        latent.clear();
        latent.resize(range.len() * self.width, 0.0);
        for (rows, codes) in self.rows.iter().zip(codes) {
            let codes = &codes.as_ref()[range.clone()];
            for (sum, &code) in latent.chunks_exact_mut(self.width).zip(codes) {
                for (sum, value) in sum.iter_mut().zip(&rows[code as usize * self.width..]) {
                    *sum += value;
                }
            }
        }
    }
}

/// Codebooks with what finding the nearest row needs.
pub(super) struct Quantizer {
    codebooks: Codebooks,
    /// One a codebook, `[codebook_size, width]`, with half the squared length of a row, negative, as its
    /// bias.
    scores: Vec<Matrix>,
}

impl Quantizer {
    pub fn build(config: &CodecConfig, read: &mut Read<'_>) -> Result<Quantizer> {
        let codebooks = Codebooks::build(config, read)?;
        let (size, width) = (codebooks.size, codebooks.width);
        let score = |(k, rows): (usize, &Vec<f32>)| {
            let half = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() * -0.5;
            let bias: Vec<f32> = rows.chunks_exact(width).map(|row| half(row) as f32).collect();
            Matrix::pack(rows, size, width, Order::OutIn, Precision::F32)
                .and_then(|matrix| matrix.with_bias(&bias))
                .map_err(|source| partita_nn::Error::Tensor {
                    name: format!("quantizer.layers.{k}.codebook.embed"),
                    source,
                })
        };
        let scores = codebooks.rows.iter().enumerate().map(score).collect::<Result<_>>()?;
        Ok(Quantizer { codebooks, scores })
    }

    /// Appends the codes of frames `x` `[t, width]`, which are left as what no code describes. A frame's code
    /// is the row nearest to what the codebooks before have left of it, the first of several.
    pub fn quantize(&self, compute: &Compute, x: &mut [f32], codes: &mut [Vec<u32>]) {
        let Codebooks { size, width, rows } = &self.codebooks;
        let mut scores = vec![0.0; x.len() / width * size];
        for ((matrix, rows), codes) in self.scores.iter().zip(rows).zip(codes) {
            // |x - e|^2 is least where x e - |e|^2 / 2 is largest.
            compute.windows(matrix, x, *width, After::Store, &mut scores);
            for (x, scores) in x.chunks_exact_mut(*width).zip(scores.chunks_exact(*size)) {
                let mut best = 0;
                for (code, score) in scores.iter().enumerate() {
                    if *score > scores[best] {
                        best = code;
                    }
                }
                codes.push(best as u32);
                for (x, value) in x.iter_mut().zip(&rows[best * width..]) {
                    *x -= value;
                }
            }
        }
    }

    /// K.
    pub fn codebooks(&self) -> usize {
        self.scores.len()
    }
}
