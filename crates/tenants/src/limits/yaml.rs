//! Limits from YAML, on top of other limits, and back.

use std::path::PathBuf;
use std::time::Duration;

use novaobs_config::{Cursor, Fields, Node, Section, ToNode, value};

use super::{Limits, nested};
use crate::value::{ByteSize, bytes, count, count_usize, duration, texts};

/// A `limits_config` section: limits, and where older files name the runtime file.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitsSection {
    /// The limits.
    pub limits: Limits,
    /// `per_tenant_override_config`, now `runtime_config.file`.
    pub runtime_file: Option<PathBuf>,
    /// `per_tenant_override_period`, now `runtime_config.period`.
    pub runtime_period: Option<Duration>,
}

/// Keys that tenants may ask for at `/config/tenant/v1/limits` unless `tenant_limits_allow_publish` says
/// otherwise.
pub const PUBLISHED: [&str; 18] = [
    "discover_log_levels",
    "discover_service_name",
    "log_level_fields",
    "max_entries_limit_per_query",
    "max_line_size_truncate",
    "max_query_bytes_read",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "metric_aggregation_enabled",
    "otlp_config",
    "pattern_persistence_enabled",
    "query_timeout",
    "retention_period",
    "retention_stream",
    "volume_enabled",
    "volume_max_series",
];

/// Calls a macro with a row for each key: field, reader, printer. The order is that of the peer's page.
macro_rules! each_limit {
    ($then:ident) => {
        $then! {
            ingestion_rate_mb, value::f64, same;
            ingestion_burst_size_mb, value::f64, same;
            max_label_name_length, count_usize, same;
            max_label_value_length, count_usize, same;
            max_label_names_per_series, count_usize, same;
            reject_old_samples, value::boolean, same;
            reject_old_samples_max_age, duration, same;
            creation_grace_period, duration, same;
            max_line_size, bytes, size;
            max_line_size_truncate, value::boolean, same;
            max_line_size_truncate_identifier, value::string, same;
            increment_duplicate_timestamp, value::boolean, same;
            discover_service_name, texts, same;
            discover_log_levels, value::boolean, same;
            log_level_fields, texts, same;
            log_level_from_json_max_depth, count_usize, same;
            max_streams_per_user, count, same;
            max_global_streams_per_user, count, same;
            per_stream_rate_limit, bytes, size;
            per_stream_rate_limit_burst, bytes, size;
            max_query_series, count_usize, same;
            max_query_lookback, duration, same;
            max_query_length, duration, same;
            max_query_range, duration, same;
            max_query_parallelism, count_usize, same;
            max_streams_matchers_per_query, count_usize, same;
            max_concurrent_tail_requests, count_usize, same;
            max_entries_limit_per_query, count_usize, same;
            query_timeout, duration, same;
            max_query_bytes_read, bytes, size;
            max_querier_bytes_read, bytes, size;
            volume_enabled, value::boolean, same;
            volume_max_series, count_usize, same;
            ruler_max_rules_per_rule_group, count_usize, same;
            ruler_max_rule_groups_per_tenant, count_usize, same;
            deletion_mode, nested::deletion_mode, same;
            retention_period, duration, same;
            retention_stream, value::list(nested::stream_retention), list;
            blocked_queries, value::list(nested::blocked_query), list;
            required_labels, texts, list;
            minimum_labels_number, count_usize, unless_zero;
            allow_structured_metadata, value::boolean, same;
            max_structured_metadata_size, bytes, size;
            max_structured_metadata_entries_count, count_usize, same;
            otlp_config, nested::otlp_config, same;
            block_ingestion_until, nested::time, time;
            block_ingestion_status_code, value::u16, same;
            enforced_labels, texts, same;
        }
    };
}

