//! A model: loading, encoding and decoding.

use std::ops::ControlFlow;

use partita_kernels::{Compute, Precision};
use partita_nn::{Rng, TensorSource};

use super::decoder::{Decoder, Heard, Score};
use super::encoder::{Encoder, Input, Posterior};
use super::head::{Drawing, Nade, draw_groove, row_mut};
use super::{Config, Error, Head, Segments, Sequence};

/// The most steps of a piece, and the most pieces of a call.
const MOST_STEPS: usize = 4096;
const MOST_PIECES: usize = 256;
/// Steps that are encoded together, about: what lies between two layers takes a few kilobytes a step.
const TOGETHER: usize = 4096;

/// Points to be decoded.
#[derive(Clone, Copy, Debug)]
pub struct Decode<'a> {
    /// One a piece, `[Z]` each; 1..=256 of them share the passes over the weights.
    pub points: &'a [Vec<f32>],
    /// `[0, 100]`; 0 takes the most likely step always, the first of several.
    pub temperature: f32,
    /// Steps of each piece, 1..=4096. A hierarchical model has a length of its own and needs none.
    pub length: Option<usize>,
    /// `[T, C]` for models with controls, the same for all pieces: that of the step being decoded.
    pub controls: Option<&'a [f32]>,
}

/// How far a decoding is. A hierarchical model with several decoders counts the steps of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub steps: usize,
    pub of: usize,
}

/// A network with its weights.
pub struct MusicVae {
    config: Config,
    encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) nade: Option<Nade>,
}

impl MusicVae {
    /// Reads a checkpoint whose sizes and kind are told by its tensors; large tensors are packed in `precision` a few
    /// rows at a time, so that memory holds little more than what the model takes in the end.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen or not finite, by name.
    pub fn load(source: &dyn TensorSource, precision: Precision) -> Result<MusicVae, Error> {
        MusicVae::with_config(source, Config::derive(source)?, precision)
    }

    /// As [`load`](Self::load), where head or segments are known better than from the tensors' shapes.
    ///
    /// # Errors
    /// As [`load`](Self::load); a head or segments that do not fit the tensors.
    pub fn with_config(
        source: &dyn TensorSource,
        config: Config,
        precision: Precision,
    ) -> Result<MusicVae, Error> {
        config.check()?;
        let encoder = Encoder::load(source, &config, precision)?;
        let decoder = Decoder::load(source, &config, precision)?;
        let nade = match config.head {
            Head::Nade { .. } => Some(Nade::load(source, &config.cores[0])?),
            Head::Categorical(_) | Head::Groove => None,
        };
        Ok(MusicVae { config, encoder, decoder, nade })
    }

