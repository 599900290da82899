//! Pipelines of LogQL, row by row: filters, parsers, formatters, label sets.
//!
//! [`Pipeline::compile`] turns the stages of an expression into something that runs; [`Pipeline::stream`]
//! gives what runs the rows of one stream, with buffers that are reused; [`StreamPipeline::run`] takes a
//! row's time, line and structured metadata through the stages and gives line, labels by category and, with
//! `unwrap`, a value. What each stage does, and what a row looks like that a stage could not work on, is the
//! peer's, down to the texts of errors.
//!
//! A metric query compiles with [`Pipeline::compile_for`] and its grouping: parsers then extract only what
//! is read later and stop when they have it, and a row that a later filter will leave out is left out at
//! once.
//!
//! ```
//! use novaobs_log_pipeline::Pipeline;
//! use novaobs_logql_parser::{CompareOp, LabelFilter, Stage};
//! use novaobs_model::Labels;
//!
//! let slow = LabelFilter::Number { label: "ms".into(), op: CompareOp::Greater, value: 5.0 };
//! let pipeline = Pipeline::compile(&[Stage::Json(vec![]), Stage::Label(slow)], None)?;
//! let mut stream = pipeline.stream(&Labels::from_pairs([("app", "shop")]));
//! let none = || std::iter::empty::<(&str, &str)>();
//! assert!(stream.run(0, r#"{"ms":1}"#, none()).is_none());
//! let row = stream.run(0, r#"{"ms":7}"#, none()).ok_or("left out")?;
//! assert_eq!(row.labels.merged().to_string(), r#"{app="shop", ms="7"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod convert;
mod hints;
mod ip;
mod json;
mod json_path;
pub mod labels;
mod logfmt;
mod pattern;
mod sanitize;
mod simple_regex;
mod stages;
mod template;
mod text_test;

use std::sync::Arc;

use novaobs_logql_parser::{Conversion, Grouping, Stage, Unwrap};
use novaobs_model::Labels;
use novaobs_model::logs::LineTest;

use crate::hints::Hints;
pub use crate::labels::RowLabels;
use crate::stages::label_filter::Test;
use crate::stages::{Context, Outcome, Scratch, StageRun};
pub use crate::text_test::TextTest;

/// A pipeline cannot be built: the user's mistake, the text as the peer says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(pub String);

/// The error of a row whose label could not be unwrapped.
const SAMPLE_ERROR: &str = "SampleExtractionErr";

/// A compiled pipeline; cheap to share, keeps what it learns of streams.
#[derive(Debug)]
pub struct Pipeline {
    stages: Vec<Box<dyn StageRun>>,
    unwrap: Option<UnwrapRun>,
    hints: Hints,
    /// Buffers to begin with.
    scratch: Scratch,
    line_tests: Vec<LineTest>,
    line_filters: usize,
    rewrites_at: Option<usize>,
}

#[derive(Debug)]
struct UnwrapRun {
    label: String,
    conversion: Conversion,
    filters: Vec<Arc<Test>>,
}

