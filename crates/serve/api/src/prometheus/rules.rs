//! `/api/v1/rules`, `/api/v1/alerts` and `/api/v1/alertmanagers`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use novaobs_model::labels::go_quote;
use novaobs_model::{Labels, Matcher};
use novaobs_rules::{ActiveAlert, GroupSnapshot, RuleSnapshot, SnapshotKind};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Api;
use super::envelope::{ApiError, go_seconds, go_time, label_object, success};
use super::params::Params;
use super::result::go_exponent;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    groups: Vec<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    file: String,
    rules: Vec<Rule>,
    #[serde(serialize_with = "go_seconds")]
    interval: Duration,
    limit: usize,
    #[serde(serialize_with = "go_seconds")]
    evaluation_time: Duration,
    #[serde(serialize_with = "go_time")]
    last_evaluation: Option<i64>,
}

/// Alerting rules have all fields, recording rules those that are not optional.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    name: String,
    query: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_seconds")]
    duration: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_seconds")]
    keep_firing_for: Option<Duration>,
    #[serde(serialize_with = "label_object")]
    labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_labels")]
    annotations: Option<Labels>,
    /// The inner `None` is `null`: alerts were excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts: Option<Option<Vec<Alert>>>,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(serialize_with = "go_seconds")]
    evaluation_time: Duration,
    #[serde(serialize_with = "go_time")]
    last_evaluation: Option<i64>,
    #[serde(rename = "type")]
    kind: &'static str,
}

fn maybe_seconds<S: serde::Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    go_seconds(&value.unwrap_or_default(), serializer)
}

fn maybe_labels<S: serde::Serializer>(value: &Option<Labels>, serializer: S) -> Result<S::Ok, S::Error> {
    label_object(value.as_ref().unwrap_or(&Labels::empty()), serializer)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    #[serde(serialize_with = "label_object")]
    labels: Labels,
    #[serde(serialize_with = "label_object")]
    annotations: Labels,
    state: &'static str,
    #[serde(serialize_with = "go_time")]
    active_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "go_time")]
    keep_firing_since: Option<i64>,
    value: String,
}

impl From<ActiveAlert> for Alert {
    fn from(alert: ActiveAlert) -> Self {
        Alert {
            labels: alert.labels,
            annotations: alert.annotations,
            state: alert.state.as_str(),
            active_at: Some(alert.active_at),
            keep_firing_since: alert.keep_firing_since,
            value: go_exponent(alert.value),
        }
    }
}

/// Which rules are wanted. Empty lists: all.
struct Filter<'a> {
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    selectors: Vec<Vec<Matcher>>,
    alerting: bool,
    recording: bool,
    exclude_alerts: bool,
}

impl<'a> Filter<'a> {
    fn read(params: &'a Params) -> Result<Self, ApiError> {
        params.check_form()?;
        let selectors = params.selectors().map_err(ApiError::bad_data)?;
        let kind = params.url("type").to_lowercase();
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            let reason = format!("not supported value {}", go_quote(&kind));
            return Err(ApiError::parameter("type", reason));
        }
        Ok(Filter {
            names: params.all("rule_name[]").collect(),
            groups: params.all("rule_group[]").collect(),
            files: params.all("file[]").collect(),
            selectors,
            alerting: kind != "record",
            recording: kind != "alert",
            exclude_alerts: exclude_alerts(&params.url("exclude_alerts").to_lowercase())?,
        })
    }

    fn wants_group(&self, group: &GroupSnapshot) -> bool {
        let has = |list: &[&str], item: &str| list.is_empty() || list.contains(&item);
        has(&self.groups, &group.name) && has(&self.files, &group.file)
    }

    fn wants(&self, rule: &RuleSnapshot) -> bool {
        let kind = match rule.kind {
            SnapshotKind::Recording => self.recording,
            SnapshotKind::Alerting { .. } => self.alerting,
        };
        let named = self.names.is_empty() || self.names.contains(&rule.name.as_str());
        let matches = |selector: &Vec<Matcher>| selector.iter().all(|m| m.matches_labels(&rule.labels));
        kind && named && (self.selectors.is_empty() || self.selectors.iter().any(matches))
    }
}

/// Reads a truth value as Go does, in lower case.
fn exclude_alerts(text: &str) -> Result<bool, ApiError> {
    match text {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        other => {
            let reason = format!(
                "error converting exclude_alerts: strconv.ParseBool: parsing {}: invalid syntax",
                go_quote(other)
            );
            Err(ApiError::parameter("exclude_alerts", reason))
        }
    }
}

/// `group_limit` and `group_next_token`: which page of groups is wanted.
struct Page {
    size: Option<usize>,
    token: String,
}

