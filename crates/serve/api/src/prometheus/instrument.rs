//! The API's own metrics: requests, their durations and the sizes of answers, by handler.

use std::time::Instant;

use ::prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, exponential_buckets};
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;

/// Metrics with the peer's names.
pub(super) struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    sizes: HistogramVec,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, ::prometheus::Error> {
        let requests = Opts::new("prometheus_http_requests_total", "Counter of HTTP requests.");
        let durations = HistogramOpts::new(
            "prometheus_http_request_duration_seconds",
            "Histogram of latencies for HTTP requests.",
        )
        .buckets(vec![0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0]);
        let sizes = HistogramOpts::new(
            "prometheus_http_response_size_bytes",
            "Histogram of response size for HTTP requests.",
        )
        .buckets(exponential_buckets(100.0, 10.0, 8)?);
        let metrics = HttpMetrics {
            requests: IntCounterVec::new(requests, &["code", "handler"])?,
            durations: HistogramVec::new(durations, &["handler"])?,
            sizes: HistogramVec::new(sizes, &["handler"])?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.sizes.clone()))?;
        Ok(metrics)
    }
}

/// Counts a request. The size of an answer that streams is not known and not observed.
pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let handler = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().replace('{', ":").replace(['}', '*'], ""))
        .unwrap_or_default();
    let response = next.run(request).await;
    let metrics = &api.http_metrics;
    metrics.requests.with_label_values(&[response.status().as_str(), &handler]).inc();
    metrics.durations.with_label_values(&[&handler]).observe(began.elapsed().as_secs_f64());
    if let Some(size) = response.body().size_hint().exact() {
        metrics.sizes.with_label_values(&[&handler]).observe(size as f64);
    }
    response
}
