//! Log entries on their way into a store, and the contracts a log store is written and read through.
//!
//! Receivers hand [`LogStream`]s to a [`LogSink`]; engines ask a [`LogSource`] for a [`LogScan`] and pull
//! [`LogBatch`]es, which are columns: a store that keeps JSON or logfmt lines as columns gives the fields
//! of a line without the line ever being put together or parsed.

pub mod batch;
pub mod scan;
pub mod strings;

use std::fmt;
use std::sync::Arc;

pub use batch::{LogBatch, StreamRun, Structure, TextColumn};
pub use scan::{
    Accepts, Field, FieldSource, FieldTest, LineMatch, LineTest, LineWanted, LogColumns, LogCursor, LogScan,
    LogSource, LogStats, NumberRange, Order, RowFilter, RowTest, RowView, ScanStats,
};
pub use strings::{PairLists, Strings};

use crate::append::AppendError;
use crate::labels::Labels;

/// Whose data it is: what `X-Scope-OrgID` says, `fake` where tenants are not told apart.
///
/// The name is at most 150 bytes of `[A-Za-z0-9!_.*'()-]`, not `.` or `..`, so that it can be a folder; who
/// builds one checks that.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// A tenant of this name.
    pub fn new(name: &str) -> Self {
        Tenant(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}

/// Entries of one stream, in columns of equal length, in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogStream {
    /// The stream: its labels, not empty.
    pub labels: Labels,
    /// Unix nanoseconds, of any time and in any order.
    pub timestamps: Vec<i64>,
    /// The lines, as they came.
    pub lines: Strings,
    /// Structured metadata of each entry.
    pub metadata: PairLists,
}

/// A place log entries can be written to.
///
/// Calls may block on file I/O and come from threads that may; any number at once. Entries that an `Ok`
/// acknowledged are in the store's log: they survive the end of the process, however sudden, and the next
/// scan sees them. An entry equal to one already there (stream, time, line, metadata) is dropped silently
/// when the first is recent enough to be remembered, so that a client may send a batch again.
pub trait LogSink: Send + Sync {
    /// Writes all entries of all streams, or none.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing was written and the batch may be sent again.
    fn append(&self, tenant: &Tenant, streams: &[LogStream]) -> Result<(), AppendError>;
}
