//! Runs the providers of a job and publishes what they find.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::SdMetrics;
use crate::sd::{Provider, SdConfig, TargetGroup};

/// Changes are published at most this often.
const UPDATE_INTERVAL: Duration = Duration::from_secs(5);
/// Updates of providers that wait to be merged; a provider that is faster waits.
const QUEUE: usize = 16;

/// The target groups of a job at one moment, in the order of its configs. Groups without targets are left
/// out.
pub type Groups = Arc<Vec<Arc<TargetGroup>>>;

/// The running discovery of one job. Dropping it stops the providers.
pub struct Discovery {
    groups: watch::Receiver<Groups>,
    problems: Vec<String>,
    /// What this job adds to the gauge of failed configs, taken back at the end.
    failures: (IntGauge, i64),
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// An update of one provider: groups that replace those with the same source.
pub(crate) struct Update {
    provider: usize,
    groups: Vec<TargetGroup>,
}

/// A provider's way to the merger.
#[derive(Clone)]
pub(crate) struct Publisher {
    provider: usize,
    updates: mpsc::Sender<Update>,
    pub(crate) metrics: SdMetrics,
    /// The job's name, for logs and metrics.
    pub(crate) job: Arc<str>,
}

impl Publisher {
    /// Hands over groups; one without targets removes its source.
    pub(crate) async fn publish(&self, groups: Vec<TargetGroup>) {
        // The merger is gone only when the discovery stops.
        let _ = self.updates.send(Update { provider: self.provider, groups }).await;
    }

    /// Counts and logs a refresh that did not work.
    pub(crate) fn failed(&self, mechanism: &str, error: &str) {
        self.metrics.refresh_failures.with_label_values(&[mechanism, &*self.job]).inc();
        tracing::error!(job = %self.job, discovery = mechanism, error, "unable to refresh target groups");
    }
}

impl Discovery {
    /// Starts the providers of a job inside the current tokio runtime. `name` says who asks (`scrape` or
    /// `notify`) and `job` for which job, both for metrics. Static groups are there at once.
    pub fn start(name: &str, job: &str, configs: &[SdConfig], metrics: &SdMetrics) -> Discovery {
        Discovery::start_with_interval(name, job, configs, metrics, UPDATE_INTERVAL)
    }

    /// [`start`](Discovery::start) with another least time between two publications: tests do not want to
    /// wait.
    pub fn start_with_interval(
        name: &str,
        job: &str,
        configs: &[SdConfig],
        metrics: &SdMetrics,
        interval: Duration,
    ) -> Discovery {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (updates, received) = mpsc::channel(QUEUE);
        let mut merged = Merged {
            name: name.to_owned(),
            job: Arc::from(job),
            metrics: metrics.clone(),
            groups: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        for (provider, config) in configs.iter().enumerate() {
            let publisher = Publisher {
                provider,
                updates: updates.clone(),
                metrics: metrics.clone(),
                job: Arc::from(job),
            };
            match config.provider() {
                Provider::Fixed(groups) => merged.merge(Update { provider, groups }),
                Provider::Running(run) => {
                    let stop = stop.clone();
                    let run = run(publisher);
                    tasks.spawn(async move {
                        tokio::select! {
                            () = run => {}
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Provider::Failed(problem) => {
                    tracing::error!(job, problem, "a service discovery does not run");
                    problems.push(problem);
                }
            }
        }
        let failed = metrics.failed_configs.with_label_values(&[name]);
        let failures = i64::try_from(problems.len()).unwrap_or(i64::MAX);
        failed.add(failures);
        let (sender, groups) = watch::channel(merged.snapshot());
        tasks.spawn(forward(merged, received, sender, interval, stop.clone()));
        Discovery { groups, problems, failures: (failed, failures), stop, tasks }
    }

    /// What is found, now and later.
    pub fn subscribe(&self) -> watch::Receiver<Groups> {
        self.groups.clone()
    }

    /// Configs of the job that do not run, each with the reason: kinds not built yet, clients that cannot be
    /// made. To be shown on the job and its targets page.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Stops the providers and waits for them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop.cancel();
        self.failures.0.sub(self.failures.1);
    }
}

/// All groups of a job by provider and source.
struct Merged {
    name: String,
    job: Arc<str>,
    metrics: SdMetrics,
    groups: BTreeMap<(usize, String), Arc<TargetGroup>>,
}

impl Merged {
    fn merge(&mut self, update: Update) {
        self.metrics.received_updates.with_label_values(&[&self.name]).inc();
        for group in update.groups {
            let key = (update.provider, group.source.clone());
            if group.targets.is_empty() {
                self.groups.remove(&key);
            } else {
                self.groups.insert(key, Arc::new(group));
            }
        }
    }

    fn snapshot(&self) -> Groups {
        let targets: usize = self.groups.values().map(|group| group.targets.len()).sum();
        let gauge = self.metrics.discovered_targets.with_label_values(&[self.name.as_str(), &*self.job]);
        gauge.set(targets.try_into().unwrap_or(i64::MAX));
        Arc::new(self.groups.values().cloned().collect())
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        // A job that is gone has no series; that it had none is no error.
        let _ = self.metrics.discovered_targets.remove_label_values(&[self.name.as_str(), &*self.job]);
    }
}

/// Merges updates and publishes them: the first at once, later ones when the interval has passed.
async fn forward(
    mut merged: Merged,
    mut received: mpsc::Receiver<Update>,
    sender: watch::Sender<Groups>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut next_allowed: Option<Instant> = None;
    let mut pending = false;
    loop {
        let due = next_allowed.filter(|_| pending);
        tokio::select! {
            () = stop.cancelled() => return,
            update = received.recv() => {
                // Without providers nothing changes any more; what was published stays until the stop.
                let Some(update) = update else { return stop.cancelled().await };
                merged.merge(update);
                pending = true;
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        let now = Instant::now();
        if pending && next_allowed.is_none_or(|at| at <= now) {
            sender.send_replace(merged.snapshot());
            merged.metrics.sent_updates.with_label_values(&[&merged.name]).inc();
            next_allowed = Some(now + interval);
            pending = false;
        }
    }
}
