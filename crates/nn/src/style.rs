//! A learned style as a vector added to every input embedding.

use partita_kernels::{After, Compute, Matrix, Order, Path, Pool, Precision};
use std::sync::Arc;

use crate::{Error, Result, Tensors};

/// `added = style_projection(style_embeddings[style])`: one vector `[D]` for each style.
#[derive(Clone, Debug)]
pub struct StyleEmbedding {
    /// `[S, D]`
    vectors: Vec<f32>,
    width: usize,
}

impl StyleEmbedding {
    /// Reads `style_embeddings.weight` `[S, E]`, `style_projection.weight` `[D, E]` and
    /// `style_projection.bias` `[D]`.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn load(tensors: &Tensors) -> Result<StyleEmbedding> {
        let dimensions = |name: &str| {
            let shape = tensors.shape(name).ok_or_else(|| Error::MissingTensor(name.to_owned()))?;
            <[usize; 2]>::try_from(shape).map_err(|_| Error::Shape {
                name: name.to_owned(),
                expected: vec![0, 0],
                got: shape.to_vec(),
            })
        };
        let [styles, size] = dimensions("style_embeddings.weight")?;
        let [width, _] = dimensions("style_projection.weight")?;
        let embeddings = tensors.f32("style_embeddings.weight", &[styles, size])?;
        let projection = tensors.f32("style_projection.weight", &[width, size])?;
        let bias = tensors.f32("style_projection.bias", &[width])?;
        let matrix =
            Matrix::pack(&projection, width, size, Order::OutIn, Precision::F32)?.with_bias(&bias)?;
        let mut vectors = vec![0.0; styles * width];
        Compute::new(Arc::new(Pool::new(1)?), Path::Generic).matmul(
            &matrix,
            &embeddings,
            After::Store,
            &mut vectors,
        );
        Ok(StyleEmbedding { vectors, width })
    }

    /// Number of styles.
    pub fn styles(&self) -> usize {
        self.vectors.len() / self.width
    }

    /// The vector `[D]` of a style, for [`Decoder::join`](crate::Decoder::join).
    ///
    /// # Errors
    /// [`Error::Style`] for a style that is not in `0..styles`.
    pub fn added(&self, style: usize) -> Result<&[f32]> {
        self.vectors
            .chunks_exact(self.width)
            .nth(style)
            .ok_or(Error::Style { styles: self.styles(), got: style })
    }
}
