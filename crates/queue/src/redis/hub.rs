//! What other processes tell: one connection hears all news and wakes whoever waits here.
//!
//! News only say that there is something to look for; what it is stands in Redis. So a lost connection loses nothing:
//! everybody is woken when it is back.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Client, FromRedisValue, PushInfo, PushKind};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{JobId, Lane, Lease, Result};

use super::link::{ANSWER, listen};

/// How often a silent connection is tried.
const PING: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Hub {
    inner: Mutex<Inner>,
    work: Notify,
    control: Notify,
}

#[derive(Default)]
struct Inner {
    /// News of each lane so far, and how many of them had come when it was last seen empty.
    lanes: HashMap<Lane, (u64, u64)>,
    /// Jobs whose events somebody here waits for.
    watched: HashMap<String, watch::Sender<()>>,
    /// Jobs that run here.
    running: HashMap<JobId, Run>,
    /// Those of them that were cancelled or updated.
    controls: BTreeSet<JobId>,
    closed: bool,
}

#[derive(Clone, Copy)]
struct Run {
    fence: u64,
    /// Live changes that came through.
    seen: u64,
    /// Batches of events that were sent.
    batches: u64,
    /// What the last one held, while nobody knows whether it arrived.
    unsure: Option<u64>,
}

impl Hub {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all subscriptions.
    pub(super) fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.watched.clear();
    }

    /// News of a lane so far; to be asked before a claim.
    pub(super) fn news(&self, lane: Lane) -> u64 {
        self.inner().lanes.get(&lane).map_or(0, |lane| lane.0)
    }

    /// A claim that began after `news` left nothing in the lane.
    pub(super) fn empty(&self, lane: Lane, news: u64) {
        let mut inner = self.inner();
        let seen = &mut inner.lanes.entry(lane).or_default().1;
        *seen = news.max(*seen);
    }

    /// Waits for news that came after the lanes were last seen empty.
    pub(super) async fn wait(&self, lanes: &[Lane], time: Duration) {
        let end = Instant::now() + time;
        loop {
            let mut woken = std::pin::pin!(self.work.notified());
            woken.as_mut().enable();
            let new = {
                let inner = self.inner();
                lanes.iter().any(|lane| inner.lanes.get(lane).is_some_and(|(news, seen)| news > seen))
            };
            if new || timeout_at(end, woken).await.is_err() {
                return;
            }
        }
    }

    /// A job begins here; `seen` of its live changes were handed out before.
    pub(super) fn began(&self, lease: &Lease, seen: u64) {
        let run = Run { fence: lease.fence, seen, batches: 0, unsure: None };
        self.inner().running.insert(lease.id.clone(), run);
    }

    /// Changes what is known of a lease; `None` if it is not held here.
    fn run<T>(&self, lease: &Lease, change: impl FnOnce(&mut Run) -> T) -> Option<T> {
        let mut inner = self.inner();
        inner.running.get_mut(&lease.id).filter(|run| run.fence == lease.fence).map(change)
    }

    /// Live changes that came through.
    pub(super) fn seen(&self, lease: &Lease) -> u64 {
        self.run(lease, |run| run.seen).unwrap_or_default()
    }

    pub(super) fn saw(&self, lease: &Lease, seen: u64) {
        self.run(lease, |run| run.seen = run.seen.max(seen));
    }

    /// The number of a batch of events with this print: the last one's if nobody knows whether that arrived and it
    /// was the same. 0 for a lease that is not held here.
    pub(super) fn publishing(&self, lease: &Lease, print: u64) -> u64 {
        let number = |run: &mut Run| {
            if run.unsure != Some(print) {
                run.batches += 1;
                run.unsure = Some(print);
            }
            run.batches
        };
        self.run(lease, number).unwrap_or_default()
    }

    pub(super) fn published(&self, lease: &Lease, batch: u64) {
        self.run(lease, |run| {
            if run.batches == batch {
                run.unsure = None;
            }
        });
    }

    pub(super) fn ended(&self, lease: &Lease) {
        let mut inner = self.inner();
        // The job may run here again by now, under another fence.
        if inner.running.get(&lease.id).is_some_and(|run| run.fence == lease.fence) {
            inner.running.remove(&lease.id);
            inner.controls.remove(&lease.id);
        }
    }

    pub(super) async fn wait_control(&self, time: Duration) -> Vec<JobId> {
        let end = Instant::now() + time;
        loop {
            let mut woken = std::pin::pin!(self.control.notified());
            woken.as_mut().enable();
            let ids = std::mem::take(&mut self.inner().controls);
            if !ids.is_empty() || timeout_at(end, woken).await.is_err() {
                return ids.into_iter().collect();
            }
        }
    }

    /// Whoever asks is woken by each event of the job from now on.
    pub(super) fn watch(self: &Arc<Hub>, id: &JobId) -> Watch {
        let mut inner = self.inner();
        let woken = if inner.closed {
            watch::channel(()).1
        } else {
            let sender = inner.watched.entry(id.to_string()).or_insert_with(|| watch::channel(()).0);
            sender.subscribe()
        };
        Watch { hub: Arc::clone(self), id: id.clone(), woken }
    }

    fn told(&self, news: &str) {
        let mut words = news.split(' ');
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { return };
        let mut inner = self.inner();
        match kind {
            "event" => {
                if let Some(sender) = inner.watched.get(name) {
                    sender.send_replace(());
                }
            }
            "work" => {
                if let Ok(lane) = name.parse() {
                    inner.lanes.entry(lane).or_default().0 += 1;
                    self.work.notify_waiters();
                }
            }
            "control" => {
                if let Ok(id) = name.parse()
                    && inner.running.contains_key(&id)
                {
                    inner.controls.insert(id);
                    self.control.notify_waiters();
                }
            }
            _ => {}
        }
    }

    /// News may have been missed.
    fn wake_all(&self) {
        let mut inner = self.inner();
        for lane in Lane::ALL {
            inner.lanes.entry(lane).or_default().0 += 1;
        }
        inner.watched.values().for_each(|sender| {
            sender.send_replace(());
        });
        inner.controls = inner.running.keys().cloned().collect();
        self.work.notify_waiters();
        self.control.notify_waiters();
    }

    /// Hears news until the task is ended. `first` is the connection that the start has made.
    pub(super) async fn hear(self: Arc<Hub>, client: Client, channel: String, first: Ear) {
        let mut ear = Some(first);
        let mut delay = FIRST_DELAY;
        loop {
            if let Some(ear) = ear.take() {
                delay = FIRST_DELAY;
                ear.hear(&self).await;
                tracing::warn!("the connection to Redis is lost; connecting anew");
            }
            match Ear::open(&client, &channel).await {
                Ok(new) => {
                    ear = Some(new);
                    self.wake_all();
                }
                Err(error) => {
                    tracing::debug!(%error, "no connection to Redis");
                    sleep(delay).await;
                    delay = (delay * 2).min(LAST_DELAY);
                }
            }
        }
    }
}

