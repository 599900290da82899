//! All jobs: applying configurations, and what the API asks about targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use novaobs_discovery::SdMetrics;
use novaobs_model::{Labels, SampleSink};
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::cache::FamilyMetadata;
use crate::config::ScrapeConfig;
use crate::global::Global;
use crate::metrics::ScrapeMetrics;
use crate::pool::{Context, Pool, Shown};
use crate::run::Shared;
use crate::target::Health;

/// A target that is scraped, as `/api/v1/targets` shows it.
#[derive(Clone, Debug)]
pub struct ActiveTarget {
    /// Its labels before relabelling.
    pub discovered_labels: Labels,
    /// The labels of its series.
    pub labels: Labels,
    /// Its job.
    pub scrape_pool: String,
    /// Where it is scraped.
    pub scrape_url: String,
    /// Why the last scrape failed; empty when it worked.
    pub last_error: String,
    /// When it was last scraped, Unix milliseconds.
    pub last_scrape: Option<i64>,
    /// How long that took.
    pub last_scrape_duration: Duration,
    /// How that went.
    pub health: Health,
    /// The interval as written or relabelled.
    pub scrape_interval: String,
    /// The timeout as written or relabelled.
    pub scrape_timeout: String,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedTarget {
    /// Its labels before relabelling.
    pub discovered_labels: Labels,
    /// Its job.
    pub scrape_pool: String,
}

/// All targets at one moment.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Those scraped, by job and URL.
    pub active: Vec<ActiveTarget>,
    /// Those dropped, by job; at most `keep_dropped_targets` of each.
    pub dropped: Vec<DroppedTarget>,
    /// How many each job dropped.
    pub dropped_counts: BTreeMap<String, usize>,
    /// Parts of jobs that do not run, by job: discoveries not built, clients that cannot be made.
    pub problems: BTreeMap<String, Vec<String>>,
}

/// Metadata that one target exposed.
#[derive(Clone, Debug)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// Its metric families, sorted by name.
    pub families: Vec<FamilyMetadata>,
}

/// Runs the scrape jobs of a configuration. Cheap to clone; clones are the same manager.
#[derive(Clone)]
pub struct ScrapeManager {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    /// Serialises configurations.
    applying: tokio::sync::Mutex<()>,
    /// Taken out of the map while they change, so that the map is never locked for long.
    pools: parking_lot::Mutex<BTreeMap<String, Pool>>,
    /// What is shown of pools that are changing.
    changing: parking_lot::Mutex<BTreeMap<String, Shown>>,
}

impl ScrapeManager {
    /// A manager without jobs that writes to `sink` and registers its metrics. Must be used inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn new(
        sink: Arc<dyn SampleSink>,
        registry: &Registry,
        discovery_metrics: SdMetrics,
    ) -> Result<ScrapeManager, prometheus::Error> {
        let at_once = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) * 2;
        let shared = Shared { shutdown: CancellationToken::new(), turns: Semaphore::new(at_once) };
        let context = Context {
            sink,
            metrics: ScrapeMetrics::new(registry)?,
            discovery_metrics,
            shared: Arc::new(shared),
        };
        let inner = Inner {
            context,
            applying: tokio::sync::Mutex::default(),
            pools: parking_lot::Mutex::default(),
            changing: parking_lot::Mutex::default(),
        };
        Ok(ScrapeManager { inner: Arc::new(inner) })
    }

    /// Makes the running jobs those of `configs`. Jobs that did not change keep running untouched; of
    /// changed ones, targets that are still there keep their history. Ends when scrapes of ended targets
    /// have ended.
    pub async fn apply(&self, configs: Vec<ScrapeConfig>, global: &Global) {
        let _guard = self.inner.applying.lock().await;
        let seed = offset_seed(&global.external_labels);
        let names: Vec<String> = configs.iter().map(|config| config.job_name.clone()).collect();
        let gone: Vec<Pool> = {
            let mut pools = self.inner.pools.lock();
            pools.extract_if(.., |name, _| !names.contains(name)).map(|(_, pool)| pool).collect()
        };
        for pool in gone {
            pool.stop(true).await;
        }
        for config in configs {
            let name = config.job_name.clone();
            let running = {
                let mut pools = self.inner.pools.lock();
                let pool = pools.remove(&name);
                if let Some(pool) = &pool {
                    self.inner.changing.lock().insert(name.clone(), pool.shown());
                }
                pool
            };
            let pool = match running {
                Some(mut pool) => {
                    pool.reload(config, seed).await;
                    pool
                }
                None => Pool::start(self.inner.context.clone(), config, seed).await,
            };
            self.inner.pools.lock().insert(name.clone(), pool);
            self.inner.changing.lock().remove(&name);
        }
    }

    /// Ends all jobs without staleness markers: the process ends, and its successor goes on.
    pub async fn stop(&self) {
        let _guard = self.inner.applying.lock().await;
        self.inner.context.shared.shutdown.cancel();
        let pools = std::mem::take(&mut *self.inner.pools.lock());
        for pool in pools.into_values() {
            pool.stop(false).await;
        }
    }

    /// The names of all jobs, sorted.
    pub fn scrape_pools(&self) -> Vec<String> {
        self.shown().into_keys().collect()
    }

    /// All targets.
    pub fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for (job, shown) in self.shown() {
            targets.dropped_counts.insert(job.clone(), shown.dropped_count);
            for discovered_labels in shown.dropped {
                targets.dropped.push(DroppedTarget { discovered_labels, scrape_pool: job.clone() });
            }
            for (target, _) in shown.active {
                let last = target.last();
                targets.active.push(ActiveTarget {
                    discovered_labels: target.discovered(),
                    labels: target.public().clone(),
                    scrape_pool: job.clone(),
                    scrape_url: target.url().to_owned(),
                    last_error: last.error,
                    last_scrape: last.at,
                    last_scrape_duration: last.took,
                    health: last.health,
                    scrape_interval: target.interval_label().to_owned(),
                    scrape_timeout: target.timeout_label().to_owned(),
                });
            }
            if !shown.problems.is_empty() {
                targets.problems.insert(job, shown.problems);
            }
        }
        targets
    }

    /// Metadata of all targets that expose some, by job and URL.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let mut all = Vec::new();
        for (target, families) in self.shown().into_values().flat_map(|shown| shown.active) {
            let families = families.lock().list();
            if !families.is_empty() {
                all.push(TargetMetadata { target: target.public().clone(), families });
            }
        }
        all
    }

    /// Brings the gauges that are only computed when asked for up to date: to be called before the registry
    /// is gathered.
    pub fn refresh_metrics(&self) {
        let metrics = &self.inner.context.metrics;
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        for (job, shown) in self.shown() {
            let sizes = shown.active.iter().map(|(_, families)| families.lock().size());
            let (entries, bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
            metrics.cache_entries.with_label_values(&[job.as_str()]).set(gauge(entries));
            metrics.cache_bytes.with_label_values(&[job.as_str()]).set(gauge(bytes));
        }
    }

    fn shown(&self) -> BTreeMap<String, Shown> {
        let pools = self.inner.pools.lock();
        let mut shown = self.inner.changing.lock().clone();
        shown.extend(pools.iter().map(|(name, pool)| (name.clone(), pool.shown())));
        shown
    }
}

/// What sets this server's turns apart from those of others with the same targets.
fn offset_seed(external_labels: &Labels) -> u64 {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    xxh3_64(format!("{}{external_labels}", host.trim_end()).as_bytes())
}
