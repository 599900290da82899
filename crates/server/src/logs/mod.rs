//! Logs behind the faces: store, door, tail, rules, files of this machine; opened in order, closed in reverse.

mod deletes;
mod own;
mod process;
mod rules;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use novaobs_api::loki::{LokiState, TailHub};
use novaobs_config::Loaded;
use novaobs_events::bucket::BucketUrlError;
use novaobs_events::{Bucket, DiskBucket, Events, RemoteBucket, Retention, RetentionPolicy, StreamRetention};
use novaobs_files::{AgentConfig, Tailer};
use novaobs_logql::QueryLimits;
use novaobs_model::{AlertSink, LogSource, Pool, SampleSink, SeriesSource, Tenant};
use novaobs_push::{Push, PushOptions};
use novaobs_tenants::{Limits, Tenants};
use parking_lot::{Mutex, RwLock};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::loki_config::{LokiConfig, LokiConfigError, Sources};
use crate::prometheus_config::log_warnings;
use crate::stack::StartError;

/// Shares of the memory budget. They overlap: the root pool is what holds.
const STORE_SHARE: f64 = 0.5;
const PUSH_SHARE: f64 = 0.25;
const QUERY_SHARE: f64 = 0.5;
/// Share of the queries' pool one query may use.
const ONE_QUERY_SHARE: f64 = 0.5;
/// What of a bucket's parts is kept in memory.
const BUCKET_CACHE: u64 = 256 << 20;
/// Without a `loki.yml`: everything is taken, kept 30 days hot and 90 days cold, and found.
pub const BUILT_IN: &str = "auth_enabled: false
limits_config:
  reject_old_samples: false
  ingestion_rate_mb: 1024
  ingestion_burst_size_mb: 2048
  per_stream_rate_limit: 1GB
  per_stream_rate_limit_burst: 2GB
  max_global_streams_per_user: 0
  max_query_series: 5000
  max_query_length: 0s
  volume_enabled: true
  retention_period: 2880h
compactor: {retention_enabled: true}
pattern_ingester: {enabled: true}
ruler: {enable_api: true}
";

/// What logs are started with.
#[derive(Clone, Debug)]
pub struct LogsOptions {
    /// Where the configuration comes from.
    pub source: LokiSource,
    /// Folder of the store where the configuration names none.
    pub path: PathBuf,
    /// After how long days are moved to the cold bucket, and where that is (a URL, or a folder).
    pub cold: Option<(Duration, String)>,
    /// Most bytes of log and parts.
    pub max_bytes: Option<u64>,
    /// Files of this machine to tail, in Promtail's format.
    pub files: Option<PathBuf>,
    /// Whether the stack's own log lines are kept.
    pub own_lines: bool,
}

/// Where the configuration of logs comes from.
#[derive(Clone, Debug)]
pub enum LokiSource {
    /// A Loki file and flags.
    File(Sources),
    /// [`BUILT_IN`].
    BuiltIn,
}

impl LokiSource {
    /// Loads it.
    ///
    /// # Errors
    /// [`LokiConfigError`].
    pub fn load(&self) -> Result<Loaded<LokiConfig>, LokiConfigError> {
        match self {
            LokiSource::File(sources) => LokiConfig::load(sources),
            LokiSource::BuiltIn => {
                LokiConfig::parse("built-in loki.yml", BUILT_IN, &Sources::default(), &|_| None)
            }
        }
    }
}

/// What logs need of the rest of the stack.
pub struct Shared<'a> {
    /// The process's memory.
    pub pool: &'a Pool,
    /// Its size.
    pub memory: u64,
    /// The stack's own metrics.
    pub registry: &'a Registry,
    /// Where recorded series go.
    pub sink: Arc<dyn SampleSink>,
    /// Where the state of alerts is read back.
    pub series: Arc<dyn SeriesSource>,
    /// Where alerts go.
    pub alerts: Arc<dyn AlertSink>,
    /// Folder of the alerts' state.
    pub alerts_path: &'a Path,
    /// Where alerts link to.
    pub external_url: String,
}

/// Logs.
pub struct Logs {
    /// The configuration in use.
    pub config: Arc<LokiConfig>,
    /// The store.
    pub store: Arc<Events>,
    /// What stands in front of it, for tails.
    pub hub: Arc<TailHub>,
    /// The door of all lines.
    pub push: Arc<Push>,
    /// Rules over logs.
    rules: Arc<rules::LogRules>,
    tenants: Arc<Tenants>,
    deletes: Arc<deletes::StoreDeletes>,
    rule_settings: rules::Settings,
    pool: Pool,
    memory: u64,
    tailer: Mutex<Option<Tailer>>,
    own: Mutex<Option<own::OwnLines>>,
}

