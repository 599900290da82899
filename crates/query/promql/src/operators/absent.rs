//! `absent` and `absent_over_time`: 1 where nothing else is.

use novaobs_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::stream::{Operator, Stream};

/// One row with 1 at the steps where the input has no row.
pub(crate) struct Absent<'q> {
    input: Stream<'q>,
    labels: Labels,
    timeline: Timeline,
    done: bool,
}

impl<'q> Absent<'q> {
    /// The result carries `labels`.
    pub(crate) fn new(input: Stream<'q>, labels: Labels, timeline: Timeline) -> Self {
        Absent { input, labels, timeline, done: false }
    }
}

impl Operator for Absent<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(false);
        }
        let mut absent = crate::steps::Steps::all(self.timeline.count);
        while self.input.next(row)? {
            absent.subtract(&row.present);
        }
        row.reset(self.timeline.count);
        row.values.fill(1.0);
        row.present = absent;
        row.labels = self.labels.clone();
        Ok(!row.present.is_empty())
    }
}

/// The labels that `matchers` fix to one value: of a label named twice none, as in the peer.
pub(crate) fn labels_of(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::new();
    let mut fixed: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !fixed.contains(&matcher.name.as_str()) {
            builder.set(&matcher.name, &matcher.value);
            fixed.push(&matcher.name);
        } else {
            builder.remove(&matcher.name);
        }
    }
    builder.build()
}
