//! How jobs end, and who is told.

use partita_queue::{Delivery, Lane, NewJob, Reaped, State, Webhook};

use super::*;

pub async fn a_job_ends_once(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    assert!(finish(&*queue, &claim, Outcome::Complete(json!({ "n": 1 }))).await);
    assert!(!finish(&*queue, &claim, Outcome::Complete(json!({ "n": 2 }))).await);
    assert!(!finish(&*queue, &claim, failed(false)).await);
    assert!(beat(&*queue, &claim).await.lost);
    let job = get(&*queue, &claim.job.new.id).await;
    assert_eq!(
        (job.state, job.result.clone(), job.error.clone()),
        (State::Complete, Some(json!({ "n": 1 })), None)
    );
    assert!(job.created_at <= job.started_at.expect("it began"));
    assert!(job.started_at <= job.finished_at);
}

pub async fn a_failure_is_tried_again_later(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, NewJob { max_attempts: 2, ..new_job() }).await.new.id;
    let first = claim(&*queue).await.expect("it waits");
    let later = submit(&*queue, new_job()).await.new.id;
    assert!(finish(&*queue, &first, failed(true)).await);
    assert_eq!(get(&*queue, &id).await.state, State::Queued);
    assert_eq!(claim(&*queue).await.expect("one waits").job.new.id, later);
    let second = eventually(&*queue).await;
    assert_eq!((&second.job.new.id, second.job.attempts), (&id, 2));
    // Out of attempts, it keeps its own error.
    assert!(finish(&*queue, &second, failed(true)).await);
    let job = get(&*queue, &id).await;
    assert_eq!((job.state, code(&job)), (State::Failed, Some("broken")));
    assert!(claim(&*queue).await.is_none());

    let hopeless = running(&*queue, new_job()).await;
    assert!(finish(&*queue, &hopeless, failed(false)).await);
    assert_eq!(get(&*queue, &hopeless.job.new.id).await.state, State::Failed);
}

/// The next job, once its wait is over.
async fn eventually(queue: &dyn Queue) -> Claim {
    loop {
        queue.wait(&[Lane::Generation], Duration::from_millis(20)).await.expect("waiting works");
        if let Some(claim) = claim(queue).await {
            return claim;
        }
    }
}

pub async fn a_queued_job_is_cancelled_at_once(store: &dyn Store) {
    let queue = open(store).await;
    let id = submit(&*queue, new_job()).await.new.id;
    let job = queue.cancel(&id).await.expect("cancelling works").expect("it is there");
    assert_eq!(job.state, State::Cancelled);
    assert!(job.finished_at.is_some());
    assert!(claim(&*queue).await.is_none());
    assert_eq!(get(&*queue, &id).await, job);
    assert!(queue.cancel(&JobId::new()).await.expect("cancelling works").is_none());
    assert_eq!(queue.stats().await.expect("counting works").queued.values().sum::<u64>(), 0);
}

pub async fn a_running_job_is_asked_to_cancel(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    assert!(!beat(&*queue, &claim).await.cancelled);
    let job = queue.cancel(&claim.job.new.id).await.expect("cancelling works").expect("it is there");
    assert_eq!((job.state, job.cancel_requested), (State::Running, true));
    let told = queue.wait_control(Duration::from_secs(30)).await.expect("waiting works");
    assert!(told.contains(&claim.job.new.id));
    assert!(beat(&*queue, &claim).await.cancelled);
    assert!(beat(&*queue, &claim).await.cancelled, "every heartbeat tells it");
    assert!(finish(&*queue, &claim, Outcome::Cancelled).await);
    assert_eq!(get(&*queue, &claim.job.new.id).await.state, State::Cancelled);
}

pub async fn a_job_that_ended_cannot_be_cancelled(store: &dyn Store) {
    let queue = open(store).await;
    for (outcome, state) in [(complete(), State::Complete), (failed(false), State::Failed)] {
        let claim = running(&*queue, new_job()).await;
        assert!(finish(&*queue, &claim, outcome).await);
        let before = get(&*queue, &claim.job.new.id).await;
        let job = queue.cancel(&claim.job.new.id).await.expect("cancelling works").expect("it is there");
        assert_eq!(job.state, state);
        assert_eq!(job, before);
    }
}

pub async fn cancelling_beats_a_failure_but_not_a_result(store: &dyn Store) {
    let queue = open(store).await;
    for (outcome, state) in
        [(failed(true), State::Cancelled), (failed(false), State::Cancelled), (complete(), State::Complete)]
    {
        let claim = running(&*queue, new_job()).await;
        queue.cancel(&claim.job.new.id).await.expect("cancelling works");
        assert!(finish(&*queue, &claim, outcome).await);
        let job = get(&*queue, &claim.job.new.id).await;
        assert_eq!(job.state, state);
        assert_eq!(job.error, None);
        assert_eq!(job.result.is_some(), state == State::Complete);
    }
}