/// Keys that mean nothing here, by reason. The ones without a reason only tuned how the peer spreads its
/// work; nobody misses them.
const WITHOUT_EFFECT: [(&str, &[&str]); 5] = [
    (
        "",
        &[
            "ingestion_rate_strategy",
            "max_chunks_per_query",
            "cardinality_limit",
            "tsdb_max_query_parallelism",
            "tsdb_max_bytes_per_shard",
            "tsdb_sharding_strategy",
            "tsdb_precompute_chunks",
            "max_cache_freshness_per_query",
            "max_metadata_cache_freshness",
            "max_stats_cache_freshness",
            "max_queriers_per_tenant",
            "max_query_capacity",
            "query_ready_index_num_days",
            "split_queries_by_interval",
            "split_metadata_queries_by_interval",
            "split_recent_metadata_queries_by_interval",
            "recent_metadata_query_window",
            "split_instant_metric_queries_by_interval",
            "split_ingester_queries_by_interval",
            "engine_results_cache_time_bucket_interval",
            "min_sharding_lookback",
            "shard_streams",
            "shard_aggregations",
            "use_owned_stream_count",
            "index_gateway_shard_size",
            "index_gateway_max_capacity",
            "ruler_tenant_shard_size",
            "ruler_remote_evaluation_timeout",
            "ruler_remote_evaluation_max_response_size",
            "bloom_gateway_shard_size",
            "bloom_gateway_enable_filtering",
            "bloom_gateway_cache_key_interval",
            "bloom_gateway_blocks_downloading_parallelism",
            "bloom_compactor_shard_size",
            "bloom_compactor_max_table_age",
            "bloom_compactor_enable_compaction",
            "bloom_compactor_max_block_size",
            "bloom_compactor_max_bloom_size",
            "bloom_compactor_chunks_batch_size",
            "bloom_ngram_length",
            "bloom_ngram_skip",
            "bloom_false_positive_rate",
            "bloom_block_encoding",
            "bloom_build_max_builders",
            "bloom_build_task_max_retries",
            "bloom_build_builder_response_timeout",
            "bloom_creation_enabled",
            "bloom_planning_strategy",
            "bloom_split_series_keyspace_by",
            "bloom_task_target_series_chunk_size",
            "bloom_prefetch_blocks",
            "bloom_max_block_size",
            "bloom_max_bloom_size",
            "ingestion_partitions_tenant_shard_size",
            "dataobj_index_compaction_enabled",
            "dataobj_log_compaction_enabled",
            "max_scan_task_parallelism",
            "debug_engine_tasks",
            "debug_engine_streams",
            "enable_multi_variant_queries",
            "simulated_push_latency",
        ],
    ),
    (
        "was dropped by newer releases of Loki as well",
        &[
            "enforce_metric_name",
            "unordered_writes",
            "ruler_evaluation_delay_duration",
            "ruler_enable_wal_replay",
        ],
    ),
    (
        "policies are not built: these limits are not enforced",
        &[
            "policy_stream_mapping",
            "policy_enforced_labels",
            "policy_override_limits",
            "block_ingestion_policy_until",
        ],
    ),
    (
        "is not built",
        &[
            "discover_generic_fields",
            "metric_aggregation_enabled",
            "pattern_persistence_enabled",
            "pattern_persistence_granularity",
            "pattern_rate_threshold",
            "pattern_ingester_tokenizable_json_fields_default",
            "pattern_ingester_tokenizable_json_fields_append",
            "pattern_ingester_tokenizable_json_fields_delete",
            "ruler_alertmanager_config",
            "ruler_remote_write_disabled",
            "ruler_remote_write_config",
        ],
    ),
    (
        "objects of all tenants are stored with the encryption of the bucket",
        &["s3_sse_type", "s3_sse_kms_key_id", "s3_sse_kms_encryption_context"],
    ),
];

impl Limits {
    /// Reads `limits_config`, on top of `base`.
    pub fn read_section(at: &Cursor<'_>, base: &Limits) -> Option<LimitsSection> {
        let mut limits = base.clone();
        let mut map = at.mapping();
        limits.read_keys(&mut map);
        let runtime_file = map.optional("per_tenant_override_config", value::string);
        let runtime_period = map.optional("per_tenant_override_period", duration);
        for key in ["per_tenant_override_config", "per_tenant_override_period"] {
            if let Some(at) = map.take(key).filter(|at| !at.node().is_empty()) {
                at.warn("is an old name: write runtime_config.file and runtime_config.period");
            }
        }
        map.finish();
        let runtime_file = runtime_file.filter(|file| !file.is_empty()).map(PathBuf::from);
        Some(LimitsSection { limits, runtime_file, runtime_period })
    }

    /// Reads the limits of one tenant, on top of `base`.
    pub fn read_override(at: &Cursor<'_>, base: &Limits) -> Option<Limits> {
        let mut limits = base.clone();
        let mut map = at.mapping();
        limits.read_keys(&mut map);
        map.finish();
        Some(limits)
    }

