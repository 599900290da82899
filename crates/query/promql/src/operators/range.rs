//! Functions over windows of samples: `rate(x[5m])`, `max_over_time((…)[1h:1m])`.

use novaobs_model::{Labels, SeriesSamples};

use super::feed::Feed;
use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::{Run, Tally};
use crate::stream::{Operator, UniqueCheck, drop_name};

/// Where the windows of a range selector or subquery lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Step `i` looks at the window that ends at `ends.at(i)`, inclusive.
    pub(crate) ends: Timeline,
    /// The length of a window in milliseconds; its start is exclusive.
    pub(crate) range: i64,
    /// Milliseconds before the window that are shown too (`anchored`, `smoothed`).
    pub(crate) before: i64,
    /// Milliseconds after it (`smoothed`).
    pub(crate) after: i64,
}

impl Windows {
    /// First and last time of samples that any window shows.
    pub(crate) fn reach(&self) -> (i64, i64) {
        let first = self.ends.start.saturating_sub(self.range).saturating_sub(self.before).saturating_add(1);
        let last = if self.ends.count == 0 { i64::MIN } else { self.ends.last().saturating_add(self.after) };
        (first, last)
    }
}

/// One window of one series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// The whole series.
    pub(crate) series: &'a SeriesSamples,
    /// The window is `first..past` of its samples; not empty.
    pub(crate) first: usize,
    /// One past the last sample.
    pub(crate) past: usize,
    /// Where the window starts, exclusive, Unix milliseconds.
    pub(crate) start: i64,
    /// Where it ends, inclusive.
    pub(crate) end: i64,
    /// The number of the evaluation step.
    pub(crate) step: usize,
    /// The time of the evaluation, Unix milliseconds.
    pub(crate) now: i64,
}

impl<'a> Window<'a> {
    /// The window's times.
    pub(crate) fn times(&self) -> &'a [i64] {
        self.series.samples.timestamps.get(self.first..self.past).unwrap_or_default()
    }

    /// The window's values.
    pub(crate) fn values(&self) -> &'a [f64] {
        self.series.samples.values.get(self.first..self.past).unwrap_or_default()
    }

    /// The length of the window in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }
}

/// Windows may hold many samples and functions may sort them: so many are some milliseconds of work.
const STEPS_PER_CHECK: usize = 64;

/// A function of a window.
pub(crate) trait RangeFunction {
    /// Called once per series before its windows, which then come in order.
    fn start(&mut self, _series: &SeriesSamples) {}

    /// The value of a window, or nothing.
    ///
    /// # Errors
    /// When a parameter is not valid.
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError>;

    /// Called once per series that had a value.
    fn finish(&mut self, _series: &SeriesSamples) {}
}

/// Applies a function to all windows of all series of a feed.
pub(crate) struct RangeCall<'q> {
    run: &'q Run<'q>,
    feed: Box<dyn Feed + 'q>,
    function: Box<dyn RangeFunction + 'q>,
    timeline: Timeline,
    windows: Windows,
    keep_name: bool,
    unique: Option<UniqueCheck>,
    series: SeriesSamples,
    tally: Tally<'q>,
}

impl<'q> RangeCall<'q> {
    /// `function` over `windows` of `feed`, one value per step of `timeline`.
    pub(crate) fn new(
        run: &'q Run<'q>,
        feed: Box<dyn Feed + 'q>,
        function: Box<dyn RangeFunction + 'q>,
        timeline: Timeline,
        windows: Windows,
        keep_name: bool,
        unique: Option<UniqueCheck>,
    ) -> Self {
        let series = SeriesSamples::default();
        RangeCall { run, feed, function, timeline, windows, keep_name, unique, series, tally: run.tally() }
    }

    fn read(&mut self, row: &mut Row) -> Result<(), QueryError> {
        let Windows { ends, range, before, after } = self.windows;
        let times = &self.series.samples.timestamps;
        self.function.start(&self.series);
        let (mut first, mut past, mut looked_at, mut widest) = (0, 0, 0, 0);
        for (step, end) in ends.times().enumerate() {
            let start = end.saturating_sub(range);
            let (from, to) = (start.saturating_sub(before), end.saturating_add(after));
            past += times.get(past..).unwrap_or_default().iter().take_while(|time| **time <= to).count();
            first +=
                times.get(first..past).unwrap_or_default().iter().take_while(|time| **time <= from).count();
            if first >= past {
                continue;
            }
            looked_at += (past - first) as u64;
            widest = widest.max((past - first) as u64);
            if step % STEPS_PER_CHECK == 0 {
                self.run.control.check()?;
            }
            let now = self.timeline.at(step);
            let window = Window { series: &self.series, first, past, start, end, step, now };
            if let Some(value) = self.function.value(&window)? {
                row.set(step, value);
            }
        }
        self.run.looked_at(looked_at);
        self.tally.touch(widest)
    }
}

impl Operator for RangeCall<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        while self.feed.next(&mut self.series)? {
            row.reset(self.timeline.count);
            self.read(row)?;
            if row.present.is_empty() {
                continue;
            }
            self.function.finish(&self.series);
            let labels: &Labels = &self.series.labels;
            row.labels = if self.keep_name { labels.clone() } else { drop_name(labels) };
            if let Some(unique) = &mut self.unique {
                unique.admit(row)?;
            }
            self.tally.add_row(row)?;
            return Ok(true);
        }
        Ok(false)
    }
}
