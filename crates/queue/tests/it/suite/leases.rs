//! Who may run a job, and what happens when they vanish.

use partita_queue::{EventKind, Lane, Limits, NewJob, Reaped, State};

use super::*;

pub async fn a_stale_fence_changes_nothing(store: &dyn Store) {
    let queue = open(store).await;
    let old = running(&*queue, new_job()).await;
    run_out(&*queue, std::slice::from_ref(&old)).await;
    let new = claim(&*queue).await.expect("it is back");
    assert!(new.lease.fence > old.lease.fence);
    assert!(beat(&*queue, &old).await.lost);
    assert!(!queue.release(&old.lease).await.expect("releasing works"));
    assert!(!finish(&*queue, &old, complete()).await);
    assert!(!finish(&*queue, &old, failed(true)).await);
    assert!(!finish(&*queue, &old, Outcome::Cancelled).await);
    let job = get(&*queue, &new.job.new.id).await;
    assert_eq!((job.state, job.attempts, job.result, job.error), (State::Running, 2, None, None));
    assert!(!beat(&*queue, &new).await.lost);
    assert!(finish(&*queue, &new, complete()).await);
    assert!(!finish(&*queue, &old, failed(false)).await);
    assert_eq!(get(&*queue, &new.job.new.id).await.state, State::Complete);
}

pub async fn a_lease_that_ran_out_goes_to_the_front(store: &dyn Store) {
    let queue = open(store).await;
    let lost = running(&*queue, new_job()).await;
    submit(&*queue, new_job()).await;
    let urgent = submit(&*queue, NewJob { priority: 6, ..new_job() }).await.new.id;
    assert_eq!(queue.reap().await.expect("reaping works"), Reaped::default(), "the lease is good");
    let reaped = run_out(&*queue, std::slice::from_ref(&lost)).await;
    assert_eq!(reaped, Reaped { requeued: 1, ..Reaped::default() });
    let job = get(&*queue, &lost.job.new.id).await;
    assert_eq!((job.state, job.attempts), (State::Queued, 1));
    // The front of its own priority, not of the lane.
    assert_eq!(claim(&*queue).await.expect("three wait").job.new.id, urgent);
    let again = claim(&*queue).await.expect("two wait");
    assert_eq!((again.job.new.id, again.job.attempts), (lost.job.new.id, 2));
}

pub async fn out_of_attempts_a_job_is_parked(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, NewJob { max_attempts: 2, ..new_job() }).await.new.id;
    for (attempt, expected) in
        [(1, Reaped { requeued: 1, ..Reaped::default() }), (2, Reaped { parked: 1, ..Reaped::default() })]
    {
        let claim = claim(&*queue).await.expect("it waits");
        assert_eq!(claim.job.attempts, attempt);
        assert_eq!(run_out(&*queue, &[claim]).await, expected);
    }
    assert!(claim(&*queue).await.is_none());
    let job = get(&*queue, &id).await;
    assert_eq!((job.state, job.attempts, code(&job)), (State::Failed, 2, Some("gave-up")));
    assert!(job.finished_at.is_some());
    assert_eq!(queue.stats().await.expect("counting works").parked, 1);
    assert_eq!(queue.reap().await.expect("reaping works"), Reaped::default());
}

pub async fn a_heartbeat_keeps_the_lease(store: &dyn Store) {
    let visibility = Duration::from_millis(900);
    let queue = open_with(store, Limits { visibility, ..limits() }).await;
    let claim = running(&*queue, new_job()).await;
    for _ in 0..15 {
        pause(100).await;
        assert_eq!(beat(&*queue, &claim).await, partita_queue::Beat::default());
        assert_eq!(queue.reap().await.expect("reaping works"), Reaped::default());
    }
    pause(1000).await;
    assert_eq!(queue.reap().await.expect("reaping works").requeued, 1);
    assert!(beat(&*queue, &claim).await.lost);
}

pub async fn progress_shows_in_the_job(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    let progress = Progress { fraction: 0.25, stage: "generate".into(), step: 2, steps: 8, eta: Some(1.5) };
    assert!(!queue.heartbeat(&claim.lease, &progress).await.expect("heartbeats work").lost);
    assert_eq!(get(&*queue, &claim.job.new.id).await.progress, progress);
}

