//! Deleted rows: telling them, and taking them out of batches.

use novaobs_model::logs::{
    LineMatch, LineTest, LineWanted, LogColumns, PairLists, RowFilter, RowView, StreamRun, Strings,
    TextColumn,
};
use novaobs_model::{Labels, LogBatch};
use regex::Regex;

/// A filter that is ready to be asked, with the time it covers.
#[derive(Debug)]
pub(crate) struct Deleted {
    /// Of the request.
    pub id: String,
    pub filter: RowFilter,
    /// Unix nanoseconds, inclusive and exclusive.
    pub start: i64,
    pub end: i64,
    lines: Vec<LineCheck>,
}

#[derive(Debug)]
struct LineCheck {
    /// `None` for one that cannot be compiled without anchors: nothing has it.
    any: Vec<Option<Wanted>>,
    negated: bool,
}

#[derive(Debug)]
enum Wanted {
    Text(Box<str>),
    Regex(Regex),
}

impl LineCheck {
    fn new(test: &LineTest) -> LineCheck {
        let any = test.any.iter().map(|one| match one {
            LineMatch::Text(text) => Some(Wanted::Text(text.as_ref().into())),
            LineMatch::Regex(regex) => regex.unanchored().cloned().map(Wanted::Regex),
        });
        LineCheck { any: any.collect(), negated: test.negated }
    }

    fn passes(&self, line: &str) -> bool {
        let found = self.any.iter().flatten().any(|wanted| match wanted {
            Wanted::Text(text) => line.contains(&**text),
            Wanted::Regex(regex) => regex.is_match(line),
        });
        found != self.negated
    }
}

impl Deleted {
    pub(crate) fn new(id: &str, filter: RowFilter, start: i64, end: i64) -> Deleted {
        let lines = filter.lines.iter().map(LineCheck::new).collect();
        Deleted { id: id.to_owned(), filter, start, end, lines }
    }

    /// Whether it may cover rows of `[first, last]`.
    pub(crate) fn overlaps(&self, first: i64, last: i64) -> bool {
        self.start <= last && self.end > first
    }

    /// Whether streams and times alone decide.
    pub(crate) fn by_stream(&self) -> bool {
        self.lines.is_empty() && self.filter.rest.is_none()
    }

    pub(crate) fn covers_stream(&self, labels: &Labels) -> bool {
        self.filter.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// Whether a row of a stream that it covers is deleted.
    fn covers_row(&self, row: &RowView<'_>) -> bool {
        (self.start..self.end).contains(&row.timestamp)
            && self.lines.iter().all(|check| check.passes(row.line))
            && self.filter.rest.as_ref().is_none_or(|rest| rest(row))
    }
}

/// The columns a scan must read so that `deleted` can be told.
pub(crate) fn widen(columns: &LogColumns, deleted: &[&Deleted]) -> LogColumns {
    let mut columns = columns.clone();
    if deleted.iter().any(|one| !one.by_stream()) {
        columns.line = LineWanted::Always;
    }
    if deleted.iter().any(|one| one.filter.rest.is_some()) {
        columns.metadata = true;
    }
    columns
}

/// Takes deleted rows out of a batch read with the columns of [`widen`], and columns nobody `asked` for;
/// `None` when no row is left.
pub(crate) fn strip(mut batch: LogBatch, deleted: &[&Deleted], asked: &LogColumns) -> Option<LogBatch> {
    let mut keep = vec![true; batch.timestamps.len()];
    let mut row = 0;
    for run in &batch.streams {
        let rows = row..row + run.rows;
        row = rows.end;
        let of_stream: Vec<&Deleted> =
            deleted.iter().copied().filter(|one| one.covers_stream(&run.labels)).collect();
        if of_stream.is_empty() {
            continue;
        }
        for at in rows {
            let metadata: Vec<(&str, &str)> = batch.metadata.get(at).collect();
            let view = RowView {
                labels: &run.labels,
                timestamp: batch.timestamps.get(at).copied().unwrap_or(0),
                line: batch.lines.get(at),
                metadata: &metadata,
            };
            if let Some(keep) = keep.get_mut(at) {
                *keep = !of_stream.iter().any(|one| one.covers_row(&view));
            }
        }
    }
    if asked.line == LineWanted::Never {
        batch.lines = Strings::default();
    }
    if !asked.metadata {
        batch.metadata = PairLists::default();
    }
    retain(batch, &keep)
}

/// The rows of a batch that are to be kept.
pub(crate) fn retain(batch: LogBatch, keep: &[bool]) -> Option<LogBatch> {
    let kept = keep.iter().filter(|keep| **keep).count();
    if kept == keep.len() {
        return (kept > 0).then_some(batch);
    }
    if kept == 0 {
        return None;
    }
    let mut keeps = keep.iter();
    let streams = batch.streams.into_iter().filter_map(|run| {
        let rows = keeps.by_ref().take(run.rows).filter(|keep| **keep).count();
        (rows > 0).then_some(StreamRun { labels: run.labels, rows })
    });
    let mut pairs = PairLists::default();
    if !batch.metadata.is_empty() {
        numbers(keep).for_each(|row| pairs.push(batch.metadata.get(row)));
    }
    Some(LogBatch {
        streams: streams.collect(),
        timestamps: column(batch.timestamps, keep),
        lines: strings(&batch.lines, keep),
        line_bytes: column(batch.line_bytes, keep),
        metadata: pairs,
        structures: column(batch.structures, keep),
        fields: batch.fields.into_iter().map(|field| text_column(field, keep)).collect(),
    })
}

fn numbers(keep: &[bool]) -> impl Iterator<Item = usize> + '_ {
    keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(row, _)| row)
}

