//! Scans: a snapshot of memory and parts, pruned by time, then by what each part plans, read block by block.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use novaobs_model::logs::{Order, ScanStats};
use novaobs_model::{Lease, LogBatch, LogCursor, LogScan, QueryControl, SelectError};
use novaobs_parts::{Block, Part, PartError, scan_rows};
use parking_lot::{Condvar, Mutex};

use crate::filter::{Deleted, strip, widen};
use crate::limits::{BATCH_ROWS, PARALLEL_ROWS, SCAN_WORKERS};
use crate::memory::Chunk;
use crate::names::Partition;
use crate::partition::Stored;
use crate::store::Store;

/// A piece of a scan.
enum Source {
    Memory(Arc<Chunk>),
    /// Not yet planned.
    Part(Arc<Stored>),
    Block(Arc<Stored>, Arc<Part>, Block),
}

struct Unit {
    first: i64,
    last: i64,
    source: Source,
}

/// What all threads of one scan share.
struct Shared {
    store: Arc<Store>,
    scan: LogScan,
    control: QueryControl,
    deletes: Vec<Arc<Deleted>>,
    /// What is still wanted; narrowed by [`LogCursor::bound`].
    start: AtomicI64,
    end: AtomicI64,
    stats: Mutex<ScanStats>,
    units: Mutex<Units>,
    /// Told when units came or planning ended.
    changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Units {
    waiting: VecDeque<Unit>,
    /// Threads that may still add units.
    planning: usize,
}

impl Shared {
    /// The scan of what is still wanted, with columns to tell deleted rows by.
    fn narrowed(&self, deleted: &[&Deleted]) -> LogScan {
        let mut scan = self.scan.clone();
        scan.start = self.start.load(Ordering::Relaxed);
        scan.end = self.end.load(Ordering::Relaxed);
        if !deleted.is_empty() {
            scan.columns = widen(&scan.columns, deleted);
        }
        scan
    }

    fn is_wanted(&self, unit: &Unit) -> bool {
        unit.first < self.end.load(Ordering::Relaxed) && unit.last >= self.start.load(Ordering::Relaxed)
    }

    /// Deletes that rows of a unit may be covered by.
    fn deleted(&self, unit: &Unit) -> Vec<&Deleted> {
        let applied: &[String] = match &unit.source {
            Source::Memory(_) => &[],
            Source::Part(part) | Source::Block(part, ..) => &part.entry.applied,
        };
        let deletes = self.deletes.iter().map(|one| &**one);
        deletes.filter(|one| one.overlaps(unit.first, unit.last) && !applied.contains(&one.id)).collect()
    }

    /// Does one unit: units it falls into, or rows.
    fn run(&self, unit: Unit, units: &mut Vec<Unit>, rows: &mut Vec<LogBatch>) -> Result<(), SelectError> {
        self.control.check()?;
        if !self.is_wanted(&unit) {
            let mut stats = self.stats.lock();
            match unit.source {
                Source::Part(_) => stats.parts_skipped += 1,
                Source::Block(..) => stats.blocks_skipped += 1,
                Source::Memory(_) => {}
            }
            return Ok(());
        }
        let deleted = self.deleted(&unit);
        let scan = self.narrowed(&deleted);
        let asked = &self.scan.columns;
        let finish = |batch| if deleted.is_empty() { Some(batch) } else { strip(batch, &deleted, asked) };
        match &unit.source {
            Source::Memory(chunk) => {
                rows.extend(scan_rows(&chunk.streams, &scan, BATCH_ROWS).into_iter().filter_map(finish));
                let mut stats = self.stats.lock();
                stats.memory_rows += chunk.rows as u64;
                stats.memory_bytes += chunk.raw_bytes;
            }
            Source::Part(stored) => {
                if stored.bad.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let opened = self.store.open_parts.get(stored);
                let planned = opened.and_then(|part| Ok((part.plan(&scan, &self.control)?, part)));
                let Some((blocks, part)) = self.served(stored, planned)? else { return Ok(()) };
                let mut stats = self.stats.lock();
                stats.parts_skipped += u64::from(blocks.is_empty());
                stats.blocks += blocks.len() as u64;
                drop(stats);
                units.extend(blocks.into_iter().map(|block| Unit {
                    first: block.first,
                    last: block.last,
                    source: Source::Block(stored.clone(), part.clone(), block),
                }));
            }
            Source::Block(stored, part, block) => {
                if stored.bad.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let mut stats = ScanStats::default();
                let read = part.read(&scan, block, &self.control, &mut stats);
                add(&mut self.stats.lock(), &stats);
                let batch = self.served(stored, read)?.flatten();
                rows.extend(batch.filter(|batch| !batch.timestamps.is_empty()).and_then(finish));
            }
        }
        Ok(())
    }

