//! How much one task may make: everything it makes is in memory at once.

use partita_score::Score;

use crate::Code;
use crate::request::FileFormat;
use crate::request::problems::Problems;

/// Frames of one sound: ten minutes at 44.1 kHz. A render takes 28 bytes a frame at its peak.
const MOST_FRAMES: f64 = 600.0 * 44_100.0;
/// Frames of all sounds of a task.
const MOST_FRAMES_IN_ALL: f64 = 3.0 * MOST_FRAMES;
/// Seconds of sound that a task may generate, all clips together. Samples are f32, files have two bytes a sample.
const MOST_SECONDS: f64 = 600.0;
/// Bars of a picture.
const MOST_BARS_DRAWN: u32 = 128;
/// Notes of all takes of a task.
const MOST_NOTES_IN_ALL: usize = 400_000;
/// What rings on after the last note, seconds.
const TAIL: f64 = 1.5;

/// How long a piece is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub seconds: f64,
    pub bars: u32,
    /// Notes that come from the request.
    pub notes: usize,
}

impl Size {
    /// The size of a whole score.
    pub fn of(score: &Score) -> Size {
        let notes = score.tracks.iter().map(|track| track.notes.len()).sum();
        Size { seconds: score.duration().0, bars: bars(score), notes }
    }
}

/// Bars in which a note starts: the last one may ring into the next bar.
pub(crate) fn bars(score: &Score) -> u32 {
    let onsets = score.tracks.iter().flat_map(|track| &track.notes).map(|note| note.onset.0);
    let until = onsets.max().map_or(0, |last| last.saturating_add(1));
    // At most `BAR_LIMIT` of them.
    score.meters.bar_starts(partita_score::Tick(until), score.ppq).len() as u32
}

/// What the pieces of a task take so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    frames: f64,
    notes: usize,
    /// Of generated sound.
    seconds: f64,
}

impl Tally {
    /// Adds generated sound; tells when it is too much.
    pub fn sound(&mut self, seconds: f64, problems: &mut Problems) {
        let before = self.seconds;
        self.seconds += seconds;
        if self.seconds > MOST_SECONDS && before <= MOST_SECONDS {
            let allowed = format!("at most {MOST_SECONDS} in all variations together");
            problems.add("seconds", &allowed, self.seconds);
        }
    }

    /// Adds `takes` pieces of a size, each with its `files`; tells what is too much.
    pub fn add(
        &mut self,
        size: &Size,
        files: &[FileFormat],
        takes: usize,
        sample_rate: u32,
        problems: &mut Problems,
    ) {
        let mut too_much = |detail: String| problems.say(Code::InvalidRequest, "files", detail, None);
        let rate = f64::from(sample_rate.max(1));
        if files.iter().any(|file| file.is_sound()) {
            let one = (size.seconds + TAIL) * rate;
            let all = self.frames + one * takes as f64;
            let seconds = |frames: f64| (frames / rate).floor();
            if one > MOST_FRAMES {
                let (most, got) = (seconds(MOST_FRAMES), (one / rate).ceil());
                too_much(format!("must hold sound only for at most {most} seconds of music, got {got}"));
            } else if all > MOST_FRAMES_IN_ALL && self.frames <= MOST_FRAMES_IN_ALL {
                let (most, got) = (seconds(MOST_FRAMES_IN_ALL), (all / rate).ceil());
                too_much(format!("must hold sound only for at most {most} seconds in all takes, got {got}"));
            }
            self.frames = all;
        }
        let draws = files.contains(&FileFormat::Svg) || files.contains(&FileFormat::Png);
        if draws && size.bars > MOST_BARS_DRAWN {
            too_much(format!(
                "must hold a picture only for at most {MOST_BARS_DRAWN} bars, got {}",
                size.bars
            ));
        }
        let before = self.notes;
        self.notes = before.saturating_add(size.notes.saturating_mul(takes));
        if self.notes > MOST_NOTES_IN_ALL && before <= MOST_NOTES_IN_ALL && takes > 1 {
            let most = (MOST_NOTES_IN_ALL / size.notes.max(1)).max(1);
            problems.add("variations", &format!("1..={most} with so many notes"), takes);
        }
    }
}