impl Page {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let (limit, token) = (params.url("group_limit"), params.url("group_next_token"));
        if !token.is_empty() && limit.is_empty() {
            let reason = "group_limit needs to be present in order to paginate over the groups";
            return Err(ApiError::parameter("group_next_token", reason));
        }
        if limit.is_empty() {
            return Ok(Page { size: None, token: String::new() });
        }
        let fail = |reason: String| ApiError::parameter("group_limit", reason);
        let digits = limit.strip_prefix(['+', '-']).unwrap_or(limit);
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty();
        let size: i32 = limit.parse().map_err(|_| {
            let why = if number { "value out of range" } else { "invalid syntax" };
            let quoted = go_quote(limit);
            fail(format!("group_limit needs to be a valid number: strconv.ParseInt: parsing {quoted}: {why}"))
        })?;
        match usize::try_from(size) {
            Ok(size) if size > 0 => Ok(Page { size: Some(size), token: token.to_owned() }),
            _ => Err(fail("group_limit needs to be greater than 0".to_owned())),
        }
    }
}

/// Names a group in `groupNextToken`.
fn token_of(group: &GroupSnapshot) -> String {
    let hash = Sha256::digest(format!("{};{}", group.file, group.name));
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `/api/v1/rules`.
pub(super) async fn rules(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let filter = Filter::read(&params)?;
    let page = Page::read(&params)?;
    let mut answer = Groups { groups: Vec::new(), group_next_token: None };
    let mut found = page.token.is_empty();
    for group in api.state.rules.groups() {
        found = found || page.token == token_of(&group);
        if !found || !filter.wants_group(&group) {
            continue;
        }
        let token = token_of(&group);
        let group = show_group(group, &filter);
        if group.rules.is_empty() {
            continue;
        }
        if page.size == Some(answer.groups.len()) {
            answer.group_next_token = Some(token);
            break;
        }
        answer.groups.push(group);
    }
    if !found {
        let reason = format!("invalid group_next_token '{}'. were rule groups changed?", page.token);
        return Err(ApiError::parameter("group_next_token", reason));
    }
    Ok(success(&answer, &[]))
}

fn show_group(group: GroupSnapshot, filter: &Filter<'_>) -> Group {
    let wanted = group.rules.into_iter().filter(|rule| filter.wants(rule));
    Group {
        name: group.name,
        file: group.file,
        rules: wanted.map(|rule| show_rule(rule, filter.exclude_alerts)).collect(),
        interval: group.interval,
        limit: group.limit,
        evaluation_time: group.evaluation_time,
        last_evaluation: group.last_evaluation,
    }
}

fn show_rule(rule: RuleSnapshot, exclude_alerts: bool) -> Rule {
    let mut shown = Rule {
        state: None,
        name: rule.name,
        query: rule.query,
        duration: None,
        keep_firing_for: None,
        labels: rule.labels,
        annotations: None,
        alerts: None,
        health: rule.health.as_str(),
        last_error: rule.last_error.filter(|error| !error.is_empty()),
        evaluation_time: rule.evaluation_time,
        last_evaluation: rule.last_evaluation,
        kind: "recording",
    };
    if let SnapshotKind::Alerting { state, hold, keep_firing_for, annotations, alerts } = rule.kind {
        shown.kind = "alerting";
        shown.state = Some(state.map_or("unknown", |state| state.as_str()));
        shown.duration = Some(hold);
        shown.keep_firing_for = Some(keep_firing_for);
        shown.annotations = Some(annotations);
        let alerts = alerts.into_iter().map(Alert::from).collect();
        shown.alerts = Some((!exclude_alerts).then_some(alerts));
    }
    shown
}

#[derive(Serialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

/// `/api/v1/alerts`: all alerts pending or firing.
pub(super) async fn alerts(State(api): State<Api>, _: Params) -> Response {
    let rules = api.state.rules.groups().into_iter().flat_map(|group| group.rules);
    let alerts = rules.flat_map(|rule| match rule.kind {
        SnapshotKind::Alerting { alerts, .. } => alerts,
        SnapshotKind::Recording => Vec::new(),
    });
    success(&Alerts { alerts: alerts.map(Alert::from).collect() }, &[])
}

#[derive(Serialize)]
struct Url {
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alertmanagers {
    active_alertmanagers: Vec<Url>,
    dropped_alertmanagers: Vec<Url>,
}

/// `/api/v1/alertmanagers`.
pub(super) async fn alertmanagers(State(api): State<Api>, _: Params) -> Response {
    let urls = |list: Vec<String>| list.into_iter().map(|url| Url { url }).collect();
    let view = &api.state.alertmanagers;
    let shown = Alertmanagers {
        active_alertmanagers: urls(view.active()),
        dropped_alertmanagers: urls(view.dropped()),
    };
    success(&shown, &[])
}
