//! The metrics store: head, write-ahead log, parts, compaction, retention.
//!
//! The path of a sample: [`SampleSink::append`] judges a batch and writes it to the log (`wal`), then to
//! the buffers of the head (`head`). Every few minutes the head is sealed and becomes an immutable part
//! (`flush`, `part`), after which its log is deleted; parts are merged into larger ones of aligned time
//! ranges (`compaction`, `merge`) until retention deletes them (`retention`). The `manifest` says which
//! parts exist. [`SeriesSource::select`] reads all of it as one (`select`). The bytes on disk are
//! described in `docs/formats/metrics-wal.md` and `docs/formats/metrics-block.md`.
//!
//! ```
//! use novaobs_model::{Labels, QueryControl, Sample, SampleSink, SelectRequest, SeriesSamples, SeriesSource};
//! use novaobs_tsdb::{Options, Tsdb};
//!
//! let folder = tempfile::tempdir()?;
//! let registry = prometheus::Registry::new();
//! let store = Tsdb::open(folder.path(), Options::new(&registry))?;
//! let mut refs = Vec::new();
//! SampleSink::series(&*store, &[Labels::from_pairs([("__name__", "up")])], &mut refs)?;
//! store.append(&[Sample { series: refs[0], timestamp: 1_000, value: 1.0 }])?;
//!
//! let control = QueryControl::unlimited();
//! let mut cursor = store.select(&SelectRequest { matchers: vec![], start: 0, end: 2_000 }, &control)?;
//! let mut series = SeriesSamples::default();
//! assert!(cursor.next(&mut series)?);
//! assert_eq!(series.samples.values, [1.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod catalog;
mod codec;
mod compaction;
mod flush;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod limits;
mod listing;
mod manifest;
mod matching;
mod merge;
mod metrics;
mod names;
mod part;
mod postings;
mod record;
mod retention;
mod select;
mod stats;
mod store;
mod threads;
mod tidy;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use novaobs_model::{
    AppendError, AppendReport, Labels, Matcher, OverBudget, Pool, QueryControl, Sample, SampleSink,
    SelectError, SelectRequest, SeriesCursor, SeriesRef, SeriesSource,
};
use parking_lot::Mutex;

pub use stats::{Counted, Stats};
use store::Store;

/// How a store is opened.
pub struct Options<'a> {
    /// Parts wholly older than this before the newest sample are deleted; `None` keeps all.
    pub retention_time: Option<Duration>,
    /// The oldest parts are deleted while log and parts together take more bytes; `None` is no limit.
    pub retention_size: Option<u64>,
    /// Samples this much older than the newest of the store are taken out of order; zero takes none.
    pub out_of_order_window: Duration,
    /// The memory series and samples are taken from.
    pub pool: Pool,
    /// Where the store's own metrics are registered.
    pub registry: &'a prometheus::Registry,
    /// Whether the store syncs, flushes, merges and deletes by itself. Without, the owner calls
    /// [`Tsdb::flush`] and [`Tsdb::run_maintenance`].
    pub background: bool,
}

impl<'a> Options<'a> {
    /// Prometheus's defaults: 15 days, no size limit, no out-of-order samples; memory without a limit.
    pub fn new(registry: &'a prometheus::Registry) -> Self {
        Options {
            retention_time: Some(Duration::from_secs(15 * 24 * 3600)),
            retention_size: None,
            out_of_order_window: Duration::ZERO,
            pool: Pool::unlimited(),
            registry,
            background: true,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            retention_time: self.retention_time,
            retention_size: self.retention_size,
            out_of_order_window: self.out_of_order_window,
        }
    }
}

/// What can be changed while the store is open; the fields are those of [`Options`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// See [`Options::retention_time`].
    pub retention_time: Option<Duration>,
    /// See [`Options::retention_size`].
    pub retention_size: Option<u64>,
    /// See [`Options::out_of_order_window`].
    pub out_of_order_window: Duration,
}

impl Settings {
    fn out_of_order_window_ms(&self) -> i64 {
        i64::try_from(self.out_of_order_window.as_millis()).unwrap_or(i64::MAX)
    }

