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

/// Answers each request with `status`; gives path and body of each.
fn listen(status: &'static str) -> (SocketAddr, mpsc::Receiver<(String, String)>) {
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
                    let _ = sender.send((path, String::from_utf8_lossy(&text[at..]).into_owned()));
                    break;
                }
            }
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, requests)
}

fn config(text: &str) -> AlertingConfig {
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
    let all: Vec<(String, String)> = requests.try_iter().collect();
    assert_eq!(all.len(), 2, "two batches: {all:?}");
    assert_eq!(all[0].0, "/am/api/v2/alerts");
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