/// A connection that hears news.
pub(super) struct Ear {
    connection: redis::aio::MultiplexedConnection,
    told: mpsc::UnboundedReceiver<PushInfo>,
}

impl Ear {
    pub(super) async fn open(client: &Client, channel: &str) -> Result<Ear> {
        let (sender, told) = mpsc::unbounded_channel();
        Ok(Ear { connection: listen(client, channel, sender).await?, told })
    }

    /// Returns when the connection is lost.
    async fn hear(mut self, hub: &Hub) {
        loop {
            match tokio::time::timeout(PING, self.told.recv()).await {
                Ok(Some(PushInfo { kind: PushKind::Message, data })) => {
                    // `[channel, message]`
                    if let Some(news) =
                        data.into_iter().nth(1).and_then(|value| String::from_redis_value(value).ok())
                    {
                        hub.told(&news);
                    }
                }
                Ok(Some(PushInfo { kind: PushKind::Disconnection, .. }) | None) => return,
                Ok(Some(_)) => {}
                Err(_) => {
                    let ping = redis::cmd("PING");
                    let answer = ping.query_async::<redis::Value>(&mut self.connection);
                    if !matches!(tokio::time::timeout(ANSWER, answer).await, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }
}

/// Wakes one subscription; the hub forgets the job with its last one.
pub(super) struct Watch {
    hub: Arc<Hub>,
    id: JobId,
    woken: watch::Receiver<()>,
}

impl Watch {
    /// To be called before looking: what happens later wakes.
    pub(super) fn look(&mut self) {
        self.woken.mark_unchanged();
    }

    /// Whether the queue has gone.
    pub(super) fn is_over(&self) -> bool {
        self.woken.has_changed().is_err()
    }

    /// `false` when the queue has gone.
    pub(super) async fn changed(&mut self) -> bool {
        self.woken.changed().await.is_ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut inner = self.hub.inner();
        if inner.watched.get(self.id.as_str()).is_some_and(|sender| sender.receiver_count() <= 1) {
            inner.watched.remove(self.id.as_str());
        }
    }
}
