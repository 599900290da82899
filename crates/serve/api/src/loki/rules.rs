//! The ruler: rule groups as YAML under `/loki/api/v1/rules` and `/api/prom/rules`, and how rules are doing
//! in Prometheus' shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novaobs_model::Tenant;
use novaobs_model::labels::go_quote;
use novaobs_rules::{ActiveAlert, GroupSnapshot, RuleSnapshot, SnapshotKind};

use super::Api;
use super::error::ApiError;
use super::json::{push, push_metric, push_string};
use super::params::{Params, read_body};
use super::rule_group::{RuleGroup, namespaces_yaml};
use super::tenancy::tenant_of;
use super::views::{RulesError, RulesStore};

const DONE: &str = "{\"status\":\"success\",\"data\":null,\"errorType\":\"\",\"error\":\"\"}";

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad(message).with_line_end()
}

fn missing(message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, message).with_line_end()
}

/// A store's refusal to read.
impl From<RulesError> for ApiError {
    fn from(error: RulesError) -> Self {
        match error {
            RulesError::ReadOnly(text) => bad(text),
            RulesError::Failed(text) => ApiError::internal(text).with_line_end(),
        }
    }
}

/// Runs a call of the store, which may block on file I/O.
async fn with_store<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(Arc<dyn RulesStore>) -> Result<T, RulesError> + Send + 'static,
) -> Result<Result<T, RulesError>, ApiError> {
    let store = api.state.rules.clone().ok_or_else(|| missing("404 page not found"))?;
    let joined = tokio::task::spawn_blocking(move || work(store)).await;
    joined.map_err(|error| ApiError::internal(error.to_string()))
}

async fn all(api: &Api, tenant: Tenant) -> Result<BTreeMap<String, Vec<RuleGroup>>, ApiError> {
    Ok(with_store(api, move |store| store.all(&tenant)).await??)
}

fn yaml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], text).into_response()
}

/// A path segment that names a namespace or group.
fn checked(name: &str) -> Result<&str, ApiError> {
    match matches!(name, "" | "." | "..") || name.contains(['\\', '\0']) {
        true => Err(bad(format!("invalid name {}: it would leave the folder of rules", go_quote(name)))),
        false => Ok(name),
    }
}

/// All groups.
pub(super) async fn list(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let groups = all(&api, tenant_of(&api, &headers, false)?).await?;
    if groups.values().all(Vec::is_empty) {
        return Err(missing("no rule groups found"));
    }
    Ok(yaml(namespaces_yaml(&groups)))
}

/// The groups of a namespace.
pub(super) async fn namespace(
    State(api): State<Api>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut groups = all(&api, tenant_of(&api, &headers, false)?).await?;
    groups.retain(|name, groups| *name == namespace && !groups.is_empty());
    if groups.is_empty() {
        return Err(missing("no rule groups found"));
    }
    Ok(yaml(namespaces_yaml(&groups)))
}

/// One group.
pub(super) async fn group(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut groups = all(&api, tenant_of(&api, &headers, false)?).await?;
    let groups = groups.remove(&namespace).unwrap_or_default();
    let found = groups.into_iter().find(|group| group.name == name);
    found.map(|group| yaml(group.yaml())).ok_or_else(|| missing("group does not exist"))
}

/// Adds or replaces a group.
pub(super) async fn put(
    State(api): State<Api>,
    Path(namespace): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&api, request.headers(), false)?;
    checked(&namespace)?;
    let body = read_body(request).await?;
    let group = std::str::from_utf8(&body).ok().and_then(RuleGroup::read);
    let group = group.ok_or_else(|| bad("unable to decoded rule group"))?;
    let problems = group.problems();
    if !problems.is_empty() {
        return Err(bad(problems.join(", ")));
    }
    let limits = (api.state.limits)(&tenant);
    let most = limits.ruler_max_rules_per_rule_group;
    if most > 0 && group.rules.len() > most {
        return Err(bad(format!(
            "per-user rules per rule group limit (limit: {most} actual: {}) exceeded",
            group.rules.len()
        )));
    }
    let most = limits.ruler_max_rule_groups_per_tenant;
    let have = match most {
        0 => 0,
        _ => {
            let all = all(&api, tenant.clone()).await?;
            let others =
                all.iter().flat_map(|(name, groups)| groups.iter().map(move |group| (name, &group.name)));
            others.filter(|(name, other)| **name != namespace || **other != group.name).count()
        }
    };
    if most > 0 && have + 1 > most {
        return Err(bad(format!("per-user rule groups limit (limit: {most} actual: {}) exceeded", have + 1)));
    }
    let stored = with_store(&api, move |store| store.put(&tenant, &namespace, &group)).await?;
    stored.map_or_else(|error| Ok(failed(error)), |()| Ok(accepted()))
}

/// Removes a group; one that is not there is no error, as with the peer.
pub(super) async fn delete_group(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&api, &headers, false)?;
    checked(&namespace)?;
    let deleted = with_store(&api, move |store| store.delete_group(&tenant, &namespace, &name)).await?;
    deleted.map_or_else(|error| Ok(failed(error)), |_| Ok(accepted()))
}

/// Removes a namespace.
pub(super) async fn delete_namespace(
    State(api): State<Api>,
    Path(namespace): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&api, &headers, false)?;
    checked(&namespace)?;
    match with_store(&api, move |store| store.delete_namespace(&tenant, &namespace)).await? {
        Ok(true) => Ok(accepted()),
        Ok(false) => Err(missing("group namespace does not exist")),
        Err(error) => Ok(failed(error)),
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], DONE).into_response()
}

