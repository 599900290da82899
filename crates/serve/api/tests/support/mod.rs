//! A server's state made of fakes: a store in memory, fixed targets, rules and status.
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use novaobs_api::prometheus::{
    AlertmanagersView, BuildInfo, ExternalUrl, HeadStats, Lifecycle, NameValue, PrometheusState, Readiness,
    RulesView, RuntimeInfo, StatusView, TargetsView, TsdbStatus, router,
};
use novaobs_model::{
    AppendError, AppendReport, GoRegex, Labels, Matcher, Metadata, MetricType, Pool, QueryControl,
    RejectReason, Sample, SampleSink, SelectError, SelectRequest, SeriesCursor, SeriesRef, SeriesSamples,
    SeriesSource,
};
use novaobs_promql::{Engine, EngineOptions};
use novaobs_promql_parser::ParseOptions;
use novaobs_rules::{ActiveAlert, AlertState, GroupSnapshot, RuleSnapshot, SnapshotKind};
use novaobs_scrape::{ActiveTarget, DroppedTarget, FamilyMetadata, TargetMetadata, Targets};
use tokio::sync::Notify;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

pub(crate) mod timeline {
    /// Unix milliseconds.
    pub(crate) fn now() -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    }
}

/// What differs between tests.
pub(crate) struct Fixture {
    pub(crate) store: Arc<Store>,
    pub(crate) ready: bool,
    pub(crate) lifecycle: bool,
    pub(crate) cors: &'static str,
    pub(crate) write: bool,
    pub(crate) concurrency: usize,
    /// Selections wait until they are cancelled.
    pub(crate) stuck: bool,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let store = Store::default();
        for instance in ["a:1", "b:2"] {
            let up = labels(&[("__name__", "up"), ("instance", instance), ("job", "node")]);
            store.add(up, &[(0, 1.0), (10_000, 1.0), (20_000, 0.0)]);
        }
        let big = labels(&[("__name__", "bytes"), ("dev.name", "sd<a>"), ("job", "node")]);
        store.add(big, &[(0, 0.0), (10_000, 1.5e21), (20_000, f64::NAN)]);
        for (le, value) in [("0.1", 1.0), ("1", 4.0), ("+Inf", 5.0)] {
            store.add(labels(&[("__name__", "rt_bucket"), ("le", le)]), &[(0, 0.0), (10_000, value)]);
        }
        Fixture {
            store: Arc::new(store),
            ready: true,
            lifecycle: false,
            cors: ".*",
            write: true,
            concurrency: 20,
            stuck: false,
        }
    }

    pub(crate) fn router(&self) -> Router {
        let readiness = Readiness::default();
        if self.ready {
            readiness.set_ready();
        }
        self.store.stuck.store(self.stuck, Ordering::SeqCst);
        let engine = Engine::new(EngineOptions {
            lookback: Duration::from_secs(300),
            timeout: Duration::from_secs(120),
            max_samples: 1_000,
            default_step: Duration::from_secs(60),
            pool: Pool::unlimited(),
            query_memory: u64::MAX,
        });
        router(PrometheusState {
            source: self.store.clone(),
            sink: self.write.then(|| self.store.clone() as Arc<dyn SampleSink>),
            engine: Arc::new(engine),
            language: ParseOptions::default(),
            max_concurrency: self.concurrency,
            targets: Arc::new(Views),
            rules: Arc::new(Views),
            alertmanagers: Arc::new(Views),
            status: Arc::new(Views),
            lifecycle: self.lifecycle.then(|| Arc::new(Hooks::default()) as Arc<dyn Lifecycle>),
            readiness: Arc::new(readiness),
            cors_origin: GoRegex::new(self.cors).unwrap(),
            external: ExternalUrl {
                scheme: "http".to_owned(),
                host: "mon.example:9090".to_owned(),
                listen_port: 9090,
            },
            registry: prometheus::Registry::new(),
        })
        .unwrap()
    }
}

/// Series in memory; samples must come in order.
#[derive(Default)]
pub(crate) struct Store {
    series: Mutex<Vec<SeriesSamples>>,
    stuck: AtomicBool,
    selected: Notify,
    canceled: Notify,
}

