//! The nouns every other crate shares, and the contracts between them.
//!
//! Data flows receive -> store -> query -> serve; this crate owns what passes along that path and
//! nothing else: [`Labels`], [`Samples`], [`Matcher`], durations, the [append](append) contract a receiver
//! writes through, the [select](select) contract a query engine reads through, and the
//! [memory](memory) pools both take from. It does no I/O and knows no wire format, config file or async
//! runtime; implementations of the contracts may block and are called from threads that may.
//!
//! ```
//! use novaobs_model::{Labels, METRIC_NAME};
//! let labels = Labels::from_pairs([("job", "api"), (METRIC_NAME, "up")]);
//! assert_eq!(labels.to_string(), r#"up{job="api"}"#);
//! ```

pub mod alert;
pub mod append;
pub mod duration;
mod go_syntax;
mod invariant;
#[doc(hidden)]
pub use invariant::__invariant_broken;
pub mod labels;
pub mod logs;
pub mod matcher;
pub mod memory;
pub mod metadata;
pub mod regex;
pub mod sample;
pub mod select;

pub use alert::{Alert, AlertSink};
pub use append::{AppendError, AppendReport, RejectReason, Sample, SampleSink, SeriesRef};
pub use labels::{Labels, LabelsBuilder, METRIC_NAME};
pub use logs::{LogBatch, LogCursor, LogScan, LogSink, LogSource, LogStream, Tenant};
pub use matcher::{MatchOp, Matcher};
pub use memory::{Lease, OverBudget, Pool};
pub use metadata::{Metadata, MetricType};
pub use regex::GoRegex;
pub use sample::{STALE_NAN_BITS, Samples, is_stale, stale_nan};
pub use select::{
    Interrupt, QueryControl, SelectError, SelectRequest, SeriesCursor, SeriesSamples, SeriesSource,
};
