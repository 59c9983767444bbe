//! Pieces as notes: what there is becomes the start, what is drawn becomes the notes after it.

use partita_kernels::Compute;
use partita_nn::Sampling;
use partita_score::sequence::{QuantizedSequence, TimedNote};
use partita_score::{NoteSequence, Second};
use partita_tokens::events::{
    DrumSet, MelodyEvent, STEPS_PER_SECOND, TimedNote as PlayedNote, performance_of, set_drum_length,
    timed_notes,
};
use partita_tokens::melody::{self, Extraction, Melody, Voice};

use super::play::Watch;
use super::{Beam, Continue, Error, EventRnn, Kind, Perform};

/// How a piece goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Further {
    /// Bars after the one in which the piece ends, 1 and more.
    pub bars: u32,
    pub sampling: Sampling,
    pub beam: Beam,
    pub seed: u64,
    /// Continuations, each from a random stream of its own, 1 and more.
    pub variations: usize,
}

/// Velocity of new notes where the network does not say one, as Magenta plays them.
const VELOCITY: u8 = 100;
/// The longest note of a performance, in seconds.
const LONGEST: f64 = 5.0;
/// The instrument of new drums.
const DRUMS: u32 = 9;

impl EventRnn {
    /// The notes that follow a piece, for each variation, from the bar after its last note on. They have the tempo and
    /// the times of the piece, whose own notes are not among them.
    ///
    /// # Errors
    /// [`Error::Piece`]: nothing to go on with, changing tempo or metre; see [`continue_melody`](Self::continue_melody).
    pub fn continue_sequence(
        &self,
        compute: &mut Compute,
        piece: &NoteSequence,
        further: &Further,
        watch: Watch<'_>,
    ) -> Result<Vec<NoteSequence>, Error> {
        let wrong = |error: partita_score::Error| Error::Piece(error.to_string());
        match self.bundle.kind {
            Kind::Melody { .. } => {
                let grid = piece.quantize(4).map_err(wrong)?;
                self.further_melody(compute, piece, &grid, further, watch)
            }
            Kind::Drums { steps_per_quarter, .. } => {
                let grid = piece.quantize(steps_per_quarter).map_err(wrong)?;
                self.further_drums(compute, piece, &grid, further, watch)
            }
            Kind::Performance { .. } => {
                let grid = piece.quantize(4).map_err(wrong)?;
                self.further_performance(compute, piece, &grid, further, watch)
            }
        }
    }

    fn further_melody(
        &self,
        compute: &mut Compute,
        piece: &NoteSequence,
        grid: &QuantizedSequence,
        further: &Further,
        watch: Watch<'_>,
    ) -> Result<Vec<NoteSequence>, Error> {
        let how = Extraction { gap_bars: None, min_bars: 0, max_steps: None, pad_end: false };
        let mut melody = melody::extract(grid, how).into_iter().next().ok_or_else(|| nothing("a melody"))?;
        let (end, bar) = end(grid)?;
        melody.set_length((end - melody.start_step) as usize);
        let length = melody.events.len() + (further.bars * bar) as usize;
        let program = piece.notes.iter().find(|note| !note.is_drum).map_or(0, |note| note.program);
        let voice = Voice { velocity: VELOCITY, instrument: 0, program };
        let from = Second(f64::from(end) * grid.seconds_per_step());
        let request = request(melody.events.clone(), length, further);
        let done = self.continue_melody(compute, &request, watch)?;
        Ok(done
            .into_iter()
            .map(|done| {
                let whole =
                    Melody { start_step: melody.start_step, events: cut(done.events, melody.events.len()) };
                new(piece, whole.to_sequence(voice, grid.qpm).notes, from)
            })
            .collect())
    }

    fn further_drums(
        &self,
        compute: &mut Compute,
        piece: &NoteSequence,
        grid: &QuantizedSequence,
        further: &Further,
        watch: Watch<'_>,
    ) -> Result<Vec<NoteSequence>, Error> {
        let (end, bar) = end(grid)?;
        let mut events: Vec<DrumSet> = Vec::new();
        set_drum_length(&mut events, end as usize);
        let mut struck = vec![Vec::new(); end as usize];
        for it in grid.notes.iter().filter(|it| it.note.is_drum && it.note.velocity > 0) {
            struck[it.start as usize].push(it.note.pitch);
        }
        if struck.iter().all(Vec::is_empty) {
            return Err(nothing("drums"));
        }
        events.iter_mut().zip(struck).for_each(|(event, pitches)| *event = pitches.into_iter().collect());
        let request = request(events, (end + further.bars * bar) as usize, further);
        let step = grid.seconds_per_step();
        let note = |at: usize, pitch| TimedNote {
            start: Second(at as f64 * step),
            end: Second((at + 1) as f64 * step),
            pitch,
            velocity: VELOCITY,
            instrument: DRUMS,
            program: 0,
            is_drum: true,
        };
        let done = self.continue_drums(compute, &request, watch)?;
        Ok(done
            .into_iter()
            .map(|done| {
                let events = done.events.iter().enumerate();
                let notes = events.flat_map(|(at, event)| event.pitches().map(move |pitch| note(at, pitch)));
                new(piece, notes.collect(), Second(f64::from(end) * step))
            })
            .collect())
    }

