//! What rules say about themselves on `/metrics`, under the peer's names.

use novaobs_telemetry::Summary;
use prometheus::{CounterVec, GaugeVec, Histogram, HistogramOpts, Opts, Registry};

/// Seconds, shown both as a summary and as a histogram.
#[derive(Clone)]
pub(crate) struct Durations {
    summary: Summary,
    histogram: Histogram,
}

impl Durations {
    fn new(
        registry: &Registry,
        name: &str,
        help: &str,
        quantiles: &'static [f64],
    ) -> Result<Durations, prometheus::Error> {
        let summary = Summary::register(registry, &format!("{name}_seconds"), help, quantiles)?;
        let opts = HistogramOpts::new(format!("{name}_histogram_seconds"), help);
        let histogram = Histogram::with_opts(opts.buckets(vec![0.01, 0.1, 1.0, 10.0]))?;
        registry.register(Box::new(histogram.clone()))?;
        Ok(Durations { summary, histogram })
    }

    pub(crate) fn observe(&self, seconds: f64) {
        self.summary.observe(seconds);
        self.histogram.observe(seconds);
    }
}

/// Group and rule metrics of one runtime.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub evaluation_duration: Durations,
    pub group_duration: Durations,
    pub evaluations: CounterVec,
    pub failures: CounterVec,
    pub iterations: CounterVec,
    pub iterations_missed: CounterVec,
    pub interval: GaugeVec,
    pub last_evaluation: GaugeVec,
    pub last_duration: GaugeVec,
    pub last_rule_duration_sum: GaugeVec,
    pub last_restore_duration: GaugeVec,
    pub last_samples: GaugeVec,
    pub rules: GaugeVec,
}

impl Metrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let counters = |name: &str, help: &str| {
            let counters = CounterVec::new(Opts::new(name, help), &["rule_group"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauges = |name: &str, help: &str| {
            let gauges = GaugeVec::new(Opts::new(name, help), &["rule_group"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        Ok(Metrics {
            evaluation_duration: Durations::new(
                registry,
                "prometheus_rule_evaluation_duration",
                "How long one rule takes to evaluate.",
                &[0.5, 0.9, 0.99],
            )?,
            group_duration: Durations::new(
                registry,
                "prometheus_rule_group_duration",
                "How long all rules of a group take to evaluate.",
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            )?,
            evaluations: counters("prometheus_rule_evaluations_total", "Rules evaluated.")?,
            failures: counters("prometheus_rule_evaluation_failures_total", "Rule evaluations that failed.")?,
            iterations: counters(
                "prometheus_rule_group_iterations_total",
                "Evaluations of the group that were due, the missed ones included.",
            )?,
            iterations_missed: counters(
                "prometheus_rule_group_iterations_missed_total",
                "Evaluations of the group that were left out because the one before took too long.",
            )?,
            interval: gauges("prometheus_rule_group_interval_seconds", "The interval of the group.")?,
            last_evaluation: gauges(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "When the group was last evaluated.",
            )?,
            last_duration: gauges(
                "prometheus_rule_group_last_duration_seconds",
                "How long the last evaluation of the group took.",
            )?,
            last_rule_duration_sum: gauges(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "The sum of how long each rule of the group last took.",
            )?,
            last_restore_duration: gauges(
                "prometheus_rule_group_last_restore_duration_seconds",
                "How long it took to restore the state of the group's alerts.",
            )?,
            last_samples: gauges(
                "prometheus_rule_group_last_evaluation_samples",
                "Samples the last evaluation of the group gave.",
            )?,
            rules: gauges("prometheus_rule_group_rules", "Rules of the group.")?,
        })
    }

    /// Makes a group's series appear.
    pub(crate) fn open(&self, group: &str, rules: usize, interval: f64) {
        for counters in self.counters() {
            counters.with_label_values(&[group]);
        }
        for gauges in self.gauges() {
            gauges.with_label_values(&[group]);
        }
        self.rules.with_label_values(&[group]).set(rules as f64);
        self.interval.with_label_values(&[group]).set(interval);
    }

    /// Makes a removed group's series vanish.
    pub(crate) fn close(&self, group: &str) {
        for counters in self.counters() {
            let _ = counters.remove_label_values(&[group]);
        }
        for gauges in self.gauges() {
            let _ = gauges.remove_label_values(&[group]);
        }
    }

    fn counters(&self) -> [&CounterVec; 4] {
        [&self.evaluations, &self.failures, &self.iterations, &self.iterations_missed]
    }

    fn gauges(&self) -> [&GaugeVec; 7] {
        [
            &self.interval,
            &self.last_evaluation,
            &self.last_duration,
            &self.last_rule_duration_sum,
            &self.last_restore_duration,
            &self.last_samples,
            &self.rules,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_summaries_and_histograms() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.evaluation_duration.observe(0.05);
        metrics.group_duration.observe(0.5);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "prometheus_rule_evaluation_duration_seconds{quantile=\"0.99\"} 0.05",
            "prometheus_rule_evaluation_duration_seconds_count 1",
            "prometheus_rule_evaluation_duration_histogram_seconds_bucket{le=\"0.1\"} 1",
            "prometheus_rule_group_duration_seconds{quantile=\"0.01\"} 0.5",
            "prometheus_rule_group_duration_histogram_seconds_bucket{le=\"0.1\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
