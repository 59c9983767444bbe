//! What becomes of a job whose try came to nothing: the same words and waits for every engine.

use std::time::Duration;

use serde_json::{Value, json};

const LONGEST: Duration = Duration::from_secs(60);

/// A job that was held at so many deaths of workers may be their cause: from then on it runs alone in its process, so
/// that it takes no others down and none takes it down.
pub(crate) const SUSPECT: u32 = 2;

/// How long a process that a suspect waits for claims no more jobs before it goes on without it for as long again.
pub(crate) const QUIET: Duration = Duration::from_secs(60);

/// How long a job that failed its `attempts`th try (`1..`) waits for the next: `first`, then twice as long each time.
pub(crate) fn back_off(first: Duration, attempts: u32) -> Duration {
    first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST)
}

/// The error of a job whose worker stopped too often in its `attempts` tries. `last`: the error of an earlier try
/// that told one.
pub(crate) fn gave_up(attempts: u32, last: Option<&Value>) -> Value {
    let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
    let mut message = format!("the task was tried {times} and its worker stopped without an answer");
    if let Some(text) = last.and_then(|error| error.get("message")).and_then(Value::as_str) {
        message.push_str("; the last error was: ");
        message.push_str(text);
    }
    json!({ "code": "gave-up", "message": message, "field": null })
}

/// The error of a job that waited past its deadline.
pub(crate) fn past_deadline() -> Value {
    json!({ "code": "deadline", "message": "the task was still waiting at its deadline", "field": null })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let first = Duration::from_secs(1);
        let seconds: Vec<u64> =
            [1, 2, 3, 6, 7, 40].map(|tries| back_off(first, tries).as_secs()).into_iter().collect();
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn giving_up_tells_the_last_error() {
        let error = gave_up(3, Some(&json!({ "message": "no such drum" })));
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("3 times") && message.ends_with("no such drum"), "{message}");
    }
}
