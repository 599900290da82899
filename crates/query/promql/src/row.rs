//! What flows between operators: one series as a row of values over the steps of a timeline.

use novaobs_model::Labels;

use crate::steps::Steps;

/// The times an expression is evaluated at: `start`, `start + step`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// Unix milliseconds of step 0.
    pub(crate) start: i64,
    /// Milliseconds between steps, > 0.
    pub(crate) step: i64,
    /// The number of steps; may be 0 inside of subqueries.
    pub(crate) count: usize,
}

impl Timeline {
    /// One evaluation.
    pub(crate) fn once(at: i64) -> Self {
        Timeline { start: at, step: 1, count: 1 }
    }

    /// `start`, `start + step`, … while <= `end`.
    pub(crate) fn range(start: i64, end: i64, step: i64) -> Self {
        let step = step.max(1);
        let span = i128::from(end) - i128::from(start);
        let count =
            if span < 0 { 0 } else { usize::try_from(span / i128::from(step) + 1).unwrap_or(usize::MAX) };
        Timeline { start, step, count }
    }

    /// The time of step number `index`.
    pub(crate) fn at(&self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(index as i64))
    }

    /// The time of the last step.
    pub(crate) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// The times in order.
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |index| self.at(index))
    }

    /// Bytes of one row over this timeline.
    pub(crate) fn row_bytes(&self) -> u64 {
        (self.count as u64).saturating_mul(8).saturating_add(self.count as u64 / 8 + 128)
    }
}

/// One series: its labels and a value per step where `present` says so. Values of absent steps mean nothing.
///
/// A stream of rows may hold several rows with the same labels as long as no step is present in two of
/// them: together they are one series (see [`crate::stream::Stream::fragments`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Who it is.
    pub(crate) labels: Labels,
    /// As long as the timeline.
    pub(crate) values: Vec<f64>,
    /// Where `values` holds.
    pub(crate) present: Steps,
}

impl Row {
    /// An empty row over `count` steps.
    pub(crate) fn new(labels: Labels, count: usize) -> Self {
        Row { labels, values: vec![0.0; count], present: Steps::none(count) }
    }

    /// Empties the row for `count` steps, keeping its memory. Old values stay where they are absent.
    pub(crate) fn reset(&mut self, count: usize) {
        self.values.resize(count, 0.0);
        self.present.reset(count);
    }

    /// Sets the value of `step`.
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        if let Some(slot) = self.values.get_mut(step) {
            *slot = value;
            self.present.insert(step);
        }
    }

    /// The value of `step`, if present.
    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        if self.present.contains(step) { self.values.get(step).copied() } else { None }
    }

    /// (step, value) of the present steps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.present.iter().filter_map(|step| Some((step, *self.values.get(step)?)))
    }

    /// Changes the value of every present step in place.
    pub(crate) fn map(&mut self, mut change: impl FnMut(usize, f64) -> f64) {
        if self.present.is_full() {
            self.values.iter_mut().enumerate().for_each(|(step, value)| *value = change(step, *value));
            return;
        }
        for step in self.present.iter() {
            if let Some(value) = self.values.get_mut(step) {
                *value = change(step, *value);
            }
        }
    }

    /// Bytes of memory behind the row.
    pub(crate) fn bytes(&self) -> u64 {
        (self.values.len() * 8 + self.values.len() / 8 + self.labels.heap_bytes() + 96) as u64
    }
}

/// A scalar over the steps of a timeline: it has a value at every step.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// The same everywhere.
    Constant(f64),
    /// One per step.
    PerStep(Vec<f64>),
}

impl Column {
    /// The value at `step`.
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Column::Constant(value) => *value,
            Column::PerStep(values) => values.get(step).copied().unwrap_or(f64::NAN),
        }
    }

    /// Applies `f` to every value.
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Column {
        match self {
            Column::Constant(value) => Column::Constant(f(value)),
            Column::PerStep(mut values) => {
                values.iter_mut().for_each(|value| *value = f(*value));
                Column::PerStep(values)
            }
        }
    }

    /// Combines two columns step by step.
    pub(crate) fn zip(self, other: Column, f: impl Fn(f64, f64) -> f64) -> Column {
        match (self, other) {
            (Column::Constant(a), Column::Constant(b)) => Column::Constant(f(a, b)),
            (Column::Constant(a), b) => b.map(|b| f(a, b)),
            (a, Column::Constant(b)) => a.map(|a| f(a, b)),
            (Column::PerStep(mut a), Column::PerStep(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, b));
                Column::PerStep(a)
            }
        }
    }

    /// The values over `count` steps; one value stands for all of a constant unless there is no step.
    pub(crate) fn values(&self, count: usize) -> impl Iterator<Item = f64> + '_ {
        let (constant, rest) = match self {
            Column::Constant(value) => (Some(*value).filter(|_| count > 0), [].as_slice()),
            Column::PerStep(values) => (None, values.as_slice()),
        };
        constant.into_iter().chain(rest.iter().copied())
    }
}
