//! Receivers of notifications, and `alertmanager.yml`, the file that names them.
//!
//! [`Config`] reads the file: its own sections here, routing, inhibition and time intervals through
//! `novaobs-alerts`. [`Config::setup`] builds a [`novaobs_alerts::Receiver`] for each integration; a
//! notification becomes template data ([`Context`]), the data a payload, the payload a request. Each kind
//! has its folder: [`webhook`], [`slack`], [`pagerduty`], with the section of the file it reads and the
//! payload it sends. Kinds the peer has and this release lacks are known by name ([`unbuilt`]).
//!
//! ```
//! use novaobs_receivers::Config;
//! let loaded = Config::parse(
//!     "alertmanager.yml",
//!     "route: {receiver: ops}\nreceivers: [{name: ops, webhook_configs: [{url: 'http://localhost:5001/'}]}]\n",
//! )?;
//! assert_eq!(loaded.value.receivers[0].integrations[0].kind(), "webhook");
//! # Ok::<(), novaobs_config::ConfigError>(())
//! ```

mod context;
mod file;
mod global;
mod json;
pub mod pagerduty;
mod post;
pub mod slack;
#[cfg(test)]
mod testing;
pub mod unbuilt;
pub mod webhook;

pub use context::Context;
pub use file::{Config, IntegrationConfig, ReceiverConfig, SetupError};
pub use global::Global;
