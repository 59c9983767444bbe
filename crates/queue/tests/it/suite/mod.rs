//! Facts about any queue.
//!
//! `conformance!(make)` turns them into tests of one engine; `make` is an expression that gives a fresh [`Store`].

pub mod ends;
pub mod events;
pub mod leases;
pub mod model;
pub mod order;
pub mod records;

use std::sync::Arc;
use std::time::Duration;

use partita_queue::{
    Claim, Error, Fut, Job, JobId, Lane, Limits, NewJob, Outcome, Progress, Queue, Submitted, Webhook,
};
use serde_json::{Value, json};

/// Where the jobs of one test are kept: a folder, or names of its own on a server. Nothing of it is left when it is
/// dropped.
pub trait Store: Send + Sync {
    /// Opens the queue, again too; whoever opens it again has dropped it before.
    fn open(&self, limits: Limits) -> Fut<'_, Arc<dyn Queue>>;
}

macro_rules! conformance {
    ($make:expr) => {
        conformance! { @tests $make;
            order {
                a_submitted_job_is_there_after_reopening
                higher_priorities_go_first
                equals_go_oldest_first
                a_thousand_jobs_of_one_owner_do_not_hold_up_another
                lanes_are_apart
                claimers_never_share_a_job
                a_full_lane_refuses_and_stores_nothing
                an_owner_at_the_limit_is_refused
                an_idempotency_key_replays_its_job
                an_idempotency_key_is_its_owners_own
                an_idempotency_key_is_forgotten_in_time
                a_replay_is_looked_up_without_a_submission
                a_waiter_wakes_for_a_job
                position_counts_who_goes_before
            }
            leases {
                a_stale_fence_changes_nothing
                a_lease_that_ran_out_goes_to_the_front
                out_of_attempts_a_job_is_parked
                a_heartbeat_keeps_the_lease
                progress_shows_in_the_job
                a_released_job_is_untried_and_first
                an_update_reaches_the_next_heartbeat
                reopening_gives_up_no_job
                errors_and_deaths_are_counted_apart
                a_poisonous_job_takes_no_neighbour_with_it
                a_suspect_runs_alone
                deaths_are_spread_over_the_suspects
            }
            ends {
                a_job_ends_once
                a_failure_is_tried_again_later
                a_queued_job_is_cancelled_at_once
                a_running_job_is_asked_to_cancel
                a_job_that_ended_cannot_be_cancelled
                cancelling_beats_a_failure_but_not_a_result
                a_cancelled_job_whose_worker_vanished_is_cancelled
                a_job_past_its_deadline_fails
                a_large_result_comes_back_whole
                an_end_is_told_to_the_webhook_once
                a_webhook_hears_of_the_ends_it_wants
                a_delivery_is_tried_again
                pruning_keeps_what_has_not_ended
                pruning_keeps_what_is_still_needed
                pruning_gives_large_results_in_parts
            }
            events {
                events_come_in_order
                watching_resumes_after_an_event
                a_watcher_misses_and_repeats_nothing
                an_event_no_longer_kept_gives_a_reset
                an_ended_job_gives_its_last_event
                nobody_can_watch_what_is_not_there
                a_stale_fence_publishes_nothing
                after_reopening_a_watcher_hears_the_end
            }
            records {
                lists_are_newest_first_in_pages
                lists_obey_their_filters
                lists_hold_no_results_and_no_long_requests
                stats_count_jobs_where_they_are
                keys_are_kept_and_replaced
                workers_are_known_while_they_tell
                a_job_comes_back_as_it_went_in
            }
            model {
                random_histories_match_the_model
            }
        }
    };
    (@tests $make:expr; $($module:ident { $($name:ident)* })*) => {
        $(mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $name() {
                $crate::suite::run(async {
                    let store = $make;
                    $crate::suite::$module::$name(&store).await;
                });
            })*
        })*
    };
}

/// Runs one test; one that hangs fails.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let limit = Duration::from_secs(120);
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(limit, test).await.expect("a test must end within two minutes");
    });
}

