//! Runs one query: plans it, pulls its rows, gives them the shape of the answer.

use novaobs_model::{Labels, QueryControl, Samples, SeriesSamples, SeriesSource};
use novaobs_promql_parser::ast::{Expr, ExprKind, Extended, ValueType};

use crate::EvalTime;
use crate::functions::extended;
use crate::operators::feed::collect_whole;
use crate::plan::range_call::RangeVector;
use crate::plan::{Planner, string_of};
use crate::result::{QueryError, QueryResult, Value, VectorSample};
use crate::row::{Row, Timeline};
use crate::run::{QuerySpan, Run};

/// An engine's settings for one query, times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) lookback: i64,
    pub(crate) default_step: i64,
    pub(crate) max_samples: u64,
}

/// Levels of an expression that may be evaluated at all.
const MAX_DEPTH: usize = 5_000;
/// Levels that fit on the stack of any thread.
const SHALLOW: usize = 64;
/// Stack one level takes at most, planning and evaluating, without optimisation.
const STACK_PER_LEVEL: usize = 32 << 10;

/// Evaluates `expr`, the parsed `text`, at `time`; a deeply nested one on a thread with a larger stack.
pub(crate) fn execute(
    source: &dyn SeriesSource,
    text: &str,
    expr: &Expr,
    time: EvalTime,
    settings: Settings,
    control: &QueryControl,
) -> Result<QueryResult, QueryError> {
    let depth = depth(expr);
    if depth <= SHALLOW {
        return execute_here(source, text, expr, time, settings, control);
    }
    if depth > MAX_DEPTH {
        return Err(QueryError::Execution(format!(
            "expression is nested {depth} levels deep, more than the {MAX_DEPTH} that can be evaluated"
        )));
    }
    std::thread::scope(|scope| {
        let run = || execute_here(source, text, expr, time, settings, control);
        let builder = std::thread::Builder::new().stack_size(depth * STACK_PER_LEVEL);
        let thread = builder
            .spawn_scoped(scope, run)
            .map_err(|error| QueryError::Execution(format!("cannot start a thread: {error}")))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Levels of `expr`, counted without recursion.
fn depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    let mut rest = vec![(expr, 1)];
    while let Some((expr, level)) = rest.pop() {
        deepest = deepest.max(level);
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary { expr: inner, .. } => rest.push((inner, level + 1)),
            ExprKind::Subquery(subquery) => rest.push((&subquery.expr, level + 1)),
            ExprKind::Binary(binary) => rest.extend([(&binary.left, level + 1), (&binary.right, level + 1)]),
            ExprKind::Aggregate(aggregate) => {
                rest.push((&aggregate.expr, level + 1));
                rest.extend(aggregate.param.iter().map(|param| (param, level + 1)));
            }
            ExprKind::Call(call) => rest.extend(call.args.iter().map(|arg| (arg, level + 1))),
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::VectorSelector(_)
            | ExprKind::MatrixSelector(_) => {}
        }
    }
    deepest
}

fn execute_here(
    source: &dyn SeriesSource,
    text: &str,
    expr: &Expr,
    time: EvalTime,
    settings: Settings,
    control: &QueryControl,
) -> Result<QueryResult, QueryError> {
    let (span, timeline) = match time {
        EvalTime::Instant(at) => (QuerySpan { start: at, end: at, step: 0 }, Timeline::once(at)),
        EvalTime::Range { start, end, step } => {
            (QuerySpan { start, end, step }, Timeline::range(start, end, step))
        }
    };
    let Settings { lookback, default_step, max_samples } = settings;
    let run = Run::new(source, control, lookback, default_step, span, max_samples);
    run.admit(&timeline)?;
    let _columns = control.pool().take(timeline.row_bytes())?;
    let planner = Planner { run: &run };
    let value = match time {
        EvalTime::Instant(at) => instant(planner, expr, at)?,
        EvalTime::Range { .. } => range(planner, expr, timeline)?,
    };
    let (warnings, infos) = run.take_annotations().texts(text);
    Ok(QueryResult { value, warnings, infos, stats: run.stats() })
}

fn instant(planner: Planner<'_>, expr: &Expr, at: i64) -> Result<Value, QueryError> {
    let timeline = Timeline::once(at);
    match expr.value_type() {
        ValueType::String => Ok(Value::String(at, string_of(expr).to_owned())),
        ValueType::Scalar => Ok(Value::Scalar(at, planner.scalar(expr, timeline)?.at(0))),
        ValueType::Vector => {
            let mut stream = planner.vector(expr, timeline)?;
            let (rows, _memory) = collect_whole(planner.run, &mut stream, 1)?;
            let sample = |row: Row| {
                let value = row.get(0)?;
                Some(VectorSample { labels: row.labels, timestamp: at, value })
            };
            Ok(Value::Vector(rows.into_iter().filter_map(sample).collect()))
        }
        ValueType::Matrix => {
            let vector = planner.range_vector(expr, timeline)?;
            let mut series = windows(planner.run, vector)?;
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            Ok(Value::Matrix(series))
        }
    }
}

fn range(planner: Planner<'_>, expr: &Expr, timeline: Timeline) -> Result<Value, QueryError> {
    let mut series = match expr.value_type() {
        ValueType::Scalar => {
            let column = planner.scalar(expr, timeline)?;
            let values: Vec<f64> = (0..timeline.count).map(|step| column.at(step)).collect();
            let samples = Samples { timestamps: timeline.times().collect(), values };
            vec![SeriesSamples { labels: Labels::empty(), samples }]
        }
        ValueType::Vector => {
            let mut stream = planner.vector(expr, timeline)?;
            let (rows, _memory) = collect_whole(planner.run, &mut stream, timeline.count)?;
            rows.into_iter().map(|row| to_series(row, timeline)).collect()
        }
        other => {
            return Err(QueryError::Execution(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                other.describe()
            )));
        }
    };
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Value::Matrix(series))
}

