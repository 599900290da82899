//! One job: its targets as discovery gives them, and a loop for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use novaobs_discovery::{Discovery, Groups, SdConfig, SdMetrics};
use novaobs_http_client::HttpClient;
use novaobs_model::{Labels, SampleSink, duration};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::append::Appender;
use crate::cache::{Cache, Families};
use crate::config::ScrapeConfig;
use crate::metrics::ScrapeMetrics;
use crate::run::{Loop, LoopHandle, Shared};
use crate::target::{Target, discovered_labels, target_labels};

/// How long a discovery that replaces another has to find its targets before those of the other are ended.
const DISCOVERY_GRACE: Duration = Duration::from_secs(5);

/// What pools are made with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) sink: Arc<dyn SampleSink>,
    pub(crate) metrics: ScrapeMetrics,
    pub(crate) discovery_metrics: SdMetrics,
    pub(crate) shared: Arc<Shared>,
}

/// A running job.
pub(crate) struct Pool {
    inner: Arc<Inner>,
    /// Serialises what changes targets: updates of discovery and reloads.
    state: Arc<tokio::sync::Mutex<State>>,
    follower: Option<Follower>,
}

struct Inner {
    context: Context,
    /// What the API shows.
    shown: Mutex<Shown>,
}

/// Targets and problems of a job at one moment.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    pub(crate) active: Vec<(Arc<Target>, Arc<Mutex<Families>>)>,
    /// Labels before relabelling of targets that it dropped, as many as are kept.
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: usize,
    /// Parts of the job that do not run, and why.
    pub(crate) problems: Vec<String>,
}

struct State {
    config: Arc<ScrapeConfig>,
    client: Result<HttpClient, String>,
    seed: u64,
    loops: HashMap<u64, (Arc<Target>, LoopHandle)>,
    groups: Groups,
}

/// The task that follows a discovery.
struct Follower {
    discovery: Discovery,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Pool {
    /// Starts a job; its targets appear as discovery finds them, static ones at once.
    pub(crate) async fn start(context: Context, config: ScrapeConfig, seed: u64) -> Pool {
        context.metrics.pools.inc();
        let config = Arc::new(config);
        let client = new_client(&config);
        if client.is_err() {
            context.metrics.pools_failed.inc();
        }
        let state = State { config, client, seed, loops: HashMap::new(), groups: Groups::default() };
        let mut pool = Pool {
            inner: Arc::new(Inner { context, shown: Mutex::default() }),
            state: Arc::new(tokio::sync::Mutex::new(state)),
            follower: None,
        };
        pool.follow().await;
        pool
    }

    /// Starts discovery and a task that follows it.
    async fn follow(&mut self) {
        let mut state = self.state.lock().await;
        let config = state.config.clone();
        let metrics = &self.inner.context.discovery_metrics;
        let discovery = Discovery::start("scrape", &config.job_name, &config.discovery, metrics);
        let mut groups = discovery.subscribe();
        self.inner.show_problems(&state, &discovery);
        // A discovery that starts anew knows nothing at first: the targets of the one before stay meanwhile.
        let patient =
            !state.loops.is_empty() && config.discovery.iter().any(|sd| !matches!(sd, SdConfig::Static(_)));
        if !patient {
            state.groups = groups.borrow_and_update().clone();
            self.inner.sync(&mut state, None).await;
        }
        drop(state);
        let (inner, state) = (self.inner.clone(), self.state.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut grace = patient.then_some(DISCOVERY_GRACE);
            loop {
                let changed = async {
                    match grace.take() {
                        Some(grace) => {
                            tokio::time::sleep(grace).await;
                            true
                        }
                        None => groups.changed().await.is_ok(),
                    }
                };
                let changed = tokio::select! {
                    changed = changed => changed,
                    () = stopped.cancelled() => return,
                };
                if !changed {
                    return;
                }
                let mut state = state.lock().await;
                if stopped.is_cancelled() {
                    return;
                }
                state.groups = groups.borrow_and_update().clone();
                inner.sync(&mut state, None).await;
            }
        });
        self.follower = Some(Follower { discovery, stop, task });
    }

