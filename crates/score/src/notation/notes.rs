//! JSON notes: a score in beats, as people and scripts write it.
//!
//! ```json
//! {
//!   "tempo": 120.0, "time_signature": [4, 4], "key": "C major", "ticks_per_beat": 480,
//!   "chords": [{ "start": 0.0, "chord": "Am7" }],
//!   "tracks": [{ "name": "Melody", "channel": 0, "program": 0,
//!                "notes": [{ "pitch": 60, "start": 0.0, "duration": 1.0, "velocity": 90 }] }]
//! }
//! ```
//!
//! Times are quarter notes from the start. Tempo, metre and key hold from the start; further ones stand in
//! `tempo_changes`, `time_signature_changes` and `key_changes`, each with its `start`. All but `tracks` may be left out,
//! in a note `velocity` (80) too. Notes are named as in the server's answers.

use crate::harmony::{Key, parse_symbol, symbol};
use crate::{
    Beat, ChordChange, Error, KeyChange, Meter, MeterMap, Note, Ppq, Result, Score, TempoMap, Tick, Track,
};
use serde::{Deserialize, Serialize};

/// The latest time, in beats: what ticks of the finest resolution can count.
const LATEST: f64 = 60_000.0;
const VELOCITY: u8 = 80;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tempo: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_signature: Option<[u32; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ticks_per_beat: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tempo_changes: Vec<TempoFrom>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    time_signature_changes: Vec<TimeSignatureFrom>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    key_changes: Vec<KeyFrom>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chords: Vec<ChordFrom>,
    tracks: Vec<TrackOf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TempoFrom {
    start: f64,
    tempo: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeSignatureFrom {
    start: f64,
    time_signature: [u32; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFrom {
    start: f64,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChordFrom {
    start: f64,
    chord: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackOf {
    #[serde(default)]
    name: String,
    #[serde(default)]
    channel: u32,
    #[serde(default)]
    program: u32,
    notes: Vec<NoteOf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteOf {
    pitch: u32,
    start: f64,
    duration: f64,
    #[serde(default = "velocity")]
    velocity: u32,
}

fn velocity() -> u32 {
    VELOCITY.into()
}

/// Writes a score on one line. Controls are left out.
pub fn write(score: &Score) -> String {
    let beat = |at: Tick| at.beats(score.ppq).0;
    let name = |key: &KeyChange| Key::from_signature(key.sharps.clamp(-7, 7), key.minor).to_string();
    let signature = |meter: Meter| [u32::from(meter.numerator.max(1)), u32::from(meter.denominator.max(1))];
    let bpm = |tempo: u32| 60e6 / f64::from(tempo);
    let (tempos, meters, keys) = (score.tempos.changes(), score.meters.changes(), &score.keys);
    let opens = |at: Option<Tick>| usize::from(at == Some(Tick(0)));
    let (tempos, later_tempos) = tempos.split_at(opens(tempos.first().map(|it| it.0)));
    let (meters, later_meters) = meters.split_at(opens(meters.first().map(|it| it.0)));
    let (keys, later_keys) = keys.split_at(opens(keys.first().map(|it| it.at)));
    let file = File {
        tempo: tempos.first().map(|it| bpm(it.1)),
        time_signature: meters.first().map(|it| signature(it.1)),
        key: keys.first().map(name),
        ticks_per_beat: Some(score.ppq.get().into()),
        tempo_changes: later_tempos
            .iter()
            .map(|&(at, tempo)| TempoFrom { start: beat(at), tempo: bpm(tempo) })
            .collect(),
        time_signature_changes: later_meters
            .iter()
            .map(|&(at, meter)| TimeSignatureFrom { start: beat(at), time_signature: signature(meter) })
            .collect(),
        key_changes: later_keys.iter().map(|key| KeyFrom { start: beat(key.at), key: name(key) }).collect(),
        chords: score
            .chords
            .iter()
            .map(|it| ChordFrom { start: beat(it.at), chord: symbol(it.chord.as_ref()) })
            .collect(),
        tracks: score.tracks.iter().map(|track| track_of(track, score.ppq)).collect(),
    };
    serde_json::to_string(&file).expect("numbers, texts and lists are JSON")
}

fn track_of(track: &Track, ppq: Ppq) -> TrackOf {
    let note = |note: &Note| {
        let (start, end) = (note.onset.beats(ppq).0, note.end.max(note.onset).beats(ppq).0);
        let (pitch, velocity) = (note.pitch.min(127).into(), note.velocity.clamp(1, 127).into());
        NoteOf { pitch, start, duration: end - start, velocity }
    };
    TrackOf {
        name: track.name.clone(),
        channel: (track.channel & 15).into(),
        program: track.program.min(127).into(),
        notes: track.notes.iter().map(note).collect(),
    }
}

/// Reads a score.
///
/// # Errors
/// [`Error::NotesJson`] with the place: `tracks[0].notes[3].pitch must be in 0..=127, got 300`.
pub fn read(text: &str) -> Result<Score> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let file: File = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = error.path().to_string();
        let inner = error.into_inner();
        Error::NotesJson(if place == "." { inner.to_string() } else { format!("{place}: {inner}") })
    })?;
    reader.end().map_err(|error| Error::NotesJson(error.to_string()))?;
    let ticks = number("ticks_per_beat", file.ticks_per_beat.unwrap_or(480), 1..=32767)?;
    let ppq = u16::try_from(ticks).ok().and_then(Ppq::new).unwrap_or_default();
    let at = |place: String, start: f64| time(&place, start).map(|beat| Beat(beat).ticks(ppq));
    let mut score = Score { ppq, ..Score::default() };
    let (mut tempos, mut meters) = (Vec::new(), Vec::new());
    if let Some(bpm) = file.tempo {
        tempos.push((Tick(0), tempo("tempo", bpm)?));
    }
    for (index, it) in file.tempo_changes.iter().enumerate() {
        let place = format!("tempo_changes[{index}]");
        tempos.push((at(format!("{place}.start"), it.start)?, tempo(&format!("{place}.tempo"), it.tempo)?));
    }
    if let Some(signature) = file.time_signature {
        meters.push((Tick(0), meter("time_signature", signature)?));
    }
    for (index, it) in file.time_signature_changes.iter().enumerate() {
        let place = format!("time_signature_changes[{index}]");
        let meter = meter(&format!("{place}.time_signature"), it.time_signature)?;
        meters.push((at(format!("{place}.start"), it.start)?, meter));
    }
    if let Some(name) = &file.key {
        score.keys.push(key("key", name, Tick(0))?);
    }
    for (index, it) in file.key_changes.iter().enumerate() {
        let place = format!("key_changes[{index}]");
        let start = at(format!("{place}.start"), it.start)?;
        score.keys.push(key(&format!("{place}.key"), &it.key, start)?);
    }
    for (index, it) in file.chords.iter().enumerate() {
        let place = format!("chords[{index}]");
        let wrong = |error| Error::NotesJson(format!("{place}.chord: {error}"));
        let chord = parse_symbol(&it.chord).map_err(wrong)?;
        score.chords.push(ChordChange { at: at(format!("{place}.start"), it.start)?, chord });
    }
    for (index, track) in file.tracks.iter().enumerate() {
        score.tracks.push(track_from(&format!("tracks[{index}]"), track, ppq)?);
    }
    score.keys.sort_by_key(|key| key.at);
    score.chords.sort_by_key(|chord| chord.at);
    score.tempos = TempoMap::new(tempos);
    score.meters = MeterMap::new(meters);
    Ok(score)
}

fn track_from(place: &str, track: &TrackOf, ppq: Ppq) -> Result<Track> {
    let mut notes = Vec::with_capacity(track.notes.len());
    for (index, note) in track.notes.iter().enumerate() {
        let place = |field: &str| format!("{place}.notes[{index}].{field}");
        let start = time(&place("start"), note.start)?;
        let end = start + time(&place("duration"), note.duration)?;
        notes.push(Note {
            onset: Beat(start).ticks(ppq),
            end: Beat(end).ticks(ppq),
            pitch: number(&place("pitch"), note.pitch, 0..=127)? as u8,
            velocity: number(&place("velocity"), note.velocity, 1..=127)? as u8,
        });
    }
    notes.sort_by_key(|note| note.onset);
    let channel = number(&format!("{place}.channel"), track.channel, 0..=15)? as u8;
    let program = number(&format!("{place}.program"), track.program, 0..=127)? as u8;
    Ok(Track { name: track.name.clone(), channel, program, notes, controls: Vec::new() })
}

fn number(place: &str, number: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32> {
    if range.contains(&number) {
        return Ok(number);
    }
    Err(Error::NotesJson(format!("{place} must be in {range:?}, got {number}")))
}

fn time(place: &str, beats: f64) -> Result<f64> {
    if (0.0..=LATEST).contains(&beats) {
        return Ok(beats);
    }
    Err(Error::NotesJson(format!("{place} must be in 0..={LATEST} beats, got {beats}")))
}

/// Microseconds a quarter.
fn tempo(place: &str, bpm: f64) -> Result<u32> {
    if (3.6..=60e6).contains(&bpm) || (60e6 / bpm).round() == f64::from(0xff_ffff) {
        return Ok((60e6 / bpm).round() as u32);
    }
    Err(Error::NotesJson(format!("{place} must be in 3.6..=60000000 quarter notes a minute, got {bpm}")))
}

fn meter(place: &str, [numerator, denominator]: [u32; 2]) -> Result<Meter> {
    let numerator_fits = u8::try_from(numerator).ok().filter(|it| *it > 0);
    let denominator_fits = u8::try_from(denominator).ok().filter(|it| it.is_power_of_two());
    match (numerator_fits, denominator_fits) {
        (Some(numerator), Some(denominator)) => Ok(Meter { numerator, denominator }),
        _ => Err(Error::NotesJson(format!(
            "{place} must be [1..=255, a power of two up to 128], got [{numerator}, {denominator}]"
        ))),
    }
}

fn key(place: &str, name: &str, at: Tick) -> Result<KeyChange> {
    let key: Key = name.parse().map_err(|error| Error::NotesJson(format!("{place}: {error}")))?;
    Ok(KeyChange { at, sharps: key.signature(), minor: key.is_minor() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let message = read(text).expect_err("refused").to_string();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn errors_name_the_field() {
        check(
            "{\"tracks\": [{\"notes\": [{\"pitch\": 300, \"start\": 0, \"duration\": 1}]}]}",
            "tracks[0].notes[0].pitch must be in 0..=127, got 300",
        );
        check(
            "{\"tracks\": [{\"notes\": [{\"pitch\": 60, \"start\": -1, \"duration\": 1}]}]}",
            "tracks[0].notes[0].start",
        );
        check("{\"tracks\": [{\"notes\": [{\"pitch\": 60, \"start\": 0}]}]}", "duration");
        check(
            "{\"tracks\": [{\"notes\": [{\"pitch\": \"C\", \"start\": 0, \"duration\": 1}]}]}",
            "tracks[0].notes[0].pitch",
        );
        check("{\"tracks\": [], \"tempoo\": 3}", "tempoo");
        check("{\"tracks\": [], \"tempo\": 0}", "tempo must be");
        check("{\"tracks\": [], \"time_signature\": [4, 3]}", "time_signature must be");
        check("{\"tracks\": [], \"key\": \"H major\"}", "key");
        check("{\"tracks\": [], \"chords\": [{\"start\": 0, \"chord\": \"Cq\"}]}", "chords[0].chord");
        check("{\"tracks\": []} x", "trailing");
        check("{}", "tracks");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let score = read("{\"tracks\": [{\"notes\": [{\"pitch\": 60, \"start\": 0.5, \"duration\": 1}]}]}")
            .expect("valid");
        let note = Note { onset: Tick(240), end: Tick(720), pitch: 60, velocity: 80 };
        assert_eq!(score.tracks, [Track { notes: vec![note], ..Track::default() }]);
        assert_eq!(
            (score.tempos, score.meters, score.keys),
            (TempoMap::default(), MeterMap::default(), vec![])
        );
    }
}
