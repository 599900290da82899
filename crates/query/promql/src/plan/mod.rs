//! From syntax tree to operators.
//!
//! Planning walks the tree once. Scalars are evaluated on the way (they are one column each); vectors
//! become operators that do nothing until rows are pulled. What does not change from step to step is
//! planned for a single step and repeated.

mod call;
pub(crate) mod range_call;
mod scalar;
pub(crate) mod time;

use novaobs_promql_parser::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Expr, ExprKind, Extended, Matching, Span, ValueType,
    VectorSelector,
};

use crate::operators::aggregate::Aggregation;
use crate::operators::binary;
use crate::operators::count_values::CountValues;
use crate::operators::elementwise::{Change, Elementwise, Rows};
use crate::operators::join::Join;
use crate::operators::selector::{Reading, Selector};
use crate::operators::set::SetOperation;
use crate::operators::step_invariant::StepInvariant;
use crate::operators::topk::{LimitRatio, TopK};
use crate::result::QueryError;
use crate::row::{Column, Row, Timeline};
use crate::run::Run;
use crate::stream::{Grouping, Names, Stream, UniqueCheck, UniqueScope};

/// Plans the parts of one query.
#[derive(Clone, Copy)]
pub(crate) struct Planner<'q> {
    pub(crate) run: &'q Run<'q>,
}

