//! A test language for PromQL: load series, evaluate, compare. It reads the format of Prometheus's own
//! `.test` files (`promql/promqltest/README.md` there) as far as floats go.
//!
//! ```
//! use novaobs_promql::testlang::{default_options, run_script};
//! let report = run_script(
//!     "load 1m\n  requests{job=\"a\"} 0+10x5\n\neval instant at 5m sum(requests)\n  {} 50\n",
//!     &default_options(),
//! )?;
//! assert_eq!((report.passed, report.failures.len()), (1, 0));
//! # Ok::<(), novaobs_promql::testlang::ScriptError>(())
//! ```
//!
//! Commands, each with indented lines below it:
//! - `load <step>`: series with values in the notation of [`series::parse_series`], from time 0 on;
//! - `clear`: forgets all series;
//! - `eval instant at <time> <query>` and `eval range from <start> to <end> step <step> <query>`, followed
//!   by `expect` lines (`fail`, `warn`, `info`, `no_warn`, `no_info`, `ordered`, `string`, `range vector`;
//!   the first three with `msg:` or `regex:`) and the expected series. The older `eval_fail`, `eval_warn`,
//!   `eval_info`, `eval_ordered`, `expected_fail_message` and `expected_fail_regexp` are read too.
//!
//! Instant queries are also evaluated as the middle of a range of three steps, which must agree. What
//! needs native histograms is counted as unsupported instead of failed.

mod check;
mod memory;
mod script;
pub mod series;

use std::time::Duration;

use novaobs_model::{Pool, SeriesSamples};

pub use memory::MemorySource;

use crate::{Engine, EngineOptions};
use script::Command;

/// What running a script came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Evaluations that were as expected.
    pub passed: usize,
    /// Evaluations that were not.
    pub failures: Vec<Finding>,
    /// Evaluations that need native histograms.
    pub unsupported: Vec<Finding>,
}

/// One evaluation's difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line of the `eval` in the script, from 1.
    pub line: usize,
    /// What was expected and what came.
    pub text: String,
}

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub text: String,
}

/// The settings Prometheus's own tests run with: 5 m lookback, 10,000 samples, 1 m default step.
pub fn default_options() -> EngineOptions {
    EngineOptions {
        lookback: Duration::from_secs(300),
        timeout: Duration::from_secs(100),
        max_samples: 10_000,
        default_step: Duration::from_secs(60),
        pool: Pool::unlimited(),
        query_memory: u64::MAX,
    }
}

/// Runs a script.
///
/// # Errors
/// [`ScriptError`] when the script cannot be read; differences of results are in the report.
pub fn run_script(text: &str, options: &EngineOptions) -> Result<Report, ScriptError> {
    let engine = Engine::new(options.clone());
    let mut source = MemorySource::default();
    // Whether a series with histograms could not be loaded: evaluations may differ for that reason.
    let mut incomplete = false;
    let mut report = Report::default();
    for command in script::parse(text)? {
        match command {
            Command::Clear => {
                source = MemorySource::default();
                incomplete = false;
            }
            Command::Load { step, series, unsupported } => {
                incomplete |= unsupported;
                for (labels, values) in series {
                    let mut samples = novaobs_model::Samples::default();
                    for (index, value) in values.into_iter().enumerate() {
                        if let Some(value) = value {
                            samples.push(step.saturating_mul(index as i64), value);
                        }
                    }
                    source.insert(SeriesSamples { labels, samples });
                }
            }
            Command::Eval(eval) => match check::check(&engine, &source, &eval) {
                Ok(()) => report.passed += 1,
                Err(text) => {
                    let finding = Finding { line: eval.line, text: format!("{}: {text}", eval.query) };
                    let list = if incomplete || eval.unsupported {
                        &mut report.unsupported
                    } else {
                        &mut report.failures
                    };
                    list.push(finding);
                }
            },
        }
    }
    Ok(report)
}
