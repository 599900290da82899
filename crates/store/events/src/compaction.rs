//! Merging parts within partitions, tier by tier.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use novaobs_model::logs::RowFilter;
use novaobs_parts::{Dropped, MergeError, PartError};

use crate::bucket::Bucket;
use crate::deletes::now;
use crate::filter::Deleted;
use crate::flush::new_part_id;
use crate::limits::{MERGE_BYTES, MERGE_PARTS, QUIET, QUIET_TIER_PARTS, TIER_BYTES, TIER_PARTS};
use crate::manifest::PartEntry;
use crate::names::Partition;
use crate::partition::{Change, State, Stored};
use crate::store::Store;

impl Store {
    /// Merges until nothing is due. The caller holds `merging`.
    pub(crate) fn compact(&self, eagerly: bool) -> io::Result<()> {
        let mut passed: HashSet<Partition> = HashSet::new();
        while !self.is_closing() {
            let due = {
                let view = self.view.read();
                let states = view.partitions.values().filter(|state| !passed.contains(&state.partition));
                // The fullest first: it costs reads most.
                let mut due = states
                    .filter_map(|state| Some((state.parts.len(), due(state, eagerly)?)))
                    .collect::<Vec<_>>();
                due.sort_by_key(|(parts, _)| *parts);
                due.pop().map(|(_, inputs)| inputs)
            };
            let Some(inputs) = due else { return Ok(()) };
            if !self.rewrite(&inputs, &[])? {
                passed.extend(inputs.first().map(|part| part.partition.clone()));
            }
        }
        Ok(())
    }

    /// Puts one part in the place of several of one partition, without rows that are deleted or that
    /// `expired` names. Whether it did; not when another writer changed them first. The caller holds
    /// `merging`.
    pub(crate) fn rewrite(&self, inputs: &[Arc<Stored>], expired: &[&RowFilter]) -> io::Result<bool> {
        let Some(partition) = inputs.first().map(|part| &part.partition) else { return Ok(false) };
        let begun = Instant::now();
        let deletes = self.deletes_due(&partition.tenant);
        let whole = |filter| Dropped { filter, start: i64::MIN, end: i64::MAX };
        let drops: Vec<Dropped<'_>> = deletes
            .iter()
            .map(|one| Dropped { filter: &one.filter, start: one.start, end: one.end.saturating_sub(1) })
            .chain(expired.iter().map(|filter| whole(*filter)))
            .collect();
        let mut parts = Vec::with_capacity(inputs.len());
        for input in inputs {
            match self.open_parts.get(input) {
                Ok(part) => parts.push(part),
                Err(error) => return self.give_up(inputs, &input.key(), error),
            }
        }
        let cold = inputs.iter().all(|part| part.entry.cold);
        let bucket: &Arc<dyn Bucket> =
            if cold { self.cold.as_ref().unwrap_or(&self.bucket) } else { &self.bucket };
        let id = new_part_id();
        let key = partition.part(&id);
        let mut upload = bucket.upload(&key)?;
        let merged = match novaobs_parts::merge(&parts, &drops, &mut upload, &self.control) {
            Ok(merged) => merged,
            Err(MergeError::Write(error)) => return Err(error),
            Err(MergeError::Limit(error)) => return Err(io::Error::other(error)),
            Err(MergeError::Part(error)) => {
                let part = match &error {
                    PartError::Corrupt { part, .. }
                    | PartError::Io { part, .. }
                    | PartError::Version { part, .. } => part.to_string(),
                    PartError::Interrupted(_) => return Ok(false),
                };
                return self.give_up(inputs, &part, error);
            }
        };
        drop(parts);
        let entry = match merged {
            Some(info) => {
                upload.flush()?;
                upload.finish()?;
                Some(PartEntry { id: id.clone(), info, cold, applied: applied(inputs, &deletes) })
            }
            None => None,
        };
        if !self.still_wanted(&deletes) {
            // Cancelled meanwhile: the next round merges without it.
            if entry.is_some() {
                bucket.delete(&key)?;
            }
            return Ok(true);
        }
        let mut done = false;
        let state = self.commit(partition, false, |manifest| {
            let there = |input: &Arc<Stored>| manifest.parts.iter().any(|entry| entry.id == input.entry.id);
            if !inputs.iter().all(there) {
                return Change::Nothing;
            }
            let mut next = manifest.clone();
            next.parts.retain(|entry| !inputs.iter().any(|input| input.entry.id == entry.id));
            next.parts.extend(entry.clone());
            done = true;
            Change::Commit(next)
        })?;
        if let Some(entry) = &entry {
            if !state.parts.iter().any(|part| part.entry.id == entry.id) {
                bucket.delete(&key)?;
                return Ok(false);
            }
            self.metrics.merged_rows.inc_by(entry.info.rows);
        }
        self.metrics.merges.inc();
        tracing::debug!(%partition, inputs = inputs.len(), rows = entry.map_or(0, |entry| entry.info.rows), took = ?begun.elapsed(), "parts merged");
        Ok(done)
    }

