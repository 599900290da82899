//! Series over the steps of a query: what every operator of the engine takes and gives.

use std::collections::BTreeMap;

use novaobs_model::Labels;

/// A value at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Which step.
    pub(crate) step: u32,
    /// What.
    pub(crate) value: f64,
}

/// One series; steps without a value are left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Who it is.
    pub(crate) labels: Labels,
    /// By step, not none.
    pub(crate) points: Vec<Point>,
}

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// The same number at every step.
    Number(f64),
    /// Series. Their order is that of the answer where the query sorts, else it means nothing.
    Series(Vec<Line>),
}

/// Sorts series by labels and joins those with equal ones.
pub(crate) fn by_labels(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut out: Vec<Line> = Vec::with_capacity(lines.len());
    for line in lines {
        match out.last_mut() {
            Some(last) if last.labels == line.labels => {
                last.points.extend(line.points);
                last.points.sort_by_key(|point| point.step);
            }
            _ => out.push(line),
        }
    }
    out
}

/// All points, step by step: for each step that has any, the series (by number) and values in the order of
/// `lines`.
pub(crate) fn by_step(lines: &[Line]) -> BTreeMap<u32, Vec<(u32, f64)>> {
    let mut steps: BTreeMap<u32, Vec<(u32, f64)>> = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        for point in &line.points {
            steps.entry(point.step).or_default().push((number as u32, point.value));
        }
    }
    steps
}
