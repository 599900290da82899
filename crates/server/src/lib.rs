//! The binary `novaobs` as a library: flags, composed config, wiring, reload, shutdown, embedded pages.
//!
//! Command line -> [`flags`] (tables of flags) -> [`options`] (checked values) -> [`Runtime`], which opens the
//! ports, then the [`stack`] behind them (store, engine, scraping, rules, alerts), then serves the
//! [`faces`]. This is the only crate that opens ports and picks stores. Nothing here is global but the log:
//! tests start two runtimes in one process.

pub mod agent;
pub mod check;
pub mod demo;
pub mod faces;
pub mod flags;
pub mod http;
pub mod logging;
pub mod logs;
pub mod loki_config;
pub mod memory;
pub mod options;
pub mod pages;
pub mod process;
pub mod prometheus_config;
mod runtime;
pub mod stack;
pub mod views;
pub mod web_config;

pub use runtime::Runtime;
