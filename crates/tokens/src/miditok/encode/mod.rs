//! Prepared pieces to token ids.
//!
//! Everything that happens becomes an [`Event`], events are sorted by time (stable: what comes first at one time is what
//! was listed first), and a writer puts time tokens between them.

mod chords;
mod remi;
mod shift;
mod structured;

use super::config::{Config, TimeSignature, Tokenization};
use super::prepare::Prepared;
use super::read::Part;
use super::tables::Tables;
use super::vocab::Vocab;
use super::{Error, Result};

/// Tokens a sequence may have, at most: a silence of years would fill the memory with bars.
pub const MOST_TOKENS: usize = 1 << 24;

/// What a writer needs to know.
#[derive(Clone, Copy)]
pub(super) struct Encoder<'a> {
    pub config: &'a Config,
    pub vocab: &'a Vocab,
    pub tables: &'a Tables,
}

/// Ids and, if asked for, the tick of each.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    pub ids: Vec<u32>,
    pub times: Vec<i64>,
    timed: bool,
}

impl Sequence {
    fn new(timed: bool) -> Sequence {
        Sequence { timed, ..Sequence::default() }
    }

    #[inline]
    fn push(&mut self, id: u32, time: i64) -> Result<()> {
        if self.ids.len() >= MOST_TOKENS {
            return Err(Error::TooLong { most: MOST_TOKENS });
        }
        self.ids.push(id);
        if self.timed {
            self.times.push(time);
        }
        Ok(())
    }
}

/// Tokens that belong together at one time.
#[derive(Clone, Copy, Debug)]
struct Event {
    time: i64,
    /// Comes before a larger one at the same time.
    order: u8,
    kind: EventKind,
    /// `None` for what concerns all tracks.
    program: Option<i16>,
    /// Silence before this time is no rest.
    sounds_until: i64,
    ids: [u32; 4],
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventKind {
    Signature(TimeSignature),
    Other,
}

impl Event {
    fn new(time: i64, program: Option<i16>, ids: &[u32]) -> Event {
        let mut event = Event {
            time,
            order: 10,
            kind: EventKind::Other,
            program,
            sounds_until: time,
            ids: [0; 4],
            count: 0,
        };
        ids.iter().for_each(|&id| event.push(id));
        event
    }

    #[inline]
    fn push(&mut self, id: u32) {
        self.ids[usize::from(self.count)] = id;
        self.count += 1;
    }

