//! Grooves on patterns: how given hits are played, and which drums go with a rhythm.

use partita_kernels::Compute;
use partita_nn::Rng;
use partita_score::edit::Touch;
use partita_score::{DrumClass, DrumPattern, Hit, Meter, NoteSequence};
use partita_tokens::STEPS_PER_BAR;
use partita_tokens::groove::{DRUMS, GrooveInput, ROW};

use super::config::Widened;
use super::model::{LatentModel, Watch};
use super::{Error, Format};
use crate::music_vae::{Decode, Input, Sequence};

/// Windows that share the passes over the weights.
const TOGETHER: usize = 64;

/// How a groove is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feel {
    pub seed: u64,
    /// `[0, 1]`: from the middle of what fits the hits (0) to any of it (1).
    pub spread: f32,
}

/// Rows of one window, and the places whose hits are given.
type Window = Vec<[f32; ROW]>;

impl LatentModel {
    /// How a drummer would play the hits of a pattern: one touch for each.
    ///
    /// # Errors
    /// A model that does not humanize, a pattern that is not in 4/4, a spread out of range; cancelled.
    pub fn humanize(
        &self,
        compute: &mut Compute,
        pattern: &DrumPattern,
        feel: Feel,
        watch: Watch<'_>,
    ) -> Result<Vec<Touch>, Error> {
        if !matches!(self.format(), Format::Groove { input: GrooveInput::Hits, controlled: false }) {
            return Err(self.refuse("humanize", "a model such as groovae_2bar_humanize"));
        }
        let windows = self.windows(pattern)?;
        let inputs: Vec<Window> =
            windows.iter().map(|rows| rows.iter().map(|row| GrooveInput::Hits.of(row)).collect()).collect();
        let points = self.points(compute, &inputs, None, feel)?;
        let played = self.play_hits(compute, &points, &windows, feel, watch)?;
        let mut touches = touches(pattern, &played);
        if let Some(Widened { gain, offset, velocity }) = self.widened {
            for touch in &mut touches {
                touch.offset = (offset + gain * (touch.offset - offset)).clamp(-0.5, 0.499);
                touch.velocity = (velocity + gain * (touch.velocity - velocity)).clamp(1.0, 127.0);
            }
        }
        Ok(touches)
    }

    /// The hits of `to`, played as `from` is: each window of `to` with the velocities and timing that the model hears
    /// in the one of `from` in its place. A shorter `from` begins again.
    ///
    /// # Errors
    /// As [`humanize`](Self::humanize).
    pub fn transfer_groove(
        &self,
        compute: &mut Compute,
        [from, to]: [&DrumPattern; 2],
        feel: Feel,
        watch: Watch<'_>,
    ) -> Result<Vec<Touch>, Error> {
        if self.format() != Format::CONTROLLED_GROOVE {
            return Err(self.refuse("groove-transfer", "a model such as groovae_2bar_hits_control"));
        }
        let heard = self.windows(from)?;
        let windows = self.windows(to)?;
        if heard.is_empty() {
            return Err(Error::range("hits of the first file", "1 and more", 0));
        }
        let controls: Vec<Vec<f32>> = heard.iter().map(|window| hits_of(window)).collect();
        let points = self.points(compute, &heard, Some(&controls), feel)?;
        let points: Vec<_> = (0..windows.len()).map(|at| points[at % points.len()].clone()).collect();
        let played = self.play_hits(compute, &points, &windows, feel, watch)?;
        Ok(touches(to, &played))
    }

