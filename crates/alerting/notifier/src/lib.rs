//! Alerts to external Alertmanagers.
//!
//! [`Notifier`] is the [`AlertSink`] of rules: an alert gets the external labels it lacks, passes
//! `alert_relabel_configs`, and waits in one queue per Alertmanager that [discovery](novaobs_discovery)
//! found. Each queue is emptied in batches to `POST <prefix>/api/v2/alerts`; when it is full the oldest
//! alerts make room. A batch that fails is given up: rules send firing alerts again and again. A queue that
//! is not needed any more is emptied in the background, for ten seconds at most.
//!
//! ```
//! use novaobs_config::{Document, UnknownKeys};
//! use novaobs_discovery::SdMetrics;
//! use novaobs_model::Labels;
//! use novaobs_notifier::{AlertingConfig, Notifier, NotifierOptions};
//!
//! let text = "alertmanagers: [{static_configs: [{targets: ['localhost:9093']}]}]";
//! let config = Document::parse("alerting.yml", text)?.read(UnknownKeys::Warn, AlertingConfig::read)?.value;
//! let registry = prometheus::Registry::new();
//! let notifier = Notifier::new(NotifierOptions::default(), &registry, SdMetrics::new(&registry)?)?;
//! tokio::runtime::Runtime::new()?.block_on(async {
//!     notifier.apply(&config, &Labels::empty()).await?;
//!     assert_eq!(notifier.alertmanagers().active, ["http://localhost:9093/api/v2/alerts"]);
//!     notifier.stop().await;
//!     Ok::<(), novaobs_notifier::ApplyError>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod metrics;
mod payload;
mod send;
mod set;

use std::sync::Arc;

use novaobs_discovery::{RelabelConfig, SdMetrics, relabel};
use novaobs_http_client::{BuildError, HttpClient};
use novaobs_model::{Alert, AlertSink, Labels, LabelsBuilder};
use parking_lot::RwLock;
use prometheus::Registry;

pub use config::{AlertingConfig, AlertmanagerConfig, SigV4Config};

use metrics::Metrics;
use send::Common;
use set::AlertmanagerSet;

/// Settings for the life of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifierOptions {
    /// Alerts that may wait per Alertmanager; `--alertmanager.notification-queue-capacity`.
    pub queue_capacity: usize,
    /// Alerts per request; `--alertmanager.notification-batch-size`.
    pub max_batch_size: usize,
    /// Whether what waits is sent before stopping; `--alertmanager.drain-notification-queue-on-shutdown`.
    pub drain_on_shutdown: bool,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        NotifierOptions { queue_capacity: 10_000, max_batch_size: 256, drain_on_shutdown: true }
    }
}

/// An entry of the config that cannot run.
#[derive(Debug, thiserror::Error)]
#[error("alerting.alertmanagers[{number}]: {error}")]
pub struct ApplyError {
    /// Which entry, from 0.
    pub number: usize,
    /// Why.
    pub error: BuildError,
}

/// The Alertmanagers in use, as URLs they are posted to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alertmanagers {
    /// Sent to.
    pub active: Vec<String>,
    /// Dropped by relabelling.
    pub dropped: Vec<String>,
}

/// Sends alerts to Alertmanagers. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    common: Arc<Common>,
    sd_metrics: SdMetrics,
    state: RwLock<State>,
    /// One reload at a time.
    applying: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    external_labels: Labels,
    alert_relabel_configs: Vec<RelabelConfig>,
    sets: Vec<Arc<AlertmanagerSet>>,
}

impl Notifier {
    /// A notifier without Alertmanagers.
    ///
    /// # Errors
    /// When the registry already has one of the metrics.
    pub fn new(
        options: NotifierOptions,
        registry: &Registry,
        sd_metrics: SdMetrics,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(registry, options.queue_capacity)?;
        let common = Arc::new(Common::new(options, metrics));
        let inner =
            Inner { common, sd_metrics, state: RwLock::default(), applying: tokio::sync::Mutex::new(()) };
        Ok(Notifier { inner: Arc::new(inner) })
    }

