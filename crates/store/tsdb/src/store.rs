//! The state of an open store and how it is opened: lock, manifest, parts, catalogue, log.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use novaobs_model::{Lease, Pool};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::catalog::{Catalog, Opened};
use crate::head::buffers::{Buffers, Samplings};
use crate::head::index::SeriesIndex;
use crate::limits::{CHECK_AT_OPEN_BYTES, LOCK_ATTEMPTS, LOCK_PAUSE, SAMPLE_BYTES, SERIES_BYTES};
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::names::{self, Name};
use crate::part::reader::Part;
use crate::wal::{self, Logged, Replay, Tail, Wal};
use crate::{OpenError, Options, Settings};

/// Everything an open store shares between callers and its own threads.
///
/// Locks are taken in this order: `flushing` or `merging`, `writer`, `manifest`, `view`, `index`, the
/// buffers of a [`Samplings`]. Readers hold none while they read files.
pub(crate) struct Store {
    pub(crate) folder: PathBuf,
    /// Locked while the store is open.
    _lock: File,
    pub(crate) pool: Pool,
    pub(crate) metrics: Metrics,
    pub(crate) settings: RwLock<Settings>,
    /// One at a time: the log is one file.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) view: RwLock<View>,
    pub(crate) index: RwLock<SeriesIndex>,
    /// Held by whoever writes the head to a part.
    pub(crate) flushing: Mutex<()>,
    /// Held by whoever merges or deletes parts.
    pub(crate) merging: Mutex<()>,
    pub(crate) closing: AtomicBool,
    /// Wakes the store's threads; the flag asks for a flush.
    pub(crate) wake: Condvar,
    pub(crate) flush_wanted: Mutex<bool>,
}

/// What reads look at: a snapshot is a clone.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) parts: Arc<[Arc<Part>]>,
    /// Being written to a part; `first_wal` will be the first segment still needed then.
    pub(crate) sealed: Option<Sealed>,
    pub(crate) active: Arc<Samplings>,
}

/// Samples that take no more appends.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) samples: Arc<Samplings>,
    pub(crate) first_wal: u64,
}

/// What only the one who appends touches.
pub(crate) struct Writer {
    pub(crate) wal: Wal,
    pub(crate) catalog: Catalog,
    /// By slot.
    pub(crate) tails: Vec<Tail>,
    pub(crate) next_generation: u32,
    /// Newest time of all series; [`Tail::NONE`] in an empty store.
    pub(crate) newest: i64,
    /// Memory taken for the series.
    pub(crate) series_lease: Lease,
    /// Why the last write failed, until one succeeds.
    pub(crate) failing: Option<String>,
    pub(crate) closed: bool,
    pub(crate) sealed_at: Instant,
    /// `next_generation` at the last seal.
    pub(crate) sealed_generation: u32,
    /// Buffers of one append, kept for the next.
    pub(crate) batch: Vec<Logged>,
    pub(crate) undo: Vec<(u32, Tail)>,
}

/// The files of a folder, by kind.
#[derive(Default)]
struct Files {
    wals: Vec<u64>,
    catalogs: Vec<u64>,
    parts: Vec<u64>,
    manifests: Vec<u64>,
}

impl Store {
    /// Opens the store in `folder`, creating it if it is not there.
    pub(crate) fn open(folder: &Path, options: Options<'_>) -> Result<Store, OpenError> {
        let failed = |what: &'static str| {
            move |source: io::Error| OpenError::Io { folder: folder.to_owned(), what, source }
        };
        fs::create_dir_all(folder).map_err(failed("create it"))?;
        let lock = lock(folder)?;
        let metrics = Metrics::new(options.registry)?;
        let files = list(folder).map_err(failed("list its files"))?;
        let (manifest, parts) = open_parts(folder, &files, &metrics).map_err(failed("open its parts"))?;

