//! What can be looked up.

use partita_queue::{ApiKey, Filter, Lane, Limits, NewJob, Role, State, WorkerInfo};

use super::*;

async fn ids(queue: &dyn Queue, filter: &Filter) -> (Vec<JobId>, bool) {
    let page = queue.list(filter).await.expect("listing works");
    (page.jobs.into_iter().map(|job| job.new.id).collect(), page.has_more)
}

/// Ids sort by their millisecond: one each.
async fn submit_apart(queue: &dyn Queue, job: impl FnOnce() -> NewJob) -> JobId {
    pause(3).await;
    submit(queue, job()).await.new.id
}

pub async fn lists_are_newest_first_in_pages(store: &dyn Store) {
    let queue = open(store).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.insert(0, submit_apart(&*queue, new_job).await);
    }
    let filter = Filter { limit: 2, ..Filter::default() };
    assert_eq!(ids(&*queue, &filter).await, (all[0..2].to_vec(), true));
    let filter = Filter { after: Some(all[1].clone()), ..filter };
    assert_eq!(ids(&*queue, &filter).await, (all[2..4].to_vec(), true));
    let filter = Filter { after: Some(all[3].clone()), ..filter };
    assert_eq!(ids(&*queue, &filter).await, (all[4..].to_vec(), false));
    assert_eq!(ids(&*queue, &Filter { limit: 5, ..Filter::default() }).await, (all, false));
}

pub async fn lists_obey_their_filters(store: &dyn Store) {
    let queue = open(store).await;
    let a = submit_apart(&*queue, || owned("a")).await;
    let b = submit_apart(&*queue, || NewJob { kind: "render".into(), ..owned("b") }).await;
    let c = submit_apart(&*queue, || NewJob { priority: 9, ..owned("a") }).await;
    assert_eq!(claim(&*queue).await.expect("they wait").job.new.id, c);
    let all = Filter { limit: 10, ..Filter::default() };
    let list = async |filter: Filter| ids(&*queue, &filter).await.0;
    assert_eq!(list(Filter { owner: Some("a".into()), ..all.clone() }).await, [c.clone(), a.clone()]);
    assert_eq!(list(Filter { kind: Some("render".into()), ..all.clone() }).await, std::slice::from_ref(&b));
    assert_eq!(list(Filter { state: Some(State::Queued), ..all.clone() }).await, [b, a.clone()]);
    let both = Filter { state: Some(State::Running), owner: Some("a".into()), ..all.clone() };
    assert_eq!(list(both.clone()).await, std::slice::from_ref(&c));
    assert!(list(Filter { owner: Some("b".into()), ..both }).await.is_empty());
    let older = Filter { after: Some(c), owner: Some("a".into()), ..all.clone() };
    assert_eq!(list(older).await, [a]);
    assert!(list(Filter { state: Some(State::Complete), ..all }).await.is_empty());
}

pub async fn lists_hold_no_results_and_no_long_requests(store: &dyn Store) {
    let queue = open(store).await;
    let long = json!({ "midi": "x".repeat(65_536) });
    let small = submit_apart(&*queue, new_job).await;
    let large = submit_apart(&*queue, || NewJob { request: long.clone(), ..new_job() }).await;
    for claim in claim_many(&*queue, 2).await {
        assert!(finish(&*queue, &claim, complete()).await);
    }
    let all = Filter { limit: 10, ..Filter::default() };
    let jobs = queue.list(&all).await.expect("listing works").jobs;
    let whole = async |id| get(&*queue, id).await;
    let listed = |job: Job| Job { result: None, new: NewJob { trace: String::new(), ..job.new }, ..job };
    assert_eq!(jobs[1], listed(whole(&small).await));
    let mut expected = listed(whole(&large).await);
    assert_eq!(expected.new.request, long);
    expected.new.request = json!({ "omitted_bytes": long.to_string().len() });
    assert_eq!(jobs[0], expected);
}

