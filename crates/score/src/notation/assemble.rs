//! Measures read from a notation file become a [`Score`]: repeats played, ties merged, metres from what bars hold.
//!
//! A measure is as long as its contents. A short one is a change to the same metre behind it; one that is longer than its
//! metre says gets a metre of its own.

use super::repeats;
use crate::harmony::Chord;
use crate::{
    ChordChange, Error, KeyChange, Meter, MeterMap, Note, Ppq, Result, Score, TempoMap, Text, TextKind, Tick,
    Track,
};
use std::collections::BTreeMap;

/// Where nothing says how loud.
pub(super) const VELOCITY: u8 = 80;
/// Ticks a quarter where no one number of them holds every duration: whole for 2, 3, 5 and 7 parts.
pub(super) const FALLBACK: u16 = 10080;

/// The most bars as written, and the most notes and marks as heard.
const MAX_MEASURES: usize = 1 << 16;
const MAX_HEARD: usize = 4_000_000;
/// Notes of one pitch that may go on at once.
const MAX_OPEN: usize = 32;

/// A note with its ties; times in ticks from the start of the measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tone {
    pub onset: f64,
    pub length: f64,
    pub pitch: u8,
    pub velocity: u8,
    pub voice: u32,
    /// Continues a note before.
    pub stop: bool,
    /// Goes on.
    pub start: bool,
    pub unpitched: bool,
}

/// One measure of one part; the first of each pair is ticks from its start.
#[derive(Clone, Debug, Default)]
pub(super) struct Measure {
    pub tones: Vec<Tone>,
    pub tempos: Vec<(f64, f64)>,
    /// `(sharps, minor)` as it sounds.
    pub keys: Vec<(f64, (i8, bool))>,
    pub meter: Option<Meter>,
    pub chords: Vec<(f64, Option<Chord>)>,
    /// Verses and syllables, a hyphen at the end of those whose word goes on.
    pub lyrics: Vec<(f64, (u32, String))>,
    pub signs: repeats::Signs,
    /// How far its contents reach.
    pub length: f64,
    pub percussion: bool,
}

impl Measure {
    fn weight(&self) -> usize {
        self.tones.len() + self.tempos.len() + self.keys.len() + self.chords.len() + self.lyrics.len()
    }
}

/// What becomes a track.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub name: String,
    /// The next free one, or 9 for drums, where the file does not say.
    pub channel: Option<u8>,
    pub program: u8,
    /// Staves or voices, measure by measure; they are mixed.
    pub lines: Vec<Vec<Measure>>,
}

/// # Errors
/// [`Error::Notation`] for more bars or ticks than a score has.
pub(super) fn score(parts: &[Part], ppq: Ppq) -> Result<Score> {
    let lines: Vec<&[Measure]> = parts.iter().flat_map(|part| &part.lines).map(Vec::as_slice).collect();
    let longest = lines.iter().map(|line| line.len()).max().unwrap_or(0);
    if longest > MAX_MEASURES {
        return Err(Error::Notation(format!("a piece must have at most {MAX_MEASURES} bars, got {longest}")));
    }
    let bars = bars(&lines, ppq);
    let signs: Vec<_> = (0..bars.len()).map(|bar| signs(&lines, bar)).collect();
    let order = repeats::order(&signs)?;
    // A bar of a thousand notes, a thousand times.
    let weight = |line: &[Measure], bar: usize| line.get(bar).map_or(0, Measure::weight);
    let heard =
        order.iter().map(|&bar| lines.iter().map(|line| weight(line, bar)).sum::<usize>()).sum::<usize>();
    if heard > MAX_HEARD {
        return Err(Error::Notation(format!(
            "a piece must have at most {MAX_HEARD} notes and marks with its repeats, got {heard}"
        )));
    }
    let mut score = Score { ppq, ..Score::default() };
    let starts = timeline(&mut score, &bars, &order, &lines)?;
    let mut free = (0..16u8).filter(|channel| *channel != 9).cycle();
    for part in parts {
        let mut notes = Vec::new();
        for line in &part.lines {
            notes.extend(self::notes(line, &order, &starts)?);
            lyrics(&mut score.texts, line, &order, &starts, &part.name)?;
        }
        notes.sort_by_key(|note| note.onset);
        let mut measures = part.lines.iter().flatten();
        let unpitched = measures.clone().any(|it| it.percussion)
            || measures.find_map(|it| it.tones.first()).is_some_and(|tone| tone.unpitched);
        let next = free.next().unwrap_or(0);
        let channel = part.channel.unwrap_or(if unpitched { 9 } else { next });
        let (name, program) = (part.name.clone(), part.program);
        score.tracks.push(Track { name, channel, program, notes, controls: Vec::new() });
    }
    score.texts.sort_by_key(|text| text.at);
    let last = starts.last().zip(order.last()).map_or(0.0, |(start, bar)| start + bars[*bar].length);
    Ok(score.until(Tick(last.round() as u32)))
}