        let mut catalogs = files.catalogs.clone();
        catalogs.sort_unstable();
        let newest_catalog = catalogs.pop();
        for old in catalogs {
            let _ = fs::remove_file(Name::Catalog(old).path(folder));
        }
        let Opened { catalog, index, next_generation, damaged } =
            Catalog::open(folder, newest_catalog).map_err(failed("read its series catalogue"))?;
        if damaged > 0 {
            metrics.wal_corruptions.inc();
            tracing::warn!(folder = %folder.display(), damaged, "the series catalogue was cut at its last good record");
        }
        let samples = Samplings::new(index.slots(), options.pool.take(0)?);
        let (wal, tails, newest, lost) = {
            let mut restored = Restored::new(&index, &samples);
            let wal = restored.replay(folder, &files.wals, manifest.first_wal, &metrics);
            (wal.map_err(failed("read its log"))?, restored.tails, restored.newest, restored.lost)
        };
        if lost > 0 {
            tracing::warn!(folder = %folder.display(), lost, "logged samples name series that the catalogue does not have");
        }
        let newest = parts.iter().map(|part| part.footer().last).fold(newest, i64::max);
        // What is there already is counted, not refused: it must be served.
        let held = samples.buffers.read().samples * SAMPLE_BYTES;
        if samples.lease.lock().grow(held).is_err() {
            tracing::warn!("the samples restored from the log exceed the store's share of memory");
        }
        let mut series_lease = options.pool.take(0)?;
        if series_lease.grow(index.len() as u64 * SERIES_BYTES).is_err() {
            tracing::warn!("the series restored from the catalogue exceed the store's share of memory");
        }
        let store = Store {
            folder: folder.to_owned(),
            _lock: lock,
            pool: options.pool.clone(),
            metrics,
            settings: RwLock::new(options.settings()),
            writer: Mutex::new(Writer {
                wal,
                catalog,
                tails,
                next_generation,
                newest,
                series_lease,
                failing: None,
                closed: false,
                sealed_at: Instant::now(),
                sealed_generation: 0,
                batch: Vec::new(),
                undo: Vec::new(),
            }),
            manifest: Mutex::new(manifest),
            view: RwLock::new(View { parts: parts.into(), sealed: None, active: Arc::new(samples) }),
            index: RwLock::new(index),
            flushing: Mutex::new(()),
            merging: Mutex::new(()),
            closing: AtomicBool::new(false),
            wake: Condvar::new(),
            flush_wanted: Mutex::new(false),
        };
        if lost > 0 {
            // Their slots will be given to other series, which must not inherit these samples.
            store.leave_log_behind().map_err(failed("write what its log holds to a part"))?;
        }
        store.update_gauges();
        Ok(store)
    }

    /// A consistent picture of everything stored, without parts known to be damaged.
    pub(crate) fn snapshot(&self) -> View {
        self.view.read().clone()
    }

    /// Asks the store's thread to write the head to a part soon.
    pub(crate) fn want_flush(&self) {
        *self.flush_wanted.lock() = true;
        self.wake.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Size of the log and the catalogue.
    pub(crate) fn log_bytes(&self) -> u64 {
        let files = list(&self.folder).unwrap_or_default();
        let size = |name: Name| fs::metadata(name.path(&self.folder)).map_or(0, |m| m.len());
        let wals = files.wals.iter().map(|n| size(Name::Wal(*n)));
        wals.chain(files.catalogs.iter().map(|n| size(Name::Catalog(*n)))).sum()
    }

    /// Brings the gauges up to date.
    pub(crate) fn update_gauges(&self) {
        let view = self.snapshot();
        let newest = self.writer.lock().newest;
        let metrics = &self.metrics;
        let range = |samples: &Samplings| samples.buffers.read().range;
        let head_first = [range(&view.active), view.sealed.as_ref().and_then(|s| range(&s.samples))];
        let head_first = head_first.into_iter().flatten().map(|(first, _)| first).min();
        let first = view.parts.iter().map(|part| part.footer().first).chain(head_first).min();
        metrics.head_series.set(self.index.read().len() as i64);
        let chunks = |buffers: &Buffers| (buffers.chunks + buffers.series) as i64;
        metrics.head_chunks.set(chunks(&view.active.buffers.read()));
        metrics.head_min_time.set(head_first.map_or(0.0, |t| t as f64));
        metrics.head_max_time.set(if newest == Tail::NONE { 0.0 } else { newest as f64 });
        metrics.lowest_time.set(first.map_or(0.0, |t| t as f64));
        metrics.blocks_loaded.set(view.parts.len() as i64);
        metrics.blocks_bytes.set(view.parts.iter().map(|part| part.bytes()).sum::<u64>() as i64);
        metrics.wal_bytes.set(self.log_bytes() as i64);
        let settings = self.settings.read();
        metrics.retention_bytes.set(settings.retention_size.map_or(0, |n| n as i64));
        metrics.retention_seconds.set(settings.retention_time.map_or(0, |d| d.as_secs() as i64));
    }

    /// Replaces `old` parts by `new` ones for all readers to come, on disk first.
    pub(crate) fn replace_parts(
        &self,
        old: &[Arc<Part>],
        new: Vec<Arc<Part>>,
        sealed_gone: Option<u64>,
    ) -> io::Result<()> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.parts.retain(|number| !old.iter().any(|part| part.number == *number));
        next.parts.extend(new.iter().map(|part| part.number));
        next.parts.sort_unstable();
        if let Some(first_wal) = sealed_gone {
            next.first_wal = first_wal;
        }
        next.commit(&self.folder)?;
        *manifest = next;
        let mut view = self.view.write();
        let kept = view.parts.iter().filter(|part| !old.iter().any(|o| o.number == part.number));
        let mut parts: Vec<Arc<Part>> = kept.cloned().chain(new).collect();
        parts.sort_by_key(|part| (part.footer().first, part.number));
        view.parts = parts.into();
        if sealed_gone.is_some() {
            view.sealed = None;
        }
        Ok(())
    }

    /// A number for a part to be written.
    pub(crate) fn new_part_number(&self) -> u64 {
        let mut manifest = self.manifest.lock();
        manifest.next_part += 1;
        manifest.next_part - 1
    }
}

