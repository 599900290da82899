//! The event store: log entries now, spans later.
//!
//! An append is made durable in a local write-ahead log and stands in memory, where scans see it at once.
//! Memory is cut into *parts* (files of `novaobs-parts`) in a [`Bucket`]: a folder or an object store. A
//! *partition* is one tenant's entries of one UTC day; numbered manifests list its parts and are committed
//! by put-if-absent only. Background threads merge parts, delete what expired or was asked to be deleted,
//! and move old days to a cold bucket. Formats are in `docs/formats/logs-wal.md` and `logs-manifest.md`.
//!
//! ```text
//! append ─► log (disk) ─► memory ─flush─► parts + manifest (bucket) ─merge, retention, deletes, tiers─►
//!                           └──────── scan ────────┘
//! ```
//!
//! Nothing acknowledged is lost or doubled when the process dies: each manifest says up to which place of
//! the log its parts have the rows.
//!
//! ```
//! use novaobs_events::{Events, Options};
//! use novaobs_model::logs::{PairLists, Strings};
//! use novaobs_model::{Labels, LogSink, LogStream, Tenant};
//!
//! let folder = std::env::temp_dir().join(format!("events-{}", std::process::id()));
//! let registry = prometheus::Registry::new();
//! let events = Events::open(&folder, Options::new(&registry))?;
//! let stream = LogStream {
//!     labels: Labels::from_pairs([("app", "web")]),
//!     timestamps: vec![1_700_000_000_000_000_000],
//!     lines: ["started"].into_iter().collect::<Strings>(),
//!     metadata: PairLists::empty_rows(1),
//! };
//! events.append(&Tenant::new("fake"), &[stream])?;
//! assert_eq!(events.stats().tenants[0].memory_rows, 1);
//! events.close();
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
pub mod bucket;
mod compaction;
mod deletes;
mod filter;
mod flush;
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod listing;
mod manifest;
mod memory;
mod metrics;
mod names;
mod partition;
mod recent;
mod record;
mod retention;
mod scan;
mod stats;
mod store;
mod threads;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use novaobs_model::logs::LogStats;
use novaobs_model::{
    AppendError, Labels, LogCursor, LogScan, LogSink, LogSource, LogStream, Matcher, Pool, QueryControl,
    SelectError, Tenant,
};
use parking_lot::Mutex;

pub use bucket::{Bucket, DiskBucket, RemoteBucket};
pub use deletes::{CompileFilter, DeleteError, DeleteRequest, DeleteStatus};
pub use retention::{Retention, RetentionPolicy, StreamRetention};
pub use stats::{Stats, TenantStats};

use store::Store;

/// How a store is opened.
pub struct Options<'a> {
    /// Where parts and manifests stand; `None` is the store's own folder, which is then nobody else's.
    pub bucket: Option<Arc<dyn Bucket>>,
    /// A bucket for days that ended this long ago, and after how long.
    pub cold: Option<(Arc<dyn Bucket>, Duration)>,
    /// How long entries are kept. By default for ever.
    pub retention: Retention,
    /// The oldest days are deleted while log and parts (cold ones aside) take more bytes.
    pub max_bytes: Option<u64>,
    /// Understands the queries of deletes. By default none is understood.
    pub compile_filter: CompileFilter,
    /// Deletes are applied to parts this long after they were asked for; before, they can be cancelled.
    pub delete_delay: Duration,
    /// Removed parts are deleted after this, for readers elsewhere.
    pub grace: Duration,
    /// Parts that no manifest lists are deleted after this; it must be longer than any merge.
    pub orphan_grace: Duration,
    /// The memory entries are taken from.
    pub pool: Pool,
    /// Where the store's own metrics are registered.
    pub registry: &'a prometheus::Registry,
    /// Whether the store syncs, flushes, merges and deletes by itself. Without, the owner calls
    /// [`Events::flush`] and [`Events::run_maintenance`].
    pub background: bool,
}

impl<'a> Options<'a> {
    /// A folder of its own, everything kept for ever, memory without a limit.
    pub fn new(registry: &'a prometheus::Registry) -> Self {
        Options {
            bucket: None,
            cold: None,
            retention: Arc::new(|_| RetentionPolicy::default()),
            max_bytes: None,
            compile_filter: Arc::new(|_| Err("deletes are not configured".to_owned())),
            delete_delay: Duration::from_secs(24 * 3600),
            grace: Duration::from_secs(60),
            orphan_grace: Duration::from_secs(3600),
            pool: Pool::unlimited(),
            registry,
            background: true,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            retention: self.retention.clone(),
            max_bytes: self.max_bytes,
            delete_delay: self.delete_delay,
            cold_after: self.cold.as_ref().map(|(_, after)| *after),
        }
    }
}

