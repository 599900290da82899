//! The HTTP API of Loki 3, reading side: what is served, and from what. Pushes have their own router in
//! crate `novaobs-push`; the server merges the two.
//!
//! Request -> [`tenancy`] (whose logs) and [`params`] (query string and form body in one) -> one handler per
//! endpoint -> [`run`] (a place in the queue, a thread, a deadline, memory) -> [`result`], which writes rows
//! straight into the response's chunks. Live lines come from a [`TailHub`] that stands in front of the store.

mod admin;
mod deletes;
mod detected;
mod drain;
mod error;
mod export;
mod federated;
mod fields;
mod format;
mod hub;
mod index;
mod instrument;
mod json;
mod labels;
mod legacy;
mod params;
mod patterns;
mod query;
mod queue;
mod result;
mod rule_group;
mod rules;
mod run;
mod selector;
mod stats;
mod tail;
mod tenancy;
mod views;

use std::sync::Arc;
use std::time::Duration;

use ::prometheus::Registry;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};
use novaobs_model::{LogSource, Pool, Tenant};
use novaobs_tenants::Limits;
use tower_http::compression::CompressionLayer;

pub use error::ApiError;
pub use hub::TailHub;
pub use rule_group::{Rule, RuleGroup};
pub use views::{
    BuildInfo, CancelError, DeleteProgress, DeleteRequest, DeleteStatus, DeleteView, ProcessView, RuleStatus,
    RulesError, RulesStore,
};

/// Gives a tenant's limits.
pub type LimitsOf = Arc<dyn Fn(&Tenant) -> Arc<Limits> + Send + Sync>;

/// All that the API shows and does, filled by the server.
pub struct LokiState {
    /// Where queries read.
    pub source: Arc<dyn LogSource>,
    /// Where lines pass on their way into the store; tailing listens there.
    pub hub: Arc<TailHub>,
    /// Limits by tenant, asked for at each request.
    pub limits: LimitsOf,
    /// Whether `X-Scope-OrgID` tells tenants apart; `auth_enabled`.
    pub auth_enabled: bool,
    /// The tenant when it does not.
    pub no_auth_tenant: Tenant,
    /// Whether a request may read several tenants (`a|b`).
    pub multi_tenant_queries_enabled: bool,
    /// Whether requests may narrow their own limits by `X-Loki-Query-Limits`.
    pub per_request_limits_enabled: bool,
    /// Most queries running at once, the others wait.
    pub max_concurrency: usize,
    /// Where queries take memory from.
    pub pool: Pool,
    /// Most bytes one query may take from it.
    pub query_memory: u64,
    /// How long a request may tail; `querier.tail_max_duration`.
    pub tail_max_duration: Duration,
    /// Whether patterns are answered; `pattern_ingester.enabled`.
    pub patterns_enabled: bool,
    /// Deletes; none: retention is not enabled and the routes are missing.
    pub deletes: Option<Arc<dyn DeleteView>>,
    /// Rules over the API; none: `ruler.enable_api` is off.
    pub rules: Option<Arc<dyn RulesStore>>,
    /// How rules are doing.
    pub rule_status: Arc<dyn RuleStatus>,
    /// The process.
    pub process: Arc<dyn ProcessView>,
    /// The registry whose metrics `/metrics` shows and where the API keeps its own.
    pub registry: Registry,
}

/// The state as handlers share it.
struct Shared {
    state: LokiState,
    queue: queue::FairQueue,
    /// Exports run long: they wait for each other, not for queries.
    exports: queue::FairQueue,
    http_metrics: instrument::HttpMetrics,
}

type Api = Arc<Shared>;

/// Exports running at once.
const EXPORTS: usize = 2;

/// The router of the face, paths from the root; a server with `http_path_prefix` nests it.
///
/// # Errors
/// When a metric of the API is registered already.
pub fn router(state: LokiState) -> Result<Router, ::prometheus::Error> {
    let http_metrics = instrument::HttpMetrics::new(&state.registry)?;
    let shared = Arc::new(Shared {
        queue: queue::FairQueue::new(state.max_concurrency),
        exports: queue::FairQueue::new(EXPORTS),
        http_metrics,
        state,
    });
    let mut routes = query_routes().merge(legacy_routes()).merge(admin_routes());
    if shared.state.deletes.is_some() {
        routes = routes.merge(delete_routes());
    }
    if shared.state.rules.is_some() {
        routes = routes.merge(rule_routes("/loki/api/v1/rules")).merge(rule_routes("/api/prom/rules"));
    }
    Ok(routes
        .route("/prometheus/api/v1/rules", get(rules::status))
        .route("/prometheus/api/v1/alerts", get(rules::alerts))
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::not_found)
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(shared.clone(), instrument::observe))
        .with_state(shared))
}

