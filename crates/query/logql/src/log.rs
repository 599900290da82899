//! Log queries: the newest or oldest lines behind a pipeline.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use novaobs_log_pipeline::Pipeline;
use novaobs_logql_parser::{LogExpr, Stage};
use novaobs_model::logs::{LineWanted, LogBatch, LogColumns, LogScan, LogSource, Order};
use novaobs_model::select::QueryControl;
use novaobs_model::{Labels, Lease};

use crate::drive::PLACES;
use crate::job::compile;
use crate::pushdown::pushed;
use crate::{Entry, Query, QueryError, Stats, Stream, Value, export};

/// Rows between two looks at the clock.
const CHECK_ROWS: usize = 1024;

/// A row that may be in the answer.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Unix nanoseconds.
    pub(crate) time: i64,
    /// The stream it was sent to: rows of one time are in the order of these.
    pub(crate) sent_to: Labels,
    /// Its place in the scan: rows of one time and stream are in this order.
    pub(crate) place: u64,
    /// Labels behind the pipeline: of the stream, of structured metadata, of parsers.
    pub(crate) labels: (Labels, Labels, Labels),
    /// The line behind the pipeline.
    pub(crate) line: String,
}

impl Kept {
    /// In order of time.
    pub(crate) fn order(&self, other: &Kept) -> Ordering {
        (self.time, &self.sent_to, self.place).cmp(&(other.time, &other.sent_to, other.place))
    }

    /// Bytes of memory behind it.
    pub(crate) fn memory(&self) -> u64 {
        let labels = &self.labels;
        let sets = labels.1.heap_bytes() + labels.2.heap_bytes();
        (size_of::<Kept>() + self.line.capacity() + sets) as u64
    }
}

/// A kept row in a heap whose top is what goes first when a better one comes.
struct Ranked {
    kept: Kept,
    newest_first: bool,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_time = self.kept.order(&other.kept);
        if self.newest_first { by_time.reverse() } else { by_time }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// A scan of the lines a log query may return.
pub(crate) fn scan_of(
    source: &dyn LogSource,
    query: &Query,
    log: &LogExpr,
    control: &QueryControl,
) -> Result<LogScan, QueryError> {
    let pushed = pushed(&log.stages);
    let mut scan = LogScan {
        tenant: query.tenant.clone(),
        start: query.start,
        end: query.end,
        matchers: log.matchers.clone(),
        lines: pushed.lines,
        fields: pushed.fields,
        columns: LogColumns {
            line: LineWanted::Always,
            line_bytes: false,
            metadata: true,
            fields: Vec::new(),
        },
        order: if query.newest_first { Order::Newest } else { Order::Oldest },
    };
    crate::pushdown::keep_sure_hints(source, &mut scan, control)?;
    Ok(scan)
}

/// Whether rows must go through the pipeline in order of time.
pub(crate) fn needs_order(log: &LogExpr) -> bool {
    log.stages.iter().any(|stage| matches!(stage, Stage::Distinct(_)))
}

/// Answers a log query.
pub(crate) fn run(
    source: &dyn LogSource,
    query: &Query,
    log: &LogExpr,
    control: &QueryControl,
) -> Result<(Value, Stats), QueryError> {
    if query.limit == 0 || query.start >= query.end {
        // What cannot compile is an error all the same.
        compile(&log.stages, None, None)?;
        return Ok((Value::Streams(Vec::new()), Stats::default()));
    }
    let (mut rows, mut stats) = match needs_order(log) {
        true => in_order(source, query, log, control)?,
        false => best(source, query, log, control)?,
    };
    if query.interval > 0 {
        thin(&mut rows, query.interval);
    }
    stats.returned_entries = rows.len() as u64;
    Ok((Value::Streams(streams(rows)), stats))
}

/// The first rows in the order asked.
fn in_order(
    source: &dyn LogSource,
    query: &Query,
    log: &LogExpr,
    control: &QueryControl,
) -> Result<(Vec<Kept>, Stats), QueryError> {
    let mut rows = Vec::new();
    let mut lease = lease(control)?;
    let mut refused = None;
    let stats = export::rows(source, query, log, control, &mut |row: Kept| {
        if let Err(over) = lease.grow(row.memory()) {
            refused = Some(over);
            return false;
        }
        rows.push(row);
        rows.len() < query.limit
    })?;
    match refused {
        Some(over) => Err(QueryError::Select(over.into())),
        None => Ok((rows, stats)),
    }
}

/// Leaves out rows that follow another, of whatever stream, too soon. The peer does so among the rows the
/// limit lets through.
fn thin(rows: &mut Vec<Kept>, interval: i64) {
    let mut last: Option<i64> = None;
    rows.retain(|row| {
        let far = last.is_none_or(|last| row.time.abs_diff(last) >= interval.unsigned_abs());
        if far {
            last = Some(row.time);
        }
        far
    });
}

/// The newest or oldest rows, in order.
fn best(
    source: &dyn LogSource,
    query: &Query,
    log: &LogExpr,
    control: &QueryControl,
) -> Result<(Vec<Kept>, Stats), QueryError> {
    let pipeline = compile(&log.stages, None, None)?;
    let scan = scan_of(source, query, log, control)?;
    let mut cursor = source.scan(&scan, control)?;
    let mut best = Best {
        heap: BinaryHeap::new(),
        limit: query.limit,
        newest_first: query.newest_first,
        lease: lease(control)?,
        stats: Stats::default(),
    };
    let mut bound = None;
    let mut place = 0;
    while let Some(batch) = cursor.next()? {
        best.batch(&pipeline, &batch, place, control)?;
        place += PLACES;
        let worst = best.worst();
        if worst.is_some() && worst != bound {
            bound = worst;
            match worst {
                Some(worst) if query.newest_first => cursor.bound(worst, query.end),
                Some(worst) => cursor.bound(query.start, worst.saturating_add(1)),
                None => {}
            }
        }
    }
    best.stats.scan = cursor.stats();
    let rows = best.heap.into_sorted_vec();
    Ok((rows.into_iter().map(|ranked| ranked.kept).collect(), best.stats))
}

struct Best {
    heap: BinaryHeap<Ranked>,
    limit: usize,
    newest_first: bool,
    lease: Lease,
    stats: Stats,
}

impl Best {
    /// The time of the row that goes first, once there are enough.
    fn worst(&self) -> Option<i64> {
        if self.heap.len() < self.limit {
            return None;
        }
        self.heap.peek().map(|worst| worst.kept.time)
    }

