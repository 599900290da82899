//! Writing memory to parts, and cutting the log behind them.

use std::fs;
use std::io;
use std::time::Instant;

use novaobs_model::{LogStream, Tenant};
use novaobs_parts::PartInfo;

use crate::limits::{
    CROWDED_BYTES, FLUSH_AFTER, FLUSH_LOG_BYTES, FLUSH_SMALL_AFTER, SMALL_LOG_BYTES, SMALL_MEMORY_BYTES,
};
use crate::manifest::PartEntry;
use crate::memory::join;
use crate::names::{self, Partition};
use crate::partition::Change;
use crate::store::Store;
use crate::wal::{self, Position};

impl Store {
    /// Writes to parts what is due: full or old memories; with `all`, everything.
    pub(crate) fn flush(&self, all: bool) -> io::Result<()> {
        let _one = self.flushing.lock();
        let all = all || self.log_bytes() > FLUSH_LOG_BYTES;
        let mut tenants: Vec<(u64, Tenant)> = {
            let view = self.view.read();
            view.memories.iter().map(|(tenant, memory)| (memory.size().1, tenant.clone())).collect()
        };
        // The largest first: when all together take too much, the small ones can stay.
        tenants.sort_unstable_by(|a, b| b.cmp(a));
        let mut held: u64 = tenants.iter().map(|(bytes, _)| bytes).sum();
        let crowded = held > CROWDED_BYTES;
        let mut outcome = Ok(());
        for (bytes, tenant) in tenants {
            if outcome.is_ok() && self.has_sealed(&tenant) {
                // Left from a flush that failed.
                outcome = self.write_sealed(&tenant);
            }
            let due = all || self.is_due(&tenant) || (crowded && held > CROWDED_BYTES / 2);
            if outcome.is_ok() && due {
                outcome = self.flush_tenant(&tenant);
                held = held.saturating_sub(bytes);
            }
        }
        self.forget_empty();
        self.trim_log();
        *self.failing.lock() = outcome.as_ref().err().map(|error| format!("cannot write parts: {error}"));
        if outcome.is_err() {
            self.metrics.flush_failures.inc();
        }
        *self.flush_count.lock() += 1;
        self.flushed.notify_all();
        outcome
    }

    fn has_sealed(&self, tenant: &Tenant) -> bool {
        self.view.read().memories.get(tenant).is_some_and(|memory| memory.sealed.is_some())
    }

    /// Whether a tenant's memory is full or old.
    fn is_due(&self, tenant: &Tenant) -> bool {
        let view = self.view.read();
        let Some(memory) = view.memories.get(tenant) else { return false };
        let old = memory.active.as_ref().is_some_and(|rows| {
            let small = rows.bytes < SMALL_MEMORY_BYTES;
            rows.since.elapsed() >= if small { FLUSH_SMALL_AFTER } else { FLUSH_AFTER }
        });
        old || Store::is_full(memory)
    }

    fn flush_tenant(&self, tenant: &Tenant) -> io::Result<()> {
        {
            let mut writer = self.writer.lock();
            let until = writer.wal.end();
            let mut view = self.view.write();
            if let Some(memory) = view.memories.get_mut(tenant).filter(|memory| memory.sealed.is_none()) {
                memory.seal(until);
                drop(view);
                writer.recent.turn(tenant);
            }
        }
        self.write_sealed(tenant)
    }

    /// As [`Store::flush`] of one tenant whose rows before `until` are all in memory or parts.
    pub(crate) fn flush_until(&self, tenant: &Tenant, until: Position) -> io::Result<()> {
        let _one = self.flushing.lock();
        if let Some(memory) =
            self.view.write().memories.get_mut(tenant).filter(|memory| memory.sealed.is_none())
        {
            memory.seal(until);
        }
        self.write_sealed(tenant)
    }

