//! Calls of functions that give an instant vector.

use novaobs_model::{GoRegex, Labels};
use novaobs_promql_parser::ast::{Call, Expr, ExprKind, ValueType};

use super::{Planner, string_of, unparenthesized};
use crate::functions::{float, math};
use crate::operators::absent::{self, Absent};
use crate::operators::histogram::{HistogramCall, Question};
use crate::operators::info::Info;
use crate::operators::labels::{LabelChange, Relabel};
use crate::operators::selector::Reading;
use crate::operators::sort::{Sort, SortKey};
use crate::result::QueryError;
use crate::row::{Column, Row, Timeline};
use crate::stream::{Names, Stream, UniqueCheck, UniqueScope};

impl<'q> Planner<'q> {
    /// Plans a call.
    pub(crate) fn call(
        &self,
        call: &'q Call,
        expr: &'q Expr,
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let matrix = call.args.iter().map(unparenthesized).find(|arg| arg.value_type() == ValueType::Matrix);
        if let Some(matrix) = matrix {
            return self.range_call(call, matrix, timeline);
        }
        let name = call.function.name;
        let args: Vec<&'q Expr> = call.args.iter().map(unparenthesized).collect();
        if let Some(function) = math::by_name(name) {
            let Some(arg) = args.first() else {
                return Ok(self.date_of_now(function, timeline));
            };
            let input = self.vector(arg, timeline)?;
            return self
                .elementwise(input, Box::new(move |row: &mut Row| row.map(|_, value| function(value))));
        }
        match (name, args.as_slice()) {
            ("round" | "clamp" | "clamp_min" | "clamp_max", [arg, parameters @ ..]) => {
                self.with_parameters(name, arg, parameters, timeline)
            }
            ("timestamp", [arg]) => self.timestamp(arg, timeline),
            ("vector", [arg]) => {
                let mut row = Row::new(Labels::empty(), timeline.count);
                let column = self.scalar(arg, timeline)?;
                row.values.iter_mut().enumerate().for_each(|(step, value)| *value = column.at(step));
                row.present.fill();
                Ok(self.rows(vec![row]))
            }
            ("absent", [arg]) => {
                let labels = match &arg.kind {
                    ExprKind::VectorSelector(selector) => absent::labels_of(&selector.matchers),
                    _ => Labels::empty(),
                };
                let input = self.vector(arg, timeline)?;
                Ok(Stream::new(Absent::new(input, labels, timeline), Names::Dropped))
            }
            ("sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc", [arg, labels @ ..]) => {
                let by_label = name.starts_with("sort_by_label");
                let labels = labels.iter().map(|label| string_of(label).to_owned()).collect();
                let key = if by_label { SortKey::Labels(labels) } else { SortKey::Value };
                self.sort(arg, key, name.ends_with("_desc"), expr, timeline)
            }
            ("label_replace" | "label_join", [arg, target, rest @ ..]) => {
                self.relabel(name, arg, string_of(target), rest, timeline)
            }
            ("histogram_quantile", [quantile, arg]) => {
                let column = self.scalar(quantile, timeline)?;
                self.check_each_quantile(&column, quantile, timeline);
                self.histogram(arg, Question::Quantile(column), timeline)
            }
            ("histogram_quantiles", [arg, label, quantiles @ ..]) => {
                let mut columns = Vec::new();
                for quantile in quantiles {
                    let column = self.scalar(quantile, timeline)?;
                    self.check_each_quantile(&column, quantile, timeline);
                    columns.push(column);
                }
                let label = string_of(label).to_owned();
                self.histogram(arg, Question::Quantiles { label, quantiles: columns }, timeline)
            }
            ("histogram_fraction", [lower, upper, arg]) => {
                let (lower, upper) = (self.scalar(lower, timeline)?, self.scalar(upper, timeline)?);
                self.histogram(arg, Question::Fraction { lower, upper }, timeline)
            }
            // Of floats these know nothing.
            (
                "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev"
                | "histogram_stdvar" | "start_timestamp",
                [arg],
            ) => self.drained(self.vector(arg, timeline)?),
            ("info", [arg, selector @ ..]) => {
                let (fixed, offset) = self.info_time(arg)?.unwrap_or((None, 0));
                let base = self.vector(arg, timeline)?;
                let names = base.names;
                let start = fixed.unwrap_or(timeline.start).saturating_sub(offset);
                let step = if fixed.is_some() { 0 } else { timeline.step };
                let lookup = Timeline { start, step, count: timeline.count };
                let matchers = match selector.first().map(|selector| &selector.kind) {
                    Some(ExprKind::VectorSelector(selector)) => Some(selector.matchers.as_slice()),
                    _ => None,
                };
                let info = Info::new(self.run, base, matchers, timeline, lookup)?;
                Ok(Stream::new(info, names).fragmented(true))
            }
            _ => Err(QueryError::Execution(format!("unknown function with name {name:?}"))),
        }
    }