    fn read_keys(&mut self, map: &mut Section<'_>) {
        macro_rules! read {
            ($($field:ident, $read:expr, $print:ident;)*) => {$(
                if let Some(read) = map.optional(stringify!($field), $read) {
                    self.$field = read;
                }
            )*};
        }
        each_limit!(read);
        self.read_old_keys(map);
        for (reason, keys) in WITHOUT_EFFECT {
            let written: Vec<(&str, Cursor<'_>)> =
                keys.iter().filter_map(|key| Some((*key, map.take(key)?))).collect();
            let names: Vec<&str> =
                written.iter().filter(|(_, at)| !at.node().is_empty()).map(|(key, _)| *key).collect();
            let first = written.iter().find(|(_, at)| !at.node().is_empty());
            if let (Some((_, at)), false) = (first, reason.is_empty()) {
                at.warn(format!("without effect: {}: {reason}", names.join(", ")));
            }
        }
    }

    /// Keys whose meaning moved elsewhere.
    fn read_old_keys(&mut self, map: &mut Section<'_>) {
        if let Some(at) = map.take("allow_deletes") {
            // The peer's `deletion_mode` took over, and allows deletes unless it says otherwise.
            value::boolean(&at);
            at.warn("is an old name: write deletion_mode");
        }
        let old = map.take_matching(|key| {
            key.starts_with("ruler_remote_write_")
                && !matches!(key, "ruler_remote_write_config" | "ruler_remote_write_disabled")
        });
        if let Some((_, at)) = old.iter().find(|(_, at)| !at.node().is_empty()) {
            let names: Vec<&str> = old.iter().map(|(key, _)| *key).collect();
            at.warn(format!(
                "without effect: {}: a tenant has no remote write of its own: write ruler.remote_write",
                names.join(", ")
            ));
        }
    }

    /// The keys of `wanted` with their values, sorted by name: the page `/config/tenant/v1/limits`.
    pub fn published(&self, wanted: &[String]) -> Node {
        let all = self.to_node();
        let mut names: Vec<&String> = wanted.iter().collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .fold(Fields::new(), |fields, name| match all.get(name) {
                Some(value) => fields.field(name, value),
                None if NOT_BUILT_SWITCHES.contains(&name.as_str()) => fields.field(name, &false),
                None => fields,
            })
            .node()
    }
}

/// Switches that the peer publishes and that cannot be switched on here.
const NOT_BUILT_SWITCHES: [&str; 2] = ["metric_aggregation_enabled", "pattern_persistence_enabled"];

impl ToNode for Limits {
    fn to_node(&self) -> Node {
        let mut fields = Fields::new();
        macro_rules! print {
            ($($field:ident, $read:expr, $print:ident;)*) => {$(
                fields = $print(fields, stringify!($field), &self.$field);
            )*};
        }
        each_limit!(print);
        fields.node()
    }
}

fn same<T: ToNode>(fields: Fields, key: &str, value: &T) -> Fields {
    fields.field(key, value)
}

fn size(fields: Fields, key: &str, value: &u64) -> Fields {
    fields.field(key, &ByteSize(*value))
}

/// The peer leaves these out when they are empty.
fn list<T: ToNode>(fields: Fields, key: &str, value: &Vec<T>) -> Fields {
    fields.nonempty(key, value)
}

fn unless_zero(fields: Fields, key: &str, value: &usize) -> Fields {
    fields.nonempty(key, value)
}

fn time(fields: Fields, key: &str, value: &Option<i64>) -> Fields {
    let text = match value {
        Some(nanos) => chrono::DateTime::from_timestamp_nanos(*nanos)
            .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        None => "0".to_owned(),
    };
    fields.field(key, text.as_str())
}

#[cfg(test)]
mod tests {
    use novaobs_config::{ConfigError, Document, Loaded, UnknownKeys, emit};

    use super::*;

    fn load(text: &str) -> Result<Loaded<LimitsSection>, ConfigError> {
        Document::parse("loki.yml", text)?
            .read(UnknownKeys::Warn, |at| Limits::read_section(at, &Limits::default()))
    }

    fn good(text: &str) -> Limits {
        let loaded = load(text).unwrap();
        assert_eq!(loaded.warnings, [], "{text}");
        loaded.value.limits
    }