    /// Sets a damaged input aside; other failures are the caller's.
    fn give_up(&self, inputs: &[Arc<Stored>], key: &str, error: PartError) -> io::Result<bool> {
        let culprit = inputs.iter().find(|input| input.key() == key);
        match (culprit, error) {
            (_, PartError::Interrupted(_)) => Ok(false),
            (Some(input), error) if self.is_lost(input, &error) => {
                self.quarantine(input, &error);
                // The others are merged in the next round.
                Ok(true)
            }
            (_, PartError::Io { error, part }) => {
                Err(io::Error::new(error.kind(), format!("part {part}: {error}")))
            }
            (_, error) => Err(io::Error::other(error)),
        }
    }

    /// Whether a part can never be read again.
    pub(crate) fn is_lost(&self, part: &Arc<Stored>, error: &PartError) -> bool {
        match error {
            PartError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                // Another writer may have merged it and deleted it.
                let reloaded = self.reload(&part.partition);
                reloaded.is_ok_and(|state| state.parts.iter().any(|other| other.entry == part.entry))
            }
            PartError::Io { error, .. } => error.kind() == io::ErrorKind::UnexpectedEof,
            error => error.is_corrupt(),
        }
    }
}

/// Which deletes a part merged of `inputs` has applied: those of this merge, and those all inputs had.
fn applied(inputs: &[Arc<Stored>], deletes: &[Arc<Deleted>]) -> Vec<String> {
    let mut ids: Vec<String> = deletes.iter().map(|one| one.id.clone()).collect();
    if let Some((first, others)) = inputs.split_first() {
        let common =
            first.entry.applied.iter().filter(|id| others.iter().all(|part| part.entry.applied.contains(id)));
        ids.extend(common.cloned());
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Which tier a part belongs to; none for the largest.
fn tier(part: &Stored) -> Option<usize> {
    TIER_BYTES.iter().position(|limit| part.entry.info.file_bytes < *limit)
}

/// The parts of a partition that are to be merged next, oldest rows first.
fn due(state: &State, eagerly: bool) -> Option<Vec<Arc<Stored>>> {
    let past = state.partition.end() < now() && state.grown.elapsed() >= QUIET;
    let enough = if past || eagerly { QUIET_TIER_PARTS } else { TIER_PARTS };
    for cold in [false, true] {
        for wanted in 0..TIER_BYTES.len() {
            let good = |part: &&Arc<Stored>| {
                part.entry.cold == cold && tier(part) == Some(wanted) && !part.bad.load(Ordering::Relaxed)
            };
            let mut parts: Vec<Arc<Stored>> = state.parts.iter().filter(good).cloned().collect();
            if parts.len() < enough {
                continue;
            }
            parts.sort_by_key(|part| part.entry.info.first);
            let mut bytes = 0;
            let fitting = parts.iter().take(MERGE_PARTS).take_while(|part| {
                bytes += part.entry.info.file_bytes;
                bytes <= MERGE_BYTES
            });
            let count = fitting.count();
            if count >= 2 {
                parts.truncate(count);
                return Some(parts);
            }
        }
    }
    None
}
