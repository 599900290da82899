//! Expressions that are the same at every step (because of `@`): evaluated once, repeated.

use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::{Run, Tally};
use crate::stream::{Operator, Stream};

/// Repeats the single value of each row over a timeline.
pub(crate) struct StepInvariant<'q> {
    run: &'q Run<'q>,
    input: Stream<'q>,
    timeline: Timeline,
    inner: Row,
    tally: Tally<'q>,
}

impl<'q> StepInvariant<'q> {
    /// `input` has one step, `timeline` any number.
    pub(crate) fn new(run: &'q Run<'q>, input: Stream<'q>, timeline: Timeline) -> Self {
        StepInvariant { run, input, timeline, inner: Row::default(), tally: run.tally() }
    }
}

impl Operator for StepInvariant<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        let before = self.run.looked_at_so_far();
        if !self.input.next(&mut self.inner)? {
            return Ok(false);
        }
        // The peer's statistics count the samples at every step.
        let looked_at = self.run.looked_at_so_far() - before;
        self.run.looked_at(looked_at * self.timeline.count.saturating_sub(1) as u64);
        row.reset(self.timeline.count);
        row.labels = self.inner.labels.clone();
        row.values.fill(self.inner.get(0).unwrap_or(f64::NAN));
        row.present.fill();
        self.tally.add_row(row)?;
        Ok(true)
    }
}
