//! `| pattern "<ip> <_> <user>"`: labels by the text around them.

use crate::labels::DUPLICATE_SUFFIX;
use crate::pattern::CapturePattern;
use crate::stages::{Context, Outcome, StageRun};

/// The stage.
#[derive(Debug)]
pub(crate) struct Pattern(pub CapturePattern);

impl StageRun for Pattern {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        if row.hints.is_done(row.labels) {
            return Outcome::Keep;
        }
        let (labels, hints) = (&mut *row.labels, row.hints);
        let mut passes = true;
        self.0.captures(row.line, |name, value| {
            let mark = labels.mark();
            labels.draft().push_str(name);
            let mut span = labels.span_from(mark);
            if labels.is_taken(span) {
                labels.draft().push_str(DUPLICATE_SUFFIX);
                span = labels.span_from(mark);
            }
            if !labels.wants(span) {
                labels.forget(mark);
                return true;
            }
            let value_mark = labels.mark();
            labels.draft().push_str(value);
            labels.add_drafted(span, value_mark);
            passes = hints.passes(span, labels);
            passes
        });
        Outcome::keep_if(passes)
    }
}
