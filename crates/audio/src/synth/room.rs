//! Where voices are added up, and a small room around them.

use crate::stop::Stop;
use crate::{Error, math};

/// Stereo mix under construction: what is heard directly and what the room hears.
pub struct Bus {
    /// `[2][N]`
    pub dry: [Vec<f32>; 2],
    /// `[2][N]`
    pub room: [Vec<f32>; 2],
}

impl Bus {
    /// Silence of `frames` samples.
    pub fn new(frames: usize) -> Self {
        let silence = || [vec![0.0; frames], vec![0.0; frames]];
        Self { dry: silence(), room: silence() }
    }

    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.dry[0].len()
    }

    /// Adds the room to the dry sound and returns `[left, right]`.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn finish(self, sample_rate: f64, stop: Stop<'_>) -> Result<[Vec<f32>; 2], Error> {
        let Self { mut dry, room } = self;
        reverberate(&room, &mut dry, sample_rate, stop)?;
        Ok(dry)
    }
}

/// Left and right gains at `pan` (`-1..=1`) with constant power; the middle is 0.71 each.
pub fn pan_gains(pan: f64) -> [f32; 2] {
    let turns = (pan.clamp(-1.0, 1.0) + 1.0) / 8.0;
    [math::cos_turns(turns) as f32, math::sin_turns(turns) as f32]
}

const LINES: usize = 8;
/// Seconds; no common factors, so echoes do not pile up.
const DELAYS: [f64; LINES] = [0.0071, 0.0089, 0.0113, 0.0137, 0.0167, 0.0197, 0.0229, 0.0263];
/// T60 of the room, seconds: a treated live room.
const T60: f64 = 0.38;
/// The walls take off what is above, Hz.
const DAMPING: f64 = 5200.0;
/// Sound reaches the first wall and returns, seconds.
const PREDELAY: f64 = 0.006;

/// Feedback delay network with a Hadamard matrix (Jot & Chaigne 1991): left feeds even lines, right odd ones.
fn reverberate(
    input: &[Vec<f32>; 2],
    out: &mut [Vec<f32>; 2],
    rate: f64,
    stop: Stop<'_>,
) -> Result<(), Error> {
    let frames = out[0].len();
    let Some(first) = (0..frames).find(|&i| input[0][i] != 0.0 || input[1][i] != 0.0) else { return Ok(()) };
    let lengths = DELAYS.map(|seconds| ((seconds * rate) as usize).max(1));
    let feedback = lengths.map(|n| math::exp2(-9.965_784 * n as f64 / (T60 * rate)) as f32);
    let mut lines = lengths.map(|n| vec![0.0f32; n]);
    let mut at = [0usize; LINES];
    let mut low = [0.0f32; LINES];
    let damping = 1.0 - math::exp(-std::f64::consts::TAU * DAMPING / rate) as f32;
    let predelay = (PREDELAY * rate) as usize;
    for i in (first + predelay)..frames {
        stop.at(i)?;
        let send = [input[0][i - predelay], input[1][i - predelay]];
        let mut v = [0.0f32; LINES];
        let mut heard = [0.0f32; 2];
        for line in 0..LINES {
            let sample = lines[line][at[line]];
            low[line] += damping * (sample - low[line]);
            // Numbers too small to hear are slow to add.
            if low[line].abs() < 1e-15 {
                low[line] = 0.0;
            }
            v[line] = low[line] * feedback[line];
            heard[line & 1] += if line & 2 == 0 { sample } else { -sample };
        }
        let mut width = 1;
        while width < LINES {
            for line in 0..LINES {
                if line & width == 0 {
                    let (a, b) = (v[line], v[line + width]);
                    v[line] = a + b;
                    v[line + width] = a - b;
                }
            }
            width *= 2;
        }
        for line in 0..LINES {
            // 1/sqrt(8) keeps the matrix lossless.
            lines[line][at[line]] = v[line] * 0.353_553_4 + send[line & 1];
            at[line] += 1;
            if at[line] == lengths[line] {
                at[line] = 0;
            }
        }
        out[0][i] += heard[0];
        out[1][i] += heard[1];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_dies_away_by_60_db_in_its_time() {
        let mut bus = Bus::new(44_100);
        bus.room[0][0] = 1.0;
        let [left, right] = bus.finish(44_100.0, Stop::NEVER).unwrap();
        let energy = |from: f64| {
            let from = (from * 44_100.0) as usize;
            left[from..from + 2205].iter().chain(&right[from..from + 2205]).map(|x| x * x).sum::<f32>()
        };
        // Damping makes the top die sooner than T60 says.
        assert!(energy(0.02) > 0.05);
        assert!(energy(0.02 + T60) < energy(0.02) * 1e-5);
    }

    #[test]
    fn silence_in_silence_out() {
        assert!(Bus::new(1000).finish(44_100.0, Stop::NEVER).unwrap().iter().flatten().all(|&x| x == 0.0));
    }
}
