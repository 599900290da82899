//! Scrape loops: targets in, samples out.
//!
//! Data flows from a job's [`ScrapeConfig`] to the store like this: its discovery publishes target groups;
//! the job's pool turns each target into labels by relabelling ([`target`]) and keeps one task per target
//! (the loop); the loop fetches the body over HTTP, and a blocking task parses it, rewrites labels and
//! writes one batch to the [`SampleSink`](novaobs_model::SampleSink), with the report series (`up` and the
//! like) and the staleness markers of series that vanished. What a raw series text came to is remembered
//! per target, so that a body seen before costs one look-up per line.
//!
//! [`ScrapeManager`] owns the pools: it applies configurations (what did not change keeps running with its
//! state), and answers what the API shows of targets and metadata.
//!
//! ```no_run
//! # async fn run(sink: std::sync::Arc<dyn novaobs_model::SampleSink>) -> Result<(), Box<dyn std::error::Error>> {
//! use novaobs_config::{Document, UnknownKeys};
//! use novaobs_scrape::{Global, ScrapeConfig, ScrapeManager};
//!
//! let registry = prometheus::Registry::new();
//! let discovery_metrics = novaobs_discovery::SdMetrics::new(&registry)?;
//! let manager = ScrapeManager::new(sink, &registry, discovery_metrics)?;
//! let document = Document::parse("jobs.yml", "[{job_name: node, static_configs: [{targets: [localhost:9100]}]}]")?;
//! let global = Global::default();
//! let jobs = document.read(UnknownKeys::Warn, |at| ScrapeConfig::read_list(at, &global, &mut Vec::new()))?;
//! manager.apply(jobs.value, &global).await;
//! # Ok(()) }
//! ```

mod append;
mod cache;
mod config;
mod fetch;
mod global;
mod manager;
mod metrics;
mod pool;
mod run;
pub mod target;

pub use cache::FamilyMetadata;
pub use config::{Limits, ScrapeConfig};
pub use global::Global;
pub use manager::{ActiveTarget, DroppedTarget, ScrapeManager, TargetMetadata, Targets};
pub use target::Health;
