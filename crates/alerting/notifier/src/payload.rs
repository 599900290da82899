//! The body of `POST /api/v2/alerts`.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use novaobs_model::{Alert, Labels};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
    ends_at: String,
    starts_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

/// The alerts as JSON.
pub(crate) fn encode<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Result<Vec<u8>, serde_json::Error> {
    let pairs = |labels: &'a Labels| labels.iter().collect();
    let all: Vec<PostableAlert<'_>> = alerts
        .map(|alert| PostableAlert {
            annotations: pairs(&alert.annotations),
            ends_at: time(alert.ends_at),
            starts_at: time(alert.starts_at),
            generator_url: &alert.generator_url,
            labels: pairs(&alert.labels),
        })
        .collect();
    serde_json::to_vec(&all)
}

/// RFC 3339 with milliseconds, as the API's own client writes times.
fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_json() {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "A"), ("b", "c")]),
            annotations: Labels::empty(),
            starts_at: 1_707_483_845_678,
            ends_at: 1_707_484_085_000,
            generator_url: "http://p/graph?g0.expr=up&g0.tab=1".to_owned(),
        };
        let text = String::from_utf8(encode([alert].iter()).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"[{"endsAt":"2024-02-09T13:08:05.000Z","startsAt":"2024-02-09T13:04:05.678Z","generatorURL":"http://p/graph?g0.expr=up&g0.tab=1","labels":{"alertname":"A","b":"c"}}]"#
        );
    }
}
