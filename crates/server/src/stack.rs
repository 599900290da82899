//! What runs behind the faces: store, engine, scraping, rules, alerts; opened in order, configured
//! together, closed in reverse.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use novaobs_alerts::{Alertmanager, PostableAlert};
use novaobs_config::{ConfigError, Loaded};
use novaobs_discovery::SdMetrics;
use novaobs_model::{Alert, AlertSink, Pool, SampleSink, SeriesSource};
use novaobs_notifier::{Notifier, NotifierOptions};
use novaobs_promql::{Engine, EngineOptions};
use novaobs_promql_parser::ParseOptions;
use novaobs_receivers::Config as AlertmanagerConfig;
use novaobs_rules::{PromQl, RuleConfig, RuleManager, RuleOptions};
use novaobs_scrape::ScrapeManager;
use novaobs_tsdb::{Settings, Tsdb};
use parking_lot::RwLock;
use prometheus::{Gauge, Registry};

use crate::logs::{Logs, Shared};
use crate::loki_config::LokiConfigError;
use crate::options::{ConfigSource, Options};
use crate::prometheus_config::{PrometheusConfig, StorageConfig, log_warnings, matching_files};
use crate::web_config::TlsError;

/// Retention when neither the file nor a flag says anything.
const DEFAULT_RETENTION: Duration = Duration::from_secs(15 * 24 * 3600);
/// Shares of the memory budget. They overlap: the root pool is what holds.
const STORE_SHARE: f64 = 0.7;
const QUERY_SHARE: f64 = 0.5;
/// Share of the queries' pool one query may use.
const ONE_QUERY_SHARE: f64 = 0.5;

/// Everything behind the faces.
pub struct Stack {
    /// What it was started with.
    pub options: Options,
    /// The stack's own metrics.
    pub registry: Registry,
    /// The metrics store.
    pub store: Arc<Tsdb>,
    /// Evaluates queries.
    pub engine: Arc<Engine>,
    /// What queries may contain.
    pub parse_options: ParseOptions,
    /// Scrapes targets.
    pub scrape: ScrapeManager,
    /// Evaluates rules.
    pub rules: RuleManager,
    /// Sends alerts to other Alertmanagers.
    pub notifier: Notifier,
    /// The Alertmanager of this process.
    pub alertmanager: Option<Alertmanager>,
    /// Logs, when their face runs.
    pub logs: Option<Arc<Logs>>,
    /// The text of `alertmanager.yml` as loaded, secrets hidden.
    pub alertmanager_yaml: Arc<RwLock<String>>,
    /// When it was started.
    pub started: SystemTime,
    loaded: RwLock<Arc<LoadedConfig>>,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
    metrics: ConfigMetrics,
}

/// The configuration in use.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// `prometheus.yml`.
    pub prometheus: PrometheusConfig,
    /// Every file that was read or could have been: what a watcher looks at.
    pub sources: Vec<PathBuf>,
    /// When it was loaded.
    pub at: SystemTime,
    /// Whether the last attempt to reload worked.
    pub last_reload_worked: bool,
}

