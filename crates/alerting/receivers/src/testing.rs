//! For tests: a server that records what it is sent, and a notification to send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use novaobs_alerts::{Fingerprint, Notification, NotifiedAlert, NotifyError, Reason, time::Time};
use novaobs_model::Labels;

use crate::Config;

/// How the server answers: status, headers, body.
pub(crate) type Reply = (StatusCode, Vec<(&'static str, &'static str)>, &'static str);

pub(crate) const OK: Reply = (StatusCode::OK, Vec::new(), "ok");

fn alert(pairs: &[(&str, &str)], annotations: &[(&str, &str)], starts_at: &str, url: &str) -> NotifiedAlert {
    let labels = Labels::from_pairs(pairs.iter().copied());
    NotifiedAlert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: annotations.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        starts_at: Time::parse_from_rfc3339(starts_at).unwrap(),
        resolved_at: None,
        generator_url: url.to_owned(),
    }
}

/// Three firing alerts of one name.
pub(crate) fn firing() -> Notification {
    let one = |pairs: &[(&str, &str)]| alert(pairs, &[], "2026-11-22T17:47:04.308626842Z", "");
    Notification {
        receiver: "all".to_owned(),
        group_key: "{}:{alertname=\"X\"}".to_owned(),
        group_labels: Labels::from_pairs([("alertname", "X")]),
        route_labels: BTreeMap::new(),
        reason: Reason::First,
        alerts: vec![
            one(&[("alertname", "X"), ("instance", "a"), ("job", "j"), ("severity", "warning")]),
            alert(
                &[("alertname", "X"), ("instance", "b<>&"), ("severity", "warning")],
                &[("summary", "sum \u{2028} é"), ("empty", "")],
                "2026-11-22T10:00:00.123456789+02:00",
                "http://p/graph?a=1&b",
            ),
            one(&[("alertname", "X"), ("instance", "c"), ("severity", "warning")]),
        ],
    }
}

/// The first of them, over.
pub(crate) fn resolved() -> Notification {
    let mut notification = Notification { reason: Reason::AllResolved, ..firing() };
    notification.alerts.truncate(1);
    for alert in &mut notification.alerts {
        alert.resolved_at = Some(Time::parse_from_rfc3339("2026-11-22T18:00:00Z").unwrap());
    }
    notification
}

/// Reads `yaml` (with `URL` standing for the server's), sends `notification` through the first integration of
/// its receiver `all`, and answers what arrived (`path`, a line per interesting header, the body) with the
/// result.
pub(crate) async fn send(
    yaml: &str,
    notification: &Notification,
    reply: Reply,
) -> (String, Result<(), NotifyError>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let recorder = seen.clone();
    let handler = move |uri: axum::http::Uri, headers: HeaderMap, body: String| async move {
        let mut text = format!("{}\n", uri.path());
        for name in ["content-type", "authorization"] {
            if let Some(value) = headers.get(name) {
                text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
        }
        text.push_str(&body);
        recorder.lock().unwrap().push_str(&text);
        let (status, headers, body) = reply;
        let headers: HeaderMap =
            headers.into_iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        (status, headers, body)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    let config = Config::parse("am.yml", &yaml.replace("URL", &url)).unwrap().value;
    let setup = config.setup("http://am:9093/").unwrap();
    let named = setup.receivers.iter().find(|named| named.name == "all").unwrap();
    let result = named.integrations[0].receiver.notify(notification).await;
    server.abort();
    let seen = seen.lock().unwrap().clone();
    (seen, result)
}

/// The file of a receiver `all` with one section.
pub(crate) fn file_of(section: &str) -> String {
    format!("route: {{receiver: all}}\nreceivers:\n- name: all\n  {section}\n")
}
