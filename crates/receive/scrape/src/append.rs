//! From a scraped body to one batch in the store: parsing, label rules, limits, staleness, report series.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use novaobs_discovery::relabel;
use novaobs_model::labels::{go_quote, is_legacy_label_name, is_legacy_metric_name};
use novaobs_model::{
    AppendError, Labels, LabelsBuilder, METRIC_NAME, RejectReason, Sample, SampleSink, SeriesRef, is_stale,
    stale_nan,
};
use novaobs_wire::exposition::negotiate::response_format;
use novaobs_wire::exposition::{self, Entry, Parser};

use crate::cache::{Cache, Found, Known};
use crate::config::ScrapeConfig;
use crate::metrics::ScrapeMetrics;
use crate::target::Target;

/// Samples further ahead than this are out of bounds.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// Everything a target's samples pass through on their way to the store; shared by its scrapes.
#[derive(Clone)]
pub(crate) struct Appender {
    pub(crate) sink: Arc<dyn SampleSink>,
    pub(crate) config: Arc<ScrapeConfig>,
    pub(crate) target: Arc<Target>,
    pub(crate) metrics: ScrapeMetrics,
}

/// What a target answered.
pub(crate) struct Body {
    pub(crate) content_type: String,
    /// Unpacked.
    pub(crate) bytes: Vec<u8>,
}

/// What a scrape is recorded with.
pub(crate) struct Scrape {
    /// Unix milliseconds.
    pub(crate) time: i64,
    /// The body, or why there is none.
    pub(crate) body: Result<Body, ScrapeError>,
}