    fn ids(&self) -> &[u32] {
        &self.ids[..usize::from(self.count)]
    }
}

/// One sequence of all tracks, or one a track (and one if there is no track). With `timed`, ids have their ticks.
///
/// # Errors
/// [`Error::NoToken`] where the piece needs what the vocabulary lacks, [`Error::TooLong`].
pub(super) fn encode(encoder: Encoder, piece: &Prepared, timed: bool) -> Result<Vec<Sequence>> {
    let Encoder { config, vocab, .. } = encoder;
    if config.tokenization == Tokenization::Structured {
        return structured::encode(encoder, piece, timed);
    }
    let global = encoder.global_events(piece)?;
    let write = |events: &[Event]| match config.tokenization {
        Tokenization::Remi => remi::write(encoder, piece.ticks_per_quarter, events, timed),
        _ => shift::write(encoder, piece.ticks_per_quarter, events, timed),
    };
    if config.one_stream() {
        let notes: usize = piece.parts.iter().map(|part| part.notes.len()).sum();
        let mut events = Vec::with_capacity(global.len() + notes * 2);
        events.extend_from_slice(&global);
        for part in &piece.parts {
            encoder.part_events(part, piece, &mut events)?;
        }
        encoder.sort(&mut events);
        if config.program_changes {
            events = encoder.with_program_changes(&events)?;
        }
        return Ok(vec![write(&events)?]);
    }
    if piece.parts.is_empty() {
        let mut events = global;
        encoder.sort(&mut events);
        return Ok(vec![write(&events)?]);
    }
    let each = piece.parts.iter().map(|part| {
        let mut events = Vec::with_capacity(global.len() + part.notes.len() * 2);
        events.extend_from_slice(&global);
        encoder.part_events(part, piece, &mut events)?;
        encoder.sort(&mut events);
        let mut sequence = write(&events)?;
        if config.program_changes {
            sequence.ids.insert(0, vocab.ids().program(part.token_program())?);
            if timed {
                sequence.times.insert(0, 0);
            }
        }
        Ok(sequence)
    });
    each.collect()
}

impl Encoder<'_> {
    fn global_events(&self, piece: &Prepared) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        if self.config.use_time_signatures {
            for &(at, signature) in &piece.signatures {
                let mut event = Event::new(at, None, &[self.vocab.ids().signature(signature)?]);
                event.kind = EventKind::Signature(signature);
                event.order = 0;
                if self.config.tokenization == Tokenization::MidiLike {
                    event.sounds_until = i64::MIN;
                }
                events.push(event);
            }
        }
        for &(at, id) in &piece.tempos {
            events.push(Event { order: 0, ..Event::new(at, None, &[id]) });
        }
        Ok(events)
    }

    fn part_events(&self, part: &Part, piece: &Prepared, events: &mut Vec<Event>) -> Result<()> {
        let (config, ids) = (self.config, self.vocab.ids());
        let program = part.token_program();
        let told = config.use_programs && !config.program_changes;
        let program_id = if told { Some(ids.program(program)?) } else { None };
        if config.use_chords && !part.is_drum() {
            for (time, chord) in chords::find(&part.notes, &piece.sections, config)? {
                let chord = ids.chord(chord, config)?;
                let mut event = Event::new(time, Some(program), &[]);
                program_id.into_iter().chain([chord]).for_each(|id| event.push(id));
                events.push(event);
            }
        }
        let on_off = config.tokenization == Tokenization::MidiLike;
        let drum = part.is_drum() && config.use_pitchdrum_tokens;
        let lasts = self.tables.lasts(program);
        let mut from = 0;
        let mut section = piece.sections.first();
        let mut ruler = &self.tables.rulers(section.beat).durations;
        for note in &part.notes {
            let end = note.time + note.duration;
            let mut event = Event::new(note.time, Some(program), &[]);
            event.sounds_until = end;
            program_id.into_iter().for_each(|id| event.push(id));
            event.push(ids.pitch(drum, note.pitch)?);
            if config.use_velocities {
                event.push(ids.velocity(note.velocity)?);
            }
            if lasts && !on_off {
                let own = piece.sections.at(note.time, &mut from);
                if own.beat != section.beat {
                    section = own;
                    ruler = &self.tables.rulers(section.beat).durations;
                }
                event.push(ids.duration(ruler.nearest(note.duration))?);
            }
            events.push(event);
            if lasts && on_off {
                let mut off = Event::new(end, Some(program), &[]);
                off.order = 1;
                if !told {
                    off.sounds_until = i64::MIN;
                }
                program_id.into_iter().for_each(|id| off.push(id));
                off.push(ids.pitch_end(drum, note.pitch)?);
                events.push(off);
            }
        }
        Ok(())
    }

    fn sort(&self, events: &mut [Event]) {
        if self.config.tokenization == Tokenization::MidiLike && self.config.use_chords {
            events.sort_by_key(|event| (event.time, event.order));
        } else {
            events.sort_by_key(|event| event.time);
        }
    }

    /// Puts a program token wherever another program begins.
    fn with_program_changes(&self, events: &[Event]) -> Result<Vec<Event>> {
        let mut previous = None;
        let mut all = Vec::with_capacity(events.len() + 16);
        for event in events {
            if let Some(program) = event.program
                && previous != Some(program)
            {
                previous = Some(program);
                all.push(Event::new(event.time, None, &[self.vocab.ids().program(program)?]));
            }
            all.push(*event);
        }
        Ok(all)
    }
}