    async fn unfollow(&mut self) {
        if let Some(follower) = self.follower.take() {
            follower.stop.cancel();
            follower.discovery.stop().await;
            // The task ends by its token; that it might have panicked is no reason to stay.
            let _ = follower.task.await;
        }
    }

    /// Changes to another configuration of the same job. With the same one nothing happens: its targets,
    /// their turns and what they remember stay.
    pub(crate) async fn reload(&mut self, config: ScrapeConfig, seed: u64) {
        let began = Instant::now();
        let metrics = self.inner.context.metrics.clone();
        let (previous, new_discovery) = {
            let mut state = self.state.lock().await;
            state.seed = seed;
            if *state.config == config {
                return;
            }
            metrics.reloads.inc();
            let client = new_client(&config);
            if client.is_err() {
                metrics.reloads_failed.inc();
            }
            let new_discovery = state.config.discovery != config.discovery;
            let previous = std::mem::replace(&mut state.config, Arc::new(config));
            state.client = client;
            if !new_discovery {
                if let Some(follower) = &self.follower {
                    self.inner.show_problems(&state, &follower.discovery);
                }
                self.inner.sync(&mut state, Some(&previous)).await;
            }
            (previous, new_discovery)
        };
        if new_discovery {
            self.unfollow().await;
            {
                // The targets there are go on under the new configuration until discovery says otherwise.
                let mut state = self.state.lock().await;
                self.inner.sync(&mut state, Some(&previous)).await;
            }
            self.follow().await;
        }
        let interval = duration::format(self.state.lock().await.config.scrape_interval);
        metrics.reload_length.observe(&interval, began.elapsed().as_secs_f64());
    }

    /// Ends the job. With `markers` its series are marked as stale later.
    pub(crate) async fn stop(mut self, markers: bool) {
        self.unfollow().await;
        let mut state = self.state.lock().await;
        let loops: Vec<LoopHandle> = state.loops.drain().map(|(_, (_, handle))| handle).collect();
        stop_all(loops, markers).await;
        self.inner.context.metrics.forget_job(&state.config.job_name);
        *self.inner.shown.lock() = Shown::default();
    }

    /// What the API shows.
    pub(crate) fn shown(&self) -> Shown {
        self.inner.shown.lock().clone()
    }
}

fn new_client(config: &ScrapeConfig) -> Result<HttpClient, String> {
    HttpClient::new(&config.http).map_err(|error| {
        tracing::error!(job = config.job_name, %error, "the job's HTTP client cannot be made: its targets are down");
        error.to_string()
    })
}

async fn stop_all(loops: Vec<LoopHandle>, markers: bool) -> Vec<Arc<Mutex<Cache>>> {
    let mut stopping = tokio::task::JoinSet::new();
    for (at, handle) in loops.into_iter().enumerate() {
        stopping.spawn(async move { (at, handle.stop(markers).await) });
    }
    let mut caches = stopping.join_all().await;
    caches.sort_by_key(|(at, _)| *at);
    caches.into_iter().map(|(_, cache)| cache).collect()
}

/// Targets of a job as configuration and discovery make them.
struct Wanted {
    targets: Vec<Target>,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

impl Inner {
    fn show_problems(&self, state: &State, discovery: &Discovery) {
        let client = state.client.as_ref().err().cloned();
        self.shown.lock().problems = discovery.problems().iter().cloned().chain(client).collect();
    }

