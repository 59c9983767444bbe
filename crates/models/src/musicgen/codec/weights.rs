//! Reading a codec's tensors: normalised weights are folded into plain ones.

use partita_nn::{Conv, ConvShape, ConvTranspose, Error, Result, Rng, Tensors};

/// Gives the values of a tensor by its name, without the checkpoint's prefix, and its shape.
pub(super) type Read<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

/// Reads from a checkpoint. Gains and directions have had two names each.
pub(super) fn read(tensors: &Tensors, prefix: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let full = format!("{prefix}{name}");
    if !tensors.contains(&full) {
        for (old, new) in [("_g", ".original0"), ("_v", ".original1")] {
            let Some(stem) = full.strip_suffix(&format!("weight{old}")) else { continue };
            let renamed = format!("{stem}parametrizations.weight{new}");
            if tensors.contains(&renamed) {
                return tensors.f32(&renamed, shape);
            }
        }
    }
    tensors.f32(&full, shape)
}

/// Random tensors under which a signal neither grows nor fades.
pub(super) fn random(seed: u64) -> impl FnMut(&str, &[usize]) -> Result<Vec<f32>> {
    let mut rng = Rng::new(seed, 0);
    move |name, shape| {
        let count = shape.iter().product();
        let spread =
            if name.contains("lstm") { 1.0 / (*shape.last().unwrap_or(&1) as f32).sqrt() } else { 1.0 };
        let (middle, spread) = match name {
            _ if name.ends_with("weight_g") => (1.0, 0.1),
            _ if name.ends_with("bias") => (0.0, 0.1),
            _ => (0.0, spread),
        };
        Ok((0..count).map(|_| middle + (2.0 * rng.f32() - 1.0) * spread).collect())
    }
}

pub(super) fn conv(read: &mut Read<'_>, name: &str, shape: ConvShape) -> Result<Conv> {
    let weights = normalized(read, name, [shape.outputs, shape.inputs, shape.kernel])?;
    Conv::new(name, shape, &weights, &read(&format!("{name}.bias"), &[shape.outputs])?)
}

pub(super) fn conv_transpose(read: &mut Read<'_>, name: &str, shape: ConvShape) -> Result<ConvTranspose> {
    let weights = normalized(read, name, [shape.inputs, shape.outputs, shape.kernel])?;
    ConvTranspose::new(name, shape, &weights, &read(&format!("{name}.bias"), &[shape.outputs])?)
}

/// `gain * direction / |direction|`, where the length is over all axes but the first: for a transposed
/// convolution, that of the inputs.
///
/// # Errors
/// Those of `read`, and [`Error::Tensor`] for a direction without a length.
pub(super) fn normalized(read: &mut Read<'_>, name: &str, shape: [usize; 3]) -> Result<Vec<f32>> {
    let gains = read(&format!("{name}.weight_g"), &[shape[0], 1, 1])?;
    let mut weights = read(&format!("{name}.weight_v"), &shape)?;
    for (weights, gain) in weights.chunks_exact_mut(shape[1] * shape[2]).zip(gains) {
        let length = weights.iter().map(|&weight| f64::from(weight) * f64::from(weight)).sum::<f64>().sqrt();
        let scale = (f64::from(gain) / length) as f32;
        for weight in weights {
            *weight *= scale;
        }
    }
    match weights.iter().position(|weight| !weight.is_finite()) {
        None => Ok(weights),
        Some(index) => {
            let source = partita_kernels::Error::NotFinite { index, value: weights[index].to_string() };
            Err(Error::Tensor { name: format!("{name}.weight"), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_musicgen_codec_weights_have_the_length_of_their_gain() {
        let values = |name: &str, _: &[usize]| {
            Ok(if name == "c.weight_g" { vec![2.0, -1.0] } else { vec![3.0, 4.0, 0.0, 5.0] })
        };
        assert_eq!(normalized(&mut { values }, "c", [2, 1, 2]).unwrap(), [1.2, 1.6, 0.0, -1.0]);
        let mut zeros = |_: &str, shape: &[usize]| Ok(vec![0.0; shape.iter().product()]);
        let error = normalized(&mut zeros, "c", [2, 1, 2]).unwrap_err().to_string();
        assert_eq!(error, "tensor \"c.weight\": weight 0 must be finite, got NaN");
    }
}
