//! Whole scrapes: a target that speaks HTTP, a manager, and what arrives in the store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use novaobs_config::{Document, UnknownKeys};
use novaobs_discovery::SdMetrics;
use novaobs_model::{AppendError, AppendReport, Labels, Sample, SampleSink, SeriesRef, is_stale};
use novaobs_scrape::{ActiveTarget, Global, Health, ScrapeConfig, ScrapeManager};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::watch;

/// Samples by series.
type Stored = HashMap<String, Vec<(i64, f64)>>;

/// A store in memory that tells when something arrives.
struct Memory {
    state: Mutex<(Vec<Labels>, Stored)>,
    arrived: watch::Sender<usize>,
}

impl SampleSink for Memory {
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        let known = &mut self.state.lock().0;
        for labels in labels {
            let at = known.iter().position(|known| known == labels).unwrap_or_else(|| {
                known.push(labels.clone());
                known.len() - 1
            });
            out.push(SeriesRef(at as u64));
        }
        Ok(())
    }

    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        {
            let (labels, stored) = &mut *self.state.lock();
            for sample in samples {
                let name = labels[sample.series.0 as usize].to_string();
                stored.entry(name).or_default().push((sample.timestamp, sample.value));
            }
        }
        self.arrived.send_modify(|batches| *batches += 1);
        Ok(AppendReport { accepted: samples.len(), rejected: Vec::new() })
    }
}

/// What the target answers next, and the headers it was asked with.
#[derive(Default)]
struct Served {
    body: String,
    gzip: bool,
    status: Option<StatusCode>,
    delay: Duration,
    asked: HeaderMap,
}

struct Setup {
    store: Arc<Memory>,
    manager: ScrapeManager,
    served: Arc<Mutex<Served>>,
    address: String,
    registry: Registry,
}

impl Setup {
    async fn new() -> Setup {
        let served: Arc<Mutex<Served>> = Arc::default();
        let target = served.clone();
        let handler = move |headers: HeaderMap| {
            let target = target.clone();
            async move { answer(&target, headers).await }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/metrics", get(handler))).await },
        );
        let store = Arc::new(Memory { state: Mutex::default(), arrived: watch::channel(0).0 });
        let registry = Registry::new();
        let discovery = SdMetrics::new(&registry).unwrap();
        let manager = ScrapeManager::new(store.clone(), &registry, discovery).unwrap();
        Setup { store, manager, served, address, registry }
    }

    /// Applies a list of jobs; `ADDRESS` stands for the target's.
    async fn apply(&self, jobs: &str) {
        let text = jobs.replace("ADDRESS", &self.address);
        let document = Document::parse("jobs.yml", &text).unwrap();
        let global = Global::default();
        let jobs =
            document.read(UnknownKeys::Warn, |at| ScrapeConfig::read_list(at, &global, &mut Vec::new()));
        self.manager.apply(jobs.unwrap().value, &global).await;
    }

    fn values(&self, series: &str) -> Vec<f64> {
        let state = self.store.state.lock();
        state
            .1
            .get(series)
            .map(|samples| samples.iter().map(|(_, value)| *value).collect())
            .unwrap_or_default()
    }

