//! The store's own metrics, under the names Prometheus gives them.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

/// Handles of all metrics; they live in the registry of the runtime that opened the store.
pub(crate) struct Metrics {
    pub head_series: IntGauge,
    pub head_chunks: IntGauge,
    pub head_min_time: Gauge,
    pub head_max_time: Gauge,
    pub samples_appended: IntCounter,
    pub series_created: IntCounter,
    pub series_removed: IntCounter,
    pub out_of_order: IntCounter,
    pub out_of_order_appended: IntCounter,
    pub out_of_bound: IntCounter,
    pub too_old: IntCounter,
    pub blocks_loaded: IntGauge,
    pub compactions: IntCounter,
    pub compactions_failed: IntCounter,
    pub wal_corruptions: IntCounter,
    pub wal_writes_failed: IntCounter,
    pub wal_bytes: IntGauge,
    pub blocks_bytes: IntGauge,
    pub lowest_time: Gauge,
    pub retention_bytes: IntGauge,
    pub retention_seconds: IntGauge,
    pub time_retentions: IntCounter,
    pub size_retentions: IntCounter,
    pub reloads_failures: IntCounter,
}

impl Metrics {
    /// Creates and registers all of them.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Metrics> {
        let make = Maker { registry };
        Ok(Metrics {
            head_series: make.gauge("prometheus_tsdb_head_series", "Series in memory.")?,
            head_chunks: make
                .gauge("prometheus_tsdb_head_chunks", "Chunks in memory, the open ones included.")?,
            head_min_time: make
                .float("prometheus_tsdb_head_min_time", "First time in memory, Unix milliseconds.")?,
            head_max_time: make
                .float("prometheus_tsdb_head_max_time", "Newest time stored, Unix milliseconds.")?,
            samples_appended: make.typed("prometheus_tsdb_head_samples_appended_total", "Samples stored.")?,
            series_created: make
                .counter("prometheus_tsdb_head_series_created_total", "Series added to memory.")?,
            series_removed: make
                .counter("prometheus_tsdb_head_series_removed_total", "Series that left memory.")?,
            out_of_order: make.typed(
                "prometheus_tsdb_out_of_order_samples_total",
                "Samples refused because a newer one of their series was stored.",
            )?,
            out_of_order_appended: make.typed(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Late samples stored inside the out-of-order window.",
            )?,
            out_of_bound: make.typed(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Samples refused as too far in the past.",
            )?,
            too_old: make.typed(
                "prometheus_tsdb_too_old_samples_total",
                "Samples refused as older than the out-of-order window.",
            )?,
            blocks_loaded: make.gauge("prometheus_tsdb_blocks_loaded", "Parts being served.")?,
            compactions: make.counter(
                "prometheus_tsdb_compactions_total",
                "Parts written from memory or from other parts.",
            )?,
            compactions_failed: make.counter(
                "prometheus_tsdb_compactions_failed_total",
                "Parts that could not be written; tried again.",
            )?,
            wal_corruptions: make
                .counter("prometheus_tsdb_wal_corruptions_total", "Logs cut at a damaged record.")?,
            wal_writes_failed: make.counter(
                "prometheus_tsdb_wal_writes_failed_total",
                "Batches refused because the log could not be written.",
            )?,
            wal_bytes: make.gauge(
                "prometheus_tsdb_wal_storage_size_bytes",
                "Size of the log and the series catalogue.",
            )?,
            blocks_bytes: make.gauge("prometheus_tsdb_storage_blocks_bytes", "Size of all parts.")?,
            lowest_time: make
                .float("prometheus_tsdb_lowest_timestamp", "First time stored, Unix milliseconds.")?,
            retention_bytes: make.gauge(
                "prometheus_tsdb_retention_limit_bytes",
                "Size at which the oldest parts are deleted; 0 is never.",
            )?,
            retention_seconds: make.gauge(
                "prometheus_tsdb_retention_limit_seconds",
                "Age at which parts are deleted; 0 is never.",
            )?,
            time_retentions: make.counter(
                "prometheus_tsdb_time_retentions_total",
                "Times parts were deleted for their age.",
            )?,
            size_retentions: make.counter(
                "prometheus_tsdb_size_retentions_total",
                "Times parts were deleted for the size of all.",
            )?,
            reloads_failures: make.counter(
                "prometheus_tsdb_reloads_failures_total",
                "Parts set aside as *.corrupt because they failed their checks.",
            )?,
        })
    }
}

struct Maker<'a> {
    registry: &'a Registry,
}

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    fn float(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::new(name, help)?)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    /// A counter that Prometheus splits by kind of sample; there are only floats so far.
    fn typed(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        let counters = self.add(IntCounterVec::new(Opts::new(name, help), &["type"])?)?;
        counters.get_metric_with_label_values(&["float"])
    }
}
