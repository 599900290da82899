//! Aggregations that fold each group into one row: sum, avg, min, max, group, count, stddev, stdvar,
//! quantile. Only groups x steps are held, whatever the number of series.

use std::collections::HashMap;

use novaobs_model::{Labels, Lease};
use novaobs_promql_parser::ast::AggregateOp;

use crate::functions::float::{self, Kahan, Mean};
use crate::result::QueryError;
use crate::row::{Column, Row, Timeline};
use crate::run::{Run, Tally};
use crate::steps::Steps;
use crate::stream::{Grouping, Operator, Stream};

/// What one group has seen so far at each step.
enum State {
    Sum(Vec<Kahan>),
    Mean(Vec<Mean>),
    /// min, max, group and count keep just a number.
    Plain(Vec<f64>),
    Spread(Vec<Spread>),
    Values(Vec<Vec<f64>>),
}

/// Welford's running mean and sum of squared differences.
#[derive(Clone, Copy, Debug)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn from(value: f64) -> Self {
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Spread { count: 1.0, mean: value, squares }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let difference = value - self.mean;
        self.mean += difference / self.count;
        self.squares += difference * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / self.count
    }
}

struct Group {
    labels: Labels,
    seen: Steps,
    state: State,
}

/// An aggregation.
pub(crate) struct Aggregation<'q> {
    run: &'q Run<'q>,
    input: Stream<'q>,
    op: AggregateOp,
    grouping: Grouping,
    /// The quantile.
    parameter: Column,
    timeline: Timeline,
    memory: Lease,
    folded: Option<std::vec::IntoIter<Group>>,
    tally: Tally<'q>,
}

impl<'q> Aggregation<'q> {
    /// `op` over the groups of `input`.
    pub(crate) fn new(
        run: &'q Run<'q>,
        input: Stream<'q>,
        op: AggregateOp,
        grouping: Grouping,
        parameter: Column,
        timeline: Timeline,
    ) -> Result<Self, QueryError> {
        let memory = run.memory()?;
        Ok(Aggregation {
            run,
            input,
            op,
            grouping,
            parameter,
            timeline,
            memory,
            folded: None,
            tally: run.tally(),
        })
    }

    fn fold(&mut self) -> Result<Vec<Group>, QueryError> {
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut row = Row::default();
        while self.input.next(&mut row)? {
            self.run.control.check()?;
            let labels = self.grouping.apply(&row.labels);
            let place = match places.get(&labels) {
                Some(place) => *place,
                None => {
                    let group = new_group(self.op, labels.clone(), self.timeline.count);
                    self.memory.grow(group_bytes(&group, self.timeline.count))?;
                    places.insert(labels, groups.len());
                    groups.push(group);
                    groups.len() - 1
                }
            };
            if self.op == AggregateOp::Quantile {
                self.memory.grow(8 * row.present.count() as u64)?;
            }
            if let Some(group) = groups.get_mut(place) {
                group.add(self.op, &row);
            }
        }
        Ok(groups)
    }
}

fn new_group(op: AggregateOp, labels: Labels, steps: usize) -> Group {
    let state = match op {
        AggregateOp::Sum => State::Sum(vec![Kahan::default(); steps]),
        AggregateOp::Avg => State::Mean(vec![Mean::from(0.0); steps]),
        AggregateOp::Stddev | AggregateOp::Stdvar => State::Spread(vec![Spread::from(0.0); steps]),
        AggregateOp::Quantile => State::Values(vec![Vec::new(); steps]),
        _ => State::Plain(vec![0.0; steps]),
    };
    Group { labels, seen: Steps::none(steps), state }
}

fn group_bytes(group: &Group, steps: usize) -> u64 {
    let each = match group.state {
        State::Sum(_) => size_of::<Kahan>(),
        State::Mean(_) => size_of::<Mean>(),
        State::Plain(_) => size_of::<f64>(),
        State::Spread(_) => size_of::<Spread>(),
        State::Values(_) => size_of::<Vec<f64>>(),
    };
    (steps * each + steps / 8 + group.labels.heap_bytes() * 2 + 160) as u64
}

impl Group {
    fn add(&mut self, op: AggregateOp, row: &Row) {
        let seen = &self.seen;
        match &mut self.state {
            State::Sum(sums) if row.present.is_full() && seen.is_full() => {
                sums.iter_mut().zip(&row.values).for_each(|(sum, value)| sum.add(*value));
            }
            State::Sum(sums) => fold(sums, seen, row, Kahan::from, Kahan::add),
            State::Mean(means) => fold(means, seen, row, Mean::from, Mean::add),
            State::Spread(spreads) => fold(spreads, seen, row, Spread::from, Spread::add),
            State::Values(lists) => {
                fold(lists, seen, row, |value| vec![value], |list, value| list.push(value))
            }
            State::Plain(values) => match op {
                AggregateOp::Max => fold(
                    values,
                    seen,
                    row,
                    |value| value,
                    |max, value| {
                        if *max < value || max.is_nan() {
                            *max = value;
                        }
                    },
                ),
                AggregateOp::Min => fold(
                    values,
                    seen,
                    row,
                    |value| value,
                    |min, value| {
                        if *min > value || min.is_nan() {
                            *min = value;
                        }
                    },
                ),
                AggregateOp::Count => fold(values, seen, row, |_| 1.0, |count, _| *count += 1.0),
                _ => fold(values, seen, row, |_| 1.0, |_, _| {}),
            },
        }
        self.seen.union(&row.present);
    }

    fn write(self, op: AggregateOp, quantile: &Column, row: &mut Row) {
        match self.state {
            State::Sum(sums) => row.values.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum.total()),
            State::Mean(means) => {
                row.values.iter_mut().zip(means).for_each(|(out, mean)| *out = mean.value())
            }
            State::Plain(values) => row.values = values,
            State::Spread(spreads) => row.values.iter_mut().zip(spreads).for_each(|(out, spread)| {
                *out = spread.variance();
                if op == AggregateOp::Stddev {
                    *out = out.sqrt();
                }
            }),
            State::Values(lists) => {
                for (step, (out, mut list)) in row.values.iter_mut().zip(lists).enumerate() {
                    *out = float::quantile(quantile.at(step), &mut list);
                }
            }
        }
        row.labels = self.labels;
        row.present = self.seen;
    }
}

/// Starts or continues the state of each present step.
fn fold<T>(states: &mut [T], seen: &Steps, row: &Row, first: impl Fn(f64) -> T, next: impl Fn(&mut T, f64)) {
    for (step, value) in row.iter() {
        if let Some(state) = states.get_mut(step) {
            if seen.contains(step) { next(state, value) } else { *state = first(value) }
        }
    }
}

impl Operator for Aggregation<'_> {
    fn next(&mut self, row: &mut Row) -> Result<bool, QueryError> {
        if self.folded.is_none() {
            self.folded = Some(self.fold()?.into_iter());
        }
        let Some(group) = self.folded.as_mut().and_then(Iterator::next) else { return Ok(false) };
        row.reset(self.timeline.count);
        group.write(self.op, &self.parameter, row);
        self.tally.add_row(row)?;
        Ok(true)
    }
}