    /// Sizes and kind.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        self.encoder.bytes() + self.decoder.bytes() + self.nade.as_ref().map_or(0, Nade::bytes)
    }

    /// Bytes of weights that a decoding step reads, however many pieces there are; without those that are read once
    /// for all steps.
    pub fn step_bytes(&self) -> usize {
        self.decoder.cores.iter().map(super::flat::Flat::step_bytes).sum()
    }

    /// Encodes pieces, of any lengths together; 1..=256 of them.
    ///
    /// # Errors
    /// [`Error::Range`]: steps of another kind or width than the model's, ids out of range, controls that are missing
    /// or of another length, a length that a hierarchical encoder cannot cut.
    pub fn encode(&self, compute: &mut Compute, inputs: &[Input<'_>]) -> Result<Vec<Posterior>, Error> {
        check_pieces(inputs.len())?;
        let config = &self.config;
        let classes: usize = config.columns().unwrap_or(&[]).iter().sum();
        // A drum model reads rolls and writes classes.
        let columns = config.columns().filter(|_| classes == config.input_depth);
        for input in inputs {
            input.steps.check(columns, config.input_depth)?;
            let length = input.steps.len();
            let lengths = match config.segments {
                Some(segments) if config.levels.len() > 1 => segments.total()..=segments.total(),
                _ => 1..=MOST_STEPS,
            };
            check_length(length, lengths)?;
            self.check_controls(input.controls, length)?;
        }
        let mut posteriors = Vec::with_capacity(inputs.len());
        let mut rest = inputs;
        while !rest.is_empty() {
            let mut steps = 0;
            let fit = rest.iter().take_while(|input| {
                steps += input.steps.len();
                steps <= TOGETHER
            });
            let (group, after) = rest.split_at(fit.count().max(1));
            posteriors.extend(self.encoder.run(compute, config, group));
            rest = after;
        }
        Ok(posteriors)
    }

    /// Decodes points; piece `i` draws from `rngs[i]` alone, so it does not depend on the others. `watch` is told after
    /// every step and may break off.
    ///
    /// # Errors
    /// [`Error::Range`], and [`Error::Cancelled`] when `watch` breaks.
    ///
    /// # Panics
    /// If there are not as many `rngs` as points.
    pub fn decode(
        &self,
        compute: &mut Compute,
        request: &Decode<'_>,
        rngs: &mut [Rng],
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Sequence>, Error> {
        self.decode_around(compute, request, None, rngs, watch)
    }

    /// As [`decode`](Self::decode), for a groove whose hits are given: `[T, 9]` a piece, 0 or 1. They take the place of
    /// the hits drawn, so that each step hears them, and what is left to the model is how they are played.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); hits of another length, or for a model that plays no grooves.
    pub fn decode_hits(
        &self,
        compute: &mut Compute,
        request: &Decode<'_>,
        hits: &[Vec<f32>],
        rngs: &mut [Rng],
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Sequence>, Error> {
        if self.config.head != Head::Groove {
            return Err(Error::range("hits", "left out for a model that plays no grooves", "some"));
        }
        let values = self.length(request.length)? * self.config.output_depth() / 3;
        for hits in hits {
            if hits.len() != values {
                return Err(Error::range("hits", format!("{values} values a piece"), hits.len()));
            }
        }
        if hits.len() != request.points.len() {
            return Err(Error::range(
                "hits",
                format!("those of {} pieces", request.points.len()),
                hits.len(),
            ));
        }
        self.decode_around(compute, request, Some(hits), rngs, watch)
    }

    fn decode_around(
        &self,
        compute: &mut Compute,
        request: &Decode<'_>,
        hits: Option<&[Vec<f32>]>,
        rngs: &mut [Rng],
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Sequence>, Error> {
        assert_eq!(rngs.len(), request.points.len(), "each piece draws from a stream of its own");
        let mut drawing = Drawing::new(request.temperature)?;
        let steps = self.length(request.length)?;
        let points = self.joined(request.points)?;
        self.check_controls(request.controls, steps)?;
        let mut pieces = vec![self.blank(steps); request.points.len()];
        let mut progress = Progress { steps: 0, of: steps * self.config.cores.len() };
        let score = Score { points: &points, steps, controls: request.controls };
        self.decoder.play(compute, &self.config, score, &mut pieces, |compute, heard, pieces| {
            let rows = heard.outputs.chunks_exact(heard.outputs.len() / pieces.len());
            for (at, ((outputs, piece), rng)) in rows.zip(pieces).zip(&mut *rngs).enumerate() {
                if let Err(error) = self.draw(compute, &heard, outputs, &mut drawing, rng, piece) {
                    return ControlFlow::Break(error);
                }
                if let Some(hits) = hits {
                    let row = row_mut(piece, heard.step);
                    let drums = row.len() / 3;
                    row[..drums].copy_from_slice(&hits[at][heard.step * drums..][..drums]);
                }
            }
            progress.steps += 1;
            watch(progress).map_break(|()| Error::Cancelled)
        })?;
        Ok(pieces)
    }

    /// Writes the step that is drawn from outputs `[outputs]` of one piece.
    fn draw(
        &self,
        compute: &Compute,
        heard: &Heard<'_>,
        outputs: &[f32],
        drawing: &mut Drawing,
        rng: &mut Rng,
        piece: &mut Sequence,
    ) -> Result<(), Error> {
        match (&self.config.head, &self.nade, piece) {
            (Head::Categorical(_), _, Sequence::Tokens { columns, ids }) => {
                for column in &self.decoder.cores[heard.core].columns {
                    let logits = &outputs[column.first..][..column.classes];
                    ids[heard.step * *columns + column.index] = drawing.class(logits, rng)?;
                }
            }
            (_, Some(nade), piece) => {
                nade.draw(compute.path(), outputs, drawing, rng, row_mut(piece, heard.step));
            }
            (_, None, piece) => draw_groove(outputs, drawing, rng, row_mut(piece, heard.step)),
        }
        Ok(())
    }

    /// The length of pieces, checked.
    pub(super) fn length(&self, asked: Option<usize>) -> Result<usize, Error> {
        if self.config.conductor.is_empty() {
            let Some(steps) = asked else {
                return Err(Error::range("length", format!("1..={MOST_STEPS} steps"), "none"));
            };
            check_length(steps, 1..=MOST_STEPS)?;
            return Ok(steps);
        }
        let total = self.config.segments.unwrap_or(Segments::BARS).total();
        check_length(asked.unwrap_or(total), total..=total)?;
        Ok(total)
    }

    /// Points one after the other, `[B, Z]`.
    pub(super) fn joined(&self, points: &[Vec<f32>]) -> Result<Vec<f32>, Error> {
        check_pieces(points.len())?;
        for point in points {
            if point.len() != self.config.z_size {
                return Err(Error::range("z", format!("{} values", self.config.z_size), point.len()));
            }
            if let Some(value) = point.iter().find(|value| !value.is_finite()) {
                return Err(Error::range("value of z", "finite", value));
            }
        }
        Ok(points.concat())
    }

    /// Checks controls of `steps` steps.
    pub(super) fn check_controls(&self, controls: Option<&[f32]>, steps: usize) -> Result<(), Error> {
        let depth = self.config.control_depth;
        match controls {
            None if depth == 0 => Ok(()),
            None => Err(Error::range("controls", format!("{depth} values a step"), "none")),
            Some(_) if depth == 0 => Err(Error::range("controls", "left out: the model has none", "some")),
            Some(values) if values.len() != depth * steps => {
                let allowed = format!("{depth} values a step, {} in all", depth * steps);
                Err(Error::range("controls", allowed, values.len()))
            }
            Some(values) => match values.iter().find(|value| !value.is_finite()) {
                None => Ok(()),
                Some(value) => Err(Error::range("value of a control", "finite", value)),
            },
        }
    }

    /// Steps to be written.
    fn blank(&self, steps: usize) -> Sequence {
        match self.config.columns() {
            Some(depths) => Sequence::Tokens { columns: depths.len(), ids: vec![0; steps * depths.len()] },
            None => {
                let width = self.config.output_depth();
                Sequence::Rows { width, values: vec![0.0; steps * width] }
            }
        }
    }
}

fn check_pieces(pieces: usize) -> Result<(), Error> {
    if (1..=MOST_PIECES).contains(&pieces) {
        return Ok(());
    }
    Err(Error::range("pieces", format!("1..={MOST_PIECES}"), pieces))
}

fn check_length(length: usize, allowed: std::ops::RangeInclusive<usize>) -> Result<(), Error> {
    if allowed.contains(&length) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    let allowed = if least == most { format!("{most} steps") } else { format!("{least}..={most} steps") };
    Err(Error::range("length", allowed, length))
}