    fn further_performance(
        &self,
        compute: &mut Compute,
        piece: &NoteSequence,
        grid: &QuantizedSequence,
        further: &Further,
        watch: Watch<'_>,
    ) -> Result<Vec<NoteSequence>, Error> {
        let Kind::Performance { events: encoding, .. } = self.bundle.kind else {
            return Err(self.family("performances"));
        };
        let (end, bar) = end(grid)?;
        let from = f64::from(end) * grid.seconds_per_step();
        let until = from + f64::from(further.bars * bar) * grid.seconds_per_step();
        let played: Vec<PlayedNote> = piece
            .notes
            .iter()
            .filter(|note| !note.is_drum && note.velocity > 0)
            .map(|note| PlayedNote {
                pitch: note.pitch,
                velocity: note.velocity,
                start: note.start.0.max(0.0),
                end: note.end.0.clamp(note.start.0.max(0.0), from),
            })
            .collect();
        let mut primer = performance_of(encoding, &played)?;
        let steps = |seconds: f64| (seconds * f64::from(STEPS_PER_SECOND) + 0.5) as usize;
        partita_tokens::events::set_performance_length(&mut primer, steps(from));
        let request = Perform {
            fill: true,
            sampling: further.sampling.clone(),
            beam: further.beam,
            variations: further.variations,
            ..Perform::new(primer, steps(until), further.seed)
        };
        let done = self.continue_performance(compute, &request, watch)?;
        let program = piece.notes.iter().find(|note| !note.is_drum).map_or(0, |note| note.program);
        let note = |note: PlayedNote| TimedNote {
            start: Second(note.start),
            end: Second(note.end),
            pitch: note.pitch,
            velocity: note.velocity,
            program,
            ..TimedNote::default()
        };
        Ok(done
            .into_iter()
            .map(|done| {
                let notes = timed_notes(encoding, &done.events, 0, LONGEST).into_iter().map(note);
                new(piece, notes.collect(), Second(from))
            })
            .collect())
    }
}

fn request<E>(primer: Vec<E>, length: usize, further: &Further) -> Continue<E> {
    let Further { sampling, beam, seed, variations, .. } = further.clone();
    Continue { primer, length, sampling, beam, seed, variations }
}

/// The step at which the bar ends that the last note begins in, and the steps of a bar.
fn end(grid: &QuantizedSequence) -> Result<(u32, u32), Error> {
    let bar = grid.steps_per_bar().filter(|bar| *bar > 0);
    let bar = bar.ok_or_else(|| Error::Piece("its bars must have a whole number of steps".to_owned()))?;
    let last = grid.notes.iter().map(|it| it.start).max().ok_or_else(|| nothing("notes"))?;
    Ok(((last + 1).next_multiple_of(bar), bar))
}

fn nothing(what: &str) -> Error {
    Error::Piece(format!("it must hold {what} to go on with, got none"))
}

/// New events alone, after silence as long as the start: a note of the start that is cut off there does not sound on.
fn cut(mut events: Vec<MelodyEvent>, start: usize) -> Vec<MelodyEvent> {
    events[..start].fill(MelodyEvent::NoEvent);
    let first = events[start..].iter_mut().find(|event| **event != MelodyEvent::NoEvent);
    if let Some(end) = first.filter(|event| **event == MelodyEvent::NoteOff) {
        *end = MelodyEvent::NoEvent;
    }
    events
}

/// Those of `notes` that begin at `from` or later, in the piece's time.
fn new(piece: &NoteSequence, notes: Vec<TimedNote>, from: Second) -> NoteSequence {
    // Times are whole steps from different sums.
    let notes: Vec<_> = notes.into_iter().filter(|note| note.start.0 > from.0 - 1e-6).collect();
    let total_time = Second(notes.iter().map(|note| note.end.0).fold(0.0, f64::max));
    NoteSequence { notes, total_time, chords: Vec::new(), ..piece.clone() }
}
