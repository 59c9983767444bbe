//! Measures what a fork and join costs beyond its tasks: `fork_join [threads]`. Prints one line of JSON.
//!
//! Each task takes a few microseconds; an empty one would be over before another thread could claim it.
#![forbid(unsafe_code)]

use std::error::Error;
use std::time::{Duration, Instant};

use partita_kernels::Pool;

fn main() -> Result<(), Box<dyn Error>> {
    const FORKS: u32 = 10_000;
    let pool = match std::env::args().nth(1) {
        Some(threads) => Pool::new(threads.parse()?)?,
        None => Pool::from_env()?,
    };
    let task = || {
        for n in 0..10_000u32 {
            std::hint::black_box(n);
        }
    };
    let mut alone: Vec<f64> = (0..21)
        .map(|_| {
            let started = Instant::now();
            (0..FORKS).for_each(|_| task());
            started.elapsed().as_secs_f64() * 1e9 / f64::from(FORKS)
        })
        .collect();
    let mut back_to_back: Vec<f64> = (0..21)
        .map(|_| {
            let started = Instant::now();
            (0..FORKS).for_each(|_| pool.run(|_, _| task()));
            started.elapsed().as_secs_f64() * 1e9 / f64::from(FORKS)
        })
        .collect();
    let mut woken: Vec<f64> = (0..101)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            let started = Instant::now();
            pool.run(|_, _| task());
            started.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    alone.sort_by(f64::total_cmp);
    back_to_back.sort_by(f64::total_cmp);
    woken.sort_by(f64::total_cmp);
    println!(
        "{{\"threads\":{},\"task_ns\":{:.0},\"fork_join_ns\":{:.0},\"after_parking_ns\":{:.0}}}",
        pool.threads(),
        alone[10],
        back_to_back[10] - alone[10],
        woken[50] - alone[10]
    );
    Ok(())
}