pub async fn stats_count_jobs_where_they_are(store: &dyn Store) {
    let queue = open(store).await;
    for lane in [Lane::Midi, Lane::Generation, Lane::Generation, Lane::Generation] {
        submit(&*queue, NewJob { lane, ..new_job() }).await;
    }
    let claims = claim_many(&*queue, 2).await;
    assert!(finish(&*queue, &claims[0], complete()).await);
    let stats = queue.stats().await.expect("counting works");
    let count =
        |map: &std::collections::BTreeMap<Lane, u64>, lane| map.get(&lane).copied().unwrap_or_default();
    assert_eq!(count(&stats.queued, Lane::Midi), 1);
    assert_eq!(count(&stats.queued, Lane::Generation), 1);
    assert_eq!(count(&stats.running, Lane::Generation), 1);
    assert_eq!(count(&stats.running, Lane::Heavy), 0);
    assert_eq!((stats.done, stats.parked, stats.deliveries), (1, 0, 0));
}

pub async fn keys_are_kept_and_replaced(store: &dyn Store) {
    let queue = open(store).await;
    assert!(queue.keys().await.expect("reading keys works").is_empty());
    let (mut first, _) = ApiKey::create("first", Role::User, 1, Some(2000));
    let (second, _) = ApiKey::create("sec\"ond", Role::Admin, 2, None);
    first.hourly_limit = Some(100);
    queue.put_key(&first).await.expect("storing keys works");
    queue.put_key(&second).await.expect("storing keys works");
    assert_eq!(queue.key(&first.id).await.expect("reading keys works"), Some(first.clone()));
    assert_eq!(queue.key("0123456789abcdef").await.expect("reading keys works"), None);
    first.revoked_at = Some(5);
    queue.put_key(&first).await.expect("storing keys works");
    drop(queue);
    let queue = open(store).await;
    assert_eq!(
        queue.keys().await.expect("reading keys works"),
        [first, second],
        "in the order of their making"
    );
}

pub async fn workers_are_known_while_they_tell(store: &dyn Store) {
    let queue = open(store).await;
    let worker = WorkerInfo {
        id: "host:1:a".into(),
        lanes: vec![Lane::Generation],
        version: "0.1.0".into(),
        started_at: 1,
        seen_at: queue.now().await.expect("there is a clock"),
        running: 1,
        done: 2,
        models: vec!["drums@1".into()],
    };
    queue.announce(&worker).await.expect("announcing works");
    let again = WorkerInfo { done: 3, ..worker };
    queue.announce(&again).await.expect("announcing works");
    let known = queue.workers().await.expect("reading works");
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].id.as_str(), known[0].done), ("host:1:a", 3));
    queue.set_limits(Limits { visibility: Duration::from_millis(1), ..limits() });
    let silent = WorkerInfo { id: "host:2:b".into(), seen_at: queue.now().await.expect("a clock"), ..again };
    queue.announce(&silent).await.expect("announcing works");
    pause(50).await;
    assert!(!queue.workers().await.expect("reading works").iter().any(|worker| worker.id == "host:2:b"));
}

pub async fn a_job_comes_back_as_it_went_in(store: &dyn Store) {
    let queue = open(store).await;
    let new = NewJob {
        kind: "batch".into(),
        lane: Lane::Heavy,
        priority: 0,
        owner: Some("0123456789abcdef".into()),
        model: String::new(),
        request: json!({ "a": [1, 2.5, null, "ü'\"\n;--"], "deep": { "x": { "y": [] } }, "large": u64::MAX }),
        deadline: Some(99_999_999_999_999),
        max_attempts: 1,
        webhook: Some(Webhook { events: vec![State::Failed], secret: None, ..webhook() }),
        idempotency: Some(("key".into(), "fingerprint".into())),
        ..new_job()
    };
    let job = submit(&*queue, new.clone()).await;
    assert_eq!(job.new, new);
    assert_eq!(get(&*queue, &new.id).await, job);
    assert_eq!((job.state, job.attempts, job.cancel_requested), (State::Queued, 0, false));
    assert_eq!((job.result, job.error, job.worker), (None, None, None));
    assert_eq!((job.started_at, job.finished_at), (None, None));
    assert_eq!(job.progress, Progress::default());
}
