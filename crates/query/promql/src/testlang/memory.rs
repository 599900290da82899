//! A store of series in memory, for tests and for rule tests.

use std::collections::{BTreeMap, BTreeSet};

use novaobs_model::{
    Labels, Matcher, QueryControl, Samples, SelectError, SelectRequest, SeriesCursor, SeriesSamples,
    SeriesSource,
};

/// Series sorted by labels.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    series: BTreeMap<Labels, Samples>,
}

impl MemorySource {
    /// Adds samples; of two at the same time the later added one holds.
    pub fn insert(&mut self, series: SeriesSamples) {
        let held = self.series.entry(series.labels).or_default();
        let in_order = match (held.timestamps.last(), series.samples.timestamps.first()) {
            (Some(last), Some(first)) => last < first,
            _ => true,
        };
        if in_order {
            series.samples.iter().for_each(|(time, value)| held.push(time, value));
            return;
        }
        let mut merged: BTreeMap<i64, f64> = held.iter().collect();
        merged.extend(series.samples.iter());
        held.clear();
        merged.into_iter().for_each(|(time, value)| held.push(time, value));
    }

    fn matching<'a>(
        &'a self,
        selectors: &'a [Vec<Matcher>],
        start: i64,
        end: i64,
    ) -> impl Iterator<Item = &'a Labels> {
        let matches = move |labels: &Labels| {
            let all = |matchers: &Vec<Matcher>| matchers.iter().all(|matcher| matcher.matches_labels(labels));
            selectors.is_empty() || selectors.iter().any(all)
        };
        let in_range =
            move |samples: &Samples| samples.timestamps.iter().any(|time| (start..=end).contains(time));
        self.series
            .iter()
            .filter(move |(labels, samples)| matches(labels) && in_range(samples))
            .map(|(l, _)| l)
    }
}

struct Cursor<'a> {
    series: std::collections::btree_map::Iter<'a, Labels, Samples>,
    request: SelectRequest,
}

impl SeriesCursor for Cursor<'_> {
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, SelectError> {
        for (labels, samples) in self.series.by_ref() {
            if !self.request.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            let from = samples.timestamps.partition_point(|time| *time < self.request.start);
            let past = samples.timestamps.partition_point(|time| *time <= self.request.end);
            if from >= past {
                continue;
            }
            out.labels = labels.clone();
            out.samples.clear();
            out.samples.timestamps.extend_from_slice(samples.timestamps.get(from..past).unwrap_or_default());
            out.samples.values.extend_from_slice(samples.values.get(from..past).unwrap_or_default());
            return Ok(true);
        }
        Ok(false)
    }
}

impl SeriesSource for MemorySource {
    fn select<'a>(
        &'a self,
        request: &SelectRequest,
        _control: &'a QueryControl,
    ) -> Result<Box<dyn SeriesCursor + 'a>, SelectError> {
        Ok(Box::new(Cursor { series: self.series.iter(), request: request.clone() }))
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        limit: usize,
        _control: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        Ok(self.matching(selectors, start, end).take(limit).cloned().collect())
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        _control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        let names: BTreeSet<&str> = self
            .matching(selectors, start, end)
            .flat_map(|labels| labels.iter().map(|(name, _)| name))
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        _control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        let values: BTreeSet<&str> =
            self.matching(selectors, start, end).filter_map(|labels| labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}
