//! The LogQL engine: parsed queries to lines and series, over any [`LogSource`].
//!
//! A log query is a scan whose rows go through a [pipeline](novaobs_log_pipeline) one by one; the best
//! `limit` of them stay in a heap, and the store is told how far back it still has to look. A metric query is
//! evaluated from its range aggregations up, all steps at once: each range aggregation is one pass over one
//! scan, rows are added to cells of time, cells to windows, and vector aggregations and binary operations
//! work on the series that come of it.
//!
//! Range aggregations have two paths with the same answers. The row path sends each line through the
//! pipeline. The column path is taken when a query only filters and groups by names that stand in labels,
//! structured metadata or fields of JSON or logfmt lines: the store then returns those fields as columns,
//! filters and groups are worked out once per distinct value, and lines are not put together at all.
//!
//! ```
//! use novaobs_logql::{Query, QueryLimits, Value, run};
//! # use novaobs_model::{Labels, SelectError};
//! # use novaobs_model::logs::{LogCursor, LogScan, LogSource, LogStats, Tenant};
//! # use novaobs_model::select::QueryControl;
//! # struct Nothing;
//! # impl LogSource for Nothing {
//! #     fn scan<'a>(&'a self, _: &LogScan, _: &'a QueryControl) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
//! #         Err(SelectError::Storage("empty".to_owned()))
//! #     }
//! #     fn streams(&self, _: &Tenant, _: &[Vec<novaobs_model::Matcher>], _: i64, _: i64, _: &QueryControl,
//! #         _: &mut dyn FnMut(&Labels, LogStats)) -> Result<(), SelectError> { Ok(()) }
//! # }
//! # let store = Nothing;
//! use novaobs_logql_parser::{Expr, SampleExpr};
//! let query = Query {
//!     tenant: Tenant::new("fake"),
//!     expr: Expr::Sample(SampleExpr::VectorFn(2.0)),
//!     start: 0,
//!     end: 0,
//!     step: 0,
//!     interval: 0,
//!     limit: 100,
//!     newest_first: true,
//!     limits: QueryLimits { max_series: 500, max_bytes_read: 0 },
//! };
//! let answer = run(&store, &query, &QueryControl::unlimited()).unwrap();
//! let Value::Vector(series) = answer.value else { panic!("an instant query gives a vector") };
//! assert_eq!(series[0].points, [(0, 2.0)]);
//! ```

mod binary;
mod cells;
mod column_tests;
mod column_worker;
mod columns;
mod drive;
mod errors;
mod eval;
mod export;
mod job;
mod leaf;
mod limits;
mod log;
mod matrix;
mod over_time;
mod pushdown;
mod range;
mod rows;
mod series;
mod sink;
mod vector;
mod window;

use novaobs_logql_parser::{Expr, SampleExpr, VectorOp};
use novaobs_model::logs::{LogSource, ScanStats, Tenant};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, SelectError};

use eval::Env;
use matrix::{Line, Operand, by_labels};
use window::Steps;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// Whose entries.
    pub tenant: Tenant,
    /// What.
    pub expr: Expr,
    /// Unix nanoseconds. Of log queries: inclusive. Of metric queries: the first step; of instant ones the time.
    pub start: i64,
    /// Unix nanoseconds. Of log queries: exclusive. Of metric queries: the last step.
    pub end: i64,
    /// Nanoseconds between steps; 0: instant, a vector is answered (a metric query with `step == 0` has `start == end`).
    pub step: i64,
    /// Log queries: nanoseconds at least between two entries of the answer, whatever their streams; 0: all.
    pub interval: i64,
    /// Log queries: most entries.
    pub limit: usize,
    /// Log queries: newest first or oldest first; which entries a limit keeps.
    pub newest_first: bool,
    /// Bounds on the answer.
    pub limits: QueryLimits,
}

/// Bounds on an answer.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Most series of the final result; 0: any number.
    pub max_series: usize,
    /// Most bytes a query may read (decompressed); 0: any number.
    pub max_bytes_read: u64,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The rows.
    pub value: Value,
    /// What was done for it.
    pub stats: Stats,
    /// For the envelope's `warnings`.
    pub warnings: Vec<String>,
}

/// The rows of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a log query. In order of time over all streams when streams are merged by the reader; entries of
    /// each stream are in the order asked.
    Streams(Vec<Stream>),
    /// Of a metric query over a range.
    Matrix(Vec<Series>),
    /// Of an instant metric query; sorted by labels unless the query sorts. One point per series.
    Vector(Vec<Series>),
    /// Of a number.
    Scalar(f64),
}

/// Entries with the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Labels of the stream proper (after the pipeline).
    pub labels: Labels,
    /// Structured metadata labels (after the pipeline), common to the entries here.
    pub metadata: Labels,
    /// Labels that parsers and formatters made, common to the entries here.
    pub parsed: Labels,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unix nanoseconds.
    pub timestamp: i64,
    /// After the pipeline.
    pub line: String,
}

/// A series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Unix nanoseconds and value, by time.
    pub points: Vec<(i64, f64)>,
}

