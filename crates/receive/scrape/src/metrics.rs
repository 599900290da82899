//! What scraping says about itself on `/metrics`, under the peer's names.

use novaobs_telemetry::SummaryVec;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// The quantiles of summaries.
const QUANTILES: &[f64] = &[0.01, 0.05, 0.5, 0.9, 0.99];

/// Counters, gauges and summaries of scraping.
#[derive(Clone)]
pub(crate) struct ScrapeMetrics {
    pub(crate) pools: IntCounter,
    pub(crate) pools_failed: IntCounter,
    pub(crate) reloads: IntCounter,
    pub(crate) reloads_failed: IntCounter,
    pub(crate) exceeded_target_limit: IntCounter,
    pub(crate) target_limit: IntGaugeVec,
    pub(crate) targets: IntGaugeVec,
    pub(crate) syncs: IntCounterVec,
    pub(crate) sync_failed: IntCounterVec,
    pub(crate) sync_length: SummaryVec,
    pub(crate) reload_length: SummaryVec,
    pub(crate) interval_length: SummaryVec,
    pub(crate) exceeded_body_size_limit: IntCounter,
    pub(crate) exceeded_sample_limit: IntCounter,
    pub(crate) exceeded_label_limits: IntCounter,
    pub(crate) cache_flush_forced: IntCounter,
    pub(crate) duplicate_timestamp: IntCounter,
    pub(crate) out_of_order: IntCounter,
    pub(crate) out_of_bounds: IntCounter,
    pub(crate) cache_entries: IntGaugeVec,
    pub(crate) cache_bytes: IntGaugeVec,
}

impl ScrapeMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counters = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["scrape_job"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["scrape_job"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let summaries = |name: &str, help: &str, label: &str| {
            SummaryVec::register(registry, name, help, label, QUANTILES)
        };
        Ok(ScrapeMetrics {
            pools: counter(
                "prometheus_target_scrape_pools_total",
                "Total number of scrape pool creation attempts.",
            )?,
            pools_failed: counter(
                "prometheus_target_scrape_pools_failed_total",
                "Total number of scrape pool creations that failed.",
            )?,
            reloads: counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            )?,
            reloads_failed: counter(
                "prometheus_target_scrape_pool_reloads_failed_total",
                "Total number of failed scrape pool reloads.",
            )?,
            exceeded_target_limit: counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            )?,
            target_limit: gauges(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
            )?,
            targets: gauges(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
            )?,
            syncs: counters(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
            )?,
            sync_failed: counters(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
            )?,
            sync_length: summaries(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                "scrape_job",
            )?,
            reload_length: summaries(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                "interval",
            )?,
            interval_length: summaries(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                "interval",
            )?,
            exceeded_body_size_limit: counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
            )?,
            exceeded_sample_limit: counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            )?,
            exceeded_label_limits: counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            )?,
            cache_flush_forced: counter(
                "prometheus_target_scrapes_cache_flush_forced_total",
                "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
            )?,
            duplicate_timestamp: counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            )?,
            out_of_order: counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            )?,
            out_of_bounds: counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            )?,
            cache_entries: gauges(
                "prometheus_target_metadata_cache_entries",
                "Total number of metric metadata entries in the cache",
            )?,
            cache_bytes: gauges(
                "prometheus_target_metadata_cache_bytes",
                "The number of bytes that are currently used for storing metric metadata in the cache",
            )?,
        })
    }

    /// Forgets the series of a job that is gone.
    pub(crate) fn forget_job(&self, job: &str) {
        // That a job had no such series is no error.
        for gauges in [&self.target_limit, &self.targets, &self.cache_entries, &self.cache_bytes] {
            let _ = gauges.remove_label_values(&[job]);
        }
        for counters in [&self.syncs, &self.sync_failed] {
            let _ = counters.remove_label_values(&[job]);
        }
        self.sync_length.remove(job);
    }
}
