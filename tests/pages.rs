//! The pages in Chromium, served by the real binary: runs the pages' own end-to-end tests against it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use std::path::Path;
use std::process::Command;

use harness::{Process, free_port, get, novaobs_binary, wait_for};

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "needs Chromium and Node: make blackbox")]
fn every_page_works_in_a_browser() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let [grafana, prometheus, alertmanager, node, nobody] = std::array::from_fn(|_| free_port());
    std::fs::write(
        folder.join("prometheus.yml"),
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n\
             - {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{node}']}}]}}\n\
             - {{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{prometheus}']}}]}}\n\
             - {{job_name: gone, static_configs: [{{targets: ['127.0.0.1:{nobody}'], labels: {{team: vm}}}}]}}\n"
        ),
    )
    .unwrap();
    std::fs::write(
        folder.join("rules.yml"),
        "groups:\n- name: hosts\n  rules:\n  - {record: 'job:up:sum', expr: 'sum by (job) (up)'}\n  \
         - alert: TargetDown\n    expr: up == 0\n    labels: {severity: critical}\n    annotations:\n      \
         summary: '{{ $labels.instance }} is down'\n      runbook_url: https://runbooks.example/target-down\n  \
         - {alert: LoadHigh, expr: 'node_load1 > 1000', for: 5m, labels: {severity: warning}}\n",
    )
    .unwrap();
    let mut command = Command::new(novaobs_binary());
    command
        .arg("serve")
        .args(["--loki.listen=off", "--otlp-grpc.listen=off", "--otlp-http.listen=off"])
        .arg(format!("--data={}", folder.join("data").display()))
        .arg(format!("--grafana.listen=127.0.0.1:{grafana}"))
        .arg(format!("--prometheus.listen=127.0.0.1:{prometheus}"))
        .arg(format!("--alertmanager.listen=127.0.0.1:{alertmanager}"))
        .arg(format!("--node.listen=127.0.0.1:{node}"))
        .arg(format!("--prometheus.config={}", folder.join("prometheus.yml").display()));
    let _server = Process::start(&mut command, folder.join("log"));
    let alerts = format!("http://127.0.0.1:{alertmanager}/api/v2/alerts");
    wait_for("the alert to reach the Alertmanager", || {
        let answer = get(&alerts).ok().filter(|answer| answer.status == 200)?;
        answer.json().get(0).map(drop)
    });

    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let output = Command::new("npm")
        .args(["run", "--silent", "e2e"])
        .current_dir(ui)
        .env("NOVAOBS_URL", format!("http://127.0.0.1:{grafana}"))
        .env("NOVAOBS_PROM_URL", format!("http://127.0.0.1:{prometheus}"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!("{text}");
    assert!(output.status.success(), "{text}");
}
