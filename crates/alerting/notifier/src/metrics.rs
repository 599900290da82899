//! What sending says about itself on `/metrics`, under the peer's names.

use std::collections::HashMap;
use std::sync::Arc;

use novaobs_telemetry::SummaryVec;
use parking_lot::Mutex;
use prometheus::{CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

/// The label of the Alertmanager's URL.
const LABEL: &str = "alertmanager";
const LABELS: [&str; 1] = [LABEL];

#[derive(Clone)]
pub(crate) struct Metrics {
    latency: SummaryVec,
    latency_histogram: HistogramVec,
    pub errors: CounterVec,
    sent: CounterVec,
    pub dropped: CounterVec,
    pub queue_length: GaugeVec,
    pub discovered: Gauge,
    /// Queues by URL: after a reload an old queue may still be emptied while a new one has the same URL.
    open: Arc<Mutex<HashMap<String, usize>>>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, capacity: usize) -> Result<Metrics, prometheus::Error> {
        let counters = |name: &str, help: &str| {
            let counters = CounterVec::new(Opts::new(name, help), &LABELS)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let latency = SummaryVec::register(
            registry,
            "prometheus_notifications_latency_seconds",
            "How long sending a batch of alerts takes.",
            LABEL,
            &[0.5, 0.9, 0.99],
        )?;
        let histogram = HistogramOpts::new(
            "prometheus_notifications_latency_histogram_seconds",
            "How long sending a batch of alerts takes.",
        );
        let latency_histogram = HistogramVec::new(histogram.buckets(vec![0.01, 0.1, 1.0, 10.0]), &LABELS)?;
        registry.register(Box::new(latency_histogram.clone()))?;
        let queue_length = GaugeVec::new(
            Opts::new("prometheus_notifications_queue_length", "Alerts that wait to be sent."),
            &LABELS,
        )?;
        registry.register(Box::new(queue_length.clone()))?;
        gauge("prometheus_notifications_queue_capacity", "Alerts that can wait to be sent.")?
            .set(capacity as f64);
        Ok(Metrics {
            latency,
            latency_histogram,
            errors: counters(
                "prometheus_notifications_errors_total",
                "Alerts in batches that could not be sent.",
            )?,
            sent: counters("prometheus_notifications_sent_total", "Alerts sent.")?,
            dropped: counters(
                "prometheus_notifications_dropped_total",
                "Alerts given up: sending failed, or too many were waiting.",
            )?,
            queue_length,
            discovered: gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "Alertmanagers that are found and sent to.",
            )?,
            open: Arc::default(),
        })
    }

    /// Makes an Alertmanager's series appear.
    pub(crate) fn open(&self, url: &str) {
        let mut open = self.open.lock();
        *open.entry(url.to_owned()).or_default() += 1;
        for counters in [&self.errors, &self.sent, &self.dropped] {
            counters.with_label_values(&[url]);
        }
        self.queue_length.with_label_values(&[url]);
    }

    /// Makes them vanish with the last queue of this URL.
    pub(crate) fn close(&self, url: &str) {
        let mut open = self.open.lock();
        if let Some(others) = open.get_mut(url).filter(|queues| **queues > 1) {
            *others -= 1;
            return;
        }
        open.remove(url);
        for counters in [&self.errors, &self.sent, &self.dropped] {
            let _ = counters.remove_label_values(&[url]);
        }
        let _ = self.queue_length.remove_label_values(&[url]);
        let _ = self.latency_histogram.remove_label_values(&[url]);
        self.latency.remove(url);
    }

    /// A batch that was sent.
    pub(crate) fn sent(&self, url: &str, alerts: usize, seconds: f64) {
        self.latency.observe(url, seconds);
        self.latency_histogram.with_label_values(&[url]).observe(seconds);
        self.sent.with_label_values(&[url]).inc_by(alerts as f64);
    }
}