    fn warned(text: &str) -> String {
        load(text).unwrap().warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn refused(text: &str) -> String {
        load(text).unwrap_err().to_string()
    }

    #[test]
    fn every_key_comes_back_as_it_was_printed() {
        let text = "ingestion_rate_mb: 1.5\nmax_line_size: 1MB\nquery_timeout: 2m\nblock_ingestion_until: 2026-01-01T00:00:00Z\n\
            retention_stream: [{selector: '{a=\"b\"}', priority: 2, period: 48h}]\nblocked_queries: [{pattern: x, regex: true, types: 'metric,filter', hash: 3}]\n\
            required_labels: [a]\nminimum_labels_number: 2\ndeletion_mode: filter-only\n\
            otlp_config: {resource_attributes: {ignore_defaults: true, attributes_config: [{action: drop, regex: a.*}]}, log_attributes: [{action: structured_metadata, attributes: [x]}], severity_text_as_label: true}\n";
        let limits = good(text);
        assert_eq!(limits.query_timeout, Duration::from_secs(120));
        assert_eq!(limits.block_ingestion_until, Some(1_767_225_600_000_000_000));
        assert_eq!(limits.blocked_queries.first().unwrap().types, ["metric", "filter"]);
        assert_eq!(good(&emit(&limits.to_node())), limits);
        assert_eq!(good(&emit(&Limits::default().to_node())), Limits::default());
    }

    #[test]
    fn the_defaults_print_as_the_peers_do() {
        let yaml = emit(&Limits::default().to_node());
        for line in [
            "ingestion_rate_mb: 4\n",
            "reject_old_samples_max_age: 1w\n",
            "max_line_size: 256KB\n",
            "per_stream_rate_limit: 3MB\n",
            "max_query_length: 30d1h\n",
            "max_query_bytes_read: 0B\n",
            "max_querier_bytes_read: 150GB\n",
            "block_ingestion_until: \"0\"\n",
            "enforced_labels: []\n",
            "    - action: index_label\n      attributes:\n      - service.name\n",
        ] {
            assert!(yaml.contains(line), "{line}\n{yaml}");
        }
        assert!(!yaml.contains("retention_stream") && !yaml.contains("ignore_defaults"), "{yaml}");
    }

    #[test]
    fn published_keys_are_those_that_were_asked_for() {
        let wanted: Vec<String> = PUBLISHED.iter().map(|name| (*name).to_owned()).collect();
        let yaml = emit(&Limits::default().published(&wanted));
        assert!(yaml.starts_with("discover_log_levels: true\ndiscover_service_name:\n- service\n"), "{yaml}");
        assert!(yaml.contains("\nmetric_aggregation_enabled: false\n"), "{yaml}");
        assert!(!yaml.contains("ingestion_rate_mb"), "{yaml}");
    }

    #[test]
    fn wrong_values_are_refused_with_what_to_write() {
        let f = |text: &str, want: &str| {
            let error = refused(text);
            assert!(error.starts_with("loki.yml:1:") && error.contains(want), "{text}: {error}");
        };
        f("max_line_size: 1.5MB", "max_line_size: \"1.5MB\" is not a size");
        f("query_timeout: 5", "such as 5s");
        f("reject_old_samples: maybe", "expected true or false");
        f("deletion_mode: foo", "disabled, filter-only, filter-and-delete");
        f("retention_stream: [{selector: '{a=', period: 24h}]", "is not a stream selector");
        f(
            "retention_stream: [{selector: '{a=\"b\"}', period: 1h}]",
            "retention period must be >= 24h was 1h",
        );
        f("retention_stream: [{period: 24h}]", "the key selector is missing");
        f("otlp_config: {log_attributes: [{action: keep, attributes: [a]}]}", "drop, index_label");
        f("otlp_config: {log_attributes: [{action: drop}]}", "attributes or regex must be set");
        f(
            "otlp_config: {log_attributes: [{action: drop, attributes: [a], regex: b}]}",
            "only one of attributes or regex must be set",
        );
        f("otlp_config: {scope_attributes: [{action: drop, regex: '('}]}", "regex");
        f("block_ingestion_until: tomorrow", "2026-01-31T00:00:00Z");
        f("blocked_queries: [{pattern: '(', regex: true}]", "pattern");
        f("block_ingestion_status_code: 70000", "out of range");
    }

    #[test]
    fn what_has_no_effect_is_said_once_with_its_reason() {
        assert_eq!(warned("max_chunks_per_query: 5\nbloom_ngram_skip: 1\n"), "");
        let said = warned("policy_stream_mapping: {a: []}\nblock_ingestion_policy_until: {a: 2026-01-01}\n");
        assert!(
            said.contains(
                "without effect: policy_stream_mapping, block_ingestion_policy_until: policies are not built"
            ),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(warned("max_line_szie: 1").contains("did you mean max_line_size?"));
        assert!(warned("max_streams_per_user: -1").contains("-1 is taken as 0"));
        assert!(warned("ruler_remote_write_url: http://x").contains("ruler.remote_write"));
        assert!(warned("allow_deletes: true").contains("deletion_mode"));
    }

    #[test]
    fn the_runtime_file_is_found_under_its_old_name() {
        let loaded =
            load("per_tenant_override_config: /etc/overrides.yaml\nper_tenant_override_period: 1m").unwrap();
        assert_eq!(loaded.value.runtime_file, Some(PathBuf::from("/etc/overrides.yaml")));
        assert_eq!(loaded.value.runtime_period, Some(Duration::from_secs(60)));
        assert_eq!(loaded.warnings.len(), 2);
    }

    #[test]
    fn attributes_that_become_labels_can_be_replaced() {
        let mut limits = Limits::default();
        limits.otlp_config.replace_default_labels(&["a".to_owned()]);
        let yaml = emit(&limits.to_node());
        assert!(
            yaml.contains("      attributes:\n      - a\n") && !yaml.contains("service.name\n"),
            "{yaml}"
        );
    }
}
