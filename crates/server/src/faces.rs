//! The faces: which routes each port has.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::Redirect;
use axum::routing::get;
use futures::FutureExt;
use novaobs_api::alertmanager::{Face, VersionInfo};
use novaobs_api::prometheus::{self, ExternalUrl, PrometheusState, Readiness};
use novaobs_host::Host;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::logs::Logs;
use crate::pages::{self, PageConfig};
use crate::stack::{Stack, StartError};
use crate::views::Views;

/// Where the :3000 face has the others, under Grafana's own paths for datasources.
const PROMETHEUS_PROXY: &str = "/api/datasources/proxy/uid/prometheus";
const ALERTMANAGER_PROXY: &str = "/api/datasources/proxy/uid/alertmanager";
const LOKI_PROXY: &str = "/api/datasources/proxy/uid/loki";
/// Where the pages of the :9090 face find the Alertmanager of this process.
const ALERTMANAGER_PATH: &str = "/alertmanager";

/// The routers of all faces.
pub struct Routers {
    /// :9090.
    pub prometheus: Router,
    /// :9093, when an Alertmanager runs.
    pub alertmanager: Option<Router>,
    /// :3000.
    pub grafana: Router,
    /// :3100, 4317 and 4318, when logs run.
    pub logs: Option<LogRouters>,
}

/// The routers of logs.
pub struct LogRouters {
    /// :3100.
    pub loki: Router,
    /// :4317.
    pub otlp_grpc: Router,
    /// :4318.
    pub otlp_http: Router,
}

/// Builds all routers over one stack.
///
/// # Errors
/// [`StartError::Metrics`].
pub fn routers(
    stack: &Arc<Stack>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<Routers, StartError> {
    let logs = stack.logs.as_ref().map(|logs| log_routers(stack, logs, stop.clone())).transpose()?;
    let views = Arc::new(Views { stack: stack.clone(), stop });
    let api = prometheus::router(prometheus_state(stack, &views, readiness))?;
    let alertmanager = stack.alertmanager.clone().map(|alertmanager| {
        novaobs_api::alertmanager::router(Face {
            alertmanager,
            config: stack.alertmanager_yaml.clone(),
            reload: {
                let stack = stack.clone();
                Arc::new(move || {
                    let stack = stack.clone();
                    async move { stack.reload().await.map_err(|error| error.to_string()) }.boxed()
                })
            },
            registry: stack.registry.clone(),
            started: chrono::DateTime::<chrono::Utc>::from(stack.started).fixed_offset(),
            version: version(),
        })
    });
    Ok(Routers {
        prometheus: prometheus_face(stack, api.clone(), alertmanager.clone()),
        grafana: grafana_face(stack, api, alertmanager.clone(), logs.as_ref().map(|logs| logs.loki.clone())),
        logs,
        alertmanager: alertmanager.map(|router| router.route("/", get(alertmanager_home))),
    })
}

fn prometheus_state(stack: &Arc<Stack>, views: &Arc<Views>, readiness: Arc<Readiness>) -> PrometheusState {
    let options = &stack.options;
    let url = &options.external_url;
    let host = url.host_str().unwrap_or("localhost");
    let port = options.faces.prometheus.first().and_then(|at| at.rsplit_once(':')?.1.parse().ok());
    PrometheusState {
        source: stack.store.clone(),
        sink: options.remote_write.then(|| stack.store.clone() as _),
        engine: stack.engine.clone(),
        language: stack.parse_options,
        max_concurrency: options.query.concurrency,
        targets: views.clone(),
        rules: views.clone(),
        alertmanagers: views.clone(),
        status: views.clone(),
        lifecycle: options.lifecycle.then(|| views.clone() as _),
        readiness,
        cors_origin: options.cors_origin.clone(),
        external: ExternalUrl {
            scheme: url.scheme().to_owned(),
            host: url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            listen_port: port.unwrap_or(9090),
        },
        registry: stack.registry.clone(),
    }
}

fn prometheus_face(stack: &Arc<Stack>, api: Router, alertmanager: Option<Router>) -> Router {
    let options = &stack.options;
    // Browsers see the external URL's path, requests arrive under the route prefix.
    let base_path = options.external_url.path().to_owned();
    let outside = base_path.trim_end_matches('/').to_owned();
    let pages = pages::prometheus(PageConfig {
        base_path,
        prometheus: outside.clone(),
        alertmanager: format!("{outside}{ALERTMANAGER_PATH}"),
        title: options.page_title.clone(),
    });
    let mut face = api.merge(pages);
    if let Some(alertmanager) = alertmanager {
        face = face.nest(ALERTMANAGER_PATH, alertmanager);
    }
    if options.route_prefix.is_empty() {
        return face;
    }
    let home = format!("{}/query", options.route_prefix);
    let to_home = get(move || async move { Redirect::to(&home) });
    Router::new()
        .route("/", to_home.clone())
        .route(&format!("{}/", options.route_prefix), to_home)
        .nest(&options.route_prefix, face)
}

fn log_routers(
    stack: &Arc<Stack>,
    logs: &Arc<Logs>,
    stop: CancellationToken,
) -> Result<LogRouters, StartError> {
    Ok(LogRouters {
        loki: logs.router(&stack.registry, stop)?.route("/", get(loki_home)),
        otlp_grpc: novaobs_push::otlp_grpc_routes(logs.push.clone()),
        otlp_http: novaobs_push::otlp_http_routes(logs.push.clone()),
    })
}

/// The Loki face has no pages of its own: they are on the pages' port.
async fn loki_home() -> &'static str {
    "novaobs: the Loki API is at /loki/api/v1, its page is Explore on the pages' port\n"
}

fn grafana_face(
    stack: &Arc<Stack>,
    api: Router,
    alertmanager: Option<Router>,
    loki: Option<Router>,
) -> Router {
    let pages = pages::grafana(PageConfig {
        base_path: "/".to_owned(),
        prometheus: PROMETHEUS_PROXY.to_owned(),
        alertmanager: ALERTMANAGER_PROXY.to_owned(),
        title: stack.options.page_title.clone(),
    });
    let mut face = pages.nest(PROMETHEUS_PROXY, api).route("/api/health", get(health));
    if let Some(alertmanager) = alertmanager {
        face = face.nest(ALERTMANAGER_PROXY, alertmanager);
    }
    if let Some(loki) = loki {
        face = face.nest(LOKI_PROXY, loki);
    }
    face
}

/// What Grafana answers to load balancers.
async fn health() -> axum::Json<serde_json::Value> {
    axum::Json(json!({ "database": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// The Alertmanager face has no pages of its own: they are on the other ports.
async fn alertmanager_home() -> &'static str {
    "novaobs: the Alertmanager API is at /api/v2, its page is Alerts on the pages' port\n"
}

fn version() -> VersionInfo {
    VersionInfo {
        branch: "main".to_owned(),
        build_date: String::new(),
        build_user: "novaobs".to_owned(),
        go_version: format!("rust {}", env!("CARGO_PKG_RUST_VERSION")),
        revision: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The host exporter.
pub fn node() -> Router {
    let metrics = || async {
        let page = tokio::task::spawn_blocking(|| Host::default().render()).await;
        let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (headers, page.unwrap_or_default())
    };
    Router::new().route("/metrics", get(metrics)).route("/", get(|| async { Redirect::to("/metrics") }))
}
