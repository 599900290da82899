//! The Loki face, text in, text out: the files under `tests/loki` hold pushes, requests and their answers.
//! `UPDATE_EXPECT=1 cargo test` writes the answers; read the difference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod loki_support;

use std::time::Duration;

use expect_test::expect_file;
use loki_support::{Fixture, answers, ask};
use novaobs_model::Labels;
use novaobs_rules::{ActiveAlert, AlertState, GroupSnapshot, Health, RuleSnapshot, SnapshotKind};
use novaobs_tenants::Limits;
use novaobs_tenants::limits::BlockedQuery;

macro_rules! file_tests {
    ($($name:ident: $file:literal with $fixture:expr,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let router = $fixture.router();
            let text = answers(include_str!(concat!("loki/", $file)), &router).await;
            expect_file![concat!("loki/", $file)].assert_eq(&text);
        }
    )*};
}

/// Limits under which lines are kept as they are pushed.
fn plain() -> Limits {
    Limits { discover_log_levels: false, discover_service_name: Vec::new(), ..Fixture::default().limits }
}

/// Limits that are easily exceeded.
fn tight() -> Limits {
    let blocked = |pattern: &str, regex: bool, tags: &[(&str, &str)]| BlockedQuery {
        pattern: pattern.to_owned(),
        regex,
        types: Vec::new(),
        hash: 0,
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    Limits {
        max_entries_limit_per_query: 2,
        max_query_length: Duration::from_secs(86_400),
        max_query_range: Duration::from_secs(3600),
        max_streams_matchers_per_query: 3,
        required_labels: vec!["app".to_owned()],
        minimum_labels_number: 2,
        volume_enabled: false,
        blocked_queries: vec![
            blocked("{app=\"x\",env=\"p\"}|=\"blocked\"", false, &[]),
            blocked("secret [0-9]", true, &[]),
            blocked(".*tagged.*", true, &[("Source", "bad")]),
        ],
        ..plain()
    }
}

file_tests! {
    parameters: "parameters.test" with Fixture::default(),
    queries: "queries.test" with Fixture::default(),
    labels_and_figures: "labels.test" with Fixture::default(),
    fields_patterns_and_old_routes: "detected.test" with Fixture::default(),
    deletes_rules_and_pages: "admin.test" with Fixture::default(),
    tenants: "tenants.test" with Fixture { auth: true, limits: plain(), ..Fixture::default() },
    limits: "limits.test" with Fixture { limits: tight(), patterns: false, ..Fixture::default() },
    pages_and_export: "pages.test" with Fixture::default(),
}

/// A group with a recorded series and a firing alert.
fn group() -> GroupSnapshot {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let rule = RuleSnapshot {
        name: "lines:rate1m".to_owned(),
        query: "sum(rate({app=\"x\"}[1m]))".to_owned(),
        labels: Labels::empty(),
        health: Health::Ok,
        last_error: None,
        evaluation_time: Duration::from_millis(2),
        last_evaluation: Some(1_700_000_000_500),
        kind: SnapshotKind::Recording,
    };
    let alert = ActiveAlert {
        state: AlertState::Firing,
        labels: labels(&[("alertname", "Loud"), ("severity", "page")]),
        annotations: labels(&[("summary", "5 <errors>")]),
        value: 5.0,
        active_at: 1_700_000_000_000,
        fired_at: Some(1_700_000_060_000),
        resolved_at: None,
        keep_firing_since: None,
        last_sent_at: None,
        valid_until: 0,
    };
    let alerting = RuleSnapshot {
        name: "Loud".to_owned(),
        labels: labels(&[("severity", "page")]),
        health: Health::Error,
        last_error: Some("it broke".to_owned()),
        last_evaluation: None,
        kind: SnapshotKind::Alerting {
            state: Some(AlertState::Firing),
            hold: Duration::from_secs(60),
            keep_firing_for: Duration::ZERO,
            annotations: labels(&[("summary", "{{ $value }} <errors>")]),
            alerts: vec![alert],
        },
        ..rule.clone()
    };
    GroupSnapshot {
        name: "g".to_owned(),
        file: "ns".to_owned(),
        interval: Duration::from_secs(60),
        limit: 0,
        rules: vec![rule, alerting],
        evaluation_time: Duration::from_millis(3),
        last_evaluation: Some(1_700_000_000_500),
    }
}

file_tests! {
    states_of_rules: "rule_status.test" with Fixture { rules: vec![group()], ..Fixture::default() },
}

const LINES: &str = "push app=\"x\"\n  @1 one\n  @2 two\n";
const ASK: &str = "GET /loki/api/v1/query_range?query={app=\"x\"}&start=@0&end=@100";

#[tokio::test]
async fn a_query_that_takes_too_long_says_what_to_do() {
    let limits = Limits { query_timeout: Duration::from_nanos(1), ..Fixture::default().limits };
    let router = Fixture { limits, ..Fixture::default() }.router();
    answers(LINES, &router).await;
    let text = ask(ASK, &router).await;
    assert!(text.starts_with("504 text/plain; charset=utf-8 nosniff\nrequest timed out, decrease"), "{text}");
}

#[tokio::test]
async fn queries_can_be_switched_off() {
    let limits = Limits { max_query_parallelism: 0, ..Fixture::default().limits };
    let router = Fixture { limits, ..Fixture::default() }.router();
    let want =
        "429 text/plain; charset=utf-8 nosniff\nquerying is disabled, please contact your Loki operator⏎\n";
    assert_eq!(ask(ASK, &router).await, want);
}

#[tokio::test]
async fn a_query_over_its_memory_says_so() {
    let router = Fixture { query_memory: 16, ..Fixture::default() }.router();
    answers(LINES, &router).await;
    let text = ask(ASK, &router).await;
    assert!(
        text.starts_with("400 ") && text.contains("a query would use more than its 16 bytes of memory"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_ready_says_why() {
    let router = Fixture { ready: false, ..Fixture::default() }.router();
    let text = ask("GET /ready", &router).await;
    assert_eq!(text, "503 text/plain; charset=utf-8 nosniff\nIngester not ready: replaying the log\n");
}

#[tokio::test]
async fn requests_are_measured_by_route() {
    let router = Fixture::default().router();
    ask(ASK, &router).await;
    let page = ask("GET /metrics", &router).await;
    let want = "loki_request_duration_seconds_count{method=\"GET\",route=\"loki_api_v1_query_range\",status_code=\"200\",ws=\"false\"} 1";
    assert!(page.contains(want), "{page}");
}

#[tokio::test]
async fn queries_wait_for_each_other_and_none_is_refused() {
    let router = Fixture::default().router();
    answers(LINES, &router).await;
    let asked = (0..200).map(|_| ask(ASK, &router));
    let all = futures::future::join_all(asked).await;
    assert!(all.iter().all(|text| text.starts_with("200 ")));
}

#[tokio::test]
async fn patterns_follow_levels_and_steps() {
    let router = Fixture::default().router();
    let lines: String = (0..40)
        .map(|n| {
            format!("  @{n} level={} msg=\"user {n} logged in\"\n", if n % 4 == 0 { "warn" } else { "info" })
        })
        .collect();
    answers(&format!("push app=\"x\"\n{lines}"), &router).await;
    let text = ask("GET /loki/api/v1/patterns?query={app=\"x\"}&start=@0&end=@40&step=20", &router).await;
    assert_eq!(
        text,
        "200 application/json; charset=UTF-8\n{\"status\":\"success\",\"data\":[{\"pattern\":\"level=info msg=\\\"user \\u003c_\\u003e logged in\\\"\",\"level\":\"info\",\"samples\":[[1700000000,15],[1700000020,15]]},{\"pattern\":\"level=warn msg=\\\"user \\u003c_\\u003e logged in\\\"\",\"level\":\"warn\",\"samples\":[[1700000000,5],[1700000020,5]]}]}\n"
    );
}
