//! From a [`Score`] to stereo samples.

use partita_score::{ControlKind, Note, Score, Second, Tick, Track};

use crate::soundfont::{self, SoundFont};
use crate::stop::Stop;
use crate::synth::{Bus, DrumHit, Kit, ToneNote, render_drums, render_tone};
use crate::{Error, Pcm, loudness};

/// Highest true peak of a normalised render, dBFS: room for what lossy encoders add.
pub const CEILING_DBFS: f64 = -1.0;
/// Longest score that is rendered, seconds; less at high sample rates, see [`render`].
pub const MAX_SECONDS: u32 = 3600;
/// Most frames of one render, tail included. A normalised render takes 28 bytes a frame at its peak (the sound twice
/// and the limiter's three curves): 1.9 GB.
const MAX_FRAMES: u32 = 1 << 26;
/// Longest tail, seconds.
pub const MAX_TAIL: u32 = 60;

/// What plays the notes.
#[derive(Clone, Debug)]
pub enum Voice {
    /// A built-in kit for channel 9, built-in tone voices for the rest.
    Kit(Kit),
    /// A SoundFont for everything; channel 9 is bank 128.
    SoundFont(SoundFont),
}

/// How to render. [`RenderOptions::default`] gives CD rate, the acoustic kit, -14 LUFS and 1.5 s of tail.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Hz, `8000..=192000`; from 16000 with a SoundFont.
    pub sample_rate: u32,
    pub voice: Voice,
    /// Integrated loudness in LUFS, `-60..=0`, with peaks held at [`CEILING_DBFS`].
    /// `None` leaves levels as played; only then may samples pass full scale.
    pub loudness: Option<f64>,
    /// Seconds that ring on after the last note, `0..=60`.
    pub tail: Second,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            sample_rate: 44_100,
            voice: Voice::Kit(Kit::default()),
            loudness: Some(-14.0),
            tail: Second(1.5),
        }
    }
}

/// Renders all tracks of `score` to stereo.
///
/// The same score and options give the same samples. Loudness needs 400 ms to be measured; a shorter
/// render is brought to [`CEILING_DBFS`] peak instead.
///
/// Score and tail together may take at most 67108864 frames (2^26), which keeps memory below 2 GB: 25 minutes at
/// 44.1 kHz, 23 at 48 kHz, 5.8 at 192 kHz.
///
/// # Errors
/// [`Error::EmptyScore`] without a note, [`Error::TooLong`] past [`MAX_SECONDS`] or past the frames, with the whole
/// seconds that this sample rate and tail allow, [`Error::SampleRate`],
/// [`Error::Tail`] and [`Error::Loudness`] for options out of range, [`Error::SoundFont`] if it fails while playing.
pub fn render(score: &Score, options: &RenderOptions) -> Result<Pcm, Error> {
    whole(score, options, Stop::NEVER)
}

/// As [`render`], asking `stop` every few milliseconds whether to break off. It changes no sample.
///
/// # Errors
/// [`Error::Stopped`] once `stop` says `true`; else those of [`render`].
pub fn render_until(score: &Score, options: &RenderOptions, stop: &dyn Fn() -> bool) -> Result<Pcm, Error> {
    whole(score, options, Stop::when(stop))
}

impl RenderOptions {
    /// The same with levels as played.
    pub(crate) fn as_played(&self) -> RenderOptions {
        RenderOptions { loudness: None, ..self.clone() }
    }

    /// # Errors
    /// What is out of range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let min = if matches!(self.voice, Voice::SoundFont(_)) { 16_000 } else { 8000 };
        if !(min..=192_000).contains(&self.sample_rate) {
            return Err(Error::SampleRate { min, max: 192_000, got: self.sample_rate });
        }
        let Second(tail) = self.tail;
        if !(0.0..=f64::from(MAX_TAIL)).contains(&tail) {
            return Err(Error::Tail { max_seconds: MAX_TAIL, got: tail });
        }
        match self.loudness.filter(|target| !(-60.0..=0.0).contains(target)) {
            Some(got) => Err(Error::Loudness { got }),
            None => Ok(()),
        }
    }
}

