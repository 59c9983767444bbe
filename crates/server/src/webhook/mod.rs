//! Calls that tell others of the end of tasks, as Standard Webhooks 1.0 wants them: signed, tried again, and never to
//! an address that only this machine may reach.
//!
//! A delivery is stored with the end of its task, in one step, and leased to one process at a time; so no end goes
//! untold, and a receiver may hear of one twice: the header `webhook-id` is the same then.

use std::sync::Arc;
use std::time::Duration;

use partita_queue::Delivery;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::App;
use crate::wire::task::Task;

mod address;
mod call;
mod check;
mod sign;

use call::{Phone, Told};
pub use check::{check, check_request, sign_for};

/// Calls at once.
const MOST: usize = 16;
/// How often the store is asked for calls that are due.
const POLL: Duration = Duration::from_millis(500);
/// Wait after the first failure; four times as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// Makes calls that are due until told to stop; then those of the last tasks, and ends all under way.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let phone = match Phone::new(app.engine.live().clone()) {
        Ok(phone) => Arc::new(phone),
        Err(error) => {
            tracing::error!(%error, "webhooks cannot be called");
            return;
        }
    };
    let mut calls = JoinSet::new();
    let mut out_of_reach = false;
    loop {
        let last = stop.is_cancelled();
        while calls.try_join_next().is_some() {}
        if calls.len() >= MOST {
            calls.join_next().await;
            continue;
        }
        // Long enough for the call and for telling of it, so that no other process makes the same one meanwhile.
        let lease = seconds(app.engine.config().webhooks.timeout) + Duration::from_secs(30);
        let due = match app.engine.queue().due_deliveries(MOST - calls.len(), lease).await {
            Ok(due) => {
                out_of_reach = false;
                due
            }
            Err(error) => {
                if !std::mem::replace(&mut out_of_reach, true) {
                    tracing::warn!(%error, "webhooks wait for the task store");
                }
                vec![]
            }
        };
        let idle = due.is_empty();
        for delivery in due {
            calls.spawn(deliver(app.clone(), phone.clone(), delivery));
        }
        if last {
            break;
        }
        if idle {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
                Some(_) = calls.join_next() => {}
            }
        }
    }
    while calls.join_next().await.is_some() {}
}

async fn deliver(app: Arc<App>, phone: Arc<Phone>, delivery: Delivery) {
    let queue = app.engine.queue();
    let most = app.engine.config().webhooks.max_attempts;
    let task = match queue.get(&delivery.job).await {
        // Each of its calls took the process down, or fewer are allowed now.
        Ok(_) if delivery.attempts >= most => {
            app.metrics.count_webhook("gave-up");
            tracing::warn!(task = %delivery.job, tries = delivery.attempts, "webhook given up");
            None
        }
        Ok(Some(job)) => Task::whole(job, &app.engine).await.ok(),
        // Forgotten meanwhile: there is nothing left to tell.
        Ok(None) => None,
        // The lease runs out, and somebody tries again.
        Err(_) => return,
    };
    let retry = match task.and_then(|task| serde_json::to_vec(&task).ok()) {
        Some(body) => {
            let told = phone.call(&delivery.webhook, &delivery.id, body).await;
            let (outcome, retry) = verdict(&told, delivery.attempts, most, jitter());
            app.metrics.count_webhook(outcome);
            log(&delivery, &told, outcome);
            retry
        }
        None => None,
    };
    if let Err(error) = queue.settle_delivery(&delivery.id, retry).await {
        tracing::warn!(%error, task = %delivery.job, "what became of a webhook could not be stored");
    }
}

/// Name of the outcome, and the wait until the next try. `tried`: failed tries before this one; `jitter` in `[0, 1)`.
fn verdict(told: &Told, tried: u32, most: u32, jitter: f64) -> (&'static str, Option<Duration>) {
    match told {
        Told::Delivered => ("delivered", None),
        Told::Gone => ("gone", None),
        Told::Refused { .. } => ("refused", None),
        Told::Again { .. } if tried + 1 >= most => ("gave-up", None),
        Told::Again { not_before, .. } => {
            let wait = FIRST_WAIT.saturating_mul(4_u32.saturating_pow(tried)).min(LONGEST_WAIT);
            // Half of it at random, so that receivers that came back do not get all calls at once.
            let wait = wait.mul_f64(0.5 + 0.5 * jitter);
            ("retried", Some(not_before.unwrap_or_default().min(LONGEST_WAIT).max(wait)))
        }
    }
}

fn jitter() -> f64 {
    let digits = u32::from_str_radix(&partita_queue::random_hex(4), 16).unwrap_or_default();
    f64::from(digits) / (f64::from(u32::MAX) + 1.0)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(10))
}

fn log(delivery: &Delivery, told: &Told, outcome: &str) {
    // The path and query may hold a token of the receiver's.
    let host =
        url::Url::parse(&delivery.webhook.url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
    let (task, host, tries) = (&delivery.job, host.unwrap_or_default(), delivery.attempts + 1);
    match told {
        Told::Again { why, .. } | Told::Refused { why } => {
            tracing::warn!(%task, host, tries, outcome, why, "webhook failed");
        }
        Told::Delivered | Told::Gone => tracing::debug!(%task, host, tries, outcome, "webhook called"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again() -> Told {
        Told::Again { why: "status 500".into(), not_before: None }
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<u64> =
            (0..7).map(|tried| verdict(&again(), tried, 8, 1.0).1.expect("another try").as_secs()).collect();
        assert_eq!(waits, [2, 8, 32, 128, 512, 2048, 8192]);
        assert_eq!(verdict(&again(), 7, 8, 0.5), ("gave-up", None));
        assert_eq!(verdict(&again(), 3, 8, 0.0).1, Some(Duration::from_secs(64)));
        assert_eq!(verdict(&again(), 40, 100, 1.0).1, Some(LONGEST_WAIT));
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it() {
        let busy =
            |seconds| Told::Again { why: String::new(), not_before: Some(Duration::from_secs(seconds)) };
        assert_eq!(verdict(&busy(60), 0, 8, 0.5).1, Some(Duration::from_secs(60)));
        assert_eq!(verdict(&busy(u64::MAX), 0, 8, 0.5).1, Some(LONGEST_WAIT));
    }

    #[test]
    fn what_is_done_is_not_tried_again() {
        for told in [Told::Delivered, Told::Gone, Told::Refused { why: String::new() }] {
            assert_eq!(verdict(&told, 0, 8, 0.5).1, None);
        }
    }

    #[test]
    fn jitter_is_a_part_of_one() {
        assert!((0..100).map(|_| jitter()).all(|part| (0.0..1.0).contains(&part)));
    }
}
