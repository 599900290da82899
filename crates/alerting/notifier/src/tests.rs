//! Sending to a listener that speaks just enough HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use novaobs_config::ToNode as _;
use novaobs_config::{Document, UnknownKeys, emit};
use novaobs_discovery::SdMetrics;
use novaobs_model::{Alert, AlertSink as _, Labels};
use prometheus::Registry;

use crate::{AlertingConfig, Notifier, NotifierOptions};

/// Answers each request with `status`; gives path, body and head (in lower case) of each.
fn listen(status: &'static str) -> (SocketAddr, mpsc::Receiver<(String, String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            let body_at = |text: &[u8]| text.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
            loop {
                let n = stream.read(&mut buffer).unwrap_or(0);
                text.extend_from_slice(&buffer[..n]);
                let Some(at) = body_at(&text) else { continue };
                let head = String::from_utf8_lossy(&text[..at]).to_lowercase();
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .map_or(0, |n| n.trim().parse().unwrap());
                if text.len() >= at + length || n == 0 {
                    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
                    let _ = sender.send((path, String::from_utf8_lossy(&text[at..]).into_owned(), head));
                    break;
                }
            }
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, requests)
}

pub(crate) fn config(text: &str) -> AlertingConfig {
    let document = Document::parse("p.yml", text).unwrap();
    document.read(UnknownKeys::Warn, AlertingConfig::read).unwrap().value
}

fn alert(name: &str) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name), ("drop", "me")]),
        annotations: Labels::from_pairs([("summary", "s")]),
        starts_at: 0,
        ends_at: 1000,
        generator_url: "http://p".to_owned(),
    }
}

fn notifier(options: NotifierOptions, registry: &Registry) -> Notifier {
    Notifier::new(options, registry, SdMetrics::new(registry).unwrap()).unwrap()
}

fn metric(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    family.map_or(0.0, |family| {
        family.get_metric().iter().map(|m| m.get_counter().get_value() + m.get_gauge().get_value()).sum()
    })
}