impl Store {
    pub(crate) fn add(&self, labels: Labels, samples: &[(i64, f64)]) {
        let mut series = SeriesSamples { labels, ..Default::default() };
        samples.iter().for_each(|(time, value)| series.samples.push(*time, *value));
        self.series.lock().unwrap().push(series);
    }

    pub(crate) fn samples(&self, labels: &Labels) -> Vec<(i64, f64)> {
        let series = self.series.lock().unwrap();
        series.iter().filter(|one| one.labels == *labels).flat_map(|one| one.samples.iter()).collect()
    }

    pub(crate) async fn wait_for_select(&self) {
        self.selected.notified().await;
    }

    pub(crate) async fn wait_for_cancel(&self) {
        self.canceled.notified().await;
    }

    fn matching(&self, selectors: &[Vec<Matcher>], start: i64, end: i64) -> Vec<SeriesSamples> {
        let series = self.series.lock().unwrap();
        let wanted = |labels: &Labels| {
            selectors.is_empty() || selectors.iter().any(|s| s.iter().all(|m| m.matches_labels(labels)))
        };
        let mut found = Vec::new();
        for one in series.iter().filter(|one| wanted(&one.labels)) {
            let mut part = SeriesSamples { labels: one.labels.clone(), ..Default::default() };
            let inside = one.samples.iter().filter(|(time, _)| (start..=end).contains(time));
            inside.for_each(|(time, value)| part.samples.push(time, value));
            if !part.samples.is_empty() {
                found.push(part);
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        found
    }
}

struct Cursor(std::vec::IntoIter<SeriesSamples>);

impl SeriesCursor for Cursor {
    fn next(&mut self, out: &mut SeriesSamples) -> Result<bool, SelectError> {
        match self.0.next() {
            Some(series) => {
                *out = series;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl SeriesSource for Store {
    fn select<'a>(
        &'a self,
        request: &SelectRequest,
        control: &'a QueryControl,
    ) -> Result<Box<dyn SeriesCursor + 'a>, SelectError> {
        if self.stuck.load(Ordering::SeqCst) {
            self.selected.notify_one();
            loop {
                if let Err(interrupt) = control.check() {
                    self.canceled.notify_one();
                    return Err(interrupt.into());
                }
                std::thread::yield_now();
            }
        }
        let found = self.matching(std::slice::from_ref(&request.matchers), request.start, request.end);
        Ok(Box::new(Cursor(found.into_iter())))
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        limit: usize,
        _: &QueryControl,
    ) -> Result<Vec<Labels>, SelectError> {
        let mut found: Vec<Labels> =
            self.matching(selectors, start, end).into_iter().map(|s| s.labels).collect();
        if limit > 0 {
            found.truncate(limit);
        }
        Ok(found)
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        _: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        let found = self.matching(selectors, start, end);
        let mut names: Vec<String> =
            found.iter().flat_map(|s| s.labels.iter().map(|(name, _)| name.to_owned())).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
        _: &QueryControl,
    ) -> Result<Vec<String>, SelectError> {
        let found = self.matching(selectors, start, end);
        let mut values: Vec<String> =
            found.iter().filter_map(|s| s.labels.get(name)).map(str::to_owned).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }
}

impl SampleSink for Store {
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        let mut series = self.series.lock().unwrap();
        for one in labels {
            let at = series.iter().position(|s| s.labels == *one).unwrap_or_else(|| {
                series.push(SeriesSamples { labels: one.clone(), ..Default::default() });
                series.len() - 1
            });
            out.push(SeriesRef(at as u64));
        }
        Ok(())
    }

    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        let mut series = self.series.lock().unwrap();
        let mut report = AppendReport::default();
        for (at, sample) in samples.iter().enumerate() {
            let kept = &mut series[usize::try_from(sample.series.0).unwrap()].samples;
            if kept.timestamps.last().is_some_and(|last| *last >= sample.timestamp) {
                report.rejected.push((at, RejectReason::OutOfOrder));
            } else {
                kept.push(sample.timestamp, sample.value);
                report.accepted += 1;
            }
        }
        Ok(report)
    }
}

/// Shuts down once; reloads badly.
#[derive(Default)]
struct Hooks {
    quitting: AtomicBool,
}

impl Lifecycle for Hooks {
    fn reload(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Err("prometheus.yml:3:5: unknown scrape protocol".to_owned()) })
    }

