//! `inspect`: what is in a MIDI file.

use std::fmt::Write;

use clap::Args;
use partita_score::swing::{self, SwingUnit};
use partita_score::{
    Control, ControlKind, DrumClass, DrumPattern, KeyChange, QuantizedDrums, Score, Tick, Track, picture,
};
use serde_json::{Value, json};

use crate::deliver::{Input, PictureFormat};
use crate::error::Result;
use crate::output::{Staging, Target};
use crate::report::{self, count, round};
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI file, - for stdin
    #[arg(value_name = "IN.mid")]
    input: Target,
    /// Picture to write: the drums' grid, or a piano roll where there are none
    #[arg(long, value_name = "FILE.svg|png")]
    picture: Option<Target>,
    /// Replace a file that is already there
    #[arg(short, long)]
    force: bool,
}

/// Bars of the grid that are shown unless asked for all with `-v`.
const BARS_SHOWN: u32 = 8;

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let input = Input::read(&options.input)?;
    let score = &input.score;
    let drums = input.drums();
    let mut staging = Staging::new(options.force);
    if let Some(target) = &options.picture {
        let format = PictureFormat::of(target)?;
        let slot = staging.add("picture", target)?;
        let drawing = match &drums {
            Ok(drums) => picture::drum_grid(&drums.pattern),
            Err(_) => picture::piano_roll(score),
        };
        staging.write(slot, &format.encode(&drawing)?)?;
    }
    let elsewhere = staging.has_stdout();
    if elsewhere && session.json {
        return Err(crate::error::Error::usage(
            "picture",
            "picture - cannot go with --json, which needs stdout",
        ));
    }
    staging.commit()?;
    let facts = Facts::of(&input);
    let measures = drums.as_ref().map(Measures::of);
    let mut object = facts.to_json();
    object["drums"] = match (&measures, &drums) {
        (Ok(measures), Ok(drums)) => measures.to_json(drums),
        _ => Value::Null,
    };
    if let Err(error) = &drums {
        object["drums_error"] = json!(error.message);
    }
    let mut text = facts.to_text();
    match (&measures, &drums) {
        (Ok(measures), Ok(drums)) => {
            text.push_str(&measures.to_text(drums));
            let all = session.verbose || drums.pattern.bars <= BARS_SHOWN;
            let shown = if all { drums.pattern.clone() } else { drums.pattern.slice_bars(0..BARS_SHOWN)? };
            let _ = writeln!(text, "\n{}", report::grid(session, &shown).trim_end());
            if !all {
                let _ = writeln!(text, "the first {BARS_SHOWN} of {} bars; -v shows all", drums.pattern.bars);
            }
        }
        _ => {
            let reason = drums.as_ref().err().map_or("", |error| error.message.as_str());
            let reason = reason.strip_prefix(&format!("{}: ", input.name)).unwrap_or(reason);
            let _ = writeln!(text, "{:<8} {reason}", "drums");
        }
    }
    session.answer(&object, &text, elsewhere)
}

/// What holds for the whole file.
struct Facts<'a> {
    input: &'a Input,
    /// 0, 1 or 2.
    format: u16,
    bars: usize,
}

