//! Measured speed of writing four voices.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::Serialize;

use super::{Complete, Compute, Error, Harmonizer};

/// Beats per minute at which real time is counted, and sixteenths of a beat.
const TEMPO: f64 = 120.0;
const STEPS_PER_BEAT: f64 = 4.0;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct ChoraleReport {
    pub bars: usize,
    pub variations: usize,
    /// Of all variations.
    pub ms: f64,
    /// Seconds of music at 120 beats per minute for a second of work, all variations counted.
    pub real_time: f64,
    pub tokens_per_s: f64,
    pub parameters: usize,
    pub kernels: &'static str,
    pub threads: usize,
}

/// Writes `variations` chorales of `bars` common bars from nothing, `runs` times; the median counts.
///
/// # Errors
/// Counts out of range.
pub fn chorale(
    harmonizer: &Harmonizer,
    compute: &Compute,
    bars: usize,
    variations: usize,
    runs: usize,
) -> Result<ChoraleReport, Error> {
    let steps = bars * 16;
    let request = Complete { variations, ..Complete::new(steps) };
    let mut times = Vec::new();
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        harmonizer.complete(compute, &request, &mut |_| ControlFlow::Continue(()))?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let seconds = times[times.len() / 2];
    let music = steps as f64 * 60.0 / (STEPS_PER_BEAT * TEMPO);
    Ok(ChoraleReport {
        bars,
        variations,
        ms: 1000.0 * seconds,
        real_time: variations as f64 * music / seconds,
        tokens_per_s: (4 * steps * variations) as f64 / seconds,
        parameters: harmonizer.parameters(),
        kernels: compute.path.name(),
        threads: compute.pool.threads(),
    })
}