impl Pipeline {
    /// Compiles stages, and for metric queries with an unwrap its conversion and filters.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile(stages: &[Stage], unwrap: Option<&Unwrap>) -> Result<Pipeline, CompileError> {
        Pipeline::compile_for(stages, unwrap, None)
    }

    /// Compiles for a metric query whose samples are only wanted by these labels; `by ()` (an aggregation
    /// without grouping) wants none. Rows may then lack labels that nothing reads, and with them errors of
    /// parsers that had no reason to read on.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile_for(
        stages: &[Stage],
        unwrap: Option<&Unwrap>,
        grouping: Option<&Grouping>,
    ) -> Result<Pipeline, CompileError> {
        let mut compiler = Compiler::default();
        for stage in stages {
            compiler.add(stage).map_err(|error| in_stage(stage, &error))?;
        }
        let unwrap = unwrap.map(|unwrap| compiler.unwrap(unwrap)).transpose().map_err(CompileError)?;
        let mut reads = Vec::new();
        for stage in &compiler.stages {
            stage.run.reads(&mut reads);
        }
        for filter in unwrap.iter().flat_map(|unwrap| &unwrap.filters) {
            filter.reads(&mut reads);
        }
        let label = unwrap.as_ref().map(|unwrap| unwrap.label.as_str());
        let hints = match grouping {
            None => Hints::all(compiler.filters),
            Some(_) => Hints::grouped(reads, label, grouping, compiler.filters),
        };
        let leading = stages.iter().map_while(|stage| match stage {
            Stage::Line(filter) => stages::line_filter::as_test(filter),
            _ => None,
        });
        let line_tests: Vec<LineTest> = leading.collect();
        let rewrites =
            |stage: &Stage| matches!(stage, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize);
        Ok(Pipeline {
            stages: in_order(compiler.stages),
            unwrap,
            hints,
            scratch: compiler.scratch,
            line_filters: line_tests.len(),
            line_tests,
            rewrites_at: stages.iter().position(rewrites),
        })
    }

    /// The leading line filters that are plain tests of the raw line: a store that applies them (all) need
    /// not have the pipeline run them. There may be fewer of them than leading line filters.
    pub fn line_tests(&self) -> &[LineTest] {
        &self.line_tests
    }

    /// How many stages [`line_tests`](Self::line_tests) stands for: compile without these to run them in
    /// the store alone.
    pub fn line_test_stages(&self) -> usize {
        self.line_filters
    }

    /// The number of the first stage that may rewrite the line; none: lines stay as they are.
    pub fn rewrites_at(&self) -> Option<usize> {
        self.rewrites_at
    }

    /// What runs the rows of one stream; reuses its buffers from row to row.
    pub fn stream(&self, labels: &Labels) -> StreamPipeline<'_> {
        StreamPipeline {
            pipeline: self,
            labels: RowLabels::new(labels, self.hints.required.clone()),
            line: String::new(),
            rewritten: String::new(),
            scratch: self.scratch.clone(),
        }
    }
}

/// A stage while a pipeline is compiled.
#[derive(Debug)]
struct Compiled {
    run: Box<dyn StageRun>,
    place: Place,
}

/// How a stage may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A line filter: runs before the stages that do not hold it back.
    LineFilter,
    /// No line filter passes it.
    Barrier,
    /// Line filters pass it.
    Open,
}

#[derive(Debug, Default)]
struct Compiler {
    stages: Vec<Compiled>,
    /// Filters of one label each.
    filters: Vec<(String, Arc<Test>)>,
    scratch: Scratch,
}

impl Compiler {
    fn add(&mut self, stage: &Stage) -> Result<(), String> {
        use stages::{decolorize, distinct, drop, json, json_paths, keep, label_format, line_filter};
        use stages::{line_format, logfmt, logfmt_names, pattern, regexp, unpack};
        let (run, place): (Box<dyn StageRun>, Place) = match stage {
            Stage::Line(filter) => (Box::new(line_filter::Filter::new(filter)?), Place::LineFilter),
            Stage::Json(extractions) if extractions.is_empty() => (Box::new(json::Json), Place::Open),
            Stage::Json(extractions) => (Box::new(json_paths::JsonPaths::new(extractions)?), Place::Open),
            Stage::Logfmt { strict, keep_empty, extractions } if extractions.is_empty() => {
                (Box::new(logfmt::Logfmt { strict: *strict, keep_empty: *keep_empty }), Place::Open)
            }
            Stage::Logfmt { strict, extractions, .. } => {
                (Box::new(logfmt_names::LogfmtNames::new(*strict, extractions)?), Place::Open)
            }
            Stage::Regexp(source) => {
                let regexp = regexp::Regexp::new(source, self.scratch.groups.len())?;
                self.scratch.groups.push(regexp.groups());
                (Box::new(regexp), Place::Open)
            }
            Stage::Pattern(source) => {
                (Box::new(pattern::Pattern(crate::pattern::CapturePattern::new(source)?)), Place::Open)
            }
            Stage::Unpack => (Box::new(unpack::Unpack), Place::Barrier),
            Stage::Label(filter) => (Box::new(self.filter(filter)?), Place::Barrier),
            Stage::LineFormat(source) => (Box::new(line_format::LineFormat::new(source)?), Place::Barrier),
            Stage::LabelFormat(assignments) => {
                (Box::new(label_format::LabelFormat::new(assignments)?), Place::Open)
            }
            Stage::Decolorize => (Box::new(decolorize::Decolorize), Place::Open),
            Stage::Drop(choices) => (Box::new(drop::Drop(choices.clone())), Place::Open),
            Stage::Keep(choices) => (Box::new(keep::Keep(choices.clone())), Place::Open),
            // Which row is the first of its kind depends on the filters before it.
            Stage::Distinct(names) => (Box::new(distinct::Distinct::new(names)), Place::Barrier),
        };
        self.stages.push(Compiled { run, place });
        Ok(())
    }