/// A measure of the whole score.
struct Bar {
    /// What the signature in force says, if there was one yet.
    meter: Option<Meter>,
    /// Ticks.
    length: f64,
    /// Its length is not its metre's.
    odd: bool,
    /// A repeat sign stands at its start or at the end of the bar before.
    repeats: bool,
}

fn bars(lines: &[&[Measure]], ppq: Ppq) -> Vec<Bar> {
    let count = lines.iter().map(|line| line.len()).max().unwrap_or(0);
    let quarter = f64::from(ppq.get());
    let mut meter = None;
    let bar = |index: usize| {
        let measures = || lines.iter().filter_map(move |line| line.get(index));
        meter = measures().find_map(|measure| measure.meter).or(meter);
        let full = meter.unwrap_or_default().beats_per_bar() * quarter;
        let before = index.checked_sub(1);
        let closed = before.is_some_and(|before| {
            lines.iter().filter_map(|line| line.get(before)).any(|it| it.signs.end.is_some())
        });
        let repeats = closed || measures().any(|measure| measure.signs.start);
        let contents = measures().map(|measure| measure.length).fold(0.0, f64::max);
        // Rounded durations may miss the end by a little.
        let exact = contents == 0.0 || (contents - full).abs() < quarter / 16.0;
        Bar { meter, length: if exact { full } else { contents }, odd: !exact, repeats }
    };
    (0..count).map(bar).collect()
}

fn signs(lines: &[&[Measure]], bar: usize) -> repeats::Signs {
    let mut signs = repeats::Signs::default();
    for measure in lines.iter().filter_map(|line| line.get(bar)) {
        signs.start |= measure.signs.start;
        signs.end = signs.end.max(measure.signs.end);
        signs.ending = signs.ending.or_else(|| measure.signs.ending.clone());
        signs.ending_stops |= measure.signs.ending_stops;
    }
    signs
}

/// Writes metres, keys, tempos and chords into the score; returns the start of each played bar in ticks.
fn timeline(score: &mut Score, bars: &[Bar], order: &[usize], lines: &[&[Measure]]) -> Result<Vec<f64>> {
    let quarter = f64::from(score.ppq.get());
    // Keys and chords are those of the first line that has some.
    let first = |has: fn(&Measure) -> bool| lines.iter().find(|line| line.iter().any(has));
    let keyed = first(|measure| !measure.keys.is_empty());
    let chorded = first(|measure| !measure.chords.is_empty());
    let (mut meters, mut tempos) = (Vec::new(), Vec::new());
    // Ticks of a short bar just played.
    let mut held = 0.0;
    let (mut meter, mut odd, mut key, mut before) = (None, false, None, None);
    let (mut at, mut starts) = (0.0f64, Vec::with_capacity(order.len()));
    let (mut tempo, mut keys_of, mut tempo_of) = (None, BTreeMap::new(), BTreeMap::new());
    for &index in order {
        starts.push(at);
        let bar = &bars[index];
        let tick = |inside: f64| tick(at + inside);
        // Where a measure is longer than its metre, it has one of its own.
        let own = bar
            .meter
            .filter(|_| bar.odd && bar.length > bar.meter.unwrap_or_default().beats_per_bar() * quarter);
        let now = own.map_or(bar.meter, |_| fitting(bar.length / quarter).or(bar.meter));
        // Two parts of a bar on both sides of a repeat sign are one bar.
        let full = bar.meter.unwrap_or_default().beats_per_bar() * quarter;
        let halves = bar.odd && bar.repeats && meter == now && (held + bar.length - full).abs() < 1.0;
        held = if bar.odd && !halves { bar.length } else { 0.0 };
        if let Some(new) = now.filter(|new| meter != Some(*new) || odd && !halves) {
            meters.push((tick(0.0)?, new));
        }
        (meter, odd) = (now, bar.odd && !halves);
        let jumped = before.is_some_and(|before: usize| before + 1 != index);
        before = Some(index);
        // A jump brings back what was in force at its goal.
        if jumped {
            if let Some(&(sharps, minor)) = keys_of.get(&index).filter(|it| Some(**it) != key) {
                score.keys.push(KeyChange { at: tick(0.0)?, sharps, minor });
                key = Some((sharps, minor));
            }
            if let Some(&bpm) = tempo_of.get(&index).filter(|it| Some(**it) != tempo) {
                tempos.push((tick(0.0)?, microseconds(bpm)));
                tempo = Some(bpm);
            }
        } else {
            key.map(|key| keys_of.entry(index).or_insert(key));
            tempo.map(|tempo| tempo_of.entry(index).or_insert(tempo));
        }
        for (inside, (sharps, minor)) in keyed.and_then(|line| line.get(index)).iter().flat_map(|it| &it.keys)
        {
            let again = jumped && key == Some((*sharps, *minor));
            if !again {
                score.keys.push(KeyChange { at: tick(*inside)?, sharps: *sharps, minor: *minor });
            }
            key = Some((*sharps, *minor));
        }
        for (inside, bpm) in lines.iter().filter_map(|line| line.get(index)).flat_map(|it| &it.tempos) {
            tempos.push((tick(*inside)?, microseconds(*bpm)));
            tempo = Some(*bpm);
        }
        for (inside, chord) in chorded.and_then(|line| line.get(index)).iter().flat_map(|it| &it.chords) {
            score.chords.push(ChordChange { at: tick(*inside)?, chord: chord.clone() });
        }
        at += bar.length;
    }
    score.keys.sort_by_key(|key| key.at);
    score.chords.sort_by_key(|chord| chord.at);
    score.meters = MeterMap::new(meters);
    score.tempos = TempoMap::new(tempos);
    Ok(starts)
}

