//! The LogQL engine.

use novaobs_logql_parser::Expr;
use novaobs_model::logs::{LogSource, ScanStats, Tenant};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, SelectError};

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
    /// Log queries: nanoseconds at least between two entries of a stream; 0: all.
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
    /// The store's, or stopped from outside.
    #[error(transparent)]
    Select(#[from] SelectError),
}

/// Answers a query. Blocks.
///
/// # Errors
/// [`QueryError`].
pub fn run(_source: &dyn LogSource, _query: &Query, _control: &QueryControl) -> Result<Answer, QueryError> {
    Err(QueryError::Bad("not built yet".to_owned()))
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
    _source: &dyn LogSource,
    _query: &Query,
    _control: &QueryControl,
    _each: &mut dyn FnMut(Row<'_>) -> bool,
) -> Result<Stats, QueryError> {
    Err(QueryError::Bad("not built yet".to_owned()))
}
