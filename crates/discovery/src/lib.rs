//! Who to talk to: service discovery and relabelling.
//!
//! A job's `*_sd_configs` are read into [`SdConfig`]s. [`Discovery::start`] runs one task for each and
//! publishes what they find, merged, through a watch channel as [`TargetGroup`]s: static groups at once,
//! later changes at most every five seconds. The scraper and the notifier turn each target's labels into
//! what they talk to by [relabelling](relabel). Kinds of discovery that are not built yet are read as
//! [`NotBuilt`] and named by [`Discovery::problems`]: the rest of the job runs.
//!
//! ```
//! use novaobs_config::{Document, UnknownKeys};
//! use novaobs_discovery::sd::read_inline;
//! let document = Document::parse("x.yml", "static_configs: [{targets: [localhost:9100]}]")?;
//! let loaded = document.read(UnknownKeys::Refuse, |at| {
//!     let mut map = at.mapping();
//!     let configs = read_inline(&mut map);
//!     map.finish();
//!     Some(configs)
//! })?;
//! assert_eq!(loaded.value.len(), 1);
//! # Ok::<(), novaobs_config::ConfigError>(())
//! ```

mod manager;
mod metrics;
pub mod relabel;
pub mod sd;

pub use manager::{Discovery, Groups};
pub use metrics::SdMetrics;
pub use relabel::RelabelConfig;
pub use sd::{NotBuilt, SdConfig, TargetGroup};
