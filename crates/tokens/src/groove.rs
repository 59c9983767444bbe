//! Drum performances as rows: hits, velocities and microtiming of nine drums a sixteenth.
//!
//! ```text
//! row   [ hit of kick ... ride | velocity of kick ... ride | offset of kick ... ride ]     27 numbers
//!         0 or 1                 [0, 1]                      [-1, 1], positive is early
//! ```
//!
//! Here an offset is twice the distance from the step in steps, and a hit that comes late has a negative one: the
//! opposite sign of [`partita_score::Hit`]'s. A model answers to an input with something taken out: the performance
//! (humanize), the drums (tap), one drum (add closed hi-hat).
//!
//! Every note of a sequence counts, drum or not: use [`drums_only`] first.
//!
//! Source: Magenta, `GrooveConverter` (Gillick et al. 2019, "Learning to Groove with Inverse Sequence
//! Transformations").

use crate::drum_steps::{DRUM_INSTRUMENT, PitchMap, REDUCED};
use crate::excerpt::{
    ConvertError, Excerpt, Result, STEPS_PER_BAR, STEPS_PER_QUARTER, empty_sequence, seconds_per_step,
};
use partita_score::sequence::{QuantizedSequence, TimedNote};
use partita_score::{NoteSequence, Second};

/// Classes of drums.
pub const DRUMS: usize = 9;
/// Numbers in a row.
pub const ROW: usize = 3 * DRUMS;

/// Where [`GrooveInput::Tap`] puts its hits: the open hi-hat.
const TAP: usize = 3;
const CLOSED_HI_HAT: usize = 2;

/// What of a performance a model is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrooveInput {
    /// All of it.
    Performance,
    /// The hits without velocities and offsets, as a score has them: `groovae_2bar_humanize`.
    Hits,
    /// The loudest hit of every step on one drum, with velocity and offset.
    Tap,
    /// As [`GrooveInput::Tap`] without velocities: `groovae_2bar_tap_fixed_velocity`.
    TapTiming,
    /// All but the closed hi-hat: `groovae_2bar_add_closed_hh`.
    WithoutClosedHiHat,
}

/// How a model wants its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrooveConverter {
    /// Nine classes; [`REDUCED`] except in training, where it is [`crate::drum_steps::ROLAND`].
    pub map: PitchMap,
    /// Bars of an example; examples do not overlap.
    pub bars: u32,
    pub input: GrooveInput,
    /// Whether the hits are given as a condition too.
    pub hits_as_controls: bool,
}

/// A sequence in examples, the last filled up.
struct Cover {
    examples: Vec<Excerpt<GrooveRows>>,
    /// Bars up to the last hit.
    bars: u32,
    /// Examples that are not filled up.
    whole: usize,
}

impl Cover {
    fn whole(mut self) -> Vec<Excerpt<GrooveRows>> {
        self.examples.truncate(self.whole);
        self.examples
    }
}

/// Rows of one example.
#[derive(Clone, Debug, PartialEq)]
pub struct GrooveRows {
    /// What the encoder is given; `[steps, 27]`.
    pub input: Vec<f32>,
    /// The whole performance, what the decoder is to answer; `[steps, 27]`.
    pub target: Vec<f32>,
    /// The hits as a condition; `[steps, 9]`, empty for models without.
    pub controls: Vec<f32>,
}

impl GrooveConverter {
    /// `groovae_4bar`.
    pub fn four_bars() -> GrooveConverter {
        let input = GrooveInput::Performance;
        GrooveConverter { map: REDUCED, bars: 4, input, hits_as_controls: false }
    }

    /// The two-bar models: `groovae_2bar_humanize`, `_tap_fixed_velocity`, `_add_closed_hh`.
    pub fn two_bars(input: GrooveInput) -> GrooveConverter {
        GrooveConverter { map: REDUCED, bars: 2, input, hits_as_controls: false }
    }

    /// `groovae_2bar_hits_control`.
    pub fn two_bars_hits_control() -> GrooveConverter {
        GrooveConverter { hits_as_controls: true, ..GrooveConverter::two_bars(GrooveInput::Performance) }
    }

