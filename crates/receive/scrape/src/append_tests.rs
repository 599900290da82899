//! What bodies come to in the store: bodies in, stored samples out.

use std::collections::HashMap;
use std::time::Duration;

use novaobs_config::{Document, UnknownKeys};
use novaobs_discovery::TargetGroup;
use novaobs_model::AppendReport;
use parking_lot::Mutex;
use prometheus::Registry;

use super::*;
use crate::Global;
use crate::target::{discovered_labels, target_labels};

/// A store in memory that refuses what it is told to.
#[derive(Default)]
struct Memory(Mutex<Store>);

#[derive(Default)]
struct Store {
    series: Vec<Labels>,
    samples: Vec<(Labels, i64, f64)>,
    newest: HashMap<SeriesRef, i64>,
    /// Handles the store no longer knows.
    forgotten: HashSet<SeriesRef>,
    read_only: bool,
}

impl SampleSink for Memory {
    fn series(&self, labels: &[Labels], out: &mut Vec<SeriesRef>) -> Result<(), AppendError> {
        let mut store = self.0.lock();
        for labels in labels {
            let known = store.series.iter().rposition(|known| known == labels);
            let known = known.filter(|at| !store.forgotten.contains(&SeriesRef(*at as u64)));
            let at = known.unwrap_or_else(|| {
                store.series.push(labels.clone());
                store.series.len() - 1
            });
            out.push(SeriesRef(at as u64));
        }
        Ok(())
    }

    fn append(&self, samples: &[Sample]) -> Result<AppendReport, AppendError> {
        let mut store = self.0.lock();
        if store.read_only {
            return Err(AppendError::ReadOnly("disk full".into()));
        }
        let mut report = AppendReport::default();
        for (at, sample) in samples.iter().enumerate() {
            if store.forgotten.contains(&sample.series) {
                report.rejected.push((at, RejectReason::UnknownSeries));
            } else if store.newest.get(&sample.series).is_some_and(|newest| *newest >= sample.timestamp) {
                report.rejected.push((at, RejectReason::OutOfOrder));
            } else {
                let labels = store.series[sample.series.0 as usize].clone();
                store.newest.insert(sample.series, sample.timestamp);
                store.samples.push((labels, sample.timestamp, sample.value));
                report.accepted += 1;
            }
        }
        Ok(report)
    }
}

/// A target of one job with its memory and a store.
struct Bench {
    appender: Appender,
    cache: Cache,
    store: Arc<Memory>,
}

impl Bench {
    fn new(job: &str) -> Bench {
        let text = format!("job_name: j\n{job}");
        let document = Document::parse("job.yml", &text).unwrap();
        let config = document
            .read(UnknownKeys::Refuse, |at| ScrapeConfig::read(at, &Global::default()))
            .unwrap()
            .value;
        let group = TargetGroup { labels: Labels::from_pairs([("instance", "i")]), ..TargetGroup::default() };
        let mut discovered =
            discovered_labels(&config, &group, &Labels::from_pairs([("__address__", "host:80")]));
        let labels = target_labels(&config, &discovered).unwrap().unwrap();
        let target = Arc::new(Target::new(&config, labels, discovered.build()));
        let store = Arc::new(Memory::default());
        let metrics = ScrapeMetrics::new(&Registry::new()).unwrap();
        let appender = Appender { sink: store.clone(), config: Arc::new(config), target, metrics };
        Bench { appender, cache: Cache::default(), store }
    }

    /// Records a body at a time in seconds; gives what was stored but durations, then the error.
    fn scrape(&mut self, time: i64, body: &str) -> String {
        self.scrape_as(time, "text/plain", body)
    }

    fn scrape_as(&mut self, time: i64, content_type: &str, body: &str) -> String {
        let body = Body { content_type: content_type.to_owned(), bytes: body.as_bytes().to_vec() };
        self.record(time, Ok(body))
    }

    fn record(&mut self, time: i64, body: Result<Body, ScrapeError>) -> String {
        let error = self.appender.record(&mut self.cache, Scrape { time: time * 1000, body }, Instant::now());
        let mut out = self.stored();
        if let Some(error) = error {
            out.push_str(&format!("error: {error}\n"));
        }
        out
    }

