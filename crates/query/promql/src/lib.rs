//! The PromQL engine: a parsed query and a store in, a value out.
//!
//! Data flows `plan` -> `operators` -> `execute`: the planner turns a syntax tree into operators; those pull
//! one series at a time from the store or from each other, each a row of values over the query's steps
//! (`row`, `stream`); the rows become a [`QueryResult`]. A selector is read once for the whole query and
//! streams, windows slide over its samples; only what an operator must hold (groups, the one side of a
//! join, buckets) is kept, and that memory comes from the query's share of the process-wide budget.
//! `functions` holds what is computed, `annotations` the warnings, [`testlang`] a language for tests.
//!
//! Native histograms are not read yet: functions of them give nothing for floats, as in the peer.
//!
//! ```
//! use novaobs_promql::testlang::{MemorySource, default_options};
//! use novaobs_promql::{Engine, EvalTime, Value};
//! use novaobs_promql_parser::{ParseOptions, parse};
//!
//! let engine = Engine::new(default_options());
//! let text = "vector(6) * 7";
//! let expr = parse(text, ParseOptions::default())?;
//! let control = engine.control(None);
//! let source = MemorySource::default();
//! let result = engine.query(&source, text, &expr, EvalTime::Instant(0), None, &control)?;
//! let Value::Vector(samples) = result.value else { panic!("a vector") };
//! assert_eq!(samples[0].value, 42.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod annotations;
mod execute;
mod functions;
mod operators;
mod plan;
mod result;
mod row;
mod run;
mod steps;
mod stream;
pub mod testlang;

pub use result::{QueryError, QueryResult, QueryStats, Value, VectorSample};

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use novaobs_model::{Pool, QueryControl, SeriesSource};
use novaobs_promql_parser::ast::Expr;

/// Settings of an engine, the peer's `--query.*` flags.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample; `--query.lookback-delta`, 5 m.
    pub lookback: Duration,
    /// `--query.timeout`, 2 m.
    pub timeout: Duration,
    /// Most samples a query may hold in memory at once; `--query.max-samples`, 50,000,000.
    pub max_samples: usize,
    /// Step of subqueries that name none: the global evaluation_interval; [`Engine::set_default_step`]
    /// changes it at a reload.
    pub default_step: Duration,
    /// Memory of all queries together.
    pub pool: Pool,
    /// Share of `pool` one query may use, in bytes.
    pub query_memory: u64,
}

/// When an expression is evaluated. Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalTime {
    /// Once.
    Instant(i64),
    /// At `start`, `start + step`, … while <= `end`.
    Range {
        /// First evaluation.
        start: i64,
        /// Last possible evaluation.
        end: i64,
        /// Between evaluations, > 0.
        step: i64,
    },
}

/// Evaluates PromQL. One per process; cheap to share.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    /// Milliseconds.
    default_step: AtomicI64,
}

impl Engine {
    /// An engine with these settings.
    pub fn new(options: EngineOptions) -> Self {
        let default_step = AtomicI64::new(milliseconds(options.default_step));
        Engine { options, default_step }
    }

    /// Changes the step of subqueries that name none, for queries that begin from now on.
    pub fn set_default_step(&self, step: Duration) {
        self.default_step.store(milliseconds(step), Ordering::Relaxed);
    }

    /// Its settings.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// A control with the engine's timeout (or a shorter one asked for) and a query's share of memory.
    pub fn control(&self, timeout: Option<Duration>) -> QueryControl {
        let timeout = timeout.map_or(self.options.timeout, |asked| asked.min(self.options.timeout));
        let pool = self.options.pool.child("query", self.options.query_memory);
        QueryControl::new(pool, std::time::Instant::now().checked_add(timeout))
    }

    /// Evaluates `expr`, which was parsed and type-checked from `text`. Blocks; call it from a thread that
    /// may. `lookback` overrides the engine's for this query.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn query(
        &self,
        source: &dyn SeriesSource,
        text: &str,
        expr: &Expr,
        time: EvalTime,
        lookback: Option<Duration>,
        control: &QueryControl,
    ) -> Result<QueryResult, QueryError> {
        let lookback = lookback.unwrap_or(self.options.lookback);
        let settings = execute::Settings {
            lookback: milliseconds(lookback),
            default_step: self.default_step.load(Ordering::Relaxed),
            max_samples: self.options.max_samples as u64,
        };
        execute::execute(source, text, expr, time, settings, control)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
