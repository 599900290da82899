//! What a tenant may do: `limits_config` of a Loki file, and one tenant's `overrides`.

mod nested;
mod yaml;

use std::time::Duration;

pub use yaml::{LimitsSection, PUBLISHED};

/// Limits of one tenant. 0 means without a limit where the peer has it so; `Default` has the peer's defaults.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are those of the keys of limits_config")]
pub struct Limits {
    // Ingest.
    pub ingestion_rate_mb: f64,
    pub ingestion_burst_size_mb: f64,
    pub max_label_name_length: usize,
    pub max_label_value_length: usize,
    pub max_label_names_per_series: usize,
    pub reject_old_samples: bool,
    pub reject_old_samples_max_age: Duration,
    pub creation_grace_period: Duration,
    pub max_line_size: u64,
    pub max_line_size_truncate: bool,
    pub max_line_size_truncate_identifier: String,
    pub increment_duplicate_timestamp: bool,
    pub discover_service_name: Vec<String>,
    pub discover_log_levels: bool,
    pub log_level_fields: Vec<String>,
    pub log_level_from_json_max_depth: usize,
    pub max_streams_per_user: u64,
    pub max_global_streams_per_user: u64,
    pub per_stream_rate_limit: u64,
    pub per_stream_rate_limit_burst: u64,
    pub allow_structured_metadata: bool,
    pub max_structured_metadata_size: u64,
    pub max_structured_metadata_entries_count: usize,
    pub otlp_config: OtlpConfig,
    /// Unix nanoseconds; pushes are refused until then.
    pub block_ingestion_until: Option<i64>,
    pub block_ingestion_status_code: u16,
    pub enforced_labels: Vec<String>,
    // Queries.
    pub max_query_series: usize,
    pub max_query_lookback: Duration,
    pub max_query_length: Duration,
    pub max_query_range: Duration,
    pub max_query_parallelism: usize,
    pub max_streams_matchers_per_query: usize,
    pub max_concurrent_tail_requests: usize,
    pub max_entries_limit_per_query: usize,
    pub query_timeout: Duration,
    pub max_query_bytes_read: u64,
    pub max_querier_bytes_read: u64,
    pub volume_enabled: bool,
    pub volume_max_series: usize,
    pub blocked_queries: Vec<BlockedQuery>,
    pub required_labels: Vec<String>,
    pub minimum_labels_number: usize,
    // Rules, deletes, retention.
    pub ruler_max_rules_per_rule_group: usize,
    pub ruler_max_rule_groups_per_tenant: usize,
    pub deletion_mode: DeletionMode,
    /// Zero: kept for ever.
    pub retention_period: Duration,
    pub retention_stream: Vec<StreamRetention>,
}

/// `otlp_config`.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are those of the keys of otlp_config")]
pub struct OtlpConfig {
    pub resource_attributes: ResourceAttributes,
    pub scope_attributes: Vec<AttributeRule>,
    pub log_attributes: Vec<AttributeRule>,
    pub severity_text_as_label: bool,
}

/// `otlp_config.resource_attributes`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceAttributes {
    /// Whether [`DEFAULT_INDEX_LABELS`] are left out; else they become labels of the stream, before any rule.
    pub ignore_defaults: bool,
    /// The rules, first match first.
    pub attributes_config: Vec<AttributeRule>,
}

/// Resource attributes that become labels of the stream unless `ignore_defaults` is set.
pub const DEFAULT_INDEX_LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

impl OtlpConfig {
    /// Makes `names` the resource attributes that become labels, in place of [`DEFAULT_INDEX_LABELS`]:
    /// `distributor.otlp_config.default_resource_attributes_as_index_labels`. Nothing changes when the
    /// defaults are ignored.
    pub fn replace_default_labels(&mut self, names: &[String]) {
        if !self.resource_attributes.ignore_defaults {
            let rule = AttributeRule {
                action: AttributeAction::IndexLabel,
                attributes: names.to_vec(),
                regex: None,
            };
            self.resource_attributes.ignore_defaults = true;
            self.resource_attributes.attributes_config.insert(0, rule);
        }
    }
}

