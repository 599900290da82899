//! What the API asks the rest of the process for, as the server answers it.

use std::collections::BTreeMap;

use novaobs_model::Labels;
use novaobs_rules::GroupSnapshot;
use novaobs_scrape::{TargetMetadata, Targets};
use serde::Serialize;

use super::envelope::go_time;

/// Scrape targets. Calls are quick and may come from any thread.
pub trait TargetsView: Send + Sync {
    /// All targets; active ones sorted by job.
    fn targets(&self) -> Targets;
    /// What active targets expose, in the same order.
    fn metadata(&self) -> Vec<TargetMetadata>;
    /// The jobs, sorted.
    fn scrape_pools(&self) -> Vec<String>;
}

/// Rule groups. Calls are quick and may come from any thread.
pub trait RulesView: Send + Sync {
    /// All groups, in order of file and place.
    fn groups(&self) -> Vec<GroupSnapshot>;
}

/// The Alertmanagers that alerts are sent to. Calls are quick and may come from any thread.
pub trait AlertmanagersView: Send + Sync {
    /// Alert endpoints in use (`http://host:9093/api/v2/alerts`).
    fn active(&self) -> Vec<String>;
    /// Those that relabelling dropped.
    fn dropped(&self) -> Vec<String>;
}

/// Configuration, flags, versions and statistics. [`StatusView::tsdb`] may block, the others are quick.
pub trait StatusView: Send + Sync {
    /// The configuration in effect as YAML, secrets hidden.
    fn config(&self) -> String;
    /// Flag names without dashes and their values.
    fn flags(&self) -> BTreeMap<String, String>;
    /// Versions.
    fn build_info(&self) -> BuildInfo;
    /// The process.
    fn runtime_info(&self) -> RuntimeInfo;
    /// `global.external_labels`.
    fn external_labels(&self) -> Labels;
    /// The newest part of the store, with the `limit` largest of each kind.
    ///
    /// # Errors
    /// A text, when the store cannot answer.
    fn tsdb(&self, limit: usize) -> Result<TsdbStatus, String>;
    /// Brings metrics that are read rather than counted up to date, before they are shown.
    fn refresh_metrics(&self);
}

/// `/api/v1/status/buildinfo`. Clients read the version to know what the server can do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as the API names them")]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    pub go_version: String,
}

/// `/api/v1/status/runtimeinfo`. Times are Unix milliseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    /// When the process started.
    #[serde(serialize_with = "go_time")]
    pub start_time: Option<i64>,
    /// Its working directory.
    #[serde(rename = "CWD")]
    pub cwd: String,
    /// The machine.
    pub hostname: String,
    /// The time now.
    #[serde(serialize_with = "go_time")]
    pub server_time: Option<i64>,
    /// Whether the last reload worked.
    pub reload_config_success: bool,
    /// When the configuration in effect was loaded.
    #[serde(serialize_with = "go_time")]
    pub last_config_time: Option<i64>,
    /// Damaged pieces of the log found since the start.
    pub corruption_count: u64,
    /// Threads: the nearest thing to goroutines.
    pub goroutine_count: usize,
    /// Cores in use.
    #[serde(rename = "GOMAXPROCS")]
    pub gomaxprocs: usize,
    /// The memory budget in bytes.
    #[serde(rename = "GOMEMLIMIT")]
    pub gomemlimit: i64,
    /// Always empty here; clients expect the key.
    #[serde(rename = "GOGC")]
    pub gogc: String,
    /// Always empty here; clients expect the key.
    #[serde(rename = "GODEBUG")]
    pub godebug: String,
    /// `15d`, `10GB` or `15d or 10GB`.
    pub storage_retention: String,
}

/// `/api/v1/status/tsdb`; each list is sorted by value, largest first.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TsdbStatus {
    /// Sizes of the newest part of the store.
    pub head_stats: HeadStats,
    /// Metric names with most series.
    pub series_count_by_metric_name: Vec<NameValue>,
    /// Label names with most values.
    pub label_value_count_by_label_name: Vec<NameValue>,
    /// Label names whose values take most bytes.
    pub memory_in_bytes_by_label_name: Vec<NameValue>,
    /// `name=value` pairs with most series.
    pub series_count_by_label_value_pair: Vec<NameValue>,
}

/// Sizes of the newest part of the store.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadStats {
    /// Series in memory.
    pub num_series: u64,
    /// Different label pairs.
    pub num_label_pairs: u64,
    /// Chunks in memory.
    pub chunk_count: u64,
    /// First sample, Unix milliseconds.
    pub min_time: i64,
    /// Last sample, Unix milliseconds.
    pub max_time: i64,
}

/// One line of a top list.
#[derive(Clone, Debug, Serialize)]
pub struct NameValue {
    /// What.
    pub name: String,
    /// How much.
    pub value: u64,
}
