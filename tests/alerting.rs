//! An exporter stops: the alert goes out to a webhook, a Slack and a PagerDuty, and resolves when it is
//! back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod harness;

use harness::exporters::Exporter;
use harness::fakes::{Fake, Request};
use harness::{Process, free_port, get, novaobs_binary, wait_for, wait_within};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const RULES: &str = r#"
groups:
- name: hosts
  rules:
  - alert: ExporterDown
    expr: up == 0
    for: 30s
    labels: {severity: critical}
    annotations:
      summary: '{{ $labels.job }} on {{ $labels.instance }} is down ({{ $value }})'
      runbook_url: https://runbooks.example/exporter-down
"#;

#[test]
#[cfg_attr(not(feature = "blackbox"), ignore = "takes a minute: make blackbox")]
fn a_stopped_exporter_reaches_the_pager_and_resolves() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let webhook = Fake::always("");
    let slack = Fake::always("ok");
    let pagerduty = Fake::start(|_| {
        (202, "application/json", r#"{"status":"success","message":"Event processed"}"#.into())
    });
    let mut exporter = Exporter::node(folder);
    std::fs::write(folder.join("rules.yml"), RULES).unwrap();
    std::fs::write(
        folder.join("prometheus.yml"),
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             scrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['{}']}}]\n",
            exporter.address
        ),
    )
    .unwrap();
    std::fs::write(
        folder.join("alertmanager.yml"),
        format!(
            "route: {{receiver: all, group_by: [alertname], group_wait: 1s, group_interval: 2s}}\n\
             receivers:\n- name: all\n  webhook_configs: [{{url: 'http://{}/hook'}}]\n  \
             slack_configs: [{{api_url: 'http://{}/services/T/B/X', channel: '#alerts', send_resolved: true}}]\n  \
             pagerduty_configs: [{{routing_key: 0123456789abcdef, url: 'http://{}/v2/enqueue'}}]\n",
            webhook.address, slack.address, pagerduty.address
        ),
    )
    .unwrap();
    let (prometheus, alertmanager) = (free_port(), free_port());
    let mut command = Command::new(novaobs_binary());
    command
        .arg("serve")
        .arg(format!("--data={}", folder.join("data").display()))
        .arg(format!("--prometheus.listen=127.0.0.1:{prometheus}"))
        .arg(format!("--alertmanager.listen=127.0.0.1:{alertmanager}"))
        .args([
            "--grafana.listen=off",
            "--loki.listen=off",
            "--otlp-grpc.listen=off",
            "--otlp-http.listen=off",
        ])
        .arg(format!("--web.external-url=http://prometheus.example:{prometheus}"))
        .arg(format!("--prometheus.config={}", folder.join("prometheus.yml").display()))
        .arg(format!("--alertmanager.config={}", folder.join("alertmanager.yml").display()));
    let _server = Process::start(&mut command, folder.join("log"));
    let url = format!("http://127.0.0.1:{prometheus}");
    wait_for("the first scrape", || {
        let up = harness::ask_if_up(&format!("{url}/api/v1/query"), &[("query", "up == 1")])?;
        up.json()["data"]["result"].get(0).map(drop)
    });

    exporter.process.kill();
    let stopped = std::time::Instant::now();
    let patience = Duration::from_secs(75);
    wait_within(patience, "the webhook", || webhook.requests().into_iter().next());
    let took = stopped.elapsed().as_secs_f64();
    assert!((30.0..45.0).contains(&took), "the alert took {took} s from stop to webhook, `for` is 30 s");

    let instance = exporter.address.clone();
    let hook = webhook.wait_for("a firing webhook", |r| r.json()["status"] == "firing").json();
    let starts_at = hook["alerts"][0]["startsAt"].as_str().unwrap().to_owned();
    let fingerprint = hook["alerts"][0]["fingerprint"].as_str().unwrap().to_owned();
    let labels =
        json!({"alertname": "ExporterDown", "instance": instance, "job": "node", "severity": "critical"});
    let annotations = json!({
        "runbook_url": "https://runbooks.example/exporter-down",
        "summary": format!("node on {instance} is down (0)"),
    });
    let generator = format!("http://prometheus.example:{prometheus}/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    assert_eq!(
        hook,
        json!({
            "receiver": "all",
            "status": "firing",
            "alerts": [{
                "status": "firing", "labels": labels, "annotations": annotations, "startsAt": starts_at,
                "endsAt": "0001-01-01T00:00:00Z", "generatorURL": generator, "fingerprint": fingerprint,
            }],
            "groupLabels": {"alertname": "ExporterDown"},
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "routeLabels": {},
            "externalURL": hook["externalURL"],
            "version": "4",
            "groupKey": "{}:{alertname=\"ExporterDown\"}",
            "truncatedAlerts": 0,
            "notification_reason": "first notification",
        })
    );

    let title = format!("[FIRING:1] ExporterDown ({instance} node critical)");
    let message = slack.wait_for("Slack", |r| r.json()["attachments"][0]["color"] == "danger");
    assert_eq!(message.path, "/services/T/B/X");
    let message = message.json();
    assert_eq!(message["channel"], "#alerts");
    assert_eq!(message["attachments"][0]["title"], title.as_str());

    let event = pagerduty.wait_for("PagerDuty", |r| r.json()["event_action"] == "trigger").json();
    assert_eq!(event["routing_key"], "0123456789abcdef");
    assert_eq!(event["payload"]["summary"], title.as_str());
    assert_eq!(event["payload"]["severity"], "error");
    assert_eq!(event["payload"]["custom_details"]["num_firing"], json!(1), "{event:#}");
    // sha256 of the group key, as Alertmanager forms it.
    let dedup_key = event["dedup_key"].as_str().unwrap().to_owned();
    assert_eq!(dedup_key.len(), 64);

    let on_alertmanager = get(&format!("http://127.0.0.1:{alertmanager}/api/v2/alerts")).unwrap().json();
    assert_eq!(on_alertmanager[0]["fingerprint"], fingerprint.as_str());
    assert_eq!(on_alertmanager[0]["status"]["state"], "active");

    let _exporter = Exporter::node_at(folder, exporter.address.clone());
    let is_resolved = |r: &Request| r.json()["status"] == "resolved";
    let resolved = webhook.wait_for("a resolved webhook", is_resolved).json();
    assert_eq!(resolved["alerts"][0]["status"], "resolved");
    assert_eq!(resolved["alerts"][0]["startsAt"], starts_at.as_str());
    assert_ne!(resolved["alerts"][0]["endsAt"], Value::from("0001-01-01T00:00:00Z"));
    slack.wait_for("a resolved Slack message", |r| r.json()["attachments"][0]["color"] == "good");
    let event =
        pagerduty.wait_for("a resolved PagerDuty event", |r| r.json()["event_action"] == "resolve").json();
    assert_eq!(event["dedup_key"], dedup_key.as_str());
}