fn microseconds(bpm: f64) -> u32 {
    (60e6 / bpm).round() as u32
}

/// The nearest tick.
fn tick(at: f64) -> Result<Tick> {
    let rounded = at.round();
    if rounded > f64::from(u32::MAX / 2) {
        return Err(Error::Notation("the piece is longer than 2147483647 ticks".into()));
    }
    Ok(Tick(rounded as u32))
}

/// A metre of so many quarters, if there is one.
fn fitting(quarters: f64) -> Option<Meter> {
    [4u8, 8, 16, 32, 64].into_iter().find_map(|denominator| {
        let numerator = quarters * f64::from(denominator) / 4.0;
        let whole = numerator.round();
        let fits = (numerator - whole).abs() < 1e-6 && (1.0..=255.0).contains(&whole);
        fits.then_some(Meter { numerator: whole as u8, denominator })
    })
}

/// The words of a part as they are sung: at the n-th time through a bar its n-th verse, or the first of a bar that has
/// fewer.
fn lyrics(
    texts: &mut Vec<Text>,
    measures: &[Measure],
    order: &[usize],
    starts: &[f64],
    name: &str,
) -> Result<()> {
    let mut times = vec![0u32; measures.len()];
    for (&index, &start) in order.iter().zip(starts) {
        let Some(measure) = measures.get(index).filter(|measure| !measure.lyrics.is_empty()) else {
            continue;
        };
        times[index] += 1;
        let verses = || measure.lyrics.iter().map(|(_, (verse, _))| *verse);
        let verse = verses().find(|verse| *verse == times[index]).or_else(|| verses().min());
        for (inside, (_, text)) in measure.lyrics.iter().filter(|(_, (other, _))| Some(*other) == verse) {
            let (at, text, track) = (tick(start + inside)?, text.clone(), name.to_owned());
            texts.push(Text { at, kind: TextKind::Lyric, text, track });
        }
    }
    Ok(())
}

/// The notes of a part as they are played, ties merged.
fn notes(measures: &[Measure], order: &[usize], starts: &[f64]) -> Result<Vec<Note>> {
    let mut notes: Vec<Note> = Vec::new();
    // Notes that go on: by pitch, `(voice, index, end in ticks)`.
    let mut open: BTreeMap<u8, Vec<(u32, usize, f64)>> = BTreeMap::new();
    for (&index, &start) in order.iter().zip(starts) {
        let Some(measure) = measures.get(index) else { continue };
        let mut tones: Vec<&Tone> = measure.tones.iter().collect();
        tones.sort_by(|a, b| a.onset.total_cmp(&b.onset));
        for tone in tones {
            let (onset, end) = (start + tone.onset, start + tone.onset + tone.length);
            let waiting = open.entry(tone.pitch).or_default();
            let here = |it: &&(u32, usize, f64)| (it.2 - onset).abs() < 1.0;
            let own = waiting
                .iter()
                .filter(here)
                .find(|it| it.0 == tone.voice)
                .or_else(|| waiting.iter().find(here));
            let from = own.filter(|_| tone.stop).map(|it| it.1);
            let note = match from {
                Some(note) => {
                    waiting.retain(|it| it.1 != note);
                    notes[note].end = tick(end)?;
                    note
                }
                None => {
                    let (pitch, velocity) = (tone.pitch, tone.velocity);
                    notes.push(Note { onset: tick(onset)?, end: tick(end)?, pitch, velocity });
                    notes.len() - 1
                }
            };
            if tone.start {
                // What nothing continued is over.
                waiting.retain(|it| it.2 > onset - 1.0);
                waiting.truncate(MAX_OPEN);
                waiting.push((tone.voice, note, end));
            }
        }
    }
    notes.sort_by_key(|note| note.onset);
    Ok(notes)
}
