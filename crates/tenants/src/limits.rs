//! What a tenant may do: `limits_config` of a Loki file, and one tenant's `overrides`.

use std::time::Duration;

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
#[expect(missing_docs, reason = "names and meaning are those of the keys")]
pub struct ResourceAttributes {
    pub ignore_defaults: bool,
    pub attributes_config: Vec<AttributeRule>,
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
