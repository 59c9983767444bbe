//! Spans for a collector that speaks OTLP over HTTP.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use super::LogError;

/// Sends spans in batches; what is left goes when it is dropped.
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
        let resource = Resource::builder().with_service_name("partita").build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Some(Traces { provider }))
    }

    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("partita"))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // A collector that is gone must not keep the process from ending well.
        let _ = self.provider.shutdown();
    }
}