    /// Makes the loops those of the current groups. After a change of configuration (`previous`) all loops
    /// are started anew, with what they remember as far as it still holds.
    async fn sync(&self, state: &mut State, previous: Option<&ScrapeConfig>) {
        let began = Instant::now();
        let config = state.config.clone();
        let metrics = &self.context.metrics;
        let job = config.job_name.as_str();
        let wanted = self.wanted(&config, &state.groups);

        let mut targets: HashMap<u64, Target> = HashMap::new();
        for target in wanted.targets {
            targets.entry(target.hash()).or_insert(target);
        }
        let (kept, ended): (HashMap<_, _>, HashMap<_, _>) = std::mem::take(&mut state.loops)
            .into_iter()
            .partition(|(hash, _)| previous.is_none() && targets.contains_key(hash));
        state.loops = kept;
        let mut caches =
            self.end_loops(ended, &targets, previous.is_none_or(|p| config.same_series_as(p))).await;

        for (hash, target) in targets {
            if let Some((running, _)) = state.loops.get(&hash) {
                running.set_discovered(target.discovered());
                continue;
            }
            let target = Arc::new(target);
            let cache = caches.remove(target.public()).unwrap_or_default();
            let appender = Appender {
                sink: self.context.sink.clone(),
                config: config.clone(),
                target: target.clone(),
                metrics: metrics.clone(),
            };
            let client = state.client.clone();
            let job = Loop { appender, client, shared: self.context.shared.clone(), seed: state.seed };
            let families = cache.lock().families();
            if let Some((before, _)) =
                self.shown.lock().active.iter().find(|(_, shown)| Arc::ptr_eq(shown, &families))
            {
                target.adopt(before.last());
            }
            state.loops.insert(hash, (target, LoopHandle::start(job, cache)));
        }

        let limit = config.limits.targets;
        let exceeded =
            Some((state.loops.len(), limit)).filter(|_| limit > 0 && state.loops.len() as u64 > limit);
        if exceeded.is_some() {
            metrics.exceeded_target_limit.inc();
        }
        for (_, handle) in state.loops.values() {
            handle.force_target_limit(exceeded);
        }
        let mut active: Vec<_> =
            state.loops.values().map(|(t, handle)| (t.clone(), handle.families.clone())).collect();
        active.sort_by(|a, b| a.0.url().cmp(b.0.url()));
        {
            let mut shown = self.shown.lock();
            shown.active = active;
            shown.dropped = wanted.dropped;
            shown.dropped_count = wanted.dropped_count;
        }
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.targets.with_label_values(&[job]).set(gauge(state.loops.len() as u64));
        metrics.target_limit.with_label_values(&[job]).set(gauge(limit));
        metrics.syncs.with_label_values(&[job]).inc();
        metrics.sync_length.observe(job, began.elapsed().as_secs_f64());
    }

    /// Stops loops. Those whose series go on under another target of the job (another interval or URL) hand
    /// over what they remember, by the labels of their series; the others write markers later.
    async fn end_loops(
        &self,
        ended: HashMap<u64, (Arc<Target>, LoopHandle)>,
        targets: &HashMap<u64, Target>,
        same_series: bool,
    ) -> HashMap<Labels, Arc<Mutex<Cache>>> {
        let (succeeded, gone): (Vec<_>, Vec<_>) = ended
            .into_values()
            .partition(|(old, _)| targets.values().any(|target| target.public() == old.public()));
        stop_all(gone.into_iter().map(|(_, handle)| handle).collect(), true).await;
        let (old, loops): (Vec<_>, Vec<_>) = succeeded.into_iter().unzip();
        let caches = stop_all(loops, false).await;
        let hand_over = |cache: Arc<Mutex<Cache>>| {
            if same_series {
                return cache;
            }
            let successor = cache.lock().succeed();
            Arc::new(Mutex::new(successor))
        };
        old.iter().map(|target| target.public().clone()).zip(caches.into_iter().map(hand_over)).collect()
    }

    fn wanted(&self, config: &ScrapeConfig, groups: &Groups) -> Wanted {
        let mut wanted = Wanted { targets: Vec::new(), dropped: Vec::new(), dropped_count: 0 };
        let mut failed = 0;
        for group in groups.iter() {
            for (at, own) in group.targets.iter().enumerate() {
                let mut discovered = discovered_labels(config, group, own);
                match target_labels(config, &discovered) {
                    Ok(Some(labels)) => wanted.targets.push(Target::new(config, labels, discovered.build())),
                    Ok(None) => {
                        wanted.dropped_count += 1;
                        let keep = config.limits.keep_dropped_targets;
                        if keep == 0 || (wanted.dropped.len() as u64) < keep {
                            wanted.dropped.push(discovered.build());
                        }
                    }
                    Err(error) => {
                        failed += 1;
                        tracing::error!(
                            job = config.job_name,
                            group = group.source,
                            instance = at,
                            %error,
                            "creating target failed"
                        );
                    }
                }
            }
        }
        self.context.metrics.sync_failed.with_label_values(&[config.job_name.as_str()]).inc_by(failed);
        wanted
    }
}