pub async fn a_cancelled_job_whose_worker_vanished_is_cancelled(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    queue.cancel(&claim.job.new.id).await.expect("cancelling works");
    let reaped = run_out(&*queue, std::slice::from_ref(&claim)).await;
    assert_eq!(reaped, Reaped::default());
    assert_eq!(get(&*queue, &claim.job.new.id).await.state, State::Cancelled);
}

pub async fn a_job_past_its_deadline_fails(store: &dyn Store) {
    let queue = open(store).await;
    let now = queue.now().await.expect("there is a clock");
    let late = submit(&*queue, NewJob { deadline: Some(now - 1), ..new_job() }).await.new.id;
    let early = submit(&*queue, NewJob { deadline: Some(now + 600_000), ..new_job() }).await.new.id;
    let reaped = queue.reap().await.expect("reaping works");
    assert_eq!(reaped, Reaped { expired: 1, ..Reaped::default() });
    let job = get(&*queue, &late).await;
    assert_eq!((job.state, code(&job)), (State::Failed, Some("deadline")));
    assert_eq!(claim(&*queue).await.expect("one waits").job.new.id, early);
    // A job that nobody has reaped yet is no longer wanted either.
    submit(&*queue, NewJob { deadline: Some(now - 1), ..new_job() }).await;
    assert!(claim(&*queue).await.is_none());
}

pub async fn a_large_result_comes_back_whole(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, new_job()).await;
    let result = json!({ "notes": vec!["a note with \"quotes\", ünïcode and \u{0} too"; 60_000] });
    assert!(finish(&*queue, &claim, Outcome::Complete(result.clone())).await);
    assert!(get(&*queue, &claim.job.new.id).await.result == Some(result));
}

async fn due(queue: &dyn Queue) -> Vec<Delivery> {
    queue.due_deliveries(10, Duration::from_secs(600)).await.expect("reading deliveries works")
}

pub async fn an_end_is_told_to_the_webhook_once(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, NewJob { webhook: Some(webhook()), ..new_job() }).await;
    assert!(due(&*queue).await.is_empty());
    assert!(finish(&*queue, &claim, complete()).await);
    assert!(!finish(&*queue, &claim, complete()).await);
    assert_eq!(queue.stats().await.expect("counting works").deliveries, 1);
    let id = claim.job.new.id.clone();
    let expected = Delivery { id: format!("msg_{id}"), job: id, webhook: webhook(), attempts: 0 };
    assert_eq!(due(&*queue).await, std::slice::from_ref(&expected));
    assert!(due(&*queue).await.is_empty(), "it is leased");
    queue.settle_delivery(&expected.id, None).await.expect("settling works");
    assert_eq!(queue.stats().await.expect("counting works").deliveries, 0);
    assert!(due(&*queue).await.is_empty());
}

pub async fn a_webhook_hears_of_the_ends_it_wants(store: &dyn Store) {
    let queue = open(store).await;
    let hook = Webhook { events: vec![State::Failed, State::Cancelled], ..webhook() };
    let job = || NewJob { webhook: Some(hook.clone()), max_attempts: 1, ..new_job() };
    let done = running(&*queue, job()).await;
    assert!(finish(&*queue, &done, complete()).await);
    assert!(due(&*queue).await.is_empty());

    let broken = running(&*queue, job()).await;
    assert!(finish(&*queue, &broken, failed(true)).await);
    assert_eq!(due(&*queue).await.len(), 1, "a failure");
    let vanished = running(&*queue, job()).await;
    run_out(&*queue, &[vanished]).await;
    assert_eq!(due(&*queue).await.len(), 1, "a worker that vanished");
    let unwanted = submit(&*queue, job()).await;
    queue.cancel(&unwanted.new.id).await.expect("cancelling works");
    assert_eq!(due(&*queue).await.len(), 1, "cancelled while it waited");
    submit(&*queue, NewJob { deadline: Some(1), ..job() }).await;
    queue.reap().await.expect("reaping works");
    assert_eq!(due(&*queue).await.len(), 1, "past its deadline");
}