    fn quit(&self) -> bool {
        !self.quitting.swap(true, Ordering::SeqCst)
    }
}

struct Views;

impl TargetsView for Views {
    fn targets(&self) -> Targets {
        let target = |pool: &str, url: &str, last_scrape, health, error: &str| ActiveTarget {
            discovered_labels: labels(&[("__address__", url), ("__scheme__", "http"), ("job", pool)]),
            labels: labels(&[("instance", url), ("job", pool)]),
            scrape_pool: pool.to_owned(),
            scrape_url: format!("http://{url}/metrics"),
            last_error: error.to_owned(),
            last_scrape,
            last_scrape_duration: Duration::from_micros(2_500),
            health,
            scrape_interval: "15s".to_owned(),
            scrape_timeout: "10s".to_owned(),
        };
        let up = novaobs_scrape::Health::Up;
        let down = novaobs_scrape::Health::Down;
        Targets {
            active: vec![
                target("node", "localhost:9100", Some(1_700_000_000_120), up, ""),
                target("web", "web:80", Some(1_700_000_001_000), down, "Get \"http://web:80/metrics\": EOF"),
                target("web", "web:81", None, novaobs_scrape::Health::Unknown, ""),
            ],
            dropped: vec![DroppedTarget {
                discovered_labels: labels(&[("__address__", "old:1"), ("job", "web")]),
                scrape_pool: "web".to_owned(),
            }],
            dropped_counts: BTreeMap::from([("node".to_owned(), 0), ("web".to_owned(), 1)]),
            problems: BTreeMap::new(),
        }
    }

    fn metadata(&self) -> Vec<TargetMetadata> {
        let family = |name: &str, kind, help: &str, unit: &str| FamilyMetadata {
            family: name.to_owned(),
            metadata: Metadata { kind, help: help.to_owned(), unit: unit.to_owned() },
        };
        let target = |instance: &str, job: &str, families| TargetMetadata {
            target: labels(&[("instance", instance), ("job", job)]),
            families,
        };
        let help = "Seconds the CPUs spent in each mode.";
        vec![
            target(
                "localhost:9100",
                "node",
                vec![
                    family("node_cpu_seconds_total", MetricType::Counter, help, ""),
                    family("node_load1", MetricType::Gauge, "1m load average.", ""),
                ],
            ),
            target(
                "web:80",
                "web",
                vec![
                    family("node_load1", MetricType::Gauge, "Load & more.", ""),
                    family("rt_seconds", MetricType::Histogram, "Response time.", "seconds"),
                ],
            ),
        ]
    }

    fn scrape_pools(&self) -> Vec<String> {
        vec!["node".to_owned(), "web".to_owned()]
    }
}

