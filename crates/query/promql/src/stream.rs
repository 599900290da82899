//! Streams of rows, and the check that no two series of a vector are the same.

use std::collections::HashMap;

use novaobs_model::labels::{go_quote, is_legacy_label_name};
use novaobs_model::{Labels, Lease, METRIC_NAME};

use crate::result::QueryError;
use crate::row::Row;
use crate::run::Run;
use crate::steps::Steps;

/// Produces the rows of an instant vector over a timeline, one series at a time.
pub(crate) trait Operator {
    /// Writes the next row into `row`, reusing its buffers; `false` at the end. Rows have at least one
    /// present step. Not called again after `false` or an error.
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError>;
}

/// What is known about the metric names of a stream's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// No row has one.
    Dropped,
    /// All rows have the same: dropping it keeps them distinct.
    Same,
    /// Anything.
    Mixed,
}

/// An operator and what is known about its rows.
pub(crate) struct Stream<'q> {
    operator: Option<Box<dyn Operator + 'q>>,
    /// Its metric names.
    pub(crate) names: Names,
    /// Whether several rows may be parts of one series: same labels, no step in common. Operators that
    /// look at one step at a time need not care; the result and subqueries put them together.
    pub(crate) fragments: bool,
}

impl<'q> Stream<'q> {
    /// A stream of whole series.
    pub(crate) fn new(operator: impl Operator + 'q, names: Names) -> Self {
        Stream { operator: Some(Box::new(operator)), names, fragments: false }
    }

    /// The same with possibly fragmented series.
    pub(crate) fn fragmented(mut self, fragments: bool) -> Self {
        self.fragments = fragments;
        self
    }

    /// Writes the next row into `row`; `false` at the end, when the operator and what it held are freed.
    pub(crate) fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        let Some(operator) = &mut self.operator else { return Ok(false) };
        let more = operator.next(row)?;
        if !more {
            self.operator = None;
        }
        Ok(more)
    }
}

/// Remembers the series of a stream whose labels were changed, to refuse two with the same labels.
pub(crate) struct UniqueCheck {
    seen: HashMap<Labels, Steps>,
    memory: Lease,
    scope: UniqueScope,
}

/// What two rows with the same labels mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UniqueScope {
    /// An error if they share a step.
    PerStep,
    /// An error always: the peer checks functions over ranges so.
    WholeQuery,
}

/// The peer's text for two series with the same labels.
pub(crate) const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

impl UniqueCheck {
    /// A check of nothing yet.
    pub(crate) fn new(run: &Run<'_>, scope: UniqueScope) -> Result<Self, QueryError> {
        Ok(UniqueCheck { seen: HashMap::new(), memory: run.memory()?, scope })
    }

    /// A check where dropping the names of `input` can make labels collide.
    pub(crate) fn for_dropped_name(
        run: &Run<'_>,
        names: Names,
        scope: UniqueScope,
    ) -> Result<Option<Self>, QueryError> {
        if names == Names::Mixed { UniqueCheck::new(run, scope).map(Some) } else { Ok(None) }
    }

    /// Takes note of `row`.
    ///
    /// # Errors
    /// When an earlier row stands in its place.
    pub(crate) fn admit(&mut self, row: &Row) -> Result<(), QueryError> {
        match self.seen.get_mut(&row.labels) {
            Some(steps) => {
                if self.scope == UniqueScope::WholeQuery || steps.first_common(&row.present).is_some() {
                    return Err(QueryError::Execution(SAME_LABELSET.to_owned()));
                }
                steps.union(&row.present);
            }
            None => {
                self.memory.grow((row.labels.heap_bytes() + row.values.len() / 8 + 96) as u64)?;
                self.seen.insert(row.labels.clone(), row.present.clone());
            }
        }
        Ok(())
    }
}

/// The labels without what names the metric and its kind, which no longer hold once its values are
/// computed with.
pub(crate) fn drop_name(labels: &Labels) -> Labels {
    labels.without(|name| matches!(name, METRIC_NAME | "__type__" | "__unit__"))
}

/// The labels as error texts show them: the name among the others.
pub(crate) fn plain_text(labels: &Labels) -> String {
    let pairs = labels.iter().map(|(name, value)| {
        let name = if is_legacy_label_name(name) { name.to_owned() } else { go_quote(name) };
        format!("{name}={}", go_quote(value))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// Which labels of a series tell its group or match.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    keep: bool,
    names: Vec<String>,
}

impl Grouping {
    /// Only `names`: `by (…)` and `on (…)`.
    pub(crate) fn only(names: &[String]) -> Self {
        Grouping::new(true, names.to_vec())
    }

    /// All but `names` and the metric name: `without (…)` and `ignoring (…)`.
    pub(crate) fn all_but(names: &[String]) -> Self {
        let mut names = names.to_vec();
        names.push(METRIC_NAME.to_owned());
        Grouping::new(false, names)
    }

    fn new(keep: bool, mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        Grouping { keep, names }
    }

    /// The labels of `labels` that count.
    pub(crate) fn apply(&self, labels: &Labels) -> Labels {
        if self.keep && self.names.is_empty() {
            return Labels::empty();
        }
        labels.without(|name| self.has(name) != self.keep)
    }

    /// Whether the metric name counts.
    pub(crate) fn keeps_metric_name(&self) -> bool {
        self.keep && self.has(METRIC_NAME)
    }

    fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok()
    }
}