/// Takes the folder's lock.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(names::LOCK);
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

/// Lists the folder's files and removes half-written ones.
fn list(folder: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    for entry in fs::read_dir(folder)? {
        match entry?.file_name().to_str().and_then(Name::parse) {
            Some(Name::Wal(n)) => files.wals.push(n),
            Some(Name::Catalog(n)) => files.catalogs.push(n),
            Some(Name::Part(n)) => files.parts.push(n),
            Some(Name::Manifest(n)) => files.manifests.push(n),
            Some(Name::Temporary) | None => {}
        }
    }
    files.wals.sort_unstable();
    Ok(files)
}

/// Removes what a process that died left half-written.
fn remove_temporary(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().and_then(Name::parse) == Some(Name::Temporary) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens the parts the manifest lists; sets damaged ones aside, removes files it does not list.
fn open_parts(folder: &Path, files: &Files, metrics: &Metrics) -> io::Result<(Manifest, Vec<Arc<Part>>)> {
    remove_temporary(folder)?;
    let (found, damaged) = Manifest::load(folder, &files.manifests)?;
    let mut manifest = found.unwrap_or_else(Manifest::empty);
    let highest = files.parts.iter().max().map_or(1, |n| n + 1);
    manifest.next_part = manifest.next_part.max(highest);
    if (damaged || manifest.number == 0) && !files.parts.is_empty() {
        // Without a trustworthy list every part is taken: what two parts both hold reads as one.
        tracing::error!(folder = %folder.display(), "the manifest is damaged or missing; all parts found are taken");
        manifest.parts = files.parts.clone();
        manifest.parts.sort_unstable();
    }
    for number in files.manifests.iter().filter(|number| **number < manifest.number) {
        let _ = fs::remove_file(Name::Manifest(*number).path(folder));
    }
    for number in files.parts.iter().filter(|number| !manifest.parts.contains(number)) {
        fs::remove_file(Name::Part(*number).path(folder))?;
    }
    let mut parts = Vec::new();
    let mut unchecked = CHECK_AT_OPEN_BYTES;
    for number in manifest.parts.iter().rev() {
        let path = Name::Part(*number).path(folder);
        match Part::open(*number, &path) {
            Ok(part) => {
                let check = part.bytes() <= unchecked;
                unchecked = unchecked.saturating_sub(part.bytes());
                if check && part.check().is_err() {
                    set_aside(&path, metrics);
                } else {
                    parts.push(Arc::new(part));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(part = %path.display(), "part is listed but missing");
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(part = %path.display(), "part is damaged: {error}");
                set_aside(&path, metrics);
            }
            Err(error) => return Err(error),
        }
    }
    parts.sort_by_key(|part| (part.footer().first, part.number));
    if parts.len() != manifest.parts.len() || damaged {
        manifest.parts = parts.iter().map(|part| part.number).collect();
        manifest.parts.sort_unstable();
        manifest.number = manifest.number.max(files.manifests.iter().max().copied().unwrap_or(0));
        if let Err(error) = manifest.commit(folder) {
            // A full disk must not keep the rest from being served; the next commit says it again.
            tracing::error!(folder = %folder.display(), "cannot write the manifest: {error}");
        }
    }
    Ok((manifest, parts))
}

/// Renames a damaged part, so that it is kept for inspection and not opened again.
pub(crate) fn set_aside(path: &Path, metrics: &Metrics) {
    metrics.reloads_failures.inc();
    let mut aside = path.as_os_str().to_owned();
    aside.push(".");
    aside.push(names::CORRUPT);
    match fs::rename(path, &aside) {
        Ok(()) => tracing::error!(part = %path.display(), "set aside as {}", Path::new(&aside).display()),
        Err(error) => tracing::error!(part = %path.display(), "cannot be set aside: {error}"),
    }
}

/// What the log says, as it is replayed.
struct Restored<'a> {
    index: &'a SeriesIndex,
    generations: Vec<u32>,
    tails: Vec<Tail>,
    buffers: parking_lot::RwLockWriteGuard<'a, Buffers>,
    newest: i64,
    /// Samples of series the catalogue does not have.
    lost: u64,
}

impl<'a> Restored<'a> {
    fn new(index: &'a SeriesIndex, samples: &'a Samplings) -> Self {
        let mut generations = vec![0; index.slots()];
        for (slot, generation, ..) in index.iter() {
            if let Some(place) = generations.get_mut(slot as usize) {
                *place = generation;
            }
        }
        let tails = generations.iter().map(|generation| Tail::new(*generation)).collect();
        Restored { index, generations, tails, buffers: samples.buffers.write(), newest: Tail::NONE, lost: 0 }
    }

    /// Replays the segments from `first` on and opens the last one to go on with.
    fn replay(&mut self, folder: &Path, segments: &[u64], first: u64, metrics: &Metrics) -> io::Result<Wal> {
        for covered in segments.iter().filter(|number| **number < first) {
            fs::remove_file(Name::Wal(*covered).path(folder))?;
        }
        let mut last = None;
        for number in segments.iter().copied().filter(|number| *number >= first) {
            let path = Name::Wal(number).path(folder);
            let found = wal::replay(&fs::read(&path)?, self);
            if found.damaged > 0 {
                metrics.wal_corruptions.inc();
                tracing::warn!(segment = %path.display(), good = found.good, cut = found.damaged,
                    "the log was cut at its last good record");
            }
            last = Some((number, found));
        }
        tracing::debug!(series = self.index.len(), samples = self.buffers.samples, "log replayed");
        match last {
            Some((number, found)) if found.good > 0 => Wal::reopen(folder, number, found.good),
            Some((number, _)) => Wal::create(folder, number + 1, &self.tails),
            None => Wal::create(folder, first, &self.tails),
        }
    }
}

impl Replay for Restored<'_> {
    fn segment(&mut self) {
        for (tail, generation) in self.tails.iter_mut().zip(&self.generations) {
            *tail = Tail::new(*generation);
        }
    }

    fn newest(&mut self, slot: u32, generation: u32, time: i64, bits: u64) {
        if let Some(tail) = self.tails.get_mut(slot as usize)
            && tail.generation == generation
        {
            (tail.time, tail.bits) = (time, bits);
            self.newest = self.newest.max(time);
        }
    }

    fn sample(&mut self, slot: u32, time: i64, difference: u64) {
        let Some(tail) = self.tails.get_mut(slot as usize).filter(|tail| tail.generation > 0) else {
            self.lost += 1;
            return;
        };
        let bits = tail.bits ^ difference;
        let late = time <= tail.time;
        if !late {
            (tail.time, tail.bits) = (time, bits);
        }
        self.buffers.push(slot, time, f64::from_bits(bits), late);
        self.newest = self.newest.max(time);
    }
}
