//! Random demands by the thousand: what is written under them must break none.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use indicatif::ProgressBar;
use partita_models::arrange::{self, Arranger};
use partita_models::drums::{ALL_LANES, Common, Drummer, Generate, Sampling};
use partita_models::harmony::demands::{Choices, Demand};
use partita_models::harmony::{self, Complete, Harmonizer, random_request};
use partita_models::melody::{Error as MelodyError, Harmony, Request, Writer};
use partita_models::stage::{Compute, Player, share};
use partita_nn::Rng;
use partita_score::demands::{Demands, random_demands, violations};
use partita_score::{Meter, midi};
use partita_tokens::song::PITCHES;
use serde_json::{Value, json};

use crate::error::Result;
use crate::report::round;

/// Requests in flight: their sequences share the steps of the network.
const AT_ONCE: usize = 16;
/// Violations that are told in words.
const SHOWN: usize = 5;

/// What came of one kind of music.
#[derive(Default)]
pub struct Tally {
    pub written: usize,
    /// Demand sets that were refused before anything was written, most of them contradictions.
    pub refused: usize,
    pub violations: usize,
    /// The first of them.
    pub shown: Vec<String>,
    /// Nats that the masks cost, and tokens written.
    cost: f64,
    tokens: usize,
    /// By the demand that was broken.
    broken: BTreeMap<String, usize>,
    ms: f64,
}

impl Tally {
    pub fn to_json(&self) -> Value {
        json!({
            "written": self.written,
            "refused": self.refused,
            "violations": self.violations,
            "broken": self.broken,
            "cost_nats_per_token": round(self.cost / self.tokens.max(1) as f64, 4),
            "cost_nats_per_piece": round(self.cost / self.written.max(1) as f64, 3),
            "tokens": self.tokens,
            "ms_per_piece": round(self.ms / self.written.max(1) as f64, 2),
        })
    }

    fn breach(&mut self, demand: &str, what: String) {
        self.violations += 1;
        *self.broken.entry(demand.to_owned()).or_default() += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(what);
        }
    }
}

/// Runs `one(i, tally)` for all numbers below `count`, several at once.
fn all(
    count: usize,
    bar: &ProgressBar,
    one: impl Fn(usize, &Mutex<Tally>) -> Result<()> + Sync,
) -> Result<Tally> {
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let started = Instant::now();
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count || crate::cancel::requested() {
                    return Ok(());
                }
                one(index, &tally)?;
                bar.inc(1);
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a request does not panic"))
    })?;
    if crate::cancel::requested() {
        return Err(crate::error::Error::interrupted());
    }
    let mut tally = tally.into_inner().expect("no thread has panicked");
    tally.ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(tally)
}

/// Lead sheets under random demands of every kind, each read back from its MIDI file and verified.
///
/// # Errors
/// What a writer says that is no refusal.
pub fn melodies(
    writer: &Writer,
    compute: &Compute,
    count: usize,
    seed: u64,
    bar: &ProgressBar,
) -> Result<Tally> {
    let (shared, work) = share(writer.network(), compute.clone());
    thread::scope(|scope| {
        scope.spawn(|| work.run());
        let shared = shared;
        all(count, bar, |index, tally| melody(writer, &shared, seed, index, tally))
    })
}

fn melody(writer: &Writer, player: &dyn Player, seed: u64, index: usize, tally: &Mutex<Tally>) -> Result<()> {
    let mut rng = Rng::new(seed, index as u64);
    let mut demands = random_demands(&mut || rng.f64());
    // Where no range was drawn: what the writer knows.
    let (low, high) = (*demands.range.start(), *demands.range.end());
    demands.range = low.max(*PITCHES.start())..=high.min(*PITCHES.end());
    let mut request = Request::new(demands.clone(), rng.below(1 << 32));
    request.density = (rng.f64() < 0.5).then(|| rng.f64());
    if demands.chords.is_empty() && rng.f64() < 0.3 {
        request.harmony = Harmony::None;
    }
    let written = writer.write(player, &request, &mut |_| crate::cancel::flow());
    let mut tally = tally.lock().expect("no thread has panicked");
    match written {
        Err(MelodyError::Contradiction(_) | MelodyError::Range { .. }) => tally.refused += 1,
        Err(error) => return Err(error.into()),
        Ok(leads) => {
            for lead in leads {
                tally.written += 1;
                tally.cost += lead.cost;
                tally.tokens += lead.ids.len();
                let score = midi::read(&midi::write(&lead.score(request.key, demands.tempo)))?;
                let demands = as_in_files(&demands);
                for violation in violations(&score, 0, &demands) {
                    let what = format!("set {index}: {violation}");
                    tally.breach(&violation.demand.to_string(), what);
                }
            }
        }
    }
    Ok(())
}

/// Files hold whole microseconds a quarter, not beats a minute.
fn as_in_files(demands: &Demands) -> Demands {
    let tempo = partita_score::TempoMap::constant(demands.tempo).bpm_at(partita_score::Tick(0));
    Demands { tempo, ..demands.clone() }
}

