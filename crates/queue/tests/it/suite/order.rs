//! What gets in, and who goes first.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use partita_queue::{Error, Lane, Limits, NewJob, State, Submitted};

use super::*;

pub async fn a_submitted_job_is_there_after_reopening(store: &dyn Store) {
    let queue = open(store).await;
    let job = submit(&*queue, new_job()).await;
    drop(queue);
    let queue = open(store).await;
    assert_eq!(get(&*queue, &job.new.id).await, job);
    assert_eq!(claim(&*queue).await.expect("it waits").job.new, job.new);
}

pub async fn higher_priorities_go_first(store: &dyn Store) {
    let queue = open(store).await;
    for priority in [5, 0, 9, 5, 7] {
        submit(&*queue, NewJob { priority, ..new_job() }).await;
    }
    let order: Vec<u8> = claim_many(&*queue, 10).await.iter().map(|claim| claim.job.new.priority).collect();
    assert_eq!(order, [9, 7, 5, 5, 0]);
}

pub async fn equals_go_oldest_first(store: &dyn Store) {
    let queue = open(store).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(submit(&*queue, new_job()).await.new.id);
    }
    for id in ids {
        assert_eq!(claim(&*queue).await.expect("it waits").job.new.id, id);
    }
    assert!(claim(&*queue).await.is_none());
}

pub async fn a_thousand_jobs_of_one_owner_do_not_hold_up_another(store: &dyn Store) {
    let queued = BTreeMap::from([(Lane::Generation, 2000)]);
    let queue = open_with(store, Limits { queued, ..limits() }).await;
    for _ in 0..10 {
        let jobs = (0..100).map(|_| submit(&*queue, owned("greedy")));
        join_all(jobs).await;
    }
    assert_eq!(claim_many(&*queue, 300).await.len(), 300);
    let id = submit(&*queue, owned("modest")).await.new.id;
    let next: Vec<JobId> = claim_many(&*queue, 2).await.into_iter().map(|claim| claim.job.new.id).collect();
    assert!(next.contains(&id), "the other owner's job is not among the next two");
}

/// All of them at once.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in waiting.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

pub async fn lanes_are_apart(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, NewJob { lane: Lane::Midi, ..new_job() }).await.new.id;
    assert!(claim(&*queue).await.is_none());
    let claims = queue.claim("host:1:a", Lane::Midi, 5).await.expect("claiming works");
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].job.new.id, id);
    assert_eq!((claims[0].job.state, claims[0].job.attempts), (State::Running, 1));
    assert_eq!(claims[0].job.worker.as_deref(), Some("host:1:a"));
}

pub async fn claimers_never_share_a_job(store: &dyn Store) {
    let queue = open(store).await;
    for _ in 0..60 {
        submit(&*queue, new_job()).await;
    }
    let tasks: Vec<_> = (0..6)
        .map(|worker| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let name = format!("host:{worker}:a");
                let mut ids = Vec::new();
                loop {
                    let claims = queue.claim(&name, Lane::Generation, 3).await.expect("claiming works");
                    if claims.is_empty() {
                        return ids;
                    }
                    ids.extend(claims.into_iter().map(|claim| claim.job.new.id));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("the claimer ends"));
    }
    assert_eq!(all.len(), 60);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 60);
}

pub async fn a_full_lane_refuses_and_stores_nothing(store: &dyn Store) {
    let queued = BTreeMap::from([(Lane::Generation, 2), (Lane::Midi, 1)]);
    let queue = open_with(store, Limits { queued, ..limits() }).await;
    submit(&*queue, new_job()).await;
    submit(&*queue, new_job()).await;
    refused(&*queue, new_job(), |error| matches!(error, Error::Full { lane: Lane::Generation, limit: 2 }))
        .await;
    submit(&*queue, NewJob { lane: Lane::Midi, ..new_job() }).await;
    assert!(claim(&*queue).await.is_some());
    submit(&*queue, new_job()).await;
    refused(&*queue, new_job(), |error| matches!(error, Error::Full { .. })).await;
}

pub async fn an_owner_at_the_limit_is_refused(store: &dyn Store) {
    let queue = open_with(store, Limits { per_owner: Some(2), ..limits() }).await;
    submit(&*queue, owned("a")).await;
    let claim = running_first(&*queue).await;
    submit(&*queue, owned("a")).await;
    refused(&*queue, owned("a"), |error| matches!(error, Error::OwnerFull { limit: 2 })).await;
    submit(&*queue, owned("b")).await;
    assert!(queue.submit(owned("a"), Some(3)).await.is_ok(), "the key's own limit comes first");
    assert!(queue.submit(owned("b"), Some(1)).await.is_err(), "the key's own limit comes first");
    // Two of three are left when one has ended.
    assert!(finish(&*queue, &claim, complete()).await);
    refused(&*queue, owned("a"), |error| matches!(error, Error::OwnerFull { .. })).await;
    assert!(queue.cancel(&first_waiting(&*queue, "a").await).await.is_ok());
    submit(&*queue, owned("a")).await;
}

async fn running_first(queue: &dyn Queue) -> Claim {
    claim(queue).await.expect("a job waits")
}

async fn first_waiting(queue: &dyn Queue, owner: &str) -> JobId {
    let filter = partita_queue::Filter {
        state: Some(State::Queued),
        owner: Some(owner.into()),
        limit: 10,
        ..Default::default()
    };
    let page = queue.list(&filter).await.expect("listing works");
    page.jobs.first().expect("one waits").new.id.clone()
}

fn keyed(owner: &str, key: &str, fingerprint: &str) -> NewJob {
    NewJob { idempotency: Some((key.into(), fingerprint.into())), ..owned(owner) }
}

