//! The limits that are sections or lists of their own: retention by stream, blocked queries, OTLP
//! attributes.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use novaobs_config::{Cursor, Fields, Node, Section, ToNode, value};
use novaobs_model::GoRegex;

use super::{
    AttributeAction, AttributeRule, BlockedQuery, DEFAULT_INDEX_LABELS, DeletionMode, OtlpConfig,
    ResourceAttributes, StreamRetention,
};
use crate::{selector, value as scalars};

/// Less would cut into a day that the peer removes as a whole.
const SHORTEST_STREAM_RETENTION: Duration = Duration::from_secs(86_400);

pub(super) fn deletion_mode(at: &Cursor<'_>) -> Option<DeletionMode> {
    value::one_of(&[
        ("disabled", DeletionMode::Disabled),
        ("filter-only", DeletionMode::FilterOnly),
        ("filter-and-delete", DeletionMode::FilterAndDelete),
    ])(at)
}

impl ToNode for DeletionMode {
    fn to_node(&self) -> Node {
        Node::text(self.as_str())
    }
}

/// A time: RFC 3339, a date, a date with hours and minutes (all UTC unless they say otherwise); `0` for none.
pub(super) fn time(at: &Cursor<'_>) -> Option<Option<i64>> {
    let text = value::string(at)?;
    if text.is_empty() || text == "0" {
        return Some(None);
    }
    let civil = || {
        let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN));
        date.or_else(|_| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M"))
    };
    let read = DateTime::parse_from_rfc3339(&text)
        .map(|time| time.to_utc())
        .or_else(|_| civil().map(|t| t.and_utc()));
    match read.ok().and_then(|time| time.timestamp_nanos_opt()) {
        Some(nanos) => Some(Some(nanos)),
        None => at.error(format!("{text:?} is not a time: write it as 2026-01-31T00:00:00Z, or 0 for none")),
    }
}

pub(super) fn stream_retention(at: &Cursor<'_>) -> Option<StreamRetention> {
    let mut map = at.mapping();
    let read_selector = |at: &Cursor<'_>| match selector::parse(&value::string(at)?) {
        Ok(matchers) => Some(matchers),
        Err(error) => at.error(error.to_string()),
    };
    let read_period = |at: &Cursor<'_>| {
        let period = scalars::duration(at)?;
        if period < SHORTEST_STREAM_RETENTION {
            let shown = novaobs_model::duration::format(period);
            return at.error(format!("retention period must be >= 24h was {shown}"));
        }
        Some(period)
    };
    let matchers = map.required("selector", read_selector);
    let priority = map.or("priority", value::i64, 0);
    let period = map.required("period", read_period);
    map.finish();
    Some(StreamRetention { matchers: matchers?, priority, period: period? })
}

impl ToNode for StreamRetention {
    fn to_node(&self) -> Node {
        Fields::new()
            .field("period", &self.period)
            .field("priority", &self.priority)
            .field("selector", selector::print(&self.matchers).as_str())
            .node()
    }
}

pub(super) fn blocked_query(at: &Cursor<'_>) -> Option<BlockedQuery> {
    let mut map = at.mapping();
    let query = BlockedQuery {
        pattern: map.or("pattern", value::string, String::new()),
        regex: map.or("regex", value::boolean, false),
        types: map.or("types", scalars::texts, Vec::new()),
        hash: map.or("hash", hash, 0),
        tags: map.or("tags", value::map(value::string), Vec::new()),
    };
    if query.regex
        && let Err(error) = GoRegex::new(&query.pattern)
    {
        map.error_at("pattern", error.to_string());
    }
    map.finish();
    Some(query)
}

fn hash(at: &Cursor<'_>) -> Option<u32> {
    match u32::try_from(value::u64(at)?) {
        Ok(hash) => Some(hash),
        Err(_) => at.error("a hash has 32 bits: write a number below 4294967296"),
    }
}

