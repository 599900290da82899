//! Discovery from config text to published groups, with files, an HTTP server and time under control.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test fails by panicking, in its helpers too

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use expect_test::{Expect, expect};
use novaobs_config::{Document, UnknownKeys, emit};
use novaobs_discovery::sd::{read_inline, to_node};
use novaobs_discovery::{Discovery, Groups, SdConfig, SdMetrics};
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Between two publications: long enough to be seen, short enough to be waited for.
const INTERVAL: Duration = Duration::from_millis(400);

fn read(file: &Path, text: &str) -> Result<Vec<SdConfig>, String> {
    let document = Document::parse(&file.display().to_string(), text).map_err(|e| e.to_string())?;
    let loaded = document.read(UnknownKeys::Refuse, |at| {
        let mut map = at.mapping();
        let configs = read_inline(&mut map);
        map.finish();
        Some(configs)
    });
    loaded.map(|l| l.value).map_err(|e| e.to_string())
}

fn start(configs: &[SdConfig]) -> (Discovery, Registry) {
    let registry = Registry::new();
    let metrics = SdMetrics::new(&registry).unwrap();
    (Discovery::start_with_interval("scrape", "job", configs, &metrics, INTERVAL), registry)
}

fn show(groups: &Groups) -> String {
    let one = |g: &novaobs_discovery::TargetGroup| {
        let targets: Vec<&str> = g.targets.iter().map(|t| t.value("__address__")).collect();
        format!("{} {}", targets.join(","), g.labels)
    };
    groups.iter().map(|g| one(g)).collect::<Vec<_>>().join("\n")
}

async fn wait_for(receiver: &mut watch::Receiver<Groups>, want: &str) {
    let matching = receiver.wait_for(|groups| show(groups) == want);
    let seen = tokio::time::timeout(Duration::from_secs(30), matching).await.is_ok();
    assert!(seen, "still {:?}, wanted {want:?}", show(&receiver.borrow()));
}

fn metric(registry: &Registry, start: &str) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    String::from_utf8(text).unwrap().lines().find(|line| line.starts_with(start)).unwrap_or("none").to_owned()
}

#[test]
fn faults_are_named() {
    let f = |text: &str, want: Expect| want.assert_eq(&read(Path::new("/etc/p.yml"), text).unwrap_err());
    f(
        "static_configs: [{target: [a]}]",
        expect![
            "/etc/p.yml:1:19: static_configs[0].target: field target not found in static_configs[0]: did you mean targets?"
        ],
    );
    f("static_configs: [~]", expect!["/etc/p.yml:1:18: static_configs[0]: empty or null item"]);
    f(
        "file_sd_configs: [{}]",
        expect![
            "/etc/p.yml:1:19: file_sd_configs[0]: file service discovery config must contain at least one path name"
        ],
    );
    for nothing in ["file_sd_configs: [{files: }]", "file_sd_configs: [{files: []}]"] {
        f(
            nothing,
            expect![
                "/etc/p.yml:1:19: file_sd_configs[0]: file service discovery config must contain at least one path name"
            ],
        );
    }
    f(
        "file_sd_configs: [{files: [a.txt]}]",
        expect![[
            r#"/etc/p.yml:1:28: file_sd_configs[0].files[0]: path name "a.txt" is not valid for file discovery: end it in .json, .yml or .yaml, with * in the last segment only"#
        ]],
    );
    f(
        "file_sd_configs: [{files: ['a*/b.json']}]",
        expect![[
            r#"/etc/p.yml:1:28: file_sd_configs[0].files[0]: path name "a*/b.json" is not valid for file discovery: end it in .json, .yml or .yaml, with * in the last segment only"#
        ]],
    );
    f(
        "file_sd_configs: [{files: [a.json], refresh_interval: 5}]",
        expect![[
            r#"/etc/p.yml:1:55: file_sd_configs[0].refresh_interval: not a valid duration string: "5": write it with a unit, such as 5s"#
        ]],
    );
    f("http_sd_configs: [{}]", expect!["/etc/p.yml:1:19: http_sd_configs[0]: URL is missing"]);
    f(
        "http_sd_configs: [{url: 'ftp://h/x'}]",
        expect!["/etc/p.yml:1:25: http_sd_configs[0].url: URL scheme must be 'http' or 'https'"],
    );
    f(
        "http_sd_configs: [{url: 'h/x'}]",
        expect![[
            r#"/etc/p.yml:1:25: http_sd_configs[0].url: not a valid URL: "h/x": relative URL without a base: write it as http://host:port/path"#
        ]],
    );
    f(
        "http_sd_configs: [{url: 'http://h/x', basic_auth: {username: u}, bearer_token: t}]",
        expect![
            "/etc/p.yml:1:80: http_sd_configs[0].bearer_token: at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
        ],
    );
    f(
        "dns_sd_configs: [{type: A, port: 1}]",
        expect![
            "/etc/p.yml:1:18: dns_sd_configs[0]: DNS-SD config must contain at least one SRV record name"
        ],
    );
    f(
        "dns_sd_configs: [{names: [a], type: A}]",
        expect![
            "/etc/p.yml:1:18: dns_sd_configs[0]: a port is required in DNS-SD configs for all record types except SRV"
        ],
    );
    f(
        "dns_sd_configs: [{names: [a], type: TXT}]",
        expect![
            "/etc/p.yml:1:37: dns_sd_configs[0].type: invalid DNS-SD records type TXT: write one of SRV, A, AAAA, MX, NS"
        ],
    );
    f(
        "static_config: []",
        expect![
            "/etc/p.yml:1:1: static_config: field static_config not found in the file: did you mean static_configs?"
        ],
    );
}