    /// Takes over a configuration; must be called inside a tokio runtime. Entries that did not change keep
    /// their queues; the queues of others are emptied in the background. Entries that ask for something this
    /// release does not have are logged and left out.
    ///
    /// # Errors
    /// [`ApplyError`]; then nothing has changed.
    pub async fn apply(&self, config: &AlertingConfig, external_labels: &Labels) -> Result<(), ApplyError> {
        let inner = &self.inner;
        let _one = inner.applying.lock().await;
        let mut unused = inner.state.read().sets.clone();
        let entries = planned(&config.alertmanagers, &mut unused)?;
        // Names in metrics are free again before a new set takes them. The queues go on until the new ones
        // are there: no alert falls between.
        for set in &unused {
            set.stop_discovery().await;
        }
        let mut numbers: Vec<usize> = entries.iter().filter_map(Entry::number).collect();
        let mut sets = Vec::new();
        for entry in entries {
            sets.push(match entry {
                Entry::Kept(set) => set,
                Entry::New { number, config, client } => {
                    let number = free_number(number, &numbers);
                    numbers.push(number);
                    let (common, sd_metrics) = (&inner.common, &inner.sd_metrics);
                    Arc::new(AlertmanagerSet::start(config, number, client, common, sd_metrics))
                }
            });
        }
        let mut state = inner.state.write();
        state.external_labels = external_labels.clone();
        state.alert_relabel_configs.clone_from(&config.alert_relabel_configs);
        state.sets = sets;
        drop(state);
        for set in unused {
            set.stop_queues();
        }
        Ok(())
    }

    /// The Alertmanagers in use.
    pub fn alertmanagers(&self) -> Alertmanagers {
        let mut all = Alertmanagers::default();
        for set in &self.inner.state.read().sets {
            let (active, dropped) = set.urls();
            all.active.extend(active);
            all.dropped.extend(dropped);
        }
        all
    }

    /// Stops sending, after what waits has been sent if the options say so; what could not be sent within
    /// ten seconds is given up.
    pub async fn stop(&self) {
        let _one = self.inner.applying.lock().await;
        let sets = std::mem::take(&mut self.inner.state.write().sets);
        for set in sets {
            set.stop_discovery().await;
            set.stop_queues();
        }
        self.inner.common.stopped().await;
    }
}

/// What becomes of an entry of the config.
enum Entry<'a> {
    /// It did not change.
    Kept(Arc<AlertmanagerSet>),
    /// It is to be started.
    New { number: usize, config: &'a AlertmanagerConfig, client: HttpClient },
}

impl Entry<'_> {
    /// The number of a running set.
    fn number(&self) -> Option<usize> {
        match self {
            Entry::Kept(set) => Some(set.number()),
            Entry::New { .. } => None,
        }
    }
}

/// What becomes of each entry. Takes the sets that are kept out of `running`: equal entries are matched one
/// to one, in order.
fn planned<'a>(
    entries: &'a [AlertmanagerConfig],
    running: &mut Vec<Arc<AlertmanagerSet>>,
) -> Result<Vec<Entry<'a>>, ApplyError> {
    let mut planned = Vec::new();
    for (number, config) in entries.iter().enumerate() {
        if let Some(at) = running.iter().position(|set| set.config() == config) {
            planned.push(Entry::Kept(running.remove(at)));
            continue;
        }
        if let Some(problem) = &config.sigv4 {
            tracing::error!(number, %problem, "Alertmanagers are not sent to");
            continue;
        }
        match HttpClient::new(&config.http) {
            Ok(client) => planned.push(Entry::New { number, config, client }),
            Err(problem @ BuildError::NotBuilt(..)) => {
                tracing::error!(number, %problem, "Alertmanagers are not sent to");
            }
            Err(error) => return Err(ApplyError { number, error }),
        }
    }
    Ok(planned)
}

/// The wanted number, or the lowest that no running set has.
fn free_number(wanted: usize, taken: &[usize]) -> usize {
    std::iter::once(wanted).chain(0..).find(|number| !taken.contains(number)).unwrap_or(wanted)
}

impl AlertSink for Notifier {
    fn send(&self, alerts: &[Alert]) {
        let state = self.inner.state.read();
        if state.sets.is_empty() {
            return;
        }
        let ready: Vec<Arc<Alert>> = alerts
            .iter()
            .filter_map(|alert| relabelled(alert, &state.external_labels, &state.alert_relabel_configs))
            .collect();
        for set in &state.sets {
            set.send(&ready);
        }
    }
}

/// The alert with the external labels it lacks, relabelled; none when a rule drops it.
fn relabelled(alert: &Alert, external: &Labels, rules: &[RelabelConfig]) -> Option<Arc<Alert>> {
    let mut labels = LabelsBuilder::from_labels(&alert.labels);
    for (name, value) in external {
        if alert.labels.get(name).is_none() {
            labels.set(name, value);
        }
    }
    if !relabel::process_builder(&mut labels, rules) {
        return None;
    }
    Some(Arc::new(Alert { labels: labels.build(), ..alert.clone() }))
}

#[cfg(test)]
mod tests;
