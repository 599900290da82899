//! What is in memory, counted: the numbers of `/api/v1/status/tsdb`.

use novaobs_model::METRIC_NAME;

use crate::store::Store;

/// A name and a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// A metric, a label, or `label=value`.
    pub name: String,
    /// Series, values or bytes.
    pub value: u64,
}

/// The state of the head, and its largest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series in memory.
    pub series: u64,
    /// Distinct pairs of label name and value on them.
    pub label_pairs: u64,
    /// Chunks in memory, the open ones included.
    pub chunks: u64,
    /// First time in memory, Unix milliseconds; `None` when memory has no samples.
    pub min_time: Option<i64>,
    /// Last time in memory, Unix milliseconds.
    pub max_time: Option<i64>,
    /// Metrics by their number of series, largest first.
    pub series_by_metric: Vec<Counted>,
    /// Labels by their number of values, largest first.
    pub values_by_label: Vec<Counted>,
    /// Labels by the bytes of their values on all series, largest first.
    pub bytes_by_label: Vec<Counted>,
    /// Label pairs by their number of series, largest first.
    pub series_by_pair: Vec<Counted>,
}

impl Store {
    pub(crate) fn stats(&self, limit: usize) -> Stats {
        let view = self.snapshot();
        let mut stats = Stats::default();
        for samples in view.sealed.map(|s| s.samples).into_iter().chain([view.active]) {
            let buffers = samples.buffers.read();
            stats.chunks += buffers.chunks + buffers.series;
            if let Some((first, last)) = buffers.range {
                stats.min_time = Some(stats.min_time.map_or(first, |time| time.min(first)));
                stats.max_time = Some(stats.max_time.map_or(last, |time| time.max(last)));
            }
        }
        let index = self.index.read();
        stats.series = index.len() as u64;
        let (mut metrics, mut labels, mut bytes, mut pairs) =
            (Top::new(limit), Top::new(limit), Top::new(limit), Top::new(limit));
        for (name, values) in index.sorted() {
            let (mut count, mut size) = (0, 0);
            for (value, _, series) in values {
                count += 1;
                size += value.len() as u64 * series;
                if &**name == METRIC_NAME {
                    metrics.add(series, || value.to_string());
                }
                pairs.add(series, || format!("{name}={value}"));
            }
            stats.label_pairs += count;
            labels.add(count, || name.to_string());
            bytes.add(size, || name.to_string());
        }
        stats.series_by_metric = metrics.done();
        stats.values_by_label = labels.done();
        stats.bytes_by_label = bytes.done();
        stats.series_by_pair = pairs.done();
        stats
    }
}

/// Keeps the `limit` largest counts.
struct Top {
    limit: usize,
    held: Vec<Counted>,
}

impl Top {
    fn new(limit: usize) -> Self {
        Top { limit, held: Vec::new() }
    }

    fn add(&mut self, value: u64, name: impl FnOnce() -> String) {
        let at = self.held.partition_point(|counted| counted.value >= value);
        if at < self.limit {
            self.held.insert(at, Counted { name: name(), value });
            self.held.truncate(self.limit);
        }
    }

    fn done(self) -> Vec<Counted> {
        self.held
    }
}
