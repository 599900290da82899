//! `| unpack`: undoes the packing of labels into a JSON line; `_entry` becomes the line again.

use crate::json::{self, Kind};
use crate::labels::DUPLICATE_SUFFIX;
use crate::sanitize;
use crate::stages::json::{JSON_ERROR, fail};
use crate::stages::{Context, Outcome, StageRun};

/// The key of the packed line.
const ENTRY: &str = "_entry";

/// The stage. Of an object without [`ENTRY`] nothing is taken, and of others only texts.
#[derive(Debug)]
pub(crate) struct Unpack;

impl StageRun for Unpack {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        if row.line.is_empty() || row.hints.is_done(row.labels) {
            return Outcome::Keep;
        }
        if !row.line.starts_with('{') {
            row.labels.fail(JSON_ERROR, "expecting json object(6), but it is not");
            if row.hints.preserve_error {
                row.labels.set(crate::labels::PRESERVE_ERROR, "true");
            }
            return Outcome::Keep;
        }
        let mut entry = None;
        let mut broken = false;
        row.scratch.more.clear();
        let rewritten = &mut *row.rewritten;
        let read = json::each_pair(row.line, &mut row.scratch.more, |key, value, _| {
            if key == ENTRY && value.kind == Kind::String {
                rewritten.clear();
                broken = !json::unescape(rewritten, value.text);
                entry = Some(());
            }
            !broken
        });
        let error = if broken { Some(json::JsonError::Escape) } else { read.err() };
        if let Some(error) = error {
            row.rewritten.clear();
            fail(row.labels, row.hints, Some(error));
            return Outcome::Keep;
        }
        if entry.is_none() {
            return Outcome::Keep;
        }
        if set_labels(row) { Outcome::Rewrote } else { Outcome::Drop }
    }
}

/// Sets the texts beside [`ENTRY`] as labels, as far as no earlier stage did; `false` when a filter says no.
fn set_labels(row: &mut Context<'_>) -> bool {
    let labels = &mut *row.labels;
    let mut own = Vec::new();
    let mut passes = true;
    let read = json::each_pair(row.line, &mut row.scratch.more, |key, value, _| {
        if key == ENTRY || value.kind != Kind::String {
            return true;
        }
        let mark = labels.mark();
        labels.draft().push_str(key);
        let raw = labels.span_from(mark);
        let taken = labels.is_taken(raw);
        if taken {
            labels.draft().push_str(DUPLICATE_SUFFIX);
        }
        let raw = labels.span_from(mark);
        // Of a key that stands twice in the line the last value counts.
        if !labels.wants(raw) && !own.iter().any(|name| name == labels.text(raw)) {
            labels.forget(mark);
            return true;
        }
        let name = labels.text(raw).to_owned();
        let name_mark = labels.mark();
        sanitize::write(labels.draft(), &name);
        let span = labels.span_from(name_mark);
        let value_mark = labels.mark();
        json::push_string(labels.draft(), value.text);
        labels.set_drafted(span, value_mark);
        own.push(name);
        passes = row.hints.passes(span, labels);
        passes
    });
    passes && read.is_ok()
}