pub async fn a_released_job_is_untried_and_first(store: &dyn Store) {
    let queue = open(store).await;
    let first = running(&*queue, new_job()).await;
    submit(&*queue, new_job()).await;
    assert!(queue.release(&first.lease).await.expect("releasing works"));
    assert!(!queue.release(&first.lease).await.expect("releasing works"));
    let job = get(&*queue, &first.job.new.id).await;
    assert_eq!((job.state, job.attempts), (State::Queued, 0));
    let again = claim(&*queue).await.expect("two wait");
    assert_eq!((&again.job.new.id, again.job.attempts), (&first.job.new.id, 1));
    assert!(again.lease.fence > first.lease.fence);
    // Whom somebody asked to cancel is not tried again.
    queue.cancel(&again.job.new.id).await.expect("cancelling works");
    assert!(queue.release(&again.lease).await.expect("releasing works"));
    assert_eq!(get(&*queue, &again.job.new.id).await.state, State::Cancelled);
}

pub async fn an_update_reaches_the_next_heartbeat(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, new_job()).await.new.id;
    let update = async |value: Value| queue.update(&id, value).await.expect("updating works");
    assert!(!update(json!({ "temperature": 0.5 })).await, "it does not run yet");
    let claim = claim(&*queue).await.expect("it waits");
    assert!(update(json!({ "temperature": 0.7 })).await);
    assert!(update(json!({ "top_k": 3 })).await);
    let told = queue.wait_control(Duration::from_secs(30)).await.expect("waiting works");
    assert!(told.contains(&id));
    let updates = beat(&*queue, &claim).await.updates;
    assert_eq!(updates, [json!({ "temperature": 0.7 }), json!({ "top_k": 3 })]);
    assert!(beat(&*queue, &claim).await.updates.is_empty());
    assert!(finish(&*queue, &claim, complete()).await);
    assert!(!update(json!({ "top_k": 4 })).await, "it has ended");
    assert!(!queue.update(&JobId::new(), json!({})).await.expect("updating works"));
}

pub async fn reopening_gives_up_no_job(store: &dyn Store) {
    let queue = open(store).await;
    let held = running(&*queue, new_job()).await;
    let ended = running(&*queue, new_job()).await;
    assert!(finish(&*queue, &ended, complete()).await);
    let waiting = submit(&*queue, NewJob { lane: Lane::Midi, ..new_job() }).await.new.id;
    drop(queue);

    // An engine for one process has requeued the held job at once; one for many waits for the lease.
    let queue = open_with(store, Limits { visibility: Duration::from_millis(1), ..limits() }).await;
    pause(20).await;
    queue.reap().await.expect("reaping works");
    queue.set_limits(limits());
    let again = claim(&*queue).await.expect("the held job is back");
    assert_eq!((&again.job.new.id, again.job.attempts), (&held.job.new.id, 2));
    assert!(again.lease.fence > held.lease.fence);
    assert!(!finish(&*queue, &held, complete()).await);
    queue.publish(&held.lease, vec![(EventKind::Log, json!({}))]).await.expect("publishing works");
    assert_eq!(get(&*queue, &ended.job.new.id).await.result, get(&*queue, &ended.job.new.id).await.result);
    assert_eq!(get(&*queue, &ended.job.new.id).await.state, State::Complete);
    assert_eq!(get(&*queue, &waiting).await.state, State::Queued);
}

pub async fn errors_and_deaths_are_counted_apart(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, NewJob { max_attempts: 2, ..new_job() }).await.new.id;
    let next = async || {
        pause(20).await;
        queue.reap().await.expect("reaping works");
        claim(&*queue).await.expect("it waits")
    };
    assert!(finish(&*queue, &next().await, failed(true)).await);
    assert_eq!(run_out(&*queue, &[next().await]).await.requeued, 1, "one error and one death");
    let job = get(&*queue, &id).await;
    assert_eq!((job.state, job.attempts, job.deaths), (State::Queued, 2, 1));
    assert!(finish(&*queue, &next().await, failed(true)).await);
    let job = get(&*queue, &id).await;
    assert_eq!((job.state, job.attempts, job.deaths), (State::Failed, 3, 1), "two errors");
}

