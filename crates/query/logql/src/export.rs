//! All rows of a log query in order of time, however many: slice by slice of the range.
//!
//! A store gives rows by stream and block; to be in order of time they must be held until all that come
//! before are known. So the range is cut into slices of about [`SLICE_BYTES`], each is read whole, sorted and
//! handed on. A slice that turns out larger is halved.

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::LogExpr;
use novaobs_model::logs::{LogScan, LogSource};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, Lease};

use crate::drive::PLACES;
use crate::job::compile;
use crate::log::{Kept, count_row, needs_order, scan_of};
use crate::range::add_scan;
use crate::{Query, QueryError, Stats};

/// What a slice should hold.
const SLICE_BYTES: u64 = 8 << 20;
/// A slice of more than this is halved.
const MOST_BYTES: u64 = 32 << 20;

/// Hands every row to `each`, in the order the query asks, until it returns `false`.
pub(crate) fn rows(
    source: &dyn LogSource,
    query: &Query,
    log: &LogExpr,
    control: &QueryControl,
    each: &mut dyn FnMut(Kept) -> bool,
) -> Result<Stats, QueryError> {
    let mut export = Export {
        source,
        control,
        pipeline: compile(&log.stages, None, None)?,
        late: needs_order(log),
        scan: scan_of(source, query, log, control)?,
        newest_first: query.newest_first,
        stats: Stats::default(),
    };
    let Some((start, end, bytes)) = export.extent()? else { return Ok(export.stats) };
    let span = end.saturating_sub(start).max(1);
    let slices = (bytes / SLICE_BYTES + 1).min(span as u64);
    let mut width = (span / slices as i64).max(1);
    let (mut low, mut high) = (start, end);
    while low < high {
        let slice = match query.newest_first {
            true => (high.saturating_sub(width).max(low), high),
            false => (low, low.saturating_add(width).min(high)),
        };
        let Some((rows, lease)) = export.slice(slice.0, slice.1)? else {
            width = ((slice.1 - slice.0) / 2).max(1);
            continue;
        };
        if lease.bytes() < SLICE_BYTES / 4 {
            width = width.saturating_mul(2);
        }
        for row in rows {
            export.stats.returned_entries += 1;
            if !each(row) {
                return Ok(export.stats);
            }
        }
        match query.newest_first {
            true => high = slice.0,
            false => low = slice.1,
        }
    }
    Ok(export.stats)
}

struct Export<'q> {
    source: &'q dyn LogSource,
    control: &'q QueryControl,
    pipeline: Pipeline,
    /// Whether rows go through the pipeline only when they are in order.
    late: bool,
    scan: LogScan,
    newest_first: bool,
    stats: Stats,
}

/// A row before the pipeline.
struct Raw {
    time: i64,
    sent_to: Labels,
    place: u64,
    line: String,
    metadata: Vec<(String, String)>,
}

impl Export<'_> {
    /// First and last time that has rows, the last exclusive, and about how many bytes there are.
    fn extent(&self) -> Result<Option<(i64, i64, u64)>, QueryError> {
        let (start, end) = (self.scan.start, self.scan.end);
        let mut extent: Option<(i64, i64, u64)> = None;
        let matchers = [self.scan.matchers.clone()];
        self.source.streams(&self.scan.tenant, &matchers, start, end, self.control, &mut |_, stats| {
            let (first, last, bytes) = extent.unwrap_or((i64::MAX, i64::MIN, 0));
            let held = stats.bytes + 64 * stats.entries;
            extent = Some((first.min(stats.first), last.max(stats.last), bytes + held));
        })?;
        let within = |(first, last, bytes): (i64, i64, u64)| {
            (first.max(start), last.saturating_add(1).min(end), bytes)
        };
        Ok(extent.map(within))
    }

    /// The rows of a slice in order, and the memory they take; `None` when it holds too much and is wider
    /// than a nanosecond.
    fn slice(&mut self, start: i64, end: i64) -> Result<Option<(Vec<Kept>, Lease)>, QueryError> {
        let scan = LogScan { start, end, ..self.scan.clone() };
        let mut cursor = self.source.scan(&scan, self.control)?;
        let mut lease = self.control.pool().take(0).map_err(|over| QueryError::Select(over.into()))?;
        let (mut rows, mut raw) = (Vec::new(), Vec::new());
        let mut place = 0;
        let before = self.stats;
        while let Some(batch) = cursor.next()? {
            self.control.check().map_err(|stop| QueryError::Select(stop.into()))?;
            let mut row = 0;
            let mut held = 0;
            for run in &batch.streams {
                let mut stream = self.pipeline.stream(&run.labels);
                for _ in 0..run.rows {
                    let time = batch.timestamps.get(row).copied().unwrap_or_default();
                    let (line, metadata) = (batch.lines.get(row), batch.metadata.get(row));
                    count_row(&mut self.stats, line, metadata.clone());
                    let place = place + row as u64;
                    row += 1;
                    if self.late {
                        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                        let metadata: Vec<_> = metadata.map(own).collect();
                        held += (size_of::<Raw>() + line.len() + 64 * metadata.len()) as u64;
                        let sent_to = run.labels.clone();
                        raw.push(Raw { time, sent_to, place, line: line.to_owned(), metadata });
                        continue;
                    }
                    let Some(result) = stream.run(time, line, metadata) else { continue };
                    let kept = Kept {
                        time,
                        sent_to: run.labels.clone(),
                        place,
                        labels: result.labels.categories(),
                        line: result.line.to_owned(),
                    };
                    held += kept.memory();
                    rows.push(kept);
                }
            }
            place += PLACES;
            lease.grow(held).map_err(|over| QueryError::Select(over.into()))?;
            if lease.bytes() > MOST_BYTES && end.saturating_sub(start) > 1 {
                add_scan(&mut self.stats.scan, &cursor.stats());
                self.stats = Stats { scan: self.stats.scan, ..before };
                return Ok(None);
            }
        }
        add_scan(&mut self.stats.scan, &cursor.stats());
        drop(cursor);
        if self.late {
            rows = self.finish_raw(raw);
        } else {
            rows.sort_by(|a: &Kept, b| self.by_time(a.order(b)));
        }
        self.stats.filtered_lines += rows.len() as u64;
        Ok(Some((rows, lease)))
    }

    fn by_time(&self, order: std::cmp::Ordering) -> std::cmp::Ordering {
        if self.newest_first { order.reverse() } else { order }
    }

    /// Sorts rows and only then runs the pipeline.
    fn finish_raw(&self, mut raw: Vec<Raw>) -> Vec<Kept> {
        raw.sort_by(|a, b| self.by_time((a.time, &a.sent_to, a.place).cmp(&(b.time, &b.sent_to, b.place))));
        let mut rows = Vec::new();
        for row in raw {
            let mut stream = self.pipeline.stream(&row.sent_to);
            let metadata = row.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let Some(result) = stream.run(row.time, &row.line, metadata) else { continue };
            let (labels, line) = (result.labels.categories(), result.line.to_owned());
            rows.push(Kept { time: row.time, sent_to: row.sent_to.clone(), place: row.place, labels, line });
        }
        rows
    }
}