    /// A damaged part is set aside and the rest served; other failures end the scan.
    fn served<T>(&self, part: &Arc<Stored>, read: Result<T, PartError>) -> Result<Option<T>, SelectError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(PartError::Interrupted(interrupt)) => Err(interrupt.into()),
            Err(error) if self.store.is_lost(part, &error) => {
                self.store.quarantine(part, &error);
                Ok(None)
            }
            Err(error) => {
                self.store.metrics.read_failures.inc();
                Err(error.into())
            }
        }
    }

    /// The next unit for a worker; `None` when there will be none.
    fn take(&self) -> Option<Unit> {
        let mut units = self.units.lock();
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(unit) = units.waiting.pop_front() {
                units.planning += usize::from(matches!(unit.source, Source::Part(_)));
                return Some(unit);
            }
            if units.planning == 0 {
                return None;
            }
            self.changed.wait(&mut units);
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _units = self.units.lock();
        self.changed.notify_all();
    }

    /// A thread's share of a scan.
    fn work(&self, send: &SyncSender<Message>) {
        let (mut units, mut rows) = (Vec::new(), Vec::new());
        while let Some(unit) = self.take() {
            let was_part = matches!(unit.source, Source::Part(_));
            let outcome = self.run(unit, &mut units, &mut rows);
            if was_part {
                let mut all = self.units.lock();
                all.planning -= 1;
                units.drain(..).rev().for_each(|unit| all.waiting.push_front(unit));
                self.changed.notify_all();
            }
            let mut messages = rows.drain(..).map(|batch| {
                let lease = self.control.pool().take(memory(&batch))?;
                Ok((batch, lease))
            });
            let sent = messages.try_for_each(|message: Result<_, SelectError>| {
                let failed = message.is_err();
                (send.send(message).is_ok() && !failed).then_some(())
            });
            if let Err(error) = outcome {
                // Nobody may be listening any more.
                let _ = send.send(Err(error));
                self.stop();
            } else if sent.is_none() {
                self.stop();
            }
        }
    }
}

/// A batch with the memory it holds while it waits.
type Message = Result<(LogBatch, Lease), SelectError>;

/// Bytes of memory of a batch, about.
fn memory(batch: &LogBatch) -> u64 {
    use novaobs_model::logs::TextColumn;
    let fields = batch.fields.iter().map(|field| match field {
        TextColumn::Dictionary { codes, values } => codes.len() * 4 + values.memory(),
        TextColumn::Plain { present, values } => present.len() + values.memory(),
        TextColumn::Decimal { present, mantissas, .. } => present.len() + mantissas.len() * 8,
    });
    let fields: usize = fields.sum();
    (batch.timestamps.len() * 16 + batch.lines.memory() + batch.metadata.memory() + fields) as u64
}

fn add(to: &mut ScanStats, from: &ScanStats) {
    to.parts += from.parts;
    to.parts_skipped += from.parts_skipped;
    to.blocks += from.blocks;
    to.blocks_skipped += from.blocks_skipped;
    to.rows += from.rows;
    to.bytes += from.bytes;
    to.bytes_read += from.bytes_read;
    to.memory_rows += from.memory_rows;
    to.memory_bytes += from.memory_bytes;
}

/// How a cursor gets its rows.
enum Reading {
    /// On the caller's thread: units in no order, the best is taken next.
    Here(Vec<Unit>),
    /// By threads of its own.
    There(Receiver<Message>),
    /// No more.
    Over,
}

/// Batches of one scan.
pub(crate) struct Cursor {
    shared: Arc<Shared>,
    reading: Reading,
    ready: VecDeque<LogBatch>,
}

