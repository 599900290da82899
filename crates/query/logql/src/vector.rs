//! Aggregations over the series of each step: `sum by (…)`, `topk`, `sort`.

use std::cmp::Ordering;
use std::collections::HashMap;

use novaobs_logql_parser::{Grouping, VectorAggregation, VectorOp};
use novaobs_model::Labels;

use crate::QueryError;
use crate::eval::Env;
use crate::matrix::{Line, Point, by_step};

/// Aggregates series.
pub(crate) fn aggregate(
    env: &Env<'_>,
    aggregation: &VectorAggregation,
    lines: Vec<Line>,
) -> Result<Vec<Line>, QueryError> {
    let k = usize::try_from(aggregation.parameter.unwrap_or(0)).unwrap_or(usize::MAX);
    match aggregation.op {
        VectorOp::Topk | VectorOp::ApproxTopk => choose(env, aggregation, lines, k, true),
        VectorOp::Bottomk => choose(env, aggregation, lines, k, false),
        VectorOp::Sort => Ok(sort(env, lines, false)),
        VectorOp::SortDesc => Ok(sort(env, lines, true)),
        VectorOp::Sum
        | VectorOp::Avg
        | VectorOp::Min
        | VectorOp::Max
        | VectorOp::Count
        | VectorOp::Stddev
        | VectorOp::Stdvar => combine(env, aggregation, lines),
    }
}

/// The labels of a series' group.
fn group_labels(labels: &Labels, grouping: Option<&Grouping>) -> Labels {
    match grouping {
        None => Labels::empty(),
        Some(Grouping { without: true, labels: names }) => {
            labels.without(|name| names.iter().any(|other| other == name))
        }
        Some(Grouping { labels: names, .. }) => {
            labels.without(|name| !names.iter().any(|other| other == name))
        }
    }
}

/// The group of each series, and the groups' labels.
fn groups(lines: &[Line], grouping: Option<&Grouping>) -> (Vec<usize>, Vec<Labels>) {
    let mut numbers: HashMap<Labels, usize> = HashMap::new();
    let mut labels = Vec::new();
    let mut of = Vec::with_capacity(lines.len());
    for line in lines {
        let group = group_labels(&line.labels, grouping);
        let number = *numbers.entry(group).or_insert_with_key(|group| {
            labels.push(group.clone());
            labels.len() - 1
        });
        of.push(number);
    }
    (of, labels)
}

/// What is known of a group at a step.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: f64,
    value: f64,
    mean: f64,
}

impl Sum {
    fn add(&mut self, op: VectorOp, value: f64) {
        self.count += 1.0;
        let first = self.count == 1.0;
        match op {
            VectorOp::Sum => self.value += value,
            VectorOp::Avg => self.mean += (value - self.mean) / self.count,
            VectorOp::Min if first || value < self.value || self.value.is_nan() => self.value = value,
            VectorOp::Max if first || value > self.value || self.value.is_nan() => self.value = value,
            VectorOp::Stddev | VectorOp::Stdvar => {
                let delta = value - self.mean;
                self.mean += delta / self.count;
                self.value += delta * (value - self.mean);
            }
            _ => {}
        }
    }

    fn result(&self, op: VectorOp) -> f64 {
        match op {
            VectorOp::Avg => self.mean,
            VectorOp::Count => self.count,
            VectorOp::Stdvar => self.value / self.count,
            VectorOp::Stddev => (self.value / self.count).sqrt(),
            _ => self.value,
        }
    }
}

fn combine(
    env: &Env<'_>,
    aggregation: &VectorAggregation,
    mut lines: Vec<Line>,
) -> Result<Vec<Line>, QueryError> {
    // Any order will do, as long as sums are rounded the same each time.
    lines.sort_by(|a, b| a.labels.as_packed().cmp(b.labels.as_packed()));
    let (of, labels) = groups(&lines, aggregation.grouping.as_ref());
    let steps = env.steps.count as usize;
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); labels.len()];
    for (line, group) in of.iter().enumerate() {
        if let Some(members) = members.get_mut(*group) {
            members.push(line);
        }
    }
    let mut out = Vec::with_capacity(labels.len());
    let mut sums: Vec<Sum> = vec![Sum::default(); steps];
    for (labels, members) in labels.into_iter().zip(members) {
        env.control.check().map_err(|stop| QueryError::Select(stop.into()))?;
        // A group of one series has few points; only what is touched is looked at again.
        let mut touched = Vec::new();
        for point in members.iter().filter_map(|line| lines.get(*line)).flat_map(|line| &line.points) {
            if let Some(sum) = sums.get_mut(point.step as usize) {
                if sum.count == 0.0 {
                    touched.push(point.step);
                }
                sum.add(aggregation.op, point.value);
            }
        }
        touched.sort_unstable();
        let mut points = Vec::with_capacity(touched.len());
        for step in touched {
            if let Some(sum) = sums.get_mut(step as usize) {
                points.push(Point { step, value: std::mem::take(sum).result(aggregation.op) });
            }
        }
        if !points.is_empty() {
            out.push(Line { labels, points });
        }
    }
    env.hold(out.iter().map(|line| line.points.len()).sum::<usize>() * size_of::<Point>())?;
    Ok(out)
}

/// By value, NaN last whichever way; equal ones in the order of labels.
fn before(a: f64, b: f64, greatest: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) if greatest => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

/// The `k` greatest or least of each group at each step, with all their labels.
fn choose(
    env: &Env<'_>,
    aggregation: &VectorAggregation,
    lines: Vec<Line>,
    k: usize,
    greatest: bool,
) -> Result<Vec<Line>, QueryError> {
    let (of, labels) = groups(&lines, aggregation.grouping.as_ref());
    let mut chosen: Vec<Vec<Point>> = vec![Vec::new(); lines.len()];
    let mut by_group: Vec<Vec<(u32, f64)>> = vec![Vec::new(); labels.len()];
    for (step, points) in by_step(&lines) {
        env.control.check().map_err(|stop| QueryError::Select(stop.into()))?;
        for (line, value) in points {
            if let Some(group) = of.get(line as usize).and_then(|group| by_group.get_mut(*group)) {
                group.push((line, value));
            }
        }
        for group in &mut by_group {
            let labels = |line: u32| lines.get(line as usize).map(|line| &line.labels);
            let order = |a: &(u32, f64), b: &(u32, f64)| {
                before(a.1, b.1, greatest).then_with(|| labels(a.0).cmp(&labels(b.0)))
            };
            if k < group.len() && k > 0 {
                group.select_nth_unstable_by(k - 1, order);
            }
            for (line, value) in group.drain(..).take(k) {
                if let Some(points) = chosen.get_mut(line as usize) {
                    points.push(Point { step, value });
                }
            }
        }
    }
    let lines = lines.into_iter().zip(chosen).filter(|(_, points)| !points.is_empty());
    Ok(lines.map(|(line, points)| Line { points, ..line }).collect())
}

/// Sorts the series of an instant query by value; over a range, an order would differ from step to step.
fn sort(env: &Env<'_>, mut lines: Vec<Line>, descending: bool) -> Vec<Line> {
    if !env.instant {
        return lines;
    }
    let value = |line: &Line| line.points.first().map_or(f64::NAN, |point| point.value);
    lines.sort_by(|a, b| before(value(a), value(b), descending).then_with(|| a.labels.cmp(&b.labels)));
    lines
}
