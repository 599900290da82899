//! The scan contract: how engines read log entries from a store.

use std::fmt;
use std::sync::Arc;

use crate::labels::Labels;
use crate::logs::Tenant;
use crate::logs::batch::LogBatch;
use crate::matcher::Matcher;
use crate::regex::GoRegex;
use crate::select::{QueryControl, SelectError};

/// Which entries are wanted, and which of their columns.
#[derive(Clone, Debug)]
pub struct LogScan {
    /// Whose.
    pub tenant: Tenant,
    /// Unix nanoseconds, inclusive.
    pub start: i64,
    /// Unix nanoseconds, exclusive.
    pub end: i64,
    /// On labels of the stream; all must hold.
    pub matchers: Vec<Matcher>,
    /// On the raw line; all must hold. The store applies them exactly: no row that fails one is returned.
    pub lines: Vec<LineTest>,
    /// On fields; all must hold. Hints: the store leaves out rows and blocks where it cheaply knows that one
    /// fails, and may return others, so the engine tests again.
    pub fields: Vec<FieldTest>,
    /// What to return.
    pub columns: LogColumns,
    /// In which order batches come.
    pub order: Order,
}

/// What a scan returns of each row, beside stream and time.
#[derive(Clone, Debug, Default)]
pub struct LogColumns {
    /// The raw line.
    pub line: LineWanted,
    /// The raw line's length.
    pub line_bytes: bool,
    /// All structured metadata.
    pub metadata: bool,
    /// Fields by name. Those of the line speak only for rows of the right [`Structure`](super::Structure).
    pub fields: Vec<Field>,
}

/// Of which rows the raw line is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineWanted {
    /// Of none.
    #[default]
    Never,
    /// Of rows whose structure is not the one that fields are asked from: they must be parsed.
    Unless(FieldSource),
    /// Of all.
    Always,
}

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldSource {
    /// In structured metadata.
    Metadata,
    /// In a JSON line; the name is the one `| json` gives, sanitised, without `_extracted`.
    Json,
    /// In a logfmt line; the name is the one `| logfmt` gives.
    Logfmt,
}

/// A field of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    /// Where.
    pub source: FieldSource,
    /// Which.
    pub name: Arc<str>,
}

/// In which order batches come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As is cheapest.
    #[default]
    Any,
    /// Newest first as far as whole batches can be: with [`LogCursor::bound`] a reader of the newest N rows
    /// stops early. Rows may still be older than rows of later batches.
    Newest,
    /// Oldest first, likewise.
    Oldest,
}

/// A test of the raw line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineTest {
    /// The test holds when any of these is found, or with `negated` when none is.
    pub any: Vec<LineMatch>,
    /// `!=` and `!~`.
    pub negated: bool,
}

/// What a line may contain.
#[derive(Clone, Debug, PartialEq)]
pub enum LineMatch {
    /// This text, anywhere.
    Text(Arc<str>),
    /// A match of this expression, anywhere (not anchored, `.` matches newlines).
    Regex(GoRegex),
}

/// Whether a value (none: the field is absent) passes.
pub type Accepts = Arc<dyn Fn(Option<&str>) -> bool + Send + Sync>;
/// Whether a row passes.
pub type RowTest = Arc<dyn Fn(&RowView<'_>) -> bool + Send + Sync>;

/// A test of one field, as a hint.
#[derive(Clone)]
pub struct FieldTest {
    /// Which field.
    pub field: Field,
    /// Whether a row with this value (none: without the field) can pass. Only asked where the store knows
    /// the field: a row whose line it did not read as the field's source passes.
    pub accepts: Accepts,
    /// When given, no other value passes.
    pub one_of: Option<Vec<Arc<str>>>,
    /// When given, values that are plain decimal numbers pass exactly when they are in here.
    pub range: Option<NumberRange>,
}

impl fmt::Debug for FieldTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldTest")
            .field("field", &self.field)
            .field("one_of", &self.one_of)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// An interval of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberRange {
    /// The least, and whether it is in.
    pub low: (f64, bool),
    /// The greatest, and whether it is in.
    pub high: (f64, bool),
    /// Numbers outside pass and those inside do not (`!=`).
    pub outside: bool,
}

