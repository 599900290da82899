//! Partitions: what their manifests say, their open parts, and commits to them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use novaobs_parts::{Part, PartError};
use parking_lot::Mutex;

use crate::bucket::Bucket;
use crate::limits::{COMMIT_ATTEMPTS, MANIFEST_GRACE, MANIFEST_STALE, OPEN_PARTS, OWN_MANIFEST_GRACE};
use crate::manifest::{Manifest, PartEntry};
use crate::names::{self, Partition};
use crate::store::Store;

/// A partition after a commit; never changed, only replaced.
#[derive(Debug)]
pub(crate) struct State {
    pub partition: Partition,
    /// Of the manifest; 0 before the first.
    pub number: u64,
    pub manifest: Manifest,
    pub parts: Vec<Arc<Stored>>,
    /// When the manifest was read or written.
    pub loaded: Instant,
    /// When something last came to it, as far as this process knows.
    pub grown: Instant,
    /// A manifest was damaged: no file is deleted that it may have listed.
    pub damaged: bool,
    /// A commit may or may not have succeeded: read again before the next.
    pub uncertain: AtomicBool,
}

impl State {
    pub(crate) fn empty(partition: Partition) -> State {
        State {
            partition,
            number: 0,
            manifest: Manifest::default(),
            parts: Vec::new(),
            loaded: Instant::now(),
            grown: Instant::now(),
            damaged: false,
            uncertain: AtomicBool::new(false),
        }
    }

    /// Bytes of its parts' files.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.entry.info.file_bytes).sum()
    }
}

/// A part that a manifest lists. It is opened when first read; its file stays while anyone holds this.
#[derive(Debug)]
pub(crate) struct Stored {
    pub partition: Partition,
    pub entry: PartEntry,
    pub bucket: Arc<dyn Bucket>,
    /// It failed its checks; nobody reads it any more.
    pub bad: AtomicBool,
    /// No manifest lists it any more: it is not kept open for later.
    gone: AtomicBool,
    opened: Mutex<Opened>,
}

/// Open parts have no `Debug` of their own.
#[derive(Default)]
struct Opened(Option<Arc<Part>>);

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "open" } else { "closed" })
    }
}

impl Stored {
    pub(crate) fn key(&self) -> String {
        self.partition.part(&self.entry.id)
    }
}

/// Parts that are open, the longest open first; a bounded number.
#[derive(Debug, Default)]
pub(crate) struct OpenParts(Mutex<VecDeque<Arc<Stored>>>);

impl OpenParts {
    /// The open part.
    pub(crate) fn get(&self, stored: &Arc<Stored>) -> Result<Arc<Part>, PartError> {
        let mut opened = stored.opened.lock();
        if let Some(part) = &opened.0 {
            return Ok(part.clone());
        }
        let key = stored.key();
        let part = Part::open(&key, stored.bucket.open(&key, stored.entry.info.file_bytes))?;
        if stored.gone.load(Ordering::Relaxed) {
            return Ok(part);
        }
        opened.0 = Some(part.clone());
        drop(opened);
        let mut all = self.0.lock();
        all.push_back(stored.clone());
        let oldest = if all.len() > OPEN_PARTS { all.pop_front() } else { None };
        drop(all);
        if let Some(oldest) = oldest {
            oldest.opened.lock().0 = None;
        }
        Ok(part)
    }

    /// Closes parts that are no longer wanted, so that nothing holds them.
    pub(crate) fn close(&self, stored: &[Arc<Stored>]) {
        stored.iter().for_each(|gone| gone.gone.store(true, Ordering::Relaxed));
        self.0.lock().retain(|open| !stored.iter().any(|gone| Arc::ptr_eq(open, gone)));
        for gone in stored {
            gone.opened.lock().0 = None;
        }
    }
}

/// An object to be deleted when its time has come and nobody holds its part.
pub(crate) struct Removal {
    pub bucket: Arc<dyn Bucket>,
    pub key: String,
    pub at: Instant,
    pub held: Option<Arc<Stored>>,
}

/// What to do to a partition.
pub(crate) enum Change {
    /// Nothing: it is so already, or no longer makes sense.
    Nothing,
    /// This comes next.
    Commit(Manifest),
}

impl Store {
    /// The partition as last known.
    pub(crate) fn partition(&self, partition: &Partition) -> Arc<State> {
        let known = self.view.read().partitions.get(partition).cloned();
        known.unwrap_or_else(|| Arc::new(State::empty(partition.clone())))
    }