/// A handler by GET and POST.
macro_rules! both {
    ($handler:path) => {
        get_only(get($handler)).post($handler)
    };
}

/// GET without the HEAD that axum adds: the peer refuses it.
fn get_only(route: MethodRouter<Api>) -> MethodRouter<Api> {
    route.head(error::method_not_allowed)
}

fn query_routes() -> Router<Api> {
    Router::new()
        .route("/loki/api/v1/query", both!(query::instant))
        .route("/loki/api/v1/query_range", both!(query::range))
        .route("/loki/api/v1/export", both!(export::export))
        .route("/loki/api/v1/labels", both!(labels::names))
        .route("/loki/api/v1/label", both!(labels::names))
        .route("/loki/api/v1/label/{name}/values", both!(labels::values))
        .route("/loki/api/v1/series", both!(labels::series))
        .route("/loki/api/v1/index/stats", both!(index::stats))
        .route("/loki/api/v1/index/volume", both!(index::volume))
        .route("/loki/api/v1/index/volume_range", both!(index::volume_range))
        .route("/loki/api/v1/patterns", both!(patterns::patterns))
        .route("/loki/api/v1/detected_labels", both!(detected::labels))
        .route("/loki/api/v1/detected_fields", both!(detected::fields))
        .route("/loki/api/v1/detected_field/{name}/values", both!(detected::values))
        .route("/loki/api/v1/format_query", both!(format::format_query))
        .route("/loki/api/v1/tail", both!(tail::tail))
        .route("/loki/api/v1/drilldown-limits", get(admin::drilldown_limits))
        .route("/loki/api/v1/status/buildinfo", get(admin::build_info))
}

fn legacy_routes() -> Router<Api> {
    Router::new()
        .route("/api/prom/query", both!(legacy::query))
        .route("/api/prom/label", both!(legacy::names))
        .route("/api/prom/label/{name}/values", both!(legacy::values))
        .route("/api/prom/series", both!(labels::series))
        .route("/api/prom/tail", both!(tail::legacy))
}

fn delete_routes() -> Router<Api> {
    Router::new()
        .route(
            "/loki/api/v1/delete",
            get_only(get(deletes::list)).post(deletes::add).put(deletes::add).delete(deletes::cancel),
        )
        .route("/loki/api/v1/cache/generation_numbers", get(deletes::generation))
}

fn rule_routes(root: &str) -> Router<Api> {
    Router::new()
        .route(root, get_only(get(rules::list)))
        .route(
            &format!("{root}/{{namespace}}"),
            get_only(get(rules::namespace)).post(rules::put).delete(rules::delete_namespace),
        )
        .route(
            &format!("{root}/{{namespace}}/{{group}}"),
            get_only(get(rules::group)).delete(rules::delete_group),
        )
}

fn admin_routes() -> Router<Api> {
    let mut routes = Router::new()
        .route("/ready", get(admin::ready))
        .route("/metrics", get(admin::metrics))
        .route("/config", get(admin::config))
        .route("/config/tenant/v1/limits", get(admin::tenant_limits))
        .route("/services", get(admin::services))
        .route("/log_level", get(admin::log_level).post(admin::set_log_level))
        .route("/flush", get(admin::flush).post(admin::flush))
        .route("/ingester/shutdown", get(admin::shutdown).post(admin::shutdown))
        .route("/ingester/prepare_shutdown", any(admin::prepare_shutdown))
        .route("/memberlist", get(admin::memberlist))
        .route("/loki/api/v1/cache/generation_numbers/increase", post(admin::nothing_cached));
    for ring in ["/ring", "/distributor/ring", "/compactor/ring", "/scheduler/ring", "/pattern/ring"] {
        routes = routes.route(ring, get(admin::ring).post(admin::ring));
    }
    routes.route("/ruler/ring", get(admin::ring)).route("/indexgateway/ring", get(admin::ring))
}