    /// Drums that go with the rhythm of a piece, whatever plays it: in its tempo, as long as it is.
    ///
    /// # Errors
    /// A model that does not play along, a piece without notes or with a changing tempo, not in 4/4; cancelled.
    pub fn drumify(
        &self,
        compute: &mut Compute,
        piece: &NoteSequence,
        (feel, temperature): (Feel, f32),
        watch: Watch<'_>,
    ) -> Result<DrumPattern, Error> {
        let Format::Groove { input: GrooveInput::Tap | GrooveInput::TapTiming, controlled: false } =
            self.format()
        else {
            return Err(self.refuse("drumify", "a model such as groovae_2bar_tap_fixed_velocity"));
        };
        let mut rhythm = piece.clone();
        for note in &mut rhythm.notes {
            (note.pitch, note.is_drum) = (DrumClass::OpenHat.gm_pitch(), true);
        }
        rhythm.notes.retain(|note| note.velocity > 0);
        let last = rhythm.notes.iter().map(|note| note.start.0).fold(0.0, f64::max);
        let taps = self.groove_converter().all_padded(&rhythm)?;
        let tempo = taps.first().map_or(NoteSequence::DEFAULT_QPM, |window| window.qpm);
        let bars = (last * tempo / 240.0 + 1.0 / 32.0).floor() as u32 + 1;
        let inputs: Vec<Window> = taps.iter().map(|tap| tap.value.input.as_chunks().0.to_vec()).collect();
        let points = self.points(compute, &inputs, None, feel)?;
        let mut pattern = DrumPattern::empty(Meter::COMMON, tempo, bars);
        for (index, steps) in
            self.play(compute, &points, None, (feel, temperature), watch)?.into_iter().enumerate()
        {
            let first = (index * self.steps()) as u32;
            for (step, row) in (first..bars * STEPS_PER_BAR).zip(&steps) {
                let hits = DrumClass::ALL.into_iter().filter(|class| row[class.index()] > 0.5);
                pattern.hits.extend(hits.map(|class| {
                    let Touch { velocity, offset } = touch(row, class);
                    let velocity = velocity.round().clamp(1.0, 127.0) as u8;
                    Hit { step, class, velocity, offset: offset as f32 }
                }));
            }
        }
        pattern.sort();
        Ok(pattern)
    }

    /// A pattern in windows of the model, the last filled up with silence; of several hits of a drum in a step the
    /// loudest counts.
    fn windows(&self, pattern: &DrumPattern) -> Result<Vec<Window>, Error> {
        if pattern.meter.steps_per_bar() != STEPS_PER_BAR {
            return Err(Error::range("time signature", "4/4, the only one the model knows", pattern.meter));
        }
        let last = pattern.hits.iter().map(|hit| hit.step as usize + 1).max().unwrap_or(0);
        let mut windows = vec![vec![[0.0; ROW]; self.steps()]; last.div_ceil(self.steps())];
        for hit in &pattern.hits {
            let at = hit.step as usize;
            let row = &mut windows[at / self.steps()][at % self.steps()];
            let (class, velocity) = (hit.class.index(), f32::from(hit.velocity) / 127.0);
            if row[class] == 0.0 || velocity > row[DRUMS + class] {
                row[class] = 1.0;
                row[DRUMS + class] = velocity;
                // Of half steps, and early is positive.
                row[2 * DRUMS + class] = -2.0 * hit.offset;
            }
        }
        Ok(windows)
    }

    /// A point for each window, drawn around the middle of where it lies.
    fn points(
        &self,
        compute: &mut Compute,
        windows: &[Window],
        controls: Option<&[Vec<f32>]>,
        feel: Feel,
    ) -> Result<Vec<Vec<f32>>, Error> {
        if !(0.0..=1.0).contains(&feel.spread) {
            return Err(Error::range("spread", "in [0, 1]", feel.spread));
        }
        let steps: Vec<_> = windows.iter().map(|rows| Sequence::rows(ROW, rows.concat())).collect();
        let mut points = Vec::with_capacity(windows.len());
        for (part, steps) in steps.chunks(TOGETHER).enumerate() {
            let first = part * TOGETHER;
            let input =
                |(at, steps): (usize, _)| Input { steps, controls: controls.map(|all| &all[first + at][..]) };
            let inputs: Vec<_> = steps.iter().enumerate().map(input).collect();
            for (at, place) in self.vae.encode(compute, &inputs)?.into_iter().enumerate() {
                let drawn = place.draw(&mut Rng::new(feel.seed, (first + at) as u64));
                let point = place.mu.iter().zip(drawn).map(|(mu, drawn)| mu + feel.spread * (drawn - mu));
                points.push(point.collect());
            }
        }
        Ok(points)
    }

