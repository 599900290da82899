//! The same real exporters scraped by Debian's Prometheus and by novaobs from one prometheus.yml, then the
//! same queries to both.
//!
//! Two servers never scrape at the same instant, so a tape stands between them and the exporters: the nth
//! scrape of a target gets the nth page, whoever asks, with the timestamps of that page written on every
//! sample. Both servers thus parse, relabel and store the same real pages, and the answers can be compared
//! to the last digit. Pages are 15 s apart on the tape and taken much faster than that.
//!
//! Where Prometheus 3 differs from 2.42 we follow 3; `as_prometheus_3` rewrites the peer's answers in just
//! these points, and ARCHITECTURE.md lists them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use harness::exporters::Exporter;
use harness::fakes::{Fake, Request};
use harness::{Server, get, wait_within};
use serde_json::Value;

/// Pages on the tape and seconds between them: 50 minutes, within the hour that the peer's head accepts.
const PAGES: usize = 200;
const PAGE_SECONDS: f64 = 15.0;
/// Samples sit this far after a full second and evaluations that far, so that no window edge of a query
/// falls on a sample or on a step of a subquery: the peer's windows are closed on the left until 3.0, ours
/// are open.
const OFF_THE_EDGE: f64 = 0.337;
const EVALUATED_AT: f64 = 0.4;

/// Pages of the exporters, in order, and how many each server has seen.
struct Tape {
    start: f64,
    pages: Mutex<HashMap<String, Vec<String>>>,
    positions: Mutex<HashMap<(String, String), usize>>,
}

impl Tape {
    /// Answers `GET /<exporter address>/metrics` from the server named by its User-Agent.
    fn play(&self, request: &Request) -> (u16, &'static str, String) {
        let exporter = request.path.trim_start_matches('/').trim_end_matches("/metrics").to_owned();
        let agent = request.header("user-agent").split('/').next().unwrap_or_default().to_lowercase();
        let mut positions = self.positions.lock().unwrap();
        let position = positions.entry((agent, exporter.clone())).or_insert(0);
        let mut pages = self.pages.lock().unwrap();
        let pages = pages.entry(exporter.clone()).or_default();
        if *position >= PAGES {
            // After the end the last page again: same times, same values, nothing new is stored.
            return (200, TEXT, pages[PAGES - 1].clone());
        }
        if pages.len() == *position {
            let page = get(&format!("http://{exporter}/metrics")).unwrap().body;
            pages.push(self.stamp(&page, *position));
        }
        *position += 1;
        (200, TEXT, pages[*position - 1].clone())
    }

    /// Writes the page's time on every sample.
    fn stamp(&self, page: &str, position: usize) -> String {
        let time = ((self.start + position as f64 * PAGE_SECONDS) * 1000.0).round() as i64;
        let mut stamped = String::with_capacity(page.len() * 2);
        for line in page.lines() {
            let is_sample = !line.is_empty() && !line.starts_with('#');
            let _ = if is_sample { writeln!(stamped, "{line} {time}") } else { writeln!(stamped, "{line}") };
        }
        stamped
    }

    /// Whether both servers have seen the whole tape of every exporter.
    fn is_over(&self, exporters: usize) -> bool {
        let positions = self.positions.lock().unwrap();
        positions.len() == 2 * exporters && positions.values().all(|position| *position >= PAGES)
    }
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Debian's packages: make blackbox")]
fn both_answer_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let exporters =
        [Exporter::node(scratch.path()), Exporter::redis(scratch.path()), Exporter::postgres(scratch.path())];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let start = (now / 60.0).floor() * 60.0 - PAGES as f64 * PAGE_SECONDS + OFF_THE_EDGE;
    let tape = Arc::new(Tape { start, pages: Mutex::default(), positions: Mutex::default() });
    let player = tape.clone();
    let proxy = Fake::start(move |request| player.play(request));
    let config = config(&proxy.address, &exporters);
    let theirs = Server::prometheus(&scratch.path().join("theirs"), &config, &[]);
    let ours = Server::novaobs(
        &scratch.path().join("ours"),
        &config,
        &["--enable-feature=promql-experimental-functions"],
    );
    wait_within(harness::PATIENCE * 4, "the tape to end", || tape.is_over(exporters.len()).then_some(()));
    let last =
        format!("count_over_time(node_load1[2m] @ {})", start + (PAGES - 1) as f64 * PAGE_SECONDS + 1.0);
    for server in [&theirs, &ours] {
        harness::wait_for("the last page to be stored", || (server.number(&last) == Some(8.0)).then_some(()));
    }

