//! Entries in memory: acknowledged, and not yet in a part.
//!
//! They stand in immutable chunks, so that a scan's snapshot is a list of references: it neither blocks
//! appends nor is changed by them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use novaobs_model::logs::{PairLists, Strings};
use novaobs_model::{Labels, Lease, LogStream};

use crate::limits::{CHUNK_RATIO, CHUNK_ROWS, ROW_BYTES, STREAM_BYTES};
use crate::names::Partition;
use crate::wal::Position;

/// Some entries of one partition.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub streams: Vec<LogStream>,
    pub rows: usize,
    /// Bytes of lines and structured metadata.
    pub raw_bytes: u64,
    /// Unix nanoseconds of the oldest and the newest entry.
    pub first: i64,
    pub last: i64,
}

impl Chunk {
    fn new(streams: Vec<LogStream>) -> Chunk {
        let mut chunk = Chunk { rows: 0, raw_bytes: 0, first: i64::MAX, last: i64::MIN, streams };
        for stream in &chunk.streams {
            chunk.rows += stream.timestamps.len();
            chunk.raw_bytes += raw_bytes(stream);
            chunk.first = stream.timestamps.iter().copied().fold(chunk.first, i64::min);
            chunk.last = stream.timestamps.iter().copied().fold(chunk.last, i64::max);
        }
        chunk
    }

    /// Bytes of memory assumed for it.
    pub(crate) fn memory(&self) -> u64 {
        let streams: u64 =
            self.streams.iter().map(|stream| STREAM_BYTES + stream.labels.heap_bytes() as u64).sum();
        streams + self.raw_bytes + self.rows as u64 * ROW_BYTES
    }
}

/// Bytes of a stream's lines and structured metadata.
fn raw_bytes(stream: &LogStream) -> u64 {
    let mut bytes = stream.lines.text().len();
    if !stream.metadata.no_pairs() {
        bytes +=
            stream.metadata.iter().flatten().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    }
    bytes as u64
}

/// Adds row `row` of `from` to `to`.
fn push_row(to: &mut LogStream, from: &LogStream, row: usize) {
    to.timestamps.extend(from.timestamps.get(row));
    to.lines.push(from.lines.get(row));
    to.metadata.push(from.metadata.get(row));
}

/// The rows of a call by day, in chunks of bounded size, without those `dropped` (ascending, counted over all
/// streams).
pub(crate) fn split(streams: &[LogStream], dropped: &[u32]) -> Vec<(i32, Chunk)> {
    let mut days: BTreeMap<i32, Vec<LogStream>> = BTreeMap::new();
    let mut dropped = dropped.iter().copied().peekable();
    let mut number = 0u32;
    for stream in streams {
        let rows = stream.timestamps.len();
        let first = stream.timestamps.iter().min().copied().unwrap_or(0);
        let last = stream.timestamps.iter().max().copied().unwrap_or(0);
        let day = Partition::day_of(first);
        let none_dropped = dropped.peek().is_none_or(|next| *next >= number + rows as u32);
        if rows > 0 && rows <= CHUNK_ROWS && none_dropped && day == Partition::day_of(last) {
            days.entry(day).or_default().push(stream.clone());
            number += rows as u32;
            continue;
        }
        let mut pieces: BTreeMap<i32, LogStream> = BTreeMap::new();
        for (row, time) in stream.timestamps.iter().enumerate() {
            if dropped.next_if_eq(&number).is_none() {
                let day = Partition::day_of(*time);
                let new = || LogStream { labels: stream.labels.clone(), ..LogStream::default() };
                let piece = pieces.entry(day).or_insert_with(new);
                push_row(piece, stream, row);
                if piece.timestamps.len() >= CHUNK_ROWS {
                    days.entry(day).or_default().push(std::mem::replace(piece, new()));
                }
            }
            number += 1;
        }
        for (day, piece) in pieces.into_iter().filter(|(_, piece)| !piece.timestamps.is_empty()) {
            days.entry(day).or_default().push(piece);
        }
    }
    days.into_iter().flat_map(|(day, streams)| cut(streams).map(move |chunk| (day, chunk))).collect()
}

