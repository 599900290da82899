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
    Ok(escaped_as_go(serde_json::to_vec(&all)?))
}

/// Go's encoder escapes what could end a script in a page; JSON has these characters in strings only.
fn escaped_as_go(json: Vec<u8>) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
    if !json.iter().any(special) {
        return json;
    }
    let mut escaped = Vec::with_capacity(json.len() + 64);
    let mut rest = json.as_slice();
    while let Some(at) = rest.iter().position(special) {
        let (before, from) = rest.split_at(at);
        escaped.extend_from_slice(before);
        let (text, length): (&[u8], usize) = match from {
            [b'<', ..] => (br"\u003c", 1),
            [b'>', ..] => (br"\u003e", 1),
            [b'&', ..] => (br"\u0026", 1),
            // U+2028 and U+2029, which JavaScript took for ends of lines.
            [0xe2, 0x80, 0xa8, ..] => (br"\u2028", 3),
            [0xe2, 0x80, 0xa9, ..] => (br"\u2029", 3),
            [first, ..] => (std::slice::from_ref(first), 1),
            [] => break,
        };
        escaped.extend_from_slice(text);
        rest = from.get(length..).unwrap_or_default();
    }
    escaped.extend_from_slice(rest);
    escaped
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
            r#"[{"endsAt":"2024-02-09T13:08:05.000Z","startsAt":"2024-02-09T13:04:05.678Z","generatorURL":"http://p/graph?g0.expr=up\u0026g0.tab=1","labels":{"alertname":"A","b":"c"}}]"#
        );
    }
    #[test]
    fn strings_are_escaped_as_go_does() {
        let annotation = "<b> & \u{2028}\u{2029} \u{2026} \u{e9} \" \\ \n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}";
        let alert = Alert {
            labels: Labels::empty(),
            annotations: Labels::from_pairs([("a", annotation)]),
            starts_at: 0,
            ends_at: 0,
            generator_url: String::new(),
        };
        let text = String::from_utf8(encode([alert].iter()).unwrap()).unwrap();
        let want = concat!(
            r#"[{"annotations":{"a":"\u003cb\u003e \u0026 \u2028\u2029 "#,
            "\u{2026} \u{e9}",
            r#" \" \\ \n\r\t\b\f\u0001\u001f"#,
            "\u{7f}",
            r#""},"endsAt":"1970-01-01T00:00:00.000Z","startsAt":"1970-01-01T00:00:00.000Z","labels":{}}]"#
        );
        assert_eq!(text, want);
    }
}