impl ToNode for BlockedQuery {
    fn to_node(&self) -> Node {
        let tags =
            self.tags.iter().fold(Fields::new(), |fields, (name, value)| fields.field(name, value)).node();
        Fields::new()
            .field("pattern", &self.pattern)
            .nonempty("regex", &self.regex)
            .nonempty("types", &self.types.join(","))
            .nonempty("hash", &self.hash)
            .nonempty("tags", &tags)
            .node()
    }
}

pub(super) fn otlp_config(at: &Cursor<'_>) -> Option<OtlpConfig> {
    let mut map = at.mapping();
    let config = OtlpConfig {
        resource_attributes: map.optional("resource_attributes", resource_attributes).unwrap_or_default(),
        scope_attributes: rules(&mut map, "scope_attributes"),
        log_attributes: rules(&mut map, "log_attributes"),
        severity_text_as_label: map.or("severity_text_as_label", value::boolean, false),
    };
    map.finish();
    Some(config)
}

fn resource_attributes(at: &Cursor<'_>) -> Option<ResourceAttributes> {
    let mut map = at.mapping();
    let mut attributes = ResourceAttributes {
        ignore_defaults: map.or("ignore_defaults", value::boolean, false),
        attributes_config: rules(&mut map, "attributes_config"),
    };
    // A printed configuration, read again, begins with the rule that the defaults act as.
    let repeats = |rule: &AttributeRule| {
        rule.action == AttributeAction::IndexLabel && rule.attributes == DEFAULT_INDEX_LABELS
    };
    if !attributes.ignore_defaults && attributes.attributes_config.first().is_some_and(repeats) {
        attributes.attributes_config.remove(0);
    }
    map.finish();
    Some(attributes)
}

fn rules(map: &mut Section<'_>, key: &'static str) -> Vec<AttributeRule> {
    map.optional(key, value::list(rule)).unwrap_or_default()
}

fn rule(at: &Cursor<'_>) -> Option<AttributeRule> {
    let mut map = at.mapping();
    let action = value::one_of(&[
        ("drop", AttributeAction::Drop),
        ("index_label", AttributeAction::IndexLabel),
        ("structured_metadata", AttributeAction::StructuredMetadata),
    ]);
    let action = map.required("action", action);
    let attributes = map.or("attributes", value::list(value::string), Vec::new());
    let regex = map.optional("regex", value::regex);
    match (attributes.is_empty(), map.has("regex")) {
        (true, false) => map.error("attributes or regex must be set"),
        (false, true) => map.error("only one of attributes or regex must be set"),
        _ => {}
    }
    map.finish();
    Some(AttributeRule { action: action?, attributes, regex })
}

impl ToNode for AttributeRule {
    fn to_node(&self) -> Node {
        Fields::new()
            .field("action", self.action.as_str())
            .nonempty("attributes", &self.attributes)
            .nonempty("regex", &self.regex)
            .node()
    }
}

impl ToNode for ResourceAttributes {
    /// The default labels are printed as the rule that they act as.
    fn to_node(&self) -> Node {
        let defaults = AttributeRule {
            action: AttributeAction::IndexLabel,
            attributes: DEFAULT_INDEX_LABELS.iter().map(|name| (*name).to_owned()).collect(),
            regex: None,
        };
        let defaults = (!self.ignore_defaults).then_some(&defaults);
        let rules = Node::sequence(defaults.into_iter().chain(&self.attributes_config).map(ToNode::to_node));
        Fields::new()
            .nonempty("ignore_defaults", &self.ignore_defaults)
            .nonempty("attributes_config", &rules)
            .node()
    }
}

impl ToNode for OtlpConfig {
    fn to_node(&self) -> Node {
        Fields::new()
            .nonempty("resource_attributes", &self.resource_attributes)
            .nonempty("scope_attributes", &self.scope_attributes)
            .nonempty("log_attributes", &self.log_attributes)
            .nonempty("severity_text_as_label", &self.severity_text_as_label)
            .node()
    }
}
