//! Numbers for Prometheus: what HTTP does is counted here as it happens; the engine and the queue are asked when
//! somebody looks.
//!
//! **Rule:** a label has few values. Paths are those of the router, never those that came.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::App;

mod snapshot;

use snapshot::Snapshot;

const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 60.0];

/// A store that has not answered by then is left out.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What is counted here; the engine counts the rest.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram>,
    webhooks: Family<Outcome, Counter>,
    rate_limited: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("partita");
        let requests = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        let (webhooks, rate_limited) = (Family::default(), Counter::default());
        registry.register("http_requests", "Requests answered", Family::clone(&requests));
        registry.register("http_duration_seconds", "Time to the first byte of an answer", seconds.clone());
        registry.register(
            "webhooks",
            "Calls that tell of ends of tasks, by outcome",
            Family::clone(&webhooks),
        );
        registry.register("rate_limited", "Requests refused for a quota", Counter::clone(&rate_limited));
        Metrics { registry, requests, seconds, webhooks, rate_limited }
    }

    /// Counts a call of a webhook: `delivered`, `retried`, `refused` (its address is not allowed) or `gave-up`.
    pub fn count_webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&Outcome { outcome }).inc();
    }

    fn count(&self, route: String, method: &Method, status: StatusCode, started: Instant) {
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(started.elapsed().as_secs_f64());
        let method = match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            _ => "other",
        };
        self.requests.get_or_create(&Answered { route, method, status: status.as_u16() }).inc();
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.rate_limited.inc();
        }
    }

    /// Everything in the OpenMetrics text format.
    fn text(&self, snapshot: Snapshot) -> String {
        let mut now = Registry::default();
        now.register_collector(Box::new(snapshot));
        let mut text = String::new();
        let written = text::encode_registry(&mut text, &self.registry)
            .and_then(|()| text::encode_registry(&mut text, &now))
            .and_then(|()| text::encode_eof(&mut text));
        written.expect("a string takes all text");
        text
    }
}

/// Numbers for Prometheus
///
/// In its text format, or as OpenMetrics for those who accept it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    operation_id = "metrics",
    responses((status = 200, description = "The numbers", body = String, content_type = "text/plain"))
)]
pub async fn handler(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let stats = match tokio::time::timeout(PATIENCE, app.engine.queue().stats()).await {
        Ok(Ok(stats)) => Some(stats),
        // The rest is wanted most when the store is gone.
        Ok(Err(error)) => {
            tracing::warn!(%error, "metrics lack the numbers of the queue");
            None
        }
        Err(_) => {
            tracing::warn!("metrics lack the numbers of the queue: it does not answer");
            None
        }
    };
    let streams = app.streams.open();
    let snapshot = Snapshot { numbers: app.engine.numbers(), stats, streams, started: app.started };
    let text = app.metrics.text(snapshot);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/openmetrics-text") {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return ([(header::CONTENT_TYPE, kind)], text).into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], plain(&text)).into_response()
}

/// The older format names a counter as its sample, with `_total`.
fn plain(open: &str) -> String {
    let counters: Vec<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open.len() + 1024);
    for line in open.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("TYPE" | "HELP")), Some(name), Some(rest))
                if counters.contains(&name) =>
            {
                text += &format!("# {what} {name}_total {rest}\n");
            }
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

/// Measures all routes.
pub fn observe(routes: Router, app: &Arc<App>) -> Router {
    routes.layer(from_fn_with_state(app.clone(), measure))
}

async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    app.metrics.count(route, &method, response.status(), started);
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use partita_engine::Numbers;
    use partita_queue::{Lane, Stats};

    use super::*;

    fn text() -> String {
        let metrics = Metrics::new();
        let started = Instant::now();
        metrics.count("/api/v1/tasks/{id}".into(), &Method::GET, StatusCode::OK, started);
        metrics.count("/api/v1/generate".into(), &Method::POST, StatusCode::TOO_MANY_REQUESTS, started);
        metrics.count_webhook("delivered");
        let mut numbers =
            Numbers { tokens: 500, steps: 10, step_sequences: 40, running: 3, ..Numbers::default() };
        numbers.model_memory = vec![("drums@1".into(), 4096)];
        numbers.tasks =
            [("drums@1", "complete"), ("drums@1", "failed"), ("drums@1", "retried"), ("", "complete")]
                .map(|(model, status)| snapshot::tests::ended(model, status))
                .into();
        let stats = Stats { queued: BTreeMap::from([(Lane::Generation, 7)]), ..Stats::default() };
        metrics.text(Snapshot { numbers, stats: Some(stats), streams: 2, started })
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample() {
        for text in [text(), plain(&text())] {
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let bare = name.split('{').next().expect("a first part");
                assert!(
                    bare.bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn the_promised_numbers_are_there() {
        let text = text();
        for line in [
            "music_gen_requests_total{model=\"drums@1\",status=\"complete\"} 4",
            "music_gen_requests_total{model=\"drums@1\",status=\"failed\"} 4",
            "music_gen_requests_total{model=\"none\",status=\"complete\"} 4",
            "music_gen_duration_seconds_bucket{le=\"0.1\",model=\"drums@1\"} 8",
            "music_gen_duration_seconds_bucket{le=\"+Inf\",model=\"drums@1\"} 8",
            "music_gen_duration_seconds_count{model=\"drums@1\"} 8",
            "music_gen_active_generations 3",
            "partita_queue_depth{lane=\"generation\"} 7",
            "partita_tokens_total 500",
            "partita_decoder_steps_total 10",
            "partita_decoder_batch_mean 4.0",
            "partita_model_memory_bytes{model=\"drums@1\"} 4096",
            "partita_streams_open 2",
            "partita_webhooks_total{outcome=\"delivered\"} 1",
            "partita_rate_limited_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.contains(
            "partita_http_requests_total{route=\"/api/v1/tasks/{id}\",method=\"GET\",status=\"200\"} 1"
        ));
        assert!(text.ends_with("# EOF\n") && !text.contains("retried"));
        for le in ["10.0", "30.0", "60.0", "120.0", "300.0"] {
            assert!(text.contains(&format!("music_gen_duration_seconds_bucket{{le=\"{le}\"")), "{le}");
        }
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let text = plain(&text());
        assert!(text.contains("# TYPE partita_tokens_total counter\n"));
        assert!(text.contains("# TYPE music_gen_duration_seconds histogram\n"));
        assert!(!text.contains("# EOF"));
    }
}
