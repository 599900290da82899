//! `| json`: labels from all fields of a JSON object; those of nested objects get the names on their way.

use crate::hints::Hints;
use crate::json::{self, JsonError, Kind, Value};
use crate::labels::{DUPLICATE_SUFFIX, PRESERVE_ERROR, RowLabels, Span};
use crate::sanitize;
use crate::stages::{Context, Outcome, StageRun};

/// The error of a row whose line is no JSON.
pub(crate) const JSON_ERROR: &str = "JSONParserErr";

/// Objects in objects beyond this are left out; it bounds the stack.
const MAX_DEPTH: usize = 256;

/// The longest name joined of the keys on a way; what is longer is left out. All fields of an object repeat
/// the keys before it, so a long key would be written, and compared, as often as it has fields.
const MAX_JOINED: usize = 1024;

/// The stage.
#[derive(Debug)]
pub(crate) struct Json;

/// Why the walk through an object ended early.
enum End {
    /// All that is required is there.
    Done,
    /// A filter says no.
    Dropped,
    /// The line is broken.
    Broken(JsonError),
}

struct Walk<'a> {
    labels: &'a mut RowLabels,
    hints: &'a Hints,
    /// The keys on the way, sanitised and joined by underscores.
    prefix: &'a mut String,
}

impl StageRun for Json {
    fn run(&self, row: &mut Context<'_>) -> Outcome {
        if row.hints.is_done(row.labels) {
            return Outcome::Keep;
        }
        row.scratch.text.clear();
        row.scratch.more.clear();
        let mut walk = Walk { labels: &mut *row.labels, hints: row.hints, prefix: &mut row.scratch.text };
        match walk.object(row.line, &mut row.scratch.more, 0) {
            Err(End::Broken(error)) => {
                fail(row.labels, row.hints, Some(error));
                Outcome::Keep
            }
            Err(End::Dropped) => Outcome::Drop,
            Ok(()) | Err(End::Done) => Outcome::Keep,
        }
    }
}

/// Marks the row as one that is no JSON.
pub(crate) fn fail(labels: &mut RowLabels, hints: &Hints, error: Option<JsonError>) {
    match error {
        Some(error) => labels.fail(JSON_ERROR, error),
        None => labels.fail_silently(JSON_ERROR),
    }
    if hints.preserve_error {
        labels.set(PRESERVE_ERROR, "true");
    }
}

impl Walk<'_> {
    fn object(&mut self, line: &str, unescaped: &mut String, depth: usize) -> Result<(), End> {
        let mut end = Ok(());
        let read = json::each_pair(line, unescaped, |key, value, unescaped| {
            end = match value.kind {
                Kind::Object => self.nested(key, value.text, unescaped, depth),
                Kind::String | Kind::Number | Kind::Bool => self.field(key, value, depth),
                Kind::Null | Kind::Array => Ok(()),
            };
            if end.is_ok() && value.kind != Kind::Object && self.labels.has_all_required() {
                end = Err(End::Done);
            }
            end.is_ok()
        });
        end?;
        read.map_err(End::Broken)
    }

    fn nested(&mut self, key: &str, text: &str, unescaped: &mut String, depth: usize) -> Result<(), End> {
        if depth >= MAX_DEPTH {
            return Ok(());
        }
        let outer = self.prefix.len();
        push_part(self.prefix, key);
        if self.prefix.len() > MAX_JOINED {
            self.prefix.truncate(outer);
            return Ok(());
        }
        let mark = self.labels.mark();
        self.labels.draft().push_str(self.prefix);
        let span = self.labels.span_from(mark);
        let wanted = self.labels.wants_prefix(span);
        self.labels.forget(mark);
        let end = if wanted { self.object(text, unescaped, depth + 1) } else { Ok(()) };
        self.prefix.truncate(outer);
        end
    }

    fn field(&mut self, key: &str, value: Value<'_>, depth: usize) -> Result<(), End> {
        let mark = self.labels.mark();
        let Some(name) = self.name(key, depth, mark) else { return Ok(()) };
        if !self.labels.wants(name) {
            self.labels.forget(mark);
            return Ok(());
        }
        let value_mark = self.labels.mark();
        match value.kind {
            Kind::String => json::push_string(self.labels.draft(), value.text),
            _ => self.labels.draft().push_str(value.text),
        }
        self.labels.add_drafted(name, value_mark);
        if self.hints.passes(name, self.labels) { Ok(()) } else { Err(End::Dropped) }
    }

    /// Drafts the label's name; none when it would be empty, or too long as a joined one.
    fn name(&mut self, key: &str, depth: usize, mark: usize) -> Option<Span> {
        if depth == 0 {
            sanitize::write(self.labels.draft(), key);
            let span = self.labels.span_from(mark);
            if self.labels.mark() == mark {
                return None;
            }
            if !self.labels.is_taken(span) {
                return Some(span);
            }
            self.labels.draft().push_str(DUPLICATE_SUFFIX);
            return Some(self.labels.span_from(mark));
        }
        self.labels.draft().push_str(self.prefix);
        push_part_at(self.labels.draft(), mark, key);
        if self.labels.mark() - mark > MAX_JOINED {
            self.labels.forget(mark);
            return None;
        }
        let span = self.labels.span_from(mark);
        if !self.labels.is_taken(span) {
            return Some(span);
        }
        // The suffix belongs to the key, and so does the space before it.
        self.labels.forget(mark);
        self.labels.draft().push_str(self.prefix);
        push_part_at(self.labels.draft(), mark, &format!("{key}{DUPLICATE_SUFFIX}"));
        Some(self.labels.span_from(mark))
    }
}

/// Appends a key to a prefix.
fn push_part(prefix: &mut String, key: &str) {
    push_part_at(prefix, 0, key);
}

/// Appends a key to the prefix that begins at `mark`.
fn push_part_at(out: &mut String, mark: usize, key: &str) {
    if key.trim().is_empty() {
        return;
    }
    if out.len() == mark {
        sanitize::write(out, key);
    } else {
        out.push('_');
        sanitize::write_rest(out, key);
    }
}
