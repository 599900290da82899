//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction` of classic histograms: rows that
//! differ only in `le` are put together and evaluated step by step.

use std::collections::HashMap;

use novaobs_model::{Labels, LabelsBuilder, Lease};
use novaobs_promql_parser::ast::Span;

use crate::annotations::Monotonicity;
use crate::functions::buckets::{self, Bucket};
use crate::result::QueryError;
use crate::row::{Column, Row, Timeline};
use crate::run::{Run, Tally};
use crate::stream::{Operator, Stream, UniqueCheck, drop_name};

/// The label of a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// What is asked of each histogram.
pub(crate) enum Question {
    /// One quantile.
    Quantile(Column),
    /// Several quantiles, told apart by the label `label`.
    Quantiles { label: String, quantiles: Vec<Column> },
    /// The fraction between two values.
    Fraction { lower: Column, upper: Column },
}

struct Histogram {
    /// Without `le`, with the name.
    labels: Labels,
    buckets: Vec<(f64, Row)>,
}

/// A function of classic histograms.
pub(crate) struct HistogramCall<'q> {
    run: &'q Run<'q>,
    input: Stream<'q>,
    question: Question,
    /// Of the vector argument.
    span: Span,
    timeline: Timeline,
    unique: Option<UniqueCheck>,
    memory: Lease,
    histograms: Option<std::vec::IntoIter<Histogram>>,
    ready: Vec<Row>,
    tally: Tally<'q>,
}

impl<'q> HistogramCall<'q> {
    /// Asks `question` of the histograms in `input`.
    pub(crate) fn new(
        run: &'q Run<'q>,
        input: Stream<'q>,
        question: Question,
        span: Span,
        timeline: Timeline,
        unique: Option<UniqueCheck>,
    ) -> Result<Self, QueryError> {
        let (memory, tally) = (run.memory()?, run.tally());
        let (histograms, ready) = (None, Vec::new());
        Ok(HistogramCall { run, input, question, span, timeline, unique, memory, histograms, ready, tally })
    }

    fn collect(&mut self) -> Result<Vec<Histogram>, QueryError> {
        let mut histograms: Vec<Histogram> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut row = Row::default();
        while self.input.next(&mut row)? {
            self.run.control.check()?;
            let bound = row.labels.value(BUCKET_LABEL);
            let Some(upper) = parse_bound(bound) else {
                self.run.annotate(|notes| notes.bad_bucket_label(bound, &self.span));
                continue;
            };
            let labels = row.labels.without(|name| name == BUCKET_LABEL);
            self.memory.grow(row.bytes())?;
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                histograms.push(Histogram { labels, buckets: Vec::new() });
                histograms.len() - 1
            });
            if let Some(histogram) = histograms.get_mut(place) {
                histogram.buckets.push((upper, std::mem::take(&mut row)));
            }
        }
        Ok(histograms)
    }

    fn answer(&mut self, histogram: &Histogram) {
        let labels = drop_name(&histogram.labels);
        match &self.question {
            Question::Quantile(q) => {
                let row = self.quantile_row(histogram, labels, q);
                self.ready.push(row);
            }
            Question::Quantiles { label, quantiles } => {
                let mut rows: Vec<Row> = Vec::new();
                for q in quantiles {
                    let values = self.quantile_row(histogram, Labels::empty(), q);
                    for (step, value) in values.iter() {
                        let text = crate::functions::gofmt::open_metrics(q.at(step));
                        let labels = LabelsBuilder::from_labels(&labels).set(label, &text).build();
                        match rows.last_mut().filter(|row| row.labels == labels && row.get(step).is_none()) {
                            Some(row) => row.set(step, value),
                            None => {
                                let mut row = Row::new(labels, self.timeline.count);
                                row.set(step, value);
                                rows.push(row);
                            }
                        }
                    }
                }
                self.ready.extend(rows.into_iter().rev());
            }
            Question::Fraction { lower, upper } => {
                let mut row = Row::new(labels, self.timeline.count);
                let mut scratch = Vec::new();
                for step in 0..self.timeline.count {
                    histogram.at(step, &mut scratch);
                    if !scratch.is_empty() {
                        row.set(step, buckets::fraction(lower.at(step), upper.at(step), &mut scratch));
                    }
                }
                self.ready.push(row);
            }
        }
    }

    fn quantile_row(&self, histogram: &Histogram, labels: Labels, q: &Column) -> Row {
        let mut row = Row::new(labels, self.timeline.count);
        let mut scratch = Vec::new();
        for step in 0..self.timeline.count {
            histogram.at(step, &mut scratch);
            if scratch.is_empty() {
                continue;
            }
            let (value, repair) = buckets::quantile(q.at(step), &mut scratch);
            row.set(step, value);
            if let Some(repair) = repair {
                let now = self.timeline.at(step);
                let repair = Monotonicity {
                    times: (now, now),
                    buckets: (repair.lowest, repair.highest),
                    max_difference: repair.difference,
                    count: 1,
                };
                self.run.annotate(|notes| notes.forced_monotonicity(repair, &self.span));
            }
        }
        row
    }
}

impl Histogram {
    fn at(&self, step: usize, out: &mut Vec<Bucket>) {
        out.clear();
        let buckets = self.buckets.iter();
        out.extend(buckets.filter_map(|(upper, row)| Some(Bucket { upper: *upper, count: row.get(step)? })));
    }
}

/// The value of `le`, as Go parses floats: no surrounding space, any case of inf and nan.
fn parse_bound(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    // Go refuses numbers beyond the largest float instead of making them infinite.
    let spelled_infinite = text.to_ascii_lowercase().contains("inf");
    (value.is_finite() || value.is_nan() || spelled_infinite).then_some(value)
}

impl Operator for HistogramCall<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.histograms.is_none() {
            self.histograms = Some(self.collect()?.into_iter());
        }
        loop {
            if let Some(next) = self.ready.pop() {
                if next.present.is_empty() {
                    continue;
                }
                *row = next;
                if let Some(unique) = &mut self.unique {
                    unique.admit(row)?;
                }
                self.tally.add_row(row)?;
                return Ok(true);
            }
            self.run.control.check()?;
            let Some(histogram) = self.histograms.as_mut().and_then(Iterator::next) else { return Ok(false) };
            self.answer(&histogram);
        }
    }
}