impl NumberRange {
    /// Whether a number passes.
    pub fn accepts(&self, value: f64) -> bool {
        let above = value > self.low.0 || (value == self.low.0 && self.low.1);
        let below = value < self.high.0 || (value == self.high.0 && self.high.1);
        (above && below) != self.outside
    }
}

/// Rows that an engine can tell apart without a scan, as deletes need it.
#[derive(Clone)]
pub struct RowFilter {
    /// On labels of the stream; all must hold.
    pub matchers: Vec<Matcher>,
    /// On the raw line; all must hold.
    pub lines: Vec<LineTest>,
    /// Whatever else must hold.
    pub rest: Option<RowTest>,
}

impl fmt::Debug for RowFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFilter")
            .field("matchers", &self.matchers)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

/// One row, as a [`RowFilter`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    /// Its stream.
    pub labels: &'a Labels,
    /// Unix nanoseconds.
    pub timestamp: i64,
    /// The raw line.
    pub line: &'a str,
    /// Its structured metadata.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// What a scan did, for the statistics of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Parts looked at, and those of them that were left out unread.
    pub parts: u64,
    /// See `parts`.
    pub parts_skipped: u64,
    /// Blocks of rows in the parts looked at, and those left out unread.
    pub blocks: u64,
    /// See `blocks`.
    pub blocks_skipped: u64,
    /// Rows whose columns were read.
    pub rows: u64,
    /// Bytes decompressed.
    pub bytes: u64,
    /// Bytes read from files or the bucket.
    pub bytes_read: u64,
    /// Rows and bytes that came from memory, not yet in a part.
    pub memory_rows: u64,
    /// See `memory_rows`.
    pub memory_bytes: u64,
}

/// How much a store has of one stream in a range; estimates where the range cuts a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Entries.
    pub entries: u64,
    /// Bytes of raw lines and structured metadata.
    pub bytes: u64,
    /// Blocks they stand in.
    pub blocks: u64,
    /// Unix nanoseconds of the oldest entry there may be.
    pub first: i64,
    /// Unix nanoseconds of the newest.
    pub last: i64,
}

/// A place log entries can be read from.
///
/// Calls may block on file I/O and come from threads that may; any number at once. A read sees every entry
/// whose append had returned before the read began, and none that a delete in force covers.
pub trait LogSource: Send + Sync {
    /// The rows of a scan. The cursor reads the state of the moment it was opened; the files it needs stay
    /// until it is dropped.
    ///
    /// # Errors
    /// [`SelectError`].
    fn scan<'a>(
        &'a self,
        scan: &LogScan,
        control: &'a QueryControl,
    ) -> Result<Box<dyn LogCursor + 'a>, SelectError>;

    /// Calls `each` with every stream of `tenant` that matches any of `selectors` (each a list of matchers
    /// that must all hold; none: all streams) and has entries in `[start, end)`. A stream may be reported
    /// several times, for different parts: figures add up.
    ///
    /// # Errors
    /// [`SelectError`].
    fn streams(
        &self,
        tenant: &Tenant,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        control: &QueryControl,
        each: &mut dyn FnMut(&Labels, LogStats),
    ) -> Result<(), SelectError>;
}

/// Batches of one scan.
pub trait LogCursor: Send {
    /// The next batch, never an empty one; `None` at the end.
    ///
    /// # Errors
    /// [`SelectError`]; the cursor is at its end then.
    fn next(&mut self) -> Result<Option<LogBatch>, SelectError>;

    /// Narrows what is still wanted to `[start, end)`, within what was asked before.
    fn bound(&mut self, start: i64, end: i64);

    /// What was done so far.
    fn stats(&self) -> ScanStats;
}