impl Store {
    /// The cursor of a scan.
    pub(crate) fn scan(
        self: &Arc<Store>,
        scan: &LogScan,
        control: &QueryControl,
    ) -> Result<Cursor, SelectError> {
        control.check()?;
        let mut units = Vec::new();
        let mut stats = ScanStats::default();
        let mut rows = 0;
        if scan.start < scan.end {
            let days = Partition::day_of(scan.start)..=Partition::day_of(scan.end - 1);
            let view = self.view.read();
            if let Some(memory) = view.memories.get(&scan.tenant) {
                units.extend(memory.within(scan.start, scan.end).map(|chunk| Unit {
                    first: chunk.first,
                    last: chunk.last,
                    source: Source::Memory(chunk.clone()),
                }));
            }
            for part in
                view.of(&scan.tenant).filter(|s| days.contains(&s.partition.day)).flat_map(|s| &s.parts)
            {
                let info = &part.entry.info;
                stats.parts += 1;
                if info.first >= scan.end || info.last < scan.start {
                    stats.parts_skipped += 1;
                    continue;
                }
                rows += info.rows;
                units.push(Unit { first: info.first, last: info.last, source: Source::Part(part.clone()) });
            }
        }
        let shared = Arc::new(Shared {
            store: self.clone(),
            scan: scan.clone(),
            control: control.clone(),
            deletes: self.deletes_in_force(&scan.tenant, scan.start, scan.end.saturating_sub(1)),
            start: AtomicI64::new(scan.start),
            end: AtomicI64::new(scan.end),
            stats: Mutex::new(stats),
            units: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let workers = if scan.order == Order::Any && rows >= PARALLEL_ROWS { self.hire() } else { 0 };
        let reading = if workers == 0 { Reading::Here(units) } else { shared.start(units, workers) };
        Ok(Cursor { shared, reading, ready: VecDeque::new() })
    }

    /// How many threads a scan may start; they are given back one by one.
    fn hire(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let wanted = cores.min(SCAN_WORKERS);
        let limit = cores * 2;
        let hired = self.scan_threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
            (busy + wanted <= limit).then_some(busy + wanted)
        });
        hired.map_or(0, |_| wanted)
    }
}

impl Shared {
    fn start(self: &Arc<Shared>, units: Vec<Unit>, workers: usize) -> Reading {
        self.units.lock().waiting = units.into();
        let (send, receive) = sync_channel(workers * 2);
        for _ in 0..workers {
            let (shared, sender) = (self.clone(), send.clone());
            let work = move || {
                shared.work(&sender);
                shared.store.scan_threads.fetch_sub(1, Ordering::Relaxed);
            };
            if let Err(error) = std::thread::Builder::new().name("logs-scan".to_owned()).spawn(work) {
                self.store.scan_threads.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!("cannot start a thread for a scan: {error}");
                // The others do its share; without any, the scan says so.
                let failed = SelectError::Storage(format!("cannot start a thread for a scan: {error}"));
                let _ = send.try_send(Err(failed));
            }
        }
        Reading::There(receive)
    }
}

impl Cursor {
    /// The next batch of units on this thread.
    fn next_here(&mut self) -> Result<Option<LogBatch>, SelectError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Reading::Here(units) = &mut self.reading else { return Ok(None) };
            let best = match self.shared.scan.order {
                Order::Any => units.len().checked_sub(1),
                Order::Newest => (0..units.len()).max_by_key(|at| units.get(*at).map(|unit| unit.last)),
                Order::Oldest => {
                    (0..units.len()).max_by_key(|at| units.get(*at).map(|unit| Reverse(unit.first)))
                }
            };
            let Some(best) = best else { return Ok(None) };
            let unit = units.swap_remove(best);
            let (mut more, mut rows) = (Vec::new(), Vec::new());
            self.shared.run(unit, &mut more, &mut rows)?;
            units.append(&mut more);
            self.ready.extend(rows);
        }
    }
}

impl LogCursor for Cursor {
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError> {
        let outcome = match &self.reading {
            Reading::Here(_) => self.next_here(),
            Reading::There(receive) => match receive.recv() {
                Ok(message) => message.map(|(batch, _)| Some(batch)),
                Err(_) => Ok(None),
            },
            Reading::Over => Ok(None),
        };
        if !matches!(outcome, Ok(Some(_))) {
            self.shared.stop();
            self.reading = Reading::Over;
        }
        outcome
    }

    fn bound(&mut self, start: i64, end: i64) {
        self.shared.start.fetch_max(start, Ordering::Relaxed);
        self.shared.end.fetch_min(end, Ordering::Relaxed);
    }

    fn stats(&self) -> ScanStats {
        *self.shared.stats.lock()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
