//! Calls of functions over ranges: where the samples come from, which windows, which function.

use novaobs_model::Labels;
use novaobs_promql_parser::ast::{Call, Expr, ExprKind, Extended, MatrixSelector, Span, Subquery};

use super::{Planner, names_of, unparenthesized};
use crate::functions::over_time::{Extreme, Quantile, SlidingSum, plain_by_name};
use crate::functions::rate::{CounterNames, Extrapolated, Instant, Transitions};
use crate::functions::regression::{Derivative, Prediction, Smoothing};
use crate::operators::absent::{self, Absent};
use crate::operators::feed::{Feed, StoreFeed, SubqueryFeed};
use crate::operators::range::{RangeCall, RangeFunction, Windows};
use crate::result::QueryError;
use crate::row::{Column, Timeline};
use crate::stream::{Names, Stream, UniqueCheck, UniqueScope};

/// Rows that a subquery's operators work on at the same time, about: memory is taken for them.
const ROWS_PER_SUBQUERY: u64 = 4;

/// A range vector ready to be read.
pub(crate) struct RangeVector<'q> {
    /// Its series.
    pub(crate) feed: Box<dyn Feed + 'q>,
    /// Its windows.
    pub(crate) windows: Windows,
    /// `anchored` or `smoothed`.
    pub(crate) extended: Option<Extended>,
    names: Names,
    /// Where annotations about it point.
    span: Span,
    /// What `absent_over_time` says about it.
    absent_labels: Labels,
}

