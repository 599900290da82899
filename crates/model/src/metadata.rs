//! What a metric is: type, help and unit, as exposition formats carry them.

use std::fmt;

/// A metric family's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Only goes up, resets to zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// A histogram whose buckets go up and down.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// Constant 1, labels say something.
    Info,
    /// One of several states.
    StateSet,
    /// Not told.
    #[default]
    Unknown,
}

impl MetricType {
    /// The name used in OpenMetrics and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
            MetricType::Unknown => "unknown",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Type, help and unit of one metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The type.
    pub kind: MetricType,
    /// One sentence for people.
    pub help: String,
    /// Base unit, often empty.
    pub unit: String,
}
