//! SQL over logs, by DataFusion.
//!
//! A query goes: text -> [`statement`] (one statement that only reads, shorthands written out) -> DataFusion's
//! plan, with [`planner`] for `labels['a']` and numbers in text -> [`table`], which hands conditions to
//! [`pushdown`] -> [`scan`], which asks the store for just the values that the query reads -> [`columns`],
//! which makes Arrow columns of the store's, codes and all -> DataFusion's operators -> [`BatchStream`] ->
//! [`format`].
//!
//! Queries run on threads of their own: planning and operators on a small runtime, scans on its blocking
//! threads. What operators hold counts against the query's [`Pool`](novaobs_model::Pool); a query ends with
//! its deadline, and when its stream is dropped. A session has the one table and no way to a file or an
//! address.
//!
//! ```no_run
//! # async fn example(source: std::sync::Arc<dyn novaobs_model::LogSource>) -> Result<(), Box<dyn std::error::Error>> {
//! use novaobs_model::{QueryControl, Tenant};
//! use novaobs_sql::{SqlEngine, SqlOptions};
//!
//! let engine = SqlEngine::new(source, SqlOptions::default())?;
//! let sql = "SELECT labels['service'] AS service, count(*) FROM logs WHERE field('status') >= 500 GROUP BY 1";
//! let mut rows = engine.query(&Tenant::new("fake"), sql, QueryControl::unlimited()).await?;
//! while let Some(batch) = rows.next().await {
//!     println!("{} rows", batch?.num_rows());
//! }
//! # Ok(())
//! # }
//! ```

mod columns;
mod engine;
mod error;
pub mod format;
mod functions;
mod leaf;
mod memory;
mod parse;
mod planner;
mod predicate;
mod pushdown;
mod scan;
mod session;
mod statement;
mod table;

pub use engine::{BatchStream, SqlEngine, SqlOptions};
pub use error::SqlError;
