//! Instant selectors: at each step the newest sample of each series within the lookback.

use novaobs_model::{Matcher, SeriesSamples, is_stale};

use super::feed::{Feed, StoreFeed};
use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::{Run, Tally};
use crate::stream::Operator;

/// What a selected step holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The sample's value.
    Value,
    /// The sample's time in seconds: `timestamp(selector)`.
    Timestamp,
    /// The value between the samples around the step: `selector smoothed`.
    Smoothed,
}

/// An instant selector.
pub(crate) struct Selector<'q> {
    run: &'q Run<'q>,
    feed: StoreFeed<'q>,
    series: SeriesSamples,
    timeline: Timeline,
    /// The time looked up at each step of `timeline`, moved by offset and `@`.
    lookup: Timeline,
    reading: Reading,
    tally: Tally<'q>,
}

impl<'q> Selector<'q> {
    /// Selects by `matchers`; step `i` of `timeline` reads the store as of `lookup.at(i)`.
    pub(crate) fn new(
        run: &'q Run<'q>,
        matchers: &[Matcher],
        timeline: Timeline,
        lookup: Timeline,
        reading: Reading,
    ) -> Self {
        let first = lookup.start.saturating_sub(run.lookback).saturating_add(1);
        let ahead = if reading == Reading::Smoothed { run.lookback } else { 0 };
        let last = if lookup.count == 0 { i64::MIN } else { lookup.last().saturating_add(ahead) };
        Selector {
            run,
            feed: StoreFeed::new(run, matchers, first, last),
            series: SeriesSamples::default(),
            timeline,
            lookup,
            reading,
            tally: run.tally(),
        }
    }

    /// Fills `row` from the current series.
    fn read(&self, row: &mut Row) {
        let samples = &self.series.samples;
        let mut rest = samples.iter().peekable();
        let mut newest = None;
        for (step, at) in self.lookup.times().enumerate() {
            while let Some(sample) = rest.next_if(|(time, _)| *time <= at) {
                newest = Some(sample);
            }
            if let Some((time, value)) = newest
                && time > at.saturating_sub(self.run.lookback)
                && !is_stale(value)
            {
                row.set(step, if self.reading == Reading::Timestamp { time as f64 / 1000.0 } else { value });
            }
        }
    }

    /// Fills `row` by interpolation; the series holds no staleness markers.
    fn read_smoothed(&self, row: &mut Row) {
        let times = &self.series.samples.timestamps;
        let sample = |index: usize| Some((*times.get(index)?, *self.series.samples.values.get(index)?));
        for (step, at) in self.lookup.times().enumerate() {
            let next = times.partition_point(|time| *time < at);
            let after = sample(next).filter(|(time, _)| *time <= at.saturating_add(self.run.lookback));
            let before = next
                .checked_sub(1)
                .and_then(sample)
                .filter(|(time, _)| *time > at.saturating_sub(self.run.lookback));
            match (before, after) {
                (_, Some((time, value))) if time == at => row.set(step, value),
                (Some(before), Some(after)) => row.set(step, interpolate(before, after, at)),
                (Some((_, value)), None) => row.set(step, value),
                (None, _) => {}
            }
        }
    }
}

/// The value at `at` on the line through two samples.
pub(crate) fn interpolate(left: (i64, f64), right: (i64, f64), at: i64) -> f64 {
    left.1 + (right.1 - left.1) * (at - left.0) as f64 / (right.0 - left.0) as f64
}

impl Operator for Selector<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        loop {
            let smoothed = self.reading == Reading::Smoothed;
            let more = if smoothed {
                self.feed.next(&mut self.series)
            } else {
                self.feed.next_raw(&mut self.series)
            };
            if !more? {
                return Ok(false);
            }
            row.reset(self.timeline.count);
            if smoothed {
                self.read_smoothed(row)
            } else {
                self.read(row)
            }
            let count = row.present.count() as u64;
            if count > 0 {
                row.labels = self.series.labels.clone();
                self.run.looked_at(count);
                self.tally.add(count)?;
                return Ok(true);
            }
        }
    }
}
