//! The Alertmanagers of one entry of the config: found by discovery, one queue each.

use std::collections::BTreeMap;
use std::sync::Arc;

use novaobs_discovery::{Discovery, Groups, SdMetrics, relabel};
use novaobs_http_client::{BuildError, HttpClient};
use novaobs_model::{Alert, Labels, LabelsBuilder};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::AlertmanagerConfig;
use crate::metrics::Metrics;
use crate::send::SendLoop;
use crate::{NotifierOptions, relabelled};

const SCHEME: &str = "__scheme__";
const ADDRESS: &str = "__address__";
/// The label of the path alerts are posted to.
const PATH: &str = "__alerts_path__";

/// A running entry.
pub(crate) struct AlertmanagerSet {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<Discovery>,
}

struct Shared {
    config: AlertmanagerConfig,
    client: HttpClient,
    options: NotifierOptions,
    metrics: Metrics,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    loops: BTreeMap<Url, SendLoop>,
    dropped: Vec<Url>,
}

/// What discovery says now: URLs to send to, URLs that relabelling dropped.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    active: Vec<Url>,
    dropped: Vec<Url>,
}

impl AlertmanagerSet {
    /// Starts discovery inside the current tokio runtime. `number` tells the entry from others in metrics.
    pub(crate) fn start(
        config: &AlertmanagerConfig,
        number: usize,
        options: &NotifierOptions,
        metrics: &Metrics,
        sd_metrics: &SdMetrics,
    ) -> Result<AlertmanagerSet, BuildError> {
        let shared = Arc::new(Shared {
            config: config.clone(),
            client: HttpClient::new(&config.http)?,
            options: options.clone(),
            metrics: metrics.clone(),
            found: Mutex::default(),
        });
        let discovery =
            Discovery::start("notify", &format!("config-{number}"), &config.discovery, sd_metrics);
        let mut groups = discovery.subscribe();
        let stop = CancellationToken::new();
        // Static ones are there at once: alerts that come next reach them.
        let first = groups.borrow_and_update().clone();
        shared.update(&first);
        let (of_task, stopped) = (shared.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while let Some(Ok(())) = stopped.run_until_cancelled(groups.changed()).await {
                let now = groups.borrow_and_update().clone();
                for gone in of_task.update(&now) {
                    tokio::spawn(gone.stop());
                }
            }
            discovery
        });
        Ok(AlertmanagerSet { shared, stop, task })
    }

    pub(crate) fn config(&self) -> &AlertmanagerConfig {
        &self.shared.config
    }

    /// Queues alerts for every Alertmanager.
    pub(crate) fn send(&self, alerts: &[Arc<Alert>]) {
        let rules = &self.shared.config.alert_relabel_configs;
        let own: Vec<Arc<Alert>>;
        let alerts = if rules.is_empty() {
            alerts
        } else {
            own = alerts.iter().filter_map(|alert| relabelled(alert, &Labels::empty(), rules)).collect();
            &own
        };
        if alerts.is_empty() {
            return;
        }
        for queue in self.shared.found.lock().loops.values() {
            queue.add(alerts);
        }
    }

    /// URLs sent to, and URLs dropped by relabelling.
    pub(crate) fn urls(&self) -> (Vec<String>, Vec<String>) {
        let found = self.shared.found.lock();
        (found.loops.keys().map(Url::to_string).collect(), found.dropped.iter().map(Url::to_string).collect())
    }

    /// Stops discovery, then the queues, all at once.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        match self.task.await {
            Ok(discovery) => discovery.stop().await,
            Err(error) => novaobs_model::never!("discovery of Alertmanagers ended in a panic: {error}"),
        }
        let loops = std::mem::take(&mut self.shared.found.lock().loops);
        self.shared.metrics.discovered.sub(loops.len() as f64);
        let stops: Vec<JoinHandle<()>> =
            loops.into_values().map(|queue| tokio::spawn(queue.stop())).collect();
        for stop in stops {
            let _ = stop.await;
        }
    }
}

impl Shared {
    /// Starts queues for new Alertmanagers; gives those of vanished ones, to be stopped.
    fn update(&self, groups: &Groups) -> Vec<SendLoop> {
        let wanted = wanted(&self.config, groups);
        let mut found = self.found.lock();
        let before = found.loops.len();
        let mut old = std::mem::take(&mut found.loops);
        for url in wanted.active {
            let queue = old.remove(&url).unwrap_or_else(|| {
                let client = self.client.clone();
                SendLoop::start(
                    url.clone(),
                    client,
                    self.config.timeout,
                    self.options.clone(),
                    self.metrics.clone(),
                )
            });
            found.loops.insert(url, queue);
        }
        found.dropped = wanted.dropped;
        self.metrics.discovered.add(found.loops.len() as f64 - before as f64);
        old.into_values().collect()
    }
}

/// The URLs that targets stand for.
fn wanted(config: &AlertmanagerConfig, groups: &Groups) -> Wanted {
    let mut wanted = Wanted::default();
    for group in groups.iter() {
        for target in &group.targets {
            let mut labels = LabelsBuilder::from_labels(&group.labels);
            labels.set(SCHEME, &config.scheme).set(PATH, &post_path(&config.path_prefix));
            // A target's own labels win over its group's, and both over the config's.
            for (name, value) in group.labels.iter().chain(target) {
                labels.set(name, value);
            }
            let before = labels.build();
            let kept = relabel::process(&before, &config.relabel_configs);
            let list = if kept.is_some() { &mut wanted.active } else { &mut wanted.dropped };
            match url_of(kept.as_ref().unwrap_or(&before)) {
                Ok(url) if list.contains(&url) => {}
                Ok(url) => list.push(url),
                Err(error) => {
                    tracing::error!(source = group.source, error, "not the address of an Alertmanager")
                }
            }
        }
    }
    wanted
}

fn url_of(labels: &Labels) -> Result<Url, String> {
    let address = labels.value(ADDRESS);
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let text = format!("{}://{address}{}", labels.value(SCHEME), labels.value(PATH));
    Url::parse(&text).map_err(|error| format!("{text}: {error}"))
}

/// `/prefix/api/v2/alerts`, without doubled slashes.
fn post_path(prefix: &str) -> String {
    let parts =
        prefix.split('/').chain(["api", "v2", "alerts"]).filter(|part| !part.is_empty() && *part != ".");
    parts.fold(String::new(), |path, part| path + "/" + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined() {
        assert_eq!(post_path(""), "/api/v2/alerts");
        assert_eq!(post_path("/"), "/api/v2/alerts");
        assert_eq!(post_path("am/x/"), "/am/x/api/v2/alerts");
    }

    #[test]
    fn addresses_are_checked() {
        let url = |address: &str| {
            url_of(&Labels::from_pairs([(ADDRESS, address), (SCHEME, "http"), (PATH, "/p")]))
                .map(|url| url.to_string())
        };
        assert_eq!(url("am:9093"), Ok("http://am:9093/p".to_owned()));
        assert_eq!(url("am:9093/x"), Err("\"am:9093/x\" is not a valid hostname".to_owned()));
        assert!(url("").is_err());
    }
}
