//! `| status >= 500 and method="GET"`: keeps rows by their labels.

use std::sync::Arc;

use novaobs_logql_parser::{CompareOp, LabelFilter};

use crate::convert;
use crate::ip::IpPattern;
use crate::labels::{ERROR, RowLabels};
use crate::stages::{Context, Outcome, StageRun};
use crate::text_test::TextTest;

/// The error of a row whose label is no number, duration or size.
const FILTER_ERROR: &str = "LabelFilterErr";

/// A filter, compiled.
#[derive(Debug)]
pub(crate) enum Test {
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Text { label: String, test: TextTest },
    Number { label: String, op: CompareOp, value: f64 },
    Duration { label: String, op: CompareOp, nanos: i64 },
    Bytes { label: String, op: CompareOp, bytes: u64 },
    Ip { label: String, negated: bool, pattern: IpPattern },
}

impl Test {
    /// # Errors
    /// The peer's text for a pattern of `ip()` or an expression that is none.
    pub(crate) fn new(filter: &LabelFilter) -> Result<Test, String> {
        Ok(match filter {
            LabelFilter::And(a, b) => Test::And(Box::new(Test::new(a)?), Box::new(Test::new(b)?)),
            LabelFilter::Or(a, b) => Test::Or(Box::new(Test::new(a)?), Box::new(Test::new(b)?)),
            LabelFilter::Text(matcher) => {
                Test::Text { label: matcher.name.clone(), test: TextTest::new(matcher)? }
            }
            LabelFilter::Number { label, op, value } => {
                Test::Number { label: label.clone(), op: *op, value: *value }
            }
            LabelFilter::Duration { label, op, nanos } => {
                Test::Duration { label: label.clone(), op: *op, nanos: *nanos }
            }
            LabelFilter::Bytes { label, op, bytes } => {
                Test::Bytes { label: label.clone(), op: *op, bytes: *bytes }
            }
            LabelFilter::Ip { label, negated, pattern } => {
                Test::Ip { label: label.clone(), negated: *negated, pattern: IpPattern::new(pattern)? }
            }
        })
    }

    /// The label, of a filter of one.
    pub(crate) fn single_label(&self) -> Option<&str> {
        match self {
            Test::And(..) | Test::Or(..) => None,
            Test::Text { label, .. }
            | Test::Number { label, .. }
            | Test::Duration { label, .. }
            | Test::Bytes { label, .. }
            | Test::Ip { label, .. } => Some(label),
        }
    }

    /// Whether the row passes. A label that cannot be converted marks the row as failed and lets it pass.
    pub(crate) fn passes(&self, labels: &mut RowLabels) -> bool {
        match self {
            Test::And(a, b) => {
                // Both are asked, for the error of the second.
                let first = a.passes(labels);
                b.passes(labels) && first
            }
            Test::Or(a, b) => a.passes(labels) || b.passes(labels),
            Test::Text { label, test } if label == ERROR => test.passes(labels.error()),
            Test::Text { label, test } => test.passes(labels.label(label).unwrap_or("")),
            Test::Number { label, op, value } => {
                converted(labels, label, convert::number, |found| compare(*op, &found, value))
            }
            Test::Duration { label, op, nanos } => {
                converted(labels, label, convert::duration, |found| compare(*op, &found, nanos))
            }
            Test::Bytes { label, op, bytes } => {
                converted(labels, label, convert::bytes, |found| compare(*op, &found, bytes))
            }
            Test::Ip { .. } if !labels.error().is_empty() => true,
            Test::Ip { label, negated, pattern } => {
                labels.label(label).is_some_and(|value| pattern.is_in(value) != *negated)
            }
        }
    }

    fn names(&self, names: &mut Vec<String>) {
        match self {
            Test::And(a, b) | Test::Or(a, b) => {
                a.names(names);
                b.names(names);
            }
            one => names.extend(one.single_label().map(str::to_owned)),
        }
    }
}

fn converted<T>(
    labels: &mut RowLabels,
    label: &str,
    convert: fn(&str) -> Result<T, String>,
    passes: impl FnOnce(T) -> bool,
) -> bool {
    let Some(text) = labels.label(label) else { return false };
    match convert(text) {
        Ok(value) => passes(value),
        Err(details) => {
            // An earlier error says more.
            if labels.error().is_empty() {
                labels.fail(FILTER_ERROR, details);
            }
            true
        }
    }
}

fn compare<T: PartialOrd>(op: CompareOp, found: &T, wanted: &T) -> bool {
    match op {
        CompareOp::Equal => found == wanted,
        CompareOp::NotEqual => found != wanted,
        CompareOp::Greater => found > wanted,
        CompareOp::GreaterOrEqual => found >= wanted,
        CompareOp::Less => found < wanted,
        CompareOp::LessOrEqual => found <= wanted,
    }
}

impl StageRun for Arc<Test> {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        Outcome::keep_if(self.passes(row.labels))
    }

    fn reads(&self, names: &mut Vec<String>) {
        self.names(names);
    }
}
