//! One model for many requests: their clips meet in the steps of one loop.
//!
//! ```text
//! request thread                                loop thread
//! Shared::play                                  SharedLoop::run
//!   clips ---------------- arrivals ----------->  wait in line, join when there is room
//!   samples, watch <------ frames --------------  step, step, step
//!   watch breaks --------- gone --------------->  looked at between steps
//! ```
//! The loop only steps; frames become samples where the request waits. Whoever leaves, in whatever way, is noticed
//! before the next step, and a loop that ends answers everybody with [`Error::Stopped`]. Which clip gets a free place:
//! of the request with the fewest on the stage, the one that came first; so a request of many variations does not keep
//! out one of a single clip. **Rule:** what a clip gets depends on its own request and seed alone.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use partita_kernels::{Compute, Path, Pool};

use super::generate::{Generate, Prepared, Progress};
use super::stage::{Clip, Frames, Stage};
use super::voices::Voices;
use super::{Error, MusicGen};

/// A waiting request looks at its watch at least this often.
const LOOK_AFTER: Duration = Duration::from_millis(25);
/// The memory of clips is kept this long after the last one has ended.
const KEEP_FOR: Duration = Duration::from_secs(5);
/// Bits of a tag that hold the variation.
const VARIATION_BITS: u32 = 8;

/// A handle to a model that many requests share; clones are handles to the same one.
#[derive(Clone)]
pub struct Shared {
    model: Arc<MusicGen>,
    pool: Arc<Pool>,
    path: Path,
    arrivals: Sender<Guest>,
    counters: Arc<Counters>,
}

/// The other end of [`Shared`]: somebody's thread has to [`run`](SharedLoop::run) it.
pub struct SharedLoop {
    model: Arc<MusicGen>,
    pool: Arc<Pool>,
    path: Path,
    arrivals: Receiver<Guest>,
    counters: Arc<Counters>,
    most_clips: usize,
}

/// What a shared model has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Columns drawn with at least one clip.
    pub steps: u64,
    /// Clips in them, summed: divided by `steps`, the mean batch.
    pub stepped: u64,
    /// Frames that were told.
    pub frames: u64,
}

#[derive(Default)]
struct Counters {
    steps: AtomicU64,
    stepped: AtomicU64,
    frames: AtomicU64,
}

/// A request at the loop.
struct Guest {
    /// Place in the order of arrival.
    number: u64,
    /// Variations that have no place yet.
    waiting: VecDeque<(usize, Clip)>,
    live: usize,
    replies: Sender<Result<Frames, Error>>,
    gone: Arc<AtomicBool>,
}

/// Tells the loop that nobody waits any more, also when the waiting thread panics.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A model that is shared, with up to `most_clips` clips at once, at least 1, and the loop to run for it.
pub fn share(model: Arc<MusicGen>, pool: Arc<Pool>, path: Path, most_clips: usize) -> (Shared, SharedLoop) {
    let (sender, arrivals) = channel();
    let counters = Arc::new(Counters::default());
    let shared = Shared {
        model: Arc::clone(&model),
        pool: Arc::clone(&pool),
        path,
        arrivals: sender,
        counters: Arc::clone(&counters),
    };
    (shared, SharedLoop { model, pool, path, arrivals, counters, most_clips: most_clips.max(1) })
}

impl Shared {
    /// The model behind this handle.
    pub fn model(&self) -> &MusicGen {
        &self.model
    }

    /// Threads and kernels for [`MusicGen::prepare`].
    pub fn compute(&self) -> Compute {
        Compute::new(Arc::clone(&self.pool), self.path)
    }

    /// Counts since the start.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counts {
            steps: read(&counters.steps),
            stepped: read(&counters.stepped),
            frames: read(&counters.frames),
        }
    }

    /// As [`MusicGen::play`], together with whoever else uses the loop; the calling thread waits, makes samples of
    /// frames and tells the watch.
    ///
    /// # Errors
    /// Those of [`MusicGen::play`], [`Error::Stopped`] when the loop has ended.
    pub fn play(
        &self,
        request: &Generate,
        prepared: &Prepared,
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut voices = Voices::new(&self.model, request, prepared, self.compute())?;
        let waiting = (0..request.variations)
            .map(|variation| Ok((variation, prepared.clip(request, variation)?)))
            .collect::<Result<_, Error>>()?;
        let gone = Arc::new(AtomicBool::new(false));
        let _leaving = Leaving(Arc::clone(&gone));
        let (replies, inbox) = channel();
        let guest = Guest { number: 0, waiting, live: 0, replies, gone };
        self.arrivals.send(guest).map_err(|_| Error::Stopped)?;
        while !voices.ended() {
            let mut next = match inbox.recv_timeout(LOOK_AFTER) {
                Ok(frames) => Some(frames),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Stopped),
            };
            let mut new = Vec::new();
            while let Some(frames) = next {
                let heard = voices.hear(frames?)?;
                // Told at once: a sound is worth more than what may have come since.
                next = if heard.is_some() { None } else { inbox.try_recv().ok() };
                new.extend(heard);
            }
            if watch(voices.progress(new)).is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }
}