    fn filter(&mut self, filter: &novaobs_logql_parser::LabelFilter) -> Result<Arc<Test>, String> {
        let test = Arc::new(Test::new(filter)?);
        if let Some(label) = test.single_label() {
            self.filters.push((label.to_owned(), test.clone()));
        }
        Ok(test)
    }

    fn unwrap(&mut self, unwrap: &Unwrap) -> Result<UnwrapRun, String> {
        let filters: Result<Vec<_>, String> = match unwrap.filters.as_slice() {
            [one] => Ok(vec![self.filter(one)?]),
            many => many.iter().map(|filter| Test::new(filter).map(Arc::new)).collect(),
        };
        Ok(UnwrapRun { label: unwrap.label.clone(), conversion: unwrap.conversion, filters: filters? })
    }
}

/// An error with the stage it is in.
fn in_stage(stage: &Stage, error: &str) -> CompileError {
    CompileError(format!("parse error : stage '{stage}' : {error}"))
}

/// Stages in the order the peer runs them: line filters go before parsers, formatters of labels and even
/// `decolorize`, up to the last stage that holds them back.
fn in_order(stages: Vec<Compiled>) -> Vec<Box<dyn StageRun>> {
    let mut ordered = Vec::with_capacity(stages.len());
    let (mut filters, mut others) = (Vec::new(), Vec::new());
    for Compiled { run, place } in stages {
        match place {
            Place::LineFilter => filters.push(run),
            Place::Open => others.push(run),
            Place::Barrier => {
                ordered.append(&mut filters);
                ordered.append(&mut others);
                ordered.push(run);
            }
        }
    }
    ordered.append(&mut filters);
    ordered.append(&mut others);
    ordered
}

/// A pipeline at one stream.
#[derive(Debug)]
pub struct StreamPipeline<'p> {
    pipeline: &'p Pipeline,
    labels: RowLabels,
    line: String,
    rewritten: String,
    scratch: Scratch,
}

impl StreamPipeline<'_> {
    /// Runs one row; `None` when a filter leaves it out. The result borrows buffers until the next call.
    pub fn run<'a, 'm>(
        &'a mut self,
        timestamp: i64,
        line: &'a str,
        metadata: impl Iterator<Item = (&'m str, &'m str)>,
    ) -> Option<Row<'a>> {
        self.labels.begin(metadata);
        let mut is_rewritten = false;
        for stage in &self.pipeline.stages {
            self.rewritten.clear();
            let outcome = stage.run(&mut Context {
                timestamp,
                line: if is_rewritten { &self.line } else { line },
                labels: &mut self.labels,
                rewritten: &mut self.rewritten,
                hints: &self.pipeline.hints,
                scratch: &mut self.scratch,
            });
            match outcome {
                Outcome::Keep => {}
                Outcome::Drop => return None,
                Outcome::Rewrote => {
                    std::mem::swap(&mut self.line, &mut self.rewritten);
                    is_rewritten = true;
                }
            }
        }
        let value = match &self.pipeline.unwrap {
            Some(unwrap) => unwrap.run(&mut self.labels)?,
            None => None,
        };
        Some(Row { line: if is_rewritten { &self.line } else { line }, value, labels: &self.labels })
    }
}

impl UnwrapRun {
    /// The row's value (none where it failed); `None` when the row is left out: it has no such label, or a
    /// filter says no.
    fn run(&self, labels: &mut RowLabels) -> Option<Option<f64>> {
        let text = labels.label(&self.label).filter(|text| !text.is_empty())?;
        let value = match convert::unwrapped(self.conversion, text) {
            Ok(value) => Some(value),
            Err(details) => {
                labels.fail(SAMPLE_ERROR, details);
                None
            }
        };
        // All are asked, for the errors of the later ones.
        let mut passes = true;
        for filter in &self.filters {
            passes &= filter.passes(labels);
        }
        passes.then_some(value)
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