    /// Steps of an example.
    pub fn steps(&self) -> usize {
        self.bars.max(1).saturating_mul(STEPS_PER_BAR) as usize
    }

    /// Every whole example from the beginning on; what is left at the end is dropped.
    ///
    /// Empty where tempo or time signature change, bars have other than 16 sixteenths, or a time is negative.
    ///
    /// # Errors
    /// [`ConvertError::UnknownDrum`] for a pitch outside the map.
    pub fn all(&self, sequence: &NoteSequence) -> Result<Vec<Excerpt<GrooveRows>>> {
        match self.cover(sequence) {
            Ok(cover) => Ok(cover.whole()),
            Err(unknown @ ConvertError::UnknownDrum { .. }) => Err(unknown),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The one example in a sequence.
    ///
    /// # Errors
    /// [`ConvertError`]: no notes, a change of tempo or metre, another metre, too short, an unknown drum, more than one
    /// example.
    pub fn one(&self, sequence: &NoteSequence) -> Result<Excerpt<GrooveRows>> {
        let cover = self.cover(sequence)?;
        let bars = cover.bars;
        let mut examples = cover.whole();
        let (what, found) = ("a groove", examples.len());
        match examples.pop() {
            Some(example) if found == 1 => Ok(example),
            Some(_) => Err(ConvertError::ManyExamples { what, bars: self.bars, found }),
            None => Err(ConvertError::TooShort { what, needs: self.bars, has: bars, pieces: 1 }),
        }
    }

    /// Examples for the whole sequence, the last filled up with silence.
    ///
    /// # Errors
    /// As [`GrooveConverter::one`], less the length and the number of examples.
    pub fn all_padded(&self, sequence: &NoteSequence) -> Result<Vec<Excerpt<GrooveRows>>> {
        self.cover(sequence).map(|cover| cover.examples)
    }

    fn cover(&self, sequence: &NoteSequence) -> Result<Cover> {
        if sequence.notes.is_empty() {
            let hint = ": drums are channel 9 (10 when counted from 1)";
            return Err(ConvertError::NoNotes { what: "a groove", hint });
        }
        let quantized = sequence.quantize(STEPS_PER_QUARTER)?;
        let (numerator, denominator) = (quantized.numerator, quantized.denominator);
        if quantized.steps_per_bar() != Some(STEPS_PER_BAR) {
            return Err(ConvertError::Meter { numerator, denominator });
        }
        let steps = self.steps();
        let performance = self.performance(&quantized, steps)?;
        let last = quantized.notes.iter().map(|it| it.start).max().unwrap_or(0);
        let bars = last / STEPS_PER_BAR + 1;
        let step = quantized.seconds_per_step();
        let time = |at: usize| Second(at as f64 * step);
        let examples = performance.chunks(steps).enumerate().map(|(index, rows)| Excerpt {
            value: self.example(rows),
            start: time(index * steps),
            qpm: quantized.qpm,
        });
        Ok(Cover { examples: examples.collect(), bars, whole: (bars * STEPS_PER_BAR) as usize / steps })
    }

    /// Rows up to a multiple of `steps` that holds every hit; of two hits on a step the louder counts.
    fn performance(&self, sequence: &QuantizedSequence, steps: usize) -> Result<Vec<[f32; ROW]>> {
        let last = sequence.notes.iter().map(|it| it.start).max().unwrap_or(0) as usize;
        let mut rows = vec![[0f32; ROW]; (last + 1).next_multiple_of(steps)];
        let mut loudest = vec![[None::<u8>; DRUMS]; last + 1];
        let step = sequence.seconds_per_step();
        for it in &sequence.notes {
            let TimedNote { pitch, velocity, start, .. } = it.note;
            let class = self.map.class(pitch).filter(|&class| class < DRUMS);
            let class = class.ok_or(ConvertError::UnknownDrum { pitch, at: start.0 })?;
            let heard = &mut loudest[it.start as usize][class];
            if heard.is_some_and(|heard| velocity <= heard) {
                continue;
            }
            *heard = Some(velocity);
            let row = &mut rows[it.start as usize];
            row[class] = 1.0;
            row[DRUMS + class] = (f64::from(velocity) / 127.0) as f32;
            row[2 * DRUMS + class] = ((step * f64::from(it.start) - start.0) / step * 2.0) as f32;
        }
        Ok(rows)
    }

    fn example(&self, rows: &[[f32; ROW]]) -> GrooveRows {
        let input = rows.iter().flat_map(|row| self.input.of(row)).collect();
        let controls = rows.iter().filter(|_| self.hits_as_controls).flat_map(|row| row[..DRUMS].to_vec());
        GrooveRows { input, controls: controls.collect(), target: rows.concat() }
    }
}

impl GrooveInput {
    /// What is left of a row.
    pub fn of(self, row: &[f32; ROW]) -> [f32; ROW] {
        let mut input = *row;
        match self {
            GrooveInput::Performance => {}
            GrooveInput::Hits => input[DRUMS..].fill(0.0),
            GrooveInput::Tap | GrooveInput::TapTiming => {
                // The first of the loudest; the kick in a silent step, whose numbers are 0.
                let velocities = &row[DRUMS..2 * DRUMS];
                let loudest =
                    (1..DRUMS).fold(0, |best, it| if velocities[it] > velocities[best] { it } else { best });
                input = [0.0; ROW];
                input[TAP] = row[loudest];
                input[2 * DRUMS + TAP] = row[2 * DRUMS + loudest];
                if self == GrooveInput::Tap {
                    input[DRUMS + TAP] = row[DRUMS + loudest];
                }
            }
            GrooveInput::WithoutClosedHiHat => {
                for group in input.chunks_mut(DRUMS) {
                    group[CLOSED_HI_HAT] = 0.0;
                }
            }
        }
        input
    }
}

/// The drums of a sequence that the map knows; other notes are left out.
pub fn drums_only(sequence: &NoteSequence, map: PitchMap) -> NoteSequence {
    let known = |note: &&TimedNote| note.is_drum && map.class(note.pitch).is_some();
    let notes: Vec<_> = sequence.notes.iter().filter(known).copied().collect();
    NoteSequence { notes, ..sequence.clone() }
}

/// Notes of `rows` (`[steps, 27]`), a step long each: hits above 0.5, by the first pitch of their class.
///
/// [`crate::MAGENTA_QPM`] is the tempo of the original. A note of the first step may start before 0. Numbers out of
/// range are clamped, what is no number counts as 0. (The original leaves the total time at 0.)
///
/// # Errors
/// [`ConvertError::BadToken`] unless the length is a multiple of 27.
pub fn rows_to_sequence(rows: &[f32], map: PitchMap, qpm: f64) -> Result<NoteSequence> {
    if !rows.len().is_multiple_of(ROW) {
        let (name, allowed) = ("groove rows", format!("rows of {ROW} numbers"));
        return Err(ConvertError::BadToken { name, allowed, got: format!("{} numbers", rows.len()) });
    }
    let mut sequence = empty_sequence(qpm);
    // Fine enough for microtiming.
    sequence.ticks_per_quarter = 480;
    let step = seconds_per_step(qpm);
    for (at, row) in rows.chunks_exact(ROW).enumerate() {
        for class in (0..map.classes().min(DRUMS)).filter(|&class| row[class] > 0.5) {
            let number =
                |group: usize| Some(f64::from(row[group * DRUMS + class])).filter(|it| it.is_finite());
            // Ties to even, as NumPy rounds.
            let velocity = (number(1).unwrap_or(0.0) * 127.0).round_ties_even().clamp(0.0, 127.0) as u8;
            let offset = (number(2).unwrap_or(0.0) / 2.0).clamp(-0.5, 0.5);
            let start = (at as f64 - offset) * step;
            sequence.notes.push(TimedNote {
                start: Second(start),
                end: Second(start + step),
                pitch: map.pitch(class),
                velocity,
                instrument: DRUM_INSTRUMENT,
                program: 0,
                is_drum: true,
            });
        }
    }
    sequence.total_time = sequence.end();
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAGENTA_QPM;

    fn row(hits: &[(usize, f32, f32)]) -> [f32; ROW] {
        let mut row = [0.0; ROW];
        for &(class, velocity, offset) in hits {
            (row[class], row[DRUMS + class], row[2 * DRUMS + class]) = (1.0, velocity, offset);
        }
        row
    }

    #[test]
    fn a_late_hit_has_a_negative_offset() {
        let note = TimedNote {
            start: Second(0.26),
            end: Second(0.3),
            pitch: 38,
            velocity: 127,
            ..TimedNote::default()
        };
        let sequence = NoteSequence { notes: vec![note], ..NoteSequence::default() };
        let rows = GrooveConverter::four_bars().all_padded(&sequence).expect("a snare")[0].value.clone();
        assert!((rows.target[2 * ROW + 19] + 0.16).abs() < 1e-6);
        let again = rows_to_sequence(&rows.target, REDUCED, MAGENTA_QPM).expect("whole rows");
        assert!((again.notes[0].start.0 - 0.26).abs() < 1e-7);
    }

    #[test]
    fn a_tap_is_the_loudest_hit_on_one_drum() {
        let full = row(&[(0, 0.3, 0.1), (1, 0.9, -0.2), (5, 0.9, 0.5)]);
        assert_eq!(GrooveInput::Tap.of(&full), row(&[(3, 0.9, -0.2)]));
        assert_eq!(GrooveInput::TapTiming.of(&full), row(&[(3, 0.0, -0.2)]));
        assert_eq!(GrooveInput::Tap.of(&[0.0; ROW]), [0.0; ROW]);
        assert_eq!(GrooveInput::Hits.of(&full), row(&[(0, 0.0, 0.0), (1, 0.0, 0.0), (5, 0.0, 0.0)]));
        let with_hat = row(&[(1, 0.9, -0.2), (2, 0.5, 0.5)]);
        assert_eq!(GrooveInput::WithoutClosedHiHat.of(&with_hat), row(&[(1, 0.9, -0.2)]));
    }

    #[test]
    fn what_is_no_number_plays_no_wild_note() {
        let mut wild = row(&[(0, f32::NAN, f32::INFINITY), (1, 9.0, -9.0)]);
        wild[3] = f32::NAN;
        let notes = rows_to_sequence(&wild, REDUCED, MAGENTA_QPM).expect("a row").notes;
        let seen: Vec<_> = notes.iter().map(|note| (note.start.0, note.velocity)).collect();
        assert_eq!(seen, [(0.0, 0), (0.0625, 127)]);
        assert!(rows_to_sequence(&[0.0; 26], REDUCED, MAGENTA_QPM).is_err());
    }

    #[test]
    fn what_a_groove_cannot_be_is_named() {
        let at = |start: f64, pitch| TimedNote {
            start: Second(start),
            end: Second(start + 0.1),
            pitch,
            velocity: 90,
            ..TimedNote::default()
        };
        let converter = GrooveConverter::two_bars(GrooveInput::Hits);
        let of = |notes: Vec<TimedNote>| converter.one(&NoteSequence { notes, ..NoteSequence::default() });
        assert!(matches!(of(vec![]), Err(ConvertError::NoNotes { .. })));
        assert_eq!(of(vec![at(0.0, 36), at(1.0, 20)]), Err(ConvertError::UnknownDrum { pitch: 20, at: 1.0 }));
        assert!(matches!(of(vec![at(0.0, 36)]), Err(ConvertError::TooShort { needs: 2, has: 1, .. })));
        assert!(of(vec![at(0.0, 36), at(3.9, 36)]).is_ok());
        assert!(matches!(of(vec![at(7.9, 36)]), Err(ConvertError::ManyExamples { found: 2, .. })));
        assert!(matches!(of(vec![at(-1.0, 36)]), Err(ConvertError::Sequence(_))));
    }
}
