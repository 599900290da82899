//! Pipelines of LogQL, row by row: filters, parsers, formatters, label sets.

use novaobs_logql_parser::{Stage, Unwrap};
use novaobs_model::Labels;

/// A pipeline cannot be built: the user's mistake, the text as the peer says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(pub String);

/// A compiled pipeline; cheap to share, keeps what it learns of streams.
pub struct Pipeline {}

impl Pipeline {
    /// Compiles stages, and for metric queries with an unwrap its conversion and filters.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile(_stages: &[Stage], _unwrap: Option<&Unwrap>) -> Result<Pipeline, CompileError> {
        Err(CompileError("not built yet".to_owned()))
    }

    /// What runs the rows of one stream; reuses its buffers from row to row.
    pub fn stream(&self, _labels: &Labels) -> StreamPipeline<'_> {
        StreamPipeline { pipeline: self }
    }
}

/// A pipeline at one stream.
pub struct StreamPipeline<'p> {
    #[expect(dead_code, reason = "being built")]
    pipeline: &'p Pipeline,
}

impl StreamPipeline<'_> {
    /// Runs one row; `None` when a filter leaves it out. The result borrows buffers until the next call.
    pub fn run<'a, 'm>(
        &'a mut self,
        _timestamp: i64,
        _line: &'a str,
        _metadata: impl Iterator<Item = (&'m str, &'m str)>,
    ) -> Option<Row<'a>> {
        None
    }
}

/// A row behind the pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The line, perhaps rewritten.
    pub line: &'a str,
    /// The value of an unwrapped row; `None` without unwrap, and where it failed (`__error__` is set then).
    pub value: Option<f64>,
    /// Labels of the row by category.
    pub labels: &'a RowLabels,
}

/// Labels of a row: of the stream, of structured metadata, and of parsers and formatters. A name stands in
/// one category.
#[derive(Clone, Debug, Default)]
pub struct RowLabels {}

impl RowLabels {
    /// The value of a label of any category; `__error__` and `__error_details__` too.
    pub fn get(&self, _name: &str) -> Option<&str> {
        None
    }

    /// All labels as one set, for results without categories and for bare metric queries.
    pub fn merged(&self) -> Labels {
        Labels::default()
    }

    /// Labels of the stream, of structured metadata and of parsers and formatters.
    pub fn categories(&self) -> (Labels, Labels, Labels) {
        Default::default()
    }

    /// Only these labels (`by`), or all but these (`without`).
    pub fn grouped(&self, _without: bool, _names: &[String]) -> Labels {
        Labels::default()
    }

    /// A hash that is equal for rows with equal merged labels, for look-ups without building a set.
    pub fn hash(&self) -> u64 {
        0
    }
}
