//! What discovery says about itself on `/metrics`, under the peer's names.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// The counters of all discoveries of a runtime. Clones share them.
#[derive(Clone)]
pub struct SdMetrics {
    pub(crate) discovered_targets: IntGaugeVec,
    pub(crate) failed_configs: IntGaugeVec,
    pub(crate) received_updates: IntCounterVec,
    pub(crate) sent_updates: IntCounterVec,
    pub(crate) refresh_failures: IntCounterVec,
    pub(crate) file_read_errors: IntCounter,
    pub(crate) http_failures: IntCounter,
    pub(crate) dns_lookups: IntCounter,
    pub(crate) dns_lookup_failures: IntCounter,
}

impl SdMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry already has one of the names.
    pub fn new(registry: &Registry) -> Result<SdMetrics, prometheus::Error> {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(SdMetrics {
            discovered_targets: gauges(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            )?,
            failed_configs: gauges(
                "prometheus_sd_failed_configs",
                "Current number of service discovery configurations that failed to load.",
                &["name"],
            )?,
            received_updates: counters(
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
                &["name"],
            )?,
            sent_updates: counters(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
                &["name"],
            )?,
            refresh_failures: counters(
                "prometheus_sd_refresh_failures_total",
                "Number of refresh failures for the given SD mechanism.",
                &["mechanism", "config"],
            )?,
            file_read_errors: counter(
                "prometheus_sd_file_read_errors_total",
                "The number of File-SD read errors.",
            )?,
            http_failures: counter(
                "prometheus_sd_http_failures_total",
                "Number of HTTP service discovery refresh failures.",
            )?,
            dns_lookups: counter("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups.")?,
            dns_lookup_failures: counter(
                "prometheus_sd_dns_lookup_failures_total",
                "The number of DNS-SD lookup failures.",
            )?,
        })
    }
}
