//! Functions of one sample at a time: math, dates, clamping, the unary minus.

use crate::result::QueryError;
use crate::row::Row;
use crate::run::{Run, Tally};
use crate::stream::{Operator, Stream, UniqueCheck, drop_name};

/// Changes the values of rows in place; it may also remove steps.
pub(crate) type Change<'q> = Box<dyn FnMut(&mut Row) + 'q>;

/// Applies a change to every row.
pub(crate) struct Elementwise<'q> {
    input: Stream<'q>,
    change: Change<'q>,
    keep_name: bool,
    unique: Option<UniqueCheck>,
    tally: Tally<'q>,
}

impl<'q> Elementwise<'q> {
    /// `change` on every row of `input`; drops the metric name unless told not to.
    pub(crate) fn new(
        run: &'q Run<'q>,
        input: Stream<'q>,
        change: Change<'q>,
        keep_name: bool,
        unique: Option<UniqueCheck>,
    ) -> Self {
        Elementwise { input, change, keep_name, unique, tally: run.tally() }
    }
}

impl Operator for Elementwise<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        while self.input.next(row)? {
            (self.change)(row);
            if row.present.is_empty() {
                continue;
            }
            if !self.keep_name {
                row.labels = drop_name(&row.labels);
            }
            if let Some(unique) = &mut self.unique {
                unique.admit(row)?;
            }
            self.tally.add_row(row)?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// The rows of a list.
pub(crate) struct Rows {
    rows: std::vec::IntoIter<Row>,
}

impl Rows {
    /// A stream of `rows`; those without a present step are left out.
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Rows { rows: rows.into_iter() }
    }
}

impl Operator for Rows {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        for next in self.rows.by_ref() {
            if !next.present.is_empty() {
                *row = next;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