    /// Changes a partition's manifest and what readers see. `change` is asked again on top of what another
    /// writer committed first. Returns the partition as it is afterwards.
    pub(crate) fn commit(
        &self,
        partition: &Partition,
        grows: bool,
        mut change: impl FnMut(&Manifest) -> Change,
    ) -> io::Result<Arc<State>> {
        let _one = self.committing.lock();
        let mut state = self.partition(partition);
        // Of a partition that is new to this writer, others may have deleted the first manifests already.
        let known = self.view.read().partitions.contains_key(partition);
        let stale = !self.exclusive && (!known || state.loaded.elapsed() > MANIFEST_STALE);
        if stale || state.uncertain.load(Ordering::Relaxed) {
            state = self.reload(partition)?;
        }
        for _ in 0..COMMIT_ATTEMPTS {
            let Change::Commit(mut next) = change(&state.manifest) else { return Ok(state) };
            next.writer.clone_from(&self.writer_id);
            next.nonce = random();
            next.keep_files = state.damaged;
            let key = partition.manifest(state.number + 1);
            match self.bucket.put_if_absent(&key, &next.encode()) {
                Ok(true) => {
                    let grown = if grows { Instant::now() } else { state.grown };
                    let new = self.state(partition, state.number + 1, next, &state, grown);
                    if state.number > 0 {
                        self.remove_later(
                            self.bucket.clone(),
                            partition.manifest(state.number),
                            self.manifest_grace(),
                            None,
                        );
                    }
                    return Ok(self.publish(new));
                }
                Ok(false) => {
                    self.metrics.commits_lost.inc();
                    let before = state.number;
                    state = self.reload(partition)?;
                    if state.number <= before {
                        return Err(io::Error::other(format!("{key} exists and cannot be read back")));
                    }
                }
                Err(error) => {
                    // It may be there nevertheless; the next commit looks first.
                    state.uncertain.store(true, Ordering::Relaxed);
                    self.view.write().partitions.entry(partition.clone()).or_insert(state);
                    return Err(error);
                }
            }
        }
        Err(io::Error::other(format!("{partition}: {COMMIT_ATTEMPTS} commits by others came first")))
    }

    /// How long a manifest stays behind the next.
    pub(crate) fn manifest_grace(&self) -> Duration {
        if self.exclusive { OWN_MANIFEST_GRACE } else { MANIFEST_GRACE }
    }

    /// Reads a partition's newest manifest and shows it to readers.
    pub(crate) fn reload(&self, partition: &Partition) -> io::Result<Arc<State>> {
        let prefix = partition.manifests();
        let objects = self.bucket.list(&prefix)?;
        let mut numbers: Vec<u64> = objects
            .iter()
            .filter_map(|object| names::parse_manifest(&object.key))
            .filter(|(of, _)| of == partition)
            .map(|(_, number)| number)
            .collect();
        numbers.sort_unstable();
        let state = self.load(partition, &numbers)?;
        Ok(self.publish(state))
    }