/// What was done for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Of the store.
    pub scan: ScanStats,
    /// Bytes of lines (and structured metadata) that went into the pipeline.
    pub processed_bytes: u64,
    /// Of these, structured metadata.
    pub metadata_bytes: u64,
    /// Lines that went into the pipeline.
    pub processed_lines: u64,
    /// Lines that came out of it.
    pub filtered_lines: u64,
    /// Entries returned.
    pub returned_entries: u64,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The user's: 400, the text as the peer says it.
    #[error("{0}")]
    Bad(String),
    /// The user's too, but found while running; the peer answers 500.
    #[error("{0}")]
    Execution(String),
    /// The store's, or stopped from outside.
    #[error(transparent)]
    Select(#[from] SelectError),
}

/// Answers a query. Blocks; works in up to four threads.
///
/// # Errors
/// [`QueryError`].
pub fn run(source: &dyn LogSource, query: &Query, control: &QueryControl) -> Result<Answer, QueryError> {
    answer(source, query, control, false)
}

/// [`run`] without the column path: what answers are compared with in tests.
///
/// # Errors
/// [`QueryError`].
#[doc(hidden)]
pub fn run_by_rows(
    source: &dyn LogSource,
    query: &Query,
    control: &QueryControl,
) -> Result<Answer, QueryError> {
    answer(source, query, control, true)
}

fn answer(
    source: &dyn LogSource,
    query: &Query,
    control: &QueryControl,
    row_path_only: bool,
) -> Result<Answer, QueryError> {
    limits::check_bytes(source, query, control)?;
    match &query.expr {
        Expr::Log(log) => {
            let (value, stats) = log::run(source, query, log, control)?;
            Ok(Answer { value, stats, warnings: Vec::new() })
        }
        Expr::Sample(expr) => {
            let instant = query.step <= 0;
            let steps = Steps::new(query.start, query.end, query.step).ok_or_else(|| {
                QueryError::Bad(
                    "the query has too many steps; increase the value of the step parameter".to_owned(),
                )
            })?;
            let mut env = Env::new(source, &query.tenant, steps, instant, control)?;
            env.row_path_only = row_path_only;
            let value = match eval::evaluate(&env, expr)? {
                Operand::Number(value) if instant => Value::Scalar(value),
                Operand::Number(value) => Value::Matrix(series(&env, env.constant(value))),
                Operand::Series(lines) if !instant => Value::Matrix(series(&env, by_labels(lines))),
                Operand::Series(lines) => Value::Vector(series(&env, in_answer_order(lines, expr))),
            };
            if let Value::Matrix(all) | Value::Vector(all) = &value
                && query.limits.max_series > 0
                && all.len() > query.limits.max_series
            {
                return Err(errors::too_many_series(query.limits.max_series));
            }
            Ok(Answer { value, stats: env.stats(), warnings: Vec::new() })
        }
    }
}

/// Series of an instant query are in order of labels, unless the query sorts.
fn in_answer_order(mut lines: Vec<Line>, expr: &SampleExpr) -> Vec<Line> {
    if !sorts(expr) {
        // `label_replace` can give several series the same labels.
        let value = |line: &Line| line.points.first().map_or(0.0, |point| point.value);
        lines.sort_by(|a, b| a.labels.cmp(&b.labels).then_with(|| value(a).total_cmp(&value(b))));
    }
    lines
}

fn sorts(expr: &SampleExpr) -> bool {
    match expr {
        SampleExpr::Vector(aggregation) => {
            matches!(aggregation.op, VectorOp::Sort | VectorOp::SortDesc) || sorts(&aggregation.inner)
        }
        SampleExpr::Binary(both) => sorts(&both.left) || sorts(&both.right),
        SampleExpr::LabelReplace { inner, .. } => sorts(inner),
        SampleExpr::Range(_) | SampleExpr::Literal(_) | SampleExpr::VectorFn(_) => false,
    }
}

fn series(env: &Env<'_>, lines: Vec<Line>) -> Vec<Series> {
    let point = |point: &matrix::Point| (env.steps.time(point.step), point.value);
    let one = |line: Line| Series { points: line.points.iter().map(point).collect(), labels: line.labels };
    lines.into_iter().map(one).collect()
}

/// One row of a log query, after the pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Labels of the stream proper.
    pub labels: &'a Labels,
    /// Structured metadata labels.
    pub metadata: &'a Labels,
    /// Labels that parsers and formatters made.
    pub parsed: &'a Labels,
    /// Unix nanoseconds.
    pub timestamp: i64,
    /// The line.
    pub line: &'a str,
}

/// Hands every row of a log query to `each` in order of time, however many there are, until it returns
/// `false`; memory stays bounded. For full exports and cursors; `limit` is not looked at. Blocks.
///
/// # Errors
/// [`QueryError`].
pub fn export(
    source: &dyn LogSource,
    query: &Query,
    control: &QueryControl,
    each: &mut dyn FnMut(Row<'_>) -> bool,
) -> Result<Stats, QueryError> {
    let Expr::Log(log) = &query.expr else {
        return Err(QueryError::Bad("only log queries can be exported; this one gives series".to_owned()));
    };
    export::rows(source, query, log, control, &mut |row| {
        each(Row {
            labels: &row.labels.0,
            metadata: &row.labels.1,
            parsed: &row.labels.2,
            timestamp: row.time,
            line: &row.line,
        })
    })
}
