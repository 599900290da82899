//! All groups of a runtime: started, reloaded and stopped; one task each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use novaobs_config::{ConfigError, Problem};
use novaobs_model::{AlertSink, Labels, SampleSink, SeriesSource};
use parking_lot::{Mutex, RwLock};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::alert::millis;
use crate::file;
use crate::group::{Environment, Group};
use crate::keep::{self, KeptAlert};
use crate::language::Language;
use crate::metrics::Metrics;
use crate::schedule;
use crate::snapshot::GroupSnapshot;
use crate::text::TextContext;

/// What rules are evaluated with, the same for the life of a runtime.
pub struct RuleOptions {
    /// The language of expressions.
    pub language: Arc<dyn Language>,
    /// Where results are written.
    pub sink: Arc<dyn SampleSink>,
    /// Where `ALERTS_FOR_STATE` is read back after a restart.
    pub source: Arc<dyn SeriesSource>,
    /// Where alerts go.
    pub alerts: Arc<dyn AlertSink>,
    /// Longest outage after which `for` is restored; `--rules.alert.for-outage-tolerance`, 1 h.
    pub outage_tolerance: Duration,
    /// Least time between a restart and a restored alert's firing; `--rules.alert.for-grace-period`, 10 m.
    pub grace_period: Duration,
    /// Between two sends of a firing alert; `--rules.alert.resend-delay`, 1 m.
    pub resend_delay: Duration,
    /// Groups evaluated at once; each takes a blocking thread.
    pub max_concurrent_evals: usize,
    /// File that keeps alerts with `keep_firing_for` over a restart; none: they are forgotten.
    pub keep_file: Option<PathBuf>,
}

/// What a configuration says about rules.
#[derive(Clone, Debug)]
pub struct RuleConfig {
    /// The rule files, patterns already expanded.
    pub files: Vec<PathBuf>,
    /// `global.evaluation_interval`.
    pub interval: Duration,
    /// `global.rule_query_offset`.
    pub query_offset: Duration,
    /// `global.external_labels`.
    pub external_labels: Labels,
    /// `--web.external-url`, without a slash at its end.
    pub external_url: String,
}

/// Why a configuration was not applied; the groups before it run on.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Faults of rule files.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<ConfigError>),
    /// The manager has been stopped.
    #[error("the rule manager is stopped")]
    Stopped,
}

/// Runs rule groups. Cheap to clone.
#[derive(Clone)]
pub struct RuleManager {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Arc<Environment>,
    language: Arc<dyn Language>,
    texts: RwLock<Arc<TextContext>>,
    /// For the API, by file and name.
    groups: RwLock<Vec<Arc<Group>>>,
    /// The tasks; held during a reload, so that there is one at a time.
    applied: tokio::sync::Mutex<Applied>,
    permits: Arc<Semaphore>,
    started: watch::Sender<bool>,
    stop: CancellationToken,
    keep_file: Option<PathBuf>,
    kept: Mutex<Kept>,
    handle: Handle,
}

/// What the keep file holds.
#[derive(Default)]
struct Kept {
    alerts: BTreeMap<(String, String), Vec<KeptAlert>>,
    saved_at: i64,
}

#[derive(Default)]
struct Applied {
    /// Whether there was a configuration already.
    before: bool,
    running: BTreeMap<(String, String), Running>,
}

struct Running {
    group: Arc<Group>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The keep file is written again after this long without changes, so that its age tells an outage.
/// Milliseconds.
const KEEP_REFRESH: i64 = 60_000;

fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

impl RuleManager {
    /// A manager without rules, waiting for [`start`](RuleManager::start). Tasks run on `handle`.
    ///
    /// # Errors
    /// When the registry already has one of the metrics.
    pub fn new(options: RuleOptions, registry: &Registry, handle: Handle) -> Result<Self, prometheus::Error> {
        let environment = Environment {
            sink: options.sink,
            source: options.source,
            alerts: options.alerts,
            metrics: Metrics::new(registry)?,
            outage_tolerance: millis(options.outage_tolerance),
            grace_period: millis(options.grace_period),
            resend_delay: millis(options.resend_delay),
        };
        let texts = TextContext {
            language: options.language.clone(),
            external_labels: Labels::empty(),
            external_url: String::new(),
            path_prefix: String::new(),
        };
        let inner = Inner {
            environment: Arc::new(environment),
            language: options.language,
            texts: RwLock::new(Arc::new(texts)),
            groups: RwLock::default(),
            applied: tokio::sync::Mutex::default(),
            permits: Arc::new(Semaphore::new(options.max_concurrent_evals.max(1))),
            started: watch::Sender::new(false),
            stop: CancellationToken::new(),
            keep_file: options.keep_file,
            kept: Mutex::default(),
            handle,
        };
        Ok(RuleManager { inner: Arc::new(inner) })
    }

