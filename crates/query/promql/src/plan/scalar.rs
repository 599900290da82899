//! Scalars: evaluated while planning, into one column.

use novaobs_promql_parser::ast::{Call, Expr, ExprKind};

use super::Planner;
use crate::functions::float;
use crate::operators::binary;
use crate::result::QueryError;
use crate::row::{Column, Row, Timeline};
use crate::steps::Steps;

impl<'q> Planner<'q> {
    /// Evaluates a scalar over `timeline`.
    pub(crate) fn scalar(&self, expr: &'q Expr, timeline: Timeline) -> Result<Column, QueryError> {
        Ok(match &expr.kind {
            ExprKind::Number(number) => Column::Constant(number.value),
            ExprKind::Paren(inner) | ExprKind::Unary { negative: false, expr: inner } => {
                self.scalar(inner, timeline)?
            }
            ExprKind::Unary { negative: true, expr: inner } => {
                self.scalar(inner, timeline)?.map(|value| -value)
            }
            ExprKind::Binary(binary) => {
                let left = self.scalar(&binary.left, timeline)?;
                let right = self.scalar(&binary.right, timeline)?;
                left.zip(right, |left, right| binary::scalars(binary.op, left, right))
            }
            ExprKind::Call(call) => self.scalar_call(call, timeline)?,
            _ => {
                novaobs_model::never!("the parser lets only scalars stand here, got {:?}", expr.kind);
                Column::Constant(f64::NAN)
            }
        })
    }

    fn scalar_call(&self, call: &'q Call, timeline: Timeline) -> Result<Column, QueryError> {
        let span = self.run.span;
        let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
        Ok(match (call.function.name, call.args.as_slice()) {
            ("pi", _) => Column::Constant(std::f64::consts::PI),
            ("time", _) => Column::PerStep(timeline.times().map(seconds).collect()),
            ("start", _) => Column::Constant(seconds(span.start)),
            ("end", _) => Column::Constant(seconds(span.end)),
            ("range", _) => Column::Constant(seconds(span.end.saturating_sub(span.start))),
            ("step", _) if span.start == span.end => Column::Constant(0.0),
            ("step", _) => Column::Constant(seconds(span.step)),
            ("min_of", [a, b]) => self.scalar(a, timeline)?.zip(self.scalar(b, timeline)?, float::min),
            ("max_of", [a, b]) => self.scalar(a, timeline)?.zip(self.scalar(b, timeline)?, float::max),
            ("scalar", [arg]) => self.only_sample(arg, timeline)?,
            (name, _) => return Err(QueryError::Execution(format!("unknown function with name {name:?}"))),
        })
    }

    /// `scalar(v)`: the value of the only series, NaN where there is none or more than one.
    fn only_sample(&self, arg: &'q Expr, timeline: Timeline) -> Result<Column, QueryError> {
        let mut input = self.vector(arg, timeline)?;
        let mut values = vec![f64::NAN; timeline.count];
        let mut seen = Steps::none(timeline.count);
        let mut row = Row::default();
        while input.next(&mut row)? {
            self.run.control.check()?;
            for (step, value) in row.iter() {
                if let Some(slot) = values.get_mut(step) {
                    *slot = if seen.contains(step) { f64::NAN } else { value };
                }
            }
            seen.union(&row.present);
        }
        Ok(Column::PerStep(values))
    }
}
