//! What can go wrong with a query, and how errors of DataFusion become ours.

use datafusion::error::DataFusionError;
use novaobs_model::OverBudget;
use novaobs_model::select::{Interrupt, SelectError};

/// Why a query has no answer, or no rest of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Not SQL, or about tables, columns and functions there are not.
    #[error("{0}")]
    Invalid(String),
    /// SQL that would change something or reach outside.
    #[error("{0} is not allowed: only queries are (SELECT, EXPLAIN, DESCRIBE, SHOW TABLES, SHOW COLUMNS)")]
    Forbidden(String),
    /// A value that an operator or function could not work on.
    #[error("{0}")]
    Execution(String),
    /// More memory needed than the query may use.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupt),
    /// The store could not read something; the text names it.
    #[error("{0}")]
    Storage(String),
    /// A defect of the engine.
    #[error("the query stopped unexpectedly: {0}")]
    Internal(String),
}

impl From<SelectError> for SqlError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Interrupted(why) => SqlError::Interrupted(why),
            SelectError::OverBudget(over) => SqlError::OverBudget(over),
            SelectError::Storage(text) => SqlError::Storage(text),
        }
    }
}

/// An error of a scan as it passes through DataFusion, which wants errors it can clone.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Carried(SqlError);

/// Wraps an error for its way through DataFusion.
pub(crate) fn carry(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(Carried(error)))
}

/// What an error of planning means.
pub(crate) fn of_planning(error: &DataFusionError) -> SqlError {
    match of_running(error, None) {
        // Types that do not fit are an internal error there.
        SqlError::Execution(text) | SqlError::Internal(text) => SqlError::Invalid(text),
        other => other,
    }
}

/// What an error of running means; `refused` is what the memory pool refused last.
pub(crate) fn of_running(error: &DataFusionError, refused: Option<OverBudget>) -> SqlError {
    let root = error.find_root();
    match root {
        DataFusionError::External(inner) => match inner.downcast_ref::<Carried>() {
            Some(Carried(ours)) => ours.clone(),
            None => SqlError::Execution(inner.to_string()),
        },
        DataFusionError::ResourcesExhausted(text) => match refused {
            Some(over) => SqlError::OverBudget(over),
            None => SqlError::Execution(first_line(text)),
        },
        DataFusionError::Internal(text) => SqlError::Internal(first_line(text)),
        DataFusionError::SQL(parser, _) => SqlError::Invalid(parser.to_string()),
        DataFusionError::Plan(text) | DataFusionError::Execution(text) => {
            SqlError::Execution(first_line(text))
        }
        DataFusionError::Diagnostic(_, inner) => of_running(inner, refused),
        other => SqlError::Execution(first_line(&other.strip_backtrace())),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
