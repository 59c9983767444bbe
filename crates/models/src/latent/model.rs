//! A MusicVAE with the format it reads and writes: music in, points; points in, music.

use std::ops::ControlFlow;

use partita_kernels::{Compute, Precision};
use partita_nn::{Rng, TensorSource};
use partita_score::NoteSequence;
use partita_tokens::chords::CHORDS;
use partita_tokens::drum_steps::{self, DrumSet, DrumsConverter, FULL, PitchMap, REDUCED};
use partita_tokens::groove::{self, GrooveConverter};
use partita_tokens::melody::{self, ChordedIds, MelodyConverter, PIANO, Voice};
use partita_tokens::trio::{self, TrioStep};
use partita_tokens::{ConvertError, Excerpt, STEPS_PER_BAR};

use super::config::Widened;
use super::{Error, Format};
use crate::music_vae::{Config, Decode, Input, MusicVae, Posterior, Progress, Sequence};

/// A model and what its steps mean.
pub struct LatentModel {
    name: String,
    format: Format,
    /// Of an example.
    steps: usize,
    pub(super) vae: MusicVae,
    pub(super) widened: Option<Widened>,
}

/// Which part of a piece is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The first bar, counted from 1; the first part that has notes if none is said.
    pub from_bar: Option<u32>,
    /// Take the top line where several notes sound together, rather than refuse it.
    pub extract_melody: bool,
}

/// Music as a model reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub(super) steps: Sequence,
    /// `[T, C]` for models with controls.
    pub(super) controls: Option<Vec<f32>>,
    /// Quarter notes per minute of the music it was taken from.
    pub tempo: f64,
    /// The bar it begins with, counted from 1.
    pub bar: u32,
    /// How many examples the music has.
    pub of: usize,
}

/// How points become music.
#[derive(Clone, Debug, PartialEq)]
pub struct Playing<'a> {
    /// `[0, 100]`; 0 takes the likeliest step always.
    pub temperature: f32,
    /// Piece `i` draws from stream `i` of it.
    pub seed: u64,
    /// Quarter notes per minute of what is played.
    pub tempo: f64,
    /// `[T, C]` for models with controls: chords, or hits.
    pub controls: Option<&'a [f32]>,
}

/// A point and the music it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// `[Z]`
    pub z: Vec<f32>,
    pub sequence: NoteSequence,
}

/// Told after every step; `Break` stops the work.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

