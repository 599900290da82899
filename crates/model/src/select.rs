//! The select contract: how query engines read series from a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::memory::{OverBudget, Pool};
use crate::sample::Samples;

/// Which samples are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectRequest {
    /// All must hold.
    pub matchers: Vec<Matcher>,
    /// First time wanted, Unix milliseconds, inclusive.
    pub start: i64,
    /// Last time wanted, Unix milliseconds, inclusive.
    pub end: i64,
}

/// One series with its samples in the asked range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesSamples {
    /// Who it is.
    pub labels: Labels,
    /// Its samples, staleness markers included.
    pub samples: Samples,
}

/// Why a query was stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt {
    /// The client went away or an operator killed it.
    #[error("query was canceled")]
    Canceled,
    /// Its time is used up.
    #[error("query timed out")]
    TimedOut,
}

/// What a running query carries with it: its deadline, its cancellation and its share of memory.
#[derive(Clone, Debug)]
pub struct QueryControl {
    deadline: Option<Instant>,
    canceled: Arc<AtomicBool>,
    pool: Pool,
}

impl QueryControl {
    /// A query that may take from `pool` until `deadline`.
    pub fn new(pool: Pool, deadline: Option<Instant>) -> Self {
        QueryControl { deadline, canceled: Arc::default(), pool }
    }

    /// No limits, for tests and tools.
    pub fn unlimited() -> Self {
        QueryControl::new(Pool::unlimited(), None)
    }

    /// The flag that cancels the query when set; it can be kept elsewhere.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        self.canceled.clone()
    }

    /// To be asked between pieces of work of about a millisecond.
    ///
    /// # Errors
    /// [`Interrupt`] when the query must stop.
    pub fn check(&self) -> Result<(), Interrupt> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Interrupt::Canceled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Interrupt::TimedOut);
        }
        Ok(())
    }

    /// The memory the query may use.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupt),
    /// More memory needed than the query may use.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// A part could not be read; the text names it.
    #[error("{0}")]
    Storage(String),
}

/// A place series can be read from.
///
/// Calls may block on file I/O and come from threads that may; any number at once. A read sees every
/// batch whose append had returned before the read began.
pub trait SeriesSource: Send + Sync {
    /// The series that match, with their samples, one by one in any order; a series with no sample in the
    /// range is left out.
    ///
    /// # Errors
    /// [`SelectError`].
    fn select<'a>(
        &'a self,
        request: &SelectRequest,
        control: &'a QueryControl,
    ) -> Result<Box<dyn SeriesCursor + 'a>, SelectError>;

    /// Label sets of the series that match any of `selectors` (each a list of matchers that must all
    /// hold) and may have samples in the range; sorted, without repeats, at most `limit` (0: all).
    ///
    /// # Errors
    /// [`SelectError`].
    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        limit: usize,
        control: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError>;

    /// Names of labels on series that match any of `selectors` (none: all series), sorted.
    ///
    /// # Errors
    /// [`SelectError`].
    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError>;

    /// Values of one label on series that match any of `selectors` (none: all series), sorted.
    ///
    /// # Errors
    /// [`SelectError`].
    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
    ) -> Result<Vec<String>, SelectError>;
}

/// Series of one selection, pulled one at a time so that memory stays that of one series.
pub trait SeriesCursor: Send {
    /// Reads the next series into `out`, reusing its buffers; `false` at the end.
    ///
    /// # Errors
    /// [`SelectError`]; the cursor is at its end then.
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, SelectError>;
}
