//! Teacher forcing: how likely given steps are, each after those that were given before it.

use std::convert::Infallible;
use std::ops::ControlFlow;

use partita_kernels::Compute;

use super::decoder::Score;
use super::head::{class_loss, groove_loss};
use super::{Error, Head, MusicVae, Sequence};

/// Steps to be followed.
#[derive(Clone, Copy, Debug)]
pub struct Teacher<'a> {
    /// One a piece, `[Z]` each.
    pub points: &'a [Vec<f32>],
    /// As the decoder writes them, all of one length.
    pub targets: &'a [Sequence],
    /// `[T, C]` for models with controls, the same for all pieces.
    pub controls: Option<&'a [f32]>,
}

/// What the decoder had to say about a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Taught {
    /// `[T, outputs]`, those of several decoders one after the other; of NADE, `[b_enc | b_dec]`.
    pub outputs: Vec<f32>,
    /// `-log` of the probability of each step, `[T]`. Velocities and offsets of a groove count with their squared errors,
    /// as in Magenta's training.
    pub losses: Vec<f64>,
}

impl MusicVae {
    /// Follows targets.
    ///
    /// # Errors
    /// [`Error::Range`] as for decoding; targets of other kinds or lengths.
    pub fn teach(&self, compute: &mut Compute, request: &Teacher<'_>) -> Result<Vec<Taught>, Error> {
        let Teacher { points, targets, controls } = *request;
        let points = self.joined(points)?;
        let config = self.config();
        if targets.len() != request.points.len() {
            return Err(Error::range("targets", request.points.len(), targets.len()));
        }
        let steps = self.length(Some(targets[0].len()))?;
        for target in targets {
            target.check(config.columns(), config.output_depth())?;
            if target.len() != steps {
                return Err(Error::range("length of a target", steps, target.len()));
            }
        }
        self.check_controls(controls, steps)?;
        let total: usize = config.cores.iter().map(|core| core.outputs).sum();
        let blank = Taught { outputs: vec![0.0; steps * total], losses: vec![0.0; steps] };
        let mut taught = vec![blank; targets.len()];
        let mut pieces = targets.to_vec();
        let score = Score { points: &points, steps, controls };
        let played = self.decoder.play(compute, config, score, &mut pieces, |compute, heard, pieces| {
            let first: usize = config.cores[..heard.core].iter().map(|core| core.outputs).sum();
            let width = config.cores[heard.core].outputs;
            let rows = heard.outputs.chunks_exact(width);
            for ((outputs, piece), taught) in rows.zip(pieces.iter()).zip(&mut taught) {
                taught.outputs[heard.step * total + first..][..width].copy_from_slice(outputs);
                taught.losses[heard.step] += match piece {
                    Sequence::Tokens { columns, ids } => {
                        let step = &ids[heard.step * columns..][..*columns];
                        class_loss(outputs, &self.decoder.cores[heard.core].columns, step)
                    }
                    Sequence::Rows { width, values } => {
                        let row = &values[heard.step * width..][..*width];
                        match (&config.head, &self.nade) {
                            (Head::Nade { .. }, Some(nade)) => nade.loss(compute.path(), outputs, row),
                            _ => groove_loss(outputs, row),
                        }
                    }
                };
            }
            ControlFlow::<Infallible>::Continue(())
        });
        match played {
            Ok(()) => Ok(taught),
            Err(never) => match never {},
        }
    }
}
