//! One model for many requests: their sequences meet in the steps of one loop.
//!
//! ```text
//! request thread                                loop thread
//! generate(&shared, ...)                        SharedLoop::run
//!   sequences ------------ arrivals ----------->  wait in line, join when there is room
//!   bars, watch <---- tokens, a few at a time --  step, step, step
//!   watch breaks, sampler changes -- control ->   looked at between steps
//! ```
//! The loop only steps and chooses; reading tokens back into bars is done where the request waits. Whoever leaves,
//! in whatever way, is noticed before the next step, and a loop that ends answers everybody with [`Error::Stopped`].
//! Which sequence gets a free place: of the request with the fewest on the stage, the one that came first; so a
//! request of many variations does not keep out one of a single bar.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use partita_nn::Sampler;

use super::together::{Heard, Stage, Tag};
use super::{Compute, Error, Hear, Network, Played, Player, Sequence};

/// Sequences on the stage at once, unless told otherwise. A place takes [`Network::sequence_bytes`] (1.7 MiB for the
/// bundled drummer) once it is used; places are used again, lowest first, and given back when nobody plays. A step reads
/// the keys and values of all sequences: with 32 they leave a cache of 32 MiB, and throughput falls by a third.
pub const MOST_LIVE: usize = 16;

/// Tokens are sent on at a new bar, or after this time.
const SEND_AFTER: Duration = Duration::from_millis(10);
/// A waiting request looks at its watch at least this often.
const LOOK_AFTER: Duration = Duration::from_millis(25);
/// The memory of sequences is kept this long after the last one has ended.
const KEEP_FOR: Duration = Duration::from_secs(1);

/// A handle to a model that many requests share; clones are handles to the same one.
#[derive(Clone)]
pub struct Shared {
    network: Network,
    compute: Compute,
    arrivals: Sender<Guest>,
    counters: Arc<Counters>,
}

/// The other end of [`Shared`]: somebody's thread has to [`run`](SharedLoop::run) it.
pub struct SharedLoop {
    network: Network,
    compute: Compute,
    arrivals: Receiver<Guest>,
    counters: Arc<Counters>,
    most_live: usize,
}

/// What a shared model has done and has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passes of the network with at least one sequence, prompts left out.
    pub steps: u64,
    /// Sequences in them, summed: divided by `steps`, the mean batch.
    pub stepped: u64,
    /// Generated tokens.
    pub tokens: u64,
    /// Sequences being played.
    pub live: u64,
    /// Sequences that wait for a place.
    pub waiting: u64,
}

#[derive(Default)]
struct Counters {
    steps: AtomicU64,
    stepped: AtomicU64,
    tokens: AtomicU64,
    live: AtomicU64,
    /// Sent, and not yet on the stage; counted up by handles and down by the loop.
    waiting: AtomicU64,
}

/// A request at the loop.
struct Guest {
    /// Place in the order of arrival.
    number: u64,
    /// `[D]`
    added: Vec<f32>,
    waiting: VecDeque<(usize, Sequence)>,
    live: usize,
    /// Sequence and token, not yet sent.
    unsent: Vec<(usize, u32)>,
    sent_at: Instant,
    replies: Sender<Reply>,
    control: Arc<Control>,
    counters: Arc<Counters>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.counters.waiting.fetch_sub(self.waiting.len() as u64, Ordering::Relaxed);
    }
}

enum Reply {
    Tokens(Vec<(usize, u32)>),
    Ended(usize, Box<Played>),
    /// The last of this request.
    Failed(Error),
}

/// What a request tells the loop.
#[derive(Default)]
struct Control {
    gone: AtomicBool,
    changed: AtomicBool,
    sampler: Mutex<Option<Sampler>>,
}

/// Tells the loop that nobody waits any more, also when the waiting thread panics.
struct Leaving(Arc<Control>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Release);
    }
}

/// A shared model, with up to [`MOST_LIVE`] sequences at once, and the loop to run for it.
pub fn share(network: Network, compute: Compute) -> (Shared, SharedLoop) {
    share_at_most(MOST_LIVE, network, compute)
}

