//! Taking entries: duplicates out, into the log, into memory.
//!
//! Callers prepare their call alone (hashes, compression, chunks), queue it, and whoever gets the writer
//! first writes all that wait with one system call and brings them into memory. The writer is held over
//! both, so a sealed memory has all rows logged before its position and none behind.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use novaobs_model::{AppendError, Lease, LogStream, Tenant};
use parking_lot::Mutex;

use crate::limits::{FLUSH_BYTES, FLUSH_ROWS, MEMORY_WAIT, UNFLUSHED_BYTES};
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
        if let Some(why) = self.failing.lock().clone()
            && self.metrics.memory_bytes.get() as u64 > UNFLUSHED_BYTES
        {
            self.metrics.refused.inc();
            return Err(AppendError::ReadOnly(why));
        }
        let until = Instant::now() + MEMORY_WAIT;
        loop {
            let seen = *self.flush_count.lock();
            let refused = match self.pool.take(bytes) {
                Ok(lease) => return Ok(lease),
                Err(refused) => refused,
            };
            self.want_flush();
            let mut count = self.flush_count.lock();
            let timed_out = *count == seen && self.flushed.wait_until(&mut count, until).timed_out();
            drop(count);
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