    /// Waits until what is stored satisfies `holds`.
    async fn until(&self, holds: impl Fn(&Setup) -> bool) {
        let mut arrived = self.store.arrived.subscribe();
        let wait = async {
            loop {
                arrived.mark_unchanged();
                if holds(self) {
                    return;
                }
                arrived.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came");
    }

    fn target(&self) -> ActiveTarget {
        self.manager.targets().active.into_iter().next().unwrap()
    }

    /// Waits until the target shows the outcome of a scrape that was recorded after now.
    async fn reported(&self, holds: impl Fn(&ActiveTarget) -> bool) -> ActiveTarget {
        let wait = async {
            loop {
                let target = self.target();
                if holds(&target) {
                    return target;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came")
    }
}

async fn answer(target: &Mutex<Served>, headers: HeaderMap) -> Response {
    let (body, gzip, status, delay) = {
        let mut served = target.lock();
        served.asked = headers;
        (served.body.clone(), served.gzip, served.status, served.delay)
    };
    tokio::time::sleep(delay).await;
    if let Some(status) = status {
        return status.into_response();
    }
    let plain = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    if !gzip {
        return (plain, body).into_response();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    (plain, [(header::CONTENT_ENCODING, "gzip")], encoder.finish().unwrap()).into_response()
}

const JOB: &str = "[{job_name: j, scrape_interval: 100ms, scrape_timeout: 90ms, \
                   static_configs: [{targets: [ADDRESS], labels: {instance: i}}]}]";

#[tokio::test]
async fn a_target_is_scraped_again_and_again() {
    let setup = Setup::new().await;
    setup.served.lock().body = "a 1\nb 2\n".into();
    setup.served.lock().gzip = true;
    setup.apply(JOB).await;
    let (a, b, up) =
        ("a{instance=\"i\", job=\"j\"}", "b{instance=\"i\", job=\"j\"}", "up{instance=\"i\", job=\"j\"}");
    setup.until(|s| s.values(a).len() >= 2).await;
    assert!(setup.values(up).iter().all(|up| *up == 1.0));

    let asked = setup.served.lock().asked.clone();
    assert_eq!(asked["accept-encoding"], "gzip");
    assert_eq!(asked["x-prometheus-scrape-timeout-seconds"], "0.09");
    assert!(
        asked["accept"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,")
    );
    assert!(asked["user-agent"].to_str().unwrap().starts_with("novaobs/"));

    setup.served.lock().body = "# TYPE a counter\na 1\n".into();
    setup.until(|s| s.values(b).last().is_some_and(|last| is_stale(*last))).await;
    let target = setup.reported(|target| target.health == Health::Up).await;
    assert_eq!(target.last_error, "");
    assert_eq!(target.scrape_url, format!("http://{}/metrics", setup.address));
    assert_eq!((target.scrape_interval.as_str(), target.scrape_timeout.as_str()), ("100ms", "90ms"));
    let metadata = setup.manager.metadata();
    assert_eq!(metadata[0].families[0].family, "a");

    let times: Vec<i64> = setup.store.state.lock().1[up].iter().map(|(time, _)| *time).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 50), "{times:?}");
    let text = prometheus::TextEncoder::new().encode_to_string(&setup.registry.gather()).unwrap();
    assert!(
        text.contains("prometheus_target_interval_length_seconds{interval=\"100ms\",quantile=\"0.99\"}"),
        "{text}"
    );
    assert!(text.contains("prometheus_target_scrape_pool_targets{scrape_job=\"j\"} 1"), "{text}");
    setup.manager.stop().await;
}

#[tokio::test]
async fn failures_are_named_and_end_the_series() {
    let setup = Setup::new().await;
    setup.served.lock().body = "a 1\n".into();
    setup.apply(JOB).await;
    let a = "a{instance=\"i\", job=\"j\"}";
    setup.until(|s| !s.values(a).is_empty()).await;

    setup.served.lock().status = Some(StatusCode::NOT_FOUND);
    setup.until(|s| is_stale(*s.values(a).last().unwrap())).await;
    let down = setup.reported(|target| target.health == Health::Down).await;
    assert_eq!(down.last_error, "server returned HTTP status 404 Not Found");

    {
        let mut served = setup.served.lock();
        served.status = None;
        served.delay = Duration::from_secs(30);
    }
    let slow = setup.reported(|target| target.last_error.contains("deadline")).await;
    assert!(slow.last_error.ends_with(": context deadline exceeded"), "{}", slow.last_error);
    setup.served.lock().delay = Duration::ZERO;
    setup.reported(|target| target.health == Health::Up).await;

    setup.apply(&JOB.replace("job_name: j", "job_name: j, body_size_limit: 4B")).await;
    setup.reported(|target| target.last_error == "body size limit exceeded").await;
    setup.apply(&JOB.replace("job_name: j", "job_name: j, body_size_limit: 5B")).await;
    setup.reported(|target| target.health == Health::Up).await;
    setup.manager.stop().await;
}

#[tokio::test]
async fn reloads_keep_what_did_not_change_and_end_what_is_gone() {
    let setup = Setup::new().await;
    setup.served.lock().body = "a 1\nb 1\n".into();
    setup.apply(JOB).await;
    let (a, b) = ("a{instance=\"i\", job=\"j\"}", "b{instance=\"i\", job=\"j\"}");
    setup.until(|s| !s.values(b).is_empty()).await;

    // A rule that drops b ends b with the next scrape; a goes on without a marker.
    setup
        .apply(&JOB.replace(
            "job_name: j",
            "job_name: j, metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]",
        ))
        .await;
    setup.until(|s| is_stale(*s.values(b).last().unwrap())).await;
    let before = setup.values(a).len();
    setup.until(|s| s.values(a).len() > before).await;
    assert!(!setup.values(a).iter().any(|value| is_stale(*value)));

    // Without the job, markers follow two intervals later, for the report series too.
    setup.apply("[]").await;
    assert!(setup.manager.scrape_pools().is_empty());
    let up = "up{instance=\"i\", job=\"j\"}";
    setup.until(|s| is_stale(*s.values(a).last().unwrap()) && is_stale(*s.values(up).last().unwrap())).await;
}

#[tokio::test]
async fn stopping_the_server_writes_no_markers() {
    let setup = Setup::new().await;
    setup.served.lock().body = "a 1\n".into();
    setup.apply(JOB).await;
    let a = "a{instance=\"i\", job=\"j\"}";
    setup.until(|s| !s.values(a).is_empty()).await;
    setup.manager.stop().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!setup.values(a).iter().any(|value| is_stale(*value)));
}

#[tokio::test]
async fn targets_that_are_too_many_dropped_or_not_discoverable_are_shown() {
    let setup = Setup::new().await;
    setup
        .apply(
            "- job_name: j\n  scrape_interval: 100ms\n  scrape_timeout: 90ms\n  target_limit: 1\n  keep_dropped_targets: 1\n  \
             static_configs: [{targets: [ADDRESS, 'localhost:1', 'drop:1', 'drop:2', '']}]\n  \
             kubernetes_sd_configs: [{role: pod}]\n  \
             relabel_configs: [{source_labels: [__address__], regex: 'drop.*', action: drop}]\n",
        )
        .await;
    let targets = setup.manager.targets();
    assert_eq!((targets.active.len(), targets.dropped.len(), targets.dropped_counts["j"]), (2, 1, 2));
    assert!(
        targets.problems["j"][0].contains("kubernetes_sd_configs is not supported"),
        "{:?}",
        targets.problems
    );
    let shown = setup.reported(|target| target.health == Health::Down).await;
    assert_eq!(shown.last_error, "target_limit exceeded (number of targets: 2, limit: 1)");
    assert_eq!(setup.manager.scrape_pools(), ["j"]);
    setup.manager.stop().await;
}
