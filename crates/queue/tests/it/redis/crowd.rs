//! Many processes at once; each handle here has connections of its own, as a process has.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use partita_queue::{EventKind, JobId, Lane, Limits, NewJob, Queue, Submitted};

use super::Names;
use crate::suite::{self, complete, finish, limits, new_job, owned, pause, submit};

#[test]
fn eight_claimers_get_each_of_500_jobs_once() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        let mut all = HashSet::new();
        for n in 0..500u32 {
            let job = NewJob { priority: [4, 5, 6][n as usize % 3], ..owned(&format!("owner {}", n % 5)) };
            all.insert(submit(&*queue, job).await.new.id);
        }
        let mut claimers = Vec::new();
        for n in 0..8 {
            let queue = names.connect(limits()).await;
            claimers.push(tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let worker = format!("host:{n}:a");
                    let claims = queue.claim(&worker, Lane::Generation, 4).await.expect("claiming works");
                    if claims.is_empty() {
                        return ids;
                    }
                    for claim in claims {
                        assert!(finish(&*queue, &claim, complete()).await);
                        ids.push(claim.job.new.id);
                    }
                }
            }));
        }
        let mut got: Vec<JobId> = Vec::new();
        for claimer in claimers {
            got.extend(claimer.await.expect("the claimer ends"));
        }
        assert_eq!(got.len(), 500);
        assert_eq!(got.into_iter().collect::<HashSet<_>>(), all);
        // Nothing but the jobs themselves is left: each stream went with its last entry.
        for name in ["stream", "turn", "queue", "running", "owner", "leased", "deadlines", "later"] {
            let pattern = format!("{{{}}}:{name}*", names.prefix);
            assert_eq!(names.server.ask::<Vec<String>>(&["KEYS", &pattern]).await, Vec::<String>::new());
        }
    });
}

#[test]
fn two_reapers_take_each_lease_back_once() {
    suite::run(async {
        let names = Names::new();
        let short = Limits { visibility: Duration::from_millis(1), ..limits() };
        let (one, two) = (names.connect(short.clone()).await, names.connect(short).await);
        for _ in 0..250 {
            submit(&*one, new_job()).await;
        }
        assert_eq!(one.claim("host:1:a", Lane::Generation, 250).await.expect("claiming works").len(), 250);
        pause(20).await;
        let (first, second) = tokio::join!(one.reap(), two.reap());
        let (first, second) = (first.expect("reaping works"), second.expect("reaping works"));
        assert_eq!(first.requeued + second.requeued, 250);
        assert_eq!(one.stats().await.expect("counting works").queued[&Lane::Generation], 250);
        assert_eq!(two.claim("host:2:a", Lane::Generation, 300).await.expect("claiming works").len(), 250);
    });
}

#[test]
fn owners_take_turns() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        for owner in ["a", "a", "a", "a", "front", "front", "c"] {
            submit(&*queue, owned(owner)).await;
        }
        let claims = queue.claim("host:1:a", Lane::Generation, 10).await.expect("claiming works");
        let owners: Vec<&str> = claims.iter().filter_map(|claim| claim.job.new.owner.as_deref()).collect();
        assert_eq!(owners, ["a", "front", "c", "a", "front", "a", "a"]);
    });
}

#[test]
fn a_position_counts_turns_not_jobs() {
    suite::run(async {
        let queued = BTreeMap::from([(Lane::Generation, 1000)]);
        let names = Names::new();
        let queue = names.connect(Limits { queued, ..limits() }).await;
        for _ in 0..100 {
            submit(&*queue, owned("greedy")).await;
        }
        let id = submit(&*queue, owned("modest")).await.new.id;
        assert_eq!(queue.position(&id).await.expect("counting works"), Some(1));
    });
}

#[test]
fn the_same_submission_twice_is_one_job() {
    suite::run(async {
        let names = Names::new();
        let queue = names.connect(limits()).await;
        let job = new_job();
        submit(&*queue, job.clone()).await;
        assert!(matches!(queue.submit(job, None).await, Ok(Submitted::Replayed(_))));
        assert_eq!(queue.stats().await.expect("counting works").queued[&Lane::Generation], 1);
    });
}

#[test]
fn news_cross_processes() {
    suite::run(async {
        let names = Names::new();
        let (server, worker) = (names.connect(limits()).await, names.connect(limits()).await);
        let waiting = {
            let worker = worker.clone();
            tokio::spawn(async move { worker.wait(&[Lane::Generation], Duration::from_secs(60)).await })
        };
        let id = submit(&*server, new_job()).await.new.id;
        waiting.await.expect("the waiter ends").expect("waiting works");
        let mut events =
            server.subscribe(&id, 0).await.expect("subscribing works").expect("the job is there");
        let claim = worker.claim("host:2:a", Lane::Generation, 1).await.expect("claiming works").remove(0);
        let asked = tokio::join!(worker.wait_control(Duration::from_secs(60)), server.cancel(&id));
        assert_eq!(asked.0.expect("waiting works"), std::slice::from_ref(&id));
        assert!(suite::beat(&*worker, &claim).await.cancelled);
        assert!(finish(&*worker, &claim, partita_queue::Outcome::Cancelled).await);
        assert_eq!(events.next().await.expect("an event").kind, EventKind::Queued);
        assert_eq!(events.next().await.expect("an event").kind, EventKind::Cancelled);
        assert!(events.next().await.is_none());
    });
}

#[test]
fn a_thousand_idle_watchers_use_one_connection() {
    suite::run(async {
        let server = super::server::Server::in_memory();
        let queue = server.open(limits()).await;
        let id = submit(&*queue, new_job()).await.new.id;
        let mut watchers = Vec::new();
        for _ in 0..1000 {
            watchers
                .push(queue.subscribe(&id, 1).await.expect("subscribing works").expect("the job is there"));
        }
        let info: String = server.ask(&["INFO", "clients"]).await;
        // Commands, news, and whoever asks here.
        assert!(info.contains("connected_clients:3\r\n"), "{info}");
        queue.cancel(&id).await.expect("cancelling works");
        for watcher in &mut watchers {
            assert_eq!(watcher.next().await.expect("an event").kind, EventKind::Cancelled);
        }
    });
}
