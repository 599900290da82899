//! The list of target groups that files and HTTP endpoints hold: `[{"targets": [...], "labels": {...}}]`.

use novaobs_config::{Document, UnknownKeys, value};
use novaobs_model::{Labels, LabelsBuilder};
use serde_json::Value as Json;

use super::TargetGroup;

/// The label that holds a target's address.
const ADDRESS: &str = "__address__";

/// The labels of a target that has nothing but an address.
pub(super) fn address_set(address: &str) -> Labels {
    Labels::from_pairs([(ADDRESS, address)])
}

/// A group as written, before its source and meta labels are known.
pub(super) struct RawGroup {
    targets: Vec<String>,
    labels: Labels,
}

impl RawGroup {
    /// The group with its source, and one meta label added.
    pub(super) fn named(&self, source: String, meta: &str, value: &str) -> TargetGroup {
        let mut labels = LabelsBuilder::from_labels(&self.labels);
        labels.set(meta, value);
        TargetGroup {
            source,
            targets: self.targets.iter().map(|address| address_set(address)).collect(),
            labels: labels.build(),
        }
    }
}

/// Reads a list of groups from YAML; unknown keys are errors.
pub(super) fn from_yaml(file: &str, text: &str) -> Result<Vec<RawGroup>, String> {
    let document = Document::parse(file, text).map_err(|error| error.to_string())?;
    let loaded = document.read(UnknownKeys::Refuse, |at| {
        let groups = at.items()?.into_iter().enumerate().filter_map(|(i, item)| {
            if item.is_null() {
                return item.error(format!("nil target group item found (index {i})"));
            }
            let mut map = item.mapping();
            let targets = map.or("targets", value::list(value::string), Vec::new());
            let labels = map.or("labels", value::labels, Labels::empty());
            map.finish();
            Some(RawGroup { targets, labels })
        });
        Some(groups.collect())
    });
    loaded.map(|loaded| loaded.value).map_err(|error| error.to_string())
}

/// Reads a list of groups from JSON; unknown keys and values that are not texts are errors.
pub(super) fn from_json(bytes: &[u8]) -> Result<Vec<RawGroup>, String> {
    match serde_json::from_slice(bytes).map_err(|error| format!("invalid JSON: {error}"))? {
        Json::Null => Ok(Vec::new()),
        Json::Array(items) => items.iter().enumerate().map(|(i, item)| group_from_json(i, item)).collect(),
        _ => Err("expected a JSON list of target groups".to_owned()),
    }
}

fn group_from_json(i: usize, item: &Json) -> Result<RawGroup, String> {
    let keys = match item {
        Json::Object(keys) => keys,
        Json::Null => return Err(format!("nil target group item found (index {i})")),
        _ => return Err(format!("group {i}: expected an object with targets and labels")),
    };
    let mut group = RawGroup { targets: Vec::new(), labels: Labels::empty() };
    for (key, value) in keys {
        match (key.as_str(), value) {
            (_, Json::Null) if matches!(key.as_str(), "targets" | "labels") => {}
            ("targets", Json::Array(all)) => {
                let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
                group.targets = texts
                    .collect::<Option<_>>()
                    .ok_or_else(|| format!("group {i}: targets must be a list of texts"))?;
            }
            ("labels", Json::Object(pairs)) => {
                let mut labels = LabelsBuilder::new();
                for (name, value) in pairs {
                    let Some(value) = value.as_str() else {
                        return Err(format!("group {i}: the value of label {name:?} must be a text"));
                    };
                    if name.is_empty() {
                        return Err(format!("group {i}: {name:?} is not a valid label name"));
                    }
                    labels.set(name, value);
                }
                group.labels = labels.build();
            }
            ("targets" | "labels", _) => return Err(format!("group {i}: {key} has the wrong type")),
            _ => return Err(format!("group {i}: unknown field {key:?}: write targets and labels")),
        }
    }
    Ok(group)
}