    /// Reads the newest manifest of those with `numbers` (ascending) that is not damaged.
    pub(crate) fn load(&self, partition: &Partition, numbers: &[u64]) -> io::Result<State> {
        let known = self.partition(partition);
        let Some(newest) = numbers.last().copied() else { return Ok(State::empty(partition.clone())) };
        let mut damaged = false;
        for number in numbers.iter().rev() {
            let key = partition.manifest(*number);
            let bytes = match self.bucket.get(&key) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound && *number != newest => continue,
                Err(error) => return Err(error),
            };
            if let Some(manifest) = Manifest::decode(&bytes) {
                let mut state = self.state(partition, newest, manifest, &known, Instant::now());
                state.damaged |= damaged;
                return Ok(state);
            }
            damaged = true;
            self.metrics.manifests_damaged.inc();
            tracing::error!(manifest = key, bucket = ?self.bucket, "manifest is damaged, the one before is taken");
        }
        tracing::error!(%partition, bucket = ?self.bucket, "no manifest is readable, the partition's parts are not served");
        let manifest = Manifest::default();
        Ok(State { damaged: true, ..self.state(partition, newest, manifest, &known, Instant::now()) })
    }

    /// A state whose parts are those of `before` where they are the same.
    fn state(
        &self,
        partition: &Partition,
        number: u64,
        manifest: Manifest,
        before: &State,
        grown: Instant,
    ) -> State {
        let parts = manifest.parts.iter().map(|entry| {
            let same = before.parts.iter().find(|part| part.entry == *entry);
            same.cloned().unwrap_or_else(|| {
                let cold = self.cold.as_ref().filter(|_| entry.cold);
                Arc::new(Stored {
                    partition: partition.clone(),
                    entry: entry.clone(),
                    bucket: cold.unwrap_or(&self.bucket).clone(),
                    bad: AtomicBool::new(false),
                    gone: AtomicBool::new(false),
                    opened: Mutex::default(),
                })
            })
        });
        let parts = parts.collect();
        State {
            partition: partition.clone(),
            number,
            damaged: manifest.keep_files,
            manifest,
            parts,
            loaded: Instant::now(),
            grown,
            uncertain: AtomicBool::new(false),
        }
    }

    /// Shows a partition to readers, and lets go of rows in memory that its parts have: both at once, so
    /// that every scan sees them exactly once.
    fn publish(&self, state: State) -> Arc<State> {
        let state = Arc::new(state);
        let covered = state.manifest.covered(&self.writer_id);
        let mut view = self.view.write();
        if let Some(newer) = view.partitions.get(&state.partition).filter(|known| known.number > state.number)
        {
            return newer.clone();
        }
        if let Some(memory) = view.memories.get_mut(&state.partition.tenant) {
            memory.release(state.partition.day, covered);
        }
        let before = view.partitions.insert(state.partition.clone(), state.clone());
        drop(view);
        let gone: Vec<Arc<Stored>> = before
            .iter()
            .flat_map(|before| &before.parts)
            .filter(|part| !state.parts.iter().any(|kept| Arc::ptr_eq(kept, part)))
            .cloned()
            .collect();
        self.open_parts.close(&gone);
        if state.damaged {
            return state;
        }
        for part in gone {
            // Quarantined files are kept for inspection; a file that only moved keeps its other copy.
            if !state.manifest.quarantined.contains(&part.entry.id)
                && !state
                    .parts
                    .iter()
                    .any(|kept| kept.entry.id == part.entry.id && kept.entry.cold == part.entry.cold)
            {
                self.remove_later(part.bucket.clone(), part.key(), self.grace, Some(part));
            }
        }
        state
    }

    fn remove_later(&self, bucket: Arc<dyn Bucket>, key: String, after: Duration, held: Option<Arc<Stored>>) {
        self.removals.lock().push(Removal { bucket, key, at: Instant::now() + after, held });
    }

    /// Deletes what was removed long enough ago and is read by nobody; with `now`, however short ago.
    pub(crate) fn remove_due(&self, now: bool) -> io::Result<()> {
        let time = Instant::now();
        let mut due = Vec::new();
        self.removals.lock().retain_mut(|removal| {
            // One reference is the removal's own.
            let free = removal.held.as_ref().is_none_or(|part| Arc::strong_count(part) == 1);
            let go = free && (removal.at <= time || (now && removal.held.is_some()));
            if go {
                due.push((removal.bucket.clone(), std::mem::take(&mut removal.key)));
            }
            !go
        });
        let mut outcome = Ok(());
        for (bucket, key) in due {
            if let Err(error) = bucket.delete(&key) {
                // The sweep finds it again.
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Takes a damaged part out of its partition for good.
    pub(crate) fn quarantine(&self, part: &Arc<Stored>, why: &dyn std::fmt::Display) {
        if part.bad.swap(true, Ordering::Relaxed) {
            return;
        }
        self.metrics.quarantined.inc();
        tracing::warn!(part = part.key(), bucket = ?part.bucket, rows = part.entry.info.rows,
            "part is damaged and set aside, everything else is served: {why}");
        let id = &part.entry.id;
        let done = self.commit(&part.partition, false, |manifest| {
            if !manifest.parts.iter().any(|entry| entry.id == *id) {
                return Change::Nothing;
            }
            let mut next = manifest.clone();
            next.parts.retain(|entry| entry.id != *id);
            next.quarantined.push(id.clone());
            Change::Commit(next)
        });
        if let Err(error) = done {
            // Readers of this process leave it out anyway; after a restart it is found again.
            tracing::warn!(
                part = part.key(),
                "cannot note in the manifest that the part is damaged: {error}"
            );
        }
    }
}

/// A random number.
pub(crate) fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}