    let queries = queries(start);
    assert!(queries.len() >= 200, "only {} queries", queries.len());
    let mut differences = Vec::new();
    let mut answered = 0;
    for query in &queries {
        let parameters: Vec<(&str, &str)> = query.parameters.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let their_answer = theirs.api(query.path, &parameters);
        let renamed: Vec<(&str, String)> =
            query.parameters.iter().map(|(n, v)| (*n, name_of_prometheus_3(v))).collect();
        let parameters: Vec<(&str, &str)> = renamed.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let our_answer = ours.api(query.path, &parameters);
        let expected = as_prometheus_3(their_answer.json(), query);
        if let Err(difference) = compare(&expected, &our_answer.json()) {
            differences.push(format!("{} {:?}\n  {difference}", query.path, query.parameters));
        } else if their_answer.json()["data"]["result"].as_array().is_some_and(|result| !result.is_empty()) {
            answered += 1;
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        queries.len(),
        differences.join("\n")
    );
    // Agreement on nothing shows nothing: most queries must have an answer with series in it.
    assert!(answered * 10 >= queries.len() * 7, "only {answered} of {} have series", queries.len());
    println!("{} queries agree, {answered} of them with series", queries.len());
}

fn config(proxy: &str, exporters: &[Exporter]) -> String {
    let mut config = String::from(
        "global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\n  evaluation_interval: 15s\nscrape_configs:\n",
    );
    for (job, exporter) in ["node", "redis", "postgres"].iter().zip(exporters) {
        let _ = write!(
            config,
            "- job_name: {job}\n  metrics_path: /{}/metrics\n  static_configs:\n  - targets: ['{proxy}']\n    labels: {{zone: 'a-{job}'}}\n  \
             relabel_configs:\n  - source_labels: [job]\n    target_label: instance\n    replacement: '$1:1'\n  \
             metric_relabel_configs:\n  - source_labels: [__name__]\n    regex: 'go_gc_.*'\n    action: drop\n",
            exporter.address
        );
    }
    config
}

struct Query {
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
}

/// Every line of the query file as an instant and as a range query; lines after `# instant` only so.
fn queries(start: f64) -> Vec<Query> {
    let base = start - OFF_THE_EDGE;
    let end = base + PAGES as f64 * PAGE_SECONDS;
    let mut instant_only = false;
    let mut queries = Vec::new();
    for line in include_str!("differential/queries.txt").lines().map(str::trim) {
        if line.starts_with("# instant") {
            instant_only = true;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let query = line.replace("$MID", &format!("{}", base + 1800.0 + EVALUATED_AT));
        let instant = vec![("query", query.clone()), ("time", format!("{}", end - 100.0 + EVALUATED_AT))];
        queries.push(Query { path: "query", parameters: instant });
        if !instant_only {
            let range = vec![
                ("query", query),
                ("start", format!("{}", base + 600.0 + EVALUATED_AT)),
                ("end", format!("{}", end - 60.0)),
                ("step", "47".to_owned()),
            ];
            queries.push(Query { path: "query_range", parameters: range });
        }
    }
    queries
}

/// A function that has another name in Prometheus 3.
fn name_of_prometheus_3(query: &str) -> String {
    query.replace("holt_winters(", "double_exponential_smoothing(")
}

/// What Prometheus 3 would have answered where 2.42 answers otherwise.
fn as_prometheus_3(mut answer: Value, query: &Query) -> Value {
    if let Some(error) = answer["error"].as_str() {
        // Parse errors of range queries name the parameter, as those of instant queries always did.
        let unnamed = answer["errorType"] == "bad_data" && !error.starts_with("invalid parameter");
        let prefix = if unnamed { "invalid parameter \"query\": " } else { "" };
        // Regular expressions are shown as they were written.
        let mut error = format!("{prefix}{error}").replace("`^(?:()$`", "`(`");
        // The two series of an ambiguous match are named in order.
        if let Some((head, rest)) = error.split_once("operation: [")
            && let Some((series, tail)) = rest.split_once("];")
            && let Some((a, b)) = series.split_once("}, {")
        {
            let mut pair = [format!("{}}}", a), format!("{{{b}")];
            pair.sort_unstable();
            error = format!("{head}operation: [{}];{tail}", pair.join(", "));
        }
        answer["error"] = error.into();
        return answer;
    }
    let drops_name = query.parameters.iter().any(|(_, text)| text.contains("atan2"));
    let series = answer["data"]["result"].as_array_mut().into_iter().flatten();
    for metric in series.filter_map(|one| one.get_mut("metric")?.as_object_mut()) {
        // atan2 drops the name as all arithmetic does.
        if drops_name {
            metric.remove("__name__");
        }
        // Bounds of buckets and quantiles are stored as OpenMetrics writes them.
        for bound in ["le", "quantile"] {
            if let Some(whole) =
                metric.get(bound).and_then(Value::as_str).filter(|text| text.parse::<i64>().is_ok())
            {
                let float = format!("{whole}.0");
                metric.insert(bound.to_owned(), float.into());
            }
        }
    }
    answer
}

/// Compares two answers: status, error, type, series and values.
fn compare(theirs: &Value, ours: &Value) -> Result<(), String> {
    for key in ["status", "errorType", "error"] {
        if theirs[key] != ours[key] {
            return Err(format!("{key}: theirs {}, ours {} ({})", theirs[key], ours[key], ours["error"]));
        }
    }
    let (theirs, ours) = (&theirs["data"], &ours["data"]);
    if theirs["resultType"] != ours["resultType"] {
        return Err(format!("theirs is a {}, ours a {}", theirs["resultType"], ours["resultType"]));
    }
    if matches!(theirs["resultType"].as_str(), Some("scalar" | "string")) {
        return compare_point(&theirs["result"], &ours["result"]);
    }
    let (theirs, ours) = (by_labels(theirs), by_labels(ours));
    for (labels, series) in &theirs {
        let Some(other) = ours.get(labels) else { return Err(format!("ours lacks {labels}")) };
        let (points, others) = (points(series), points(other));
        if points.len() != others.len() {
            return Err(format!("{labels}: theirs has {} points, ours {}", points.len(), others.len()));
        }
        for (point, other) in points.iter().zip(others) {
            compare_point(point, other).map_err(|difference| format!("{labels}: {difference}"))?;
        }
    }
    match ours.keys().find(|labels| !theirs.contains_key(*labels)) {
        Some(labels) => Err(format!("theirs lacks {labels}")),
        None => Ok(()),
    }
}

fn by_labels(data: &Value) -> HashMap<String, &Value> {
    let series = data["result"].as_array().map_or(&[][..], Vec::as_slice);
    let sorted = |metric: &Value| {
        let mut pairs: Vec<_> = metric.as_object().unwrap().iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.sort_unstable();
        pairs.join(",")
    };
    series.iter().map(|one| (sorted(&one["metric"]), one)).collect()
}

fn points(series: &Value) -> Vec<&Value> {
    match series["values"].as_array() {
        Some(values) => values.iter().collect(),
        None => vec![&series["value"]],
    }
}

/// Times equal, values equal to 1e-9 of the larger one.
fn compare_point(theirs: &Value, ours: &Value) -> Result<(), String> {
    let number = |point: &Value| point[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let close = match (number(theirs), number(ours)) {
        (Some(a), Some(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        _ => theirs[1] == ours[1],
    };
    if close && theirs[0].as_f64() == ours[0].as_f64() {
        return Ok(());
    }
    Err(format!("theirs {theirs}, ours {ours}"))
}
