//! The state of an open store and how it is opened: lock, manifests, log.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use novaobs_model::{Pool, QueryControl, Tenant};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::append::Request;
use crate::bucket::{Bucket, DiskBucket};
use crate::deletes::{CompileFilter, Deletes};
use crate::limits::{LOCK_ATTEMPTS, LOCK_PAUSE};
use crate::memory::{Memory, split};
use crate::metrics::Metrics;
use crate::names::{self, Partition};
use crate::partition::{OpenParts, Removal, State, random};
use crate::recent::{Recent, hash_entries};
use crate::record;
use crate::wal::{self, Position, Wal};
use crate::{OpenError, Options, Settings};

/// Everything an open store shares between callers and its own threads.
///
/// Locks are taken in this order: `flushing` or `merging`, `writer` or `committing`, `view`. Readers hold
/// none while they read files.
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
    pub(crate) log_folder: PathBuf,
    /// Locked while the store is open.
    _lock: File,
    /// Who this log is, in manifests.
    pub(crate) writer_id: String,
    pub(crate) bucket: Arc<dyn Bucket>,
    /// Whether nobody else writes to the bucket.
    pub(crate) exclusive: bool,
    pub(crate) cold: Option<Arc<dyn Bucket>>,
    pub(crate) grace: std::time::Duration,
    pub(crate) orphan_grace: std::time::Duration,
    pub(crate) pool: Pool,
    pub(crate) metrics: Metrics,
    pub(crate) settings: RwLock<Settings>,
    pub(crate) compile_filter: CompileFilter,
    /// For hashes of entries; no two processes have the same.
    pub(crate) seed: u64,
    /// Calls that wait for whoever has the writer.
    pub(crate) queue: Mutex<Vec<Arc<Request>>>,
    /// One at a time: the log is one file.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) view: RwLock<View>,
    /// Held during a commit to any partition.
    pub(crate) committing: Mutex<()>,
    /// Held by whoever writes memory to parts.
    pub(crate) flushing: Mutex<()>,
    /// Held by whoever merges, moves or deletes parts.
    pub(crate) merging: Mutex<()>,
    pub(crate) removals: Mutex<Vec<Removal>>,
    pub(crate) deletes: RwLock<Deletes>,
    pub(crate) open_parts: OpenParts,
    /// Threads of scans now at work.
    pub(crate) scan_threads: std::sync::atomic::AtomicUsize,
    /// Cancelled at the close, so that no merge holds it up.
    pub(crate) control: QueryControl,
    /// Why memory cannot be written to parts, until it can.
    pub(crate) failing: Mutex<Option<String>>,
    pub(crate) closing: AtomicBool,
    /// Wakes the store's threads; the flag asks for a flush.
    pub(crate) wake: Condvar,
    pub(crate) flush_wanted: Mutex<bool>,
    /// Waited on by appends that need memory.
    pub(crate) flushed: Condvar,
    pub(crate) flush_count: Mutex<u64>,
}

/// What readers look at.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) memories: HashMap<Tenant, Memory>,
    pub(crate) partitions: BTreeMap<Partition, Arc<State>>,
}

impl View {
    /// All partitions of a tenant.
    pub(crate) fn of(&self, tenant: &Tenant) -> impl Iterator<Item = &Arc<State>> {
        let from = Partition { tenant: tenant.clone(), day: i32::MIN };
        let to = Partition { tenant: tenant.clone(), day: i32::MAX };
        self.partitions.range(from..=to).map(|(_, state)| state)
    }
}

/// What only the one who appends touches.
pub(crate) struct Writer {
    pub(crate) wal: Wal,
    pub(crate) recent: Recent,
    /// Bytes of one write, kept for the next.
    pub(crate) buffer: Vec<u8>,
    pub(crate) closed: bool,
}