fn failed(error: RulesError) -> Response {
    let (RulesError::ReadOnly(text) | RulesError::Failed(text)) = error;
    prometheus_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", &text)
}

/// An error in Prometheus' shape; the peer does not call it JSON.
fn prometheus_error(status: StatusCode, kind: &str, text: &str) -> Response {
    let mut out = format!("{{\"status\":\"error\",\"data\":null,\"errorType\":\"{kind}\",\"error\":");
    push_string(&mut out, text);
    out.push('}');
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], out).into_response()
}

fn prometheus_answer(data: &str) -> Response {
    let body = format!("{{\"status\":\"success\",\"data\":{data},\"errorType\":\"\",\"error\":\"\"}}");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `/prometheus/api/v1/rules`.
pub(super) async fn status(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let tenant = tenant_of(&api, request.headers(), false)?;
    let params = Params::of_url(&request)?;
    let kind = params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let text = format!("not supported value {}", go_quote(&kind));
        return Ok(prometheus_error(StatusCode::BAD_REQUEST, "bad_data", &text));
    }
    let wants = |key: &str, name: &str| {
        let mut wanted = params.all(key).peekable();
        wanted.peek().is_none() || wanted.any(|wanted| wanted == name)
    };
    let mut out = "{\"groups\":[".to_owned();
    let mut comma = "";
    for group in api.state.rule_status.groups(&tenant) {
        if !wants("file[]", &group.file) || !wants("rule_group[]", &group.name) {
            continue;
        }
        let rules: Vec<&RuleSnapshot> = group
            .rules
            .iter()
            .filter(|rule| match rule.kind {
                SnapshotKind::Recording => kind != "alert",
                SnapshotKind::Alerting { .. } => kind != "record",
            })
            .filter(|rule| wants("rule_name[]", &rule.name))
            .collect();
        if !rules.is_empty() {
            out.push_str(comma);
            push_group(&mut out, &group, &rules);
            comma = ",";
        }
    }
    out.push_str("]}");
    Ok(prometheus_answer(&out))
}

fn push_group(out: &mut String, group: &GroupSnapshot, rules: &[&RuleSnapshot]) {
    out.push_str("{\"name\":");
    push_string(out, &group.name);
    out.push_str(",\"file\":");
    push_string(out, &group.file);
    out.push_str(",\"rules\":[");
    for (at, rule) in rules.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_rule(out, rule);
    }
    push(
        out,
        format_args!(
            "],\"interval\":{},\"limit\":{},\"lastEvaluation\":\"{}\",\"evaluationTime\":{}}}",
            group.interval.as_secs_f64(),
            group.limit,
            go_time(group.last_evaluation),
            group.evaluation_time.as_secs_f64()
        ),
    );
}

fn push_rule(out: &mut String, rule: &RuleSnapshot) {
    out.push('{');
    if let SnapshotKind::Alerting { state, .. } = &rule.kind {
        push(out, format_args!("\"state\":\"{}\",", state.map_or("unknown", |state| state.as_str())));
    }
    out.push_str("\"name\":");
    push_string(out, &rule.name);
    out.push_str(",\"query\":");
    push_string(out, &rule.query);
    if let SnapshotKind::Alerting { hold, .. } = &rule.kind {
        push(out, format_args!(",\"duration\":{}", hold.as_secs_f64()));
    }
    out.push_str(",\"labels\":");
    push_metric(out, &rule.labels);
    if let SnapshotKind::Alerting { annotations, alerts, .. } = &rule.kind {
        out.push_str(",\"annotations\":");
        push_metric(out, annotations);
        out.push_str(",\"alerts\":[");
        for (at, alert) in alerts.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_alert(out, alert);
        }
        out.push(']');
    }
    push(out, format_args!(",\"health\":\"{}\",\"lastError\":", rule.health.as_str()));
    push_string(out, rule.last_error.as_deref().unwrap_or_default());
    let kind = match rule.kind {
        SnapshotKind::Recording => "recording",
        SnapshotKind::Alerting { .. } => "alerting",
    };
    push(
        out,
        format_args!(
            ",\"type\":\"{kind}\",\"lastEvaluation\":\"{}\",\"evaluationTime\":{}}}",
            go_time(rule.last_evaluation),
            rule.evaluation_time.as_secs_f64()
        ),
    );
}

fn push_alert(out: &mut String, alert: &ActiveAlert) {
    out.push_str("{\"labels\":");
    push_metric(out, &alert.labels);
    out.push_str(",\"annotations\":");
    push_metric(out, &alert.annotations);
    push(
        out,
        format_args!(
            ",\"state\":\"{}\",\"activeAt\":\"{}\",\"value\":\"{}\"}}",
            alert.state.as_str(),
            go_time(Some(alert.active_at)),
            crate::prometheus::go_exponent(alert.value)
        ),
    );
}

/// Unix milliseconds as Go writes times, the year 1 for none.
fn go_time(milliseconds: Option<i64>) -> String {
    let time = milliseconds.and_then(|time| time.checked_mul(1_000_000));
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), super::legacy::rfc3339)
}

/// `/prometheus/api/v1/alerts`: all alerts pending or firing.
pub(super) async fn alerts(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let tenant = tenant_of(&api, &headers, false)?;
    let mut out = "{\"alerts\":[".to_owned();
    let mut comma = "";
    let groups = api.state.rule_status.groups(&tenant);
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let SnapshotKind::Alerting { alerts, .. } = &rule.kind else { continue };
        for alert in alerts {
            out.push_str(comma);
            push_alert(&mut out, alert);
            comma = ",";
        }
    }
    out.push_str("]}");
    Ok(prometheus_answer(&out))
}
