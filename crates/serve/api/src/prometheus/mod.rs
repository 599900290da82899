//! The HTTP API of Prometheus 3: what is served, and from what.
//!
//! Request -> [`params`] (query string and form body in one) -> one handler per endpoint -> [`envelope`]
//! (`{"status":…,"data":…}`), or for query results [`result`], which writes samples straight into the
//! response's chunks. Everything under `/api/v1`, `/federate` and `/-/ready` waits for [`Readiness`].

pub mod envelope;
mod federate;
mod format;
mod instrument;
mod labels;
pub mod lifecycle;
mod metadata;
mod params;
mod query;
mod result;
mod rules;
mod status;
mod targets;
mod views;
mod write;

use std::sync::Arc;

use ::prometheus::Registry;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use novaobs_model::{GoRegex, SampleSink, SeriesSource};
use novaobs_promql::Engine;
use novaobs_promql_parser::ParseOptions;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

pub use lifecycle::{Lifecycle, Readiness};
pub(crate) use result::go_exponent;
pub use views::{
    AlertmanagersView, BuildInfo, HeadStats, NameValue, RulesView, RuntimeInfo, StatusView, TargetsView,
    TsdbStatus,
};

/// All that the API shows and does, filled by the server.
pub struct PrometheusState {
    /// Where queries and metadata read.
    pub source: Arc<dyn SeriesSource>,
    /// Where remote write goes; none: `--web.enable-remote-write-receiver` is off.
    pub sink: Option<Arc<dyn SampleSink>>,
    /// Evaluates queries.
    pub engine: Arc<Engine>,
    /// Which experimental parts of the language are on.
    pub language: ParseOptions,
    /// Most queries running at once, the others wait; `--query.max-concurrency`.
    pub max_concurrency: usize,
    /// Scrape targets.
    pub targets: Arc<dyn TargetsView>,
    /// Rule groups.
    pub rules: Arc<dyn RulesView>,
    /// The Alertmanagers that alerts are sent to.
    pub alertmanagers: Arc<dyn AlertmanagersView>,
    /// Configuration, flags, versions, store statistics.
    pub status: Arc<dyn StatusView>,
    /// Reload and quit over HTTP; none: `--web.enable-lifecycle` is off.
    pub lifecycle: Option<Arc<dyn Lifecycle>>,
    /// Whether requests may be served yet.
    pub readiness: Arc<Readiness>,
    /// Origins that browsers may call from; `--web.cors.origin`, `.*`.
    pub cors_origin: GoRegex,
    /// How the outside reaches this server; `--web.external-url`.
    pub external: ExternalUrl,
    /// The registry whose metrics `/metrics` shows and where the API keeps its own.
    pub registry: Registry,
}

/// The parts of the external URL that targets' `globalUrl` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, with the port if the URL has one.
    pub host: String,
    /// The port this server listens on.
    pub listen_port: u16,
}

/// The state as handlers share it.
struct Shared {
    state: PrometheusState,
    /// Room for running queries.
    queries: Semaphore,
    http_metrics: instrument::HttpMetrics,
    write_metrics: write::WriteMetrics,
}

type Api = Arc<Shared>;

/// The router of the whole face, paths from the root; a server with `--web.route-prefix` nests it.
///
/// # Errors
/// When a metric of the API is registered already.
pub fn router(state: PrometheusState) -> Result<Router, ::prometheus::Error> {
    let http_metrics = instrument::HttpMetrics::new(&state.registry)?;
    let write_metrics = write::WriteMetrics::new(&state.registry)?;
    let queries = Semaphore::new(state.max_concurrency.clamp(1, Semaphore::MAX_PERMITS));
    let shared = Arc::new(Shared { state, queries, http_metrics, write_metrics });
    let ready = from_fn_with_state(shared.clone(), lifecycle::when_ready);
    let api = api_routes()
        .fallback(envelope::not_found)
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .layer(from_fn_with_state(shared.clone(), envelope::cors))
        .layer(ready.clone());
    let gated = Router::new()
        .route("/federate", get(federate::federate))
        .route("/-/ready", get(lifecycle::ready))
        .route_layer(ready);
    let open = Router::new()
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/reload", get(lifecycle::not_by_get).post(lifecycle::reload).put(lifecycle::reload))
        .route("/-/quit", get(lifecycle::not_by_get).post(lifecycle::quit).put(lifecycle::quit))
        .route("/version", get(status::version))
        .route("/metrics", get(status::metrics));
    Ok(Router::new()
        .nest("/api/v1", api)
        .merge(gated)
        .merge(open)
        .route_layer(from_fn_with_state(shared.clone(), instrument::observe))
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .layer(CompressionLayer::new())
        .layer(from_fn(envelope::vary_by_encoding))
        .with_state(shared))
}

fn api_routes() -> Router<Api> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/format_query", get(format::format_query).post(format::format_query))
        .route("/series", get(labels::series).post(labels::series))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(metadata::metrics))
        .route("/targets", get(targets::targets))
        .route("/targets/metadata", get(metadata::targets))
        .route("/scrape_pools", get(targets::scrape_pools))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/tsdb", get(status::tsdb))
        .route("/write", post(write::write))
}
