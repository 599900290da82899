//! `/api/v1/metadata` and `/api/v1/targets/metadata`.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use novaobs_model::{Labels, Matcher};
use novaobs_promql_parser::parse_selector;
use serde::Serialize;

use super::Api;
use super::envelope::{ApiError, label_object, success};
use super::params::{Params, go_atoi};

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct MetricMetadata<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'a str,
    unit: &'a str,
}

/// `/api/v1/metadata`: what each metric is, over all targets.
pub(super) async fn metrics(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let limit = number(&params, "limit")?;
    let per_metric = number(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let wanted = params.get("metric");
    let targets = api.state.targets.metadata();
    let mut metrics: BTreeMap<&str, BTreeSet<MetricMetadata<'_>>> = BTreeMap::new();
    for family in targets.iter().flat_map(|target| &target.families) {
        if !wanted.is_empty() && family.family != wanted {
            continue;
        }
        if limit.is_some_and(|limit| metrics.len() >= limit) && !metrics.contains_key(family.family.as_str())
        {
            continue;
        }
        let known = metrics.entry(&family.family).or_default();
        if per_metric.is_none_or(|limit| known.len() < limit) {
            let metadata = &family.metadata;
            known.insert(MetricMetadata {
                kind: metadata.kind.as_str(),
                help: &metadata.help,
                unit: &metadata.unit,
            });
        }
    }
    Ok(success(&metrics, &[]))
}

#[derive(Serialize)]
struct TargetMetadata<'a> {
    #[serde(serialize_with = "labels")]
    target: &'a Labels,
    #[serde(skip_serializing_if = "str::is_empty")]
    metric: &'a str,
    #[serde(flatten)]
    metadata: MetricMetadata<'a>,
}

fn labels<S: serde::Serializer>(labels: &&Labels, serializer: S) -> Result<S::Ok, S::Error> {
    label_object(labels, serializer)
}

/// `/api/v1/targets/metadata`: what each target says its metrics are.
pub(super) async fn targets(State(api): State<Api>, params: Params) -> Result<Response, ApiError> {
    let limit = number(&params, "limit")?.unwrap_or(usize::MAX);
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => parse_selector(text).map_err(|error| ApiError::parameter("match_target", error))?,
    };
    let wanted = params.get("metric");
    let targets = api.state.targets.metadata();
    let mut found = Vec::new();
    for target in &targets {
        // The peer stops between targets, not within one.
        if found.len() >= limit {
            break;
        }
        if !matchers.iter().all(|matcher: &Matcher| matcher.matches_labels(&target.target)) {
            continue;
        }
        let families = target.families.iter().filter(|family| wanted.is_empty() || family.family == wanted);
        found.extend(families.map(|family| TargetMetadata {
            target: &target.target,
            metric: if wanted.is_empty() { &family.family } else { "" },
            metadata: MetricMetadata {
                kind: family.metadata.kind.as_str(),
                help: &family.metadata.help,
                unit: &family.metadata.unit,
            },
        }));
    }
    Ok(success(&found, &[]))
}

/// A number; none when it is missing or negative.
fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    let text = params.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let number = go_atoi(text).map_err(|_| ApiError::bad_data(format!("{name} must be a number")))?;
    Ok(usize::try_from(number).ok())
}