/// The poisonous job takes all that runs beside it down, each time.
pub async fn a_poisonous_job_takes_no_neighbour_with_it(store: &dyn Store) {
    let queue = open(store).await;
    let mut innocent = Vec::new();
    let mut poison = None;
    for number in 0..11 {
        // One at a lower priority, one in another lane.
        let priority = if number == 10 { 4 } else { 5 };
        let lane = if number == 9 { Lane::Midi } else { Lane::Generation };
        let id = submit(&*queue, NewJob { priority, lane, ..new_job() }).await.new.id;
        if number == 5 { poison = Some(id) } else { innocent.push(id) }
    }
    let poison = poison.expect("the sixth");
    let (mut deaths, mut alone) = (0, 0);
    for _round in 0..40 {
        let mut running = Vec::new();
        for lane in [Lane::Generation, Lane::Midi, Lane::Generation] {
            running.extend(queue.claim("host:1:a", lane, 20).await.expect("claiming works"));
        }
        if running.is_empty() {
            break;
        }
        assert!(running.len() == 1 || running.iter().all(|claim| claim.job.deaths < 2), "not alone");
        alone += usize::from(running.len() == 1);
        if running.iter().any(|claim| claim.job.new.id == poison) {
            run_out(&*queue, &running).await;
            deaths += 1;
        } else {
            for claim in &running {
                assert!(finish(&*queue, claim, complete()).await);
            }
        }
    }
    for id in &innocent {
        let job = get(&*queue, id).await;
        assert_eq!((job.state, job.deaths), (State::Complete, 2));
    }
    let job = get(&*queue, &poison).await;
    assert_eq!((job.state, code(&job), job.deaths), (State::Failed, Some("gave-up"), 3));
    assert_eq!((deaths, alone), (3, 11));
    assert_eq!(queue.stats().await.expect("counting works").parked, 1);
}

pub async fn a_suspect_runs_alone(store: &dyn Store) {
    let queue = open(store).await;
    let suspect = submit(&*queue, new_job()).await.new.id;
    for _death in 0..2 {
        let claim = claim(&*queue).await.expect("it waits");
        run_out(&*queue, &[claim]).await;
    }
    let from = async |worker: &'static str, lane| queue.claim(worker, lane, 5).await.expect("claiming works");
    let usual = async |priority| submit(&*queue, NewJob { priority, ..new_job() }).await.new.id;
    let midi = async || submit(&*queue, NewJob { lane: Lane::Midi, ..new_job() }).await.new.id;
    // Those of higher priority go first, and then the worker becomes idle for it.
    let (urgent, later) = (usual(6).await, usual(5).await);
    let first = from("host:1:a", Lane::Generation).await;
    assert_eq!((first.len(), &first[0].job.new.id), (1, &urgent));
    assert!(from("host:1:a", Lane::Generation).await.is_empty());
    let other = midi().await;
    assert!(from("host:1:a", Lane::Midi).await.is_empty(), "no lane gets anything meanwhile");
    assert_eq!(queue.position(&later).await.expect("counting works"), Some(1));
    let waiting = {
        let queue = queue.clone();
        tokio::spawn(async move { queue.wait(&[Lane::Generation], Duration::from_secs(60)).await })
    };
    assert!(finish(&*queue, &first[0], complete()).await);
    waiting.await.expect("the waiter ends").expect("waiting works");
    let alone = from("host:1:a", Lane::Generation).await;
    assert_eq!((alone.len(), &alone[0].job.new.id), (1, &suspect));
    for lane in [Lane::Generation, Lane::Midi] {
        assert!(from("host:1:a", lane).await.is_empty(), "nothing runs beside it");
    }
    // Given back untried, it is what it was; a result ends it.
    assert!(queue.release(&alone[0].lease).await.expect("releasing works"));
    let alone = from("host:1:a", Lane::Generation).await;
    assert_eq!((alone.len(), &alone[0].job.new.id), (1, &suspect));
    assert!(finish(&*queue, &alone[0], complete()).await);
    assert_eq!(from("host:1:a", Lane::Generation).await[0].job.new.id, later);
    assert_eq!(from("host:1:a", Lane::Midi).await[0].job.new.id, other);
}

/// Somebody from outside ends the worker again and again.
pub async fn deaths_are_spread_over_the_suspects(store: &dyn Store) {
    let queue = open(store).await;
    for _job in 0..4 {
        submit(&*queue, NewJob { max_attempts: 9, ..new_job() }).await;
    }
    for _death in 0..2 {
        let claims = queue.claim("host:1:a", Lane::Generation, 9).await.expect("claiming works");
        assert_eq!(claims.len(), 4);
        run_out(&*queue, &claims).await;
    }
    let mut hit = std::collections::HashSet::new();
    for _death in 0..4 {
        let claim = claim(&*queue).await.expect("it waits");
        hit.insert(claim.job.new.id.clone());
        run_out(&*queue, &[claim]).await;
    }
    assert_eq!(hit.len(), 4, "each was hit once more");
}
