//! Summaries with quantiles for metrics about the stack itself: the `prometheus` crate has none.
//!
//! Count and sum are those of all observations; quantiles are those of the newest [`WINDOW`] observations
//! of the last [`MAX_AGE`], and NaN when there are none, as with the peer's client library.
//!
//! ```
//! use novaobs_telemetry::{Summary, SummaryVec};
//! let registry = prometheus::Registry::new();
//! let groups = Summary::register(&registry, "group_seconds", "How long.", &[0.5])?;
//! let scrapes = SummaryVec::register(&registry, "scrape_seconds", "How long.", "job", &[0.5, 0.9])?;
//! groups.observe(0.25);
//! scrapes.observe("node", 1.0);
//! let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather())?;
//! assert!(text.contains("group_seconds{quantile=\"0.5\"} 0.25"));
//! assert!(text.contains("scrape_seconds{job=\"node\",quantile=\"0.9\"} 1\n"));
//! # Ok::<(), prometheus::Error>(())
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType, Quantile};

/// Quantiles are those of at most so many observations, the newest.
pub const WINDOW: usize = 512;
/// Older observations do not count for quantiles.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// A summary without labels, there from the start. Clones share it.
#[derive(Clone)]
pub struct Summary(SummaryVec);

impl Summary {
    /// Registers a summary that shows `quantiles`.
    ///
    /// # Errors
    /// When the name or help is not fit, or the registry already has the name.
    pub fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        quantiles: &'static [f64],
    ) -> Result<Summary, prometheus::Error> {
        let all = SummaryVec::with_label(registry, name, help, None, quantiles)?;
        all.by_label.lock().insert(String::new(), Observations::default());
        Ok(Summary(all))
    }

    /// Adds an observation.
    pub fn observe(&self, value: f64) {
        self.0.observe("", value);
    }
}

/// Summaries by the values of one label. Clones share them.
#[derive(Clone)]
pub struct SummaryVec {
    desc: Desc,
    label: Option<Arc<str>>,
    quantiles: &'static [f64],
    by_label: Arc<Mutex<BTreeMap<String, Observations>>>,
}

impl SummaryVec {
    /// Registers summaries that show `quantiles`.
    ///
    /// # Errors
    /// When a name or the help is not fit, or the registry already has the name.
    pub fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        label: &str,
        quantiles: &'static [f64],
    ) -> Result<SummaryVec, prometheus::Error> {
        SummaryVec::with_label(registry, name, help, Some(label), quantiles)
    }

    fn with_label(
        registry: &Registry,
        name: &str,
        help: &str,
        label: Option<&str>,
        quantiles: &'static [f64],
    ) -> Result<SummaryVec, prometheus::Error> {
        let labels = label.map(str::to_owned).into_iter().collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        let all = SummaryVec { desc, label: label.map(Arc::from), quantiles, by_label: Arc::default() };
        registry.register(Box::new(all.clone()))?;
        Ok(all)
    }

    /// Adds an observation under this value of the label.
    pub fn observe(&self, label: &str, value: f64) {
        let mut all = self.by_label.lock();
        // Looked up first: the name is copied once, not with every observation.
        if let Some(observations) = all.get_mut(label) {
            return observations.add(value, Instant::now());
        }
        all.entry(label.to_owned()).or_default().add(value, Instant::now());
    }

    /// Forgets the summary under this value of the label; that there is none is no error.
    pub fn remove(&self, label: &str) {
        self.by_label.lock().remove(label);
    }

    fn metric(&self, label: &str, observations: &Observations, now: Instant) -> Metric {
        let mut metric = Metric::default();
        if let Some(name) = &self.label {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_string());
            pair.set_value(label.to_owned());
            metric.set_label(vec![pair]);
        }
        metric.set_summary(observations.summary(self.quantiles, now));
        metric
    }
}

impl Collector for SummaryVec {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = Instant::now();
        let all = self.by_label.lock();
        if all.is_empty() {
            return Vec::new();
        }
        let metrics = all.iter().map(|(label, observations)| self.metric(label, observations, now));
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

#[derive(Default)]
struct Observations {
    count: u64,
    sum: f64,
    newest: VecDeque<(Instant, f64)>,
}

impl Observations {
    fn add(&mut self, value: f64, now: Instant) {
        self.count += 1;
        self.sum += value;
        if self.newest.len() == WINDOW {
            self.newest.pop_front();
        }
        self.newest.push_back((now, value));
    }

    fn summary(&self, quantiles: &[f64], now: Instant) -> proto::Summary {
        let young = self.newest.iter().filter(|(at, _)| now.saturating_duration_since(*at) < MAX_AGE);
        let mut sorted: Vec<f64> = young.map(|(_, value)| *value).collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let rank = (q * sorted.len() as f64).ceil() as usize;
            let mut quantile = Quantile::default();
            quantile.set_quantile(q);
            quantile.set_value(sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN));
            quantile
        };
        let mut summary = proto::Summary::default();
        summary.set_sample_count(self.count);
        summary.set_sample_sum(self.sum);
        summary.set_quantile(quantiles.iter().copied().map(quantile).collect());
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn summaries_are_exposed_and_removed() {
        let registry = Registry::new();
        let summaries =
            SummaryVec::register(&registry, "x_seconds", "Help.", "interval", &[0.5, 0.99]).unwrap();
        assert_eq!(text(&registry), "");
        (1..=100).for_each(|i| summaries.observe("15s", f64::from(i)));
        assert_eq!(
            text(&registry),
            "# HELP x_seconds Help.\n# TYPE x_seconds summary\n\
             x_seconds{interval=\"15s\",quantile=\"0.5\"} 50\nx_seconds{interval=\"15s\",quantile=\"0.99\"} 99\n\
             x_seconds_sum{interval=\"15s\"} 5050\nx_seconds_count{interval=\"15s\"} 100\n"
        );
        summaries.remove("15s");
        assert_eq!(text(&registry), "");
    }

    #[test]
    fn one_without_labels_is_there_from_the_start() {
        let registry = Registry::new();
        let summary = Summary::register(&registry, "x_seconds", "Help.", &[0.5]).unwrap();
        assert!(
            text(&registry)
                .ends_with("x_seconds{quantile=\"0.5\"} NaN\nx_seconds_sum 0\nx_seconds_count 0\n")
        );
        summary.observe(2.0);
        assert!(
            text(&registry).ends_with("x_seconds{quantile=\"0.5\"} 2\nx_seconds_sum 2\nx_seconds_count 1\n")
        );
        assert!(Summary::register(&registry, "x_seconds", "Help.", &[0.5]).is_err());
    }

    #[test]
    fn quantiles_forget_and_sums_do_not() {
        let start = Instant::now();
        let mut observations = Observations::default();
        observations.add(1.0, start);
        observations.add(3.0, start + MAX_AGE / 2);
        let median = |seconds| {
            let summary = observations.summary(&[0.5], start + Duration::from_secs(seconds));
            assert_eq!((summary.sample_count(), summary.sample_sum()), (2, 4.0));
            summary.get_quantile()[0].value()
        };
        assert_eq!(median(599), 1.0);
        assert_eq!(median(600), 3.0);
        assert!(median(900).is_nan());
        let mut many = Observations::default();
        (0..=WINDOW).for_each(|i| many.add(i as f64, start));
        assert_eq!(many.newest.len(), WINDOW);
        assert_eq!(many.summary(&[0.0], start).get_quantile()[0].value(), 1.0);
    }
}
