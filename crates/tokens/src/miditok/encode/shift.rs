//! TSD and MIDI-Like: time shifts.
//!
//! ```text
//! TSD        TimeSig Tempo TimeShift [Program] Pitch Velocity Duration Pitch ... TimeShift ...
//! MIDI-Like  TimeSig Tempo TimeShift [Program] NoteOn Velocity NoteOn Velocity TimeShift NoteOff ...
//! ```
//! Gaps are filled with the largest shifts that fit; what is shorter than the smallest is lost.

use super::{Encoder, Event, EventKind, Sequence};
use crate::miditok::Result;
use crate::miditok::prepare::beat;

pub(super) fn write(
    encoder: Encoder,
    ticks_per_quarter: i64,
    events: &[Event],
    timed: bool,
) -> Result<Sequence> {
    let ids = encoder.vocab.ids();
    let mut out = Sequence::new(timed);
    out.ids.reserve(events.len() * 5);
    let mut rulers = encoder.tables.rulers(beat(4, ticks_per_quarter));
    let (mut previous, mut sounds_until) = (0, 0);
    for event in events {
        if event.time != previous {
            if encoder.config.use_rests && event.time - sounds_until >= rulers.rests.smallest() {
                previous = sounds_until.max(previous);
                while let Some(index) = rulers.rests.largest_within(event.time - previous) {
                    out.push(ids.rest(index)?, previous)?;
                    previous += rulers.rests.ticks(index);
                }
            }
            while let Some(index) = rulers.durations.largest_within(event.time - previous) {
                out.push(ids.shift(index)?, previous)?;
                previous += rulers.durations.ticks(index);
            }
            previous = event.time;
        }
        if let EventKind::Signature(signature) = event.kind {
            rulers = encoder.tables.rulers(beat(signature.denominator, ticks_per_quarter));
        }
        for &id in event.ids() {
            out.push(id, event.time)?;
        }
        sounds_until = sounds_until.max(event.sounds_until);
    }
    Ok(out)
}
