//! A server that dies, hangs, is full or wants a password.

use std::time::{Duration, Instant};

use partita_queue::rate::Quota;
use partita_queue::redis::{CacheBounds, Redis};
use partita_queue::{Error, EventKind, Lane, Limits, Outcome, Queue, State};
use serde_json::json;

use super::server::Server;
use crate::suite::{self, claim, complete, finish, get, limits, new_job, pause, running, submit};

/// Until `what` works again.
async fn again<T, F: Future<Output = Result<T, Error>>>(mut what: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        match what().await {
            Ok(value) => return value,
            Err(Error::Unavailable(_)) if started.elapsed() < Duration::from_secs(20) => pause(50).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_server_that_was_killed_has_all_jobs_and_watchers_hear_on() {
    suite::run(async {
        let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let queue = server.open(limits()).await;
        let held = running(&*queue, new_job()).await;
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(submit(&*queue, new_job()).await.new.id);
        }
        let id = held.job.new.id.clone();
        let mut events = queue.subscribe(&id, 0).await.expect("subscribing works").expect("the job is there");
        assert_eq!(events.next().await.expect("an event").kind, EventKind::Queued);
        for round in 0..3 {
            server.kill();
            let error = queue.get(&id).await.expect_err("nobody is there");
            assert!(matches!(error, Error::Unavailable(_)), "{error}");
            server.restart();
            let publish = || queue.publish(&held.lease, vec![(EventKind::Log, json!({ "n": round }))]);
            again(publish).await;
            let event = events.next().await.expect("an event");
            assert_eq!((event.kind, &event.data["n"]), (EventKind::Log, &json!(round)));
        }
        assert!(!suite::beat(&*queue, &held).await.lost, "the lease outlives the server");
        assert!(finish(&*queue, &held, complete()).await);
        assert_eq!(events.next().await.expect("an event").kind, EventKind::Complete);
        let mut claimed = Vec::new();
        while let Some(claim) = claim(&*queue).await {
            claimed.push(claim.job.new.id);
        }
        assert_eq!(claimed, waiting);
    });
}

#[test]
fn a_lease_runs_out_after_a_restart_too() {
    suite::run(async {
        let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let queue = server.open(Limits { visibility: Duration::from_millis(300), ..limits() }).await;
        let held = running(&*queue, new_job()).await;
        server.kill();
        server.restart();
        pause(400).await;
        assert_eq!(again(|| queue.reap()).await.requeued, 1);
        assert!(suite::beat(&*queue, &held).await.lost);
    });
}

#[test]
fn a_server_that_hangs_is_unavailable_within_seconds_and_then_works_on() {
    suite::run(async {
        let server = Server::in_memory();
        let queue = server.open(limits()).await;
        let id = submit(&*queue, new_job()).await.new.id;
        server.signal("STOP");
        let started = Instant::now();
        let error = queue.get(&id).await.expect_err("nobody answers");
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(started.elapsed() < Duration::from_secs(6), "it took {:?}", started.elapsed());
        let error = Redis::connect(&server.url(), "partita", limits()).await.err().expect("nobody answers");
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        server.signal("CONT");
        assert_eq!(again(|| queue.get(&id)).await.expect("the job is there").state, State::Queued);
        let mut events = queue.subscribe(&id, 0).await.expect("subscribing works").expect("the job is there");
        queue.cancel(&id).await.expect("cancelling works");
        while events.next().await.expect("the end comes").kind != EventKind::Cancelled {}
    });
}

#[test]
fn watchers_and_waiters_hear_on_when_their_connection_is_cut() {
    suite::run(async {
        let server = Server::in_memory();
        let queue = server.open(limits()).await;
        let held = running(&*queue, new_job()).await;
        let mut events =
            queue.subscribe(&held.job.new.id, 1).await.expect("subscribing works").expect("the job is there");
        for n in 0..5 {
            let _cut: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            queue
                .publish(&held.lease, vec![(EventKind::Log, json!({ "n": n }))])
                .await
                .expect("publishing works");
            assert_eq!(events.next().await.expect("an event").data["n"], json!(n));
        }
        let _cut: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        assert!(again(|| queue.finish(&held.lease, complete())).await);
        assert_eq!(events.next().await.expect("an event").kind, EventKind::Complete);
        let _cut: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        submit(&*queue, new_job()).await;
        let started = Instant::now();
        queue.wait(&[Lane::Generation], Duration::from_secs(60)).await.expect("waiting works");
        assert!(started.elapsed() < Duration::from_secs(10), "it slept through the submission");
    });
}

#[test]
fn a_full_server_refuses_new_jobs_and_ends_old_ones() {
    suite::run(async {
        let server = Server::in_memory();
        let queue = server.open(limits()).await;
        let first = running(&*queue, new_job()).await;
        let waiting = submit(&*queue, new_job()).await.new.id;
        let set = async |bytes: &str| server.ask::<String>(&["CONFIG", "SET", "maxmemory", bytes]).await;
        set("1").await;
        suite::refused(&*queue, new_job(), |error| matches!(error, Error::NoSpace(_))).await;
        let bounds = CacheBounds { bytes: 1 << 20, entries: 10, ttl: Duration::from_secs(1) };
        assert!(queue.cache_put("key", b"value", bounds).await.is_err());
        let stats = queue.stats().await.expect("counting works");
        assert_eq!((stats.queued[&Lane::Generation], stats.running[&Lane::Generation]), (1, 1));
        assert!(finish(&*queue, &first, complete()).await);
        assert_eq!(get(&*queue, &first.job.new.id).await.state, State::Complete);
        let second = claim(&*queue).await.expect("one waits");
        assert_eq!(second.job.new.id, waiting);
        assert!(queue.release(&second.lease).await.expect("releasing works"));
        set("0").await;
        submit(&*queue, new_job()).await;
        assert_eq!(queue.claim("host:1:a", Lane::Generation, 9).await.expect("claiming works").len(), 2);
    });
}

#[test]
fn the_first_request_after_a_restart_is_counted() {
    suite::run(async {
        let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let queue = server.open(limits()).await;
        let quota = Quota { limit: 9, period: Duration::from_secs(3600) };
        let remaining = async || queue.count("a", quota, 1).await.expect("it is counted").remaining;
        assert_eq!(remaining().await, 8);
        server.kill();
        server.restart();
        assert_eq!(remaining().await, 7);
        let _cut: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        assert_eq!(remaining().await, 6);
        server.kill();
        let started = Instant::now();
        let error = queue.count("a", quota, 1).await.expect_err("nobody is there");
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
    });
}

#[test]
fn passwords_are_used_and_never_told() {
    suite::run(async {
        let server = Server::start(&["--appendonly", "no", "--requirepass", "geheim"]);
        let connect = async |password: &str| {
            let url = format!("{}?pass={password}", server.url());
            Redis::connect(&url, "partita", Limits::default()).await
        };
        assert!(connect("geheim").await.is_ok());
        let error = connect("streng-vertraulich").await.err().expect("the password is wrong");
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("vertraulich"), "{error:?}");
    });
}