/// Now, in Unix nanoseconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Logs {
    /// Opens everything. Blocks.
    ///
    /// # Errors
    /// [`StartError`]; what was opened is closed again.
    pub fn open(
        options: &LogsOptions,
        config: LokiConfig,
        shared: Shared<'_>,
        runtime: Handle,
    ) -> Result<Logs, StartError> {
        let registry = shared.registry;
        let share = |share: f64| (shared.memory as f64 * share) as u64;
        let path = config.storage.folder.clone().unwrap_or_else(|| options.path.clone());
        let tenants = Arc::new(Tenants::open(config.limits.clone(), config.runtime.files.clone(), registry)?);
        let limits = {
            let tenants = tenants.clone();
            Arc::new(move |tenant: &Tenant| tenants.limits_for(tenant))
        };
        let mut store_options = novaobs_events::Options::new(registry);
        store_options.bucket = config.storage.bucket.as_ref().map(|b| remote(b.url.expose())).transpose()?;
        store_options.cold = match &options.cold {
            Some((after, place)) => Some((bucket(place)?, *after)),
            None => None,
        };
        store_options.retention = retention(&config, &tenants);
        store_options.max_bytes = options.max_bytes;
        store_options.compile_filter = Arc::new(deletes::compile);
        store_options.delete_delay = config.compactor.retention_delete_delay;
        store_options.pool = shared.pool.child("the log store", share(STORE_SHARE));
        let store = Events::open(&path, store_options)?;
        let hub = Arc::new(TailHub::new(store.clone()));
        let push = Push::new(
            hub.clone(),
            limits,
            shared.pool.child("pushes", share(PUSH_SHARE)),
            registry,
            PushOptions {
                auth_enabled: config.auth_enabled,
                no_auth_tenant: Tenant::new(&config.no_auth_tenant),
                max_body: usize::try_from(config.max_push_bytes.received).unwrap_or(usize::MAX),
                max_unpacked: usize::try_from(config.max_push_bytes.decompressed).unwrap_or(usize::MAX),
            },
        )?;
        let push = Arc::new(push);
        let pool = shared.pool.child("log queries", share(QUERY_SHARE));
        let source: Arc<dyn LogSource> = store.clone();
        let rule_settings = rule_settings(&config, &path, &shared.external_url);
        let parts = rules::Parts {
            source,
            sink: shared.sink,
            series: shared.series,
            alerts: shared.alerts,
            pool: pool.clone(),
            registry: registry.clone(),
            state: shared.alerts_path.to_owned(),
        };
        let rules = rules::LogRules::new(parts, rule_settings.clone(), runtime);
        let deletes = Arc::new(deletes::StoreDeletes {
            store: store.clone(),
            cancel_period: RwLock::new(config.compactor.delete_request_cancel_period),
        });
        let local = || own::Local { push: push.clone(), tenant: Tenant::new(&config.no_auth_tenant) };
        let tailer = match &options.files {
            Some(file) => {
                let loaded = AgentConfig::load(file)?;
                log_warnings(&loaded.warnings);
                let positions = path.join("positions.json");
                Some(Tailer::start(loaded.value.jobs, &positions, Arc::new(local()))?)
            }
            None => None,
        };
        let own = options.own_lines.then(|| own::OwnLines::start(local())).flatten();
        Ok(Logs {
            config: Arc::new(config),
            store,
            hub,
            push,
            rules,
            tenants,
            deletes,
            rule_settings,
            pool,
            memory: shared.memory,
            tailer: Mutex::new(tailer),
            own: Mutex::new(own),
        })
    }

    /// Loads the rules, and from then on looks at rule files and the runtime file now and then, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut problem = String::new();
        loop {
            // A file that stays wrong is named once.
            match self.rules.apply(self.rule_settings.clone()).await {
                Ok(()) => problem.clear(),
                Err(error) if error != problem => {
                    tracing::error!("rules over logs were not loaded, the old ones stay: {error}");
                    problem = error;
                }
                Err(_) => {}
            }
            let pause = self.config.runtime.period.min(self.poll()).max(Duration::from_secs(1));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let tenants = self.tenants.clone();
            if tokio::task::spawn_blocking(move || tenants.refresh()).await.is_err() {
                tracing::error!("reading the runtime file ended early");
            }
        }
    }

    fn poll(&self) -> Duration {
        let period = self.config.ruler.poll_interval;
        if period.is_zero() { rules::POLL } else { period }
    }

    /// The router of the Loki face.
    ///
    /// # Errors
    /// When a metric of the API is registered already.
    pub fn router(&self, registry: &Registry, stop: CancellationToken) -> Result<Router, prometheus::Error> {
        let config = &self.config;
        let tenants = self.tenants.clone();
        let share = |share: f64| (self.memory as f64 * share) as u64;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let state = LokiState {
            source: self.store.clone(),
            hub: self.hub.clone(),
            limits: Arc::new(move |tenant| tenants.limits_for(tenant)),
            auth_enabled: config.auth_enabled,
            no_auth_tenant: Tenant::new(&config.no_auth_tenant),
            multi_tenant_queries_enabled: config.querier.multi_tenant_queries_enabled,
            per_request_limits_enabled: false,
            // More at once than cores only makes each slower and all of them larger.
            max_concurrency: cores.max(2),
            pool: self.pool.clone(),
            query_memory: share(QUERY_SHARE * ONE_QUERY_SHARE),
            tail_max_duration: config.querier.tail_max_duration,
            patterns_enabled: config.patterns_enabled,
            deletes: config.compactor.retention_enabled.then(|| self.deletes.clone() as _),
            rules: config.ruler.enable_api.then(|| self.rules.clone() as _),
            rule_status: self.rules.clone(),
            process: Arc::new(process::Process {
                config: config.clone(),
                tenants: self.tenants.clone(),
                store: self.store.clone(),
                stop,
            }),
            registry: registry.clone(),
        };
        let face = novaobs_api::loki::router(state)?.merge(novaobs_push::loki_routes(self.push.clone()));
        Ok(match config.server.http_path_prefix.trim_end_matches('/') {
            "" => face,
            prefix => Router::new().nest(prefix, face),
        })
    }

    /// Ends everything, in the reverse of the order it was opened in.
    pub async fn stop(self: Arc<Self>) {
        self.rules.stop().await;
        let closing = tokio::task::spawn_blocking(move || {
            if let Some(mut tailer) = self.tailer.lock().take() {
                tailer.stop();
            }
            if let Some(own) = self.own.lock().take() {
                own.stop();
            }
            self.store.close();
        });
        if let Err(ended) = closing.await {
            tracing::error!(error = %ended, "closing the log store ended early");
        }
    }
}