impl<'q> Planner<'q> {
    /// Plans a range selector or a subquery.
    pub(crate) fn range_vector(
        &self,
        expr: &'q Expr,
        timeline: Timeline,
    ) -> Result<RangeVector<'q>, QueryError> {
        match &expr.kind {
            ExprKind::Paren(inner) => self.range_vector(inner, timeline),
            ExprKind::MatrixSelector(matrix) => self.range_selector(matrix, expr, timeline),
            ExprKind::Subquery(subquery) => self.subquery(subquery, expr, timeline),
            _ => {
                novaobs_model::never!("the parser lets only range vectors stand here, got {:?}", expr.kind);
                Err(QueryError::Execution(format!("unexpected {}", expr.value_type().describe())))
            }
        }
    }

    fn range_selector(
        &self,
        matrix: &'q MatrixSelector,
        expr: &'q Expr,
        timeline: Timeline,
    ) -> Result<RangeVector<'q>, QueryError> {
        let MatrixSelector { selector, range, .. } = matrix;
        let ends = self.lookup(&selector.modifiers, &expr.span, timeline)?;
        let range = self.duration(range, &expr.span, false)?;
        let lookback = self.run.lookback;
        let (before, after) = match selector.extended {
            None => (0, 0),
            Some(Extended::Anchored) => (lookback, 0),
            Some(Extended::Smoothed) => (lookback, lookback),
        };
        let windows = Windows { ends, range, before, after };
        let (first, last) = windows.reach();
        Ok(RangeVector {
            feed: Box::new(StoreFeed::new(self.run, &selector.matchers, first, last)),
            windows,
            extended: selector.extended,
            names: names_of(selector),
            span: expr.span.clone(),
            absent_labels: absent::labels_of(&selector.matchers),
        })
    }

    fn subquery(
        &self,
        subquery: &'q Subquery,
        expr: &'q Expr,
        timeline: Timeline,
    ) -> Result<RangeVector<'q>, QueryError> {
        let ends = self.lookup(&subquery.modifiers, &expr.span, timeline)?;
        let range = self.duration(&subquery.range, &expr.span, false)?;
        let step = match &subquery.step {
            Some(step) => Some(self.duration(step, &expr.span, false)?),
            None => None,
        };
        // With a fixed time all windows are the same one.
        let covered = if ends.step == 0 { Timeline { count: ends.count.min(1), ..ends } } else { ends };
        let inner = self.subquery_steps(covered, range, step)?;
        let columns = self.run.control.pool().take(inner.row_bytes().saturating_mul(ROWS_PER_SUBQUERY))?;
        let stream = self.vector(&subquery.expr, inner)?;
        Ok(RangeVector {
            names: stream.names,
            feed: Box::new(SubqueryFeed::new(self.run, stream, inner, columns)),
            windows: Windows { ends, range, before: 0, after: 0 },
            extended: None,
            // The peer loses the place of subqueries: annotations point at the query's start.
            span: 0..0,
            absent_labels: Labels::empty(),
        })
    }

    /// Plans a function whose argument `matrix` is a range vector.
    pub(crate) fn range_call(
        &self,
        call: &'q Call,
        matrix: &'q Expr,
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let name = call.function.name;
        let vector = self.range_vector(matrix, timeline)?;
        check_extended(name, vector.extended)?;
        let function = self.range_function(call, &vector, timeline)?;
        let RangeVector { feed, windows, names, absent_labels, .. } = vector;
        if name == "absent_over_time" {
            let present = RangeCall::new(self.run, feed, function, timeline, windows, true, None);
            let absent = Absent::new(Stream::new(present, names), absent_labels, timeline);
            return Ok(Stream::new(absent, Names::Dropped));
        }
        let keep_name = matches!(name, "last_over_time" | "first_over_time");
        let unique = if keep_name {
            None
        } else {
            UniqueCheck::for_dropped_name(self.run, names, UniqueScope::WholeQuery)?
        };
        let operator = RangeCall::new(self.run, feed, function, timeline, windows, keep_name, unique);
        Ok(Stream::new(operator, if keep_name { names } else { Names::Dropped }))
    }

    fn range_function(
        &self,
        call: &'q Call,
        vector: &RangeVector<'q>,
        timeline: Timeline,
    ) -> Result<Box<dyn RangeFunction + 'q>, QueryError> {
        let name = call.function.name;
        let parameter = |index: usize| match call.args.get(index).map(unparenthesized) {
            Some(arg) => self.scalar(arg, timeline),
            None => Ok(Column::Constant(f64::NAN)),
        };
        // From about this overlap on, the bookkeeping costs less than adding up each window.
        let overlap = vector.windows.range / vector.windows.ends.step.max(1);
        if matches!(name, "sum_over_time" | "avg_over_time") && overlap >= 16 && timeline.count > 1 {
            return Ok(Box::new(SlidingSum::new(name == "avg_over_time")));
        }
        if let Some(function) = plain_by_name(name) {
            return Ok(Box::new(function));
        }
        Ok(match name {
            "rate" | "increase" => {
                let span = vector.span.clone();
                let per_second = name == "rate";
                let (run, noted) = (self.run, String::new());
                match vector.extended {
                    None => {
                        let inner = Extrapolated::new(true, per_second);
                        Box::new(CounterNames { inner, run, span, noted })
                    }
                    Some(extended) => {
                        let smoothed = extended == Extended::Smoothed;
                        let inner =
                            crate::functions::extended::Extended { counter: true, per_second, smoothed };
                        Box::new(CounterNames { inner, run, span, noted })
                    }
                }
            }
            "delta" => match vector.extended {
                None => Box::new(Extrapolated::new(false, false)),
                Some(extended) => Box::new(crate::functions::extended::Extended {
                    counter: false,
                    per_second: false,
                    smoothed: extended == Extended::Smoothed,
                }),
            },
            "irate" => Box::new(Instant { rate: true }),
            "idelta" => Box::new(Instant { rate: false }),
            "changes" | "resets" => Box::new(Transitions::new(name == "resets", vector.extended.is_some())),
            "max_over_time" => Box::new(Extreme::new(true)),
            "min_over_time" => Box::new(Extreme::new(false)),
            "deriv" => Box::new(Derivative),
            "predict_linear" => Box::new(Prediction { ahead: parameter(1)? }),
            "double_exponential_smoothing" => {
                Box::new(Smoothing { smoothing: parameter(1)?, trend: parameter(2)? })
            }
            "quantile_over_time" => Box::new(Quantile {
                quantile: parameter(0)?,
                run: self.run,
                span: call.args.first().map_or(0..0, |arg| unparenthesized(arg).span.clone()),
                scratch: Vec::new(),
            }),
            _ => return Err(QueryError::Execution(format!("unknown function with name {name:?}"))),
        })
    }
}

/// Refuses functions that cannot take `anchored` or `smoothed` selectors.
fn check_extended(function: &str, extended: Option<Extended>) -> Result<(), QueryError> {
    let (modifier, allowed): (&str, &[&str]) = match extended {
        None => return Ok(()),
        Some(Extended::Anchored) => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        Some(Extended::Smoothed) => ("smoothed", &["delta", "increase", "rate"]),
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(QueryError::Execution(format!(
        "{modifier} modifier can only be used with: {allowed} - not with {function}"
    )))
}