impl Store {
    /// Opens the store in `folder`, creating it if it is not there.
    pub(crate) fn open(folder: &Path, options: Options<'_>) -> Result<Store, OpenError> {
        let failed = |what: &'static str| {
            move |source: io::Error| OpenError::Io { folder: folder.to_owned(), what, source }
        };
        let own = folder.join(names::SIGNAL);
        let log_folder = own.join("wal");
        fs::create_dir_all(&log_folder).map_err(failed("create it"))?;
        let lock = lock(folder, &own)?;
        let metrics = Metrics::new(options.registry)?;
        let writer_id = writer_id(&log_folder).map_err(failed("read or make its writer's id"))?;
        let (bucket, exclusive): (Arc<dyn Bucket>, bool) = match options.bucket.clone() {
            Some(bucket) => (bucket, false),
            None => {
                let disk = DiskBucket::new(folder).map_err(failed("create it"))?;
                disk.remove_temporary().map_err(failed("remove half-written files"))?;
                (Arc::new(disk), true)
            }
        };
        let segments = wal::segments(&log_folder).map_err(failed("list its log"))?;
        let newest = segments.last().copied().unwrap_or(0);
        let settings = options.settings();
        let mut store = Store {
            folder: folder.to_owned(),
            _lock: lock,
            writer_id,
            bucket,
            exclusive,
            cold: options.cold.map(|(bucket, _)| bucket),
            grace: options.grace,
            orphan_grace: options.orphan_grace,
            pool: options.pool,
            metrics,
            settings: RwLock::new(settings),
            compile_filter: options.compile_filter,
            seed: random(),
            queue: Mutex::default(),
            writer: Mutex::new(Writer {
                wal: Wal::create(&log_folder, newest + 1).map_err(failed("begin its log"))?,
                recent: Recent::default(),
                buffer: Vec::new(),
                closed: false,
            }),
            log_folder,
            view: RwLock::default(),
            committing: Mutex::default(),
            flushing: Mutex::default(),
            merging: Mutex::default(),
            removals: Mutex::default(),
            deletes: RwLock::default(),
            open_parts: OpenParts::default(),
            scan_threads: 0.into(),
            control: QueryControl::unlimited(),
            failing: Mutex::default(),
            closing: AtomicBool::new(false),
            wake: Condvar::new(),
            flush_wanted: Mutex::new(false),
            flushed: Condvar::new(),
            flush_count: Mutex::default(),
        };
        store.refresh().map_err(failed("read its manifests"))?;
        store.load_deletes().map_err(failed("read its deletes"))?;
        store.begin_behind_covered().map_err(failed("begin its log"))?;
        store.replay(&segments).map_err(failed("replay its log"))?;
        store.update_gauges();
        Ok(store)
    }

    /// Reads manifests that are newer than those known.
    pub(crate) fn refresh(&self) -> io::Result<()> {
        let mut numbers: BTreeMap<Partition, Vec<u64>> = BTreeMap::new();
        for object in self.bucket.list(&names::all_manifests())? {
            if let Some((partition, number)) = names::parse_manifest(&object.key) {
                numbers.entry(partition).or_default().push(number);
            }
        }
        for (partition, mut numbers) in numbers {
            numbers.sort_unstable();
            let known = self.partition(&partition).number;
            if numbers.last().is_some_and(|newest| *newest > known) {
                let _one = self.committing.lock();
                self.reload(&partition)?;
            }
        }
        Ok(())
    }

    /// The log goes on behind every position that a manifest names, even if its files were lost.
    fn begin_behind_covered(&mut self) -> io::Result<()> {
        let covered =
            self.view.read().partitions.values().map(|state| state.manifest.covered(&self.writer_id)).max();
        let writer = self.writer.get_mut();
        if let Some(covered) = covered.filter(|covered| covered.0 >= writer.wal.end().0) {
            writer.wal = Wal::create(&self.log_folder, covered.0 + 1)?;
        }
        Ok(())
    }

    /// Brings back what the log has and parts have not.
    fn replay(&self, segments: &[u64]) -> io::Result<()> {
        let mut rows = 0;
        for number in segments {
            let path = names::segment(&self.log_folder, *number);
            let bytes = fs::read(&path)?;
            let damaged = wal::replay(&bytes, |offset, payload| {
                let restored = self.replay_record(Position(*number, offset), payload);
                rows += restored.unwrap_or(0);
                restored.is_some()
            });
            if damaged > 0 {
                self.metrics.wal_corruptions.inc();
                tracing::warn!(segment = %path.display(), damaged, "the log was cut at its last good record");
            }
        }
        tracing::debug!(rows, "log replayed");
        if rows == 0 {
            self.trim_log();
        }
        Ok(())
    }

    /// Brings one call's rows into memory; how many, or `None` when the record makes no sense.
    fn replay_record(&self, at: Position, payload: &[u8]) -> Option<usize> {
        let record = record::decode(payload)?;
        let mut chunks = split(&record.streams, &record.dropped);
        {
            let view = self.view.read();
            chunks.retain(|(day, _)| {
                let partition = Partition { tenant: record.tenant.clone(), day: *day };
                let state = view.partitions.get(&partition);
                state.is_none_or(|state| state.manifest.covered(&self.writer_id) <= at)
            });
        }
        let rows = chunks.iter().map(|(_, chunk)| chunk.rows).sum();
        let bytes: u64 = chunks.iter().map(|(_, chunk)| chunk.memory()).sum();
        let hashes = hash_entries(&record.streams, self.seed);
        self.writer.lock().recent.admit(&record.tenant, &hashes);
        // What is there already is counted, not refused: it must be served.
        let lease = self.pool.take(bytes).ok();
        if lease.is_none() {
            tracing::warn!("entries restored from the log exceed the store's share of memory");
        }
        let mut view = self.view.write();
        let memory = view.memories.entry(record.tenant.clone()).or_default();
        memory.push(at, chunks, lease);
        let full = Store::is_full(memory);
        drop(view);
        if full {
            // The rows of this record are in, those of later ones are not: the next position is right.
            let flushed = self.flush_until(&record.tenant, Position(at.0, at.1 + 1));
            if let Err(error) = flushed {
                // A full disk must not keep the store from answering.
                tracing::warn!(
                    tenant = record.tenant.as_str(),
                    "cannot write entries of the log to a part yet: {error}"
                );
            }
        }
        Some(rows)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Asks the store's thread to write memory to parts soon.
    pub(crate) fn want_flush(&self) {
        *self.flush_wanted.lock() = true;
        self.wake.notify_all();
    }

    /// Size of the log.
    pub(crate) fn log_bytes(&self) -> u64 {
        let numbers = wal::segments(&self.log_folder).unwrap_or_default();
        let size =
            |number| fs::metadata(names::segment(&self.log_folder, number)).map_or(0, |meta| meta.len());
        numbers.into_iter().map(size).sum()
    }
}