/// The expression inside of parentheses.
pub(crate) fn unparenthesized(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// The text of a string argument.
pub(crate) fn string_of(expr: &Expr) -> &str {
    match &unparenthesized(expr).kind {
        ExprKind::String(text) => text,
        _ => "",
    }
}

impl<'q> Planner<'q> {
    /// Plans an instant vector over `timeline`.
    pub(crate) fn vector(&self, expr: &'q Expr, timeline: Timeline) -> Result<Stream<'q>, QueryError> {
        self.run.control.check()?;
        if timeline.count > 1 && time::is_step_invariant(expr) {
            let inner = self.vector(expr, Timeline::once(timeline.start))?;
            let names = inner.names;
            return Ok(Stream::new(StepInvariant::new(self.run, inner, timeline), names));
        }
        let fragments_matter = timeline.count > 1;
        let stream = match &expr.kind {
            ExprKind::VectorSelector(selector) => self.selector(selector, expr, timeline, None),
            ExprKind::Paren(inner) => self.vector(inner, timeline),
            ExprKind::Unary { negative: false, expr } => self.vector(expr, timeline),
            ExprKind::Unary { negative: true, expr } => {
                let input = self.vector(expr, timeline)?;
                self.elementwise(input, Box::new(|row: &mut Row| row.map(|_, value| -value)))
            }
            ExprKind::Binary(binary) => self.binary(binary, &expr.span, timeline),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, timeline),
            ExprKind::Call(call) => self.call(call, expr, timeline),
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::MatrixSelector(_)
            | ExprKind::Subquery(_) => {
                novaobs_model::never!("the parser lets only instant vectors stand here, got {:?}", expr.kind);
                Err(QueryError::Execution(format!("unexpected {}", expr.value_type().describe())))
            }
        }?;
        let fragments = stream.fragments && fragments_matter;
        Ok(stream.fragmented(fragments))
    }

    /// Plans an instant selector; `reading` overrides what its steps hold.
    fn selector(
        &self,
        selector: &'q VectorSelector,
        expr: &'q Expr,
        timeline: Timeline,
        reading: Option<Reading>,
    ) -> Result<Stream<'q>, QueryError> {
        let lookup = self.lookup(&selector.modifiers, &expr.span, timeline)?;
        let default = match selector.extended {
            Some(Extended::Smoothed) => Reading::Smoothed,
            _ => Reading::Value,
        };
        let reading = reading.unwrap_or(default);
        let operator = Selector::new(self.run, &selector.matchers, timeline, lookup, reading);
        Ok(Stream::new(operator, names_of(selector)))
    }

    /// Plans a function of single samples that drops the metric name.
    fn elementwise(&self, input: Stream<'q>, change: Change<'q>) -> Result<Stream<'q>, QueryError> {
        let unique = UniqueCheck::for_dropped_name(self.run, input.names, UniqueScope::PerStep)?;
        let fragments = input.fragments || unique.is_some();
        let operator = Elementwise::new(self.run, input, change, false, unique);
        Ok(Stream::new(operator, Names::Dropped).fragmented(fragments))
    }

    /// A stream of these rows, none of which has a name.
    fn rows(&self, rows: Vec<Row>) -> Stream<'q> {
        Stream::new(Rows::new(rows), Names::Dropped)
    }

    fn binary(&self, binary: &'q Binary, span: &Span, timeline: Timeline) -> Result<Stream<'q>, QueryError> {
        let Binary { op, left, right, matching, .. } = binary;
        match (left.value_type(), right.value_type()) {
            (ValueType::Scalar, _) => {
                let scalar = self.scalar(left, timeline)?;
                let input = self.vector(right, timeline)?;
                self.with_scalar(binary, input, scalar, true, span)
            }
            (_, ValueType::Scalar) => {
                let input = self.vector(left, timeline)?;
                let scalar = self.scalar(right, timeline)?;
                self.with_scalar(binary, input, scalar, false, span)
            }
            _ => {
                let Some(matching) = matching else {
                    novaobs_model::never!("two vectors without matching at {span:?}");
                    return Err(QueryError::Execution("two vectors without matching".to_owned()));
                };
                let left = self.vector(left, timeline)?;
                let right = self.vector(right, timeline)?;
                if op.is_set() {
                    return self.set_operation(*op, matching, left, right);
                }
                Join::stream(self.run, binary, matching, span.clone(), (left, right), timeline)
            }
        }
    }

    fn with_scalar(
        &self,
        binary: &Binary,
        input: Stream<'q>,
        scalar: Column,
        swap: bool,
        span: &Span,
    ) -> Result<Stream<'q>, QueryError> {
        let Binary { op, return_bool, .. } = *binary;
        if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            let (run, span) = (self.run, span.clone());
            let refuse: Change<'q> = Box::new(move |row: &mut Row| {
                run.annotate(|notes| notes.incompatible_types("float", op.as_str(), "float", &span));
                row.present.reset(row.values.len());
            });
            return self.elementwise(input, refuse);
        }
        let change: Change<'q> =
            Box::new(move |row: &mut Row| binary::with_scalar(op, row, &scalar, swap, return_bool));
        if binary::drops_name(op, return_bool) {
            return self.elementwise(input, change);
        }
        let (names, fragments) = (input.names, input.fragments);
        let operator = Elementwise::new(self.run, input, change, true, None);
        Ok(Stream::new(operator, names).fragmented(fragments))
    }

    fn set_operation(
        &self,
        op: BinaryOp,
        matching: &Matching,
        left: Stream<'q>,
        right: Stream<'q>,
    ) -> Result<Stream<'q>, QueryError> {
        let signature =
            if matching.on { Grouping::only(&matching.labels) } else { Grouping::all_but(&matching.labels) };
        let (names, fragments) = match op {
            BinaryOp::Or if left.names == Names::Dropped && right.names == Names::Dropped => {
                (Names::Dropped, true)
            }
            BinaryOp::Or => (Names::Mixed, true),
            _ => (left.names, left.fragments),
        };
        let operator = SetOperation::new(self.run, op, left, right, signature)?;
        Ok(Stream::new(operator, names).fragmented(fragments))
    }

    fn aggregate(&self, aggregate: &'q Aggregate, timeline: Timeline) -> Result<Stream<'q>, QueryError> {
        let Aggregate { op, expr, param, without, labels } = aggregate;
        let param = param.as_ref().map(unparenthesized);
        let expr = unparenthesized(expr);
        if *op == AggregateOp::CountValues {
            return self.count_values(expr, param.map_or("", string_of), *without, labels, timeline);
        }
        let grouping = if *without { Grouping::all_but(labels) } else { Grouping::only(labels) };
        let names = if grouping.keeps_metric_name() { Names::Mixed } else { Names::Dropped };
        let parameter = match param {
            Some(param) => self.scalar(param, timeline)?,
            None => Column::Constant(0.0),
        };
        let param_span = param.map_or(0..0, |param| param.span.clone());
        let input = self.vector(expr, timeline)?;
        match op {
            AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK => {
                let (names, fragments) = (input.names, input.fragments);
                if !check_count(&parameter, timeline)? {
                    return self.drained(input);
                }
                let operator = TopK::new(self.run, input, *op, grouping, parameter, timeline)?;
                Ok(Stream::new(operator, names).fragmented(fragments))
            }
            AggregateOp::LimitRatio => {
                let (names, fragments) = (input.names, input.fragments);
                if !self.check_ratio(&parameter, timeline, &param_span)? {
                    return self.drained(input);
                }
                let operator = LimitRatio::new(self.run, input, parameter);
                Ok(Stream::new(operator, names).fragmented(fragments))
            }
            _ => {
                if *op == AggregateOp::Quantile {
                    self.check_quantile(&parameter, timeline, &param_span);
                }
                let operator = Aggregation::new(self.run, input, *op, grouping, parameter, timeline)?;
                Ok(Stream::new(operator, names))
            }
        }
    }

    fn count_values(
        &self,
        expr: &'q Expr,
        label: &str,
        without: bool,
        labels: &[String],
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        if label.is_empty() {
            return Err(QueryError::Execution("invalid label name \"\"".to_owned()));
        }
        let grouping = if without {
            Grouping::all_but(labels)
        } else {
            let mut labels = labels.to_vec();
            labels.push(label.to_owned());
            Grouping::only(&labels)
        };
        let names = if grouping.keeps_metric_name() { Names::Mixed } else { Names::Dropped };
        let input = self.vector(expr, timeline)?;
        let operator = CountValues::new(self.run, input, label.to_owned(), grouping, timeline)?;
        Ok(Stream::new(operator, names))
    }

    /// Evaluates `input` for its errors and annotations and gives nothing.
    fn drained(&self, input: Stream<'q>) -> Result<Stream<'q>, QueryError> {
        let change: Change<'q> = Box::new(|row: &mut Row| row.present.reset(row.values.len()));
        Ok(Stream::new(Elementwise::new(self.run, input, change, true, None), Names::Dropped))
    }

    /// Warns about quantiles outside of 0 to 1.
    fn check_quantile(&self, quantile: &Column, timeline: Timeline, span: &Span) {
        let (low, high, any_nan) = extent(quantile, timeline);
        self.run.annotate(|notes| {
            if any_nan {
                notes.invalid_quantile(f64::NAN, span);
            }
            if high > 1.0 {
                notes.invalid_quantile(high, span);
            }
            if low < 0.0 {
                notes.invalid_quantile(low, span);
            }
        });
    }

    /// Whether a ratio chooses anything; warns about those outside of -1 to 1.
    fn check_ratio(&self, ratio: &Column, timeline: Timeline, span: &Span) -> Result<bool, QueryError> {
        let (low, high, any_nan) = extent(ratio, timeline);
        if low == 0.0 && high == 0.0 {
            return Ok(false);
        }
        if any_nan {
            return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
        }
        self.run.annotate(|notes| {
            if high > 1.0 {
                notes.invalid_ratio(high, 1.0, span);
            }
            if low < -1.0 {
                notes.invalid_ratio(low, -1.0, span);
            }
        });
        Ok(true)
    }
}

/// What is known about the names of selected series.
fn names_of(selector: &VectorSelector) -> Names {
    let fixed = selector.matchers.iter().any(|matcher| {
        matcher.name == novaobs_model::METRIC_NAME && matcher.op == novaobs_model::MatchOp::Equal
    });
    if fixed { Names::Same } else { Names::Mixed }
}

/// (minimum, maximum, whether any is NaN); minimum and maximum are NaN if any is.
fn extent(column: &Column, timeline: Timeline) -> (f64, f64, bool) {
    let mut extent = (f64::MAX, f64::MIN, false);
    for value in column.values(timeline.count) {
        let (low, high, any_nan) = extent;
        extent = (
            crate::functions::float::min(low, value),
            crate::functions::float::max(high, value),
            any_nan || value.is_nan(),
        );
    }
    extent
}

/// The peer's bound of k: the largest float below 2^63.
const LARGEST_COUNT: f64 = 9_223_372_036_854_774_784.0;

/// Whether a k chooses anything anywhere.
fn check_count(k: &Column, timeline: Timeline) -> Result<bool, QueryError> {
    let (low, high, any_nan) = extent(k, timeline);
    if high < 1.0 {
        return Ok(false);
    }
    let text = crate::functions::gofmt::general;
    if any_nan {
        return Err(QueryError::Execution("Parameter value is NaN".to_owned()));
    }
    if low <= i64::MIN as f64 {
        return Err(QueryError::Execution(format!("Scalar value {} underflows int64", text(low))));
    }
    if high >= LARGEST_COUNT {
        return Err(QueryError::Execution(format!("Scalar value {} overflows int64", text(high))));
    }
    Ok(true)
}
