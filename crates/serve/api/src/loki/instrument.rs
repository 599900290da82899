//! The API's own metrics: requests and their durations by route, with the peer's names.

use std::time::Instant;

use ::prometheus::{HistogramOpts, HistogramVec, Registry};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;

pub(super) struct HttpMetrics {
    durations: HistogramVec,
}

impl HttpMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, ::prometheus::Error> {
        let durations = HistogramOpts::new(
            "loki_request_duration_seconds",
            "Time (in seconds) spent serving HTTP requests.",
        )
        .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0]);
        let durations = HistogramVec::new(durations, &["method", "route", "status_code", "ws"])?;
        registry.register(Box::new(durations.clone()))?;
        Ok(HttpMetrics { durations })
    }
}

/// Observes a request.
pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| route_name(path.as_str()));
    let method = request.method().clone();
    let socket = request.headers().contains_key("sec-websocket-key").to_string();
    let response = next.run(request).await;
    let route = route.as_deref().unwrap_or("other");
    let status = response.status();
    let labels = [method.as_str(), route, status.as_str(), &socket];
    api.http_metrics.durations.with_label_values(&labels).observe(began.elapsed().as_secs_f64());
    response
}

/// `/loki/api/v1/label/{name}/values` as `loki_api_v1_label_name_values`.
fn route_name(path: &str) -> String {
    path.trim_matches('/').replace(['{', '}'], "").replace(['/', '-'], "_")
}