/// Chunks of about [`CHUNK_ROWS`] rows: a scan holds the rows of one at a time.
fn cut(streams: Vec<LogStream>) -> impl Iterator<Item = Chunk> {
    let mut streams = streams.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut some = vec![streams.next()?];
        let mut rows = some.iter().map(|stream| stream.timestamps.len()).sum::<usize>();
        while let Some(next) = streams.next_if(|next| rows + next.timestamps.len() <= CHUNK_ROWS) {
            rows += next.timestamps.len();
            some.push(next);
        }
        Some(Chunk::new(some))
    })
}

/// One list of streams without repeats from those of several chunks.
pub(crate) fn join<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> Vec<LogStream> {
    let mut places: HashMap<Labels, Vec<&LogStream>> = HashMap::new();
    for stream in chunks.into_iter().flat_map(|chunk| &chunk.streams) {
        places.entry(stream.labels.clone()).or_default().push(stream);
    }
    let joined = places.into_iter().map(|(labels, pieces)| {
        let rows = pieces.iter().map(|piece| piece.timestamps.len()).sum();
        let bytes = pieces.iter().map(|piece| piece.lines.text().len()).sum();
        let mut stream = LogStream {
            labels,
            timestamps: Vec::with_capacity(rows),
            lines: Strings::with_capacity(rows, bytes),
            metadata: PairLists::default(),
        };
        for piece in pieces {
            stream.timestamps.extend_from_slice(&piece.timestamps);
            piece.lines.iter().for_each(|line| stream.lines.push(line));
            piece.metadata.iter().for_each(|row| stream.metadata.push(row));
        }
        stream
    });
    joined.collect()
}

/// Entries of one tenant that came one after the other.
#[derive(Debug)]
pub(crate) struct Rows {
    pub days: BTreeMap<i32, Vec<Arc<Chunk>>>,
    pub rows: usize,
    pub bytes: u64,
    /// Where the log has the oldest of them.
    pub from: Position,
    /// When the oldest of them came.
    pub since: Instant,
    /// What they take from the store's pool.
    leases: Vec<Lease>,
}

impl Rows {
    fn new(from: Position) -> Rows {
        Rows { days: BTreeMap::new(), rows: 0, bytes: 0, from, since: Instant::now(), leases: Vec::new() }
    }

    fn push(&mut self, day: i32, chunk: Chunk) {
        self.rows += chunk.rows;
        self.bytes += chunk.memory();
        let chunks = self.days.entry(day).or_default();
        chunks.push(Arc::new(chunk));
        settle(chunks);
    }

    /// Chunks with entries in `[start, end)`.
    fn within(&self, start: i64, end: i64) -> impl Iterator<Item = &Arc<Chunk>> {
        let all = self.days.values().flatten();
        all.filter(move |chunk| chunk.first < end && chunk.last >= start)
    }
}

/// Puts the newest chunks together while there are many of about one size: each row is copied a few times
/// at most, and no scan meets thousands of chunks however small the calls were.
fn settle(chunks: &mut Vec<Arc<Chunk>>) {
    let tier = |chunk: &Arc<Chunk>| chunk.rows.max(1).ilog(CHUNK_RATIO);
    while let Some(newest) = chunks.last().map(tier) {
        let same = chunks.iter().rev().take_while(|chunk| tier(chunk) == newest && chunk.rows < CHUNK_ROWS);
        let count = same.count();
        if count < CHUNK_RATIO {
            break;
        }
        let few = chunks.split_off(chunks.len() - count);
        chunks.push(Arc::new(Chunk::new(join(few.iter().map(|chunk| &**chunk)))));
    }
}

/// Entries that take no more and are being written to parts; a day leaves when its part is committed.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub rows: Rows,
    /// All of the tenant's rows logged before are in here or in parts.
    pub until: Position,
}

/// All entries of one tenant in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub active: Option<Rows>,
    pub sealed: Option<Sealed>,
}

impl Memory {
    /// Adds entries that the log has at `at`.
    pub(crate) fn push(&mut self, at: Position, chunks: Vec<(i32, Chunk)>, lease: Option<Lease>) {
        if chunks.is_empty() {
            return;
        }
        let active = self.active.get_or_insert_with(|| Rows::new(at));
        chunks.into_iter().for_each(|(day, chunk)| active.push(day, chunk));
        active.leases.extend(lease);
    }

