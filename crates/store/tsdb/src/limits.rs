//! Every size, count and interval the store goes by, with its reason.

use std::time::Duration;

/// Milliseconds in an hour.
const HOUR: i64 = 3_600_000;

/// Samples may be this much older than the newest of the store (half of Prometheus's 2 h block range).
pub(crate) const BOUND_MS: i64 = HOUR;
/// A series without a sample for this long leaves memory; with [`BOUND_MS`] no sample that its absence
/// would let in is lost, as those are out of bounds anyway.
pub(crate) const IDLE_MS: i64 = HOUR;
/// A series that ended with a staleness marker leaves memory sooner: churn must not fill it.
pub(crate) const ENDED_MS: i64 = 600_000;
/// The smallest time range blocks are aligned to, as in Prometheus.
pub(crate) const SMALLEST_RANGE_MS: i64 = 2 * HOUR;
/// Each range is this many of the one below, as in Prometheus.
pub(crate) const RANGE_FACTOR: i64 = 3;
/// Blocks are not merged beyond this.
pub(crate) const LARGEST_RANGE_MS: i64 = 31 * 24 * HOUR;
/// Blocks are not merged beyond retention divided by this, so that retention deletes in small steps.
pub(crate) const RETENTION_SHARE: i64 = 10;
/// A flush whose samples lie in at most this many of the smallest ranges is split at their borders.
pub(crate) const SPLIT_AT_MOST: i64 = 4;
/// The newest, incomplete range is merged whenever it has this many small parts: reads touch at most
/// that many, and each sample is rewritten about twice before its range is complete.
pub(crate) const SMALL_PARTS: usize = 8;

/// The head goes to a part after this time: 20 plain samples per series at 15 s, the largest share of the
/// memory budget of 560 bytes per series.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_secs(300);
/// The head goes to a part when its log has this size: about half a second of replay.
pub(crate) const FLUSH_WAL_BYTES: u64 = 48 << 20;
/// With a limit of size, the head goes to a part when its log is this share of it.
pub(crate) const LOG_SHARE: u64 = 8;
/// A log below this is never a reason to flush.
pub(crate) const SMALL_LOG_BYTES: u64 = 1 << 20;
/// Unwritten log reaches the disk at this interval: what a power cut (not a crash) may take.
pub(crate) const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Retention is looked at this often.
pub(crate) const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// A head buffer is encoded when it has this many samples: at a scrape a second, with twice as many, its
/// plain samples would take 1.4 kB per series; with fewer, the headers of chunks weigh. At 15 s a flush
/// comes first.
pub(crate) const CHUNK_SAMPLES: usize = 64;
/// Series per column page: enough to read a metric sequentially, few enough to find one series quickly.
pub(crate) const PAGE_SERIES: usize = 128;
/// Compaction closes a page when its longest series has this many samples: beyond it encoding gains
/// nothing and reading a short range from it costs more.
pub(crate) const PAGE_SAMPLES: usize = 1024;
/// Compaction closes a page when all its series together have this many samples: 16 MB while merging.
pub(crate) const PAGE_TOTAL_SAMPLES: usize = 1 << 20;
/// At open, parts are checked wholly until this many bytes have been read; the rest is checked when read.
pub(crate) const CHECK_AT_OPEN_BYTES: u64 = 64 << 20;

/// Memory assumed for a series without its samples and label texts, from `examples/ingest.rs`.
pub(crate) const SERIES_BYTES: u64 = 200;
/// Memory assumed for a sample in the head.
pub(crate) const SAMPLE_BYTES: u64 = 14;

/// The folder's lock is tried this often before another process is said to have it.
pub(crate) const LOCK_ATTEMPTS: u32 = 10;
/// Between two attempts.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(50);
