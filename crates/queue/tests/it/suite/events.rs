//! What watchers hear.

use partita_queue::{Event, EventKind, Limits, NewJob, Subscription};

use super::*;

async fn watch(queue: &dyn Queue, id: &JobId, after: u64) -> Subscription {
    queue.subscribe(id, after).await.expect("subscribing works").expect("the job is there")
}

async fn log(queue: &dyn Queue, claim: &Claim, n: u64) {
    let events = vec![(EventKind::Log, json!({ "n": n }))];
    queue.publish(&claim.lease, events).await.expect("publishing works");
}

/// All events up to the last.
async fn rest(mut subscription: Subscription) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = subscription.next().await {
        events.push(event);
    }
    events
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

/// The `n` of the log entries.
fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|event| event.data.get("n")?.as_u64()).collect()
}

pub async fn events_come_in_order(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, new_job()).await.new.id;
    let early = watch(&*queue, &id, 0).await;
    let claim = claim(&*queue).await.expect("it waits");
    let events = vec![(EventKind::Started, json!({ "seed": 7 })), (EventKind::Notes, json!({ "bar": 0 }))];
    queue.publish(&claim.lease, events).await.expect("publishing works");
    let middle = watch(&*queue, &id, 0).await;
    log(&*queue, &claim, 1).await;
    assert!(finish(&*queue, &claim, complete()).await);
    let late = watch(&*queue, &id, 0).await;
    let events = rest(early).await;
    let all = [EventKind::Queued, EventKind::Started, EventKind::Notes, EventKind::Log, EventKind::Complete];
    assert_eq!(kinds(&events), all);
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(events[0].data["position"], json!(0));
    assert_eq!(events[1].data, json!({ "seed": 7 }));
    assert_eq!(rest(middle).await, events);
    assert_eq!(rest(late).await, events);
}

pub async fn watching_resumes_after_an_event(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    for n in 0..5 {
        log(&*queue, &claim, n).await;
    }
    let mut subscription = watch(&*queue, &claim.job.new.id, 3).await;
    assert_eq!(subscription.next().await.expect("an event").sequence, 4);
    log(&*queue, &claim, 5).await;
    assert!(finish(&*queue, &claim, complete()).await);
    let events = rest(subscription).await;
    assert_eq!(numbers(&events), [3, 4, 5]);
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [5, 6, 7, 8]);
}

pub async fn a_watcher_misses_and_repeats_nothing(store: &dyn Store) {
    const EVENTS: u64 = 300;
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    let id = claim.job.new.id.clone();
    let watchers: Vec<_> = (0..8)
        .map(|delay| {
            let (queue, id) = (queue.clone(), id.clone());
            tokio::spawn(async move {
                pause(delay * 3).await;
                // Whoever is cut off goes on after what it has heard.
                let mut heard: Vec<Event> = Vec::new();
                while heard.last().is_none_or(|event| !event.kind.is_last()) {
                    let after = heard.last().map_or(0, |event| event.sequence);
                    let mut subscription = watch(&*queue, &id, after).await;
                    for _ in 0..100 {
                        match subscription.next().await {
                            Some(event) => heard.push(event),
                            None => break,
                        }
                    }
                }
                heard
            })
        })
        .collect();
    for n in 0..EVENTS {
        log(&*queue, &claim, n).await;
        if n % 20 == 0 {
            pause(1).await;
        }
    }
    assert!(finish(&*queue, &claim, complete()).await);
    for watcher in watchers {
        let events = watcher.await.expect("the watcher ends");
        assert_eq!(numbers(&events), (0..EVENTS).collect::<Vec<_>>());
        let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, (1..=EVENTS + 2).collect::<Vec<_>>());
    }
}

pub async fn an_event_no_longer_kept_gives_a_reset(store: &dyn Store) {
    let queue = open_with(store, Limits { events: 8, ..limits() }).await;
    let claim = running(&*queue, new_job()).await;
    for n in 0..400 {
        log(&*queue, &claim, n).await;
    }
    let mut subscription = watch(&*queue, &claim.job.new.id, 1).await;
    let reset = subscription.next().await.expect("an event");
    assert_eq!(reset.kind, EventKind::Reset);
    let next = subscription.next().await.expect("an event");
    assert_eq!(next.sequence, reset.sequence + 1, "events go on after the reset");
    assert!(finish(&*queue, &claim, complete()).await);
    let events = rest(subscription).await;
    assert_eq!(numbers(&events).last(), Some(&399));
    assert_eq!(events.last().expect("the end").kind, EventKind::Complete);
    // What is kept needs no reset.
    let end = events.last().expect("the end").sequence;
    assert_eq!(kinds(&rest(watch(&*queue, &claim.job.new.id, end - 2).await).await).len(), 2);
}

pub async fn an_ended_job_gives_its_last_event(store: &dyn Store) {
    let queue = open(store).await;
    for (outcome, kind) in [
        (complete(), EventKind::Complete),
        (failed(false), EventKind::Failed),
        (Outcome::Cancelled, EventKind::Cancelled),
    ] {
        let claim = running(&*queue, new_job()).await;
        assert!(finish(&*queue, &claim, outcome).await);
        for after in [0, 1, 2, 3, 1000] {
            let events = rest(watch(&*queue, &claim.job.new.id, after).await).await;
            assert_eq!(events.last().expect("the end").kind, kind, "after {after}");
        }
    }
    let id = submit(&*queue, new_job()).await.new.id;
    let subscription = watch(&*queue, &id, 0).await;
    queue.cancel(&id).await.expect("cancelling works");
    assert_eq!(kinds(&rest(subscription).await), [EventKind::Queued, EventKind::Cancelled]);
}

pub async fn nobody_can_watch_what_is_not_there(store: &dyn Store) {
    let queue = open(store).await;
    assert!(queue.subscribe(&JobId::new(), 0).await.expect("subscribing works").is_none());
}

pub async fn a_stale_fence_publishes_nothing(store: &dyn Store) {
    let queue = open(store).await;
    let old = running(&*queue, new_job()).await;
    run_out(&*queue, std::slice::from_ref(&old)).await;
    log(&*queue, &old, 1).await;
    let new = claim(&*queue).await.expect("it is back");
    log(&*queue, &old, 2).await;
    log(&*queue, &new, 3).await;
    assert!(finish(&*queue, &new, complete()).await);
    log(&*queue, &new, 4).await;
    assert_eq!(numbers(&rest(watch(&*queue, &new.job.new.id, 0).await).await), [3]);
}

pub async fn after_reopening_a_watcher_hears_the_end(store: &dyn Store) {
    let queue = open(store).await;
    let ended = running(&*queue, new_job()).await;
    assert!(finish(&*queue, &ended, complete()).await);
    let waiting = submit(&*queue, NewJob { priority: 9, ..new_job() }).await.new.id;
    let heard = watch(&*queue, &waiting, 0).await.next().await.expect("an event").sequence;
    drop(queue);
    let queue = open(store).await;
    let end = rest(watch(&*queue, &ended.job.new.id, 0).await).await;
    assert_eq!(end.last().expect("the end").kind, EventKind::Complete);
    let subscription = watch(&*queue, &waiting, heard).await;
    let claim = claim(&*queue).await.expect("it waits");
    log(&*queue, &claim, 1).await;
    assert!(finish(&*queue, &claim, complete()).await);
    let events = rest(subscription).await;
    assert_eq!(numbers(&events), [1]);
    assert_eq!(events.last().expect("the end").kind, EventKind::Complete);
    assert!(events.iter().all(|event| event.kind == EventKind::Reset || event.sequence > heard));
    assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
}
