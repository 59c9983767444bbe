//! Performances: as many events as a stretch of time probably takes.

use partita_kernels::Compute;
use partita_nn::{Rng, Sampling};
use partita_tokens::events::{
    Codec, Conditioned, Controls, MAX_SHIFT, PerformanceEvent, STEPS_PER_SECOND, set_performance_length,
    shifted_steps,
};

use super::catalogue::performance_codec;
use super::play::{Player, Watch};
use super::{Beam, Continuation, Continue, Error, EventRnn, Kind, MOST_EVENTS};

/// A performance to go on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Perform {
    /// What there is; without anything, up to a second of silence.
    pub primer: Vec<PerformanceEvent>,
    /// Hundredths of a second in all, more than those of the primer and up to ten minutes.
    pub steps: usize,
    /// What the network should follow, if it was trained to.
    pub controls: Option<Controls>,
    /// Goes on until all steps are there, or [`MOST_EVENTS`] events. Otherwise, as Magenta's command, asks once for the
    /// events that so many steps have on average; what is missing then is silent.
    pub fill: bool,
    pub sampling: Sampling,
    pub beam: Beam,
    pub seed: u64,
    /// Continuations, each from a random stream of its own, 1 and more.
    pub variations: usize,
}

impl Perform {
    /// `steps` in all, sampled at temperature 1.
    pub fn new(primer: Vec<PerformanceEvent>, steps: usize, seed: u64) -> Perform {
        Perform {
            primer,
            steps,
            controls: None,
            fill: false,
            sampling: Sampling::default(),
            beam: Beam::default(),
            seed,
            variations: 1,
        }
    }
}

/// Steps of ten minutes.
const MOST_STEPS: usize = 60_000;
/// Events of a note: it begins, it ends, the velocity changes, time passes.
const EVENTS_PER_NOTE: f64 = 4.0;
/// Notes a second where nothing is said of it.
const DENSITY: f64 = 15.0;

impl EventRnn {
    /// Continues a performance; each continuation lasts the steps that were asked for.
    ///
    /// # Errors
    /// [`Error::Family`], [`Error::Range`], [`Error::Events`] for events that the network does not know or wishes out
    /// of range, [`Error::NotConditioned`], [`Error::Cancelled`].
    pub fn continue_performance(
        &self,
        compute: &mut Compute,
        request: &Perform,
        watch: Watch<'_>,
    ) -> Result<Vec<Continuation<PerformanceEvent>>, Error> {
        let (codec, density) = self.performance(request.controls.as_ref(), request.steps)?;
        codec.check(&request.primer)?;
        let before = shifted_steps(&request.primer);
        if !(before + 1..=MOST_STEPS).contains(&request.steps) {
            let allowed = format!("{}..={MOST_STEPS}", before + 1);
            return Err(Error::range("steps", allowed, request.steps));
        }
        let mut primer = request.primer.clone();
        if primer.is_empty() {
            set_performance_length(&mut primer, request.steps.min(MAX_SHIFT as usize));
        }
        let missing = request.steps - shifted_steps(&primer);
        let first = Continue {
            length: length(primer.len(), missing, density),
            primer,
            sampling: request.sampling.clone(),
            beam: request.beam,
            seed: request.seed,
            variations: request.variations,
        };
        first.check()?;
        if missing == 0 {
            let silence = Continuation { events: first.primer, log_likelihood: 0.0 };
            return Ok(vec![silence; request.variations]);
        }
        let player = Player { net: &self.net, codec: &*codec };
        let stream = |variation| Rng::new(request.seed, variation as u64);
        let mut rngs: Vec<Rng> = (0..request.variations).map(stream).collect();
        let mut done = player.play(compute, &first, &mut rngs, watch)?;
        if request.fill {
            for (done, rng) in done.iter_mut().zip(&mut rngs) {
                fill(&player, compute, &first, request.steps, density, (done, rng), watch)?;
            }
        }
        done.iter_mut().for_each(|done| set_performance_length(&mut done.events, request.steps));
        Ok(done)
    }

    /// `ln` of the probability of all events but the first, following `controls`.
    ///
    /// # Errors
    /// As [`continue_performance`](Self::continue_performance).
    pub fn performance_log_likelihood(
        &self,
        compute: &mut Compute,
        events: &[PerformanceEvent],
        controls: Option<&Controls>,
    ) -> Result<f64, Error> {
        let (codec, _) = self.performance(controls, shifted_steps(events))?;
        Player { net: &self.net, codec: &*codec }.log_likelihood(compute, events)
    }

    /// The encoding for a performance of `steps`, and the notes a second to expect.
    fn performance(
        &self,
        controls: Option<&Controls>,
        steps: usize,
    ) -> Result<(Box<dyn Codec<Event = PerformanceEvent>>, f64), Error> {
        let Kind::Performance { events, modulo, control } = self.bundle.kind else {
            return Err(self.family("performances"));
        };
        match (control, controls) {
            (None, None) => Ok((performance_codec(events, modulo), DENSITY)),
            (None, Some(_)) => Err(Error::NotConditioned { id: self.bundle.id }),
            (Some(control), controls) => {
                let controls = controls.cloned().unwrap_or_default();
                let density = if control.density { controls.mean_density() } else { DENSITY };
                Ok((Box::new(Conditioned::new(events, control, controls, steps)?), density))
            }
        }
    }
}

/// Events in all when `events` are there and `missing` steps are to be played.
fn length(events: usize, missing: usize, density: f64) -> usize {
    let seconds = missing as f64 / f64::from(STEPS_PER_SECOND);
    let more = (EVENTS_PER_NOTE * density.max(1.0) * seconds).ceil();
    (events + 1).max(events.saturating_add(more as usize).min(MOST_EVENTS))
}

/// Goes on with one performance until it lasts `steps` or has [`MOST_EVENTS`], which a network that lets no time pass
/// reaches.
fn fill(
    player: &Player<'_, PerformanceEvent>,
    compute: &mut Compute,
    first: &Continue<PerformanceEvent>,
    steps: usize,
    density: f64,
    (done, rng): (&mut Continuation<PerformanceEvent>, &mut Rng),
    watch: Watch<'_>,
) -> Result<(), Error> {
    loop {
        let missing = steps.saturating_sub(shifted_steps(&done.events));
        if missing == 0 || done.events.len() == MOST_EVENTS {
            return Ok(());
        }
        let next = Continue {
            length: length(done.events.len(), missing, density),
            primer: std::mem::take(&mut done.events),
            variations: 1,
            ..first.clone()
        };
        let more = player.play(compute, &next, std::slice::from_mut(rng), watch)?;
        for more in more {
            done.events = more.events;
            done.log_likelihood += more.log_likelihood;
        }
    }
}
