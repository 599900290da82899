//! Alertmanager as a library: alerts come in, are grouped, and leave as notifications.
//!
//! [`Alertmanager::put_alerts`] takes alerts from rules and from the API. Each is routed through the tree
//! of [`route`] to groups; a group waits `group_wait`, then notifies every `group_interval` while it
//! changes and every `repeat_interval` while it does not. Alerts that are inhibited ([`inhibit`]), silenced
//! ([`silence`]) or of a route that is muted ([`interval`]) are left out. What was sent is kept in a
//! notification log, so that neither a reload nor a restart repeats it. Sends go through the [`Receiver`]
//! trait, which crate `novaobs-receivers` implements.
//!
//! Silences, the notification log and the alerts themselves live in one folder (format in
//! `journal.rs`): a silence is on the disk before it is acknowledged, a notification is logged after it was
//! accepted. After a crash nothing is lost and at most the notification under way is sent twice.
//!
//! The logic is a state machine without waiting (`engine.rs`), tested on a clock of its own; [`Alertmanager`]
//! drives it.
//!
//! ```
//! use novaobs_alerts::{Alertmanager, AlertFilter, Options, PostableAlert, Setup, route};
//! use novaobs_model::Labels;
//!
//! let runtime = tokio::runtime::Runtime::new()?;
//! let folder = tempfile::tempdir()?;
//! let setup = Setup {
//!     resolve_timeout: std::time::Duration::from_secs(300),
//!     route: route::RouteTree::new(&route::RouteConfig::single("nobody")),
//!     inhibit_rules: Vec::new(),
//!     time_intervals: Vec::new(),
//!     receivers: Vec::new(),
//! };
//! let registry = prometheus::Registry::new();
//! let alertmanager =
//!     Alertmanager::open(folder.path(), Options::default(), setup, &registry, runtime.handle().clone())?;
//! let labels = Labels::from_pairs([("alertname", "HostDown")]);
//! alertmanager.put_alerts(vec![PostableAlert { labels, ..PostableAlert::default() }]).unwrap();
//! assert_eq!(alertmanager.alerts(&AlertFilter::default())[0].receivers, ["nobody"]);
//! alertmanager.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alert;
mod engine;
pub mod inhibit;
pub mod interval;
mod journal;
mod manager;
pub mod matchers;
mod metrics;
mod notify;
mod query;
mod record;
pub mod route;
mod sent;
pub mod silence;
pub mod time;

#[cfg(test)]
mod timeline;

pub use alert::{ALERT_NAME, Alert, Fingerprint, InvalidAlert, PostableAlert};
pub use engine::{OpenError, Options, Setup};
pub use journal::JournalError;
pub use manager::Alertmanager;
pub use notify::{
    FailureReason, Integration, NamedReceiver, Notification, NotifiedAlert, NotifyError, Reason, Receiver,
    Retry,
};
pub use query::{AlertFilter, AlertView, GroupView};