impl SharedLoop {
    /// Plays for all handles on the calling thread until the last of them is gone. Blocks while there is nothing to
    /// play.
    pub fn run(self) {
        let SharedLoop { model, pool, path, arrivals, counters, most_clips } = self;
        let mut hall = Hall { model, pool, path, stage: None, guests: Vec::new(), most_clips, counters };
        let mut arrived = 0;
        loop {
            let first = match (hall.guests.is_empty(), &hall.stage) {
                (false, _) => None,
                (true, None) => Some(arrivals.recv().map_err(|_| RecvTimeoutError::Disconnected)),
                (true, Some(_)) => Some(arrivals.recv_timeout(KEEP_FOR)),
            };
            let first = match first {
                None => None,
                Some(Ok(guest)) => Some(guest),
                Some(Err(RecvTimeoutError::Disconnected)) => return,
                Some(Err(RecvTimeoutError::Timeout)) => {
                    hall.stage = None;
                    continue;
                }
            };
            // A guest's thread holds a handle, so the line is only cut once all guests are gone.
            for guest in first.into_iter().chain(arrivals.try_iter()) {
                hall.guests.push(Guest { number: arrived, ..guest });
                arrived += 1;
            }
            if let Err(error) = hall.turn() {
                hall.close(&error);
            }
        }
    }
}

/// The stage and those who have clips on it or in line.
struct Hall {
    model: Arc<MusicGen>,
    pool: Arc<Pool>,
    path: Path,
    /// `None` while nobody plays.
    stage: Option<Stage>,
    /// In the order of arrival.
    guests: Vec<Guest>,
    most_clips: usize,
    counters: Arc<Counters>,
}

fn tag(number: u64, variation: usize) -> u64 {
    number << VARIATION_BITS | variation as u64
}

impl Hall {
    /// Lets go of those who have gone, fills free places, and draws a column for everybody.
    ///
    /// # Errors
    /// What concerns all of them.
    fn turn(&mut self) -> Result<(), Error> {
        let stage = match &mut self.stage {
            Some(stage) => stage,
            None => {
                let compute = Compute::new(Arc::clone(&self.pool), self.path);
                self.stage.insert(self.model.stage(compute)?)
            }
        };
        let mut dismiss = Vec::new();
        self.guests.retain(|guest| {
            let stays = !guest.gone.load(Ordering::Acquire);
            if !stays {
                dismiss.push(guest.number);
            }
            stays
        });
        while stage.clips() < self.most_clips {
            let in_line = self.guests.iter_mut().filter(|guest| !guest.waiting.is_empty());
            let Some(guest) = in_line.min_by_key(|guest| (guest.live, guest.number)) else { break };
            let (variation, clip) = guest.waiting.pop_front().expect("somebody is in line");
            match stage.join(tag(guest.number, variation), clip) {
                Ok(()) => guest.live += 1,
                Err(error) => {
                    let number = guest.number;
                    let _ = guest.replies.send(Err(error));
                    dismiss.push(number);
                    self.guests.retain(|guest| guest.number != number);
                }
            }
        }
        for number in dismiss {
            (0..1 << VARIATION_BITS).for_each(|variation| stage.leave(tag(number, variation)));
        }
        let clips = stage.clips() as u64;
        if clips == 0 {
            return Ok(());
        }
        let mut heard = Vec::new();
        stage.step(&mut heard)?;
        self.counters.steps.fetch_add(1, Ordering::Relaxed);
        self.counters.stepped.fetch_add(clips, Ordering::Relaxed);
        for frames in heard {
            let (number, variation) =
                (frames.tag >> VARIATION_BITS, frames.tag & ((1 << VARIATION_BITS) - 1));
            self.counters.frames.fetch_add(frames.codes[0].len() as u64, Ordering::Relaxed);
            let Some(guest) = self.guests.iter_mut().find(|guest| guest.number == number) else { continue };
            guest.live -= usize::from(frames.last);
            // Nobody listening is noticed in the next turn.
            let _ = guest.replies.send(Ok(Frames { tag: variation, ..frames }));
        }
        self.guests.retain(|guest| guest.live > 0 || !guest.waiting.is_empty());
        Ok(())
    }

    /// Ends everybody with an error that concerns them all; the next ones get a new stage.
    fn close(&mut self, error: &Error) {
        let why = error.to_string();
        for guest in self.guests.drain(..) {
            let _ = guest.replies.send(Err(Error::Failed(why.clone())));
        }
        self.stage = None;
    }
}
