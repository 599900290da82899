//! Rule groups on a clock: expressions become recorded series or alerts.
//!
//! Rule [files](file) are read strictly into groups. Each group is a task that at every slot of its
//! interval evaluates its rules in order at one time, in any registered [`Language`]: results are written
//! through a [`novaobs_model::SampleSink`], alerts that fire or cease go to a [`novaobs_model::AlertSink`].
//! The [`RuleManager`] starts groups, carries their state over reloads and restores it after a restart:
//! `for` from the series `ALERTS_FOR_STATE`, as the peer does, and `keep_firing_for` from a small file.
//!
//! A group is a state machine that is told the time (`group.rs`, `alert.rs`); only `manager.rs` looks at
//! the clock.
//!
//! ```
//! use std::sync::Arc;
//! use novaobs_promql::VectorSample;
//! use novaobs_rules::{EvalError, Expression, Language, file};
//!
//! /// A language of one word.
//! struct Nothing;
//! impl Expression for Nothing {
//!     fn text(&self) -> &str { "nothing" }
//!     fn eval(&self, _: i64) -> Result<Vec<VectorSample>, EvalError> { Ok(Vec::new()) }
//! }
//! impl Language for Nothing {
//!     fn compile(&self, text: &str) -> Result<Arc<dyn Expression>, String> {
//!         if text == "nothing" { Ok(Arc::new(Nothing)) } else { Err(format!("unknown word {text}")) }
//!     }
//! }
//!
//! let rules = "groups: [{name: g, rules: [{alert: A, expr: something}]}]";
//! let error = file::parse("r.yml", rules, &Nothing).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "r.yml:1:45: groups[0].rules[0].expr: group \"g\", rule 1, \"A\": could not parse expression: unknown word something"
//! );
//! ```

mod alert;
pub mod file;
mod group;
mod keep;
mod language;
mod logql;
mod manager;
mod metrics;
mod schedule;
mod snapshot;
mod text;

pub use alert::{ActiveAlert, AlertState};
pub use language::{EvalError, Expression, Language, PromQl};
pub use logql::LogQl;
pub use manager::{ApplyError, RuleConfig, RuleManager, RuleOptions};
pub use snapshot::{GroupSnapshot, Health, RuleSnapshot, SnapshotKind};

#[cfg(test)]
mod tests;
