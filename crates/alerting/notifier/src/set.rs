//! The Alertmanagers of one entry of the config: found by discovery, one queue each.

use std::sync::Arc;

use novaobs_discovery::{Discovery, Groups, SdMetrics, TargetGroup, relabel};
use novaobs_http_client::HttpClient;
use novaobs_model::{Alert, Labels, LabelsBuilder};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::AlertmanagerConfig;
use crate::relabelled;
use crate::send::{Address, Common, SendLoop};

const SCHEME: &str = "__scheme__";
const ADDRESS: &str = "__address__";
/// The label of the path alerts are posted to.
const PATH: &str = "__alerts_path__";

/// A running entry.
pub(crate) struct AlertmanagerSet {
    shared: Arc<Shared>,
    number: usize,
    stop: CancellationToken,
    /// Until discovery is stopped.
    task: Mutex<Option<JoinHandle<Discovery>>>,
}

struct Shared {
    config: AlertmanagerConfig,
    client: HttpClient,
    common: Arc<Common>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    queues: Vec<SendLoop>,
    dropped: Vec<String>,
}

/// What discovery says now: Alertmanagers to send to, and URLs that relabelling dropped.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    active: Vec<Address>,
    dropped: Vec<String>,
}

impl AlertmanagerSet {
    /// Starts discovery inside the current tokio runtime. `number` tells the set from the other running ones
    /// in metrics.
    pub(crate) fn start(
        config: &AlertmanagerConfig,
        number: usize,
        client: HttpClient,
        common: &Arc<Common>,
        sd_metrics: &SdMetrics,
    ) -> AlertmanagerSet {
        let (config, common, found) = (config.clone(), common.clone(), Mutex::default());
        let shared = Arc::new(Shared { config, client, common, found });
        let name = format!("config-{number}");
        let discovery = Discovery::start("notify", &name, &shared.config.discovery, sd_metrics);
        let mut groups = discovery.subscribe();
        let stop = CancellationToken::new();
        // Static ones are there at once: alerts that come next reach them.
        let first = groups.borrow_and_update().clone();
        shared.update(&first);
        let (of_task, stopped) = (shared.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while let Some(Ok(())) = stopped.run_until_cancelled(groups.changed()).await {
                let now = groups.borrow_and_update().clone();
                of_task.update(&now);
            }
            discovery
        });
        AlertmanagerSet { shared, number, stop, task: Mutex::new(Some(task)) }
    }

    pub(crate) fn config(&self) -> &AlertmanagerConfig {
        &self.shared.config
    }

    pub(crate) fn number(&self) -> usize {
        self.number
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
        for queue in &self.shared.found.lock().queues {
            queue.add(alerts);
        }
    }

    /// URLs sent to, and URLs dropped by relabelling.
    pub(crate) fn urls(&self) -> (Vec<String>, Vec<String>) {
        let found = self.shared.found.lock();
        (found.queues.iter().map(|queue| queue.url().to_owned()).collect(), found.dropped.clone())
    }

    /// Stops discovery; the queues go on.
    pub(crate) async fn stop_discovery(&self) {
        self.stop.cancel();
        let Some(task) = self.task.lock().take() else { return };
        match task.await {
            Ok(discovery) => discovery.stop().await,
            Err(error) => novaobs_model::never!("discovery of Alertmanagers ended in a panic: {error}"),
        }
    }

    /// As if discovery said so.
    #[cfg(test)]
    pub(crate) fn found_nothing(&self) {
        self.shared.update(&Groups::default());
    }

    /// Tells the queues to stop.
    pub(crate) fn stop_queues(&self) {
        let shared = &self.shared;
        let queues = std::mem::take(&mut shared.found.lock().queues);
        shared.common.metrics.discovered.sub(queues.len() as f64);
        shared.common.stop(queues);
    }
}

impl Shared {
    /// Starts queues for new Alertmanagers and stops those of vanished ones.
    fn update(&self, groups: &Groups) {
        let wanted = wanted(&self.config, groups);
        let mut found = self.found.lock();
        let mut old = std::mem::take(&mut found.queues);
        let before = old.len();
        for address in wanted.active {
            let known = old.iter().position(|queue| queue.url() == address.text);
            let queue = known.map(|at| old.swap_remove(at)).unwrap_or_else(|| {
                SendLoop::start(address, self.client.clone(), self.config.timeout, self.common.clone())
            });
            found.queues.push(queue);
        }
        found.dropped = wanted.dropped;
        self.common.metrics.discovered.add(found.queues.len() as f64 - before as f64);
        self.common.stop(old);
    }
}

