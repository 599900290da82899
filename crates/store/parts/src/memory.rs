//! Scans over rows that are still in memory.

use novaobs_model::logs::{
    FieldSource, FieldTest, LineWanted, LogBatch, LogScan, LogStream, Order, PairLists, StreamRun, Strings,
    Structure, TextColumn,
};

use crate::search::LineSearch;

/// The rows of `streams` that `scan` asks for, in batches of at most `batch_rows` rows: the same answer that
/// a part written of them gives, but for the structure of lines, which is [`Structure::Text`] everywhere.
/// Streams may be repeated and their rows in any order; equal rows are given once.
pub fn scan_rows(streams: &[LogStream], scan: &LogScan, batch_rows: usize) -> Vec<LogBatch> {
    let search = LineSearch::new(&scan.lines);
    let mut groups: Vec<&LogStream> = streams
        .iter()
        .filter(|stream| scan.matchers.iter().all(|matcher| matcher.matches_labels(&stream.labels)))
        .collect();
    groups.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut out =
        Output { scan, batch_rows: batch_rows.max(1), batch: LogBatch::default(), done: Vec::new() };
    for group in groups.chunk_by(|a, b| a.labels == b.labels) {
        for (stream, row) in wanted_rows(group, scan, &search) {
            out.push(stream, row);
        }
        if scan.order != Order::Any {
            out.flush();
        }
    }
    out.flush();
    match scan.order {
        Order::Any => {}
        Order::Newest => {
            out.done.sort_by_key(|batch| std::cmp::Reverse(batch.timestamps.iter().max().copied()));
        }
        Order::Oldest => out.done.sort_by_key(|batch| batch.timestamps.iter().min().copied()),
    }
    out.done
}

/// Rows of one stream that pass, in order of time, without repeats.
fn wanted_rows<'a>(
    group: &[&'a LogStream],
    scan: &LogScan,
    search: &LineSearch,
) -> Vec<(&'a LogStream, usize)> {
    let mut rows: Vec<(i64, &LogStream, usize)> = Vec::new();
    for stream in group {
        for (row, time) in stream.timestamps.iter().enumerate() {
            if *time >= scan.start && *time < scan.end {
                rows.push((*time, stream, row));
            }
        }
    }
    if !rows.is_sorted_by_key(|row| row.0) {
        rows.sort_by_key(|row| row.0);
    }
    let mut out: Vec<(&LogStream, usize)> = Vec::new();
    for same in rows.chunk_by(|a, b| a.0 == b.0) {
        let first = out.len();
        for (_, stream, row) in same {
            let seen = out.get(first..).unwrap_or_default();
            let repeated = same.len() > 1 && seen.iter().any(|(s, r)| same_row(s, *r, stream, *row));
            if !repeated && row_passes(stream, *row, scan, search) {
                out.push((stream, *row));
            }
        }
    }
    out
}

fn same_row(a: &LogStream, row_a: usize, b: &LogStream, row_b: usize) -> bool {
    a.lines.get(row_a) == b.lines.get(row_b) && a.metadata.get(row_a).eq(b.metadata.get(row_b))
}

fn row_passes(stream: &LogStream, row: usize, scan: &LogScan, search: &LineSearch) -> bool {
    search.passes(stream.lines.get(row)) && scan.fields.iter().all(|test| metadata_passes(test, stream, row))
}

/// Fields of lines are not known here, so that only metadata is tested.
fn metadata_passes(test: &FieldTest, stream: &LogStream, row: usize) -> bool {
    test.field.source != FieldSource::Metadata
        || (test.accepts)(metadata_value(&stream.metadata, row, &test.field.name))
}

/// The value of the last pair of this name.
pub(crate) fn metadata_value<'a>(metadata: &'a PairLists, row: usize, name: &str) -> Option<&'a str> {
    metadata.get(row).filter(|(key, _)| *key == name).last().map(|(_, value)| value)
}

/// Batches being filled.
struct Output<'a> {
    scan: &'a LogScan,
    batch_rows: usize,
    batch: LogBatch,
    done: Vec<LogBatch>,
}

impl Output<'_> {
    fn push(&mut self, stream: &LogStream, row: usize) {
        if self.batch.timestamps.len() >= self.batch_rows {
            self.flush();
        }
        let columns = &self.scan.columns;
        let batch = &mut self.batch;
        match batch.streams.last_mut() {
            Some(run) if run.labels == stream.labels => run.rows += 1,
            _ => batch.streams.push(StreamRun { labels: stream.labels.clone(), rows: 1 }),
        }
        batch.timestamps.push(stream.timestamps.get(row).copied().unwrap_or(0));
        let line = stream.lines.get(row);
        if columns.line != LineWanted::Never {
            batch.lines.push(line);
        }
        if columns.line_bytes {
            batch.line_bytes.push(line.len() as u32);
        }
        if columns.metadata {
            batch.metadata.push(stream.metadata.get(row));
        }
        if columns.fields.is_empty() {
            return;
        }
        if columns.fields.iter().any(|field| field.source != FieldSource::Metadata) {
            batch.structures.push(Structure::Text);
        }
        if batch.fields.is_empty() {
            let empty = || TextColumn::Plain { present: Vec::new(), values: Strings::default() };
            batch.fields = columns.fields.iter().map(|_| empty()).collect();
        }
        for (field, column) in columns.fields.iter().zip(&mut batch.fields) {
            let value = (field.source == FieldSource::Metadata)
                .then(|| metadata_value(&stream.metadata, row, &field.name))
                .flatten();
            if let TextColumn::Plain { present, values } = column {
                present.push(value.is_some());
                values.push(value.unwrap_or(""));
            }
        }
    }

    fn flush(&mut self) {
        if !self.batch.timestamps.is_empty() {
            self.done.push(std::mem::take(&mut self.batch));
        }
    }
}
