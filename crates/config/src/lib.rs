//! Configuration files: YAML with positions, errors that name file:line:column, durations, sizes, secrets.
//!
//! A file becomes a [`Document`]: a tree of [`Node`]s, each with its line and column. A config struct is
//! read from it by a function from [`Cursor`] to `Option<Self>`: problems go to the document's report, so
//! that a reader never stops at the first fault and `None` only means "already reported". At the end
//! [`Document::read`] answers the value with its warnings, or every error of the file at once. What was
//! loaded is written back (for `/api/v1/status/config`) by building [`Node`]s with [`Fields`] and
//! [`emit`]ting them.
//!
//! The dialect is what the peers accept through Go's yaml.v2: YAML 1.1 booleans, merge keys, numbers where
//! a text is wanted; repeated keys are errors.
//!
//! ```
//! use std::time::Duration;
//! use novaobs_config::{Cursor, Document, UnknownKeys, value};
//!
//! struct Job { name: String, interval: Duration }
//!
//! fn job(at: &Cursor<'_>) -> Option<Job> {
//!     let mut map = at.mapping();
//!     let name = map.required("job_name", value::string);
//!     let interval = map.or("scrape_interval", value::duration, Duration::from_secs(60));
//!     map.finish();
//!     Some(Job { name: name?, interval })
//! }
//!
//! let document = Document::parse("job.yml", "job_name: api\nscrape_interval: 15\n")?;
//! let error = document.read(UnknownKeys::Warn, job).err().unwrap();
//! assert_eq!(
//!     error.to_string(),
//!     r#"job.yml:2:18: scrape_interval: not a valid duration string: "15": write it with a unit, such as 15s"#
//! );
//! # Ok::<(), novaobs_config::ConfigError>(())
//! ```

mod emit;
mod node;
mod parse;
mod problem;
mod read;
mod scalar;
mod secret;
pub mod size;
pub mod value;

pub use emit::emit;
pub use node::{Entry, Fields, Node, Span, ToNode, Value};
pub use problem::{ConfigError, Loaded, Position, Problem};
pub use read::{Cursor, Document, Section, UnknownKeys};
pub use secret::Secret;