pub async fn an_idempotency_key_replays_its_job(store: &dyn Store) {
    let queue = open_with(store, Limits { per_owner: Some(1), ..limits() }).await;
    let first = submit(&*queue, keyed("a", "k", "same")).await;
    // A replay is no new job, so no limit stands in its way.
    match queue.submit(keyed("a", "k", "same"), None).await {
        Ok(Submitted::Replayed(job)) => assert_eq!(job.new.id, first.new.id),
        other => panic!("not a replay: {other:?}"),
    }
    let id = first.new.id.clone();
    refused(&*queue, keyed("a", "k", "other"), |error| matches!(error, Error::KeyReused(job) if *job == id))
        .await;
    let claim = running_first(&*queue).await;
    assert!(finish(&*queue, &claim, complete()).await);
    match queue.submit(keyed("a", "k", "same"), None).await {
        Ok(Submitted::Replayed(job)) => assert_eq!(job.state, State::Complete),
        other => panic!("not a replay: {other:?}"),
    }
}

pub async fn a_replay_is_looked_up_without_a_submission(store: &dyn Store) {
    let queue = open_with(store, Limits { idempotency: Duration::from_millis(300), ..limits() }).await;
    let replay = async |owner: Option<&'static str>, print: &'static str| {
        let found = queue.replay(owner, "k", print).await;
        found.map(|job| job.map(|job| job.new.id))
    };
    assert_eq!(replay(Some("a"), "same").await.expect("looking works"), None);
    let started = std::time::Instant::now();
    let id = submit(&*queue, keyed("a", "k", "same")).await.new.id;
    let other = submit(&*queue, NewJob { owner: None, ..keyed("", "k", "none") }).await.new.id;
    let found = replay(Some("a"), "same").await;
    let reused = replay(Some("a"), "other").await;
    if started.elapsed() < Duration::from_millis(250) {
        assert_eq!(found.expect("looking works"), Some(id.clone()));
        assert_eq!(replay(Some("b"), "same").await.expect("looking works"), None);
        assert!(matches!(reused, Err(Error::KeyReused(job)) if job == id));
        assert_eq!(replay(None, "none").await.expect("looking works"), Some(other));
    }
    pause(400).await;
    assert_eq!(replay(Some("a"), "other").await.expect("looking works"), None);
    assert_eq!(queue.stats().await.expect("counting works").queued[&Lane::Generation], 2);
}

pub async fn an_idempotency_key_is_its_owners_own(store: &dyn Store) {
    let queue = open(store).await;
    submit(&*queue, keyed("a", "k", "one")).await;
    for job in [keyed("b", "k", "two"), NewJob { owner: None, ..keyed("", "k", "three") }] {
        let id = job.id.clone();
        match queue.submit(job, None).await {
            Ok(Submitted::New(job)) => assert_eq!(job.new.id, id),
            other => panic!("not new: {other:?}"),
        }
    }
}

pub async fn an_idempotency_key_is_forgotten_in_time(store: &dyn Store) {
    let queue = open_with(store, Limits { idempotency: Duration::from_millis(20), ..limits() }).await;
    submit(&*queue, keyed("a", "k", "one")).await;
    pause(60).await;
    assert!(matches!(queue.submit(keyed("a", "k", "two"), None).await, Ok(Submitted::New(_))));
}

pub async fn a_waiter_wakes_for_a_job(store: &dyn Store) {
    let queue = open(store).await;
    let waiter = queue.clone();
    let started = std::time::Instant::now();
    let task = tokio::spawn(async move {
        loop {
            let lanes = [Lane::Midi, Lane::Generation];
            waiter.wait(&lanes, Duration::from_secs(30)).await.expect("waiting works");
            if let Some(claim) = claim(&*waiter).await {
                return claim;
            }
        }
    });
    pause(50).await;
    let id = submit(&*queue, new_job()).await.new.id;
    let claimed = task.await.expect("the waiter ends");
    assert_eq!(claimed.job.new.id, id);
    assert!(started.elapsed() < Duration::from_secs(10), "it slept through the submission");
    // A job that came before the wait began is no reason to sleep either.
    submit(&*queue, new_job()).await;
    let started = std::time::Instant::now();
    queue.wait(&[Lane::Generation], Duration::from_secs(30)).await.expect("waiting works");
    assert!(started.elapsed() < Duration::from_secs(10));
    // Nothing to come: the time is up.
    assert!(claim(&*queue).await.is_some());
    for lane in Lane::ALL {
        submit(&*queue, NewJob { lane, ..new_job() }).await;
        let started = std::time::Instant::now();
        queue.wait(&[lane], Duration::from_secs(30)).await.expect("waiting works");
        assert!(started.elapsed() < Duration::from_secs(10), "{lane}");
        assert_eq!(queue.claim("w", lane, 1).await.expect("claiming works").len(), 1, "{lane}");
    }
    queue.wait(&[Lane::Heavy], Duration::from_millis(10)).await.expect("waiting works");
}

pub async fn position_counts_who_goes_before(store: &dyn Store) {
    let queue = open(store).await;
    let low = submit(&*queue, NewJob { priority: 1, ..new_job() }).await.new.id;
    let first = submit(&*queue, new_job()).await.new.id;
    let second = submit(&*queue, new_job()).await.new.id;
    submit(&*queue, NewJob { lane: Lane::Midi, priority: 9, ..new_job() }).await;
    let position = async |id| queue.position(id).await.expect("counting works");
    assert_eq!(position(&first).await, Some(0));
    assert_eq!(position(&second).await, Some(1));
    assert_eq!(position(&low).await, Some(2));
    assert!(claim(&*queue).await.is_some());
    assert_eq!(position(&first).await, None);
    assert_eq!(position(&low).await, Some(1));
    assert_eq!(position(&JobId::new()).await, None);
}