/// Takes the folder's lock.
fn lock(folder: &Path, own: &Path) -> Result<File, OpenError> {
    let path = own.join(names::LOCK);
    let io = |source| OpenError::Io { folder: folder.to_owned(), what: "open its lock file", source };
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    // A child process that is just being started holds a copy of this process's locks for an instant.
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::WouldBlock) => return Err(OpenError::Locked { folder: folder.to_owned() }),
            Err(fs::TryLockError::Error(source)) => {
                return Err(OpenError::Io { folder: folder.to_owned(), what: "lock it", source });
            }
        }
    }
    Ok(file)
}

/// The id of the log's writer, made at the first open.
fn writer_id(folder: &Path) -> io::Result<String> {
    let path = folder.join(names::WRITER);
    match fs::read_to_string(&path) {
        Ok(id) if id.len() == 32 => return Ok(id),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Torn by a power cut before anything else was written, it is made anew: so it is written first.
    if wal::segments(folder)?
        .iter()
        .any(|number| fs::metadata(names::segment(folder, *number)).is_ok_and(|meta| meta.len() > 8))
    {
        return Err(io::Error::other(format!(
            "{} is missing or damaged beside a log: restore it, or move the log away",
            path.display()
        )));
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let new = path.with_extension("tmp");
    fs::write(&new, &id)?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}
