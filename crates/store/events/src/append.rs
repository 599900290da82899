//! Taking entries: duplicates out, into the log, into memory.
//!
//! Callers prepare their call alone (hashes, compression, chunks), queue it, and whoever gets the writer
//! first writes all that wait with one system call and brings them into memory. The writer is held over
//! both, so a sealed memory has all rows logged before its position and none behind.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use novaobs_model::{AppendError, Lease, LogStream, Tenant};
use parking_lot::Mutex;

use crate::limits::{FLUSH_BYTES, FLUSH_ROWS, MEMORY_WAIT, SLOW_DOWN_BYTES, UNFLUSHED_BYTES};
use crate::memory::{Chunk, Memory, split};
use crate::recent::hash_entries;
use crate::record;
use crate::store::{Store, Writer};
use crate::wal::{Position, put_record};

/// A call that waits to be written.
pub(crate) struct Request {
    tenant: Tenant,
    hashes: Vec<u64>,
    /// Compressed.
    payload: Vec<u8>,
    /// Taken by who writes.
    ready: Mutex<Ready>,
    /// Set when it was written, or refused.
    outcome: OnceLock<Result<(), Refused>>,
}

/// What goes to memory.
#[derive(Default)]
struct Ready {
    chunks: Vec<(i32, Chunk)>,
    lease: Option<Lease>,
}

/// Why a call was refused; one write's reason is that of many calls.
#[derive(Clone)]
enum Refused {
    Closed,
    ReadOnly(String),
}

impl From<Refused> for AppendError {
    fn from(refused: Refused) -> AppendError {
        match refused {
            Refused::Closed => AppendError::Closed,
            Refused::ReadOnly(why) => AppendError::ReadOnly(why),
        }
    }
}

impl Store {
    /// Writes all entries of a call, or none.
    pub(crate) fn append(&self, tenant: &Tenant, streams: &[LogStream]) -> Result<(), AppendError> {
        let equal = |stream: &LogStream| {
            let rows = stream.timestamps.len();
            rows == stream.lines.len() && rows == stream.metadata.len()
        };
        if !novaobs_model::always!(streams.iter().all(equal), "columns of a stream have one length") {
            return Err(AppendError::ReadOnly("columns of unequal length".to_owned()));
        }
        let chunks = split(streams, &[]);
        if chunks.is_empty() {
            return Ok(());
        }
        let bytes = chunks.iter().map(|(_, chunk)| chunk.memory()).sum();
        let lease = self.take_memory(bytes)?;
        let request = Arc::new(Request {
            tenant: tenant.clone(),
            hashes: hash_entries(streams, self.seed),
            payload: record::encode(tenant, streams),
            ready: Mutex::new(Ready { chunks, lease: Some(lease) }),
            outcome: OnceLock::new(),
        });
        self.queue.lock().push(request.clone());
        let mut writer = self.writer.lock();
        if request.outcome.get().is_none() {
            // Not yet written by another: this one writes all that wait, its own among them.
            let waiting = std::mem::take(&mut *self.queue.lock());
            self.write(&mut writer, &waiting);
        }
        drop(writer);
        match request.outcome.get() {
            Some(outcome) => outcome.clone().map_err(AppendError::from),
            None => {
                novaobs_model::never!("a queued call was left out");
                Err(AppendError::Closed)
            }
        }
    }

    /// Memory for a call; waits for a flush when there is none left.
    fn take_memory(&self, bytes: u64) -> Result<Lease, AppendError> {
        let failing = self.failing.lock().clone();
        // Where flushes fail, waiting for one is of no use.
        let mut slowed = failing.is_some();
        if let Some(why) = failing
            && self.metrics.memory_bytes.get() as u64 > UNFLUSHED_BYTES
        {
            self.metrics.refused.inc();
            return Err(AppendError::ReadOnly(why));
        }
        let until = Instant::now() + MEMORY_WAIT;
        loop {
            let seen = *self.flush_count.lock();
            let crowded = self.metrics.memory_bytes.get() as u64 > SLOW_DOWN_BYTES && !slowed;
            let refused = match self.pool.take(bytes) {
                Ok(lease) if !crowded => return Ok(lease),
                Ok(_) => None,
                Err(refused) => Some(refused),
            };
            self.want_flush();
            let mut count = self.flush_count.lock();
            let timed_out = *count == seen && self.flushed.wait_until(&mut count, until).timed_out();
            drop(count);
            slowed |= timed_out;
            let Some(refused) = refused else { continue };
            if timed_out || self.is_closing() || bytes > self.pool.limit() {
                self.metrics.refused.inc();
                return Err(match self.failing.lock().clone() {
                    Some(why) => AppendError::ReadOnly(why),
                    None => AppendError::OverBudget(refused),
                });
            }
        }
    }

