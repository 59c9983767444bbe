//! Performances that follow a wish: how dense the notes are, which pitch classes they have.

use super::{Codec, Error, PerformanceEvent, PerformanceEvents, Plain};

/// Notes a second at which the bins of density begin; the first bin begins at 0.
pub const DENSITY_BOUNDS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

const BINS: usize = DENSITY_BOUNDS.len() + 1;
const PITCH_CLASSES: usize = 12;

/// What a network was trained to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    pub density: bool,
    pub pitch_classes: bool,
    /// Whether it also learned to play without being told.
    pub optional: bool,
}

impl Control {
    /// Numbers that are put before those of the event.
    pub fn inputs(self) -> usize {
        let density = if self.density { BINS } else { 0 };
        let pitch_classes = if self.pitch_classes { PITCH_CLASSES } else { 0 };
        usize::from(self.optional) + density + pitch_classes
    }
}

/// The wish. Each list divides the performance into equal parts, one an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Controls {
    /// Notes a second, 0 and more.
    pub density: Vec<f64>,
    /// Weights of C, C sharp and so on, 0 and more; only their proportions count, and all 0 is all equal.
    pub pitch_classes: Vec<[f64; PITCH_CLASSES]>,
    /// Where the network, if it has learned to, plays as it likes.
    pub free: Vec<bool>,
}

impl Default for Controls {
    /// Magenta's: 15 notes a second, all pitch classes alike.
    fn default() -> Controls {
        Controls { density: vec![15.0], pitch_classes: vec![[1.0; PITCH_CLASSES]], free: vec![false] }
    }
}

impl Controls {
    /// The mean of the densities, which tells how many events a second of music takes.
    pub fn mean_density(&self) -> f64 {
        self.density.iter().sum::<f64>() / self.density.len().max(1) as f64
    }

    /// Checks every list.
    ///
    /// # Errors
    /// [`Error::Control`] for an empty list, a negative number, or one that is not finite.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |field, allowed: &str, got: String| {
            Err(Error::Control { field, allowed: allowed.to_owned(), got })
        };
        for (field, entries) in [
            ("density entries", self.density.len()),
            ("pitch class entries", self.pitch_classes.len()),
            ("free entries", self.free.len()),
        ] {
            if !(1..=MOST_ENTRIES).contains(&entries) {
                return refuse(field, &format!("1..={MOST_ENTRIES}"), entries.to_string());
            }
        }
        let wrong = |value: &&f64| !(0.0..=1e6).contains(*value);
        if let Some(density) = self.density.iter().find(wrong) {
            return refuse("density", "[0, 1000000]", density.to_string());
        }
        if let Some(weight) = self.pitch_classes.iter().flatten().find(wrong) {
            return refuse("pitch class weight", "[0, 1000000]", weight.to_string());
        }
        Ok(())
    }
}

const MOST_ENTRIES: usize = 1024;

/// ```text
/// input   [1 where the network is free] [one-hot of the density's bin] [weights of the pitch classes] [event]
/// ```
///
/// The first three blocks are there if the network was trained with them, all 0 but the first where it is free, and
/// are those of the moment after the event.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditioned {
    events: Plain<PerformanceEvents>,
    control: Control,
    controls: Controls,
    /// Of the whole performance, to find the part that a step is in.
    steps: usize,
}

impl Conditioned {
    /// For a performance of `steps` in all.
    ///
    /// # Errors
    /// As [`Controls::check`].
    pub fn new(
        events: PerformanceEvents,
        control: Control,
        controls: Controls,
        steps: usize,
    ) -> Result<Conditioned, Error> {
        controls.check()?;
        Ok(Conditioned { events: Plain(events), control, controls, steps: steps.max(1) })
    }

    /// The entry for the part that `step` is in.
    fn at<'a, T>(&self, values: &'a [T], step: usize) -> &'a T {
        &values[(step * values.len() / self.steps).min(values.len() - 1)]
    }
}

impl Codec for Conditioned {
    type Event = PerformanceEvent;

    fn inputs(&self) -> usize {
        self.control.inputs() + self.events.inputs()
    }

    fn classes(&self) -> usize {
        self.events.classes()
    }

    fn check(&self, events: &[PerformanceEvent]) -> Result<(), Error> {
        self.events.check(events)
    }