/// Why a stack does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configuration file has errors.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The configuration of logs has errors.
    #[error(transparent)]
    Loki(#[from] LokiConfigError),
    /// The log store does not open.
    #[error(transparent)]
    Logs(#[from] novaobs_events::OpenError),
    /// The metrics store does not open.
    #[error(transparent)]
    Store(#[from] novaobs_tsdb::OpenError),
    /// The alerts' state does not open.
    #[error(transparent)]
    Alerts(#[from] novaobs_alerts::OpenError),
    /// A part of `alertmanager.yml` cannot be used.
    #[error(transparent)]
    Receivers(#[from] novaobs_receivers::SetupError),
    /// An entry of `alerting.alertmanagers` cannot be used.
    #[error(transparent)]
    Notifier(#[from] novaobs_notifier::ApplyError),
    /// Rule files have errors.
    #[error(transparent)]
    Rules(#[from] novaobs_rules::ApplyError),
    /// Two parts of the stack have a metric of the same name: a bug of ours.
    #[error("cannot register the stack's own metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The web config file cannot be used.
    #[error("--web.config.file={}: {error}", path.display())]
    Web {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: TlsError,
    },
    /// A port or folder cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Hands alerts of rules to the Alertmanager of this process and to the others.
struct Fanout {
    alertmanager: Option<Alertmanager>,
    notifier: Notifier,
}

impl AlertSink for Fanout {
    fn send(&self, alerts: &[Alert]) {
        self.notifier.send(alerts);
        let Some(alertmanager) = &self.alertmanager else { return };
        let time = |ms| chrono::DateTime::from_timestamp_millis(ms).map(|time| time.fixed_offset());
        let postable = |alert: &Alert| PostableAlert {
            labels: alert.labels.clone(),
            annotations: alert.annotations.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            starts_at: time(alert.starts_at),
            ends_at: time(alert.ends_at),
            generator_url: alert.generator_url.clone(),
        };
        if let Err(refused) = alertmanager.put_alerts(alerts.iter().map(postable).collect()) {
            for reason in refused {
                tracing::error!(%reason, "an alert of a rule was refused");
            }
        }
    }
}

/// Says on `/metrics` how the last reload went.
struct ConfigMetrics {
    successful: Gauge,
    at: Gauge,
}

impl ConfigMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(ConfigMetrics {
            successful: gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload worked.",
            )?,
            at: gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "When the configuration was last loaded without errors.",
            )?,
        })
    }

    fn worked(&self, at: SystemTime) {
        self.successful.set(1.0);
        self.at.set(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()));
    }
}

impl Stack {
    /// Opens everything and applies the configuration.
    ///
    /// # Errors
    /// [`StartError`]; what was opened is closed again.
    pub async fn start(options: Options, registry: Registry) -> Result<Arc<Stack>, StartError> {
        let files = Files::load(&options)?;
        let metrics = ConfigMetrics::new(&registry)?;
        let pool = Pool::root("memory", options.memory);
        let share = |share: f64| (options.memory as f64 * share) as u64;
        let settings = settings(&options, &files.prometheus.value.storage);
        let path = files
            .prometheus
            .value
            .storage
            .path
            .as_ref()
            .filter(|_| !options.flags.given("storage.tsdb.path"));
        let metrics_path = path.unwrap_or(&options.metrics_path).clone();
        let store = Tsdb::open(
            &metrics_path,
            novaobs_tsdb::Options {
                retention_time: settings.retention_time,
                retention_size: settings.retention_size,
                out_of_order_window: settings.out_of_order_window,
                pool: pool.child("the metrics store", share(STORE_SHARE)),
                registry: &registry,
                background: true,
            },
        )?;
        let source: Arc<dyn SeriesSource> = store.clone();
        let sink: Arc<dyn SampleSink> = store.clone();
        let engine = Arc::new(Engine::new(EngineOptions {
            lookback: options.query.lookback,
            timeout: options.query.timeout,
            max_samples: options.query.max_samples,
            default_step: files.prometheus.value.global.evaluation_interval,
            pool: pool.child("queries", share(QUERY_SHARE)),
            query_memory: share(QUERY_SHARE * ONE_QUERY_SHARE),
        }));
        let parse_options = parse_options(&options);
        let runtime = tokio::runtime::Handle::current();
        let alertmanager = match &files.alertmanager {
            Some(config) => Some(Alertmanager::open(
                &options.alerts_path,
                novaobs_alerts::Options::default(),
                config.value.setup(&alertmanager_url(&options))?,
                &registry,
                runtime.clone(),
            )?),
            None => None,
        };
        let notifier_options = NotifierOptions {
            queue_capacity: options.notifier.capacity,
            max_batch_size: options.notifier.batch,
            drain_on_shutdown: options.notifier.drain,
        };
        let sd_metrics = SdMetrics::new(&registry)?;
        let notifier = Notifier::new(notifier_options, &registry, sd_metrics.clone())?;
        let alerts: Arc<dyn AlertSink> =
            Arc::new(Fanout { alertmanager: alertmanager.clone(), notifier: notifier.clone() });
        let rules = RuleManager::new(
            RuleOptions {
                language: Arc::new(PromQl::new(engine.clone(), source.clone(), parse_options)),
                sink: sink.clone(),
                source,
                alerts: alerts.clone(),
                outage_tolerance: options.rules.outage_tolerance,
                grace_period: options.rules.grace_period,
                resend_delay: options.rules.resend_delay,
                max_concurrent_evals: options.rules.concurrency,
                keep_file: Some(options.alerts_path.join("keep_firing.json")),
            },
            &registry,
            runtime,
        )?;
        std::fs::create_dir_all(&options.alerts_path)?;
        let logs = open_logs(&options, &pool, &registry, (&store, &alerts)).await?;
        let scrape = ScrapeManager::new(sink, &registry, sd_metrics)?;
        let stack = Arc::new(Stack {
            loaded: RwLock::new(Arc::new(files.summary())),
            options,
            registry,
            store,
            engine,
            parse_options,
            scrape,
            rules,
            notifier,
            alertmanager,
            logs,
            alertmanager_yaml: Arc::default(),
            started: SystemTime::now(),
            reloading: tokio::sync::Mutex::default(),
            metrics,
        });
        stack.apply(files).await?;
        stack.rules.start();
        Ok(stack)
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<LoadedConfig> {
        self.loaded.read().clone()
    }

    /// Loads all files again. With an error in any of them, everything stays as it was.
    ///
    /// # Errors
    /// [`StartError::Config`], [`StartError::Rules`].
    pub async fn reload(&self) -> Result<(), StartError> {
        let _one_at_a_time = self.reloading.lock().await;
        let options = self.options.clone();
        let loading = tokio::task::spawn_blocking(move || Files::load(&options)).await;
        let outcome = match loading {
            Ok(Ok(files)) => self.apply(files).await,
            Ok(Err(error)) => Err(error.into()),
            Err(ended) => Err(StartError::Io(io::Error::other(ended))),
        };
        match &outcome {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(error) => {
                self.metrics.successful.set(0.0);
                let mut loaded = self.loaded.write();
                *loaded = Arc::new(LoadedConfig { last_reload_worked: false, ..(**loaded).clone() });
                tracing::error!("configuration not reloaded, the old one stays: {error}");
            }
        }
        outcome
    }

    async fn apply(&self, files: Files) -> Result<(), StartError> {
        let summary = files.summary();
        log_warnings(&files.prometheus.warnings);
        let config = files.prometheus.value;
        // What can still fail comes first, so that a failure leaves everything as it was.
        let setup = match &files.alertmanager {
            Some(alertmanager) => {
                log_warnings(&alertmanager.warnings);
                let setup = alertmanager.value.setup(&alertmanager_url(&self.options))?;
                Some((setup, alertmanager.value.to_yaml()))
            }
            None => None,
        };
        self.notifier.apply(&config.alerting, &config.global.external_labels).await?;
        match self.rules.apply(self.rule_config(&config)).await {
            Ok(warnings) => log_warnings(&warnings),
            Err(error) => {
                let old = self.config();
                let (alerting, labels) = (&old.prometheus.alerting, &old.prometheus.global.external_labels);
                self.notifier.apply(alerting, labels).await?;
                return Err(error.into());
            }
        }
        self.store.set(settings(&self.options, &config.storage));
        self.engine.set_default_step(config.global.evaluation_interval);
        if let (Some(alertmanager), Some((setup, yaml))) = (self.alertmanager.clone(), setup) {
            *self.alertmanager_yaml.write() = yaml;
            if let Err(ended) = tokio::task::spawn_blocking(move || alertmanager.apply(setup)).await {
                tracing::error!(error = %ended, "the Alertmanager's configuration was not applied");
            }
        }
        self.scrape.apply(config.scrape_configs, &config.global).await;
        self.metrics.worked(summary.at);
        *self.loaded.write() = Arc::new(summary);
        Ok(())
    }

    fn rule_config(&self, config: &PrometheusConfig) -> RuleConfig {
        RuleConfig {
            files: config.rule_globs.iter().flat_map(|pattern| matching_files(pattern)).collect(),
            interval: config.global.evaluation_interval,
            query_offset: config.global.rule_query_offset,
            external_labels: config.global.external_labels.clone(),
            external_url: self.options.external_url.as_str().trim_end_matches('/').to_owned(),
        }
    }

    /// Ends everything, in the reverse of the order it was opened in.
    pub async fn stop(&self) {
        self.scrape.stop().await;
        self.rules.stop().await;
        if let Some(logs) = self.logs.clone() {
            logs.stop().await;
        }
        self.notifier.stop().await;
        let (alertmanager, store) = (self.alertmanager.clone(), self.store.clone());
        let closing = tokio::task::spawn_blocking(move || {
            if let Some(alertmanager) = alertmanager {
                alertmanager.stop();
            }
            // What is in parts need not be replayed at the next start.
            if let Err(error) = store.flush() {
                tracing::warn!(%error, "the newest samples stay in the log, which is replayed at the next start");
            }
            store.close();
        });
        if let Err(ended) = closing.await {
            tracing::error!(error = %ended, "closing the stores ended early");
        }
    }
}

/// Opens logs on a thread that may block, when their face runs.
async fn open_logs(
    options: &Options,
    pool: &Pool,
    registry: &Registry,
    (store, alerts): (&Arc<Tsdb>, &Arc<dyn AlertSink>),
) -> Result<Option<Arc<Logs>>, StartError> {
    let Some(logs) = options.logs.clone() else { return Ok(None) };
    let (pool, registry, alerts, store) = (pool.clone(), registry.clone(), alerts.clone(), store.clone());
    let (memory, alerts_path) = (options.memory, options.alerts_path.clone());
    let external_url = options.external_url.as_str().trim_end_matches('/').to_owned();
    let runtime = tokio::runtime::Handle::current();
    let opening = tokio::task::spawn_blocking(move || {
        // Read once: the peer does not reload this file either, only the runtime file and the rules.
        let loaded = logs.source.load()?;
        log_warnings(&loaded.warnings);
        let shared = Shared {
            pool: &pool,
            memory,
            registry: &registry,
            sink: store.clone(),
            series: store,
            alerts,
            alerts_path: &alerts_path,
            external_url,
        };
        Logs::open(&logs, loaded.value, shared, runtime)
    });
    match opening.await {
        Ok(opened) => Ok(Some(Arc::new(opened?))),
        Err(ended) => Err(StartError::Io(io::Error::other(ended))),
    }
}

/// All configuration files but the rules, loaded and without errors.
struct Files {
    prometheus: Loaded<PrometheusConfig>,
    alertmanager: Option<Loaded<AlertmanagerConfig>>,
    alertmanager_file: Option<PathBuf>,
}

impl Files {
    fn load(options: &Options) -> Result<Files, ConfigError> {
        let prometheus = match &options.prometheus {
            ConfigSource::File(file) => PrometheusConfig::load(file)?,
            ConfigSource::BuiltIn(text) => PrometheusConfig::built_in(text)?,
        };
        let alertmanager = match &options.alertmanager {
            None => None,
            Some(ConfigSource::File(file)) => Some(AlertmanagerConfig::load(file)?),
            Some(ConfigSource::BuiltIn(text)) => {
                Some(AlertmanagerConfig::parse("built-in alertmanager.yml", text)?)
            }
        };
        let alertmanager_file = match &options.alertmanager {
            Some(ConfigSource::File(file)) => Some(file.clone()),
            _ => None,
        };
        Ok(Files { prometheus, alertmanager, alertmanager_file })
    }

    fn summary(&self) -> LoadedConfig {
        let mut sources = self.prometheus.value.sources.clone();
        sources.extend(self.alertmanager_file.clone());
        if let Some(config) = &self.alertmanager {
            sources.extend(config.value.templates.iter().cloned());
        }
        LoadedConfig {
            prometheus: self.prometheus.value.clone(),
            sources,
            at: SystemTime::now(),
            last_reload_worked: true,
        }
    }
}

/// The file beats the flags, as in the peer.
fn settings(options: &Options, file: &StorageConfig) -> Settings {
    let disk = file.retention_percentage.filter(|percentage| *percentage > 0.0).and_then(|percentage| {
        let disk = rustix::fs::statvfs(existing_parent(&options.metrics_path)).ok()?;
        Some((disk.f_blocks as f64 * disk.f_frsize as f64 * percentage / 100.0) as u64)
    });
    let size = file.retention_size.or(options.retention_size).filter(|bytes| *bytes > 0);
    let retention_size = [size, disk].into_iter().flatten().min();
    let time = file.retention_time.or(options.retention_time).filter(|time| !time.is_zero());
    Settings {
        retention_time: time.or_else(|| retention_size.is_none().then_some(DEFAULT_RETENTION)),
        retention_size,
        out_of_order_window: file.out_of_order_window,
    }
}

/// The folder itself, or the nearest one above it that exists already.
fn existing_parent(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."))
}

/// Features of the peer that change what a query may contain; unknown names are warned about.
fn parse_options(options: &Options) -> ParseOptions {
    let mut parse = ParseOptions::default();
    for feature in options.features.iter().filter(|name| !name.is_empty()) {
        match feature.as_str() {
            "promql-experimental-functions" => parse.experimental_functions = true,
            "promql-duration-expr" | "auto-reload-config" | "native-histograms" | "ooo-native-histograms" => {
            }
            other => tracing::warn!(
                feature = other,
                "unknown or not built feature: --enable-feature has no effect for it"
            ),
        }
    }
    parse
}

/// Where notifications link to.
fn alertmanager_url(options: &Options) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let address = options.faces.alertmanager.as_deref().unwrap_or(":9093");
    let port = address.rsplit_once(':').map_or("9093", |(_, port)| port);
    format!("http://{host}:{port}")
}
