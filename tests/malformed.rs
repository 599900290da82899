//! Bad input of every kind: each gets a clear error in the peer's shape and status, and the server lives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use harness::fakes::Fake;
use harness::{Server, ask, get, novaobs_binary, post, wait_for};
use serde_json::Value;

/// Requests that must be refused: status, errorType, a part of the error, path and parameters.
const REQUESTS: &[(u16, &str, &str, &str)] = &[
    (400, "bad_data", "parse error", "query?query="),
    (400, "bad_data", "parse error", "query?query=sum("),
    (400, "bad_data", "parse error", "query?query=)"),
    (400, "bad_data", "parse error", "query?query=up%5B5m"),
    (400, "bad_data", "parse error", "query?query=up%5B%5D"),
    (400, "bad_data", "parse error", "query?query=%7B%7D"),
    (400, "bad_data", "parse error", "query?query=%22open"),
    (400, "bad_data", "parse error", "query?query=up%20offset"),
    (400, "bad_data", "parse error", "query?query=rate(up)"),
    (400, "bad_data", "parse error", "query?query=up%20%26%26%20up"),
    (400, "bad_data", "parse error", "query?query=%00"),
    (400, "bad_data", "parse error", "query?query=sum%20by%20(%20up"),
    (400, "bad_data", "parse error", "query?query=1%20%2B"),
    (400, "bad_data", "unknown function", "query?query=nope(up)"),
    (400, "bad_data", "error parsing regexp", "query?query=up%7Ba%3D~%22(%22%7D"),
    (400, "bad_data", "error parsing regexp", "query?query=up%7Ba%3D~%22a%7Bz%5B%22%7D"),
    (400, "bad_data", "BOOL", "query?query=1%20%3D%3D%201%20%3D%3D%202"),
    (400, "bad_data", "invalid parameter \"time\"", "query?query=up&time=yesterday"),
    (400, "bad_data", "invalid parameter \"time\"", "query?query=up&time=1e400"),
    (400, "bad_data", "invalid parameter \"timeout\"", "query?query=up&timeout=soon"),
    (400, "bad_data", "invalid parameter \"limit\"", "query?query=up&limit=-1"),
    (400, "bad_data", "invalid parameter \"limit\"", "query?query=up&limit=many"),
    (400, "bad_data", "invalid parameter \"start\"", "query_range?query=up"),
    (400, "bad_data", "invalid parameter \"start\"", "query_range?query=up&start=x&end=1&step=1"),
    (400, "bad_data", "invalid parameter \"end\"", "query_range?query=up&start=1&step=1"),
    (400, "bad_data", "end timestamp must not be before start", "query_range?query=up&start=2&end=1&step=1"),
    (400, "bad_data", "invalid parameter \"step\"", "query_range?query=up&start=1&end=2"),
    (400, "bad_data", "zero or negative query resolution", "query_range?query=up&start=1&end=2&step=0"),
    (400, "bad_data", "zero or negative query resolution", "query_range?query=up&start=1&end=2&step=-1"),
    (400, "bad_data", "11,000 points", "query_range?query=up&start=0&end=100000&step=1"),
    (400, "bad_data", "invalid expression type", "query_range?query=up%5B5m%5D&start=1&end=2&step=1"),
    (400, "bad_data", "invalid expression type", "query_range?query=%22a%22&start=1&end=2&step=1"),
    (400, "bad_data", "parse error", "query_range?query=sum(&start=1&end=2&step=1"),
    (400, "bad_data", "no match[] parameter provided", "series"),
    (400, "bad_data", "parse error", "series?match%5B%5D=up%7B"),
    (
        400,
        "bad_data",
        "match[] must contain at least one non-empty matcher",
        "series?match%5B%5D=%7Ba%3D%22%22%7D",
    ),
    (400, "bad_data", "invalid parameter \"start\"", "series?match%5B%5D=up&start=x"),
    (400, "bad_data", "invalid parameter \"limit\"", "series?match%5B%5D=up&limit=-2"),
    (400, "bad_data", "parse error", "labels?match%5B%5D=("),
    (400, "bad_data", "invalid parameter \"end\"", "labels?end=x"),
    (400, "bad_data", "parse error", "label/job/values?match%5B%5D=1"),
    (400, "bad_data", "invalid label name", "label//values"),
    (400, "bad_data", "limit", "metadata?limit=x"),
    (400, "bad_data", "limit", "metadata?limit_per_metric=x"),
    (400, "bad_data", "parse error", "format_query?query=sum("),
    (400, "bad_data", "limit", "status/tsdb?limit=0"),
    (400, "bad_data", "limit", "status/tsdb?limit=x"),
    (400, "bad_data", "type", "rules?type=nope"),
    (422, "execution", "many-to-many", "query?query=a%20%2B%20on(x)%20a"),
    (
        422,
        "execution",
        "invalid destination label name",
        "query?query=label_replace(a%2C%22%22%2C%22%22%2C%22%22%2C%22%22)",
    ),
];

