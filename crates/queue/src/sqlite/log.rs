//! Events of jobs, in memory, and those who watch.
//!
//! A log holds the latest events of a job. After a restart its numbers go on above all that were given before, so
//! that a watcher who comes back is told that it missed something and never mistakes an event.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::queue::event;
use crate::{Event, EventKind, JobId, Subscription};

/// Logs of ended jobs kept for those who look late.
const ENDED: usize = 256;
/// Bytes of events kept of one job, and of all ended jobs, about. A job's are a thousand dense bars: a watcher that fell
/// [`BEHIND`] and comes back finds what it missed.
const LOG_BYTES: usize = 16 << 20;
const ENDED_BYTES: usize = 64 << 20;
/// Events that may wait for a watcher before it is cut off.
const BEHIND: usize = 256;

pub struct Logs {
    logs: HashMap<JobId, Log>,
    /// Ended ones, oldest first.
    ended: VecDeque<JobId>,
    ended_bytes: usize,
    /// Where the numbers of jobs from before this process go on.
    base: u64,
}

struct Log {
    /// Number of the latest event.
    sequence: u64,
    /// The latest events with their weights, without gaps.
    kept: VecDeque<(Event, usize)>,
    bytes: usize,
    watchers: Vec<mpsc::Sender<Event>>,
    ended: bool,
}

impl Logs {
    /// `opening`: how often the store was opened.
    pub fn new(opening: u64) -> Logs {
        // 2^32 events between two openings; still exact in a JavaScript number for 2^21 openings.
        Logs { logs: HashMap::new(), ended: VecDeque::new(), ended_bytes: 0, base: opening << 32 }
    }

    /// Begins the log of a new job.
    pub fn begin(&mut self, id: &JobId) {
        self.logs.insert(id.clone(), Log::after(0));
    }

    fn log(&mut self, id: &JobId) -> &mut Log {
        let base = self.base;
        self.logs.entry(id.clone()).or_insert_with(|| Log::after(base))
    }

    /// Number that the next event of a job will have.
    pub fn next_sequence(&self, id: &JobId) -> u64 {
        self.logs.get(id).map_or(self.base, |log| log.sequence) + 1
    }

    /// Appends an event and tells the watchers; at most `most` are kept.
    pub fn push(&mut self, id: &JobId, kind: EventKind, data: Value, most: usize) {
        let log = self.log(id);
        if log.ended {
            return;
        }
        log.push(kind, data, most);
        if kind.is_last() {
            log.ended = true;
            log.watchers = Vec::new();
            self.ended_bytes += log.bytes;
            self.ended.push_back(id.clone());
            while self.ended.len() > ENDED || self.ended_bytes > ENDED_BYTES {
                let Some(oldest) = self.ended.pop_front() else { break };
                if let Some(log) = self.logs.remove(&oldest) {
                    self.ended_bytes -= log.bytes;
                }
            }
        }
    }

    /// Forgets a job.
    pub fn forget(&mut self, id: &JobId) {
        if let Some(log) = self.logs.remove(id)
            && log.ended
        {
            self.ended_bytes -= log.bytes;
            self.ended.retain(|other| other != id);
        }
    }

    pub fn is_known(&self, id: &JobId) -> bool {
        self.logs.contains_key(id)
    }

    /// What is kept after `after`, and all that comes.
    pub fn watch(&mut self, id: &JobId, after: u64) -> Subscription {
        let log = self.log(id);
        let first = log.sequence + 1 - log.kept.len() as u64;
        let mut backlog = Vec::new();
        let mut from = after + 1;
        if from < first {
            backlog.push(event(first - 1, EventKind::Reset, json!({})));
            from = first;
        }
        backlog
            .extend(log.kept.iter().map(|(event, _)| event).filter(|event| event.sequence >= from).cloned());
        if log.ended && backlog.is_empty() {
            backlog.extend(log.kept.back().map(|(event, _)| event.clone()));
        }
        let (sender, events) = mpsc::channel(backlog.len() + BEHIND);
        for event in backlog {
            sender.try_send(event).expect("the channel has room for the backlog");
        }
        if !log.ended {
            log.watchers.retain(|watcher| !watcher.is_closed());
            log.watchers.push(sender);
        }
        Subscription { events }
    }
}

/// The last event of a job whose log is gone. `sequence`: its number.
pub fn end_alone(sequence: u64, kind: EventKind, after: u64) -> Subscription {
    let (sender, events) = mpsc::channel(2);
    let send = |event| sender.try_send(event).expect("the channel has room for two");
    if after + 1 < sequence {
        send(event(sequence - 1, EventKind::Reset, json!({})));
    }
    send(event(sequence, kind, json!({})));
    Subscription { events }
}

impl Log {
    fn after(sequence: u64) -> Log {
        Log { sequence, kept: VecDeque::new(), bytes: 0, watchers: Vec::new(), ended: false }
    }

    fn push(&mut self, kind: EventKind, data: Value, most: usize) {
        self.sequence += 1;
        let event = event(self.sequence, kind, data);
        // A watcher that is far behind is cut off; it comes back with the number it last heard.
        self.watchers.retain(|watcher| watcher.try_send(event.clone()).is_ok());
        let bytes = size_of::<Event>() + weight(&event.data);
        self.kept.push_back((event, bytes));
        self.bytes += bytes;
        while self.kept.len() > most.max(1) || (self.bytes > LOG_BYTES && self.kept.len() > 1) {
            let Some((_, bytes)) = self.kept.pop_front() else { break };
            self.bytes -= bytes;
        }
    }
}

/// Bytes on the heap, about.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + weight(item)).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| 64 + name.len() + size_of::<Value>() + weight(field)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_that_does_not_listen_is_cut_off_and_goes_on() {
        let (id, mut logs) = (JobId::new(), Logs::new(1));
        logs.begin(&id);
        let mut slow = logs.watch(&id, 0);
        for n in 0..1000 {
            logs.push(&id, EventKind::Log, json!(n), 2000);
        }
        let mut heard = 0;
        while let Ok(event) = slow.events.try_recv() {
            heard += 1;
            assert_eq!(event.sequence, heard);
        }
        assert!(slow.events.is_closed(), "it must learn that it was cut off");
        let mut again = logs.watch(&id, heard);
        assert_eq!(again.events.try_recv().expect("an event").sequence, heard + 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut logs = Logs::new(1);
        for _ in 0..2 * ENDED {
            let id = JobId::new();
            logs.begin(&id);
            logs.push(&id, EventKind::Log, json!("x".repeat(1 << 20)), 10);
            logs.push(&id, EventKind::Complete, json!({}), 10);
        }
        assert!(logs.logs.len() <= ENDED && logs.ended_bytes <= ENDED_BYTES);
        assert_eq!(logs.ended_bytes, logs.logs.values().map(|log| log.bytes).sum::<usize>());
        let id = JobId::new();
        for _ in 0..100 {
            logs.push(&id, EventKind::Log, json!("x".repeat(1 << 20)), 1000);
        }
        assert!(logs.logs[&id].bytes <= LOG_BYTES);
    }

    #[test]
    fn numbers_go_on_above_those_of_the_last_opening() {
        let (id, mut logs) = (JobId::new(), Logs::new(7));
        logs.push(&id, EventKind::Log, json!({}), 10);
        let mut events = logs.watch(&id, 3).events;
        let reset = events.try_recv().expect("a reset");
        assert_eq!((reset.kind, reset.sequence), (EventKind::Reset, 7 << 32));
        assert_eq!(events.try_recv().expect("an event").sequence, (7 << 32) + 1);
    }
}