/// A bucket of a URL, or a folder.
fn bucket(place: &str) -> Result<Arc<dyn Bucket>, StartError> {
    if place.contains("://") {
        return Ok(remote(place)?);
    }
    Ok(Arc::new(DiskBucket::new(Path::new(place))?))
}

fn remote(url: &str) -> Result<Arc<dyn Bucket>, BucketUrlError> {
    Ok(Arc::new(RemoteBucket::from_url(url, BUCKET_CACHE)?))
}

/// How long entries of a tenant are kept, as its limits say now.
fn retention(config: &LokiConfig, tenants: &Arc<Tenants>) -> Retention {
    if !config.compactor.retention_enabled {
        return Arc::new(|_| RetentionPolicy::default());
    }
    let tenants = tenants.clone();
    Arc::new(move |tenant| policy(&tenants.limits_for(tenant)))
}

fn policy(limits: &Limits) -> RetentionPolicy {
    let streams = limits.retention_stream.iter().map(|stream| StreamRetention {
        matchers: stream.matchers.clone(),
        priority: i32::try_from(stream.priority).unwrap_or(i32::MAX),
        period: stream.period,
    });
    RetentionPolicy {
        default: Some(limits.retention_period).filter(|period| !period.is_zero()),
        streams: streams.collect(),
    }
}

fn rule_settings(config: &LokiConfig, path: &Path, external_url: &str) -> rules::Settings {
    let ruler = &config.ruler;
    let link = ruler.external_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    rules::Settings {
        folder: Some(ruler.rules.clone().unwrap_or_else(|| path.join("rules"))),
        interval: ruler.evaluation_interval,
        external_labels: ruler.external_labels.clone(),
        external_url: link.unwrap_or_else(|| external_url.to_owned()),
        outage_tolerance: ruler.for_outage_tolerance,
        grace_period: ruler.for_grace_period,
        resend_delay: ruler.resend_delay,
        timeout: config.limits.query_timeout,
        limits: QueryLimits {
            max_series: config.limits.max_query_series,
            max_bytes_read: config.limits.max_query_bytes_read,
        },
    }
}

impl From<BucketUrlError> for StartError {
    fn from(error: BucketUrlError) -> Self {
        StartError::Io(io::Error::other(error))
    }
}