impl LatentModel {
    /// Loads a model. `known` is its format and the steps of an example where that is known better than from the
    /// tensors' shapes. Without a `precision`, small models stay f32 and large ones become int8. `name` appears in
    /// errors.
    ///
    /// # Errors
    /// A tensor that is missing or misshapen, a format that the network cannot have.
    pub fn load(
        name: &str,
        source: &dyn TensorSource,
        known: Option<(Format, usize)>,
        precision: Option<Precision>,
    ) -> Result<LatentModel, Error> {
        let config = Config::derive(source)?;
        let error = |message: String| Error::Model { name: name.to_owned(), message };
        let (format, steps) = match known {
            Some((format, steps)) if format.fits(&config) => (format, steps),
            Some((format, _)) => {
                return Err(error(format!("tokens {} do not fit the shapes of its tensors", format.name())));
            }
            None => Format::of_shape(&config).ok_or_else(|| {
                error(format!("its shapes must be those of one of {}, got another network", Format::names()))
            })?,
        };
        if !steps.is_multiple_of(STEPS_PER_BAR as usize) || !(1..=4096).contains(&steps) {
            return Err(error(format!("steps must be whole bars of 16 in 16..=4096, got {steps}")));
        }
        let vae = MusicVae::with_config(source, config, precision.unwrap_or_else(|| suited(source)))?;
        Ok(LatentModel { name: name.to_owned(), format, steps, vae, widened: None })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Steps of an example.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Bars of an example.
    pub fn bars(&self) -> u32 {
        self.steps as u32 / STEPS_PER_BAR
    }

    /// Values of a point.
    pub fn z_size(&self) -> usize {
        self.vae.config().z_size
    }

    /// Bytes of all weights in memory.
    pub fn bytes(&self) -> usize {
        self.vae.bytes()
    }

    /// The part of a piece that `choice` names, as the model reads it.
    ///
    /// # Errors
    /// [`Error::Convert`] with the rule that the piece breaks; a bar that has no example.
    pub fn read(&self, sequence: &NoteSequence, choice: Choice) -> Result<Example, Error> {
        match self.format {
            Format::Melody { chords } => {
                let converter =
                    MelodyConverter { programs: 0..=127, pitches: PIANO, slice_bars: self.bars() };
                let line = if choice.extract_melody {
                    melody::top_line(sequence, &converter)
                } else {
                    melody::check_monophonic(sequence, &converter)?;
                    sequence.clone()
                };
                if chords {
                    let found = converter.all_with_chords(&line);
                    let excerpt = pick(found, choice, || converter.one_with_chords(&line))?;
                    return Ok(excerpt.example(|ids: ChordedIds| {
                        (Sequence::tokens(ids.ids), Some(chord_rows(&ids.chords)))
                    }));
                }
                let excerpt = pick(converter.all(&line), choice, || converter.one(&line))?;
                Ok(excerpt.example(|ids| (Sequence::tokens(ids), None)))
            }
            Format::Drums | Format::DrumPitches => {
                let converter = DrumsConverter { map: self.map(), slice_bars: self.bars() };
                let excerpt = pick(converter.all(sequence), choice, || converter.one(sequence))?;
                Ok(excerpt.example(|sets: Vec<DrumSet>| (rolls(&sets, converter.map), None)))
            }
            Format::Trio => {
                let excerpt = pick(trio::all(sequence), choice, || trio::one(sequence))?;
                Ok(excerpt.example(|steps: Vec<TrioStep>| {
                    (Sequence::Tokens { columns: 3, ids: steps.concat() }, None)
                }))
            }
            Format::Groove { .. } => {
                let converter = self.groove_converter();
                let drums = groove::drums_only(sequence, REDUCED);
                let excerpt = pick(converter.all_padded(&drums)?, choice, || converter.one(&drums))?;
                Ok(excerpt.example(|rows| {
                    let controls = converter.hits_as_controls.then_some(rows.controls);
                    (Sequence::rows(groove::ROW, rows.input), controls)
                }))
            }
        }
    }

    /// An example from ids a step, filled up with silence: of a melody (0 hold, 1 end, `2 + pitch - 21`) or of drums
    /// (bit `i` for drum `i`, kick first).
    ///
    /// # Errors
    /// More ids than steps, an id that is none, a model that is neither.
    pub fn from_ids(&self, ids: &[u32], tempo: f64) -> Result<Example, Error> {
        if ids.len() > self.steps {
            return Err(Error::range("steps", format!("at most {}", self.steps), ids.len()));
        }
        let mut ids = ids.to_vec();
        ids.resize(self.steps, 0);
        let steps = match self.format {
            Format::Melody { chords: false } => {
                melody::ids_to_sequence(&ids, &PIANO, Voice::default(), tempo)?;
                Sequence::tokens(ids)
            }
            Format::Drums => {
                drum_steps::ids_to_sequence(&ids, REDUCED, tempo)?;
                rolls(&ids.iter().map(|&id| DrumSet::from(id)).collect::<Vec<_>>(), REDUCED)
            }
            _ => return Err(self.refuse("a list of events", "a model of melodies or drum loops")),
        };
        Ok(Example { steps, controls: None, tempo, bar: 1, of: 1 })
    }

    /// Where examples lie, in their order. Several share the passes over the weights.
    ///
    /// # Errors
    /// None or more than 256 of them; examples of another model.
    pub fn encode(&self, compute: &mut Compute, examples: &[Example]) -> Result<Vec<Posterior>, Error> {
        let inputs: Vec<_> =
            examples.iter().map(|it| Input { steps: &it.steps, controls: it.controls.as_deref() }).collect();
        Ok(self.vae.encode(compute, &inputs)?)
    }

    /// The music of points. Several share the passes over the weights.
    ///
    /// # Errors
    /// Points of another length, values that are not finite or out of range, controls that are missing; cancelled.
    pub fn decode(
        &self,
        compute: &mut Compute,
        points: Vec<Vec<f32>>,
        playing: &Playing<'_>,
        watch: Watch<'_>,
    ) -> Result<Vec<Played>, Error> {
        let mut rngs: Vec<Rng> =
            (0..points.len()).map(|stream| Rng::new(playing.seed, stream as u64)).collect();
        let request = Decode {
            points: &points,
            temperature: playing.temperature,
            length: Some(self.steps),
            controls: playing.controls,
        };
        let pieces = self.vae.decode(compute, &request, &mut rngs, watch)?;
        let played = points.into_iter().zip(pieces);
        played.map(|(z, steps)| Ok(Played { z, sequence: self.notes(&steps, playing.tempo)? })).collect()
    }

    /// Steps as notes.
    fn notes(&self, steps: &Sequence, tempo: f64) -> Result<NoteSequence, Error> {
        Ok(match (steps, self.format) {
            (Sequence::Tokens { ids, .. }, Format::Melody { .. }) => {
                melody::ids_to_sequence(ids, &PIANO, Voice::default(), tempo)?
            }
            (Sequence::Tokens { ids, .. }, Format::Trio) => {
                let steps: Vec<TrioStep> = ids.as_chunks().0.to_vec();
                trio::to_sequence(&steps, tempo)?
            }
            (Sequence::Tokens { ids, .. }, _) => drum_steps::ids_to_sequence(ids, REDUCED, tempo)?,
            (Sequence::Rows { values, .. }, Format::Groove { .. }) => {
                groove::rows_to_sequence(values, REDUCED, tempo)?
            }
            (Sequence::Rows { width, values }, _) => {
                let set = |row: &[f32]| {
                    let bits = row.iter().enumerate().filter(|(_, value)| **value > 0.5);
                    bits.fold(0, |set, (class, _)| set | 1 << class)
                };
                let sets: Vec<DrumSet> = values.chunks_exact(*width).map(set).collect();
                DrumsConverter { map: self.map(), slice_bars: self.bars() }.to_sequence(&sets, tempo)
            }
        })
    }

    /// Controls for the chords of a progression, spread evenly over an example; none for a model without chords.
    ///
    /// # Errors
    /// Chords for a model that knows none, or none for one that does; a chord that is no triad.
    pub fn chord_controls(&self, symbols: &[&str]) -> Result<Option<Vec<f32>>, Error> {
        match self.format {
            Format::Melody { chords: true } if symbols.is_empty() => {
                Err(self.refuse("playing", "chords (--chords 'C Am F G')"))
            }
            Format::Melody { chords: true } => {
                Ok(Some(chord_rows(&partita_tokens::chords::spread_chords(symbols, self.steps)?)))
            }
            _ if symbols.is_empty() => Ok(None),
            _ => Err(self.refuse("a chord progression", "a model with chords, as cat-mel_2bar_med_chords")),
        }
    }

    pub(super) fn groove_converter(&self) -> GrooveConverter {
        match self.format {
            Format::Groove { input, controlled } => {
                GrooveConverter { map: REDUCED, bars: self.bars(), input, hits_as_controls: controlled }
            }
            _ => GrooveConverter { bars: self.bars(), ..GrooveConverter::four_bars() },
        }
    }

    pub(super) fn refuse(&self, verb: &'static str, needs: &'static str) -> Error {
        Error::Verb { name: self.name.clone(), plays: self.format, verb, needs }
    }

    fn map(&self) -> PitchMap {
        if self.format == Format::DrumPitches { FULL } else { REDUCED }
    }
}

/// Values from which on a model is large: 64 MB of f32.
const LARGE: usize = 16 << 20;

/// Velocities of a small groove model drift in int8, and there is little to be gained.
fn suited(source: &dyn TensorSource) -> Precision {
    let shapes = source.names().into_iter().filter_map(|name| source.shape(&name));
    let values = shapes
        .fold(0usize, |sum, shape| sum.saturating_add(shape.into_iter().fold(1, usize::saturating_mul)));
    if values < LARGE { Precision::F32 } else { Precision::Int8 }
}

/// An excerpt, which one it is, and how many there are.
struct Picked<T> {
    excerpt: Excerpt<T>,
    of: usize,
}

impl<T> Picked<T> {
    fn example(self, steps: impl FnOnce(T) -> (Sequence, Option<Vec<f32>>)) -> Example {
        let Excerpt { value, start, qpm } = self.excerpt;
        let (steps, controls) = steps(value);
        Example { steps, controls, tempo: qpm, bar: bar(start.0, qpm), of: self.of }
    }
}

/// The bar of a time, counted from 1.
fn bar(seconds: f64, tempo: f64) -> u32 {
    (seconds * tempo / 240.0).round() as u32 + 1
}

/// The excerpt that is wanted; `why` says why there is none.
fn pick<T>(
    found: Vec<Excerpt<T>>,
    choice: Choice,
    why: impl FnOnce() -> Result<Excerpt<T>, ConvertError>,
) -> Result<Picked<T>, Error> {
    let of = found.len();
    let bars: Vec<u32> = found.iter().map(|it| bar(it.start.0, it.qpm)).collect();
    let wanted = |it: &Excerpt<T>| choice.from_bar.is_none_or(|from| bar(it.start.0, it.qpm) == from);
    match found.into_iter().find(wanted) {
        Some(excerpt) => Ok(Picked { excerpt, of }),
        None if of == 0 => Ok(Picked { excerpt: why()?, of: 1 }),
        None => {
            let listed: Vec<String> = bars.iter().take(16).map(u32::to_string).collect();
            let more = if bars.len() > listed.len() { ", ..." } else { "" };
            let allowed = format!("a bar where an example begins: {}{more}", listed.join(", "));
            Err(Error::range("from-bar", allowed, choice.from_bar.unwrap_or(0)))
        }
    }
}

/// `[T, classes + 1]`
fn rolls(sets: &[DrumSet], map: PitchMap) -> Sequence {
    let classes = map.classes();
    Sequence::rows(classes + 1, sets.iter().flat_map(|&set| drum_steps::roll(set, classes)).collect())
}

/// `[T, 49]`
fn chord_rows(chords: &[u32]) -> Vec<f32> {
    let mut rows = vec![0.0; chords.len() * CHORDS as usize];
    for (row, &chord) in rows.chunks_exact_mut(CHORDS as usize).zip(chords) {
        row[chord as usize] = 1.0;
    }
    rows
}