    /// Closes the active rows: the log has nothing of the tenant before `until` that is not in them.
    pub(crate) fn seal(&mut self, until: Position) {
        if novaobs_model::always!(self.sealed.is_none(), "sealed rows are written before others are") {
            self.sealed = self.active.take().map(|rows| Sealed { rows, until });
        }
    }

    /// Forgets sealed rows of a day that parts have up to `covered`.
    pub(crate) fn release(&mut self, day: i32, covered: Position) {
        if let Some(sealed) = self.sealed.as_mut().filter(|sealed| sealed.until <= covered) {
            for chunk in sealed.rows.days.remove(&day).unwrap_or_default() {
                sealed.rows.rows -= chunk.rows;
                sealed.rows.bytes = sealed.rows.bytes.saturating_sub(chunk.memory());
            }
            if sealed.rows.days.is_empty() {
                self.sealed = None;
            }
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Rows> {
        self.sealed.iter().map(|sealed| &sealed.rows).chain(&self.active)
    }

    /// Chunks with entries in `[start, end)`.
    pub(crate) fn within(&self, start: i64, end: i64) -> impl Iterator<Item = &Arc<Chunk>> {
        self.parts().flat_map(move |rows| rows.within(start, end))
    }

    /// How many rows, and bytes of memory.
    pub(crate) fn size(&self) -> (usize, u64) {
        self.parts().fold((0, 0), |sum, rows| (sum.0 + rows.rows, sum.1 + rows.bytes))
    }

    /// Where the log has the oldest row.
    pub(crate) fn from(&self) -> Option<Position> {
        self.parts().map(|rows| rows.from).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_none() && self.sealed.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::DAY_NS;

    fn stream(app: &str, rows: &[(i64, &str)]) -> LogStream {
        LogStream {
            labels: Labels::from_pairs([("app", app)]),
            timestamps: rows.iter().map(|row| row.0).collect(),
            lines: rows.iter().map(|row| row.1).collect(),
            metadata: PairLists::empty_rows(rows.len()),
        }
    }

    #[test]
    fn a_call_is_split_by_day_without_dropped_rows() {
        let streams = [stream("a", &[(1, "x"), (DAY_NS, "y"), (2, "z")]), stream("b", &[(3, "w")])];
        let chunks = split(&streams, &[2]);
        assert_eq!(
            chunks.iter().map(|(day, chunk)| (*day, chunk.rows)).collect::<Vec<_>>(),
            [(0, 2), (1, 1)]
        );
        assert_eq!(chunks[0].1.streams, [stream("a", &[(1, "x")]), stream("b", &[(3, "w")])]);
        assert_eq!((chunks[0].1.first, chunks[0].1.last, chunks[0].1.raw_bytes), (1, 3, 2));
        assert!(split(&streams, &[0, 1, 2, 3]).is_empty());
    }

    #[test]
    fn a_large_call_makes_chunks_of_bounded_size() {
        let rows: Vec<(i64, &str)> = (0..50_000).map(|time| (time, "x")).collect();
        let small: Vec<LogStream> = (0..3).map(|n| stream(&n.to_string(), &rows[..9_000])).collect();
        let mut streams = vec![stream("large", &rows)];
        streams.extend(small);
        let chunks = split(&streams, &[0]);
        assert_eq!(chunks.iter().map(|(_, chunk)| chunk.rows).sum::<usize>(), 76_999);
        assert!(chunks.iter().all(|(day, chunk)| *day == 0 && chunk.rows <= CHUNK_ROWS));
    }

    #[test]
    fn many_small_calls_make_few_chunks() {
        let mut memory = Memory::default();
        for time in 0..5000 {
            memory.push(Position(1, time as u64), split(&[stream("a", &[(time, "x")])], &[]), None);
        }
        let chunks: Vec<_> = memory.within(0, i64::MAX).collect();
        assert_eq!(chunks.iter().map(|chunk| chunk.rows).sum::<usize>(), 5000);
        assert!(chunks.len() <= 5 * CHUNK_RATIO, "{} chunks", chunks.len());
        assert_eq!(memory.from(), Some(Position(1, 0)));
        assert!(memory.within(10, 20).map(|chunk| chunk.rows).sum::<usize>() > 9);
    }
}