impl RulesView for Views {
    fn groups(&self) -> Vec<GroupSnapshot> {
        let rule = |name: &str, query: &str, pairs: &[(&str, &str)], kind| RuleSnapshot {
            name: name.to_owned(),
            query: query.to_owned(),
            labels: labels(pairs),
            health: novaobs_rules::Health::Ok,
            last_error: None,
            evaluation_time: Duration::from_micros(375),
            last_evaluation: Some(1_700_000_000_000),
            kind,
        };
        let alert = ActiveAlert {
            state: AlertState::Firing,
            labels: labels(&[("alertname", "Down"), ("instance", "b:2"), ("severity", "page")]),
            annotations: labels(&[("summary", "b:2 is down")]),
            value: 0.0,
            active_at: 1_699_999_940_000,
            fired_at: Some(1_700_000_000_000),
            resolved_at: None,
            keep_firing_since: Some(1_699_999_999_500),
            last_sent_at: None,
            valid_until: 0,
        };
        let alerting = |state, alerts| SnapshotKind::Alerting {
            state,
            hold: Duration::from_secs(60),
            keep_firing_for: Duration::from_millis(1_500),
            annotations: labels(&[("summary", "{{ $labels.instance }} is down")]),
            alerts,
        };
        let group = |name: &str, rules| GroupSnapshot {
            name: name.to_owned(),
            file: "rules.yml".to_owned(),
            interval: Duration::from_secs(30),
            limit: 0,
            rules,
            evaluation_time: Duration::from_micros(750),
            last_evaluation: Some(1_700_000_000_000),
        };
        let mut broken = rule("Broken", "absent(x)", &[("severity", "info")], alerting(None, Vec::new()));
        broken.health = novaobs_rules::Health::Error;
        broken.last_error = Some("out of memory".to_owned());
        vec![
            group(
                "alerts",
                vec![
                    rule(
                        "Down",
                        "up == 0",
                        &[("severity", "page")],
                        alerting(Some(AlertState::Firing), vec![alert]),
                    ),
                    broken,
                ],
            ),
            group("records", vec![rule("job:up:sum", "sum by (job) (up)", &[], SnapshotKind::Recording)]),
        ]
    }
}

impl AlertmanagersView for Views {
    fn active(&self) -> Vec<String> {
        vec!["http://am:9093/api/v2/alerts".to_owned()]
    }

    fn dropped(&self) -> Vec<String> {
        Vec::new()
    }
}

impl StatusView for Views {
    fn config(&self) -> String {
        "global:\n  scrape_interval: 15s\n".to_owned()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        let flags = [("query.timeout", "2m"), ("web.enable-lifecycle", "false")];
        flags.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn build_info(&self) -> BuildInfo {
        BuildInfo {
            version: "3.14.0".to_owned(),
            revision: "0".to_owned(),
            branch: "main".to_owned(),
            build_user: "user".to_owned(),
            build_date: "20261122-00:00:00".to_owned(),
            go_version: "go1.26".to_owned(),
        }
    }

    fn runtime_info(&self) -> RuntimeInfo {
        RuntimeInfo {
            start_time: Some(1_700_000_000_000),
            cwd: "/srv".to_owned(),
            hostname: "h".to_owned(),
            server_time: Some(1_700_000_060_007),
            reload_config_success: true,
            last_config_time: None,
            corruption_count: 0,
            goroutine_count: 12,
            gomaxprocs: 2,
            gomemlimit: 1 << 30,
            gogc: String::new(),
            godebug: String::new(),
            storage_retention: "15d".to_owned(),
        }
    }

    fn external_labels(&self) -> Labels {
        labels(&[("region", "eu")])
    }

    fn tsdb(&self, limit: usize) -> Result<TsdbStatus, String> {
        let all = [("up", 2), ("bytes", 1)];
        let list =
            all.into_iter().take(limit).map(|(name, value)| NameValue { name: name.to_owned(), value });
        Ok(TsdbStatus {
            head_stats: HeadStats {
                num_series: 6,
                num_label_pairs: 9,
                chunk_count: 6,
                min_time: 0,
                max_time: 20_000,
            },
            series_count_by_metric_name: list.collect(),
            ..Default::default()
        })
    }

    fn refresh_metrics(&self) {}
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A remote write body of series with (time, value) samples.
pub(crate) fn write_request(series: &[(Pairs<'_>, &[(i64, f64)])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (pairs, samples) in series {
        let mut one = Vec::new();
        for (name, value) in *pairs {
            let mut pair = Vec::new();
            field(&mut pair, 1, name.as_bytes());
            field(&mut pair, 2, value.as_bytes());
            field(&mut one, 1, &pair);
        }
        for (time, value) in *samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend(value.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, *time as u64);
            field(&mut one, 2, &sample);
        }
        field(&mut message, 1, &one);
    }
    snappy(&message)
}

pub(crate) fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

/// A block that says it unpacks to so many bytes.
pub(crate) fn snappy_claiming(size: u64) -> Vec<u8> {
    let mut block = Vec::new();
    varint(&mut block, size);
    block.extend([0, b'x']);
    block
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