/// What can be changed while the store is open; the fields are those of [`Options`].
#[derive(Clone)]
pub struct Settings {
    /// See [`Options::retention`].
    pub retention: Retention,
    /// See [`Options::max_bytes`].
    pub max_bytes: Option<u64>,
    /// See [`Options::delete_delay`].
    pub delete_delay: Duration,
    /// See [`Options::cold`]; without a cold bucket it has no meaning.
    pub cold_after: Option<Duration>,
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
    /// The file system or the bucket refused.
    #[error("cannot open the log store in {folder}: cannot {what}: {source}", folder = folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// The registry has metrics of another store already.
    #[error("cannot register the log store's own metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// An open event store. Closed by [`Events::close`] or when dropped.
pub struct Events {
    store: Arc<Store>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Events {
    /// Opens the store whose log is in `folder`, creating the folder if need be. What was acknowledged
    /// before a crash is there again when this returns.
    ///
    /// # Errors
    /// [`OpenError`]; damaged files are not among its reasons, they are cut or set aside and logged.
    pub fn open(folder: &Path, options: Options<'_>) -> Result<Arc<Events>, OpenError> {
        let background = options.background;
        let store = Arc::new(Store::open(folder, options)?);
        let threads = if background { threads::start(&store) } else { Ok(Vec::new()) };
        let threads = threads.map_err(|source| OpenError::Io {
            folder: folder.to_owned(),
            what: "start its threads",
            source,
        })?;
        Ok(Arc::new(Events { store, threads: Mutex::new(threads) }))
    }

    /// Refuses further appends, writes memory to parts, and stops the store's threads. Reads go on working.
    /// What cannot be written now is written after the next open.
    pub fn close(&self) {
        if self.store.closing.swap(true, Ordering::Relaxed) {
            return;
        }
        self.store.control.cancel_flag().store(true, Ordering::Relaxed);
        self.store.wake.notify_all();
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the log store panicked");
            }
        }
        self.store.writer.lock().closed = true;
        if let Err(error) = self.store.flush(true) {
            tracing::warn!(folder = %self.store.folder.display(), "entries stay in the log until the next start: {error}");
        }
        self.store.sync();
    }

    /// Changes retention, the limit of size, and the delays of deletes and tiers.
    pub fn set(&self, settings: Settings) {
        *self.store.settings.write() = settings;
    }

    /// The current settings.
    pub fn settings(&self) -> Settings {
        self.store.settings.read().clone()
    }

    /// What is stored, by tenant.
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// All tenants that have entries, sorted.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.store.tenants()
    }

    /// Writes everything in memory to parts now, as the store does every minute.
    ///
    /// # Errors
    /// What the bucket says; nothing is lost, and the next flush tries again.
    pub fn flush(&self) -> std::io::Result<()> {
        self.store.flush(true)
    }

    /// Does now what the store does every half minute and more: retention, deletes, tiers, removals, merges.
    /// With `eagerly` parts are merged as in a day that is over.
    ///
    /// # Errors
    /// What the bucket says; nothing is lost, and the next run tries again.
    pub fn run_maintenance(&self, eagerly: bool) -> std::io::Result<()> {
        let _merging = self.store.merging.lock();
        self.store.maintain(true)?;
        self.store.compact(eagerly)?;
        self.store.remove_due(false)?;
        self.store.update_gauges();
        Ok(())
    }

    /// Deletes entries of `[start, end)` (Unix nanoseconds) that `query` selects: for readers at once, from
    /// parts after [`Options::delete_delay`].
    ///
    /// # Errors
    /// [`DeleteError::Query`] with the words of [`Options::compile_filter`], or [`DeleteError::Io`].
    pub fn add_delete(
        &self,
        tenant: &Tenant,
        query: &str,
        start: i64,
        end: i64,
    ) -> Result<DeleteRequest, DeleteError> {
        self.store.add_delete(tenant, query, start, end)
    }

    /// All requests of a tenant, oldest first, the processed ones too.
    pub fn deletes(&self, tenant: &Tenant) -> Vec<DeleteRequest> {
        self.store.list_deletes(tenant)
    }

    /// Takes a request back: its entries are there again.
    ///
    /// # Errors
    /// [`DeleteError::Unknown`], [`DeleteError::Processed`] or [`DeleteError::Io`]; until when a request may
    /// be cancelled is the caller's to say.
    pub fn cancel_delete(&self, tenant: &Tenant, id: &str) -> Result<(), DeleteError> {
        self.store.cancel_delete(tenant, id)
    }

    /// A number that changes whenever the tenant's deletes do, for caches of answers; from 0 at each open.
    pub fn delete_generation(&self, tenant: &Tenant) -> u64 {
        self.store.delete_generation(tenant)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.close();
    }
}

impl LogSink for Events {
    fn append(&self, tenant: &Tenant, streams: &[LogStream]) -> Result<(), AppendError> {
        self.store.append(tenant, streams)
    }
}

impl LogSource for Events {
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError> {
        Ok(Box::new(self.store.scan(scan, control)?))
    }

    fn streams(
        &self,
        tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError> {
        self.store.list_streams(tenant, selectors, (start, end), control, each)
    }
}
