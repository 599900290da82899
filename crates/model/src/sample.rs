//! Samples of one series: two parallel columns, and the marker that ends a series.

/// The bits of the NaN that marks a series as stale. A source writes it when the series vanished; see
/// <https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness>.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker (and not any other NaN).
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Samples of one series. Both columns have the same length; timestamps are Unix milliseconds, strictly
/// ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Unix milliseconds.
    pub timestamps: Vec<i64>,
    /// The values at those times; may hold staleness markers.
    pub values: Vec<f64>,
}

impl Samples {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Adds one sample; the caller keeps time ascending.
    pub fn push(&mut self, timestamp: i64, value: f64) {
        self.timestamps.push(timestamp);
        self.values.push(value);
    }

    /// Empties both columns and keeps their memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
    }

    /// (time, value) pairs in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, f64)> + '_ {
        self.timestamps.iter().copied().zip(self.values.iter().copied())
    }
}
