//! `count_values`: how many series of a group have each value, one row per value.

use std::collections::HashMap;

use novaobs_model::{Labels, LabelsBuilder, Lease};

use crate::functions::gofmt;
use crate::result::QueryError;
use crate::row::{Row, Timeline};
use crate::run::{Run, Tally};
use crate::stream::{Grouping, Operator, Stream};

/// A `count_values` aggregation.
pub(crate) struct CountValues<'q> {
    run: &'q Run<'q>,
    input: Stream<'q>,
    label: String,
    grouping: Grouping,
    timeline: Timeline,
    memory: Lease,
    counted: Option<std::vec::IntoIter<Row>>,
    tally: Tally<'q>,
}

impl<'q> CountValues<'q> {
    /// The value goes to `label`, which `grouping` keeps when it lists labels to keep.
    pub(crate) fn new(
        run: &'q Run<'q>,
        input: Stream<'q>,
        label: String,
        grouping: Grouping,
        timeline: Timeline,
    ) -> Result<Self, QueryError> {
        let memory = run.memory()?;
        Ok(CountValues { run, input, label, grouping, timeline, memory, counted: None, tally: run.tally() })
    }

    fn count(&mut self) -> Result<Vec<Row>, QueryError> {
        let mut rows: Vec<Row> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut row = Row::default();
        while self.input.next(&mut row)? {
            self.run.control.check()?;
            let mut last: Option<(u64, usize)> = None;
            for (step, value) in row.iter() {
                // Values repeat along a series: labels are built when they change.
                let place = match last {
                    Some((bits, place)) if bits == value.to_bits() => place,
                    _ => self.place(&row.labels, value, &mut rows, &mut places)?,
                };
                last = Some((value.to_bits(), place));
                if let Some(counts) = rows.get_mut(place) {
                    let count = counts.get(step).unwrap_or(0.0);
                    counts.set(step, count + 1.0);
                }
            }
        }
        Ok(rows)
    }

    fn place(
        &mut self,
        labels: &Labels,
        value: f64,
        rows: &mut Vec<Row>,
        places: &mut HashMap<Labels, usize>,
    ) -> Result<usize, QueryError> {
        let with_value = LabelsBuilder::from_labels(labels).set(&self.label, &gofmt::plain(value)).build();
        let key = self.grouping.apply(&with_value);
        if let Some(place) = places.get(&key) {
            return Ok(*place);
        }
        let row = Row::new(key.clone(), self.timeline.count);
        self.memory.grow(row.bytes() + key.heap_bytes() as u64)?;
        rows.push(row);
        places.insert(key, rows.len() - 1);
        Ok(rows.len() - 1)
    }
}

impl Operator for CountValues<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.counted.is_none() {
            self.counted = Some(self.count()?.into_iter());
        }
        let Some(next) = self.counted.as_mut().and_then(Iterator::next) else { return Ok(false) };
        *row = next;
        self.tally.add_row(row)?;
        Ok(true)
    }
}
