//! The JSON of answers. Fields stand in the order of the peer's, which is alphabetical within each of the
//! schema's parts.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use novaobs_alerts::silence::Silence;
use novaobs_alerts::time::{Time, rfc3339_millis};
use novaobs_alerts::{AlertView, GroupView, NamedReceiver};
use novaobs_model::Labels;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The build, as `/status` shows it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The branch it was built from.
    pub branch: String,
    /// When.
    pub build_date: String,
    /// By whom.
    pub build_user: String,
    /// The compiler; the peer's key is kept.
    pub go_version: String,
    /// The commit.
    pub revision: String,
    /// The release.
    pub version: String,
}

/// A JSON answer.
pub(super) fn json<T: Serialize>(value: &T) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], go_json(value)).into_response()
}

/// JSON as Go writes it: what could be HTML escaped, a newline at the end.
pub(super) fn go_json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|error| {
        novaobs_model::never!("an answer does not encode: {error}");
        "null".to_owned()
    });
    // These only occur inside JSON's strings.
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

struct LabelsJson<'a>(&'a Labels);

impl Serialize for LabelsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct NameJson<'a> {
    name: &'a str,
}

#[derive(Serialize)]
pub(super) struct ReceiverJson<'a> {
    labels: &'a BTreeMap<String, String>,
    name: &'a str,
}

impl<'a> ReceiverJson<'a> {
    pub(super) fn new(named: &'a NamedReceiver) -> ReceiverJson<'a> {
        ReceiverJson { labels: &named.labels, name: &named.name }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertStatusJson<'a> {
    inhibited_by: Vec<String>,
    muted_by: &'a [String],
    silenced_by: &'a [String],
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertJson<'a> {
    annotations: &'a BTreeMap<String, String>,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<NameJson<'a>>,
    starts_at: String,
    status: AlertStatusJson<'a>,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    labels: LabelsJson<'a>,
}

impl<'a> AlertJson<'a> {
    pub(super) fn new(view: &'a AlertView) -> AlertJson<'a> {
        let alert = &view.alert;
        AlertJson {
            annotations: &alert.annotations,
            ends_at: rfc3339_millis(&alert.ends_at),
            fingerprint: alert.fingerprint.to_string(),
            receivers: view.receivers.iter().map(|name| NameJson { name }).collect(),
            starts_at: rfc3339_millis(&alert.starts_at),
            status: AlertStatusJson {
                inhibited_by: view.inhibited_by.iter().map(ToString::to_string).collect(),
                muted_by: &view.muted_by,
                silenced_by: &view.silenced_by,
                state: if view.is_suppressed() { "suppressed" } else { "active" },
            },
            updated_at: rfc3339_millis(&alert.updated_at),
            generator_url: &alert.generator_url,
            labels: LabelsJson(&alert.labels),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupJson<'a> {
    alerts: Vec<AlertJson<'a>>,
    labels: LabelsJson<'a>,
    receiver: NameJson<'a>,
    route_labels: &'a BTreeMap<String, String>,
}

impl<'a> GroupJson<'a> {
    pub(super) fn new(group: &'a GroupView) -> GroupJson<'a> {
        GroupJson {
            alerts: group.alerts.iter().map(AlertJson::new).collect(),
            labels: LabelsJson(&group.labels),
            receiver: NameJson { name: &group.receiver },
            route_labels: &group.route_labels,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatcherJson<'a> {
    is_equal: bool,
    is_regex: bool,
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct StateJson {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SilenceJson<'a> {
    id: &'a str,
    status: StateJson,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    comment: &'a str,
    created_by: &'a str,
    ends_at: String,
    matchers: Vec<MatcherJson<'a>>,
    starts_at: String,
}

impl<'a> SilenceJson<'a> {
    pub(super) fn new(silence: &'a Silence, now: Time) -> SilenceJson<'a> {
        let matchers = silence.matchers.iter().map(|matcher| MatcherJson {
            is_equal: matcher.is_equal,
            is_regex: matcher.is_regex,
            name: &matcher.name,
            value: &matcher.value,
        });
        let utc = |time: &Time| rfc3339_millis(&time.to_utc().fixed_offset());
        SilenceJson {
            id: &silence.id,
            status: StateJson { state: silence.state(now).as_str() },
            updated_at: utc(&silence.updated_at),
            annotations: &silence.annotations,
            comment: &silence.comment,
            created_by: &silence.created_by,
            ends_at: utc(&silence.ends_at),
            matchers: matchers.collect(),
            starts_at: utc(&silence.starts_at),
        }
    }
}

#[derive(Serialize)]
struct ClusterJson {
    peers: [(); 0],
    status: &'static str,
}

#[derive(Serialize)]
struct ConfigJson {
    original: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusJson<'a> {
    cluster: ClusterJson,
    config: ConfigJson,
    uptime: String,
    version_info: &'a VersionInfo,
}

impl<'a> StatusJson<'a> {
    pub(super) fn new(original: String, uptime: String, version_info: &'a VersionInfo) -> StatusJson<'a> {
        let cluster = ClusterJson { peers: [], status: "disabled" };
        StatusJson { cluster, config: ConfigJson { original }, uptime, version_info }
    }
}
