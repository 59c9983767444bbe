//! Spans for a collector that speaks OTLP over HTTP: one for each request, one for each try of a task and its parts,
//! all in the trace of the caller (W3C Trace Context).
//!
//! They are sent from a thread of their own, in batches; when the collector does not keep up, they are dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{Span as _, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use partita_engine::TRACE;
use partita_queue::{Job, Millis};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::LogError;
use crate::problem::RequestId;

/// How long the end of the process waits for a collector that does not answer.
const PARTING: Duration = Duration::from_secs(3);
const SCOPE: &str = "partita";

/// Sends spans; what is left goes when it is dropped.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// `endpoint` as in `http://localhost:4318`; `None` for an empty one.
    ///
    /// # Errors
    /// An endpoint that is no URL.
    pub fn start(endpoint: &str) -> Result<Option<Traces>, LogError> {
        if endpoint.is_empty() {
            return Ok(None);
        }
        crate::serve::install_crypto();
        let endpoint = endpoint.trim_end_matches('/');
        let path = if endpoint.ends_with("/v1/traces") { "" } else { "/v1/traces" };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}{path}"))
            .build()
            .map_err(|error| LogError::Otlp(error.to_string()))?;
        let exporter = Watched { exporter, failing: AtomicBool::new(false) };
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        global::set_tracer_provider(provider.clone());
        Ok(Some(Traces { provider }))
    }

    /// Takes the spans that are for traces, and what is logged in them.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let wanted = filter_fn(|about| match about.is_span() {
            true => about.target() == TRACE,
            false => about.target().starts_with("partita") && *about.level() <= Level::INFO,
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SCOPE))
            .with_context_activation(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(wanted.with_max_level_hint(Level::INFO))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A collector that is gone must not keep the process from ending well.
        let _ = self.provider.shutdown_with_timeout(PARTING);
    }
}

/// What all spans say of this process. Whoever runs it may say otherwise in `OTEL_SERVICE_NAME` and
/// `OTEL_RESOURCE_ATTRIBUTES`.
fn resource() -> Resource {
    let told = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let attributes = told("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = told("OTEL_SERVICE_NAME").is_some() || attributes.contains("service.name=");
    let builder = Resource::builder();
    let builder = if is_named { builder } else { builder.with_service_name("partita") };
    builder.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// An exporter that says in the log when spans no longer arrive, and when they do again.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E: opentelemetry_sdk::trace::SpanExporter> opentelemetry_sdk::trace::SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !failed_before => {
                tracing::warn!(%error, spans, "traces do not reach the collector that log.otlp names");
            }
            Ok(()) if failed_before => tracing::info!("traces reach the collector again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The span of a request, named as OpenTelemetry's conventions for HTTP want it, in the trace of its caller.
pub fn request(parts: &Parts, route: &str, id: &RequestId) -> Span {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
        Method::CONNECT,
    ];
    // Names that callers make up would fill whatever counts by name.
    let method = if known.contains(&parts.method) { parts.method.as_str() } else { "_OTHER" };
    let verb = if method == "_OTHER" { "HTTP" } else { method };
    let is_known = route.starts_with('/');
    let name = if is_known { format!("{verb} {route}") } else { verb.to_owned() };
    let span = tracing::info_span!(
        target: TRACE,
        parent: None,
        "request",
        otel.name = name,
        otel.kind = "server",
        http.request.method = method,
        url.path = parts.uri.path(),
        url.scheme = "http",
        request_id = id.0,
    );
    if is_known {
        span.set_attribute("http.route", route.to_owned());
    }
    let caller = Carried::of(&parts.headers);
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &caller);
    // It fails where nobody traces.
    let _ = span.set_parent(caller);
    span
}

/// Writes down what a request was answered with.
pub fn answered(span: &Span, status: StatusCode) {
    span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.set_attribute("error.type", status.as_str().to_owned());
        span.set_status(Status::error(""));
    }
}

/// What leads whatever belongs to `span` to it: `traceparent`, and on a second line `tracestate` if the span has one.
/// Empty if nobody traces it.
pub fn parent(span: &Span) -> String {
    let mut parent = Carried::default();
    TraceContextPropagator::new().inject_context(&span.context(), &mut parent);
    parent.write()
}