    /// A date function without argument: of the evaluation time.
    fn date_of_now(&self, function: fn(f64) -> f64, timeline: Timeline) -> Stream<'q> {
        let mut row = Row::new(Labels::empty(), timeline.count);
        for (value, time) in row.values.iter_mut().zip(timeline.times()) {
            *value = function((time / 1000) as f64);
        }
        row.present.fill();
        self.rows(vec![row])
    }

    /// Functions of one sample with scalar parameters.
    fn with_parameters(
        &self,
        name: &str,
        arg: &'q Expr,
        parameters: &[&'q Expr],
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let parameter = |index: usize, default: f64| match parameters.get(index) {
            Some(parameter) => self.scalar(parameter, timeline),
            None => Ok(Column::Constant(default)),
        };
        let input = self.vector(arg, timeline)?;
        if name == "round" {
            let to = parameter(0, 1.0)?;
            let round = move |row: &mut Row| row.map(|step, value| math::round(value, to.at(step)));
            return self.elementwise(input, Box::new(round));
        }
        let (low, high) = match name {
            "clamp_min" => (parameter(0, f64::NAN)?, Column::Constant(f64::INFINITY)),
            "clamp_max" => (Column::Constant(f64::NEG_INFINITY), parameter(0, f64::NAN)?),
            _ => (parameter(0, f64::NAN)?, parameter(1, f64::NAN)?),
        };
        let clamp = move |row: &mut Row| {
            // An empty interval gives nothing.
            row.present.retain(|step| {
                !matches!(high.at(step).partial_cmp(&low.at(step)), Some(std::cmp::Ordering::Less))
            });
            row.map(|step, value| float::max(low.at(step), float::min(high.at(step), value)));
        };
        self.elementwise(input, Box::new(clamp))
    }

    /// `timestamp(v)`: of a selector the samples' own times, of all else the evaluation's.
    fn timestamp(&self, arg: &'q Expr, timeline: Timeline) -> Result<Stream<'q>, QueryError> {
        if let ExprKind::VectorSelector(selector) = &arg.kind {
            let input = self.selector(selector, arg, timeline, Some(Reading::Timestamp))?;
            return self.elementwise(input, Box::new(|_: &mut Row| {}));
        }
        let input = self.vector(arg, timeline)?;
        let now = move |row: &mut Row| row.map(|step, _| timeline.at(step) as f64 / 1000.0);
        self.elementwise(input, Box::new(now))
    }

    fn sort(
        &self,
        arg: &'q Expr,
        key: SortKey,
        descending: bool,
        expr: &'q Expr,
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let input = self.vector(arg, timeline)?;
        if timeline.count > 1 {
            self.run.annotate(|notes| notes.sort_in_range_query(&expr.span));
            return Ok(input);
        }
        let names = input.names;
        Ok(Stream::new(Sort::new(self.run, input, key, descending), names))
    }

    fn relabel(
        &self,
        name: &str,
        arg: &'q Expr,
        target: &str,
        rest: &[&'q Expr],
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let text = |index: usize| rest.get(index).map_or("", |arg| string_of(arg)).to_owned();
        let change = if name == "label_replace" {
            let pattern = text(2);
            let regex = GoRegex::new(&pattern).map_err(|_| {
                QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
            })?;
            LabelChange::Replace { template: text(0), source: text(1), regex }
        } else {
            let sources: Vec<String> = rest.iter().skip(1).map(|arg| string_of(arg).to_owned()).collect();
            if let Some(source) = sources.iter().find(|source| source.is_empty()) {
                return Err(QueryError::Execution(format!(
                    "invalid source label name in label_join(): {source}"
                )));
            }
            LabelChange::Join { separator: text(0), sources }
        };
        if target.is_empty() {
            return Err(QueryError::Execution(format!(
                "invalid destination label name in {name}(): {target}"
            )));
        }
        let input = self.vector(arg, timeline)?;
        let names = if target == novaobs_model::METRIC_NAME { Names::Mixed } else { input.names };
        let unique = UniqueCheck::new(self.run, UniqueScope::PerStep)?;
        let operator = Relabel::new(input, target.to_owned(), change, unique);
        Ok(Stream::new(operator, names).fragmented(true))
    }

    fn histogram(
        &self,
        arg: &'q Expr,
        question: Question,
        timeline: Timeline,
    ) -> Result<Stream<'q>, QueryError> {
        let input = self.vector(arg, timeline)?;
        let unique = match question {
            // The label of the quantile may replace one of the histogram's.
            Question::Quantiles { .. } => Some(UniqueCheck::new(self.run, UniqueScope::PerStep)?),
            _ => UniqueCheck::for_dropped_name(self.run, input.names, UniqueScope::PerStep)?,
        };
        let fragments = unique.is_some();
        let operator = HistogramCall::new(self.run, input, question, arg.span.clone(), timeline, unique)?;
        Ok(Stream::new(operator, Names::Dropped).fragmented(fragments))
    }

    /// Warns about each value of a quantile outside of 0 to 1.
    fn check_each_quantile(&self, quantile: &Column, arg: &Expr, timeline: Timeline) {
        for value in quantile.values(timeline.count).filter(|value| !float::is_quantile(*value)) {
            self.run.annotate(|notes| notes.invalid_quantile(value, &arg.span));
        }
    }

    /// The fixed time and the offset of the first selector in `expr`, which `info` follows: a fixed time is
    /// the innermost `@`, offsets up to it add up. `None` if there is no selector.
    fn info_time(&self, expr: &'q Expr) -> Result<Option<(Option<i64>, i64)>, QueryError> {
        match &expr.kind {
            ExprKind::VectorSelector(selector) => {
                let fixed = selector.modifiers.at.map(|at| self.fixed_time(at));
                let offset = self.offset_of(&selector.modifiers, expr)?;
                Ok(Some((fixed, offset)))
            }
            ExprKind::MatrixSelector(matrix) => {
                let fixed = matrix.selector.modifiers.at.map(|at| self.fixed_time(at));
                let offset = self.offset_of(&matrix.selector.modifiers, expr)?;
                Ok(Some((fixed, offset)))
            }
            ExprKind::Subquery(subquery) => {
                let Some((fixed, offset)) = self.info_time(&subquery.expr)? else { return Ok(None) };
                if fixed.is_some() {
                    return Ok(Some((fixed, offset)));
                }
                let own = self.offset_of(&subquery.modifiers, expr)?;
                let fixed = subquery.modifiers.at.map(|at| self.fixed_time(at));
                Ok(Some((fixed, offset.saturating_add(own))))
            }
            ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => self.info_time(inner),
            ExprKind::Binary(binary) => match self.info_time(&binary.left)? {
                Some(found) => Ok(Some(found)),
                None => self.info_time(&binary.right),
            },
            ExprKind::Aggregate(aggregate) => self.info_time(&aggregate.expr),
            ExprKind::Call(call) => {
                for arg in &call.args {
                    if let Some(found) = self.info_time(arg)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            ExprKind::Number(_) | ExprKind::String(_) => Ok(None),
        }
    }

    fn offset_of(
        &self,
        modifiers: &novaobs_promql_parser::ast::Modifiers,
        expr: &Expr,
    ) -> Result<i64, QueryError> {
        match &modifiers.offset {
            Some(offset) => self.duration(offset, &expr.span, true),
            None => Ok(0),
        }
    }
}