    /// How the hits of windows are played at their points.
    fn play_hits(
        &self,
        compute: &mut Compute,
        points: &[Vec<f32>],
        windows: &[Window],
        feel: Feel,
        watch: Watch<'_>,
    ) -> Result<Vec<Window>, Error> {
        let hits: Vec<Vec<f32>> = windows.iter().map(|window| hits_of(window)).collect();
        self.play(compute, points, Some(&hits), (feel, 0.0), watch)
    }

    /// Rows of points; with the hits given, `[T, 9]` a window, or drawn.
    fn play(
        &self,
        compute: &mut Compute,
        points: &[Vec<f32>],
        hits: Option<&[Vec<f32>]>,
        (feel, temperature): (Feel, f32),
        watch: Watch<'_>,
    ) -> Result<Vec<Window>, Error> {
        let mut windows = Vec::with_capacity(points.len());
        let controlled = matches!(self.format(), Format::Groove { controlled: true, .. });
        // Controls are the same for all pieces of a call.
        let together = if controlled { 1 } else { TOGETHER };
        for (part, points) in points.chunks(together).enumerate() {
            let first = part * together;
            let hits = hits.map(|hits| &hits[first..first + points.len()]);
            let mut rngs: Vec<Rng> =
                (0..points.len()).map(|at| Rng::new(!feel.seed, (first + at) as u64)).collect();
            let request = Decode {
                points,
                temperature,
                length: Some(self.steps()),
                controls: hits.filter(|_| controlled).map(|hits| &hits[0][..]),
            };
            let played = match hits {
                Some(hits) => self.vae.decode_hits(compute, &request, hits, &mut rngs, watch)?,
                None => self.vae.decode(compute, &request, &mut rngs, watch)?,
            };
            for steps in played {
                if let Sequence::Rows { values, .. } = steps {
                    windows.push(values.as_chunks().0.to_vec());
                }
            }
        }
        Ok(windows)
    }
}

/// `[T, 9]`
fn hits_of(window: &[[f32; ROW]]) -> Vec<f32> {
    window.iter().flat_map(|row| row[..DRUMS].to_vec()).collect()
}

/// How a drum of a row is played.
fn touch(row: &[f32; ROW], class: DrumClass) -> Touch {
    let class = class.index();
    let offset = f64::from(-row[2 * DRUMS + class] / 2.0).clamp(-0.5, 0.499);
    Touch { velocity: f64::from(row[DRUMS + class] * 127.0).clamp(1.0, 127.0), offset }
}

/// A touch for every hit. Where a drum has several hits in a step, the loudest is played as the row says and the others
/// keep their distance from it.
fn touches(pattern: &DrumPattern, windows: &[Window]) -> Vec<Touch> {
    let steps = windows.first().map_or(1, Vec::len);
    let cells = pattern.hits.chunk_by(|a, b| (a.step, a.class) == (b.step, b.class));
    cells
        .flat_map(|cell| {
            let at = cell[0].step as usize;
            let main = touch(&windows[at / steps][at % steps], cell[0].class);
            // Of equals the first, as the rows were filled.
            let loudest = cell.iter().rev().max_by_key(|hit| hit.velocity).unwrap_or(&cell[0]);
            cell.iter().map(move |hit| {
                let softer = f64::from(hit.velocity) / f64::from(loudest.velocity.max(1));
                let later = f64::from(hit.offset) - f64::from(loudest.offset);
                let offset = (main.offset + later).clamp(-0.5, 0.499);
                Touch { velocity: (main.velocity * softer).clamp(1.0, 127.0), offset }
            })
        })
        .collect()
}
