//! Set operators: `and`, `or`, `unless`. Only signatures and steps of one side are held.

use std::collections::HashMap;

use novaobs_model::{Labels, Lease};
use novaobs_promql_parser::ast::BinaryOp;

use crate::result::QueryError;
use crate::row::Row;
use crate::run::{Run, Tally};
use crate::steps::Steps;
use crate::stream::{Grouping, Operator, Stream};

/// A set operation.
pub(crate) struct SetOperation<'q> {
    run: &'q Run<'q>,
    op: BinaryOp,
    left: Stream<'q>,
    right: Stream<'q>,
    signature: Grouping,
    /// Where a signature is present: right ones for `and` and `unless`, left ones for `or`.
    present: HashMap<Labels, Steps>,
    prepared: bool,
    memory: Lease,
    tally: Tally<'q>,
}

impl<'q> SetOperation<'q> {
    /// `op` is `and`, `or` or `unless`.
    pub(crate) fn new(
        run: &'q Run<'q>,
        op: BinaryOp,
        left: Stream<'q>,
        right: Stream<'q>,
        signature: Grouping,
    ) -> Result<Self, QueryError> {
        let (present, memory) = (HashMap::new(), run.memory()?);
        Ok(SetOperation {
            run,
            op,
            left,
            right,
            signature,
            present,
            prepared: false,
            memory,
            tally: run.tally(),
        })
    }

    fn remember(&mut self, row: &Row) -> Result<(), QueryError> {
        let key = self.signature.apply(&row.labels);
        if let Some(steps) = self.present.get_mut(&key) {
            steps.union(&row.present);
            return Ok(());
        }
        self.memory.grow((key.heap_bytes() + row.values.len() / 8 + 96) as u64)?;
        self.present.insert(key, row.present.clone());
        Ok(())
    }

    fn next_unchecked(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.op == BinaryOp::Or {
            if self.left.next(row)? {
                self.remember(row)?;
                return Ok(true);
            }
            if !self.right.next(row)? {
                return Ok(false);
            }
            if let Some(left) = self.present.get(&self.signature.apply(&row.labels)) {
                row.present.subtract(left);
            }
            return Ok(true);
        }
        if !self.prepared {
            self.prepared = true;
            while self.right.next(row)? {
                self.remember(row)?;
            }
        }
        if !self.left.next(row)? {
            return Ok(false);
        }
        match (self.op, self.present.get(&self.signature.apply(&row.labels))) {
            (BinaryOp::And, Some(right)) => row.present.intersect(right),
            (BinaryOp::And, None) => row.present.reset(row.values.len()),
            (_, Some(right)) => row.present.subtract(right),
            (_, None) => {}
        }
        Ok(true)
    }
}

impl Operator for SetOperation<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        while self.next_unchecked(row)? {
            self.run.control.check()?;
            if !row.present.is_empty() {
                self.tally.add_row(row)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
