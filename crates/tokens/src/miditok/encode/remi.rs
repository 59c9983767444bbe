//! REMI: bars and positions.
//!
//! ```text
//! Bar TimeSig Position Tempo [Program] Pitch Velocity Duration Pitch Velocity Duration Position ... Bar ...
//! ```

use super::{Encoder, Event, EventKind, Sequence};
use crate::miditok::Result;
use crate::miditok::config::TimeSignature;
use crate::miditok::prepare::{bar, beat};

struct Writer<'a> {
    encoder: Encoder<'a>,
    ticks_per_quarter: i64,
    signature: TimeSignature,
    /// Ticks of a bar, a beat and a position under `signature`.
    bar_ticks: i64,
    beat_ticks: i64,
    position_ticks: i64,
    /// Bar that was begun last, -1 before the first, and its tick.
    bar: i64,
    bar_at: i64,
    /// Bar and tick of the last change of signature.
    changed_bar: i64,
    changed_at: i64,
    out: Sequence,
}

pub(super) fn write(
    encoder: Encoder,
    ticks_per_quarter: i64,
    events: &[Event],
    timed: bool,
) -> Result<Sequence> {
    let first = events.iter().find_map(|event| match event.kind {
        EventKind::Signature(signature) => Some(signature),
        EventKind::Other => None,
    });
    let mut writer = Writer {
        encoder,
        ticks_per_quarter,
        signature: TimeSignature::COMMON,
        bar_ticks: 1,
        beat_ticks: 1,
        position_ticks: 1,
        bar: -1,
        bar_at: 0,
        changed_bar: 0,
        changed_at: 0,
        out: Sequence::new(timed),
    };
    writer.out.ids.reserve(events.len() * 5);
    writer.set_signature(first.unwrap_or(TimeSignature::COMMON));
    let (mut previous, mut sounds_until) = (-1, 0);
    for event in events {
        let is_signature = matches!(event.kind, EventKind::Signature(_));
        if event.time != previous {
            writer.rest(event.time, &mut previous, sounds_until)?;
            writer.bars_until(event.time, is_signature)?;
            if !is_signature {
                let position = (event.time - writer.bar_at).div_euclid(writer.position_ticks);
                writer.out.push(encoder.vocab.ids().position(position)?, event.time)?;
            }
            previous = event.time;
        }
        if let EventKind::Signature(signature) = event.kind {
            writer.changed_bar += (event.time - writer.changed_at).div_euclid(writer.bar_ticks);
            writer.changed_at = event.time;
            writer.set_signature(signature);
            // The next event says its position, also at the same tick.
            previous -= 1;
        }
        for &id in event.ids() {
            writer.out.push(id, event.time)?;
        }
        sounds_until = sounds_until.max(event.sounds_until);
    }
    if encoder.config.add_trailing_bars && sounds_until > previous {
        let is_signature = events.last().is_some_and(|event| matches!(event.kind, EventKind::Signature(_)));
        writer.bars_until(sounds_until, is_signature)?;
    }
    Ok(writer.out)
}

impl Writer<'_> {
    fn set_signature(&mut self, signature: TimeSignature) {
        self.signature = signature;
        self.bar_ticks = bar(signature, self.ticks_per_quarter);
        self.beat_ticks = beat(signature.denominator, self.ticks_per_quarter).max(1);
        self.position_ticks = (self.beat_ticks / self.encoder.tables.positions_per_beat).max(1);
    }

    /// Rests from the end of the last note on, as long as the largest that fits is found. They step over bar lines
    /// without a bar token.
    fn rest(&mut self, time: i64, previous: &mut i64, sounds_until: i64) -> Result<()> {
        if !self.encoder.config.use_rests {
            return Ok(());
        }
        let ruler = &self.encoder.tables.rulers(self.beat_ticks).rests;
        if time - sounds_until < ruler.smallest() {
            return Ok(());
        }
        *previous = sounds_until.max(*previous);
        let mut left = time - *previous;
        while let Some(index) = ruler.largest_within(left) {
            self.out.push(self.encoder.vocab.ids().rest(index)?, *previous)?;
            left -= ruler.ticks(index);
            *previous += ruler.ticks(index);
        }
        let real = self.changed_bar + (*previous - self.changed_at).div_euclid(self.bar_ticks);
        if real > self.bar {
            self.bar = self.bar.max(0);
            self.bar_at += (real - self.bar) * self.bar_ticks;
            self.bar = real;
        }
        Ok(())
    }

    /// The bars that begin until `time`. A signature that comes now is told by its own event.
    fn bars_until(&mut self, time: i64, is_signature: bool) -> Result<()> {
        let ids = self.encoder.vocab.ids();
        let new = self.changed_bar + (time - self.changed_at).div_euclid(self.bar_ticks) - self.bar;
        for index in 0..new {
            self.bar += 1;
            self.bar_at = self.changed_at + (self.bar - self.changed_bar) * self.bar_ticks;
            if self.encoder.config.use_bar_end_tokens && self.bar > 0 {
                self.out.push(ids.bar_end, self.bar_at - 1)?;
            }
            self.out.push(ids.bar()?, self.bar_at)?;
            if self.encoder.config.use_time_signatures && !(is_signature && index + 1 == new) {
                self.out.push(ids.signature(self.signature)?, self.bar_at)?;
            }
        }
        Ok(())
    }
}