/// An empty column stays empty.
fn column<T>(values: Vec<T>, keep: &[bool]) -> Vec<T> {
    values.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(value, _)| value).collect()
}

fn strings(values: &Strings, keep: &[bool]) -> Strings {
    if values.is_empty() { Strings::default() } else { numbers(keep).map(|row| values.get(row)).collect() }
}

fn text_column(field: TextColumn, keep: &[bool]) -> TextColumn {
    match field {
        TextColumn::Dictionary { codes, values } => {
            TextColumn::Dictionary { codes: column(codes, keep), values }
        }
        TextColumn::Plain { present, values } => {
            TextColumn::Plain { present: column(present, keep), values: strings(&values, keep) }
        }
        TextColumn::Decimal { present, mantissas, scale } => {
            TextColumn::Decimal { present: column(present, keep), mantissas: column(mantissas, keep), scale }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novaobs_model::logs::Structure;
    use std::sync::Arc;

    #[test]
    fn rows_leave_every_column() {
        let labels = |app: &str| Labels::from_pairs([("app", app)]);
        let batch = LogBatch {
            streams: vec![
                StreamRun { labels: labels("a"), rows: 2 },
                StreamRun { labels: labels("b"), rows: 1 },
                StreamRun { labels: labels("c"), rows: 1 },
            ],
            timestamps: vec![1, 2, 3, 4],
            lines: ["w", "x", "y", "z"].into_iter().collect(),
            line_bytes: vec![1; 4],
            metadata: PairLists::empty_rows(4),
            structures: vec![Structure::Text; 4],
            fields: vec![
                TextColumn::Dictionary { codes: vec![0, 1, 0, 1], values: ["p", "q"].into_iter().collect() },
                TextColumn::Plain { present: vec![], values: ["1", "2", "3", "4"].into_iter().collect() },
                TextColumn::Decimal { present: vec![true; 4], mantissas: vec![1, 2, 3, 4], scale: 0 },
            ],
        };
        let filter = RowFilter {
            matchers: vec![],
            lines: vec![LineTest {
                any: vec![LineMatch::Text("x".into()), LineMatch::Text("y".into())],
                negated: false,
            }],
            rest: Some(Arc::new(|row| row.timestamp < 100)),
        };
        let deleted = Deleted::new("d", filter, 0, 50);
        let asked = LogColumns { line_bytes: true, ..LogColumns::default() };
        let wide = widen(&asked, &[&deleted]);
        assert!(wide.metadata && wide.line == LineWanted::Always);
        let left = strip(batch, &[&deleted], &asked).unwrap();
        assert_eq!(left.timestamps, [1, 4]);
        assert_eq!(left.streams.iter().map(|run| run.labels.value("app")).collect::<Vec<_>>(), ["a", "c"]);
        assert!(left.lines.is_empty() && left.metadata.is_empty());
        assert_eq!((left.line_bytes.len(), left.structures.len()), (2, 2));
        let mut scratch = String::new();
        let last: Vec<String> =
            left.fields.iter().map(|field| field.get(1, &mut scratch).unwrap().to_owned()).collect();
        assert_eq!(last, ["q", "4", "4"]);
        assert!(left.fields.iter().all(|field| field.len() == 2));
    }
}