/// A shared model with up to `most_live` sequences at once, at least 1.
pub fn share_at_most(most_live: usize, network: Network, compute: Compute) -> (Shared, SharedLoop) {
    let (sender, receiver) = channel();
    let counters = Arc::new(Counters::default());
    let shared = Shared {
        network: network.clone(),
        compute: compute.clone(),
        arrivals: sender,
        counters: Arc::clone(&counters),
    };
    let most_live = most_live.max(1);
    (shared, SharedLoop { network, compute, arrivals: receiver, counters, most_live })
}

impl Shared {
    /// Counts since the start, and of this moment.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        Counts {
            steps: read(&c.steps),
            stepped: read(&c.stepped),
            tokens: read(&c.tokens),
            live: read(&c.live),
            waiting: read(&c.waiting),
        }
    }
}

/// Plays together with whoever else uses the loop; the calling thread waits and tells the watch.
impl Player for Shared {
    /// # Errors
    /// [`Error::Stopped`] when the loop has ended, [`Error::Model`] for the sequences of another model.
    fn decode(
        &self,
        network: &Network,
        added: &[f32],
        sequences: Vec<Sequence>,
        listener: &mut dyn Hear,
    ) -> Result<Vec<Played>, Error> {
        if !network.is(&self.network) {
            return Err(Error::Model("this player plays another model".to_owned()));
        }
        let control = Arc::new(Control::default());
        let _leaving = Leaving(Arc::clone(&control));
        let mut played: Vec<Option<Played>> = sequences.iter().map(|_| None).collect();
        let (replies, inbox) = channel();
        self.counters.waiting.fetch_add(sequences.len() as u64, Ordering::Relaxed);
        let guest = Guest {
            number: 0,
            added: added.to_vec(),
            waiting: sequences.into_iter().enumerate().collect(),
            live: 0,
            unsent: Vec::new(),
            sent_at: Instant::now(),
            replies,
            control: Arc::clone(&control),
            counters: Arc::clone(&self.counters),
        };
        self.arrivals.send(guest).map_err(|_| Error::Stopped)?;
        let mut left = played.len();
        while left > 0 {
            let mut next = match inbox.recv_timeout(LOOK_AFTER) {
                Ok(reply) => Some(reply),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Stopped),
            };
            while let Some(reply) = next {
                match reply {
                    Reply::Tokens(tokens) => tokens.iter().for_each(|&(index, id)| listener.hear(index, id)),
                    Reply::Ended(index, result) => {
                        played[index] = Some(*result);
                        listener.end(index);
                        left -= 1;
                    }
                    Reply::Failed(error) => return Err(error),
                }
                next = inbox.try_recv().ok();
            }
            listener.report()?;
            if let Some(sampler) = listener.changed()? {
                *control.sampler.lock().unwrap_or_else(PoisonError::into_inner) = Some(sampler);
                control.changed.store(true, Ordering::Release);
            }
        }
        Ok(played.into_iter().map(|played| played.expect("every sequence has ended")).collect())
    }

    fn compute(&self) -> &Compute {
        &self.compute
    }
}

impl SharedLoop {
    /// Plays for all handles on the calling thread until the last of them is gone. Blocks while there is nothing to
    /// play.
    pub fn run(self) {
        let SharedLoop { network, compute, arrivals, counters, most_live } = self;
        let stage = Stage::new(&network, compute);
        let mut hall = Hall { stage, guests: Vec::new(), arrived: 0, most_live, counters };
        let mut heard = Vec::new();
        let mut trimmed = true;
        loop {
            if hall.guests.is_empty() {
                let first = if trimmed {
                    arrivals.recv().map_err(|_| RecvTimeoutError::Disconnected)
                } else {
                    arrivals.recv_timeout(KEEP_FOR)
                };
                match first {
                    Ok(guest) => hall.welcome(guest),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        hall.stage.trim();
                        trimmed = true;
                        continue;
                    }
                }
                trimmed = false;
            }
            // A guest's thread holds a handle, so the line is only cut once all guests are gone.
            while let Ok(guest) = arrivals.try_recv() {
                hall.welcome(guest);
            }
            hall.tend();
            hall.seat();
            hall.step(&mut heard);
            hall.counters.live.store(hall.stage.live() as u64, Ordering::Relaxed);
        }
    }
}