/// Leases far longer than any test.
pub fn limits() -> Limits {
    Limits { visibility: Duration::from_secs(600), retry: Duration::from_millis(1), ..Limits::default() }
}

pub async fn open(store: &dyn Store) -> Arc<dyn Queue> {
    open_with(store, limits()).await
}

pub async fn open_with(store: &dyn Store, limits: Limits) -> Arc<dyn Queue> {
    store.open(limits).await.expect("the store opens")
}

pub fn new_job() -> NewJob {
    NewJob {
        id: JobId::new(),
        kind: "generate".into(),
        lane: Lane::Generation,
        priority: 5,
        owner: None,
        model: "drums@1".into(),
        request: json!({ "bars": 4, "seed": 7 }),
        nonce: "00112233445566778899aabbccddeeff".into(),
        deadline: None,
        max_attempts: 3,
        webhook: None,
        idempotency: None,
        request_id: "req_1".into(),
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nrojo=00f067aa0ba902b7,congo=t61 2"
            .into(),
    }
}

pub fn owned(owner: &str) -> NewJob {
    NewJob { owner: Some(owner.into()), ..new_job() }
}

pub fn webhook() -> Webhook {
    Webhook { url: "http://example.org/done".into(), events: Vec::new(), secret: Some("whsec_AAAA".into()) }
}

pub async fn submit(queue: &dyn Queue, job: NewJob) -> Job {
    match queue.submit(job, None).await.expect("the queue takes the job") {
        Submitted::New(job) | Submitted::Replayed(job) => job,
    }
}

/// The next job of the usual lane.
pub async fn claim(queue: &dyn Queue) -> Option<Claim> {
    claim_many(queue, 1).await.pop()
}

pub async fn claim_many(queue: &dyn Queue, limit: usize) -> Vec<Claim> {
    queue.claim("host:1:a", Lane::Generation, limit).await.expect("claiming works")
}

/// A job of the usual kind that somebody runs.
pub async fn running(queue: &dyn Queue, job: NewJob) -> Claim {
    let id = submit(queue, job).await.new.id;
    let claim = claim(queue).await.expect("the job waits");
    assert_eq!(claim.job.new.id, id);
    claim
}

pub async fn get(queue: &dyn Queue, id: &JobId) -> Job {
    queue.get(id).await.expect("reading works").expect("the job is there")
}

pub async fn beat(queue: &dyn Queue, claim: &Claim) -> partita_queue::Beat {
    queue.heartbeat(&claim.lease, &Progress::default()).await.expect("heartbeats work")
}

pub async fn finish(queue: &dyn Queue, claim: &Claim, outcome: Outcome) -> bool {
    queue.finish(&claim.lease, outcome).await.expect("finishing works")
}

pub fn complete() -> Outcome {
    Outcome::Complete(json!({ "notes": [36, 38] }))
}

pub fn failed(again: bool) -> Outcome {
    Outcome::Failed { error: error("broken"), again }
}

pub fn error(code: &str) -> Value {
    json!({ "code": code, "message": "no such drum", "field": null })
}

pub fn code(job: &Job) -> Option<&str> {
    job.error.as_ref()?.get("code")?.as_str()
}

/// Lets the leases of `claims` run out and takes back whatever ran out, without waiting for long leases: they are
/// renewed for a millisecond.
pub async fn run_out(queue: &dyn Queue, claims: &[Claim]) -> partita_queue::Reaped {
    queue.set_limits(Limits { visibility: Duration::from_millis(1), ..limits() });
    for claim in claims {
        beat(queue, claim).await;
    }
    pause(20).await;
    let reaped = queue.reap().await.expect("reaping works");
    queue.set_limits(limits());
    reaped
}

pub async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Whether a submission was refused for the reason that `is` knows.
pub async fn refused(queue: &dyn Queue, job: NewJob, is: impl Fn(&Error) -> bool) {
    let id = job.id.clone();
    let error = queue.submit(job, None).await.expect_err("the queue refuses the job");
    assert!(is(&error), "{error}");
    assert!(queue.get(&id).await.expect("reading works").is_none(), "a refused job was stored");
}