    /// Writes waiting calls to the log and brings them into memory.
    fn write(&self, writer: &mut Writer, waiting: &[Arc<Request>]) {
        let settle = |requests: &[Arc<Request>], outcome: &Result<(), Refused>| {
            for request in requests {
                // Set once, here.
                let _ = request.outcome.set(outcome.clone());
            }
        };
        if writer.closed {
            settle(waiting, &Err(Refused::Closed));
            return;
        }
        let mut buffer = std::mem::take(&mut writer.buffer);
        buffer.clear();
        let mut front = Vec::new();
        let mut placed: Vec<(usize, Vec<u32>)> = Vec::with_capacity(waiting.len());
        for request in waiting {
            let dropped = writer.recent.admit(&request.tenant, &request.hashes);
            placed.push((buffer.len(), dropped));
            let Some((_, dropped)) = placed.last() else { continue };
            if dropped.len() < request.hashes.len() {
                front.clear();
                record::put_dropped(&mut front, dropped);
                put_record(&mut buffer, &front, &request.payload);
            }
        }
        let written = if buffer.is_empty() { Ok(writer.wal.end()) } else { writer.wal.append(&buffer) };
        let outcome = match written {
            Ok(at) => {
                self.remember(waiting, &placed, at);
                Ok(())
            }
            Err(error) => {
                for (request, (_, dropped)) in waiting.iter().zip(&placed) {
                    writer.recent.forget(&request.tenant, &request.hashes, dropped);
                }
                self.metrics.wal_failures.inc();
                self.metrics.refused.inc_by(waiting.len() as u64);
                tracing::warn!(log = %self.log_folder.display(), "cannot write the log: {error}");
                Err(Refused::ReadOnly(format!(
                    "cannot write the log in {}: {error}",
                    self.log_folder.display()
                )))
            }
        };
        settle(waiting, &outcome);
        if buffer.capacity() <= FLUSH_BYTES as usize {
            writer.buffer = buffer;
        }
    }

    /// Brings written calls into memory; the first stands in the log at `at`.
    fn remember(&self, waiting: &[Arc<Request>], placed: &[(usize, Vec<u32>)], at: Position) {
        let mut full = false;
        for (request, (offset, dropped)) in waiting.iter().zip(placed) {
            let ready = std::mem::take(&mut *request.ready.lock());
            self.metrics.rows.inc_by((request.hashes.len() - dropped.len()) as u64);
            self.metrics.duplicates.inc_by(dropped.len() as u64);
            let chunks = match dropped.is_empty() {
                true => ready.chunks,
                false if dropped.len() == request.hashes.len() => continue,
                // Rare: some entries were sent before. The call is taken from its record, as a replay does.
                false => {
                    record::decode_streams(&request.payload).map_or(Vec::new(), |(_, s)| split(&s, dropped))
                }
            };
            let at = Position(at.0, at.1 + *offset as u64);
            let mut view = self.view.write();
            let memory = view.memories.entry(request.tenant.clone()).or_default();
            let before = memory.size().1;
            memory.push(at, chunks, ready.lease);
            self.metrics.memory_bytes.add(memory.size().1 as i64 - before as i64);
            full |= Store::is_full(memory);
        }
        if full {
            self.want_flush();
        }
    }

    /// Whether a tenant's memory is to be written to parts for its size.
    pub(crate) fn is_full(memory: &Memory) -> bool {
        memory.active.as_ref().is_some_and(|rows| rows.rows >= FLUSH_ROWS || rows.bytes >= FLUSH_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use novaobs_model::logs::{PairLists, Strings};
    use novaobs_model::{AppendError, Labels, LogSink, LogStream, Tenant};

    use crate::{Events, Options};

    fn stream(lines: &[&str]) -> LogStream {
        LogStream {
            labels: Labels::from_pairs([("app", "web")]),
            timestamps: vec![1; lines.len()],
            lines: lines.iter().copied().collect::<Strings>(),
            metadata: PairLists::empty_rows(lines.len()),
        }
    }

    #[test]
    fn a_full_disk_refuses_a_call_whole_and_takes_it_when_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let registry = prometheus::Registry::new();
            Events::open(folder.path(), Options { background: false, ..Options::new(&registry) }).unwrap()
        };
        let events = open();
        let tenant = Tenant::new("fake");
        let rows = |events: &Events| events.stats().tenants.first().map_or(0, |tenant| tenant.memory_rows);
        events.append(&tenant, &[stream(&["a"])]).unwrap();
        let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
        let good = events.store.writer.lock().wal.replace_file(full);
        for _ in 0..2 {
            let refused = events.append(&tenant, &[stream(&["a", "b", "c"])]).unwrap_err();
            assert!(
                matches!(&refused, AppendError::ReadOnly(why) if why.contains("cannot write the log")),
                "{refused}"
            );
            assert_eq!(rows(&events), 1);
        }
        events.store.writer.lock().wal.replace_file(good);
        events.append(&tenant, &[stream(&["a", "b", "c"])]).unwrap();
        assert_eq!(rows(&events), 3);
        // An empty call, and one with nothing new, write nothing.
        let end = events.store.writer.lock().wal.end();
        events.append(&tenant, &[]).unwrap();
        events.append(&tenant, &[stream(&[])]).unwrap();
        events.append(&tenant, &[stream(&["c", "b"])]).unwrap();
        assert_eq!(events.store.writer.lock().wal.end(), end);
        events.close();
        drop(events);
        assert_eq!(
            open().stats().tenants.first().map(|tenant| (tenant.rows, tenant.memory_rows)),
            Some((3, 0))
        );
    }
}
