//! Part files of the event store: sorted log lines as columns of a Parquet file, and scans over them.
//!
//! [`write`] sorts entries by stream and time, splits each JSON or logfmt line into its *shape* (the text
//! between the values) and its values, and stores the values as typed columns; [`merge`] makes one part of
//! many without parsing a line again. A [`Part`] is opened from any [`PartFile`]: [`Part::plan`] names the
//! blocks that may hold wanted rows (by stream, time and filters), [`Part::read`] answers one block.
//! [`scan_rows`] gives the same answers over rows that are still in memory. Lines come back byte for byte,
//! and everything read is checksummed. The bytes are described in `docs/formats/logs-part.md`.
//!
//! ```
//! use std::sync::Arc;
//! use novaobs_model::labels::Labels;
//! use novaobs_model::logs::{LineWanted, LogColumns, LogScan, LogStream, Order, PairLists, Strings, Tenant};
//! use novaobs_model::select::QueryControl;
//! use novaobs_parts::{MemoryFile, Part, write};
//!
//! let stream = LogStream {
//!     labels: Labels::from_pairs([("app", "web")]),
//!     timestamps: vec![1, 2],
//!     lines: ["{\"status\":200}", "{\"status\":503}"].into_iter().collect::<Strings>(),
//!     metadata: PairLists::empty_rows(2),
//! };
//! let mut bytes = Vec::new();
//! write(&[stream], &mut bytes)?;
//! let part = Part::open("example", Arc::new(MemoryFile::new(bytes)))?;
//! let scan = LogScan {
//!     tenant: Tenant::new("fake"),
//!     start: 0,
//!     end: 10,
//!     matchers: vec![],
//!     lines: vec![],
//!     fields: vec![],
//!     columns: LogColumns { line: LineWanted::Always, ..Default::default() },
//!     order: Order::Any,
//! };
//! let control = QueryControl::unlimited();
//! let blocks = part.plan(&scan, &control)?;
//! let batch = part.read(&scan, &blocks[0], &control, &mut Default::default())?.expect("rows");
//! assert_eq!(batch.lines.get(1), "{\"status\":503}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod align;
mod bits;
mod cells;
mod columns;
mod error;
mod file;
mod filters;
mod kinds;
mod layout;
mod memory;
mod merge;
mod pages;
mod part;
mod read;
mod search;
mod shapes;
mod shred;
mod streams;
mod thrift;
mod write;
mod writer;

pub use error::{MergeError, PartError, WriteError};
pub use file::{MemoryFile, PartFile};
pub use memory::scan_rows;
pub use merge::merge;
pub use part::{Block, Part};
pub use write::write;

use novaobs_model::logs::RowFilter;

/// What a part holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartInfo {
    /// Entries.
    pub rows: u64,
    /// Bytes of their lines and of the names and values of their structured metadata.
    pub raw_bytes: u64,
    /// Unix nanoseconds of the oldest entry.
    pub first: i64,
    /// Unix nanoseconds of the newest entry.
    pub last: i64,
    /// Streams.
    pub streams: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Entries that [`merge`] leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Dropped<'a> {
    /// Which.
    pub filter: &'a RowFilter,
    /// Unix nanoseconds, inclusive.
    pub start: i64,
    /// Unix nanoseconds, inclusive.
    pub end: i64,
}