    fn input(&self, events: &[PerformanceEvent], position: usize, out: &mut [f32]) {
        let step = super::shifted_steps(&events[..=position]);
        let (mut told, event) = out.split_at_mut(self.control.inputs());
        self.events.input(events, position, event);
        told.fill(0.0);
        if self.control.optional {
            let (free, rest) = told.split_at_mut(1);
            told = rest;
            if *self.at(&self.controls.free, step) {
                free[0] = 1.0;
                return;
            }
        }
        if self.control.density {
            let density = *self.at(&self.controls.density, step);
            told[DENSITY_BOUNDS.iter().filter(|&&bound| density >= bound).count()] = 1.0;
            told = &mut told[BINS..];
        }
        if self.control.pitch_classes {
            let weights = self.at(&self.controls.pitch_classes, step);
            let total: f64 = weights.iter().sum();
            for (out, weight) in told.iter_mut().zip(weights) {
                *out = if total > 0.0 { weight / total } else { 1.0 / PITCH_CLASSES as f64 } as f32;
            }
        }
    }

    fn label(&self, events: &[PerformanceEvent], position: usize) -> usize {
        self.events.label(events, position)
    }

    fn event(&self, class: usize, events: &[PerformanceEvent]) -> PerformanceEvent {
        self.events.event(class, events)
    }
}

#[cfg(test)]
mod tests {
    use super::PerformanceEvent::{NoteOn, TimeShift};
    use super::*;

    const EVENTS: PerformanceEvents = PerformanceEvents { bins: 32 };
    const BOTH: Control = Control { density: true, pitch_classes: true, optional: true };

    fn told(control: Control, controls: &Controls, events: &[PerformanceEvent]) -> Vec<f32> {
        let codec = Conditioned::new(EVENTS, control, controls.clone(), 200).unwrap();
        let mut out = vec![9.0; codec.inputs()];
        codec.input(events, events.len() - 1, &mut out);
        let mut event = vec![0.0; 388];
        Plain(EVENTS).input(events, events.len() - 1, &mut event);
        assert_eq!(out[control.inputs()..], event);
        out.truncate(control.inputs());
        out
    }

    #[test]
    fn density_is_a_bin_that_begins_with_its_bound() {
        let control = Control { density: true, pitch_classes: false, optional: false };
        for (density, bin) in [(0.0, 0), (0.99, 0), (1.0, 1), (15.0, 4), (16.0, 5), (64.0, 7), (1000.0, 7)] {
            let controls = Controls { density: vec![density], ..Controls::default() };
            let told = told(control, &controls, &[NoteOn(60)]);
            assert_eq!(told.iter().position(|&x| x == 1.0), Some(bin), "{density}");
            assert_eq!(told.iter().sum::<f32>(), 1.0);
        }
    }

    #[test]
    fn pitch_classes_are_proportions() {
        let control = Control { density: false, pitch_classes: true, optional: false };
        let mut weights = [0.0; 12];
        let equal =
            told(control, &Controls { pitch_classes: vec![weights], ..Controls::default() }, &[NoteOn(1)]);
        assert_eq!(equal, [1.0 / 12.0; 12]);
        (weights[0], weights[7]) = (3.0, 1.0);
        let told =
            told(control, &Controls { pitch_classes: vec![weights], ..Controls::default() }, &[NoteOn(1)]);
        assert_eq!((told[0], told[7], told.iter().sum::<f32>()), (0.75, 0.25, 1.0));
    }

    #[test]
    fn a_free_part_is_told_nothing_else_and_parts_follow_the_time() {
        let controls =
            Controls { free: vec![false, true], density: vec![1.0, 2.0, 64.0], ..Controls::default() };
        let early = told(BOTH, &controls, &[TimeShift(99)]);
        assert_eq!((early[0], early[1 + 2]), (0.0, 1.0));
        let late = told(BOTH, &controls, &[TimeShift(99), NoteOn(3), TimeShift(1)]);
        assert_eq!(late[0], 1.0);
        assert!(late[1..].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn wishes_out_of_range_are_named() {
        let error = |controls: Controls| controls.check().unwrap_err().to_string();
        let plain = Controls::default();
        assert_eq!(
            error(Controls { density: vec![-1.0], ..plain.clone() }),
            "density must be in [0, 1000000], got -1"
        );
        assert_eq!(
            error(Controls { density: vec![], ..plain.clone() }),
            "density entries must be in 1..=1024, got 0"
        );
        assert_eq!(
            error(Controls { pitch_classes: vec![[f64::NAN; 12]], ..plain }),
            "pitch class weight must be in [0, 1000000], got NaN"
        );
    }
}
