//! Melody, bass and drums together, sixteen bars at a time.
//!
//! A step is three ids: `[melody, bass, drums]`, of 90, 90 and 512 classes.
//!
//! Source: Magenta, `TrioConverter`.

use crate::drum_steps::{self, DrumExtraction, REDUCED};
use crate::excerpt::{ConvertError, Excerpt, Result, STEPS_PER_BAR, Scan, Wanted};
use crate::melody::{self, Extraction, MelodyEvent, PIANO, Voice};
use partita_score::sequence::{QuantizedNote, QuantizedSequence, TimedNote};
use partita_score::{NoteSequence, Second};

/// Classes of the three parts, in order.
pub const CLASSES: [u32; 3] = [90, 90, 512];
/// Bars of an example; they begin on every bar.
pub const BARS: u32 = 16;
/// Program of a bass made from ids: fingered electric bass.
pub const BASS_PROGRAM: u8 = 33;

/// Silent bars that a part may have on either side of what it plays.
const GAP_BARS: usize = 2;
/// What comes later is left out.
const MAX_BARS: usize = 1024;
/// Instruments with higher numbers are left out.
const MAX_INSTRUMENT: u32 = 127;
/// No more examples are listed: 42 instruments of each part would make millions, of 3 KB each.
const MOST_EXAMPLES: usize = 1 << 12;

/// A step of the three parts.
pub type TrioStep = [u32; 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Melody,
    Bass,
    Drums,
}

