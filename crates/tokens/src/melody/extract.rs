//! Melodies out of a sequence on a grid: a line per instrument, the highest note where several start.

use super::{Melody, MelodyEvent};
use partita_score::sequence::{QuantizedNote, QuantizedSequence};

/// What counts as a melody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extraction {
    /// As many silent bars end a melody, another may begin; `None`: none ever does.
    pub gap_bars: Option<u32>,
    /// Shorter melodies are dropped.
    pub min_bars: u32,
    /// Longer melodies are cut here.
    pub max_steps: Option<u32>,
    /// Whether the last bar is filled up.
    pub pad_end: bool,
}

/// No more steps are extracted from one sequence: 65536 bars. A small file can hold any number of instruments.
const MOST_STEPS: usize = 1 << 20;

/// The melodies of all instruments, lowest instrument first, each in order of time.
///
/// Each starts on a bar. Drums and notes of velocity 0 play no melody; a note that starts while another sounds ends
/// that one; of several that start together the highest counts. Empty where a bar has no whole number of steps.
///
/// Source: note-seq, `Melody.from_quantized_sequence`; Magenta, `extract_melodies`.
pub fn extract(sequence: &QuantizedSequence, how: Extraction) -> Vec<Melody> {
    let Some(bar) = sequence.steps_per_bar().filter(|&steps| steps > 0) else { return Vec::new() };
    let mut notes: Vec<&QuantizedNote> = sequence.notes.iter().collect();
    // Stable; the highest of those that start together comes first.
    notes.sort_by_key(|it| (it.note.instrument, it.start, std::cmp::Reverse(it.note.pitch)));
    let (mut melodies, mut steps) = (Vec::new(), 0);
    for player in notes.chunk_by(|a, b| a.note.instrument == b.note.instrument) {
        let mut search = 0;
        loop {
            let rest = &player[player.partition_point(|it| it.start < search)..];
            let Some(line) = Line::first(rest, search, bar, how) else { break };
            search = line.start_step + line.steps().next_multiple_of(bar);
            let melody = line.melody(bar, how);
            steps += melody.events.len();
            if steps > MOST_STEPS {
                return melodies;
            }
            if melody.events.len() as u32 >= bar.saturating_mul(how.min_bars) {
                melodies.push(melody);
            }
        }
    }
    melodies
}

/// Notes of one melody, one after another.
struct Line {
    start_step: u32,
    /// (start, end, pitch) from `start_step` on, sorted; an end may lie behind the next start.
    notes: Vec<(u32, u32, u8)>,
}

impl Line {
    /// The first melody of one instrument's notes, which start at `search` or later.
    fn first(notes: &[&QuantizedNote], search: u32, bar: u32, how: Extraction) -> Option<Line> {
        // A drum or a silent note sets the bar too.
        let first = notes.first()?.start;
        let start_step = first - (first - search) % bar;
        let gap = how.gap_bars.map(|bars| bars.saturating_mul(bar));
        let mut line = Line { start_step, notes: Vec::new() };
        for it in notes.iter().filter(|it| !it.note.is_drum && it.note.velocity > 0) {
            let (start, end) = (it.start - start_step, it.end.max(it.start + 1) - start_step);
            if let Some(&(on, off, _)) = line.notes.last() {
                if start == on {
                    continue;
                }
                if gap.is_some_and(|gap| start >= off && start - off >= gap) {
                    break;
                }
            }
            line.notes.push((start, end, it.note.pitch));
        }
        Some(line).filter(|line| !line.notes.is_empty())
    }

    /// Up to the end of the last note.
    fn steps(&self) -> u32 {
        self.notes.last().map_or(0, |&(_, end, _)| end)
    }

    fn melody(&self, bar: u32, how: Extraction) -> Melody {
        let whole = if how.pad_end { self.steps().next_multiple_of(bar) } else { self.steps() };
        let most = how.max_steps.map_or(whole, |max| if how.pad_end { max - max % bar } else { max });
        let mut events = Vec::new();
        for (index, &(start, end, pitch)) in self.notes.iter().enumerate() {
            if start >= most {
                break;
            }
            let next = self.notes.get(index + 1).map_or(whole, |&(next, ..)| next);
            events.resize(start as usize, MelodyEvent::NoEvent);
            events.push(MelodyEvent::NoteOn(pitch));
            if end < next {
                events.resize(end as usize, MelodyEvent::NoEvent);
                events.push(MelodyEvent::NoteOff);
            }
        }
        events.resize(whole.min(most) as usize, MelodyEvent::NoEvent);
        Melody { start_step: self.start_step, events }
    }
}