/// The stage and those who have sequences on it or in line.
struct Hall {
    stage: Stage,
    /// In the order of arrival.
    guests: Vec<Guest>,
    arrived: u64,
    most_live: usize,
    counters: Arc<Counters>,
}

impl Hall {
    fn welcome(&mut self, mut guest: Guest) {
        guest.number = self.arrived;
        self.arrived += 1;
        self.guests.push(guest);
    }

    /// Lets go of those who have gone and gives the others the samplers they want.
    fn tend(&mut self) {
        let stage = &mut self.stage;
        self.guests.retain_mut(|guest| {
            if guest.control.gone.load(Ordering::Acquire) {
                stage.leave(guest.number);
                return false;
            }
            if guest.control.changed.swap(false, Ordering::AcqRel) {
                let mut wanted = guest.control.sampler.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sampler) = wanted.take() {
                    stage.set_sampler(guest.number, &sampler);
                    guest.waiting.iter_mut().for_each(|(_, waiting)| waiting.sampler = sampler.clone());
                }
            }
            true
        });
    }

    /// Fills free places.
    fn seat(&mut self) {
        while self.stage.live() < self.most_live {
            let in_line = self.guests.iter_mut().filter(|guest| !guest.waiting.is_empty());
            let Some(guest) = in_line.min_by_key(|guest| (guest.live, guest.number)) else { return };
            let (index, sequence) = guest.waiting.pop_front().expect("somebody is in line");
            self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
            let tag = Tag { request: guest.number, sequence: index };
            match self.stage.join(tag, &guest.added, sequence) {
                Ok(()) => guest.live += 1,
                Err(error) => {
                    let number = guest.number;
                    self.dismiss(number, error);
                }
            }
        }
    }

    /// One token for everybody on the stage.
    fn step(&mut self, heard: &mut Vec<(Tag, Heard)>) {
        let stepped = self.stage.step(heard);
        self.counters.steps.fetch_add(u64::from(stepped > 0), Ordering::Relaxed);
        self.counters.stepped.fetch_add(stepped as u64, Ordering::Relaxed);
        let mut tokens = 0;
        for (tag, event) in heard.drain(..) {
            tokens += u64::from(matches!(event, Heard::Token { .. }));
            // Whoever failed a moment ago, or whose sequences come after that, is no longer here.
            let Some(guest) = self.guests.iter_mut().find(|guest| guest.number == tag.request) else {
                continue;
            };
            match event {
                Heard::Token { id, bar } => {
                    guest.unsent.push((tag.sequence, id));
                    if bar || guest.sent_at.elapsed() >= SEND_AFTER {
                        guest.send();
                    }
                }
                Heard::Ended(Ok(played)) => {
                    guest.live -= 1;
                    guest.send();
                    // Nobody listening is noticed by `tend`.
                    let _ = guest.replies.send(Reply::Ended(tag.sequence, played));
                }
                Heard::Ended(Err(error)) => self.dismiss(tag.request, error),
            }
        }
        self.counters.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.guests.retain(|guest| guest.live > 0 || !guest.waiting.is_empty());
    }

    /// Ends a request with an error.
    fn dismiss(&mut self, number: u64, error: Error) {
        self.stage.leave(number);
        if let Some(at) = self.guests.iter().position(|guest| guest.number == number) {
            let _ = self.guests.remove(at).replies.send(Reply::Failed(error));
        }
    }
}

impl Guest {
    fn send(&mut self) {
        self.sent_at = Instant::now();
        if !self.unsent.is_empty() {
            let _ = self.replies.send(Reply::Tokens(std::mem::take(&mut self.unsent)));
        }
    }
}