/// Why a scrape failed; the texts are the peer's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    /// No usable response.
    #[error("{0}")]
    Fetch(String),
    /// More bytes than the job allows.
    #[error("body size limit exceeded")]
    BodySizeLimit,
    /// More targets than the job allows.
    #[error("target_limit exceeded (number of targets: {targets}, limit: {limit})")]
    TargetLimit { targets: usize, limit: u64 },
    /// More samples than the job allows.
    #[error("sample limit exceeded")]
    SampleLimit,
    #[error(transparent)]
    ContentType(#[from] exposition::negotiate::ContentTypeError),
    #[error(transparent)]
    Parse(#[from] exposition::ParseError),
    #[error(transparent)]
    Labels(#[from] exposition::LabelsError),
    #[error("missing metric name (__name__ label)")]
    NoName,
    #[error("invalid metric name or label names: {0}")]
    InvalidNames(Labels),
    /// A limit on labels; the text says which.
    #[error("{0}")]
    LabelLimit(String),
    /// The store did not take the batch.
    #[error(transparent)]
    Store(#[from] AppendError),
}

/// What a body came to, before it is written.
#[derive(Default)]
struct Parsed {
    /// Samples in the body.
    total: usize,
    /// Samples that metric relabelling left.
    added: usize,
    /// Series that were not there before.
    series_added: usize,
    /// Samples of known series.
    samples: Vec<Sample>,
    /// Texts and labels of series not seen before, with their samples.
    new: Vec<NewSeries>,
    /// Duplicate samples and samples too far ahead.
    duplicates: u64,
    ahead: u64,
}

struct NewSeries {
    text: Box<[u8]>,
    labels: Labels,
    timestamp: i64,
    value: f64,
    tracked: bool,
}

impl Appender {
    /// Records a scrape: its samples, or markers for all series of the last one if it failed, and the
    /// report series, in one batch. Answers why the scrape counts as failed, if it does.
    ///
    /// `began` to now is the scrape's duration.
    pub(crate) fn record(&self, cache: &mut Cache, scrape: Scrape, began: Instant) -> Option<ScrapeError> {
        let time = scrape.time;
        let size = match &scrape.body {
            Ok(body) => body.bytes.len() as f64,
            Err(ScrapeError::BodySizeLimit) => -1.0,
            Err(_) => 0.0,
        };
        let mut parsed = Parsed::default();
        let mut result = scrape.body.and_then(|body| self.parse(cache, &body, time, &mut parsed));
        let mut new_refs = Vec::new();
        if result.is_ok() {
            let labels: Vec<Labels> = parsed.new.iter().map(|new| new.labels.clone()).collect();
            if !labels.is_empty() {
                result = self.sink.series(&labels, &mut new_refs).map_err(ScrapeError::from);
            }
        }
        if result.is_err() {
            parsed.samples.clear();
            parsed.new.clear();
            new_refs.clear();
            cache.forget_current();
        }
        let series_added = if result.is_ok() { parsed.series_added } else { 0 };
        let mut batch = std::mem::take(&mut parsed.samples);
        batch.extend(parsed.new.iter().zip(&new_refs).map(|(new, series)| Sample {
            series: *series,
            timestamp: new.timestamp,
            value: new.value,
        }));
        // New texts may stand for series that other texts stood for in the last scrape.
        let fresh: HashSet<SeriesRef> =
            parsed.new.iter().zip(&new_refs).filter(|(new, _)| new.tracked).map(|(_, r)| *r).collect();
        let gone = cache.vanished();
        let marker = |series| Sample { series, timestamp: time, value: stale_nan() };
        batch.extend(
            gone.iter().filter(|(series, _)| !fresh.contains(series)).map(|(series, _)| marker(*series)),
        );

        let values = [
            f64::from(u8::from(result.is_ok())),
            began.elapsed().as_secs_f64(),
            parsed.total as f64,
            parsed.added as f64,
            series_added as f64,
            self.target.timeout.as_secs_f64(),
            self.config.limits.samples as f64,
            size,
        ];
        let written = self
            .report_series(cache)
            .map(|reports| {
                batch.extend(reports.into_iter().zip(values).map(|(series, value)| Sample {
                    series,
                    timestamp: time,
                    value,
                }));
            })
            .and_then(|()| self.write(cache, &mut batch));
        match written {
            Ok(rejected) => {
                self.remember(cache, parsed, &new_refs, &rejected);
                if cache.finish(result.is_ok()) {
                    self.metrics.cache_flush_forced.inc();
                }
                result.err()
            }
            // Nothing was written: the last scrape that was stays the one that staleness is told by.
            Err(error) => {
                cache.abandon();
                Some(result.err().unwrap_or(error.into()))
            }
        }
    }

    /// Writes markers for all series of the last scrape and the report series: the target is gone.
    pub(crate) fn record_end(&self, cache: &mut Cache, time: i64) {
        let marker = |series| Sample { series, timestamp: time, value: stale_nan() };
        let mut batch: Vec<Sample> = cache.vanished().into_iter().map(|(series, _)| marker(series)).collect();
        let reports = self.report_series(cache);
        let written = reports.map(|reports| batch.extend(reports.into_iter().map(marker)));
        if let Err(error) = written.and_then(|()| self.write(cache, &mut batch)) {
            tracing::warn!(target_url = self.target.url(), %error, "stale markers of a removed target were not stored");
        }
        cache.finish(false);
    }

    /// Parses a body into `out`. On an error the counts are those up to it.
    fn parse(&self, cache: &mut Cache, body: &Body, time: i64, out: &mut Parsed) -> Result<(), ScrapeError> {
        if body.bytes.is_empty() {
            return Ok(());
        }
        let format = response_format(&body.content_type, self.config.fallback_scrape_protocol)?;
        let mut parser = Parser::new(format, &body.bytes);
        let mut texts: HashSet<Box<[u8]>> = HashSet::new();
        let families = cache.families();
        let mut counted = 0u64;
        let limit = self.config.limits.samples;
        let latest = time.saturating_add(MAX_AHEAD_MS);
        while let Some(entry) = parser.next()? {
            let sample = match entry {
                Entry::Type { family, kind } => {
                    families.lock().set_kind(&family, kind, cache.scrape());
                    continue;
                }
                Entry::Help { family, text } => {
                    families.lock().set_help(&family, &text, cache.scrape());
                    continue;
                }
                Entry::Unit { family, unit } => {
                    families.lock().set_unit(&family, &unit, cache.scrape());
                    continue;
                }
                Entry::Sample(sample) => sample,
            };
            out.total += 1;
            let explicit = sample.timestamp.filter(|_| self.config.honor_timestamps);
            let timestamp = explicit.unwrap_or(time);
            let tracks = explicit.is_none() || self.config.track_timestamps_staleness;
            let scrape = cache.scrape();
            let known = match cache.find(sample.series) {
                Found::Dropped => continue,
                Found::Series { series, again, tracked } => Some((series, again, tracked)),
                Found::New => None,
            };
            let mut counts = |out: &mut Parsed| {
                out.added += 1;
                if limit > 0 {
                    counted += 1;
                }
                limit > 0 && counted > limit
            };
            match known {
                Some((_, true, _)) if explicit.is_none() => {
                    out.added += 1;
                    out.duplicates += 1;
                }
                Some((series, _, tracked)) => {
                    if counts(out) {
                        continue;
                    }
                    if timestamp > latest {
                        out.ahead += 1;
                        continue;
                    }
                    if tracks {
                        *tracked = scrape;
                    }
                    out.samples.push(Sample { series, timestamp, value: sample.value });
                }
                None => {
                    let again = texts.contains(sample.series);
                    if again && explicit.is_none() {
                        out.added += 1;
                        out.duplicates += 1;
                        continue;
                    }
                    let Some(labels) = self.series_labels(&sample)? else {
                        cache.insert(sample.series, Known::Dropped);
                        continue;
                    };
                    if counts(out) {
                        continue;
                    }
                    if timestamp > latest {
                        out.ahead += 1;
                        continue;
                    }
                    let text: Box<[u8]> = sample.series.into();
                    if !again {
                        texts.insert(text.clone());
                        out.series_added += 1;
                    }
                    out.new.push(NewSeries { text, labels, timestamp, value: sample.value, tracked: tracks });
                }
            }
        }
        if limit > 0 && counted > limit {
            self.metrics.exceeded_sample_limit.inc();
            return Err(ScrapeError::SampleLimit);
        }
        Ok(())
    }

    /// The labels a sample is stored under; `None` when metric relabelling drops it.
    fn series_labels(&self, sample: &exposition::Sample<'_>) -> Result<Option<Labels>, ScrapeError> {
        let exposed = sample.labels()?;
        let mut labels = LabelsBuilder::from_labels(&exposed);
        if self.config.honor_labels {
            for (name, value) in self.target.public() {
                if exposed.get(name).is_none() && !sample.has_empty_label(name) {
                    labels.set(name, value);
                }
            }
        } else {
            let mut conflicts = Vec::new();
            for (name, value) in self.target.public() {
                if let Some(theirs) = exposed.get(name) {
                    conflicts.push((name, theirs));
                }
                labels.set(name, value);
            }
            conflicts.sort_by_key(|(name, _)| name.len());
            for (name, theirs) in conflicts {
                let mut renamed = format!("exported_{name}");
                while !labels.get(&renamed).is_empty() {
                    renamed.insert_str(0, "exported_");
                }
                labels.set(&renamed, theirs);
            }
        }
        if !relabel::process_builder(&mut labels, &self.config.metric_relabel_configs) || labels.is_empty() {
            return Ok(None);
        }
        let labels = labels.build();
        self.check_names(&labels)?;
        self.check_label_limits(&labels).map_err(|message| {
            self.metrics.exceeded_label_limits.inc();
            ScrapeError::LabelLimit(message)
        })?;
        Ok(Some(labels))
    }

    fn check_names(&self, labels: &Labels) -> Result<(), ScrapeError> {
        let name = labels.get(METRIC_NAME).ok_or(ScrapeError::NoName)?;
        let valid = if self.config.legacy_names {
            is_legacy_metric_name(name) && labels.iter().all(|(name, _)| is_legacy_label_name(name))
        } else {
            labels.iter().all(|(name, _)| !name.is_empty())
        };
        if valid { Ok(()) } else { Err(ScrapeError::InvalidNames(labels.clone())) }
    }

    fn check_label_limits(&self, labels: &Labels) -> Result<(), String> {
        let limits = &self.config.limits;
        let over = |length: usize, limit: u64| limit > 0 && length as u64 > limit;
        let metric = shortened(labels.metric_name());
        let count = labels.len();
        if over(count, limits.labels) {
            let limit = limits.labels;
            return Err(format!(
                "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"
            ));
        }
        for (name, value) in labels {
            let (length, limit) = (name.len(), limits.label_name_length);
            if over(length, limit) {
                return Err(format!(
                    "label_name_length_limit exceeded (metric: {metric}, label name: {}, length: {length}, limit: {limit})",
                    shortened(name)
                ));
            }
            let (length, limit) = (value.len(), limits.label_value_length);
            if over(length, limit) {
                return Err(format!(
                    "label_value_length_limit exceeded (metric: {metric}, label name: {}, value: {}, length: {length}, limit: {limit})",
                    shortened(name),
                    go_quote(&shortened(value))
                ));
            }
        }
        Ok(())
    }

    /// Handles of the target's report series, in the order of [`REPORTS`].
    fn report_series(&self, cache: &mut Cache) -> Result<Vec<SeriesRef>, AppendError> {
        let wanted = if self.config.extra_scrape_metrics { &REPORTS[..] } else { &REPORTS[..BASIC_REPORTS] };
        let mut series = Vec::with_capacity(wanted.len());
        for name in wanted {
            // 0xff is in no series text that parses, so no scraped series has this key.
            let key = [name.as_bytes(), b"\xff"].concat();
            if let Found::Series { series: known, .. } = cache.find(&key) {
                series.push(known);
                continue;
            }
            let mut labels = LabelsBuilder::from_labels(self.target.public());
            let labels = labels.set(METRIC_NAME, name).build();
            let mut created = Vec::with_capacity(1);
            self.sink.series(std::slice::from_ref(&labels), &mut created)?;
            for created in created {
                cache.insert(&key, Known::Series { series: created, labels: labels.clone(), tracked: 0 });
                series.push(created);
            }
        }
        Ok(series)
    }

    /// Writes a batch; series the store forgot are asked for again, once. Answers the samples left out.
    fn write(
        &self,
        cache: &mut Cache,
        batch: &mut [Sample],
    ) -> Result<HashMap<SeriesRef, RejectReason>, AppendError> {
        let mut report = self.sink.append(batch)?;
        let unknown: HashSet<SeriesRef> = report
            .rejected
            .iter()
            .filter(|(_, reason)| *reason == RejectReason::UnknownSeries)
            .filter_map(|(at, _)| batch.get(*at).map(|sample| sample.series))
            .collect();
        let mut rejected = HashMap::new();
        if !unknown.is_empty() {
            let (old, labels): (Vec<SeriesRef>, Vec<Labels>) = cache.labels_of(&unknown).into_iter().unzip();
            let mut renewed = Vec::new();
            self.sink.series(&labels, &mut renewed)?;
            let renewed: HashMap<SeriesRef, SeriesRef> = old.into_iter().zip(renewed).collect();
            cache.renew(&renewed);
            let again: Vec<Sample> = batch
                .iter()
                .filter_map(|sample| {
                    renewed.get(&sample.series).map(|new| Sample { series: *new, ..*sample })
                })
                .collect();
            let second = self.sink.append(&again)?;
            self.count(&again, &second.rejected, &mut rejected);
            report.rejected.retain(|(_, reason)| *reason != RejectReason::UnknownSeries);
        }
        self.count(batch, &report.rejected, &mut rejected);
        Ok(rejected)
    }

    fn count(
        &self,
        batch: &[Sample],
        rejections: &[(usize, RejectReason)],
        rejected: &mut HashMap<SeriesRef, RejectReason>,
    ) {
        for (at, reason) in rejections {
            let Some(sample) = batch.get(*at) else { continue };
            // A marker too late is expected when a target goes and comes back.
            if is_stale(sample.value) {
                continue;
            }
            rejected.insert(sample.series, *reason);
            match reason {
                RejectReason::OutOfOrder => self.metrics.out_of_order.inc(),
                RejectReason::Duplicate => self.metrics.duplicate_timestamp.inc(),
                RejectReason::OutOfBounds | RejectReason::TooOld => self.metrics.out_of_bounds.inc(),
                RejectReason::UnknownSeries => {}
            }
        }
    }

    /// Takes new series whose sample was stored into the cache, and tells of those left out.
    fn remember(
        &self,
        cache: &mut Cache,
        parsed: Parsed,
        refs: &[SeriesRef],
        rejected: &HashMap<SeriesRef, RejectReason>,
    ) {
        let scrape = cache.scrape();
        for (new, series) in parsed.new.into_iter().zip(refs) {
            if rejected.contains_key(series) {
                continue;
            }
            let tracked = if new.tracked { scrape } else { 0 };
            cache.insert(&new.text, Known::Series { series: *series, labels: new.labels, tracked });
        }
        self.metrics.duplicate_timestamp.inc_by(parsed.duplicates);
        self.metrics.out_of_bounds.inc_by(parsed.ahead);
        let left_out = rejected.len() as u64 + parsed.duplicates + parsed.ahead;
        if left_out > 0 {
            let example = rejected.values().next().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                target_url = self.target.url(),
                left_out,
                duplicates = parsed.duplicates,
                too_far_ahead = parsed.ahead,
                example,
                "samples of a scrape were not stored"
            );
        }
    }
}

/// The report series: the first [`BASIC_REPORTS`] always, the others with `extra_scrape_metrics`.
const REPORTS: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const BASIC_REPORTS: usize = 5;

/// At most 50 characters, as limits show names.
fn shortened(text: &str) -> String {
    text.chars().take(50).collect()
}

#[cfg(test)]
#[path = "append_tests.rs"]
mod tests;
