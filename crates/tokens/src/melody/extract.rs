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
    let mut melodies = Vec::new();
    for player in notes.chunk_by(|a, b| a.note.instrument == b.note.instrument) {
        let mut search = 0;
        loop {
            let rest = &player[player.partition_point(|it| it.start < search)..];
            let Some(mut melody) = line(rest, search, bar, how) else { break };
            let steps = melody.events.len() as u32;
            search = melody.start_step + steps.next_multiple_of(bar);
            if steps < bar * how.min_bars {
                continue;
            }
            if let Some(max) = how.max_steps.filter(|&max| steps > max) {
                let cut = if how.pad_end { max - max % bar } else { max };
                melody.set_length(cut as usize);
            }
            if melody.events.iter().any(|event| matches!(event, MelodyEvent::NoteOn(_))) {
                melodies.push(melody);
            }
        }
    }
    melodies
}

/// The first melody of one instrument's notes, which start at `search` or later.
fn line(notes: &[&QuantizedNote], search: u32, bar: u32, how: Extraction) -> Option<Melody> {
    // A drum or a silent note sets the bar too.
    let first = notes.first()?.start;
    let start_step = first - (first - search) % bar;
    let gap = how.gap_bars.map(|bars| bars.saturating_mul(bar));
    let mut events: Vec<MelodyEvent> = Vec::new();
    let mut last: Option<(u32, u32)> = None;
    for it in notes.iter().filter(|it| !it.note.is_drum && it.note.velocity > 0) {
        let (start, end) = (it.start - start_step, it.end.max(it.start + 1) - start_step);
        if let Some((on, off)) = last {
            if start == on {
                continue;
            }
            if gap.is_some_and(|gap| start >= off && start - off >= gap) {
                break;
            }
        }
        events.truncate(start as usize);
        events.resize(end as usize, MelodyEvent::NoEvent);
        events[start as usize] = MelodyEvent::NoteOn(it.note.pitch);
        events.push(MelodyEvent::NoteOff);
        last = Some((start, end));
    }
    last?;
    // The end that is said last goes without saying.
    events.pop();
    let mut melody = Melody { start_step, events };
    if how.pad_end {
        let steps = melody.events.len() as u32;
        melody.set_length(steps.next_multiple_of(bar) as usize);
    }
    Some(melody)
}
