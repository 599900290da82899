//! Running a query: its place in the queue, its thread, its deadline, its memory, and its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};
use novaobs_model::duration;
use novaobs_model::{LogSource, Pool, QueryControl, Tenant};
use novaobs_tenants::Limits;
use serde::Deserialize;

use super::Api;
use super::error::ApiError;
use super::federated::Federated;
use super::tenancy::each_of;

/// Sets the flag when dropped: the work behind an abandoned request stops.
pub(super) struct CancelOnDrop(Arc<AtomicBool>);

impl CancelOnDrop {
    pub(super) fn new(control: &QueryControl) -> Self {
        CancelOnDrop(control.cancel_flag())
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What came of a query, and how long it waited before it ran.
pub(super) struct Done<T> {
    pub(super) value: T,
    pub(super) queued: Duration,
    pub(super) ran: Duration,
}

/// Waits for a place, then runs `work` on a thread that may block. When the client goes away this future is
/// dropped, and the work is told to stop.
pub(super) async fn run<T: Send + 'static>(
    api: &Api,
    tenant: &Tenant,
    limits: &Limits,
    work: impl FnOnce(&dyn LogSource, &QueryControl) -> Result<T, ApiError> + Send + 'static,
) -> Result<Done<T>, ApiError> {
    if limits.max_query_parallelism == 0 {
        let message = "querying is disabled, please contact your Loki operator";
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, message));
    }
    let began = Instant::now();
    let timeout = query_timeout(limits);
    let place = tokio::time::timeout(timeout, api.queue.enter(tenant));
    let place = place.await.map_err(|_| ApiError::timed_out())?;
    let queued = began.elapsed();
    let control = control(&api.state.pool, api.state.query_memory, began.checked_add(timeout));
    let _guard = CancelOnDrop::new(&control);
    let (source, several) = (api.state.source.clone(), tenant.as_str().contains('|'));
    let joined = tokio::task::spawn_blocking(move || {
        let _place = place;
        if several { work(&Federated(source.as_ref()), &control) } else { work(source.as_ref(), &control) }
    });
    match joined.await {
        Ok(result) => Ok(Done { value: result?, queued, ran: began.elapsed().saturating_sub(queued) }),
        Err(error) => {
            tracing::error!("a query stopped unexpectedly: {error}");
            Err(ApiError::internal("unexpected error while evaluating the query"))
        }
    }
}

/// The deadline and memory of one query.
pub(super) fn control(pool: &Pool, memory: u64, deadline: Option<Instant>) -> QueryControl {
    QueryControl::new(pool.child("a query", memory), deadline)
}

/// How long a query may wait and run.
pub(super) fn query_timeout(limits: &Limits) -> Duration {
    // Zero means without a limit; a day is that for a request over HTTP.
    match limits.query_timeout {
        Duration::ZERO => Duration::from_secs(86_400),
        timeout => timeout,
    }
}

/// The limits of a request: the tenant's, of several tenants the tightest, narrowed by
/// `X-Loki-Query-Limits` where requests may do so.
pub(super) fn limits_of(api: &Api, tenant: &Tenant, headers: &HeaderMap) -> Arc<Limits> {
    let mut all = each_of(tenant).into_iter().map(|one| (api.state.limits)(&one));
    let first = all.next().unwrap_or_else(|| (api.state.limits)(tenant));
    let limits = all.fold(first, |tightest, next| Arc::new(tighter(&tightest, &next)));
    let asked = headers.get("X-Loki-Query-Limits").filter(|_| api.state.per_request_limits_enabled);
    // What cannot be read is left out, as the peer does.
    match asked.and_then(|value| serde_json::from_slice::<RequestLimits>(value.as_bytes()).ok()) {
        Some(request) => Arc::new(request.narrow(&limits)),
        None => limits,
    }
}

fn least<T: PartialOrd + Default + Copy>(a: T, b: T) -> T {
    let none = T::default();
    if a == none || (b != none && b < a) { b } else { a }
}

fn tighter(a: &Limits, b: &Limits) -> Limits {
    Limits {
        max_query_series: least(a.max_query_series, b.max_query_series),
        max_query_lookback: least(a.max_query_lookback, b.max_query_lookback),
        max_query_length: least(a.max_query_length, b.max_query_length),
        max_query_range: least(a.max_query_range, b.max_query_range),
        max_streams_matchers_per_query: least(
            a.max_streams_matchers_per_query,
            b.max_streams_matchers_per_query,
        ),
        max_entries_limit_per_query: least(a.max_entries_limit_per_query, b.max_entries_limit_per_query),
        query_timeout: least(a.query_timeout, b.query_timeout),
        max_query_bytes_read: least(a.max_query_bytes_read, b.max_query_bytes_read),
        max_querier_bytes_read: least(a.max_querier_bytes_read, b.max_querier_bytes_read),
        volume_enabled: a.volume_enabled && b.volume_enabled,
        volume_max_series: least(a.volume_max_series, b.volume_max_series),
        required_labels: a.required_labels.iter().chain(&b.required_labels).cloned().collect(),
        minimum_labels_number: a.minimum_labels_number.max(b.minimum_labels_number),
        blocked_queries: a.blocked_queries.iter().chain(&b.blocked_queries).cloned().collect(),
        ..a.clone()
    }
}

/// `X-Loki-Query-Limits`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RequestLimits {
    max_query_length: Option<String>,
    #[serde(alias = "maxInterval")]
    max_query_range: Option<String>,
    max_query_lookback: Option<String>,
    max_entries_limit_per_query: usize,
    query_timeout: Option<String>,
    required_labels: Vec<String>,
    #[serde(rename = "minimumLabelsNumber", alias = "requiredNumberLabels")]
    minimum_labels_number: usize,
}

impl RequestLimits {
    fn narrow(self, limits: &Limits) -> Limits {
        let read = |text: &Option<String>| {
            text.as_deref().and_then(|text| duration::parse(text).ok()).unwrap_or_default()
        };
        let mut required_labels = limits.required_labels.clone();
        required_labels.extend(self.required_labels);
        Limits {
            max_query_length: least(limits.max_query_length, read(&self.max_query_length)),
            max_query_range: least(limits.max_query_range, read(&self.max_query_range)),
            max_query_lookback: least(limits.max_query_lookback, read(&self.max_query_lookback)),
            max_entries_limit_per_query: least(
                limits.max_entries_limit_per_query,
                self.max_entries_limit_per_query,
            ),
            query_timeout: least(limits.query_timeout, read(&self.query_timeout)),
            required_labels,
            minimum_labels_number: limits.minimum_labels_number.max(self.minimum_labels_number),
            ..limits.clone()
        }
    }
}