pub async fn a_delivery_is_tried_again(store: &dyn Store) {
    let queue = open(store).await;
    let claim = running(&*queue, NewJob { webhook: Some(webhook()), ..new_job() }).await;
    assert!(finish(&*queue, &claim, complete()).await);
    let first = due(&*queue).await.pop().expect("one is due");
    queue.settle_delivery(&first.id, Some(Duration::from_secs(600))).await.expect("settling works");
    assert!(due(&*queue).await.is_empty(), "its time has not come");
    queue.settle_delivery(&first.id, Some(Duration::ZERO)).await.expect("settling works");
    let second = due(&*queue).await.pop().expect("one is due");
    assert_eq!(second.id, first.id);
    assert_eq!((first.attempts, second.attempts), (0, 1));

    // Whoever held it vanished: somebody else tries.
    queue.settle_delivery(&first.id, Some(Duration::ZERO)).await.expect("settling works");
    let short = Duration::from_millis(1);
    assert_eq!(queue.due_deliveries(1, short).await.expect("reading deliveries works").len(), 1);
    pause(20).await;
    // A call that took its process down counts as well.
    assert_eq!(due(&*queue).await.pop().expect("one is due").attempts, 3);
}

pub async fn pruning_keeps_what_has_not_ended(store: &dyn Store) {
    let queue = open(store).await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        let claim = running(&*queue, new_job()).await;
        assert!(finish(&*queue, &claim, complete()).await);
        ended.push(claim.job.new.id);
    }
    let held = running(&*queue, new_job()).await.job.new.id;
    let waiting = submit(&*queue, new_job()).await.new.id;
    assert!(queue.prune(0, 10).await.expect("pruning works").is_empty());
    let now = queue.now().await.expect("there is a clock") + 60_000;
    let mut gone = queue.prune(now, 2).await.expect("pruning works");
    assert_eq!(gone.len(), 2);
    gone.extend(queue.prune(now, 10).await.expect("pruning works"));
    assert!(gone.iter().all(|job| job.result.is_some()));
    let mut gone: Vec<JobId> = gone.into_iter().map(|job| job.new.id).collect();
    gone.sort();
    ended.sort();
    assert_eq!(gone, ended);
    assert!(queue.get(&ended[0]).await.expect("reading works").is_none());
    assert_eq!(get(&*queue, &held).await.state, State::Running);
    assert_eq!(get(&*queue, &waiting).await.state, State::Queued);
    assert_eq!(queue.stats().await.expect("counting works").done, 0);
}

pub async fn pruning_keeps_what_is_still_needed(store: &dyn Store) {
    let queue = open_with(store, Limits { idempotency: Duration::from_millis(500), ..limits() }).await;
    let started = std::time::Instant::now();
    let told = running(&*queue, NewJob { webhook: Some(webhook()), ..new_job() }).await;
    let keyed = NewJob { idempotency: Some(("key".into(), "print".into())), ..new_job() };
    let keyed = running(&*queue, keyed).await;
    let plain = running(&*queue, new_job()).await;
    for claim in [&told, &keyed, &plain] {
        assert!(finish(&*queue, claim, complete()).await);
    }
    let now = queue.now().await.expect("there is a clock") + 60_000;
    let prune = async || {
        let gone = queue.prune(now, 1).await.expect("pruning works");
        gone.into_iter().map(|job| job.new.id).collect::<Vec<_>>()
    };
    let gone = prune().await;
    if started.elapsed() < Duration::from_millis(450) {
        assert_eq!(gone, [plain.job.new.id], "those that are kept do not hide others");
        assert!(prune().await.is_empty());
    }
    pause(600).await;
    assert_eq!(prune().await, [keyed.job.new.id], "its key is forgotten");
    assert!(prune().await.is_empty());
    let delivery = due(&*queue).await.pop().expect("one is due");
    assert!(prune().await.is_empty(), "somebody makes the call");
    queue.settle_delivery(&delivery.id, None).await.expect("settling works");
    assert_eq!(prune().await, [told.job.new.id]);
    let stats = queue.stats().await.expect("counting works");
    assert_eq!((stats.done, stats.deliveries), (0, 0));
}

pub async fn pruning_gives_large_results_in_parts(store: &dyn Store) {
    let queue = open(store).await;
    let large = json!({ "notes": "x".repeat(3 << 20), "file_id": "fil_1" });
    for _ in 0..6 {
        let request = json!({ "midi": "y".repeat(100_000) });
        let claim = running(&*queue, NewJob { request, ..new_job() }).await;
        assert!(finish(&*queue, &claim, Outcome::Complete(large.clone())).await);
    }
    let now = queue.now().await.expect("there is a clock") + 60_000;
    let mut parts = Vec::new();
    loop {
        let gone = queue.prune(now, 100).await.expect("pruning works");
        if gone.is_empty() {
            break;
        }
        assert!(gone.iter().all(|job| job.result.as_ref() == Some(&large)));
        assert!(gone.iter().all(|job| job.new.request["omitted_bytes"].is_u64()));
        parts.push(gone.len());
    }
    assert_eq!(parts, [3, 3]);
}
