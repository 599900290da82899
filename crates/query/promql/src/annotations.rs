//! Warnings and infos about a query, with the peer's texts and positions.
//!
//! An annotation is kept once per text: of several places that cause the same one the last counts, as in
//! the peer. Positions become `line:column` of the query text at the end.

use std::collections::BTreeMap;

use novaobs_model::labels::go_quote;
use novaobs_promql_parser::ast::Span;

use crate::functions::gofmt;

/// How serious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Warning,
    Info,
}

#[derive(Clone, Debug)]
struct Note {
    level: Level,
    /// Byte in the query text.
    position: usize,
    /// Between text and position, known only at the end.
    detail: Option<Monotonicity>,
}

/// What `histogram_quantile` had to repair, over all series and steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Monotonicity {
    /// Unix milliseconds of the first and last repair.
    pub(crate) times: (i64, i64),
    /// Lowest and highest upper bound of a repaired bucket.
    pub(crate) buckets: (f64, f64),
    /// Largest decrease between neighbours.
    pub(crate) max_difference: f64,
    /// How many histograms were repaired.
    pub(crate) count: u64,
}

/// The annotations of one query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    notes: BTreeMap<String, Note>,
}

impl Annotations {
    fn add(&mut self, level: Level, text: String, span: &Span) {
        self.notes.insert(text, Note { level, position: span.start, detail: None });
    }

    fn warn(&mut self, text: String, span: &Span) {
        self.add(Level::Warning, format!("PromQL warning: {text}"), span);
    }

    fn info(&mut self, text: String, span: &Span) {
        self.add(Level::Info, format!("PromQL info: {text}"), span);
    }

    /// A quantile outside of 0 to 1.
    pub(crate) fn invalid_quantile(&mut self, quantile: f64, span: &Span) {
        let quantile = gofmt::general(quantile);
        self.warn(format!("quantile value should be between 0 and 1, got {quantile}"), span);
    }

    /// A ratio outside of -1 to 1.
    pub(crate) fn invalid_ratio(&mut self, ratio: f64, capped: f64, span: &Span) {
        let (ratio, capped) = (gofmt::general(ratio), gofmt::general(capped));
        self.warn(format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}"), span);
    }

    /// A bucket whose `le` is no number.
    pub(crate) fn bad_bucket_label(&mut self, value: &str, span: &Span) {
        let value = go_quote(value);
        self.warn(format!("bucket label \"le\" is missing or has a malformed value of {value}"), span);
    }

    /// `sort` in a range query.
    pub(crate) fn sort_in_range_query(&mut self, span: &Span) {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        self.warn(text.to_owned(), span);
    }

    /// A rate of something that is not named like a counter.
    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: &Span) {
        let metric = go_quote(metric);
        let text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
        self.info(format!("{text}: {metric}"), span);
    }

    /// An operator that floats do not have.
    pub(crate) fn incompatible_types(&mut self, left: &str, operator: &str, right: &str, span: &Span) {
        let text = "incompatible sample types encountered for binary operator";
        self.info(format!("{text} {}: {left} {operator} {right}", go_quote(operator)), span);
    }

    /// Buckets whose counts decrease; repeated ones are summed up.
    pub(crate) fn forced_monotonicity(&mut self, repair: Monotonicity, span: &Span) {
        let text = "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let merged = match self.notes.get(text).and_then(|note| note.detail) {
            None => repair,
            Some(old) => Monotonicity {
                times: (old.times.0.min(repair.times.0), old.times.1.max(repair.times.1)),
                buckets: (old.buckets.0.min(repair.buckets.0), old.buckets.1.max(repair.buckets.1)),
                max_difference: old.max_difference.max(repair.max_difference),
                count: old.count + repair.count,
            },
        };
        // The peer keeps the first place of this one.
        let position = self.notes.get(text).map_or(span.start, |note| note.position);
        self.notes.insert(text.to_owned(), Note { level: Level::Info, position, detail: Some(merged) });
    }

    /// (warnings, infos) with positions in `query`, each sorted.
    pub(crate) fn texts(self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (text, note) in self.notes {
            let place = place(query, note.position);
            let detail = note.detail.map(|detail| detail.text()).unwrap_or_default();
            let list = if note.level == Level::Warning { &mut warnings } else { &mut infos };
            list.push(format!("{text}{detail} ({place})"));
        }
        (warnings, infos)
    }
}

impl Monotonicity {
    fn text(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            gofmt::general(self.buckets.0),
            gofmt::general(self.buckets.1),
            gofmt::significant(self.max_difference, 2),
            self.count,
            crate::functions::calendar::rfc3339(self.times.0.div_euclid(1000)),
            crate::functions::calendar::rfc3339(self.times.1.div_euclid(1000)),
        )
    }
}

/// `line:column`, both from 1, columns in bytes.
fn place(query: &str, position: usize) -> String {
    if query.is_empty() {
        return "unknown position".to_owned();
    }
    let Some(before) = query.as_bytes().get(..position) else { return "invalid position".to_owned() };
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = position - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_and_carry_the_last_place() {
        let mut annotations = Annotations::default();
        annotations.possible_non_counter("m", &(0..1));
        annotations.possible_non_counter("m", &(7..8));
        annotations.invalid_quantile(f64::NAN, &(3..4));
        let (warnings, infos) = annotations.texts("rate(m\n+m)");
        assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got NaN (1:4)"]);
        assert_eq!(
            infos,
            ["PromQL info: metric might not be a counter, name does not end in \
              _total/_sum/_count/_bucket: \"m\" (2:1)"]
        );
    }

    #[test]
    fn monotonicity_repairs_add_up() {
        let mut annotations = Annotations::default();
        let repair = |time, bucket, max_difference| Monotonicity {
            times: (time, time),
            buckets: (bucket, bucket),
            max_difference,
            count: 1,
        };
        annotations.forced_monotonicity(repair(60_000, 1.0, 2.0), &(4..5));
        annotations.forced_monotonicity(repair(0, 0.5, 1.234), &(4..5));
        let (_, infos) = annotations.texts("hist(x)");
        assert_eq!(
            infos,
            ["PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
              https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), from \
              buckets 0.5 to 1, with a max diff of 2, over 2 samples from 1970-01-01T00:00:00Z to \
              1970-01-01T00:01:00Z (1:5)"]
        );
    }
}