    /// The largest range parts are merged to.
    fn largest_range_ms(&self) -> i64 {
        let kept = self.retention_time.and_then(|time| i64::try_from(time.as_millis()).ok());
        let share = kept.map_or(i64::MAX, |kept| kept / limits::RETENTION_SHARE);
        share.clamp(limits::SMALLEST_RANGE_MS, limits::LARGEST_RANGE_MS)
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has the folder open.
    #[error("{folder} is in use by another process: stop it, or give this one another folder", folder = folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("cannot open the metrics store in {folder}: cannot {what}: {source}", folder = folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// The registry has metrics of another store already.
    #[error("cannot register the metrics store's own metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// No memory left for the store at all.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

/// An open metrics store. Closed by [`Tsdb::close`] or when dropped.
pub struct Tsdb {
    store: Arc<Store>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Tsdb {
    /// Opens the store in `folder`, creating the folder if need be. What was acknowledged before a crash
    /// is there again when this returns.
    ///
    /// # Errors
    /// [`OpenError`]; damaged files are not among its reasons, they are cut or set aside and logged.
    pub fn open(folder: &Path, options: Options<'_>) -> Result<Arc<Tsdb>, OpenError> {
        let background = options.background;
        let store = Arc::new(Store::open(folder, options)?);
        let threads = if background { threads::start(&store) } else { Ok(Vec::new()) };
        let threads = threads.map_err(|source| OpenError::Io {
            folder: folder.to_owned(),
            what: "start its threads",
            source,
        })?;
        Ok(Arc::new(Tsdb { store, threads: Mutex::new(threads) }))
    }

    /// Stops the store's threads, refuses further appends and syncs the log. Reads go on working.
    pub fn close(&self) {
        self.store.closing.store(true, Ordering::Relaxed);
        self.store.wake.notify_all();
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the metrics store panicked");
            }
        }
        self.store.writer.lock().closed = true;
        self.store.sync();
    }

    /// Changes retention and the out-of-order window.
    pub fn set(&self, settings: Settings) {
        *self.store.settings.write() = settings;
        self.store.update_gauges();
    }

    /// The current settings.
    pub fn settings(&self) -> Settings {
        *self.store.settings.read()
    }

    /// Counts what is in memory; lists hold at most `limit` entries.
    pub fn stats(&self, limit: usize) -> Stats {
        self.store.stats(limit)
    }

    /// Bytes of parts and log on disk.
    pub fn disk_bytes(&self) -> u64 {
        let parts: u64 = self.store.snapshot().parts.iter().map(|part| part.bytes()).sum();
        parts + self.store.log_bytes()
    }

    /// First and last time stored, Unix milliseconds; `None` in an empty store.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let view = self.store.snapshot();
        let parts = view.parts.iter().map(|part| (part.footer().first, part.footer().last));
        let head = view.sealed.map(|s| s.samples).into_iter().chain([view.active]);
        let head = head.filter_map(|samples| samples.buffers.read().range);
        parts.chain(head).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Writes what is in memory to parts now, as the store does every few minutes.
    ///
    /// # Errors
    /// What the file system says; nothing is lost, and the next flush tries again.
    pub fn flush(&self) -> std::io::Result<()> {
        self.store.flush()
    }

    /// Merges what is due and enforces retention now, as the store does every minute.
    ///
    /// # Errors
    /// What the file system says; nothing is lost, and the next run tries again.
    pub fn run_maintenance(&self) -> std::io::Result<()> {
        // Retention first: it makes the room that merging needs.
        let deleted = self.store.enforce_retention();
        let merged = self.store.compact();
        self.store.update_gauges();
        deleted.and(merged)
    }
}

impl Drop for Tsdb {
    fn drop(&mut self) {
        self.close();
    }
}

impl SampleSink for Tsdb {
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        self.store.resolve(labels, out)
    }

    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        self.store.append(samples)
    }
}

impl SeriesSource for Tsdb {
    fn select<'a>(
        &'a self,
        request: &SelectRequest,
        control: &'a QueryControl,
    ) -> Result<Box<dyn SeriesCursor + 'a>, SelectError> {
        Ok(Box::new(self.store.select(request, control)?))
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        limit: usize,
        control: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError> {
        self.store.list_series(selectors, (start, end), limit, control)
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        self.store.list_names(selectors, (start, end), control)
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        self.store.list_values(name, selectors, (start, end), control)
    }
}
