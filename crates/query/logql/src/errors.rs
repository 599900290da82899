//! Texts of the peer for queries that cannot be answered.

use novaobs_model::Labels;

use crate::QueryError;

/// A metric query met a row with an error.
pub(crate) fn pipeline_error(labels: &Labels) -> QueryError {
    let error = labels.value("__error__");
    QueryError::Bad(format!(
        "pipeline error: '{error}' for series: '{labels}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    ))
}

/// The answer has more series than may be.
pub(crate) fn too_many_series(limit: usize) -> QueryError {
    QueryError::Bad(format!(
        "maximum number of series ({limit}) reached for a single query; consider reducing query cardinality by \
         adding more specific stream selectors, reducing the time range, or aggregating results with functions \
         like sum(), count() or topk()"
    ))
}

/// Series of one side have the same labels to match on.
pub(crate) fn duplicate_series(side: &str) -> QueryError {
    QueryError::Execution(format!(
        "found duplicate series on the {side} hand-side;many-to-many matching not allowed: matching labels \
         must be unique on one side"
    ))
}

/// Several series match where only one may.
pub(crate) fn many_to_one() -> QueryError {
    QueryError::Execution(
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            .to_owned(),
    )
}

/// Results of a grouped match have the same labels.
pub(crate) fn not_unique() -> QueryError {
    QueryError::Execution(
        "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
    )
}
