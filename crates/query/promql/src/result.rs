//! What a query gives back: values, warnings, statistics, errors.

use novaobs_model::{Interrupt, Labels, OverBudget, SelectError, SeriesSamples};

/// A finished query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// What it evaluated to.
    pub value: Value,
    /// Complete texts, `PromQL warning: … (line:column)`, sorted, unique.
    pub warnings: Vec<String>,
    /// Complete texts, `PromQL info: … (line:column)`, sorted, unique.
    pub infos: Vec<String>,
    /// How much work it was.
    pub stats: QueryStats,
}

/// A query's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// (Unix milliseconds, value).
    Scalar(i64, f64),
    /// (Unix milliseconds, text).
    String(i64, String),
    /// An instant query's samples, in the order of the result.
    Vector(Vec<VectorSample>),
    /// A range query's series, sorted by labels; or an instant query of a range selector.
    Matrix(Vec<SeriesSamples>),
}

/// One sample of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// Unix milliseconds of the evaluation.
    pub timestamp: i64,
    /// The value.
    pub value: f64,
}

/// How much work a query was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at, counted per step they were used in, as the peer counts them.
    pub total_queryable_samples: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query's own fault, found while running; the text is the peer's.
    #[error("{0}")]
    Execution(String),
    /// More samples than `--query.max-samples` in memory at once.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// Took longer than it may.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The client went away.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// Needed more memory than its share.
    #[error("expanding series: {0}")]
    OverBudget(OverBudget),
    /// The store failed.
    #[error("expanding series: {0}")]
    Storage(String),
}

impl From<Interrupt> for QueryError {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Canceled => QueryError::Canceled,
            Interrupt::TimedOut => QueryError::Timeout,
        }
    }
}

impl From<OverBudget> for QueryError {
    fn from(error: OverBudget) -> Self {
        QueryError::OverBudget(error)
    }
}

impl From<SelectError> for QueryError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Interrupted(interrupt) => interrupt.into(),
            SelectError::OverBudget(over) => over.into(),
            SelectError::Storage(text) => QueryError::Storage(text),
        }
    }
}

impl Value {
    /// The name of the type in the API.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Scalar(..) => "scalar",
            Value::String(..) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}