    /// What was stored since the last call, one `series value @seconds` per line, sorted; of the report
    /// series `up`, and the three counts in one line.
    fn stored(&self) -> String {
        let mut lines = Vec::new();
        let mut counts = Vec::new();
        for (labels, time, value) in self.store.0.lock().samples.drain(..) {
            let name = labels.metric_name();
            if name.starts_with("scrape_samples") || name == "scrape_series_added" {
                counts.push(if is_stale(value) { "stale".to_owned() } else { value.to_string() });
            } else if name != "scrape_duration_seconds" {
                let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
                let labels = labels.to_string().replace("instance=\"i\", job=\"j\"", "…");
                lines.push(format!("{labels} {value} @{}\n", time / 1000));
            }
        }
        lines.sort();
        format!("{}counts {}\n", lines.concat(), counts.join(" "))
    }
}

#[test]
fn series_that_vanish_get_a_marker_once() {
    let mut bench = Bench::new("");
    assert_eq!(
        bench.scrape(1, "a 1\nb{x=\"1\"} 2\n"),
        "a{…} 1 @1\nb{…, x=\"1\"} 2 @1\nup{…} 1 @1\ncounts 2 2 2\n"
    );
    assert_eq!(bench.scrape(2, "a 3\n"), "a{…} 3 @2\nb{…, x=\"1\"} stale @2\nup{…} 1 @2\ncounts 1 1 0\n");
    assert_eq!(bench.scrape(3, "a 4\n"), "a{…} 4 @3\nup{…} 1 @3\ncounts 1 1 0\n");
    assert_eq!(
        bench.scrape(4, "b{x=\"1\"} 5\n"),
        "a{…} stale @4\nb{…, x=\"1\"} 5 @4\nup{…} 1 @4\ncounts 1 1 1\n"
    );
    bench.appender.record_end(&mut bench.cache, 5000);
    assert_eq!(bench.stored(), "b{…, x=\"1\"} stale @5\nup{…} stale @5\ncounts stale stale stale\n");
}

#[test]
fn another_spelling_is_the_same_series() {
    let mut bench = Bench::new("");
    bench.scrape(1, "a{x=\"1\",y=\"2\"} 1\n");
    assert_eq!(
        bench.scrape(2, "a{y=\"2\",x=\"1\"} 2\n"),
        "a{…, x=\"1\", y=\"2\"} 2 @2\nup{…} 1 @2\ncounts 1 1 1\n"
    );
    assert_eq!(
        bench.scrape(3, "a{x=\"1\",y=\"2\"} 3\n"),
        "a{…, x=\"1\", y=\"2\"} 3 @3\nup{…} 1 @3\ncounts 1 1 1\n"
    );
}

#[test]
fn a_failed_scrape_ends_all_series() {
    let mut bench = Bench::new("");
    bench.scrape(1, "a 1\nb 2\n");
    let error = r#"error: strconv.ParseFloat: parsing "x": invalid syntax while parsing: "b x""#;
    assert_eq!(
        bench.scrape(2, "a 3\nb x\n"),
        format!("a{{…}} stale @2\nb{{…}} stale @2\nup{{…}} 0 @2\ncounts 1 1 0\n{error}\n")
    );
    assert_eq!(
        bench.record(3, Err(ScrapeError::Fetch("connection refused".into()))),
        "up{…} 0 @3\ncounts 0 0 0\nerror: connection refused\n"
    );
    assert_eq!(bench.scrape(4, "a 5\n"), "a{…} 5 @4\nup{…} 1 @4\ncounts 1 1 0\n");
    assert_eq!(bench.scrape(5, ""), "a{…} stale @5\nup{…} 1 @5\ncounts 0 0 0\n");
}

#[test]
fn timestamps_of_the_target() {
    let mut honors = Bench::new("");
    assert_eq!(honors.scrape(5, "a 1 4000\na 2 4500\n"), "a{…} 1 @4\na{…} 2 @4\nup{…} 1 @5\ncounts 2 2 1\n");
    assert_eq!(honors.scrape(6, "b 1\n"), "b{…} 1 @6\nup{…} 1 @6\ncounts 1 1 1\n");
    let mut ignores = Bench::new("honor_timestamps: false");
    assert_eq!(ignores.scrape(5, "a 1 4000\n"), "a{…} 1 @5\nup{…} 1 @5\ncounts 1 1 1\n");
    assert_eq!(ignores.scrape(6, ""), "a{…} stale @6\nup{…} 1 @6\ncounts 0 0 0\n");
    let mut tracks = Bench::new("track_timestamps_staleness: true");
    assert_eq!(tracks.scrape(5, "a 1 4000\n"), "a{…} 1 @4\nup{…} 1 @5\ncounts 1 1 1\n");
    assert_eq!(tracks.scrape(6, ""), "a{…} stale @6\nup{…} 1 @6\ncounts 0 0 0\n");
    let mut ahead = Bench::new("");
    assert_eq!(ahead.scrape(5, "a 1 606000\n"), "up{…} 1 @5\ncounts 1 1 0\n");
    assert_eq!(ahead.appender.metrics.out_of_bounds.get(), 1);
}