impl Facts<'_> {
    fn of(input: &Input) -> Facts<'_> {
        // The reader has found this header already, so it is there.
        let header = input.bytes.windows(4).position(|bytes| bytes == b"MThd").unwrap_or(0);
        let byte = |at: usize| u16::from(input.bytes.get(header + at).copied().unwrap_or(0));
        // Bars in which a note starts, as the last one may ring into the next bar, and silent ones after them.
        let onsets = input.score.tracks.iter().flat_map(|track| &track.notes).map(|note| note.onset.0);
        let until = onsets.max().map_or(Tick(0), |last| Tick(last.saturating_add(1)));
        let until = until.max(input.score.silence);
        let bars = input.score.meters.bar_starts(until, input.score.ppq).len();
        Facts { input, format: byte(8) << 8 | byte(9), bars }
    }

    fn tempos(&self) -> Vec<(Tick, f64)> {
        let score = &self.input.score;
        let tempos = score.tempos.changes().iter().map(|(at, _)| (*at, round(score.tempos.bpm_at(*at), 2)));
        tempos.collect()
    }

    fn to_json(&self) -> Value {
        let score = &self.input.score;
        let beat = |at: Tick| round(at.beats(score.ppq).0, 3);
        let meters = score.meters.changes().iter();
        let tracks = score.tracks.iter().map(|track| {
            let pitches = range(track);
            json!({
                "name": track.name,
                "channel": track.channel,
                "program": track.program,
                "drums": track.is_drums(),
                "notes": track.notes.len(),
                "lowest": pitches.map(|(low, _)| low),
                "highest": pitches.map(|(_, high)| high),
                "controls": track.controls.len(),
            })
        });
        json!({
            "file": self.input.name,
            "bytes": self.input.bytes.len(),
            "format": self.format,
            "ppq": score.ppq.get(),
            "seconds": round(score.duration().0, 3),
            "bars": self.bars,
            "notes": score.tracks.iter().map(|track| track.notes.len()).sum::<usize>(),
            "tempos": self.tempos().into_iter().map(|(at, bpm)| json!({ "beat": beat(at), "bpm": bpm })).collect::<Vec<_>>(),
            "meters": meters.map(|(at, meter)| json!({ "beat": beat(*at), "meter": meter.to_string() })).collect::<Vec<_>>(),
            "keys": score.keys.iter().map(|key| json!({ "beat": beat(key.at), "key": key_name(key) })).collect::<Vec<_>>(),
            "tracks": tracks.collect::<Vec<_>>(),
        })
    }

    fn to_text(&self) -> String {
        let score = &self.input.score;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<8} {value}");
        };
        let seconds = score.duration().0;
        let duration = format!("{}:{:04.1}", (seconds / 60.0) as u64, seconds % 60.0);
        let (format, ppq, bars) = (self.format, score.ppq.get(), count(self.bars, "bar"));
        line(
            "file",
            format!("{}: format {format}, {ppq} ticks a quarter, {duration}, {bars}", self.input.name),
        );
        let changes = |texts: Vec<(Tick, String)>, default: &str| match &texts[..] {
            [] => format!("{default} (not told)"),
            [(Tick(0), only)] => only.clone(),
            [first, ..] if texts.len() > 6 => {
                let last = &texts[texts.len() - 1];
                format!(
                    "{} at {}, ... {} at {} ({} in all)",
                    first.1,
                    at(score, first.0),
                    last.1,
                    at(score, last.0),
                    texts.len()
                )
            }
            _ => texts
                .iter()
                .map(|(tick, text)| format!("{text} at {}", at(score, *tick)))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let tempos = self.tempos().into_iter().map(|(tick, bpm)| (tick, format!("{bpm} bpm"))).collect();
        line("tempo", changes(tempos, "120 bpm"));
        let meters = score.meters.changes().iter().map(|(tick, meter)| (*tick, meter.to_string())).collect();
        line("metre", changes(meters, "4/4"));
        if !score.keys.is_empty() {
            line("key", changes(score.keys.iter().map(|key| (key.at, key_name(key))).collect(), ""));
        }
        if !score.tracks.is_empty() {
            let widest =
                score.tracks.iter().map(|track| shown_name(track).chars().count()).max().unwrap_or(0).max(5);
            line("tracks", format!("{:widest$}  channel  program  notes  range", "name"));
            for track in &score.tracks {
                let range = range(track).map_or("-".into(), |(low, high)| {
                    if track.is_drums() {
                        format!("{low}-{high}")
                    } else {
                        format!("{}-{}", pitch(low), pitch(high))
                    }
                });
                let program = if track.is_drums() { "drums".into() } else { (track.program + 1).to_string() };
                let (name, channel, notes) = (shown_name(track), track.channel + 1, track.notes.len());
                let bends = track.controls.iter().filter(|c| is_bend(c)).count();
                let extra = match (track.controls.len(), bends) {
                    (0, _) => String::new(),
                    (all, 0) => format!("  {}", count(all, "control")),
                    (all, bends) => format!("  {}, {}", count(all, "control"), count(bends, "bend")),
                };
                line("", format!("{name:widest$}  {channel:>7}  {program:>7}  {notes:>5}  {range}{extra}"));
            }
        }
        text
    }
}

fn is_bend(control: &Control) -> bool {
    matches!(control.kind, ControlKind::PitchBend { .. })
}

fn shown_name(track: &Track) -> String {
    let name: String = track.name.chars().filter(|c| !c.is_control()).take(24).collect();
    if name.is_empty() { "-".into() } else { name }
}

/// `bar 3`, counted from 1.
fn at(score: &Score, tick: Tick) -> String {
    let before = score.meters.bar_starts(Tick(tick.0.saturating_add(1)), score.ppq).len();
    format!("bar {}", before.max(1))
}

fn range(track: &Track) -> Option<(u8, u8)> {
    let pitches = || track.notes.iter().map(|note| note.pitch);
    pitches().min().zip(pitches().max())
}

/// 60 is C4.
fn pitch(pitch: u8) -> String {
    const NAMES: [&str; 12] = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
    format!("{}{}", NAMES[usize::from(pitch % 12)], i32::from(pitch / 12) - 1)
}

