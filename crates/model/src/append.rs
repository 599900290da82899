//! The append contract: how receivers and rules write samples into a store.

use crate::labels::Labels;

/// A store's handle of one series: stable while the store runs, never reused for another series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// One sample on its way into a store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// From [`SampleSink::series`].
    pub series: SeriesRef,
    /// Unix milliseconds.
    pub timestamp: i64,
    /// The value; [`crate::stale_nan`] ends the series.
    pub value: f64,
}

/// Why a store left out one sample; the others of the batch are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RejectReason {
    /// Older than the newest sample of its series and than the out-of-order window allows.
    #[error("out of order sample")]
    OutOfOrder,
    /// Its series has another value at the same time.
    #[error("duplicate sample for timestamp")]
    Duplicate,
    /// Older than anything the store still takes.
    #[error("out of bounds")]
    OutOfBounds,
    /// With an out-of-order window: older than it.
    #[error("too old sample")]
    TooOld,
    /// The handle's series was dropped from memory; ask [`SampleSink::series`] again and retry.
    #[error("unknown series reference")]
    UnknownSeries,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendReport {
    /// Samples kept, those equal to what was there already included.
    pub accepted: usize,
    /// Index into the batch and reason of each sample left out, in order.
    pub rejected: Vec<(usize, RejectReason)>,
}

/// Why a store refused a whole batch: nothing of it was kept, and it may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full or failing; the store answers queries and takes writes again when that has passed.
    #[error("storage is read-only: {0}")]
    ReadOnly(String),
    /// Memory for new series or samples is used up.
    #[error(transparent)]
    OverBudget(#[from] crate::memory::OverBudget),
    /// The store is shutting down.
    #[error("storage is closed")]
    Closed,
}

/// A place samples can be written to.
///
/// Calls may block on file I/O and come from threads that may; any number at once. A batch that returned
/// `Ok` is in the store's log: it survives the end of the process, however sudden. Samples of one series
/// within a batch are taken in the batch's order.
pub trait SampleSink: Send + Sync {
    /// Finds or creates the series of each label set, pushing one handle per set to `out` in order.
    /// Label sets are not empty.
    ///
    /// # Errors
    /// [`AppendError`]; then `out` is as before.
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError>;

    /// Writes a batch. Batches that hold many samples of one time (a scrape) are stored best.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing was written.
    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError>;
}