pub(crate) fn whole(score: &Score, options: &RenderOptions, stop: Stop<'_>) -> Result<Pcm, Error> {
    options.check()?;
    let Second(tail) = options.tail;
    if score.tracks.iter().all(|track| track.notes.is_empty()) {
        return Err(Error::EmptyScore);
    }
    let clock = Clock { score, sample_rate: f64::from(options.sample_rate) };
    // Drums ring as long as they like: only their onsets count.
    let end =
        score.tracks.iter().flat_map(|track| track.notes.iter().map(|note| note.end.max(note.onset))).max();
    let Second(end) = score.tempos.seconds_at(end.unwrap_or_default(), score.ppq);
    let max_seconds = max_seconds(options.sample_rate, tail);
    if end.is_nan() || end > f64::from(max_seconds) {
        // Never the allowed number for a fraction of a second too much.
        let got_seconds = if end.round() <= f64::from(max_seconds) { end.ceil() } else { end };
        return Err(Error::TooLong { max_seconds, got_seconds });
    }
    let frames = ((end + tail) * clock.sample_rate) as usize + 1;
    let channels = match &options.voice {
        Voice::Kit(kit) => render_built_in(&clock, *kit, frames, stop)?.into(),
        Voice::SoundFont(font) => soundfont::play(font, &clock, frames, options.sample_rate, stop)?.into(),
    };
    let mut pcm = Pcm { sample_rate: options.sample_rate, channels };
    if let Some(target) = options.loudness {
        match loudness::normalize_until(&mut pcm, target, CEILING_DBFS, stop) {
            Ok(_) => {}
            Err(Error::Silence) => loudness::normalize_peak(&mut pcm, CEILING_DBFS),
            Err(other) => return Err(other),
        }
    }
    Ok(pcm)
}

/// Whole seconds a score may last so that it and its tail keep to [`MAX_FRAMES`]. `tail`: `0..=60`.
fn max_seconds(sample_rate: u32, tail: f64) -> u32 {
    // One frame less, because a render ends with the frame its last moment falls in.
    let seconds = f64::from(MAX_FRAMES - 1) / f64::from(sample_rate) - tail;
    (seconds as u32).min(MAX_SECONDS)
}

/// Turns ticks into frames.
pub(crate) struct Clock<'a> {
    pub score: &'a Score,
    /// Hz.
    pub sample_rate: f64,
}

impl Clock<'_> {
    /// The frame nearest to `tick`.
    pub fn frame(&self, tick: Tick) -> usize {
        let Second(seconds) = self.score.tempos.seconds_at(tick, self.score.ppq);
        (seconds * self.sample_rate + 0.5) as usize
    }
}

fn render_built_in(clock: &Clock, kit: Kit, frames: usize, stop: Stop<'_>) -> Result<[Vec<f32>; 2], Error> {
    let mut bus = Bus::new(frames);
    let (drums, tones): (Vec<&Track>, Vec<&Track>) = clock.score.tracks.iter().partition(|t| t.is_drums());
    let hit = |note: &Note| DrumHit {
        at: clock.frame(note.onset).min(frames),
        pitch: note.pitch,
        velocity: note.velocity,
    };
    let mut hits: Vec<DrumHit> = drums.iter().flat_map(|track| track.notes.iter().map(hit)).collect();
    // Stable: what falls on one frame keeps the order of the score.
    hits.sort_by_key(|hit| hit.at);
    render_drums(kit, &hits, clock.sample_rate, &mut bus, stop)?;
    for track in tones {
        let notes = tone_notes(clock, track, frames);
        render_tone(track.program, &notes, clock.sample_rate, &mut bus, stop)?;
    }
    bus.finish(clock.sample_rate, stop)
}

