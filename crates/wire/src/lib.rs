//! Bytes to model and back, for the protocols metrics and logs arrive and leave in.
//!
//! Everything here is a pure function of its input: no I/O, no clock, no configuration, and hostile bytes
//! end in an error, never in a panic or in memory out of proportion to their length. Each format has a
//! module, a property test and a fuzz target.
//!
//! - [`exposition`]: what scrape targets serve. [`exposition::Parser`] streams entries of the text,
//!   OpenMetrics and protobuf formats through one interface made for a scrape cache: a sample's raw series
//!   text is the cache key, its labels are only built when asked for. [`exposition::encode`] writes the same
//!   formats, [`exposition::negotiate`] agrees on one by HTTP headers.
//! - [`remote_write`]: the body of a remote write request, version 1.
//! - [`loki_push`]: bodies of Loki's push endpoints, read and written.
//! - [`otlp_logs`]: OpenTelemetry's log export requests, protobuf and JSON.
//! - [`encoding`]: content encodings, unpacked within a bound.
//! - [`number`] and [`quote`]: numbers and quoted strings as Go reads and prints them, because the formats
//!   and the peers' error texts are defined by Go's library.
//!
//! ```
//! use novaobs_wire::exposition::{Entry, Format, Parser};
//!
//! let mut parser = Parser::new(Format::Text, b"# TYPE up gauge\nup{job=\"api\"} 1\n");
//! let mut seen = Vec::new();
//! while let Some(entry) = parser.next()? {
//!     if let Entry::Sample(sample) = entry {
//!         seen.push((sample.labels()?.to_string(), sample.value));
//!     }
//! }
//! assert_eq!(seen, [(r#"up{job="api"}"#.to_owned(), 1.0)]);
//! # Ok::<(), novaobs_wire::exposition::ParseError>(())
//! ```

pub mod encoding;
pub mod exposition;
pub mod loki_push;
pub mod number;
pub mod otlp_logs;
mod protobuf;
pub mod quote;
pub mod remote_write;