    /// Lets groups run: when the store is ready.
    pub fn start(&self) {
        self.inner.started.send_replace(true);
    }

    /// Loads rule files and replaces the groups. Groups that did not change run on undisturbed, changed
    /// ones keep the state of their rules, the series of removed ones are ended. Gives the files' warnings.
    ///
    /// # Errors
    /// [`ApplyError`]; then nothing has changed.
    pub async fn apply(&self, config: RuleConfig) -> Result<Vec<Problem>, ApplyError> {
        let mut applied = self.inner.applied.lock().await;
        if self.inner.stop.is_cancelled() {
            return Err(ApplyError::Stopped);
        }
        let first = !applied.before;
        let (new, warnings) = self.inner.load(&config, first)?;
        self.inner.set_texts(&config);
        if first {
            self.inner.take_back_kept(&new);
        }
        applied.before = true;
        let mut old = std::mem::take(&mut applied.running);
        for group in new {
            let key = (group.file.clone(), group.name.clone());
            let running = match old.remove(&key) {
                Some(before) if before.group.same_as(&group) => before,
                before => {
                    if let Some(before) = before {
                        let before = before.end().await;
                        group.copy_state(&before);
                    }
                    let interval = group.interval as f64 / 1000.0;
                    self.inner.environment.metrics.open(&group.key(), group.rule_count(), interval);
                    self.inner.run(Arc::new(group))
                }
            };
            applied.running.insert(key, running);
        }
        *self.inner.groups.write() = applied.running.values().map(|running| running.group.clone()).collect();
        for (key, removed) in old {
            let group = removed.end().await;
            self.inner.environment.metrics.close(&group.key());
            self.inner.kept.lock().alerts.remove(&key);
            self.inner.forget(group);
        }
        Ok(warnings)
    }

    /// Ends all groups and waits for running evaluations to end.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        let mut applied = self.inner.applied.lock().await;
        let running = std::mem::take(&mut applied.running);
        for one in running.values() {
            one.group.stop();
        }
        for (_, one) in running {
            one.end().await;
        }
    }

    /// All groups, by file and name.
    pub fn groups(&self) -> Vec<GroupSnapshot> {
        self.inner.groups.read().iter().map(|group| group.snapshot()).collect()
    }
}

impl Running {
    /// Stops the task and waits for its evaluation under way.
    async fn end(self) -> Arc<Group> {
        self.group.stop();
        self.stop.cancel();
        if let Err(error) = self.task.await {
            novaobs_model::never!("the task of a rule group ended in a panic: {error}");
        }
        self.group
    }
}

