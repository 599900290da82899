//! A stand-in for the part format with its calls: rows as JSON.

use std::io;
use std::sync::Arc;

use novaobs_model::labels::Labels;
use novaobs_model::logs::{LogBatch, LogScan, LogStats, LogStream, RowView, ScanStats};
use novaobs_model::matcher::Matcher;
use novaobs_model::select::QueryControl;

use crate::{Dropped, MergeError, PartError, PartFile, PartInfo, WriteError};

type Row = (i64, String, Vec<(String, String)>);

/// A part file that is open for reading.
pub struct Part {
    info: PartInfo,
    streams: Vec<LogStream>,
}

/// A block of rows that may hold wanted ones.
#[derive(Clone, Debug)]
pub struct Block {
    /// Unix nanoseconds of the oldest row there may be.
    pub first: i64,
    /// Unix nanoseconds of the newest row there may be.
    pub last: i64,
    /// How many rows there are at most.
    pub rows: u64,
}

/// Writes a part.
///
/// # Errors
/// [`WriteError`].
pub fn write(streams: &[LogStream], out: &mut Vec<u8>) -> Result<PartInfo, WriteError> {
    let mut all: std::collections::BTreeMap<String, Vec<Row>> = Default::default();
    let mut info = PartInfo { first: i64::MAX, last: i64::MIN, ..Default::default() };
    for stream in streams {
        let rows = all.entry(stream.labels.as_packed().to_owned()).or_default();
        for (at, time) in stream.timestamps.iter().enumerate() {
            let metadata = stream.metadata.get(at).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let row = (*time, stream.lines.get(at).to_owned(), metadata);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    for rows in all.values_mut() {
        rows.sort_by_key(|row| row.0);
        for row in rows.iter() {
            info.rows += 1;
            info.raw_bytes +=
                row.1.len() as u64 + row.2.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() as u64;
            info.first = info.first.min(row.0);
            info.last = info.last.max(row.0);
        }
    }
    if info.rows == 0 {
        return Err(WriteError::Empty);
    }
    info.streams = all.len() as u32;
    serde_json::to_writer(&mut *out, &all).map_err(|_| WriteError::TooLarge("this"))?;
    info.file_bytes = out.len() as u64;
    Ok(info)
}

/// Merges parts.
///
/// # Errors
/// [`MergeError`].
pub fn merge(
    parts: &[Arc<Part>],
    drop: &[Dropped<'_>],
    out: &mut dyn io::Write,
    control: &QueryControl,
) -> Result<Option<PartInfo>, MergeError> {
    control.check()?;
    let mut kept = Vec::new();
    for stream in parts.iter().flat_map(|part| &part.streams) {
        let mut copy = LogStream { labels: stream.labels.clone(), ..Default::default() };
        for (at, time) in stream.timestamps.iter().enumerate() {
            let pairs: Vec<_> = stream.metadata.get(at).collect();
            let view = RowView {
                labels: &stream.labels,
                timestamp: *time,
                line: stream.lines.get(at),
                metadata: &pairs,
            };
            let gone = drop.iter().any(|one| {
                (one.start..=one.end).contains(time)
                    && one.filter.matchers.iter().all(|m| m.matches_labels(view.labels))
                    && one.filter.lines.iter().all(|t| crate::lines::LineCheck::new(t).passes(view.line))
                    && one.filter.rest.as_ref().is_none_or(|rest| rest(&view))
            });
            if !gone {
                copy.timestamps.push(*time);
                copy.lines.push(view.line);
                copy.metadata.push(pairs);
            }
        }
        kept.push(copy);
    }
    let mut bytes = Vec::new();
    match write(&kept, &mut bytes) {
        Err(WriteError::Empty) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(info) => {
            out.write_all(&bytes)?;
            Ok(Some(info))
        }
    }
}

impl Part {
    /// Opens a part.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn open(name: &str, file: Arc<dyn PartFile>) -> Result<Arc<Part>, PartError> {
        let io = |error| PartError::Io { part: name.into(), error };
        let bytes = file.read(0..file.len()).map_err(io)?;
        let all: std::collections::BTreeMap<String, Vec<Row>> = serde_json::from_slice(&bytes)
            .map_err(|error| PartError::Corrupt { part: name.into(), what: error.to_string() })?;
        let mut streams = Vec::new();
        for (labels, rows) in &all {
            let labels = Labels::from_packed(labels).unwrap_or_default();
            let mut stream = LogStream { labels, ..Default::default() };
            for (time, line, metadata) in rows {
                stream.timestamps.push(*time);
                stream.lines.push(line);
                stream.metadata.push(metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            }
            streams.push(stream);
        }
        let mut again = Vec::new();
        let info = write(&streams, &mut again)
            .map_err(|error| PartError::Corrupt { part: name.into(), what: error.to_string() })?;
        Ok(Arc::new(Part { info, streams }))
    }

    /// What it holds.
    pub fn info(&self) -> &PartInfo {
        &self.info
    }

    /// The blocks that may hold rows of a scan.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn plan(&self, scan: &LogScan, control: &QueryControl) -> Result<Vec<Block>, PartError> {
        control.check()?;
        let found = self.info.first < scan.end && self.info.last >= scan.start;
        let whole = Block { first: self.info.first, last: self.info.last, rows: self.info.rows };
        Ok(found.then_some(whole).into_iter().collect())
    }

    /// The wanted rows of a block; `None` when there is none.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn read(
        &self,
        scan: &LogScan,
        _block: &Block,
        control: &QueryControl,
        stats: &mut ScanStats,
    ) -> Result<Option<LogBatch>, PartError> {
        control.check()?;
        stats.rows += self.info.rows;
        Ok(crate::scan_rows(&self.streams, scan, usize::MAX).pop())
    }

    /// The streams that match any of `selectors` (none: all), from the stream table alone.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn streams(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), PartError> {
        for stream in &self.streams {
            let labels = &stream.labels;
            let wanted = selectors.is_empty()
                || selectors.iter().any(|all| all.iter().all(|m| m.matches_labels(labels)));
            let inside = stream.timestamps.iter().filter(|t| **t >= start && **t < end).count() as u64;
            if wanted && inside > 0 {
                let first = stream.timestamps.first().copied().unwrap_or(0);
                let last = stream.timestamps.last().copied().unwrap_or(0);
                let bytes = stream.lines.text().len() as u64;
                each(labels, LogStats { entries: inside, bytes, blocks: 1, first, last });
            }
        }
        Ok(())
    }

    /// Bytes of memory it takes.
    pub fn memory(&self) -> usize {
        self.streams.iter().map(|s| s.lines.memory() + s.metadata.memory()).sum()
    }
}