#[test]
fn giving_up_tells_the_last_error() {
    suite::run(async {
        let names = super::Names::new();
        let queue = names.connect(limits()).await;
        let job = partita_queue::NewJob { max_attempts: 2, ..new_job() };
        let first = running(&*queue, job).await;
        let error = json!({ "code": "broken", "message": "no \"such\" drüm", "field": null });
        assert!(finish(&*queue, &first, Outcome::Failed { error, again: true }).await);
        pause(20).await;
        for _death in 0..2 {
            let again = claim(&*queue).await.expect("it waits");
            suite::run_out(&*queue, &[again]).await;
        }
        let error = get(&*queue, &first.job.new.id).await.error.expect("it failed");
        let message = "the task was tried 3 times and its worker stopped without an answer; \
                       the last error was: no \"such\" drüm";
        assert_eq!(error, json!({ "code": "gave-up", "message": message, "field": null }));
    });
}

#[test]
fn events_whose_answer_was_lost_are_told_once() {
    suite::run(async {
        let server = Server::in_memory();
        let queue = server.open(limits()).await;
        let held = running(&*queue, new_job()).await;
        let publish = |n: u64| queue.publish(&held.lease, vec![(EventKind::Log, json!({ "n": n }))]);
        publish(0).await.expect("publishing works");
        server.signal("STOP");
        // It arrives, and is done when the server goes on.
        publish(1).await.expect_err("nobody answers");
        server.signal("CONT");
        again(|| publish(1)).await;
        // The same again on purpose is another event.
        for n in [1, 2] {
            publish(n).await.expect("publishing works");
        }
        assert!(finish(&*queue, &held, complete()).await);
        let id = &held.job.new.id;
        let mut events = queue.subscribe(id, 1).await.expect("subscribing works").expect("the job is there");
        let mut numbers = Vec::new();
        while let Some(event) = events.next().await {
            numbers.extend(event.data["n"].as_u64());
        }
        assert_eq!(numbers, [0, 1, 1, 2]);
    });
}
