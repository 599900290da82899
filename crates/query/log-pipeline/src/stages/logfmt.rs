//! `| logfmt`: labels from all pairs of a logfmt line.

use crate::hints::Hints;
use crate::labels::{DUPLICATE_SUFFIX, ERROR, PRESERVE_ERROR, RowLabels};
use crate::logfmt::{LogfmtError, Scanner, unquote};
use crate::sanitize;
use crate::stages::{Context, Outcome, StageRun};

/// The error of a row whose line is no logfmt; only with `--strict`.
const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// The stage.
#[derive(Debug)]
pub(crate) struct Logfmt {
    /// Stops at the first error and marks the row.
    pub strict: bool,
    /// Keeps keys without a value.
    pub keep_empty: bool,
}

impl StageRun for Logfmt {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        if row.hints.is_done(row.labels) {
            return Outcome::Keep;
        }
        let labels = &mut *row.labels;
        let mut scanner = Scanner::new(row.line);
        while let Some(pair) = scanner.next() {
            let pair = match pair {
                Ok(pair) => pair,
                Err(error) if self.strict => {
                    fail(labels, row.hints, &error);
                    // A filter on the error alone need not wait for the rest.
                    let asks = row.hints.filters.iter().find(|(name, _)| name == ERROR);
                    return Outcome::keep_if(asks.is_none_or(|(_, test)| test.passes(labels)));
                }
                Err(_) => continue,
            };
            let mark = labels.mark();
            sanitize::write(labels.draft(), pair.key);
            if labels.mark() == mark {
                continue;
            }
            let mut name = labels.span_from(mark);
            if labels.is_taken(name) {
                labels.draft().push_str(DUPLICATE_SUFFIX);
                name = labels.span_from(mark);
            }
            if !labels.wants(name) {
                labels.forget(mark);
                continue;
            }
            let value_mark = labels.mark();
            if pair.escaped {
                unquote(labels.draft(), pair.value);
            } else {
                labels.draft().push_str(pair.value);
            }
            if labels.mark() == value_mark && !self.keep_empty {
                labels.forget(mark);
                continue;
            }
            sanitize::clean(labels.draft(), value_mark);
            labels.add_drafted(name, value_mark);
            if !row.hints.passes(name, labels) {
                return Outcome::Drop;
            }
            if labels.has_all_required() {
                break;
            }
        }
        Outcome::Keep
    }
}

/// Marks the row as one that is no logfmt.
pub(crate) fn fail(labels: &mut RowLabels, hints: &Hints, error: &LogfmtError) {
    labels.fail(LOGFMT_ERROR, error);
    if hints.preserve_error {
        labels.set(PRESERVE_ERROR, "true");
    }
}
