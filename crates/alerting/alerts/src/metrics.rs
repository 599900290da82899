//! The self metrics, under the peer's names.

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, Opts, Registry,
    core::Collector,
};

use crate::notify::FailureReason;

/// Every kind of integration, so that each has its counters from the start.
const KINDS: [&str; 18] = [
    "email",
    "pagerduty",
    "wechat",
    "pushover",
    "slack",
    "opsgenie",
    "webhook",
    "victorops",
    "sns",
    "telegram",
    "discord",
    "webex",
    "msteams",
    "msteamsv2",
    "incidentio",
    "jira",
    "rocketchat",
    "mattermost",
];

/// Why notifications were suppressed.
pub(crate) const SUPPRESSED: [&str; 4] =
    ["silence", "inhibition", "mute_time_interval", "active_time_interval"];

#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) alerts: GaugeVec,
    pub(crate) received: CounterVec,
    pub(crate) invalid: CounterVec,
    pub(crate) notifications: CounterVec,
    pub(crate) notifications_failed: CounterVec,
    pub(crate) suppressed: CounterVec,
    pub(crate) requests: CounterVec,
    pub(crate) requests_failed: CounterVec,
    pub(crate) latency: HistogramVec,
    pub(crate) silences: GaugeVec,
    pub(crate) groups: Gauge,
    pub(crate) processing: Histogram,
    pub(crate) snapshot_bytes: Gauge,
    pub(crate) disk_errors: Counter,
    pub(crate) receivers: Gauge,
    pub(crate) integrations: Gauge,
    pub(crate) inhibition_rules: Gauge,
}

impl Metrics {
    /// Creates the metrics and registers them; names that are taken in `registry` are logged and not shown.
    pub(crate) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, CounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, GaugeVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str| register(registry, Gauge::new(name, help)?);
        let latency = HistogramOpts::new(
            "alertmanager_notification_latency_seconds",
            "The latency of notifications in seconds.",
        );
        let processing = HistogramOpts::new(
            "alertmanager_dispatcher_alert_processing_duration_seconds",
            "How long it takes to route an alert.",
        );
        let metrics = Metrics {
            alerts: gauges("alertmanager_alerts", "How many alerts by state.", &["state"])?,
            received: counters(
                "alertmanager_alerts_received_total",
                "The total number of received alerts.",
                &["status", "version"],
            )?,
            invalid: counters(
                "alertmanager_alerts_invalid_total",
                "The total number of received alerts that were invalid.",
                &["version"],
            )?,
            notifications: counters(
                "alertmanager_notifications_total",
                "The total number of attempted notifications.",
                &["integration"],
            )?,
            notifications_failed: counters(
                "alertmanager_notifications_failed_total",
                "The total number of failed notifications.",
                &["integration", "reason"],
            )?,
            suppressed: counters(
                "alertmanager_notifications_suppressed_total",
                "The total number of notifications suppressed for being silenced, inhibited, outside of active time intervals or within muted time intervals.",
                &["reason"],
            )?,
            requests: counters(
                "alertmanager_notification_requests_total",
                "The total number of attempted notification requests.",
                &["integration"],
            )?,
            requests_failed: counters(
                "alertmanager_notification_requests_failed_total",
                "The total number of failed notification requests.",
                &["integration"],
            )?,
            latency: register(
                registry,
                HistogramVec::new(latency.buckets(vec![1.0, 5.0, 10.0, 15.0, 20.0]), &["integration"])?,
            )?,
            silences: gauges("alertmanager_silences", "How many silences by state.", &["state"])?,
            groups: gauge(
                "alertmanager_dispatcher_aggregation_groups",
                "Number of active aggregation groups",
            )?,
            processing: register(registry, Histogram::with_opts(processing)?)?,
            snapshot_bytes: gauge(
                "alertmanager_silences_snapshot_size_bytes",
                "Size of the last snapshot of silences, notifications and alerts in bytes.",
            )?,
            disk_errors: register(
                registry,
                Counter::new(
                    "alertmanager_state_write_errors_total",
                    "How many writes of silences, notifications and alerts to disk failed.",
                )?,
            )?,
            receivers: gauge("alertmanager_receivers", "Number of configured receivers.")?,
            integrations: gauge("alertmanager_integrations", "Number of configured integrations.")?,
            inhibition_rules: gauge(
                "alertmanager_inhibition_rules",
                "Number of configured inhibition rules.",
            )?,
        };
        metrics.initialise();
        Ok(metrics)
    }

    /// Makes every label combination visible from the start, so that rates see the first event.
    fn initialise(&self) {
        for kind in KINDS {
            for counter in [&self.notifications, &self.requests, &self.requests_failed] {
                counter.with_label_values(&[kind]);
            }
            self.latency.with_label_values(&[kind]);
            for reason in FailureReason::ALL {
                self.notifications_failed.with_label_values(&[kind, reason.as_str()]);
            }
        }
        for reason in SUPPRESSED {
            self.suppressed.with_label_values(&[reason]);
        }
        for state in ["active", "suppressed", "unprocessed"] {
            self.alerts.with_label_values(&[state]);
        }
        for state in ["active", "pending", "expired"] {
            self.silences.with_label_values(&[state]);
        }
        for status in ["firing", "resolved"] {
            self.received.with_label_values(&[status, "v2"]);
        }
        self.invalid.with_label_values(&["v2"]);
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