/// Makes the span of a try of a job part of the trace of the request that brought it, and tells how long it waited.
pub fn follow(span: &Span, job: &Job) {
    let trace = TraceContextPropagator::new();
    let parent = trace.extract_with_context(&Context::new(), &Carried::read(&job.new.trace));
    let is_known = parent.span().span_context().is_valid();
    if span.set_parent(parent.clone()).is_err() {
        return;
    }
    // A later try waited for something else; and a job from before traces has nothing to hang it on.
    let waited = job.started_at.filter(|_| is_known && job.attempts == 1);
    if let Some(started_at) = waited {
        let tracer = global::tracer(SCOPE);
        let waiting = tracer
            .span_builder("queued")
            .with_start_time(time(job.created_at))
            .with_attributes([KeyValue::new("task", job.new.id.to_string())]);
        tracer.build_with_context(waiting, &parent).end_with_timestamp(time(started_at));
    }
}

fn time(millis: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Longest `tracestate`, bytes: as much as W3C Trace Context asks everybody to pass on.
const MAX_STATE: usize = 512;

/// Where a trace comes from: `traceparent` and `tracestate`, both as yet unread.
#[derive(Debug, Default, PartialEq)]
struct Carried {
    parent: String,
    state: String,
}

impl Carried {
    /// What came with a request.
    fn of(headers: &HeaderMap) -> Carried {
        let mut parents = headers.get_all("traceparent").iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(one), None) => one.to_str().unwrap_or_default(),
            // A doubled one is none: nobody knows which is meant.
            _ => "",
        };
        // A list may come in several lines; with one that cannot be read it is no list.
        let states: Result<Vec<&str>, _> =
            headers.get_all("tracestate").iter().map(|value| value.to_str()).collect();
        let state = states.unwrap_or_default().join(",");
        Carried { parent: parent.to_owned(), state: shortened(&state).to_owned() }
    }

    /// As [`Carried::write`] wrote it.
    fn read(text: &str) -> Carried {
        let (parent, state) = text.split_once('\n').unwrap_or((text, ""));
        Carried { parent: parent.to_owned(), state: state.to_owned() }
    }

    fn write(self) -> String {
        if self.state.is_empty() { self.parent } else { format!("{}\n{}", self.parent, self.state) }
    }
}

/// The first members of a list, as many as fit in [`MAX_STATE`] bytes: the newest come first.
fn shortened(list: &str) -> &str {
    if list.len() <= MAX_STATE {
        return list;
    }
    let fits = list.get(..=MAX_STATE).and_then(|start| start.rfind(','));
    fits.map_or("", |end| &list[..end])
}

impl Extractor for Carried {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(&self.parent),
            "tracestate" => Some(&self.state),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Injector for Carried {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.parent = value,
            "tracestate" => self.state = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn carried(headers: &[(&'static str, &str)]) -> Carried {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, HeaderValue::from_str(value).expect("a header"));
        }
        Carried::of(&all)
    }

    /// What spans of that trace are told of its vendors.
    fn state(carried: &Carried) -> String {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carried);
        assert!(context.span().span_context().is_valid());
        context.span().span_context().trace_state().header()
    }

    #[test]
    fn a_list_in_several_lines_is_one_and_comes_back_as_it_was_written() {
        let carried =
            carried(&[("traceparent", PARENT), ("tracestate", "rojo=00f0"), ("tracestate", "congo=t61")]);
        assert_eq!(state(&carried), "rojo=00f0,congo=t61");
        let text = format!("{PARENT}\nrojo=00f0,congo=t61");
        assert_eq!(Carried::read(&text), carried);
        assert_eq!(carried.write(), text);
        assert_eq!(Carried::read(PARENT).write(), PARENT);
        assert_eq!(Carried::read("").write(), "");
    }

    #[test]
    fn a_long_list_loses_its_last_members_and_a_wrong_one_all() {
        let members: Vec<String> = (0..20).map(|n| format!("vendor{n:02}={}", "x".repeat(41))).collect();
        let long = carried(&[("traceparent", PARENT), ("tracestate", &members.join(","))]);
        // Ten of 50 bytes with the commas between them, and not the half of one.
        assert_eq!(state(&long), members[..10].join(","));
        let exact = members[..10].join(",") + ",a=";
        assert_eq!(exact.len(), MAX_STATE);
        assert_eq!(state(&carried(&[("traceparent", PARENT), ("tracestate", &exact)])), exact);
        for wrong in ["rojo", "rojo=1=2", "Rojo=1", &format!("a={}", "x".repeat(600))] {
            assert_eq!(state(&carried(&[("traceparent", PARENT), ("tracestate", wrong)])), "", "{wrong}");
        }
    }

    #[test]
    fn a_doubled_parent_is_none() {
        assert_eq!(carried(&[("traceparent", PARENT), ("traceparent", PARENT)]).parent, "");
    }
}
