//! From points to outputs, step by step.
//!
//! ```text
//! flat:          z -> steps
//! hierarchical:  z -> state -> conductor -> e_0, e_1 ... a segment     each e -> 16 steps of every core
//! ```
//! The conductor gets nothing but its state. In a segment a core begins with a fresh state, made from e as a flat
//! decoder makes it from z, but hears the last step of the segment before.

use std::ops::ControlFlow;

use partita_kernels::{Compute, Matrix, Precision};
use partita_nn::{LstmCell, TensorSource, tensorflow_dense};

use super::config::CONDUCTOR;
use super::encoder::{cell, named};
use super::flat::{Column, Flat, initial_states};
use super::{Config, Error, Head, Sequence};

pub(super) struct Decoder {
    conductor: Option<Conductor>,
    pub cores: Vec<Flat>,
}

struct Conductor {
    initial: Matrix,
    cells: Vec<LstmCell>,
}

/// What is played: pieces, and what they are conditioned on.
#[derive(Clone, Copy)]
pub(super) struct Score<'a> {
    /// `[B, Z]`
    pub points: &'a [f32],
    pub steps: usize,
    /// `[T, C]`
    pub controls: Option<&'a [f32]>,
}

/// Outputs of a step of one core.
pub(super) struct Heard<'a> {
    pub core: usize,
    pub step: usize,
    /// `[B, outputs]`
    pub outputs: &'a [f32],
}

impl Decoder {
    pub fn load(source: &dyn TensorSource, config: &Config, precision: Precision) -> Result<Decoder, Error> {
        let conductor = if config.conductor.is_empty() {
            None
        } else {
            Some(Conductor::load(source, config, precision)?)
        };
        let latent = config.conductor.last().copied().unwrap_or(config.z_size);
        let cores = config.cores.iter().enumerate();
        let cores = cores.map(|(index, shape)| {
            let columns = columns(config, index);
            Flat::load(source, shape, columns, latent, config.control_depth, precision)
        });
        let cores = cores.collect::<Result<_, _>>()?;
        Ok(Decoder { conductor, cores })
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        let conductor = self.conductor.as_ref();
        conductor.map_or(0, |it| it.initial.bytes() + it.cells.iter().map(LstmCell::bytes).sum::<usize>())
            + self.cores.iter().map(Flat::bytes).sum::<usize>()
    }

    /// Plays all steps; `each` gets the outputs of every step of every core, and the pieces, which it may write: a step
    /// is fed what the pieces have before it.
    ///
    /// # Errors
    /// What `each` breaks with.
    pub fn play<E>(
        &self,
        compute: &mut Compute,
        config: &Config,
        score: Score<'_>,
        pieces: &mut [Sequence],
        mut each: impl FnMut(&Compute, Heard<'_>, &mut [Sequence]) -> ControlFlow<E>,
    ) -> Result<(), E> {
        let mut segment = |compute: &mut Compute, points: &[f32], first: usize, steps: usize| {
            for (core, flat) in self.cores.iter().enumerate() {
                let mut playing = flat.start(compute, points);
                for step in first..first + steps {
                    let depth = config.control_depth;
                    let control = score.controls.map(|controls| &controls[step * depth..][..depth]);
                    let outputs = flat.step(compute, &mut playing, pieces, step.checked_sub(1), control);
                    each(compute, Heard { core, step, outputs }, pieces)?;
                }
            }
            ControlFlow::Continue(())
        };
        let played = match &self.conductor {
            None => segment(compute, score.points, 0, score.steps),
            Some(conductor) => {
                let steps = config.segments.map_or(score.steps, |segments| segments.steps);
                conductor.conduct(compute, score.points, score.steps / steps, |compute, index, vectors| {
                    segment(compute, vectors, index * steps, steps)
                })
            }
        };
        match played {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

/// The columns of a core: all of them, or where there are several cores, its own.
fn columns(config: &Config, core: usize) -> Vec<Column> {
    let Head::Categorical(depths) = &config.head else { return Vec::new() };
    if config.cores.len() > 1 {
        return vec![Column { index: core, first: 0, classes: depths[core] }];
    }
    let mut first = 0;
    let column = |(index, &classes): (usize, &usize)| {
        first += classes;
        Column { index, first: first - classes, classes }
    };
    depths.iter().enumerate().map(column).collect()
}

impl Conductor {
    fn load(source: &dyn TensorSource, config: &Config, precision: Precision) -> Result<Conductor, Error> {
        let states = 2 * config.conductor.iter().sum::<usize>();
        let scope = format!("{CONDUCTOR}/initial_state");
        let initial = tensorflow_dense(source, &scope, config.z_size, states, precision)
            .map_err(|error| named(source, error))?;
        // The first layer has one input, which is always 0: its row of weights is loaded and never used.
        let mut inputs = 1;
        let mut cells = Vec::new();
        for (index, &width) in config.conductor.iter().enumerate() {
            let scope = format!("{CONDUCTOR}/cell_{index}/lstm_cell");
            cells.push(cell(source, &scope, &[inputs], width, precision)?);
            inputs = width;
        }
        Ok(Conductor { initial, cells })
    }

    /// The vectors `[B, H]` of segment after segment.
    fn conduct<E>(
        &self,
        compute: &mut Compute,
        points: &[f32],
        segments: usize,
        mut each: impl FnMut(&mut Compute, usize, &[f32]) -> ControlFlow<E>,
    ) -> ControlFlow<E> {
        let rows = points.len() / self.initial.in_features();
        let mut states = initial_states(compute, &self.initial, &self.cells, points);
        let mut gates = Vec::new();
        for segment in 0..segments {
            for (index, cell) in self.cells.iter().enumerate() {
                cell.begin(rows, &mut gates);
                let (below, states) = states.split_at_mut(index);
                if let Some(below) = below.last() {
                    cell.add(compute, 0, &below.hidden, &mut gates);
                }
                cell.advance(compute, &mut gates, &mut states[0]);
            }
            each(compute, segment, &states[self.cells.len() - 1].hidden)?;
        }
        ControlFlow::Continue(())
    }
}
