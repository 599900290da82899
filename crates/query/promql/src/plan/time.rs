//! When things are evaluated: offsets, `@`, computed durations, windows, subquery steps, and what does not
//! depend on the step.

use novaobs_promql_parser::ast::{
    At, BinaryOp, DurationExpr, DurationNode, Expr, ExprKind, Modifiers, Span, VectorSelector,
};

use super::{Planner, unparenthesized};
use crate::functions::float;
use crate::result::QueryError;
use crate::row::Timeline;

/// Functions of the evaluation time, which `@` on their arguments does not fix.
const TIME_DEPENDENT: [&str; 12] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start_timestamp",
];

/// Whether the value of `expr` is the same at every step.
pub(crate) fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::VectorSelector(selector) => is_fixed(selector),
        ExprKind::MatrixSelector(matrix) => is_fixed(&matrix.selector),
        ExprKind::Subquery(subquery) => subquery.modifiers.at.is_some(),
        ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => is_step_invariant(inner),
        ExprKind::Binary(binary) => is_step_invariant(&binary.left) && is_step_invariant(&binary.right),
        // The parameter does not count: the peer evaluates it once then.
        ExprKind::Aggregate(aggregate) => is_step_invariant(&aggregate.expr),
        ExprKind::Call(call) => {
            let fixed_selector = |arg: &Expr| match &unparenthesized(arg).kind {
                ExprKind::VectorSelector(selector) => is_fixed(selector),
                _ => false,
            };
            match call.function.name {
                "timestamp" => call.args.iter().all(fixed_selector),
                name if TIME_DEPENDENT.contains(&name) => false,
                _ => call.args.iter().all(is_step_invariant),
            }
        }
    }
}

fn is_fixed(selector: &VectorSelector) -> bool {
    selector.modifiers.at.is_some()
}

impl Planner<'_> {
    /// The time looked up at each step of `timeline`: moved by `offset`, or the same everywhere with `@`.
    pub(crate) fn lookup(
        &self,
        modifiers: &Modifiers,
        span: &Span,
        timeline: Timeline,
    ) -> Result<Timeline, QueryError> {
        let offset = match &modifiers.offset {
            Some(offset) => self.duration(offset, span, true)?,
            None => 0,
        };
        let (start, step) = match modifiers.at {
            None => (timeline.start, timeline.step),
            Some(at) => (self.fixed_time(at), 0),
        };
        Ok(Timeline { start: start.saturating_sub(offset), step, count: timeline.count })
    }

    /// The time an `@` names.
    pub(crate) fn fixed_time(&self, at: At) -> i64 {
        match at {
            At::Timestamp(time) => time,
            At::Start => self.run.span.start,
            At::End => self.run.span.end,
        }
    }

    /// The steps a subquery is evaluated at so that every window that ends on `ends` is covered: multiples
    /// of `step` after the start of the first window.
    pub(crate) fn subquery_steps(
        &self,
        ends: Timeline,
        range: i64,
        step: Option<i64>,
    ) -> Result<Timeline, QueryError> {
        let step = step.unwrap_or(self.run.default_step).max(1);
        if ends.count == 0 {
            return Ok(Timeline { start: ends.start, step, count: 0 });
        }
        let after = ends.start.saturating_sub(range);
        let aligned = after / step * step;
        let start = if aligned <= after { aligned.saturating_add(step) } else { aligned };
        let timeline = Timeline::range(start, ends.last(), step);
        self.run.admit(&timeline)?;
        Ok(timeline)
    }

    /// A duration in milliseconds.
    ///
    /// # Errors
    /// One that is not above zero although it must be, or cannot be computed.
    pub(crate) fn duration(
        &self,
        duration: &DurationExpr,
        span: &Span,
        negative_too: bool,
    ) -> Result<i64, QueryError> {
        let node = match duration {
            DurationExpr::Literal(milliseconds) => return Ok(*milliseconds),
            DurationExpr::Computed(node) => node,
        };
        let fail = |reason: &str| QueryError::Execution(format!("{}:{}: {reason}", span.start, span.end));
        let seconds = self.seconds(node).map_err(fail)?;
        if !seconds.is_finite() {
            return Err(fail("duration is NaN or infinite"));
        }
        if seconds <= 0.0 && !negative_too {
            return Err(fail("duration must be greater than 0"));
        }
        // Nanoseconds must fit in 64 bits, as in the peer.
        if seconds.abs() > 2f64.powi(63) / 1e9 {
            return Err(fail("duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, node: &DurationNode) -> Result<f64, &'static str> {
        let span = self.run.span;
        Ok(match node {
            DurationNode::Number(number) => number.value,
            DurationNode::Step => span.step as f64 / 1000.0,
            DurationNode::Range => span.end.saturating_sub(span.start) as f64 / 1000.0,
            DurationNode::Negative(inner) => -self.seconds(inner)?,
            DurationNode::Paren(inner) => self.seconds(inner)?,
            DurationNode::MinOf(a, b) => float::min(self.seconds(a)?, self.seconds(b)?),
            DurationNode::MaxOf(a, b) => float::max(self.seconds(a)?, self.seconds(b)?),
            DurationNode::Binary { op, left, right } => {
                let (left, right) = (self.seconds(left)?, self.seconds(right)?);
                match op {
                    BinaryOp::Div if right == 0.0 => return Err("division by zero"),
                    BinaryOp::Mod if right == 0.0 => return Err("modulo by zero"),
                    _ => crate::operators::binary::scalars(*op, left, right),
                }
            }
        })
    }
}
