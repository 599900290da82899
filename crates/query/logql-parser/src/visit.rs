//! Walks over trees.

use crate::ast::{Expr, LogExpr, LogRange, SampleExpr};
use novaobs_model::Matcher;

/// Calls `visit` for each range of an expression, left to right.
pub fn ranges<'e>(expr: &'e SampleExpr, visit: &mut impl FnMut(&'e LogRange)) {
    match expr {
        SampleExpr::Range(aggregation) => visit(&aggregation.range),
        SampleExpr::Vector(aggregation) => ranges(&aggregation.inner, visit),
        SampleExpr::Binary(binary) => {
            ranges(&binary.left, visit);
            ranges(&binary.right, visit);
        }
        SampleExpr::LabelReplace { inner, .. } => ranges(inner, visit),
        SampleExpr::Literal(_) | SampleExpr::VectorFn(_) => {}
    }
}

/// Selectors with their pipelines, left to right; none for an expression of constants.
pub fn log_exprs(expr: &Expr) -> Vec<&LogExpr> {
    let mut found = Vec::new();
    match expr {
        Expr::Log(log) => found.push(log),
        Expr::Sample(sample) => ranges(sample, &mut |range| found.push(&range.log)),
    }
    found
}

/// The matchers of each selector, left to right.
pub fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    log_exprs(expr).into_iter().map(|log| log.matchers.as_slice()).collect()
}

/// How far back of its time an expression reads: the largest window plus offset, in nanoseconds; 0 without
/// ranges.
pub fn max_lookback(expr: &Expr) -> i64 {
    let mut largest = 0;
    if let Expr::Sample(sample) = expr {
        ranges(sample, &mut |range| largest = largest.max(range.window.saturating_add(range.offset)));
    }
    largest
}

/// The largest window of an expression without its offset, in nanoseconds; 0 without ranges.
pub fn max_window(expr: &Expr) -> i64 {
    let mut largest = 0;
    if let Expr::Sample(sample) = expr {
        ranges(sample, &mut |range| largest = largest.max(range.window));
    }
    largest
}