fn key_name(key: &KeyChange) -> String {
    // From seven flats to seven sharps, along the circle of fifths.
    const FIFTHS: [&str; 18] =
        ["Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#"];
    let place = usize::try_from(i32::from(key.sharps.clamp(-7, 7)) + 7).unwrap_or(7);
    let (place, mode) = if key.minor { (place + 3, "minor") } else { (place, "major") };
    format!("{} {mode}", FIFTHS[place])
}

/// What the drums are like.
struct Measures {
    hits_per_bar: f64,
    /// Hits a sixteenth.
    density: f64,
    velocity: f64,
    mean_ms: f64,
    median_ms: f64,
    spread_ms: f64,
    sixteenths: Option<f64>,
    eighths: Option<f64>,
}

impl Measures {
    fn of(drums: &QuantizedDrums) -> Measures {
        let pattern = &drums.pattern;
        let hits = pattern.hits.len() as f64;
        let step_ms = 15_000.0 / pattern.tempo;
        let mut offsets: Vec<f64> = pattern.hits.iter().map(|hit| f64::from(hit.offset) * step_ms).collect();
        offsets.sort_by(f64::total_cmp);
        let mean = offsets.iter().sum::<f64>() / hits;
        let spread = (offsets.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / hits).sqrt();
        let (low, high) = ((offsets.len() - 1) / 2, offsets.len() / 2);
        let measure = |unit| swing::measure(pattern, unit).map(|place| round(place, 3));
        Measures {
            hits_per_bar: round(hits / f64::from(pattern.bars), 2),
            density: round(hits / f64::from(pattern.steps()), 3),
            velocity: round(pattern.hits.iter().map(|hit| f64::from(hit.velocity)).sum::<f64>() / hits, 1),
            mean_ms: round(mean, 2),
            median_ms: round((offsets[low] + offsets[high]) / 2.0, 2),
            spread_ms: round(spread, 2),
            sixteenths: measure(SwingUnit::Sixteenth),
            eighths: measure(SwingUnit::Eighth),
        }
    }

    fn to_json(&self, drums: &QuantizedDrums) -> Value {
        let classes =
            per_class(&drums.pattern).into_iter().map(|(class, hits)| (class.name().to_owned(), json!(hits)));
        json!({
            "bars": drums.pattern.bars,
            "meter": drums.pattern.meter.to_string(),
            "tempo": round(drums.pattern.tempo, 3),
            "tempo_changes": drums.tempo_changes,
            "unmapped": drums.unmapped,
            "hits_per_class": classes.collect::<serde_json::Map<_, _>>(),
            "hits_per_bar": self.hits_per_bar,
            "hits_per_step": self.density,
            "mean_velocity": self.velocity,
            "microtiming_ms": { "mean": self.mean_ms, "median": self.median_ms, "deviation": self.spread_ms },
            "swing": { "sixteenths": self.sixteenths, "eighths": self.eighths },
            "hits": report::hits(&drums.pattern),
        })
    }

    fn to_text(&self, drums: &QuantizedDrums) -> String {
        let pattern = &drums.pattern;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<8} {value}");
        };
        let mut hits =
            format!("{} in {}", count(pattern.hits.len(), "hit"), count(pattern.bars as usize, "bar"));
        if drums.unmapped > 0 {
            let _ = write!(hits, ", {} more on no known drum", count(drums.unmapped, "note"));
        }
        line("drums", hits);
        let classes = per_class(pattern).into_iter().map(|(class, hits)| format!("{} {hits}", class.name()));
        line("", classes.collect::<Vec<_>>().join(", "));
        line("density", format!("{} hits a bar, {} a sixteenth", self.hits_per_bar, self.density));
        let place = |place: Option<f64>| place.map_or("no off-beats".into(), |place| format!("{place:.3}"));
        line("swing", format!("sixteenths {}, eighths {}", place(self.sixteenths), place(self.eighths)));
        line("velocity", format!("{} on average", self.velocity));
        let (mean, median, spread) = (self.mean_ms, self.median_ms, self.spread_ms);
        line("timing", format!("{mean:+.1} ms on average, median {median:+.1} ms, deviation {spread:.1} ms"));
        text
    }
}

/// Hits of each drum that plays.
fn per_class(pattern: &DrumPattern) -> Vec<(DrumClass, usize)> {
    let of = |class| pattern.hits.iter().filter(|hit| hit.class == class).count();
    DrumClass::ALL.into_iter().map(|class| (class, of(class))).filter(|(_, hits)| *hits > 0).collect()
}