#[tokio::test]
async fn static_groups_are_there_at_once_and_unbuilt_kinds_are_named() {
    let text = "static_configs:\n- targets: [a:1, 'b']\n  labels: {env: x}\n- targets: [c:3]\nkubernetes_sd_configs:\n- role: pod\n  bearer_token: hunter2\n";
    let configs = read(Path::new("p.yml"), text).unwrap();
    let (discovery, registry) = start(&configs);
    assert_eq!(show(&discovery.subscribe().borrow()), "a:1,b {env=\"x\"}\nc:3 {}");
    expect!["p.yml:6:3: kubernetes_sd_configs[0]: kubernetes_sd_configs is not supported by this release: use file_sd_configs or http_sd_configs for these targets"].assert_eq(&discovery.problems().join("\n"));
    assert_eq!(
        metric(&registry, "prometheus_sd_discovered_targets"),
        "prometheus_sd_discovered_targets{config=\"job\",name=\"scrape\"} 3"
    );
    assert_eq!(
        metric(&registry, "prometheus_sd_failed_configs"),
        "prometheus_sd_failed_configs{name=\"scrape\"} 1"
    );
    expect![[r#"
        static_configs:
        - targets:
          - a:1
          - b
          labels:
            env: x
        - targets:
          - c:3
        kubernetes_sd_configs:
        - role: pod
          bearer_token: <secret>
    "#]]
    .assert_eq(&emit(&to_node(&configs)));
    discovery.stop().await;
    assert_eq!(metric(&registry, "prometheus_sd_discovered_targets"), "none");
}

#[tokio::test]
async fn files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("a.json"), r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": ["a:2"]}]"#)
        .unwrap();
    std::fs::write(path("b.yml"), "- targets: [b:1]\n").unwrap();
    std::fs::write(path("c.txt"), "- targets: [c:1]\n").unwrap();
    let text = "file_sd_configs:\n- files: ['*.json', b.yml]\n";
    let (discovery, registry) = start(&read(&path("p.yml"), text).unwrap());
    let mut groups = discovery.subscribe();
    let (a, b) = (path("a.json").display().to_string(), path("b.yml").display().to_string());
    let b_group = format!("b:1 {{__meta_filepath={b:?}}}");
    wait_for(
        &mut groups,
        &format!("a:1 {{__meta_filepath={a:?}, x=\"y\"}}\na:2 {{__meta_filepath={a:?}}}\n{b_group}"),
    )
    .await;

    // A broken file keeps what it had, a changed one loses a group, a removed one loses all.
    std::fs::write(path("b.yml"), "- targets: [b:2\n").unwrap();
    std::fs::write(path("a.json"), r#"[{"targets": ["a:3"]}]"#).unwrap();
    wait_for(&mut groups, &format!("a:3 {{__meta_filepath={a:?}}}\n{b_group}")).await;
    assert_ne!(
        metric(&registry, "prometheus_sd_file_read_errors_total"),
        "prometheus_sd_file_read_errors_total 0"
    );
    std::fs::remove_file(path("a.json")).unwrap();
    wait_for(&mut groups, &b_group).await;
    discovery.stop().await;
}

#[tokio::test]
async fn http_lists_keep_the_last_good_answer() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let answer = move |headers: HeaderMap| {
        let n = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(headers["x-prometheus-refresh-interval-seconds"], "0.05");
            assert_eq!(headers["accept"], "application/json");
            let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
            match n {
                0 => (json, r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": ["b:1"]}]"#)
                    .into_response(),
                1 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                2 => ([(header::CONTENT_TYPE, "text/html")], "[]").into_response(),
                3 => (json, r#"[{"targets": [1]}]"#).into_response(),
                _ => (json, r#"[{"targets": ["c:1"]}]"#).into_response(),
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sd", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/sd", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let text = format!("http_sd_configs:\n- url: {url}\n  refresh_interval: 50ms\n");
    let (discovery, registry) = start(&read(Path::new("p.yml"), &text).unwrap());
    let mut groups = discovery.subscribe();
    wait_for(&mut groups, &format!("a:1 {{__meta_url={url:?}, x=\"y\"}}\nb:1 {{__meta_url={url:?}}}")).await;
    let first = std::time::Instant::now();
    wait_for(&mut groups, &format!("c:1 {{__meta_url={url:?}}}")).await;
    assert!(first.elapsed() >= INTERVAL / 2, "the second update waits for its turn");
    assert_eq!(metric(&registry, "prometheus_sd_http_failures_total"), "prometheus_sd_http_failures_total 3");
    assert_eq!(
        metric(&registry, "prometheus_sd_refresh_failures_total"),
        "prometheus_sd_refresh_failures_total{config=\"job\",mechanism=\"http\"} 3"
    );
    discovery.stop().await;
}
