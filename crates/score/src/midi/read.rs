//! Bytes to [`Score`]: walks the chunks, merges what all tracks share.
//!
//! Memory is bounded by the input's length: nothing is allocated by a length field.

use super::{
    chunks::{self, Division},
    events::each_track,
    texts,
    track::{Shared, TrackReader},
};
use crate::{MeterMap, Result, Score, TempoMap, Tick};

/// Quarter notes after the last note in which an end of track is still the music's.
const MOST_SILENCE: u32 = 128;

/// Reads a Standard MIDI File of format 0, 1 or 2 (whose patterns are put one after another).
///
/// Notes become one [`crate::Track`] per (chunk, channel, program at the note's start). A note-off, or a note-on
/// of velocity 0, closes the oldest open note of its pitch; notes never closed and offs without a note are dropped.
/// Texts of a chunk named `chords` that are chord symbols become [`Score::chords`]; other words become [`Score::texts`]:
/// lyrics, instruments and plain texts go with the tracks of their chunk, where it has some, all else with the piece.
/// At most 65,536 are kept. System exclusive messages are dropped.
/// Silent last bars are those before an end of track that is on a bar line. SMPTE times become ticks of the same length under a constant tempo.
///
/// Forgiven: a RIFF wrapper, junk around chunks, unknown chunks, wrong track counts and lengths, a missing
/// end-of-track, running status kept across meta and system events.
///
/// # Errors
/// [`Error::NotMidi`](crate::Error), [`Error::MidiHeader`](crate::Error) or [`Error::MidiTrack`](crate::Error) with
/// the byte position.
pub fn read(bytes: &[u8]) -> Result<Score> {
    let header = chunks::header(bytes)?;
    let (ppq, smpte_tempo) = match header.division {
        Division::Ppq(ppq) => (ppq, None),
        Division::Smpte { ppq, tempo } => (ppq, Some(tempo)),
    };
    let mut shared = Shared::default();
    let mut reader = TrackReader::new();
    let mut tracks = Vec::new();
    let (mut start, mut last) = (Tick(0), Tick(0));
    each_track(bytes, header, |_, chunk| {
        let texts = shared.texts.len();
        let done = reader.read(bytes, chunk, start, &mut shared)?;
        if header.format == 2 {
            start = done.end;
        }
        last = last.max(done.end);
        reader.finish(&mut tracks, &mut shared.texts[texts..]);
        Ok(done)
    })?;
    let tempos = match smpte_tempo {
        Some(tempo) => TempoMap::new(vec![(Tick(0), tempo)]),
        None => TempoMap::new(shared.tempos),
    };
    shared.keys.sort_by_key(|key| key.at);
    shared.chords.sort_by_key(|change| change.at);
    texts::sort(&mut shared.texts, &tracks);
    let meters = MeterMap::new(shared.meters);
    let Shared { keys, chords, texts, .. } = shared;
    let score = Score { ppq, tempos, meters, keys, chords, tracks, texts, silence: Tick(0) };
    // Elsewhere than on a bar line, or far away, it says nothing of the music.
    let most = score.end().0.saturating_add(MOST_SILENCE * u32::from(ppq.get()));
    let is_told = last.0 <= most && score.meters.bar_line(last, ppq) == last;
    Ok(if is_told { score.until(last) } else { score })
}
