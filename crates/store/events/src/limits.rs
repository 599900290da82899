//! Every size, count and interval the store goes by, with its reason.

use std::time::Duration;

/// A new segment of the log begins at this size: small enough to be removed soon after its rows are in
/// parts, large enough that a busy store makes few.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
/// A log without needed rows is cut when it is larger than this.
pub(crate) const SMALL_LOG_BYTES: u64 = 1 << 20;
/// Records larger than this are taken for damage: the largest request that receivers take, several times.
pub(crate) const RECORD_BYTES: usize = 1 << 30;
/// Unwritten log reaches the disk at this interval: what a power cut (not a crash) may take.
pub(crate) const SYNC_EVERY: Duration = Duration::from_secs(1);

/// A tenant's memory is cut into parts at this many rows: one row group of a part.
pub(crate) const FLUSH_ROWS: usize = 128 * 1024;
/// Likewise at this many bytes: what replay and a scan of memory cost stays a fraction of a second.
pub(crate) const FLUSH_BYTES: u64 = 32 << 20;
/// Rows older than this in memory go to a part: a quiet tenant makes 1,440 small parts a day, which four
/// tiers of merging turn into a dozen, and bucket readers elsewhere are a minute behind.
pub(crate) const FLUSH_AFTER: Duration = Duration::from_secs(60);
/// Small memories wait longer: a thousand quiet tenants must not cost a thousand files a minute.
pub(crate) const SMALL_MEMORY_BYTES: u64 = 256 << 10;
/// See [`SMALL_MEMORY_BYTES`].
pub(crate) const FLUSH_SMALL_AFTER: Duration = Duration::from_secs(600);
/// When the log is larger than this, all tenants are flushed, the quiet ones too: it bounds replay.
pub(crate) const FLUSH_LOG_BYTES: u64 = 256 << 20;
/// When all memories together take more, the largest are flushed until half of this is left.
pub(crate) const CROWDED_BYTES: u64 = 2 * FLUSH_BYTES;
/// With this much in memory an append waits for a flush, at most [`MEMORY_WAIT`]: who sends faster than parts
/// are written is slowed down, not taken at any price.
pub(crate) const SLOW_DOWN_BYTES: u64 = 3 * FLUSH_BYTES;
/// When parts cannot be written, entries are taken until this much is in memory.
pub(crate) const UNFLUSHED_BYTES: u64 = 512 << 20;
/// How long an append waits for a flush when memory is used up.
pub(crate) const MEMORY_WAIT: Duration = Duration::from_secs(2);
/// After a failed flush or merge (a full disk, mostly) the next attempt waits this long.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Memory assumed for a row beyond its text: time, ends of line and metadata, its hash twice.
pub(crate) const ROW_BYTES: u64 = 64;
/// Memory assumed for a stream in a chunk beyond its labels.
pub(crate) const STREAM_BYTES: u64 = 256;
/// A tenant's duplicates are looked for among at least the last this many entries, or those of two flushes.
pub(crate) const RECENT_ENTRIES: usize = 128 * 1024;
/// Entries are remembered at least this long, if there are fewer than [`RECENT_ENTRIES`]: the longest
/// pause between two attempts of the usual shippers is five minutes.
pub(crate) const RECENT_FOR: Duration = Duration::from_secs(600);

/// So many chunks of about one size are put together to one.
pub(crate) const CHUNK_RATIO: usize = 8;
/// Chunks of this many rows are left alone until they are flushed.
pub(crate) const CHUNK_ROWS: usize = 16 * 1024;

/// So many parts of one tier are merged to one of the next.
pub(crate) const TIER_PARTS: usize = 8;
/// Tiers: a part belongs to the first whose size (bytes of its file) it is below.
pub(crate) const TIER_BYTES: [u64; 4] = [1 << 20, 8 << 20, 64 << 20, 256 << 20];
/// A merge takes at most this many bytes of parts: the largest part there will be.
pub(crate) const MERGE_BYTES: u64 = 384 << 20;
/// A merge takes at most this many parts: each costs its open pages.
pub(crate) const MERGE_PARTS: usize = 32;
/// A partition of a day past is merged to few parts when nothing came to it for this long.
pub(crate) const QUIET: Duration = Duration::from_secs(900);
/// In a quiet partition so many parts of one tier are merged.
pub(crate) const QUIET_TIER_PARTS: usize = 2;
/// Compaction looks for work at this interval.
pub(crate) const MERGE_EVERY: Duration = Duration::from_secs(2);
/// Retention, deletes, tiers and removals are looked at this often.
pub(crate) const MAINTAIN_EVERY: Duration = Duration::from_secs(30);
/// Files that nobody lists are looked for this often.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// A manifest is deleted when a later one has stood for this long, where others may write too.
pub(crate) const MANIFEST_GRACE: Duration = Duration::from_secs(3600);
/// Nobody commits on top of a manifest it read longer ago than this, where others may write too.
pub(crate) const MANIFEST_STALE: Duration = Duration::from_secs(600);
/// Where the folder is this store's alone, a manifest need only outlast readers that listed it.
pub(crate) const OWN_MANIFEST_GRACE: Duration = Duration::from_secs(10);
/// A commit gives up after losing this many races.
pub(crate) const COMMIT_ATTEMPTS: usize = 20;

/// Parts kept open at most: their footers are some 140 kB each.
pub(crate) const OPEN_PARTS: usize = 256;
/// Files of a folder kept open at most.
pub(crate) const OPEN_FILES: usize = 256;
/// Rows in a batch of memory.
pub(crate) const BATCH_ROWS: usize = 8192;
/// A scan of fewer rows is done on the caller's thread.
pub(crate) const PARALLEL_ROWS: u64 = 200_000;
/// Threads one scan uses at most beside its caller's.
pub(crate) const SCAN_WORKERS: usize = 4;

/// The folder's lock is tried this often before another process is said to have it.
pub(crate) const LOCK_ATTEMPTS: u32 = 10;
/// Between two attempts.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(50);