#[test]
fn alerts_are_relabelled_batched_and_sent() {
    let (address, requests) = listen("200 OK");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = Registry::new();
    let options = NotifierOptions { max_batch_size: 2, ..NotifierOptions::default() };
    let notifier = notifier(options, &registry);
    let config = config(&format!(
        "alert_relabel_configs:\n- {{action: labeldrop, regex: drop}}\n- {{source_labels: [alertname], regex: No, action: drop}}\n\
         alertmanagers:\n- path_prefix: /am/\n  static_configs:\n  - targets: ['{address}', 'gone:1']\n\
         \x20 relabel_configs:\n  - {{source_labels: [__address__], regex: gone.*, action: drop}}\n"
    ));
    runtime.block_on(async {
        notifier
            .apply(&config, &Labels::from_pairs([("region", "eu"), ("alertname", "never")]))
            .await
            .unwrap();
        let known = notifier.alertmanagers();
        assert_eq!(known.active, [format!("http://{address}/am/api/v2/alerts")]);
        assert_eq!(known.dropped, ["http://gone:1/am/api/v2/alerts"]);
        assert_eq!(metric(&registry, "prometheus_notifications_alertmanagers_discovered"), 1.0);
        notifier.send(&[alert("A"), alert("No"), alert("B"), alert("C")]);
        notifier.stop().await;
    });
    let all: Vec<(String, String, String)> = requests.try_iter().collect();
    assert_eq!(all.len(), 2, "two batches: {all:?}");
    assert_eq!(all[0].0, "/am/api/v2/alerts");
    let agent = concat!("\r\nuser-agent: novaobs/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert!(all[0].2.contains(agent), "{}", all[0].2);
    assert!(all[0].1.contains(r#""labels":{"alertname":"A","region":"eu"}}"#), "{}", all[0].1);
    assert!(all[1].1.contains(r#""alertname":"C""#) && !all[1].1.contains(r#""alertname":"B""#));
    assert_eq!(
        metric(&registry, "prometheus_notifications_sent_total"),
        0.0,
        "a stopped one's series are gone"
    );
}

#[test]
fn a_full_queue_loses_the_oldest_and_errors_are_counted() {
    let (address, requests) = listen("500 No");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = Registry::new();
    let options = NotifierOptions { queue_capacity: 2, ..NotifierOptions::default() };
    let notifier = notifier(options, &registry);
    let config = config(&format!("alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]"));
    runtime.block_on(async {
        notifier.apply(&config, &Labels::empty()).await.unwrap();
        // Equal entries go on as they are.
        notifier.apply(&config, &Labels::empty()).await.unwrap();
        notifier.send(&[alert("A"), alert("B"), alert("C")]);
        while metric(&registry, "prometheus_notifications_errors_total") < 2.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(metric(&registry, "prometheus_notifications_dropped_total"), 3.0);
        notifier.stop().await;
    });
    let body = requests.recv_timeout(Duration::from_secs(5)).unwrap().1;
    assert!(body.contains("\"B\"") && body.contains("\"C\"") && !body.contains("\"A\""), "{body}");
}

#[test]
fn configs_are_read_and_written() {
    let config = config(
        "alertmanagers: [{api_version: v2, timeout: 5s, path_prefix: /x, static_configs: [{targets: [a:1]}]}]",
    );
    let text = emit(&config.to_node());
    assert!(
        text.contains("timeout: 5s") && text.contains("api_version: v2") && text.contains("- a:1"),
        "{text}"
    );
    let error = Document::parse("p.yml", "alertmanagers: [{api_version: v1}]")
        .unwrap()
        .read(UnknownKeys::Warn, AlertingConfig::read)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "p.yml:1:31: alertmanagers[0].api_version: expected Alertmanager api version to be one of [v2] but got v1"
    );
}

/// Accepts and never answers.
fn silent() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// The values of a label on the series of a metric.
fn label_values(registry: &Registry, name: &str, label: &str) -> Vec<String> {
    let families = registry.gather();
    let series = families.iter().filter(|family| family.name() == name).flat_map(|f| f.get_metric());
    let pairs = series.flat_map(|series| series.get_label()).filter(|pair| pair.name() == label);
    let mut values: Vec<String> = pairs.map(|pair| pair.value().to_owned()).collect();
    values.sort();
    values
}

#[tokio::test]
async fn sets_that_cannot_sign_are_left_out_and_named() {
    let registry = Registry::new();
    let notifier = notifier(NotifierOptions::default(), &registry);
    let text = "alertmanagers:\n- {sigv4: {region: eu, secret_key: s3cret}, static_configs: [{targets: [a:1]}]}\n\
                - {oauth2: {grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_id: i, token_url: 'http://t', \
                client_certificate_key: k}, static_configs: [{targets: [b:1]}]}\n\
                - static_configs: [{targets: [c:1]}]\n";
    let loaded =
        Document::parse("p.yml", text).unwrap().read(UnknownKeys::Warn, AlertingConfig::read).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings[0].starts_with("p.yml:2:11: alertmanagers[0].sigv4: sigv4 is not built"),
        "{warnings:?}"
    );
    let problem = loaded.value.alertmanagers[0].sigv4.as_ref().unwrap().to_string();
    assert!(problem.starts_with("p.yml:2:11: alertmanagers[0].sigv4: sigv4 is not supported"), "{problem}");
    let shown = emit(&loaded.value.to_node());
    assert!(shown.contains("region: eu") && !shown.contains("s3cret"), "{shown}");
    notifier.apply(&loaded.value, &Labels::empty()).await.unwrap();
    assert_eq!(notifier.alertmanagers().active, ["http://c:1/api/v2/alerts"]);
    notifier.stop().await;
}

#[tokio::test(start_paused = true)]
async fn draining_ends_and_counts_what_it_gave_up() {
    for drain in [true, false] {
        let (address, _listener) = silent();
        let registry = Registry::new();
        let options =
            NotifierOptions { max_batch_size: 1, drain_on_shutdown: drain, ..NotifierOptions::default() };
        let notifier = notifier(options, &registry);
        let config = config(&format!(
            "alertmanagers: [{{timeout: 1h, static_configs: [{{targets: ['{address}']}}]}}]"
        ));
        notifier.apply(&config, &Labels::empty()).await.unwrap();
        let url = notifier.alertmanagers().active[0].clone();
        // The series is removed at the end, so it is held.
        let counter = notifier.inner.common.metrics.dropped.with_label_values(&[url.as_str()]);
        notifier.send(&[alert("A"), alert("B"), alert("C")]);
        let began = tokio::time::Instant::now();
        notifier.stop().await;
        let took = began.elapsed();
        assert!(took <= Duration::from_secs(11), "{took:?}");
        assert_eq!(counter.get(), 3.0, "the one on its way and the two behind it");
        assert_eq!(label_values(&registry, "prometheus_notifications_queue_length", "alertmanager"), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_wait_for_what_it_drops_and_the_end_does() {
    let (address, _listener) = silent();
    let registry = Registry::new();
    let notifier = notifier(NotifierOptions::default(), &registry);
    let with = |timeout: &str| {
        config(&format!(
            "alertmanagers: [{{timeout: {timeout}, static_configs: [{{targets: ['{address}']}}]}}]"
        ))
    };
    notifier.apply(&with("1h"), &Labels::empty()).await.unwrap();
    let url = notifier.alertmanagers().active[0].clone();
    notifier.send(&[alert("A")]);
    let began = tokio::time::Instant::now();
    notifier.apply(&with("2h"), &Labels::empty()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(metric(&registry, "prometheus_notifications_alertmanagers_discovered"), 1.0);
    notifier.inner.common.stopped().await;
    for name in ["sent_total", "errors_total", "dropped_total", "queue_length"] {
        let name = format!("prometheus_notifications_{name}");
        assert_eq!(label_values(&registry, &name, "alertmanager"), [url.as_str()], "{name}");
    }
    assert_eq!(metric(&registry, "prometheus_notifications_dropped_total"), 1.0, "that of the old queue");
    assert_eq!(label_values(&registry, "prometheus_sd_discovered_targets", "config"), ["config-0"]);
    // What is being emptied when the end comes is waited for.
    let counter = notifier.inner.common.metrics.dropped.with_label_values(&[url.as_str()]);
    notifier.send(&[alert("B"), alert("C")]);
    notifier.apply(&AlertingConfig::default(), &Labels::empty()).await.unwrap();
    assert_eq!(notifier.alertmanagers().active, [""; 0]);
    notifier.stop().await;
    assert_eq!(counter.get(), 3.0);
}

#[tokio::test]
async fn an_alertmanager_that_discovery_drops_is_waited_for() {
    let (address, requests) = listen("200 OK");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("am.json");
    std::fs::write(&file, format!("[{{\"targets\": [\"{address}\"]}}]")).unwrap();
    let registry = Registry::new();
    let notifier = notifier(NotifierOptions::default(), &registry);
    let config =
        config(&format!("alertmanagers: [{{file_sd_configs: [{{files: ['{}']}}]}}]", file.display()));
    notifier.apply(&config, &Labels::empty()).await.unwrap();
    let set = notifier.inner.state.read().sets[0].clone();
    while notifier.alertmanagers().active.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    notifier.send(&[alert("A")]);
    set.found_nothing();
    assert_eq!(notifier.alertmanagers().active, [""; 0]);
    notifier.stop().await;
    assert_eq!(requests.try_iter().count(), 1);
}

#[tokio::test]
async fn running_sets_have_different_names_in_metrics() {
    let registry = Registry::new();
    let notifier = notifier(NotifierOptions::default(), &registry);
    let of = |hosts: &[&str]| {
        let sets: Vec<String> =
            hosts.iter().map(|host| format!("{{static_configs: [{{targets: ['{host}']}}]}}")).collect();
        config(&format!("alertmanagers: [{}]", sets.join(", ")))
    };
    let names = || label_values(&registry, "prometheus_sd_discovered_targets", "config");
    notifier.apply(&of(&["a:1", "b:1"]), &Labels::empty()).await.unwrap();
    assert_eq!(names(), ["config-0", "config-1"]);
    notifier.apply(&of(&["b:1", "c:1"]), &Labels::empty()).await.unwrap();
    assert_eq!(names(), ["config-0", "config-1"]);
    notifier.apply(&of(&["d:1", "d:1", "c:1"]), &Labels::empty()).await.unwrap();
    assert_eq!(names(), ["config-0", "config-1", "config-2"]);
    notifier.stop().await;
    assert_eq!(names(), [""; 0]);
}

#[tokio::test]
async fn latency_is_a_summary_and_a_histogram() {
    let (address, _requests) = listen("200 OK");
    let registry = Registry::new();
    let notifier = notifier(NotifierOptions::default(), &registry);
    let config = config(&format!("alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]"));
    notifier.apply(&config, &Labels::empty()).await.unwrap();
    notifier.send(&[alert("A")]);
    while metric(&registry, "prometheus_notifications_sent_total") < 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let url = format!("alertmanager=\"http://{address}/api/v2/alerts\"");
    for start in [
        format!("prometheus_notifications_latency_seconds{{{url},quantile=\"0.99\"}} 0."),
        format!("prometheus_notifications_latency_seconds_count{{{url}}} 1"),
        format!("prometheus_notifications_latency_histogram_seconds_bucket{{{url},le=\"10\"}} 1"),
    ] {
        assert!(text.lines().any(|line| line.starts_with(&start)), "{start}: {text}");
    }
    notifier.stop().await;
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(!text.contains(&url), "{text}");
}

#[test]
fn urls_are_no_addresses() {
    let problem = |text: &str| {
        let read = Document::parse("p.yml", text).unwrap().read(UnknownKeys::Warn, AlertingConfig::read);
        read.err().map(|error| error.to_string())
    };
    assert_eq!(
        problem("alertmanagers: [{static_configs: [{targets: ['http://a:1']}]}]").unwrap(),
        "p.yml:1:34: alertmanagers[0].static_configs: \"http://a:1\" is not a valid hostname: \
         write host:port, and use scheme and path_prefix for the rest"
    );
    assert!(problem("alertmanagers: [{static_configs: [{targets: ['a:1/x']}]}]").is_some());
    let relabels = "relabel_configs: [{source_labels: [x], target_label: y}]";
    assert_eq!(
        problem(&format!("alertmanagers: [{{{relabels}, static_configs: [{{targets: ['a/b']}}]}}]")),
        None
    );
    assert_eq!(
        problem("alertmanagers: [{sigv4: {}, basic_auth: {username: u}}]").unwrap(),
        "p.yml:1:25: alertmanagers[0].sigv4: \
         at most one of basic_auth, authorization, oauth2, & sigv4 must be configured"
    );
}