/// Chorales under random demands, around random given cells.
///
/// # Errors
/// What a network says that is no refusal.
pub fn chorales(
    harmonizer: &Harmonizer,
    compute: &Compute,
    count: usize,
    seed: u64,
    bar: &ProgressBar,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let started = Instant::now();
    let sets: Vec<usize> = (0..count).collect();
    for sets in sets.chunks(AT_ONCE) {
        let mut requests = Vec::new();
        for set in sets {
            let request = random_request(&mut Rng::new(seed, *set as u64));
            match Choices::new(&request.cells, &request.demands) {
                Ok(_) => requests.push((*set, request)),
                Err(_) => tally.refused += 1,
            }
        }
        let (numbers, requests): (Vec<usize>, Vec<Complete>) = requests.into_iter().unzip();
        let answers = harmonizer.complete_all(compute, &requests, &mut |_| crate::cancel::flow())?;
        for ((set, request), answers) in numbers.into_iter().zip(&requests).zip(&answers) {
            for answer in answers {
                tally.written += 1;
                tally.tokens += answer.written;
                tally.cost += answer.cost;
                for (demand, place) in harmony::violations(request, &answer.steps) {
                    let name = demand.map_or("given", Demand::name);
                    tally.breach(name, format!("set {set}, {place}: {name}"));
                }
            }
        }
        bar.inc(sets.len() as u64);
    }
    tally.ms = started.elapsed().as_secs_f64() * 1000.0;
    Ok(tally)
}

/// Accompaniments under random rules, by the network and by rule.
///
/// # Errors
/// What an arranger says that is no refusal.
pub fn accompaniments(
    arranger: &Arranger,
    compute: &Compute,
    count: usize,
    seed: u64,
    bar: &ProgressBar,
) -> Result<Tally> {
    let (shared, work) = share(arranger.network(), compute.clone());
    thread::scope(|scope| {
        scope.spawn(|| work.run());
        let shared = shared;
        all(count, bar, |index, tally| {
            let request = arrange::random_request(&mut Rng::new(seed, index as u64), index as u64);
            let made = arranger.arrange(&shared, &request, &mut |_| crate::cancel::flow());
            let mut tally = tally.lock().expect("no thread has panicked");
            match made {
                Err(arrange::Error::NoAnchor { .. }) => tally.refused += 1,
                Err(error) => return Err(error.into()),
                Ok(takes) => {
                    for take in takes {
                        tally.written += 1;
                        tally.tokens += take.ids.len();
                        tally.cost += take.cost;
                        for what in arrange::violations(&request, &take) {
                            tally.breach("parts", format!("set {index}: {what}"));
                        }
                    }
                }
            }
            Ok(())
        })
    })
}

/// Drum patterns in random kits, metres, lengths and velocities.
///
/// # Errors
/// What a drummer says that is no refusal.
pub fn drums(
    drummer: &Drummer,
    compute: &Compute,
    count: usize,
    seed: u64,
    bar: &ProgressBar,
) -> Result<Tally> {
    let styles = drummer.styles()?;
    let (shared, work) = share(drummer.network(), compute.clone());
    thread::scope(|scope| {
        scope.spawn(|| work.run());
        let shared = shared;
        all(count, bar, |index, tally| {
            let mut rng = Rng::new(seed, index as u64);
            let meters = [(4, 4), (3, 4), (6, 8), (5, 4), (7, 8), (12, 8), (2, 4), (5, 8)];
            let (above, below) = meters[rng.below(meters.len() as u64) as usize];
            let style = styles[rng.below(styles.len() as u64) as usize].clone();
            let low = 1 + rng.below(100) as u8;
            let high = low + rng.below(u64::from(128 - low)) as u8;
            let lanes = ALL_LANES.map(|_| rng.f64() < 0.6);
            let request = Generate {
                common: Common {
                    style,
                    seed: rng.below(1 << 32),
                    sampling: Sampling::default(),
                    density: None,
                    lanes,
                    velocities: low..=high,
                },
                bars: 1 + rng.below(4) as u32,
                tempo: Some(40.0 + rng.below(260) as f64),
                meter: Meter::new(above, below).expect("these are metres"),
                fill: rng.f64() < 0.3,
                variations: 1,
            };
            let played = drummer.generate(&shared, &request, &mut |_: &_| crate::cancel::flow());
            let mut tally = tally.lock().expect("no thread has panicked");
            match played {
                Err(
                    partita_models::drums::Error::Range { .. } | partita_models::drums::Error::Grammar(_),
                ) => {
                    tally.refused += 1;
                }
                Err(error) => return Err(error.into()),
                Ok(takes) => {
                    for take in takes {
                        tally.written += 1;
                        tally.tokens += take.ids.len();
                        check_drums(&take.pattern, &request, index, &mut tally);
                    }
                }
            }
            Ok(())
        })
    })
}

fn check_drums(pattern: &partita_score::DrumPattern, request: &Generate, index: usize, tally: &mut Tally) {
    let steps = request.meter.steps_per_bar() * request.bars;
    if pattern.meter != request.meter || pattern.bars != request.bars {
        tally.breach("bars", format!("set {index}: {} bars of {}", pattern.bars, pattern.meter));
    }
    for hit in &pattern.hits {
        let place = format!("set {index}, step {}", hit.step);
        if hit.step >= steps {
            tally.breach("bars", format!("{place}: beyond the last bar"));
        }
        if !request.common.lanes[hit.class.index()] {
            tally.breach("kit", format!("{place}: {} is not in the kit", hit.class.name()));
        }
        if !request.common.velocities.contains(&hit.velocity) {
            tally.breach("velocity", format!("{place}: velocity {}", hit.velocity));
        }
    }
}
