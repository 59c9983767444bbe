//! What a handler needs to know of its request besides the body.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use partita_engine::Order;
use partita_queue::{JobId, Role};
use sha2::{Digest, Sha256};

use crate::guard::Caller;
use crate::log::Trace;
use crate::problem::{Answer, Kind, Problem, RequestId};
use crate::wire::prefer::Prefer;

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// Who calls, from where, and how they want their answer.
#[derive(Clone, Debug)]
pub struct Call {
    pub caller: Caller,
    pub request_id: RequestId,
    pub prefer: Prefer,
    /// `Idempotency-Key`
    pub idempotency: Option<String>,
    /// `POST /api/v1/generate`
    pub place: String,
    /// `traceparent` of the request's span, and on a second line its `tracestate`; empty if nobody traces it.
    pub trace: String,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Call> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let request_id =
            RequestId::from_request_parts(parts, state).await.unwrap_or_else(|never| match never {});
        let mut keys = parts.headers.get_all("idempotency-key").iter();
        let idempotency = keys.next().map(|value| key(value.as_bytes(), "Idempotency-Key")).transpose()?;
        if keys.next().is_some() {
            let detail = "must come once, got it again";
            return Err(Problem::field(Kind::BadRequest, "Idempotency-Key", detail, None));
        }
        let prefer = Prefer::of(&parts.headers);
        let place = format!("{} {}", parts.method, parts.uri.path());
        let Trace(trace) = parts.extensions.get().cloned().unwrap_or_default();
        Ok(Call { caller, request_id, prefer, idempotency, place, trace })
    }
}

/// An idempotency key; `pointer`: where it stands.
///
/// # Errors
/// `BadRequest`
pub fn key(bytes: &[u8], pointer: &str) -> Answer<String> {
    let visible = bytes.iter().all(u8::is_ascii_graphic);
    if visible && (1..=MAX_KEY).contains(&bytes.len()) {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    let allowed = format!("1 to {MAX_KEY} visible ASCII characters without spaces");
    let detail = format!("must be {allowed}");
    Err(Problem::field(Kind::BadRequest, pointer, detail, Some(allowed)))
}

impl Call {
    /// Tells requests under one idempotency key apart.
    pub fn fingerprint(&self, canonical: &[u8]) -> String {
        let hash = Sha256::new().chain_update(&self.place).chain_update(b"\n").chain_update(canonical);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The order of a task that asks for `canonical`: bytes that are equal just when the requests are.
    pub fn order(&self, canonical: &[u8]) -> Order {
        Order {
            owner: self.caller.owner(),
            per_owner: self
                .caller
                .key
                .as_ref()
                .and_then(|key| key.concurrent_limit)
                .map(|limit| limit as usize),
            idempotency: self.idempotency.clone().map(|key| (key, self.fingerprint(canonical))),
            request_id: self.request_id.0.clone(),
            trace: self.trace.clone(),
            max_priority: Some(if self.caller.role == Role::Admin { 9 } else { 5 }),
        }
    }
}

/// The id in a path. What cannot be an id names nothing.
///
/// # Errors
/// `NotFound`
pub fn task_id(text: &str) -> Answer<JobId> {
    text.parse().map_err(|_| no_task(text))
}

pub fn no_task(id: &str) -> Problem {
    let shown: String = id.chars().take(40).collect();
    Problem::not_found(format!("there is no task {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_are_visible_ascii() {
        assert_eq!(key(b"8e03978e-40d5", "Idempotency-Key").expect("fine"), "8e03978e-40d5");
        for bytes in [&b""[..], b"a b", b"\xff", &[b'x'; 256]] {
            let problem = key(bytes, "Idempotency-Key").expect_err("refused");
            assert_eq!(
                (problem.status().as_u16(), problem.errors[0].pointer.as_str()),
                (400, "Idempotency-Key")
            );
        }
    }

    #[test]
    fn path_tricks_are_no_tasks() {
        for text in ["..", "tsk_", "%00", "tsk_01J00000000000000000000000", "\u{1F941}"] {
            assert_eq!(task_id(text).expect_err("refused").status().as_u16(), 404);
        }
    }
}