/// Configs that must be refused, and a part of the error.
const CONFIGS: &[(&str, &str)] = &[
    ("global: 5\n", ":1:9: "),
    ("global:\n  scrape_interval: 5\n", ":2:20: "),
    ("global:\n  scrape_interval: -5s\n", ":2:20: "),
    ("global: {scrape_interval: 10s, scrape_timeout: 20s}\n", "scrape timeout"),
    ("global:\n  metric_name_validation_scheme: legacy\n  external_labels: {a-b: c}\n", "a-b"),
    ("global:\n\tscrape_interval: 5s\n", ":2:"),
    ("scrape_configs: {}\n", ":1:17: "),
    ("scrape_configs:\n- scrape_interval: 5s\n", "job_name"),
    ("scrape_configs:\n- job_name: ''\n", "job_name"),
    ("scrape_configs: [{job_name: a}, {job_name: a}]\n", "a"),
    ("scrape_configs: [{job_name: a, honor_labels: maybe}]\n", "honor_labels"),
    ("scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]\n", "timeout"),
    ("scrape_configs: [{job_name: a, static_configs: [{targets: ['http://a:1/x']}]}]\n", "http://a:1/x"),
    ("scrape_configs: [{job_name: a, static_configs: [{targets: 5}]}]\n", "targets"),
    ("scrape_configs: [{job_name: a, relabel_configs: [{action: explode}]}]\n", "explode"),
    ("scrape_configs: [{job_name: a, relabel_configs: [{regex: '('}]}]\n", "("),
    ("scrape_configs: [{job_name: a, relabel_configs: [{action: hashmod, target_label: x}]}]\n", "modulus"),
    (
        "scrape_configs: [{job_name: a, relabel_configs: [{action: replace, source_labels: [b]}]}]\n",
        "target_label",
    ),
    ("scrape_configs: [{job_name: a, basic_auth: {password: x, password_file: y}}]\n", "password"),
    ("scrape_configs: [{job_name: a, basic_auth: {username: x}, bearer_token: y}]\n", "bearer_token"),
    ("scrape_configs: [{job_name: a, proxy_url: '::'}]\n", "proxy_url"),
    ("scrape_configs: [{job_name: a, sample_limit: many}]\n", "sample_limit"),
    ("scrape_configs: [{job_name: a, body_size_limit: 5QB}]\n", "body_size_limit"),
    ("scrape_configs: [{job_name: a, file_sd_configs: [{files: ['*/x.txt']}]}]\n", "x.txt"),
    ("scrape_configs: [{job_name: a, dns_sd_configs: [{names: []}]}]\n", "DNS-SD config"),
    ("scrape_configs: [{job_name: a, http_sd_configs: [{}]}]\n", "URL is missing"),
    ("rule_files: 5\n", ":1:13: "),
    ("alerting: {alertmanagers: [{api_version: v9}]}\n", "v9"),
    ("a: &a [*a]\n", ""),
    ("{", ":"),
    ("\u{0}", ":"),
    ("scrape_configs: [{job_name: a, job_name: b}]\n", "job_name"),
];