impl Inner {
    fn load(&self, config: &RuleConfig, first: bool) -> Result<(Vec<Group>, Vec<Problem>), ApplyError> {
        let mut groups = Vec::new();
        let mut warnings = Vec::new();
        let mut errors = Vec::new();
        for path in &config.files {
            let loaded = match file::load(path, self.language.as_ref()) {
                Ok(loaded) => loaded,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            warnings.extend(loaded.warnings);
            for def in &loaded.value.groups {
                let file = &loaded.value.path;
                let language = self.language.as_ref();
                match Group::new(def, file, config.interval, config.query_offset, first, language) {
                    Ok(group) => groups.push(group),
                    Err(error) => errors.push(ConfigError::of_file(file, error)),
                }
            }
        }
        if errors.is_empty() { Ok((groups, warnings)) } else { Err(ApplyError::Files(errors)) }
    }

    fn set_texts(&self, config: &RuleConfig) {
        let after_scheme = config.external_url.split_once("://").map_or("", |(_, rest)| rest);
        let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("");
        *self.texts.write() = Arc::new(TextContext {
            language: self.language.clone(),
            external_labels: config.external_labels.clone(),
            external_url: config.external_url.clone(),
            path_prefix: path.to_owned(),
        });
    }

    fn run(self: &Arc<Self>, group: Arc<Group>) -> Running {
        let stop = self.stop.child_token();
        let task = self.handle.spawn(self.clone().run_group(group.clone(), stop.clone()));
        Running { group, stop, task }
    }

    /// Evaluates a group at each of its slots until it is stopped.
    async fn run_group(self: Arc<Self>, group: Arc<Group>, stop: CancellationToken) {
        let mut started = self.started.subscribe();
        let wait = async { started.wait_for(|started| *started).await.is_ok() };
        if stop.run_until_cancelled(wait).await != Some(true) {
            return;
        }
        let mut at = schedule::slot(&group.name, &group.file, group.interval, clock());
        // State is restored after the second evaluation: by then targets have been scraped and rules that
        // others need have been evaluated.
        let mut until_restore = if group.should_restore { Some(2) } else { None };
        let mut first = true;
        while stop.run_until_cancelled(sleep_until(at + group.interval)).await.is_some() {
            let (next, missed) = schedule::next(at, group.interval, clock());
            at = next;
            if missed > 0 && !first {
                let metrics = &self.environment.metrics;
                let key = group.key();
                metrics.iterations_missed.with_label_values(&[&key]).inc_by(missed as f64);
                metrics.iterations.with_label_values(&[&key]).inc_by(missed as f64);
            }
            first = false;
            let Some(Ok(permit)) = stop.run_until_cancelled(self.permits.clone().acquire_owned()).await
            else {
                return;
            };
            self.evaluate(&group, at, permit).await;
            until_restore = until_restore.map(|left| left - 1);
            if until_restore == Some(0) {
                until_restore = None;
                let (inner, group) = (self.clone(), group.clone());
                blocking(move || group.restore(&inner.environment, clock())).await;
            }
        }
    }

    async fn evaluate(self: &Arc<Self>, group: &Arc<Group>, at: i64, permit: OwnedSemaphorePermit) {
        let (inner, group) = (self.clone(), group.clone());
        blocking(move || {
            let texts = inner.texts.read().clone();
            group.evaluate(&inner.environment, &texts, at, clock());
            inner.keep(&group);
            drop(permit);
        })
        .await;
    }

    /// Ends the series of a removed group after two intervals: a rule that was only renamed writes them
    /// again by then.
    fn forget(self: &Arc<Self>, group: Arc<Group>) {
        group.mark_all_stale();
        let removed_at = clock();
        let inner = self.clone();
        self.handle.spawn(async move {
            let wait = Duration::from_millis(2 * group.interval.unsigned_abs());
            tokio::select! {
                () = inner.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {
                    let environment = inner.environment.clone();
                    blocking(move || group.end_stale_series(&environment, removed_at)).await;
                }
            }
        });
    }

    /// Notes the group's firing alerts in the keep file when they changed.
    fn keep(&self, group: &Group) {
        let Some(path) = &self.keep_file else { return };
        let alerts = group.kept_alerts();
        let key = (group.file.clone(), group.name.clone());
        let mut kept = self.kept.lock();
        let now = clock();
        let known = kept.alerts.get(&key).map_or(&[][..], Vec::as_slice);
        let identical = same_alerts(known, &alerts);
        if identical && (alerts.is_empty() || now - kept.saved_at < KEEP_REFRESH) {
            return;
        }
        if alerts.is_empty() {
            kept.alerts.remove(&key);
        } else {
            kept.alerts.insert(key, alerts);
        }
        kept.saved_at = now;
        let all = kept.alerts.values().flatten().cloned().collect();
        if let Err(error) = keep::save(path, now, all) {
            tracing::warn!(path = %path.display(), %error, "keeping firing alerts for a restart failed");
        }
    }

    fn take_back_kept(&self, groups: &[Group]) {
        let Some(path) = &self.keep_file else { return };
        let mut known = self.kept.lock();
        for kept in keep::load(path, clock() - self.environment.outage_tolerance) {
            if let Some(group) = groups.iter().find(|group| group.key() == kept.group) {
                group.take_back(&kept);
                // Stays in the file until the group has been evaluated: the next stop may come before.
                known.alerts.entry((group.file.clone(), group.name.clone())).or_default().push(kept);
            }
        }
    }
}

/// Whether two lists hold the same alerts, values and texts aside: those change at every evaluation.
fn same_alerts(a: &[KeptAlert], b: &[KeptAlert]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_state(b))
}

/// Runs work that blocks and waits for it.
async fn blocking(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        novaobs_model::never!("work on a rule group ended in a panic: {error}");
    }
}

async fn sleep_until(at: i64) {
    let ahead = u64::try_from(at - clock()).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(ahead)).await;
}