    /// Whether a row of this time may be among the best.
    fn may_take(&self, time: i64) -> bool {
        match self.worst() {
            None => true,
            Some(worst) if self.newest_first => time >= worst,
            Some(worst) => time <= worst,
        }
    }

    fn batch(
        &mut self,
        pipeline: &Pipeline,
        batch: &LogBatch,
        place: u64,
        control: &QueryControl,
    ) -> Result<(), QueryError> {
        let mut first = 0;
        for run in &batch.streams {
            control.check().map_err(|stop| QueryError::Select(stop.into()))?;
            let last = first + run.rows;
            let mut stream = pipeline.stream(&run.labels);
            // From the best row on, so that the rest of the run is left alone when one is too far off.
            for step in 0..run.rows {
                if step % CHECK_ROWS == CHECK_ROWS - 1 {
                    control.check().map_err(|stop| QueryError::Select(stop.into()))?;
                }
                let row = if self.newest_first { last - 1 - step } else { first + step };
                let time = batch.timestamps.get(row).copied().unwrap_or_default();
                if !self.may_take(time) {
                    break;
                }
                let (line, metadata) = (batch.lines.get(row), batch.metadata.get(row));
                count_row(&mut self.stats, line, metadata.clone());
                let Some(result) = stream.run(time, line, metadata) else { continue };
                self.stats.filtered_lines += 1;
                let kept = Kept {
                    time,
                    sent_to: run.labels.clone(),
                    place: place + row as u64,
                    labels: result.labels.categories(),
                    line: result.line.to_owned(),
                };
                self.take(kept)?;
            }
            first = last;
        }
        Ok(())
    }

    fn take(&mut self, kept: Kept) -> Result<(), QueryError> {
        let ranked = Ranked { kept, newest_first: self.newest_first };
        if self.heap.len() >= self.limit {
            if self.heap.peek().is_some_and(|worst| ranked >= *worst) {
                return Ok(());
            }
            if let Some(gone) = self.heap.pop() {
                self.lease.shrink(gone.kept.memory());
            }
        }
        self.lease.grow(ranked.kept.memory()).map_err(|over| QueryError::Select(over.into()))?;
        self.heap.push(ranked);
        Ok(())
    }
}

/// Counts a row that goes into a pipeline.
pub(crate) fn count_row<'a>(
    stats: &mut Stats,
    line: &str,
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let metadata: usize = metadata.map(|(name, value)| name.len() + value.len()).sum();
    stats.processed_lines += 1;
    stats.processed_bytes += (line.len() + metadata) as u64;
    stats.metadata_bytes += metadata as u64;
}

fn lease(control: &QueryControl) -> Result<Lease, QueryError> {
    control.pool().take(0).map_err(|refused| QueryError::Select(refused.into()))
}

/// Rows in order, by their labels.
fn streams(rows: Vec<Kept>) -> Vec<Stream> {
    let mut streams: BTreeMap<(Labels, Labels, Labels), Vec<Entry>> = BTreeMap::new();
    for row in rows {
        let entry = Entry { timestamp: row.time, line: row.line };
        streams.entry(row.labels).or_default().push(entry);
    }
    let stream = |((labels, metadata, parsed), entries)| Stream { labels, metadata, parsed, entries };
    streams.into_iter().map(stream).collect()
}