/// The Alertmanagers that targets stand for, each once.
fn wanted(config: &AlertmanagerConfig, groups: &Groups) -> Wanted {
    let mut wanted = Wanted::default();
    for group in groups.iter() {
        match of_group(config, group) {
            Ok(of_group) => {
                wanted.dropped.extend(of_group.dropped);
                for address in of_group.active {
                    if !wanted.active.contains(&address) {
                        wanted.active.push(address);
                    }
                }
            }
            Err(error) => {
                tracing::error!(source = group.source, error, "creating discovered Alertmanagers failed")
            }
        }
    }
    wanted
}

/// The Alertmanagers of a group; none of it when one is not the address of an Alertmanager.
fn of_group(config: &AlertmanagerConfig, group: &TargetGroup) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for target in &group.targets {
        // The config wins over a target's own scheme and path; a group's labels win over the config unless
        // the target has the label too. So does the peer, whose relabelling relies on it.
        let mut labels = LabelsBuilder::from_labels(target);
        labels.set(SCHEME, &config.scheme).set(PATH, &post_path(&config.path_prefix));
        for (name, value) in group.labels.iter().filter(|(name, _)| target.get(name).is_none()) {
            labels.set(name, value);
        }
        let before = labels.build();
        match relabel::process(&before, &config.relabel_configs) {
            Some(kept) => wanted.active.push(address_of(&kept)?),
            None => wanted.dropped.push(match address_of(&before) {
                Ok(address) => address.text,
                Err(_) => {
                    format!("{}://{}{}", before.value(SCHEME), before.value(ADDRESS), before.value(PATH))
                }
            }),
        }
    }
    Ok(wanted)
}

fn address_of(labels: &Labels) -> Result<Address, String> {
    let (scheme, address) = (labels.value(SCHEME), labels.value(ADDRESS));
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let host = format!("{scheme}://{address}");
    let mut url = Url::parse(&host).map_err(|error| format!("{host}: {error}"))?;
    url.set_path(labels.value(PATH));
    let text = host + url.path();
    Ok(Address { url, text })
}

/// `/prefix/api/v2/alerts`, without doubled slashes, `.` and `..`.
fn post_path(prefix: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(["api", "v2", "alerts"]) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().fold(String::new(), |path, part| path + "/" + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined() {
        assert_eq!(post_path(""), "/api/v2/alerts");
        assert_eq!(post_path("/"), "/api/v2/alerts");
        assert_eq!(post_path("am/x/"), "/am/x/api/v2/alerts");
        assert_eq!(post_path("../am/./x/../y/"), "/am/y/api/v2/alerts");
    }

    #[test]
    fn addresses_are_checked() {
        let url = |address: &str| {
            address_of(&Labels::from_pairs([(ADDRESS, address), (SCHEME, "http"), (PATH, "/p")]))
                .map(|address| address.text)
        };
        assert_eq!(url("am:9093"), Ok("http://am:9093/p".to_owned()));
        assert_eq!(url("am:80"), Ok("http://am:80/p".to_owned()), "as it is written");
        assert_eq!(url("am:9093/x"), Err("\"am:9093/x\" is not a valid hostname".to_owned()));
        assert!(url("").is_err());
    }

    #[test]
    fn labels_take_precedence_as_in_the_peer() {
        let config = crate::tests::config("alertmanagers: [{scheme: https, path_prefix: /c}]");
        let url = |own: &[(&str, &str)], group: &[(&str, &str)]| {
            let own = own.iter().copied().chain([(ADDRESS, "am")]);
            let group = TargetGroup {
                source: String::new(),
                targets: vec![Labels::from_pairs(own)],
                labels: Labels::from_pairs(group.iter().copied()),
            };
            of_group(&config.alertmanagers[0], &group).unwrap().active[0].text.clone()
        };
        assert_eq!(url(&[], &[]), "https://am/c/api/v2/alerts");
        assert_eq!(url(&[(SCHEME, "http"), (PATH, "/t")], &[]), "https://am/c/api/v2/alerts");
        assert_eq!(url(&[], &[(SCHEME, "http"), (PATH, "/g")]), "http://am/g");
        assert_eq!(url(&[(PATH, "/t")], &[(SCHEME, "http"), (PATH, "/g")]), "http://am/c/api/v2/alerts");
    }

    #[test]
    fn a_group_with_a_bad_address_is_left_out() {
        let config = crate::tests::config("alertmanagers: [{}]");
        let group = |addresses: &[&str]| {
            let targets = addresses.iter().map(|address| Labels::from_pairs([(ADDRESS, *address)])).collect();
            Arc::new(TargetGroup { source: String::new(), targets, labels: Labels::empty() })
        };
        let groups = Arc::new(vec![group(&["a", "b/c"]), group(&["e", "d"]), group(&["d"])]);
        let wanted = wanted(&config.alertmanagers[0], &groups);
        let texts: Vec<&str> = wanted.active.iter().map(|address| address.text.as_str()).collect();
        assert_eq!(texts, ["http://e/api/v2/alerts", "http://d/api/v2/alerts"]);
    }
}