#[test]
fn duplicates_keep_the_first() {
    let mut bench = Bench::new("");
    assert_eq!(bench.scrape(1, "a 1\na 2\n"), "a{…} 1 @1\nup{…} 1 @1\ncounts 2 2 1\n");
    assert_eq!(bench.scrape(2, "a 1\na 2\n"), "a{…} 1 @2\nup{…} 1 @2\ncounts 2 2 0\n");
    assert_eq!(bench.appender.metrics.duplicate_timestamp.get(), 2);
    assert_eq!(
        bench.scrape(3, "a{x=\"1\",x=\"1\"} 1\n"),
        "a{…} stale @3\nup{…} 0 @3\ncounts 1 0 0\nerror: label name \"x\" is not unique: invalid sample\n"
    );
}

#[test]
fn labels_of_target_and_series_meet() {
    let mut renames = Bench::new("");
    assert_eq!(
        renames.scrape(1, "a{job=\"theirs\",exported_job=\"x\"} 1\nb{instance=\"\"} 1\n"),
        "a{exported_exported_job=\"theirs\", exported_job=\"x\", …} 1 @1\nb{…} 1 @1\nup{…} 1 @1\ncounts 2 2 2\n"
    );
    let mut honors = Bench::new("honor_labels: true");
    assert_eq!(
        honors.scrape(1, "a{job=\"theirs\"} 1\nb{instance=\"\"} 1\nc 1\n"),
        "a{instance=\"i\", job=\"theirs\"} 1 @1\nb{job=\"j\"} 1 @1\nc{…} 1 @1\nup{…} 1 @1\ncounts 3 3 3\n"
    );
}

#[test]
fn metric_relabelling() {
    let rules = "metric_relabel_configs: [{source_labels: [__name__], regex: 'drop_.*', action: drop}, \
                 {regex: x, action: labeldrop}, {source_labels: [__name__], regex: gone, target_label: __name__, replacement: ''}]";
    let mut bench = Bench::new(rules);
    for time in [1, 2] {
        let added = if time == 1 { 1 } else { 0 };
        assert_eq!(
            bench.scrape(time, "drop_me 1\nkeep{x=\"1\"} 2\n"),
            format!("keep{{…}} 2 @{time}\nup{{…}} 1 @{time}\ncounts 2 1 {added}\n")
        );
    }
    assert_eq!(
        bench.scrape(3, "gone 1\n"),
        "keep{…} stale @3\nup{…} 0 @3\ncounts 1 0 0\nerror: missing metric name (__name__ label)\n"
    );
}

#[test]
fn limits_fail_the_scrape_with_the_peers_words() {
    let f = |job: &str, body: &str, counts: &str, error: &str| {
        let mut bench = Bench::new(job);
        assert_eq!(
            bench.scrape(1, body),
            format!("up{{…}} 0 @1\ncounts {counts}\nerror: {error}\n"),
            "{job}"
        );
    };
    f("sample_limit: 1", "a 1\nb 1\nc 1\n", "3 3 0", "sample limit exceeded");
    f(
        "label_limit: 3",
        "a{x=\"1\"} 1\n",
        "1 0 0",
        "label_limit exceeded (metric: a, number of labels: 4, limit: 3)",
    );
    f(
        "label_name_length_limit: 8",
        "a{looooooong=\"1\"} 1\n",
        "1 0 0",
        "label_name_length_limit exceeded (metric: a, label name: looooooong, length: 10, limit: 8)",
    );
    f(
        "label_value_length_limit: 3",
        "a{x=\"1234\"} 1\n",
        "1 0 0",
        "label_value_length_limit exceeded (metric: a, label name: x, value: \"1234\", length: 4, limit: 3)",
    );
    f(
        "metric_name_validation_scheme: legacy",
        "{\"a.b\"} 1\n",
        "1 0 0",
        "invalid metric name or label names: {\"a.b\", instance=\"i\", job=\"j\"}",
    );
    let mut under = Bench::new("sample_limit: 1");
    assert_eq!(under.scrape(1, "a 1\na 1\n"), "a{…} 1 @1\nup{…} 1 @1\ncounts 2 2 1\n");
}

