//! From a [`Score`] to stereo samples.

use partita_score::{ControlKind, Note, Score, Second, Tick, Track};

use crate::soundfont::{self, SoundFont};
use crate::synth::{Bus, DrumHit, Kit, ToneNote, render_drums, render_tone};
use crate::{Error, Pcm, loudness};

/// Highest true peak of a normalised render, dBFS: room for what lossy encoders add.
pub const CEILING_DBFS: f64 = -1.0;
/// Longest score that is rendered, seconds.
pub const MAX_SECONDS: u32 = 3600;
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
/// # Errors
/// [`Error::EmptyScore`] without a note, [`Error::TooLong`] past [`MAX_SECONDS`], [`Error::SampleRate`],
/// [`Error::Tail`] and [`Error::Loudness`] for options out of range, [`Error::SoundFont`] if it fails while playing.
pub fn render(score: &Score, options: &RenderOptions) -> Result<Pcm, Error> {
    let min = if matches!(options.voice, Voice::SoundFont(_)) { 16_000 } else { 8000 };
    if !(min..=192_000).contains(&options.sample_rate) {
        return Err(Error::SampleRate { min, max: 192_000, got: options.sample_rate });
    }
    let Second(tail) = options.tail;
    if !(0.0..=f64::from(MAX_TAIL)).contains(&tail) {
        return Err(Error::Tail { max_seconds: MAX_TAIL, got: tail });
    }
    if let Some(got) = options.loudness.filter(|target| !(-60.0..=0.0).contains(target)) {
        return Err(Error::Loudness { got });
    }
    if score.tracks.iter().all(|track| track.notes.is_empty()) {
        return Err(Error::EmptyScore);
    }
    let clock = Clock { score, sample_rate: f64::from(options.sample_rate) };
    // Drums ring as long as they like: only their onsets count.
    let end =
        score.tracks.iter().flat_map(|track| track.notes.iter().map(|note| note.end.max(note.onset))).max();
    let Second(end) = score.tempos.seconds_at(end.unwrap_or_default(), score.ppq);
    if end.is_nan() || end > f64::from(MAX_SECONDS) {
        return Err(Error::TooLong { max_seconds: MAX_SECONDS, got_seconds: end });
    }
    let frames = ((end + tail) * clock.sample_rate) as usize + 1;
    let channels = match &options.voice {
        Voice::Kit(kit) => render_built_in(&clock, *kit, frames).to_vec(),
        Voice::SoundFont(font) => soundfont::play(font, &clock, frames, options.sample_rate)?.to_vec(),
    };
    let mut pcm = Pcm { sample_rate: options.sample_rate, channels };
    if let Some(target) = options.loudness {
        match loudness::normalize(&mut pcm, target, CEILING_DBFS) {
            Ok(_) => {}
            Err(Error::Silence) => loudness::normalize_peak(&mut pcm, CEILING_DBFS),
            Err(other) => return Err(other),
        }
    }
    Ok(pcm)
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

fn render_built_in(clock: &Clock, kit: Kit, frames: usize) -> [Vec<f32>; 2] {
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
    render_drums(kit, &hits, clock.sample_rate, &mut bus);
    for track in tones {
        let notes = tone_notes(clock, track, frames);
        render_tone(track.program, &notes, clock.sample_rate, &mut bus);
    }
    bus.finish(clock.sample_rate)
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