impl Part {
    const ALL: [(Part, &'static str); 3] =
        [(Part::Melody, "melody"), (Part::Bass, "bass"), (Part::Drums, "drums")];

    fn of(note: &TimedNote) -> Option<Part> {
        match note.program {
            _ if note.is_drum => Some(Part::Drums),
            0..=31 => Some(Part::Melody),
            32..=39 => Some(Part::Bass),
            _ => None,
        }
    }
}

/// One instrument of a piece.
struct Player {
    /// `None`: notes of several parts, or of none.
    part: Option<Part>,
    /// Whether it plays in a bar.
    covered: Vec<bool>,
    notes: Vec<QuantizedNote>,
}

/// Every example, combination by combination of melody, bass and drums; `[256]` steps each.
///
/// The three parts must play, with gaps of at most two bars. Parts with other bars than 16 sixteenths give nothing.
/// At most 4096 are listed. (Magenta keeps five.)
pub fn all(sequence: &NoteSequence) -> Vec<Excerpt<Vec<TrioStep>>> {
    scan(sequence).found
}

/// The one example in a sequence.
///
/// # Errors
/// [`ConvertError`]: no notes, another metre, a part that is missing, too short, not together, more than one example.
pub fn one(sequence: &NoteSequence) -> Result<Excerpt<Vec<TrioStep>>> {
    scan(sequence).one(Wanted { what: "a trio", hint: "", bars: BARS })
}

/// Notes from steps; [`crate::MAGENTA_QPM`] is the tempo of the original.
///
/// # Errors
/// [`ConvertError::BadToken`] for an id past its part's classes.
pub fn to_sequence(steps: &[TrioStep], qpm: f64) -> Result<NoteSequence> {
    let ids = |part: usize| -> Vec<u32> { steps.iter().map(|step| step[part]).collect() };
    let mut trio = melody::ids_to_sequence(&ids(0), &PIANO, Voice::default(), qpm)?;
    let bass = Voice { instrument: 1, program: BASS_PROGRAM, ..Voice::default() };
    let bass = melody::ids_to_sequence(&ids(1), &PIANO, bass, qpm)?;
    let drums = drum_steps::ids_to_sequence(&ids(2), REDUCED, qpm)?;
    for part in [bass, drums] {
        trio.total_time.0 = trio.total_time.0.max(part.total_time.0);
        trio.notes.extend(part.notes);
    }
    Ok(trio)
}

fn scan(sequence: &NoteSequence) -> Scan<Vec<TrioStep>> {
    let mut scan = Scan::default();
    for piece in sequence.split_on_time_changes() {
        scan.notes += piece.sequence.notes.len();
        let Some(quantized) = scan.quantize(&piece) else { continue };
        let bars = (quantized.total_steps.div_ceil(STEPS_PER_BAR) as usize).min(MAX_BARS);
        scan.longest = scan.longest.max(bars as u32);
        let players = players(&quantized, bars);
        let missing = Part::ALL.iter().find(|(part, _)| !players.iter().any(|it| it.part == Some(*part)));
        if let Some(&(_, missing)) = missing {
            scan.fault = scan.fault.or(Some(ConvertError::NoTrioPart { missing }));
            continue;
        }
        let steps = length(&quantized, bars);
        let lines: Vec<_> = players.iter().map(|player| Line::new(&quantized, player, steps)).collect();
        let found = scan.found.len();
        let of = |part| lines.iter().flatten().filter(move |line: &&Line| line.part == part);
        let seconds = quantized.seconds_per_step();
        for melody in of(Part::Melody) {
            for bass in of(Part::Bass) {
                for drums in of(Part::Drums) {
                    let group = [melody, bass, drums];
                    let room = MOST_EXAMPLES - scan.found.len();
                    for first in windows(&group, bars).into_iter().take(room) {
                        let range =
                            first * STEPS_PER_BAR as usize..(first + BARS as usize) * STEPS_PER_BAR as usize;
                        let value = range.clone().map(|step| group.map(|line| line.id(step))).collect();
                        let start = Second(piece.start.0 + range.start as f64 * seconds);
                        scan.found.push(Excerpt { value, start, qpm: quantized.qpm });
                    }
                }
            }
        }
        if bars >= BARS as usize && scan.found.len() == found {
            scan.fault = scan.fault.or(Some(ConvertError::NotTogether { needs: BARS }));
        }
    }
    scan
}

/// Instruments by number.
fn players(sequence: &QuantizedSequence, bars: usize) -> Vec<Player> {
    let mut notes: Vec<&QuantizedNote> = sequence.notes.iter().collect();
    notes.retain(|it| it.note.instrument <= MAX_INSTRUMENT);
    notes.sort_by_key(|it| it.note.instrument);
    let player = |notes: &[&QuantizedNote]| {
        let part = Part::of(&notes[0].note);
        let same = notes.iter().all(|it| Part::of(&it.note) == part);
        let mut covered = vec![false; bars];
        for it in notes {
            let first = (it.start / STEPS_PER_BAR) as usize;
            let end = (it.end.div_ceil(STEPS_PER_BAR) as usize).min(bars);
            if first < end {
                covered[first..end].fill(true);
            }
        }
        Player { part: part.filter(|_| same), covered, notes: notes.iter().map(|it| **it).collect() }
    };
    notes.chunk_by(|a, b| a.note.instrument == b.note.instrument).map(player).collect()
}

/// Steps that every line is filled up to, to the bit as the original rounds them by way of seconds.
fn length(sequence: &QuantizedSequence, bars: usize) -> usize {
    let total = (bars * STEPS_PER_BAR as usize * 60) as f64 / sequence.qpm / 4.0;
    let per_second = 4.0 * sequence.qpm / 60.0;
    (total * per_second + 0.5) as usize
}

/// The ids of one instrument over the whole piece.
struct Line {
    part: Part,
    ids: Vec<u32>,
    /// Bars in which it plays, or does within two bars.
    near: Vec<bool>,
}

impl Line {
    /// `None` for an instrument of no part, or with nothing to play.
    fn new(sequence: &QuantizedSequence, player: &Player, total: usize) -> Option<Line> {
        let part = player.part?;
        let known = |it: &&QuantizedNote| part == Part::Drums || PIANO.contains(&it.note.pitch);
        let own = QuantizedSequence {
            notes: player.notes.iter().filter(known).copied().collect(),
            chords: Vec::new(),
            ..*sequence
        };
        let ids = match part {
            Part::Drums => drum_ids(&own, total)?,
            Part::Melody | Part::Bass => melody_ids(&own, total)?,
        };
        let reach = |bar: usize| bar.saturating_sub(GAP_BARS)..(bar + GAP_BARS + 1).min(player.covered.len());
        let near = (0..player.covered.len()).map(|bar| player.covered[reach(bar)].contains(&true));
        Some(Line { part, ids, near: near.collect() })
    }

    fn id(&self, step: usize) -> u32 {
        self.ids.get(step).copied().unwrap_or(0)
    }
}

fn melody_ids(sequence: &QuantizedSequence, total: usize) -> Option<Vec<u32>> {
    let how = Extraction { gap_bars: None, min_bars: 1, max_steps: None, pad_end: true };
    let mut melody = melody::extract(sequence, how).into_iter().next()?;
    melody.events.splice(0..0, vec![MelodyEvent::NoEvent; melody.start_step as usize]);
    melody.set_length(total);
    melody.events.iter().map(|event| event.id(&PIANO).ok()).collect()
}

fn drum_ids(sequence: &QuantizedSequence, total: usize) -> Option<Vec<u32>> {
    let how = DrumExtraction { gap_bars: None, min_bars: 1, max_steps: None, pad_end: true };
    let track = drum_steps::extract(sequence, |note| REDUCED.class(note.pitch), how).into_iter().next()?;
    let mut ids = vec![0; track.start_step as usize];
    // Nine classes: a set is below 512.
    ids.extend(track.sets.iter().map(|&set| set as u32));
    ids.resize(total, 0);
    Some(ids)
}

/// First bars of the windows in which all three are there.
fn windows(group: &[&Line; 3], bars: usize) -> Vec<usize> {
    let mut covered: Vec<bool> = (0..bars).map(|bar| group.iter().all(|line| line.near[bar])).collect();
    // At both ends one part is enough, so that a slice can be cut again.
    let (head, tail) = (GAP_BARS.min(bars), bars.saturating_sub(GAP_BARS));
    for range in [0..head, tail..bars] {
        let any = group.iter().any(|line| line.near[range.clone()].contains(&true));
        covered[range].fill(any);
    }
    let mut run = 0;
    let mut starts = Vec::new();
    for (bar, covered) in (1..).zip(covered) {
        run = if covered { run + 1 } else { 0 };
        if run >= BARS as usize {
            starts.push(bar - BARS as usize);
        }
    }
    starts
}
