//! The stages of a pipeline: one file each, behind one trait.

pub(crate) mod decolorize;
pub(crate) mod distinct;
pub(crate) mod drop;
pub(crate) mod json;
pub(crate) mod json_paths;
pub(crate) mod keep;
pub(crate) mod label_filter;
pub(crate) mod label_format;
pub(crate) mod line_filter;
pub(crate) mod line_format;
pub(crate) mod logfmt;
pub(crate) mod logfmt_names;
pub(crate) mod pattern;
pub(crate) mod regexp;
pub(crate) mod unpack;

use std::fmt;

use regex::CaptureLocations;

use crate::hints::Hints;
use crate::labels::RowLabels;

/// What became of a row at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on with its line.
    Keep,
    /// It goes on with the line in [`Context::rewritten`].
    Rewrote,
    /// It is left out.
    Drop,
}

impl Outcome {
    /// Keeps rows that pass.
    pub(crate) fn keep_if(passes: bool) -> Self {
        if passes { Outcome::Keep } else { Outcome::Drop }
    }
}

/// A row at a stage.
pub(crate) struct Context<'a> {
    /// Unix nanoseconds.
    pub timestamp: i64,
    /// The line as the stages before left it.
    pub line: &'a str,
    /// Labels so far.
    pub labels: &'a mut RowLabels,
    /// Empty; for the line of stages that rewrite it.
    pub rewritten: &'a mut String,
    /// What parsers need not do.
    pub hints: &'a Hints,
    /// Buffers that live as long as the stream is worked on.
    pub scratch: &'a mut Scratch,
}

/// Buffers of stages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    /// Any text.
    pub text: String,
    /// Another one.
    pub more: String,
    /// Groups of the expressions of `regexp` stages, by the number each stage has.
    pub groups: Vec<CaptureLocations>,
}

/// A stage of a pipeline, compiled.
pub(crate) trait StageRun: fmt::Debug + Send + Sync {
    /// Works on one row.
    fn run(&self, row: &mut Context<'_>) -> Outcome;

    /// Labels the stage reads, for parsers before it.
    fn reads(&self, names: &mut Vec<String>) {
        let _ = names;
    }
}
