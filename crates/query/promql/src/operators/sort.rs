//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: the order of an instant query's result.

use std::cmp::Ordering;

use novaobs_model::Lease;

use super::feed::collect_whole;
use crate::functions::natural;
use crate::result::QueryError;
use crate::row::Row;
use crate::run::Run;
use crate::stream::{Operator, Stream};

/// What to sort by.
#[derive(Clone, Debug)]
pub(crate) enum SortKey {
    /// The value; NaN comes last either way.
    Value,
    /// These labels in natural order, then all labels.
    Labels(Vec<String>),
}

/// Sorts the rows of a single step.
pub(crate) struct Sort<'q> {
    run: &'q Run<'q>,
    input: Stream<'q>,
    key: SortKey,
    descending: bool,
    sorted: Option<(std::vec::IntoIter<Row>, Lease)>,
}

impl<'q> Sort<'q> {
    /// `input` has one step.
    pub(crate) fn new(run: &'q Run<'q>, input: Stream<'q>, key: SortKey, descending: bool) -> Self {
        Sort { run, input, key, descending, sorted: None }
    }

    fn order(&self, a: &Row, b: &Row) -> Ordering {
        let turn = |order: Ordering| if self.descending { order.reverse() } else { order };
        match &self.key {
            SortKey::Value => {
                let (a, b) = (a.get(0).unwrap_or(f64::NAN), b.get(0).unwrap_or(f64::NAN));
                a.partial_cmp(&b).map_or_else(|| a.is_nan().cmp(&b.is_nan()), turn)
            }
            SortKey::Labels(names) => {
                let by_names = names
                    .iter()
                    .map(|name| natural::compare(a.labels.value(name), b.labels.value(name)))
                    .find(|order| order.is_ne());
                turn(by_names.unwrap_or_else(|| a.labels.cmp(&b.labels)))
            }
        }
    }
}

impl Operator for Sort<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.sorted.is_none() {
            let (mut rows, memory) = collect_whole(self.run, &mut self.input, 1)?;
            rows.sort_by(|a, b| self.order(a, b));
            self.sorted = Some((rows.into_iter(), memory));
        }
        let Some(next) = self.sorted.as_mut().and_then(|(rows, _)| rows.next()) else { return Ok(false) };
        *row = next;
        Ok(true)
    }
}
