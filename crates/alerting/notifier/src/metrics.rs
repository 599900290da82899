//! What sending says about itself on `/metrics`, under the peer's names.

use prometheus::{CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

/// The label of the Alertmanager's URL.
const LABELS: [&str; 1] = ["alertmanager"];

#[derive(Clone)]
pub(crate) struct Metrics {
    pub latency: HistogramVec,
    pub errors: CounterVec,
    pub sent: CounterVec,
    pub dropped: CounterVec,
    pub queue_length: GaugeVec,
    pub discovered: Gauge,
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
        let latency = HistogramVec::new(
            HistogramOpts::new(
                "prometheus_notifications_latency_seconds",
                "How long sending a batch of alerts takes.",
            )
            .buckets(vec![0.01, 0.1, 1.0, 10.0]),
            &LABELS,
        )?;
        registry.register(Box::new(latency.clone()))?;
        let queue_length = GaugeVec::new(
            Opts::new("prometheus_notifications_queue_length", "Alerts that wait to be sent."),
            &LABELS,
        )?;
        registry.register(Box::new(queue_length.clone()))?;
        gauge("prometheus_notifications_queue_capacity", "Alerts that can wait to be sent.")?
            .set(capacity as f64);
        Ok(Metrics {
            latency,
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
        })
    }

    /// Makes an Alertmanager's series appear.
    pub(crate) fn open(&self, url: &str) {
        for counters in [&self.errors, &self.sent, &self.dropped] {
            counters.with_label_values(&[url]);
        }
        self.queue_length.with_label_values(&[url]);
    }

    /// Makes them vanish.
    pub(crate) fn close(&self, url: &str) {
        for counters in [&self.errors, &self.sent, &self.dropped] {
            let _ = counters.remove_label_values(&[url]);
        }
        let _ = self.queue_length.remove_label_values(&[url]);
        let _ = self.latency.remove_label_values(&[url]);
    }
}