    /// Writes the sealed rows of a tenant, a part for each day.
    fn write_sealed(&self, tenant: &Tenant) -> io::Result<()> {
        loop {
            let next = {
                let view = self.view.read();
                let sealed = view.memories.get(tenant).and_then(|memory| memory.sealed.as_ref());
                let Some(sealed) = sealed else { return Ok(()) };
                sealed.rows.days.first_key_value().map(|(day, chunks)| (*day, chunks.clone(), sealed.until))
            };
            let Some((day, chunks, until)) = next else { return Ok(()) };
            let streams = join(chunks.iter().map(|chunk| &**chunk));
            drop(chunks);
            let partition = Partition { tenant: tenant.clone(), day };
            let begun = Instant::now();
            let entry = self.put_part(&partition, &streams)?;
            let (id, rows) = (entry.id.clone(), entry.info.rows);
            let state = self.commit(&partition, true, |manifest| {
                if manifest.covered(&self.writer_id) >= until {
                    // An earlier attempt, given up without an answer, was written after all.
                    return Change::Nothing;
                }
                let mut next = manifest.clone();
                next.covered.insert(self.writer_id.clone(), until);
                next.parts.push(entry.clone());
                Change::Commit(next)
            })?;
            if !state.parts.iter().any(|part| part.entry.id == id) {
                self.bucket.delete(&partition.part(&id))?;
            }
            self.metrics.flushes.inc();
            tracing::debug!(%partition, rows, took = ?begun.elapsed(), "memory written to a part");
        }
    }

    /// Puts a part into the bucket; it does not exist for readers before a commit.
    fn put_part(&self, partition: &Partition, streams: &[LogStream]) -> io::Result<PartEntry> {
        let mut bytes = Vec::new();
        let info: PartInfo = novaobs_parts::write(streams, &mut bytes).map_err(io::Error::other)?;
        let id = new_part_id();
        self.bucket.put(&partition.part(&id), &bytes)?;
        Ok(PartEntry { id, info, cold: false, applied: Vec::new() })
    }

    /// Lets go of tenants without rows in memory.
    fn forget_empty(&self) {
        let mut writer = self.writer.lock();
        let mut view = self.view.write();
        view.memories.retain(|_, memory| !memory.is_empty());
        let bytes: u64 = view.memories.values().map(|memory| memory.size().1).sum();
        self.metrics.memory_bytes.set(bytes as i64);
        writer.recent.forget_idle(|tenant| view.memories.contains_key(tenant));
    }

    /// Removes segments of the log whose rows are all in parts.
    pub(crate) fn trim_log(&self) {
        let needed = {
            let mut writer = self.writer.lock();
            let oldest = self.view.read().memories.values().filter_map(|memory| memory.from()).min();
            let large = writer.wal.end().1 > SMALL_LOG_BYTES || writer.closed;
            if oldest.is_none() && large && !writer.wal.is_empty() {
                // Nothing in the open segment is needed either.
                if let Err(error) = writer.wal.rotate() {
                    tracing::warn!(log = %self.log_folder.display(), "cannot begin a new segment: {error}");
                }
            }
            oldest.unwrap_or(writer.wal.end()).0
        };
        for number in wal::segments(&self.log_folder).unwrap_or_default() {
            if number < needed
                && let Err(error) = fs::remove_file(names::segment(&self.log_folder, number))
            {
                tracing::warn!(log = %self.log_folder.display(), number, "cannot remove a segment: {error}");
            }
        }
    }

    /// Makes what was logged survive a power cut.
    pub(crate) fn sync(&self) {
        let files = self.writer.lock().wal.take_unsynced();
        for file in files {
            if let Err(error) = file.sync_data() {
                tracing::error!(log = %self.log_folder.display(), "cannot sync the log: {error}");
            }
        }
    }
}

/// A name no other part has; those of one writer sort by time.
pub(crate) fn new_part_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:012x}-{:016x}", now.as_millis(), crate::partition::random())
}
