//! How long a job takes, from those that ended before it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use partita_queue::{Lane, State};
use serde_json::Value;

/// Weight of the newest measurement in the moving averages.
const NEWEST: f64 = 0.2;

/// Kinds and models that are remembered; names come from requests, so their number has to end somewhere.
const MOST: usize = 1000;

/// Moving averages of speed.
#[derive(Default)]
pub(crate) struct Speeds {
    averages: Mutex<Averages>,
}

#[derive(Default)]
struct Averages {
    /// Seconds a unit, by model and kind.
    unit: HashMap<(String, String), f64>,
    /// Seconds a job, by lane.
    job: HashMap<Lane, f64>,
}

/// Where a job stands, for an estimate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub state: State,
    /// Jobs that go before it, and jobs of its lane at work.
    pub ahead: u64,
    pub running: u64,
    /// Jobs of the lane that are at work at once.
    pub width: usize,
    /// `[0, 1]`
    pub fraction: f64,
    /// Seconds since it was claimed.
    pub elapsed: Option<f64>,
}

impl Speeds {
    /// A job of `units` took `seconds`.
    pub fn learn(&self, lane: Lane, model: &str, kind: &str, units: f64, seconds: f64) {
        if !(seconds.is_finite() && seconds >= 0.0 && units > 0.0) {
            return;
        }
        let mut averages = self.averages.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (model.to_owned(), kind.to_owned());
        if averages.unit.len() < MOST || averages.unit.contains_key(&key) {
            let each = seconds / units;
            averages.unit.entry(key).and_modify(|old| *old += NEWEST * (each - *old)).or_insert(each);
        }
        averages.job.entry(lane).and_modify(|old| *old += NEWEST * (seconds - *old)).or_insert(seconds);
    }

    /// Seconds until the end of a job of `units`; 0 once it has ended. Finite, never negative.
    pub fn estimate(&self, lane: Lane, model: &str, kind: &str, units: f64, place: Place) -> f64 {
        if place.state.is_done() {
            return 0.0;
        }
        let (unit, job) = {
            let averages = self.averages.lock().unwrap_or_else(PoisonError::into_inner);
            let unit = averages.unit.get(&(model.to_owned(), kind.to_owned())).copied();
            (unit.unwrap_or_else(|| prior(kind)), averages.job.get(&lane).copied())
        };
        let alone = unit * units;
        let seconds = if place.state == State::Running {
            let left = 1.0 - place.fraction.clamp(0.0, 1.0);
            match place.elapsed {
                // Enough is done to tell from the job itself.
                Some(elapsed) if left < 0.9 => elapsed.max(0.0) * left / (1.0 - left),
                _ => alone * left,
            }
        } else {
            let rounds = (place.ahead + place.running) as f64 / place.width.max(1) as f64;
            // A lane that is not full lets the job begin at once.
            let wait = if rounds < 1.0 { 0.0 } else { rounds * job.unwrap_or(alone) };
            wait + alone
        };
        if seconds.is_finite() { seconds.max(0.0) } else { 0.0 }
    }
}

/// Seconds a unit before anything was measured: a small machine under load.
fn prior(kind: &str) -> f64 {
    match kind {
        "analyze" => 0.01,
        "render" => 0.2,
        _ => 0.05,
    }
}

/// The work in a stored request: bars of all variations, or some measure of the music for what has no bars. At least 1.
pub(crate) fn units(request: &Value) -> f64 {
    let body = &request["body"];
    let units = match body["requests"].as_array() {
        Some(items) => items.iter().map(bars).sum(),
        None => bars(body),
    };
    if units.is_finite() { units.max(1.0) } else { 1.0 }
}

fn bars(body: &Value) -> f64 {
    /// A second of generated sound is about as much work as so many bars of drums.
    const SOUND: f64 = 20.0;
    let variations = body["variations"].as_f64().unwrap_or(1.0).max(1.0);
    if let Some(seconds) = body["seconds"].as_f64() {
        return seconds.max(1.0) * SOUND * variations;
    }
    let bars = match &body["bars"] {
        Value::Number(bars) => bars.as_f64().unwrap_or(4.0),
        Value::Array(range) => {
            match (range.first().and_then(Value::as_f64), range.get(1).and_then(Value::as_f64)) {
                (Some(first), Some(last)) => last - first + 1.0,
                _ => 4.0,
            }
        }
        _ => {
            // About eight notes or a hundred bytes a bar.
            let input = &body["input"];
            let notes = input["notes"].as_array().map(|notes| notes.len() as f64 / 8.0);
            let bytes = input["midi"].as_str().map(|text| text.len() as f64 / 100.0);
            notes.or(bytes).unwrap_or(4.0)
        }
    };
    bars.max(1.0) * variations
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(ahead: u64, running: u64, width: usize) -> Place {
        Place { state: State::Queued, ahead, running, width, fraction: 0.0, elapsed: None }
    }

    #[test]
    fn estimates_are_finite_and_never_negative() {
        let speeds = Speeds::default();
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            speeds.learn(Lane::Generation, "m", "generate", 0.0, seconds);
            speeds.learn(Lane::Generation, "m", "generate", 1e-300, seconds);
        }
        for state in [State::Queued, State::Running, State::Complete] {
            for (fraction, elapsed) in
                [(0.0, None), (1.0, Some(-5.0)), (f64::NAN, Some(f64::NAN)), (0.5, Some(1e308))]
            {
                let place = Place { state, ahead: u64::MAX / 4, running: 3, width: 0, fraction, elapsed };
                let got = speeds.estimate(Lane::Generation, "m", "generate", 1e300, place);
                assert!(got.is_finite() && got >= 0.0, "{got} {place:?}");
                assert!(!state.is_done() || got == 0.0);
            }
        }
    }

    #[test]
    fn a_measured_job_is_estimated_as_it_went() {
        let speeds = Speeds::default();
        speeds.learn(Lane::Generation, "drums@1", "generate", 8.0, 2.0);
        let estimate = |units, place| speeds.estimate(Lane::Generation, "drums@1", "generate", units, place);
        assert!((estimate(8.0, waiting(0, 0, 4)) - 2.0).abs() < 1e-9);
        assert!((estimate(16.0, waiting(0, 0, 4)) - 4.0).abs() < 1e-9);
        // Eight before it in a lane of four: two rounds of two seconds.
        assert!((estimate(8.0, waiting(4, 4, 4)) - 6.0).abs() < 1e-9);
        let half = Place { state: State::Running, fraction: 0.5, elapsed: Some(3.0), ..waiting(0, 1, 4) };
        assert!((estimate(8.0, half) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn work_is_bars_of_all_variations() {
        let units = |body| super::units(&json!({"verb": "generate", "body": body}));
        assert_eq!(units(json!({"bars": 8, "variations": 3})), 24.0);
        assert_eq!(units(json!({"bars": [3, 4]})), 2.0);
        assert_eq!(units(json!({"bars": [9, 4]})), 1.0);
        assert_eq!(units(json!({"seconds": 1.5, "variations": 2})), 60.0);
        assert_eq!(units(json!({})), 4.0);
        assert_eq!(units(json!({"requests": [{"bars": 8}, {"bars": 2, "variations": 2}]})), 12.0);
        assert_eq!(super::units(&json!(null)), 4.0);
    }
}