#[test]
fn content_types_decide_the_format() {
    let mut strict = Bench::new("");
    assert_eq!(
        strict.scrape_as(1, "text/html", "a 1\n"),
        "up{…} 0 @1\ncounts 0 0 0\nerror: received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target\n"
    );
    let mut fallback = Bench::new("fallback_scrape_protocol: OpenMetricsText1.0.0");
    assert_eq!(fallback.scrape_as(1, "", "a 1\n# EOF\n"), "a{…} 1 @1\nup{…} 1 @1\ncounts 1 1 1\n");
}

#[test]
fn extra_metrics() {
    let mut bench = Bench::new("extra_scrape_metrics: true\nsample_limit: 9");
    assert_eq!(
        bench.scrape(1, "a 1\n"),
        "a{…} 1 @1\nscrape_body_size_bytes{…} 4 @1\nscrape_sample_limit{…} 9 @1\nscrape_timeout_seconds{…} 10 @1\nup{…} 1 @1\ncounts 1 1 1\n"
    );
    let over = bench.record(2, Err(ScrapeError::BodySizeLimit));
    assert!(over.contains("scrape_body_size_bytes{…} -1 @2"), "{over}");
}

#[test]
fn a_store_that_does_not_take_the_batch_is_named_and_nothing_is_forgotten() {
    let mut bench = Bench::new("");
    bench.scrape(1, "a 1\nb 1\n");
    bench.store.0.lock().read_only = true;
    for time in [2, 3] {
        assert_eq!(bench.scrape(time, "a 2\n"), "counts \nerror: storage is read-only: disk full\n");
    }
    bench.store.0.lock().read_only = false;
    assert_eq!(bench.scrape(4, "a 3\n"), "a{…} 3 @4\nb{…} stale @4\nup{…} 1 @4\ncounts 1 1 0\n");
}

#[test]
fn series_the_store_forgot_are_asked_for_again() {
    let mut bench = Bench::new("");
    bench.scrape(1, "a 1\nb 1\n");
    let all: Vec<SeriesRef> = (0..bench.store.0.lock().series.len()).map(|at| SeriesRef(at as u64)).collect();
    bench.store.0.lock().forgotten.extend(all);
    assert_eq!(bench.scrape(2, "a 2\n"), "a{…} 2 @2\nb{…} stale @2\nup{…} 1 @2\ncounts 1 1 0\n");
    assert_eq!(bench.scrape(3, "a 3\n"), "a{…} 3 @3\nup{…} 1 @3\ncounts 1 1 0\n");
}

#[test]
fn another_configuration_ends_what_it_no_longer_has() {
    let mut bench = Bench::new("");
    bench.scrape(1, "a 1\nb 1\n");
    bench.cache = bench.cache.succeed();
    assert_eq!(bench.scrape(2, "a 2\n"), "a{…} 2 @2\nb{…} stale @2\nup{…} 1 @2\ncounts 1 1 1\n");
    assert_eq!(bench.scrape(3, "a 2\n"), "a{…} 2 @3\nup{…} 1 @3\ncounts 1 1 0\n");
}

#[test]
fn metadata_is_kept_for_ten_scrapes() {
    let mut bench = Bench::new("");
    bench.scrape(1, "# HELP a Help.\n# TYPE a counter\na 1\n");
    let families = bench.cache.families().lock().list();
    assert_eq!(families.len(), 1);
    assert_eq!((families[0].family.as_str(), families[0].metadata.help.as_str()), ("a", "Help."));
    for time in 2..=11 {
        bench.scrape(time, "a 1\n");
        assert_eq!(bench.cache.families().lock().list().len(), 1, "{time}");
    }
    bench.scrape(12, "a 1\n");
    assert_eq!(bench.cache.families().lock().list().len(), 0);
}

#[test]
fn turns_are_spread_and_stay() {
    let bench = Bench::new("scrape_interval: 10s");
    let target = &bench.appender.target;
    let turn = |now: u64| Duration::from_secs(now) + target.offset(Duration::from_secs(now), 7);
    let phase = turn(1_000).as_nanos() % 10_000_000_000;
    for now in 1_001..1_030 {
        assert_eq!(turn(now).as_nanos() % 10_000_000_000, phase);
        assert!(turn(now) - Duration::from_secs(now) < Duration::from_secs(10));
    }
    assert_ne!(target.offset(Duration::ZERO, 7), target.offset(Duration::ZERO, 8));
}
