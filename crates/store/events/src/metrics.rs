//! The store's own metrics.

use prometheus::{IntCounter, IntGauge, Registry, core::Collector};

/// Handles of all metrics; they live in the registry of the runtime that opened the store.
pub(crate) struct Metrics {
    pub rows: IntCounter,
    pub duplicates: IntCounter,
    pub refused: IntCounter,
    pub memory_rows: IntGauge,
    pub memory_bytes: IntGauge,
    pub wal_bytes: IntGauge,
    pub wal_failures: IntCounter,
    pub wal_corruptions: IntCounter,
    pub partitions: IntGauge,
    pub parts: IntGauge,
    pub bytes: IntGauge,
    pub flushes: IntCounter,
    pub flush_failures: IntCounter,
    pub merges: IntCounter,
    pub merged_rows: IntCounter,
    pub maintenance_failures: IntCounter,
    pub commits_lost: IntCounter,
    pub manifests_damaged: IntCounter,
    pub quarantined: IntCounter,
    pub read_failures: IntCounter,
    pub expired_parts: IntCounter,
    pub oversize_parts: IntCounter,
    pub moved_parts: IntCounter,
    pub orphans: IntCounter,
    pub scan_threads: IntGauge,
}

impl Metrics {
    /// Creates and registers all of them.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Metrics> {
        let add = Adder { registry };
        Ok(Metrics {
            rows: add.counter("novaobs_logs_rows_total", "Entries stored.")?,
            duplicates: add.counter(
                "novaobs_logs_duplicate_rows_total",
                "Entries dropped because an equal one had come before.",
            )?,
            refused: add.counter(
                "novaobs_logs_refused_appends_total",
                "Calls refused because the log could not be written or memory was used up.",
            )?,
            memory_rows: add.gauge("novaobs_logs_memory_rows", "Entries in memory, not yet in a part.")?,
            memory_bytes: add.gauge("novaobs_logs_memory_bytes", "Memory that they take.")?,
            wal_bytes: add.gauge("novaobs_logs_wal_bytes", "Size of the log.")?,
            wal_failures: add.counter("novaobs_logs_wal_failures_total", "Writes to the log that failed.")?,
            wal_corruptions: add.counter(
                "novaobs_logs_wal_corruptions_total",
                "Segments of the log cut at a damaged record.",
            )?,
            partitions: add.gauge("novaobs_logs_partitions", "Days of tenants that have parts.")?,
            parts: add.gauge("novaobs_logs_parts", "Parts being served.")?,
            bytes: add.gauge("novaobs_logs_parts_bytes", "Size of all parts.")?,
            flushes: add.counter("novaobs_logs_flushes_total", "Parts written from memory.")?,
            flush_failures: add.counter(
                "novaobs_logs_flush_failures_total",
                "Times memory could not be written to parts.",
            )?,
            merges: add.counter(
                "novaobs_logs_compactions_total",
                "Parts written in place of others: merged, or without what expired or was deleted.",
            )?,
            merged_rows: add.counter("novaobs_logs_compacted_rows_total", "Entries in such parts.")?,
            maintenance_failures: add.counter(
                "novaobs_logs_maintenance_failures_total",
                "Times merging, retention, deletes or tiers failed; tried again.",
            )?,
            commits_lost: add.counter(
                "novaobs_logs_commits_lost_total",
                "Commits that another writer came before; done again.",
            )?,
            manifests_damaged: add
                .counter("novaobs_logs_damaged_manifests_total", "Manifests that could not be read.")?,
            quarantined: add.counter(
                "novaobs_logs_quarantined_parts_total",
                "Parts set aside because they failed their checks.",
            )?,
            read_failures: add.counter(
                "novaobs_logs_read_failures_total",
                "Reads of parts that failed for another reason.",
            )?,
            expired_parts: add.counter("novaobs_logs_expired_parts_total", "Parts deleted for their age.")?,
            oversize_parts: add
                .counter("novaobs_logs_oversize_parts_total", "Parts deleted for want of room.")?,
            moved_parts: add.counter("novaobs_logs_moved_parts_total", "Parts moved to the cold bucket.")?,
            orphans: add
                .counter("novaobs_logs_orphans_total", "Files deleted because no manifest lists them.")?,
            scan_threads: add.gauge("novaobs_logs_scan_threads", "Threads now reading for queries.")?,
        })
    }
}

struct Adder<'a> {
    registry: &'a Registry,
}

impl Adder<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }
}
