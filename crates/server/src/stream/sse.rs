//! Server-sent events of one task.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use partita_queue::JobId;
use tokio::time::Interval;

use super::permit::Permit;
use super::watch::{Sent, Watch};
use crate::App;
use crate::guard::Caller;
use crate::problem::{Answer, Kind};

/// After how long a browser connects again.
const RETRY: Duration = Duration::from_secs(2);

/// Streams the events of a task after sequence number `after`, as long as the caller may see them.
///
/// # Errors
/// `NotFound`, `Unavailable`.
pub async fn respond(
    app: &Arc<App>,
    caller: &Caller,
    permit: Permit,
    id: &JobId,
    after: u64,
) -> Answer<Response> {
    let watch = Watch::open(app, id, after).await?;
    let first = stream::iter([Ok(Event::default().retry(RETRY).comment("partita"))]);
    let check = tokio::time::interval_at(tokio::time::Instant::now() + app.pace.check, app.pace.check);
    let state = State { app: app.clone(), caller: caller.clone(), watch, check, _permit: permit };
    let events = stream::unfold(state, next);
    // A comment keeps proxies from closing a quiet stream.
    let alive = KeepAlive::new().interval(app.pace.heartbeat);
    let mut response = Sse::new(first.chain(events)).keep_alive(alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold the events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

struct State {
    app: Arc<App>,
    caller: Caller,
    watch: Watch,
    check: Interval,
    _permit: Permit,
}

async fn next(mut state: State) -> Option<(Result<Event, Infallible>, State)> {
    loop {
        let sent = tokio::select! {
            // The check first: a stream that always has something to say must not keep it from being made.
            biased;
            _ = state.check.tick() => None,
            sent = state.watch.next() => Some(sent?),
        };
        if let Some(Sent { sequence, name, data, .. }) = sent {
            // JSON has no line breaks of its own, which would end a field.
            let event = Event::default().id(sequence.to_string()).event(name).data(data.to_string());
            return Some((Ok(event), state));
        }
        match state.app.guard.still(&state.caller).await {
            Ok(caller) => state.caller = caller,
            // Whoever connects again is told why.
            Err(problem) if problem.kind == Kind::Unauthorized => return None,
            // While the store is away, nothing new comes that could be withheld.
            Err(_) => {}
        }
    }
}