/// Pages a target may serve that must fail the scrape, and a part of lastError.
const PAGES: &[(&str, &str, &str)] = &[
    ("text/plain", "up{a=\"b\" 1\n", ""),
    ("text/plain", "up 1 2 3\n", ""),
    ("text/plain", "up one\n", "one"),
    ("text/plain", "{} 1\n", ""),
    ("text/plain", "1up 1\n", ""),
    ("text/plain", "up{a=\"\u{0}\"", ""),
    ("text/plain", "up{a=\"b\",a=\"c\"} 1\n", ""),
    ("application/openmetrics-text; version=1.0.0", "up 1\n", "EOF"),
    ("application/openmetrics-text; version=1.0.0", "up 1\n# EOF\nmore 1\n", "EOF"),
    ("application/openmetrics-text; version=1.0.0", "# TYPE up nonsense\n# EOF\n", "nonsense"),
    ("image/png", "up 1\n", "image/png"),
    (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        "\u{7f}garbage",
        "",
    ),
];

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts servers: make blackbox")]
fn every_bad_request_is_refused_in_the_peers_shape() {
    let scratch = tempfile::tempdir().unwrap();
    let target = Fake::always("a{x=\"1\",y=\"1\"} 1\na{x=\"1\",y=\"2\"} 1\n");
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs: [{{job_name: a, fallback_scrape_protocol: PrometheusText0.0.4, static_configs: [{{targets: ['{}']}}]}}]\n",
        target.address
    );
    let server = Server::novaobs(scratch.path(), &config, &["--web.enable-remote-write-receiver"]);
    wait_for("a scrape", || server.number("count(a)").filter(|n| *n == 2.0));
    for (status, kind, part, path) in REQUESTS {
        let answer = get(&format!("{}/api/v1/{path}", server.url)).unwrap();
        assert_eq!(answer.status, *status, "{path}: {}", answer.body);
        let body = answer.json();
        assert_eq!(body["status"], "error", "{path}: {body}");
        assert_eq!(body["errorType"], *kind, "{path}: {body}");
        let error = body["error"].as_str().unwrap_or_default();
        assert!(error.contains(part) && !error.is_empty(), "{path}: {body} lacks {part:?}");
    }

    let snappy = |body: &[u8]| snap::raw::Encoder::new().compress_vec(body).unwrap();
    let write = |content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type), ("content-encoding", "snappy")];
        post(&format!("{}/api/v1/write", server.url), &headers, body).unwrap()
    };
    let protobuf = "application/x-protobuf";
    for (status, content_type, body) in [
        (400, protobuf, b"not snappy".to_vec()),
        (400, protobuf, vec![0xff; 64]),
        (400, protobuf, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]),
        (400, protobuf, snappy(b"\x0a\xff\xff\xff\xff\x0fx")),
        (400, protobuf, snappy(&[0x0a, 0x04, 0x0a, 0x02, 0x0a, 0x09])),
        (415, "text/plain", snappy(b"")),
        (415, "application/x-protobuf;proto=io.example.Nope", snappy(b"")),
    ] {
        let answer = write(content_type, &body);
        assert_eq!(answer.status, status, "{content_type} {body:?}: {}", answer.body);
        assert!(!answer.body.trim().is_empty());
    }
    assert_eq!(get(&format!("{}/api/v1/nope", server.url)).unwrap().status, 404);
    let healthy = get(&format!("{}/-/healthy", server.url)).unwrap();
    assert_eq!(healthy.status, 200);
    assert!(!server.process.output().contains("panicked"), "{}", server.process.output());
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts the binary: make blackbox")]
fn every_bad_config_is_refused_with_its_place() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("prometheus.yml");
    for (text, part) in CONFIGS {
        std::fs::write(&file, text).unwrap();
        let output = std::process::Command::new(novaobs_binary())
            .args(["check", "config"])
            .arg(&file)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text:?}: {printed}");
        let place = format!("{}:", file.display());
        assert!(printed.contains(&place) && printed.contains(part), "{text:?}: {printed} lacks {part:?}");
        assert!(!printed.contains("panicked"), "{text:?}: {printed}");
    }
}

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "starts servers: make blackbox")]
fn every_bad_page_fails_its_scrape_only() {
    let scratch = tempfile::tempdir().unwrap();
    let pages = Fake::start(|request| {
        let at: usize = request.path.trim_start_matches('/').parse().unwrap();
        let (content_type, body, _) = PAGES[at];
        (200, content_type, body.to_owned())
    });
    let mut config =
        String::from("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n");
    for at in 0..PAGES.len() {
        config += &format!(
            "- {{job_name: 'p{at}', metrics_path: /{at}, static_configs: [{{targets: ['{}']}}]}}\n",
            pages.address
        );
    }
    let server = Server::novaobs(scratch.path(), &config, &[]);
    let failed = format!("count(up == 0) == {}", PAGES.len());
    wait_for("every page to fail", || server.number(&failed));
    let targets = server.data("targets", &[("state", "active")]);
    for target in targets["activeTargets"].as_array().unwrap() {
        let at: usize = target["scrapePool"].as_str().unwrap()[1..].parse().unwrap();
        let error = target["lastError"].as_str().unwrap();
        assert_eq!(target["health"], "down", "{:?}", PAGES[at]);
        assert!(!error.is_empty() && error.contains(PAGES[at].2), "{:?}: {error}", PAGES[at]);
    }
    let series = ask(
        &format!("{}/api/v1/series", server.url),
        &[("match[]", "{job=~\"p.*\",__name__!~\"up|scrape_.*\"}")],
    );
    assert_eq!(series.json()["data"], Value::Array(Vec::new()), "a failed scrape stores nothing");
}