fn to_series(row: Row, timeline: Timeline) -> SeriesSamples {
    if row.present.is_full() {
        let samples = Samples { timestamps: timeline.times().collect(), values: row.values };
        return SeriesSamples { labels: row.labels, samples };
    }
    let mut samples = Samples::default();
    row.iter().for_each(|(step, value)| samples.push(timeline.at(step), value));
    SeriesSamples { labels: row.labels, samples }
}

/// The samples of a range vector at its only step: the value of an instant query like `up[5m]`.
fn windows(run: &Run<'_>, mut vector: RangeVector<'_>) -> Result<Vec<SeriesSamples>, QueryError> {
    let end = vector.windows.ends.start;
    let start = end.saturating_sub(vector.windows.range);
    let (first, last) = vector.windows.reach();
    let mut all = Vec::new();
    let mut memory = run.memory()?;
    let mut tally = run.tally();
    let mut series = SeriesSamples::default();
    while vector.feed.next(&mut series)? {
        let times = &series.samples.timestamps;
        let from = times.partition_point(|time| *time < first);
        let past = times.partition_point(|time| *time <= last);
        let times = times.get(from..past).unwrap_or_default();
        let values = series.samples.values.get(from..past).unwrap_or_default();
        let samples = match vector.extended {
            None => Samples { timestamps: times.to_vec(), values: values.to_vec() },
            Some(kind) => with_edges(times, values, start, end, kind),
        };
        if samples.is_empty() {
            continue;
        }
        run.looked_at(samples.len() as u64);
        tally.add(samples.len() as u64)?;
        memory.grow((samples.len() * 16 + series.labels.heap_bytes() + 64) as u64)?;
        all.push(SeriesSamples { labels: std::mem::take(&mut series.labels), samples });
    }
    Ok(all)
}

/// The samples inside of a window with the values at its edges.
fn with_edges(times: &[i64], values: &[f64], start: i64, end: i64, kind: Extended) -> Samples {
    let mut samples = Samples::default();
    if let Some(edges) = extended::edges((times, values), start, end, kind == Extended::Smoothed, false) {
        samples.push(start, edges.left);
        let inside = times.iter().zip(values).take(edges.between.end).skip(edges.between.start);
        inside.for_each(|(time, value)| samples.push(*time, *value));
        samples.push(end, edges.right);
    }
    samples
}
