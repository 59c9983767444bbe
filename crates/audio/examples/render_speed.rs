//! Speed of the built-in acoustic kit on one core: `cargo run --release -p partita-audio --example render_speed`.
//!
//! Renders a busy 4-bar beat with cold caches, several times, and prints the median as one JSON row.

use partita_audio::{RenderOptions, render};
use partita_score::{Note, Score, TempoMap, Tick, Track};

fn main() -> Result<(), partita_audio::Error> {
    let score = busy_beat();
    let options = RenderOptions::default();
    let mut factors = Vec::new();
    for _ in 0..9 {
        let start = std::time::Instant::now();
        let pcm = render(&score, &options)?;
        factors.push(pcm.duration() / start.elapsed().as_secs_f64());
    }
    factors.sort_by(f64::total_cmp);
    let (notes, median) = (score.tracks[0].notes.len(), factors[4]);
    println!(
        "{{\"realtime_factor\":{median:.1},\"min\":{:.1},\"max\":{:.1},\"bars\":4,\"notes\":{notes},\"kit\":\"acoustic\"}}",
        factors[0], factors[8]
    );
    Ok(())
}

/// 16th hats with accents, ghosted snare, syncopated kick, fills, crash and ride: 4 bars at 110 bpm.
fn busy_beat() -> Score {
    let mut score = Score { tempos: TempoMap::constant(110.0), ..Score::default() };
    let step = u32::from(score.ppq.get()) / 4;
    let mut notes = Vec::new();
    let mut hit = |at: u32, pitch: u8, velocity: u8| {
        notes.push(Note { onset: Tick(at * step), end: Tick(at * step + step / 2), pitch, velocity });
    };
    for bar in 0..4u32 {
        for s in 0..16u32 {
            let at = bar * 16 + s;
            let accent = [104, 48, 76, 52][(s % 4) as usize] + (bar * 5) as u8;
            let hat = if s == 7 || s == 15 { 46 } else { 42 };
            hit(at, if bar == 3 { 51 } else { hat }, accent);
            match s {
                0 | 3 | 6 | 10 | 11 => hit(at, 36, 120 - 7 * s as u8),
                4 | 12 => hit(at, 38, 112 + bar as u8 * 3),
                1 | 7 | 9 | 15 => hit(at, 38, 24 + (s * 3) as u8),
                _ => {}
            }
            if bar == 3 && s >= 8 {
                hit(at, [50, 47, 45, 43][((s - 8) / 2) as usize], 90 + (s as u8) * 2);
            }
        }
        hit(bar * 16, if bar % 2 == 0 { 49 } else { 57 }, 110);
        hit(bar * 16 + 8, 44, 70);
    }
    notes.sort_by_key(|note| note.onset);
    score.tracks.push(Track { channel: 9, notes, ..Track::default() });
    score
}