/// Notes of a track with its volume, expression, pan and sustain pedal applied.
fn tone_notes(clock: &Clock, track: &Track, frames: usize) -> Vec<ToneNote> {
    let mut notes = track.notes.clone();
    notes.sort_by_key(|note| note.onset);
    // Spans in which the pedal is down.
    let mut pedal: Vec<(Tick, Tick)> = Vec::new();
    let mut down: Option<Tick> = None;
    for control in &track.controls {
        if let ControlKind::ControlChange { number: 64, value } = control.kind {
            match (down, value >= 64) {
                (None, true) => down = Some(control.at),
                (Some(from), false) => {
                    pedal.push((from, control.at));
                    down = None;
                }
                _ => {}
            }
        }
    }
    pedal.extend(down.map(|from| (from, Tick(u32::MAX))));
    let last = notes.iter().map(|note| note.end).max().unwrap_or_default();
    let mut controls = track.controls.iter().peekable();
    let (mut volume, mut expression, mut pan) = (100.0, 127.0, 64.0);
    notes
        .iter()
        .map(|note| {
            while let Some(control) = controls.next_if(|control| control.at <= note.onset) {
                if let ControlKind::ControlChange { number, value } = control.kind {
                    match number {
                        7 => volume = f64::from(value.min(127)),
                        10 => pan = f64::from(value.min(127)),
                        11 => expression = f64::from(value.min(127)),
                        _ => {}
                    }
                }
            }
            // The last span that starts by the note's end is the only one that can hold it.
            let before = pedal.partition_point(|&(from, _)| from <= note.end);
            let held = pedal[..before].last().map_or(note.end, |&(_, to)| to.min(last).max(note.end));
            // MIDI volume is a square law.
            let level: f64 = volume / 100.0 * (expression / 127.0);
            let at = clock.frame(note.onset).min(frames);
            ToneNote {
                at,
                end: clock.frame(held).clamp(at, frames.max(at)),
                pitch: note.pitch,
                velocity: note.velocity,
                pan: (pan - 64.0) / 64.0,
                gain: level * level,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_score::TempoMap;

    /// A score of one stroke that ends at this moment.
    fn ending_at(seconds: u32) -> Score {
        // 480 ticks a quarter, 60 quarters a minute.
        let end = Tick(seconds * 480);
        let note = Note { onset: Tick(0), end, pitch: 36, velocity: 100 };
        let track = Track { channel: 9, notes: vec![note], ..Track::default() };
        Score { tempos: TempoMap::constant(60.0), tracks: vec![track], ..Score::default() }
    }

    #[test]
    fn length_is_limited_by_frames_whatever_the_sample_rate() {
        for sample_rate in [8000, 16_000, 44_100, 48_000, 96_000, 192_000] {
            for tail in [0.0, 1.5, 60.0] {
                let seconds = max_seconds(sample_rate, tail);
                let frames = |seconds: u32| (f64::from(seconds) + tail) * f64::from(sample_rate) + 1.0;
                assert!(frames(seconds) <= f64::from(MAX_FRAMES), "{sample_rate} Hz, {tail} s");
                let more = frames(seconds + 1) > f64::from(MAX_FRAMES);
                assert!(more || seconds == MAX_SECONDS, "{sample_rate} Hz, {tail} s");
            }
        }
    }

    #[test]
    fn a_stop_is_heard_in_every_stage_and_one_that_never_comes_changes_nothing() {
        use std::cell::Cell;
        let note = |channel: u8, onset, end| Track {
            channel,
            notes: vec![Note { onset: Tick(onset), end: Tick(end), pitch: 45, velocity: 110 }],
            ..Track::default()
        };
        let tracks = vec![note(9, 0, 100), note(0, 0, 9600), note(9, 4000, 4100)];
        let score = Score { tracks, ..Score::default() };
        let options = RenderOptions::default();
        let asked = Cell::new(0u32);
        let count = || {
            asked.set(asked.get() + 1);
            false
        };
        let whole = render_until(&score, &options, &count).expect("never stopped");
        assert_eq!(whole, render(&score, &options).expect("rendered"));
        let all = asked.get();
        assert!(all > 50, "{all}");
        // At each question in turn: strokes, tones, room, loudness and limiter all ask.
        for last in 0..all {
            asked.set(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > last
            };
            assert!(matches!(render_until(&score, &options, &stop), Err(Error::Stopped)), "{last}");
            assert_eq!(asked.get(), last + 1);
        }
    }

    #[test]
    fn too_many_frames_are_refused_with_the_seconds_allowed() {
        let options = |sample_rate| RenderOptions { sample_rate, ..RenderOptions::default() };
        for (sample_rate, seconds, max) in [(192_000, 349, 348), (48_000, 3600, 1396), (8000, 3601, 3600)] {
            let error = render(&ending_at(seconds), &options(sample_rate)).expect_err("too long").to_string();
            assert_eq!(error, format!("score must last at most {max} seconds, got {seconds}"));
        }
    }
}
