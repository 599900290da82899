//! What rules say about themselves on `/metrics`, under the peer's names.

use prometheus::{CounterVec, GaugeVec, Histogram, HistogramOpts, Opts, Registry};

/// Group and rule metrics of one runtime.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub evaluation_duration: Histogram,
    pub group_duration: Histogram,
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
        let histogram = |name: &str, help: &str| {
            let histogram =
                Histogram::with_opts(HistogramOpts::new(name, help).buckets(vec![0.01, 0.1, 1.0, 10.0]))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
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
            evaluation_duration: histogram(
                "prometheus_rule_evaluation_duration_seconds",
                "How long one rule takes to evaluate.",
            )?,
            group_duration: histogram(
                "prometheus_rule_group_duration_seconds",
                "How long all rules of a group take to evaluate.",
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