/// What becomes of some attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRule {
    /// What becomes of them.
    pub action: AttributeAction,
    /// By name.
    pub attributes: Vec<String>,
    /// By anchored expression.
    pub regex: Option<novaobs_model::GoRegex>,
}

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeAction {
    /// A label of the stream.
    IndexLabel,
    /// Structured metadata.
    StructuredMetadata,
    /// Nothing.
    Drop,
}

impl AttributeAction {
    /// Its name in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            AttributeAction::IndexLabel => "index_label",
            AttributeAction::StructuredMetadata => "structured_metadata",
            AttributeAction::Drop => "drop",
        }
    }
}

/// An entry of `blocked_queries`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are those of the keys")]
pub struct BlockedQuery {
    pub pattern: String,
    pub regex: bool,
    /// `metric`, `filter`, `limited`; empty: all.
    pub types: Vec<String>,
    pub hash: u32,
    /// Of `X-Query-Tags`.
    pub tags: Vec<(String, String)>,
}

/// `deletion_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionMode {
    /// Deletes are refused.
    Disabled,
    /// Deleted lines are left out of answers and stay on disk.
    FilterOnly,
    /// Deleted lines are left out of answers at once and removed from disk later.
    FilterAndDelete,
}

impl DeletionMode {
    /// Its name in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            DeletionMode::Disabled => "disabled",
            DeletionMode::FilterOnly => "filter-only",
            DeletionMode::FilterAndDelete => "filter-and-delete",
        }
    }
}

/// An entry of `retention_stream`.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRetention {
    /// Which streams; all must hold.
    pub matchers: Vec<novaobs_model::Matcher>,
    /// The highest that matches counts; on a tie the shorter period.
    pub priority: i64,
    /// How long they are kept.
    pub period: Duration,
}

/// Labels that `service_name` is made from, the first present one counting.
const SERVICE_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Fields that a line's level is looked for in.
const LEVEL_FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

const HOUR: Duration = Duration::from_secs(3600);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Limits {
            ingestion_rate_mb: 4.0,
            ingestion_burst_size_mb: 6.0,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            max_label_names_per_series: 15,
            reject_old_samples: true,
            reject_old_samples_max_age: 7 * 24 * HOUR,
            creation_grace_period: Duration::from_secs(600),
            max_line_size: 256 * KIB,
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            increment_duplicate_timestamp: false,
            discover_service_name: texts(&SERVICE_LABELS),
            discover_log_levels: true,
            log_level_fields: texts(&LEVEL_FIELDS),
            log_level_from_json_max_depth: 2,
            max_streams_per_user: 0,
            max_global_streams_per_user: 5000,
            per_stream_rate_limit: 3 * MIB,
            per_stream_rate_limit_burst: 15 * MIB,
            allow_structured_metadata: true,
            max_structured_metadata_size: 64 * KIB,
            max_structured_metadata_entries_count: 128,
            otlp_config: OtlpConfig::default(),
            block_ingestion_until: None,
            block_ingestion_status_code: 260,
            enforced_labels: Vec::new(),
            max_query_series: 500,
            max_query_lookback: Duration::ZERO,
            max_query_length: 721 * HOUR,
            max_query_range: Duration::ZERO,
            max_query_parallelism: 32,
            max_streams_matchers_per_query: 1000,
            max_concurrent_tail_requests: 10,
            max_entries_limit_per_query: 5000,
            query_timeout: Duration::from_secs(60),
            max_query_bytes_read: 0,
            max_querier_bytes_read: 150 * 1024 * MIB,
            volume_enabled: true,
            volume_max_series: 1000,
            blocked_queries: Vec::new(),
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            ruler_max_rules_per_rule_group: 0,
            ruler_max_rule_groups_per_tenant: 0,
            deletion_mode: DeletionMode::FilterAndDelete,
            retention_period: Duration::ZERO,
            retention_stream: Vec::new(),
        }
    }
}
