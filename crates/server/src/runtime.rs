//! A running novaobs: opens in order, serves, closes in reverse. Several can live in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use novaobs_api::prometheus::Readiness;
use prometheus::{Opts, Registry};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::faces;
use crate::http;
use crate::options::{ConfigSource, Options};
use crate::process;
use crate::prometheus_config::{log_warnings, matching_files};
use crate::stack::{Stack, StartError};
use crate::web_config::WebGuard;

/// A running novaobs.
pub struct Runtime {
    stack: Arc<Stack>,
    readiness: Arc<Readiness>,
    servers: Vec<JoinHandle<()>>,
    /// Asks the faces to end.
    close: CancellationToken,
    /// Cancelled when the process is asked to end.
    stop: CancellationToken,
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Runtime {
    /// Opens the ports, then everything behind them, then answers requests.
    ///
    /// # Errors
    /// [`StartError`]; nothing stays open.
    pub async fn start(options: Options) -> Result<Runtime, StartError> {
        let guard = web_guard(&options)?;
        // The ports first: a port that is taken should not cost opening a large store.
        let mut prometheus = Vec::new();
        for address in &options.faces.prometheus {
            prometheus.push(http::listen("prometheus", address).await?);
        }
        let grafana = listen("grafana", options.faces.grafana.as_deref()).await?;
        let loki = listen("loki", options.faces.loki.as_deref()).await?;
        let otlp_grpc = listen("otlp-grpc", options.faces.otlp_grpc.as_deref()).await?;
        let otlp_http = listen("otlp-http", options.faces.otlp_http.as_deref()).await?;
        let alertmanager = listen("alertmanager", options.faces.alertmanager.as_deref()).await?;
        let node = listen("node", options.faces.node.as_deref()).await?;

        let limits = options.limits;
        let watch = options.watch;
        let registry = Registry::new();
        process::register(&registry)?;
        register_build(&registry)?;
        let stack = Stack::start(options, registry).await?;

        let (close, stop) = (CancellationToken::new(), CancellationToken::new());
        let readiness = Arc::new(Readiness::default());
        let routers = faces::routers(&stack, readiness.clone(), stop.clone())?;
        readiness.set_ready();

        let mut servers = Vec::new();
        let mut addresses = Vec::new();
        let mut serve = |face: &'static str,
                         listener: TcpListener,
                         router: Router,
                         guard: &Option<WebGuard>|
         -> std::io::Result<()> {
            let address = listener.local_addr()?;
            tracing::info!(face, %address, "listening");
            addresses.push((face, address));
            servers.push(tokio::spawn(http::serve(listener, router, guard.clone(), limits, close.clone())));
            Ok(())
        };
        for listener in prometheus {
            serve("prometheus", listener, routers.prometheus.clone(), &guard)?;
        }
        // The pages' face leads to all APIs: what guards one of them guards them all. The host exporter
        // is a server of its own, and stays open.
        let (loki_router, grpc_router, http_router) = match routers.logs {
            Some(logs) => (Some(logs.loki), Some(logs.otlp_grpc), Some(logs.otlp_http)),
            None => (None, None, None),
        };
        for (face, listener, router, guard) in [
            ("grafana", grafana, Some(routers.grafana), &guard),
            ("loki", loki, loki_router, &guard),
            ("otlp-grpc", otlp_grpc, grpc_router, &guard),
            ("otlp-http", otlp_http, http_router, &guard),
            ("alertmanager", alertmanager, routers.alertmanager, &guard),
            ("node", node, Some(faces::node()), &None),
        ] {
            if let (Some(listener), Some(router)) = (listener, router) {
                serve(face, listener, router, guard)?;
            }
        }
        if let Some(logs) = stack.logs.clone() {
            servers.push(tokio::spawn(logs.watch(close.clone())));
        }
        if let Some(interval) = watch {
            servers.push(tokio::spawn(watch_files(stack.clone(), interval, close.clone())));
        }
        Ok(Runtime { stack, readiness, servers, close, stop, addresses })
    }

    /// Faces and where they listen.
    pub fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// Loads the configuration files again.
    ///
    /// # Errors
    /// [`StartError`] with all that is wrong; the old configuration stays.
    pub async fn reload(&self) -> Result<(), StartError> {
        self.stack.reload().await
    }

    /// Waits until someone asks over HTTP for the end.
    pub async fn quit_requested(&self) {
        self.stop.cancelled().await;
    }

    /// Ends everything: no new requests, running ones finish, stores are closed.
    pub async fn stop(self) {
        self.readiness.set_stopping();
        self.close.cancel();
        for server in self.servers {
            if let Err(ended) = server.await {
                tracing::error!(error = %ended, "a face ended early");
            }
        }
        self.stack.stop().await;
        tracing::info!("stopped");
    }
}

/// The web config file at work, if there is one.
fn web_guard(options: &Options) -> Result<Option<WebGuard>, StartError> {
    let Some(path) = &options.web_config else { return Ok(None) };
    let loaded = WebGuard::open(path).map_err(|error| StartError::Web { path: path.clone(), error })?;
    log_warnings(&loaded.warnings);
    if matches!(options.prometheus, ConfigSource::BuiltIn(_)) {
        tracing::warn!(
            "without a prometheus.yml this server scrapes itself by plain HTTP and without credentials, which --web.config.file may refuse: write a job with scheme, tls_config and basic_auth"
        );
    }
    Ok(Some(loaded.value))
}

async fn listen(face: &str, address: Option<&str>) -> std::io::Result<Option<TcpListener>> {
    match address {
        Some(address) => http::listen(face, address).await.map(Some),
        None => Ok(None),
    }
}

/// Which build this is, under the name every dashboard asks for.
fn register_build(registry: &Registry) -> Result<(), prometheus::Error> {
    let options = Opts::new("prometheus_build_info", "The build; always 1.")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("goversion", format!("rust {}", env!("CARGO_PKG_RUST_VERSION")))
        .const_label("branch", "main")
        .const_label("revision", "");
    let build = prometheus::Gauge::with_opts(options)?;
    build.set(1.0);
    registry.register(Box::new(build))
}

/// Reloads when a file of the configuration changes. Files are compared by time and size: that works on
/// every file system, and for files that are replaced by a link as Kubernetes does.
async fn watch_files(stack: Arc<Stack>, interval: Duration, close: CancellationToken) {
    let mut seen = fingerprint(&stack.config().sources);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = close.cancelled() => return,
        }
        let sources = stack.config().sources.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || fingerprint(&sources)).await else { continue };
        if now != seen {
            tracing::info!("a configuration file changed");
            // The outcome is logged; a bad file is tried again when it changes again.
            let _ = stack.reload().await;
            seen = fingerprint(&stack.config().sources);
        }
    }
}

/// Path, time of change and size of every file.
type Fingerprint = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

fn fingerprint(sources: &[PathBuf]) -> Fingerprint {
    let files = sources.iter().flat_map(|pattern| matching_files(pattern));
    let state = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.map(|file| (file.clone(), state(&file))).collect()
}
